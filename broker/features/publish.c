/* publish.c - messages that features publish. They are copied and wait for the turn's end: in the middle of a fan-out, where deliver() is called, no
 * other may begin. When subscribers cannot keep up, the rest waits for as long as a publisher would be paused. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"
#include "proto/topic.h"

struct pending {
    struct list link;
    struct session *from; /* NULL: no sink's, or it has gone */
    uint64_t expires_ms;
    uint32_t topic_bytes, properties_bytes, payload_bytes;
    uint8_t qos, hops;
    bool retain;
    uint8_t text[];
};

static void pending_release(struct features_shard *shard, struct pending *pending)
{
    list_remove(&pending->link);
    shard->publishes_count--;
    memory_release(pending);
}

static uint64_t expires_ms(const struct broker_shard *broker, uint32_t expiry_s)
{
    uint32_t ceiling_s = broker->settings->mqtt.message_expiry_max_s;
    if (ceiling_s && (expiry_s == 0 || ceiling_s < expiry_s)) expiry_s = ceiling_s;
    return expiry_s ? broker->shard->now_ms + expiry_s * 1000ull : 0;
}

enum mqtt_reason feature_publish(struct feature_shard *of, const struct feature_sink *from, const struct feature_message *message)
{
    struct broker_shard *broker = of->frame;
    struct features_shard *shard = broker->features;
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    struct mqtt_properties properties;
    if (!mqtt_topic_name_valid(message->topic, mqtt->topic_levels_max) || message->qos > 2) return MQTT_REASON_TOPIC_NAME_INVALID;
    if (mqtt_reason_is_error(mqtt_properties_decode(message->properties, MQTT_IN(PUBLISH), MQTT_FROM_CLIENT, &properties).reason))
        return MQTT_REASON_MALFORMED_PACKET;
    size_t properties_bytes = mqtt_properties_forward_bytes(message->properties);
    if (message->topic.bytes + properties_bytes + message->payload.bytes > MQTT_VARINT_MAX - 16) return MQTT_REASON_PACKET_TOO_LARGE;
    if (shard->publishes_count >= FEATURE_PUBLISHES_MAX) return MQTT_REASON_QUOTA_EXCEEDED;
    uint8_t hops = shard->delivering ? shard->hops + 1 : 0;
    if (hops > FEATURE_HOPS_MAX) {
        COUNT(broker, feature_loops);
        LOG_LIMITED(WARN, 1000, "message of a feature refused", "reason=loop feature=%s topic=%s hops=%u",
                    of->node->frame->parts[of->node->number]->feature->name, log_quoted(message->topic), hops);
        return MQTT_REASON_MESSAGE_RATE_TOO_HIGH;
    }
    struct pending *pending = memory_acquire(sizeof *pending + message->topic.bytes + properties_bytes + message->payload.bytes);
    *pending = (struct pending){.from = from ? features_sink_session(from) : NULL, .expires_ms = expires_ms(broker, message->expiry_s),
                                .topic_bytes = (uint32_t)message->topic.bytes, .properties_bytes = (uint32_t)properties_bytes,
                                .payload_bytes = (uint32_t)message->payload.bytes, .qos = message->qos, .hops = hops, .retain = message->retain};
    memcpy(pending->text, message->topic.data, message->topic.bytes);
    uint8_t *at = mqtt_properties_forward(pending->text + message->topic.bytes, message->properties);
    if (message->payload.bytes) memcpy(at, message->payload.data, message->payload.bytes);
    list_append(&shard->publishes, &pending->link);
    shard->publishes_count++;
    return MQTT_REASON_SUCCESS;
}

/* True: its subscribers cannot keep up. */
static bool publish(struct broker_shard *broker, const struct pending *pending)
{
    struct publication publication = {.topic = span_of(pending->text, pending->topic_bytes),
                                      .properties = span_of(pending->text + pending->topic_bytes, pending->properties_bytes),
                                      .payload = span_of(pending->text + pending->topic_bytes + pending->properties_bytes, pending->payload_bytes),
                                      .expires_ms = pending->expires_ms, .publisher = pending->from,
                                      .publisher_hash = pending->from ? pending->from->client_hash : 0, .qos = pending->qos, .retain = pending->retain};
    enum durable_keeps keeps = !pending->retain ? DURABLE_KEEPS_NOT : pending->payload_bytes ? DURABLE_KEEPS : DURABLE_CLEARS;
    if (UNLIKELY(durable_shut(broker)) && durable_turns_away(broker, NULL, publication.topic, pending->qos, keeps)) return false; /* counted, logged */
    if (broker->durable) publication.level = durable_level(broker, publication.topic);
    broker->features->hops = pending->hops;
    publication_publish(broker, &publication);
    broker->features->hops = 0;
    publication_end(broker->shard, &publication);
    COUNT(broker, feature_publishes);
    return publication.congested;
}

#define PUBLISHES_PER_TURN 256

bool features_publishes_turn(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    if (timer_running(&shard->publish_timer)) return false;
    for (uint32_t i = 0; i < PUBLISHES_PER_TURN && !list_empty(&shard->publishes); i++) {
        struct pending *pending = CONTAINER_OF(shard->publishes.next, struct pending, link);
        bool congested = publish(broker, pending);
        pending_release(shard, pending);
        if (!congested || broker->settings->mqtt.pause_ms == 0) continue;
        shard_start_timer(broker->shard, &shard->publish_timer, broker->settings->mqtt.pause_ms);
        return false;
    }
    return !list_empty(&shard->publishes);
}

void features_publishes_forget(struct broker_shard *broker, const struct session *from)
{
    LIST_FOR_EACH(link, &broker->features->publishes)
    {
        struct pending *pending = CONTAINER_OF(link, struct pending, link);
        if (pending->from == from) pending->from = NULL;
    }
}

static void rested(struct timer *timer, void *context) {} /* the turn goes on with what waits */

void features_publishes_start(struct features_shard *shard)
{
    list_init(&shard->publishes);
    timer_init(&shard->publish_timer, rested);
}

void features_publishes_stop(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    wheel_stop(&broker->shard->wheel, &shard->publish_timer);
    if (shard->publishes_count) LOG(NOTICE, "messages of features not published", "count=%u reason=server_stops", shard->publishes_count);
    while (!list_empty(&shard->publishes))
        pending_release(shard, CONTAINER_OF(shard->publishes.next, struct pending, link));
}
