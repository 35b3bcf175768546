/* api_extras.c - what the broker's extras have for administrators: topic metrics (seen, registered, reset) and slow subscribers. */
#include <stdio.h>

#include "admin/api.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/extras.h"
#include "broker/watch/topic_metrics_text.h"

/* ---- topic metrics -------------------------------------------------------------------------------- */

static void topic_metrics_add(void *context, const struct topic_metrics_row *row)
{
    json_t *metrics = json_object();
    for (int metric = 0; metric < METRICS_COUNT; metric++)
        json_object_set_new(metrics, topic_metric_names[metric], json_integer((json_int_t)row->counts[metric]));
    json_array_append_new(context, json_pack("{s:o, s:o, s:f, s:f, s:f}", "topic", api_string(row->name), "metrics", metrics, "in_rate", row->in_rate, "out_rate",
                                             row->out_rate, "dropped_rate", row->dropped_rate));
}

struct extras_look {
    struct broker *broker;
    json_t *data;
    bool on;
};

/* A reload replaces the extras: on the control thread it cannot happen meanwhile. */
static void topic_metrics_look(const struct admin_control *control, void *argument)
{
    (void)control;
    struct extras_look *look = argument;
    const struct extras *extras = look->broker->extras;
    look->on = extras && extras->metrics;
    if (look->on) topic_metrics_list(extras->metrics, topic_metrics_add, look->data);
}

void api_list_topic_metrics(struct api_call *call)
{
    struct extras_look look = {.broker = admin_broker(call->admin), .data = json_array()};
    if (!admin_on_control(call->admin, topic_metrics_look, &look)) {
        json_decref(look.data);
        return api_error(call, 503, "STOPPING", "the broker stops");
    }
    if (look.on) return api_reply(call, json_pack("{s:o}", "data", look.data));
    json_decref(look.data);
    api_error(call, 404, "NOT_FOUND", "no topic is registered; set topic_metrics.topics (docs/extras.md)");
}

/* The name in the body or the path. JSON may have a NUL in it, which no topic has: topic_metrics_text_with() sees it. */
static struct span topic_asked(const struct api_call *call)
{
    const json_t *topic = json_object_get(call->body, "topic");
    return span_of(json_string_value(topic), json_string_length(topic));
}

static void *topic_metrics_refused(struct api_refusal *ret_refusal, enum topic_metrics_verdict verdict, struct span name)
{
    int shown = name.bytes < 100 ? (int)name.bytes : 100;
    *ret_refusal = (struct api_refusal){.status = verdict == TOPIC_METRICS_WRONG ? 400 : verdict == TOPIC_METRICS_UNKNOWN ? 404 : verdict == TOPIC_METRICS_THERE ? 409 : 429,
                                        .code = verdict == TOPIC_METRICS_WRONG     ? "BAD_REQUEST"
                                                : verdict == TOPIC_METRICS_UNKNOWN ? "NOT_FOUND"
                                                : verdict == TOPIC_METRICS_THERE   ? "CONFLICT"
                                                                                   : "EXCEED_LIMIT"};
    static const char *const says[] = {
        [TOPIC_METRICS_WRONG] = "that is neither a topic nor a filter, begins with $share/, or has double quotes beside blanks",
        [TOPIC_METRICS_UNKNOWN] = "it is not registered",
        [TOPIC_METRICS_THERE] = "it is registered already",
        [TOPIC_METRICS_FULL] = "512 topics and filters are registered, remove one first",
        [TOPIC_METRICS_FILTERS_FULL] = "32 filters with wildcards are registered, remove one first",
    };
    snprintf(ret_refusal->message, sizeof ret_refusal->message, "topic %.*s: %s", shown, (const char *)name.data, says[verdict]);
    return NULL;
}
_Static_assert(TOPIC_METRICS_MAX == 512 && TOPIC_METRICS_FILTERS_MAX == 32, "the sentences above");

static struct span topics_now(const struct settings *settings) { return span_of_string(settings->topic_metrics_topics ? settings->topic_metrics_topics : ""); }

static char *topic_with(const struct settings *settings, const void *context, struct api_refusal *ret_refusal)
{
    const struct span *name = context;
    enum topic_metrics_verdict verdict;
    char *text = topic_metrics_text_with(topics_now(settings), *name, &verdict);
    return text ? text : topic_metrics_refused(ret_refusal, verdict, *name);
}

static char *topic_without(const struct settings *settings, const void *context, struct api_refusal *ret_refusal)
{
    const struct span *name = context;
    enum topic_metrics_verdict verdict;
    char *text = topic_metrics_text_without(topics_now(settings), *name, &verdict);
    return text ? text : topic_metrics_refused(ret_refusal, verdict, *name);
}

/* The row of `topic` as the list has it; NULL: there is none. */
static json_t *topic_metrics_find(json_t *rows, struct span topic)
{
    json_t *row, *found = NULL, *wanted = api_string(topic);
    size_t i;
    json_array_foreach(rows, i, row)
        if (json_equal(json_object_get(row, "topic"), wanted)) found = json_incref(row);
    json_decref(wanted);
    return found;
}

void api_add_topic_metrics(struct api_call *call)
{
    struct span topic = topic_asked(call);
    struct extras_look look = {.broker = admin_broker(call->admin)};
    if (!api_config_make_set(call, "topic_metrics.topics", topic_with, &topic)) return;
    look.data = json_array();
    bool looked = admin_on_control(call->admin, topic_metrics_look, &look);
    json_t *row = looked ? topic_metrics_find(look.data, topic) : NULL;
    json_decref(look.data);
    if (row)
        api_reply(call, row);
    else if (looked)
        api_error(call, 404, "NOT_FOUND", "it was registered, and somebody has removed it since");
    else
        api_error(call, 503, "STOPPING", "the broker stops");
}

void api_remove_topic_metrics(struct api_call *call)
{
    struct span topic = span_of_string(api_text(call, "topic"));
    if (api_config_make_set(call, "topic_metrics.topics", topic_without, &topic)) api_done(call);
}

struct reset_job {
    struct broker *broker;
    struct span topic; /* empty: all */
    bool on, found;
};

static void topic_metrics_reset_job(const struct admin_control *control, void *argument)
{
    (void)control;
    struct reset_job *job = argument;
    job->on = job->broker->extras && job->broker->extras->metrics;
    job->found = job->on && topic_metrics_reset(job->broker->extras->metrics, job->topic);
}

void api_reset_topic_metrics(struct api_call *call)
{
    struct reset_job job = {.broker = admin_broker(call->admin), .topic = topic_asked(call)};
    if (!admin_on_control(call->admin, topic_metrics_reset_job, &job)) return api_error(call, 503, "STOPPING", "the broker stops");
    if (job.found) return api_done(call);
    if (!job.on) return api_error(call, 404, "NOT_FOUND", "no topic is registered; set topic_metrics.topics (docs/extras.md)");
    struct api_refusal refusal;
    topic_metrics_refused(&refusal, TOPIC_METRICS_UNKNOWN, job.topic);
    api_error(call, refusal.status, refusal.code, "%s", refusal.message);
}

/* ---- slow subscribers ---------------------------------------------------------------------------------------------- */

static void slow_sub_add(void *context, const struct slow_sub *entry)
{
    json_array_append_new(context, json_pack("{s:o, s:o, s:I, s:o}", "clientid", api_string_of(entry->client_id, entry->client_id_bytes), "topic",
                                             api_string_of(entry->topic, entry->topic_bytes), "timespan", (json_int_t)entry->latency_ms, "last_update_time",
                                             api_time(entry->at_ms)));
}

static void slow_subs_look(const struct admin_control *control, void *argument)
{
    (void)control;
    struct extras_look *look = argument;
    look->on = look->broker->extras && look->broker->extras->bits & EXTRA_SLOW_SUBS;
}

/* False: answered. */
static bool slow_subs_on(struct api_call *call)
{
    struct extras_look look = {.broker = admin_broker(call->admin)};
    if (!admin_on_control(call->admin, slow_subs_look, &look)) {
        api_error(call, 503, "STOPPING", "the broker stops");
        return false;
    }
    if (!look.on) api_error(call, 404, "NOT_FOUND", "nobody looks for slow subscribers; set slow_subs.enable = true (docs/extras.md)");
    return look.on;
}

void api_list_slow_subscriptions(struct api_call *call)
{
    if (!slow_subs_on(call)) return;
    json_t *data = json_array();
    slow_subs_list(admin_broker(call->admin), slow_sub_add, data);
    api_reply(call, json_pack("{s:o}", "data", data));
}

void api_clear_slow_subscriptions(struct api_call *call)
{
    if (!slow_subs_on(call)) return;
    slow_subs_clear(admin_broker(call->admin));
    api_done(call);
}
