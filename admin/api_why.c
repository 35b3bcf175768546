/* api_why.c - would a message reach a client, and what decides it (broker/watch/why.h). */
#include <stdio.h>
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/glob.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "broker/watch/why.h"
#include "proto/topic.h"

static const char *const results[] = {"pass", "note", "perhaps", "later", "stop"};

struct why {
    struct api_call *call;
    const char *client_id, *from, *topic;
    json_t *steps, *subscriptions, *delivery;
    char *final_topic; /* what the topic has become; NULL: it goes no further */
    enum why_result worst;
    const char *decided_by; /* the step that has made it so bad; and what it says: */
    char sentence[1200];
};

static void step(struct why *why, const char *name, enum why_result result, struct span text)
{
    json_array_append_new(why->steps, json_pack("{s:s, s:s, s:o}", "step", name, "result", results[result], "text", api_string(text)));
    if (result <= why->worst || result == WHY_NOTE) return;
    why->worst = result;
    why->decided_by = name;
    snprintf(why->sentence, sizeof why->sentence, "%.*s", (int)(text.bytes < 1100 ? text.bytes : 1100), (const char *)text.data);
}

static void step_text(struct why *why, enum why_step name, enum why_result result, const char *text) { step(why, why_step_names[name], result, span_of_string(text)); }

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static json_t *subscription_json(const struct why_row *row)
{
    json_t *share = row->group_bytes ? api_string_of(row->text + row->text_bytes, row->group_bytes) : json_null();
    return json_pack("{s:o, s:o, s:i, s:b, s:b, s:o, s:b}", "filter", api_string_of(row->text, row->text_bytes), "share", share, "qos", row->qos, "no_local", row->no_local,
                     "retain_as_published", row->retain_as_published, "subscription_id", row->subscription_id ? json_integer(row->subscription_id) : json_null(), "takes",
                     row->takes);
}

static void rows_take(struct why *why, const struct inspect *inspect)
{
    for (uint32_t i = 0; i < inspect->rows_count; i++) {
        const struct why_row *row = inspect->rows[i];
        switch ((enum why_kind)row->kind) {
        case WHY_ROW_STEP: step(why, why_step_names[row->step], (enum why_result)row->result, span_of(row->text, row->text_bytes)); break;
        case WHY_ROW_SUBSCRIPTION: json_array_append_new(why->subscriptions, subscription_json(row)); break;
        case WHY_ROW_TOPIC: why->final_topic = memory_copy_string(span_of(row->text, row->text_bytes)); break;
        case WHY_ROW_DELIVERY: {
            json_t *ids = json_array();
            for (uint32_t n = 0; n < row->ids_count; n++)
                json_array_append_new(ids, json_integer(row->ids[n]));
            why->delivery = json_pack("{s:o, s:i, s:b, s:o}", "topic", api_string_of(row->text, row->text_bytes), "qos", row->qos, "retain", row->retain, "subscription_ids", ids);
            break;
        }
        }
    }
}

/* False: answered. */
static bool ask(struct why *why, enum inspect_kind kind, const char *client_id, const char *other, const char *topic, uint32_t shard)
{
    struct inspect *inspect = inspect_create(kind);
    size_t client_bytes = strlen(client_id), other_bytes = strlen(other), topic_bytes = strlen(topic);
    inspect->text = memory_acquire(client_bytes + other_bytes + topic_bytes + 1);
    char *at = mempcpy(mempcpy(mempcpy(inspect->text, client_id, client_bytes), other, other_bytes), topic, topic_bytes);
    inspect->match_topic = span_of(at - topic_bytes, topic_bytes);
    inspect->group = span_of(inspect->text + client_bytes, other_bytes);
    inspect->client_id = span_of(inspect->text, client_bytes);
    inspect->qos = (uint32_t)api_number(why->call, "qos");
    inspect->retain = api_number(why->call, "retain");
    inspect->payload_bytes_max = (uint64_t)api_number(why->call, "payload_bytes");
    inspect->limit = 100000;
    inspect->shard = shard;
    if (!api_ask(why->call, inspect)) return false;
    rows_take(why, inspect);
    inspect_release(inspect);
    return true;
}

/* Is there a ban for this client id? Bans by user name or address concern connections, of which there is none to look at. */
static void bans(struct why *why)
{
    const struct features *features = admin_broker(why->call->admin)->features;
    struct feature_request request = {.verb = "bans list", .body = SPAN_LITERAL("{\"page\":1,\"limit\":10000}")};
    if (!features || !features_request(features, "protect", &request) || request.status != 200 || !request.answer) return;
    json_t *answer = json_loads(request.answer, JSON_ALLOW_NUL, NULL), *ban;
    size_t i;
    json_array_foreach(json_object_get(answer, "data"), i, ban)
    {
        const char *as = json_string_value(json_object_get(ban, "as")), *who = json_string_value(json_object_get(ban, "who"));
        bool meant = as && who && ((strcmp(as, "clientid") == 0 && strcmp(who, why->client_id) == 0) ||
                                   (strcmp(as, "clientid_pattern") == 0 && glob_matches(span_of_string(who), span_of_string(why->client_id))));
        if (!meant) continue;
        char text[400];
        snprintf(text, sizeof text, "the client is banned (%s %.200s): it cannot connect", as, who);
        step_text(why, WHY_client, WHY_NOTE, text);
        break;
    }
    json_decref(answer);
    free(request.answer);
}

/* What is kept under the topic, and what the message would change. False: answered. */
static bool retained(struct why *why)
{
    struct inspect *inspect = inspect_create(INSPECT_RETAINED_ONE);
    inspect->text = memory_copy_string(span_of_string(why->final_topic));
    inspect->client_id = span_of_string(inspect->text);
    inspect->shard = api_topic_owner(why->call, inspect->client_id);
    if (!api_ask(why->call, inspect)) return false;
    bool kept = inspect->rows_count > 0, retain = api_number(why->call, "retain");
    inspect_release(inspect);
    if (retain)
        step_text(why, WHY_retained, WHY_NOTE,
                  kept ? "it takes the place of the message that is kept under this topic; whoever subscribes later gets it"
                       : "it is kept under this topic: whoever subscribes later gets it");
    else if (kept)
        step_text(why, WHY_retained, WHY_NOTE, "another message is kept under this topic: whoever subscribes gets that one, with the retain flag");
    return true;
}

static bool topic_sound(struct why *why)
{
    struct span topic = span_of_string(why->topic);
    uint32_t levels_max = admin_mqtt_settings_now(why->call->admin).topic_levels_max;
    if (mqtt_topic_has_wildcards(topic))
        step_text(why, WHY_topic, WHY_STOP, "it has + or # in it: that is a filter, nobody can publish to it");
    else if (!mqtt_topic_name_valid(topic, 0))
        step_text(why, WHY_topic, WHY_STOP, "it is no topic name: a character in it is not allowed");
    else if (!mqtt_topic_name_valid(topic, levels_max) && !why->from)
        step_text(why, WHY_topic, WHY_STOP, "it has more levels than mqtt.max_topic_levels");
    else
        return step_text(why, WHY_topic, WHY_PASS, "a topic one may publish to"), true;
    return false;
}

/* False: answered. */
static bool look(struct why *why)
{
    if (!topic_sound(why)) return true;
    uint32_t home = api_client_home(why->call, why->client_id);
    const char *from = why->from ? why->from : "";
    if (!ask(why, INSPECT_WHY_FROM, from, "", why->topic, why->from ? api_client_home(why->call, from) : home)) return false;
    if (!why->final_topic) return true;
    if (!retained(why) || !ask(why, INSPECT_WHY_TO, why->client_id, from, why->final_topic, home)) return false;
    bans(why);
    return true;
}

void api_why(struct api_call *call)
{
    static const char *const verdicts[] = {"yes", "yes", "perhaps", "later", "no"};
    struct why why = {.call = call, .client_id = api_text(call, "clientid"), .from = api_text(call, "from"), .topic = api_text(call, "topic"), .steps = json_array(),
                      .subscriptions = json_array(), .worst = WHY_PASS, .decided_by = why_step_names[WHY_queue]};
    bool looked = look(&why);
    memory_release(why.final_topic);
    if (!looked) {
        json_decref(why.steps);
        json_decref(why.subscriptions);
        return json_decref(why.delivery);
    }
    static const char *const leads[] = {"Yes: it would be sent at once.", "", "Perhaps: ", "It would wait: ", "No: "};
    char summary[1300];
    snprintf(summary, sizeof summary, "%s%s%s", leads[why.worst], why.sentence, why.worst > WHY_NOTE ? "." : "");
    if (why.worst == WHY_STOP) {
        json_decref(why.delivery);
        why.delivery = NULL;
    }
    api_reply(call, json_pack("{s:o, s:o, s:o, s:I, s:b, s:s, s:s, s:o, s:o, s:o, s:o}", "clientid", api_string(span_of_string(why.client_id)), "topic",
                              api_string(span_of_string(why.topic)), "from", why.from ? api_string(span_of_string(why.from)) : json_null(), "qos",
                              (json_int_t)api_number(call, "qos"), "retain", api_number(call, "retain") != 0, "verdict", verdicts[why.worst], "decided_by",
                              why.decided_by, "summary", api_string(span_of_string(summary)), "delivery", why.delivery ? why.delivery : json_null(), "subscriptions",
                              why.subscriptions, "steps", why.steps));
}
