/* watch/inspect.c - the questions' way, and those about clients; subscriptions and messages are in inspect_lists.c. */
#include "broker/watch/inspect.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/doors/doors.h"
#include "broker/feature.h"
#include "broker/holds.h"
#include "broker/watch/inspect_inside.h"
#include "broker/records.h"
#include "broker/watch/why.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define LISTENER_TEXT_BYTES_MAX 128

/* ---- rows ------------------------------------------------------------------------------------------------------- */

struct inspect *inspect_create(enum inspect_kind kind)
{
    struct inspect *inspect = memory_acquire_zeroed(sizeof *inspect);
    inspect->kind = kind;
    inspect->limit = 1;
    inspect->qos = inspect->client.connected = inspect->client.version = INSPECT_ANY;
    list_init(&inspect->link);
    return inspect;
}

void inspect_rows_clear(struct inspect *inspect)
{
    for (uint32_t i = 0; i < inspect->rows_count; i++)
        memory_release(inspect->rows[i]);
    inspect->rows_count = 0;
    inspect->rows_bytes = 0;
}

void inspect_release(struct inspect *inspect)
{
    if (!inspect) return;
    inspect_rows_clear(inspect);
    retain_scan_end(inspect->cursor);
    memory_release(inspect->rows);
    memory_release(inspect->text);
    memory_release(inspect);
}

void inspect_row_add(struct inspect *inspect, void *row, size_t bytes)
{
    if (inspect->rows_count == inspect->rows_capacity) {
        inspect->rows_capacity = inspect->rows_capacity ? inspect->rows_capacity * 2 : 16;
        inspect->rows = memory_resize(inspect->rows, inspect->rows_capacity * sizeof *inspect->rows);
    }
    inspect->rows[inspect->rows_count++] = row;
    inspect->rows_bytes += bytes;
}

bool inspect_full(const struct inspect *inspect)
{
    return inspect->rows_count >= inspect->limit || inspect->rows_bytes >= INSPECT_BYTES_MAX;
}

bool inspect_passes_over(struct inspect *inspect)
{
    inspect->seen++;
    if (inspect->skip == 0) return false;
    inspect->skip--;
    return true;
}

/* ---- clients ---------------------------------------------------------------------------------------------------- */

bool inspect_like(struct span text, struct span part)
{
    return part.bytes == 0 || (text.bytes && memmem(text.data, text.bytes, part.data, part.bytes));
}

uint64_t inspect_realtime_ms(const struct broker_shard *broker, uint64_t monotonic_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t monotonic_now_ns = broker->shard->group->verbs->monotonic_ns(broker->shard->ring); /* the turn's may be older */
    return ((uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec - monotonic_now_ns) / 1000000 + monotonic_ms;
}

uint64_t inspect_connected_at(const struct broker_shard *broker, const struct session *session)
{
    uint64_t now = broker->shard->now_ms / 16;
    return now - (uint32_t)((uint32_t)now - session->connected_at) + 1;
}

static uint64_t connected_ms(const struct broker_shard *broker, const struct session *session)
{
    return session->conn ? inspect_realtime_ms(broker, (inspect_connected_at(broker, session) - 1) * 16) : 0;
}

static size_t listener_text(const struct broker_shard *broker, const struct session *session, char ret_text[LISTENER_TEXT_BYTES_MAX])
{
    if (!session->conn) return 0;
    const struct listener_settings *settings = broker->shard->group->listeners[session->conn->listener].settings;
    const char *kind = listener_kind_names[settings->kind];
    size_t kind_bytes = strlen(kind), name_bytes = strlen(settings->name);
    DCHECK(kind_bytes + 1 + name_bytes <= LISTENER_TEXT_BYTES_MAX); /* names are short: config/schema.h */
    char *at = mempcpy(ret_text, kind, kind_bytes);
    *at++ = '.';
    memcpy(at, settings->name, name_bytes);
    return kind_bytes + 1 + name_bytes;
}

static bool user_name_matches(const struct session *session, const struct inspect_client_filter *filter)
{
    struct span user_name = session->facts ? session->facts->user_name : span_of(NULL, 0);
    if (filter->user_name.bytes && !span_equal(user_name, filter->user_name)) return false;
    return inspect_like(user_name, filter->like_user_name);
}

static bool client_matches(const struct broker_shard *broker, const struct session *session, const struct inspect_client_filter *filter)
{
    if (filter->connected != INSPECT_ANY && (session->conn != NULL) != (filter->connected != 0)) return false;
    if (filter->version != INSPECT_ANY && session->version != filter->version) return false;
    if (session->queue.count < filter->queue_min || mqtt_inflight_count(&session->inflight) < filter->inflight_min ||
        session->subscriptions_count < filter->subscriptions_min)
        return false;
    if (!inspect_like(session_client_id(session), filter->like_client_id) || !user_name_matches(session, filter)) return false;
    if (filter->connected_from_ms || filter->connected_to_ms) {
        uint64_t at_ms = connected_ms(broker, session);
        if (at_ms < filter->connected_from_ms || (filter->connected_to_ms && at_ms > filter->connected_to_ms) || at_ms == 0) return false;
    }
    if (filter->listener.bytes) {
        char listener[LISTENER_TEXT_BYTES_MAX];
        if (!span_equal(span_of(listener, listener_text(broker, session, listener)), filter->listener)) return false;
    }
    return true;
}

void inspect_client_row(struct broker_shard *broker, struct inspect *inspect, const struct session *session)
{
    char listener[LISTENER_TEXT_BYTES_MAX];
    struct span client_id = session_client_id(session);
    size_t listener_bytes = listener_text(broker, session, listener);
    struct span user_name = session->facts ? session->facts->user_name : span_of(NULL, 0), peer = session->facts ? session->facts->peer : span_of(NULL, 0);
    if (peer.bytes > INSPECT_ADDRESS_BYTES_MAX) peer.bytes = INSPECT_ADDRESS_BYTES_MAX;
    size_t bytes = sizeof(struct inspect_client) + client_id.bytes + user_name.bytes + listener_bytes + INSPECT_ADDRESS_BYTES_MAX;
    struct inspect_client *row = memory_acquire(bytes);
    bool never = session->expiry_s == UINT32_MAX, connected = session->conn != NULL;
    *row = (struct inspect_client){
        .client_id_bytes = (uint16_t)client_id.bytes, .user_name_bytes = (uint16_t)user_name.bytes, .listener_bytes = (uint16_t)listener_bytes,
        .address_bytes = (uint16_t)peer.bytes, .version = session->version,
        .connected = connected, .keep_alive_s = session->keep_alive_s, .expiry_s = session->expiry_s,
        .subscriptions = session->subscriptions_count, .queue_messages = session->queue.count,
        .inflight = mqtt_inflight_count(&session->inflight), .inflight_max = session->inflight.window, .queue_bytes = session->queue_bytes,
        .durable = session_is_durable(session), .will = session_will(session) != NULL, .shard = broker->shard->number};
    if (connected) {
        row->conn = conn_name(session->conn);
        row->backlog_bytes = conn_backlog(session->conn);
        row->connected_ms = inspect->realtime_ahead_ms + (inspect_connected_at(broker, session) - 1) * 16;
        row->connected_at = inspect_connected_at(broker, session);
        row->published = session->published;
        row->published_bytes = session->published_bytes;
        row->sent = session->queue.sent;
        row->paused = (session->conn->holds & HOLD_PACE) != 0;
    } else if (!never) {
        row->expires_ms = inspect_realtime_ms(broker, session->timer.deadline_ms);
    }
    char *at = mempcpy(row->text, client_id.data, client_id.bytes);
    if (user_name.bytes) at = mempcpy(at, user_name.data, user_name.bytes);
    at = mempcpy(at, listener, listener_bytes);
    if (peer.bytes) memcpy(at, peer.data, peer.bytes);
    inspect_row_add(inspect, row, bytes);
}

struct clients_visit {
    struct broker_shard *broker;
    struct inspect *inspect;
    uint32_t within, looked;
};

static void client_visit(void *context, void *value)
{
    struct clients_visit *visit = context;
    struct inspect *inspect = visit->inspect;
    const struct session *session = value;
    visit->looked++;
    if (visit->within++ < inspect->place_within || !client_matches(visit->broker, session, &inspect->client)) return;
    if (inspect->sort != INSPECT_UNSORTED) {
        inspect->seen++;
        return inspect_client_row_sorted(visit->broker, inspect, session);
    }
    if (inspect_full(inspect)) { /* the bucket is visited again, from here on */
        visit->within--;
        visit->looked = UINT32_MAX / 2;
        return;
    }
    if (!inspect_passes_over(inspect)) inspect_client_row(visit->broker, inspect, session);
}

static uint32_t clients_slice(struct broker_shard *broker, struct inspect *inspect, uint32_t budget)
{
    uint32_t steps = 0;
    for (uint32_t looked = 0; looked < budget; steps++) {
        struct clients_visit visit = {.broker = broker, .inspect = inspect};
        bool any = map_walk_next(&broker->sessions, &inspect->walk, client_visit, &visit);
        if (!any) {
            inspect->status = INSPECT_DONE;
            break;
        }
        looked += 1 + visit.looked;
        if (visit.looked >= UINT32_MAX / 2) { /* full within a bucket */
            inspect->walk.bucket--;
            inspect->place_within = visit.within;
            return INSPECT_SLICE_FULL;
        }
        inspect->place_within = 0;
    }
    return inspect->status == INSPECT_DONE ? INSPECT_SLICE_FULL : INSPECT_SLICE_GOES_ON;
}

/* ---- one client ------------------------------------------------------------------------------------------------- */

static bool session_busy(const struct broker_shard *broker, const struct session *session)
{
    return broker->durable && (broker->durable->restoring || (session->durable && session->durable->prepared_count));
}

static enum inspect_status kick(struct broker_shard *broker, const struct inspect *inspect, struct session *session)
{
    if (!session->conn) return INSPECT_AWAY;
    session_kick(broker, session, MQTT_REASON_ADMINISTRATIVE_ACTION);
    return INSPECT_DONE;
}

static enum inspect_status end_session(struct broker_shard *broker, const struct inspect *inspect, struct session *session)
{
    if (session_busy(broker, session)) return INSPECT_BUSY;
    if (session->conn) session_disconnect(broker, session, MQTT_REASON_ADMINISTRATIVE_ACTION, NULL, SESSION_END_SERVER);
    session = session_find(broker, inspect->client_id); /* it may have ended with its connection */
    if (session) session_destroy(broker, session);
    return INSPECT_DONE;
}

static struct mqtt_subscription subscription_of(const struct inspect *inspect)
{
    return (struct mqtt_subscription){.full_filter = inspect->filter, .filter = inspect->filter, .share_group = inspect->group,
                                      .qos = (uint8_t)inspect->qos, .no_local = inspect->no_local,
                                      .retain_as_published = inspect->retain_as_published, .retain_handling = inspect->retain_handling};
}

void inspect_elsewhere(struct broker_shard *broker, struct inspect *inspect)
{
    list_remove(&inspect->link);
    list_append(&broker->inspections_elsewhere, &inspect->link);
}

/* A publish that the asker sends after the answer must find the subscription: the answer waits where a SUBACK does. */
static enum inspect_slice subscribe(struct broker_shard *broker, struct inspect *inspect)
{
    struct session *session = session_find(broker, inspect->client_id);
    inspect->status = !session ? INSPECT_NOT_FOUND : !session->conn ? INSPECT_AWAY : session_busy(broker, session) ? INSPECT_BUSY : INSPECT_DONE;
    if (inspect->status != INSPECT_DONE) return INSPECT_SLICE_FULL;
    struct mqtt_subscription subscription = subscription_of(inspect);
    inspect_elsewhere(broker, inspect);
    enum mqtt_reason reason = subscription_add_for(broker, session, &subscription, inspect);
    if (!mqtt_reason_is_error(reason)) return INSPECT_SLICE_ELSEWHERE;
    inspect->status = INSPECT_REFUSED;
    return INSPECT_SLICE_FULL;
}

static enum inspect_status unsubscribe(struct broker_shard *broker, struct inspect *inspect, struct session *session)
{
    struct mqtt_subscription subscription = subscription_of(inspect);
    if (!session->conn) return INSPECT_AWAY;
    if (session_busy(broker, session)) return INSPECT_BUSY;
    enum mqtt_reason reason = subscription_remove_for(broker, session, &subscription);
    inspect->reason = (uint8_t)reason;
    if (reason == MQTT_REASON_NO_SUBSCRIPTION_EXISTED) return INSPECT_NOT_FOUND;
    return mqtt_reason_is_error(reason) ? INSPECT_REFUSED : INSPECT_DONE;
}

static enum inspect_status client_answer(struct broker_shard *broker, struct inspect *inspect)
{
    struct session *session = session_find(broker, inspect->client_id);
    if (!session) return INSPECT_NOT_FOUND;
    switch (inspect->kind) {
    case INSPECT_CLIENT:
        if (client_matches(broker, session, &inspect->client)) inspect_client_row(broker, inspect, session);
        return INSPECT_DONE;
    case INSPECT_CLIENT_SUBSCRIPTIONS: inspect_session_subscriptions(broker, inspect, session); return INSPECT_DONE;
    case INSPECT_KICK: return kick(broker, inspect, session);
    case INSPECT_END_SESSION: return end_session(broker, inspect, session);
    case INSPECT_UNSUBSCRIBE: return unsubscribe(broker, inspect, session);
    default: break;
    }
    UNREACHABLE("not a question about one client");
}

/* ---- the way ---------------------------------------------------------------------------------------------------- */

void inspect_send(struct node *node, struct inspect *inspect)
{
    struct lane_cell cell = record_first(RECORD_INSPECT, 0, inspect, 0);
    inspect->status = INSPECT_MORE;
    node_send_admin(node, inspect->shard, &cell, 1);
}

struct inspect *inspect_take(struct broker *broker) { return atomic_exchange_explicit(&broker->inspected, NULL, memory_order_acquire); }

static void answered(struct broker_shard *broker, struct inspect *inspect)
{
    struct broker *node = broker->broker;
    list_remove(&inspect->link);
    inspect->next = atomic_load_explicit(&node->inspected, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&node->inspected, &inspect->next, inspect, memory_order_release, memory_order_relaxed)) {} /* pairs: inspect_take */
    /* `inspect` may be gone by now. Written also when the stack was not empty: whoever empties it may be about to sleep. */
    uint64_t one = 1;
    ssize_t written = node->inspected_wake >= 0 ? write(node->inspected_wake, &one, sizeof one) : 0;
    (void)written;
}

void inspect_begin(struct broker_shard *broker, struct inspect *inspect) { list_append(&broker->inspections, &inspect->link); }

void inspect_subscribed(struct broker_shard *broker, struct inspect *inspect) { answered(broker, inspect); }
void inspect_elsewhere_done(struct broker_shard *broker, struct inspect *inspect) { answered(broker, inspect); }

static enum inspect_slice slice(struct broker_shard *broker, struct inspect *inspect)
{
    inspect->realtime_ahead_ms = inspect_realtime_ms(broker, 0);
    switch (inspect->kind) {
    case INSPECT_CLIENTS: return clients_slice(broker, inspect, INSPECT_OBJECTS_PER_SLICE);
    case INSPECT_SUBSCRIPTIONS:
    case INSPECT_FILTERS: return inspect_filters_slice(broker, inspect, INSPECT_OBJECTS_PER_SLICE);
    case INSPECT_RETAINED: return inspect_retained_slice(broker, inspect, INSPECT_OBJECTS_PER_SLICE);
    case INSPECT_RETAINED_ONE: return inspect_retained_one(broker, inspect);
    case INSPECT_RETAINED_DELETE:
    case INSPECT_PUBLISH: inspect->status = inspect_message_answer(broker, inspect); return INSPECT_SLICE_FULL;
    case INSPECT_SUBSCRIBE: return subscribe(broker, inspect);
    case INSPECT_TRACE:
        if (!trace_install(broker, inspect, INSPECT_OBJECTS_PER_SLICE)) return INSPECT_SLICE_GOES_ON;
        inspect->status = INSPECT_DONE;
        return INSPECT_SLICE_FULL;
    case INSPECT_WHY_FROM:
        why_from(broker, inspect);
        inspect->status = INSPECT_DONE;
        return INSPECT_SLICE_FULL;
    case INSPECT_WHY_TO:
        why_to(broker, inspect);
        inspect->status = INSPECT_DONE;
        return INSPECT_SLICE_FULL;
    case INSPECT_DROPS:
        drops_list(broker, inspect);
        inspect->status = INSPECT_DONE;
        return INSPECT_SLICE_FULL;
    default: inspect->status = client_answer(broker, inspect); return INSPECT_SLICE_FULL;
    }
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

#define ADDRESSES_TIMEOUT_MS 300

/* The sockets' peers are not kept: they are asked for when somebody wants to see them. An answer may come inside of the question. */
static void addresses_ask(struct broker_shard *broker, struct inspect *inspect)
{
    list_remove(&inspect->link);
    list_append(&broker->inspections_asking, &inspect->link);
    inspect->asking = 1;
    for (uint32_t i = 0; i < inspect->rows_count; i++) {
        struct inspect_client *row = inspect->rows[i];
        struct conn *conn = row->connected && row->address_bytes == 0 ? conn_find(broker->shard, row->conn) : NULL;
        if (!conn || conn->state != CONN_OPEN) continue;
        row->address_asked = true;
        inspect->asking++;
        shard_ask_peer(broker->shard, conn);
    }
    if (--inspect->asking == 0) return answered(broker, inspect);
    if (!timer_running(&broker->inspect_timer)) shard_start_timer(broker->shard, &broker->inspect_timer, ADDRESSES_TIMEOUT_MS);
}

/* A connection that ends meanwhile brings no answer. */
static void addresses_late(struct timer *timer, void *context)
{
    struct broker_shard *broker = CONTAINER_OF(timer, struct broker_shard, inspect_timer);
    while (!list_empty(&broker->inspections_asking))
        answered(broker, CONTAINER_OF(broker->inspections_asking.next, struct inspect, link));
}

static struct inspect_client *row_asked(struct inspect *inspect, uint64_t conn)
{
    for (uint32_t n = 0; n < inspect->rows_count; n++) { /* answers come in the order of the questions, or nearly so */
        struct inspect_client *row = inspect->rows[(inspect->place + n) % inspect->rows_count];
        if (!row->address_asked || row->conn != conn) continue;
        inspect->place = (inspect->place + n + 1) % inspect->rows_count;
        return row;
    }
    return NULL;
}

bool inspect_address(struct broker_shard *broker, const struct conn *conn, const struct sockaddr_storage *address)
{
    LIST_FOR_EACH(link, &broker->inspections_asking)
    {
        struct inspect *inspect = CONTAINER_OF(link, struct inspect, link);
        struct inspect_client *row = row_asked(inspect, conn_name(conn));
        if (!row) continue;
        char text[DOOR_PEER_BYTES_MAX];
        row->address_asked = false;
        if (address) door_peer_text(conn, address, text, sizeof text);
        size_t bytes = address ? strlen(text) : 0;
        if (bytes > INSPECT_ADDRESS_BYTES_MAX) bytes = 0;
        memcpy(row->text + row->client_id_bytes + row->user_name_bytes + row->listener_bytes, text, bytes);
        row->address_bytes = (uint16_t)bytes;
        if (--inspect->asking == 0) answered(broker, inspect);
        return true;
    }
    return false;
}

static bool wants_addresses(const struct inspect *inspect)
{
    return (inspect->kind == INSPECT_CLIENTS || inspect->kind == INSPECT_CLIENT) && inspect->rows_count && inspect->rows_count <= INSPECT_ADDRESSES_MAX;
}

static uint64_t clock_ns(const struct broker_shard *broker) { return broker->shard->group->verbs->monotonic_ns(broker->shard->ring); }

/* The first question gets a little of the turn; it then waits behind the others. */
bool inspect_turn(struct broker_shard *broker)
{
    struct inspect *inspect = CONTAINER_OF(broker->inspections.next, struct inspect, link);
    uint64_t began_ns = clock_ns(broker), now_ns = began_ns, turn_ns = began_ns - broker->shard->now_ns;
    uint64_t allowed_ns = turn_ns / INSPECT_TURN_PART > INSPECT_TURN_NS_MIN ? turn_ns / INSPECT_TURN_PART : INSPECT_TURN_NS_MIN;
    enum inspect_slice done;
    do {
        done = slice(broker, inspect);
        now_ns = clock_ns(broker);
    } while (done == INSPECT_SLICE_GOES_ON && now_ns - began_ns < allowed_ns);
    switch (done) {
    case INSPECT_SLICE_ELSEWHERE: break;
    case INSPECT_SLICE_FULL:
        if (wants_addresses(inspect))
            addresses_ask(broker, inspect);
        else
            answered(broker, inspect);
        break;
    case INSPECT_SLICE_GOES_ON:
        list_remove(&inspect->link);
        list_append(&broker->inspections, &inspect->link);
    }
    stats_count(&broker->inspect_ns, clock_ns(broker) - began_ns);
    return !list_empty(&broker->inspections) || !list_empty(&broker->kicked); /* whoever was kicked goes in the next turn: do not sleep */
}

void inspect_start(struct broker_shard *broker)
{
    list_init(&broker->inspections);
    list_init(&broker->inspections_asking);
    list_init(&broker->inspections_elsewhere);
    timer_init(&broker->inspect_timer, addresses_late);
}

void inspect_stop(struct broker_shard *broker)
{
    shard_stop_timer(broker->shard, &broker->inspect_timer);
    list_take_all(&broker->inspections, &broker->inspections_asking);
    list_take_all(&broker->inspections, &broker->inspections_elsewhere);
    while (!list_empty(&broker->inspections)) {
        struct inspect *inspect = CONTAINER_OF(broker->inspections.next, struct inspect, link);
        inspect->status = INSPECT_STOPPED;
        answered(broker, inspect);
    }
}
