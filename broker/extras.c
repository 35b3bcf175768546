#include "broker/extras.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"

/* ---- making ----------------------------------------------------------------------------------------------------- */

static struct span text_of(const char *text) { return span_of_string(text ? text : ""); }

/* Each maker: NULL with a sentence is an error, NULL without one is nothing to do. */
static bool make_all(struct extras *extras, const struct settings *settings, uint32_t shards_count, char *ret_error, size_t error_bytes)
{
    uint32_t actions = 0;
    bool user_names = false;
    *ret_error = 0;
    extras->rewrite = rewrite_create(text_of(settings->rewrite_rules), &actions, &user_names, ret_error, error_bytes);
    if (*ret_error) return false;
    extras->auto_subscribe = auto_subscribe_create(text_of(settings->auto_subscribe_topics), &user_names, ret_error, error_bytes);
    if (*ret_error) return false;
    extras->metrics = topic_metrics_create(text_of(settings->topic_metrics_topics), shards_count, ret_error, error_bytes);
    if (*ret_error) return false;
    extras->max_qos = max_qos_create(text_of(settings->mqtt.max_qos_rules), ret_error, error_bytes);
    if (*ret_error) return false;
    extras->share_strategies = share_strategies_create(text_of(settings->mqtt.share_group_strategies), ret_error, error_bytes);
    if (*ret_error) return false;
    extras->bits = (actions & REWRITE_PUBLISH ? EXTRA_REWRITE_PUBLISH : 0) | (actions & REWRITE_SUBSCRIBE ? EXTRA_REWRITE_SUBSCRIBE : 0) |
                   (settings->delayed.enable ? EXTRA_DELAYED : 0) | (extras->metrics ? EXTRA_METRICS : 0) |
                   (settings->mqtt.exclusive_subscription ? EXTRA_EXCLUSIVE : 0) | (extras->max_qos ? EXTRA_MAX_QOS : 0) |
                   (extras->auto_subscribe ? EXTRA_AUTO_SUBSCRIBE : 0) | (settings->slow_subs.enable ? EXTRA_SLOW_SUBS : 0) |
                   (user_names ? EXTRA_USER_NAMES : 0);
    return true;
}

struct extras *extras_create(const struct settings *settings, uint32_t shards_count, char *ret_error, size_t error_bytes)
{
    struct extras *extras = memory_acquire_zeroed(sizeof *extras);
    if (make_all(extras, settings, shards_count, ret_error, error_bytes)) return extras;
    extras_release(extras);
    return NULL;
}

void extras_release(struct extras *extras)
{
    if (!extras) return;
    rewrite_release(extras->rewrite);
    auto_subscribe_release(extras->auto_subscribe);
    topic_metrics_release(extras->metrics);
    topic_rules_release(extras->max_qos);
    topic_rules_release(extras->share_strategies);
    memory_release(extras);
}

bool extras_check(const struct settings *settings, char *ret_error, size_t error_bytes)
{
    struct extras *extras = extras_create(settings, 1, ret_error, error_bytes);
    extras_release(extras);
    return extras != NULL;
}

struct extras *extras_change(struct broker *broker, const struct settings *settings)
{
    char error[512];
    struct extras *before = broker->extras;
    broker->extras = extras_create(settings, broker->shards_count, error, sizeof error);
    CHECK(broker->extras != NULL);
    topic_metrics_take_marks(broker->extras->metrics, before ? before->metrics : NULL);
    return before;
}

static void metrics_tick(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    if (!broker->extras->metrics || broker->stopping) return;
    topic_metrics_tick(broker->extras->metrics, broker->shard->now_ms);
    shard_start_timer(broker->shard, timer, TOPIC_METRICS_TICK_MS);
}

void extras_start(struct broker_shard *broker)
{
    timer_init(&broker->metrics_timer, metrics_tick);
    slow_subs_init(&broker->slow_subs);
    extras_take(broker);
}

void extras_take(struct broker_shard *broker)
{
    const struct extras *before = broker->extras;
    broker->extras = broker->broker->extras;
    broker->extras_bits = broker->extras->bits;
    if (broker->trace) trace_bits(broker);
    if (broker->extras->rewrite && !broker->rewrite_scratch) broker->rewrite_scratch = rewrite_scratch_create();
    topic_metrics_take(broker->extras->metrics, before ? before->metrics : NULL, broker->shard->number);
    /* One that runs goes on: changes that come fast would hold it up for ever. */
    if (broker->shard->number == 0 && broker->extras->metrics && !timer_running(&broker->metrics_timer))
        shard_start_timer(broker->shard, &broker->metrics_timer, 0);
}

void extras_finish(struct broker_shard *broker)
{
    wheel_stop(&broker->shard->wheel, &broker->metrics_timer);
    rewrite_scratch_release(broker->rewrite_scratch);
    slow_subs_release(&broker->slow_subs);
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

struct span extras_user_name(const struct session *session)
{
    return session->rare && session->rare->user_name ? span_of(session->rare->user_name, session->rare->user_name_bytes) : span_of(NULL, 0);
}

void extras_user_name_set(struct broker_shard *broker, struct session *session, struct span user_name)
{
    bool wanted = (broker->extras_bits & EXTRA_USER_NAMES) && user_name.bytes;
    if (!wanted && !(session->rare && session->rare->user_name)) return;
    struct session_rare *rare = session_rare(session);
    memory_release(rare->user_name);
    rare->user_name = NULL;
    rare->user_name_bytes = 0;
    if (!wanted) return;
    rare->user_name = memory_acquire(user_name.bytes);
    memcpy(rare->user_name, user_name.data, user_name.bytes);
    rare->user_name_bytes = (uint16_t)user_name.bytes;
}

/* ---- topics ----------------------------------------------------------------------------------------------------- */

static enum mqtt_reason rewrite(struct broker_shard *broker, const struct session *session, const struct client_names *names, enum rewrite_action action, struct span *topic)
{
    struct span before = *topic;
    enum rewrite_verdict verdict = rewrite_apply(broker->extras->rewrite, broker->rewrite_scratch, action, names, broker->settings->mqtt.topic_levels_max, topic);
    uint32_t exhausted = rewrite_exhausted(broker->rewrite_scratch);
    if (UNLIKELY(exhausted)) COUNT_BY(broker, rewrites_too_expensive, exhausted);
    switch (verdict) {
    case REWRITE_NONE: return MQTT_REASON_SUCCESS;
    case REWRITE_DONE:
        COUNT(broker, topics_rewritten);
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE))
            trace_topic(broker, TRACE_EVENT_rewritten, session, *topic, &(struct trace_facts){.text = before, .numbers = {action == REWRITE_PUBLISH}});
        return MQTT_REASON_SUCCESS;
    case REWRITE_FAILED: break;
    }
    COUNT(broker, rewrites_failed);
    drop_note(broker, DROP_rewrite_failed, session, *topic, 1);
    LOG_LIMITED(WARN, 1000, "topic not rewritten", "reason=no_topic_comes_out client=%s topic=%s", log_quoted(session_client_id(session)),
                log_quoted(*topic));
    return action == REWRITE_PUBLISH ? MQTT_REASON_TOPIC_NAME_INVALID : MQTT_REASON_TOPIC_FILTER_INVALID;
}

enum mqtt_reason extras_rewrite_topic(struct broker_shard *broker, const struct session *session, struct span *topic)
{
    struct client_names names = client_names_of(session);
    return rewrite(broker, session, &names, REWRITE_PUBLISH, topic);
}

void extras_rewrite_will(struct broker_shard *broker, const struct session *session, const struct client_names *names, bool told, struct span *topic)
{
    if (told) {
        rewrite(broker, session, names, REWRITE_PUBLISH, topic);
        return;
    }
    rewrite_apply(broker->extras->rewrite, broker->rewrite_scratch, REWRITE_PUBLISH, names, broker->settings->mqtt.topic_levels_max, topic);
    rewrite_exhausted(broker->rewrite_scratch); /* counted when it is told */
}

#define EXCLUSIVE SPAN_LITERAL("$exclusive/")

bool extras_exclusive(const struct broker_shard *broker, struct mqtt_subscription *subscription)
{
    struct span *filter = &subscription->filter;
    if (!(broker->extras_bits & EXTRA_EXCLUSIVE) || !span_starts_with(*filter, EXCLUSIVE)) return false;
    *filter = span_skip(*filter, EXCLUSIVE.bytes);
    return true;
}

enum mqtt_reason extras_filter(struct broker_shard *broker, const struct session *session, struct mqtt_subscription *subscription,
                               bool *ret_exclusive)
{
    struct span *filter = &subscription->filter;
    *ret_exclusive = extras_exclusive(broker, subscription);
    if (*ret_exclusive && (filter->bytes == 0 || subscription->share_group.bytes)) return MQTT_REASON_TOPIC_FILTER_INVALID;
    if (!(broker->extras_bits & EXTRA_REWRITE_SUBSCRIBE)) return MQTT_REASON_SUCCESS;
    struct client_names names = client_names_of(session);
    return rewrite(broker, session, &names, REWRITE_SUBSCRIBE, filter);
}

void extras_count(struct broker_shard *broker, struct span topic, enum topic_metric metric)
{
    topic_metrics_count(broker->extras->metrics, broker->shard->number, topic, metric);
}

/* ---- for $SYS --------------------------------------------------------------------------------------------------- */

static void json_text(FILE *out, const char *text, size_t bytes)
{
    fputc('"', out);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void metrics_row(void *context, const struct topic_metrics_row *row)
{
    FILE *out = context;
    fputs(ftell(out) > 1 ? ",{\"topic\":" : "{\"topic\":", out);
    json_text(out, (const char *)row->name.data, row->name.bytes);
    for (uint32_t m = 0; m < METRICS_COUNT; m++)
        fprintf(out, ",\"%s\":%" PRIu64, topic_metric_names[m], row->counts[m]);
    fprintf(out, ",\"messages.in.rate\":%.2f,\"messages.out.rate\":%.2f,\"messages.dropped.rate\":%.2f}", row->in_rate, row->out_rate,
            row->dropped_rate);
}

char *extras_metrics_json(const struct extras *extras)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK(out);
    fputc('[', out);
    if (extras->metrics) topic_metrics_list(extras->metrics, metrics_row, out);
    fputc(']', out);
    fclose(out);
    return text;
}

static void slow_row(void *context, const struct slow_sub *entry)
{
    FILE *out = context;
    fputs(ftell(out) > 1 ? ",{\"clientid\":" : "{\"clientid\":", out);
    json_text(out, entry->client_id, entry->client_id_bytes);
    fputs(",\"topic\":", out);
    json_text(out, entry->topic, entry->topic_bytes);
    fprintf(out, ",\"timespan\":%u,\"last_update_time\":%" PRIu64 "}", entry->latency_ms, entry->at_ms);
}

char *extras_slow_subs_json(struct broker *broker)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK(out);
    fputc('[', out);
    slow_subs_list(broker, slow_row, out);
    fputc(']', out);
    fclose(out);
    return text;
}
