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
    struct stored_row row;    /* a retained one whose payload is on the shelf; space 0: none */
    uint32_t payload_bytes;   /* its */
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
    struct state_message *message; /* NULL: RELEASING, or on the shelf */
    uint64_t number;               /* on the shelf: which entry; in a queue that is not: nothing */
    uint32_t *ids;                 /* NULL when there are none */
    uint32_t ids_count;
    uint16_t packet_id; /* 0 in the queue */
    uint8_t qos;
    uint8_t state; /* enum stored_inflight_state */
    bool retain;
    bool shelved;
};

struct state_subscription {
    struct stored_subscription stored; /* filter and group point into `text` */
    uint32_t place;                    /* in the session's row */
    char text[];                       /* filter, a NUL, group */
};

/* A QoS 2 message of this session's that some receivers have and whose packet id the session does not know: PUBREC was never sent,
 * so its client sends it again, and then only those get it who have not. */
struct state_partial {
    uint16_t packet_id;
    uint64_t hash;        /* stored_partial_hash() */
    uint64_t *receivers;  /* sessions that have it through subscriptions of their own */
    uint32_t receivers_count;
    uint64_t *groups;     /* shared groups one of whose members has it: stored_group_hash() */
    uint32_t groups_count;
};

struct state_session {
    uint64_t key;
    struct stored_session stored; /* client_id and the will's spans point into `text` and `will_text` */
    char *text;
    uint8_t *will_text;
    struct state_subscription **subscriptions;
    uint32_t subscriptions_count, subscriptions_capacity;
    struct map *subscriptions_index; /* of them, by `text`; NULL: they are few */
    uint16_t *incoming;
    uint32_t incoming_count, incoming_capacity;
    struct state_partial *partials;
    uint32_t partials_count;
    struct state_delivery *window; /* in the order of sending */
    uint32_t window_count, window_capacity;
    uint32_t window_gaps;          /* while a log is read: of the window's entries that are none (state_window.c) */
    struct window_table *window_table; /* the same: of a long one, by packet id */
    struct state_delivery *queue; /* from queue_head on */
    uint32_t queue_head, queue_count, queue_capacity; /* queue_count: entries, the head's predecessors included */
    uint64_t front;               /* number of the queue's first entry, wherever it is */
    bool shelved;                 /* behind `queue` come those on the shelf, [shelf_from, shelf_until), and then `rest`: */
    uint64_t shelf_from, shelf_until, shelf_bytes;
    struct state_delivery *rest;
    uint32_t rest_head, rest_count, rest_capacity; /* as the queue's */
    bool parts;                    /* QUEUE_PARTs have begun: */
    bool parts_rest;               /* … of what is behind the shelf, which nothing is taken from meanwhile */
    struct state_delivery *shadow; /* what the queue (or the rest) will be when their SNAPSHOT comes */
    uint32_t shadow_head, shadow_count, shadow_capacity;
    struct state_delivery *tail;   /* enqueued since, behind the parts still to come */
    uint32_t tail_count, tail_capacity;
};

/* How far a space of rows is settled (store/records.h). */
struct state_space {
    uint64_t space, settled;
};

struct state {
    struct map sessions; /* struct state_session by id */
    struct map retained; /* struct state_message by topic */
    struct map messages; /* of the log being read: struct state_message by id */
    struct state_message **origins; /* those of this epoch that have one */
    uint32_t origins_count, origins_capacity;
    struct stored_row *dead; /* rows that what came later has replaced, or that were still to be removed */
    uint32_t dead_count, dead_capacity;
    struct state_space *spaces;
    uint32_t spaces_count;
    uint64_t settled_epoch;
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

/* The shared groups that have got a message through `session`, a member of theirs (what matches what is not this library's to
 * know): state_partial_group() for each. */
typedef void state_groups(void *context, const struct state_session *session, const struct state_message *message,
                          struct state_partial *partial);
/* QoS 2 messages that a receiver has and whose packet id the publisher's session does not know yet, since the process ended between
 * the two, become that session's partial ones. To be called between the last state_log_end() and state_epoch_end(). */
void state_resolve(struct state *state, state_groups *groups, void *context);
void state_partial_group(struct state_partial *partial, uint64_t group_hash);

static inline struct state_session *state_session_next(const struct state *state, uint32_t *cursor)
{
    return map_next(&state->sessions, cursor);
}

#endif
