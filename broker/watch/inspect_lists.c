/* watch/inspect_lists.c - questions about subscriptions, filters and messages, and publishing from outside. */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect_inside.h"
#include "broker/retained/shelf.h"
#include "proto/topic.h"

/* ---- subscriptions ---------------------------------------------------------------------------------------------- */

/* Sinks' local filters stand in a group that is none. */
static struct span shown_group(struct span group) { return share_is_local(group) ? span_of(NULL, 0) : group; }

static void subscription_row(struct broker_shard *broker, struct inspect *inspect, const struct sink *sink, struct span filter, struct span group)
{
    const struct session *session = sink->who;
    struct span client_id = session_client_id(session);
    group = shown_group(group);
    size_t bytes = sizeof(struct inspect_subscription) + client_id.bytes + filter.bytes + group.bytes;
    struct inspect_subscription *row = memory_acquire(bytes);
    *row = (struct inspect_subscription){.client_id_bytes = (uint16_t)client_id.bytes, .filter_bytes = (uint16_t)filter.bytes,
                                         .group_bytes = (uint16_t)group.bytes, .qos = sink->qos, .no_local = sink->no_local,
                                         .retain_as_published = sink->retain_as_published, .sink = session->is_sink, .subscription_id = sink->subscription_id,
                                         .shard = broker->shard->number};
    char *at = mempcpy(row->text, client_id.data, client_id.bytes);
    at = mempcpy(at, filter.data, filter.bytes);
    if (group.bytes) memcpy(at, group.data, group.bytes);
    inspect_row_add(inspect, row, bytes);
}

static bool filter_matches(const struct inspect *inspect, struct span filter, struct span group)
{
    if (inspect->filter.bytes && !span_equal(inspect->filter, filter)) return false;
    if (inspect->group.bytes && !span_equal(inspect->group, group)) return false;
    if (!inspect_like(filter, inspect->like_filter)) return false;
    return inspect->match_topic.bytes == 0 || mqtt_topic_matches_filter(inspect->match_topic, filter);
}

void inspect_session_subscriptions(struct broker_shard *broker, struct inspect *inspect, const struct session *session)
{
    for (uint32_t i = 0; i < session->subscriptions_count && !inspect_full(inspect); i++) {
        struct span filter, group;
        CHECK(sinks_text(broker->sinks, session->subscriptions[i], &filter, &group));
        const struct sink *sink = sinks_find_sink(broker->sinks, session->subscriptions[i], session);
        CHECK(sink);
        if (!filter_matches(inspect, filter, group) || (inspect->qos != INSPECT_ANY && sink->qos != inspect->qos)) continue;
        if (!inspect_passes_over(inspect)) subscription_row(broker, inspect, sink, filter, group);
    }
}

static void filter_row(struct broker_shard *broker, struct inspect *inspect, struct span filter, struct span group, uint32_t subscribers)
{
    group = shown_group(group);
    size_t bytes = sizeof(struct inspect_filter) + filter.bytes + group.bytes;
    struct inspect_filter *row = memory_acquire(bytes);
    *row = (struct inspect_filter){.filter_bytes = (uint16_t)filter.bytes, .group_bytes = (uint16_t)group.bytes, .subscribers = subscribers,
                                   .shard = broker->shard->number};
    char *at = mempcpy(row->text, filter.data, filter.bytes);
    if (group.bytes) memcpy(at, group.data, group.bytes);
    inspect_row_add(inspect, row, bytes);
}

/* The subscribers of the filter at hand, from place_within on. False: budget or room is used up. */
static bool sinks_of_filter(struct broker_shard *broker, struct inspect *inspect, struct span filter, struct span group, uint32_t *budget)
{
    struct sinks_view view = sinks_get(broker->sinks, inspect->place);
    for (; inspect->place_within < view.count; inspect->place_within++) {
        const struct sink *sink = &view.sinks[inspect->place_within];
        if (*budget == 0 || inspect_full(inspect)) return false;
        --*budget;
        if (!sink->who || ((const struct session *)sink->who)->ended) continue; /* it has gone, or is about to */
        if (inspect->qos != INSPECT_ANY && sink->qos != inspect->qos) continue;
        if (!inspect_like(session_client_id(sink->who), inspect->client.like_client_id)) continue;
        if (!inspect_passes_over(inspect)) subscription_row(broker, inspect, sink, filter, group);
    }
    return true;
}

/* The filter at `place` may be in the middle of its subscribers (place_within), and may have gone meanwhile: then the next one is taken. */
enum inspect_slice inspect_filters_slice(struct broker_shard *broker, struct inspect *inspect, uint32_t budget)
{
    bool subscriptions = inspect->kind == INSPECT_SUBSCRIPTIONS;
    if (inspect->place == SINKS_ID_NONE) inspect->place = sinks_next(broker->sinks, SINKS_ID_NONE);
    for (; inspect->place != SINKS_ID_NONE; inspect->place = sinks_next(broker->sinks, inspect->place), inspect->place_within = 0) {
        struct span filter, group;
        if (inspect_full(inspect)) return INSPECT_SLICE_FULL;
        if (budget == 0) return INSPECT_SLICE_GOES_ON;
        budget--;
        if (!sinks_text(broker->sinks, inspect->place, &filter, &group) || !filter_matches(inspect, filter, group)) continue;
        if (subscriptions) {
            if (!sinks_of_filter(broker, inspect, filter, group, &budget)) return inspect_full(inspect) ? INSPECT_SLICE_FULL : INSPECT_SLICE_GOES_ON;
        } else if (!inspect_passes_over(inspect)) {
            filter_row(broker, inspect, filter, group, sinks_get(broker->sinks, inspect->place).count);
        }
    }
    inspect->status = INSPECT_DONE;
    return INSPECT_SLICE_FULL;
}

/* ---- retained messages ------------------------------------------------------------------------------------------ */

static void message_show(struct broker_shard *broker, struct inspect *inspect, const struct message *message, bool with_payload)
{
    struct span topic = message_topic(message), properties = message_properties(message), payload = message_payload(message);
    size_t bytes = sizeof(struct inspect_message) + topic.bytes + properties.bytes + (with_payload ? payload.bytes : 0);
    struct inspect_message *row = memory_acquire(bytes);
    *row = (struct inspect_message){.topic_bytes = (uint16_t)topic.bytes, .qos = message->qos, .retain = message->retain, .payload_left_out = !with_payload,
                                    .properties_bytes = (uint32_t)properties.bytes, .payload_bytes = (uint32_t)message_payload_size(message),
                                    .shard = broker->shard->number};
    if (message->expires_ms) row->expires_ms = inspect_realtime_ms(broker, message->expires_ms);
    char *at = mempcpy(row->text, topic.data, topic.bytes);
    if (properties.bytes) at = mempcpy(at, properties.data, properties.bytes);
    if (with_payload && payload.bytes) memcpy(at, payload.data, payload.bytes);
    inspect_row_add(inspect, row, bytes);
}

struct retained_visit {
    struct broker_shard *broker;
    struct inspect *inspect;
};

static enum retain_answer retained_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct retained_visit *visit = context;
    const struct message *message = stored;
    if (message->expires_ms && message->expires_ms <= visit->broker->shard->now_ms) return RETAIN_NEXT; /* a subscriber's scan removes it */
    if (delayed_is(topic) && !delayed_is(visit->inspect->client_id)) return RETAIN_NEXT; /* nobody's retained message */
    if (inspect_full(visit->inspect)) return RETAIN_STOP_BEFORE;
    if (!inspect_passes_over(visit->inspect)) message_show(visit->broker, visit->inspect, message, false);
    return RETAIN_NEXT;
}

enum inspect_slice inspect_retained_slice(struct broker_shard *broker, struct inspect *inspect, uint32_t budget)
{
    struct retained_visit visit = {broker, inspect};
    if (!inspect->cursor) inspect->cursor = retain_scan_begin(inspect->client_id);
    bool more = retain_scan_next(broker->retained, inspect->cursor, budget, retained_visit, &visit);
    if (!more) inspect->status = INSPECT_DONE;
    return !more || inspect_full(inspect) ? INSPECT_SLICE_FULL : INSPECT_SLICE_GOES_ON;
}

/* ---- one message ------------------------------------------------------------------------------------------------ */

static enum inspect_status publish(struct broker_shard *broker, struct inspect *inspect)
{
    if (broker->stopping) return INSPECT_STOPPED;
    uint32_t ceiling_s = broker->settings->mqtt.message_expiry_max_s, expiry_s = inspect->expiry_s;
    if (ceiling_s && (expiry_s == 0 || ceiling_s < expiry_s)) expiry_s = ceiling_s;
    enum durable_keeps keeps = !inspect->retain ? DURABLE_KEEPS_NOT : inspect->payload.bytes ? DURABLE_KEEPS : DURABLE_CLEARS;
    if (UNLIKELY(durable_shut(broker)) && durable_turns_away(broker, NULL, inspect->client_id, (uint8_t)inspect->qos, keeps)) {
        inspect->reason = MQTT_REASON_QUOTA_EXCEEDED;
        return INSPECT_DONE;
    }
    struct publication publication = {.topic = inspect->client_id, .payload = inspect->payload, .properties = inspect->properties,
                                      .qos = (uint8_t)inspect->qos, .retain = inspect->retain,
                                      .publisher_hash = hash_span(inspect->client_id),
                                      .level = broker->durable ? durable_level(broker, inspect->client_id) : DURABILITY_COMMIT,
                                      .expires_ms = expiry_s ? broker->shard->now_ms + expiry_s * 1000ull : 0};
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_published(broker, &publication, 0);
    bool wanted = publication_publish(broker, &publication);
    publication_end(broker->shard, &publication);
    inspect->reason = wanted ? MQTT_REASON_SUCCESS : MQTT_REASON_NO_MATCHING_SUBSCRIBERS;
    return INSPECT_DONE;
}

static void fetched(struct broker_shard *broker, void *context, struct message *message)
{
    message_show(broker, context, message, true);
    message_unref(broker->shard, message);
}

static void fetch_done(struct broker_shard *broker, void *context, uint32_t lost)
{
    struct inspect *inspect = context;
    inspect->status = inspect->rows_count ? INSPECT_DONE : lost ? INSPECT_UNREADABLE : INSPECT_NOT_FOUND;
    inspect_elsewhere_done(broker, inspect);
}

enum inspect_slice inspect_retained_one(struct broker_shard *broker, struct inspect *inspect)
{
    struct message *message = retain_get(broker->retained, inspect->client_id);
    bool found = message && (message->expires_ms == 0 || message->expires_ms > broker->shard->now_ms);
    bool small = found && message_payload_size(message) <= inspect->payload_bytes_max;
    inspect->status = found ? INSPECT_DONE : INSPECT_NOT_FOUND;
    if (!found) return INSPECT_SLICE_FULL;
    if (!small || !message->shelved) {
        message_show(broker, inspect, message, small);
        return INSPECT_SLICE_FULL;
    }
    inspect_elsewhere(broker, inspect);
    struct retained_fetch *fetch = retained_fetch_begin(broker, fetched, fetch_done, inspect, true);
    CHECK(retained_fetch_add(broker, fetch, message));
    retained_fetch_send(broker, fetch);
    return INSPECT_SLICE_ELSEWHERE;
}

enum inspect_status inspect_message_answer(struct broker_shard *broker, struct inspect *inspect)
{
    switch (inspect->kind) {
    case INSPECT_PUBLISH: return publish(broker, inspect);
    case INSPECT_RETAINED_DELETE:
        if (delayed_is(inspect->client_id)) return delayed_remove(broker, inspect->client_id) ? INSPECT_DONE : INSPECT_NOT_FOUND;
        return retained_remove(broker, inspect->client_id) ? INSPECT_DONE : INSPECT_NOT_FOUND;
    default: break;
    }
    UNREACHABLE("not a question about one message");
}
