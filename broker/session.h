/* session.h - what MQTT calls a session: the state of one client id, with or without a connection (§4.1).
 *
 * Owner:    its home shard (broker_home() of the client id). Threads: that shard only.
 * Lifetime: from an accepted CONNECT until its expiry, a clean start or the end of the node. conn->client points to it from
 *           CONNACK to the end of the connection.
 * Memory:   ≤ 224 B idle, beyond the client id and 4 B per subscription; everything rare is allocated on demand. */
#ifndef RINGMQ_BROKER_SESSION_H
#define RINGMQ_BROKER_SESSION_H

#include "base/wheel.h"
#include "broker/message.h"
#include "proto/alias.h"
#include "proto/incoming.h"
#include "proto/inflight.h"

struct broker_shard;
struct durable_session;
struct feature_client;
struct mqtt_connect;
struct mount;
struct retained_query;
struct session_rates;
struct quota_user;

/* A message on its way to one session: 16 bytes, in a queue or (as message pointer and user word) in the in-flight window. */
struct delivery {
    uint64_t tagged; /* message pointer (48 bits) and DELIVERY_* */
    uint64_t ids;    /* low half: one subscription id (0: none), high half: when it came (ms, low half of the clock). With DELIVERY_IDS_LIST a
                        pointer to a list: count, then the ids, then when it came */
};

#define DELIVERY_POINTER_MASK ((1ull << 48) - 1)
#define DELIVERY_QOS_SHIFT    48
#define DELIVERY_RETAIN       (1ull << 50)
#define DELIVERY_IDS_LIST     (1ull << 51)
#define DELIVERY_LOGGED       (1ull << 52) /* the session's log knows it (broker/durable/durable.h) */
#define DELIVERY_PAST         (1ull << 53) /* QoS 0 that was queued before a crash: it may have been sent, so it is not sent again */

/* The plainest: no flags, no subscription id. The reference is the delivery's. */
static inline struct delivery delivery_plain(const struct message *message, uint8_t qos, uint32_t now_ms)
{
    return (struct delivery){(uint64_t)(uintptr_t)message | (uint64_t)qos << DELIVERY_QOS_SHIFT, (uint64_t)now_ms << 32};
}

/* When it came: low half of the shard's clock. */
static inline uint32_t delivery_stamp_ms(struct delivery delivery)
{
    if (!(delivery.tagged & DELIVERY_IDS_LIST)) return (uint32_t)(delivery.ids >> 32);
    const uint32_t *list = (const uint32_t *)(uintptr_t)delivery.ids;
    return list[1 + list[0]];
}

static inline void delivery_stamp_again(struct delivery *delivery, uint32_t now_ms)
{
    if (delivery->tagged & DELIVERY_IDS_LIST) {
        uint32_t *list = (uint32_t *)(uintptr_t)delivery->ids;
        list[1 + list[0]] = now_ms;
    } else {
        delivery->ids = (uint64_t)now_ms << 32 | (uint32_t)delivery->ids;
    }
}

struct delivery_queue {
    struct delivery *entries; /* a ring; NULL when empty for long */
    uint32_t head, count, capacity;
    uint32_t sent; /* PUBLISH packets to the session's client, those that did not wait included: it fills a hole here. Wraps around */
};

/* How a session's connection ended, for the will and for the log. */
enum session_end { SESSION_END_CLIENT, SESSION_END_CLIENT_WITH_WILL, SESSION_END_LOST, SESSION_END_SERVER,
                   SESSION_END_TAKEN_OVER, SESSION_END_STOPPING };

struct session_will {
    struct timer timer; /* running while the will waits for its delay */
    struct message *message;
    uint32_t delay_s;
    struct session *session;
};

/* What few sessions have, and those for a while. Made by session_rare(), kept until the session's end. */
struct session_rare {
    struct session_will *will;      /* NULL: none */
    struct mount *mount;            /* broker/mount.h; NULL: none */
    struct retained_query *queries; /* one of the retained queries under way: they are a ring */
    uint32_t queries_count;
    struct session_rates *rates;    /* broker/rates.h; NULL: none looked at yet */
    struct quota_user *quota_user;  /* broker/user_quota.h; NULL: it is not counted */
    struct sink_part *sink;         /* NULL: it is a client's */
    struct pressed *pressed;        /* broker/pressure.h; NULL: its queue has room */
    char *user_name;                /* NULL: there is none, or nobody wants it */
    uint16_t user_name_bytes;
    uint32_t traces;                /* a bit for each that is about its client; valid while session->traced */
};

struct session {
    /* what a delivery touches */
    struct conn *conn; /* NULL: the client is away */
    struct delivery_queue queue;
    uint64_t queue_bytes;
    uint32_t packet_bytes_max; /* of the client; 0: none */
    uint8_t version;           /* enum mqtt_version */
    bool kicked : 1;           /* will be disconnected at the end of the turn */
    bool problem_information : 1; /* the client wants reason strings and user properties with errors (§3.1.2.11.7) */
    bool metered : 1;          /* its publishing is held against rates (broker/rates.h) */
    bool bridge : 1;           /* a Mosquitto bridge (3.x): no echo, and the retain flag kept */
    bool traced : 1;           /* some trace is about it: rare->traces (broker/watch/trace.h) */
    bool pressed : 1;          /* its queue is about to be full: rare->pressed (broker/pressure.h) */
    union {
        struct {
            bool mounted : 1;  /* it has a mount point: rare->mount */
            bool spilled : 1;  /* its queue goes on behind `queue`: durable->spill (broker/durable/spill.c) */
            bool querying : 1; /* it has retained queries under way: rare->queries */
            bool rated : 1;    /* its deliveries are counted (broker/rates.h) */
            bool aliased : 1;  /* it may be told topics by alias: aliases_out */
            bool kept : 1;     /* it is durable: what it is sent goes into the log */
            bool is_sink : 1;  /* a feature's: it never has a connection; rare->sink (broker/features/sink.c) */
            bool ended : 1;    /* only some of its subscriptions are left (broker/remains.h) */
        };
        uint8_t unusual;       /* any of them: its deliveries don't take the short way (broker/deliver_plain.h) */
    };
    uint8_t kick_reason;       /* enum mqtt_reason */
    uint32_t fanout_stamp;     /* the last fan-out that merged several of its subscriptions */
    uint32_t fanout_place;
    struct mqtt_inflight inflight;
    /* what its own packets touch */
    struct mqtt_incoming incoming;
    struct mqtt_alias_in aliases_in;
    struct mqtt_alias_out aliases_out;
    uint64_t client_hash;      /* of the client id */
    uint16_t keep_alive_s;     /* 0: none */
    uint16_t subscriptions_count, subscriptions_capacity;
    uint32_t expiry_s;         /* UINT32_MAX: never */
    uint32_t progress_ms;      /* low half of shard.heard_ms when it last took something (session_took()): a subscriber that stands still does not push back */
    uint32_t *subscriptions;   /* local filter ids */
    struct session_rare *rare; /* NULL: it has none of that */
    struct durable_session *durable; /* NULL: nothing of it is on disk, and no answer of it waits for that */
    union {
        struct {
            struct list link;      /* while connected: on the shard's list of kicked or of paused ones */
            uint32_t connected_at; /* when it came, by the shard's clock, in units of 16 ms; then what it has published since (wrapping around): */
            uint32_t published;
            uint64_t published_bytes;
        };
        struct timer timer;    /* while away: expiry */
    };
    uint32_t requests_count;   /* SUBSCRIBE packets whose routes are being laid */
    struct feature_client *facts; /* broker/features/features.h; NULL: away, or no feature has asked */
    uint16_t client_id_bytes;
    char client_id[];
};

static inline struct span session_client_id(const struct session *session)
{
    return span_of(session->client_id, session->client_id_bytes);
}

/* The will it leaves if it vanishes; NULL: none. */
static inline struct session_will *session_will(const struct session *session)
{
    return session->rare ? session->rare->will : NULL;
}

/* Its rare part, made now if need be. */
struct session_rare *session_rare(struct session *session);
struct session *session_find(struct broker_shard *broker, struct span client_id);
struct session *session_create(struct broker_shard *broker, struct span client_id);
/* One that nobody finds by its name: a sink of a feature. Its subscriptions and retained queries go at its end. */
struct session *session_create_sink(struct broker_shard *broker, struct span name);
void session_destroy_sink(struct broker_shard *broker, struct session *session);
/* Ends it: subscriptions, queue, in-flight messages and a waiting will (which is published) go. It must have no connection. */
void session_destroy(struct broker_shard *broker, struct session *session);
/* The memory of one that has nothing left. */
void session_release(struct broker_shard *broker, struct session *session);
/* CONNECT was accepted: the connection is this session's from now on. */
void session_attach(struct broker_shard *broker, struct session *session, struct conn *conn,
                    const struct mqtt_connect *connect);
/* The connection has gone or will go (the caller closes it): decides over will, expiry, aliases. May destroy the session. */
void session_detach(struct broker_shard *broker, struct session *session, enum session_end end);
/* Disconnects the client: DISCONNECT with the reason to MQTT 5 clients, then the end of the connection. */
void session_disconnect(struct broker_shard *broker, struct session *session, uint8_t reason, const char *what,
                        enum session_end end);
/* The same at the end of the turn: for places where a session must not vanish under the caller. Until then nothing more is read from its connection, and
 * no answer leaves that waited for something: behind a message that was refused it would say that what came later is done. */
void session_kick(struct broker_shard *broker, struct session *session, uint8_t reason);

/* ---- its queue -------------------------------------------------------------------------------------------------- */

struct delivery_options {
    uint8_t qos;
    bool retain;
    uint32_t subscription_id;   /* 0: none */
    const uint32_t *more_ids;   /* merged subscriptions: all ids; NULL: just the one */
    uint32_t more_ids_count;
    bool shared;                /* through a shared subscription */
};

/* A delivery of the publication's message, for the queue or the window; the reference is the delivery's. */
struct delivery delivery_make(struct broker_shard *broker, struct publication *publication, const struct delivery_options *options);
/* A message for this session: goes into the connection's stage, into the queue, or is dropped and counted. */
void session_deliver(struct broker_shard *broker, struct session *session, struct publication *publication,
                     const struct delivery_options *options);
/* What would become of it now, for `ringmq why`: nothing is changed. */
struct delivery_way {
    bool at_once;    /* else it waits in the queue */
    bool too_large;  /* for the client's Maximum Packet Size */
    bool offline;    /* QoS 0 and nobody there */
    bool queue_full; /* the policy would be applied: its own queue is full */
    bool node_full;  /* likewise: the queues of the node are */
    uint64_t packet_bytes, queued;
};
struct delivery_way session_delivery_way(struct broker_shard *broker, struct session *session, struct publication *publication,
                                         const struct delivery_options *options);
/* Sends what waits, as far as stage and in-flight window allow. */
void session_pump(struct broker_shard *broker, struct session *session);
/* Sends again what an earlier connection left unacknowledged, as far as the quota allows. */
void session_resend(struct broker_shard *broker, struct session *session);
/* An in-flight message is done or dropped: gives back its reference. */
void session_delivery_release(struct broker_shard *broker, struct delivery delivery);
/* A PUBLISH that waited for its packet id to be on disk (broker/durable/durable.h). */
void session_publish_held(struct broker_shard *broker, struct session *session, uint16_t packet_id);
/* Puts a delivery back where it was, at start: packet_id 0: at the end of the queue; else in the window. message NULL: PUBREL is due. */
void session_restore_delivery(struct broker_shard *broker, struct session *session, struct message *message, uint16_t packet_id,
                              const struct delivery_options *options);
/* Its expiry and its will's delay go on from these times of the shard's clock. */
void session_restore_timers(struct broker_shard *broker, struct session *session, uint64_t expires_ms, uint64_t will_ms);
/* True while a retained query may put more into it without filling its queue. */
bool session_has_appetite(const struct broker_shard *broker, const struct session *session);

#endif
