/* What is in a store, as JSON lines. */
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_format.h"
#include "cmd/ringmq_store.h"
#include "proto/utf8.h"
#include "store/format.h"

static void print_text(const char *key, struct span text)
{
    printf(",\"%s\":", key);
    json_print_string(text, stdout);
}

/* DUE/NUMBER/TOPIC behind the prefix: its parts as fields. False: it is no such name. */
static bool print_delayed(struct span name)
{
    struct span prefix = SPAN_LITERAL(STORE_DELAYED_PREFIX), rest = name;
    if (!span_starts_with(name, prefix)) return false;
    rest = span_skip(name, prefix.bytes);
    const uint8_t *slash = rest.bytes ? memchr(rest.data, '/', rest.bytes) : NULL;
    size_t digits = slash ? (size_t)(slash - rest.data) : 0;
    if (digits == 0 || rest.bytes < digits + 2 + STORE_DELAYED_NUMBER_BYTES + 1) return false;
    printf(",\"due_ms\":%.*s,\"number\":\"%.*s\"", (int)digits, (const char *)rest.data, STORE_DELAYED_NUMBER_BYTES, (const char *)slash + 1);
    print_text("topic", span_skip(rest, digits + 2 + STORE_DELAYED_NUMBER_BYTES));
    return true;
}

static void print_message(const struct stored_message *message)
{
    if (!print_delayed(message->topic)) print_text("topic", message->topic);
    printf(",\"qos\":%u,\"retain\":%s", message->qos, message->retain ? "true" : "false");
    if (message->expires_ms) printf(",\"expires_ms\":%llu", (unsigned long long)message->expires_ms);
    if (message->properties.bytes) {
        printf(",\"properties_base64\":");
        json_print_base64(message->properties, stdout);
    }
    if (mqtt_utf8_valid(message->payload)) return print_text("payload", message->payload);
    printf(",\"payload_base64\":");
    json_print_base64(message->payload, stdout);
}

/* message NULL: PUBREC has come for it. */
static void print_delivery(const struct state_session *session, const struct stored_delivery *delivery, const struct stored_message *message,
                           uint16_t packet_id)
{
    printf("{\"kind\":\"%s\"", packet_id ? "window" : "queued");
    print_text("client", session->stored.client_id);
    if (packet_id) printf(",\"packet_id\":%u,\"released\":%s", packet_id, message ? "false" : "true");
    printf(",\"granted_qos\":%u", delivery->qos);
    if (delivery->retain) printf(",\"granted_retain\":true");
    for (uint32_t i = 0; i < delivery->ids_count; i++)
        printf("%s%u%s", i ? "," : ",\"subscription_ids\":[", delivery->ids[i], i + 1 == delivery->ids_count ? "]" : "");
    if (message) print_message(message);
    printf("}\n");
}

/* ---- what is on the shelf ---------------------------------------------------------------------------------------- */

struct shelved {
    const struct state_session *session;
    uint64_t from, until; /* wanted */
    uint16_t packet_id;
    bool damaged;
};

static bool print_block(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct shelved *shelved = context;
    struct record_reader reader = record_reader_of(block);
    for (; number < shelved->until && !record_reader_whole(&reader); number++) {
        struct span ids;
        struct stored_message message;
        struct stored_delivery delivery = record_take_entry(&reader, &ids, &message);
        if (reader.bad || number > shelved->from) {
            shelved->damaged = true;
            return false;
        }
        if (number < shelved->from) continue;
        uint32_t *copy = memory_acquire(ids.bytes + 1); /* they lie anywhere in the block */
        if (ids.bytes) memcpy(copy, ids.data, ids.bytes);
        delivery.ids = copy;
        print_delivery(shelved->session, &delivery, &message, shelved->packet_id);
        memory_release(copy);
        shelved->from++;
    }
    return shelved->from < shelved->until;
}

static bool print_shelved(const struct state_session *session, const struct shelf *shelf, uint64_t from, uint64_t until, uint16_t packet_id)
{
    struct shelved shelved = {session, from, until, packet_id, false};
    bool read = shelf && shelf->read(shelf->context, session->key, from, print_block, &shelved) == 0;
    if (read && !shelved.damaged && shelved.from == until) return true;
    say_error("messages %llu to %llu of session %llu are not on the shelf, although the log says so", (unsigned long long)shelved.from,
              (unsigned long long)until - 1, (unsigned long long)session->key);
    return false;
}

static bool print_row(const struct state_session *session, const struct shelf *shelf, const struct state_delivery *row)
{
    struct stored_delivery delivery = {.qos = row->qos, .retain = row->retain, .ids = row->ids, .ids_count = row->ids ? row->ids_count : 0};
    if (row->shelved) return print_shelved(session, shelf, row->number, row->number + 1, row->packet_id);
    print_delivery(session, &delivery, row->message ? &row->message->stored : NULL, row->packet_id);
    return true;
}

/* ---- retained messages ------------------------------------------------------------------------------------------- */

struct row_copy {
    uint8_t *data;
    size_t bytes;
};

static bool row_take(void *context, uint64_t space, uint64_t number, struct span row)
{
    struct row_copy *copy = context;
    copy->data = memory_acquire(row.bytes + 1);
    memcpy(copy->data, row.data, row.bytes);
    copy->bytes = row.bytes;
    return false;
}

/* A row is topic, properties and payload. */
bool store_retained_read(const struct shelf *shelf, const struct state_message *message, struct span *ret_payload, void **ret_memory)
{
    struct row_copy copy = {0};
    struct span topic = message->stored.topic, properties = message->stored.properties;
    int error = shelf ? shelf->get(shelf->context, message->row.space, message->row.number, row_take, &copy) : 0;
    *ret_memory = copy.data;
    size_t known = topic.bytes + properties.bytes;
    bool sound = copy.data && copy.bytes == known + message->payload_bytes && memcmp(copy.data, topic.data, topic.bytes) == 0 &&
                 (properties.bytes == 0 || memcmp(copy.data + topic.bytes, properties.data, properties.bytes) == 0);
    if (sound) *ret_payload = span_of(copy.data + known, message->payload_bytes);
    if (sound && !error) return true;
    say_error("the payload of the retained message of %.*s cannot be read from the shelf, although the log says that it is there: %s", (int)topic.bytes,
              (const char *)topic.data, error ? shelf->fault(shelf->context) : !shelf ? "there is no shelf" : !copy.data ? "its row is missing" : "its row is another one's");
    return false;
}

static bool print_retained(const struct state_message *message, const struct shelf *shelf)
{
    struct stored_message stored = message->stored;
    void *memory = NULL;
    bool whole = message->row.space == 0 || store_retained_read(shelf, message, &stored.payload, &memory);
    if (whole) {
        printf("{\"kind\":\"%s\"", span_starts_with(stored.topic, SPAN_LITERAL(STORE_DELAYED_PREFIX)) ? "delayed" : "retained");
        print_message(&stored);
        printf("}\n");
    }
    memory_release(memory);
    return whole;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */


static bool print_session(const struct state_session *session, const struct shelf *shelf)
{
    const struct stored_session *stored = &session->stored;
    printf("{\"kind\":\"session\"");
    print_text("client", stored->client_id);
    if (stored->expiry_s == UINT32_MAX)
        printf(",\"expiry_s\":null");
    else
        printf(",\"expiry_s\":%u", stored->expiry_s);
    if (stored->lazy) printf(",\"lazy\":true");
    printf(",\"detached_ms\":%llu,\"incoming_number\":%u,\"incoming_packet_ids\":[", (unsigned long long)stored->detached_ms,
           stored->incoming_number);
    for (uint32_t i = 0; i < session->incoming_count; i++)
        printf("%s%u", i ? "," : "", session->incoming[i]);
    printf("]}\n");
    if (stored->will.present) {
        printf("{\"kind\":\"will\"");
        print_text("client", stored->client_id);
        printf(",\"delay_s\":%u", stored->will.delay_s);
        print_message(&stored->will.message);
        printf("}\n");
    }
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        const struct stored_subscription *subscription = &session->subscriptions[i]->stored;
        printf("{\"kind\":\"subscription\"");
        print_text("client", stored->client_id);
        print_text("filter", subscription->filter);
        if (subscription->group.bytes) print_text("group", subscription->group);
        printf(",\"qos\":%u,\"no_local\":%s,\"retain_as_published\":%s,\"subscription_id\":%u%s}\n", subscription->qos,
               subscription->no_local ? "true" : "false", subscription->retain_as_published ? "true" : "false",
               subscription->subscription_id, subscription->exclusive ? ",\"exclusive\":true" : "");
    }
    bool whole = true;
    for (uint32_t i = 0; i < session->window_count; i++)
        whole &= print_row(session, shelf, &session->window[i]);
    for (uint32_t i = session->queue_head; i < session->queue_count; i++)
        whole &= print_row(session, shelf, &session->queue[i]);
    if (session->shelved) whole &= print_shelved(session, shelf, session->shelf_from, session->shelf_until, 0);
    for (uint32_t i = session->rest_head; i < session->rest_count; i++)
        whole &= print_row(session, shelf, &session->rest[i]);
    return whole;
}

bool store_export(const struct state *state, const struct shelf *shelf)
{
    uint32_t cursor = 0;
    bool whole = true;
    for (const struct state_session *session; (session = state_session_next(state, &cursor));)
        whole &= print_session(session, shelf);
    cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));)
        whole &= print_retained(message, shelf);
    return fflush(stdout) == 0 && whole;
}
