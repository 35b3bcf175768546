#include "cmd/ringmq_top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "cmd/ringmq.h"

const char *const top_sort_names[TOP_SORTS] = {"in", "inbytes", "out", "queue", "bytes", "inflight", "subs", "id"};
/* What the API is to sort by, so that the right ones are among those it sends. */
static const char *const api_sorts[TOP_SORTS] = {"recv_msg", "recv_msg_bytes", "send_msg", "mqueue_len", "mqueue_bytes", "inflight_cnt", "subscriptions_cnt", "clientid"};

/* ---- asking ----------------------------------------------------------------------------------------------------- */

json_t *top_ask(struct top *top, const char *target, int *ret_status)
{
    struct http_reply reply;
    *ret_status = 0;
    if (!http_client_request(&top->client, "GET", target, NULL, &reply)) {
        snprintf(top->error, sizeof top->error, "%s", top->client.error);
        return NULL;
    }
    *ret_status = reply.status;
    json_t *answer = reply.body_bytes ? json_loadb(reply.body, reply.body_bytes, JSON_ALLOW_NUL, NULL) : NULL;
    if (reply.status != 200 || !answer) {
        const char *message = json_string_value(json_object_get(answer, "message"));
        snprintf(top->error, sizeof top->error, "%s (%d)%s", message ? message : "the answer cannot be read", reply.status,
                 reply.status == 401 ? "; see ringmq ctl login" : "");
        json_decref(answer);
        answer = NULL;
    }
    http_reply_release(&reply);
    return answer;
}

static json_t *ask(struct top *top, const char *target)
{
    int status;
    return top_ask(top, target, &status);
}

static uint64_t whole(const json_t *object, const char *name) { return (uint64_t)json_integer_value(json_object_get(object, name)); }

uint64_t top_counter(const struct top *top, const char *name) { return whole(json_object_get(top->now.stats, "counters"), name); }

/* ---- rates ------------------------------------------------------------------------------------------------------ */

/* Of a counter of all shards, or of the shard whose counters these are. A restarted broker counts from 0. */
static double rate(const json_t *now, const json_t *before, const char *name, double seconds)
{
    uint64_t a = whole(before, name), b = whole(now, name);
    return seconds > 0 ? (double)(b >= a ? b - a : b) / seconds : 0;
}

/* The value below which this share of what came since the last look lies; negative: nothing came. */
static double quantile(const json_t *now, const json_t *before, double share)
{
    const json_t *bounds = json_object_get(now, "bounds"), *counts = json_object_get(now, "counts"), *older = json_object_get(before, "counts");
    double all = 0, seen = 0;
    size_t count = json_array_size(counts);
    for (size_t i = 0; i < count; i++)
        all += (double)(json_integer_value(json_array_get(counts, i)) - json_integer_value(json_array_get(older, i)));
    for (size_t i = 0; i < count && all > 0; i++) {
        double here = (double)(json_integer_value(json_array_get(counts, i)) - json_integer_value(json_array_get(older, i)));
        double low = i ? json_number_value(json_array_get(bounds, i - 1)) : 0;
        double high = i < json_array_size(bounds) ? json_number_value(json_array_get(bounds, i)) : low;
        if (here > 0 && seen + here >= share * all) return low + (high - low) * (share * all - seen) / here;
        seen += here;
    }
    return -1;
}

static const json_t *histogram(const json_t *stats, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(stats, "histograms"), i, one)
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0) return one;
    return NULL;
}

static void look_at_shards(struct top_sample *now, const json_t *before)
{
    const json_t *shards = json_object_get(now->stats, "shards"), *older = json_object_get(before, "shards");
    now->shards_count = 0;
    for (size_t i = 0; i < json_array_size(shards) && i < TOP_SHARDS_MAX; i++) {
        const json_t *one = json_array_get(shards, i), *old = json_array_get(older, i);
        const json_t *counters = json_object_get(one, "counters"), *olds = json_object_get(old, "counters");
        double cpu = json_number_value(json_object_get(one, "cpu_seconds")) - json_number_value(json_object_get(old, "cpu_seconds"));
        double turns = rate(counters, olds, "turns", now->seconds);
        now->shards[now->shards_count++] = (struct top_shard){
            .number = (uint32_t)whole(one, "shard"),
            .cpu_percent = now->seconds > 0 ? cpu / now->seconds * 100 : 0,
            .turns = turns,
            .turn_us = turns > 0 ? cpu / now->seconds / turns * 1e6 : 0,
            .batch = turns > 0 ? rate(counters, olds, "completions", now->seconds) / turns : 0,
            .lane_records = rate(counters, olds, "lane_records", now->seconds),
            .lane_fill = turns > 0 ? (double)whole(counters, "lane_fill") / 10 : 0, /* a shard that sleeps remembers an old one */
            .lane_overflows = whole(counters, "lane_overflows"),
            .connections = whole(counters, "connections"),
            .sessions = whole(counters, "sessions"),
            .queued = whole(counters, "queued_messages"),
            .pool_bytes = whole(counters, "pool_bytes"),
        };
    }
}

static bool is_drop(const char *name)
{
    static const char *const starts[] = {"dropped_", "refused_", "clients_refused", "connections_refused", "protocol_errors", "keep_alive_timeouts", "connect_timeouts", "handshake_timeouts",
                                         "publishers_paused", "durable_refused", "delayed_refused", "exclusive_refused", "gates_denied"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

static int by_rate(const void *a, const void *b)
{
    const struct top_drop *x = a, *y = b;
    if (x->rate != y->rate) return x->rate < y->rate ? 1 : -1;
    return x->count < y->count ? 1 : x->count > y->count ? -1 : strcmp(x->name, y->name);
}

static void look_at_drops(struct top_sample *now, const json_t *before)
{
    json_t *counters = json_object_get(now->stats, "counters"), *value;
    const char *name;
    now->dropped_count = 0;
    now->drops = 0;
    json_object_foreach(counters, name, value) {
        if (!is_drop(name)) continue;
        double speed = rate(counters, json_object_get(before, "counters"), name, now->seconds);
        if (strncmp(name, "dropped_", 8) == 0) now->drops += speed;
        if (json_integer_value(value) == 0 || now->dropped_count == TOP_DROPS_MAX) continue;
        now->dropped[now->dropped_count++] = (struct top_drop){name, (uint64_t)json_integer_value(value), speed};
    }
    qsort(now->dropped, now->dropped_count, sizeof now->dropped[0], by_rate);
}

static time_t connected_s(const json_t *client)
{
    struct tm when = {0};
    const char *text = json_string_value(json_object_get(client, "connected_at"));
    return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &when) ? timegm(&when) : 0;
}

/* A counter of its connection, which begins at 0 with it: of a new connection all of it counts. (That the connection is the same is told by its beginning. Clocks
 * may be set a little between two looks; of two beginnings within a second the counters tell: what was counted does not become less.) */
static double client_rate(const json_t *now, const json_t *before, const char *name, double seconds)
{
    if (!before || seconds <= 0) return 0;
    uint32_t a = (uint32_t)whole(before, name), b = (uint32_t)whole(now, name); /* modulo 2^32 */
    bool same = labs((long)(connected_s(now) - connected_s(before))) <= 1 && (uint32_t)(b - a) < UINT32_MAX / 2;
    return (double)(uint32_t)(same ? b - a : b) / seconds;
}

static void look_at_clients(struct top *top, double seconds)
{
    struct top_sample *now = &top->now;
    json_t *data = json_object_get(now->clients, "data"), *one, *kept = json_object();
    size_t i;
    now->list = memory_resize(now->list, (json_array_size(data) + 1) * sizeof *now->list);
    now->list_count = 0;
    json_array_foreach(data, i, one) {
        const char *id = json_string_value(json_object_get(one, "clientid")), *address = json_string_value(json_object_get(one, "ip_address"));
        if (!id) continue;
        const json_t *before = json_object_get(top->before_clients, id);
        now->list[now->list_count++] = (struct top_client){
            .id = id,
            .address = address ? address : "",
            .connected = json_is_true(json_object_get(one, "connected")),
            .slowed = json_is_true(json_object_get(one, "slowed")),
            .in = client_rate(one, before, "recv_msg", seconds),
            .out = client_rate(one, before, "send_msg", seconds),
            .in_bytes = client_rate(one, before, "recv_msg_bytes", seconds),
            .queue = whole(one, "mqueue_len"),
            .queue_bytes = whole(one, "mqueue_bytes"),
            .inflight = whole(one, "inflight_cnt"),
            .subscriptions = whole(one, "subscriptions_cnt"),
            .backlog = whole(one, "send_backlog_bytes"),
        };
        json_object_set(kept, id, one);
    }
    json_decref(top->before_clients);
    top->before_clients = kept;
    top_sort(top);
}

bool top_look(struct top *top)
{
    char target[1024], encoded[3 * sizeof top->filter];
    top->error[0] = 0;
    http_encode(top->filter, encoded, sizeof encoded);
    snprintf(target, sizeof target, "/api/v1/clients?limit=%u&sort=%s&order=%s%s%s", top->clients_max, api_sorts[top->sort], top->ascending ? "asc" : "desc",
             *encoded ? "&like_clientid=" : "", encoded);
    json_t *stats = ask(top, "/api/v1/stats");
    uint64_t now_us = clock_now_us();
    json_t *nodes = stats ? ask(top, "/api/v1/nodes") : NULL, *clients = nodes ? ask(top, target) : NULL;
    uint64_t clients_us = clock_now_us(); /* finding them may have taken a while */
    if (!clients) {
        json_decref(stats);
        json_decref(nodes);
        return false;
    }
    struct top_sample *now = &top->now;
    json_decref(top->before_stats);
    top->before_stats = now->stats;
    json_decref(now->node);
    json_decref(now->clients);
    now->stats = stats;
    now->node = json_incref(json_array_get(json_object_get(nodes, "data"), 0));
    json_decref(nodes);
    now->clients = clients;
    now->seconds = top->before_stats ? (double)(now_us - top->before_us) / 1e6 : 0;
    top->before_us = now_us;
    const json_t *counters = json_object_get(stats, "counters"), *before = json_object_get(top->before_stats, "counters");
    now->in = rate(counters, before, "publish_received", now->seconds);
    now->out = rate(counters, before, "publish_sent", now->seconds);
    now->in_bytes = rate(counters, before, "bytes_received", now->seconds);
    now->out_bytes = rate(counters, before, "bytes_sent", now->seconds);
    now->connects = rate(counters, before, "connections_accepted", now->seconds);
    now->turn_p50 = quantile(histogram(stats, "turn"), histogram(top->before_stats, "turn"), 0.5);
    now->turn_p99 = quantile(histogram(stats, "turn"), histogram(top->before_stats, "turn"), 0.99);
    now->send_p50 = quantile(histogram(stats, "publish_to_send"), histogram(top->before_stats, "publish_to_send"), 0.5);
    now->send_p99 = quantile(histogram(stats, "publish_to_send"), histogram(top->before_stats, "publish_to_send"), 0.99);
    look_at_shards(now, top->before_stats);
    look_at_drops(now, top->before_stats);
    look_at_clients(top, top->before_clients ? (double)(clients_us - top->before_clients_us) / 1e6 : 0);
    top->before_clients_us = clients_us;
    top_look_at_events(top, top->events_wanted);
    return true;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static enum top_sort sort_now; /* qsort() hands nothing on */
static bool ascending_now;

static double key_of(const struct top_client *client)
{
    switch (sort_now) {
    case TOP_BY_IN: return client->in;
    case TOP_BY_IN_BYTES: return client->in_bytes;
    case TOP_BY_OUT: return client->out;
    case TOP_BY_QUEUE: return (double)client->queue;
    case TOP_BY_QUEUE_BYTES: return (double)client->queue_bytes;
    case TOP_BY_INFLIGHT: return (double)client->inflight;
    case TOP_BY_SUBSCRIPTIONS: return (double)client->subscriptions;
    default: return 0;
    }
}

static int by_key(const void *a, const void *b)
{
    const struct top_client *x = a, *y = b;
    double difference = key_of(x) - key_of(y);
    int order = difference > 0 ? -1 : difference < 0 ? 1 : 0;
    if (ascending_now) order = -order;
    if (order) return order;
    return sort_now == TOP_BY_ID && !ascending_now ? -strcmp(x->id, y->id) : strcmp(x->id, y->id);
}

void top_sort(struct top *top)
{
    sort_now = top->sort;
    ascending_now = top->ascending;
    qsort(top->now.list, top->now.list_count, sizeof *top->now.list, by_key);
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

bool top_kick(struct top *top, const char *client_id)
{
    size_t bytes = 3 * strlen(client_id) + 33;
    char *target = memory_acquire(bytes);
    int used = snprintf(target, bytes, "/api/v1/clients/");
    http_encode_segment(client_id, target + used, bytes - (size_t)used);
    struct http_reply reply;
    bool answered = http_client_request(&top->client, "DELETE", target, NULL, &reply);
    memory_release(target);
    if (!answered) {
        snprintf(top->error, sizeof top->error, "%s", top->client.error);
        return false;
    }
    bool kicked = reply.status == 204;
    if (!kicked) {
        json_t *answer = reply.body_bytes ? json_loads(reply.body, 0, NULL) : NULL;
        const char *message = json_string_value(json_object_get(answer, "message"));
        snprintf(top->error, sizeof top->error, "%s (%d)", message ? message : "not kicked", reply.status);
        json_decref(answer);
    }
    http_reply_release(&reply);
    return kicked;
}

void top_release(struct top *top)
{
    json_decref(top->now.stats);
    json_decref(top->now.node);
    json_decref(top->now.clients);
    json_decref(top->now.slow);
    json_decref(top->now.drop_log);
    json_decref(top->before_stats);
    json_decref(top->before_clients);
    memory_release(top->now.list);
    http_client_release(&top->client);
}
