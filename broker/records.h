/* records.h - what shards tell each other over the lanes (layout of a record: engine/mesh.h).
 *
 * kind             first cell: pointer / b                                further cells
 * PUBLISH          lent message / first local id, count                   the other ids, four to a cell
 * PUBLISH_COPY     lengths of topic, properties, payload (16 bits each)
 *                  / local id, QoS (from bit 40)                            publisher's connection, expiry; the bytes themselves
 * PUBLISH_RUN      several such to one filter: broker/runs.h
 * PUBLISH_SHARED   lent message / local id, strategy                      publisher hash, topic hash
 * PUBLISH_SHARED_COPY  as PUBLISH_COPY / local id, strategy, QoS          as PUBLISH_COPY: no hashes, for strategies that need none
 * PUBLISH_SHARED_RUN  several such to one group: broker/runs.h
 * RELEASE          message / second message or 0                          -
 * ROUTE_ADD        struct route_request (writer answers ROUTE_DONE) / -   -
 * ROUTE_REMOVE     struct route_request (the writer releases it) / -      -
 * ROUTE_DONE       struct route_request / -                               -
 * RETAIN_SET       lent message / -                                       -
 * RETAIN_SCAN      struct retained_query / -                              -
 * RETAIN_ITEM      lent message / struct retained_query                   -
 * RETAIN_SLICE     struct retained_query / 1: finished                    -
 * DURABLE          the publisher's wait or NULL / level                    origin: session; number, packet id; -
 *                  it is about the record that follows in the same lane: any PUBLISH… or RETAIN_SET
 * STORED           - / count                                              waits, two to a cell, each with the number, less one, of its
 *                                                                         messages that are on disk here in the upper 16 bits
 * BARRIER          - / -: answer when the QoS 2 messages under way are known -
 * BARRIER_DONE     - / -                                                  -
 * CONGESTED        - / name of the publisher's connection                 -
 * SETTINGS         struct settings / -                                    -
 * SYS              - / -: somebody subscribed to $SYS (to shard 0)       -
 * SAMPLE           - / when the PUBLISH before it was received (the shards' clock, ns) -
 * INSPECT          struct inspect (broker/watch/inspect.h) / -                  -
 * TRACE            traces, a bit each / name of the publisher's connection: of the messages that follow in the same lane
 * STOP             - / -                                                  -
 *
 * Everything pointed to belongs to the receiver until it answers, except lent messages (broker/message.h). */
#ifndef RINGMQ_BROKER_RECORDS_H
#define RINGMQ_BROKER_RECORDS_H

#include "broker/message.h"
#include "router/share.h"

struct broker_shard;

enum record_kind {
    RECORD_PUBLISH = RECORD_KIND_FIRST,
    RECORD_PUBLISH_COPY,
    RECORD_PUBLISH_RUN,
    RECORD_PUBLISH_SHARED,
    RECORD_PUBLISH_SHARED_COPY,
    RECORD_PUBLISH_SHARED_RUN,
    RECORD_RELEASE,
    RECORD_ROUTE_ADD,
    RECORD_ROUTE_REMOVE,
    RECORD_ROUTE_DONE,
    RECORD_RETAIN_SET,
    RECORD_RETAIN_SCAN,
    RECORD_RETAIN_ITEM,
    RECORD_RETAIN_SLICE,
    RECORD_DURABLE,
    RECORD_STORED,
    RECORD_BARRIER,
    RECORD_BARRIER_DONE,
    RECORD_CONGESTED,
    RECORD_SETTINGS,
    RECORD_SYS,
    RECORD_INSPECT,
    RECORD_SAMPLE,
    RECORD_TRACE,
    RECORD_STOP,
};

/* Local ids one PUBLISH record carries at most: one in the first cell, four in each further one. */
#define RECORD_PUBLISH_IDS_MAX (1 + 4 * (RECORD_CELLS_MAX - 1))

void record_send(struct shard *shard, uint32_t to, enum record_kind kind, const void *pointer, uint64_t b);
/* Lends `message` (one of this shard's) with the ids of `to`'s filters. */
void record_send_publish(struct shard *shard, uint32_t to, struct message *message, const uint32_t *ids, uint32_t count);
/* What a run (broker/runs.h) does not take, with the id of one of `to`'s filters: the publication itself, when it is small (nothing is allocated, lent or
 * returned), or its message is lent. */
void record_send_publish_one(struct shard *shard, uint32_t to, struct publication *publication, uint32_t id);
/* The same to one member of a group. */
void record_send_shared(struct shard *shard, uint32_t to, struct publication *publication, uint32_t local_id, uint8_t strategy,
                        uint64_t publisher_hash, uint64_t topic_hash);
/* Returns a lent message to its owner; the last one of a turn leaves with records_flush(). */
void record_send_release(struct shard *shard, struct message *lent);
void records_flush(struct shard *shard);

/* A publication that has come from `from`: to one filter's sinks, or to the member of a group that was chosen. They end it. */
void record_publication_taken(struct broker_shard *broker, uint32_t from, struct publication *publication, uint32_t local_id);
void record_shared_taken(struct broker_shard *broker, uint32_t from, struct publication *publication, uint32_t local_id, struct sinks_view view,
                         struct share_choice choice);
/* A receiver of messages of that connection there is filling up. */
void record_congested(struct broker_shard *broker, uint32_t from, uint64_t publisher_conn);

void records_take(struct shard *shard, uint32_t from, const struct lane_cell *cells);

#endif
