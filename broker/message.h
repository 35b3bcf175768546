/* message.h - one published message, shared by every subscriber that will receive it (design §8).
 *
 * Two forms. A *publication* is a view on the stack: it lives while one PUBLISH is handled, and if every receiver can take its
 * bytes at once nothing is ever allocated. A *message* is the lasting form, made from the publication the first time somebody
 * must keep it (a queue, an in-flight window, another shard, the retained store).
 *
 * Owner:    the shard whose pool the message lives in. `references` are that shard's and need no atomics.
 * Lifetime: message_ref()/message_unref() in pairs, on the owning shard only. Another shard is lent a message through a lane: the
 *           lender counts one reference for it; the borrower copies what is small, or keeps a proxy of its own that holds
 *           the loan, and returns the loan through RECORD_RELEASE.
 * Threads:  immutable once made; only the owner touches `references`.
 * Units:    *_bytes; expires_ms is the shards' monotonic clock, 0 never. */
#ifndef RINGMQ_BROKER_MESSAGE_H
#define RINGMQ_BROKER_MESSAGE_H

#include "base/span.h"
#include "engine/shard.h"

struct session;
struct durable_wait;
struct durable_partial;

struct message {
    uint32_t references;
    uint32_t payload_bytes;
    uint32_t properties_bytes;
    uint16_t topic_bytes;
    uint8_t owner;          /* shard */
    uint8_t qos : 2;
    uint8_t retain : 1;
    uint8_t taken : 1;      /* `own` is a struct message_taken: the bytes lie where they were received */
    uint8_t shelved : 1;    /* `own` is a struct message_shelved: a retained one without its payload (broker/retained/shelf.h) */
    uint64_t expires_ms;
    uint64_t identity;       /* of retained ones, unique in the node: shard and number; 0: none */
    uint64_t publisher_conn; /* name of the publisher's connection, for back-pressure; 0: none. Of a traced one: below */
    uint64_t stored;         /* its id in this shard's log and the checkpoint it was written in (broker/durable/durable.h); 0: none */
    struct message *origin; /* a proxy: the lent message that has the bytes */
    const uint8_t *bytes;   /* topic, properties (forwardable, without a length), payload */
    uint8_t own[];
};

struct message_taken {
    uint8_t *block;
    uint32_t bytes;
};

struct message_shelved {
    uint64_t space, number; /* of its row (store/shelf.h) */
    uint64_t payload_bytes; /* there; message->payload_bytes is 0 */
    uint8_t bytes[];        /* topic, properties */
};

/* Of `references`, which only the owner touches: the store of retained messages has it; it is on its way to the shelf. Whoever sets one has a reference. */
#define MESSAGE_KEPT     (1u << 31)
#define MESSAGE_SHELVING (1u << 30)

/* A connection's name has 56 bits. Of a publisher that is traced (broker/watch/trace.h) the others say so, and on which shard it is. */
#define PUBLISHER_TRACED      (1ull << 63)
#define PUBLISHER_SHARD_SHIFT 56
#define PUBLISHER_CONN_MASK   ((1ull << PUBLISHER_SHARD_SHIFT) - 1)

struct publication {
    struct span topic, properties, payload;
    uint64_t expires_ms;
    uint64_t identity;
    uint64_t publisher_conn;
    uint64_t publisher_hash;        /* of the client id: for shared subscriptions */
    const struct session *publisher; /* for no-local; NULL when it lives on another shard */
    struct message *message;        /* the lasting form once made; one reference is the publication's */
    struct message *lent;           /* the other shard's message this is a view of */
    uint8_t qos;
    bool retain;
    bool congested;                 /* a receiver's queue is filling: read the publisher more slowly */
    uint32_t filter;                /* local id by which a session is given it; SINKS_ID_NONE: a group others of which have room */
    /* broker/durable/durable.h: from here on to the end durable_publication_init() */
    uint8_t level;                  /* enum durability_level, of the topic rules */
    bool answers;                   /* its publisher is owed an acknowledgement */
    uint16_t origin_packet_id;
    uint32_t origin_number;         /* of QoS 2 messages of a durable session; 0: none */
    uint64_t origin_session;
    uint64_t stored;                /* as message.stored */
    uint64_t commit;                /* of this shard's log: somebody keeps it on disk when this is durable; 0: nobody */
    struct durable_partial *partial; /* some have it from before a crash; NULL: nobody */
    struct durable_wait *wait;      /* its acknowledgement, once other shards have been asked to keep it */
};

/* Payloads above this are sent from where they lie and lent to other shards rather than copied (facts §2). */
#define MESSAGE_COPY_BYTES_MAX 1024
/* Payloads from this size on are not copied into their message where they have gathered in a block of their own: the message takes the block,
 * and topic and properties move up to the payload in it. What a decoded packet points to is then no longer there. */
#define MESSAGE_TAKE_BYTES_MIN 8192

static inline struct span message_topic(const struct message *message)
{
    return span_of(message->bytes, message->topic_bytes);
}
static inline struct span message_properties(const struct message *message)
{
    return span_of(message->bytes + message->topic_bytes, message->properties_bytes);
}
static inline struct span message_payload(const struct message *message)
{
    return span_of(message->bytes + message->topic_bytes + message->properties_bytes, message->payload_bytes);
}
/* What a queue counts for it: the bytes it keeps alive. */
static inline uint64_t message_bytes(const struct message *message)
{
    return (uint64_t)sizeof *message + message->topic_bytes + message->properties_bytes + message->payload_bytes;
}

static inline struct message_shelved *message_row(const struct message *message)
{
    return (struct message_shelved *)(uintptr_t)message->own;
}
/* Of its payload, wherever that is; and all of it, as retained messages are counted. */
static inline uint64_t message_payload_size(const struct message *message)
{
    return message->shelved ? message_row(message)->payload_bytes : message->payload_bytes;
}
static inline uint64_t message_kept_bytes(const struct message *message)
{
    return message_bytes(message) - message->payload_bytes + message_payload_size(message);
}

static inline struct message *message_ref(struct message *message)
{
    message->references++;
    return message;
}
void message_release(struct shard *shard, struct message *message); /* for message_unref() only */
static inline void message_unref(struct shard *shard, struct message *message)
{
    DCHECK(message->references > 0 && message->owner == shard->number);
    if (--message->references == 0) message_release(shard, message);
}

/* A retained message whose payload is in this row: the publication's topic, properties and what else there is. The reference is the caller's. */
struct message *message_make_shelved(struct shard *shard, const struct publication *publication, const struct message_shelved *row);
/* One without properties, expiry and all else but what is named here; topic and payload are short. The reference is the caller's. */
struct message *message_make_small(struct shard *shard, struct span topic, struct span payload, uint64_t publisher_conn, uint8_t qos);
/* The publication's lasting form, made now if need be; the reference stays the publication's. */
struct message *publication_message(struct shard *shard, struct publication *publication);
/* A view of a message of this shard. End it with publication_end(). */
struct publication publication_of(struct message *message);
/* A view of a message that another shard has lent. */
struct publication publication_of_loan(struct message *lent);
/* Gives back what the publication holds: its own reference, and the loan when nothing of this shard kept it. */
void publication_give_back(struct shard *shard, struct publication *publication); /* for publication_end() only */
static inline void publication_end(struct shard *shard, struct publication *publication)
{
    if (publication->message || publication->lent) publication_give_back(shard, publication);
}

#endif
