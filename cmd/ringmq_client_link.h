/* ringmq_client_link.h - inside the client only: its connection, its buffers, its clock. */
#ifndef RINGMQ_CMD_CLIENT_LINK_H
#define RINGMQ_CMD_CLIENT_LINK_H

#include "cmd/ringmq_client.h"

/* ringmq_client.c: one packet has arrived. */
void client_packet(struct client *client, struct mqtt_packet *packet);

/* Appends to what will be sent. Does nothing once the connection is closed. */
void link_queue(struct client *client, const struct mqtt_packet *packet);
void link_queue_bytes(struct client *client, struct span packet);
/* The connection is over, for this reason: CLOSED. Only the first reason counts. */
void link_end(struct client *client, enum client_cause cause, enum mqtt_reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The server broke the protocol: says so with DISCONNECT (5.0), then ends. */
void link_break(struct client *client, enum mqtt_reason reason, const char *what);
/* Gives back what belongs to one connection. */
void link_close(struct client *client);

#endif
