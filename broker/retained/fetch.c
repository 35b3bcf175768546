/* fetch.c - retained messages whose payload is on the shelf, read by its thread for somebody who waits. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "broker/retained/shelf_inside.h"

struct retained_fetch {
    struct list link;
    retained_fetched *each;
    retained_fetch_done *done;
    void *context;
    uint64_t bytes; /* of payloads wanted */
    uint32_t count, lost;
    struct message *wanted[RETAINED_FETCH_ROWS]; /* shelved ones, a reference each */
};

struct retained_fetch *retained_fetch_begin(struct broker_shard *broker, retained_fetched *each, retained_fetch_done *done, void *context, bool regardless)
{
    struct retained_shelf *shelf = broker->durable->shelf;
    if (shelf->fetching_bytes >= RETAINED_FETCHING_BYTES && !regardless) return NULL;
    struct retained_fetch *fetch = memory_acquire(sizeof *fetch);
    fetch->each = each;
    fetch->done = done;
    fetch->context = context;
    fetch->bytes = fetch->count = fetch->lost = 0;
    list_append(&shelf->fetches, &fetch->link);
    return fetch;
}

static void want(struct broker_shard *broker, struct retained_fetch *fetch, struct message *shelved)
{
    DCHECK(shelved->shelved && fetch->count < RETAINED_FETCH_ROWS);
    fetch->wanted[fetch->count++] = message_ref(shelved);
    fetch->bytes += message_payload_size(shelved);
    broker->durable->shelf->fetching_bytes += message_payload_size(shelved);
}

bool retained_fetch_add(struct broker_shard *broker, struct retained_fetch *fetch, struct message *shelved)
{
    if (fetch->count == RETAINED_FETCH_ROWS) return false;
    if (fetch->count && fetch->bytes + message_payload_size(shelved) > RETAINED_FETCH_BYTES) return false;
    want(broker, fetch, shelved);
    return true;
}

void retained_fetch_send(struct broker_shard *broker, struct retained_fetch *fetch)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    struct stored_row *rows = memory_acquire((fetch->count + 1) * sizeof *rows);
    uint64_t expected = 0;
    for (uint32_t i = 0; i < fetch->count; i++) {
        const struct message *wanted = fetch->wanted[i];
        rows[i] = (struct stored_row){message_row(wanted)->space, message_row(wanted)->number};
        expected += 4 + message_kept_bytes(wanted) - sizeof *wanted;
    }
    *request = (struct spill_request){.kind = SPILL_FETCH, .data = (uint8_t *)rows, .bytes = fetch->count * sizeof *rows, .until = expected, .owner = fetch};
    spill_send(broker->broker->spill, broker->shard->number, request);
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

static bool is_over(const struct broker_shard *broker, const struct message *message)
{
    return message->expires_ms && message->expires_ms <= broker->shard->now_ms;
}

/* A row is topic, properties and payload; the first two are known. */
static bool row_sound(const struct message *wanted, struct span row)
{
    size_t known = (size_t)wanted->topic_bytes + wanted->properties_bytes;
    return row.bytes == known + message_payload_size(wanted) && memcmp(row.data, wanted->bytes, known) == 0;
}

static void lost(struct broker_shard *broker, struct retained_fetch *fetch, const struct message *wanted, int error)
{
    fetch->lost++;
    if (error) {
        COUNT(broker, durable_read_failures);
        LOG_LIMITED(ERROR, 1000, "a retained message cannot be read from the store", "topic=%s error=\"%s\"", log_quoted(message_topic(wanted)), strerror(-error));
    } else {
        COUNT(broker, dropped_damaged);
        LOG_LIMITED(ERROR, 1000, "a retained message is lost: the store has been damaged", "topic=%s space=%llx number=%llu", log_quoted(message_topic(wanted)),
                    (unsigned long long)message_row(wanted)->space, (unsigned long long)message_row(wanted)->number);
    }
}

static void whole_give(struct broker_shard *broker, struct retained_fetch *fetch, const struct message *wanted, struct span row)
{
    size_t known = (size_t)wanted->topic_bytes + wanted->properties_bytes;
    struct publication publication = {.topic = message_topic(wanted), .properties = message_properties(wanted), .payload = span_skip(row, known),
                                      .expires_ms = wanted->expires_ms, .identity = wanted->identity, .qos = wanted->qos, .retain = wanted->retain};
    COUNT(broker, retained_fetched);
    fetch->each(broker, fetch->context, publication_message(broker->shard, &publication)); /* the publication's reference goes with it */
}

/* As if it had been looked for now: what was read may be the topic's no longer. */
static void row_take(struct broker_shard *broker, struct retained_fetch *fetch, const struct message *wanted, struct span row, int error)
{
    if (LIKELY(wanted->references & MESSAGE_KEPT)) {
        if (is_over(broker, wanted)) return;
        if (error || !row.data || !row_sound(wanted, row)) return lost(broker, fetch, wanted, error);
        return whole_give(broker, fetch, wanted, row);
    }
    struct message *now = retain_get(broker->retained, message_topic(wanted));
    if (!now || is_over(broker, now)) return;
    if (now->shelved)
        want(broker, fetch, now);
    else
        fetch->each(broker, fetch->context, message_ref(now));
}

/* The next value of an answer; NULL: there is none. */
static struct span row_next(const uint8_t **at, const uint8_t *end)
{
    uint32_t length;
    if ((size_t)(end - *at) < 4) return span_of(NULL, 0); /* it ended with an error */
    memcpy(&length, *at, 4);
    *at += 4;
    if (length == SPILL_NO_ROW || (size_t)(end - *at) < length) return span_of(NULL, 0);
    struct span row = span_of(*at, length);
    *at += length;
    return row;
}

void retained_fetch_answer(struct broker_shard *broker, struct spill_request *request)
{
    struct retained_shelf *shelf = broker->durable->shelf;
    struct retained_fetch *fetch = request->owner;
    const uint8_t *at = request->data, *end = at + request->bytes;
    uint32_t count = fetch->count;
    shelf->fetching_bytes -= fetch->bytes;
    fetch->bytes = fetch->count = 0; /* from the front on its places are used for what must be asked for again */
    for (uint32_t i = 0; i < count; i++) {
        struct message *wanted = fetch->wanted[i];
        row_take(broker, fetch, wanted, row_next(&at, end), request->error);
        message_unref(broker->shard, wanted);
    }
    if (UNLIKELY(fetch->count)) return retained_fetch_send(broker, fetch);
    list_remove(&fetch->link);
    fetch->done(broker, fetch->context, fetch->lost);
    memory_release(fetch);
}

void retained_fetches_forget(struct broker_shard *broker)
{
    struct retained_shelf *shelf = broker->durable->shelf;
    while (!list_empty(&shelf->fetches)) {
        struct retained_fetch *fetch = CONTAINER_OF(shelf->fetches.next, struct retained_fetch, link);
        for (uint32_t i = 0; i < fetch->count; i++)
            message_unref(broker->shard, fetch->wanted[i]);
        list_remove(&fetch->link);
        memory_release(fetch);
    }
}
