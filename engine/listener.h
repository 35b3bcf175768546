/* listener.h - listening sockets: one per listener and shard, sharing an address by SO_REUSEPORT.
 *
 * Opened by the control thread before the shards run, so that an address that cannot be had is an error at start. */
#ifndef RINGMQ_ENGINE_LISTENER_H
#define RINGMQ_ENGINE_LISTENER_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "base/settings.h"

/* Numbers of listeners: a connection remembers its own in one byte. A changed one gets a new number, and the old one stays in use until the
 * last connection that came by it has gone. */
#define LISTENERS_MAX 255

/* What a listener counts, with whatever options its connections came. name, documentation */
#define LISTENER_EVENTS_TABLE(X)                                                                                                   \
    X(accepted, "sockets accepted")                                                                                                \
    X(refused_too_many, "max_connections of the listener or the node")                                                             \
    X(refused_no_descriptor, "the process has no descriptor or memory left")                                                       \
    X(refused_address, "the listener's allow and deny lists")                                                                      \
    X(refused_proxy, "not one of the trusted proxies")                                                                             \
    X(handshake_timeouts, "PROXY header, TLS handshake or WebSocket upgrade not over in time")                                     \
    X(filter_errors, "a mistake in TLS, WebSocket or the PROXY header")                                                            \
    X(connect_timeouts, "no CONNECT in time")                                                                                      \
    X(clients_accepted, "CONNECT packets accepted")                                                                                \
    X(clients_refused, "CONNECT packets answered with an error")

enum listener_event {
#define LISTENER_EVENT(name, documentation) LISTENER_##name,
    LISTENER_EVENTS_TABLE(LISTENER_EVENT)
#undef LISTENER_EVENT
    LISTENER_EVENTS
};

/* Of a listener with whatever options connections came. Its counts begin anew when it was closed and comes back. */
struct listener_total {
    _Atomic uint32_t connections;
    _Atomic uint64_t events[LISTENER_EVENTS]; /* by any shard: all of them are rare beside a connection's other work */
    uint32_t versions; /* numbers that count here; the control thread's */
};

struct listener {
    const struct listener_settings *settings; /* NULL: the number is free */
    uint16_t port;          /* the one the kernel chose when 0 was asked for */
    uint64_t file_device, file_inode; /* of a Unix socket */
    bool admits;            /* connections go through the handler's admit() */
    bool asks_peer;         /* and it wants to know the address */
    uint32_t version;       /* tells one from the next under the same number */
    void *above;            /* the handler's */
    _Atomic uint32_t connections; /* over all shards */
    _Atomic uint32_t shards_open; /* that may still accept */
    struct listener_total *total; /* NULL: `connections` is all */
};

static inline void listener_event(struct listener *listener, enum listener_event event)
{
    if (listener->total) atomic_fetch_add_explicit(&listener->total->events[event], 1, memory_order_relaxed);
}

/* Splits "HOST:PORT", "[HOST]:PORT", ":PORT" or "PORT" into an address. False with a sentence in ret_error. */
bool listener_parse_bind(const char *bind, struct sockaddr_storage *ret_address, socklen_t *ret_bytes, char *ret_error,
                         size_t error_bytes);
/* True for 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool listener_is_loopback(const struct sockaddr_storage *address);
/* Opens the sockets of all shards into fds[shards_count]. False with a sentence in ret_error, and none left open. */
bool listener_open(struct listener *listener, uint32_t shards_count, int *fds, char *ret_error, size_t error_bytes);
/* Sets the options of open sockets to the listener's settings. False with a sentence in ret_error. */
bool listener_change(const struct listener *listener, uint32_t shards_count, const int *fds, char *ret_error, size_t error_bytes);
/* A Unix socket (listener_unix.c): one for all shards, since a path can be bound only once; fds are its descriptors. A socket file nobody
 * listens on any more is replaced. */
bool listener_open_unix(struct listener *listener, uint32_t shards_count, int *fds, char *ret_error, size_t error_bytes);
/* Removes the file unless somebody has put another in its place. */
void listener_unlink_unix(const struct listener *listener);

#endif
