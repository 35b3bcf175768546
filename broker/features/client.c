/* client.c - facts of clients: made at CONNECT, kept until the connection ends. */
#include <stdio.h>

#include "base/check.h"
#include "base/cidr.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/doors/doors.h"
#include "broker/features/inside.h"

/* ---- records ----------------------------------------------------------------------------------------------------- */

struct client_record *features_record(struct broker_shard *broker, const struct conn *conn)
{
    uint64_t name = conn_name(conn);
    return map_find(&broker->features->clients, span_of(&name, sizeof name));
}

static struct span text_append(char *text, size_t *used, struct span what)
{
    char *start = text + *used;
    if (what.bytes) memcpy(start, what.data, what.bytes);
    start[what.bytes] = 0;
    *used += what.bytes + 1;
    return span_of(start, what.bytes);
}

/* Of a client that had connected before any feature was in force. */
static struct span kept_user_name(const struct conn *conn)
{
    struct span proven = filters_fact(conn->filters, FACT_USERNAME); /* by its certificate or key */
    return proven.bytes ? proven : conn->client ? extras_user_name(conn->client) : span_of(NULL, 0);
}

struct client_record *features_record_make(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, struct span client_id)
{
    const struct listener_settings *settings = broker->shard->group->listeners[conn->listener].settings;
    char listener[64];
    int listener_bytes = snprintf(listener, sizeof listener, "%s.%s", listener_kind_names[settings->kind], settings->name);
    struct span user_name = connect ? (connect->has_user_name ? connect->user_name : span_of(NULL, 0)) : kept_user_name(conn);
    size_t used = 0;
    struct client_record *record =
        memory_acquire_aligned(_Alignof(struct client_record), sizeof *record + client_id.bytes + user_name.bytes + (size_t)listener_bytes + 3);
    record->facts = (struct feature_client){
        .conn = conn_name(conn),
        .shard = broker->shard->number,
        .listener_kind = (uint8_t)settings->kind,
        .has_user_name = connect ? connect->has_user_name : user_name.data != NULL,
        .certificate_cn = filters_fact(conn->filters, FACT_CERTIFICATE_CN),
        .certificate_dn = filters_fact(conn->filters, FACT_CERTIFICATE_DN),
        .certificate_san = filters_fact(conn->filters, FACT_CERTIFICATE_SAN),
        .connected_ms = broker->shard->group->verbs->realtime_ns(broker->shard->ring) / 1000000,
    };
    record->facts.client_id = text_append(record->text, &used, client_id);
    record->facts.user_name = text_append(record->text, &used, user_name);
    record->facts.listener = text_append(record->text, &used, span_of(listener, (size_t)listener_bytes));
    if (connect) {
        record->facts.version = (uint8_t)connect->version;
        record->facts.clean_start = connect->clean_start;
        if (mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD))
            record->method = memory_copy_string(connect->properties.authentication_method);
    }
    record->connection = conn;
    record->authenticator = -1;
    map_insert(&broker->features->clients, record);
    return record;
}

struct client_record *features_record_of(struct broker_shard *broker, struct session *session)
{
    if (LIKELY(session->facts != NULL)) return (struct client_record *)session->facts;
    struct client_record *record = features_record_make(broker, session->conn, NULL, session_client_id(session));
    record->facts.version = session->version;
    record->facts.connected = true;
    record->session = session;
    session->facts = &record->facts;
    return record;
}

void client_record_release(struct client_record *record)
{
    memory_release(record->peer_text);
    memory_release(record->method);
    memory_release(record->connect_bytes);
    memory_release(record->codes);
    for (uint32_t i = 0; i < record->facts.attributes_count; i++)
        memory_release((void *)(uintptr_t)record->attributes[i].name.data);
    memory_release(record->attributes);
    memory_release(record);
}

void features_record_end(struct broker_shard *broker, struct client_record *record)
{
    struct features_shard *shard = broker->features;
    for (uint32_t i = 0; i < shard->features->count; i++) {
        const struct feature *feature = shard->features->parts[i]->feature;
        if (feature->client_gone) feature->client_gone(&shard->shards[i], &record->facts);
    }
    map_remove(&shard->clients, span_of(&record->facts.conn, sizeof record->facts.conn));
    if (record->connect_bytes) shard->exchanges_count--;
    if (record->counted_expiry) shard->expiring_count--;
    if (record->session) record->session->facts = NULL;
    client_record_release(record);
}

void features_refused(struct broker_shard *broker, const struct conn *conn, uint8_t reason)
{
    struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    if (!record) return;
    record->facts.refused = reason;
    features_record_end(broker, record);
}

void features_conn_gone(struct broker_shard *broker, const struct conn *conn)
{
    struct client_record *record = broker->features ? features_record(broker, conn) : NULL;
    if (record) features_record_end(broker, record);
}

void features_wait(struct client_record *record) { conn_hold(record->connection, HOLD_GATE); }

/* ---- the address ------------------------------------------------------------------------------------------------- */

static void address_take(struct client_record *record, const struct conn *conn, const struct sockaddr_storage *address)
{
    char text[DOOR_PEER_BYTES_MAX];
    struct feature_client *facts = &record->facts;
    struct span said = filters_fact(conn->filters, FACT_ADDRESS);
    if (record->address_state == CLIENT_ADDRESS_KNOWN) return;
    door_peer_text(conn, address, text, sizeof text);
    record->peer_text = memory_copy_string(span_of_string(text));
    facts->peer = span_of_string(record->peer_text);
    facts->has_address = said.bytes ? cidr_address_of_text(said, facts->address) : address && cidr_address(address, facts->address);
    record->address_state = CLIENT_ADDRESS_KNOWN;
}

bool features_address_ask(struct broker_shard *broker, struct client_record *record)
{
    if (record->address_state == CLIENT_ADDRESS_UNASKED) {
        record->address_state = CLIENT_ADDRESS_ASKED;
        shard_ask_peer(broker->shard, record->connection); /* where descriptors are ordinary ones the answer is here at once */
    }
    return record->address_state == CLIENT_ADDRESS_KNOWN;
}

bool features_address(struct broker_shard *broker, struct client_record *record)
{
    if (LIKELY(record->address_state == CLIENT_ADDRESS_KNOWN) || features_address_ask(broker, record)) return true;
    features_wait(record);
    return false;
}

void features_address_known(struct broker_shard *broker, struct conn *conn, const struct sockaddr_storage *address)
{
    struct client_record *record = features_record(broker, conn);
    if (!record || record->address_state == CLIENT_ADDRESS_KNOWN) return;
    address_take(record, conn, address);
    features_found(broker, record);
    feature_resume(&broker->features->shards[0], record->facts.conn);
}

/* ---- what features call ------------------------------------------------------------------------------------------ */

static struct client_record *record_by_name(struct broker_shard *broker, uint64_t conn)
{
    return map_find(&broker->features->clients, span_of(&conn, sizeof conn));
}

void feature_resume(struct feature_shard *shard, uint64_t conn)
{
    struct broker_shard *broker = shard->frame;
    struct client_record *record = record_by_name(broker, conn);
    if (!record || !(record->connection->holds & HOLD_GATE)) return;
    CHECK(!record->connection->in_handler); /* not inside gates */
    if (record->connection->state == CONN_OPEN) conn_release(broker->shard, record->connection, HOLD_GATE);
}

struct feature_client *feature_client_find(struct feature_shard *shard, uint64_t conn)
{
    struct client_record *record = record_by_name(shard->frame, conn);
    return record ? &record->facts : NULL;
}

void feature_disconnect(struct feature_shard *shard, uint64_t conn, enum mqtt_reason reason)
{
    struct client_record *record = record_by_name(shard->frame, conn);
    if (record && record->session) session_kick(shard->frame, record->session, (uint8_t)reason);
}

void feature_clients_each(struct feature_shard *shard, void (*each)(struct feature_shard *shard, struct feature_client *client))
{
    struct broker_shard *broker = shard->frame;
    uint32_t cursor = 0;
    for (struct client_record *record; (record = map_next(&broker->features->clients, &cursor));)
        if (record->session) each(shard, &record->facts);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static bool attribute_name_valid(struct span name)
{
    if (name.bytes == 0 || name.bytes > 64) return false;
    for (size_t i = 0; i < name.bytes; i++) {
        uint8_t byte = name.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '_') return false;
    }
    return true;
}

static struct feature_attribute *attribute_find(const struct feature_client *client, struct span name)
{
    for (uint32_t i = 0; i < client->attributes_count; i++)
        if (span_equal(client->attributes[i].name, name)) return (struct feature_attribute *)&client->attributes[i];
    return NULL;
}

bool feature_attribute_set(struct feature_client *client, struct span name, struct span value)
{
    struct client_record *record = (struct client_record *)client;
    struct feature_attribute *known = attribute_find(client, name);
    size_t bytes = record->attributes_bytes + name.bytes + value.bytes - (known ? known->name.bytes + known->value.bytes : 0);
    if (!attribute_name_valid(name) || bytes > FEATURE_ATTRIBUTE_BYTES_MAX) return false;
    if (!known && client->attributes_count == FEATURE_ATTRIBUTES_MAX) return false;
    record->passed.key = 0; /* rules may have it in them */
    uint8_t *text = memory_acquire(name.bytes + value.bytes);
    memcpy(text, name.data, name.bytes);
    if (value.bytes) memcpy(text + name.bytes, value.data, value.bytes);
    struct feature_attribute attribute = {span_of(text, name.bytes), span_of(text + name.bytes, value.bytes)};
    record->attributes_bytes = (uint32_t)bytes;
    if (known) {
        memory_release((void *)(uintptr_t)known->name.data);
        *known = attribute;
        return true;
    }
    record->attributes = memory_resize(record->attributes, (client->attributes_count + 1) * sizeof attribute);
    record->attributes[client->attributes_count++] = attribute;
    client->attributes = record->attributes;
    return true;
}

struct span feature_attribute(const struct feature_client *client, struct span name)
{
    const struct feature_attribute *found = attribute_find(client, name);
    return found ? found->value : span_of(NULL, 0);
}
