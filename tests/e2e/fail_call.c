/* fail_call.c - for LD_PRELOAD: the call number FAIL_NUMBER (from 1) of the function FAIL_CALL fails as it does when the system has no more to give; all others
 * are made. Says so on standard error. Of epoll_ctl only what adds a descriptor counts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static bool fails(const char *call)
{
    static atomic_int made;
    const char *wanted = getenv("FAIL_CALL"), *number = getenv("FAIL_NUMBER");
    char said[64];
    if (!wanted || !number || strcmp(wanted, call) != 0 || atomic_fetch_add(&made, 1) + 1 != atoi(number)) return false;
    int bytes = snprintf(said, sizeof said, "fail_call: %s %s\n", call, number);
    return write(2, said, (size_t)bytes) > 0;
}

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int eventfd(unsigned count, int flags)
{
    if (fails("eventfd")) return errno = EMFILE, -1;
    return ((int (*)(unsigned, int))dlsym(RTLD_NEXT, "eventfd"))(count, flags);
}

int epoll_create1(int flags)
{
    if (fails("epoll_create1")) return errno = EMFILE, -1;
    return NEXT(epoll_create1)(flags);
}

int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    if (what == EPOLL_CTL_ADD && fails("epoll_ctl")) return errno = ENOSPC, -1;
    return NEXT(epoll_ctl)(epoll, what, fd, event);
}

int signalfd(int fd, const sigset_t *mask, int flags)
{
    if (fails("signalfd")) return errno = EMFILE, -1;
    return ((int (*)(int, const sigset_t *, int))dlsym(RTLD_NEXT, "signalfd"))(fd, mask, flags);
}

int timerfd_create(int clock, int flags)
{
    if (fails("timerfd_create")) return errno = EMFILE, -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "timerfd_create"))(clock, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    if (fails("pthread_create")) return EAGAIN;
    return NEXT(pthread_create)(thread, attributes, start, argument);
}
