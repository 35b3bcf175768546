#include "engine/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool listener_parse_bind(const char *bind, struct sockaddr_storage *ret_address, socklen_t *ret_bytes, char *ret_error,
                         size_t error_bytes)
{
    char host[256] = "";
    const char *colon = strrchr(bind, ':'), *port = colon ? colon + 1 : bind;
    size_t host_bytes = colon ? (size_t)(colon - bind) : 0;
    const char *host_start = bind;
    if (host_bytes >= 2 && bind[0] == '[' && bind[host_bytes - 1] == ']') {
        host_start++;
        host_bytes -= 2;
    }
    if (host_bytes >= sizeof host) {
        snprintf(ret_error, error_bytes, "the host in \"%s\" is too long", bind);
        return false;
    }
    memcpy(host, host_start, host_bytes);
    char *end;
    unsigned long number = strtoul(port, &end, 10);
    if (*port == 0 || *end != 0 || number > 65535) {
        snprintf(ret_error, error_bytes, "\"%s\" has no port between 0 and 65535; write HOST:PORT, [IPV6]:PORT or PORT",
                 bind);
        return false;
    }
    struct addrinfo hints = {.ai_family = host[0] ? AF_UNSPEC : AF_INET6, .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    int failed = getaddrinfo(host[0] && strcmp(host, "*") != 0 ? host : NULL, port, &hints, &found);
    if (failed) {
        snprintf(ret_error, error_bytes, "the host \"%s\" is unknown: %s", host, gai_strerror(failed));
        return false;
    }
    memcpy(ret_address, found->ai_addr, found->ai_addrlen);
    *ret_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool listener_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return address->ss_family == AF_INET6 &&
           (IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}

/* What a listening socket hands on to those it accepts; may be set again while it listens. */
static bool options_set(const struct listener_settings *settings, int fd, int family, const char **ret_what)
{
    int no_delay = settings->tcp_nodelay, probes = settings->tcp_keepalive_s != 0, probe_s = (int)settings->tcp_keepalive_s;
    int timeout_ms = (int)settings->tcp_user_timeout_ms;
    int send_bytes = (int)settings->send_buffer_bytes, receive_bytes = (int)settings->receive_buffer_bytes;
    if (send_bytes) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (family == AF_UNIX) return true;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &probes, sizeof probes);
    if (probes) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_s, sizeof probe_s);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    *ret_what = "set the congestion control of";
    return !settings->congestion || !settings->congestion[0] ||
           setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, settings->congestion, (socklen_t)strlen(settings->congestion)) == 0;
}

static int socket_open(const struct listener_settings *settings, const struct sockaddr_storage *address, socklen_t bytes,
                       const char **ret_what)
{
    int one = 1, six_only = settings->ipv6_only;
    *ret_what = "open a socket for";
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (address->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof six_only);
    if (!options_set(settings, fd, address->ss_family, ret_what)) goto failed;
    *ret_what = "bind";
    if (bind(fd, (const struct sockaddr *)address, bytes) != 0) goto failed;
    *ret_what = "listen on";
    if (listen(fd, (int)settings->backlog) != 0) goto failed;
    return fd;
failed:;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

bool listener_change(const struct listener *listener, uint32_t shards_count, const int *fds, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *settings = listener->settings;
    int family = settings->kind == LISTENER_UNIX ? AF_UNIX : AF_INET;
    for (uint32_t shard = 0; shard < shards_count; shard++) {
        const char *what = "listen on";
        if (options_set(settings, fds[shard], family, &what) && listen(fds[shard], (int)settings->backlog) == 0) continue;
        snprintf(ret_error, error_bytes, "cannot %s %s (listeners.%s.%s): %s", what, settings->bind, listener_kind_names[settings->kind],
                 settings->name, strerror(errno));
        return false;
    }
    return true;
}

static uint16_t *port_of(struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)address)->sin6_port
                                          : &((struct sockaddr_in *)address)->sin_port;
}

/* SO_REUSEPORT would let a second broker of the same user share the port in silence: ask once without it. */
static bool address_taken(const struct sockaddr_storage *address, socklen_t bytes, bool v6_only)
{
    int one = 1, six_only = v6_only, fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof six_only);
    bool taken = bind(fd, (const struct sockaddr *)address, bytes) != 0 && errno == EADDRINUSE;
    close(fd);
    return taken;
}

#define TAKEN_TRIES    80
#define TAKEN_RETRY_US 50000

bool listener_open(struct listener *listener, uint32_t shards_count, int *fds, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *settings = listener->settings;
    struct sockaddr_storage address;
    socklen_t bytes;
    if (settings->kind == LISTENER_UNIX) return listener_open_unix(listener, shards_count, fds, ret_error, error_bytes);
    if (!listener_parse_bind(settings->bind, &address, &bytes, ret_error, error_bytes)) return false;
    /* A broker that was killed keeps its port until the kernel has taken down its rings: a moment's patience. */
    for (int tries = 0; *port_of(&address) && tries < TAKEN_TRIES - 1 && address_taken(&address, bytes, settings->ipv6_only); tries++)
        usleep(TAKEN_RETRY_US);
    if (*port_of(&address) && address_taken(&address, bytes, settings->ipv6_only)) {
        snprintf(ret_error, error_bytes, "cannot bind %s (listeners.%s.%s.bind): %s; another broker may be running there",
                 settings->bind, listener_kind_names[settings->kind], settings->name, strerror(EADDRINUSE));
        return false;
    }
    for (uint32_t shard = 0; shard < shards_count; shard++) {
        const char *what;
        fds[shard] = socket_open(settings, &address, bytes, &what);
        if (fds[shard] < 0) {
            snprintf(ret_error, error_bytes, "cannot %s %s (listeners.%s.%s.bind): %s", what, settings->bind,
                     listener_kind_names[settings->kind], settings->name, strerror(errno));
            while (shard--)
                close(fds[shard]);
            return false;
        }
        if (*port_of(&address) == 0) { /* the others share what the first was given */
            struct sockaddr_storage bound = {0};
            socklen_t bound_bytes = sizeof bound;
            getsockname(fds[shard], (struct sockaddr *)&bound, &bound_bytes);
            *port_of(&address) = *port_of(&bound);
        }
    }
    listener->port = ntohs(*port_of(&address));
    return true;
}
