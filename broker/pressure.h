/* pressure.h - push-back that every shard sees: whose subscribers' queues are about to be full, and publishers that wait for them.
 *
 * A session whose queue is three quarters full is *pressed*. While it takes messages fast enough, its shard marks the filters by which more
 * came on its *board*; publishers on every shard look there before they hand out a message, and leave the packet unread when
 * it would go to a marked filter (or into a lane that is full): nothing that was accepted is dropped, and no acknowledgement is sent for what
 * waits. When the queue is half empty again the marks go, and those who wait are read on, first come first served.
 *
 * Looking costs one load and a test per PUBLISH while no filter is marked and no lane is full.
 *
 * What was on its way in the lanes when a filter was marked still arrives: while its publishers wait, a queue takes it beyond its limit, by
 * PRESSURE_BEYOND() messages and PRESSURE_BEYOND_BYTES at most (what is larger is lent: the queue keeps no more memory alive than was taken already).
 *
 * A session is *slow* when it took less than a quarter of its queue within a second, or nothing at all (a second in which its shard could have heard of it:
 * shard.heard_ms, so that nobody is slow because the shard had no processor): it marks nothing, so that nobody waits for
 * it, until a second went better. Its publishers are paused in slices (publisher_pause()), and when its queue is full mqtt.mqueue_policy decides.
 * The same for filters beyond what a board holds, for publishers that are no clients, and for clients whose own queue waits: the
 * acknowledgements that would empty it stand behind the packet that would be left unread.
 *
 * A shared group is marked when none of its members on the shard can take more; publishers then choose another shard's members, and wait when all are marked.
 *
 * Owner:   a board belongs to its shard, in struct broker. Threads: the shard writes, all read (single words, relaxed).
 * Bounds:  PRESSURE_SETS * PRESSURE_WAYS filters a board, PRESSED_FILTERS_MAX of one session. */
#ifndef RINGMQ_BROKER_PRESSURE_H
#define RINGMQ_BROKER_PRESSURE_H

#include <stdatomic.h>

#include "base/limits.h"
#include "base/list.h"
#include "broker/session.h"
#include "router/match_cache.h"

#define PRESSURE_SETS       128
#define PRESSURE_WAYS       8
#define PRESSED_FILTERS_MAX 16
/* A lent message takes one cell of a lane. */
#define PRESSURE_BEYOND(shards_count) (LANE_SLOTS * ((shards_count) - 1))
#define PRESSURE_BEYOND_BYTES         (16u << 20)

struct pressure_board {
    _Atomic uint32_t filters[PRESSURE_SETS][PRESSURE_WAYS]; /* local ids; SINKS_ID_NONE: free */
    uint16_t holders[PRESSURE_SETS][PRESSURE_WAYS];         /* the owner's: sessions that have marked it */
};

/* Of the node; a line of its own, written when a filter becomes marked or is so no longer. */
struct pressure {
    _Alignas(64) _Atomic uint32_t marked; /* filters, on all boards */
    _Atomic uint32_t eased;               /* counts the ends of marks */
    _Alignas(64) struct pressure_board *boards; /* by shard */
};

/* A session whose queue is about to be full: session_rare.pressed. */
struct pressed {
    struct list link;
    struct session *session;
    uint64_t since_ms;   /* of the second that is being measured: shard.heard_ms */
    uint32_t sent;       /* queue.sent then */
    uint32_t wanted;     /* so many it has to take in that second */
    bool slow;
    uint8_t filters_count;
    uint32_t filters[PRESSED_FILTERS_MAX];
};

void pressure_init(struct pressure *pressure, uint32_t shards_count);
void pressure_release(struct pressure *pressure);
void pressure_start(struct broker_shard *broker);

/* ---- the subscriber's shard ------------------------------------------------------------------------------------- */

/* The session's queue is at least three quarters full; it came by `filter` (SINKS_ID_NONE: others of a group can take more). */
void pressure_rise(struct broker_shard *broker, struct session *session, uint32_t filter);
/* Of a pressed session: is it half empty? Then it is so no longer. */
void pressure_look(struct broker_shard *broker, struct session *session);
/* It is away or ends. */
void pressure_end(struct broker_shard *broker, struct session *session);
/* May one that was on its way go beyond the queue's limit? */
bool pressure_admits(const struct broker_shard *broker, const struct session *session, uint64_t queued, uint64_t queued_bytes);
/* Its publishers wait for it. */
static inline bool pressure_is_held_for(const struct session *session) { return session->pressed && !session->rare->pressed->slow; }

/* ---- the publisher's shard -------------------------------------------------------------------------------------- */

/* Does a PUBLISH with this topic have to wait? Then its publisher is held, and the packet stays unread. Ask pressure_any() first. */
bool pressure_holds(struct broker_shard *broker, struct session *session, struct span topic);
/* Which target of a group: the first from `picked` on that can take it, else `picked`. */
uint32_t pressure_pick(const struct broker_shard *broker, const struct route_group *group, uint32_t picked);
/* Lets those go on whose time it is; with every turn while anybody waits. True: there are more. */
bool pressure_turn(struct broker_shard *broker);

#endif
