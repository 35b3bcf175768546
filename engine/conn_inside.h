/* conn_inside.h - what the files that make up a connection (conn.c, conn_move.c, accept.c, filters.c) share. */
#ifndef RINGMQ_ENGINE_CONN_INSIDE_H
#define RINGMQ_ENGINE_CONN_INSIDE_H

#include "engine/conn.h"

/* Bytes for the layer above: to received(), or kept until it wants them or the next turn comes. */
void conn_input(struct shard *shard, struct conn *conn, struct span bytes);
/* After the input of one receive: goes on with moving, closing, receiving. */
void conn_input_over(struct shard *shard, struct conn *conn);
/* The other side has ended it. */
void conn_end(struct shard *shard, struct conn *conn, enum conn_end why);
void conn_receive_arm(struct shard *shard, struct conn *conn);
void conn_receive_cancel(struct shard *shard, struct conn *conn);
void conn_carry_release(struct shard *shard, struct conn *conn);
/* For outbuf_release(): the handler's release(). */
void conn_release_piece(void *shard, void *owner);
/* Run each time something the kernel borrowed comes back. */
void conn_close_join(struct shard *shard, struct conn *conn);
void conn_move_join(struct shard *shard, struct conn *conn);
/* A slot for a descriptor. NULL: there is none. */
struct conn *conn_begin(struct shard *shard, int fd, uint8_t listener);
const char *conn_listener_name(const struct shard *shard, const struct conn *conn);

#endif
