/* ringmq_net_filters.h - the filters (TLS, WebSocket) of one stream of ringmq_net.h: what the socket carries is not what its user
 * reads and writes. Inside ringmq_net*.c only. */
#ifndef RINGMQ_CMD_NET_FILTERS_H
#define RINGMQ_CMD_NET_FILTERS_H

#include "cmd/ringmq_net.h"

struct net_filters;

/* After the socket is connected. */
void net_filters_begin(struct net *net);
void net_filters_release(struct net *net);
/* Goes on with the handshakes. */
enum net_status net_filters_progress(struct net *net);
enum net_status net_filters_receive(struct net *net, void *out, size_t capacity, size_t *ret_bytes);
enum net_status net_filters_send(struct net *net, const void *bytes, size_t count, size_t *ret_bytes);
void net_filters_finish(struct net *net);
/* Bytes wait for the socket; bytes wait for the user. */
bool net_filters_writing(const struct net *net);
bool net_filters_pending(const struct net *net);

#endif
