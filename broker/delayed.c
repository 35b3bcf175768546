#include "broker/delayed.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"

#define PREFIX       SPAN_LITERAL("$delayed/")
#define NAME_PREFIX  DELAYED_NAME_PREFIX
#define NAME_BYTES   64 /* more than NAME_PREFIX, due time and number take */

struct delayed {
    struct timer timer;
    struct list link;
    uint32_t name_bytes;
    char name[];
};

static uint64_t unix_ms(const struct broker_shard *broker)
{
    return broker->shard->group->verbs->realtime_ns(broker->shard->ring) / 1000000;
}

/* ---- the publisher's side --------------------------------------------------------------------------------------- */

static enum mqtt_reason refuse(struct broker_shard *broker, const struct session *session, struct span topic, enum mqtt_reason reason,
                               const char *what)
{
    COUNT(broker, delayed_refused);
    drop_note(broker, DROP_delayed_refused, session, topic, 1);
    LOG_LIMITED(WARN, 1000, "message refused", "reason=%s client=%s topic=%s", what, log_quoted(session_client_id(session)), log_quoted(topic));
    return reason;
}

const char *delayed_parse(const struct delayed_settings *settings, struct span *topic, uint32_t *ret_delay_s)
{
    if (!span_starts_with(*topic, PREFIX)) return NULL;
    struct span rest = span_skip(*topic, PREFIX.bytes);
    uint64_t seconds = 0;
    size_t digits = 0;
    for (; digits < rest.bytes && digits < 10 && rest.data[digits] >= '0' && rest.data[digits] <= '9'; digits++)
        seconds = seconds * 10 + (uint64_t)(rest.data[digits] - '0');
    if (digits == 0 || digits + 1 >= rest.bytes || rest.data[digits] != '/' || span_starts_with(span_skip(rest, digits + 1), PREFIX)) return "not_a_delayed_topic";
    if (seconds > settings->delay_max_s) return "delay_too_long";
    *ret_delay_s = (uint32_t)seconds;
    *topic = span_skip(rest, digits + 1);
    return NULL;
}

enum mqtt_reason delayed_split(struct broker_shard *broker, const struct session *session, struct span *topic, uint32_t *ret_delay_s)
{
    if (LIKELY(topic->bytes == 0 || topic->data[0] != '$')) return MQTT_REASON_SUCCESS;
    const char *wrong = delayed_parse(&broker->settings->delayed, topic, ret_delay_s);
    return wrong ? refuse(broker, session, *topic, MQTT_REASON_TOPIC_NAME_INVALID, wrong) : MQTT_REASON_SUCCESS;
}

/* publish_handle() counts the reasons of what is refused before that. */
static enum mqtt_reason refuse_kept(struct broker_shard *broker, const struct publication *publication, enum mqtt_reason reason, const char *what)
{
    reasons_add(&broker->reasons, REASONS_publish, (uint8_t)reason);
    return refuse(broker, publication->publisher, publication->topic, reason, what);
}

enum mqtt_reason delayed_keep(struct broker_shard *broker, struct publication *publication, uint32_t delay_s)
{
    uint32_t limit = broker->settings->delayed.messages_max;
    if (limit && atomic_load_explicit(&broker->broker->delayed_count, memory_order_relaxed) >= limit)
        return refuse_kept(broker, publication, MQTT_REASON_QUOTA_EXCEEDED, "too_many_delayed");
    if (publication->topic.bytes + NAME_BYTES > MQTT_STRING_BYTES_MAX)
        return refuse_kept(broker, publication, MQTT_REASON_TOPIC_NAME_INVALID, "topic_too_long");
    char *name = memory_acquire(NAME_BYTES + publication->topic.bytes);
    int bytes = snprintf(name, NAME_BYTES, NAME_PREFIX "%" PRIu64 "/%016" PRIx64 "/", unix_ms(broker) + delay_s * (uint64_t)1000,
                         random_next(&broker->shard->random));
    memcpy(name + bytes, publication->topic.data, publication->topic.bytes);
    publication->topic = span_of(name, (size_t)bytes + publication->topic.bytes);
    atomic_fetch_add_explicit(&broker->broker->delayed_count, 1, memory_order_relaxed);
    COUNT(broker, delayed_taken);
    retained_store(broker, publication);
    publication->topic.bytes = 0; /* the message, if one was made, has a copy */
    memory_release(name);
    return MQTT_REASON_SUCCESS;
}

/* ---- the owner's side ------------------------------------------------------------------------------------------- */

/* DUE and TOPIC of a name. */
static uint64_t name_due_ms(struct span name, struct span *ret_topic)
{
    struct span rest = span_skip(name, sizeof NAME_PREFIX - 1);
    uint64_t due_ms = 0;
    for (; rest.bytes && rest.data[0] != '/'; rest = span_skip(rest, 1))
        due_ms = due_ms * 10 + (uint64_t)(rest.data[0] - '0');
    *ret_topic = rest.bytes > 18 ? span_skip(rest, 18) : span_of(NULL, 0); /* "/", 16 digits, "/" */
    return due_ms;
}

uint64_t delayed_name_parse(struct span name, struct span *ret_topic, char ret_id[DELAYED_ID_BYTES])
{
    uint64_t due_ms = name_due_ms(name, ret_topic);
    snprintf(ret_id, DELAYED_ID_BYTES, "%" PRIu64 "-%.*s", due_ms, ret_topic->data ? 16 : 0, ret_topic->data ? (const char *)ret_topic->data - 17 : "");
    return due_ms;
}

bool delayed_remove(struct broker_shard *broker, struct span name)
{
    struct message *message = retained_get(broker, name);
    if (!message) return false;
    retained_drop(broker, name);
    message_unref(broker->shard, message);
    broker->delayed_removed++;
    delayed_lost(broker);
    return true;
}

static void release(struct broker_shard *broker, struct delayed *delayed)
{
    wheel_stop(&broker->shard->wheel, &delayed->timer);
    list_remove(&delayed->link);
    memory_release(delayed);
}

static void publish(struct broker_shard *broker, struct message *message, struct span topic)
{
    struct publication publication = {.topic = topic,
                                      .properties = message_properties(message),
                                      .payload = message_payload(message),
                                      .expires_ms = message->expires_ms,
                                      .qos = message->qos,
                                      .retain = message->retain};
    if (broker->durable) publication.level = durable_level(broker, topic);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_published(broker, &publication, 0);
    publication_publish(broker, &publication);
    publication_end(broker->shard, &publication);
    COUNT(broker, delayed_published);
}

#define WAIT_MS 1000 /* and up to as long again, so that not all look at once */

/* While nothing more may go into the logs it stays where it is: it was acknowledged, and has its place. */
static bool waits_on(struct broker_shard *broker, const struct message *message, struct span topic)
{
    enum durable_keeps keeps = message->retain ? DURABLE_KEEPS : DURABLE_KEEPS_NOT;
    if (LIKELY(!durable_shut(broker)) || !durable_would_keep(broker, topic, message->qos, keeps)) return false;
    LOG_LIMITED(WARN, 1000, "delayed message waits on", "reason=%s topic=%s", broker->durable_doors & DURABLE_STUCK ? "disk" : "store_full", log_quoted(topic));
    return true;
}

static void due(struct timer *timer, void *context)
{
    struct delayed *delayed = CONTAINER_OF(timer, struct delayed, timer);
    struct broker_shard *broker = broker_of(context);
    if (UNLIKELY(broker->durable && broker->durable->restoring)) return shard_start_timer(broker->shard, timer, 1);
    struct span name = span_of(delayed->name, delayed->name_bytes), topic;
    name_due_ms(name, &topic);
    struct message *message = retained_get(broker, name); /* ours to release */
    if (message) {
        bool expired = message->expires_ms && message->expires_ms <= broker->shard->now_ms;
        if (!expired && waits_on(broker, message, topic)) {
            message_unref(broker->shard, message);
            return shard_start_timer(broker->shard, timer, WAIT_MS + random_next(&broker->shard->random) % WAIT_MS);
        }
        if (expired) {
            COUNT(broker, dropped_expired);
            drop_note(broker, DROP_expired, NULL, topic, 1);
        } else {
            publish(broker, message, topic);
        }
        retained_drop(broker, name);
        message_unref(broker->shard, message);
    }
    if (!message && broker->delayed_removed) /* not counted any more since it was removed */
        broker->delayed_removed--;
    else
        delayed_lost(broker);
    release(broker, delayed);
}

void delayed_kept(struct broker_shard *broker, struct span name)
{
    struct span topic;
    struct delayed *delayed = memory_acquire(sizeof *delayed + name.bytes);
    *delayed = (struct delayed){.name_bytes = (uint32_t)name.bytes};
    memcpy(delayed->name, name.data, name.bytes);
    timer_init(&delayed->timer, due);
    list_append(&broker->delayed, &delayed->link);
    uint64_t due_ms = name_due_ms(name, &topic), now_ms = unix_ms(broker);
    shard_start_timer(broker->shard, &delayed->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

void delayed_lost(struct broker_shard *broker) { atomic_fetch_sub_explicit(&broker->broker->delayed_count, 1, memory_order_relaxed); }

void delayed_start(struct broker_shard *broker) { list_init(&broker->delayed); }

void delayed_stop(struct broker_shard *broker)
{
    while (!list_empty(&broker->delayed))
        release(broker, CONTAINER_OF(broker->delayed.next, struct delayed, link));
}
