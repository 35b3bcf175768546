/* The input chooses the operations on inflight, incoming and alias tables; the naive twins of tests/unit/proto judge them. */
#include <stdio.h>

#include "../unit/proto/session_model.h"
#include "base/check.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint32_t next(void *context, uint32_t bound)
{
    struct span *left = context;
    uint32_t value = 0;
    for (uint32_t reach = 1; reach < bound && left->bytes; reach <<= 8, *left = span_skip(*left, 1))
        value = value << 8 | left->data[0];
    return value % bound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *(*const models[])(struct choices, int) = {
        inflight_against_model, incoming_against_model, alias_in_against_model, alias_out_against_model,
    };
    if (bytes == 0) return 0;
    struct span left = span_of(data + 1, bytes - 1);
    const char *wrong = models[data[0] & 3]((struct choices){next, &left}, (int)(bytes < 2000 ? bytes : 2000));
    if (wrong) fprintf(stderr, "%s\n", wrong);
    CHECK(wrong == NULL);
    return 0;
}
