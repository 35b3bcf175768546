/* feature.h - how a capability plugs into the broker: the one header of broker/ that features/ and loadable modules may include.
 *
 * A feature is a constant `struct feature`: name, keys, callbacks. Built in, it is listed by CMake (RINGMQ_FEATURES); as a module it
 * is a shared object with the symbol `ringmq_feature`, named in features.load. Nobody includes a feature; the core names none of them.
 *
 *     gates   are asked, on the client's shard, before a packet takes effect; PASS, ALLOW, DENY or LATER, never blocking
 *     taps    are told afterwards, on the control thread, in 64-byte records; a full ring counts and drops
 * The moments stand in broker/hooks.def. A moment nobody is attached to costs one bit test.
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
#define FEATURE_ABI 3u
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

extern const char *const feature_moment_names[FEATURE_MOMENTS];

/* ---- the client ----------------------------------------------------------------------------------------------------------- */

struct acl_rules; /* features/acl/rules.h */

struct feature_attribute {
    struct span name, value;
};

/* Facts of one connection, from its CONNECT to its end. Made only while some feature is in force. A client that was connected before
 * features came into force has one without user name (it is gone by then).
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
    const char *what; /* DENY: for the log and the reason string; constant text or of the feature; NULL: none. Of PASS and ALLOW only describe() and traces
                         see it: NULL is "nothing to say about this client" */
};
#define FEATURE_VERDICT(what_decision) ((struct feature_verdict){.decision = FEATURE_##what_decision})

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

/* Every connected client of this shard: for purging. */
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
    uint32_t moments;   /* FEATURE_GATE(…) | FEATURE_TAP(…) wanted with these settings; 0: off */
    bool authenticates; /* CONNECT is judged: mqtt.allow_anonymous is not looked at (should be what schema_part.guards() says) */
    bool authorizes;    /* authorization.no_match holds for what nobody decides */
    bool brings_rules;  /* it sets client->rules for some clients: those who come after in the order find node->rules_expected */
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
    /* About every 100 ms while it has moments. */
    void (*tick)(struct feature_shard *shard);
    struct feature_verdict (*connect)(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect);
    struct feature_verdict (*authenticate)(struct feature_shard *shard, struct feature_client *client, const struct mqtt_auth *auth);
    struct feature_verdict (*publish)(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish);
    struct feature_verdict (*subscribe)(struct feature_shard *shard, struct feature_client *client,
                                        const struct mqtt_subscription *subscription);
    /* Its last verdict on this shard (this one) in words, for traces and `ringmq why`: which rule of which file, which source. Called right after the gate, and not on
     * a hot path. NULL: verdict.what says it all. */
    void (*describe)(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes);
    /* The connection has ended, was refused, or vanished while something was LATER. Called for every client the feature may have seen. */
    void (*client_gone)(struct feature_shard *shard, struct feature_client *client);
};

/* A module's entry point. */
#define FEATURE_MODULE(descriptor) \
    extern __attribute__((visibility("default"))) const struct feature *const ringmq_feature; \
    const struct feature *const ringmq_feature = &descriptor

/* Control thread, in open() or prepare(): a shared object beside the broker's modules (NAME.so in the module search path), for libraries that are
 * wanted only with certain settings. Returns the address of `symbol`, or NULL with a sentence in ret_error. It stays loaded. */
void *feature_library(struct feature_node *node, const char *name, const char *symbol, char *ret_error, size_t error_bytes);

#endif
