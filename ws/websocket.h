/* websocket.h - the WebSocket filter (RFC 6455; MQTT 5.0 §6): an HTTP upgrade, then binary frames.
 *
 *     up      frames of any size and fragmentation become one stream of bytes, unmasked and moved together where they lie
 *     down    what leaves in a turn becomes one binary frame: a head in front of it, no copy
 *
 * Pings are answered, a close frame is answered and ends the stream. Text frames are an error (1003), as is anything that RFC 6455 tells a
 * server to fail a connection for (1002, 1007, 1009).
 * Memory: about 64 bytes for an idle connection; while the handshake lasts what ws/upgrade.h says; 125 while a control frame arrives. */
#ifndef RINGMQ_WS_WEBSOCKET_H
#define RINGMQ_WS_WEBSOCKET_H

#include "base/filter.h"
#include "ws/request.h"
#include "ws/upgrade.h"

/* `options` must outlive the filter. `trusted`: see upgrade_create(). */
struct filter *websocket_create(const struct websocket_options *options, bool trusted);
/* Before its first bytes: there is a PROXY filter below it; see upgrade_behind(). */
void websocket_behind(struct filter *filter, const struct filter *proxy);

/* The other end, on a connection that we opened: its own bytes are the request from the beginning, what leaves is masked (change()),
 * what comes must not be. `options` must outlive the filter. */
struct filter *websocket_client_create(const struct websocket_client_options *options);

#endif
