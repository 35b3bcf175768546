/* upgrade.h - the HTTP/1.1 request that turns a connection into a WebSocket (RFC 6455 §4.2), and its answer.
 *
 * Refused with a sentence in the body: 400 (not HTTP, not an upgrade as RFC 6455 wants it, no acceptable subprotocol), 403 (origin), 404
 * (path), 405 (method), 426 (plain HTTP, or another version of WebSocket), 431 (too large).
 * Owner: the WebSocket filter, until the handshake is over. Bytes: at most options->header_bytes_max and a few hundred. */
#ifndef RINGMQ_WS_UPGRADE_H
#define RINGMQ_WS_UPGRADE_H

#include "base/cidr.h"
#include "base/filter.h"
#include "base/span.h"

/* What a listener asks of an upgrade. The texts are the listener's. */
struct websocket_options {
    const char *path;             /* "/mqtt" */
    bool subprotocol_required;    /* refuse who does not offer `mqtt` or `mqttv3.1`; who offers others only is refused either way */
    const char *allowed_origins;  /* commas between them, a star for any part; "": any. Else one of these, or no Origin at all */
    uint32_t header_bytes_max;
    uint64_t frame_bytes_max;     /* 0: no limit */
    bool x_forwarded_for, x_real_ip; /* which header names the client, when a trusted proxy sends it */
    struct cidr_list trusted_proxies;
};

enum upgrade_status { UPGRADE_MORE, UPGRADE_ACCEPTED, UPGRADE_REFUSED };

struct upgrade;

/* `trusted`: the bytes come from one of the trusted proxies, so that its header may name the client. */
struct upgrade *upgrade_create(const struct websocket_options *options, bool trusted);
/* Between them and us there is a PROXY filter: what it says (FACT_ADDRESS) by the time the request is whole must be one of the trusted proxies,
 * too. Else the header was written by the client that the filter names. It must outlive the upgrade. */
void upgrade_behind(struct upgrade *upgrade, const struct filter *proxy);
void upgrade_release(struct upgrade *upgrade);
/* Takes bytes of the request. *ret_consumed: all, or up to its end. After another answer than MORE it is not called again. */
enum upgrade_status upgrade_receive(struct upgrade *upgrade, struct span input, size_t *ret_consumed);
/* The response, after ACCEPTED or REFUSED. */
struct span upgrade_response(const struct upgrade *upgrade);
const char *upgrade_reason(const struct upgrade *upgrade); /* why it was refused, for the log */
struct span upgrade_client(const struct upgrade *upgrade); /* the client's address from the proxy's header; empty: none */

#endif
