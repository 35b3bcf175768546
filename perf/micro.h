/* micro.h - the cases of perf/micro: small pieces of the broker, each run alone and often.
 *
 * A case prepares everything in setup() (not measured) and repeats one operation in run(). All is a function of fixed seeds, so
 * callgrind counts the same instructions every time. */
#ifndef RINGMQ_PERF_MICRO_H
#define RINGMQ_PERF_MICRO_H

#include <stdint.h>

struct micro_case {
    const char *name;
    void (*setup)(uint64_t size);
    uint64_t (*run)(uint64_t count); /* about `count` operations; returns how many it did */
    uint64_t size;                   /* for setup(): filters, payload bytes … */
    uint64_t count;                  /* under callgrind; by the clock a hundred times as many */
};

extern const struct micro_case micro_codec[], micro_route[], micro_queue[], micro_retain[], micro_path[]; /* each ends with name NULL */

/* Features on the broker of micro_path.c. */
enum micro_features { MICRO_NONE, MICRO_PASS, MICRO_PASS_EACH, MICRO_ACL, MICRO_ACL_EACH, MICRO_SINK };
struct broker;
struct settings;
void micro_features_attach(struct broker *broker, const struct settings *settings, enum micro_features which);

/* A store under it, before its shards start. It is never closed. */
struct store;
struct store *micro_store_attach(struct broker *broker, uint32_t shards_count);

/* Keeps the compiler from leaving the work out. */
static inline void micro_keep(uint64_t value) { __asm__ volatile("" : : "r"(value) : "memory"); }

#endif
