/* watch/inspect.h - questions and orders from outside the shards (the admin API): what lives on a shard, and what to do with it.
 *
 *     admin thread ── RECORD_INSPECT ──► shard: slices, for INSPECT_TURN_NS_MIN a turn, or a part of a long one
 *          ▲                                └── answer ready: onto broker->inspected, a stack without locks ──┐
 *          └── broker->inspected_wake (an eventfd) is written when the stack was empty ◄─────────────────────┘
 *
 * Credit: a question stops when it has `limit` rows or INSPECT_BYTES_MAX of them, or has seen everything; for more it is sent again and goes on
 * from its place. So the shard never makes more rows than somebody has asked for, and an admin thread that sleeps costs nothing.
 *
 * Owner:    whoever holds it: the admin thread, from inspect_send() on the shard, from the stack on the admin thread again. Rows are copies and
 *           go with it.
 * Threads:  a question belongs to one thread at a time. inspect_send() from one thread at a time (node_send_admin()).
 * Exactness: what is there from the first slice to the last is seen exactly once; what comes or goes meanwhile once or not at all.
 * Failure:  INSPECT_STOPPED when the shard ended before it was answered. */
#ifndef RINGMQ_BROKER_WATCH_INSPECT_H
#define RINGMQ_BROKER_WATCH_INSPECT_H

#include "base/list.h"
#include "base/map.h"
#include "base/span.h"

struct broker;
struct conn;
struct sockaddr_storage;
struct broker_shard;
struct node;
struct retain_cursor;
struct trace_set;

enum inspect_kind {
    /* lists: any shard */
    INSPECT_CLIENTS,        /* rows: struct inspect_client */
    INSPECT_SUBSCRIPTIONS,  /* struct inspect_subscription; of all sessions of the shard, filter by filter */
    INSPECT_FILTERS,        /* struct inspect_filter: the filters this shard has subscribers on */
    INSPECT_RETAINED,       /* struct inspect_message, without payload */
    /* of one client id: its home */
    INSPECT_CLIENT,         /* one struct inspect_client, or none */
    INSPECT_CLIENT_SUBSCRIPTIONS,
    INSPECT_KICK,           /* disconnects the client; the session lives on as its expiry says */
    INSPECT_END_SESSION,    /* and ends the session, connected or not */
    INSPECT_SUBSCRIBE,      /* filter, qos and options in `text` and below */
    INSPECT_UNSUBSCRIBE,
    /* of one topic: its owner */
    INSPECT_RETAINED_ONE,   /* one struct inspect_message with its payload, or none */
    INSPECT_RETAINED_DELETE,
    /* any shard */
    INSPECT_PUBLISH,
    INSPECT_TRACE,          /* the set of traces becomes `traces` */
    INSPECT_WHY_FROM,       /* struct why_row (broker/watch/why.h): what becomes of a PUBLISH to `match_topic` at its publisher, client_id (empty: the API) */
    INSPECT_WHY_TO,         /* the same: whether what was published to match_topic reaches client_id; `group`: its publisher */
    INSPECT_DROPS,          /* struct drop (broker/watch/droplog.h), the newest first; client_id, filter; qos: of this enum drop_reason */
};

enum inspect_status {
    INSPECT_MORE,      /* there is more: send it again */
    INSPECT_DONE,
    INSPECT_NOT_FOUND, /* no such client, or no such message */
    INSPECT_AWAY,      /* SUBSCRIBE, UNSUBSCRIBE: the session has no connection */
    INSPECT_REFUSED,   /* `reason` says why */
    INSPECT_BUSY,      /* the session is just being written or restored: try again */
    INSPECT_STOPPED,
    INSPECT_UNREADABLE, /* RETAINED_ONE: its payload is on disk and cannot be read; the log says why */
};

enum inspect_sort { INSPECT_UNSORTED, INSPECT_BY_CLIENT_ID, INSPECT_BY_CONNECTED, INSPECT_BY_QUEUE, INSPECT_BY_QUEUE_BYTES, INSPECT_BY_INFLIGHT,
                    INSPECT_BY_SUBSCRIPTIONS, INSPECT_BY_PUBLISHED, INSPECT_BY_PUBLISHED_BYTES, INSPECT_BY_SENT, INSPECT_SORTS };

#define INSPECT_ANY UINT32_MAX

struct inspect_client_filter {
    struct span like_client_id;  /* part of it; empty: any. Likewise: */
    struct span like_user_name, user_name, listener;
    uint32_t connected;          /* 0, 1 or INSPECT_ANY */
    uint32_t version;            /* protocol level, or INSPECT_ANY */
    uint64_t connected_from_ms, connected_to_ms; /* realtime; 0: any */
    uint32_t queue_min, inflight_min, subscriptions_min;
};

struct inspect {
    /* the question; texts point into `text` */
    enum inspect_kind kind;
    uint32_t shard;
    uint32_t limit;              /* rows; must not be 0 */
    uint64_t skip;               /* rows passed over first; counted down */
    enum inspect_sort sort;      /* CLIENTS: the first `limit` in this order, in one go */
    bool descending;
    struct inspect_client_filter client;
    struct span client_id;       /* or the topic of a message, or a filter that retained messages must match (empty: all) */
    struct span filter, group;   /* SUBSCRIPTIONS, FILTERS: exactly this; SUBSCRIBE, UNSUBSCRIBE */
    struct span match_topic;     /* SUBSCRIPTIONS, FILTERS: filters that match it */
    struct span like_filter;     /* SUBSCRIPTIONS, FILTERS: part of it */
    uint32_t qos;                /* INSPECT_ANY; SUBSCRIBE, PUBLISH: a value */
    bool retain, no_local, retain_as_published;
    uint8_t retain_handling;
    struct span payload, properties; /* PUBLISH; properties as they travel on (proto/properties.h) */
    uint32_t expiry_s;           /* PUBLISH; 0: none */
    const struct trace_set *traces; /* TRACE; NULL: none */
    uint64_t payload_bytes_max;  /* RETAINED_ONE: a larger one comes without payload. WHY: bytes of the payload */
    char *text;                  /* memory_acquire()d, released with it; NULL: none */
    size_t text_bytes;           /* the asker's: how much of it is used */

    /* the answer */
    enum inspect_status status;
    uint8_t reason;              /* enum mqtt_reason; SUBSCRIBE: the granted QoS. PUBLISH: NO_MATCHING_SUBSCRIBERS or SUCCESS */
    void **rows;                 /* each memory_acquire()d: inspect_rows_clear() */
    uint32_t rows_count, rows_capacity;
    uint64_t rows_bytes;
    uint64_t seen;               /* that matched so far, those passed over included */

    /* its place */
    uint64_t realtime_ahead_ms;  /* of the shard's clock, when the slice at hand began */
    struct map_walk walk;
    uint32_t place, place_within; /* local filter id, sink within it; entries of a bucket already given */
    struct retain_cursor *cursor;
    uint32_t asking;             /* addresses that are on their way */

    /* whoever holds it */
    struct list link;
    struct inspect *next;
    void *asker;
};

/* What one turn of a shard gives all questions together: slices of so many objects (about 10 microseconds each) until this part of what the turn has taken so
 * far, but at least the minimum, is used up. So the answer to a question about all clients does not take the longer the busier the shard is. */
#define INSPECT_OBJECTS_PER_SLICE 128
#define INSPECT_TURN_PART         16
#define INSPECT_TURN_NS_MIN       20000
/* Of clients, the addresses are looked up for answers with at most so many rows: a few microseconds each. */
#define INSPECT_ADDRESSES_MAX 1000
#define INSPECT_ADDRESS_BYTES_MAX 64
/* A question stops here, whatever its limit. */
#define INSPECT_BYTES_MAX (8u << 20)

struct inspect_client {
    uint16_t client_id_bytes, user_name_bytes, listener_bytes, address_bytes; /* in `text`, in this order */
    bool address_asked;           /* while it is on its way */
    uint8_t version;
    bool connected;
    uint16_t keep_alive_s;
    uint32_t expiry_s;            /* UINT32_MAX: never */
    uint32_t subscriptions, queue_messages, inflight, inflight_max;
    uint64_t queue_bytes, backlog_bytes; /* backlog: written and not taken by the kernel yet */
    uint64_t connected_ms;        /* realtime; 0: not connected */
    uint64_t connected_at;        /* the same as a number that does not move with the clocks: for sorting */
    uint64_t expires_ms;          /* realtime; 0: connected, or never */
    uint32_t published, sent;     /* PUBLISH packets from and to it since it connected; both wrap around */
    uint64_t published_bytes;
    bool durable, paused, will;
    uint32_t shard;
    uint64_t conn;                /* name of its connection on that shard */
    char text[];
};

struct inspect_subscription {
    uint16_t client_id_bytes, filter_bytes, group_bytes;
    uint8_t qos;
    bool no_local, retain_as_published;
    bool sink;              /* a feature's: client_id is the sink's name */
    uint32_t subscription_id;
    uint32_t shard;
    char text[];
};

struct inspect_filter {
    uint16_t filter_bytes, group_bytes;
    uint32_t subscribers;
    uint32_t shard;
    char text[];
};

struct inspect_message {
    uint16_t topic_bytes;
    uint8_t qos;
    bool retain; /* of delayed ones: what the publisher wants */
    bool payload_left_out;
    uint32_t properties_bytes, payload_bytes;
    uint64_t expires_ms; /* realtime; 0: never */
    uint32_t shard;
    char text[];         /* topic, properties, payload (unless left out) */
};

/* ---- the asker's side ------------------------------------------------------------------------------------------- */

struct inspect *inspect_create(enum inspect_kind kind);
void inspect_release(struct inspect *inspect); /* accepts NULL */
void inspect_rows_clear(struct inspect *inspect);
/* Gives it to its shard. */
void inspect_send(struct node *node, struct inspect *inspect);
/* All that have been answered, the last one first; NULL: none. */
struct inspect *inspect_take(struct broker *broker);
/* In the order of `sort`: negative when a comes first. */
int inspect_client_compare(enum inspect_sort sort, bool descending, const struct inspect_client *a, const struct inspect_client *b);

/* ---- the shard's side ------------------------------------------------------------------------------------------- */

void inspect_start(struct broker_shard *broker);
void inspect_begin(struct broker_shard *broker, struct inspect *inspect);
/* Once a turn, when there is something to answer. True: there is more to do. */
bool inspect_turn(struct broker_shard *broker);
/* Who is at the other end of a connection: true when a question wanted to know. */
bool inspect_address(struct broker_shard *broker, const struct conn *conn, const struct sockaddr_storage *address);
/* The subscription of INSPECT_SUBSCRIBE is seen by every shard (and on disk, where it must be). */
void inspect_subscribed(struct broker_shard *broker, struct inspect *inspect);
/* No thread runs any more: all that wait are answered INSPECT_STOPPED. */
void inspect_stop(struct broker_shard *broker);

#endif
