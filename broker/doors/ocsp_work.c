#include "broker/doors/ocsp_work.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "broker/doors/ocsp.h"
#include "broker/http_post.h"
#include "tls/ocsp.h"

#define THREADS   4   /* responders asked at a time */
#define QUEUE_MAX 256 /* questions that wait for one of them */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct ocsp_work *first, **last;
    uint32_t queued;
    _Atomic bool stopping; /* what is under way is given up */
    uint32_t threads_count; /* that run */
    pthread_t threads[THREADS];
} workers = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void *work_on(void *argument)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    log_thread_attach("ocsp");
    pthread_mutex_lock(&workers.lock);
    for (;;) {
        while (!workers.first && !workers.stopping)
            pthread_cond_wait(&workers.wake, &workers.lock);
        struct ocsp_work *work = workers.first;
        if (!work) break;
        workers.first = work->next;
        if (!workers.first) workers.last = &workers.first;
        workers.queued--;
        pthread_mutex_unlock(&workers.lock);
        work->run(work);
        pthread_mutex_lock(&workers.lock);
    }
    pthread_mutex_unlock(&workers.lock);
    return NULL;
}

/* The lock is held. Those that cannot be had now are asked for with the next question. */
static void start(void)
{
    if (!workers.last) workers.last = &workers.first;
    while (workers.threads_count < THREADS) {
        int error = pthread_create(&workers.threads[workers.threads_count], NULL, work_on, NULL);
        if (error) {
            LOG_LIMITED(WARN, 1000, "cannot start a thread", "for=ocsp running=%u error=\"%s\"", workers.threads_count, strerror(error));
            return;
        }
        pthread_setname_np(workers.threads[workers.threads_count++], "ocsp");
    }
}

void ocsp_workers_start(void)
{
    pthread_mutex_lock(&workers.lock);
    start();
    pthread_mutex_unlock(&workers.lock);
}

void door_ocsp_stop(void)
{
    pthread_mutex_lock(&workers.lock);
    uint32_t count = workers.threads_count;
    workers.stopping = true;
    pthread_cond_broadcast(&workers.wake);
    pthread_mutex_unlock(&workers.lock);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(workers.threads[i], NULL);
}

bool ocsp_workers_take(struct ocsp_work *work)
{
    pthread_mutex_lock(&workers.lock);
    if (UNLIKELY(workers.threads_count < THREADS) && !workers.stopping) start();
    bool taken = workers.queued < QUEUE_MAX && workers.threads_count > 0 && !workers.stopping;
    if (taken) {
        work->next = NULL;
        *workers.last = work;
        workers.last = &work->next;
        workers.queued++;
        pthread_cond_signal(&workers.wake);
    }
    pthread_mutex_unlock(&workers.lock);
    return taken;
}

uint64_t ocsp_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool ocsp_post(void *context, const char *url, struct span request, uint8_t **ret_response, size_t *ret_bytes)
{
    struct ocsp_post *post = context;
    snprintf(post->url, sizeof post->url, "%s", url);
    post->wrong = http_post(url, "application/ocsp-request", request, TLS_OCSP_RESPONSE_MAX, post->deadline_ms, &workers.stopping,
                            ret_response, ret_bytes);
    return post->wrong == NULL;
}
