/* slow_names.c - for LD_PRELOAD: a resolver whose name servers say nothing. A name that ends with ".slow" is looked up for as long as the file SLOW_NAMES_UNTIL is not there;
 * then it is 127.0.0.1. Those looked up are written to the file's name with ".asked" behind it, a line each. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = (__typeof__(next))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *until = getenv("SLOW_NAMES_UNTIL"), *dot = host ? strrchr(host, '.') : NULL;
    if (!until || !dot || strcmp(dot, ".slow") != 0 || (hints && hints->ai_flags & AI_NUMERICHOST)) return next(host, service, hints, ret);
    char text[4096];
    snprintf(text, sizeof text, "%s.asked", until);
    int fd = open(text, O_WRONLY | O_APPEND | O_CREAT, 0600);
    int bytes = snprintf(text, sizeof text, "%s\n", host);
    if (fd < 0 || write(fd, text, (size_t)bytes) != bytes) abort();
    close(fd);
    while (access(until, F_OK) != 0)
        usleep(10000);
    return next("127.0.0.1", service, hints, ret);
}
