/* http_connection.c - one connection: bytes in, a request at a time, its answer out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/http_inside.h"
#include "base/check.h"
#include "base/filter.h"
#include "base/log.h"
#include "base/memory.h"

#define LINGER_MS           2000
#define STREAM_BACKLOG_MAX  (256 * 1024) /* of a peer that reads too slowly: no more pieces until it has caught up */
#define FILE_PIECE          (64 * 1024)
#define IN_BYTES_MAX        (256 * 1024) /* of requests that wait behind the one at hand */

/* False: the system has no room for one more descriptor to watch. */
static bool watch(struct http_connection *connection)
{
    bool reads = connection->in.bytes < IN_BYTES_MAX && !connection->ended;
    struct epoll_event event = {.events = (reads ? EPOLLIN : 0u) | (connection->writable_wanted ? EPOLLOUT : 0u), .data.ptr = connection};
    /* A socket that has come to its end is reported again and again, whatever is asked for: not while a worker has the connection. */
    bool wanted = connection->state != HTTP_WORKING || !(connection->ended || connection->broken);
    if (!wanted && !connection->watched) return true;
    int what = !wanted ? EPOLL_CTL_DEL : connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(connection->server->epoll, what, connection->fd, &event) != 0) {
        CHECK(what == EPOLL_CTL_ADD);
        LOG_LIMITED(WARN, 1000, "admin connection closed", "what=\"it cannot be watched: %s\" peer=%s", strerror(errno), connection->exchange.peer);
        return false;
    }
    connection->watched = wanted;
    return true;
}

struct http_connection *http_connection_create(struct http_server *server, int fd, const char *peer)
{
    struct http_connection *connection = memory_acquire_zeroed(sizeof *connection);
    const struct http_options *options = &server->options;
    connection->server = server;
    connection->fd = fd;
    connection->exchange.file = -1;
    strncpy(connection->exchange.peer, peer, sizeof connection->exchange.peer - 1);
    connection->parser = http_parser_create(options->header_bytes_max, options->body_bytes_max);
    connection->tls = options->tls ? options->tls(options->tls_context) : NULL;
    connection->exchange.secure = connection->tls != NULL;
    connection->deadline_ms = server->now_ms + options->request_timeout_ms;
    list_init(&connection->work_link);
    list_append(&server->connections, &connection->link);
    server->connections_count++;
    if (watch(connection)) return connection;
    http_connection_release(connection);
    return NULL;
}

void http_connection_release(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    DCHECK(connection->state != HTTP_WORKING);
    list_remove(&connection->link);
    server->connections_count--;
    if (connection->streaming) server->streams_count--;
    http_exchange_clear(&connection->exchange);
    if (connection->tls) connection->tls->verbs->release(connection->tls);
    http_parser_release(connection->parser);
    http_text_release(&connection->in);
    http_text_release(&connection->out);
    http_text_release(&connection->wire);
    http_text_release(&connection->exchange.headers);
    http_text_release(&connection->exchange.body);
    close(connection->fd);
    memory_release(connection);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static size_t backlog(const struct http_connection *connection)
{
    return connection->out.bytes - connection->out_sent + connection->wire.bytes - connection->wire_sent;
}

/* Puts more of the exchange's file behind what is to be sent. False: it cannot be read. */
static bool file_refill(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    if (exchange->file < 0 || exchange->file_bytes == 0 || backlog(connection) > FILE_PIECE) return true;
    char piece[FILE_PIECE];
    size_t wanted = exchange->file_bytes < sizeof piece ? (size_t)exchange->file_bytes : sizeof piece;
    ssize_t got = read(exchange->file, piece, wanted);
    if (got <= 0) return false; /* shorter than it was: the answer cannot be finished */
    http_text_add(&connection->out, piece, (size_t)got);
    exchange->file_bytes -= (uint64_t)got;
    return true;
}

/* Sends from `text` what the socket takes. False: it is broken. */
static bool send_text(struct http_connection *connection, struct http_text *text, size_t *sent)
{
    while (*sent < text->bytes) {
        ssize_t took = send(connection->fd, text->data + *sent, text->bytes - *sent, MSG_NOSIGNAL);
        if (took < 0 && errno == EINTR) continue;
        if (took < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
        *sent += (size_t)took;
        connection->deadline_ms = connection->server->now_ms + connection->server->options.send_timeout_ms;
    }
    text->bytes = *sent = 0;
    if (text->capacity > 1024 * 1024) http_text_release(text);
    return true;
}

static bool next_request(struct http_connection *connection);

/* All of the answer has left. */
static bool answer_over(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    if (connection->close_after) {
        if (connection->tls && !connection->tls_ended) {
            http_tls_end(connection);
            if (!http_tls_send(connection) || !send_text(connection, &connection->wire, &connection->wire_sent)) return false;
        }
        shutdown(connection->fd, SHUT_WR);
        connection->state = HTTP_LINGERING;
        connection->deadline_ms = server->now_ms + LINGER_MS;
        connection->in.bytes = 0;
        return !connection->ended;
    }
    http_exchange_clear(&connection->exchange);
    http_parser_next(connection->parser);
    connection->state = HTTP_READING;
    connection->deadline_ms = server->now_ms + server->options.idle_timeout_ms;
    return next_request(connection);
}

/* Sends what there is. False: it is over. */
static bool flush(struct http_connection *connection)
{
    bool more;
    do {
        if (connection->state == HTTP_WRITING && !file_refill(connection)) return false;
        if (connection->tls) {
            size_t before;
            do { /* records are made a piece at a time */
                before = connection->out_sent;
                if (!http_tls_send(connection) || !send_text(connection, &connection->wire, &connection->wire_sent)) return false;
            } while (connection->wire.bytes == 0 && connection->out_sent > before && connection->out_sent < connection->out.bytes);
            if (connection->out_sent == connection->out.bytes) connection->out.bytes = connection->out_sent = 0;
        } else if (!send_text(connection, &connection->out, &connection->out_sent)) {
            return false;
        }
        more = connection->state == HTTP_WRITING && connection->exchange.file >= 0 && connection->exchange.file_bytes && backlog(connection) == 0; /* else it may be a worker's */
    } while (more);
    connection->writable_wanted = connection->tls ? connection->wire.bytes > connection->wire_sent : backlog(connection) > 0;
    if (connection->broken && !connection->writable_wanted) return false;
    if (connection->state == HTTP_WRITING && backlog(connection) == 0 && !connection->streaming && !answer_over(connection)) return false;
    return watch(connection);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

bool http_connection_refuse(struct http_connection *connection, int status, const char *what)
{
    char body[512];
    int bytes = snprintf(body, sizeof body, "{\"code\":\"%s\",\"message\":\"%s\"}\n", status == 503 ? "BUSY" : status == 408 ? "TIMEOUT" : "BAD_REQUEST", what);
    connection->close_after = true;
    connection->state = HTTP_WRITING;
    connection->exchange.request = NULL;
    http_answer(&connection->exchange, status, "application/json", span_of(body, (size_t)bytes));
    if (status == 503) http_add_header(&connection->exchange, "Retry-After", "1");
    if (status == 405) http_add_header(&connection->exchange, "Allow", "GET, HEAD, POST, PUT, DELETE");
    http_format(connection);
    connection->server->counts.refused_requests++;
    connection->server->counts.answers[status / 100]++;
    return flush(connection);
}

static bool request_begin(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    const struct http_request *request = http_parser_request(connection->parser);
    connection->exchange.request = request;
    connection->requests++;
    connection->close_after = !request->keep_alive || connection->requests >= server->options.requests_max;
    server->counts.requests++;
    if (!http_queue(server, connection)) return http_connection_refuse(connection, 503, "too many requests wait; try again");
    connection->deadline_ms = UINT64_MAX; /* the handler's time is ours */
    return true;
}

/* Parses what has arrived, as far as the end of one request. */
static bool next_request(struct http_connection *connection)
{
    struct http_text *in = &connection->in;
    while (connection->state == HTTP_READING && in->bytes) {
        bool begins = !http_parser_busy(connection->parser);
        size_t used;
        enum http_progress progress = http_parser_feed(connection->parser, span_of(in->data, in->bytes), &used);
        memmove(in->data, in->data + used, in->bytes - used);
        in->bytes -= used;
        if (begins && http_parser_busy(connection->parser)) /* empty lines before a request are none */
            connection->deadline_ms = connection->server->now_ms + connection->server->options.request_timeout_ms;
        if (progress == HTTP_FEED_REQUEST) {
            connection->state = HTTP_WORKING;
            return request_begin(connection);
        }
        if (progress == HTTP_FEED_CONTINUE) http_text_print(&connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
        if (progress != HTTP_FEED_REFUSED) continue;
        const char *what;
        int status = http_parser_refusal(connection->parser, &what);
        return http_connection_refuse(connection, status, what);
    }
    return true;
}

/* False: the socket is broken. */
static bool receive(struct http_connection *connection)
{
    uint8_t data[32 * 1024];
    while (connection->in.bytes < IN_BYTES_MAX) {
        ssize_t got = recv(connection->fd, data, sizeof data, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
        if (got == 0) {
            connection->ended = true;
            return true;
        }
        if (connection->state == HTTP_LINGERING) continue; /* nobody reads this any more */
        if (!connection->tls)
            http_text_add(&connection->in, data, (size_t)got);
        else if (!http_tls_receive(connection, data, (size_t)got) || connection->broken)
            return connection->broken;
        if (connection->ended) return true;
    }
    return true;
}

bool http_connection_event(struct http_connection *connection, bool readable, bool gone)
{
    if (gone) { /* a reset: nothing can be sent any more, and the socket would be reported again and again */
        connection->broken = true;
        if (connection->state == HTTP_WORKING) watch(connection);
        return connection->state == HTTP_WORKING;
    }
    if (readable && !receive(connection)) return connection->state == HTTP_WORKING ? (connection->broken = true) : false;
    if (connection->state == HTTP_WORKING) { /* the worker will be back; it is watched, or no longer: no room is needed */
        watch(connection);
        return true;
    }
    if (connection->state == HTTP_LINGERING) return !connection->ended;
    if (connection->state == HTTP_READING && !next_request(connection)) return false;
    if (connection->state == HTTP_READING && connection->ended) return false;
    if (connection->streaming && connection->ended) return false;
    if (connection->state == HTTP_LINGERING) return !connection->ended;
    return flush(connection);
}

bool http_connection_answered(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_exchange *exchange = &connection->exchange;
    connection->state = HTTP_WRITING;
    if (connection->broken || (connection->ended && connection->tls)) return false;
    if (exchange->stream && server->streams_count >= server->options.streams_max) {
        http_exchange_clear(exchange);
        return http_connection_refuse(connection, 503, "too many streams are open");
    }
    connection->deadline_ms = server->now_ms + server->options.send_timeout_ms;
    if (exchange->stream) connection->close_after = true;
    if (connection->ended) connection->close_after = true;
    server->counts.answers[exchange->status >= 100 && exchange->status < 600 ? exchange->status / 100 : 5]++;
    bool head = exchange->request->method == METHOD_HEAD;
    http_format(connection);
    if (head && exchange->file >= 0) exchange->file_bytes = 0;
    if (exchange->stream && !head) {
        connection->streaming = true;
        connection->stream_next_ms = server->now_ms;
        server->streams_count++;
    }
    return flush(connection);
}

static bool stream_tick(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    uint64_t now_ms = connection->server->now_ms;
    if (now_ms < connection->stream_next_ms) return true;
    connection->stream_next_ms = now_ms + exchange->stream_interval_ms;
    if (backlog(connection) > STREAM_BACKLOG_MAX) return true;
    if (backlog(connection) == 0) connection->deadline_ms = now_ms + connection->server->options.send_timeout_ms;
    struct http_text piece = {0};
    bool more = exchange->stream(exchange->stream_context, &piece);
    if (piece.bytes) http_format_chunk(connection, &piece);
    http_text_release(&piece);
    if (!more) {
        http_format_chunk(connection, &(struct http_text){0});
        connection->streaming = false;
        connection->server->streams_count--;
    }
    return flush(connection);
}

bool http_connection_tick(struct http_connection *connection)
{
    if (connection->streaming && !stream_tick(connection)) return false;
    if (connection->state == HTTP_WORKING || connection->server->now_ms < connection->deadline_ms) return true;
    connection->server->counts.timeouts++;
    bool slow = connection->state == HTTP_READING && http_parser_busy(connection->parser);
    return slow && http_connection_refuse(connection, 408, "the request took too long to arrive");
}
