/* will.c - the message a client leaves for the case that it vanishes (§3.1.2.5, §3.1.3.2). */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/fanout.h"
#include "broker/mount.h"

/* While nothing more may go into the logs it goes to whom it can, with QoS 0: who is connected hears of it, and what is retained under its topic is not its word from before. */
static void will_not_kept(struct broker_shard *broker, const struct session *session, struct message *message)
{
    struct span topic = message_topic(message), payload = message_payload(message);
    enum durable_keeps keeps = !message->retain ? DURABLE_KEEPS_NOT : payload.bytes ? DURABLE_KEEPS : DURABLE_CLEARS;
    if (!durable_would_keep(broker, topic, message->qos, keeps)) return;
    COUNT(broker, durable_refused);
    drop_note(broker, DROP_disk, session, topic, 1);
    LOG_LIMITED(WARN, 1000, "will not kept", "reason=%s client=%s topic=%s what=\"it is given out with QoS 0\"", broker->durable_doors & DURABLE_STUCK ? "disk" : "store_full",
                log_quoted(session_client_id(session)), log_quoted(topic));
    message->qos = 0;
}

static void will_publish(struct broker_shard *broker, struct session *session)
{
    struct message *message = session_will(session)->message;
    if (UNLIKELY(durable_shut(broker))) will_not_kept(broker, session, message);
    struct publication publication = publication_of(message);
    fanout_finish(broker); /* of a message that it may have sent before */
    publication.publisher = session;
    publication.publisher_hash = session->client_hash;
    publication.publisher_conn = 0;
    /* Until now its expiry was an interval (will_set): the life of a will begins when it is published, and has the ceiling of other messages. */
    uint64_t ceiling_ms = broker->settings->mqtt.message_expiry_max_s * 1000ull;
    if (ceiling_ms && (message->expires_ms == 0 || message->expires_ms > ceiling_ms)) message->expires_ms = ceiling_ms;
    if (message->expires_ms) publication.expires_ms = message->expires_ms += broker->shard->now_ms;
    LOG(INFO, "will published", "client=%s topic=%s", log_quoted(session_client_id(session)),
        log_quoted(publication.topic));
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_published(broker, &publication, 0);
    publication_publish(broker, &publication);
    publication_end(broker->shard, &publication);
    COUNT(broker, wills_published);
    will_forget(broker, session);
}

static void will_delay_over(struct timer *timer, void *context)
{
    struct session_will *will = CONTAINER_OF(timer, struct session_will, timer);
    struct broker_shard *broker = broker_of(context);
    if (UNLIKELY(broker->durable && broker->durable->restoring)) return shard_start_timer(broker->shard, timer, 1);
    will_publish(broker, will->session);
}

struct span will_topic(struct broker_shard *broker, const struct session *session, const struct client_names *names, struct span topic, bool told)
{
    struct span made = topic;
    /* One that cannot be rewritten keeps its name: the client is in already, and the log says so. */
    if (UNLIKELY(broker->extras_bits & EXTRA_REWRITE_PUBLISH)) extras_rewrite_will(broker, session, names, told, &made);
    struct span mounted = mount_topic(broker, session, made);
    return mounted.bytes ? mounted : mount_topic(broker, session, topic);
}

void will_set(struct broker_shard *broker, struct session *session, const struct mqtt_will *will)
{
    DCHECK(!session_will(session));
    const struct mqtt_properties *properties = &will->properties;
    size_t forward_bytes = mqtt_properties_forward_bytes(properties->raw);
    uint8_t *forward = memory_acquire(forward_bytes);
    if (forward_bytes) mqtt_properties_forward(forward, properties->raw);
    struct client_names names = client_names_of(session);
    struct publication publication = {.topic = will_topic(broker, session, &names, will->topic, true),
                                      .payload = will->payload,
                                      .properties = span_of(forward, forward_bytes),
                                      .qos = will->qos,
                                      .retain = will->retain};
    struct session_will *made = session_rare(session)->will = memory_acquire(sizeof *made);
    *made = (struct session_will){
        .message = message_ref(publication_message(broker->shard, &publication)),
        .delay_s = mqtt_has(properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL) ? properties->will_delay_s : 0,
        .session = session};
    /* The message's life begins when it is published: until then its expiry is an interval, kept in the same field. */
    if (mqtt_has(properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
        made->message->expires_ms = (uint64_t)properties->message_expiry_s * 1000 + 1;
    timer_init(&made->timer, will_delay_over);
    publication_end(broker->shard, &publication);
    memory_release(forward);
}

void will_forget(struct broker_shard *broker, struct session *session)
{
    struct session_will *will = session_will(session);
    if (!will) return;
    if (session->durable) durable_will_clear(broker, session);
    wheel_stop(&broker->shard->wheel, &will->timer);
    message_unref(broker->shard, will->message);
    memory_release(will);
    session->rare->will = NULL;
}

void will_restore(struct broker_shard *broker, struct session *session, const struct stored_will *will)
{
    struct publication publication = {.topic = will->message.topic, .properties = will->message.properties,
                                      .payload = will->message.payload, .qos = will->message.qos, .retain = will->message.retain};
    struct session_will *made = session_rare(session)->will = memory_acquire(sizeof *made);
    *made = (struct session_will){.message = message_ref(publication_message(broker->shard, &publication)),
                                  .delay_s = will->delay_s, .session = session};
    made->message->expires_ms = will->message.expires_ms; /* an interval, see will_set() */
    timer_init(&made->timer, will_delay_over);
    publication_end(broker->shard, &publication);
}

/* The earlier of delay and session expiry: a session that ends publishes it at once (session_destroy calls with
 * after_delay = false). */
void will_due(struct broker_shard *broker, struct session *session, bool after_delay)
{
    struct session_will *will = session_will(session);
    if (!will) return;
    bool later = after_delay && will->delay_s && session->expiry_s != 0;
    if (!later) return will_publish(broker, session);
    shard_start_timer(broker->shard, &will->timer, (uint64_t)will->delay_s * 1000);
}
