/* dial.c - see dial.h. */
#include "features/auth/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/resolve.h"
#include "features/auth/auth.h"

#define NAME_PRINT 100 /* characters of a server's name in a message */

static bool find(const char *host, const char *port, uint64_t deadline_ms, struct resolve_addresses *ret_addresses, char *ret_error, size_t error_bytes)
{
    char reason[120];
    if (resolve(host, port, deadline_ms, NULL, ret_addresses, reason, sizeof reason)) return true;
    bool late = auth_now_ms() >= deadline_ms;
    snprintf(ret_error, error_bytes, late ? "%.*s: %s (timeout)" : "%.*s: %s", NAME_PRINT, host, reason);
    return false;
}

bool auth_resolve(const char *host, uint64_t deadline_ms, struct auth_text *ret_addresses, char *ret_error, size_t error_bytes)
{
    struct resolve_addresses found;
    char text[RESOLVE_TEXT_BYTES];
    if (!find(host, "0", deadline_ms, &found, ret_error, error_bytes)) return false;
    resolve_text(&found, text, sizeof text);
    auth_text_add(ret_addresses, span_of_string(text));
    return true;
}

/* False: the deadline came first. */
static bool wait_for(int fd, short events, uint64_t deadline_ms)
{
    struct pollfd entry = {.fd = fd, .events = events};
    uint64_t now_ms = auth_now_ms();
    return now_ms < deadline_ms && poll(&entry, 1, (int)(deadline_ms - now_ms)) > 0;
}

/* -1 with errno. */
static int connect_to(const struct sockaddr *address, socklen_t bytes, uint64_t deadline_ms)
{
    int one = 1, error = 0, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t error_bytes = sizeof error;
    if (fd < 0) return -1;
    if (address->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bool fine = connect(fd, address, bytes) == 0;
    if (!fine && errno == EINPROGRESS)
        fine = wait_for(fd, POLLOUT, deadline_ms) ? getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) == 0 && (errno = error) == 0
                                                  : (errno = ETIMEDOUT, false);
    if (fine) return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int dial_unix(const char *path, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return snprintf(ret_error, error_bytes, "the socket's path is too long"), -1;
    strcpy(address.sun_path, path);
    int fd = connect_to((const struct sockaddr *)&address, sizeof address, deadline_ms);
    if (fd < 0) snprintf(ret_error, error_bytes, "%.*s: %m", NAME_PRINT, path);
    return fd;
}

int auth_dial(const char *host, const char *port, uint64_t deadline_ms, char *ret_error, size_t error_bytes)
{
    struct resolve_addresses found;
    int fd = -1;
    if (host[0] == '/') return dial_unix(host, deadline_ms, ret_error, error_bytes);
    if (!find(host, port, deadline_ms, &found, ret_error, error_bytes)) return -1;
    for (uint32_t i = 0; i < found.count && fd < 0; i++) {
        fd = connect_to((const struct sockaddr *)&found.addresses[i].address, found.addresses[i].bytes, deadline_ms);
        if (fd < 0) snprintf(ret_error, error_bytes, "%.*s:%s: %m", NAME_PRINT, host, port);
    }
    return fd;
}
