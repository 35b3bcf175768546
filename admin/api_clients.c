/* api_clients.c - clients and their sessions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/api.h"
#include "admin/numbers.h"
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "proto/topic.h"

static json_t *text_or_null(const char *text, size_t bytes) { return bytes ? api_string_of(text, bytes) : json_null(); }

/* "192.0.2.7:4711", "[2001:db8::1]:4711", "unix" */
static void put_address(struct http_text *out, const char *text, size_t bytes)
{
    const char *colon = bytes ? memrchr(text, ':', bytes) : NULL;
    if (!colon) return http_text_print(out, ",\"ip_address\":null,\"port\":null");
    size_t host_bytes = (size_t)(colon - text);
    int port_bytes = (int)(bytes - host_bytes - 1);
    if (*text == '[' && host_bytes > 2) {
        text++;
        host_bytes -= 2;
    }
    char port[8];
    snprintf(port, sizeof port, "%.*s", port_bytes > 5 ? 5 : port_bytes, colon + 1);
    http_text_print(out, ",\"ip_address\":");
    api_put_string(out, text, host_bytes);
    http_text_print(out, ",\"port\":%ld", strtol(port, NULL, 10));
}

static void put_text(struct http_text *out, const char *member, const char *text, size_t bytes)
{
    http_text_add(out, member, strlen(member));
    if (bytes)
        api_put_string(out, text, bytes);
    else
        http_text_add(out, "null", 4);
}

static const char *truth(bool value) { return value ? "true" : "false"; }

/* As text: a page of ten thousand of them as jansson's objects took a tenth of a second. */
static void client_put(struct api_call *call, const void *row, struct http_text *out)
{
    const struct inspect_client *client = row;
    const char *user_name = client->text + client->client_id_bytes, *listener = user_name + client->user_name_bytes,
               *address = listener + client->listener_bytes;
    char connected[API_TIME_BYTES], expires[API_TIME_BYTES], expiry[16] = "null";
    if (client->expiry_s != UINT32_MAX) snprintf(expiry, sizeof expiry, "%u", client->expiry_s);
    http_text_print(out, "{\"clientid\":");
    api_put_string(out, client->text, client->client_id_bytes);
    put_text(out, ",\"username\":", user_name, client->user_name_bytes);
    put_address(out, address, client->address_bytes);
    put_text(out, ",\"listener\":", listener, client->listener_bytes);
    http_text_print(out,
                    ",\"connected\":%s,\"proto_ver\":\"%s\",\"keepalive\":%u,\"connected_at\":%s,\"expires_at\":%s,\"expiry_interval\":%s,"
                    "\"subscriptions_cnt\":%u,\"inflight_cnt\":%u,\"inflight_max\":%u,\"mqueue_len\":%u,\"mqueue_bytes\":%" PRIu64 ",\"send_backlog_bytes\":%" PRIu64 ","
                    "\"recv_msg\":%u,\"recv_msg_bytes\":%" PRIu64 ",\"send_msg\":%u,\"durable\":%s,\"slowed\":%s,\"will\":%s,\"shard\":%u}",
                    truth(client->connected), client->version == 5 ? "5.0" : client->version == 4 ? "3.1.1" : "3.1", client->keep_alive_s, api_time_text(client->connected_ms, connected),
                    api_time_text(client->expires_ms, expires), expiry, client->subscriptions, client->inflight, client->inflight_max, client->queue_messages, client->queue_bytes,
                    client->backlog_bytes, client->published, client->published_bytes, client->sent, truth(client->durable), truth(client->paused), truth(client->will), client->shard);
}

static void not_found(struct api_call *call, const char *client_id)
{
    api_error(call, 404, "NOT_FOUND", "there is no session of the client id %.200s", client_id);
}

/* Asks the client's home. NULL: answered. */
static struct inspect *ask_client(struct api_call *call, enum inspect_kind kind, const char *client_id)
{
    struct inspect *inspect = inspect_create(kind);
    inspect->text = memory_copy_string(span_of_string(client_id));
    inspect->client_id = span_of_string(inspect->text);
    inspect->shard = api_client_home(call, client_id);
    return api_ask(call, inspect) ? inspect : NULL;
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum inspect_sort sort;
} sorts[] = {{"clientid", INSPECT_BY_CLIENT_ID}, {"connected_at", INSPECT_BY_CONNECTED}, {"mqueue_len", INSPECT_BY_QUEUE},
             {"mqueue_bytes", INSPECT_BY_QUEUE_BYTES}, {"inflight_cnt", INSPECT_BY_INFLIGHT}, {"subscriptions_cnt", INSPECT_BY_SUBSCRIPTIONS},
             {"recv_msg", INSPECT_BY_PUBLISHED}, {"recv_msg_bytes", INSPECT_BY_PUBLISHED_BYTES}, {"send_msg", INSPECT_BY_SENT}};

static enum inspect_sort sort_wanted(const struct api_call *call)
{
    const char *name = api_text(call, "sort");
    for (size_t i = 0; name && i < sizeof sorts / sizeof *sorts; i++)
        if (strcmp(sorts[i].name, name) == 0) return sorts[i].sort;
    return INSPECT_UNSORTED;
}

static struct span parameter_span(const struct api_call *call, const char *name)
{
    const char *text = api_text(call, name);
    return text ? span_of_string(text) : span_of(NULL, 0);
}

/* The texts live as long as the call; a question that was given up must not point to them, so it has copies. */
static struct span keep(struct inspect *inspect, size_t *used, struct span text)
{
    if (text.bytes == 0) return span_of(NULL, 0);
    char *copy = inspect->text + *used;
    memcpy(copy, text.data, text.bytes);
    *used += text.bytes;
    return span_of(copy, text.bytes);
}

static struct inspect *clients_question(struct api_call *call)
{
    struct inspect *inspect = inspect_create(INSPECT_CLIENTS);
    struct inspect_client_filter *filter = &inspect->client;
    struct span like = parameter_span(call, "like_clientid"), listener = parameter_span(call, "listener"), user = parameter_span(call, "username"),
                like_user = parameter_span(call, "like_username");
    size_t used = 0;
    struct span one = parameter_span(call, "clientid");
    inspect->text = memory_acquire(like.bytes + listener.bytes + user.bytes + like_user.bytes + one.bytes + 1);
    inspect->client_id = keep(inspect, &used, one);
    filter->user_name = keep(inspect, &used, user);
    filter->like_user_name = keep(inspect, &used, like_user);
    filter->like_client_id = keep(inspect, &used, like);
    filter->listener = keep(inspect, &used, listener);
    const char *state = api_text(call, "conn_state"), *version = api_text(call, "proto_ver");
    if (state) filter->connected = strcmp(state, "connected") == 0;
    if (version) filter->version = strcmp(version, "5.0") == 0 ? 5 : strcmp(version, "3.1.1") == 0 ? 4 : 3;
    if (api_given(call, "gte_connected_at")) CHECK(api_time_parse(api_text(call, "gte_connected_at"), &filter->connected_from_ms));
    if (api_given(call, "lte_connected_at")) CHECK(api_time_parse(api_text(call, "lte_connected_at"), &filter->connected_to_ms));
    filter->queue_min = (uint32_t)api_number(call, "gte_mqueue_len");
    filter->inflight_min = (uint32_t)api_number(call, "gte_inflight_cnt");
    filter->subscriptions_min = (uint32_t)api_number(call, "gte_subscriptions_cnt");
    inspect->sort = sort_wanted(call);
    inspect->descending = strcmp(api_text(call, "order"), "desc") == 0;
    return inspect;
}

#define SORTED_MAX 10000

struct sorted {
    const struct inspect_client *client;
    enum inspect_sort sort;
    bool descending;
};

static int compare_sorted(const void *a, const void *b)
{
    const struct sorted *one = a, *other = b;
    return inspect_client_compare(one->sort, one->descending, one->client, other->client);
}

/* Each shard brings its first page × limit; the page is cut from all of them together. */
static void sorted_page(struct api_call *call)
{
    uint32_t shards = admin_broker(call->admin)->shards_count;
    uint64_t page = (uint64_t)api_number(call, "page"), limit = (uint64_t)api_number(call, "limit"), wanted = page * limit;
    if (wanted > SORTED_MAX)
        return api_error(call, 400, "BAD_REQUEST", "page x limit must be at most %d with sort; ask for fewer with a filter", SORTED_MAX);
    struct inspect *inspects[SHARDS_MAX];
    for (uint32_t s = 0; s < shards; s++) {
        inspects[s] = clients_question(call);
        inspects[s]->shard = s;
        inspects[s]->limit = (uint32_t)wanted;
    }
    if (!admin_ask_all(call->admin, inspects, shards))
        return api_error(call, 504, "TIMEOUT", "a shard has not answered in time; it is very busy, or the broker stops");
    uint64_t count = 0, seen = 0;
    for (uint32_t s = 0; s < shards; s++)
        count += inspects[s]->rows_count;
    struct sorted *rows = memory_acquire((count + 1) * sizeof *rows);
    count = 0;
    for (uint32_t s = 0; s < shards; s++) {
        seen += inspects[s]->seen;
        for (uint32_t i = 0; i < inspects[s]->rows_count; i++)
            rows[count++] = (struct sorted){inspects[s]->rows[i], inspects[s]->sort, inspects[s]->descending};
    }
    qsort(rows, count, sizeof *rows, compare_sorted);
    struct http_text out = {0};
    api_page_begin(&out);
    for (uint64_t i = (page - 1) * limit; i < count && i < wanted; i++) {
        if (i > (page - 1) * limit) http_text_add(&out, ",", 1);
        client_put(call, rows[i].client, &out);
    }
    memory_release(rows);
    for (uint32_t s = 0; s < shards; s++)
        inspect_release(inspects[s]);
    api_page_end(call, &out, page, limit, (int64_t)seen, seen > wanted);
}

static void one_client_page(struct api_call *call, const char *client_id)
{
    struct inspect *inspect = clients_question(call);
    inspect->kind = INSPECT_CLIENT;
    inspect->shard = api_client_home(call, client_id);
    if (!api_ask(call, inspect)) return;
    struct http_text out = {0};
    uint32_t count = inspect->rows_count;
    api_page_begin(&out);
    if (count && api_number(call, "page") == 1) client_put(call, inspect->rows[0], &out);
    inspect_release(inspect);
    api_page_end(call, &out, (uint64_t)api_number(call, "page"), (uint64_t)api_number(call, "limit"), count, false);
}

void api_list_clients(struct api_call *call)
{
    static const char *const times[] = {"gte_connected_at", "lte_connected_at"};
    uint64_t ignored;
    for (size_t i = 0; i < 2; i++)
        if (api_given(call, times[i]) && !api_time_parse(api_text(call, times[i]), &ignored))
            return api_error(call, 400, "BAD_REQUEST", "%s must be a time such as 2026-11-25T18:00:00Z", times[i]);
    if (api_given(call, "clientid")) return one_client_page(call, api_text(call, "clientid"));
    if (sort_wanted(call) != INSPECT_UNSORTED) return sorted_page(call);
    struct stats stats;
    node_numbers(admin_broker(call->admin), &stats);
    api_page(call, clients_question, client_put, api_unfiltered(call) ? (int64_t)stats.sessions : -1);
}

/* ---- one client ------------------------------------------------------------------------------------------------- */

static void answer_client(struct api_call *call, const void *row)
{
    struct http_text out = {0};
    client_put(call, row, &out);
    api_reply_text(call, &out);
}

void api_get_client(struct api_call *call)
{
    const char *client_id = api_text(call, "clientid");
    struct inspect *inspect = ask_client(call, INSPECT_CLIENT, client_id);
    if (!inspect) return;
    if (inspect->status == INSPECT_DONE && inspect->rows_count)
        answer_client(call, inspect->rows[0]);
    else
        not_found(call, client_id);
    inspect_release(inspect);
}

void api_kick_client(struct api_call *call)
{
    const char *client_id = api_text(call, "clientid");
    struct inspect *inspect = ask_client(call, INSPECT_KICK, client_id);
    if (!inspect) return;
    if (inspect->status == INSPECT_DONE)
        api_done(call);
    else
        api_error(call, 404, "NOT_FOUND", "no client with the id %.200s is connected", client_id);
    inspect_release(inspect);
}

bool api_client_kick(struct api_call *call, const char *client_id)
{
    struct inspect *inspect = ask_client(call, INSPECT_KICK, client_id);
    if (!inspect) return false;
    inspect_release(inspect);
    return true;
}

void api_kick_clients(struct api_call *call)
{
    const json_t *ids = json_object_get(call->body, "clientids");
    uint32_t kicked = 0;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        struct inspect *inspect = ask_client(call, INSPECT_KICK, json_string_value(json_array_get(ids, i)));
        if (!inspect) return;
        kicked += inspect->status == INSPECT_DONE;
        inspect_release(inspect);
    }
    api_reply(call, json_pack("{s:i}", "kicked", kicked));
}

void api_delete_session(struct api_call *call)
{
    const char *client_id = api_text(call, "clientid");
    struct inspect *inspect = ask_client(call, INSPECT_END_SESSION, client_id);
    if (!inspect) return;
    if (inspect->status == INSPECT_DONE)
        api_done(call);
    else if (inspect->status == INSPECT_BUSY)
        api_error(call, 409, "BUSY", "the session is being restored or written; try again");
    else
        not_found(call, client_id);
    inspect_release(inspect);
}

/* ---- subscriptions ---------------------------------------------------------------------------------------------- */

static json_t *subscription_shown(struct span client_id, struct span filter, struct span group, const struct inspect_subscription *row)
{
    json_t *object = json_object();
    struct http_text topic = {0};
    if (group.bytes) http_text_print(&topic, "$share/%.*s/", SPAN_PRINT(group));
    http_text_add(&topic, filter.data, filter.bytes);
    json_object_set_new(object, "clientid", row->sink ? json_null() : api_string(client_id));
    json_object_set_new(object, "sink", row->sink ? api_string(client_id) : json_null());
    json_object_set_new(object, "topic", api_string_of(topic.data, topic.bytes));
    json_object_set_new(object, "qos", json_integer(row->qos));
    json_object_set_new(object, "nl", json_boolean(row->no_local));
    json_object_set_new(object, "rap", json_boolean(row->retain_as_published));
    json_object_set_new(object, "share", group.bytes ? api_string(group) : json_null());
    json_object_set_new(object, "subscription_id", row->subscription_id ? json_integer(row->subscription_id) : json_null());
    json_object_set_new(object, "shard", json_integer(row->shard));
    http_text_release(&topic);
    return object;
}

static json_t *subscription_json(struct api_call *call, const void *row)
{
    const struct inspect_subscription *subscription = row;
    const char *filter = subscription->text + subscription->client_id_bytes;
    return subscription_shown(span_of(subscription->text, subscription->client_id_bytes), span_of(filter, subscription->filter_bytes),
                              span_of(filter + subscription->filter_bytes, subscription->group_bytes), subscription);
}

static void subscription_put(struct api_call *call, const void *row, struct http_text *out) { api_put(out, subscription_json(call, row)); }

static struct inspect *filters_question_of(struct api_call *call, enum inspect_kind kind, bool subscriptions)
{
    struct inspect *inspect = inspect_create(kind);
    struct span filter = parameter_span(call, "topic"), like = parameter_span(call, "like_topic"), match = parameter_span(call, "match_topic");
    struct span client = subscriptions ? parameter_span(call, "like_clientid") : span_of(NULL, 0), group = subscriptions ? parameter_span(call, "share") : span_of(NULL, 0);
    size_t used = 0;
    struct span one = kind == INSPECT_CLIENT_SUBSCRIPTIONS ? parameter_span(call, "clientid") : span_of(NULL, 0);
    inspect->text = memory_acquire(filter.bytes + like.bytes + match.bytes + client.bytes + group.bytes + one.bytes + 1);
    inspect->filter = keep(inspect, &used, filter);
    inspect->like_filter = keep(inspect, &used, like);
    inspect->match_topic = keep(inspect, &used, match);
    inspect->client.like_client_id = keep(inspect, &used, client);
    inspect->group = keep(inspect, &used, group);
    inspect->text_bytes = used; /* behind it there is room for the client id */
    if (subscriptions && api_given(call, "qos")) inspect->qos = (uint32_t)api_number(call, "qos");
    return inspect;
}

static void session_subscriptions(struct api_call *call, const char *client_id, bool filtered)
{
    struct span like = filtered ? parameter_span(call, "like_clientid") : span_of(NULL, 0);
    bool never = like.bytes && !strstr(client_id, (const char *)like.data); /* two wishes that exclude each other */
    uint64_t page = (uint64_t)api_number(call, "page"), limit = (uint64_t)api_number(call, "limit");
    struct inspect *inspect = filtered ? filters_question_of(call, INSPECT_CLIENT_SUBSCRIPTIONS, true) : inspect_create(INSPECT_CLIENT_SUBSCRIPTIONS);
    size_t used = inspect->text_bytes, bytes = strlen(client_id);
    if (!filtered) inspect->text = memory_acquire(bytes + 1);
    inspect->client_id = keep(inspect, &used, span_of_string(client_id));
    inspect->shard = api_client_home(call, client_id);
    inspect->skip = (page - 1) * limit;
    inspect->limit = (uint32_t)limit + 1;
    if (!api_ask(call, inspect)) return;
    if (inspect->status == INSPECT_NOT_FOUND && !filtered) {
        not_found(call, client_id);
        return inspect_release(inspect);
    }
    json_t *data = json_array();
    for (uint32_t i = 0; !never && i < inspect->rows_count && i < limit; i++)
        json_array_append_new(data, subscription_json(call, inspect->rows[i]));
    bool more = !never && inspect->rows_count > limit;
    inspect_release(inspect);
    api_reply(call, json_pack("{s:o, s:{s:I, s:I, s:n, s:b}}", "data", data, "meta", "page", (json_int_t)page, "limit", (json_int_t)limit, "count", "hasnext", more));
}

void api_list_client_subscriptions(struct api_call *call) { session_subscriptions(call, api_text(call, "clientid"), false); }

static struct inspect *subscriptions_question(struct api_call *call) { return filters_question_of(call, INSPECT_SUBSCRIPTIONS, true); }
static struct inspect *filters_question(struct api_call *call) { return filters_question_of(call, INSPECT_FILTERS, false); }

/* A topic name to be matched must be one. False: answered. */
static bool match_topic_valid(struct api_call *call)
{
    struct span match = parameter_span(call, "match_topic");
    if (match.bytes == 0 || mqtt_topic_name_valid(match, 0)) return true;
    api_error(call, 400, "BAD_REQUEST", "match_topic must be a topic name, without wildcards");
    return false;
}

void api_list_subscriptions(struct api_call *call)
{
    if (!match_topic_valid(call)) return;
    struct stats stats;
    node_numbers(admin_broker(call->admin), &stats);
    if (!api_given(call, "clientid"))
        return api_page(call, subscriptions_question, subscription_put, api_unfiltered(call) ? (int64_t)stats.subscriptions : -1);
    session_subscriptions(call, api_text(call, "clientid"), true);
}

static json_t *topic_json(struct api_call *call, const void *row)
{
    const struct inspect_filter *filter = row;
    return json_pack("{s:o, s:o, s:I, s:I, s:s}", "topic", api_string_of(filter->text, filter->filter_bytes), "share",
                     text_or_null(filter->text + filter->filter_bytes, filter->group_bytes), "subscribers", (json_int_t)filter->subscribers, "shard",
                     (json_int_t)filter->shard, "node", admin_node_name(call->admin));
}

static void topic_put(struct api_call *call, const void *row, struct http_text *out) { api_put(out, topic_json(call, row)); }

void api_list_topics(struct api_call *call)
{
    if (match_topic_valid(call)) api_page(call, filters_question, topic_put, -1);
}

/* ---- on behalf of a client -------------------------------------------------------------------------------------- */

static int body_number(const struct api_call *call, const char *name) { return (int)json_integer_value(json_object_get(call->body, name)); }
static bool body_true(const struct api_call *call, const char *name) { return json_is_true(json_object_get(call->body, name)); }

/* NULL: answered. Otherwise it is DONE. */
static struct inspect *change_subscription(struct api_call *call, enum inspect_kind kind)
{
    const char *client_id = api_text(call, "clientid"), *topic = json_string_value(json_object_get(call->body, "topic"));
    struct span group, filter, full = span_of_string(topic);
    if (!mqtt_topic_filter_valid(full, TOPIC_LEVELS_MAX) || !mqtt_share_split(full, &group, &filter)) {
        api_error(call, 400, "BAD_REQUEST", "topic must be a topic filter such as a/+/c or $share/group/a/#");
        return NULL;
    }
    struct inspect *inspect = inspect_create(kind);
    size_t id_bytes = strlen(client_id);
    inspect->text = memory_acquire(id_bytes + full.bytes);
    memcpy(inspect->text, client_id, id_bytes);
    memcpy(inspect->text + id_bytes, full.data, full.bytes);
    inspect->client_id = span_of(inspect->text, id_bytes);
    inspect->group = group.bytes ? span_of(inspect->text + id_bytes + (group.data - full.data), group.bytes) : span_of(NULL, 0);
    inspect->filter = span_of(inspect->text + id_bytes + (filter.data - full.data), filter.bytes);
    inspect->qos = (uint32_t)body_number(call, "qos");
    inspect->no_local = body_true(call, "nl");
    inspect->retain_as_published = body_true(call, "rap");
    inspect->retain_handling = (uint8_t)body_number(call, "rh");
    inspect->shard = api_client_home(call, client_id);
    if (!api_ask(call, inspect)) return NULL;
    switch (inspect->status) {
    case INSPECT_DONE: return inspect;
    case INSPECT_AWAY: api_error(call, 409, "NOT_CONNECTED", "the client is not connected"); break;
    case INSPECT_BUSY: api_error(call, 409, "BUSY", "the session is being restored or written; try again"); break;
    case INSPECT_REFUSED: api_error(call, 400, "REFUSED", "the broker refuses the subscription: %s", mqtt_reason_name((enum mqtt_reason)inspect->reason)); break;
    default:
        if (inspect->reason == MQTT_REASON_NO_SUBSCRIPTION_EXISTED)
            api_error(call, 404, "NOT_FOUND", "the client has no such subscription");
        else
            not_found(call, client_id);
    }
    inspect_release(inspect);
    return NULL;
}

void api_subscribe_client(struct api_call *call)
{
    if (body_true(call, "nl") && strncmp(json_string_value(json_object_get(call->body, "topic")), "$share/", 7) == 0) /* [MQTT-3.8.3-4] */
        return api_error(call, 400, "BAD_REQUEST", "a shared subscription must not have nl");
    struct inspect *inspect = change_subscription(call, INSPECT_SUBSCRIBE);
    if (!inspect) return;
    struct inspect_subscription row = {.qos = inspect->reason, .no_local = inspect->no_local, .retain_as_published = inspect->retain_as_published,
                                       .shard = inspect->shard};
    api_reply(call, subscription_shown(inspect->client_id, inspect->filter, inspect->group, &row));
    inspect_release(inspect);
}

void api_unsubscribe_client(struct api_call *call)
{
    struct inspect *inspect = change_subscription(call, INSPECT_UNSUBSCRIBE);
    if (!inspect) return;
    api_done(call);
    inspect_release(inspect);
}
