/* http_server.c - the admin thread and its workers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "admin/http_inside.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/listener.h"

#define TICK_MS     100 /* how exactly time-outs and streams are kept */
#define EVENTS_MAX  64

uint64_t http_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void wake(struct http_server *server)
{
    uint64_t one = 1;
    ssize_t written = write(server->wake, &one, sizeof one);
    (void)written; /* a full counter is awake */
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

bool http_queue(struct http_server *server, struct http_connection *connection)
{
    pthread_mutex_lock(&server->lock);
    bool fits = server->waiting_count < server->options.waiting_max;
    if (fits) {
        list_append(&server->waiting, &connection->work_link);
        server->waiting_count++;
        pthread_cond_signal(&server->work);
    }
    pthread_mutex_unlock(&server->lock);
    return fits;
}

static void *worker_thread(void *argument)
{
    struct http_server *server = argument;
    log_thread_attach("admin worker");
    pthread_setname_np(pthread_self(), "admin worker");
    pthread_mutex_lock(&server->lock);
    for (;;) {
        while (list_empty(&server->waiting) && !server->stopping)
            pthread_cond_wait(&server->work, &server->lock);
        if (server->stopping) break;
        struct http_connection *connection = CONTAINER_OF(server->waiting.next, struct http_connection, work_link);
        list_remove(&connection->work_link);
        server->waiting_count--;
        pthread_mutex_unlock(&server->lock);
        server->handler(server->context, &connection->exchange);
        pthread_mutex_lock(&server->lock);
        list_append(&server->finished, &connection->work_link);
        wake(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void finished_take(struct http_server *server)
{
    struct list finished;
    list_init(&finished);
    pthread_mutex_lock(&server->lock);
    list_take_all(&finished, &server->finished);
    pthread_mutex_unlock(&server->lock);
    while (!list_empty(&finished)) {
        struct http_connection *connection = CONTAINER_OF(finished.next, struct http_connection, work_link);
        list_remove(&connection->work_link);
        if (!http_connection_answered(connection)) http_connection_release(connection);
    }
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void peer_text(const struct sockaddr_storage *address, char *ret_text, size_t bytes)
{
    char host[INET6_ADDRSTRLEN] = "unknown";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(ret_text, bytes, "%s:%u", host, ntohs(four->sin_port));
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(ret_text, bytes, "[%s]:%u", host, ntohs(six->sin6_port));
    }
}

static void accept_all(struct http_server *server)
{
    for (;;) {
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        int fd = accept4(server->listener, (struct sockaddr *)&address, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EINTR) continue;
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ECONNABORTED) {
                LOG_LIMITED(WARN, 1000, "admin connection not accepted", "error=\"%s\"", strerror(errno));
                usleep(10000); /* no descriptor is left: it stays readable */
            }
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        server->counts.connections_accepted++;
        char peer[HTTP_PEER_BYTES_MAX];
        peer_text(&address, peer, sizeof peer);
        bool full = server->connections_count >= server->options.connections_max;
        if (full && (server->options.tls || server->connections_count >= 2 * server->options.connections_max)) {
            server->counts.connections_refused++;
            close(fd);
            continue;
        }
        struct http_connection *connection = http_connection_create(server, fd, peer);
        if (!connection || !full) continue;
        server->counts.connections_refused++;
        LOG_LIMITED(WARN, 1000, "admin connection refused", "reason=too_many_connections peer=%s", peer);
        if (!http_connection_refuse(connection, 503, "too many connections")) http_connection_release(connection);
    }
}

static void tick(struct http_server *server)
{
    LIST_FOR_EACH(link, &server->connections)
    {
        struct http_connection *connection = CONTAINER_OF(link, struct http_connection, link);
        if (!http_connection_tick(connection)) http_connection_release(connection);
    }
}

static bool stopping(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool is = server->stopping;
    pthread_mutex_unlock(&server->lock);
    return is;
}

static void *server_thread(void *argument)
{
    struct http_server *server = argument;
    log_thread_attach("admin");
    pthread_setname_np(pthread_self(), "admin");
    uint64_t tick_ms = 0;
    while (!stopping(server)) {
        struct epoll_event events[EVENTS_MAX];
        int timeout_ms = server->connections_count ? TICK_MS : -1; /* asleep when nobody is there */
        int count = epoll_wait(server->epoll, events, EVENTS_MAX, timeout_ms);
        server->now_ms = http_now_ms();
        for (int i = 0; i < count; i++) {
            struct http_connection *connection = events[i].data.ptr;
            if (events[i].data.ptr == &server->listener || events[i].data.ptr == &server->wake) continue;
            bool readable = events[i].events & EPOLLIN, gone = events[i].events & (EPOLLHUP | EPOLLERR);
            if (!http_connection_event(connection, readable, gone)) http_connection_release(connection);
        }
        for (int i = 0; i < count; i++) { /* these may release connections that have events of their own above */
            if (events[i].data.ptr == &server->listener) accept_all(server);
            uint64_t number;
            if (events[i].data.ptr == &server->wake && read(server->wake, &number, sizeof number) > 0) finished_take(server);
        }
        if (server->now_ms < tick_ms) continue;
        tick_ms = server->now_ms + TICK_MS;
        tick(server);
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static int listener_socket(const char *bind_text, uint16_t *ret_port, char *ret_error, size_t error_bytes)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    if (!listener_parse_bind(bind_text, &address, &bytes, ret_error, error_bytes)) return -1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0 &&
                listen(fd, 256) == 0 && getsockname(fd, (struct sockaddr *)&address, &bytes) == 0;
    if (!good) {
        snprintf(ret_error, error_bytes, "cannot listen on %s: %s; set admin.bind to another address, or admin.enable = false", bind_text, strerror(errno));
        if (fd >= 0) close(fd);
        return -1;
    }
    *ret_port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port : ((struct sockaddr_in6 *)&address)->sin6_port);
    return fd;
}

struct http_server *http_start(const struct http_options *options, http_handler *handler, void *context, char *ret_error, size_t error_bytes)
{
    uint16_t port = 0;
    int listener = listener_socket(options->bind, &port, ret_error, error_bytes);
    if (listener < 0) return NULL;
    struct http_server *server = memory_acquire_zeroed(sizeof *server);
    server->options = *options;
    server->handler = handler;
    server->context = context;
    server->listener = listener;
    server->port = port;
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->now_ms = http_now_ms();
    list_init(&server->connections);
    list_init(&server->waiting);
    list_init(&server->finished);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->work, NULL);
    struct epoll_event accepts = {.events = EPOLLIN, .data.ptr = &server->listener}, wakes = {.events = EPOLLIN, .data.ptr = &server->wake};
    server->workers = memory_acquire(options->workers * sizeof *server->workers);
    bool watched = server->epoll >= 0 && server->wake >= 0 && epoll_ctl(server->epoll, EPOLL_CTL_ADD, listener, &accepts) == 0 &&
                   epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->wake, &wakes) == 0;
    int error = watched ? 0 : errno;
    while (!error && server->workers_count < options->workers && !(error = pthread_create(&server->workers[server->workers_count], NULL, worker_thread, server)))
        server->workers_count++;
    if (!error) error = pthread_create(&server->thread, NULL, server_thread, server);
    server->has_thread = !error;
    if (!error) return server;
    snprintf(ret_error, error_bytes, "cannot start the HTTP server: %s", strerror(error));
    http_stop(server);
    return NULL;
}

void http_stop(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->work);
    pthread_mutex_unlock(&server->lock);
    if (server->has_thread) wake(server);
    for (uint32_t i = 0; i < server->workers_count; i++)
        pthread_join(server->workers[i], NULL);
    if (server->has_thread) pthread_join(server->thread, NULL);
    while (!list_empty(&server->connections)) {
        struct http_connection *connection = CONTAINER_OF(server->connections.next, struct http_connection, link);
        connection->state = HTTP_LINGERING; /* whatever it was doing */
        http_connection_release(connection);
    }
    close(server->listener);
    if (server->epoll >= 0) close(server->epoll);
    if (server->wake >= 0) close(server->wake);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->work);
    memory_release(server->workers);
    memory_release(server);
}

uint16_t http_port(const struct http_server *server) { return server->port; }

void http_counts(struct http_server *server, struct http_counts *ret_counts)
{
    *ret_counts = server->counts; /* whole words; a moment old */
    ret_counts->connections = server->connections_count;
    ret_counts->streams = server->streams_count;
    pthread_mutex_lock(&server->lock);
    ret_counts->waiting = server->waiting_count;
    pthread_mutex_unlock(&server->lock);
}
