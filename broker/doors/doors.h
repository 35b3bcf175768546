/* doors/doors.h - how clients come in: what the connections of a listener go through before MQTT (the filters of base/filter.h).
 *
 *     tcp, unix   [proxy]                     ws    [proxy] websocket
 *     tls         [proxy] tls                 wss   [proxy] tls websocket
 *
 * A door belongs to a listener: made and released by the control thread, read by all shards meanwhile. */
#ifndef RINGMQ_BROKER_DOORS_DOORS_H
#define RINGMQ_BROKER_DOORS_DOORS_H

#include "engine/shard.h"

/* The engine's handler verbs (engine/shard.h). */
bool door_open(struct listener *listener, char *ret_error, size_t error_bytes);
void door_close(struct listener *listener);
/* Every DOOR_TLS_TICK_S, and with `forced` on SIGHUP: files that have changed are read again. */
void door_tick(const struct listener *listener, bool forced);
bool door_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address);

/* At CONNECT: may the client come in that a proxy has named? Without such a name the socket's peer was judged at the door. */
bool door_client_allowed(struct shard *shard, struct conn *conn);
/* At CONNECT: the packet with the user name and client id that the door knows (from a certificate or a pre-shared key), in place of what
 * the client says. `connect` itself, or *ret_changed. */
struct mqtt_connect;
const struct mqtt_connect *door_names(const struct conn *conn, const struct mqtt_connect *connect, struct mqtt_connect *ret_changed);
/* The client's address for people: what a trusted proxy said, else the socket's. */
#define DOOR_PEER_BYTES_MAX 128
void door_peer_text(const struct conn *conn, const struct sockaddr_storage *address, char *ret_text, size_t bytes);

#endif
