/* ringmq_net.h - a byte stream to a server, non-blocking, behind a small table of verbs.
 *
 * Owner:   whoever declared the struct net; net_close() gives everything back and may be called at any time.
 * Threads: one.
 * Failure: NET_FAILED, and net->error says what, where and, if we know, what to do. net_open() alone may block: it asks
 * the resolver for addresses. A step of a TLS handshake takes a millisecond. */
#ifndef RINGMQ_CMD_NET_H
#define RINGMQ_CMD_NET_H

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/ringmq_endpoint.h"

enum net_status {
    NET_DONE,   /* it is done; `*ret_bytes` says how many bytes where it matters */
    NET_WAIT,   /* poll for net_events() and call again */
    NET_CLOSED, /* the peer sends no more */
    NET_FAILED, /* see net->error */
};

struct net_settings {
    const struct endpoint *endpoint; /* what else goes over the socket than bytes; outlives the stream */
    const char *name;                /* of the server, for people */
    const char *host;                /* or the path of a Unix socket */
    uint16_t port;
    const char *bind_address; /* NULL: the system chooses */
    bool no_delay;
    uint32_t attempt_ms; /* for each address the name has, and again for the handshakes of TLS and WebSocket */
};

struct net;

/* What a socket must be able to do: TCP and Unix sockets. TLS and WebSocket lie above it (ringmq_net_filters.h). */
struct net_transport {
    const char *name;
    enum net_status (*open)(struct net *net);     /* starts; NET_WAIT, or NET_FAILED */
    enum net_status (*progress)(struct net *net); /* goes on with opening: NET_DONE when bytes can be sent */
    enum net_status (*receive)(struct net *net, void *out, size_t capacity, size_t *ret_bytes);
    enum net_status (*send)(struct net *net, const void *bytes, size_t count, size_t *ret_bytes);
    void (*finish)(struct net *net); /* we send no more; the peer may still */
    void (*close)(struct net *net);
};

extern const struct net_transport net_tcp, net_unix;

struct net_filters;

struct net {
    const struct net_transport *transport;
    struct net_settings settings;
    int fd;                     /* -1: closed */
    struct addrinfo *addresses; /* while opening: all the name has */
    struct addrinfo *address;   /* while opening: the one being tried */
    uint64_t attempt_until_ms;  /* while opening: when to go on to the next, or to give up */
    bool opened;                /* net_progress() has said NET_DONE */
    struct net_filters *filters; /* NULL: none, or the socket is not connected yet */
    char error[640];
};

void net_init(struct net *net, const struct net_settings *settings);
enum net_status net_open(struct net *net);
enum net_status net_progress(struct net *net);
enum net_status net_receive(struct net *net, void *out, size_t capacity, size_t *ret_bytes);
enum net_status net_send(struct net *net, const void *bytes, size_t count, size_t *ret_bytes);
void net_finish(struct net *net);
void net_close(struct net *net);
/* What poll() shall wait for beside POLLIN: POLLOUT while opening a socket and while bytes wait that net_send() has taken. */
short net_events(const struct net *net);
/* net_receive() has something whatever poll() says. */
bool net_pending(const struct net *net);

/* Splits "host", "host:port", "[v6]" and "[v6]:port"; an IPv6 address without brackets has no port. `*ret_port` stays
 * untouched when there is none. Writes the host into `host` (NUL-terminated). False when it is none of these. */
bool net_split_address(const char *text, char *host, size_t host_capacity, uint16_t *ret_port);

#endif
