/* watch/why.h - would a message reach a client, and what decides it: answered on the shards, by the code and the tables that decide about real messages.
 *
 *     INSPECT_WHY_FROM, at the publisher's home: limits, $delayed, authorization, rewriting, mount point ─► rows, the last with the topic that comes out
 *     INSPECT_WHY_TO, at the client's home: session, matching, no local, QoS, size, queue, window ─► rows
 *
 * Nothing is published, and nothing changed but what asking changes (a gate's cache and counters). Threads: the shard; rows are the asker's. */
#ifndef RINGMQ_BROKER_WATCH_WHY_H
#define RINGMQ_BROKER_WATCH_WHY_H

#include <stdbool.h>
#include <stdint.h>

struct broker_shard;
struct inspect;

/* In the order in which the broker comes to them. */
#define WHY_STEPS_TABLE(X)                                                          \
    X(topic, "whether it is a topic one may publish to")                            \
    X(publisher, "whether its publisher is known")                                  \
    X(packet, "limits of the publisher's listener: QoS, retain, size")              \
    X(delayed, "$delayed/SECONDS/TOPIC")                                            \
    X(authorization, "whether the publisher may, by which rule or source")          \
    X(rewrite, "rules that make another topic of it")                               \
    X(mount, "the publisher's mount point")                                         \
    X(retained, "what the retain flag does, and what is kept under the topic")      \
    X(client, "whether the client is known and connected, or banned")               \
    X(matching, "which of its subscriptions match")                                 \
    X(no_local, "subscriptions that do not want their own client's messages")       \
    X(share, "shared groups, of which one member gets it")                          \
    X(qos, "the lower one of message and subscription")                             \
    X(size, "the client's Maximum Packet Size")                                     \
    X(session, "QoS 0 while the client is away")                                    \
    X(queue, "the session's queue: its limits and policy")                          \
    X(window, "what it would wait for: window, reading, rate, disk")

enum why_step {
#define WHY_STEP(name, documentation) WHY_##name,
    WHY_STEPS_TABLE(WHY_STEP)
#undef WHY_STEP
    WHY_STEPS
};
extern const char *const why_step_names[WHY_STEPS], *const why_step_documentation[WHY_STEPS];

enum why_result { WHY_PASS, WHY_NOTE, WHY_PERHAPS, WHY_LATER, WHY_STOP };

enum why_kind {
    WHY_ROW_STEP,         /* text: a sentence */
    WHY_ROW_SUBSCRIPTION, /* text: filter, then group */
    WHY_ROW_TOPIC,        /* text: what the topic has become */
    WHY_ROW_DELIVERY,     /* text: the topic as the client sees it; qos, retain, ids */
};

struct why_row {
    uint8_t kind, step, result; /* enum why_kind, why_step, why_result */
    uint8_t qos;
    bool retain, no_local, retain_as_published, takes;
    uint32_t subscription_id, ids_count;
    uint32_t text_bytes, group_bytes;
    uint32_t ids[16];
    char text[];
};

/* inspect.h says what is in the question; qos, retain and payload_bytes_max are the message's. */
void why_from(struct broker_shard *broker, struct inspect *inspect);
void why_to(struct broker_shard *broker, struct inspect *inspect);

#endif
