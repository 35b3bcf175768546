/* broker.c - the broker's parts put together: what the engine calls. */
#include "broker/broker.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/doors/doors.h"
#include "broker/fanout.h"
#include "broker/watch/inspect.h"
#include "broker/records.h"
#include "broker/remains.h"
#include "router/route_memory.h"

/* Memory of a shard's match cache beyond its table. */
#define MATCH_CACHE_BYTES_MAX (64u << 20)

#define KICKED_PER_LOOK 16

static struct span session_key(const void *value) { return session_client_id(value); }

struct broker *broker_create(const struct settings *settings, uint32_t shards_count, uint64_t seed)
{
    struct broker *broker = memory_acquire_aligned(64, sizeof *broker); /* zeroed */
    broker->settings = settings;
    broker->shards_count = shards_count;
    broker->hash_seed = seed;
    broker->inspected_wake = -1;
    qsbr_init(&broker->qsbr, shards_count);
    extras_change(broker, settings);
    exclusive_init(&broker->exclusive);
    user_quota_init(&broker->user_quota);
    pressure_init(&broker->pressure, shards_count);
    struct route_index_config config = {.shards_count = shards_count, .hash_seed = broker->hash_seed};
    broker->routes = route_index_create(&config, &broker->qsbr);
    for (uint32_t s = 0; s < shards_count; s++) {
        broker->shards[s] = memory_acquire_aligned(64, sizeof *broker->shards[s]);
        broker->shards[s]->broker = broker;
    }
    return broker;
}

void broker_destroy(struct broker *broker)
{
    route_index_destroy(broker->routes);
    extras_release(broker->extras);
    exclusive_release(&broker->exclusive);
    user_quota_release(&broker->user_quota);
    pressure_release(&broker->pressure);
    trace_node_destroy(broker->trace);
    for (uint32_t s = 0; s < broker->shards_count; s++)
        memory_release(broker->shards[s]);
    memory_release(broker);
}

void *const *broker_aboves(struct broker *broker) { return (void *const *)broker->shards; }

/* ---- what the engine calls -------------------------------------------------------------------------------------- */

static void broker_start(struct shard *shard)
{
    struct broker_shard *broker = broker_of(shard);
    broker->shard = shard;
    broker->settings = broker->broker->settings;
    map_init(&broker->sessions, session_key);
    broker->sinks = sinks_create(broker->broker->hash_seed, 0);
    broker->retired = route_index_memory(broker->broker->routes, shard->number);
    broker->matches = match_cache_create(broker->broker->routes, (uint16_t)shard->number,
                                         broker->settings->mqtt.match_cache_topics, MATCH_CACHE_BYTES_MAX);
    match_cache_serves(broker->matches, broker->sinks, shard->group->packets_max ? 1 : SCOUT_FILTERS_MIN, &broker->scouts); /* tests want scouts */
    broker->share = share_create(random_next(&shard->random));
    list_init(&broker->kicked);
    list_init(&broker->requests);
    list_init(&broker->remains);
    broker->fanout_parts = shard->group->packets_max ? 2 : FANOUT_PARTS; /* tests want parts */
    list_init(&broker->queries);
    list_init(&broker->queries_ready);
    list_init(&broker->scans);
    list_init(&broker->scans_waiting);
    inspect_start(broker);
    pressure_start(broker);
    rates_start(broker);
    extras_start(broker);
    delayed_start(broker);
    retained_start(broker);
    sys_start(broker);
    features_shard_start(broker);
    durable_start(broker);
}

static const struct listener_settings *listener_of(const struct shard *shard, const struct conn *conn)
{
    return shard->group->listeners[conn->listener].settings;
}

static void connect_timeout(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    const struct listener_settings *listener = listener_of(broker->shard, conn);
    COUNT(broker, connect_timeouts);
    listener_event(&broker->shard->group->listeners[conn->listener], LISTENER_connect_timeouts);
    features_conn_gone(broker, conn);
    LOG_LIMITED(INFO, 100, "connection closed", "reason=no_connect_in_time listener=%s.%s", listener_kind_names[listener->kind], listener->name);
    conn_close(broker->shard, conn);
}

static void connect_timer(struct shard *shard, struct conn *conn, uint64_t in_ms)
{
    timer_init(&conn->timer, connect_timeout);
    if (in_ms) shard_start_timer(shard, &conn->timer, in_ms);
}

/* The handshakes should be over by now; then what is left of the time for CONNECT begins. */
static void handshake_timeout(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    const struct listener_settings *listener = listener_of(broker->shard, conn);
    if (!conn->unadmitted && filters_open(conn->filters))
        return connect_timer(broker->shard, conn, listener->connect_timeout_ms - listener->handshake_timeout_ms);
    COUNT(broker, handshake_timeouts);
    listener_event(&broker->shard->group->listeners[conn->listener], LISTENER_handshake_timeouts);
    LOG_LIMITED(INFO, 100, "connection closed", "reason=no_handshake_in_time listener=%s.%s", listener_kind_names[listener->kind],
                listener->name);
    conn_close(broker->shard, conn);
}

static void broker_accepted(struct shard *shard, struct conn *conn)
{
    const struct listener *listener = &shard->group->listeners[conn->listener];
    const struct listener_settings *settings = listener->settings;
    limits_prepare(broker_of(shard), conn->listener);
    if (!listener->admits || settings->handshake_timeout_ms >= settings->connect_timeout_ms)
        return connect_timer(shard, conn, settings->connect_timeout_ms);
    timer_init(&conn->timer, handshake_timeout);
    shard_start_timer(shard, &conn->timer, settings->handshake_timeout_ms);
}

static void broker_adopted(struct shard *shard, struct conn *conn, void *baggage)
{
    limits_prepare(broker_of(shard), conn->listener);
    connect_timer(shard, conn, listener_of(shard, conn)->connect_timeout_ms);
}

/* The connection's CONNECT was still unread: there is nothing of ours to take back. */
static void broker_move_failed(struct shard *shard, void *baggage)
{
    COUNT(broker_of(shard), connections_lost);
    LOG_LIMITED(WARN, 1000, "connection lost", "reason=no_slot_on_home_shard");
}

static void broker_writable(struct shard *shard, struct conn *conn)
{
    struct session *session = conn->client;
    if (!session) return;
    session_pump(broker_of(shard), session);
    if (!(conn->holds & HOLD_UNREAD)) return;
    if (conn_is_flooded(conn)) {
        conn->wants_writable = true;
        return;
    }
    if (UNLIKELY(session->traced)) trace_session(broker_of(shard), TRACE_EVENT_resumed, session, &(struct trace_facts){.numbers = {TRACE_PAUSE_UNREAD}});
    conn_release(shard, conn, HOLD_UNREAD);
}

static const char *const end_names[] = {[CONN_END_PEER] = "closed_by_peer", [CONN_END_RESET] = "reset", [CONN_END_FILTER] = "protocol_error",
                                        [CONN_END_REFUSED] = "refused", [CONN_END_STOPPED] = "stopped"};

static void broker_closed(struct shard *shard, struct conn *conn, enum conn_end why)
{
    struct session *session = conn->client;
    if (!session) return features_conn_gone(broker_of(shard), conn);
    switch (why) {
    case CONN_END_PEER: COUNT(broker_of(shard), clients_closed); break;
    case CONN_END_RESET: COUNT(broker_of(shard), clients_reset); break;
    default: COUNT(broker_of(shard), clients_ended); break;
    }
    LOG(INFO, "client lost", "client=%s reason=%s", log_quoted(session_client_id(session)),
        end_names[why]);
    session_detach(broker_of(shard), session, why == CONN_END_STOPPED ? SESSION_END_STOPPING : SESSION_END_LOST);
}

static void broker_release(struct shard *shard, void *owner) { message_unref(shard, owner); }

static void broker_peer(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    const struct session *session = conn->client;
    if (UNLIKELY(broker_of(shard)->features != NULL)) features_address_known(broker_of(shard), conn, address);
    if (UNLIKELY(broker_of(shard)->extras_bits & EXTRA_TRACE)) trace_peer(broker_of(shard), conn, address);
    if (UNLIKELY(!list_empty(&broker_of(shard)->inspections_asking)) && inspect_address(broker_of(shard), conn, address)) return;
    if (!session || conn->client != session) return;
    char peer[DOOR_PEER_BYTES_MAX];
    door_peer_text(conn, address, peer, sizeof peer);
    const struct listener_settings *listener = listener_of(shard, conn);
    LOG(INFO, "client connected", "client=%s peer=%s listener=%s.%s version=%s keep_alive=%us expiry=%us",
        log_quoted(session_client_id(session)), peer, listener_kind_names[listener->kind], listener->name, mqtt_version_name((enum mqtt_version)session->version),
        session->keep_alive_s, session->expiry_s);
}

/* True: some are left. */
static bool kicked_disconnect(struct broker_shard *broker)
{
    shard_step_begin(broker->shard);
    for (uint32_t i = 1; !list_empty(&broker->kicked); i++) {
        struct session *session = CONTAINER_OF(broker->kicked.next, struct session, link);
        session_disconnect(broker, session, session->kick_reason, NULL, SESSION_END_SERVER);
        if (i % KICKED_PER_LOOK == 0 && shard_step_over(broker->shard)) break;
    }
    return !list_empty(&broker->kicked);
}

static bool slow_turn(struct broker_shard *broker)
{
    bool more = broker->slow_work & SLOW_FANOUT && fanout_turn(broker);
    more |= broker->slow_work & SLOW_REMAINS && remains_turn(broker);
    return (broker->slow_work & SLOW_RATES && rates_turn(broker)) || more;
}

__attribute__((noinline)) static bool turn_work(struct broker_shard *broker)
{
    struct shard *shard = broker->shard;
    bool more = UNLIKELY(broker->features != NULL) && features_shard_turn(broker);
    if (UNLIKELY(broker->lanes_blocked || !list_empty(&broker->resuming) || !list_empty(&broker->held))) more |= pressure_turn(broker);
    if (UNLIKELY(!list_empty(&broker->kicked))) more |= kicked_disconnect(broker);
    more |= !list_empty(&broker->requests) && subscribe_turn(broker); /* it lets queries go, which the next line takes up */
    if (UNLIKELY(!list_empty(&broker->scans) || !list_empty(&broker->queries_ready))) more |= retained_turn(broker);
    if (UNLIKELY(!list_empty(&broker->inspections))) more |= inspect_turn(broker);
    if (UNLIKELY(broker->slow_work)) more |= slow_turn(broker);
    route_index_collect(broker->broker->routes, shard->number);
    if (broker->durable) more |= durable_turn(broker) || !list_empty(&broker->kicked);
    records_flush(shard);
    return more;
}

/* In most turns there is nothing but what came in; without store and features that is soon found out. */
static bool broker_turn(struct shard *shard)
{
    struct broker_shard *broker = broker_of(shard);
    broker->packets_ahead = 0;
    uint64_t any = (uintptr_t)atomic_load_explicit(&broker->features, memory_order_relaxed) | (uintptr_t)broker->durable | broker->release_owners |
                   broker->lanes_blocked | broker->slow_work;
    bool work = any || !list_empty(&broker->resuming) || !list_empty(&broker->held) || !list_empty(&broker->kicked) || !list_empty(&broker->requests) ||
                !list_empty(&broker->scans) || !list_empty(&broker->queries_ready) || !list_empty(&broker->inspections) || route_memory_waits(broker->retired);
    return UNLIKELY(work) && turn_work(broker);
}

void broker_stop_clients(struct broker_shard *broker)
{
    struct shard *shard = broker->shard;
    uint32_t wills_held = 0;
    broker->stopping = true;
    sys_stop(broker);
    for (uint32_t slot = 0; slot < shard->conns_used; slot++) {
        struct conn *conn = &shard->conns[slot];
        if (conn->state != CONN_OPEN || !conn->client) continue;
        wills_held += session_will(conn->client) != NULL;
        session_disconnect(broker, conn->client, MQTT_REASON_SERVER_SHUTTING_DOWN, NULL, SESSION_END_STOPPING);
    }
    /* §3.14.4: a server that shuts down may hold wills back; they are lost with the memory they live in. */
    if (wills_held) LOG(NOTICE, "wills not published", "count=%u reason=server_stops", wills_held);
    shard_stop(shard);
}

static void broker_stop(struct shard *shard)
{
    struct broker_shard *broker = broker_of(shard);
    broker->stopping = true;
    if (broker->broker->features) features_halt(broker->broker->features);
    inspect_stop(broker);
    durable_stop(broker);
    fanout_finish(broker);
    requests_release(broker);
    uint32_t cursor = 0;
    for (struct session *session; (session = map_next(&broker->sessions, &cursor)); cursor = 0)
        session_destroy(broker, session);
    remains_finish(broker);
    delayed_stop(broker);
    retained_stop(broker);
    sys_stop(broker);
    features_shard_stop(broker);
    records_flush(shard);
}

static void broker_finish(struct shard *shard)
{
    struct broker_shard *broker = broker_of(shard);
    records_flush(shard);
    durable_finish(broker);
    wheel_stop(&shard->wheel, &broker->pause_timer);
    wheel_stop(&shard->wheel, &broker->pressure_timer);
    match_cache_destroy(broker->matches);
    share_destroy(broker->share);
    sinks_destroy(broker->sinks);
    map_free(&broker->sessions);
    memory_release(broker->fanout);
    memory_release(broker->fanout_ids);
    memory_release(broker->properties);
    memory_release(broker->mounted);
    memory_release(broker->load);
    trace_finish(broker);
    drops_finish(broker);
    limits_release(broker);
    extras_finish(broker);
}

const struct shard_handler broker_handler = {
    .listener_open = door_open,
    .listener_close = door_close,
    .admit = door_admit,
    .start = broker_start,
    .accepted = broker_accepted,
    .adopted = broker_adopted,
    .move_failed = broker_move_failed,
    .received = packets_received,
    .writable = broker_writable,
    .closed = broker_closed,
    .release = broker_release,
    .record = records_take,
    .peer = broker_peer,
    .file = durable_file,
    .busy = durable_busy,
    .turn = broker_turn,
    .stop = broker_stop,
    .finish = broker_finish,
};
