/* session_model.h - the trivial twins of inflight, incoming and alias, and random operations on both.
 * Used by the unit tests with a seed and by tests/fuzz/session.c with bytes: `next` gives the next choice below a bound.
 * Each returns NULL, or what was wrong. */
#ifndef RINGMQ_TESTS_SESSION_MODEL_H
#define RINGMQ_TESTS_SESSION_MODEL_H

#include <stdint.h>

struct choices {
    uint32_t (*next)(void *context, uint32_t bound); /* 0 … bound - 1 */
    void *context;
};

const char *inflight_against_model(struct choices choices, int steps);
const char *incoming_against_model(struct choices choices, int steps);
const char *alias_in_against_model(struct choices choices, int steps);
const char *alias_out_against_model(struct choices choices, int steps);

#endif
