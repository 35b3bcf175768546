/* watch/slow_subs.h - the subscribers that keep their messages waiting longest: a table of the worst, by client and topic.
 *
 * Latency runs from the moment a message reaches the subscriber's shard until it has been sent (`internal`) or until it has been
 * acknowledged (`whole`; QoS 0: sent), or from its sending to its acknowledgement (`response`). What is above slow_subs.threshold is noted; each shard keeps slow_subs.top_k_num of them, the largest
 * first; an entry goes when nothing has renewed it for slow_subs.expire_interval.
 *
 * Threads: noting on the shard, listing and clearing on any: a mutex per shard, taken only for what is slow. */
#ifndef RINGMQ_BROKER_WATCH_SLOW_SUBS_H
#define RINGMQ_BROKER_WATCH_SLOW_SUBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct broker;
struct broker_shard;
struct session;
struct delivery;

#define SLOW_SUBS_MAX 1000

struct slow_sub {
    uint32_t latency_ms;
    uint64_t noted_ms; /* by the shard's clock */
    uint64_t at_ms;    /* Unix time */
    char *client_id, *topic;
    uint32_t client_id_bytes, topic_bytes;
};

struct slow_subs {
    pthread_mutex_t mutex;
    struct slow_sub *entries; /* the slowest first */
    uint32_t count;
    uint32_t top_k;    /* as of the last note: */
    uint64_t expire_ms;
};

void slow_subs_init(struct slow_subs *slow);
void slow_subs_release(struct slow_subs *slow);

/* `sent`: it has just left; else it has just been acknowledged. `stamp_ms`: low half of the clock when it came. */
void slow_subs_note(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, bool sent, uint32_t stamp_ms);

/* A delivery that has waited leaves its queue: noted, and with `response` its time begins now. */
void slow_subs_sent(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, struct delivery *delivery);

/* The slowest of all shards, slowest first, at most top_k_num. Texts are valid during the call. */
void slow_subs_list(struct broker *broker, void (*each)(void *context, const struct slow_sub *entry), void *context);
void slow_subs_clear(struct broker *broker);

#endif
