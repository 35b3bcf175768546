#include "broker/durable/spill.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/remains.h"
#include "broker/retained/shelf.h"

#define BLOCK_ENTRIES     128u
#define BLOCK_BYTES       (64u * 1024)
#define WINDOW_SCARCE     64u                  /* entries at each end when the shard's queues are over their share */
#define BACKLOG_BYTES_MAX (16u * 1024 * 1024) /* on their way to the shelf, per shard */

/* A block on its way to the shelf for good. */
struct spill_write {
    struct list link;
    struct durable_spill *spill; /* NULL: its session has ended */
    uint64_t ticket, from, until, bytes;
};

static struct spill *service_of(const struct broker_shard *broker) { return broker->broker->spill; }

/* Bytes of queued messages in this shard's memory. */
static uint64_t memory_bytes(const struct broker_shard *broker)
{
    const struct stats *stats = &broker->shard->stats;
    return stats->queued_bytes - stats->spilled_bytes;
}

static uint32_t window_entries(const struct broker_shard *broker)
{
    const struct durability_settings *settings = &broker->settings->durability;
    uint32_t window = settings->queue_window;
    bool scarce = memory_bytes(broker) > settings->memory_bytes / 2 / broker->broker->shards_count;
    return scarce && window > WINDOW_SCARCE ? WINDOW_SCARCE : window;
}

/* ---- to the shelf ----------------------------------------------------------------------------------------------- */

void durable_spill_begin(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    struct durable_spill *spill = durable->spill;
    if (!spill) {
        spill = durable->spill = memory_acquire_zeroed(sizeof *spill);
        spill->session = session;
        spill->id = durable->id;
        list_init(&spill->long_link);
        list_append(&broker->durable->spills, &spill->link);
    }
    DCHECK(spill->loaded == 0 && spill->rest.count == 0 && !spill->reading);
    spill->from = spill->until = durable->next;
    spill->bytes = 0;
    session->spilled = true;
    COUNT(broker, queues_spilled);
}

void durable_spill_consider(struct broker_shard *broker, struct session *session)
{
    if (!service_of(broker) || session->durable->snapshotting || durable_full(broker)) return;
    if (broker->settings->durability.queue_window == UINT32_MAX) return; /* the shelf is for retained messages */
    uint32_t window = window_entries(broker);
    if (session->queue.count < window &&
        (session->queue_bytes < broker->settings->durability.queue_window_bytes || session->queue.count < WINDOW_SCARCE / 4))
        return;
    durable_spill_begin(broker, session);
}

static void entry_put(struct broker_shard *broker, struct record_writer *writer, struct delivery delivery)
{
    const struct message *message = delivery_message(delivery);
    uint32_t id;
    struct stored_delivery stored = durable_stored_delivery(delivery, &id);
    struct stored_message record = {.expires_ms = durable_realtime_ms(broker, message->expires_ms), .qos = message->qos, .retain = message->retain,
                                    .topic = message_topic(message), .properties = message_properties(message),
                                    .payload = message_payload(message)};
    record_put_entry(writer, &stored, &record);
}

#define AHEAD 4

/* A message that came a thousand messages ago is in no near cache: its head, topic and the beginning of its payload. */
static void message_prefetch(const struct message *message)
{
    for (uint32_t line = 0; line < 4; line++)
        __builtin_prefetch((const char *)message + 64 * line);
}

static void block_write(struct broker_shard *broker, struct durable_spill *spill)
{
    struct record_writer writer = {0};
    struct spill_write *write = memory_acquire_zeroed(sizeof *write);
    write->spill = spill;
    spill->unsynced++;
    write->from = spill->until;
    writer.capacity = BLOCK_BYTES + BLOCK_BYTES / 4;
    writer.data = memory_acquire(writer.capacity);
    while (spill->rest.count && spill->until - write->from < BLOCK_ENTRIES && writer.bytes < BLOCK_BYTES) {
        if (spill->rest.count > AHEAD) message_prefetch(delivery_message(delivery_queue_at(&spill->rest, AHEAD)));
        struct delivery delivery = delivery_queue_take(&spill->rest);
        uint64_t bytes = message_bytes(delivery_message(delivery));
        entry_put(broker, &writer, delivery);
        session_delivery_release(broker, delivery);
        write->bytes += bytes;
        spill->until++;
    }
    spill->rest_bytes -= (uint32_t)write->bytes;
    spill->bytes += write->bytes;
    write->until = spill->until;
    COUNT_BY(broker, spilled_messages, write->until - write->from);
    COUNT_BY(broker, spilled_bytes, write->bytes);
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_WRITE, .session = spill->id, .from = write->from, .data = writer.data, .bytes = writer.bytes};
    spill_send(service_of(broker), broker->shard->number, request);
    write->ticket = ++broker->durable->spill_tickets; /* as spill_send() has given it */
    list_append(&broker->durable->spill_writes, &write->link);
}

bool durable_spill_congested(const struct broker_shard *broker)
{
    return spill_backlog_bytes(service_of(broker), broker->shard->number) > BACKLOG_BYTES_MAX / 2;
}

/* A rest may have grown long while a checkpoint waited or the shelf was behind: thousands of blocks of some 20 us each. So what goes into blocks is paid for, in
 * bytes and entries: an entry that comes pays for itself, so that no rest grows, and each turn pays for so many full blocks more (twice as many of short messages). */
#define CREDIT_BLOCKS 5
#define ENTRY_COST    (BLOCK_BYTES / BLOCK_ENTRIES)

static int64_t cost_of(uint64_t entries, uint64_t bytes) { return (int64_t)(entries * ENTRY_COST + bytes); }

static bool is_long(const struct broker_shard *broker, const struct durable_spill *spill)
{
    uint32_t window = window_entries(broker), block = window < BLOCK_ENTRIES ? window : BLOCK_ENTRIES;
    uint64_t bytes_max = broker->settings->durability.queue_window_bytes;
    return spill->rest.count >= (uint64_t)window + block || (spill->rest_bytes > bytes_max + BLOCK_BYTES && spill->rest.count > 1);
}

/* As far as this turn may; the next ones go on (spills_long). */
static void rest_shorten(struct broker_shard *broker, struct durable_spill *spill)
{
    struct durable_shard *durable = broker->durable;
    bool goes_on = !spill->paused && !durable_full(broker);
    while (goes_on && is_long(broker, spill)) {
        if (spill_backlog_bytes(service_of(broker), broker->shard->number) > BACKLOG_BYTES_MAX) break; /* publishers are slowed */
        if (durable->spill_credit <= 0) {
            if (list_empty(&spill->long_link)) list_append(&durable->spills_long, &spill->long_link);
            return;
        }
        uint64_t from = spill->until, bytes = spill->bytes;
        block_write(broker, spill);
        durable->spill_credit -= cost_of(spill->until - from, spill->bytes - bytes);
    }
    if (UNLIKELY(!list_empty(&spill->long_link))) list_remove(&spill->long_link);
}

void durable_spill_go_on(struct broker_shard *broker, struct durable_spill *spill)
{
    spill->paused = false;
    rest_shorten(broker, spill);
}

/* True: there are more. */
static bool long_ones_shorten(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    durable->spill_credit = CREDIT_BLOCKS * cost_of(BLOCK_ENTRIES, BLOCK_BYTES);
    while (durable->spill_credit > 0 && !list_empty(&durable->spills_long)) {
        struct durable_spill *spill = CONTAINER_OF(durable->spills_long.next, struct durable_spill, long_link);
        list_remove(&spill->long_link); /* behind the others, if it is still long */
        rest_shorten(broker, spill);
    }
    return !list_empty(&durable->spills_long);
}

void durable_spill_push(struct broker_shard *broker, struct session *session, struct delivery delivery)
{
    struct durable_spill *spill = session->durable->spill;
    DCHECK(delivery.tagged & DELIVERY_LOGGED);
    delivery_queue_put(&spill->rest, delivery);
    uint64_t bytes = message_bytes(delivery_message(delivery));
    spill->rest_bytes += (uint32_t)bytes;
    broker->durable->spill_credit += cost_of(1, bytes);
    rest_shorten(broker, spill);
}

/* ---- from the shelf --------------------------------------------------------------------------------------------- */

/* Nothing of its queue is on the shelf any more. */
static void spill_over(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    durable_rest_pops(session);
    session->queue_bytes -= spill->bytes; /* what dropping from the shelf, or a crash, has counted wrongly */
    COUNT_BY(broker, queued_bytes, -spill->bytes);
    COUNT_BY(broker, spilled_bytes, -spill->bytes);
    spill->bytes = 0;
    spill->rest.sent = session->queue.sent;
    session->queue = spill->rest;
    spill->rest = (struct delivery_queue){0};
    spill->rest_bytes = 0;
    list_remove(&spill->long_link);
    session->spilled = false;
    UNCOUNT(broker, queues_spilled);
}

void durable_spill_advance(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    if (spill->from == spill->until) {
        if (session->queue.count == 0 && !spill->reading) spill_over(broker, session);
        return;
    }
    if (!session->conn || spill->reading || session->queue.count > (UNLIKELY(spill->gap) ? 0 : broker->settings->durability.queue_window / 2)) return;
    spill->gap = false;
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_READ, .session = spill->id, .from = spill->from, .until = spill->until, .owner = spill};
    spill->reading = true;
    spill_send(service_of(broker), broker->shard->number, request);
}

void durable_spill_popped(struct broker_shard *broker, struct session *session, struct delivery delivery)
{
    struct durable_spill *spill = session->durable->spill;
    if (spill_is_stored(delivery_message(delivery))) spill->loaded--;
    durable_spill_advance(broker, session);
}

static uint64_t shelf_count(const struct durable_spill *spill) { return spill->until - spill->from; }

uint64_t durable_spill_count(const struct session *session)
{
    const struct durable_spill *spill = session->durable->spill;
    return shelf_count(spill) + spill->rest.count;
}

/* The first entry on the shelf leaves the shelf's part: it is loaded, or dropped. */
static void shelf_front_gone(struct broker_shard *broker, struct durable_spill *spill, uint64_t bytes)
{
    spill->from++;
    spill->bytes -= bytes;
    broker->durable->shelf_gone_bytes += bytes;
    UNCOUNT(broker, spilled_messages);
    COUNT_BY(broker, spilled_bytes, -bytes);
}

static void shelf_front_drop(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    uint64_t bytes = spill->bytes / shelf_count(spill); /* about */
    shelf_front_gone(broker, spill, bytes);
    session->queue_bytes -= bytes;
    UNCOUNT(broker, queued_messages);
    COUNT_BY(broker, queued_bytes, -bytes);
    durable_packet(broker, session, STORE_DROP, 0);
}

void durable_spill_drop(struct broker_shard *broker, struct session *session)
{
    struct durable_spill *spill = session->durable->spill;
    DCHECK(session->queue.count == 0);
    if (shelf_count(spill) > 0) shelf_front_drop(broker, session);
    if (!spill->reading) durable_spill_advance(broker, session); /* the rest may be all there is now */
    if (session->spilled && shelf_count(spill) == 0 && spill->rest.count) { /* a READ is under way: its answer finds nothing to take */
        durable_rest_pops(session);
        struct delivery delivery = delivery_queue_take(&spill->rest);
        uint64_t bytes = message_bytes(delivery_message(delivery));
        spill->rest_bytes -= (uint32_t)bytes;
        spill->from = ++spill->until;
        session->queue_bytes -= bytes;
        UNCOUNT(broker, queued_messages);
        COUNT_BY(broker, queued_bytes, -bytes);
        durable_packet(broker, session, STORE_DROP, 0);
        session_delivery_release(broker, delivery);
    }
}

struct message *durable_spill_message(struct broker_shard *broker, const struct stored_message *stored, uint64_t number)
{
    struct publication publication = {.topic = stored->topic, .properties = stored->properties, .payload = stored->payload, .qos = stored->qos,
                                      .retain = stored->retain};
    if (stored->expires_ms) {
        uint64_t realtime_ms = durable_realtime_ms(broker, broker->shard->now_ms);
        publication.expires_ms = broker->shard->now_ms + (stored->expires_ms > realtime_ms ? stored->expires_ms - realtime_ms : 1);
    }
    struct message *message = publication_message(broker->shard, &publication); /* its reference is ours */
    message->stored = spill_stored(number);
    return message;
}

static void entry_load(struct broker_shard *broker, struct session *session, const struct stored_delivery *stored, struct span ids,
                       const struct stored_message *record)
{
    struct durable_spill *spill = session->durable->spill;
    struct message *message = durable_spill_message(broker, record, spill->from);
    uint32_t now_ms = (uint32_t)broker->shard->now_ms; /* when it came to memory */
    struct delivery delivery = {.tagged = (uint64_t)(uintptr_t)message | (uint64_t)stored->qos << DELIVERY_QOS_SHIFT | DELIVERY_LOGGED |
                                          (stored->retain ? DELIVERY_RETAIN : 0)};
    delivery.ids = (uint64_t)now_ms << 32;
    if (stored->qos == 0 && spill->from < session->durable->restored) delivery.tagged |= DELIVERY_PAST;
    if (stored->ids_count == 1) {
        uint32_t id;
        memcpy(&id, ids.data, 4);
        delivery.ids = id | (uint64_t)now_ms << 32;
    } else if (stored->ids_count > 1) {
        uint32_t *list = memory_acquire((2 + stored->ids_count) * sizeof *list);
        list[0] = stored->ids_count;
        memcpy(list + 1, ids.data, ids.bytes);
        list[1 + stored->ids_count] = now_ms;
        delivery.ids = (uint64_t)(uintptr_t)list;
        delivery.tagged |= DELIVERY_IDS_LIST;
    }
    delivery_queue_put(&session->queue, delivery);
    spill->loaded++;
    uint64_t bytes = message_bytes(message);
    if (bytes > spill->bytes) { /* there was more than we thought */
        uint64_t more = bytes - spill->bytes;
        session->queue_bytes += more;
        COUNT_BY(broker, queued_bytes, more);
        COUNT_BY(broker, spilled_bytes, more);
        spill->bytes += more;
    }
    shelf_front_gone(broker, spill, bytes);
}

/* Entries of one block, as far as they are wanted and make sense. */
static void block_load(struct broker_shard *broker, struct session *session, uint64_t number, struct span block)
{
    struct durable_spill *spill = session->durable->spill;
    struct record_reader reader = record_reader_of(block);
    for (; !record_reader_whole(&reader) && number < spill->until; number++) {
        struct span ids;
        struct stored_message record;
        struct stored_delivery stored = record_take_entry(&reader, &ids, &record);
        if (reader.bad || number > spill->from) return;
        if (number < spill->from) continue; /* loaded before, or dropped meanwhile */
        entry_load(broker, session, &stored, ids, &record);
    }
}

/* Neither in the answer nor anywhere: the shelf has lost something. What is there behind it comes. */
static void gap_pass(struct broker_shard *broker, struct session *session, uint64_t until)
{
    struct durable_spill *spill = session->durable->spill;
    uint64_t lost = 0;
    spill->gap = session->queue.count > 0;
    if (spill->gap) return; /* asked again when it is their turn */
    for (; spill->from < until; lost++)
        shelf_front_drop(broker, session);
    COUNT_BY(broker, dropped_damaged, lost);
    LOG(ERROR, "queued messages are lost: the store has been damaged", "client=%s count=%llu", log_quoted(session_client_id(session)),
        (unsigned long long)lost);
}

static void answer_load(struct broker_shard *broker, struct session *session, const struct spill_request *request)
{
    struct durable_spill *spill = session->durable->spill;
    uint64_t next = request->until; /* where what there is goes on */
    for (size_t at = 0; at + 12 <= request->bytes;) {
        uint64_t number;
        uint32_t length;
        memcpy(&number, request->data + at, 8);
        memcpy(&length, request->data + at + 8, 4);
        if (number > spill->from) { /* a block is missing */
            next = number;
            break;
        }
        block_load(broker, session, number, span_of(request->data + at + 12, length));
        at += 12 + length;
    }
    /* Nothing of what was asked for first. Where the queue's front has been dropped meanwhile the answer is about what nobody wants any more, and says nothing of the rest. */
    if (spill->from == request->from && spill->from < request->until) gap_pass(broker, session, next);
}

static void queue_answer_take(struct broker_shard *broker, const struct spill_request *request)
{
    struct durable_spill *spill = request->owner;
    struct session *session = spill->session;
    spill->reading = false;
    if (!session) { /* it has ended meanwhile */
        list_remove(&spill->link);
        memory_release(spill);
    } else if (request->error) {
        COUNT(broker, durable_read_failures);
        LOG_LIMITED(ERROR, 1000, "queued messages cannot be read from the store", "client=%s error=\"%s\"",
                    log_quoted(session_client_id(session)), strerror(-request->error));
    } else {
        answer_load(broker, session, request);
        durable_spill_advance(broker, session);
        session_pump(broker, session);
    }
}

static void answer_take(struct broker_shard *broker, struct spill_request *request)
{
    if (request->kind == SPILL_FETCH)
        retained_fetch_answer(broker, request);
    else
        queue_answer_take(broker, request);
    spill_request_release(request);
}

/* ---- the turn --------------------------------------------------------------------------------------------------- */

#define SYNCED_PER_TURN 256

/* One sync of the shelf is about some thousand blocks. True: there are more of it. */
static bool writes_synced(struct broker_shard *broker, uint64_t ticket)
{
    struct durable_shard *durable = broker->durable;
    for (uint32_t n = 0; !list_empty(&durable->spill_writes); n++) {
        struct spill_write *write = CONTAINER_OF(durable->spill_writes.next, struct spill_write, link);
        if (write->ticket > ticket) break;
        if (n == SYNCED_PER_TURN) return true;
        if (write->spill) {
            store_put_spilled(&durable->wal, write->spill->id, write->from, write->until, write->bytes, broker->shard->now_ms);
            write->spill->unsynced--;
        }
        list_remove(&write->link);
        memory_release(write);
    }
    durable->spill_synced = ticket;
    return false;
}

#define WALKED_PER_TURN 128

/* True: not all have been looked at. */
static bool walk(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    bool ended_left = durable->spill_walk.drops && durable_spill_drop_ended(broker, WALKED_PER_TURN);
    for (uint32_t n = 0; durable->spills.next != &durable->spill_walk.mark; n++) {
        if (n == WALKED_PER_TURN) return true;
        struct durable_spill *spill = CONTAINER_OF(durable->spills.next, struct durable_spill, link);
        list_remove(&spill->link);
        list_append(&durable->spills, &spill->link);
        if (!spill->session) continue;
        if (durable->spill_walk.drops) durable_spill_drop_dead(broker, spill);
        if (!durable->spill_walk.retries || !spill->session->spilled) continue;
        rest_shorten(broker, spill);
        durable_spill_advance(broker, spill->session);
    }
    if (ended_left) return true;
    durable->spill_walk.drops = durable->spill_walk.retries = false;
    list_remove(&durable->spill_walk.mark);
    return false;
}

void durable_spill_walk_begin(struct durable_shard *durable)
{
    list_remove(&durable->spill_walk.mark);
    list_append(&durable->spills, &durable->spill_walk.mark);
}

#define ANSWERS_PER_TURN 2 /* of 256 KiB each: some thousand messages to be made */

bool durable_spill_turn(struct broker_shard *broker)
{
    struct spill *service = service_of(broker);
    uint32_t shard = broker->shard->number;
    uint64_t synced = spill_synced(service, shard);
    bool more = UNLIKELY(synced != broker->durable->spill_synced) && writes_synced(broker, synced);
    more |= long_ones_shorten(broker);
    if (UNLIKELY(broker->durable->spill_walk.drops || broker->durable->spill_walk.retries)) more |= walk(broker);
    uint32_t taken = 0;
    for (struct spill_request *request; taken < ANSWERS_PER_TURN && (request = spill_take(service, shard)); taken++)
        answer_take(broker, request);
    return more || taken == ANSWERS_PER_TURN;
}

void durable_spill_retry(struct broker_shard *broker)
{
    if (list_empty(&broker->durable->spills)) return;
    broker->durable->spill_walk.retries = true;
    durable_spill_walk_begin(broker->durable);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void durable_spill_end(struct broker_shard *broker, struct session *session)
{
    struct durable_shard *durable = broker->durable;
    struct durable_spill *spill = session->durable->spill;
    COUNT_BY(broker, dropped_session_ended, durable_spill_count(session));
    COUNT_BY(broker, queued_messages, -durable_spill_count(session));
    COUNT_BY(broker, spilled_messages, -shelf_count(spill));
    COUNT_BY(broker, spilled_bytes, -spill->bytes);
    durable->shelf_gone_bytes += spill->bytes;
    if (session->spilled) UNCOUNT(broker, queues_spilled);
    session->spilled = false;
    list_remove(&spill->long_link);
    remains_queue(broker, &spill->rest);
    LIST_FOR_EACH(link, &durable->spill_writes)
    {
        struct spill_write *write = CONTAINER_OF(link, struct spill_write, link);
        if (write->spill == spill) write->spill = NULL;
    }
    if (!broker->stopping) { /* its blocks go when no replay can bring the session back */
        durable->spill_ended = memory_resize(durable->spill_ended, (durable->spill_ended_count + 1) * sizeof *durable->spill_ended);
        durable->spill_ended[durable->spill_ended_count++] = spill->id;
    }
    session->durable->spill = NULL;
    spill->session = NULL;
    if (spill->reading) return;
    list_remove(&spill->link);
    memory_release(spill);
}

void durable_spill_release(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    list_remove(&durable->spill_walk.mark);
    while (!list_empty(&durable->spills)) { /* of sessions that have ended while a READ was under way */
        struct durable_spill *spill = CONTAINER_OF(durable->spills.next, struct durable_spill, link);
        list_remove(&spill->link);
        memory_release(spill);
    }
    while (!list_empty(&durable->spill_writes)) {
        struct spill_write *write = CONTAINER_OF(durable->spill_writes.next, struct spill_write, link);
        list_remove(&write->link);
        memory_release(write);
    }
    memory_release(durable->spill_ended);
    memory_release(durable->spill_ended_before);
}
