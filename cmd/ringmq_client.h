/* ringmq_client.h - the MQTT client: one session and the connection that serves it, driven by poll().
 *
 * A turn: poll client_pollfd() no longer than until client_wake_ms(), then client_turn(). Everything that happened is
 * told through the events, from inside client_turn(). Reopening with client_open() resumes the session: unacknowledged
 * messages are sent again, with DUP if the server still knows the session.
 *
 *     CLOSED ─open─► CONNECTING ─► HANDSHAKING ─CONNACK─► ONLINE ─disconnect─► LEAVING ─► CLOSING ─► CLOSED
 *                        └──────────────┴──── whatever goes wrong: client.end says what ─────┴────────► CLOSED
 *
 * Owner:   whoever declared the struct; client_release() gives back what it holds. Spans in the settings must outlive
 *          it; what is handed to client_publish() is copied.
 * Threads: one. Units: _ms are CLOCK_MONOTONIC. */
#ifndef RINGMQ_CMD_CLIENT_H
#define RINGMQ_CMD_CLIENT_H

#include "cmd/ringmq_net.h"
#include "proto/alias.h"
#include "proto/decode.h"
#include "proto/incoming.h"
#include "proto/inflight.h"

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_HANDSHAKING,
    CLIENT_ONLINE,
    CLIENT_LEAVING,
    CLIENT_CLOSING
};

/* Why the last connection ended. */
enum client_cause {
    CLIENT_CAUSE_NONE,         /* there was none, or it lasts */
    CLIENT_CAUSE_LOCAL,        /* client_disconnect(), client_abort() */
    CLIENT_CAUSE_UNREACHABLE,  /* no connection, or no CONNACK in time */
    CLIENT_CAUSE_REFUSED,      /* CONNACK with `reason` */
    CLIENT_CAUSE_DISCONNECTED, /* DISCONNECT with `reason` */
    CLIENT_CAUSE_LOST,         /* closed or broken without a word, or silent for longer than the keep-alive */
    CLIENT_CAUSE_PROTOCOL,     /* the server broke the protocol */
};

struct client_end {
    enum client_cause cause;
    enum mqtt_reason reason; /* SUCCESS when there is none */
    char text[720];          /* for people */
};

struct client_settings {
    struct net_settings net;
    uint32_t connack_ms;         /* from the open connection to CONNACK */
    struct mqtt_connect connect; /* what the first connection asks; later ones have clean_start off if `resume` */
    bool resume;                 /* reopening continues the session */
    uint16_t inflight_max;       /* our own ceiling beside the server's Receive Maximum; 0: none */
    bool no_ping;                /* for tests of the server: let the keep-alive run out */
    bool hold_acks;              /* for tests of the server: QoS 1 stays unacknowledged until client_release_acks() */
};

/* What CONNACK announced, with the standard's defaults filled in. */
struct client_server {
    bool session_present;
    uint16_t receive_maximum, topic_alias_maximum, keep_alive_s;
    uint8_t maximum_qos;
    bool retain_available, wildcard_available, subscription_ids_available, shared_available;
    uint32_t packet_bytes_max; /* 0: no limit announced */
    uint64_t announced;        /* bits of the properties that were really there */
};

/* Any may be NULL. Spans live until the callback returns. Callbacks may call anything here but client_release(). */
struct client_events {
    void (*online)(void *context, const struct mqtt_connack *connack);
    void (*message)(void *context, const struct mqtt_publish *publish);
    /* The final answer to a QoS 1 or 2 publish. */
    void (*published)(void *context, uint64_t token, enum mqtt_reason reason);
    /* SUBACK or UNSUBACK. */
    void (*answered)(void *context, enum mqtt_packet_type type, const struct mqtt_suback *suback);
    void (*trace)(void *context, bool sent, const struct mqtt_packet *packet);
};

struct client_buffer {
    uint8_t *data;
    size_t begin, end, capacity; /* begin … end is what waits */
};

struct client {
    struct client_settings settings;
    const struct client_events *events;
    void *context;

    enum client_state state;
    struct client_end end;
    struct client_server server;
    struct net net;
    struct client_buffer in, out;
    struct mqtt_inflight inflight;
    struct mqtt_incoming incoming;
    struct mqtt_alias_in aliases;
    bool opened_before, resend_as_new, finished;
    char *client_id;          /* the one in use: ours, or the one the server assigned */
    uint16_t request_id_last; /* of SUBSCRIBE and UNSUBSCRIBE: counted down, publishes count up */
    uint16_t alias_known;     /* the topic alias the server has learnt, and for which topic */
    char *alias_topic;
    uint16_t *held_acks;
    uint32_t held_count, held_capacity;
    struct mqtt_properties leave_properties;
    enum mqtt_reason leave_reason;
    uint64_t state_until_ms;                /* deadline of a state that has one, else UINT64_MAX */
    uint64_t sent_ms, received_ms, ping_ms; /* ping_ms 0: none unanswered */
};

void client_init(struct client *client, const struct client_settings *settings, const struct client_events *events,
                 void *context);
void client_release(struct client *client);

/* Starts to connect. When that fails at once the state is CLOSED again and client->end says why. Only while CLOSED. */
void client_open(struct client *client);
/* Says DISCONNECT with this reason and properties (NULL: none; must live until CLOSED), after what is queued and after
 * the QoS 1 and 2 exchanges under way, and closes. From now on messages that arrive are neither handed on nor
 * acknowledged. */
void client_disconnect(struct client *client, enum mqtt_reason reason, const struct mqtt_properties *properties);
/* Closes without a word: the server will publish the will. */
void client_abort(struct client *client);

struct pollfd client_pollfd(const struct client *client);
uint64_t client_wake_ms(const struct client *client); /* UINT64_MAX: nothing is due */
void client_turn(struct client *client);

/* True when ONLINE, the quota has room and not too many bytes wait to be sent. */
bool client_can_publish(const struct client *client, uint8_t qos);
/* True when nothing waits to be sent or acknowledged. */
bool client_idle(const struct client *client);
/* Sends a copy. Only while client_can_publish(). A topic alias the server does not allow is left out, one it knows
 * already takes the topic's place. SUCCESS: QoS 1 and 2 are answered with the event `published`. Else nothing was sent:
 * PACKET_TOO_LARGE, QOS_NOT_SUPPORTED, RETAIN_NOT_SUPPORTED, by what the server announced. */
enum mqtt_reason client_publish(struct client *client, const struct mqtt_publish *publish, uint64_t token);
/* Both return the packet id; 0 when the packet is larger than the server takes. Only while ONLINE. */
uint16_t client_subscribe(struct client *client, const struct mqtt_subscription *subscriptions, uint32_t count,
                          const struct mqtt_properties *properties);
uint16_t client_unsubscribe(struct client *client, const struct span *filters, uint32_t count,
                            const struct mqtt_properties *properties);
void client_release_acks(struct client *client);

#endif
