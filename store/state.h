/* state.h - what a replay of logs leads to: sessions with their queues, and retained messages.
 *
 * Fed record by record (state_apply), epoch after epoch. Within an epoch everything about a session or a retained topic is in one
 * shard's log, so the logs of an epoch may come in any order; their messages have names of their own (state_log_begin). What one
 * epoch left is what the next one begins with (state_epoch_end).
 *
 * Lenient where a log begins behind a checkpoint: an event of a session or message whose beginning was trimmed is passed over,
 * because a SNAPSHOT further on replaces it. What is still unresolved at the end of a log is counted in `unresolved`.
 *
 * Owner:    the caller. Spans of messages point into what was given to state_apply(), which must outlive the state.
 * Threads:  one while fed; read by all afterwards. */
#ifndef RINGMQ_STORE_STATE_H
#define RINGMQ_STORE_STATE_H

#include "base/map.h"
#include "store/records.h"

struct state_message {
    struct stored_message stored;
    uint64_t key; /* stored.id; a map's key must lie in its value */
    uint32_t references;
    uint32_t receivers_count; /* only of those with an origin: sessions that have got it */
    struct state_receiver *receivers;
    void *own; /* memory of one that came in several pieces */
};

struct state_receiver {
    uint64_t session;
    bool shared;
};

struct state_delivery {
    struct state_message *message; /* NULL: RELEASING */
    uint32_t *ids;                 /* NULL when there are none */
    uint32_t ids_count;
    uint16_t packet_id; /* 0 in the queue */
    uint8_t qos;
    uint8_t state; /* enum stored_inflight_state */
    bool retain;
};

struct state_subscription {
    char *filter, *group; /* NUL-terminated copies; the lengths count */
    struct stored_subscription stored;
};

struct state_session {
    uint64_t key;
    struct stored_session stored; /* client_id and the will's spans point into `text` and `will_text` */
    char *text;
    uint8_t *will_text;
    struct state_subscription *subscriptions;
    uint32_t subscriptions_count, subscriptions_capacity;
    uint16_t *incoming;
    uint32_t incoming_count, incoming_capacity;
    struct state_delivery *window; /* in the order of sending */
    uint32_t window_count, window_capacity;
    struct state_delivery *queue; /* from queue_head on */
    uint32_t queue_head, queue_count, queue_capacity; /* queue_count: entries, the head's predecessors included */
    bool parts;                    /* QUEUE_PARTs have begun: */
    struct state_delivery *shadow; /* what the queue will be when their SNAPSHOT comes */
    uint32_t shadow_head, shadow_count, shadow_capacity;
    struct state_delivery *tail;   /* enqueued since, behind the parts still to come */
    uint32_t tail_count, tail_capacity;
};

struct state {
    struct map sessions; /* struct state_session by id */
    struct map retained; /* struct state_message by topic */
    struct map messages; /* of the log being read: struct state_message by id */
    struct state_message **origins; /* those of this epoch that have one */
    uint32_t origins_count, origins_capacity;
    uint64_t last_ms;    /* realtime of the newest commit of this epoch */
    uint64_t records, unresolved;
    uint64_t session_id_last; /* the largest seen */
    const char *fault;   /* a record that makes no sense: what is wrong with it */
};

void state_init(struct state *state);
void state_release(struct state *state);

/* A log of this epoch begins (ends). */
void state_log_begin(struct state *state);
void state_log_end(struct state *state);
/* `own`: memory the body lies in, the state's from now on; NULL: it lies in what outlives the state. False: see fault. */
bool state_apply(struct state *state, uint32_t type, struct span body, void *own);
/* All logs of the epoch have been read: clients that were connected went with its end, STORE_LAST_SEEN_MS after its last commit. */
void state_epoch_end(struct state *state);

/* QoS 2 messages that a receiver has and whose packet id the publisher's session does not know yet: the process ended between
 * the two. Calls `redo` for each message once, after the id has been added: the caller gives it to those who should have it and
 * have not (state_message_reached). To be called between the last state_log_end() and state_epoch_end(). */
void state_resolve(struct state *state, void (*redo)(void *context, struct state *state, struct state_message *message),
                   void *context);
bool state_message_reached(const struct state *state, const struct state_message *message, uint64_t session); /* in any way */
bool state_message_reached_shared(const struct state *state, const struct state_message *message, uint64_t session);
/* Puts a message at the end of a session's queue, as STORE_ENQUEUE does. */
void state_enqueue(struct state *state, struct state_session *session, struct state_message *message,
                   const struct stored_delivery *delivery);

static inline struct state_session *state_session_next(const struct state *state, uint32_t *cursor)
{
    return map_next(&state->sessions, cursor);
}

#endif
