#include "broker/http_post.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/resolve.h"

#define HEADER_BYTES_MAX 8192
#define LOOK_MS 100

/* How long it may take, and who may give it up. */
struct patience {
    uint64_t deadline_ms;
    const _Atomic bool *given_up;
};

struct address {
    char host[256], port[6], path[1024];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool url_split(const char *url, struct address *ret_address)
{
    if (strncasecmp(url, "http://", 7) != 0) return false;
    const char *host = url + 7, *end = host + strcspn(host, "/?#"), *port = NULL, *host_end = end;
    if (*host == '[') {
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end) return false;
        if (host_end[1] == ':') port = host_end + 2;
        host++;
    } else if ((port = memchr(host, ':', (size_t)(end - host)))) {
        host_end = port++;
    }
    int host_bytes = snprintf(ret_address->host, sizeof ret_address->host, "%.*s", (int)(host_end - host), host);
    int port_bytes = snprintf(ret_address->port, sizeof ret_address->port, "%.*s", port ? (int)(end - port) : 2, port ? port : "80");
    int path_bytes = snprintf(ret_address->path, sizeof ret_address->path, "%s%s", *end == '/' ? "" : "/", end);
    return host_bytes > 0 && host_bytes < (int)sizeof ret_address->host && port_bytes > 0 && port_bytes < (int)sizeof ret_address->port &&
           path_bytes < (int)sizeof ret_address->path && !strpbrk(url, " \r\n\t");
}

/* True: `events` came before the deadline. */
static bool wait_for(int fd, short events, const struct patience *patience)
{
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd look = {.fd = fd, .events = events};
        if (now >= patience->deadline_ms || atomic_load(patience->given_up)) return false;
        uint64_t left = patience->deadline_ms - now;
        int ready = poll(&look, 1, left > LOOK_MS ? LOOK_MS : (int)left);
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return false;
    }
}

/* A connected socket, or -1 with a phrase. */
static int connect_to(const struct address *address, const struct patience *patience, const char **ret_wrong)
{
    struct resolve_addresses found;
    char error_text[160];
    *ret_wrong = "its name cannot be resolved";
    if (!resolve(address->host, address->port, patience->deadline_ms, patience->given_up, &found, error_text, sizeof error_text)) {
        if (now_ms() >= patience->deadline_ms) *ret_wrong = "its name was not resolved in time";
        return -1;
    }
    int fd = -1;
    for (uint32_t i = 0; i < found.count && fd < 0; i++) {
        const struct resolve_address *one = &found.addresses[i];
        int error = 0;
        fd = socket(one->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) continue;
        bool under_way = connect(fd, (const struct sockaddr *)&one->address, one->bytes) == 0 || errno == EINPROGRESS;
        bool settled = under_way && wait_for(fd, POLLOUT, patience);
        if (settled) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
        if (settled && error == 0) break;
        *ret_wrong = under_way && !settled ? "it does not answer in time" : "it does not accept connections";
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool send_all(int fd, struct span bytes, const struct patience *patience)
{
    while (bytes.bytes) {
        ssize_t sent = send(fd, bytes.data, bytes.bytes, MSG_NOSIGNAL);
        if (sent > 0) bytes = span_skip(bytes, (size_t)sent);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
        if (sent < 0 && !wait_for(fd, POLLOUT, patience)) return false;
    }
    return true;
}

/* All until the peer's end, into `room`. */
static const char *receive_all(int fd, uint8_t *room, size_t room_bytes, const struct patience *patience, size_t *ret_bytes)
{
    *ret_bytes = 0;
    for (;;) {
        if (!wait_for(fd, POLLIN, patience)) return "it does not answer in time";
        ssize_t got = recv(fd, room + *ret_bytes, room_bytes - *ret_bytes, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got < 0) return "it broke the connection off";
        if (got == 0) return NULL;
        *ret_bytes += (size_t)got;
        if (*ret_bytes == room_bytes) return "its answer is too large";
    }
}

/* The body of a 200. */
static const char *body_of(const uint8_t *answer, size_t bytes, struct span *ret_body)
{
    static const char length[] = "\r\ncontent-length:";
    const uint8_t *end = memmem(answer, bytes, "\r\n\r\n", 4);
    if (!end || bytes < 12 || memcmp(answer, "HTTP/1.", 7) != 0) return "its answer is not HTTP";
    if (memcmp(answer + 8, " 200", 4) != 0) return "it answers with an HTTP error";
    *ret_body = span_of(end + 4, bytes - (size_t)(end + 4 - answer));
    for (const uint8_t *at = answer; at < end; at++) {
        if (strncasecmp((const char *)at, length, sizeof length - 1) != 0) continue;
        unsigned long promised = strtoul((const char *)at + sizeof length - 1, NULL, 10);
        if (promised > ret_body->bytes) return "its answer breaks off";
        ret_body->bytes = promised;
    }
    return NULL;
}

const char *http_post(const char *url, const char *content_type, struct span body, size_t answer_bytes_max, uint64_t deadline_ms,
                      const _Atomic bool *given_up, uint8_t **ret_body, size_t *ret_body_bytes)
{
    struct address address;
    struct patience patience = {deadline_ms, given_up};
    const char *wrong;
    if (!url_split(url, &address)) return "its URL is not of the form http://host[:port]/path";
    int fd = connect_to(&address, &patience, &wrong);
    if (fd < 0) return wrong;
    char head[2048];
    bool six = strchr(address.host, ':') != NULL;
    int head_bytes = snprintf(head, sizeof head, "POST %s HTTP/1.0\r\nHost: %s%s%s:%s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                              address.path, six ? "[" : "", address.host, six ? "]" : "", address.port, content_type, body.bytes);
    size_t room_bytes = HEADER_BYTES_MAX + answer_bytes_max, bytes = 0;
    uint8_t *answer = memory_acquire(room_bytes + 1);
    struct span found = {0};
    bool sent = send_all(fd, span_of(head, (size_t)head_bytes), &patience) && send_all(fd, body, &patience);
    wrong = sent ? receive_all(fd, answer, room_bytes, &patience, &bytes) : "it does not take the request";
    close(fd);
    answer[bytes] = 0;
    if (!wrong) wrong = body_of(answer, bytes, &found);
    if (!wrong) {
        *ret_body = memory_acquire(found.bytes + 1);
        memcpy(*ret_body, found.data, found.bytes);
        *ret_body_bytes = found.bytes;
    }
    memory_release(answer);
    return wrong;
}
