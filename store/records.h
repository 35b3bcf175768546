/* records.h - the records of a log: what happened to sessions, their queues and the retained messages.
 *
 * Each is an event; a log is replayed from front to back (store/state.h). Sessions are named by a number given at creation and unique
 * for good; messages by one that is unique in their log. A queue is first in, first out, so events need no positions: SENT takes
 * the front of the queue into the window, DROP takes it away.
 *
 * Encoding: store_put_*() appends one record to a log and returns its commit. Decoding: struct record_reader, which accepts nothing
 * that does not end exactly where the record ends.
 * Times are milliseconds of the realtime clock, since monotonic clocks do not outlive a boot. */
#ifndef RINGMQ_STORE_RECORDS_H
#define RINGMQ_STORE_RECORDS_H

#include "store/wal.h"

enum store_record {
    STORE_MESSAGE = 1,     /* a message, named by its id from now on                                      */
    STORE_SESSION,         /* a client has connected: the session is made or changed                      */
    STORE_SESSION_END,     /* the session and all that belongs to it are gone                             */
    STORE_DETACH,          /* the client has gone; expiry and will delay begin to count                   */
    STORE_WILL_CLEAR,      /* the will was published or is no longer wanted                               */
    STORE_SUBSCRIBE,       /* a subscription is made or replaced                                          */
    STORE_UNSUBSCRIBE,
    STORE_ENQUEUE,         /* a message at the end of the session's queue                                 */
    STORE_DELIVER,         /* a message into the session's window, past its queue                         */
    STORE_SENT,            /* from the front of the queue into the window                                 */
    STORE_DROP,            /* the front of the queue goes                                                 */
    STORE_DONE,            /* PUBACK, PUBCOMP or a failing PUBREC: out of the window                      */
    STORE_RELEASING,       /* PUBREC: in the window only the packet id is left                            */
    STORE_INCOMING,        /* a QoS 2 packet id of the session's own: PUBREC may go when this is durable  */
    STORE_INCOMING_END,    /* PUBREL                                                                      */
    STORE_RETAIN,          /* a message (by id) is the retained one of its topic                          */
    STORE_RETAIN_CLEAR,    /* the topic has none any more                                                 */
    STORE_QUEUE_PART,      /* of a SNAPSHOT to come: the next entries of a long queue                     */
    STORE_SNAPSHOT,        /* a whole session: replaces what came before                                  */
    STORE_CHECKPOINT,      /* everything live has been written again since segment `number`               */
    STORE_SPILLED,         /* entries of a queue, by number, are on the shelf (store/shelf.h) from now on */
    STORE_RETAIN_SHELVED,  /* the retained message of its topic, whose payload is a row of the shelf      */
    STORE_SHELF_STATE,     /* of a checkpoint: which rows nobody needs any more                           */
};

/* Whose QoS 2 message it is: a receiver's shard may have it on disk before the publisher's shard has STORE_INCOMING on disk. */
struct stored_origin {
    uint64_t session; /* 0: none */
    uint32_t number;  /* of the publisher's QoS 2 messages */
    uint16_t packet_id;
};

struct stored_message {
    uint64_t id;
    uint64_t expires_ms; /* 0: never */
    struct stored_origin origin;
    uint8_t qos;
    bool retain;
    struct span topic, properties, payload;
};

struct stored_will {
    bool present;
    uint32_t delay_s;
    struct stored_message message; /* its expires_ms is an interval: the will's life begins when it is published */
};

struct stored_session {
    uint64_t id;
    struct span client_id;
    uint32_t expiry_s;        /* UINT32_MAX: never */
    uint32_t incoming_number; /* of the last STORE_INCOMING */
    bool connected, lazy;
    uint64_t detached_ms;     /* unless connected */
    struct stored_will will;
};

struct stored_subscription {
    struct span filter, group;
    uint32_t subscription_id;
    uint8_t qos;
    bool no_local, retain_as_published, exclusive;
};

struct stored_delivery {
    uint64_t message;
    const uint32_t *ids; /* subscription ids; not filled by record_take_delivery() */
    uint32_t ids_count;
    uint8_t qos;
    bool retain;
    bool shared; /* it came through a shared subscription */
};

/* A row of the shelf. */
struct stored_row {
    uint64_t space, number;
};

/* A retained message without its payload: `message` has the topic, the properties and what else there is. */
struct stored_shelved {
    struct stored_message message;
    struct stored_row row;
    uint32_t payload_bytes;
};

/* Rows of `space` below `settled`, and all rows of epochs before `settled_epoch`, are named by the log or gone from the shelf for good; but for `rows`, of
 * whatever space, which were still to be removed. */
struct stored_shelf_state {
    uint64_t space, settled, settled_epoch;
    uint32_t rows_count;
    const struct stored_row *rows;
};

enum stored_inflight_state { STORED_PUBLISHED = 1, STORED_RELEASING = 2 };

/* By what a partial message (store/state.h) is known when it comes again, and a group that one of its members has got it for. */
uint64_t stored_partial_hash(struct span topic, struct span payload);
uint64_t stored_group_hash(struct span filter, struct span group);

uint64_t store_put_message(struct wal *wal, const struct stored_message *message, uint64_t now_ms);
uint64_t store_put_session(struct wal *wal, const struct stored_session *session, uint64_t now_ms);
uint64_t store_put_session_end(struct wal *wal, uint64_t session, uint64_t now_ms);
uint64_t store_put_detach(struct wal *wal, uint64_t session, uint32_t expiry_s, bool keeps_will, uint64_t realtime_ms,
                          uint64_t now_ms);
uint64_t store_put_will_clear(struct wal *wal, uint64_t session, uint64_t now_ms);
uint64_t store_put_subscribe(struct wal *wal, uint64_t session, const struct stored_subscription *subscription, uint64_t now_ms);
uint64_t store_put_unsubscribe(struct wal *wal, uint64_t session, struct span filter, struct span group, uint64_t now_ms);
/* packet_id 0: at the end of the queue; else into the window. */
uint64_t store_put_delivery(struct wal *wal, uint64_t session, const struct stored_delivery *delivery, uint16_t packet_id,
                            uint64_t now_ms);
/* SENT, DONE, RELEASING, INCOMING_END; DROP with packet id 0. */
uint64_t store_put_packet(struct wal *wal, enum store_record type, uint64_t session, uint16_t packet_id, uint64_t now_ms);
uint64_t store_put_incoming(struct wal *wal, uint64_t session, uint16_t packet_id, uint32_t number, uint64_t now_ms);
uint64_t store_put_spilled(struct wal *wal, uint64_t session, uint64_t from, uint64_t until, uint64_t bytes, uint64_t now_ms);
uint64_t store_put_retain(struct wal *wal, uint64_t message, uint64_t now_ms);
uint64_t store_put_retain_clear(struct wal *wal, struct span topic, uint64_t now_ms);
uint64_t store_put_retain_shelved(struct wal *wal, const struct stored_shelved *shelved, uint64_t now_ms);
uint64_t store_put_shelf_state(struct wal *wal, const struct stored_shelf_state *shelf, uint64_t now_ms);
uint64_t store_put_checkpoint(struct wal *wal, uint64_t segment, uint64_t now_ms);

/* ---- a record of many parts, made in memory --------------------------------------------------------------------- */

struct record_writer {
    uint8_t *data;
    size_t bytes, capacity;
};

void record_writer_release(struct record_writer *writer);
void record_put(struct record_writer *writer, const void *data, size_t bytes);
#define RECORD_PUT(type_)                                                                                            \
    static inline void record_put_##type_(struct record_writer *writer, type_##_t value) { record_put(writer, &value, sizeof value); }
typedef uint8_t u8_t;
typedef uint16_t u16_t;
typedef uint32_t u32_t;
typedef uint64_t u64_t;
RECORD_PUT(u8)
RECORD_PUT(u16)
RECORD_PUT(u32)
RECORD_PUT(u64)
#undef RECORD_PUT
void record_put_text(struct record_writer *writer, struct span text); /* two bytes of length, then the bytes */
/* The sections of a SNAPSHOT, in this order: session; count and subscriptions; count and incoming ids (u16); count and window
 * (u16 packet id, u8 state, delivery); count and queue (delivery); count and partial messages (u16 packet id, u64 hash, count and u64
 * receivers, count and u64 groups); u64 number of the queue's front, u64 from and until of its part on the shelf (equal: none), u64 bytes
 * of that part, count and what is behind it (delivery). The last two sections may be missing. Counts are u32.
 * Entries of a queue are numbered as they come, for the session's whole life. In a window or queue, a delivery whose message is
 * STORED_ON_SHELF | number is that entry, on the shelf. A queue's count STORE_QUEUE_IN_PARTS: it is in
 * the QUEUE_PART records before, and in the ENQUEUE records since the first of them; SENT and DROP in between have taken from its front.
 * So may be what is behind the shelf (its count says so): as long as its parts are being written nothing is taken from it; where that happens
 * all the same, other parts or a SNAPSHOT with a count of its own take their place.
 * A QUEUE_PART is: u64 session, u8 what begins with it, count, deliveries. */
#define STORE_QUEUE_IN_PARTS UINT32_MAX
enum { STORE_PART_NEXT, STORE_PART_OF_QUEUE, STORE_PART_OF_REST };
#define STORED_ON_SHELF (1ull << 63)
void record_put_session(struct record_writer *writer, const struct stored_session *session);
void record_put_subscription(struct record_writer *writer, const struct stored_subscription *subscription);
void record_put_delivery(struct record_writer *writer, const struct stored_delivery *delivery);
/* RETAIN_SHELVED: u64 space, u64 number, u32 bytes of the payload, and a message without one. SHELF_STATE: u64 space, u64 settled, u64 settled epoch, count and
 * rows (u64 space, u64 number). */
/* An entry of a block on the shelf: delivery, message. */
void record_put_entry(struct record_writer *writer, const struct stored_delivery *delivery, const struct stored_message *message);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct record_reader {
    const uint8_t *at, *end;
    bool bad; /* something did not fit: everything taken since is zero */
};

static inline struct record_reader record_reader_of(struct span body)
{
    return (struct record_reader){body.data, body.data + body.bytes, false};
}
static inline bool record_reader_whole(const struct record_reader *reader) { return !reader->bad && reader->at == reader->end; }
uint8_t record_take_u8(struct record_reader *reader);
uint16_t record_take_u16(struct record_reader *reader);
uint32_t record_take_u32(struct record_reader *reader);
uint64_t record_take_u64(struct record_reader *reader);
struct span record_take_bytes(struct record_reader *reader, size_t bytes);
struct span record_take_text(struct record_reader *reader);
struct span record_take_rest(struct record_reader *reader);
struct stored_message record_take_message(struct record_reader *reader); /* takes all that is left */
struct stored_shelved record_take_shelved(struct record_reader *reader); /* takes all that is left */
struct stored_session record_take_session(struct record_reader *reader);
struct stored_subscription record_take_subscription(struct record_reader *reader);
/* `ids` is left NULL: *ret_ids has their ids_count * 4 bytes. */
struct stored_delivery record_take_delivery(struct record_reader *reader, struct span *ret_ids);
struct stored_delivery record_take_entry(struct record_reader *reader, struct span *ret_ids, struct stored_message *ret_message);

#endif
