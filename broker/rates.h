/* rates.h - how much clients may do per second: messages and bytes published, filters subscribed to, messages delivered; for each client,
 * each listener and the node. Nothing is dropped: who is too fast is read (or written to) more slowly.
 *
 * A rate is a clock that runs ahead (GCRA): each unit moves it on by 1/rate, and it is never further behind the time than a burst. A packet is
 * always taken; when it leaves a clock ahead of now, its client is held until then (HOLD_RATE), or its deliveries wait in the queue.
 *
 *     client     the clock is the session's own
 *     listener,  one clock in the node, from which each shard draws units ahead: at most RATE_AHEAD_MS worth at a time, split among
 *     node       the shards, by one compare-and-swap. No lock, and hardly ever two shards on one cache line.
 *
 * How exact: over any time t the node takes at most burst + rate * t units, and beyond that one packet per client (each is held after the one that
 * went too far, and waits for its own place on the clock, so that clients take turns) and what shards have drawn ahead (RATE_AHEAD_MS
 * worth in all). Timers tick in milliseconds: a burst is at least RATE_BURST_NS_MIN of time long, so that high rates are reached.
 *
 * Off costs one test of session->metered (published), limits->rates (subscribed), session->rated (delivered).
 * Owner: the shard; the clocks of listeners and the node are atomic and the node's. Units: ns of the monotonic clock. Failure: none. */
#ifndef RINGMQ_BROKER_RATES_H
#define RINGMQ_BROKER_RATES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/wheel.h"
#include "engine/listener.h"

struct broker_shard;
struct session;

#define RATE_AHEAD_MS     5
#define RATE_BURST_NS_MIN 4000000ull

/* A setting, ready for use. per_s 0: no limit. A burst of 0 is what one second allows. */
struct rate {
    uint64_t per_s, burst_ns;
};

struct rate rate_of(struct rate_settings settings, enum rate_kind kind);
/* Time that `units` take; at most 10^10 of them (the schema sees to it): no overflow. */
static inline uint64_t rate_cost_ns(const struct rate *rate, uint64_t units)
{
    return (units * 1000000000ull + rate->per_s - 1) / rate->per_s;
}
/* Moves *clock_ns on by `units`. Returns when it is behind the time again; 0: it is already. */
uint64_t rate_charge(const struct rate *rate, uint64_t *clock_ns, uint64_t units, uint64_t now_ns);

/* A clock that shards share. */
struct rate_clock {
    _Alignas(64) _Atomic uint64_t ns;
};
/* What one shard has drawn from it. */
struct rate_drawn {
    uint64_t units, ready_ns;
};
uint64_t rate_charge_shared(const struct rate *rate, struct rate_clock *clock, struct rate_drawn *drawn, uint64_t units, uint64_t now_ns,
                            uint32_t shards_count);

/* ---- of a listener's clients ------------------------------------------------------------------------------------------- */

/* Clocks of the node. */
struct rate_clocks {
    struct rate_clock node[RATE_KINDS], listeners[LISTENERS_MAX][RATE_KINDS];
};

/* The rates that hold for the clients of one listener on one shard; and of the node, on one shard. */
struct rates {
    struct rate client[RATE_KINDS], listener[RATE_KINDS];
    struct rate_drawn drawn[RATE_KINDS];
};
struct node_rates {
    struct rate rates[RATE_KINDS];
    struct rate_drawn drawn[RATE_KINDS];
};

/* A session's own, made when a rate is first looked at for it. */
struct session_rates {
    struct session *session;
    uint64_t clocks[RATE_KINDS];
    struct timer read_timer;    /* running: HOLD_RATE */
    struct timer deliver_timer; /* running: deliveries wait */
};

#define RATE_BIT(kind)  (1u << (kind))
#define RATES_PUBLISHED (RATE_BIT(RATE_MESSAGES) | RATE_BIT(RATE_BYTES))

/* What a client has done: charged, and the client held if need be. Called only for sessions with session->metered; where limits->rates
 * says so. */
void rates_published(struct broker_shard *broker, struct session *session, uint64_t bytes);
void rates_subscribed(struct broker_shard *broker, struct session *session, uint32_t filters);
/* One message goes out to it. Called only for sessions with session->rated. */
void rates_delivered(struct broker_shard *broker, struct session *session);
/* True while deliveries must wait. */
bool rates_delivery_waits(const struct session *session);
/* It has a connection from now on: do its messages need counting? */
void rates_attach(struct broker_shard *broker, struct session *session);
/* The connection has gone. */
void rates_detach(struct broker_shard *broker, struct session *session);
/* A listener's rates, for limits_prepare(). */
void rates_prepare(struct broker_shard *broker, uint8_t listener);
void rates_start(struct broker_shard *broker);
/* New settings: everybody who waits goes on, by the new rates. */
void rates_change(struct broker_shard *broker);
/* Tells some more sessions of it. True: there are more. */
bool rates_turn(struct broker_shard *broker);

#endif
