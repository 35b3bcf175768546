/* watch/trace.h - writing down what happens to chosen clients and topics: the shards' side (docs/trace.md is the manual).
 *
 *     shard ── records ──► its ring (bounded; full: counted, for each trace) ──► the admin's trace thread: decodes in words, sorts by time, writes files
 *
 * Which traces there are is a struct trace_set, made by the admin side and given to each shard by a question (INSPECT_TRACE, broker/watch/inspect.h), which walks
 * the shard's sessions in slices and marks those that are meant. When all shards have answered, the set before is nobody's any more.
 *
 * Whom a record is for: the traces of the client it is about (rare->traces, worked out when the set changes and when a client connects), of the message's
 * topic (matched for each message while a trace by topic is on) and of the message's publisher. A publisher's shard announces each of its messages to the
 * others (RECORD_TRACE, before it in the same lane), and the message is marked (PUBLISHER_TRACED), so that they know whom to tell about its deliveries.
 *
 * Cost: no trace on: the bit EXTRA_TRACE in tests of broker->extras_bits, most of which are there anyway. A trace is on: a bit of the session; with traces by
 *       topic, a match per message and delivery besides.
 * Secrets: passwords and authentication data are overwritten before a packet's bytes enter the ring; payloads are cut to what a trace asks for.
 * Owner:   struct trace_node is the broker's, made before the shards start (NULL: nobody can trace). Threads: the shard, unless said otherwise. */
#ifndef RINGMQ_BROKER_WATCH_TRACE_H
#define RINGMQ_BROKER_WATCH_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/limits.h"
#include "base/span.h"
#include "broker/feature.h"

struct broker;
struct broker_shard;
struct conn;
struct conn_progress;
struct inspect;
struct match_set;
struct mqtt_connect;
struct publication;
struct session;
struct shard;
struct sockaddr_storage;

/* Traces that run at the same time: a bit each. */
#define TRACES_MAX 16
/* Of client ids, topics and other texts in a record; longer ones are cut, and marked. */
#define TRACE_TEXT_BYTES_MAX 4096u
/* Of a packet, its payload not counted. */
#define TRACE_PACKET_BYTES_MAX 16384u
/* Most that a trace may ask for of a payload. */
#define TRACE_PAYLOAD_BYTES_MAX 4096u
/* Any record fits into half a ring of this size. */
#define TRACE_RING_BYTES_MIN (1u << 17)

enum trace_event {
#define TRACE_EVENT(name, documentation) TRACE_EVENT_##name,
#include "broker/watch/trace_events.def"
#undef TRACE_EVENT
    TRACE_EVENTS
};
extern const char *const trace_event_names[TRACE_EVENTS], *const trace_event_documentation[TRACE_EVENTS];

enum trace_kind { TRACE_CLIENT_ID, TRACE_CLIENT_ID_PATTERN, TRACE_TOPIC, TRACE_ADDRESS, TRACE_USER_NAME, TRACE_USER_NAME_PATTERN, TRACE_KINDS };
/* "clientid", "clientid_pattern", "topic", "ip_address", "username", "username_pattern". */
extern const char *const trace_kind_names[TRACE_KINDS];

struct trace_rule {
    enum trace_kind kind;
    uint32_t slot;               /* its bit */
    struct span value;
    struct cidr_list networks;   /* ADDRESS */
    uint32_t payload_bytes;      /* wanted of each payload; 0: none */
};

/* Immutable. Texts and networks belong to whoever made it, and live as long. */
struct trace_set {
    uint32_t count;
    uint32_t topics, users, addresses; /* bits of the rules of these kinds */
    struct trace_rule rules[TRACES_MAX];
};

/* ---- records ---------------------------------------------------------------------------------------------------- */

enum trace_flag {
    TRACE_FLAG_CLIENT_CUT = 1 << 0, TRACE_FLAG_TOPIC_CUT = 1 << 1, TRACE_FLAG_TEXT_CUT = 1 << 2,
    TRACE_FLAG_PACKET_CUT = 1 << 3, /* more than its payload is missing */
};

/* What a record's numbers mean depends on its event (admin/trace_words.c). Texts follow in the order of their lengths. */
struct trace_record {
    uint32_t bytes;        /* all of it, a multiple of 8 */
    uint8_t event, shard, version, reason; /* enum trace_event, mqtt_version, mqtt_reason */
    uint64_t at_ns;        /* Unix time */
    uint32_t traces;       /* a bit for each that wants it */
    uint8_t flags, spare[3];
    uint32_t numbers[4];
    uint32_t whole_bytes;  /* of the packet, or of the payload, whose beginning `data` is */
    uint32_t data_bytes;
    uint16_t client_bytes, topic_bytes, text_bytes, unused;
    uint8_t texts[];       /* client id, topic, text, data */
};

static inline struct span trace_record_client(const struct trace_record *record) { return span_of(record->texts, record->client_bytes); }
static inline struct span trace_record_topic(const struct trace_record *record) { return span_of(record->texts + record->client_bytes, record->topic_bytes); }
static inline struct span trace_record_text(const struct trace_record *record)
{
    return span_of(record->texts + record->client_bytes + record->topic_bytes, record->text_bytes);
}
static inline struct span trace_record_data(const struct trace_record *record)
{
    return span_of(record->texts + record->client_bytes + record->topic_bytes + record->text_bytes, record->data_bytes);
}

/* Where a delivery waits, and for what. */
enum trace_wait { TRACE_WAIT_AWAY, TRACE_WAIT_QUEUE, TRACE_WAIT_WINDOW, TRACE_WAIT_ROOM, TRACE_WAIT_RATE, TRACE_WAIT_DISK, TRACE_WAITS };

enum trace_session_change { TRACE_SESSION_EXPIRED, TRACE_SESSION_ENDED };
enum trace_pause { TRACE_PAUSE_PACE, TRACE_PAUSE_RATE, TRACE_PAUSE_UNREAD };

/* ---- the admin's side (one thread) -------------------------------------------------------------------------------- */

struct trace_node;

/* ring_bytes: of each shard's ring, made when the first trace begins; rounded up to a power of two, at least TRACE_RING_BYTES_MIN. */
struct trace_node *trace_node_create(uint32_t shards_count, uint32_t ring_bytes);
void trace_node_destroy(struct trace_node *node); /* accepts NULL; no shard turns any more */
/* Before the first set is given out. */
void trace_node_open(struct trace_node *node);
/* Hands out the records of a shard's ring in their order: they are the taker's until it returns. Returns how many there were. */
uint32_t trace_node_drain(struct trace_node *node, uint32_t shard, void (*take)(void *context, const struct trace_record *record), void *context);
/* Records that found no room, of one trace on one shard, since the last call. */
uint64_t trace_node_lost(struct trace_node *node, uint32_t shard, uint32_t slot);

/* ---- the shard's side ----------------------------------------------------------------------------------------------- */

/* What a record says beyond whom it is about. */
struct trace_facts {
    struct span topic, text, data;
    uint32_t whole_bytes;
    uint32_t numbers[4];
    uint8_t version, reason;
    uint64_t at_ns; /* 0: now */
};

/* Those down to trace_topic() are called only while broker->extras_bits has EXTRA_TRACE. */

/* In place of packets_take() (packets.c): packet by packet. */
struct conn_progress trace_received(struct shard *shard, struct conn *conn, struct span bytes);
/* A CONNECT is about to be judged here. refused: its reason code, known already. */
void trace_connect(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id, uint8_t refused);
/* The session is the connection's from now on. */
void trace_attached(struct broker_shard *broker, struct session *session, const struct mqtt_connect *connect, bool present);
/* Who is at the other end of a connection: somebody has asked. */
void trace_peer(struct broker_shard *broker, struct conn *conn, const struct sockaddr_storage *address);
/* A packet was written: all but its payload, and that. publication: of a PUBLISH; NULL else. */
void trace_sent(struct broker_shard *broker, const struct conn *conn, uint8_t version, struct span packet, struct span payload, const struct publication *publication);
/* A message is about to be given out by this shard: what it matches is looked up. */
void trace_published(struct broker_shard *broker, struct publication *publication, uint32_t delay_s);
/* What a delivery would wait for behind so many others. Needs no trace. */
enum trace_wait trace_wait_of(const struct broker_shard *broker, const struct session *session, uint64_t queued, uint8_t qos);
/* A delivery goes into the queue. */
void trace_queued(struct broker_shard *broker, const struct session *session, const struct publication *publication, uint8_t qos);
/* What a gate said: about a PUBLISH or SUBSCRIBE; about a CONNECT or AUTH. */
void trace_verdict(struct broker_shard *broker, const struct feature_client *client, const struct session *session, enum mqtt_packet_type action, struct span topic,
                   struct feature_verdict verdict);
void trace_login(struct broker_shard *broker, const struct conn *conn, const struct feature_client *client, struct feature_verdict verdict);
/* The server ends the connection, for this reason. */
void trace_disconnecting(struct broker_shard *broker, const struct session *session, uint8_t reason, const char *what);
/* Anything else about a session; NULL facts: nothing. */
void trace_session(struct broker_shard *broker, enum trace_event event, const struct session *session, const struct trace_facts *facts);
/* About a connection: a session's, or one whose CONNECT is being looked at. */
void trace_conn(struct broker_shard *broker, enum trace_event event, const struct conn *conn, const struct trace_facts *facts);
/* About a topic, and a session (NULL: none). */
void trace_topic(struct broker_shard *broker, enum trace_event event, const struct session *session, struct span topic, const struct trace_facts *facts);
/* RECORD_TRACE: the next messages of this publisher's connection from that shard are traced. */
void trace_follow(struct broker_shard *broker, uint32_t from, uint64_t publisher_conn, uint32_t traces);
/* Sets EXTRA_TRACE in broker->extras_bits as the set says: after the extras have changed. */
void trace_bits(struct broker_shard *broker);
/* A slice of INSPECT_TRACE. True: done. */
bool trace_install(struct broker_shard *broker, struct inspect *inspect, uint32_t budget);
void trace_finish(struct broker_shard *broker);

/* trace_ring.c */
struct trace_ring;
struct trace_ring *trace_node_ring(struct trace_node *node, uint32_t shard);
/* Room for a record of so many bytes, or NULL: then it is counted as lost for these traces. trace_ring_commit() makes it visible. */
struct trace_record *trace_ring_reserve(struct trace_ring *ring, uint32_t bytes, uint32_t traces);
void trace_ring_commit(struct trace_ring *ring, struct trace_record *record);

#endif
