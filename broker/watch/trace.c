/* watch/trace.c - whom a trace is for: sets of traces taken over, sessions marked, publishers followed over shards. */
#include "broker/watch/trace.h"

#include <stdio.h>

#include "base/glob.h"
#include "base/memory.h"
#include "broker/doors/doors.h"
#include "broker/watch/inspect.h"
#include "broker/records.h"
#include "broker/watch/trace_inside.h"
#include "proto/topic.h"

#define EVENT_NAME(name, documentation) #name,
#define EVENT_DOCUMENTATION(name, documentation) documentation,
#define TRACE_EVENT EVENT_NAME
const char *const trace_event_names[TRACE_EVENTS] = {
#include "broker/watch/trace_events.def"
};
#undef TRACE_EVENT
#define TRACE_EVENT EVENT_DOCUMENTATION
const char *const trace_event_documentation[TRACE_EVENTS] = {
#include "broker/watch/trace_events.def"
};
#undef TRACE_EVENT
const char *const trace_kind_names[TRACE_KINDS] = {"clientid", "clientid_pattern", "topic", "ip_address", "username", "username_pattern"};

/* ---- whom a rule means -------------------------------------------------------------------------------------------- */

static bool rule_means(const struct trace_rule *rule, struct span client_id, struct span user_name)
{
    switch (rule->kind) {
    case TRACE_CLIENT_ID: return span_equal(rule->value, client_id);
    case TRACE_CLIENT_ID_PATTERN: return glob_matches(rule->value, client_id);
    case TRACE_USER_NAME: return user_name.data && span_equal(rule->value, user_name);
    case TRACE_USER_NAME_PATTERN: return user_name.data && glob_matches(rule->value, user_name);
    case TRACE_TOPIC:
    case TRACE_ADDRESS:
    case TRACE_KINDS: break;
    }
    return false;
}

static uint32_t of_names(const struct trace_set *set, struct span client_id, struct span user_name)
{
    uint32_t traces = 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (rule_means(&set->rules[i], client_id, user_name)) traces |= 1u << set->rules[i].slot;
    return traces;
}

/* "unix", "unknown" and addresses with or without a port. */
static uint32_t of_address(const struct trace_set *set, const char *peer)
{
    uint8_t address[16];
    bool is_unix = strcmp(peer, "unix") == 0, known = !is_unix && cidr_address_of_text(span_of_string(peer), address);
    uint32_t traces = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct trace_rule *rule = &set->rules[i];
        if (rule->kind != TRACE_ADDRESS) continue;
        if ((known && cidr_list_has(&rule->networks, address)) || (is_unix && rule->networks.any_unix)) traces |= 1u << rule->slot;
    }
    return traces;
}

uint32_t trace_of_topic(const struct trace_set *set, struct span topic)
{
    uint32_t traces = 0;
    if (!set || !set->topics || topic.bytes == 0) return 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->rules[i].kind == TRACE_TOPIC && mqtt_topic_matches_filter(topic, set->rules[i].value)) traces |= 1u << set->rules[i].slot;
    return traces;
}

uint32_t trace_payload_bytes(const struct trace_set *set, uint32_t traces)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (traces >> set->rules[i].slot & 1 && set->rules[i].payload_bytes > most) most = set->rules[i].payload_bytes;
    return most;
}

uint32_t trace_of_session(const struct session *session) { return session && session->traced ? session->rare->traces : 0; }

uint32_t trace_of_client(struct broker_shard *broker, const struct conn *conn, struct span client_id, struct span user_name)
{
    const struct trace_set *set = broker->trace->set;
    const struct trace_peer *peer = &broker->trace->peers[conn->slot % TRACE_PEERS_MAX];
    uint32_t by_address = set->addresses && peer->conn == conn_name(conn) ? peer->traces : 0;
    return by_address | of_names(set, client_id, user_name);
}

uint32_t trace_of_conn(struct broker_shard *broker, const struct conn *conn, struct span *ret_client_id)
{
    const struct trace_shard *trace = broker->trace;
    const struct session *session = conn->client;
    *ret_client_id = span_of("", 0);
    if (session) {
        *ret_client_id = session_client_id(session);
        return trace_of_session(session);
    }
    if (trace->connecting && trace->connecting == conn_name(conn)) {
        *ret_client_id = span_of(trace->connecting_id, trace->connecting_bytes);
        return trace->connecting_traces;
    }
    const struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    if (!record || !trace->set) return 0;
    *ret_client_id = record->facts.client_id;
    return trace_of_client(broker, conn, record->facts.client_id, record->facts.has_user_name ? record->facts.user_name : span_of(NULL, 0));
}

/* ---- publishers ----------------------------------------------------------------------------------------------------- */

uint32_t trace_of_publisher(struct broker_shard *broker, const struct publication *publication)
{
    if (publication->publisher) return trace_of_session(publication->publisher);
    if (!(publication->publisher_conn & PUBLISHER_TRACED)) return 0;
    uint32_t owner = (uint32_t)(publication->publisher_conn >> PUBLISHER_SHARD_SHIFT & (SHARDS_MAX - 1));
    uint64_t name = publication->publisher_conn & PUBLISHER_CONN_MASK;
    if (owner == broker->shard->number) {
        const struct conn *conn = conn_find(broker->shard, name);
        return conn ? trace_of_session(conn->client) : 0;
    }
    return broker->trace->follow[owner].conn == name ? broker->trace->follow[owner].traces : 0;
}

void trace_follow(struct broker_shard *broker, uint32_t from, uint64_t publisher_conn, uint32_t traces)
{
    if (!broker->trace) return; /* it has not heard of any trace yet */
    broker->trace->follow[from].conn = publisher_conn;
    broker->trace->follow[from].traces = traces;
}

/* ---- sessions ------------------------------------------------------------------------------------------------------- */

static void session_mark(struct session *session, uint32_t traces)
{
    if (traces) session_rare(session)->traces = traces;
    session->traced = traces != 0;
}

static struct span user_name_of(const struct session *session)
{
    if (session->facts && session->facts->has_user_name) return session->facts->user_name;
    struct span remembered = extras_user_name(session);
    return remembered.bytes ? remembered : span_of(NULL, 0);
}

static void peer_keep(struct trace_shard *trace, const struct conn *conn, const char *text)
{
    struct trace_peer *peer = &trace->peers[conn->slot % TRACE_PEERS_MAX];
    peer->conn = conn_name(conn);
    peer->traces = of_address(trace->set, text);
    snprintf(peer->text, sizeof peer->text, "%s", text);
}

void trace_peer(struct broker_shard *broker, struct conn *conn, const struct sockaddr_storage *address)
{
    struct trace_shard *trace = broker->trace;
    struct session *session = conn->client;
    char text[DOOR_PEER_BYTES_MAX];
    if (!trace->set || !trace->set->addresses) return;
    door_peer_text(conn, address, text, sizeof text);
    peer_keep(trace, conn, text);
    if (session) session_mark(session, trace_of_client(broker, conn, session_client_id(session), user_name_of(session)));
    if (conn->holds & HOLD_TRACE && conn->state == CONN_OPEN) conn_release(broker->shard, conn, HOLD_TRACE);
}

void trace_attached(struct broker_shard *broker, struct session *session, const struct mqtt_connect *connect, bool present)
{
    if (!broker->trace->set) return;
    struct span user_name = connect->has_user_name ? connect->user_name : span_of(NULL, 0);
    session_mark(session, trace_of_client(broker, session->conn, session_client_id(session), user_name));
    if (!session->traced) return;
    trace_session(broker, TRACE_EVENT_connected, session,
                  &(struct trace_facts){.numbers = {present, session->keep_alive_s, session->expiry_s, mqtt_inflight_count(&session->inflight) + session->queue.count}});
}

/* ---- a new set ------------------------------------------------------------------------------------------------------ */

static void set_take(struct broker_shard *broker, const struct trace_set *set)
{
    if (!broker->trace) broker->trace = memory_acquire_zeroed(sizeof *broker->trace);
    struct trace_shard *trace = broker->trace;
    trace->set = set && set->count ? set : NULL;
    trace->ring = trace_node_ring(broker->broker->trace, broker->shard->number);
    memset(trace->peers, 0, sizeof trace->peers);
    memset(trace->follow, 0, sizeof trace->follow);
    trace_bits(broker);
    if (trace->set && trace->set->addresses) return;
    for (uint32_t slot = 0; slot < broker->shard->conns_used; slot++) { /* whoever waits for an address that nobody wants to know any more */
        struct conn *conn = &broker->shard->conns[slot];
        if (conn->state == CONN_OPEN && conn->holds & HOLD_TRACE) conn_release(broker->shard, conn, HOLD_TRACE);
    }
}

void trace_bits(struct broker_shard *broker)
{
    const struct trace_set *set = broker->trace ? broker->trace->set : NULL;
    broker->extras_bits &= ~(uint32_t)EXTRA_TRACE;
    if (set) broker->extras_bits |= EXTRA_TRACE | (set->users ? EXTRA_USER_NAMES : 0);
}

struct install_visit {
    struct broker_shard *broker;
    uint32_t looked;
};

static void install_visit(void *context, void *value)
{
    struct install_visit *visit = context;
    struct broker_shard *broker = visit->broker;
    struct session *session = value;
    const struct trace_set *set = broker->trace->set;
    visit->looked++;
    if (!set) return session_mark(session, 0);
    uint32_t by_address = 0;
    bool known = session->facts && session->facts->peer.data;
    if (set->addresses && known) {
        char peer[DOOR_PEER_BYTES_MAX];
        snprintf(peer, sizeof peer, "%.*s", SPAN_PRINT(session->facts->peer));
        by_address = of_address(set, peer);
    }
    session_mark(session, by_address | of_names(set, session_client_id(session), user_name_of(session)));
    if (set->addresses && !known && session->conn && session->conn->state == CONN_OPEN) shard_ask_peer(broker->shard, session->conn);
}

bool trace_install(struct broker_shard *broker, struct inspect *inspect, uint32_t budget)
{
    if (!inspect->walk.begun && inspect->walk.bucket == 0) set_take(broker, inspect->traces);
    struct install_visit visit = {.broker = broker};
    while (visit.looked < budget) {
        if (!map_walk_next(&broker->sessions, &inspect->walk, install_visit, &visit)) return true;
        visit.looked++;
    }
    return false;
}

void trace_finish(struct broker_shard *broker)
{
    memory_release(broker->trace);
    broker->trace = NULL;
}
