/* http.h - the admin's HTTP/1.1 server: one thread that waits for sockets (epoll), a few workers that answer.
 *
 *     sockets ─► admin thread: bytes, TLS, parsing, limits, time-outs ─► queue ─► a worker: handler(exchange) ─► back: bytes out
 *
 * A handler may block (it asks shards, hashes passwords, reads files); while all workers are busy, requests wait, and beyond `waiting_max` they are
 * answered 503. Nothing of this ever runs on a shard.
 *
 * Owner:   http_start() to http_stop(), on the control thread. Threads: an exchange belongs to its worker until the handler returns.
 * Limits:  struct http_options. A peer that is slow with its request is answered 408, one that does not read its answer is cut off.
 * Streams: http_stream(): after the handler the connection is fed by a function on the admin thread, in HTTP chunks, as long as the peer reads. */
#ifndef RINGMQ_ADMIN_HTTP_H
#define RINGMQ_ADMIN_HTTP_H

#include "admin/http_parse.h"

struct filter;
struct http_server;

struct http_options {
    const char *bind;            /* "127.0.0.1:18083"; port 0: any free one */
    uint32_t workers;
    uint32_t connections_max;    /* more are answered 503 and closed */
    uint32_t streams_max;        /* of them; more: 503 */
    uint32_t waiting_max;        /* requests that wait for a worker */
    uint32_t header_bytes_max;
    uint64_t body_bytes_max;
    uint32_t request_timeout_ms; /* from its first byte to its last, and the TLS handshake */
    uint32_t idle_timeout_ms;    /* between requests */
    uint32_t send_timeout_ms;    /* for a peer to take anything at all of an answer */
    uint32_t requests_max;       /* on one connection */
    struct filter *(*tls)(void *tls_context); /* NULL: none */
    void *tls_context;
};

/* Bytes that are appended to. */
struct http_text {
    char *data;
    size_t bytes, capacity;
};
void http_text_add(struct http_text *text, const void *data, size_t bytes);
void http_text_print(struct http_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void http_text_release(struct http_text *text);

#define HTTP_PEER_BYTES_MAX 64

/* One request and its answer. */
struct http_exchange {
    const struct http_request *request;
    char peer[HTTP_PEER_BYTES_MAX];  /* "127.0.0.1:4711" */
    bool secure;                     /* by TLS */
    /* the answer; without http_answer() it is 500 */
    int status;
    struct http_text headers;        /* "Name: value\r\n" */
    struct http_text body;
    /* a stream in place of a body */
    bool (*stream)(void *context, struct http_text *ret_piece); /* a piece every stream_interval_ms; false: the end */
    void (*stream_end)(void *context);
    void *stream_context;
    uint32_t stream_interval_ms;
    /* a file in place of a body: taken over and closed */
    int file;                        /* -1: none */
    uint64_t file_bytes;
};

typedef void http_handler(void *context, struct http_exchange *exchange);

/* NULL with a sentence in ret_error. */
struct http_server *http_start(const struct http_options *options, http_handler *handler, void *context, char *ret_error, size_t error_bytes);
/* Ends the threads; handlers that run are waited for. */
void http_stop(struct http_server *server);
uint16_t http_port(const struct http_server *server);

/* The handler's calls. content_type NULL: there is no body. The body is copied. */
void http_answer(struct http_exchange *exchange, int status, const char *content_type, struct span body);
/* Values are checked: one with a line break is left out. */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);
void http_stream(struct http_exchange *exchange, const char *content_type, uint32_t interval_ms,
                 bool (*stream)(void *context, struct http_text *ret_piece), void (*end)(void *context), void *context);
void http_file(struct http_exchange *exchange, const char *content_type, int file, uint64_t bytes);

/* Counters since the start, for the metrics. */
struct http_counts {
    uint64_t connections_accepted, connections_refused, requests, refused_requests, timeouts;
    uint64_t answers[6]; /* by hundreds of the status; 0 unused */
    uint32_t connections, streams, waiting;
};
void http_counts(struct http_server *server, struct http_counts *ret_counts);

#endif
