/* micro_store.c - a store on a disk that takes everything and keeps nothing: the broker's own work for durability. */
#include <errno.h>

#include "base/check.h"
#include "broker/broker.h"
#include "perf/micro.h"

static int nothing_list(void *context, void (*each)(void *argument, const char *name), void *argument) { return 0; }
static int nothing_make(void *context, const char *name, const char *spare, const void *header, uint64_t bytes, int *ret_fd) { return *ret_fd = 0; }
static int nothing_write(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset) { return 0; }
static void nothing_close(void *context, int fd) {}
static int nothing_map(void *context, const char *name, struct span *ret_bytes) { return -ENOENT; }
static void nothing_unmap(void *context, struct span bytes) {}
static int nothing_rename(void *context, const char *from, const char *to) { return 0; }
static int nothing_name(void *context, const char *name) { return 0; }

struct store *micro_store_attach(struct broker *broker, uint32_t shards_count)
{
    static struct state state;
    char error[512];
    struct store_config config = {.files = {.list = nothing_list, .make = nothing_make, .write_sync = nothing_write, .close = nothing_close,
                                            .map = nothing_map, .unmap = nothing_unmap, .rename = nothing_rename, .remove = nothing_name,
                                            .mark = nothing_name},
                                  .shards_count = shards_count, .segment_bytes = 1ull << 30, .realtime_ms = 1, .seed = 1};
    struct store_report report;
    struct store *store = store_open(&config, error, sizeof error);
    CHECK(store);
    state_init(&state);
    CHECK(store_recover(store, &state, durable_groups, NULL, NULL, &report, error, sizeof error) && store_start(store, false, error, sizeof error));
    broker_use_store(broker, store, &state);
    return store;
}
