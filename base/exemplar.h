/* exemplar.h - one message that stands for a bucket of a histogram: its topic and its client, so that whoever sees a slow bucket knows whom to ask.
 *
 * A set has one place for each power of two of nanoseconds; a new one replaces one that is EXEMPLAR_FRESH_MS old: however many there are, few are written down. Names are cut
 * at a character's beginning, so that label names and values together stay within the 128 characters that OpenMetrics 1.0 allows an exemplar.
 * Written by one thread; any thread may read. A reader that is overtaken finds nothing (and looks again when it likes): nobody waits. */
#ifndef RINGMQ_BASE_EXEMPLAR_H
#define RINGMQ_BASE_EXEMPLAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* Histograms of seconds are shown with these bounds: powers of two from about a microsecond to 17 s, and one place for what is beyond. */
#define EXEMPLAR_FIRST_POWER 10
#define EXEMPLAR_LAST_POWER  34
#define EXEMPLAR_PLACES      (EXEMPLAR_LAST_POWER - EXEMPLAR_FIRST_POWER + 2)

#define EXEMPLAR_TOPIC_BYTES_MAX  64
#define EXEMPLAR_CLIENT_BYTES_MAX 40
_Static_assert(EXEMPLAR_TOPIC_BYTES_MAX + EXEMPLAR_CLIENT_BYTES_MAX + sizeof "topic" + sizeof "client_id" <= 128, "OpenMetrics 1.0, Exemplars");

struct exemplar_names {
    uint8_t topic_bytes, client_bytes;
    char topic[EXEMPLAR_TOPIC_BYTES_MAX], client[EXEMPLAR_CLIENT_BYTES_MAX];
    uint8_t padding[6];
};

#define EXEMPLAR_FRESH_MS 1000

struct exemplar {
    uint64_t value_ns, at_ms; /* at_ms: the writer's clock */
    struct exemplar_names names;
};
#define EXEMPLAR_AT_WORD (offsetof(struct exemplar, at_ms) / sizeof(uint64_t))
#define EXEMPLAR_WORDS   (sizeof(struct exemplar) / sizeof(uint64_t))
_Static_assert(sizeof(struct exemplar) % sizeof(uint64_t) == 0, "copied word by word");

struct exemplar_place {
    uint64_t version; /* odd while it is being written; 0: empty */
    uint64_t words[EXEMPLAR_WORDS];
};

struct exemplars {
    struct exemplar_place places[EXEMPLAR_PLACES];
};

void exemplar_names_set(struct exemplar_names *names, struct span topic, struct span client);
/* exemplars_put()'s part that is rare. */
void exemplar_write(struct exemplar_place *place, uint64_t value_ns, uint64_t at_ms, const struct exemplar_names *names);
/* Any thread. False: there is none, or it is just being replaced. */
bool exemplars_get(const struct exemplars *exemplars, uint32_t place, struct exemplar *ret_exemplar);

/* The place of values of 2^(power - 1) to below 2^power ns, as base/spread.h's buckets are added up. */
static inline uint32_t exemplar_place_of(uint64_t value_ns)
{
    uint32_t power = value_ns ? 64 - (uint32_t)__builtin_clzll(value_ns) : 0;
    if (power < EXEMPLAR_FIRST_POWER) return 0;
    return power > EXEMPLAR_LAST_POWER ? EXEMPLAR_PLACES - 1 : power - EXEMPLAR_FIRST_POWER;
}

/* By the writer. */
static inline void exemplars_put(struct exemplars *exemplars, uint64_t value_ns, uint64_t at_ms, const struct exemplar_names *names)
{
    struct exemplar_place *place = &exemplars->places[exemplar_place_of(value_ns)];
    if (__builtin_expect(place->version == 0 || at_ms - place->words[EXEMPLAR_AT_WORD] >= EXEMPLAR_FRESH_MS, 0)) exemplar_write(place, value_ns, at_ms, names);
}

#endif
