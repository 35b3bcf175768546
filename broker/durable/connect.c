/* connect.c - CONNECT of a session that outlives its connection: CONNACK waits until the session is on disk.
 *
 *     CONNECT ─► session found or made, written ─► the connection is held, CONNECT unread
 *                                        commit ─► the connection goes on: the same CONNECT again ─► attached, CONNACK
 *
 * So nothing is sent before CONNACK, and there is no half-connected state for the rest of the broker to know. Meanwhile the
 * session is one whose client is away. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "broker/mount.h"

struct durable_prepared {
    uint64_t conn; /* the map's key */
    struct session *session; /* NULL: it has ended meanwhile */
    bool present;
    char assigned_id[DURABLE_ID_BYTES]; /* "": the client has named itself */
};

static struct durable_prepared *prepared_find(const struct broker_shard *broker, uint64_t conn)
{
    return map_find(&broker->durable->prepared, span_of(&conn, 8));
}

/* Takes it out; the session is the caller's to look after. */
static struct session *prepared_end(struct broker_shard *broker, struct durable_prepared *prepared)
{
    struct session *session = prepared->session;
    map_remove(&broker->durable->prepared, span_of(&prepared->conn, 8));
    if (session) session->durable->prepared_count--;
    return session;
}

/* ---- before the restore is over ---------------------------------------------------------------------------------- */

bool durable_connect_early(struct broker_shard *broker, struct conn *conn)
{
    struct durable_shard *durable = broker->durable;
    if (LIKELY(!durable->restoring)) return false;
    durable->held = memory_resize(durable->held, (durable->held_count + 1) * sizeof *durable->held);
    durable->held[durable->held_count++] = conn_name(conn);
    conn_hold(conn, HOLD_CONNECT);
    return true;
}

/* ---- the first time ---------------------------------------------------------------------------------------------- */

static void session_becomes_plain(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    durable_session_end(broker, session);
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        durable_filter_count(broker, session->subscriptions[i], false);
    list_remove(&durable->link);
    durable->id = 0;
    session->kept = false;
}

static void session_becomes_durable(struct broker_shard *broker, struct session *session)
{
    struct durable_shard *shard = broker->durable;
    struct durable_session *durable = durable_session_make(session);
    durable->id = (uint64_t)store_epoch(broker->broker->store) << 40 | (uint64_t)broker->shard->number << 34 | ++shard->session_ids;
    list_append(&shard->sessions, &durable->link);
    session->kept = true;
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        durable_filter_count(broker, session->subscriptions[i], true);
}

/* As connect_accept() will set them, when the session is on disk: a start must know where the will goes. */
static struct span will_goes(struct broker_shard *broker, struct conn *conn, struct session *session, const struct mqtt_connect *connect)
{
    const char *mountpoint = broker->shard->group->listeners[conn->listener].settings->mountpoint;
    const struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    struct client_names names = {session_client_id(session), connect->has_user_name ? connect->user_name : span_of(NULL, 0), record ? &record->facts : NULL};
    if (session->mounted || (mountpoint && *mountpoint)) mount_set(session, mountpoint, &names);
    return will_topic(broker, session, &names, connect->will.topic, false);
}

static struct stored_will will_of(const struct mqtt_connect *connect, struct span topic, struct record_writer *writer)
{
    const struct mqtt_will *will = &connect->will;
    const struct mqtt_properties *properties = &will->properties;
    size_t bytes = mqtt_properties_forward_bytes(properties->raw);
    if (bytes) {
        writer->data = memory_acquire(bytes);
        mqtt_properties_forward(writer->data, properties->raw);
    }
    struct stored_will stored = {.present = topic.bytes > 0, .message = {.qos = will->qos, .retain = will->retain, .topic = topic,
                                                              .payload = will->payload, .properties = span_of(writer->data, bytes)}};
    if (mqtt_has(properties, MQTT_PROPERTY_WILL_DELAY_INTERVAL)) stored.delay_s = properties->will_delay_s;
    if (mqtt_has(properties, MQTT_PROPERTY_MESSAGE_EXPIRY_INTERVAL))
        stored.message.expires_ms = (uint64_t)properties->message_expiry_s * 1000 + 1; /* as will_set() does */
    return stored;
}

static void session_write(struct broker_shard *broker, struct conn *conn, struct session *session, const struct mqtt_connect *connect)
{
    struct stored_session record = durable_session_record(broker, session);
    struct record_writer properties = {0};
    record.connected = true;
    if (connect->has_will) record.will = will_of(connect, will_goes(broker, conn, session, connect), &properties);
    store_put_session(&broker->durable->wal, &record, broker->shard->now_ms);
    record_writer_release(&properties);
}

static void prepare(struct broker_shard *broker, struct conn *conn, struct session *session, bool present, struct span assigned_id)
{
    struct durable_prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    CHECK(assigned_id.bytes < DURABLE_ID_BYTES);
    prepared->conn = conn_name(conn);
    prepared->session = session;
    prepared->present = present;
    if (assigned_id.bytes) memcpy(prepared->assigned_id, assigned_id.data, assigned_id.bytes);
    map_insert(&broker->durable->prepared, prepared);
    durable_session_make(session)->prepared_count++;
    conn_hold(conn, HOLD_CONNECT);
    struct durable_wait *wait = durable_wait_make(broker, WAIT_CONNECT, NULL);
    wait->conn = prepared->conn;
    wait->other = prepared;
    durable_wait_commit(broker, wait, wal_position(&broker->durable->wal));
}

enum durable_connect durable_connect(struct broker_shard *broker, struct conn *conn, struct session *session,
                                     const struct mqtt_connect *connect, uint64_t written_before, bool present,
                                     struct span assigned_id)
{
    struct wal *wal = &broker->durable->wal;
    uint8_t level = broker->shard->group->listeners[conn->listener].settings->durability;
    /* One whose queue is partly on the shelf stays in the log until it ends. */
    bool durable = (session->expiry_s > 0 && level != DURABILITY_NONE) || session->spilled;
    if (!durable && session_is_durable(session)) session_becomes_plain(broker, session);
    if (durable) {
        bool known = session_is_durable(session);
        if (!known) session_becomes_durable(broker, session);
        session->durable->lazy = level == DURABILITY_LAZY;
        if (!known && present) durable_snapshot(broker, session); /* it was not kept until now; what waits in it still is not */
        session_write(broker, conn, session, connect);
    }
    bool waits = wal->bytes_appended != written_before && level != DURABILITY_LAZY && !wal_durable(wal, wal_position(wal));
    if (!waits) return DURABLE_CONNECT_GO;
    prepare(broker, conn, session, present, assigned_id);
    return DURABLE_CONNECT_WAIT;
}

uint64_t durable_written(const struct broker_shard *broker) { return broker->durable->wal.bytes_appended; }

/* ---- the second time --------------------------------------------------------------------------------------------- */

bool durable_connect_again(struct broker_shard *broker, struct conn *conn, struct session **ret_session, bool *ret_present,
                           char ret_assigned[static DURABLE_ID_BYTES])
{
    struct durable_prepared *prepared = prepared_find(broker, conn_name(conn));
    if (!prepared) return false;
    *ret_session = prepared_end(broker, prepared);
    *ret_present = prepared->present;
    memcpy(ret_assigned, prepared->assigned_id, DURABLE_ID_BYTES);
    memory_release(prepared);
    return true;
}

/* Its client never came to CONNACK. */
static void session_abandon(struct broker_shard *broker, struct session *session)
{
    if (session->conn) return;
    if (session->expiry_s == 0) return session_destroy(broker, session);
    durable_detach(broker, session);
    if (!timer_running(&session->timer) && session->expiry_s != UINT32_MAX)
        shard_start_timer(broker->shard, &session->timer, (uint64_t)session->expiry_s * 1000);
}

void durable_connect_ready(struct broker_shard *broker, struct durable_wait *wait)
{
    struct conn *conn = conn_find(broker->shard, wait->conn);
    DCHECK(!conn || !conn->client); /* HOLD_KICKED */
    if (conn && conn->state == CONN_OPEN) conn_release(broker->shard, conn, HOLD_CONNECT); /* handles the CONNECT again */
    struct durable_prepared *prepared = prepared_find(broker, wait->conn);
    if (!prepared) return;
    struct session *session = prepared_end(broker, prepared);
    memory_release(prepared);
    if (session) session_abandon(broker, session);
}

void durable_prepared_forget(struct broker_shard *broker, struct session *session)
{
    uint32_t cursor = 0;
    for (struct durable_prepared *prepared; (prepared = map_next(&broker->durable->prepared, &cursor));)
        if (prepared->session == session) prepared->session = NULL;
    session->durable->prepared_count = 0;
}

void durable_prepared_release(struct broker_shard *broker, void *other)
{
    struct durable_prepared *prepared = other;
    prepared_end(broker, prepared);
    memory_release(prepared);
}
