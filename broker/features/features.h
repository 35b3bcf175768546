/* features/features.h - the frame that features plug into, as the rest of the broker and the programs see it. What features see is broker/feature.h.
 *
 * Files: features.c (which there are, their life on the control thread), shard.c (their part of a shard: settings, posts, ticks),
 *        client.c (facts of clients), gate.c (asking), connect.c (CONNECT and AUTH), tap.c (events),
 *        module.c (shared objects), sink.c (sinks), publish.c (messages of features), store.c (values that last).
 * Threads: control thread, except where a struct broker_shard is given. */
#ifndef RINGMQ_BROKER_FEATURES_FEATURES_H
#define RINGMQ_BROKER_FEATURES_FEATURES_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/map.h"
#include "base/wheel.h"
#include "broker/feature.h"

struct broker;
struct broker_shard;
struct conn;
struct kernel_verbs;
struct session;

/* ---- which there are (before the configuration is read) ------------------------------------------------------------------------ */

/* Those built in (a table that CMake makes); ends with NULL. */
extern const struct feature *const features_built_in[];

/* The features of this process in the order in which they are asked. Names are unique; at most FEATURES_MAX. False with a sentence in ret_error. */
struct feature_list {
    const struct feature *features[FEATURES_MAX];
    uint32_t count;
};
bool feature_list_add(struct feature_list *list, const struct feature *feature, char *ret_error, size_t error_bytes);
/* Loads "NAME, PATH.so, …": a name is looked for in `path` (folders with colons between; "": where this program's modules are). */
bool feature_list_load(struct feature_list *list, const char *modules, const char *path, char *ret_error, size_t error_bytes);
/* docs/features.md: the moments, from hooks.def. */
void features_print_hooks(FILE *file);
/* Code that others than features want from the folders of modules: NAME.so's `symbol`. NULL with a sentence in ret_error. Any thread. */
struct features;
const void *features_library(const struct features *features, const char *name, const char *symbol, char *ret_error, size_t error_bytes);

/* ---- node ------------------------------------------------------------------------------------------------------------------------ */

/* Verdicts of one gate of one feature on one shard. Written by the shard, read by all. */
struct feature_counts {
    uint64_t passed, allowed, denied, later, overruns;
    uint64_t ticks_max; /* longest answer, in ticks (feature_ticks_per_us) */
};

struct feature_part; /* one feature's node-wide part */

/* Counters of the sinks of one name. */
struct feature_sink_slot {
    char name[FEATURE_SINK_NAME_BYTES_MAX + 1];
    struct {
        _Alignas(64) struct feature_sink_counts sums;
    } counts[]; /* by shard */
};

struct features {
    struct broker *broker;
    uint32_t count;
    struct feature_part *parts[FEATURES_MAX];
    bool halted;
    const struct kernel_verbs *verbs; /* wakes sleeping shards; NULL: none sleeps (before the start, in the simulation) */
    const char *module_path;
    struct tap_state *taps;
    _Atomic(struct feature_sink_slot *) sinks[FEATURE_SINKS_MAX]; /* filled from the front; they stay */
};

/* Settings of the feature number `number` of the list; NULL: it has no keys. */
typedef const void *features_settings(void *context, const struct feature *feature);

/* Opens the features and prepares their settings. NULL with a sentence in ret_error. */
struct features *features_create(const struct feature_list *list, struct broker *broker, const struct settings *settings,
                                 features_settings *settings_of, void *context, char *ret_error, size_t error_bytes);
/* From now on posts wake sleeping shards. */
void features_wake_through(struct features *features, const struct kernel_verbs *verbs);
/* A reload, in two steps: prepare() with a sentence in ret_error when a feature refuses (nothing has changed then); the shards take it together
 * with the settings (RECORD_SETTINGS); then done() releases what was before. */
bool features_prepare(struct features *features, const struct settings *settings, features_settings *settings_of, void *context, char *ret_error,
                      size_t error_bytes);
void features_prepared_take(struct features *features); /* right before RECORD_SETTINGS */
void features_prepared_done(struct features *features);
/* What prepare() made, given up: something else refused. */
void features_prepared_drop(struct features *features);
/* True: some feature judges who may connect. */
bool features_authenticate(const struct features *features);
/* Has the feature of that number moments? */
bool features_on(const struct features *features, uint32_t number);
/* What feature_node.settings shows. */
void features_settings_use(struct features *features, const struct settings *settings);
/* Once a second. */
void features_control_tick(struct features *features);
/* Hands events to the features that want them. True: there was one. */
bool features_events_drain(struct features *features);
/* For the control thread's poll(): readable when there are events after a time without any. Made by the first call, which comes before the shards
 * start; the features close it. -1, with errno: there is no descriptor. */
int features_events_fd(struct features *features);
/* features_events_drain(), and falls asleep when there was none: to be called when the descriptor is readable or features_control_ms() is over. */
void features_events_turn(struct features *features);
/* When the control thread has to look next, beside that: after FEATURES_GATHER_MS while events come, after FEATURES_TICK_MS while a feature that is
 * on has a control_tick(), never (-1) otherwise: a broker that nobody has given a feature, or whose features hear of nothing, sleeps. */
int features_control_ms(const struct features *features);
#define FEATURES_GATHER_MS 5
#define FEATURES_TICK_MS   1000
/* When no shard turns any more: before features_shard_stop() of the first one. */
void features_halt(struct features *features);
void features_destroy(struct features *features); /* accepts NULL */

/* All counters, over all shards: for metrics. Any thread. */
void features_counts_each(const struct features *features,
                          void (*each)(void *context, const struct feature *feature, enum feature_moment gate, const struct feature_counts *sum),
                          void *context);

/* The same of sinks. */
void features_sinks_each(const struct features *features, void (*each)(void *context, const char *name, const struct feature_sink_counts *sum), void *context);

/* Asks the feature of that name (struct feature_request). False: this process has none, or it takes no requests. Any thread, before features_halt(). */
bool features_request(const struct features *features, const char *name, struct feature_request *request);

/* ---- shard ----------------------------------------------------------------------------------------------------------------------- */

struct feature_asked {
    const struct feature *feature;
    struct feature_shard *shard;
    struct feature_counts *counts;
};

/* The client's last PUBLISH that gates have let pass, while their verdicts hold (feature_verdict.holds_ms). Two cache lines, one for short topics. */
#define FEATURE_PASSED_BYTES_MAX 112 /* longer topics are asked about each time */
struct feature_passed {
    uint64_t until_ms; /* by the shard's clock */
    uint64_t key;      /* features_passed_key(): what must be the same beside the topic; 0: nothing is remembered */
    uint8_t topic[FEATURE_PASSED_BYTES_MAX];
};

/* A client's facts, and what the frame needs to know beside. */
struct client_record {
    struct feature_client facts; /* first */
    _Alignas(64) struct feature_passed passed;
    struct conn *connection;
    struct session *session;     /* NULL until CONNACK */
    uint8_t address_state;       /* enum client_address */
    bool counted_expiry;         /* among expiring_count */
    char *peer_text;
    char *method;                /* authentication method of CONNECT; NULL: none */
    int8_t authenticator;        /* number of the feature that said CONTINUE; -1: none */
    bool exchange_passed;
    uint8_t *connect_bytes;      /* the CONNECT, during its exchange of AUTH packets */
    size_t connect_count;
    uint8_t *codes;              /* of a SUBSCRIBE that waits: verdicts of its first filters */
    uint32_t codes_count;
    uint32_t wanted_by;          /* feature_clients_find(): by the features of these bits, when its address is known */
    struct feature_attribute *attributes;
    uint32_t attributes_bytes;
    char text[]; /* client id, user name, listener */
};
enum client_address { CLIENT_ADDRESS_UNASKED, CLIENT_ADDRESS_ASKED, CLIENT_ADDRESS_KNOWN };

#define FEATURE_BY_NOBODY    0xFF /* no feature judges this */
#define FEATURE_BY_NO_MATCH  0xFE /* authorization.no_match */
#define FEATURE_BY_SUPERUSER 0xFD

struct features_shard {
    struct features *features;
    struct feature_shard shards[FEATURES_MAX];
    struct feature_setup setups[FEATURES_MAX];
    struct feature_asked gates[FEATURE_GATES][FEATURES_MAX];
    uint32_t gates_count[FEATURE_GATES];
    struct feature_counts counts[FEATURES_MAX][FEATURE_GATES];
    struct map clients;       /* struct client_record by the connection's name */
    uint32_t exchanges_count; /* CONNECTs that are in an exchange */
    uint32_t expiring_count;
    uint32_t expiry_cursor;
    uint64_t budget_ticks;
    uint32_t verdicts_epoch;  /* raised when what gates have said counts no more; never 0 */
    bool authenticates, authorizes, tick_wanted;
    uint32_t said_holds_ms;   /* of the last PUBLISH asked about: how long all their verdicts hold */
    uint8_t said_by;          /* who has spoken the last verdict: a slot, or FEATURE_BY_… */
    struct timer timer;
    struct map_walk finding;  /* find.c */
    uint32_t finding_for;     /* bits of features; 0: nobody looks for clients */
    struct timer find_timer;
    _Atomic(struct feature_post *) posts;
    struct list sinks;        /* struct sink_part */
    bool delivering;          /* a sink's deliver() is at work */
    uint8_t hops;             /* of the message that is being given out */
    struct list publishes;    /* messages of features that wait for the end of the turn */
    uint32_t publishes_count;
    struct timer publish_timer; /* running: they rest, subscribers cannot keep up */
    struct list questions;    /* struct feature_store_inside: calls of this shard that are under way */
    struct list early;        /* those that wait for this or another shard to start */
    bool turned;              /* it has: the store has been brought back */
    uint8_t *codes;           /* scratch: verdicts of a SUBSCRIBE */
    uint32_t codes_capacity;
};

void features_shard_start(struct broker_shard *broker);
void features_shard_apply(struct broker_shard *broker); /* new settings */
bool features_shard_turn(struct broker_shard *broker);  /* runs posts, publishes. True: there is more to do at once */
void features_shard_stop(struct broker_shard *broker);

/* What becomes of a packet. UNREAD: it stays unread, the connection is held. DONE: everything is said, perhaps the connection has ended.
 * EXCHANGE: an AUTH has been sent, keep the CONNECT. */
enum gate_result { GATE_PASSED, GATE_DENIED, GATE_UNREAD, GATE_DONE, GATE_EXCHANGE };

/* connect.c. `client_id` is never empty. */
enum gate_result features_connect(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id);
/* CONNACK is about to leave: the record becomes the session's. */
void features_connected(struct broker_shard *broker, struct session *session, bool present);
/* The id that was assigned to this connection the first time; empty: none. */
struct span features_assigned_id(struct broker_shard *broker, const struct conn *conn);
/* Keeps the CONNECT's bytes when an exchange has begun. */
void features_exchange_keep(struct broker_shard *broker, struct conn *conn, struct span bytes);
struct client_record *features_exchange(struct broker_shard *broker, const struct conn *conn);
/* A packet during the exchange. True: it stays unread. */
bool features_exchange_packet(struct broker_shard *broker, struct conn *conn, struct client_record *record, const struct mqtt_packet *packet);
/* AUTH of a connected client. True: it stays unread. */
bool features_reauthenticate(struct broker_shard *broker, struct session *session, const struct mqtt_auth *auth);

/* gate.c */
struct feature_verdict features_ask_publish(struct broker_shard *broker, struct client_record *record, const struct feature_publish *publish);
enum gate_result features_publish(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span topic,
                                  enum mqtt_reason *ret_reason);
static inline uint64_t features_passed_key(uint32_t epoch, struct span topic, uint8_t qos, bool retain)
{
    return (uint64_t)epoch << 32 | (uint32_t)topic.bytes << 3 | (uint32_t)qos << 1 | retain; /* topic.bytes < 65536 */
}
/* The same question as the last of the client at hand (a connected one's facts, or NULL), that was let pass and holds: nobody need be asked. */
static inline bool features_passed(const struct features_shard *shard, const struct feature_client *client, const struct mqtt_publish *publish,
                                   struct span topic, uint64_t now_ms)
{
    const struct feature_passed *passed = client ? &((const struct client_record *)client)->passed : NULL;
    return passed && passed->key == features_passed_key(shard->verdicts_epoch, topic, publish->qos, publish->retain) && passed->until_ms > now_ms &&
           span_same_bytes(passed->topic, topic.data, topic.bytes);
}
/* Asks for all filters; GATE_PASSED: (*ret_codes)[i] is 0 or the reason code for SUBACK, until the next call. */
enum gate_result features_subscribe(struct broker_shard *broker, struct session *session, const struct mqtt_subscribe *subscribe,
                                    const uint8_t **ret_codes);
struct feature_verdict features_asked(const struct feature_asked *asked, struct feature_verdict verdict, uint64_t began, uint64_t budget);
/* Who has said it, and by which rule or source: "acl: acl.conf:12: deny publish #". The last verdict of this shard. For people; may take microseconds. */
void features_describe(struct broker_shard *broker, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes);
uint64_t feature_ticks(void);
uint64_t feature_ticks_per_us(void);

/* client.c. The record of a connection; NULL: it has none. */
struct client_record *features_record(struct broker_shard *broker, const struct conn *conn);
struct client_record *features_record_make(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id);
/* Of a connected client; made now if it has connected before features were in force. */
struct client_record *features_record_of(struct broker_shard *broker, struct session *session);
/* False: the address has been asked for, and the connection must wait. */
bool features_address(struct broker_shard *broker, struct client_record *record);
/* The answer came. True: it was for us (too). */
void features_address_known(struct broker_shard *broker, struct conn *conn, const struct sockaddr_storage *address);
void features_record_end(struct broker_shard *broker, struct client_record *record);
/* A connection has ended that may have a record and has no session. */
void features_conn_gone(struct broker_shard *broker, const struct conn *conn);
/* The same: its CONNECT is answered with this reason code. */
void features_refused(struct broker_shard *broker, const struct conn *conn, uint8_t reason);
void features_wait(struct client_record *record); /* LATER: holds the connection */

/* sink.c. A message for a session that is a sink. */
struct publication;
struct delivery_options;
void features_sink_deliver(struct broker_shard *broker, struct session *session, struct publication *publication, const struct delivery_options *options);
/* It would take a message now. */
bool features_sink_idle(const struct session *session);
/* store.c. A change is on disk, or the broker has stopped before. */
struct feature_store_inside;
void features_stored(struct broker_shard *broker, struct feature_store_inside *question, bool on_disk);

/* ---- taps ------------------------------------------------------------------------------------------------------------------------ */

void features_tap(struct broker_shard *broker, enum feature_moment moment, uint8_t version, uint64_t client_hash, struct span text, uint8_t reason,
                  uint32_t value);

#endif
