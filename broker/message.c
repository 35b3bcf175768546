#include "broker/message.h"

#include "base/check.h"
#include "broker/records.h"
#include "broker/session.h"

/* Of the message's own block. */
static size_t block_bytes(const struct message *message)
{
    if (message->origin) return sizeof *message;
    if (LIKELY(!message->taken && !message->shelved)) return (size_t)message_bytes(message);
    return message->taken ? sizeof *message + sizeof(struct message_taken) : sizeof(struct message_shelved) + (size_t)message_bytes(message);
}

static struct message_taken *taken_of(const struct message *message) { return (struct message_taken *)(uintptr_t)message->own; }

/* `bytes`: of its own block. */
static inline void account(struct shard *shard, const struct message *message, uint64_t bytes, uint64_t sign)
{
    stats_count(&shard->stats.messages_stored, sign);
    stats_count(&shard->stats.message_bytes, sign * (bytes + (message->taken ? taken_of(message)->bytes : 0)));
}

void message_release(struct shard *shard, struct message *message)
{
    if (LIKELY(!message->origin && !message->taken && !message->shelved)) {
        size_t own_bytes = (size_t)message_bytes(message);
        account(shard, message, own_bytes, (uint64_t)-1);
        return pool_release(&shard->pool, message, own_bytes);
    }
    size_t bytes = block_bytes(message);
    account(shard, message, bytes, (uint64_t)-1);
    if (message->origin) record_send_release(shard, message->origin);
    if (message->taken) pool_release(&shard->pool, taken_of(message)->block, taken_of(message)->bytes);
    pool_release(&shard->pool, message, bytes);
}

/* The block that a large payload has gathered in, with topic and properties moved up to it: they are shorter than what stood there, unless
 * the topic has become another one. False: it lies elsewhere, or there is no room. */
static bool block_take(struct publication *publication, struct message_taken *ret_taken)
{
    struct conn *conn = publication->publisher ? publication->publisher->conn : NULL;
    struct span *topic = &publication->topic, *properties = &publication->properties, payload = publication->payload;
    if (payload.bytes < MESSAGE_TAKE_BYTES_MIN || !conn || !conn->carry) return false;
    size_t before = topic->bytes + properties->bytes;
    if (payload.data < conn->carry || (size_t)(payload.data - conn->carry) < before) return false;
    if (!conn_take_block(conn, payload.data + payload.bytes, &ret_taken->block, &ret_taken->bytes)) return false;
    uint8_t *at = ret_taken->block + (payload.data - ret_taken->block) - before;
    memmove(at, topic->data, topic->bytes);
    topic->data = at;
    if (properties->bytes) memmove(at + topic->bytes, properties->data, properties->bytes); /* from the shard's scratch */
    properties->data = at + topic->bytes;
    return true;
}

#define SHORT_BYTES_MAX 128

static const uint8_t *bytes_copy(uint8_t *out, const struct publication *publication, size_t bytes)
{
    if (LIKELY(bytes <= SHORT_BYTES_MAX && publication->properties.bytes == 0)) {
        span_copy_short(span_copy_short(out, publication->topic), publication->payload);
        return out;
    }
    memcpy(out, publication->topic.data, publication->topic.bytes);
    uint8_t *at = out + publication->topic.bytes;
    if (publication->properties.bytes) memcpy(at, publication->properties.data, publication->properties.bytes);
    at += publication->properties.bytes;
    if (publication->payload.bytes) memcpy(at, publication->payload.data, publication->payload.bytes);
    return out;
}

static struct message *message_make(struct shard *shard, struct publication *publication, struct message *origin)
{
    struct message_taken taken;
    bool takes = !origin && block_take(publication, &taken);
    size_t bytes = takes ? sizeof taken : publication->topic.bytes + publication->properties.bytes + publication->payload.bytes;
    struct message *message = pool_acquire(&shard->pool, sizeof *message + (origin ? 0 : bytes));
    *message = (struct message){.references = 1,
                                .topic_bytes = (uint16_t)publication->topic.bytes,
                                .properties_bytes = (uint32_t)publication->properties.bytes,
                                .payload_bytes = (uint32_t)publication->payload.bytes,
                                .owner = (uint8_t)shard->number,
                                .qos = publication->qos & 3,
                                .retain = publication->retain,
                                .taken = takes,
                                .expires_ms = publication->expires_ms,
                                .identity = publication->identity,
                                .publisher_conn = publication->publisher_conn,
                                .stored = publication->stored,
                                .origin = origin};
    if (takes) *taken_of(message) = taken;
    account(shard, message, block_bytes(message), 1);
    message->bytes = origin ? origin->bytes : takes ? publication->topic.data : bytes_copy(message->own, publication, bytes);
    return message;
}

struct message *message_make_small(struct shard *shard, struct span topic, struct span payload, uint64_t publisher_conn, uint8_t qos)
{
    size_t bytes = sizeof(struct message) + topic.bytes + payload.bytes;
    struct message *message = pool_acquire(&shard->pool, bytes);
    *message = (struct message){.references = 1, .topic_bytes = (uint16_t)topic.bytes, .payload_bytes = (uint32_t)payload.bytes, .owner = (uint8_t)shard->number,
                                .qos = qos & 3, .publisher_conn = publisher_conn, .bytes = message->own};
    span_copy_short(span_copy_short(message->own, topic), payload);
    account(shard, message, bytes, 1);
    return message;
}

struct message *message_make_shelved(struct shard *shard, const struct publication *publication, const struct message_shelved *row)
{
    size_t bytes = publication->topic.bytes + publication->properties.bytes;
    struct message *message = pool_acquire(&shard->pool, sizeof *message + sizeof *row + bytes);
    *message = (struct message){.references = 1, .topic_bytes = (uint16_t)publication->topic.bytes, .properties_bytes = (uint32_t)publication->properties.bytes,
                                .owner = (uint8_t)shard->number, .qos = publication->qos & 3, .retain = publication->retain, .shelved = true,
                                .expires_ms = publication->expires_ms, .identity = publication->identity, .stored = publication->stored};
    struct message_shelved *at = message_row(message);
    *at = *row;
    memcpy(at->bytes, publication->topic.data, publication->topic.bytes);
    if (publication->properties.bytes) memcpy(at->bytes + publication->topic.bytes, publication->properties.data, publication->properties.bytes);
    message->bytes = at->bytes;
    account(shard, message, block_bytes(message), 1);
    return message;
}

struct message *publication_message(struct shard *shard, struct publication *publication)
{
    if (publication->message) return publication->message;
    bool keep_loan = publication->lent && publication->payload.bytes > MESSAGE_COPY_BYTES_MAX;
    publication->message = message_make(shard, publication, keep_loan ? publication->lent : NULL);
    if (keep_loan) publication->lent = NULL; /* the proxy returns it */
    return publication->message;
}

struct publication publication_of(struct message *message)
{
    return (struct publication){.topic = message_topic(message),
                                .properties = message_properties(message),
                                .payload = message_payload(message),
                                .expires_ms = message->expires_ms,
                                .identity = message->identity,
                                .publisher_conn = message->publisher_conn,
                                .stored = message->stored,
                                .message = message_ref(message),
                                .qos = message->qos,
                                .retain = message->retain};
}

struct publication publication_of_loan(struct message *lent)
{
    return (struct publication){.topic = message_topic(lent),
                                .properties = message_properties(lent),
                                .payload = message_payload(lent),
                                .expires_ms = lent->expires_ms,
                                .identity = lent->identity,
                                .publisher_conn = lent->publisher_conn,
                                .lent = lent,
                                .qos = lent->qos,
                                .retain = lent->retain};
}

void publication_give_back(struct shard *shard, struct publication *publication)
{
    if (publication->message) message_unref(shard, publication->message);
    if (publication->lent) record_send_release(shard, publication->lent);
    publication->message = publication->lent = NULL;
}
