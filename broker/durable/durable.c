/* durable/durable.c - the log's place in a shard's life and turn. */
#include "broker/durable/durable.h"

#include <errno.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/records.h"
#include "broker/retained/shelf.h"

/* ---- the log's life --------------------------------------------------------------------------------------------- */

static void disk_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct durable_shard *durable = context;
    struct shard *shard = durable->broker->shard;
    durable->writing_bytes = bytes;
    durable->writing_ns = shard->now_ns;
    spread_record(&shard->spreads[SPREAD_commit_gather], shard->now_ns - durable->gathering_ns);
    spread_record(&shard->spreads[SPREAD_commit_bytes], bytes);
    store_written(durable->broker->broker->store);
    shard_write_sync(shard, fd, data, bytes, offset);
}

static bool disk_segment_take(void *context, struct wal_segment *ret_segment)
{
    struct durable_shard *durable = context;
    return store_segment_take(durable->broker->broker->store, durable->broker->shard->number, ret_segment);
}

static void disk_segment_done(void *context, const struct wal_segment *segment, bool failed)
{
    struct durable_shard *durable = context;
    if (failed) COUNT(durable->broker, durable_write_failures);
    store_segment_done(durable->broker->broker->store, durable->broker->shard->number, segment, failed);
}

static void timer_fired(struct timer *timer, void *context) {} /* the turn it makes is what it is for */

/* For report.c and the reserve, on other threads. What a checkpoint must write is at most what the last one wrote and what has come since. */
void durable_show(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    atomic_store_explicit(&durable->shown.waiting_bytes, wal_backlog_bytes(&durable->wal), memory_order_relaxed);
    atomic_store_explicit(&durable->shown.checkpointing, durable->checkpoint.running, memory_order_relaxed);
    atomic_store_explicit(&durable->shown.refuses, durable_refuses(broker), memory_order_relaxed);
    if (!durable->checkpoint.first_done || durable->checkpoint.running) return;
    reserve_note_log(store_reserve(broker->broker->store), broker->shard->number,
                     durable->checkpoint.live_bytes + durable->wal.bytes_appended - durable->checkpoint.begun_bytes);
}

static void heartbeat(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    if (!list_empty(&broker->durable->sessions)) wal_touch(&broker->durable->wal, broker->shard->now_ms);
    if (broker->broker->spill) durable_spill_retry(broker);
    durable_show(broker);
    shard_start_timer(broker->shard, timer, STORE_HEARTBEAT_MS);
}

static struct span prepared_key(const void *value);

void broker_use_store(struct broker *broker, struct store *store, const struct state *state)
{
    broker->store = store;
    broker->recovered = state;
    broker->restoring = state ? broker->shards_count : 0;
}

void broker_use_spill(struct broker *broker, struct spill *spill) { broker->spill = spill; }

void broker_spill_wake(void *context, uint32_t shard)
{
    struct broker *broker = context;
    struct shard *there = broker->shards[shard]->shard;
    if (there) there->group->verbs->wake(NULL, shard);
}

void durable_start(struct broker_shard *broker)
{
    if (!broker->broker->store) return;
    struct durable_shard *durable = memory_acquire_zeroed(sizeof *durable);
    durable->broker = broker;
    struct wal_config config = {.disk = {.context = durable, .write_sync = disk_write_sync, .segment_take = disk_segment_take,
                                         .segment_done = disk_segment_done},
                                .epoch = store_epoch(broker->broker->store), .shard = broker->shard->number,
                                .interval_ms = broker->settings->durability.commit_interval_ms,
                                .commit_bytes_max = (uint32_t)broker->settings->durability.commit_bytes_max};
    wal_init(&durable->wal, &config);
    list_init(&durable->committing);
    list_init(&durable->origins);
    list_init(&durable->sessions);
    list_init(&durable->aging);
    list_init(&durable->spills);
    list_init(&durable->spills_long);
    list_init(&durable->spill_walk.mark);
    list_init(&durable->spill_writes);
    timer_init(&durable->timer, timer_fired);
    timer_init(&durable->heartbeat, heartbeat);
    map_init(&durable->prepared, prepared_key);
    durable_checkpoint_init(durable);
    broker->durable = durable;
    broker->answers_wait = true;
    shard_start_timer(broker->shard, &durable->heartbeat, STORE_HEARTBEAT_MS);
    retained_shelf_start(broker);
    durable_restore(broker);
}

void durable_file(struct shard *shard, int32_t result)
{
    struct broker_shard *broker = broker_of(shard);
    struct durable_shard *durable = broker->durable;
    int error = result < 0 ? result : (uint32_t)result < durable->writing_bytes ? -EIO : 0;
    if (error)
        LOG_LIMITED(ERROR, 1000, "the store cannot write", "error=\"%s\" what=\"what was acknowledged is safe; new acknowledgements wait\"",
                    strerror(-error));
    spread_record(&shard->spreads[SPREAD_commit_write], shard->now_ns - durable->writing_ns);
    wal_written(&durable->wal, error);
    struct stats *stats = broker_stats(broker);
    __atomic_store_n(&stats->durable_commits, durable->wal.commits, __ATOMIC_RELAXED);
    __atomic_store_n(&stats->durable_bytes, durable->wal.bytes_written, __ATOMIC_RELAXED);
}

bool durable_busy(struct shard *shard)
{
    const struct durable_shard *durable = broker_of(shard)->durable;
    return durable && durable->wal.writing;
}

#define REFUSE_FAILURES 3 /* so many writes in a row have failed */

bool durable_refuses(const struct broker_shard *broker)
{
    const struct durable_shard *durable = broker->durable;
    if (wal_backlog_bytes(&durable->wal) > broker->settings->durability.backlog_bytes_max) return true;
    return durable->wal.failures >= REFUSE_FAILURES || (durable->wal.starved && store_trouble(broker->broker->store) != 0);
}

/* ---- the turn --------------------------------------------------------------------------------------------------- */

bool durable_turn(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    struct shard *shard = broker->shard;
    durable_doors_look(broker);
    if (UNLIKELY(durable->restoring) && atomic_load(&broker->broker->restoring) == 0) durable_restored(broker);
    durable_waits_release(broker);
    durable_owed_send(broker, false);
    if (broker->broker->spill && !durable->restoring && durable_spill_turn(broker)) shard->more_next_turn = true;
    if (durable->shelf && !durable->restoring && retained_shelf_turn(broker)) shard->more_next_turn = true;
    durable_checkpoint_turn(broker);
    if (wal_settled(&durable->wal)) return durable->restoring;
    if (wal_position(&durable->wal) != durable->gathering) {
        durable->gathering = wal_position(&durable->wal);
        durable->gathering_ns = shard->now_ns;
    }
    uint64_t again_ms = wal_turn(&durable->wal, shard->now_ms, durable_realtime_ms(broker, shard->now_ms));
    if (again_ms != UINT64_MAX && (!timer_running(&durable->timer) || durable->timer.deadline_ms > again_ms))
        wheel_start(&shard->wheel, &durable->timer, again_ms);
    return durable->restoring;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* The shard's thread has ended, so the ring is closed to us: what is left is written in the plain way. */
static void final_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct durable_shard *durable = context;
    durable->final_error = store_write_sync(durable->broker->broker->store, fd, data, bytes, offset);
}

#define FINAL_PATIENCE_MS 5000

static void write_rest(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    struct wal *wal = &durable->wal;
    wal->config.disk.write_sync = final_write_sync;
    wal->config.interval_ms = 0;
    uint64_t now_ms = broker->shard->now_ms, waited_ms = 0;
    while (!wal_settled(wal) && waited_ms < FINAL_PATIENCE_MS && !durable_refuses(broker)) {
        now_ms++;
        wal_turn(wal, now_ms + waited_ms, durable_realtime_ms(broker, now_ms));
        if (wal->writing) {
            wal_written(wal, durable->final_error);
            continue;
        }
        usleep(10000); /* no segment yet, or a rest after a failure */
        waited_ms += 10;
    }
    if (!wal_settled(wal))
        LOG(ERROR, "not everything could be written", "shard=%u bytes=%llu what=\"nothing of it was acknowledged\"", broker->shard->number,
            (unsigned long long)wal_backlog_bytes(wal));
}

void durable_stop(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (!durable) return;
    CHECK(!durable->wal.writing); /* durable_busy() kept the shard turning */
    write_rest(broker);
    durable_owed_send(broker, true);
    while (!list_empty(&durable->committing)) { /* connections have gone */
        struct durable_wait *wait = CONTAINER_OF(durable->committing.next, struct durable_wait, commit_link);
        list_remove(&wait->commit_link);
        if (wait->kind == WAIT_CONNECT) durable_prepared_release(broker, wait->other);
        if (wait->kind == WAIT_FEATURE) features_stored(broker, wait->other, wal_durable(&durable->wal, wait->commit));
        if (wait->session) continue; /* still in its row, which ends with the session */
        durable_wait_free(broker, wait);
    }
}

void durable_finish(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (!durable) return;
    write_rest(broker); /* what settling the lanes has brought */
    wheel_stop(&broker->shard->wheel, &durable->timer);
    wheel_stop(&broker->shard->wheel, &durable->heartbeat);
    while (!list_empty(&durable->origins)) { /* barriers, and what another shard still answers: durable_stored() releases that */
        struct durable_wait *wait = CONTAINER_OF(durable->origins.next, struct durable_wait, origin_link);
        list_remove(&wait->origin_link);
        if (wait->kind == WAIT_BARRIER) durable_wait_free(broker, wait);
    }
    durable_checkpoint_release(durable);
    durable_spill_release(broker);
    wal_release(&durable->wal);
    map_free(&durable->prepared);
    for (uint32_t s = 0; s < SHARDS_MAX; s++)
        memory_release(durable->owed[s].promises);
    memory_release(durable->held);
    memory_release(durable);
    broker->durable = NULL;
    broker->durable_doors = 0;
}

static struct span prepared_key(const void *value) { return span_of(value, 8); } /* struct durable_prepared begins with it */
