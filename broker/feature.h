/* feature.h - how a capability plugs into the broker: the one header of broker/ that features/ and loadable modules may include.
 *
 * A feature is a constant `struct feature`: name, keys, callbacks. Built in, it is listed by CMake (RINGMQ_FEATURES); as a module it
 * is a shared object with the symbol `ringmq_feature`, named in features.load. Nobody includes a feature; the core names none of them.
 *
 *     gates   are asked, on the client's shard, before a packet takes effect; PASS, ALLOW, DENY or LATER, never blocking
 *     taps    are told afterwards, on the control thread, in 64-byte records; a full ring counts and drops
 *     sinks   are subscribers without a socket: filters of theirs stand in the same index, messages come to deliver() on the shard
 *     store   a small area of named values on disk for each feature
 * The moments stand in broker/hooks.def. A moment nobody is attached to costs one bit test; a sink nobody has made costs nothing.
 *
 * ---- life -----------------------------------------------------------------------------------------------------------------
 *     control thread                                      shards
 *     open()                                                                   once, before the shards start
 *     prepare(settings) ─► setup {prepared, moments, …}   apply()              at start
 *     prepare(new) ─► refused: the old one stays          apply()              a reload: apply() finds shard->prepared changed
 *     release(old prepared)                                                    when all shards have come back from apply()
 *     halt()                                                                   at the end, when no shard turns any more: end all threads of yours;
 *                                                                              posts still under way are run after it
 *                                                         stop()               for every shard (on the control thread, like all that follows)
 *     release(prepared), close()
 * A feature whose setup has no moments is off: its gates and taps are not called, but apply() still is.
 *
 * ---- LATER ----------------------------------------------------------------------------------------------------------------
 * The packet stays unread and nothing more is read from the connection. When the verdict is known, feature_resume() on the client's shard
 * lets the connection go on, and ALL gates of the moment are asked again about the same packet (of a SUBSCRIBE: about the filter that
 * waited, and those behind it), so:
 *   - keep the verdict (in client->slots[shard->slot], or a cache of yours) until it has been asked for;
 *   - answering PASS again must be cheap, for another feature may have said LATER;
 *   - for the same reason one may be asked again before one has answered: answer LATER again and start nothing twice;
 *   - a client that vanishes meanwhile is told by client_gone(); whatever is under way elsewhere must find out by conn (names are never
 *     used twice while anything can remember them).
 * Work that blocks belongs on threads of yours; the answer comes back by feature_post(). A verdict that never comes is cut short by the
 * listener's connect_timeout for CONNECT, by nothing for other packets: have a time-out of your own.
 *
 * ---- order ----------------------------------------------------------------------------------------------------------------
 * By stage, within a stage as in RINGMQ_FEATURES, then modules as in features.load. The first DENY or LATER ends the asking.
 * publish, subscribe: ALLOW says "authorized" and ends the asking, too. When no gate has said ALLOW or DENY and a feature `authorizes`,
 * authorization.no_match decides. A superuser (client->superuser) is authorized as soon as the features before FEATURE_STAGE_AUTHORIZATION
 * have passed.
 *
 * ---- threads --------------------------------------------------------------------------------------------------------------
 * Callbacks with a struct feature_shard run on that shard's thread: they must not block, lock for long or take more than
 * features.gate_budget (longer ones are counted by the feature's name; every answer is timed, of those about PUBLISH each sixteenth). Those with a struct feature_node run on the control thread.
 * Texts in spans live as long as the call, unless said otherwise. */
#ifndef RINGMQ_BROKER_FEATURE_H
#define RINGMQ_BROKER_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/schema.h"
#include "base/settings.h"
#include "base/span.h"
#include "proto/packet.h"

/* Raised with every change of this header, of hooks.def or of what it includes that a compiled module could notice. */
#define FEATURE_ABI 7u
/* Features of one process, modules included. */
#define FEATURES_MAX 16

enum feature_moment {
#define GATE(name, documentation) FEATURE_GATE_##name,
#define TAP(name, documentation) FEATURE_TAP_##name,
#include "broker/hooks.def"
#undef GATE
#undef TAP
    FEATURE_MOMENTS
};
#define FEATURE_GATES        4 /* the first moments */
#define FEATURE_BIT(moment)  (1u << (moment))
#define FEATURE_GATE(name)   FEATURE_BIT(FEATURE_GATE_##name)
#define FEATURE_TAP(name)    FEATURE_BIT(FEATURE_TAP_##name)
/* Beside them in setup.moments: the feature has sinks, so it is on. */
#define FEATURE_SINKS        (1u << 31)

extern const char *const feature_moment_names[FEATURE_MOMENTS];

/* ---- the client ----------------------------------------------------------------------------------------------------------- */

struct acl_rules; /* features/acl/rules.h */

struct feature_attribute {
    struct span name, value;
};

/* Facts of one connection, from its CONNECT to its end. Made only while some feature is in force. A client that was connected before
 * features came into force has one without user name (it is gone by then), unless a certificate has brought it or it was kept for topics.
 * Owner: the frame. Texts are its own and live as long. Gates may write only what is marked "set". */
struct feature_client {
    uint64_t conn;              /* name of the connection on `shard`, for feature_resume() */
    uint32_t shard;
    uint8_t version;            /* enum mqtt_version */
    uint8_t listener_kind;      /* enum listener_kind */
    bool has_user_name;         /* the user name may come from a certificate or pre-shared key */
    bool has_address;           /* false: a Unix socket, or it could not be found out */
    bool connected;             /* CONNACK has left */
    bool clean_start;
    bool superuser;             /* set: everything is allowed (authorization is not asked) */
    bool method_satisfied;      /* set: CONNECT named an authentication method, it is the feature's, and has said who the client is. A CONNECT with a
                                   method that passes all gates without it is refused (0x8C) */
    bool session_present;       /* from `connected` on */
    uint8_t refused;            /* in client_gone(): the reason code of the CONNACK that has refused it; 0: none has */
    struct span client_id;      /* assigned already, if the client left it to us */
    struct span user_name;
    struct span listener;       /* "tcp.default" */
    struct span peer;           /* for people: "192.0.2.7:55123", "unix" */
    uint8_t address[16];        /* as base/cidr.h has it */
    struct span certificate_cn, certificate_dn, certificate_san; /* empty: no certificate */
    uint64_t connected_ms;      /* Unix time of its CONNECT */
    uint64_t expires_ms;        /* set: Unix time at which the client is disconnected (0x87); 0: never. Looked at by the frame every second */
    const struct acl_rules *rules; /* set by whoever authenticates (and released by it in client_gone()): rules that came with the login.
                                      Authorization asks them first */
    const struct feature_attribute *attributes; /* see feature_attribute_set() */
    uint32_t attributes_count;
    struct span auth_data;      /* set in gate_connect()/gate_authenticate(): authentication data for the client: with CONTINUE in AUTH, with PASS in
                                   CONNACK (or the AUTH that ends a re-authentication). Must live until the next call or client_gone() */
    void *slots[FEATURES_MAX];  /* set: slots[shard->slot] is the feature's own */
};

/* Adds or replaces an attribute (both texts are copied): ${attribute.NAME} in templates and rules. At most
 * FEATURE_ATTRIBUTES_MAX a client and FEATURE_ATTRIBUTE_BYTES_MAX together; false: no room, or a name that is not [a-z0-9_]+. */
#define FEATURE_ATTRIBUTES_MAX      32
#define FEATURE_ATTRIBUTE_BYTES_MAX 8192
bool feature_attribute_set(struct feature_client *client, struct span name, struct span value);
struct span feature_attribute(const struct feature_client *client, struct span name); /* .data NULL: there is none */

/* ---- gates ---------------------------------------------------------------------------------------------------------------- */

enum feature_decision {
    FEATURE_PASS,     /* nothing against it: ask the next */
    FEATURE_ALLOW,    /* publish, subscribe: authorized. Elsewhere like PASS */
    FEATURE_DENY,
    FEATURE_LATER,
    FEATURE_CONTINUE  /* connect, authenticate: send AUTH (0x18) with client->auth_data, and go on with the client's AUTH. Only for clients of MQTT 5
                         that named an authentication method */
};
enum feature_denial { FEATURE_DENY_AS_CONFIGURED, FEATURE_DENY_IGNORE, FEATURE_DENY_DISCONNECT }; /* first: authorization.deny_action */

/* Two registers. */
struct feature_verdict {
    uint8_t decision; /* enum feature_decision */
    uint8_t reason;   /* DENY: enum mqtt_reason; 0: MQTT_REASON_NOT_AUTHORIZED */
    uint8_t denial;   /* DENY of publish, subscribe: enum feature_denial */
    uint32_t holds_ms; /* PASS, ALLOW of publish: see below */
    const char *what; /* DENY: for the log and the reason string; constant text or of the feature; NULL: none. Of PASS and ALLOW only describe() and traces
                         see it: NULL is "nothing to say about this client" */
};
#define FEATURE_VERDICT(what_decision) ((struct feature_verdict){.decision = FEATURE_##what_decision})

/* A verdict about a PUBLISH that holds: for so long this client may publish to this topic, with this QoS and retain flag, whatever the payload and the
 * properties are, and need not be asked about again. The frame remembers it for the client's last topic when all gates' verdicts hold, and compares
 * once in place of asking. It forgets at a reload, at an AUTH, with feature_attribute_set(), and when told: a feature that changes its mind, or what it
 * has set in facts outside of gates, calls feature_forget(). 0: ask about each message. Questions not asked are counted (gates_remembered), but not
 * among the feature's verdicts. */
#define FEATURE_HOLDS UINT32_MAX /* until then */

struct feature_publish {
    struct span topic;  /* whole, whatever aliases were used; as the client names it, without its listener's mount point */
    struct span payload;
    uint8_t qos;
    bool retain;
    bool will;          /* of a CONNECT: will it be allowed to publish this? */
    const struct mqtt_properties *properties;
};

/* ---- what a feature is given ------------------------------------------------------------------------------------------------ */

/* The control thread's handle: one per feature. */
struct feature_node {
    void *state;                    /* the feature's own */
    uint32_t shards_count;
    const struct settings *settings; /* the core's, newest */
    bool rules_expected;            /* in prepare(): clients may have rules of their own */
    struct features *frame;         /* the frame's */
    uint32_t number;
};

/* A shard's handle: one per feature and shard. */
struct feature_shard {
    void *state;             /* the feature's own */
    const void *prepared;    /* what prepare() made of the newest configuration */
    uint32_t number;         /* of the shard */
    uint32_t slot;           /* client->slots[slot] */
    const uint64_t *now_ms;  /* the shard's clock: monotonic, once a turn */
    struct feature_node *node; /* read only */
    void *frame;             /* the frame's: struct broker_shard */
    uint32_t asked;          /* the frame's */
};

/* Unix time in ms, by the shard's clock of the moment: for expiries. */
uint64_t feature_unix_ms(const struct feature_shard *shard);

/* On the shard: lets the client's connection go on after LATER. Nothing happens when it has gone or does not wait. Not inside gates. */
void feature_resume(struct feature_shard *shard, uint64_t conn);
/* On the shard: NULL when it has gone. Before CONNACK, too. */
struct feature_client *feature_client_find(struct feature_shard *shard, uint64_t conn);
/* On the shard: DISCONNECT with the reason (MQTT 5) and the end, at the end of the turn. Nothing happens when it has gone or has no CONNACK yet. */
void feature_disconnect(struct feature_shard *shard, uint64_t conn, enum mqtt_reason reason);

/* On the shard: what gates have said about the client's last PUBLISH counts no more (holds_ms); NULL: about anybody's on this shard. */
void feature_forget(struct feature_shard *shard, struct feature_client *client);

/* On the shard: client_found() of this feature is called for every connected client, some hundred every few milliseconds, those included that have connected
 * before any feature was in force. Who connects meanwhile may be left out: the gate was asked about it. Called again: begins again. */
void feature_clients_find(struct feature_shard *shard);

/* Every connected client of this shard that the frame has facts of: for purging. */
void feature_clients_each(struct feature_shard *shard, void (*each)(struct feature_shard *shard, struct feature_client *client));

/* From any thread to a shard: run() is called there within a turn. Lock-free; wakes the shard (a system call). The post belongs to the frame
 * until run(), which may release or send it again. Posts still under way at the end are run once between halt() and stop(), when no client is
 * left to be found, so that nothing is leaked. */
struct feature_post {
    struct feature_post *next;
    void (*run)(struct feature_shard *shard, struct feature_post *post);
    uint32_t feature; /* written by feature_post() */
};
void feature_post(struct feature_node *node, uint32_t to_shard, struct feature_post *post);

/* ---- sinks ------------------------------------------------------------------------------------------------------------------ */

/* A sink lives on one shard and is made by feature_sink_create() there, as a rule in apply() on every one: then each shard's sink gets what is published on
 * its shard, in the order of each publisher, without a hop, and knows who has published. That is the scope LOCAL. With scope NODE a filter is that of an
 * ordinary subscriber, who gets what is published anywhere (one shard's sink is enough then); `$share/GROUP/…` is always so, and each shard's sink is a
 * member of its own among clients and others.
 *
 *     deliver() ─┬─ TAKEN   it is done with, or the feature has kept what it needs
 *                └─ FULL    the frame keeps it, and all that come after, in the sink's queue until feature_sink_ready()
 * A queue that is half full slows publishers down (PUSH_BACK), one that is full drops; both are counted by the sink's name. deliver() is part of the
 * fan-out: no blocking, and none of feature_sink_create(), _destroy(), _subscribe(), _unsubscribe(), _ready() inside it.
 *
 * Acknowledgements: a sink made with `acknowledges` may hold PUBACK or PUBREC of the message at hand back: feature_delivery_hold() in deliver(), then
 * feature_hold_done() on the same shard, once for each, whenever the message is safe. So "acknowledged" means "safe with the sink", and what was not
 * acknowledged is sent again by its publisher (decision 0031). Messages that wait in the sink's queue hold theirs, too. Publishers stop by
 * themselves when their window (Receive Maximum) is full. Every hold must be done before stop() returns, with an error if need be.
 *
 * Loops: no_local of a subscription leaves out what this shard's sink has published itself (feature_publish() with `from`). Messages that are published
 * in answer to messages are counted (FEATURE_HOPS_MAX). Whatever a sink has made goes with its shard, after stop(). */
struct feature_sink {
    void *state;      /* the feature's own */
    const char *name; /* constant */
    /* the frame's follow */
};

enum feature_sink_policy {
    FEATURE_SINK_PUSH_BACK,   /* publishers are read more slowly while more than half of the queue is used; what does not fit all the same is dropped */
    FEATURE_SINK_DROP_NEWEST, /* nobody is slowed down */
    FEATURE_SINK_DROP_OLDEST
};
struct feature_sink_options {
    uint8_t policy;              /* enum feature_sink_policy */
    bool acknowledges;
    uint32_t queue_messages_max; /* of this shard's sink; 0: mqtt.max_mqueue_len */
    uint64_t queue_bytes_max;    /* 0: mqtt.max_mqueue_bytes */
};
#define FEATURE_SINK_NAME_BYTES_MAX 63
#define FEATURE_SINKS_MAX 256 /* names in one process; those of sinks that have gone count, too */
/* `name`: printable ASCII, what logs, counters and lists of subscriptions call it; the sisters on the other shards have the same. NULL with a sentence in
 * ret_error. */
struct feature_sink *feature_sink_create(struct feature_shard *shard, const char *name, const struct feature_sink_options *options, void *state,
                                         char *ret_error, size_t error_bytes);
/* What waits in its queue is dropped and counted; its holds are answered with an error. */
void feature_sink_destroy(struct feature_sink *sink);

enum feature_sink_scope { FEATURE_SINK_LOCAL, FEATURE_SINK_NODE };
struct feature_subscription {
    struct span filter;          /* also $share/GROUP/FILTER; with the mount points of listeners, as topics in deliver() */
    uint32_t subscription_id;    /* told with the messages it matched; 0: none */
    uint8_t qos;                 /* highest */
    uint8_t scope;               /* enum feature_sink_scope */
    uint8_t retain_handling;     /* §3.8.3.1: 0 retained messages come now, 1 only if the subscription is new, 2 never. LOCAL: each shard's sink gets a part of them */
    bool no_local;
};
/* The reason code of SUBACK: the QoS, or an error. Subscribing again replaces. Messages published from a few turns later on come for sure. */
enum mqtt_reason feature_sink_subscribe(struct feature_sink *sink, const struct feature_subscription *subscription);
/* False: there was none. */
bool feature_sink_unsubscribe(struct feature_sink *sink, struct span filter, enum feature_sink_scope scope);
/* It is no longer full. deliver() is called for what waits, before this returns. */
void feature_sink_ready(struct feature_sink *sink);

enum feature_taken { FEATURE_TAKEN, FEATURE_FULL };
struct feature_hold;
struct message; /* broker/message.h; features keep pointers */

/* A message on its way to a sink. All of it is somebody else's and lives as long as the call. */
struct feature_delivery {
    struct span topic, payload;
    struct span properties;      /* those that travel on (§3.3.2.3), for mqtt_property_next() or mqtt_properties_decode() */
    uint8_t qos;                 /* as subscribed: the lower one */
    bool retain;                 /* as published */
    bool retained;               /* not live: from the store, because of a subscription */
    uint8_t hops;                /* published by a feature in answer to a message that … */
    uint64_t expires_ms;         /* by *shard->now_ms; 0: never */
    const uint32_t *subscription_ids; /* of the subscriptions it matched */
    uint32_t subscription_ids_count;
    struct span client_id;       /* the publisher's; .data NULL: not known (another shard's, a feature's, the broker's own) */
    struct span user_name;       /* .data NULL: there is none, or not known. Needs setup.knows_publishers */
    uint64_t publisher;          /* name of its connection on this shard, for feature_client_find(); 0: not known */
    struct feature_delivery_inside *inside; /* the frame's */
};
/* NULL: nobody waits for it (QoS 0, a will, another shard's publisher, no `acknowledges`). Once for each delivery, only with TAKEN. */
struct feature_hold *feature_delivery_hold(const struct feature_delivery *delivery);
/* An error (0x80 and above) becomes the reason code of the acknowledgement; publishers of MQTT 3 are disconnected, for want of one. */
void feature_hold_done(struct feature_shard *shard, struct feature_hold *hold, enum mqtt_reason reason);
/* The message to keep, without copying what is large; one reference. Its texts never change, so that other threads may read them until it is released, on this shard. */
struct message *feature_delivery_keep(const struct feature_delivery *delivery);
void feature_message_read(const struct message *message, struct span *ret_topic, struct span *ret_properties, struct span *ret_payload);
void feature_message_release(struct feature_shard *shard, struct message *message);

/* What sinks of that name have seen, all shards together. */
struct feature_sink_counts {
    uint64_t delivered;      /* TAKEN */
    uint64_t full;           /* times that FULL was said */
    uint64_t queued;         /* messages waiting now */
    uint64_t queued_bytes;
    uint64_t dropped_full, dropped_expired, dropped_gone; /* the queue was full; expired in it; the sink went */
    uint64_t held;           /* acknowledgements held back now */
    uint64_t refused;        /* messages whose acknowledgement became an error */
};

/* ---- publishing --------------------------------------------------------------------------------------------------------------- */

struct feature_message {
    struct span topic, payload;
    struct span properties;  /* as those of a PUBLISH, without length: only what travels on is taken */
    uint8_t qos;
    bool retain;
    uint32_t expiry_s;       /* 0: never */
};
#define FEATURE_HOPS_MAX        8     /* a message published in deliver() has one more than the one at hand */
#define FEATURE_PUBLISHES_MAX   4096  /* messages of features that wait on one shard */
/* On the shard: copied now, published at the end of this turn, in the order of the calls; asks no gate. `from` may be NULL, and is who no_local is about.
 * SUCCESS, or why not: TOPIC_NAME_INVALID, MALFORMED_PACKET (properties), QUOTA_EXCEEDED (too many wait, since subscribers cannot keep up: try again at the next
 * tick), MESSAGE_RATE_TOO_HIGH (too many hops: a loop; counted and logged). */
enum mqtt_reason feature_publish(struct feature_shard *shard, const struct feature_sink *from, const struct feature_message *message);

/* ---- store -------------------------------------------------------------------------------------------------------------------- */

/* Values of one feature's own under names of its own: offsets of a bridge, lists an administrator has made. They lie among the retained messages (decision 0032),
 * so what is true of those is true of them: on disk when `done` is called, found after a crash, at home on one shard whatever the number of shards is,
 * counted by retainer.max_messages. Without durability.enable they last as long as the process. */
#define FEATURE_STORE_KEY_BYTES_MAX   512
#define FEATURE_STORE_VALUE_BYTES_MAX (1u << 20)

enum feature_store_result {
    FEATURE_STORE_DONE,     /* get: found; put, delete: on disk (if there is one); scan: at its end */
    FEATURE_STORE_NONE,     /* get: there is no such key */
    FEATURE_STORE_REFUSED,  /* the key or value is not sound, or there is no room */
    FEATURE_STORE_STOPPED   /* the broker ends; a put may or may not be there afterwards */
};
enum feature_store_verb { FEATURE_STORE_GET, FEATURE_STORE_PUT, FEATURE_STORE_DELETE, FEATURE_STORE_SCAN };

/* One question under way. Its memory is the feature's and stays where it is until done(); key and value may go as soon as the call returns. */
struct feature_store_call {
    void (*done)(struct feature_shard *shard, struct feature_store_call *call); /* on the shard that asked */
    void (*item)(struct feature_shard *shard, struct feature_store_call *call, struct span key, struct span value); /* scan: each entry, there, in no order */
    uint8_t result;          /* enum feature_store_result, in done() */
    struct span value;       /* get: until done() returns */
    void *state;             /* the feature's own */
    struct feature_store_inside *inside; /* the frame's; NULL: not under way */
};
/* Keys: 1 to FEATURE_STORE_KEY_BYTES_MAX bytes, none of them 0, +, # or 0xFF. Puts of one shard to one key take effect in their order; done() may be called before
 * this returns. */
void feature_store_get(struct feature_shard *shard, struct feature_store_call *call, struct span key);
void feature_store_put(struct feature_shard *shard, struct feature_store_call *call, struct span key, struct span value);
void feature_store_delete(struct feature_shard *shard, struct feature_store_call *call, struct span key);
/* All entries whose key begins so. Those put or deleted meanwhile may be among them or not. */
void feature_store_scan(struct feature_shard *shard, struct feature_store_call *call, struct span prefix);
/* False: what is put is gone with the process. */
bool feature_store_lasts(const struct feature_shard *shard);

/* ---- taps ------------------------------------------------------------------------------------------------------------------- */

#define FEATURE_EVENT_TEXT_BYTES 32

struct feature_event {
    uint64_t at_ms;       /* Unix time */
    uint8_t moment;       /* enum feature_moment */
    uint8_t shard;
    uint8_t reason;
    uint8_t version;      /* enum mqtt_version; 0: not known */
    uint32_t value;
    uint64_t client_hash; /* of the client id, whole */
    uint8_t text_bytes;   /* the client id, or what hooks.def says; cut */
    char text[FEATURE_EVENT_TEXT_BYTES + 7];
};
_Static_assert(sizeof(struct feature_event) == 64, "one cache line");

/* ---- requests --------------------------------------------------------------------------------------------------------------- */

/* What an administrator asks of a feature: the admin API hands it over without knowing what it means. The feature answers in place. */
struct feature_request {
    const char *verb;  /* the feature's own, "bans add" */
    struct span body;  /* a JSON object in UTF-8; its members have the types and limits of the API's tables */
    int status;        /* set: 200 when done; 400 it makes no sense, 404 there is no such thing (or it is switched off), 409 it cannot be, 500 it failed */
    char *answer;      /* set, with 200: JSON text from malloc(), whoever asked frees it; NULL: there is nothing to say */
    char error[256];   /* set, with the others: a sentence that says what to do */
};

/* ---- a feature -------------------------------------------------------------------------------------------------------------- */

enum feature_stage {
    FEATURE_STAGE_PROTECTION,     /* bans, rates */
    FEATURE_STAGE_AUTHENTICATION, /* who */
    FEATURE_STAGE_AUTHORIZATION,  /* what: rule file */
    FEATURE_STAGE_SOURCES,        /* what: databases, asked when no rule has decided */
    FEATURE_STAGE_OTHER
};

/* What prepare() answers. */
struct feature_setup {
    void *prepared;     /* the feature's own: the configuration, compiled. Read by all shards until release() */
    uint32_t moments;   /* FEATURE_GATE(…) | FEATURE_TAP(…) | FEATURE_SINKS wanted with these settings; 0: off */
    bool authenticates; /* CONNECT is judged: mqtt.allow_anonymous is not looked at (should be what schema_part.guards() says) */
    bool authorizes;    /* authorization.no_match holds for what nobody decides */
    bool brings_rules;  /* it sets client->rules for some clients: those who come after in the order find node->rules_expected */
    bool knows_publishers; /* its sinks are told user names: facts are gathered of every client */
    bool no_ticks;      /* tick() has nothing to do with these settings: shards without clients' packets sleep */
};

struct feature {
    uint32_t abi;       /* FEATURE_ABI; first member in every version */
    const char *name;   /* "acl": a-z, 0-9, _ */
    const char *version;
    const char *documentation; /* a sentence or two */
    enum feature_stage stage;
    const struct schema_part *configuration; /* NULL: no keys */
    const struct feature *also; /* another feature that comes with this one; NULL: none */

    /* Control thread; all may be NULL. False with a sentence in ret_error that says what to do. */
    bool (*open)(struct feature_node *node, char *ret_error, size_t error_bytes);
    void (*halt)(struct feature_node *node);
    void (*close)(struct feature_node *node);
    bool (*prepare)(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes);
    void (*release)(struct feature_node *node, void *prepared);
    /* Events of moments in setup.moments, in the order of each shard. */
    void (*tap)(struct feature_node *node, const struct feature_event *events, uint32_t count);
    /* About once a second while it has moments. */
    void (*control_tick)(struct feature_node *node);
    /* On threads of the administrator's interface, several at once, after open() and before halt(): may block, must be safe against all others.
     * NULL: it takes none. */
    void (*request)(struct feature_node *node, struct feature_request *request);

    /* Shards; all may be NULL. */
    void (*apply)(struct feature_shard *shard);
    void (*stop)(struct feature_shard *shard);
    /* About every 100 ms while it has moments and its setup has not said no_ticks. */
    void (*tick)(struct feature_shard *shard);
    struct feature_verdict (*connect)(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect);
    struct feature_verdict (*authenticate)(struct feature_shard *shard, struct feature_client *client, const struct mqtt_auth *auth);
    struct feature_verdict (*publish)(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish);
    struct feature_verdict (*subscribe)(struct feature_shard *shard, struct feature_client *client,
                                        const struct mqtt_subscription *subscription);
    /* Its last verdict on this shard (this one) in words, for traces and `ringmq why`: which rule of which file, which source. Called right after the gate, and not on
     * a hot path. NULL: verdict.what says it all. */
    void (*describe)(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes);
    /* A message for a sink of this feature. */
    enum feature_taken (*deliver)(struct feature_shard *shard, struct feature_sink *sink, const struct feature_delivery *delivery);
    /* The connection has ended, was refused, or vanished while something was LATER. Called for every client the feature may have seen. */
    void (*client_gone)(struct feature_shard *shard, struct feature_client *client);
    /* One of those that feature_clients_find() looks for. */
    void (*client_found)(struct feature_shard *shard, struct feature_client *client);
};

/* A module's entry point. */
#define FEATURE_MODULE(descriptor) \
    extern __attribute__((visibility("default"))) const struct feature *const ringmq_feature; \
    const struct feature *const ringmq_feature = &descriptor

/* Control thread, in open() or prepare(): a shared object beside the broker's modules (NAME.so in the module search path), for libraries that are
 * wanted only with certain settings. Returns the address of `symbol`, or NULL with a sentence in ret_error. It stays loaded. */
void *feature_library(struct feature_node *node, const char *name, const char *symbol, char *ret_error, size_t error_bytes);

#endif
