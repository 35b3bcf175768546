#include "store/spill.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/records.h"

/* Between one shard and the thread. Requests and answers are stacks that are taken whole and turned around. */
struct spill_desk {
    _Atomic(struct spill_request *) sent, fetches, answered;
    struct spill_request *taken;      /* answers in order (shard) */
    struct spill_request *todo, **todo_end; /* in order (thread) */
    uint64_t tickets;                 /* given (shard) */
    uint64_t written;                 /* last ticket in the shelf's memory (thread) */
    _Atomic uint64_t synced, backlog_bytes;
};

struct backup {
    const char *directory;
    int result;
    bool wanted, done;
};

/* More of them than this in one go: the rest waits for ordinary compactions. */
#define DROPS_MAX 256

struct spill_drop {
    uint64_t session, until;
};

struct spill {
    struct spill_config config;
    struct spill_desk desks[SHARDS_MAX];
    uint64_t unsynced_bytes, unsynced_since_ms; /* thread */
    bool unsynced, sync_wanted;
    uint64_t again_ms; /* after a failure */
    _Atomic int trouble;
    pthread_mutex_t lock;       /* of backup alone */
    pthread_mutex_t wake_lock;  /* of config.wake */
    pthread_cond_t backed_up;
    struct backup backup;
    pthread_t thread;
    bool has_thread;
    _Atomic bool held, swept;
    struct spill_request *kept; /* DROPs while held (thread) */
    struct spill_drop dropped[DROPS_MAX]; /* since the shelf was last asked to give their room back (thread) */
    uint32_t dropped_count;
    _Atomic bool ending;
    int wake;
};

#define FAILED_AGAIN_MS 1000

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

static void shard_wake(struct spill *spill, uint32_t shard)
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

/* True: it was empty, so the taker must be woken. */
static bool stack_push(_Atomic(struct spill_request *) *stack, struct spill_request *request)
{
    struct spill_request *before = atomic_load_explicit(stack, memory_order_relaxed);
    do
        request->next = before;
    while (!atomic_compare_exchange_weak_explicit(stack, &before, request, memory_order_release, memory_order_relaxed));
    return before == NULL;
}

/* All of it, the oldest first. */
static struct spill_request *stack_take(_Atomic(struct spill_request *) *stack)
{
    struct spill_request *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire), *first = NULL;
    while (newest) {
        struct spill_request *next = newest->next;
        newest->next = first;
        first = newest;
        newest = next;
    }
    return first;
}

/* ---- the shard's side ------------------------------------------------------------------------------------------- */

void spill_send(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    struct spill_desk *desk = &spill->desks[shard];
    if (request->kind == SPILL_WRITE || request->kind == SPILL_REMOVE) {
        request->ticket = ++desk->tickets;
        atomic_fetch_add_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
    }
    if (stack_push(request->kind == SPILL_FETCH ? &desk->fetches : &desk->sent, request)) wake(spill); /* a later one is taken with the first */
}

struct spill_request *spill_take(struct spill *spill, uint32_t shard)
{
    struct spill_desk *desk = &spill->desks[shard];
    if (!desk->taken) {
        if (!atomic_load_explicit(&desk->answered, memory_order_relaxed)) return NULL;
        desk->taken = stack_take(&desk->answered);
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

/* ---- the thread's side ------------------------------------------------------------------------------------------ */

static void trouble_set(struct spill *spill, int error)
{
    int before = atomic_exchange(&spill->trouble, -error);
    if (error && before != -error)
        LOG(ERROR, "the store cannot keep long queues", "error=\"%s\" what=%s", strerror(-error),
            log_quoted(span_of_string(spill->config.shelf.fault(spill->config.shelf.context))));
    if (!error && before) LOG(NOTICE, "the store can keep long queues again", "trouble=over");
}

struct reading {
    struct spill_request *request;
    size_t capacity;
};

static bool block_take(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct reading *reading = context;
    struct spill_request *request = reading->request;
    if (number >= request->until) return false;
    uint32_t length = (uint32_t)block.bytes;
    size_t needed = request->bytes + 12 + block.bytes;
    if (needed > reading->capacity) {
        reading->capacity = needed < SPILL_READ_BYTES + SPILL_READ_BYTES / 2 ? SPILL_READ_BYTES + SPILL_READ_BYTES / 2 : needed;
        request->data = memory_resize(request->data, reading->capacity);
    }
    memcpy(request->data + request->bytes, &number, 8);
    memcpy(request->data + request->bytes + 8, &length, 4);
    memcpy(request->data + request->bytes + 12, block.data, block.bytes);
    request->bytes = needed;
    return request->bytes < SPILL_READ_BYTES;
}

static void answer(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    stack_push(&spill->desks[shard].answered, request);
    shard_wake(spill, shard);
}

/* ---- rows ---- */

struct fetching {
    uint8_t *data;
    size_t bytes, capacity;
    bool found;
};

static void fetched_put(struct fetching *fetching, const void *data, size_t bytes)
{
    if (fetching->bytes + bytes > fetching->capacity) {
        fetching->capacity = (fetching->bytes + bytes) * 2;
        fetching->data = memory_resize(fetching->data, fetching->capacity);
    }
    if (bytes) memcpy(fetching->data + fetching->bytes, data, bytes);
    fetching->bytes += bytes;
}

static bool row_take(void *context, uint64_t space, uint64_t number, struct span row)
{
    struct fetching *fetching = context;
    uint32_t length = (uint32_t)row.bytes;
    fetched_put(fetching, &length, 4);
    fetched_put(fetching, row.data, row.bytes);
    fetching->found = true;
    return false;
}

/* `until`: about so many bytes are expected. */
static void fetch_do(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    const struct shelf *shelf = &spill->config.shelf;
    const struct stored_row *rows = (const struct stored_row *)(const void *)request->data;
    struct fetching fetching = {.capacity = request->until + 1};
    fetching.data = memory_acquire(fetching.capacity);
    for (size_t i = 0; i < request->bytes / sizeof *rows && !request->error; i++) {
        const uint32_t none = SPILL_NO_ROW;
        fetching.found = false;
        request->error = shelf->get(shelf->context, rows[i].space, rows[i].number, row_take, &fetching);
        if (!fetching.found) fetched_put(&fetching, &none, 4);
    }
    memory_release(request->data);
    request->data = fetching.data;
    request->bytes = fetching.bytes;
    answer(spill, shard, request);
}

static void fetches_serve(struct spill *spill)
{
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        struct spill_desk *desk = &spill->desks[s];
        if (!atomic_load_explicit(&desk->fetches, memory_order_relaxed)) continue;
        for (struct spill_request *request = stack_take(&desk->fetches), *next; request; request = next) {
            next = request->next;
            fetch_do(spill, s, request);
        }
    }
}

static int rows_remove(const struct shelf *shelf, const struct spill_request *request)
{
    const struct stored_row *rows = (const struct stored_row *)(const void *)request->data;
    int error = 0;
    for (size_t i = 0; i < request->bytes / sizeof *rows && !error; i++)
        error = shelf->remove(shelf->context, rows[i].space, rows[i].number);
    return error;
}

/* ---- blocks ---- */

struct last_before {
    uint64_t number, found;
    bool any;
};

static bool block_last_before(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct last_before *look = context;
    look->any = number <= look->number;
    look->found = number;
    return false;
}

/* What begins in [from, until) goes, but the block that `until` itself is in. */
static int drop(const struct shelf *shelf, const struct spill_request *request)
{
    struct last_before look = {.number = request->until};
    if (request->until == UINT64_MAX) return shelf->drop(shelf->context, request->session, request->from, UINT64_MAX);
    int error = shelf->read(shelf->context, request->session, request->until, block_last_before, &look);
    uint64_t until = look.any ? look.found : request->until;
    return error || until <= request->from ? error : shelf->drop(shelf->context, request->session, request->from, until);
}

/* While the store is full the shelf is to give the room back. */
static void dropped_note(struct spill *spill, const struct spill_request *request)
{
    if (!reserve_full(spill->config.reserve) || spill->dropped_count == DROPS_MAX) return;
    spill->dropped[spill->dropped_count++] = (struct spill_drop){request->session, request->until};
}

static void kept_again(struct spill *spill)
{
    struct spill_request *request = spill->kept;
    spill->kept = NULL;
    while (request) { /* their order does not matter: each is about what nobody needs */
        struct spill_request *next = request->next;
        drop(&spill->config.shelf, request); /* one that fails is found by the next start's sweep */
        dropped_note(spill, request);
        spill->unsynced = true;
        spill_request_release(request);
        request = next;
    }
}

/* False: the shelf refuses; to be done again later. */
static bool request_do(struct spill *spill, uint32_t shard, struct spill_request *request, uint64_t now_ms)
{
    const struct shelf *shelf = &spill->config.shelf;
    struct spill_desk *desk = &spill->desks[shard];
    if (request->kind == SPILL_READ) {
        struct reading reading = {request, 0};
        request->error = shelf->read(shelf->context, request->session, request->from, block_take, &reading);
        answer(spill, shard, request);
        return true;
    }
    if (request->kind == SPILL_DROP && atomic_load(&spill->held)) {
        request->next = spill->kept;
        spill->kept = request;
        return true;
    }
    if (request->kind == SPILL_SYNC) {
        spill->sync_wanted = true;
    } else {
        bool ticket = request->kind != SPILL_DROP, nothing = ticket && request->bytes == 0; /* writes_forget(), drops_serve() */
        int error = nothing ? 0 : request->kind == SPILL_WRITE ? shelf->put(shelf->context, request->session, request->from, span_of(request->data, request->bytes))
                                : request->kind == SPILL_REMOVE ? rows_remove(shelf, request) : drop(shelf, request);
        if (error) {
            trouble_set(spill, error);
            return false;
        }
        if (request->kind == SPILL_DROP) dropped_note(spill, request);
        if (!spill->unsynced) spill->unsynced_since_ms = now_ms;
        spill->unsynced = true;
        spill->unsynced_bytes += request->bytes;
        if (ticket) {
            atomic_fetch_sub_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
            desk->written = request->ticket;
        }
    }
    spill_request_release(request);
    return true;
}

/* The shelf takes nothing, and READs stand behind WRITEs that wait. What those would have written is still here: it is given from there, behind
 * what the shelf has, so that no queue stands still because of a full disk. */
static void reads_serve(struct spill *spill, uint32_t shard)
{
    struct spill_desk *desk = &spill->desks[shard];
    const struct shelf *shelf = &spill->config.shelf;
    for (struct spill_request **at = &desk->todo; *at;) {
        struct spill_request *request = *at;
        if (request->kind != SPILL_READ) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        struct reading reading = {request, 0};
        request->error = shelf->read(shelf->context, request->session, request->from, block_take, &reading);
        uint64_t first = 0; /* where the block begins that has request->from: those before it would only take room */
        for (struct spill_request *write = desk->todo; write != *at; write = write->next)
            if (write->kind == SPILL_WRITE && write->session == request->session && write->from <= request->from) first = write->from;
        for (struct spill_request *write = desk->todo; write != *at && !request->error && request->bytes < SPILL_READ_BYTES; write = write->next)
            if (write->kind == SPILL_WRITE && write->session == request->session && write->from >= first)
                block_take(&reading, write->session, write->from, span_of(write->data, write->bytes));
        answer(spill, shard, request);
    }
    desk->todo_end = &desk->todo;
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

/* The session has ended: what waits to be written for it is written as nothing, so that its ticket comes in its turn. */
static void writes_forget(struct spill_desk *desk, const struct spill_request *drop)
{
    for (struct spill_request *write = desk->todo; write != drop; write = write->next) {
        if (write->kind != SPILL_WRITE || write->session != drop->session) continue;
        atomic_fetch_sub_explicit(&desk->backlog_bytes, write->bytes, memory_order_relaxed);
        write->bytes = 0;
    }
}

/* DROPs and REMOVEs stand behind WRITEs that wait, too, and are what makes room for those. A REMOVE stays, with nothing to do, so that its ticket comes in its turn. */
static void drops_serve(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    struct spill_desk *desk = &spill->desks[shard];
    for (struct spill_request **at = &desk->todo; *at;) {
        struct spill_request *request = *at, *next = request->next;
        if (request->kind == SPILL_DROP) {
            if (request->until == UINT64_MAX) writes_forget(desk, request);
            if (!request_do(spill, shard, request, now_ms)) break;
            *at = next;
            continue;
        }
        if (request->kind == SPILL_REMOVE && request->bytes) {
            if (rows_remove(&spill->config.shelf, request)) break;
            atomic_fetch_sub_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
            request->bytes = 0;
        }
        at = &request->next;
    }
    desk->todo_end = &desk->todo;
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

static void desk_take(struct spill_desk *desk)
{
    *desk->todo_end = stack_take(&desk->sent);
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

/* The shelf refuses just now: what goes on all the same. */
static void desk_wait(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    desk_take(&spill->desks[shard]);
    reads_serve(spill, shard);
    drops_serve(spill, shard, now_ms);
}

#define REQUESTS_PER_LOOK 32 /* then those who wait for rows are looked at */

static void desk_serve(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    struct spill_desk *desk = &spill->desks[shard];
    desk_take(desk);
    for (uint32_t n = 1; desk->todo; n++) {
        if (n % REQUESTS_PER_LOOK == 0) fetches_serve(spill);
        struct spill_request *request = desk->todo, *next = request->next;
        if (!request_do(spill, shard, request, now_ms)) {
            spill->again_ms = now_ms + FAILED_AGAIN_MS;
            return desk_wait(spill, shard, now_ms);
        }
        desk->todo = next;
        if (!next) desk->todo_end = &desk->todo;
    }
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
    trouble_set(spill, error);
    spill->again_ms = error ? now_ms + FAILED_AGAIN_MS : 0;
    if (error) return;
    spill->unsynced = spill->sync_wanted = false;
    spill->unsynced_bytes = 0;
    atomic_store_explicit(&spill->swept, true, memory_order_release);
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        struct spill_desk *desk = &spill->desks[s];
        if (atomic_load(&desk->synced) == desk->written) continue;
        atomic_store_explicit(&desk->synced, desk->written, memory_order_release);
        shard_wake(spill, s);
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
    if (UNLIKELY(spill->kept != NULL) && !atomic_load(&spill->held)) kept_again(spill);
    fetches_serve(spill);
    bool again = now_ms >= spill->again_ms; /* else only what can be read meanwhile */
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        if (again)
            desk_serve(spill, s, now_ms);
        else
            desk_wait(spill, s, now_ms);
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
    spill->backup = (struct backup){.directory = directory, .wanted = true};
    wake(spill);
    while (!spill->backup.done)
        pthread_cond_wait(&spill->backed_up, &spill->lock);
    int error = spill->backup.result;
    spill->backup = (struct backup){0};
    pthread_cond_broadcast(&spill->backed_up);
    pthread_mutex_unlock(&spill->lock);
    return error;
}
