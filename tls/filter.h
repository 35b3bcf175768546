/* filter.h - the place of TLS and WebSocket: a filter turns bytes into bytes between a connection and the protocol.
 *
 *     socket ─ engine/conn ─ [filter] ─ proto          down: what the peer sent      up: what the protocol is to see
 *
 * A filter does no I/O, reads no clock and starts no thread: it is given bytes and room, and says what it used, what it made and
 * what it wants next. So it can be tested without a socket and moved with its connection to another shard. Plain TCP has no
 * filter: the engine tests one pointer.
 *
 * This header is the contract; its first implementation comes with the TLS listeners.
 * Owner:   the connection. Threads: the shard the connection lives on. Units: bytes. */
#ifndef RINGMQ_TLS_FILTER_H
#define RINGMQ_TLS_FILTER_H

#include "base/span.h"

struct filter;

enum filter_wants {
    FILTER_GOES_ON,   /* nothing special: call again with more bytes */
    FILTER_TO_SEND,   /* it has bytes of its own for the peer (a handshake, a pong): call send() with nothing to send */
    FILTER_ENDED,     /* the peer has ended the stream in an orderly way */
    FILTER_FAILED     /* the peer broke the filter's protocol: close; reason() says how */
};

struct filter_step {
    size_t consumed;  /* of the input */
    size_t produced;  /* into the output */
    enum filter_wants wants;
};

struct filter_verbs {
    const char *name; /* "tls", "websocket": for the log */
    /* Bytes from the peer become bytes for the protocol. */
    struct filter_step (*receive)(struct filter *filter, struct span input, uint8_t *output, size_t output_bytes);
    /* Bytes from the protocol become bytes for the peer. An empty input asks for what the filter itself has to say. */
    struct filter_step (*send)(struct filter *filter, struct span input, uint8_t *output, size_t output_bytes);
    /* Room that send() may need for `bytes` of input. */
    size_t (*send_bytes_max)(const struct filter *filter, size_t bytes);
    const char *(*reason)(const struct filter *filter);
    void (*release)(struct filter *filter);
};

#endif
