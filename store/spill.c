#include "store/spill_inside.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

struct spill *spill_create(const struct spill_config *config)
{
    struct spill *spill = memory_acquire_zeroed(sizeof *spill);
    spill->config = *config;
    spill->unsynced = config->swept;
    spill->wake = eventfd(0, EFD_CLOEXEC);
    if (spill->wake < 0) {
        memory_release(spill);
        return NULL;
    }
    for (uint32_t s = 0; s < SHARDS_MAX; s++)
        spill->desks[s].todo_end = &spill->desks[s].todo;
    pthread_mutex_init(&spill->lock, NULL);
    pthread_mutex_init(&spill->wake_lock, NULL);
    pthread_cond_init(&spill->backed_up, NULL);
    return spill;
}

static void wake(struct spill *spill)
{
    uint64_t one = 1;
    ssize_t written = write(spill->wake, &one, sizeof one);
    (void)written; /* a full counter wakes it, too */
}

void spill_shard_wake(struct spill *spill, uint32_t shard)
{
    pthread_mutex_lock(&spill->wake_lock);
    if (spill->config.wake) spill->config.wake(spill->config.context, shard);
    pthread_mutex_unlock(&spill->wake_lock);
}

void spill_shards_end(struct spill *spill)
{
    pthread_mutex_lock(&spill->wake_lock);
    spill->config.wake = NULL;
    pthread_mutex_unlock(&spill->wake_lock);
}

void spill_request_release(struct spill_request *request)
{
    memory_release(request->data);
    memory_release(request);
}

/* ---- the shard's side ------------------------------------------------------------------------------------------- */

void spill_send(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    struct spill_desk *desk = &spill->desks[shard];
    if (request->kind == SPILL_WRITE || request->kind == SPILL_REMOVE) {
        request->ticket = ++desk->tickets;
        atomic_fetch_add_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
    }
    if (spill_stack_push(request->kind == SPILL_FETCH ? &desk->fetches : &desk->sent, request)) wake(spill); /* a later one is taken with the first */
}

struct spill_request *spill_take(struct spill *spill, uint32_t shard)
{
    struct spill_desk *desk = &spill->desks[shard];
    if (!desk->taken) {
        if (!atomic_load_explicit(&desk->answered, memory_order_relaxed)) return NULL;
        desk->taken = spill_stack_take(&desk->answered);
    }
    struct spill_request *request = desk->taken;
    desk->taken = request->next;
    return request;
}

uint64_t spill_synced(const struct spill *spill, uint32_t shard)
{
    return atomic_load_explicit(&spill->desks[shard].synced, memory_order_acquire);
}

uint64_t spill_backlog_bytes(const struct spill *spill, uint32_t shard)
{
    return atomic_load_explicit(&spill->desks[shard].backlog_bytes, memory_order_relaxed);
}

/* ---- the thread's side (what it does for each request: spill_requests.c) --------------------------------------------- */

void spill_trouble_set(struct spill *spill, int error)
{
    int before = atomic_exchange(&spill->trouble, -error);
    if (error && before != -error)
        LOG(ERROR, "the store cannot keep long queues", "error=\"%s\" what=%s", strerror(-error),
            log_quoted(span_of_string(spill->config.shelf.fault(spill->config.shelf.context))));
    if (!error && before) LOG(NOTICE, "the store can keep long queues again", "trouble=over");
}

static bool sync_due(const struct spill *spill, uint64_t now_ms)
{
    if (now_ms < spill->again_ms) return false;
    if (spill->sync_wanted) return true;
    return spill->unsynced && (spill->unsynced_bytes >= spill->config.sync_bytes || now_ms >= spill->unsynced_since_ms + SPILL_AGE_MS);
}

static void sync_now(struct spill *spill, uint64_t now_ms)
{
    const struct shelf *shelf = &spill->config.shelf;
    int error = spill->unsynced ? shelf->sync(shelf->context) : 0;
    spill_trouble_set(spill, error);
    spill->again_ms = error ? now_ms + SPILL_FAILED_AGAIN_MS : 0;
    if (error) return;
    spill->unsynced = spill->sync_wanted = false;
    spill->unsynced_bytes = 0;
    atomic_store_explicit(&spill->swept, true, memory_order_release);
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        struct spill_desk *desk = &spill->desks[s];
        if (atomic_load(&desk->synced) == desk->written) continue;
        atomic_store_explicit(&desk->synced, desk->written, memory_order_release);
        spill_shard_wake(spill, s);
    }
}

/* Something was dropped while the store is full. A merge leaves out what a drop that is in a file names, so that comes first. */
static void room_back(struct spill *spill, uint64_t now_ms)
{
    const struct shelf *shelf = &spill->config.shelf;
    sync_now(spill, now_ms);
    if (spill->again_ms > now_ms) return; /* it refuses: later */
    for (uint32_t i = 0; i < spill->dropped_count; i++)
        if (shelf->shrink(shelf->context, spill->dropped[i].session, spill->dropped[i].until) != 0) break; /* room comes with ordinary compactions, then */
    spill->dropped_count = 0;
    reserve_look(spill->config.reserve);
}

static void backup_do(struct spill *spill, uint64_t now_ms)
{
    pthread_mutex_lock(&spill->lock);
    if (spill->backup.wanted && !spill->backup.done) {
        const struct shelf *shelf = &spill->config.shelf;
        spill->backup.result = shelf->backup(shelf->context, spill->backup.directory);
        spill->backup.done = true;
        pthread_cond_broadcast(&spill->backed_up);
    }
    pthread_mutex_unlock(&spill->lock);
}

uint64_t spill_step(struct spill *spill, uint64_t now_ms)
{
    if (UNLIKELY(spill->kept != NULL) && !atomic_load(&spill->held)) spill_kept_serve(spill);
    spill_fetches_serve(spill);
    bool again = now_ms >= spill->again_ms; /* else only what can be read meanwhile */
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        if (again)
            spill_desk_serve(spill, s, now_ms);
        else
            spill_desk_wait(spill, s, now_ms);
    }
    if (sync_due(spill, now_ms)) {
        reserve_look(spill->config.reserve);
        sync_now(spill, now_ms);
    }
    if (UNLIKELY(spill->dropped_count > 0) && now_ms >= spill->again_ms) room_back(spill, now_ms);
    backup_do(spill, now_ms);
    if (spill->again_ms > now_ms) return spill->again_ms;
    return spill->unsynced ? spill->unsynced_since_ms + SPILL_AGE_MS : UINT64_MAX;
}

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void *spill_thread(void *argument)
{
    struct spill *spill = argument;
    log_thread_attach("shelf");
    pthread_setname_np(pthread_self(), "shelf");
    while (!atomic_load(&spill->ending)) {
        uint64_t now_ms = clock_ms(), again_ms = spill_step(spill, now_ms);
        int timeout_ms = again_ms == UINT64_MAX ? -1 : again_ms > now_ms ? (int)(again_ms - now_ms) : 0;
        struct pollfd wait = {spill->wake, POLLIN, 0};
        uint64_t number;
        if (poll(&wait, 1, timeout_ms) > 0 && read(spill->wake, &number, sizeof number) < 0) break;
    }
    return NULL;
}

bool spill_start(struct spill *spill)
{
    spill->has_thread = pthread_create(&spill->thread, NULL, spill_thread, spill) == 0;
    return spill->has_thread;
}

void spill_destroy(struct spill *spill)
{
    if (!spill) return;
    if (spill->has_thread) {
        atomic_store(&spill->ending, true);
        wake(spill);
        pthread_join(spill->thread, NULL);
    }
    spill_shards_end(spill);
    spill->again_ms = 0;
    atomic_store(&spill->held, false);
    spill->sync_wanted = true;
    spill_step(spill, clock_ms()); /* what came since */
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        for (struct spill_request *request; (request = spill_take(spill, s));)
            spill_request_release(request);
        while (spill->desks[s].todo) { /* the shelf refuses: the log has them */
            struct spill_request *request = spill->desks[s].todo;
            spill->desks[s].todo = request->next;
            spill_request_release(request);
        }
    }
    spill->config.shelf.close(spill->config.shelf.context);
    close(spill->wake);
    pthread_cond_destroy(&spill->backed_up);
    pthread_mutex_destroy(&spill->lock);
    pthread_mutex_destroy(&spill->wake_lock);
    memory_release(spill);
}

const struct shelf *spill_shelf(const struct spill *spill) { return &spill->config.shelf; }
int spill_trouble(const struct spill *spill) { return atomic_load_explicit(&spill->trouble, memory_order_relaxed); }

void spill_hold(struct spill *spill, bool held)
{
    atomic_store(&spill->held, held);
    if (!held) wake(spill);
}

bool spill_held(const struct spill *spill) { return atomic_load(&spill->held); }
bool spill_swept(const struct spill *spill) { return atomic_load_explicit(&spill->swept, memory_order_acquire); }

int spill_backup(struct spill *spill, const char *directory)
{
    pthread_mutex_lock(&spill->lock);
    while (spill->backup.wanted)
        pthread_cond_wait(&spill->backed_up, &spill->lock); /* another one is being made */
    spill->backup = (struct spill_backup_order){.directory = directory, .wanted = true};
    wake(spill);
    while (!spill->backup.done)
        pthread_cond_wait(&spill->backed_up, &spill->lock);
    int error = spill->backup.result;
    spill->backup = (struct spill_backup_order){0};
    pthread_cond_broadcast(&spill->backed_up);
    pthread_mutex_unlock(&spill->lock);
    return error;
}
