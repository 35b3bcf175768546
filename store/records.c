#include "store/records.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/shelf.h"

/* ---- writing ---------------------------------------------------------------------------------------------------- */

void record_writer_release(struct record_writer *writer)
{
    memory_release(writer->data);
    *writer = (struct record_writer){0};
}

void record_put(struct record_writer *writer, const void *data, size_t bytes)
{
    if (writer->bytes + bytes > writer->capacity) {
        writer->capacity = (writer->bytes + bytes) * 2 + 64;
        writer->data = memory_resize(writer->data, writer->capacity);
    }
    if (bytes) memcpy(writer->data + writer->bytes, data, bytes);
    writer->bytes += bytes;
}

void record_put_text(struct record_writer *writer, struct span text)
{
    CHECK(text.bytes <= UINT16_MAX);
    record_put_u16(writer, (uint16_t)text.bytes);
    record_put(writer, text.data, text.bytes);
}

enum { MESSAGE_RETAIN = 4, MESSAGE_ORIGIN = 8 };

/* Everything of a message but topic, properties and payload. */
struct message_head {
    uint8_t bytes[48];
    uint32_t used;
};

static void head_put(struct message_head *head, const void *data, uint32_t bytes)
{
    memcpy(head->bytes + head->used, data, bytes);
    head->used += bytes;
}

static struct message_head message_head_of(const struct stored_message *message)
{
    struct message_head head = {.used = 0};
    uint8_t flags = (uint8_t)(message->qos | (message->retain ? MESSAGE_RETAIN : 0) | (message->origin.session ? MESSAGE_ORIGIN : 0));
    uint16_t topic_bytes = (uint16_t)message->topic.bytes;
    uint32_t properties_bytes = (uint32_t)message->properties.bytes;
    head_put(&head, &message->id, 8);
    head_put(&head, &flags, 1);
    head_put(&head, &message->expires_ms, 8);
    head_put(&head, &topic_bytes, 2);
    head_put(&head, &properties_bytes, 4);
    if (!message->origin.session) return head;
    head_put(&head, &message->origin.session, 8);
    head_put(&head, &message->origin.number, 4);
    head_put(&head, &message->origin.packet_id, 2);
    return head;
}

uint64_t stored_partial_hash(struct span topic, struct span payload)
{
    return hash_span_seeded(payload, hash_span_seeded(topic, 1));
}

uint64_t stored_group_hash(struct span filter, struct span group) { return hash_span_seeded(group, hash_span_seeded(filter, 2)); }

static uint8_t *bytes_put(uint8_t *at, struct span bytes)
{
    if (bytes.bytes) memcpy(at, bytes.data, bytes.bytes);
    return at + bytes.bytes;
}

uint64_t store_put_message(struct wal *wal, const struct stored_message *message, uint64_t now_ms)
{
    size_t rest = message->topic.bytes + message->properties.bytes + message->payload.bytes;
    if (LIKELY(rest + sizeof(struct message_head) <= STORE_RECORD_BYTES_MAX)) {
        struct message_head head = message_head_of(message);
        uint8_t *at = wal_place(wal, STORE_MESSAGE, head.used + (uint32_t)rest, now_ms);
        at = bytes_put(at, span_of(head.bytes, head.used));
        bytes_put(bytes_put(bytes_put(at, message->topic), message->properties), message->payload);
        return wal_position(wal);
    }
    struct message_head head = message_head_of(message);
    struct span parts[] = {span_of(head.bytes, head.used), message->topic, message->properties, message->payload};
    return wal_append(wal, STORE_MESSAGE, parts, 4, now_ms);
}

enum { SESSION_CONNECTED = 1, SESSION_LAZY = 2, SESSION_WILL = 4 };

void record_put_session(struct record_writer *writer, const struct stored_session *session)
{
    record_put_u64(writer, session->id);
    record_put_text(writer, session->client_id);
    record_put_u32(writer, session->expiry_s);
    record_put_u32(writer, session->incoming_number);
    record_put_u8(writer, (uint8_t)((session->connected ? SESSION_CONNECTED : 0) | (session->lazy ? SESSION_LAZY : 0) |
                                    (session->will.present ? SESSION_WILL : 0)));
    record_put_u64(writer, session->detached_ms);
    if (!session->will.present) return;
    struct message_head head = message_head_of(&session->will.message);
    record_put_u32(writer, session->will.delay_s);
    record_put_u32(writer, (uint32_t)session->will.message.payload.bytes);
    record_put(writer, head.bytes, head.used);
    record_put(writer, session->will.message.topic.data, session->will.message.topic.bytes);
    record_put(writer, session->will.message.properties.data, session->will.message.properties.bytes);
    record_put(writer, session->will.message.payload.data, session->will.message.payload.bytes);
}

uint64_t store_put_session(struct wal *wal, const struct stored_session *session, uint64_t now_ms)
{
    struct record_writer writer = {0};
    record_put_session(&writer, session);
    struct span whole = span_of(writer.data, writer.bytes);
    uint64_t commit = wal_append(wal, STORE_SESSION, &whole, 1, now_ms);
    record_writer_release(&writer);
    return commit;
}

static uint64_t put_u64(struct wal *wal, enum store_record type, uint64_t value, uint64_t now_ms)
{
    struct span body = span_of(&value, 8);
    return wal_append(wal, type, &body, 1, now_ms);
}

uint64_t store_put_session_end(struct wal *wal, uint64_t session, uint64_t now_ms)
{
    return put_u64(wal, STORE_SESSION_END, session, now_ms);
}

uint64_t store_put_will_clear(struct wal *wal, uint64_t session, uint64_t now_ms)
{
    return put_u64(wal, STORE_WILL_CLEAR, session, now_ms);
}

uint64_t store_put_retain(struct wal *wal, uint64_t message, uint64_t now_ms)
{
    return put_u64(wal, STORE_RETAIN, message, now_ms);
}

uint64_t store_put_checkpoint(struct wal *wal, uint64_t segment, uint64_t now_ms)
{
    return put_u64(wal, STORE_CHECKPOINT, segment, now_ms);
}

uint64_t store_put_spilled(struct wal *wal, uint64_t session, uint64_t from, uint64_t until, uint64_t bytes, uint64_t now_ms)
{
    uint64_t numbers[] = {session, from, until, bytes};
    struct span body = span_of(numbers, sizeof numbers);
    return wal_append(wal, STORE_SPILLED, &body, 1, now_ms);
}

uint64_t store_put_retain_shelved(struct wal *wal, const struct stored_shelved *shelved, uint64_t now_ms)
{
    struct message_head head = message_head_of(&shelved->message);
    struct span parts[] = {span_of(&shelved->row, sizeof shelved->row), span_of(&shelved->payload_bytes, 4), span_of(head.bytes, head.used),
                           shelved->message.topic, shelved->message.properties};
    return wal_append(wal, STORE_RETAIN_SHELVED, parts, 5, now_ms);
}

uint64_t store_put_shelf_state(struct wal *wal, const struct stored_shelf_state *shelf, uint64_t now_ms)
{
    struct span parts[] = {span_of(shelf, 24), span_of(&shelf->rows_count, 4), span_of(shelf->rows, shelf->rows_count * sizeof *shelf->rows)};
    return wal_append(wal, STORE_SHELF_STATE, parts, 3, now_ms);
}

uint64_t store_put_retain_clear(struct wal *wal, struct span topic, uint64_t now_ms)
{
    return wal_append(wal, STORE_RETAIN_CLEAR, &topic, 1, now_ms);
}

uint64_t store_put_detach(struct wal *wal, uint64_t session, uint32_t expiry_s, bool keeps_will, uint64_t realtime_ms,
                          uint64_t now_ms)
{
    uint8_t body[21];
    memcpy(body, &session, 8);
    memcpy(body + 8, &expiry_s, 4);
    memcpy(body + 12, &realtime_ms, 8);
    body[20] = keeps_will;
    struct span part = span_of(body, sizeof body);
    return wal_append(wal, STORE_DETACH, &part, 1, now_ms);
}

enum { SUBSCRIPTION_NO_LOCAL = 4, SUBSCRIPTION_RETAIN_AS_PUBLISHED = 8, SUBSCRIPTION_EXCLUSIVE = 16 };

void record_put_subscription(struct record_writer *writer, const struct stored_subscription *subscription)
{
    record_put_u32(writer, subscription->subscription_id);
    record_put_u8(writer, (uint8_t)(subscription->qos | (subscription->no_local ? SUBSCRIPTION_NO_LOCAL : 0) |
                                    (subscription->retain_as_published ? SUBSCRIPTION_RETAIN_AS_PUBLISHED : 0) |
                                    (subscription->exclusive ? SUBSCRIPTION_EXCLUSIVE : 0)));
    record_put_text(writer, subscription->filter);
    record_put_text(writer, subscription->group);
}

uint64_t store_put_subscribe(struct wal *wal, uint64_t session, const struct stored_subscription *subscription, uint64_t now_ms)
{
    struct record_writer writer = {0};
    record_put_u64(&writer, session);
    record_put_subscription(&writer, subscription);
    struct span whole = span_of(writer.data, writer.bytes);
    uint64_t commit = wal_append(wal, STORE_SUBSCRIBE, &whole, 1, now_ms);
    record_writer_release(&writer);
    return commit;
}

uint64_t store_put_unsubscribe(struct wal *wal, uint64_t session, struct span filter, struct span group, uint64_t now_ms)
{
    uint16_t filter_bytes = (uint16_t)filter.bytes, group_bytes = (uint16_t)group.bytes;
    struct span parts[] = {span_of(&session, 8), span_of(&filter_bytes, 2), filter, span_of(&group_bytes, 2), group};
    return wal_append(wal, STORE_UNSUBSCRIBE, parts, 5, now_ms);
}

enum { DELIVERY_RETAINED = 4, DELIVERY_SHARED = 8 };

static uint8_t delivery_flags(const struct stored_delivery *delivery)
{
    return (uint8_t)(delivery->qos | (delivery->retain ? DELIVERY_RETAINED : 0) | (delivery->shared ? DELIVERY_SHARED : 0));
}

void record_put_delivery(struct record_writer *writer, const struct stored_delivery *delivery)
{
    record_put_u64(writer, delivery->message);
    record_put_u8(writer, delivery_flags(delivery));
    record_put_u32(writer, delivery->ids_count);
    record_put(writer, delivery->ids, delivery->ids_count * sizeof *delivery->ids);
}

void record_put_entry(struct record_writer *writer, const struct stored_delivery *delivery, const struct stored_message *message)
{
    struct message_head head = message_head_of(message);
    record_put_delivery(writer, delivery);
    record_put_u32(writer, (uint32_t)message->payload.bytes);
    record_put(writer, head.bytes, head.used);
    record_put(writer, message->topic.data, message->topic.bytes);
    record_put(writer, message->properties.data, message->properties.bytes);
    record_put(writer, message->payload.data, message->payload.bytes);
}

#define DELIVERY_BYTES 23 /* without subscription ids */

uint64_t store_put_delivery(struct wal *wal, uint64_t session, const struct stored_delivery *delivery, uint16_t packet_id,
                            uint64_t now_ms)
{
    uint32_t type = packet_id ? STORE_DELIVER : STORE_ENQUEUE;
    uint8_t aside[DELIVERY_BYTES], *body = delivery->ids_count ? aside : wal_place(wal, type, DELIVERY_BYTES, now_ms);
    memcpy(body, &session, 8);
    memcpy(body + 8, &packet_id, 2);
    memcpy(body + 10, &delivery->message, 8);
    body[18] = delivery_flags(delivery);
    memcpy(body + 19, &delivery->ids_count, 4);
    if (LIKELY(body != aside)) return wal_position(wal);
    struct span parts[] = {span_of(aside, sizeof aside), span_of(delivery->ids, delivery->ids_count * sizeof *delivery->ids)};
    return wal_append(wal, type, parts, 2, now_ms);
}

uint64_t store_put_packet(struct wal *wal, enum store_record type, uint64_t session, uint16_t packet_id, uint64_t now_ms)
{
    uint8_t *body = wal_place(wal, type, 10, now_ms);
    memcpy(body, &session, 8);
    memcpy(body + 8, &packet_id, 2);
    return wal_position(wal);
}

uint64_t store_put_incoming(struct wal *wal, uint64_t session, uint16_t packet_id, uint32_t number, uint64_t now_ms)
{
    uint8_t body[14];
    memcpy(body, &session, 8);
    memcpy(body + 8, &packet_id, 2);
    memcpy(body + 10, &number, 4);
    struct span part = span_of(body, sizeof body);
    return wal_append(wal, STORE_INCOMING, &part, 1, now_ms);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct span record_take_bytes(struct record_reader *reader, size_t bytes)
{
    if (reader->bad || (size_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
        return span_of("", 0);
    }
    struct span taken = span_of(reader->at, bytes);
    reader->at += bytes;
    return taken;
}

static uint64_t take_number(struct record_reader *reader, size_t bytes)
{
    uint64_t value = 0;
    struct span taken = record_take_bytes(reader, bytes);
    if (taken.bytes == bytes) memcpy(&value, taken.data, bytes);
    return value;
}

uint8_t record_take_u8(struct record_reader *reader) { return (uint8_t)take_number(reader, 1); }
uint16_t record_take_u16(struct record_reader *reader) { return (uint16_t)take_number(reader, 2); }
uint32_t record_take_u32(struct record_reader *reader) { return (uint32_t)take_number(reader, 4); }
uint64_t record_take_u64(struct record_reader *reader) { return take_number(reader, 8); }

struct span record_take_text(struct record_reader *reader) { return record_take_bytes(reader, record_take_u16(reader)); }

struct span record_take_rest(struct record_reader *reader)
{
    return record_take_bytes(reader, (size_t)(reader->end - reader->at));
}

/* payload_bytes SIZE_MAX: the rest. */
static struct stored_message take_message(struct record_reader *reader, size_t payload_bytes)
{
    struct stored_message message = {.id = record_take_u64(reader)};
    uint8_t flags = record_take_u8(reader);
    message.qos = flags & 3;
    message.retain = (flags & MESSAGE_RETAIN) != 0;
    message.expires_ms = record_take_u64(reader);
    uint16_t topic_bytes = record_take_u16(reader);
    uint32_t properties_bytes = record_take_u32(reader);
    if (flags & MESSAGE_ORIGIN) {
        message.origin.session = record_take_u64(reader);
        message.origin.number = record_take_u32(reader);
        message.origin.packet_id = record_take_u16(reader);
    }
    message.topic = record_take_bytes(reader, topic_bytes);
    message.properties = record_take_bytes(reader, properties_bytes);
    message.payload = payload_bytes == SIZE_MAX ? record_take_rest(reader) : record_take_bytes(reader, payload_bytes);
    if (message.qos > 2) reader->bad = true;
    return message;
}

struct stored_message record_take_message(struct record_reader *reader) { return take_message(reader, SIZE_MAX); }

struct stored_shelved record_take_shelved(struct record_reader *reader)
{
    struct stored_shelved shelved = {.row = {.space = record_take_u64(reader)}};
    shelved.row.number = record_take_u64(reader);
    shelved.payload_bytes = record_take_u32(reader);
    shelved.message = take_message(reader, 0);
    if (!record_reader_whole(reader) || shelved.row.space < SHELF_ROWS || shelved.payload_bytes == 0) reader->bad = true;
    return shelved;
}

struct stored_session record_take_session(struct record_reader *reader)
{
    struct stored_session session = {.id = record_take_u64(reader)};
    session.client_id = record_take_text(reader);
    session.expiry_s = record_take_u32(reader);
    session.incoming_number = record_take_u32(reader);
    uint8_t flags = record_take_u8(reader);
    session.connected = (flags & SESSION_CONNECTED) != 0;
    session.lazy = (flags & SESSION_LAZY) != 0;
    session.detached_ms = record_take_u64(reader);
    if (!(flags & SESSION_WILL)) return session;
    session.will.present = true;
    session.will.delay_s = record_take_u32(reader);
    uint32_t payload_bytes = record_take_u32(reader);
    session.will.message = take_message(reader, payload_bytes);
    return session;
}

struct stored_subscription record_take_subscription(struct record_reader *reader)
{
    struct stored_subscription subscription = {.subscription_id = record_take_u32(reader)};
    uint8_t flags = record_take_u8(reader);
    subscription.qos = flags & 3;
    subscription.no_local = (flags & SUBSCRIPTION_NO_LOCAL) != 0;
    subscription.retain_as_published = (flags & SUBSCRIPTION_RETAIN_AS_PUBLISHED) != 0;
    subscription.exclusive = (flags & SUBSCRIPTION_EXCLUSIVE) != 0;
    subscription.filter = record_take_text(reader);
    subscription.group = record_take_text(reader);
    if (subscription.qos > 2 || subscription.filter.bytes == 0) reader->bad = true;
    return subscription;
}

struct stored_delivery record_take_delivery(struct record_reader *reader, struct span *ret_ids)
{
    struct stored_delivery delivery = {.message = record_take_u64(reader)};
    uint8_t flags = record_take_u8(reader);
    delivery.qos = flags & 3;
    delivery.retain = (flags & DELIVERY_RETAINED) != 0;
    delivery.shared = (flags & DELIVERY_SHARED) != 0;
    delivery.ids_count = record_take_u32(reader);
    *ret_ids = record_take_bytes(reader, (size_t)delivery.ids_count * 4);
    if (delivery.qos > 2) reader->bad = true; /* QoS 0 waits in queues that are partly on the shelf */
    return delivery;
}

struct stored_delivery record_take_entry(struct record_reader *reader, struct span *ret_ids, struct stored_message *ret_message)
{
    struct stored_delivery delivery = record_take_delivery(reader, ret_ids);
    uint32_t payload_bytes = record_take_u32(reader);
    *ret_message = take_message(reader, payload_bytes);
    return delivery;
}
