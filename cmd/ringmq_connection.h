/* ringmq_connection.h - the options every subcommand that connects has, and what they become: settings of the client.
 */
#ifndef RINGMQ_CMD_CONNECTION_H
#define RINGMQ_CMD_CONNECTION_H

#include "cmd/ringmq_client.h"
#include "cmd/ringmq_options.h"
#include "cmd/ringmq_property.h"

struct connection_options {
    /* network */
    struct endpoint_options endpoint;
    const char *bind_address;
    bool no_delay;
    uint32_t connect_ms; /* for one address, again for the handshakes of TLS and WebSocket, and again for CONNACK */
    const char *user_name, *password;
    const char *topic_of_url; /* NULL: no -L, or one without a topic */

    /* session */
    const char *client_id, *client_id_prefix;
    uint32_t keep_alive_s;
    enum mqtt_version version;
    bool keep_session;
    uint32_t inflight_max; /* 0: as the server allows */
    struct property_set properties[PROPERTY_COMMANDS];
    bool retry;
    uint32_t retry_pause_ms_max;
    bool debug, quiet;

    /* will */
    const char *will_topic, *will_payload;
    uint32_t will_qos;
    bool will_retain;

    char host_text[256], id_text[300]; /* what host and client_id may point to */
    struct endpoint settled;           /* by connection_settle() */
};

extern const struct option connection_network_options[];
extern const uint32_t connection_network_options_count;
extern const struct option connection_session_options[];
extern const uint32_t connection_session_options_count;
extern const struct option connection_will_options[];
extern const uint32_t connection_will_options_count;

void connection_options_init(struct connection_options *options);
void connection_options_release(struct connection_options *options);
/* Judges the options together, reads what files they name and makes the client's settings of them; `role` is part of a made-up client id ("pub").
 * Complains and returns false when they make no sense. The settings point into the options. */
bool connection_settle(struct connection_options *options, const char *role, struct client_settings *ret_settings);
/* host[:port], as a positional argument. Complains. */
bool connection_take_address(struct connection_options *options, const char *text);

#endif
