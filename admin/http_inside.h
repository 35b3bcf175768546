/* http_inside.h - what the files of the server share. */
#ifndef RINGMQ_ADMIN_HTTP_INSIDE_H
#define RINGMQ_ADMIN_HTTP_INSIDE_H

#include <pthread.h>

#include "admin/http.h"
#include "base/list.h"

enum http_state {
    HTTP_READING,  /* a request, or its first byte */
    HTTP_WORKING,  /* a worker has it */
    HTTP_WRITING,  /* the answer */
    HTTP_LINGERING /* has said all; waits for the peer's end, so that a reset does not eat the answer */
};

struct http_connection {
    struct list link;         /* of the server */
    struct list work_link;    /* of waiting or finished work */
    struct http_server *server;
    int fd;
    enum http_state state;
    struct http_parser *parser;
    struct filter *tls;       /* NULL: none */
    struct http_text in;      /* decoded, not yet parsed */
    struct http_text out;     /* plain, to be sent; `out_sent` of it has gone */
    size_t out_sent;
    struct http_text wire;    /* TLS records, to be sent */
    size_t wire_sent;
    struct http_exchange exchange;
    bool watched, close_after, ended, broken, streaming, writable_wanted, tls_ended;
    uint32_t requests;
    uint64_t deadline_ms;     /* when it is given up */
    uint64_t stream_next_ms;
};

struct http_server {
    struct http_options options;
    http_handler *handler;
    void *context;
    int listener, epoll, wake; /* wake: an eventfd, written by workers and by http_stop() */
    uint16_t port;
    pthread_t thread;
    pthread_t *workers;
    uint32_t workers_count; /* that run */
    bool has_thread;
    pthread_mutex_t lock;     /* of what follows */
    pthread_cond_t work;
    struct list waiting, finished;
    uint32_t waiting_count;
    bool stopping;
    /* the admin thread's */
    struct list connections;
    uint32_t connections_count, streams_count;
    uint64_t now_ms;
    struct http_counts counts; /* written by the admin thread, read with relaxed loads */
};

uint64_t http_now_ms(void);
const char *http_status_text(int status);

/* http_connection.c, all on the admin thread */
/* NULL: it cannot be watched, and has been closed. */
struct http_connection *http_connection_create(struct http_server *server, int fd, const char *peer);
void http_connection_release(struct http_connection *connection);
/* The socket is readable or writable, or gone: both ways are closed. False: it is over, release it. */
bool http_connection_event(struct http_connection *connection, bool readable, bool gone);
/* The worker has answered. */
bool http_connection_answered(struct http_connection *connection);
/* Time has passed: streams, time-outs. */
bool http_connection_tick(struct http_connection *connection);
/* An answer without a worker, after which the connection ends. */
bool http_connection_refuse(struct http_connection *connection, int status, const char *what);

/* http_answer.c: the head of the exchange's answer, with its body or as the beginning of a stream. */
void http_format(struct http_connection *connection);
/* A piece of a stream as an HTTP chunk; 0 bytes: the end. */
void http_format_chunk(struct http_connection *connection, const struct http_text *piece);
void http_exchange_clear(struct http_exchange *exchange);

/* http_tls.c: true when all is well. */
bool http_tls_receive(struct http_connection *connection, uint8_t *data, size_t bytes);
/* Moves what can be moved from `out` (and the filter's own bytes) to `wire`. */
bool http_tls_send(struct http_connection *connection);
void http_tls_end(struct http_connection *connection);

/* http_server.c */
bool http_queue(struct http_server *server, struct http_connection *connection); /* false: too many wait */

#endif
