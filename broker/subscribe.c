/* subscribe.c - SUBSCRIBE and UNSUBSCRIBE: sinks on this shard, routes in the index (design §7).
 *
 *     SUBSCRIBE ─► sinks ─► first sink of a filter? ─► the partition's writer ─► ROUTE_DONE ─┐
 *                    └────────── no ──────────────────────────────────────────────────────────┴─► SUBACK
 *                                                                  grace period (all shards see it) ─► retained messages
 *
 * The grace period before the retained messages are asked for closes a gap: a publisher that matched before the route was
 * visible has by then put its message on its way to the retained store, so the subscriber gets it from there. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "broker/mount.h"
#include "broker/records.h"
#include "proto/topic.h"

/* One change of the index under way to another shard. */
struct route_request {
    struct subscribe_request *waits; /* on the asking shard; NULL: nobody waits for the answer */
    struct route route;              /* group points into text */
    uint32_t filter_bytes;
    char text[]; /* filter, group */
};

struct subscribe_request {
    struct list link;
    struct session *session; /* NULL when it has ended meanwhile */
    uint64_t conn;           /* name: SUBACK goes to the connection that asked, and to no later one */
    uint32_t routes_open;    /* ROUTE_DONE still to come, and one more while the packet is being handled */
    uint16_t packet_id;
    bool grace;              /* the ticket is drawn */
    bool going;              /* the grace period is over: its queries are let go, some a turn if there are many */
    bool stored;             /* the subscriptions are on disk, or need not be */
    _Atomic uint32_t *restores; /* counted down when all routes are laid; NULL: a client's */
    struct inspect *tells;   /* the admin API's question, answered where a client's SUBACK would leave; or NULL */
    struct qsbr_ticket ticket;
    uint32_t queries_count, queries_gone;
    struct retained_query **queries; /* for retained messages, on hold until all shards see the routes */
    struct request_rest *rest; /* filters the turn had no time for: subscribe_turn() goes on; NULL: none */
    bool unsubscribes;       /* an UNSUBSCRIBE, which is here only because of its rest */
    uint32_t subscription_id;
    uint32_t codes_count;
    uint8_t codes[];
};

/* Of a packet's payload, and the gates' verdicts on its filters. */
struct request_rest {
    uint32_t bytes, done; /* done: the filters before it */
    bool judged;          /* there are verdicts */
    uint8_t *verdicts;    /* behind data */
    uint8_t data[];
};

/* ---- routes ----------------------------------------------------------------------------------------------------- */

static void route_change(struct broker_shard *broker, enum record_kind kind, struct span filter,
                         const struct route *route, struct subscribe_request *waits)
{
    struct route_index *index = broker->broker->routes;
    uint32_t writer = route_index_writer(index, route_index_partition(index, filter));
    if (writer == broker->shard->number) {
        if (kind == RECORD_ROUTE_ADD)
            route_index_add(index, filter, route);
        else
            route_index_remove(index, filter, route->group, route->target);
        return;
    }
    struct route_request *request = memory_acquire(sizeof *request + filter.bytes + route->group.bytes);
    *request = (struct route_request){.waits = waits, .route = *route, .filter_bytes = (uint32_t)filter.bytes};
    memcpy(request->text, filter.data, filter.bytes);
    if (route->group.bytes) memcpy(request->text + filter.bytes, route->group.data, route->group.bytes);
    request->route.group = span_of(request->text + filter.bytes, route->group.bytes);
    if (waits) waits->routes_open++;
    record_send(broker->shard, writer, kind, request, 0);
}

static struct conn *request_conn(const struct subscribe_request *request);
static void request_advance(struct broker_shard *broker, struct subscribe_request *request);

void route_record(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    struct route_request *request = record_pointer(cells);
    struct span filter = span_of(request->text, request->filter_bytes);
    enum record_kind kind = (enum record_kind)record_kind(cells);
    if (kind == RECORD_ROUTE_DONE) {
        struct subscribe_request *waits = request->waits;
        memory_release(request);
        DCHECK(waits->routes_open > 0);
        waits->routes_open--;
        struct conn *conn = waits->routes_open == 0 ? request_conn(waits) : NULL;
        request_advance(broker, waits);
        if (conn && conn->state == CONN_OPEN) conn_release(broker->shard, conn, HOLD_SUBSCRIBE);
        return;
    }
    if (kind == RECORD_ROUTE_ADD)
        route_index_add(broker->broker->routes, filter, &request->route);
    else
        route_index_remove(broker->broker->routes, filter, request->route.group, request->route.target);
    if (request->waits) return record_send(broker->shard, from, RECORD_ROUTE_DONE, request, 0);
    memory_release(request);
}

/* ---- a SUBSCRIBE on its way ------------------------------------------------------------------------------------- */

static void request_release(struct subscribe_request *request)
{
    list_remove(&request->link);
    if (request->restores) atomic_fetch_sub(request->restores, 1);
    if (request->session) request->session->requests_count--;
    memory_release(request->queries);
    memory_release(request->rest);
    memory_release(request);
}

/* The connection that asked, if it still stands. */
static struct conn *request_conn(const struct subscribe_request *request)
{
    struct session *session = request->session;
    return session && session->conn && conn_name(session->conn) == request->conn ? session->conn : NULL;
}

static void suback_send(struct broker_shard *broker, const struct subscribe_request *request)
{
    struct session *session = request->session;
    if (!request_conn(request) || session->kicked || request->packet_id == 0) return; /* 0: nobody has asked, subscriptions_give() */
    struct mqtt_packet packet = {.type = MQTT_SUBACK,
                                 .suback = {.packet_id = request->packet_id,
                                            .codes = span_of(request->codes, request->codes_count)}};
    packet.suback.properties.present = 0;
    if (!packet_send(broker, session->conn, (enum mqtt_version)session->version, session->packet_bytes_max, &packet))
        session_kick(broker, session, MQTT_REASON_PACKET_TOO_LARGE);
}

#define QUERIES_A_TURN 512 /* up to 0.3 µs each */

/* Then the request has done its work; false: there are more queries than one turn should let go, subscribe_turn() goes on. */
static bool queries_go(struct broker_shard *broker, struct subscribe_request *request)
{
    request->going = true;
    for (uint32_t i = 0; i < QUERIES_A_TURN && request->queries_gone < request->queries_count; i++)
        retained_go(broker, request->queries[request->queries_gone++]);
    if (request->queries_gone < request->queries_count) return false;
    request_release(request);
    return true;
}

/* All routes are laid: answer. The retained messages follow when no shard can still be publishing by the old routes. */
static void request_advance(struct broker_shard *broker, struct subscribe_request *request)
{
    if (request->routes_open > 0) return;
    if (UNLIKELY(broker->durable) && !request->stored && request->session) {
        request->stored = true;
        if (durable_hold_suback(broker, request->session, request)) return;
    }
    suback_send(broker, request);
    if (UNLIKELY(request->tells)) inspect_subscribed(broker, request->tells);
    if (request->queries_count) broker->shard->more_next_turn = true; /* this turn's time for them may be over: durable_turn(), inspect_turn() */
    if (request->queries_count == 0 || broker->broker->shards_count == 1) {
        queries_go(broker, request);
        return;
    }
    request->grace = true;
    qsbr_ticket(&broker->broker->qsbr, &request->ticket);
}

void request_stored(struct broker_shard *broker, struct subscribe_request *request) { request_advance(broker, request); }

static void rest_go_on(struct broker_shard *broker, struct subscribe_request *request);

bool subscribe_turn(struct broker_shard *broker)
{
    bool waiting = false;
    struct subscribe_request *resting = NULL;
    shard_step_begin(broker->shard);
    LIST_FOR_EACH(link, &broker->requests)
    {
        struct subscribe_request *request = CONTAINER_OF(link, struct subscribe_request, link);
        if (UNLIKELY(request->rest) && !resting) resting = request;
        if (!request->grace && !request->going) continue; /* a lane will bring the answer */
        if (!request->going && !qsbr_elapsed(&broker->broker->qsbr, &request->ticket)) {
            waiting = true;
            continue;
        }
        waiting |= !queries_go(broker, request);
        if (shard_step_over(broker->shard)) { /* the others in the next turn */
            waiting = true;
            break;
        }
    }
    if (UNLIKELY(resting)) rest_go_on(broker, resting); /* one a turn */
    return waiting || resting;
}

void requests_release(struct broker_shard *broker)
{
    while (!list_empty(&broker->requests))
        request_release(CONTAINER_OF(broker->requests.next, struct subscribe_request, link));
}

/* ---- SUBSCRIBE -------------------------------------------------------------------------------------------------- */

/* Is the filter, word for word, in the comma-separated list? */
static bool filter_denied(const char *list, struct span filter)
{
    while (list && *list) {
        size_t bytes = strcspn(list, ",");
        if (span_equal(span_of(list, bytes), filter)) return true;
        list += bytes + (list[bytes] == ',');
    }
    return false;
}

/* Then another one takes its place [MQTT-3.8.4-3], and there are no more than before. */
static bool subscription_stands(const struct broker_shard *broker, const struct session *session, struct span filter, struct span group)
{
    uint32_t local_id = sinks_find(broker->sinks, filter, group);
    return local_id != SINKS_ID_NONE && sinks_find_sink(broker->sinks, local_id, session);
}

static enum mqtt_reason subscription_check(struct broker_shard *broker, const struct session *session,
                                           const struct mqtt_subscription *subscription)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    const struct limits *limits = limits_of(broker, session->conn);
    struct span filter = subscription->filter;
    bool wildcard = memchr(filter.data, '+', filter.bytes) || memchr(filter.data, '#', filter.bytes);
    if (wildcard && !limits->wildcard_available) return MQTT_REASON_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED;
    if (subscription->share_group.bytes && !limits->shared_available)
        return MQTT_REASON_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
    if (filter_denied(mqtt->denied_filters, filter)) return MQTT_REASON_UNSPECIFIED_ERROR;
    struct span mounted = mount_topic(broker, session, filter);
    if (mounted.bytes == 0 || !route_index_accepts(mounted)) return MQTT_REASON_TOPIC_FILTER_INVALID;
    bool full = (limits->subscriptions_max && session->subscriptions_count >= limits->subscriptions_max) || session->subscriptions_count == UINT16_MAX;
    if (LIKELY(!full) || subscription_stands(broker, session, mounted, subscription->share_group)) return MQTT_REASON_SUCCESS;
    return MQTT_REASON_QUOTA_EXCEEDED;
}

static void session_subscription_append(struct session *session, uint32_t local_id)
{
    if (session->subscriptions_count == session->subscriptions_capacity) {
        /* By half, in steps of 16 bytes as the heap has them. */
        uint32_t capacity = session->subscriptions_capacity < 4 ? session->subscriptions_capacity + 2u
                                                                 : (session->subscriptions_capacity * 3u / 2 + 3) / 4 * 4;
        session->subscriptions_capacity = capacity > UINT16_MAX ? UINT16_MAX : (uint16_t)capacity;
        session->subscriptions =
            memory_resize(session->subscriptions, session->subscriptions_capacity * sizeof *session->subscriptions);
    }
    session->subscriptions[session->subscriptions_count++] = local_id;
}

static void session_subscription_remove(struct session *session, uint32_t local_id)
{
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        if (session->subscriptions[i] != local_id) continue;
        session->subscriptions[i] = session->subscriptions[--session->subscriptions_count];
        return;
    }
    UNREACHABLE("a sink without its entry in the session");
}

static uint8_t strategy_of(const struct broker_shard *broker, struct span group)
{
    if (UNLIKELY(share_is_local(group))) return SHARE_LOCAL;
    return share_strategy_of(broker->extras->share_strategies, group, broker->settings->mqtt.share_strategy);
}

/* Its weight follows its members. */
static bool is_shared(struct span group) { return group.bytes && !share_is_local(group); }

/* On the shard and in the index. */
static struct sinks_added subscription_lay(struct broker_shard *broker, struct session *session, struct span filter, struct span group,
                                           const struct sink *sink, struct subscribe_request *request)
{
    struct sinks_added added = sinks_add(broker->sinks, filter, group, sink);
    if (added.local_id == SINKS_ID_NONE) return added;
    if (!added.replaced) {
        session_subscription_append(session, added.local_id);
        COUNT(broker, subscriptions);
        if (is_shared(group)) COUNT(broker, subscriptions_shared);
        if (UNLIKELY(session_is_durable(session))) durable_filter_count(broker, added.local_id, true);
    }
    if (added.first) sys_filter_added(broker, filter);
    if (added.first || (is_shared(group) && !added.replaced)) {
        struct route route = {.group = group, .local_id = added.local_id, .weight = added.count,
                              .target = (uint16_t)broker->shard->number, .strategy = strategy_of(broker, group)};
        route_change(broker, RECORD_ROUTE_ADD, filter, &route, request);
    }
    return added;
}

static void query_append(struct subscribe_request *request, struct retained_query *query)
{
    uint32_t count = request->queries_count;
    if ((count & (count - 1)) == 0) request->queries = memory_resize(request->queries, (count ? 2 * count : 1) * sizeof *request->queries); /* doubled */
    request->queries[request->queries_count++] = query;
}

static uint8_t max_qos_lower(const struct broker_shard *broker, struct span filter, uint8_t qos)
{
    uint8_t allowed = max_qos_of(broker->extras->max_qos, filter);
    return allowed < qos ? allowed : qos;
}

/* Returns the code for SUBACK. */
static enum mqtt_reason subscription_add(struct broker_shard *broker, struct session *session,
                                         const struct mqtt_subscription *subscription, uint32_t subscription_id,
                                         struct subscribe_request *request)
{
    struct mqtt_subscription changed;
    bool exclusive = false;
    if (UNLIKELY(broker->extras_bits & (EXTRA_REWRITE_SUBSCRIBE | EXTRA_EXCLUSIVE))) {
        changed = *subscription;
        enum mqtt_reason odd = extras_filter(broker, session, &changed, &exclusive);
        if (odd) return odd;
        subscription = &changed;
    }
    enum mqtt_reason refused = subscription_check(broker, session, subscription);
    if (refused) return refused;
    uint8_t qos_max = limits_of(broker, session->conn)->qos_max, qos = subscription->qos < qos_max ? subscription->qos : qos_max;
    if (UNLIKELY(broker->extras_bits & EXTRA_MAX_QOS)) qos = max_qos_lower(broker, subscription->filter, qos);
    struct span filter = mount_topic(broker, session, subscription->filter);
    if (UNLIKELY(session_is_durable(session)) && durable_shut(broker) &&
        durable_turns_away_subscribe(broker, subscription_stands(broker, session, filter, subscription->share_group)))
        return MQTT_REASON_QUOTA_EXCEEDED;
    if (UNLIKELY(exclusive) && !exclusive_claim(&broker->broker->exclusive, filter, session)) {
        COUNT(broker, exclusive_refused);
        return MQTT_REASON_QUOTA_EXCEEDED;
    }
    bool shared = subscription->share_group.bytes != 0;
    struct sink sink = {.who = session,
                        .subscription_id = subscription_id,
                        .qos = qos & 3,
                        .no_local = subscription->no_local || (session->bridge && !shared),
                        .retain_as_published = subscription->retain_as_published || session->bridge};
    struct sinks_added added = subscription_lay(broker, session, filter, subscription->share_group, &sink, request);
    if (added.local_id == SINKS_ID_NONE) {
        if (exclusive) exclusive_drop(&broker->broker->exclusive, filter, session);
        return MQTT_REASON_QUOTA_EXCEEDED;
    }
    if (UNLIKELY(session_is_durable(session)))
        durable_subscribe(broker, session, filter, subscription->share_group, &sink, added.local_id);
    bool wants_retained = !shared && (subscription->retain_handling == 0 ||
                                      (subscription->retain_handling == 1 && !added.replaced)); /* §3.8.3.1 */
    if (wants_retained)
        query_append(request, retained_hold(broker, session, filter, qos, subscription_id));
    return (enum mqtt_reason)qos; /* Granted QoS 0, 1, 2 */
}

/* One filter of a SUBSCRIBE. `denied`: by a gate, for that reason; 0: it is not. */
static void filter_add(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, uint8_t denied,
                       struct subscribe_request *request)
{
    enum mqtt_reason code = denied ? (enum mqtt_reason)denied : subscription_add(broker, session, subscription, request->subscription_id, request);
    request->codes[request->codes_count++] = (uint8_t)code;
    if (!mqtt_reason_is_error(code)) TAP_TELL(broker, subscribed, session->version, session->client_hash, subscription->full_filter, code, 0);
    if (UNLIKELY(session->traced))
        trace_session(broker, mqtt_reason_is_error(code) ? TRACE_EVENT_refused : TRACE_EVENT_subscribed, session,
                      &(struct trace_facts){.topic = subscription->full_filter, .reason = (uint8_t)code, .numbers = {MQTT_SUBSCRIBE}});
    if (mqtt_reason_is_error(code)) reasons_add(&broker->reasons, REASONS_subscribe, (uint8_t)code);
    if (mqtt_reason_is_error(code) && !denied)
        LOG_LIMITED(WARN, 1000, "subscription refused", "client=%s filter=%s reason=\"%s\"",
                    log_quoted(session_client_id(session)), log_quoted(subscription->full_filter),
                    mqtt_reason_name(code));
    else if (!denied)
        LOG(DEBUG, "subscribed", "client=%s filter=%s qos=%u", log_quoted(session_client_id(session)),
            log_quoted(subscription->full_filter), (unsigned)code);
}

/* Filters are work like packets are, some microseconds each. */
#define FILTER_WORK       8
#define FILTERS_PER_LOOK  8

static bool filter_remove(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, struct subscribe_request *request);

/* The next filter of the packet; false: there is none. */
static bool filter_next(struct broker_shard *broker, struct session *session, struct subscribe_request *request, struct span *rest, const uint8_t *verdicts)
{
    struct mqtt_subscription subscription;
    if (request->unsubscribes) return mqtt_unsubscription_next(rest, &subscription) && filter_remove(broker, session, &subscription, request);
    if (!mqtt_subscription_next(rest, &subscription)) return false;
    filter_add(broker, session, &subscription, verdicts ? verdicts[request->codes_count] : 0, request);
    return true;
}

/* The turn is over in the middle of the packet. */
static void rest_keep(struct broker_shard *broker, struct subscribe_request *request, struct span rest, const uint8_t *verdicts, uint32_t filters)
{
    struct request_rest *kept = request->rest = memory_acquire(sizeof *kept + rest.bytes + (verdicts ? filters : 0));
    *kept = (struct request_rest){.bytes = (uint32_t)rest.bytes, .judged = verdicts != NULL, .verdicts = kept->data + rest.bytes};
    memcpy(kept->data, rest.data, rest.bytes);
    if (verdicts) memcpy(kept->verdicts, verdicts, filters);
    request->routes_open++; /* so that nothing is answered yet */
    conn_hold(request->session->conn, HOLD_SUBSCRIBE);
}

static void filters_take(struct broker_shard *broker, struct session *session, struct subscribe_request *request, struct span rest, const uint8_t *verdicts, uint32_t filters)
{
    struct shard *shard = broker->shard;
    while (filter_next(broker, session, request, &rest, verdicts)) {
        shard_turn_work(shard, FILTER_WORK);
        if (UNLIKELY(rest.bytes && shard_turn_spent(shard))) return rest_keep(broker, request, rest, verdicts, filters);
    }
}

static void request_answered(struct broker_shard *broker, struct subscribe_request *request);

/* Some more filters of a packet that was too long for one turn; then the answer, and the client's next packets. */
static void rest_go_on(struct broker_shard *broker, struct subscribe_request *request)
{
    struct request_rest *kept = request->rest;
    struct span whole = span_of(kept->data, kept->bytes), rest = span_skip(whole, kept->done);
    struct conn *conn = request_conn(request);
    if (!conn || conn->state != CONN_OPEN) rest = span_of(NULL, 0); /* nobody waits for the answer any more */
    shard_step_begin(broker->shard);
    for (uint32_t i = 1; rest.bytes && filter_next(broker, request->session, request, &rest, kept->judged ? kept->verdicts : NULL); i++)
        if (i % FILTERS_PER_LOOK == 0 && shard_step_over(broker->shard)) break;
    kept->done = kept->bytes - (uint32_t)rest.bytes;
    if (rest.bytes) {
        list_remove(&request->link); /* others' turn */
        return list_append(&broker->requests, &request->link);
    }
    request->rest = NULL;
    memory_release(kept);
    bool laid = --request->routes_open == 0;
    if (request->unsubscribes)
        request_answered(broker, request);
    else
        request_advance(broker, request);
    if (laid && conn && conn->state == CONN_OPEN) conn_release(broker->shard, conn, HOLD_SUBSCRIBE);
}

bool subscribe_handle(struct broker_shard *broker, struct session *session, const struct mqtt_subscribe *subscribe)
{
    const uint8_t *verdicts = NULL; /* per filter: 0, or the reason it is denied for */
    if (feature_attached(broker, FEATURE_GATE(subscribe))) {
        enum gate_result result = features_subscribe(broker, session, subscribe, &verdicts);
        if (result != GATE_PASSED) return result == GATE_UNREAD;
    }
    struct subscribe_request *request = memory_acquire(sizeof *request + subscribe->count);
    *request = (struct subscribe_request){.session = session, .conn = conn_name(session->conn),
                                          .packet_id = subscribe->packet_id, .routes_open = 1};
    list_append(&broker->requests, &request->link);
    session->requests_count++;
    if (UNLIKELY(limits_of(broker, session->conn)->rates & RATE_BIT(RATE_SUBSCRIBES))) rates_subscribed(broker, session, subscribe->count);
    request->subscription_id = mqtt_has(&subscribe->properties, MQTT_PROPERTY_SUBSCRIPTION_IDENTIFIER)
                                   ? subscribe->properties.subscription_id : 0;
    filters_take(broker, session, request, subscribe->raw, verdicts, subscribe->count);
    /* Packets behind this one wait for the routes: a message that the client publishes next comes back to it. */
    if (request->routes_open > 1) conn_hold(session->conn, HOLD_SUBSCRIBE);
    request->routes_open--;
    request_advance(broker, request);
    return false;
}

void subscriptions_give(struct broker_shard *broker, struct session *session)
{
    uint32_t count;
    const struct auto_subscription *entries = auto_subscribe_entries(broker->extras->auto_subscribe, &count);
    struct client_names names = client_names_of(session);
    struct subscribe_request *request = memory_acquire(sizeof *request);
    *request = (struct subscribe_request){.session = session, .conn = conn_name(session->conn), .routes_open = 1, .stored = true};
    list_append(&broker->requests, &request->link);
    session->requests_count++;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t text[MQTT_STRING_BYTES_MAX];
        struct mqtt_subscription subscription = {.qos = entries[i].qos, .retain_handling = entries[i].retain_handling,
                                                 .no_local = entries[i].no_local, .retain_as_published = entries[i].retain_as_published};
        struct span filter = auto_subscribe_filter(&entries[i], &names, text, sizeof text);
        subscription.full_filter = filter;
        bool sound = filter.bytes && mqtt_share_split(filter, &subscription.share_group, &subscription.filter);
        enum mqtt_reason code = sound ? subscription_add(broker, session, &subscription, 0, request) : MQTT_REASON_TOPIC_FILTER_INVALID;
        if (mqtt_reason_is_error(code)) COUNT(broker, auto_subscriptions_failed);
        if (mqtt_reason_is_error(code))
            LOG_LIMITED(WARN, 1000, "subscription not given", "client=%s filter=%s reason=\"%s\"", log_quoted(session_client_id(session)),
                        log_quoted(entries[i].filter), mqtt_reason_name(code));
    }
    if (request->routes_open > 1) conn_hold(session->conn, HOLD_SUBSCRIBE);
    request->routes_open--;
    request_advance(broker, request);
}

enum mqtt_reason subscription_add_for(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription,
                                      struct inspect *tells)
{
    struct subscribe_request *request = memory_acquire(sizeof *request);
    *request = (struct subscribe_request){.session = session, .conn = UINT64_MAX, .routes_open = 1};
    list_append(&broker->requests, &request->link);
    session->requests_count++;
    enum mqtt_reason code = subscription_add(broker, session, subscription, 0, request);
    if (!mqtt_reason_is_error(code)) request->tells = tells;
    tells->reason = (uint8_t)code;
    request->routes_open--;
    request_advance(broker, request);
    return code;
}

/* ---- sinks of features -------------------------------------------------------------------------------------------- */

/* Retained messages of a local subscription come from this shard's own store alone: its sisters on the other shards get the others. */
static void retained_for_sink(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, uint32_t id, bool local,
                              struct subscribe_request *request)
{
    struct retained_query *query = retained_hold(broker, session, subscription->filter, subscription->qos, id);
    if (local) retained_hold_local(broker, query);
    query_append(request, query);
}

enum mqtt_reason sink_subscription_add(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, uint32_t id, bool local)
{
    if (!route_index_accepts(subscription->filter)) return MQTT_REASON_TOPIC_FILTER_INVALID;
    if (session->subscriptions_count == UINT16_MAX) return MQTT_REASON_QUOTA_EXCEEDED;
    struct span group = local ? SHARE_LOCAL_GROUP : subscription->share_group;
    struct subscribe_request *request = memory_acquire(sizeof *request);
    *request = (struct subscribe_request){.session = session, .conn = UINT64_MAX, .routes_open = 1, .stored = true};
    list_append(&broker->requests, &request->link);
    session->requests_count++;
    struct sink sink = {.who = session, .subscription_id = id, .qos = subscription->qos & 3, .no_local = subscription->no_local, .retain_as_published = true};
    struct sinks_added added = subscription_lay(broker, session, subscription->filter, group, &sink, request);
    bool laid = added.local_id != SINKS_ID_NONE;
    bool wants_retained = laid && !is_shared(group) && (subscription->retain_handling == 0 || (subscription->retain_handling == 1 && !added.replaced));
    if (wants_retained) retained_for_sink(broker, session, subscription, id, local, request);
    request->routes_open--;
    request_advance(broker, request);
    return laid ? (enum mqtt_reason)subscription->qos : MQTT_REASON_QUOTA_EXCEEDED;
}

/* ---- what was stored, at start ---------------------------------------------------------------------------------- */

struct subscribe_request *subscriptions_restore_begin(struct broker_shard *broker)
{
    struct subscribe_request *request = memory_acquire(sizeof *request);
    *request = (struct subscribe_request){.routes_open = 1, .restores = &broker->broker->restoring};
    list_append(&broker->requests, &request->link);
    return request;
}

void subscription_restore(struct broker_shard *broker, struct session *session, const struct stored_subscription *stored,
                          struct subscribe_request *request)
{
    struct sink sink = {.who = session, .subscription_id = stored->subscription_id, .qos = stored->qos & 3, .no_local = stored->no_local,
                        .retain_as_published = stored->retain_as_published};
    if (stored->exclusive) exclusive_claim(&broker->broker->exclusive, stored->filter, session);
    subscription_lay(broker, session, stored->filter, stored->group, &sink, request);
}

void subscriptions_restore_end(struct broker_shard *broker, struct subscribe_request *request)
{
    request->routes_open--;
    request_advance(broker, request);
}

/* ---- UNSUBSCRIBE ------------------------------------------------------------------------------------------------ */

/* After a sink has gone: the route goes with the last one, and a shared group's weight follows its members. */
static void sink_removed(struct broker_shard *broker, struct span filter, struct span group,
                         const struct sinks_removed *removed)
{
    UNCOUNT(broker, subscriptions);
    if (is_shared(group)) UNCOUNT(broker, subscriptions_shared);
    struct route route = {.group = group, .local_id = removed->local_id, .weight = removed->count,
                          .target = (uint16_t)broker->shard->number, .strategy = strategy_of(broker, group)};
    if (removed->last) sys_filter_removed(broker, filter);
    if (removed->last)
        route_change(broker, RECORD_ROUTE_REMOVE, filter, &route, NULL);
    else if (is_shared(group))
        route_change(broker, RECORD_ROUTE_ADD, filter, &route, NULL);
}

static enum mqtt_reason subscription_remove(struct broker_shard *broker, struct session *session,
                                            const struct mqtt_subscription *subscription)
{
    struct mqtt_subscription changed;
    bool exclusive = false;
    if (UNLIKELY(broker->extras_bits & (EXTRA_REWRITE_SUBSCRIBE | EXTRA_EXCLUSIVE))) {
        changed = *subscription;
        enum mqtt_reason odd = extras_filter(broker, session, &changed, &exclusive);
        if (odd) return odd;
        subscription = &changed;
    }
    struct span filter = mount_topic(broker, session, subscription->filter);
    struct sinks_removed removed = sinks_remove(broker->sinks, filter, subscription->share_group, session);
    if (!removed.found) return MQTT_REASON_NO_SUBSCRIPTION_EXISTED;
    session_subscription_remove(session, removed.local_id);
    if (!is_shared(subscription->share_group)) {
        exclusive_drop(&broker->broker->exclusive, filter, session);
        if (UNLIKELY(session->querying)) retained_cancel(session, filter);
    }
    if (UNLIKELY(session_is_durable(session))) {
        durable_filter_count(broker, removed.local_id, false);
        durable_unsubscribe(broker, session, filter, subscription->share_group);
    }
    sink_removed(broker, filter, subscription->share_group, &removed);
    return MQTT_REASON_SUCCESS;
}

bool sink_subscription_remove(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, bool local)
{
    struct span group = local ? SHARE_LOCAL_GROUP : subscription->share_group;
    struct sinks_removed removed = sinks_remove(broker->sinks, subscription->filter, group, session);
    if (!removed.found) return false;
    session_subscription_remove(session, removed.local_id);
    if (UNLIKELY(session->querying) && !is_shared(subscription->share_group)) retained_cancel(session, subscription->filter);
    sink_removed(broker, subscription->filter, group, &removed);
    return true;
}

enum mqtt_reason subscription_remove_for(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription)
{
    return subscription_remove(broker, session, subscription);
}

static bool filter_remove(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, struct subscribe_request *request)
{
    uint8_t code = request->codes[request->codes_count++] = (uint8_t)subscription_remove(broker, session, subscription);
    if (code) reasons_add(&broker->reasons, REASONS_unsubscribe, code);
    if (!code) TAP_TELL(broker, unsubscribed, session->version, session->client_hash, subscription->full_filter, 0, 0);
    LOG(DEBUG, "unsubscribed", "client=%s filter=%s", log_quoted(session_client_id(session)), log_quoted(subscription->full_filter));
    return true;
}

/* All of an UNSUBSCRIBE is done: UNSUBACK, to who has asked. */
static void request_answered(struct broker_shard *broker, struct subscribe_request *request)
{
    struct session *session = request->session;
    struct mqtt_packet packet = {.type = MQTT_UNSUBACK,
                                 .suback = {.packet_id = request->packet_id, .codes = span_of(request->codes, request->codes_count)}};
    packet.suback.properties.present = 0;
    if (request_conn(request) && !session->kicked) {
        bool held = UNLIKELY(session->durable) && durable_packet_send(broker, session, &packet);
        if (!held && !packet_send(broker, session->conn, (enum mqtt_version)session->version, session->packet_bytes_max, &packet))
            session_kick(broker, session, MQTT_REASON_PACKET_TOO_LARGE);
    }
    request_release(request);
}

void unsubscribe_handle(struct broker_shard *broker, struct session *session,
                        const struct mqtt_unsubscribe *unsubscribe)
{
    struct subscribe_request *request = memory_acquire(sizeof *request + unsubscribe->count);
    *request = (struct subscribe_request){.session = session, .conn = conn_name(session->conn), .packet_id = unsubscribe->packet_id, .unsubscribes = true};
    list_append(&broker->requests, &request->link);
    session->requests_count++;
    filters_take(broker, session, request, unsubscribe->raw, NULL, unsubscribe->count);
    if (LIKELY(!request->rest)) request_answered(broker, request);
}

void subscriptions_end_some(struct broker_shard *broker, struct session *session, uint32_t most)
{
    for (; most && session->subscriptions_count; most--) {
        struct span filter, group;
        uint32_t local_id = session->subscriptions[--session->subscriptions_count];
        CHECK(sinks_text(broker->sinks, local_id, &filter, &group));
        /* The texts are the filter's own and may go with its last sink. */
        char *copy = memory_acquire(filter.bytes + group.bytes);
        memcpy(copy, filter.data, filter.bytes);
        if (group.bytes) memcpy(copy + filter.bytes, group.data, group.bytes);
        struct span filter_copy = span_of(copy, filter.bytes), group_copy = span_of(copy + filter.bytes, group.bytes);
        struct sinks_removed removed = sinks_remove(broker->sinks, filter_copy, group_copy, session);
        CHECK(removed.found);
        exclusive_drop(&broker->broker->exclusive, filter_copy, session);
        sink_removed(broker, filter_copy, group_copy, &removed);
        memory_release(copy);
    }
}

void subscriptions_end(struct broker_shard *broker, struct session *session, bool remain)
{
    if (UNLIKELY(session_is_durable(session)))
        for (uint32_t i = 0; i < session->subscriptions_count; i++)
            durable_filter_count(broker, session->subscriptions[i], false);
    if (!remain) subscriptions_end_some(broker, session, UINT32_MAX);
    if (session->requests_count == 0) return;
    LIST_FOR_EACH(link, &broker->requests)
    {
        struct subscribe_request *request = CONTAINER_OF(link, struct subscribe_request, link);
        if (request->session == session) request->session = NULL;
    }
}
