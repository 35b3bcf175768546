/* ringmq_peer.h - clients as a test uses them: every call waits until it is done or the time is up, and what arrives is
 * kept.
 *
 * While one peer waits, all others of the same check are served too. */
#ifndef RINGMQ_CMD_PEER_H
#define RINGMQ_CMD_PEER_H

#include "cmd/ringmq_connection.h"

#define PEERS_MAX 8

/* A copy of a message that arrived, in order of arrival. */
struct peer_message {
    struct peer_message *next;
    struct mqtt_publish publish; /* spans point into `bytes` */
    bool had_alias;              /* it came with a topic alias */
    uint8_t bytes[];
};

struct peer {
    struct client client;
    struct check *check;
    struct peer_message *first, *last;
    uint16_t answer_id;       /* of the SUBACK or UNSUBACK that came last */
    enum mqtt_reason answer;  /* its first code */
    uint32_t published_count; /* QoS 1 and 2 publishes the server has answered */
    enum mqtt_reason published_reason;
};

struct check {
    const struct connection_options *options;
    struct client_settings settings; /* of MQTT 5, clean start, no client id yet */
    uint32_t wait_ms;
    char prefix[96];               /* of all topics */
    char tag[32];                  /* of all client ids */
    struct peer *peers[PEERS_MAX]; /* those that are open */
    uint32_t peers_count;
    char note[900]; /* what the capability under test has to say */
};

/* Opens a connection; the settings are the check's, changed by the caller. The client id is the check's tag and `name`;
 * NULL sends an empty one. False: not connected; the remark says why. Always pair with peer_close(). */
bool peer_open(struct peer *peer, struct check *check, const char *name, const struct client_settings *settings);
bool peer_reopen(struct peer *peer); /* resumes the session, on a new connection */
void peer_leave(struct peer *peer);  /* DISCONNECT, and keeps what arrived */
void peer_vanish(struct peer *peer); /* closes without a word */
void peer_close(struct peer *peer);  /* DISCONNECT if need be, and gives everything back */

/* False: refused, or no answer in time. */
bool peer_subscribe(struct peer *peer, const char *topic, struct mqtt_subscription how, uint32_t subscription_id);
/* Waits for the acknowledgement. */
bool peer_publish(struct peer *peer, const char *topic, const char *payload, struct mqtt_publish how);
/* The next message, waiting for it; NULL: none came. The caller releases it with memory_release(). */
struct peer_message *peer_take(struct peer *peer);
/* True when no message comes within wait_ms. */
bool peer_hears_nothing(struct peer *peer, uint32_t wait_ms);
/* Waits until the connection is over; false when it still lasts after wait_ms. */
bool peer_is_dropped(struct peer *peer, uint32_t wait_ms);
void peers_serve(struct check *check, uint32_t wait_ms);

bool message_is(const struct peer_message *message, const char *payload);

#endif
