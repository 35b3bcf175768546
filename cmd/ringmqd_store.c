#include "cmd/ringmqd_store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "store/backup.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct progress {
    uint64_t next_ms;
};

#define PROGRESS_EVERY_MS 1000

static void progress_show(void *context, uint64_t bytes, uint64_t bytes_all)
{
    struct progress *progress = context;
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    if (now_ms < progress->next_ms) return;
    progress->next_ms = now_ms + PROGRESS_EVERY_MS;
    LOG(NOTICE, "reading the store", "percent=%llu read_mib=%llu of_mib=%llu", (unsigned long long)(bytes_all ? bytes * 100 / bytes_all : 100),
        (unsigned long long)(bytes >> 20), (unsigned long long)(bytes_all >> 20));
}

static bool refuse(struct ringmqd_store *store, const char *error)
{
    LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
    ringmqd_store_close(store);
    return false;
}

/* RocksDB ends the process by an assertion of its own when a compaction meets a disk that somebody else has filled meanwhile, and its C interface
 * offers nothing to come before that. So its last words are explained. What was acknowledged is in the log. */
#define DISK_FULL_BYTES (64ull * 1024 * 1024)

static char abort_path[4352];

static void abort_explain(int signal)
{
    static const char words[] = "ringmqd: the process stops: the disk under the store's long queues (node.data_dir/store/shelf) is full, and "
                                "RocksDB gives up on that. Nothing that was acknowledged is lost. Make room on it, then start again.\n";
    struct statvfs room;
    if (statvfs(abort_path, &room) != 0 || (uint64_t)room.f_bavail * room.f_frsize > DISK_FULL_BYTES) return;
    ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);
    (void)written;
} /* abort() goes on */

static void abort_watch(const char *path)
{
    struct sigaction action = {.sa_handler = abort_explain, .sa_flags = (int)SA_RESETHAND};
    snprintf(abort_path, sizeof abort_path, "%s", path);
    sigaction(SIGABRT, &action, NULL);
}

static uint64_t shelved_messages(const struct state *state)
{
    uint64_t count = 0;
    uint32_t cursor = 0;
    for (const struct state_session *session; (session = state_session_next(state, &cursor));)
        if (session->shelved) count += session->shelf_until - session->shelf_from;
    return count;
}

static uint64_t shelved_retained(const struct state *state)
{
    uint64_t count = 0;
    uint32_t cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));)
        count += message->row.space != 0;
    return count;
}

/* Half of durability.memory is the shelf's: of that, the cache and the memtables; a sync comes when one memtable is full. */
static bool spill_open(struct ringmqd_store *store, const char *path, const struct settings *settings, struct broker *broker, uint32_t shards_count,
                       char *ret_error, size_t error_bytes)
{
    char shelf_path[4300];
    snprintf(shelf_path, sizeof shelf_path, "%s/" STORE_SHELF_NAME, path);
    bool exists = access(shelf_path, F_OK) == 0;
    uint64_t shelved = shelved_messages(&store->state), retained = shelved_retained(&store->state), memory_bytes = settings->durability.memory_bytes / 2;
    if (!exists && settings->durability.queue_window == UINT32_MAX && settings->mqtt.retained_shelf_above == 0 && !shelved && !retained) return true;
    if (!exists && (shelved || retained) && settings->durability.on_damage != DAMAGE_SALVAGE) {
        snprintf(ret_error, error_bytes, "%.400s is missing, where %llu queued messages and the payloads of %llu retained ones are kept; restore a backup, or set "
                 "durability.on_damage = salvage to start without them", shelf_path, (unsigned long long)shelved, (unsigned long long)retained);
        return false;
    }
    struct spill_config config = {.shards_count = shards_count, .sync_bytes = memory_bytes / 8, .swept = true, .reserve = store->reserve, .wake = broker_spill_wake,
                                  .context = broker};
    if (!shelf_open(shelf_path, false, memory_bytes, &config.shelf, ret_error, error_bytes)) return false;
    abort_watch(shelf_path);
    int error = shelf_sweep(&config.shelf, &store->state);
    if (error) {
        snprintf(ret_error, error_bytes, "cannot use %.300s: %s", shelf_path, config.shelf.fault(config.shelf.context));
        config.shelf.close(config.shelf.context);
        return false;
    }
    store->spill = spill_create(&config);
    if (!store->spill) {
        snprintf(ret_error, error_bytes, "no descriptor for the shelf's thread: %s", strerror(errno));
        config.shelf.close(config.shelf.context);
        return false;
    }
    reserve_use_shelf(store->reserve, spill_shelf(store->spill));
    LOG(NOTICE, "long queues are kept on disk", "path=%s queue_window=%u memory_mib=%llu shelved=%llu retained=%llu", shelf_path,
        settings->durability.queue_window, (unsigned long long)(settings->durability.memory_bytes >> 20), (unsigned long long)shelved, (unsigned long long)retained);
    return true;
}

bool ringmqd_store_open(struct ringmqd_store *store, const struct settings *settings, struct broker *broker, uint32_t shards_count)
{
    *store = (struct ringmqd_store){.backup_lock = PTHREAD_MUTEX_INITIALIZER};
    if (!settings->durability.enable) return true;
    store->data_dir = settings->node.data_dir;
    char *path = store->path, error[800];
    snprintf(path, sizeof store->path, "%s/store", settings->node.data_dir);
    if (!files_open(path, false, &store->files, error, sizeof error)) return refuse(store, error);
    uint64_t segment_bytes = settings->durability.segment_bytes / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
    struct reserve_config reserve = {.files = &store->files, .path = path, .bytes = settings->durability.disk_reserve_bytes, .shards_count = shards_count,
                                     .segment_bytes = segment_bytes};
    store->reserve = reserve_create(&reserve);
    struct store_config config = {.files = store->files, .shards_count = shards_count, .segment_bytes = segment_bytes, .reserve = store->reserve, .path = path,
                                  .salvage = settings->durability.on_damage == DAMAGE_SALVAGE, .realtime_ms = clock_ms(CLOCK_REALTIME)};
    CHECK(getrandom(&config.seed, sizeof config.seed, 0) == sizeof config.seed);
    store->store = store_open(&config, error, sizeof error);
    if (!store->store) return refuse(store, error);
    uint64_t begun_ms = clock_ms(CLOCK_MONOTONIC);
    struct progress progress = {begun_ms + PROGRESS_EVERY_MS};
    struct store_report report;
    state_init(&store->state);
    store->has_state = true;
    if (!store_recover(store->store, &store->state, durable_groups, progress_show, &progress, &report, error, sizeof error))
        return refuse(store, error);
    if (report.salvaged)
        LOG(ERROR, "the store was damaged and what can be read was salvaged", "what=%s", log_quoted(span_of_string(report.hole)));
    LOG(NOTICE, "store opened", "path=%s sessions=%u retained=%u records=%llu commits=%llu bytes=%llu torn=%llu ms=%llu", path,
        store->state.sessions.count, store->state.retained.count, (unsigned long long)report.records, (unsigned long long)report.commits,
        (unsigned long long)report.bytes, (unsigned long long)report.torn, (unsigned long long)(clock_ms(CLOCK_MONOTONIC) - begun_ms));
    for (uint32_t s = 0; s < shards_count; s++)
        reserve_note_log(store->reserve, s, report.bytes / shards_count); /* until their first checkpoints say how much of it lives */
    if (!store_has_room(store->store, error, sizeof error)) return refuse(store, error); /* before RocksDB is let near a disk that is full */
    if (!spill_open(store, path, settings, broker, shards_count, error, sizeof error)) return refuse(store, error);
    if (!store_start(store->store, true, error, sizeof error)) return refuse(store, error);
    struct reserve_report room;
    reserve_report(store->reserve, &room);
    if (room.reserve_bytes)
        LOG(NOTICE, "the store keeps a reserve of its disk", "path=%s free_mib=%llu reserve_mib=%llu full=%d", path, (unsigned long long)(room.free_bytes >> 20),
            (unsigned long long)(room.reserve_bytes >> 20), room.full);
    broker_use_store(broker, store->store, &store->state);
    broker_use_spill(broker, store->spill);
    return true;
}

bool ringmqd_store_started(struct ringmqd_store *store)
{
    if (!store->has_state) return true;
    state_release(&store->state);
    store->has_state = false;
    if (store->store) store_recovered(store->store);
    return !store->spill || spill_start(store->spill);
}

static void backup_note(struct ringmqd_store *store, const struct admin_backup *backup)
{
    pthread_mutex_lock(&store->backup_lock);
    store->last_backup = *backup;
    pthread_mutex_unlock(&store->backup_lock);
}

void ringmqd_store_last_backup(struct ringmqd_store *store, struct admin_backup *ret_backup)
{
    pthread_mutex_lock(&store->backup_lock);
    *ret_backup = store->last_backup;
    pthread_mutex_unlock(&store->backup_lock);
}

static void *backup_thread(void *context)
{
    struct ringmqd_store *store = context;
    struct admin_backup backup;
    char error[sizeof backup.error];
    log_thread_attach("backup");
    ringmqd_store_last_backup(store, &backup);
    uint64_t begun_ms = clock_ms(CLOCK_MONOTONIC);
    bool made = store_backup(store->store, store->spill, backup.path, &backup.bytes, error, sizeof error);
    backup.ms = clock_ms(CLOCK_MONOTONIC) - begun_ms;
    backup.state = made ? BACKUP_DONE : BACKUP_FAILED;
    if (made)
        LOG(NOTICE, "backup made", "path=%s bytes=%llu ms=%llu", backup.path, (unsigned long long)backup.bytes, (unsigned long long)backup.ms);
    else {
        snprintf(backup.error, sizeof backup.error, "%s", error);
        LOG(ERROR, "no backup made", "what=%s", log_quoted(span_of_string(error)));
    }
    backup_note(store, &backup);
    return NULL;
}

bool ringmqd_store_backup(struct ringmqd_store *store, char *ret_error, size_t error_bytes)
{
    struct admin_backup backup;
    if (!store->store) return snprintf(ret_error, error_bytes, "durability.enable is off: there is nothing to copy"), false;
    ringmqd_store_last_backup(store, &backup);
    if (backup.state == BACKUP_RUNNING) return snprintf(ret_error, error_bytes, "another one is being made"), false;
    if (store->has_backup) pthread_join(store->backup, NULL);
    char when[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    backup = (struct admin_backup){.state = BACKUP_RUNNING, .unix_ms = clock_ms(CLOCK_REALTIME)};
    snprintf(backup.path, sizeof backup.path, "%s/backup-%s", store->data_dir, when);
    backup_note(store, &backup);
    store->has_backup = pthread_create(&store->backup, NULL, backup_thread, store) == 0;
    if (store->has_backup) return true;
    backup = (struct admin_backup){.state = BACKUP_FAILED, .error = "no thread can be made"};
    backup_note(store, &backup);
    return snprintf(ret_error, error_bytes, "%s", backup.error), false;
}

void ringmqd_store_shards_end(struct ringmqd_store *store)
{
    if (store->spill) spill_shards_end(store->spill);
}

void ringmqd_store_close(struct ringmqd_store *store)
{
    if (store->has_backup) pthread_join(store->backup, NULL);
    store->has_backup = false;
    if (store->has_state) state_release(&store->state);
    store->has_state = false;
    reserve_use_shelf(store->reserve, NULL);
    spill_destroy(store->spill);
    store->spill = NULL;
    if (store->store) store_close(store->store);
    store->store = NULL;
    reserve_destroy(store->reserve);
    store->reserve = NULL;
    files_close(&store->files);
}
