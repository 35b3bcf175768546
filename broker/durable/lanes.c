/* lanes.c - what shards with logs of their own tell each other: which filters have durable receivers, what a message is (RECORD_DURABLE), that it is on
 * disk (RECORD_STORED, many in one record), and that nothing is under way any more (RECORD_BARRIER_DONE). What waits for it is in waits.c. */
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "broker/run_send.h"

/* ---- durable filters ---------------------------------------------------------------------------------------------- */

static uint32_t filter_bit(uint32_t local_id) { return local_id & ((1u << DURABLE_FILTER_BITS) - 1); }

void durable_filter_count(struct broker_shard *broker, uint32_t local_id, bool added)
{
    struct durable_shard *durable = broker->durable;
    uint32_t bit = filter_bit(local_id);
    uint16_t *count = &durable->filter_counts[bit];
    if (*count == UINT16_MAX) return; /* too many to count: it stays set */
    *count = (uint16_t)(added ? *count + 1 : *count - 1);
    if (added && *count == 1) atomic_fetch_or(&durable->filter_bits[bit / 64], 1ull << (bit % 64));
    if (!added && *count == 0) atomic_fetch_and(&durable->filter_bits[bit / 64], ~(1ull << (bit % 64)));
}

bool durable_filters_any(const struct durable_shard *there, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bit = filter_bit(ids[i]);
        if (atomic_load_explicit(&there->filter_bits[bit / 64], memory_order_relaxed) >> (bit % 64) & 1) return true;
    }
    return false;
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

bool durable_send_publish(struct broker_shard *broker, uint32_t to, struct publication *publication, const uint32_t *ids, uint32_t count)
{
    bool one = count <= RECORD_PUBLISH_IDS_MAX; /* record, so one announcement */
    if (one && !durable_announce(broker, to, publication, ids, count)) return false;
    if (count == 1) {
        if (!run_send(broker->shard, to, RECORD_PUBLISH_RUN, publication, ids[0])) record_send_publish_one(broker->shard, to, publication, ids[0]);
        return true;
    }
    for (uint32_t at = 0; at < count; at += RECORD_PUBLISH_IDS_MAX) {
        uint32_t part = count - at < RECORD_PUBLISH_IDS_MAX ? count - at : RECORD_PUBLISH_IDS_MAX;
        if (!one) durable_announce(broker, to, publication, ids + at, part);
        record_send_publish(broker->shard, to, publication_message(broker->shard, publication), ids + at, part);
    }
    return true;
}

void durable_notice_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    broker->durable->notices[from] = (struct durable_notice){
        .valid = true, .level = (uint8_t)cells->b, .wait = record_pointer(cells),
        .origin = {.session = cells[1].a, .number = (uint32_t)(cells[1].b >> 16), .packet_id = (uint16_t)cells[1].b},
        .partial = (struct durable_partial *)(uintptr_t)cells[2].a};
}

void durable_adopt(struct broker_shard *broker, uint32_t from, struct publication *publication)
{
    struct durable_notice *notice = &broker->durable->notices[from];
    if (!notice->valid) return;
    notice->valid = false;
    publication->level = notice->level;
    publication->wait = notice->wait;
    publication->partial = notice->partial;
    publication->origin_session = notice->origin.session;
    publication->origin_number = notice->origin.number;
    publication->origin_packet_id = notice->origin.packet_id;
}

/* ---- told to other shards, many at once -------------------------------------------------------------------------- */

static void owed_append(struct durable_owed *owed, uint64_t commit, struct durable_wait *wait)
{
    struct durable_promise *last = owed->count ? &owed->promises[(owed->head + owed->count - 1) & (owed->capacity - 1)] : NULL;
    if (last && last->wait == wait && last->commit == commit && last->count <= UINT16_MAX) {
        last->count++;
        return;
    }
    if (owed->count == owed->capacity) {
        uint32_t capacity = owed->capacity ? owed->capacity * 2 : 64;
        struct durable_promise *promises = memory_acquire(capacity * sizeof *promises);
        for (uint32_t i = 0; i < owed->count; i++)
            promises[i] = owed->promises[(owed->head + i) & (owed->capacity - 1)];
        memory_release(owed->promises);
        *owed = (struct durable_owed){promises, 0, owed->count, capacity};
    }
    owed->promises[(owed->head + owed->count++) & (owed->capacity - 1)] = (struct durable_promise){commit, wait, 1};
}

/* Those at the front whose commits are durable, in one record. False: there are none. */
static bool owed_send_some(struct broker_shard *broker, uint32_t to, uint64_t committed)
{
    struct durable_owed *owed = &broker->durable->owed[to];
    struct lane_cell cells[1 + STORED_WAITS_MAX / 2];
    uint32_t count = 0, messages = 0;
    for (; owed->count && count < STORED_WAITS_MAX; count++) {
        struct durable_promise promise = owed->promises[owed->head & (owed->capacity - 1)];
        if (promise.commit > committed) break;
        uint64_t name = (uint64_t)(uintptr_t)promise.wait | (uint64_t)(promise.count - 1) << STORED_COUNT_SHIFT;
        messages += promise.count;
        if (count % 2)
            cells[1 + count / 2].b = name;
        else
            cells[1 + count / 2] = (struct lane_cell){name, 0};
        owed->head = (owed->head + 1) & (owed->capacity - 1);
        owed->count--;
    }
    if (count == 0) return false;
    uint32_t further = (count + 1) / 2;
    cells[0] = record_first(RECORD_STORED, (uint8_t)further, NULL, count);
    shard_send(broker->shard, to, cells, 1 + further);
    COUNT_BY(broker, durable_waits, -(uint64_t)messages);
    return true;
}

void durable_owed_send(struct broker_shard *broker, bool all)
{
    uint64_t committed = all ? UINT64_MAX : broker->durable->wal.committed;
    for (uint32_t to = 0; to < broker->broker->shards_count; to++)
        while (broker->durable->owed[to].count && owed_send_some(broker, to, committed))
            ;
}

/* At once when nothing of it went into the log. */
void durable_report(struct broker_shard *broker, uint32_t from, struct publication *publication)
{
    if (!publication->wait) return;
    uint64_t commit = publication->commit;
    if (wal_durable(&broker->durable->wal, commit)) commit = 0;
    if (commit == 0) {
        struct lane_cell cells[2] = {record_first(RECORD_STORED, 1, NULL, 1), {(uint64_t)(uintptr_t)publication->wait, 0}};
        return shard_send(broker->shard, from, cells, 2);
    }
    owed_append(&broker->durable->owed[from], commit, publication->wait); /* commits only rise */
    COUNT(broker, durable_waits);
}

/* ---- barriers --------------------------------------------------------------------------------------------------------- */

/* Barriers at the front have nothing before them any more. */
void durable_origins_advance(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    while (!list_empty(&durable->origins)) {
        struct durable_wait *wait = CONTAINER_OF(durable->origins.next, struct durable_wait, origin_link);
        if (wait->kind != WAIT_BARRIER) return;
        uint32_t from = wait->from;
        durable_wait_free(broker, wait);
        if (from == broker->shard->number)
            durable_barrier_done(broker);
        else
            record_send(broker->shard, from, RECORD_BARRIER_DONE, NULL, 0);
    }
}

void durable_barrier(struct broker_shard *broker, uint32_t from)
{
    if (!broker->durable) return; /* the node is ending: no checkpoint goes on */
    struct durable_wait *wait = durable_wait_make(broker, WAIT_BARRIER, NULL);
    wait->from = from;
    list_append(&broker->durable->origins, &wait->origin_link);
    durable_origins_advance(broker);
}

void durable_barrier_done(struct broker_shard *broker)
{
    if (broker->durable) broker->durable->checkpoint.barriers--;
}
