#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "store/replay.h"

#define NAME_BYTES 40
#define TROUBLE_AGAIN_MS 500
#define LOOK_MS          1000 /* between two looks at the disk's room, while the store is written to or full */

/* A segment the shard is finished with; on its way to the thread. */
struct done {
    struct done *next;
    int fd;
};

/* Between one shard and the thread. */
struct supply {
    _Atomic bool ready; /* `next` is the shard's to take; else the thread's to fill */
    struct wal_segment next;
    uint64_t last;      /* number of the newest segment made (thread) */
    uint64_t first;     /* oldest that exists (thread) */
    _Atomic uint64_t needed; /* segments before this one can go; 0: no checkpoint yet (shard) */
};

struct store {
    struct store_config config;
    uint32_t epoch;
    struct replay_segment *old; /* of earlier epochs, sorted by epoch, shard, number */
    uint32_t old_count, old_capacity;
    _Atomic bool old_mapped; /* the control thread still reads them */
    uint32_t complete; /* the newest epoch that needs none before it */
    char (*spares)[NAME_BYTES];
    uint32_t spares_count, spares_capacity, spares_made;
    struct random_source random;
    struct supply supplies[SHARDS_MAX];
    _Atomic(struct done *) done;
    _Atomic int trouble;
    _Atomic uint64_t bytes;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t removing; /* taken by a step while it removes, and by a backup */
    _Atomic bool ending;
    _Atomic bool written;  /* since the last look */
    _Atomic bool sleeping; /* the thread, until it is woken */
    int wake;
};

/* ---- what is there ---------------------------------------------------------------------------------------------- */

static void spare_add(struct store *store, const char *name)
{
    if (store->spares_count == store->spares_capacity) {
        store->spares_capacity = store->spares_capacity ? store->spares_capacity * 2 : 8;
        store->spares = memory_resize(store->spares, store->spares_capacity * sizeof *store->spares);
    }
    snprintf(store->spares[store->spares_count++], NAME_BYTES, "%s", name);
}

static void name_take(void *context, const char *name)
{
    struct store *store = context;
    struct replay_segment segment;
    unsigned number;
    if (sscanf(name, "complete-%8x", &number) == 1) {
        if (number > store->complete) store->complete = number;
    } else if (sscanf(name, "spare-%8x", &number) == 1) {
        spare_add(store, name);
        if (number > store->spares_made) store->spares_made = number;
    } else if (replay_parse_name(name, &segment)) {
        if (store->old_count == store->old_capacity) {
            store->old_capacity = store->old_capacity ? store->old_capacity * 2 : 16;
            store->old = memory_resize(store->old, store->old_capacity * sizeof *store->old);
        }
        store->old[store->old_count++] = segment;
    } else if (strcmp(name, "lock") != 0 && strcmp(name, "version") != 0 && strcmp(name, "making") != 0 && strcmp(name, STORE_SHELF_NAME) != 0) {
        LOG(WARN, "a file in the store's directory is not the store's", "name=%s", log_quoted(span_of_string(name)));
    }
}

static int compare_segments(const void *a, const void *b)
{
    const struct replay_segment *x = a, *y = b;
    if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct store *store_open(const struct store_config *config, char *ret_error, size_t error_bytes)
{
    CHECK(config->shards_count <= SHARDS_MAX && config->segment_bytes >= STORE_SEGMENT_BYTES_MIN &&
          config->segment_bytes % STORE_BLOCK_BYTES == 0);
    struct store *store = memory_acquire_zeroed(sizeof *store);
    store->config = *config;
    store->random.state = config->seed;
    store->wake = -1;
    pthread_mutex_init(&store->removing, NULL);
    int error = config->files.list(config->files.context, name_take, store);
    if (error) {
        snprintf(ret_error, error_bytes, "cannot read the store's directory: %s", strerror(-error));
        store_close(store);
        return NULL;
    }
    if (store->old_count) qsort(store->old, store->old_count, sizeof *store->old, compare_segments);
    store->epoch = store->old_count ? store->old[store->old_count - 1].epoch + 1 : 1;
    if (store->complete >= store->epoch) store->epoch = store->complete + 1;
    return store;
}

uint32_t store_epoch(const struct store *store) { return store->epoch; }
struct reserve *store_reserve(const struct store *store) { return store->config.reserve; }

/* ---- recovery --------------------------------------------------------------------------------------------------- */

struct recovery {
    struct state *state;
    void (*progress)(void *context, uint64_t bytes, uint64_t bytes_all);
    void *context;
    uint64_t done, all;
};

static bool recovery_record(void *context, uint32_t type, struct span body, void *own)
{
    return state_apply(((struct recovery *)context)->state, type, body, own);
}

static void recovery_progress(void *context, uint64_t bytes)
{
    struct recovery *recovery = context;
    recovery->done += bytes;
    if (recovery->progress) recovery->progress(recovery->context, recovery->done, recovery->all);
}

static bool log_recover(struct store *store, const struct replay *replay, uint32_t first, uint32_t count, struct state *state,
                        struct store_report *report, char *ret_error, size_t error_bytes)
{
    struct replay_result result;
    state_log_begin(state);
    bool sound = replay_log(replay, store->old + first, count, &result);
    state_log_end(state);
    report->segments += count;
    report->commits += result.commits;
    report->records += result.records;
    report->bytes += result.bytes;
    report->torn += result.torn;
    report->holes += result.hole;
    if (result.last_ms > state->last_ms) state->last_ms = result.last_ms;
    if (sound && result.hole) {
        report->salvaged = true;
        snprintf(report->hole, sizeof report->hole, "%s", result.fault);
    }
    if (!sound)
        snprintf(ret_error, error_bytes, "%s%s", result.fault,
                 result.hole ? "; restore a backup, or set durability.on_damage = salvage to start with what can be read" : "");
    return sound;
}

/* Everything before this place belongs to epochs that a complete one has made superfluous. */
static uint32_t first_needed(const struct store *store)
{
    uint32_t first = 0;
    while (first < store->old_count && store->old[first].epoch < store->complete)
        first++;
    return first;
}

bool store_recover(struct store *store, struct state *state,
                   state_groups *groups, void (*progress)(void *context, uint64_t bytes, uint64_t bytes_all), void *context,
                   struct store_report *ret_report, char *ret_error, size_t error_bytes)
{
    uint32_t at = first_needed(store);
    struct recovery recovery = {.state = state, .progress = progress, .context = context,
                                .all = (store->old_count - at) * store->config.segment_bytes};
    struct replay replay = {.files = &store->config.files, .salvage = store->config.salvage, .record = recovery_record,
                            .progress = recovery_progress, .context = &recovery};
    *ret_report = (struct store_report){0};
    atomic_store(&store->old_mapped, true);
    while (at < store->old_count) {
        uint32_t epoch = store->old[at].epoch;
        while (at < store->old_count && store->old[at].epoch == epoch) {
            uint32_t count = 1;
            while (at + count < store->old_count && store->old[at + count].epoch == epoch &&
                   store->old[at + count].shard == store->old[at].shard)
                count++;
            if (!log_recover(store, &replay, at, count, state, ret_report, ret_error, error_bytes)) return false;
            at += count;
        }
        ret_report->epochs++;
        ret_report->epoch_last = epoch;
        state_resolve(state, groups, context);
        state_epoch_end(state);
    }
    return true;
}

static void store_wake(struct store *store);

void store_recovered(struct store *store)
{
    for (uint32_t i = 0; i < store->old_count; i++) {
        store->config.files.unmap(store->config.files.context, store->old[i].bytes);
        store->old[i].bytes = span_of("", 0);
    }
    if (atomic_exchange(&store->old_mapped, false)) store_wake(store);
}

/* ---- making segments -------------------------------------------------------------------------------------------- */

static int segment_make(struct store *store, uint32_t shard, struct wal_segment *ret_segment)
{
    struct supply *supply = &store->supplies[shard];
    const struct store_files *files = &store->config.files;
    struct store_segment_header header = {.magic = STORE_SEGMENT_MAGIC,
                                          .version = STORE_FORMAT_VERSION,
                                          .epoch = store->epoch,
                                          .shard = shard,
                                          .shards_count = store->config.shards_count,
                                          .number = supply->last + 1,
                                          .created_ms = store->config.realtime_ms,
                                          .seed = random_next(&store->random)};
    header.checksum = hash_span(span_of((uint8_t *)&header + STORE_COMMIT_CHECKED_FROM, sizeof header - STORE_COMMIT_CHECKED_FROM));
    uint8_t *block = memory_acquire_aligned(STORE_BLOCK_BYTES, STORE_BLOCK_BYTES);
    memcpy(block, &header, sizeof header);
    char name[NAME_BYTES];
    replay_make_name(store->epoch, shard, header.number, name);
    int fd = -1, error = -ENOENT;
    if (store->spares_count > 0) {
        const char *spare = store->spares[--store->spares_count];
        error = files->make(files->context, name, spare, block, store->config.segment_bytes, &fd);
        if (error) files->remove(files->context, spare); /* of another size, or damaged */
    }
    if (error) error = files->make(files->context, name, NULL, block, store->config.segment_bytes, &fd);
    memory_release(block);
    if (error) return error;
    supply->last = header.number;
    if (supply->first == 0) supply->first = header.number;
    *ret_segment = (struct wal_segment){.fd = fd, .number = header.number, .bytes = store->config.segment_bytes, .seed = header.seed};
    atomic_fetch_add(&store->bytes, store->config.segment_bytes);
    return 0;
}

static void trouble_set(struct store *store, int error)
{
    int before = atomic_exchange(&store->trouble, -error);
    if (error && before != -error)
        LOG(ERROR, "the store cannot make a new segment", "error=\"%s\" what=\"acknowledgements of durable messages wait until it can; free "
            "space or repair the disk\"", strerror(-error));
    if (!error && before) LOG(NOTICE, "the store can make segments again", "trouble=over");
}

static void store_wake(struct store *store)
{
    uint64_t one = 1;
    if (store->wake < 0) return;
    ssize_t written = write(store->wake, &one, sizeof one);
    (void)written; /* a full counter wakes it, too */
}

void store_written(struct store *store)
{
    if (atomic_load_explicit(&store->written, memory_order_relaxed)) return;
    atomic_store(&store->written, true);
    if (atomic_load(&store->sleeping)) store_wake(store);
}

bool store_segment_take(struct store *store, uint32_t shard, struct wal_segment *ret_segment)
{
    struct supply *supply = &store->supplies[shard];
    if (!atomic_load_explicit(&supply->ready, memory_order_acquire)) return false;
    *ret_segment = supply->next;
    atomic_store_explicit(&supply->ready, false, memory_order_release);
    store_wake(store);
    return true;
}

void store_segment_done(struct store *store, uint32_t shard, const struct wal_segment *segment, bool failed)
{
    if (failed)
        LOG_LIMITED(ERROR, 1000, "the store could not write a segment", "shard=%u segment=%llu what=\"it is not used any more; the commit "
                    "goes into the next one\"", shard, (unsigned long long)segment->number);
    struct done *done = memory_acquire(sizeof *done);
    done->fd = segment->fd;
    done->next = atomic_load(&store->done);
    while (!atomic_compare_exchange_weak(&store->done, &done->next, done))
        ;
    store_wake(store);
}

void store_checkpointed(struct store *store, uint32_t shard, uint64_t segment)
{
    atomic_store_explicit(&store->supplies[shard].needed, segment, memory_order_release);
    store_wake(store);
}

int store_write_sync(struct store *store, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    return store->config.files.write_sync(store->config.files.context, fd, data, bytes, offset);
}

int store_trouble(const struct store *store) { return atomic_load_explicit(&store->trouble, memory_order_relaxed); }
uint64_t store_bytes(const struct store *store) { return atomic_load_explicit(&store->bytes, memory_order_relaxed); }

/* ---- the thread's work ------------------------------------------------------------------------------------------ */

#define SPARES_MAX(store) (2 * (store)->config.shards_count)

/* A segment nobody needs: kept for reuse, or removed. */
static int segment_retire(struct store *store, const char *name)
{
    const struct store_files *files = &store->config.files;
    if (store->spares_count >= SPARES_MAX(store)) return files->remove(files->context, name);
    char spare[NAME_BYTES];
    snprintf(spare, sizeof spare, "spare-%08x", ++store->spares_made);
    int error = files->rename(files->context, name, spare);
    if (error == -ENOENT) return 0; /* an earlier try has done it, and could not sync that: the next start finds it under its new name */
    if (!error) spare_add(store, spare);
    return error;
}

static void done_close(struct store *store)
{
    struct done *done = atomic_exchange(&store->done, NULL);
    while (done) {
        struct done *next = done->next;
        store->config.files.close(store->config.files.context, done->fd);
        memory_release(done);
        done = next;
    }
}

static int trim(struct store *store, uint32_t shard)
{
    struct supply *supply = &store->supplies[shard];
    uint64_t needed = atomic_load_explicit(&supply->needed, memory_order_acquire);
    while (supply->first && supply->first < needed) { /* the oldest first: what is left has no gap */
        char name[NAME_BYTES];
        replay_make_name(store->epoch, shard, supply->first, name);
        int error = segment_retire(store, name);
        if (error) return error;
        supply->first++;
        atomic_fetch_sub(&store->bytes, store->config.segment_bytes);
    }
    return 0;
}

/* Every shard has written once more all that it got from earlier epochs. */
static bool first_checkpoints_done(const struct store *store)
{
    for (uint32_t s = 0; s < store->config.shards_count; s++)
        if (atomic_load_explicit(&store->supplies[s].needed, memory_order_acquire) == 0) return false;
    return true;
}

static int old_retire(struct store *store)
{
    const struct store_files *files = &store->config.files;
    char name[NAME_BYTES];
    if (store->complete != store->epoch) {
        if (!first_checkpoints_done(store)) return 0;
        snprintf(name, sizeof name, "complete-%08x", store->epoch);
        int error = files->mark(files->context, name);
        if (error) return error;
        snprintf(name, sizeof name, "complete-%08x", store->complete);
        if (store->complete) files->remove(files->context, name); /* superfluous beside the newer one */
        store->complete = store->epoch;
    }
    if (atomic_load(&store->old_mapped)) return 0; /* store_recovered() makes another round */
    while (store->old_count > 0) { /* the newest last: an epoch that is half gone is older than `complete` in any case */
        int error = segment_retire(store, store->old[store->old_count - 1].name);
        if (error) return error;
        store->old_count--;
    }
    return 0;
}

void store_hold(struct store *store, bool held)
{
    if (held) {
        pthread_mutex_lock(&store->removing);
    } else {
        pthread_mutex_unlock(&store->removing);
        store_wake(store);
    }
}

const struct store_files *store_files_of(const struct store *store) { return &store->config.files; }

/* What nobody needs any more. */
static int remove_old(struct store *store)
{
    int error = 0;
    if (pthread_mutex_trylock(&store->removing) != 0) return 0; /* a backup: it wakes us */
    for (uint32_t s = 0; s < store->config.shards_count; s++) {
        int failed = trim(store, s);
        if (failed) error = failed;
    }
    int failed = old_retire(store);
    pthread_mutex_unlock(&store->removing);
    return failed ? failed : error;
}

bool store_step(struct store *store)
{
    done_close(store);
    int error = remove_old(store), failed;
    for (uint32_t s = 0; s < store->config.shards_count; s++) {
        struct supply *supply = &store->supplies[s];
        if (atomic_load_explicit(&supply->ready, memory_order_acquire)) continue;
        failed = segment_make(store, s, &supply->next);
        if (failed)
            error = failed;
        else
            atomic_store_explicit(&supply->ready, true, memory_order_release);
    }
    reserve_note_spares(store->config.reserve, store->spares_count);
    reserve_look(store->config.reserve);
    trouble_set(store, error);
    return error != 0;
}

/* For how long there is nothing to do; -1: until somebody wakes the thread. Who writes first after that does. */
static int sleep_ms(struct store *store)
{
    if (!store->config.reserve) return -1;
    bool looks = atomic_exchange(&store->written, false) || reserve_full(store->config.reserve);
    if (looks) return LOOK_MS;
    atomic_store(&store->sleeping, true);
    return atomic_load(&store->written) ? 0 : -1;
}

static void *store_thread(void *argument)
{
    struct store *store = argument;
    log_thread_attach("storage");
    pthread_setname_np(pthread_self(), "storage");
    while (!atomic_load(&store->ending)) {
        bool again = store_step(store);
        struct pollfd wait = {store->wake, POLLIN, 0};
        uint64_t number;
        if (poll(&wait, 1, again ? TROUBLE_AGAIN_MS : sleep_ms(store)) > 0 && read(store->wake, &number, sizeof number) < 0) break;
        atomic_store(&store->sleeping, false);
    }
    return NULL;
}

static void start_refuse(const struct store *store, int error, char *ret_error, size_t error_bytes)
{
    const struct store_files *files = &store->config.files;
    const char *path = store->config.path ? store->config.path : "the store's directory";
    uint64_t free_bytes = 0, bytes = store->config.segment_bytes;
    if (error == -ENOSPC && files->room && files->room(files->context, &free_bytes) == 0)
        snprintf(ret_error, error_bytes, "the disk under %s is full: %llu MiB are free, and a start needs %llu MiB (a new segment for each of %u shards). Make room there, "
                 "or give it more, then start again; nothing that was acknowledged is lost", path, (unsigned long long)(free_bytes >> 20),
                 (unsigned long long)((bytes * store->config.shards_count + (1 << 20) - 1) >> 20), store->config.shards_count);
    else
        snprintf(ret_error, error_bytes, "cannot make a segment of %llu bytes in %s: %s", (unsigned long long)bytes, path, strerror(-error));
}

bool store_has_room(const struct store *store, char *ret_error, size_t error_bytes)
{
    const struct store_files *files = &store->config.files;
    uint64_t free_bytes = 0, made = store->config.shards_count > store->spares_count ? store->config.shards_count - store->spares_count : 0;
    if (!files->room || files->room(files->context, &free_bytes) != 0 || free_bytes >= made * store->config.segment_bytes) return true;
    start_refuse(store, -ENOSPC, ret_error, error_bytes);
    return false;
}

bool store_start(struct store *store, bool with_thread, char *ret_error, size_t error_bytes)
{
    for (uint32_t s = 0; s < store->config.shards_count; s++) {
        int error = segment_make(store, s, &store->supplies[s].next);
        if (error) {
            start_refuse(store, error, ret_error, error_bytes);
            return false;
        }
        atomic_store(&store->supplies[s].ready, true);
    }
    reserve_note_spares(store->config.reserve, store->spares_count);
    reserve_look(store->config.reserve);
    if (!with_thread) return true;
    store->wake = eventfd(0, EFD_CLOEXEC);
    if (store->wake < 0) {
        snprintf(ret_error, error_bytes, "no descriptor for the store's thread: %s", strerror(errno));
        return false;
    }
    int error = pthread_create(&store->thread, NULL, store_thread, store);
    if (error) snprintf(ret_error, error_bytes, "cannot start the store's thread: %s", strerror(error));
    store->has_thread = !error;
    return store->has_thread;
}

void store_close(struct store *store)
{
    if (store->has_thread) {
        atomic_store(&store->ending, true);
        store_wake(store);
        pthread_join(store->thread, NULL);
    }
    done_close(store);
    for (uint32_t s = 0; s < store->config.shards_count; s++)
        if (atomic_load(&store->supplies[s].ready))
            store->config.files.close(store->config.files.context, store->supplies[s].next.fd);
    if (store->wake >= 0) close(store->wake);
    store->wake = -1;
    store_recovered(store);
    pthread_mutex_destroy(&store->removing);
    memory_release(store->old);
    memory_release(store->spares);
    memory_release(store);
}
