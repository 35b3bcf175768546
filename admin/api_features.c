/* api_features.c - what features have for administrators: bans, the users of MQTT clients, sources of logins, counters. Features
 * are asked through broker/feature.h's struct feature_request: JSON in, JSON out. */
#include <stdio.h>
#include <stdlib.h>

#include "admin/api.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/features.h"

/* ---- asking a feature -------------------------------------------------------------------------------------------- */

static json_t *parameter_json(const struct api_call *call, uint32_t place)
{
    const struct api_field *field = &call->route->parameters[place];
    if (field->type == FIELD_INTEGER) return json_integer(api_number(call, field->name));
    if (field->type == FIELD_BOOLEAN) return json_boolean(api_number(call, field->name));
    return api_string(span_of_string(api_text(call, field->name)));
}

/* The body and, beside its members, the parameters. */
static json_t *question_of(const struct api_call *call)
{
    json_t *question = call->body ? json_copy(call->body) : json_object();
    for (uint32_t i = 0; i < call->route->parameters_count; i++)
        if (api_text(call, call->route->parameters[i].name)) json_object_set_new(question, call->route->parameters[i].name, parameter_json(call, i));
    return question;
}

static const char *code_of(int status)
{
    switch (status) {
    case 400: return "BAD_REQUEST";
    case 404: return "NOT_FOUND";
    case 409: return "CONFLICT";
    default: return "FAILED";
    }
}

/* `question` is taken over. False: answered. *ret_answer: NULL when the feature has nothing to say. */
static bool ask(struct api_call *call, const char *feature, const char *verb, json_t *question, json_t **ret_answer)
{
    const struct features *features = admin_broker(call->admin)->features;
    char *text = json_dumps(question, JSON_COMPACT);
    CHECK(text);
    json_decref(question);
    struct feature_request request = {.verb = verb, .body = span_of_string(text)};
    bool there = features && features_request(features, feature, &request);
    explicit_bzero(text, strlen(text)); /* perhaps with a password */
    free(text);
    *ret_answer = NULL;
    if (!there) {
        api_error(call, 404, "NOT_FOUND", "this ringmqd has no feature %.40s that answers requests", feature);
        return false;
    }
    if (request.status != 200) {
        api_error(call, request.status, code_of(request.status), "%s", request.error);
        return false;
    }
    if (request.answer) *ret_answer = json_loads(request.answer, JSON_ALLOW_NUL, NULL);
    bool sound = !request.answer || *ret_answer;
    if (!sound) { /* a loaded module's fault is no reason to end the broker */
        LOG_LIMITED(ERROR, 1000, "a feature answers what is no JSON", "feature=%s verb=%s answer=%s", feature, log_quoted(span_of_string(verb)), log_quoted(span_of_string(request.answer)));
        api_error(call, 500, "FAILED", "the feature %.40s has answered what is no JSON; see the log", feature);
    }
    free(request.answer);
    return sound;
}

/* As it comes, as it goes. */
static void pass(struct api_call *call, const char *feature, const char *verb)
{
    json_t *answer;
    if (!ask(call, feature, verb, question_of(call), &answer)) return;
    if (answer)
        api_reply(call, answer);
    else
        api_done(call);
}

/* ---- bans -------------------------------------------------------------------------------------------------------- */

/* Unix ms on their side, RFC 3339 on ours. */
static void ban_times_out(json_t *ban)
{
    json_object_set_new(ban, "at", api_time((uint64_t)json_integer_value(json_object_get(ban, "at_ms"))));
    json_object_set_new(ban, "until", api_time((uint64_t)json_integer_value(json_object_get(ban, "until_ms"))));
    json_object_del(ban, "at_ms");
    json_object_del(ban, "until_ms");
}

/* False: answered. */
static bool ban_time_in(struct api_call *call, json_t *ban, const char *name, const char *name_ms)
{
    const char *text = json_string_value(json_object_get(ban, name));
    uint64_t unix_ms = 0;
    if (text && !api_time_parse(text, &unix_ms)) {
        api_error(call, 400, "BAD_REQUEST", "%s must be a time such as 2027-01-01T00:00:00Z", name);
        return false;
    }
    json_object_del(ban, name);
    json_object_set_new(ban, name_ms, json_integer((json_int_t)unix_ms));
    return true;
}

void api_list_bans(struct api_call *call)
{
    json_t *answer, *ban;
    size_t i;
    if (!ask(call, "protect", "bans list", question_of(call), &answer)) return;
    json_array_foreach(json_object_get(answer, "data"), i, ban)
        ban_times_out(ban);
    api_reply(call, answer);
}

void api_add_ban(struct api_call *call)
{
    json_t *ban = question_of(call), *answer;
    if (!ban_time_in(call, ban, "at", "at_ms") || !ban_time_in(call, ban, "until", "until_ms")) return json_decref(ban);
    if (!json_object_get(ban, "by")) json_object_set_new(ban, "by", json_string(call->who.name));
    if (!ask(call, "protect", "bans add", ban, &answer)) return;
    /* The feature disconnects whom it knows. Who connected before the list was switched on it does not know; by its id it is found all the same. */
    const char *id = strcmp(json_string_value(json_object_get(answer, "as")), "clientid") == 0 ? json_string_value(json_object_get(answer, "who")) : NULL;
    if (id && !api_client_kick(call, id)) return json_decref(answer);
    ban_times_out(answer);
    api_reply(call, answer);
}

void api_remove_ban(struct api_call *call) { pass(call, "protect", "bans remove"); }
void api_clear_bans(struct api_call *call) { pass(call, "protect", "bans clear"); }

/* ---- authentication ----------------------------------------------------------------------------------------------- */

void api_list_authentication(struct api_call *call) { pass(call, "auth", "sources list"); }
void api_get_authentication_counters(struct api_call *call) { pass(call, "auth", "counters"); }
void api_purge_authentication(struct api_call *call) { pass(call, "auth", "purge"); }
void api_purge_authorization(struct api_call *call) { pass(call, "acl", "purge"); }
void api_list_authentication_users(struct api_call *call) { pass(call, "auth", "users list"); }
void api_add_authentication_user(struct api_call *call) { pass(call, "auth", "users add"); }
void api_change_authentication_user(struct api_call *call) { pass(call, "auth", "users change"); }
void api_delete_authentication_user(struct api_call *call) { pass(call, "auth", "users delete"); }
void api_import_authentication_users(struct api_call *call) { pass(call, "auth", "users import"); }
void api_export_authentication_users(struct api_call *call) { pass(call, "auth", "users export"); }

/* ---- any feature, loaded modules among them -------------------------------------------------------------------------- */

void api_ask_feature(struct api_call *call)
{
    json_t *question = json_object_get(call->body, "question"), *answer;
    const char *verb = json_string_value(json_object_get(call->body, "verb"));
    if (ask(call, api_text(call, "feature"), verb, question ? json_incref(question) : json_object(), &answer))
        api_reply(call, json_pack("{s:o}", "answer", answer ? answer : json_null()));
}

void api_list_authorization_rules(struct api_call *call) { pass(call, "acl", "rules list"); }

/* ---- features ------------------------------------------------------------------------------------------------------- */

static void feature_counts_add(void *context, const struct feature *feature, enum feature_moment gate, const struct feature_counts *sum)
{
    json_t *data = context, *last = json_array_get(data, json_array_size(data) - 1);
    bool known = last && strcmp(json_string_value(json_object_get(last, "name")), feature->name) == 0;
    if (!known) {
        last = json_pack("{s:s, s:o, s:o, s:b, s:[]}", "name", feature->name, "version", api_string(span_of_string(feature->version ? feature->version : "")), "documentation",
                         api_string(span_of_string(feature->documentation ? feature->documentation : "")), "on", 0, "gates");
        json_array_append_new(data, last);
    }
    json_array_append_new(json_object_get(last, "gates"),
                          json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "gate", feature_moment_names[gate], "passed", (json_int_t)sum->passed, "allowed",
                                    (json_int_t)sum->allowed, "denied", (json_int_t)sum->denied, "later", (json_int_t)sum->later, "overruns", (json_int_t)sum->overruns,
                                    "longest_us", (double)sum->ticks_max / (double)feature_ticks_per_us()));
}

struct features_picture {
    const struct features *features;
    bool on[FEATURES_MAX];
};

/* Settings are the control thread's. */
static void features_look(const struct admin_control *control, void *argument)
{
    (void)control;
    struct features_picture *picture = argument;
    for (uint32_t i = 0; i < picture->features->count; i++)
        picture->on[i] = features_on(picture->features, i);
}

void api_list_features(struct api_call *call)
{
    struct features_picture picture = {.features = admin_broker(call->admin)->features};
    json_t *data = json_array(), *one;
    size_t i;
    if (picture.features && !admin_on_control(call->admin, features_look, &picture)) {
        json_decref(data);
        return api_error(call, 503, "STOPPING", "the broker stops");
    }
    if (picture.features) features_counts_each(picture.features, feature_counts_add, data);
    json_array_foreach(data, i, one)
        json_object_set_new(one, "on", json_boolean(picture.on[i]));
    api_reply(call, json_pack("{s:o}", "data", data));
}

static void sink_add(void *context, const char *name, const struct feature_sink_counts *sum)
{
    json_array_append_new(context, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", name, "delivered", (json_int_t)sum->delivered, "queued",
                                             (json_int_t)sum->queued, "queued_bytes", (json_int_t)sum->queued_bytes, "full", (json_int_t)sum->full, "dropped_full",
                                             (json_int_t)sum->dropped_full, "dropped_expired", (json_int_t)sum->dropped_expired, "dropped_gone",
                                             (json_int_t)sum->dropped_gone, "held", (json_int_t)sum->held, "refused", (json_int_t)sum->refused));
}

void api_list_sinks(struct api_call *call)
{
    const struct features *features = admin_broker(call->admin)->features;
    json_t *data = json_array();
    if (features) features_sinks_each(features, sink_add, data);
    api_reply(call, json_pack("{s:o}", "data", data));
}
