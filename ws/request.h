/* request.h - our request to make a WebSocket of a connection that we opened (RFC 6455 §4.1), and a look at the server's answer.
 *
 * Owner: the WebSocket filter, until the handshake is over. Bytes: the request, and of the response the headers that count. */
#ifndef RINGMQ_WS_REQUEST_H
#define RINGMQ_WS_REQUEST_H

#include "base/span.h"

/* The texts outlive the filter. */
struct websocket_client_options {
    const char *host;    /* as the Host header says it: "broker.example:8083" */
    const char *path;    /* "/mqtt" */
    const char *headers; /* more of them, each "Name: value\r\n"; "" */
    uint64_t (*random)(void *context); /* for the key and the masks (§5.3): nobody should be able to guess it */
    void *context;
};

enum request_status { REQUEST_MORE, REQUEST_ACCEPTED, REQUEST_REFUSED };

struct request;

struct request *request_create(const struct websocket_client_options *options);
void request_release(struct request *request);
struct span request_bytes(const struct request *request); /* what to send */
/* Takes bytes of the answer. *ret_consumed: all, or up to its end. After another answer than MORE it is not called again. */
enum request_status request_receive(struct request *request, struct span input, size_t *ret_consumed);
const char *request_reason(const struct request *request); /* REFUSED: a phrase; lives as long as the request */

#endif
