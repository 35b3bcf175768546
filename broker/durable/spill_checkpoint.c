/* spill_checkpoint.c - what a checkpoint says of queues on the shelf, and how a start finds them again. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/durable/spill.h"

/* ---- checkpoints ------------------------------------------------------------------------------------------------ */

static uint64_t shelf_from(const struct durable_spill *spill) { return spill->from - spill->loaded; }

bool durable_spill_settled(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    if (!spill || spill->unsynced == 0) return true; /* its window may name them when its queue does not any more */
    if (!spill->paused) {
        struct spill_request *request = memory_acquire_zeroed(sizeof *request);
        *request = (struct spill_request){.kind = SPILL_SYNC};
        spill_send(broker->broker->spill, broker->shard->number, request);
        spill->paused = true;
    }
    return false;
}

void durable_spill_pause(struct session *session) { session->durable->spill->paused = true; }

void durable_spill_range(const struct session *session, uint64_t *ret_from, uint64_t *ret_until, uint64_t *ret_bytes)
{
    const struct durable_spill *spill = session->durable->spill;
    *ret_from = *ret_until = *ret_bytes = 0;
    if (!spill || !session->spilled || shelf_from(spill) >= spill->until) return;
    *ret_from = shelf_from(spill);
    *ret_until = spill->until;
    *ret_bytes = (uint64_t)spill->bytes;
    for (uint32_t i = session->queue.count - spill->loaded; i < session->queue.count; i++)
        *ret_bytes += message_bytes(delivery_message(delivery_queue_at(&session->queue, i)));
}

#define LEFT_BYTES (64u * 1024) /* a block: what is known of what is not dead yet is that there is some */

void durable_spill_snapshotted(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    if (!spill) return;
    if (spill->paused) durable_spill_go_on(broker, spill);
    spill->dead = session->spilled ? shelf_from(spill) : spill->until;
    struct mqtt_inflight_entry entry;
    for (uint16_t cursor = 0; mqtt_inflight_next(&session->inflight, &cursor, &entry);) {
        const struct message *message = (const struct message *)((uintptr_t)entry.message & DELIVERY_POINTER_MASK);
        if (entry.state != MQTT_INFLIGHT_PUBLISHED || !message || !spill_is_stored(message)) continue;
        if (spill_number(message) < spill->dead) spill->dead = spill_number(message);
    }
    if (spill->dead < spill->from) broker->durable->shelf_gone_bytes += LEFT_BYTES; /* loaded, and not acknowledged: of the checkpoint after this one */
}

void durable_spill_checkpoint_begun(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    memory_release(durable->spill_ended_before);
    durable->spill_ended_before = durable->spill_ended;
    durable->spill_ended_before_count = durable->spill_ended_count;
    durable->spill_ended = NULL;
    durable->spill_ended_count = 0;
    durable->shelf_gone_bytes = 0;
}

static void drop_send(struct broker_shard *broker, uint64_t session, uint64_t until)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_DROP, .session = session, .until = until};
    spill_send(broker->broker->spill, broker->shard->number, request);
}

void durable_spill_checkpoint_done(struct broker_shard *broker)
{
    broker->durable->spill_walk.drops = true;
    durable_spill_walk_begin(broker->durable);
}

bool durable_spill_drop_ended(struct broker_shard *broker, uint32_t most)
{
    struct durable_shard *durable = broker->durable;
    for (; most > 0 && durable->spill_ended_before_count > 0; most--)
        drop_send(broker, durable->spill_ended_before[--durable->spill_ended_before_count], UINT64_MAX);
    return durable->spill_ended_before_count > 0;
}

void durable_spill_drop_dead(struct broker_shard *broker, struct durable_spill *spill)
{
    if (spill->dead <= spill->dropped) return;
    spill->dropped = spill->dead;
    drop_send(broker, spill->id, spill->dead);
}

/* ---- at start --------------------------------------------------------------------------------------------------- */

void durable_spill_restore(struct broker_shard *broker, struct session *session, const struct state_session *from)
{
    durable_spill_begin(broker, session);
    struct durable_spill *spill = session->durable->spill;
    spill->from = from->shelf_from;
    spill->until = from->shelf_until;
    spill->bytes = from->shelf_bytes;
    uint64_t count = spill->until - spill->from;
    session->queue_bytes += from->shelf_bytes;
    COUNT_BY(broker, queued_messages, count);
    COUNT_BY(broker, queued_bytes, from->shelf_bytes);
    COUNT_BY(broker, spilled_messages, count);
    COUNT_BY(broker, spilled_bytes, from->shelf_bytes);
}

struct fetching {
    struct record_reader reader;
    uint64_t number, wanted;
    uint8_t *block; /* a copy: what the shelf shows does not stay */
};

static bool fetch_block(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct fetching *fetching = context;
    if (number > fetching->wanted) return false;
    fetching->block = memory_acquire(block.bytes + 1);
    memcpy(fetching->block, block.data, block.bytes);
    fetching->reader = record_reader_of(span_of(fetching->block, block.bytes));
    fetching->number = number;
    return false;
}

struct message *durable_spill_fetch(struct broker_shard *broker, struct session *session, uint64_t number, struct delivery_options *ret_options,
                                    uint32_t **ret_ids)
{
    struct fetching fetching = {.wanted = number};
    const struct shelf *shelf = broker->broker->spill ? spill_shelf(broker->broker->spill) : NULL;
    struct message *message = NULL;
    *ret_ids = NULL;
    int error = shelf ? shelf->read(shelf->context, session->durable->id, number, fetch_block, &fetching) : 0;
    while (!error && fetching.block && !message && !record_reader_whole(&fetching.reader) && !fetching.reader.bad) {
        struct span ids;
        struct stored_message record;
        struct stored_delivery stored = record_take_entry(&fetching.reader, &ids, &record);
        if (fetching.reader.bad || fetching.number++ != number) continue;
        message = durable_spill_message(broker, &record, number);
        *ret_options = (struct delivery_options){.qos = stored.qos, .retain = stored.retain};
        if (ids.bytes) {
            *ret_ids = memory_acquire(ids.bytes);
            memcpy(*ret_ids, ids.data, ids.bytes);
            if (stored.ids_count == 1) ret_options->subscription_id = (*ret_ids)[0];
            if (stored.ids_count > 1) {
                ret_options->more_ids = *ret_ids;
                ret_options->more_ids_count = stored.ids_count;
            }
        }
    }
    memory_release(fetching.block);
    if (message) return message;
    COUNT(broker, dropped_damaged);
    LOG_LIMITED(ERROR, 1000, "a message on its way to a client is lost: the store has been damaged", "client=%s number=%llu",
                log_quoted(session_client_id(session)), (unsigned long long)number);
    return NULL;
}
