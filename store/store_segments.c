/* store_segments.c - the thread that makes, recycles and removes segments. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/store_inside.h"

#define TROUBLE_AGAIN_MS 500
#define LOOK_MS          1000 /* between two looks at the disk's room, while the store is written to or full */

/* ---- making ------------------------------------------------------------------------------------------------------ */

int store_segment_make(struct store *store, uint32_t shard, struct wal_segment *ret_segment)
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
    char name[STORE_NAME_BYTES];
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

static void removal_trouble_set(struct store *store, int error)
{
    int before = atomic_exchange(&store->removal_trouble, -error);
    if (error && before != -error)
        LOG(ERROR, "the store cannot remove a segment that nobody needs", "error=\"%s\" what=\"it tries again and goes on meanwhile; the disk fills as long as it cannot\"",
            strerror(-error));
    if (!error && before) LOG(NOTICE, "the store can remove segments again", "trouble=over");
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

#define SPARES_MAX(store) (2 * (store)->config.shards_count)

/* A segment nobody needs: kept for reuse, or removed. */
static int segment_retire(struct store *store, const char *name)
{
    const struct store_files *files = &store->config.files;
    if (store->spares_count >= SPARES_MAX(store)) return files->remove(files->context, name);
    char spare[STORE_NAME_BYTES];
    snprintf(spare, sizeof spare, "spare-%08x", ++store->spares_made);
    int error = files->rename(files->context, name, spare);
    if (error == -ENOENT) return 0; /* an earlier try has done it, and could not sync that: the next start finds it under its new name */
    if (!error) store_spare_add(store, spare);
    return error;
}

void store_done_close(struct store *store)
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
        char name[STORE_NAME_BYTES];
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
    char name[STORE_NAME_BYTES];
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

/* ---- the thread -------------------------------------------------------------------------------------------------- */

bool store_step(struct store *store)
{
    store_done_close(store);
    int removal = remove_old(store), making = 0;
    for (uint32_t s = 0; s < store->config.shards_count; s++) {
        struct supply *supply = &store->supplies[s];
        if (atomic_load_explicit(&supply->ready, memory_order_acquire)) continue;
        int error = store_segment_make(store, s, &supply->next);
        if (error)
            making = error;
        else
            atomic_store_explicit(&supply->ready, true, memory_order_release);
    }
    reserve_note_spares(store->config.reserve, store->spares_count);
    reserve_look(store->config.reserve);
    trouble_set(store, making);
    removal_trouble_set(store, removal);
    return making || removal;
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

void *store_thread(void *argument)
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
