#include "cmd/ringmqd_notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void notify(const char *state, int flags)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof address.sun_path) return;
    strcpy(address.sun_path, path);
    if (path[0] == '@') address.sun_path[0] = 0; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    sendto(fd, state, strlen(state), MSG_NOSIGNAL | flags, (struct sockaddr *)&address, bytes);
    close(fd);
}

void notify_ready(void) { notify("READY=1", 0); }
void notify_stopping(void) { notify("STOPPING=1", 0); }
/* Who does not read them must not stop the control thread: the next one will do. */
void notify_watchdog(void) { notify("WATCHDOG=1", MSG_DONTWAIT); }

void notify_reloading(void)
{
    struct timespec now;
    char state[80];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify(state, 0);
}

int notify_watchdog_timer(void)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!interval || (pid && atol(pid) != getpid())) return -1;
    uint64_t half_us = strtoull(interval, NULL, 10) / 2;
    if (half_us == 0) return -1;
    struct timespec half = {(time_t)(half_us / 1000000), (long)(half_us % 1000000) * 1000};
    struct itimerspec every = {half, half};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd >= 0) timerfd_settime(fd, 0, &every, NULL);
    return fd;
}
