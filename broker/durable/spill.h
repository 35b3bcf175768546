/* spill.h - long queues of durable sessions: their two ends in memory, what is between them on the shelf (store/shelf.h).
 *
 *     session->queue                               shelf                      rest
 *     ┌───────────────────┬─────────────────┐  ┌─────────────────────┐  ┌───────────────┐
 *     │ logged            │ loaded from it  │  │ [from, until)       │  │ logged        │ ◄─ new ones
 *     └───────────────────┴─────────────────┘  └─────────────────────┘  └───────────────┘
 *       ▲ next to be sent                         read in slices           written in blocks when it is longer than the window
 *
 * Entries are numbered as they come (STORE_ENQUEUE), so the log and the shelf speak of the same ones. A block goes to the shelf's
 * thread, and its messages' memory goes at once; when the shelf has synced it, STORE_SPILLED is written into the log, and a checkpoint
 * writes of that part only where it begins and ends. What is read back stays on the shelf until a checkpoint does not need it.
 *
 * Owner and threads: the shard. Memory: per session `durability.queue_window` messages at each end, one slice and one block; less when
 * the shard's queues together exceed their share of durability.memory. */
#ifndef RINGMQ_BROKER_DURABLE_SPILL_H
#define RINGMQ_BROKER_DURABLE_SPILL_H

#include "base/list.h"
#include "broker/session.h"
#include "store/records.h"
#include "store/spill.h"

struct state_session;
struct durable_shard;

struct durable_spill {
    struct list link;           /* of the shard's */
    struct list long_link;      /* of spills_long */
    struct session *session;    /* NULL: it has ended, and a READ is under way */
    uint64_t id;                /* the session's in the log */
    uint64_t from, until;       /* entries on the shelf, or on their way there, that are not loaded */
    uint64_t bytes;             /* theirs, as queues count them; after a crash, about */
    uint32_t unsynced;          /* blocks that are not on the shelf for good yet, or of which the log does not say so */
    uint64_t dead;              /* those before were needed by nobody at the last SNAPSHOT */
    uint64_t dropped;           /* … and have been dropped */
    uint32_t loaded;            /* of session->queue, at its end */
    uint32_t rest_bytes;
    bool gap;                   /* the first on the shelf was not there when it was read; asked for again when session->queue is empty */
    bool reading, paused;       /* paused: a checkpoint waits until all of it is flushed, or writes the rest in parts */
    struct delivery_queue rest;
};

/* A message's `stored` when it is on the shelf: this and its number. No checkpoint has that generation. */
#define SPILL_GENERATION 0xffffu
static inline uint64_t spill_stored(uint64_t number) { return (uint64_t)SPILL_GENERATION << 48 | number; }
static inline bool spill_is_stored(const struct message *message) { return message->stored >> 48 == SPILL_GENERATION; }
static inline uint64_t spill_number(const struct message *message) { return message->stored & ((1ull << 48) - 1); }

/* Begins to spill when the session's queue has become longer than its window. It is not spilling yet. */
void durable_spill_consider(struct broker_shard *broker, struct session *session);
/* Puts it behind the rest; the queue's gauges know of it already. */
void durable_spill_push(struct broker_shard *broker, struct session *session, struct delivery delivery);
/* It was taken from the front of session->queue. */
void durable_spill_popped(struct broker_shard *broker, struct session *session, struct delivery delivery);
/* Reads ahead if its client is here; what is left becomes an ordinary queue when there is nothing on the shelf any more. */
void durable_spill_advance(struct broker_shard *broker, struct session *session);
/* session->queue is empty: the front, which is on the shelf or in the rest, goes. */
void durable_spill_drop(struct broker_shard *broker, struct session *session);
/* Entries behind session->queue. */
uint64_t durable_spill_count(const struct session *session);
/* Its queue goes with the session. */
void durable_spill_end(struct broker_shard *broker, struct session *session);
/* The shelf is behind: publishers are read more slowly. */
bool durable_spill_congested(const struct broker_shard *broker);
/* Once a turn: answers of the shelf, and what it has synced. True: there may be more answers. */
bool durable_spill_turn(struct broker_shard *broker);
/* Everything is tried again that failed: in this turn and the next ones. */
void durable_spill_retry(struct broker_shard *broker);
/* All spills are looked at from the beginning, some in each turn. */
void durable_spill_walk_begin(struct durable_shard *durable);

/* ---- checkpoints and restore ------------------------------------------------------------------------------------ */

/* All on the shelf is there for good, so a SNAPSHOT may name it. False: not yet; no more is written there until it is. */
bool durable_spill_settled(struct broker_shard *broker, struct session *session);
/* No more is written there until the SNAPSHOT. */
void durable_spill_pause(struct session *session);
void durable_spill_go_on(struct broker_shard *broker, struct durable_spill *spill); /* and it goes on */
/* What a SNAPSHOT says of the part on the shelf. */
void durable_spill_range(const struct session *session, uint64_t *ret_from, uint64_t *ret_until, uint64_t *ret_bytes);
/* A SNAPSHOT of it has been written. */
void durable_spill_snapshotted(struct broker_shard *broker, struct session *session);
void durable_spill_checkpoint_begun(struct broker_shard *broker);
void durable_spill_checkpoint_done(struct broker_shard *broker);
/* Of those that the last checkpoint has made superfluous: a few. True: there are more. */
bool durable_spill_drop_ended(struct broker_shard *broker, uint32_t most);
/* … what has left this queue. */
void durable_spill_drop_dead(struct broker_shard *broker, struct durable_spill *spill);
/* At start: the part of its queue that is on the shelf. Then session->queue's entries may still be put there, or (spilled) behind. */
void durable_spill_restore(struct broker_shard *broker, struct session *session, const struct state_session *from);
void durable_spill_begin(struct broker_shard *broker, struct session *session);
/* An entry of a window. NULL: it is not there. The reference is the caller's. */
struct message *durable_spill_fetch(struct broker_shard *broker, struct session *session, uint64_t number, struct delivery_options *ret_options,
                                    uint32_t **ret_ids);
/* An entry's message, made one of this shard's. */
struct message *durable_spill_message(struct broker_shard *broker, const struct stored_message *stored, uint64_t number);
void durable_spill_release(struct broker_shard *broker); /* at the end */

#endif
