/* durable/durable.h - what survives the process: the broker's side of the store (docs/internals/durability.md, decisions 0020 to 0023).
 *
 * Nothing here runs unless durability.enable is on (`broker->durable` is NULL) and, for a session, unless it is durable or waits
 * for somebody who is (`session->durable` is NULL). One thing is needed without a store, too: the row in which answers wait, when a sink of a
 * feature holds an acknowledgement (decision 0031).
 *
 * Two halves. *Events* go into the shard's log as they happen (durable_enqueue() and its sisters); each record belongs to a commit.
 * *Waits* hold back what promises something until the commit that holds it is on disk: an answer to a client, in the order of what it
 * answers; a PUBLISH with QoS 2, whose packet id must be known after a crash; a CONNECT that is handled again when its session is on
 * disk; the word to another shard that its message is. A PUBLISH that goes to other shards waits for theirs: each is told with
 * RECORD_DURABLE before the message, and says RECORD_STORED when it has it.
 *
 * Owner and threads: the shard. Files: durable.c (the log's life and turns), doors.c (what is refused), waits.c, lanes.c (what shards tell each other), events.c (records),
 * connect.c, checkpoint.c (everything live once more, in slices), restore.c (at start), partial.c (messages that a crash has left half given out). */
#ifndef RINGMQ_BROKER_DURABLE_DURABLE_H
#define RINGMQ_BROKER_DURABLE_DURABLE_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "broker/durable/spill.h"
#include "broker/session.h"
#include "proto/packet.h"
#include "store/store.h"

struct broker;
struct lane_cell;
struct sink;
struct retain_cursor;
struct retained_shelf;
struct subscribe_request;

/* Filters are counted by their slot's lower bits: others look there before they ask to be told. */
#define DURABLE_FILTER_BITS 14

/* What RECORD_DURABLE said about the record that follows it in the same lane. */
struct durable_notice {
    bool valid;
    uint8_t level;
    struct durable_wait *wait; /* on the publisher's shard; NULL: nobody waits */
    struct stored_origin origin;
    struct durable_partial *partial;
};

/* What another shard is told when a commit of ours is durable: waits of its own, in the order of their commits. A ring. */
struct durable_owed {
    struct durable_promise {
        uint64_t commit;
        struct durable_wait *wait;
        uint32_t count;        /* of one wait's messages */
    } *promises;
    uint32_t head, count, capacity; /* capacity: a power of two */
};

struct durable_shard {
    struct broker_shard *broker;
    struct wal wal;
    struct list committing;    /* waits, by commit */
    struct list origins;       /* waits of QoS 2 messages whose STORE_INCOMING is not durable, and barriers between them */
    struct timer timer;        /* the log's next turn */
    struct timer heartbeat;
    uint64_t session_ids, message_ids;
    uint16_t generation;       /* of checkpoints: a message written before this one's is written again before it is named */
    uint32_t writing_bytes;    /* of the write under way */
    int32_t final_error;       /* of the last plain write at the end */
    uint64_t gathering, gathering_ns; /* the newest commit, and the turn that brought its first record */
    uint64_t writing_ns;       /* the turn that began the write under way */
    struct list sessions;      /* durable ones, in struct durable_session */
    struct map prepared;       /* struct durable_prepared by connection */
    struct durable_notice notices[SHARDS_MAX + 1];
    struct durable_owed owed[SHARDS_MAX];
    struct {
        bool running;
        struct list sessions;  /* those still to be written */
        struct list waiting;   /* those of them that wait for something that makes a turn, since it was last looked */
        bool waits;            /* all that are left do */
        struct retain_cursor *retained;
        uint32_t barriers;     /* shards that have not answered RECORD_BARRIER */
        uint64_t segment, commit;
        uint64_t begun_bytes;  /* appended when it began */
        uint64_t begun_failed; /* segments given up by then */
        uint64_t live_bytes;   /* what the last one wrote */
        bool first_done;
    } checkpoint;
    uint64_t *held;            /* connections whose CONNECT waits for the end of the restore */
    uint32_t held_count;
    struct list spills;        /* struct durable_spill */
    struct list spill_writes;  /* blocks that are not synced yet, in their order */
    struct list spills_long;   /* those whose rest is longer than its window, and may be shortened */
    int64_t spill_credit;      /* bytes of blocks that may still be made in this turn, see rest_shorten() */
    uint64_t spill_tickets, spill_synced;
    struct {                   /* all of `spills` are looked at, some in each turn */
        struct list mark;      /* among them: those before it are still to be looked at */
        bool retries, drops;   /* why; drops: what the last checkpoint has made superfluous goes, and no other begins before that is over */
    } spill_walk;
    uint64_t shelf_gone_bytes; /* taken, dropped or ended since the last checkpoint: on the shelf until the next one */
    uint64_t *spill_ended, *spill_ended_before; /* sessions whose blocks go: since the last checkpoint began, before it */
    uint32_t spill_ended_count, spill_ended_before_count;
    struct retained_shelf *shelf; /* broker/retained/shelf.h; NULL: there is none */
    struct list aging;         /* a mark among the sessions, while restoring: those behind it have been looked at */
    bool restoring;
    struct subscribe_request *restore_request;
    /* Read by other threads. The first: as of the last heartbeat or checkpoint. */
    struct {
        _Atomic uint64_t waiting_bytes, checkpoint_ms; /* checkpoint_ms: when the last one ended; 0: none did */
        _Atomic bool checkpointing, refuses;
    } shown;
    _Atomic uint64_t filter_bits[(1u << DURABLE_FILTER_BITS) / 64];
    uint16_t filter_counts[1u << DURABLE_FILTER_BITS];
};

struct durable_partial; /* partial.c */

struct durable_session {
    struct list link;          /* of durable ones */
    struct session *session;
    uint64_t id;               /* 0: not durable, there are only waits */
    uint32_t incoming_number;  /* QoS 2 publishes of its client so far */
    uint32_t incoming_logged;  /* … whose STORE_INCOMING is in the log */
    uint32_t prepared_count;   /* CONNECT packets under way for it */
    bool lazy;
    bool snapshotting;         /* its queue is being written in parts: */
    bool snapshot_rest;        /* … or what is behind the shelf: then nothing is taken from that, see durable_rest_pops() */
    uint32_t snapshot_passed;  /* entries at its front that have been written */
    uint32_t snapshot_left;    /* entries behind them to be written; what came later has events of its own */
    struct list waits;         /* answers (a run of them in one wait), in the order they must leave: staged ones, then those that wait for other shards */
    struct durable_wait *unstaged; /* the first that is not staged; NULL: all are */
    uint32_t waits_count;
    uint64_t front, next;      /* numbers of the queue's first entry and of the next one to come, as the log counts */
    uint64_t restored;         /* entries with numbers below were queued before the last start */
    struct durable_spill *spill; /* NULL: its queue was never too long for memory */
    struct list partials;      /* QoS 2 messages of its client that some receivers have and that come again */
};

static inline bool session_is_durable(const struct session *session) { return session->durable && session->durable->id; }

/* ---- life ------------------------------------------------------------------------------------------------------- */

/* Before the shards start. Both belong to the caller; the state must live until all shards have started. */
void broker_use_store(struct broker *broker, struct store *store, const struct state *state);
/* The same for the shelf's service; NULL: long queues stay in memory. */
void broker_use_spill(struct broker *broker, struct spill *spill);
/* struct spill_config.wake; the context is the broker. */
void broker_spill_wake(void *context, uint32_t shard);
void durable_start(struct broker_shard *broker);  /* restores what belongs to this shard */
/* Once a turn. True: look again next turn. */
bool durable_turn(struct broker_shard *broker);
void durable_file(struct shard *shard, int32_t result);
bool durable_busy(struct shard *shard);
void durable_stop(struct broker_shard *broker);   /* writes what is left; no thread runs */
void durable_finish(struct broker_shard *broker);
/* For store_recover(): the groups that have a message through this member. */
void durable_groups(void *context, const struct state_session *session, const struct state_message *message,
                    struct state_partial *partial);
/* New durable messages cannot be taken: the disk refuses. */
bool durable_refuses(const struct broker_shard *broker);

/* ---- doors (doors.c) ------------------------------------------------------------------------------------ */

/* broker->durable_doors, as of this turn: one byte, so that who is not concerned tests no more than that. */
#define DURABLE_STUCK 1 /* durable_refuses() */
#define DURABLE_FULL  2 /* little room is left on the disk (store/reserve.h) */
#define DURABLE_LOOKS 4 /* what a client publishes is looked at: there are topic rules, or the log is behind */

/* Once a turn. */
void durable_doors_look(struct broker_shard *broker);
#define durable_shut(shard) (((shard)->durable_doors & (DURABLE_STUCK | DURABLE_FULL)) != 0)
#define durable_full(shard) (((shard)->durable_doors & DURABLE_FULL) != 0)
enum durable_keeps { DURABLE_KEEPS_NOT, DURABLE_CLEARS, DURABLE_KEEPS }; /* what a message does to the retained (or delayed) ones */
/* Would such a message of ours go into a log? For what cannot be refused: wills, delayed messages that are due. */
bool durable_would_keep(const struct broker_shard *broker, struct span topic, uint8_t qos, enum durable_keeps keeps);
/* While durable_shut(): counted and logged. `session`: the publisher; NULL: a feature or an operator. */
bool durable_turns_away(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, enum durable_keeps keeps);
bool durable_turns_away_connect(struct broker_shard *broker, struct span client_id);
bool durable_turns_away_subscribe(struct broker_shard *broker, bool stands); /* there is one already, whose place it takes */
/* Is a durable session of that shard on one of these filters? By its bitmap, so now and then true for nothing. */
bool durable_filters_any(const struct durable_shard *there, const uint32_t *ids, uint32_t count);

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* The level of the topic rules for a publication of a client. */
uint8_t durable_level(const struct broker_shard *broker, struct span topic);
/* True when it was written: the delivery is marked DELIVERY_LOGGED. packet_id 0: into the queue. */
bool durable_deliver(struct broker_shard *broker, struct session *session, struct publication *publication,
                     const struct delivery_options *options, uint16_t packet_id);
void durable_packet(struct broker_shard *broker, struct session *session, enum store_record type, uint16_t packet_id);
/* The front of a queue that is being written in parts is about to leave: it is written first if it has not been. */
void durable_queue_pops(struct broker_shard *broker, struct session *session);
/* The front of what is behind the shelf is about to leave, or all of it to become the queue: if it was being written in parts, that begins anew. */
void durable_rest_pops(struct session *session);
void durable_subscribe(struct broker_shard *broker, struct session *session, struct span filter, struct span group,
                       const struct sink *sink, uint32_t local_id);
void durable_unsubscribe(struct broker_shard *broker, struct session *session, struct span filter, struct span group);
/* A durable sink is on (has left) this filter. */
void durable_filter_count(struct broker_shard *broker, uint32_t local_id, bool added);
void durable_detach(struct broker_shard *broker, struct session *session);
void durable_session_end(struct broker_shard *broker, struct session *session);
void durable_will_clear(struct broker_shard *broker, struct session *session);
/* The publication is retained from now on (an empty payload: nothing is). kept_before: the log has what it replaces. */
void durable_retain(struct broker_shard *broker, struct publication *publication, bool kept_before);
void durable_retain_clear(struct broker_shard *broker, struct span topic);
uint64_t durable_message_id(struct broker_shard *broker, struct publication *publication);
uint64_t durable_realtime_ms(const struct broker_shard *broker, uint64_t monotonic_ms); /* 0 stays 0 */

/* ---- waits ------------------------------------------------------------------------------------------------------ */

/* What a client's publication has for durability and nobody has set yet. */
static inline void durable_publication_init(struct publication *publication, uint8_t qos)
{
    _Static_assert(DURABILITY_COMMIT == 0, "the level where no rule says another");
    memset((uint8_t *)publication + offsetof(struct publication, level), 0, sizeof *publication - offsetof(struct publication, level));
    publication->answers = qos > 0;
}
/* Before a client's publication is given out, if its QoS is 2 or DURABLE_LOOKS: its level, and what QoS 2 must be known by. */
void durable_publish_begin(struct broker_shard *broker, struct session *session, struct publication *publication,
                           uint16_t packet_id);
/* The record for `to` that comes next carries this publication. `ids`: of its filters there; NULL: it is needed in any case. False: nobody there needs to
 * know, so it is no business of ours. */
bool durable_announce(struct broker_shard *broker, uint32_t to, struct publication *publication, const uint32_t *ids, uint32_t count);
/* Sends it, each of its records announced. False: nothing was sent, since nobody there is durable. */
bool durable_send_publish(struct broker_shard *broker, uint32_t to, struct publication *publication, const uint32_t *ids, uint32_t count);
/* On the other shard: what was announced, and the answer. */
void durable_notice_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells);
void durable_adopt(struct broker_shard *broker, uint32_t from, struct publication *publication);
void durable_report(struct broker_shard *broker, uint32_t from, struct publication *publication);
void durable_stored(struct broker_shard *broker, const struct lane_cell *cells);
/* Tells the other shards what they wait for, as far as it is durable; all: the node is ending. */
void durable_owed_send(struct broker_shard *broker, bool all);
/* A checkpoint of shard `from` would take away the records that tell who has got a QoS 2 message. It must not end before the
 * publishers' shards know those messages for good (STORE_INCOMING durable): after a crash nobody could tell any more. */
void durable_barrier(struct broker_shard *broker, uint32_t from);
void durable_barrier_done(struct broker_shard *broker);
/* Could an acknowledgement have to wait? Nobody has kept the message, and nothing waits before it: then it does not. */
static inline bool durable_answer_may_wait(const struct session *session, const struct publication *publication)
{
    return publication->commit | (uintptr_t)publication->wait | (uintptr_t)session->durable; /* the rest is about those with session->durable */
}
/* PUBACK or PUBREC of a publication that somebody keeps on disk. False: it may go at once. */
bool durable_publish_answer(struct broker_shard *broker, struct session *session, const struct publication *publication,
                            enum mqtt_packet_type type, uint16_t packet_id, enum mqtt_reason reason);
/* A sink of a feature holds the publication's acknowledgement back (broker/features/sink.c), with or without a store: NULL: nobody waits for one.
 * Each goes with one durable_hold_done(), whose reason becomes the acknowledgement's if it is an error. */
struct durable_wait *durable_hold(struct broker_shard *broker, struct publication *publication);
void durable_hold_done(struct broker_shard *broker, struct durable_wait *wait, enum mqtt_reason reason);
/* A change in the store of features. False: it is on disk; else features_stored() is called. */
struct feature_store_inside;
bool durable_hold_feature(struct broker_shard *broker, struct feature_store_inside *question, uint64_t commit);
/* Any other answer of a session with `durable`: false: it may go at once. */
bool durable_ack(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
                 enum mqtt_reason reason);
bool durable_packet_send(struct broker_shard *broker, struct session *session, struct mqtt_packet *packet);
/* A QoS 2 PUBLISH that has its packet id since just now. False: it may go at once. */
bool durable_hold_publish(struct broker_shard *broker, struct session *session, uint16_t packet_id);
/* A SUBACK. False: it may go at once. request_stored() is called later. */
bool durable_hold_suback(struct broker_shard *broker, struct session *session, struct subscribe_request *request);
/* The session ends: nobody is answered any more. */
void durable_forget(struct broker_shard *broker, struct session *session);

/* ---- partial messages ------------------------------------------------------------------------------------------- */

/* The client's PUBLISH is one that some have got: publication->partial. The reference is the session's. */
struct durable_partial *durable_partial_find(const struct durable_session *session, const struct publication *publication,
                                             uint16_t packet_id);
bool durable_partial_has(const struct durable_partial *partial, const struct session *session);
/* A member of the group on this filter has it. */
bool durable_partial_served(const struct durable_partial *partial, const struct broker_shard *broker, uint32_t local_id);

/* ---- connecting ------------------------------------------------------------------------------------------------- */

enum durable_connect { DURABLE_CONNECT_GO, DURABLE_CONNECT_WAIT };
#define DURABLE_ID_BYTES 64 /* of an assigned client id, with its NUL */

/* A CONNECT comes for the second time: its session (NULL: it has ended meanwhile), whether it was present, and the id it was
 * assigned. False: it comes for the first time. */
bool durable_connect_again(struct broker_shard *broker, struct conn *conn, struct session **ret_session, bool *ret_present,
                           char ret_assigned[static DURABLE_ID_BYTES]);
/* The session is decided: what must be on disk before CONNACK. `written_before`: durable_written() before it was looked for. */
enum durable_connect durable_connect(struct broker_shard *broker, struct conn *conn, struct session *session,
                                     const struct mqtt_connect *connect, uint64_t written_before, bool present,
                                     struct span assigned_id);
uint64_t durable_written(const struct broker_shard *broker);
/* The restore is not over: the CONNECT is kept. */
bool durable_connect_early(struct broker_shard *broker, struct conn *conn);

/* ---- inside durable*.c ------------------------------------------------------------------------------------------- */

enum durable_wait_kind { WAIT_ANSWER, WAIT_PUBLISH, WAIT_SUBACK, WAIT_CONNECT, WAIT_BARRIER, WAIT_FEATURE };

/* PUBACKs of one client that say nothing but "done", one behind the other, wait as one: a run (count > 0). It gets no more once it is staged and what comes
 * needs a later commit, or once its turn is over. */
#define DURABLE_RUN_MAX 32

struct durable_wait {
    struct list link;         /* of its session's answers */
    struct list commit_link;  /* of `committing`, while staged and not ready */
    struct list origin_link;  /* of `origins` */
    struct session *session;  /* NULL: there is none, or it has ended */
    uint64_t conn;            /* the connection it is for */
    uint64_t commit;
    uint32_t remote;          /* RECORD_STOREDs that have not come yet */
    uint32_t number;          /* QoS 2: STORE_INCOMING must be written when the others have it */
    uint16_t packet_id;
    uint8_t kind;
    uint8_t type;             /* of a PUBLISH's answer: PUBACK, PUBREC */
    uint8_t refused;          /* a sink of a feature will not have the message: its reason code */
    bool staged, ready;
    uint8_t count;            /* of a run: its packet ids; 0: it is none */
    uint8_t quota;            /* so many count against the client's Receive Maximum (QoS 1) */
    uint8_t bytes_count;      /* the answer, encoded */
    uint8_t bytes[8];
    uint32_t long_bytes;
    uint8_t *long_answer;     /* one that does not fit there */
    uint32_t from;            /* WAIT_BARRIER: whom to tell */
    struct durable_partial *partial; /* what the publication goes by, for other shards that read it */
    void *other;              /* WAIT_SUBACK: the request; WAIT_CONNECT: struct durable_prepared; WAIT_FEATURE: the question */
    uint64_t turn_ns;         /* when it was made */
    uint16_t run[DURABLE_RUN_MAX]; /* its packet ids */
};

struct durable_wait *durable_wait_make(struct broker_shard *broker, enum durable_wait_kind kind, struct session *session);
/* Not of a session's row: ready when `commit` is durable. */
void durable_wait_commit(struct broker_shard *broker, struct durable_wait *wait, uint64_t commit);
void durable_wait_free(struct broker_shard *broker, struct durable_wait *wait);
/* Barriers that nothing is before any more are told so: when a QoS 2 message has become known. */
void durable_origins_advance(struct broker_shard *broker);
/* RECORD_STORED names so many waits, two to a cell: no more cells than a message has that travels in the lane, so that it finds room where that does. */
#define STORED_WAITS_MAX   32
#define STORED_COUNT_SHIFT 48 /* a name: the wait, and how many of its messages */
/* Those whose commit is durable. */
void durable_waits_release(struct broker_shard *broker);
struct durable_session *durable_session_make(struct session *session);
void durable_connect_ready(struct broker_shard *broker, struct durable_wait *wait);
struct stored_session durable_session_record(struct broker_shard *broker, const struct session *session);
void durable_prepared_forget(struct broker_shard *broker, struct session *session);
void durable_prepared_release(struct broker_shard *broker, void *prepared);
void durable_snapshot(struct broker_shard *broker, struct session *session);
void durable_checkpoint_turn(struct broker_shard *broker);
void durable_show(struct broker_shard *broker);
/* A delivery as records have it, but for its message; its subscription ids stay where they are, a single one in *id. */
struct stored_delivery durable_stored_delivery(struct delivery delivery, uint32_t *id);
void durable_checkpoint_init(struct durable_shard *durable);
void durable_checkpoint_release(struct durable_shard *durable);
void durable_restore(struct broker_shard *broker);
void durable_restored(struct broker_shard *broker); /* all routes are laid; each turn, while durable->restoring */
void durable_partial_restore(struct durable_session *session, const struct state_partial *from);
struct durable_partial *durable_partial_ref(struct durable_partial *partial);
void durable_partial_unref(struct durable_partial *partial);
void durable_partial_known(struct durable_partial *partial); /* its packet id is in the log; NULL: nothing */
void durable_partials_forget(struct durable_session *session);
void durable_partials_put(struct record_writer *writer, const struct durable_session *session);

#endif
