#include "broker/message.h"

#include "base/check.h"
#include "broker/records.h"

static size_t block_bytes(const struct message *message)
{
    return sizeof *message + (message->origin ? 0 : (size_t)message_bytes(message) - sizeof *message);
}

static void account(struct shard *shard, const struct message *message, uint64_t sign)
{
    stats_count(&shard->stats.messages_stored, sign);
    stats_count(&shard->stats.message_bytes, sign * block_bytes(message));
}

void message_unref(struct shard *shard, struct message *message)
{
    DCHECK(message->references > 0 && message->owner == shard->number);
    if (--message->references > 0) return;
    account(shard, message, (uint64_t)-1);
    if (message->origin) record_send_release(shard, message->origin);
    pool_release(&shard->pool, message, block_bytes(message));
}

static struct message *message_make(struct shard *shard, const struct publication *publication, struct message *origin)
{
    size_t bytes = publication->topic.bytes + publication->properties.bytes + publication->payload.bytes;
    struct message *message = pool_acquire(&shard->pool, sizeof *message + (origin ? 0 : bytes));
    *message = (struct message){.references = 1,
                                .topic_bytes = (uint16_t)publication->topic.bytes,
                                .properties_bytes = (uint32_t)publication->properties.bytes,
                                .payload_bytes = (uint32_t)publication->payload.bytes,
                                .owner = (uint8_t)shard->number,
                                .qos = publication->qos & 3,
                                .retain = publication->retain,
                                .expires_ms = publication->expires_ms,
                                .identity = publication->identity,
                                .publisher_conn = publication->publisher_conn,
                                .stored = publication->stored,
                                .origin = origin};
    account(shard, message, 1);
    if (origin) {
        message->bytes = origin->bytes;
        return message;
    }
    message->bytes = message->own;
    memcpy(message->own, publication->topic.data, publication->topic.bytes);
    if (publication->properties.bytes)
        memcpy(message->own + publication->topic.bytes, publication->properties.data, publication->properties.bytes);
    if (publication->payload.bytes)
        memcpy(message->own + publication->topic.bytes + publication->properties.bytes, publication->payload.data,
               publication->payload.bytes);
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
