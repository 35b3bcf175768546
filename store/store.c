#include "store/store_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

/* ---- what is there ---------------------------------------------------------------------------------------------- */

void store_spare_add(struct store *store, const char *name)
{
    if (store->spares_count == store->spares_capacity) {
        store->spares_capacity = store->spares_capacity ? store->spares_capacity * 2 : 8;
        store->spares = memory_resize(store->spares, store->spares_capacity * sizeof *store->spares);
    }
    snprintf(store->spares[store->spares_count++], STORE_NAME_BYTES, "%s", name);
}

static void name_take(void *context, const char *name)
{
    struct store *store = context;
    struct replay_segment segment;
    unsigned number;
    if (sscanf(name, "complete-%8x", &number) == 1) {
        if (number > store->complete) store->complete = number;
    } else if (sscanf(name, "spare-%8x", &number) == 1) {
        store_spare_add(store, name);
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

/* ---- the shards' side -------------------------------------------------------------------------------------------- */

void store_wake(struct store *store)
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
int store_removal_trouble(const struct store *store) { return atomic_load_explicit(&store->removal_trouble, memory_order_relaxed); }
uint64_t store_bytes(const struct store *store) { return atomic_load_explicit(&store->bytes, memory_order_relaxed); }

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

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
        int error = store_segment_make(store, s, &store->supplies[s].next);
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
    store_done_close(store);
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
