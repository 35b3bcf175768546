#include "broker/records.h"

#include "base/check.h"
#include "base/log.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "broker/retained/shelf.h"
#include "broker/runs.h"

void record_send(struct shard *shard, uint32_t to, enum record_kind kind, const void *pointer, uint64_t b)
{
    struct lane_cell cell = record_first((uint8_t)kind, 0, pointer, b);
    shard_send(shard, to, &cell, 1);
}

static void record_send_publish_part(struct shard *shard, uint32_t to, struct message *message, const uint32_t *ids,
                                     uint32_t count)
{
    struct lane_cell cells[RECORD_CELLS_MAX];
    uint32_t further = (count - 1 + 3) / 4;
    cells[0] = record_first(RECORD_PUBLISH, (uint8_t)further, message_ref(message), (uint64_t)count << 32 | ids[0]);
    if (further) {
        cells[further] = (struct lane_cell){0, 0};
        memcpy(&cells[1], ids + 1, (count - 1) * sizeof *ids);
    }
    shard_send(shard, to, cells, 1 + further);
}

void record_send_publish(struct shard *shard, uint32_t to, struct message *message, const uint32_t *ids, uint32_t count)
{
    DCHECK(count > 0);
    for (uint32_t at = 0; at < count; at += RECORD_PUBLISH_IDS_MAX) {
        uint32_t part = count - at < RECORD_PUBLISH_IDS_MAX ? count - at : RECORD_PUBLISH_IDS_MAX;
        record_send_publish_part(shard, to, message, ids + at, part);
    }
}

/* Beyond this a message is lent: the lane would be copied through the caches of both cores for little. */
#define COPY_BYTES_MAX 240

/* `b`: what the record's kind has there, beside the QoS. */
static bool send_copy(struct shard *shard, uint32_t to, enum record_kind kind, const struct publication *publication, uint64_t b)
{
    struct span topic = publication->topic, properties = publication->properties, payload = publication->payload;
    size_t bytes = topic.bytes + properties.bytes + payload.bytes;
    if (bytes > COPY_BYTES_MAX || publication->message || publication->retain) return false;
    struct lane_cell aside[2 + COPY_BYTES_MAX / sizeof(struct lane_cell)];
    uint32_t further = 1 + (uint32_t)((bytes + sizeof aside[0] - 1) / sizeof aside[0]);
    struct mesh_way *way = &shard->ways[to];
    struct lane_cell *in_lane = mesh_room(way, 1 + further), *cells = in_lane ? in_lane : aside;
    uint64_t lengths = (uint64_t)topic.bytes << 32 | (uint64_t)properties.bytes << 16 | payload.bytes;
    cells[0] = record_first((uint8_t)kind, (uint8_t)further, (void *)(uintptr_t)lengths, (uint64_t)publication->qos << 40 | b);
    cells[1] = (struct lane_cell){publication->publisher_conn, publication->expires_ms};
    cells[further] = (struct lane_cell){0, 0}; /* its last bytes may be nobody's */
    uint8_t *out = (uint8_t *)&cells[2];
    if (payload.data == topic.data + topic.bytes && properties.bytes == 0) /* as QoS 0 comes from a 3.x client */
        span_copy_short(out, span_of(topic.data, bytes));
    else
        span_copy_short(span_copy_short(span_copy_short(out, topic), properties), payload);
    if (in_lane)
        mesh_filled(way, 1 + further, &shard->stats);
    else
        shard_send(shard, to, cells, 1 + further);
    return true;
}

void record_send_publish_one(struct shard *shard, uint32_t to, struct publication *publication, uint32_t id)
{
    if (!send_copy(shard, to, RECORD_PUBLISH_COPY, publication, id)) record_send_publish(shard, to, publication_message(shard, publication), &id, 1);
}

void record_send_shared(struct shard *shard, uint32_t to, struct publication *publication, uint32_t local_id, uint8_t strategy,
                        uint64_t publisher_hash, uint64_t topic_hash)
{
    uint64_t group = (uint64_t)strategy << 32 | local_id;
    if (!share_hashes((enum share_strategy)strategy) && LIKELY(send_copy(shard, to, RECORD_PUBLISH_SHARED_COPY, publication, group))) return;
    struct message *message = publication_message(shard, publication);
    struct lane_cell cells[2] = {record_first(RECORD_PUBLISH_SHARED, 1, message_ref(message), group), {publisher_hash, topic_hash}};
    shard_send(shard, to, cells, 2);
}

void record_send_release(struct shard *shard, struct message *lent)
{
    struct broker_shard *broker = broker_of(shard);
    if (UNLIKELY(broker->stopping)) return record_send(shard, lent->owner, RECORD_RELEASE, lent, 0); /* perhaps no turn comes that would send a half record */
    struct message **pending = &broker->release_pending[lent->owner];
    if (!*pending) {
        *pending = lent;
        broker->release_owners |= 1ull << lent->owner;
        return;
    }
    record_send(shard, lent->owner, RECORD_RELEASE, *pending, (uint64_t)(uintptr_t)lent);
    *pending = NULL;
    broker->release_owners &= ~(1ull << lent->owner);
}

void records_flush(struct shard *shard)
{
    struct broker_shard *broker = broker_of(shard);
    for (; UNLIKELY(broker->release_owners); broker->release_owners &= broker->release_owners - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(broker->release_owners);
        record_send(shard, to, RECORD_RELEASE, broker->release_pending[to], 0);
        broker->release_pending[to] = NULL;
    }
}

/* ---- taking ----------------------------------------------------------------------------------------------------- */

/* A receiver of this message is filling up: its publisher is asked to slow down. */
static void report_congestion(struct broker_shard *broker, uint32_t from, const struct publication *publication)
{
    if (publication->congested) record_congested(broker, from, publication->publisher_conn);
}

void record_congested(struct broker_shard *broker, uint32_t from, uint64_t publisher_conn)
{
    if (publisher_conn) record_send(broker->shard, from, RECORD_CONGESTED, NULL, publisher_conn);
}

static void take_publish(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    struct publication publication = publication_of_loan(record_pointer(cells));
    if (broker->durable) durable_adopt(broker, from, &publication);
    uint32_t count = (uint32_t)(cells->b >> 32), first = (uint32_t)cells->b;
    if (LIKELY(count == 1)) {
        publication_deliver(broker, &publication, &first, 1);
    } else {
        uint32_t ids[RECORD_PUBLISH_IDS_MAX];
        ids[0] = first;
        memcpy(ids + 1, &cells[1], (count - 1) * sizeof *ids);
        publication_deliver(broker, &publication, ids, count);
    }
    report_congestion(broker, from, &publication);
    if (broker->durable) durable_report(broker, from, &publication);
    publication_end(broker->shard, &publication);
}

__attribute__((always_inline)) static inline struct publication publication_of_copy(const struct lane_cell *cells)
{
    uint64_t lengths = (uint64_t)(uintptr_t)record_pointer(cells);
    const uint8_t *bytes = (const uint8_t *)&cells[2];
    struct publication publication = {.qos = (uint8_t)(cells->b >> 40), .publisher_conn = cells[1].a, .expires_ms = cells[1].b};
    publication.topic = span_of(bytes, lengths >> 32 & 0xffff);
    publication.properties = span_of(bytes + publication.topic.bytes, lengths >> 16 & 0xffff);
    publication.payload = span_of(bytes + publication.topic.bytes + publication.properties.bytes, lengths & 0xffff);
    return publication;
}

void record_publication_taken(struct broker_shard *broker, uint32_t from, struct publication *publication, uint32_t local_id)
{
    if (broker->durable) durable_adopt(broker, from, publication);
    publication_deliver_filter(broker, publication, local_id);
    if (broker->durable) durable_report(broker, from, publication);
    publication_end(broker->shard, publication);
}

static void take_publish_copy(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    struct publication publication = publication_of_copy(cells);
    record_publication_taken(broker, from, &publication, (uint32_t)cells->b);
    report_congestion(broker, from, &publication);
}

void record_shared_taken(struct broker_shard *broker, uint32_t from, struct publication *publication, uint32_t local_id, struct sinks_view view,
                         struct share_choice choice)
{
    if (broker->durable) durable_adopt(broker, from, publication);
    if (!publication_deliver_chosen(broker, publication, local_id, view, choice)) {
        COUNT(broker, dropped_no_share_member);
        drop_note(broker, DROP_no_share_member, NULL, publication->topic, 1);
        LOG_LIMITED(WARN, 1000, "message dropped", "reason=no_share_member topic=%s", log_quoted(publication->topic));
    }
    if (broker->durable) durable_report(broker, from, publication);
    publication_end(broker->shard, publication);
}

/* `group`: local id and strategy, as in the record. */
static void shared_choose(struct broker_shard *broker, uint32_t from, struct publication *publication, uint64_t group, struct share_keys keys)
{
    struct sinks_view view = sinks_get(broker->sinks, (uint32_t)group);
    keys.random = random_next(&broker->shard->random);
    record_shared_taken(broker, from, publication, (uint32_t)group, view, publication_share_choose(broker, view, (uint32_t)group, (uint8_t)(group >> 32), &keys));
    report_congestion(broker, from, publication);
}

static void take_publish_shared(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    struct publication publication = publication_of_loan(record_pointer(cells));
    publication.publisher_hash = cells[1].a;
    shared_choose(broker, from, &publication, cells->b, (struct share_keys){.publisher_hash = cells[1].a, .topic_hash = cells[1].b});
}

static void take_publish_shared_copy(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    struct publication publication = publication_of_copy(cells);
    shared_choose(broker, from, &publication, cells->b, (struct share_keys){0});
}

static void take_release(struct broker_shard *broker, const struct lane_cell *cells)
{
    message_unref(broker->shard, record_pointer(cells));
    struct message *second = (struct message *)(uintptr_t)cells->b;
    if (second) message_unref(broker->shard, second);
}

static void take_congested(struct broker_shard *broker, uint64_t conn_name)
{
    struct conn *conn = conn_find(broker->shard, conn_name & PUBLISHER_CONN_MASK);
    if (conn && conn->state == CONN_OPEN && conn->client) publisher_pause(broker, conn->client);
}

static void take_settings(struct broker_shard *broker, const struct settings *settings)
{
    broker->settings = settings;
    broker->shard->overload_settings = settings->overload;
    overload_configure(broker->shard);
    acceptors_limit(broker->shard, settings->limiter.connections_rate, settings->limiter.connections_burst);
    extras_take(broker);
    limits_change(broker);
    retained_sweep_start(broker);
    retained_set_limits(broker);
    retained_shelf_look_again(broker);
    features_shard_apply(broker);
    atomic_fetch_add(&broker->broker->settings_taken, 1);
}

static void take_sample(struct broker_shard *broker, uint64_t received_ns)
{
    uint64_t now_ns = broker->shard->group->verbs->monotonic_ns(broker->shard->ring);
    spread_record(&broker->shard->spreads[SPREAD_publish_to_other_shard], now_ns - received_ns);
}

__attribute__((noinline)) static void take_others(struct shard *shard, uint32_t from, const struct lane_cell *cells)
{
    struct broker_shard *broker = broker_of(shard);
    switch ((enum record_kind)record_kind(cells)) {
    case RECORD_PUBLISH: return take_publish(broker, from, cells);
    case RECORD_PUBLISH_COPY: return take_publish_copy(broker, from, cells);
    case RECORD_PUBLISH_RUN: return run_take(broker, from, cells);
    case RECORD_PUBLISH_SHARED: return take_publish_shared(broker, from, cells);
    case RECORD_PUBLISH_SHARED_COPY: return take_publish_shared_copy(broker, from, cells);
    case RECORD_PUBLISH_SHARED_RUN: return run_take_shared(broker, from, cells);
    case RECORD_RELEASE: return take_release(broker, cells);
    case RECORD_ROUTE_ADD:
    case RECORD_ROUTE_REMOVE:
    case RECORD_ROUTE_DONE: return route_record(broker, from, cells);
    case RECORD_RETAIN_SET:
    case RECORD_RETAIN_SCAN:
    case RECORD_RETAIN_ITEM:
    case RECORD_RETAIN_SLICE: return retained_record(broker, from, cells);
    case RECORD_DURABLE: return durable_notice_take(broker, from, cells);
    case RECORD_STORED: return durable_stored(broker, cells);
    case RECORD_BARRIER: return durable_barrier(broker, from);
    case RECORD_BARRIER_DONE: return durable_barrier_done(broker);
    case RECORD_CONGESTED: return take_congested(broker, cells->b);
    case RECORD_SETTINGS: return take_settings(broker, record_pointer(cells));
    case RECORD_SYS: return sys_wake(broker);
    case RECORD_SAMPLE: return take_sample(broker, cells->b);
    case RECORD_TRACE: return trace_follow(broker, from, cells->b, (uint32_t)(uintptr_t)record_pointer(cells));
    case RECORD_INSPECT: return inspect_begin(broker, record_pointer(cells));
    case RECORD_STOP: return broker_stop_clients(broker);
    }
    UNREACHABLE("a record of no kind");
}

void records_take(struct shard *shard, uint32_t from, const struct lane_cell *cells)
{
    if (LIKELY(record_kind(cells) == RECORD_PUBLISH_RUN)) return run_take(broker_of(shard), from, cells); /* nearly all of them */
    take_others(shard, from, cells);
}
