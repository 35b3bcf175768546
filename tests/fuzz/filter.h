/* filter.h - what the fuzz targets of filters share: the same bytes whole and in pieces must come to the same. */
#ifndef RINGMQ_TESTS_FUZZ_FILTER_H
#define RINGMQ_TESTS_FUZZ_FILTER_H

#include <stdlib.h>

#include "base/check.h"
#include "base/filter.h"

#define FUZZ_BYTES_MAX (1 << 16)

struct fuzz_outcome {
    uint8_t up[FUZZ_BYTES_MAX], own[2 * FUZZ_BYTES_MAX];
    size_t up_bytes, own_bytes, used;
    enum filter_wants wants;
};

/* Each piece lies in a block of its own, so that a look beyond it is found. */
static inline void fuzz_feed(struct filter *filter, const uint8_t *data, size_t bytes, size_t piece, struct fuzz_outcome *outcome)
{
    outcome->up_bytes = outcome->own_bytes = outcome->used = 0;
    outcome->wants = FILTER_GOES_ON;
    while (outcome->used < bytes && outcome->wants == FILTER_GOES_ON) {
        size_t now = bytes - outcome->used < piece ? bytes - outcome->used : piece;
        uint8_t *block = malloc(now);
        memcpy(block, data + outcome->used, now);
        struct filter_step step = filter->verbs->receive(filter, block, now, NULL, 0);
        CHECK(step.consumed <= now && (step.wants != FILTER_GOES_ON || step.consumed == now));
        CHECK(step.output_bytes <= step.consumed);
        if (step.output_bytes) memcpy(outcome->up + outcome->up_bytes, step.output, step.output_bytes);
        outcome->up_bytes += step.output_bytes;
        outcome->used += step.consumed;
        outcome->wants = step.wants;
        free(block);
        for (bool more = step.to_send && filter->verbs->send; more && outcome->own_bytes + 1024 <= sizeof outcome->own;) {
            step = filter->verbs->send(filter, span_of(NULL, 0), outcome->own + outcome->own_bytes, 1024);
            outcome->own_bytes += step.output_bytes;
            more = step.to_send;
        }
        if (outcome->wants == FILTER_FAILED) CHECK(filter->verbs->reason(filter)[0]);
    }
}

static inline void fuzz_same(const struct fuzz_outcome *a, const struct fuzz_outcome *b)
{
    CHECK(a->wants == b->wants && a->up_bytes == b->up_bytes && memcmp(a->up, b->up, a->up_bytes) == 0);
    if (a->wants == FILTER_TRANSPARENT) CHECK(a->used == b->used);
}

#endif
