/* naive.h - the trivial twin of the route index and the retained store, and random topics and filters to feed both.
 * Plain lists, compared character by character: too simple to be wrong in the same way. */
#ifndef RINGMQ_TESTS_ROUTER_NAIVE_H
#define RINGMQ_TESTS_ROUTER_NAIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/span.h"

/* MQTT 5 §4.7 on NUL-terminated strings. */
bool naive_matches(const char *filter, const char *topic);

/* The seed in RINGMQ_SEED, or `fallback`. */
uint64_t naive_seed(uint64_t fallback);

#define NAIVE_TEXT_MAX 256
/* Levels from a small alphabet, the empty one among them; sometimes a `$` in front, sometimes deep. */
void naive_topic(struct random_source *random, char *ret_text);
/* The same with wildcards. */
void naive_filter(struct random_source *random, char *ret_text);
/* "" or one of a few names. */
const char *naive_group(struct random_source *random);

struct naive_route {
    char filter[NAIVE_TEXT_MAX];
    char group[8];
    uint32_t local_id, weight;
    uint16_t target;
    uint8_t strategy;
};

struct naive {
    struct naive_route *routes;
    uint32_t count, capacity;
};

void naive_release(struct naive *naive);
struct naive_route *naive_find(struct naive *naive, const char *filter, const char *group, uint16_t target);
/* True: added. */
bool naive_add(struct naive *naive, const struct naive_route *route);
bool naive_remove(struct naive *naive, const char *filter, const char *group, uint16_t target);

static inline struct span text(const char *string) { return span_of_string(string); }

#endif
