#include "cmd/ringmqd_store.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"

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
    log_drain();
}

static bool refuse(struct ringmqd_store *store, const char *error)
{
    LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
    ringmqd_store_close(store);
    return false;
}

bool ringmqd_store_open(struct ringmqd_store *store, const struct settings *settings, struct broker *broker, uint32_t shards_count)
{
    *store = (struct ringmqd_store){0};
    if (!settings->durability.enable) return true;
    char path[4200], error[600];
    snprintf(path, sizeof path, "%s/store", settings->node.data_dir);
    if (!files_open(path, false, &store->files, error, sizeof error)) return refuse(store, error);
    struct store_config config = {.files = store->files, .shards_count = shards_count,
                                  .segment_bytes = settings->durability.segment_bytes / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES,
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
    if (!store_start(store->store, true, error, sizeof error)) return refuse(store, error);
    broker_use_store(broker, store->store, &store->state);
    return true;
}

void ringmqd_store_started(struct ringmqd_store *store)
{
    if (!store->has_state) return;
    state_release(&store->state);
    store->has_state = false;
    if (store->store) store_recovered(store->store);
}

void ringmqd_store_close(struct ringmqd_store *store)
{
    ringmqd_store_started(store);
    if (store->store) store_close(store->store);
    store->store = NULL;
    files_close(&store->files);
}
