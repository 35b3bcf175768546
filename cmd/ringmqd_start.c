#include "cmd/ringmqd_start.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/ringmqd_notify.h"

struct starting {
    bool (*work)(void *context);
    void *context;
    int log_wake;
    bool worked;
    atomic_bool done;
};

static void *start_thread(void *argument)
{
    struct starting *starting = argument;
    uint64_t one = 1;
    log_thread_attach("start");
    starting->worked = starting->work(starting->context);
    atomic_store(&starting->done, true);
    ssize_t written = write(starting->log_wake, &one, sizeof one);
    (void)written;
    return NULL;
}

static _Noreturn void break_off(void)
{
    notify_stopping();
    LOG(NOTICE, "stopping", "what=\"the start was not done yet; the next one reads the store again\"");
    LOG(NOTICE, "stopped", "pid=%d", (int)getpid());
    log_drain();
    _exit(0);
}

static void wait_for_it(struct starting *starting, int signals)
{
    struct pollfd waits[] = {{signals, POLLIN, 0}, {starting->log_wake, POLLIN, 0}};
    while (!atomic_load(&starting->done)) {
        uint64_t number;
        if (poll(waits, 2, -1) < 0) continue;
        if (waits[1].revents && read(starting->log_wake, &number, sizeof number) > 0) log_drain();
        if (waits[0].revents) break_off();
    }
}

bool ringmqd_start(bool (*work)(void *context), void *context, int log_wake)
{
    struct starting starting = {.work = work, .context = context, .log_wake = log_wake};
    pthread_t thread;
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    int signals = signalfd(-1, &stops, SFD_CLOEXEC);
    if (signals < 0 || pthread_create(&thread, NULL, start_thread, &starting) != 0) {
        if (signals >= 0) close(signals);
        LOG(WARN, "a stop waits for the end of the start", "what=\"there is no descriptor or thread for it\"");
        return work(context);
    }
    wait_for_it(&starting, signals);
    pthread_join(thread, NULL);
    close(signals);
    return starting.worked;
}
