/* slow_calls.c - for LD_PRELOAD: calls that do not come back until a file is there.
 *
 *     SLOW_NAMES_UNTIL   getaddrinfo() of a name that ends with ".slow", as with name servers that say nothing; then it is 127.0.0.1
 *     SLOW_STORE_UNTIL   fdatasync() of what lies in a store, which its reading begins with
 * What waits is written to the file's name with ".asked" behind it, a line each. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_until(const char *until, const char *what)
{
    char text[8192];
    snprintf(text, sizeof text, "%s.asked", until);
    int fd = open(text, O_WRONLY | O_APPEND | O_CREAT, 0600);
    int bytes = snprintf(text, sizeof text, "%s\n", what);
    if (fd < 0 || write(fd, text, (size_t)bytes) != bytes) abort();
    close(fd);
    while (access(until, F_OK) != 0)
        usleep(10000);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = (__typeof__(next))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *until = getenv("SLOW_NAMES_UNTIL"), *dot = host ? strrchr(host, '.') : NULL;
    if (!until || !dot || strcmp(dot, ".slow") != 0 || (hints && hints->ai_flags & AI_NUMERICHOST)) return next(host, service, hints, ret);
    wait_until(until, host);
    return next("127.0.0.1", service, hints, ret);
}

int fdatasync(int fd)
{
    char link[64], path[4096];
    const char *until = getenv("SLOW_STORE_UNTIL");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = until ? readlink(link, path, sizeof path - 1) : 0;
    path[bytes > 0 ? bytes : 0] = 0;
    if (strstr(path, "/store/")) wait_until(until, path);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
