/* TCP: every address a name has is tried in turn, IPv6 and IPv4 as the resolver orders them. Unix sockets: a path. */
#include "cmd/ringmq_net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_net_filters.h"

static enum net_status failed(struct net *net, const char *doing, const char *what, const char *advice)
{
    snprintf(net->error, sizeof net->error, "%s %s: %s%s", doing, net->settings.name, what, advice);
    return NET_FAILED;
}

static const char *advice_for(int error)
{
    switch (error) {
    case ECONNREFUSED: return " (nobody listens there: is the broker running, and is this its port?)";
    case ETIMEDOUT: return " (a firewall may be dropping the packets)";
    case ENETUNREACH:
    case EHOSTUNREACH: return " (no route from this machine)";
    case EADDRNOTAVAIL: return " (is -A an address of this machine?)";
    default: return "";
    }
}

static enum net_status look_up(const char *host, const char *port, int family, struct addrinfo **ret_addresses,
                               const char **ret_what)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int code = getaddrinfo(host, port, &hints, ret_addresses);
    if (code == 0) return NET_DONE;
    *ret_what = code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
    return NET_FAILED;
}

static int bind_to(const char *bind_address, int fd, int family)
{
    struct addrinfo *own;
    const char *what;
    if (look_up(bind_address, "0", family, &own, &what) != NET_DONE) return EADDRNOTAVAIL;
    int result = bind(fd, own->ai_addr, own->ai_addrlen) < 0 ? errno : 0;
    freeaddrinfo(own);
    return result;
}

static void drop_socket(struct net *net)
{
    if (net->fd >= 0) close(net->fd);
    net->fd = -1;
}

/* One address. 0, or an errno. */
static int tcp_start(struct net *net)
{
    const struct addrinfo *address = net->address;
    net->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (net->fd < 0) return errno;
    if (net->settings.bind_address) {
        int error = bind_to(net->settings.bind_address, net->fd, address->ai_family);
        if (error) return error;
    }
    if (net->settings.no_delay) setsockopt(net->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    net->attempt_until_ms = clock_now_ms() + net->settings.attempt_ms;
    if (connect(net->fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) return 0;
    return errno;
}

/* Tries from net->address on until one attempt is under way. `error` is why the previous one did not work out. */
static enum net_status tcp_start_next(struct net *net, int error)
{
    for (; net->address; net->address = net->address->ai_next) {
        error = tcp_start(net);
        if (error == 0) return NET_WAIT;
        drop_socket(net);
    }
    return failed(net, "cannot connect to", strerror(error), advice_for(error));
}

static enum net_status tcp_open(struct net *net)
{
    char port[8];
    snprintf(port, sizeof port, "%u", net->settings.port);
    const char *what;
    if (look_up(net->settings.host, port, AF_UNSPEC, &net->addresses, &what) != NET_DONE)
        return failed(net, "cannot look up", what, " (check the host name given with -h or in the URL)");
    net->address = net->addresses;
    return tcp_start_next(net, 0);
}

static void forget_addresses(struct net *net)
{
    if (net->addresses) freeaddrinfo(net->addresses);
    net->addresses = net->address = NULL;
}

static enum net_status tcp_progress(struct net *net)
{
    struct pollfd look = {.fd = net->fd, .events = POLLOUT};
    int ready = poll(&look, 1, 0);
    int error = 0;
    if (ready <= 0) {
        if (clock_now_ms() < net->attempt_until_ms) return NET_WAIT;
        error = ETIMEDOUT;
    } else {
        getsockopt(net->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
    }
    if (error == 0) {
        forget_addresses(net);
        return NET_DONE;
    }
    drop_socket(net);
    net->address = net->address->ai_next;
    return tcp_start_next(net, error);
}

static enum net_status tcp_receive(struct net *net, void *out, size_t capacity, size_t *ret_bytes)
{
    ssize_t got = recv(net->fd, out, capacity, 0);
    if (got > 0) {
        *ret_bytes = (size_t)got;
        return NET_DONE;
    }
    if (got == 0) return NET_CLOSED;
    if (errno == EAGAIN || errno == EINTR) return NET_WAIT;
    return failed(net, "lost the connection to", strerror(errno), "");
}

static enum net_status tcp_send(struct net *net, const void *bytes, size_t count, size_t *ret_bytes)
{
    ssize_t sent = send(net->fd, bytes, count, MSG_NOSIGNAL);
    if (sent >= 0) {
        *ret_bytes = (size_t)sent;
        return NET_DONE;
    }
    if (errno == EAGAIN || errno == EINTR) return NET_WAIT;
    return failed(net, "lost the connection to", strerror(errno), "");
}

static void tcp_finish(struct net *net)
{
    shutdown(net->fd, SHUT_WR);
}

static void tcp_close(struct net *net)
{
    drop_socket(net);
    forget_addresses(net);
}

const struct net_transport net_tcp = {
    .name = "tcp",
    .open = tcp_open,
    .progress = tcp_progress,
    .receive = tcp_receive,
    .send = tcp_send,
    .finish = tcp_finish,
    .close = tcp_close,
};

/* ---- Unix sockets ---- */

static const char *unix_advice(int error)
{
    switch (error) {
    case ENOENT: return " (is the broker running, with a unix listener there?)";
    case ECONNREFUSED: return " (nobody listens there any more: is the broker running?)";
    case EACCES: return " (the socket's owner, group and mode say who may)";
    case EAGAIN: return " (too many wait to be accepted)";
    default: return "";
    }
}

/* Connects at once or never. */
static enum net_status unix_open(struct net *net)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(net->settings.host) >= sizeof address.sun_path) return failed(net, "cannot connect to", "the path is longer than 107 bytes", "");
    strcpy(address.sun_path, net->settings.host);
    net->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (net->fd >= 0 && connect(net->fd, (struct sockaddr *)&address, sizeof address) == 0) return NET_WAIT;
    int error = errno;
    drop_socket(net);
    return failed(net, "cannot connect to", strerror(error), unix_advice(error));
}

static enum net_status unix_progress(struct net *net) { return NET_DONE; }

const struct net_transport net_unix = {
    .name = "unix",
    .open = unix_open,
    .progress = unix_progress,
    .receive = tcp_receive,
    .send = tcp_send,
    .finish = tcp_finish,
    .close = tcp_close,
};

/* ---- the stream ---- */

static bool has_filters(const struct net *net)
{
    enum endpoint_kind kind = net->settings.endpoint->kind;
    return kind != ENDPOINT_TCP && kind != ENDPOINT_UNIX;
}

void net_init(struct net *net, const struct net_settings *settings)
{
    const struct net_transport *transport = settings->endpoint->kind == ENDPOINT_UNIX ? &net_unix : &net_tcp;
    *net = (struct net){.transport = transport, .settings = *settings, .fd = -1};
}

enum net_status net_open(struct net *net)
{
    return net->transport->open(net);
}

static enum net_status progress(struct net *net)
{
    if (net->filters) return net_filters_progress(net);
    enum net_status status = net->transport->progress(net);
    if (status != NET_DONE || !has_filters(net)) return status;
    net->attempt_until_ms = clock_now_ms() + net->settings.attempt_ms;
    net_filters_begin(net);
    return net_filters_progress(net);
}

enum net_status net_progress(struct net *net)
{
    enum net_status status = progress(net);
    net->opened = status == NET_DONE;
    return status;
}

enum net_status net_receive(struct net *net, void *out, size_t capacity, size_t *ret_bytes)
{
    return net->filters ? net_filters_receive(net, out, capacity, ret_bytes) : net->transport->receive(net, out, capacity, ret_bytes);
}

enum net_status net_send(struct net *net, const void *bytes, size_t count, size_t *ret_bytes)
{
    return net->filters ? net_filters_send(net, bytes, count, ret_bytes) : net->transport->send(net, bytes, count, ret_bytes);
}

void net_finish(struct net *net)
{
    if (net->filters)
        net_filters_finish(net);
    else
        net->transport->finish(net);
}

void net_close(struct net *net)
{
    net_filters_release(net);
    if (net->transport) net->transport->close(net);
    net->opened = false;
}

short net_events(const struct net *net)
{
    bool opening = !net->opened && !net->filters;
    return opening || (net->filters && net_filters_writing(net)) ? POLLOUT : 0;
}

bool net_pending(const struct net *net) { return net->filters && net_filters_pending(net); }

static bool parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || port == 0 || port > 65535) return false;
    *ret_port = (uint16_t)port;
    return true;
}

bool net_split_address(const char *text, char *host, size_t host_capacity, uint16_t *ret_port)
{
    const char *begin = text, *end, *port = NULL;
    if (text[0] == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        if (end == NULL || (end[1] && end[1] != ':')) return false;
        if (end[1] == ':') port = end + 2;
    } else {
        const char *colon = strchr(text, ':');
        bool many = colon && strchr(colon + 1, ':');
        end = colon && !many ? colon : text + strlen(text);
        if (colon && !many) port = colon + 1;
    }
    size_t bytes = (size_t)(end - begin);
    if (bytes == 0 || bytes >= host_capacity) return false;
    if (port && !parse_port(port, ret_port)) return false;
    memcpy(host, begin, bytes);
    host[bytes] = 0;
    return true;
}
