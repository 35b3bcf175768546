#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/ringmq_bench_relay.h"
#include "cmd/ringmq_bench_worker.h"
#include "engine/filters.h"
#include "proto/decode.h"
#include "proto/encode.h"

#define BIND_ADDRESS_NO_PORT 24 /* IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect(), so that it may serve several peers */
#define LEAVE_MS             1000

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void send_packet(struct bench_worker *worker, struct bench_client *client, const struct mqtt_packet *packet)
{
    enum mqtt_version version = (enum mqtt_version)worker->plan->version;
    size_t bytes = mqtt_encoded_bytes(version, packet);
    uint8_t *out = bench_client_reserve(worker, client, (uint32_t)bytes);
    conn_commit(client->conn, (uint32_t)mqtt_encode(out, bytes, version, packet));
}

static void send_ack(struct bench_worker *worker, struct bench_client *client, enum mqtt_packet_type type, uint16_t packet_id)
{
    conn_commit(client->conn, (uint32_t)mqtt_write_ack(bench_client_reserve(worker, client, MQTT_ACK_BYTES), type, packet_id));
}

/* The bare relay's channel is the pair, or the one that all share. */
static void send_greeting(struct bench_worker *worker, struct bench_client *client)
{
    struct relay_greeting greeting = {.magic = RELAY_MAGIC, .record_bytes = worker->plan->payload_bytes,
                                      .role = client->role == ROLE_SUBSCRIBER ? RELAY_SUBSCRIBES
                                              : client->role == ROLE_CHURN    ? RELAY_LIVES
                                                                              : RELAY_PUBLISHES,
                                      .channel = worker->plan->shape == BENCH_PAIRS ? client->number : 0};
    memcpy(bench_client_reserve(worker, client, sizeof greeting), &greeting, sizeof greeting);
    conn_commit(client->conn, sizeof greeting);
}

static void send_connect(struct bench_worker *worker, struct bench_client *client)
{
    static const char role_letters[ROLES + 1] = "bsptc";
    char id[48];
    int bytes = snprintf(id, sizeof id, "bench-%s-%c%u", worker->plan->run, role_letters[client->role], client->number);
    if (client->role == ROLE_CHURN) snprintf(id + bytes, sizeof id - (size_t)bytes, "-%u", client->life);
    struct mqtt_packet packet = {.type = MQTT_CONNECT,
                                 .connect = {.version = (enum mqtt_version)worker->plan->version,
                                             .clean_start = !client->keeps,
                                             .keep_alive_s = (uint16_t)worker->plan->keep_alive_s,
                                             .client_id = span_of_string(id)}};
    packet.connect.properties.present = 0;
    packet.connect.properties.raw = span_of(NULL, 0);
    if (client->keeps && worker->plan->version == MQTT_5) {
        mqtt_set(&packet.connect.properties, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
        packet.connect.properties.session_expiry_s = 3600;
    }
    send_packet(worker, client, &packet);
}

void bench_client_subscribe(struct bench_worker *worker, struct bench_client *client, const struct mqtt_subscription *entries,
                            uint32_t count)
{
    if (++client->packet_id == 0) client->packet_id = 1;
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE,
                                 .subscribe = {.packet_id = client->packet_id, .count = count, .subscriptions = entries}};
    packet.subscribe.properties.present = 0;
    packet.subscribe.properties.raw = span_of(NULL, 0);
    send_packet(worker, client, &packet);
    client->state = CLIENT_SUBSCRIBING;
}

void bench_client_unsubscribe(struct bench_worker *worker, struct bench_client *client, struct span filter)
{
    if (++client->packet_id == 0) client->packet_id = 1;
    struct mqtt_packet packet = {.type = MQTT_UNSUBSCRIBE,
                                 .unsubscribe = {.packet_id = client->packet_id, .count = 1, .filters = &filter}};
    packet.unsubscribe.properties.present = 0;
    packet.unsubscribe.properties.raw = span_of(NULL, 0);
    send_packet(worker, client, &packet);
}

void bench_client_ping(struct bench_worker *worker, struct bench_client *client)
{
    conn_commit(client->conn, (uint32_t)mqtt_write_pingreq(bench_client_reserve(worker, client, MQTT_PING_BYTES)));
}

static void client_gone(struct bench_worker *worker, struct bench_client *client)
{
    client->conn = NULL;
    client->state = CLIENT_AWAY;
    if (client->role == ROLE_CHURN) return churn_gone(worker, client);
    stored_gone(worker, client);
}

/* The broker did not close though we said goodbye. */
static void leave_over(struct timer *timer, void *context)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    struct bench_client *client = conn->client;
    conn_close(context, conn);
    client_gone(worker_of(context), client);
}

void bench_client_leave(struct bench_worker *worker, struct bench_client *client)
{
    static const uint8_t disconnect[2] = {MQTT_DISCONNECT << 4, 0};
    memcpy(bench_client_reserve(worker, client, sizeof disconnect), disconnect, sizeof disconnect);
    conn_commit(client->conn, sizeof disconnect);
    client->state = CLIENT_LEAVING;
    timer_init(&client->conn->timer, leave_over);
    shard_start_timer(worker->shard, &client->conn->timer, LEAVE_MS);
}

/* ---- dialling --------------------------------------------------------------------------------------------------- */

/* Loopback has 16 million addresses, of 28,000 ports each. The kernel's search for a free port slows down long before they are
 * used up, and ports of connections long gone rest for a minute: so a new address for every thousand, and other ones for every
 * run. */
#define PORTS_AN_ADDRESS 1000

static bool bind_source(const struct bench_worker *worker, int fd, const struct sockaddr_in *to)
{
    if (ntohl(to->sin_addr.s_addr) >> 24 != 127) return true;
    int one = 1;
    uint64_t number = worker->dials * worker->count + worker->number;
    uint32_t host = (uint32_t)((strtoul(worker->plan->run, NULL, 16) + number / PORTS_AN_ADDRESS) % 0xfffffe);
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u + host)};
    setsockopt(fd, IPPROTO_IP, BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (struct sockaddr *)&local, sizeof local) == 0;
}

static int dial(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    int fd = socket(plan->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, blocking = 0;
    if (fd < 0) return -1;
    if (plan->address.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bool fine = plan->address.ss_family != AF_INET || bind_source(worker, fd, (const struct sockaddr_in *)&plan->address);
    worker->dials++;
    fine = fine && (connect(fd, (const struct sockaddr *)&plan->address, plan->address_bytes) == 0 || errno == EINPROGRESS);
    if (fine && ioctl(fd, FIONBIO, &blocking) == 0) return fd; /* the ring waits for what is not ready, given a blocking one */
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static void add_filters(struct bench_worker *worker, struct conn *conn)
{
    struct filter *levels[ENDPOINT_FILTERS_MAX];
    uint32_t count = endpoint_filters(worker->plan->endpoint, worker->session, levels);
    if (count == 0) return;
    conn->filters = filters_create();
    for (uint32_t i = 0; i < count; i++)
        filters_add(conn->filters, levels[i]);
    filters_begin(worker->shard, conn);
}

/* CONNACK has come over TLS: what was agreed, and the ticket for the next. */
static void look_at_tls(struct bench_worker *worker, struct conn *conn)
{
    struct filter *tls = conn->filters->levels[0];
    if (endpoint_resumed(tls)) worker->lane->tally.resumed++;
    if (worker->number == 0 && !worker->shared->tls[0])
        snprintf(worker->shared->tls, sizeof worker->shared->tls, "%.*s, %.*s", SPAN_PRINT(filters_fact(conn->filters, FACT_TLS_VERSION)),
                 SPAN_PRINT(filters_fact(conn->filters, FACT_TLS_CIPHER)));
    if (worker->plan->resume && !worker->session) worker->session = endpoint_session(tls);
}

bool bench_client_dial(struct bench_worker *worker, struct bench_client *client)
{
    struct bench_shared *shared = worker->shared;
    client->since_ns = bench_now_ns();
    int fd = dial(worker);
    if (fd >= 0 && !shared->congestion[0] && worker->number == 0) {
        socklen_t bytes = sizeof shared->congestion - 1;
        getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, shared->congestion, &bytes);
    }
    client->conn = fd >= 0 ? conn_dialled(worker->shard, fd) : NULL;
    if (!client->conn) {
        worker_fail(worker, "cannot connect to %s: %s", worker->plan->endpoint->name, strerror(errno));
        return false;
    }
    client->conn->client = client;
    client->state = CLIENT_CONNECTING;
    add_filters(worker, client->conn);
    if (worker->plan->relay)
        send_greeting(worker, client);
    else
        send_connect(worker, client);
    return true;
}

static void client_connected(struct bench_worker *worker, struct bench_client *client)
{
    histogram_add(&worker->lane->tally.connect_ns,
                  worker->shard->now_ns > client->since_ns ? worker->shard->now_ns - client->since_ns : 0);
    if (!client->opened) bench_add(&worker->lane->connected, 1);
}

void bench_client_ready(struct bench_worker *worker, struct bench_client *client)
{
    client->state = CLIENT_READY;
    if (client->opened) return;
    client->opened = true;
    worker->dialling--;
    bench_add(&worker->lane->ready, 1);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static void take_connack(struct bench_worker *worker, struct bench_client *client, const struct mqtt_connack *connack)
{
    if (connack->reason) return worker_fail(worker, "a connection was refused: %s", mqtt_reason_name(connack->reason));
    client_connected(worker, client);
    if (worker->plan->endpoint->tls) look_at_tls(worker, client->conn);
    if (client->role == ROLE_PUBLISHER) {
        bool told = worker->plan->version == MQTT_5 && mqtt_has(&connack->properties, MQTT_PROPERTY_RECEIVE_MAXIMUM);
        publisher_of(worker, client)->unacked_max = told ? connack->properties.receive_maximum : 65000;
    }
    bool waits = false;
    if (client->role == ROLE_CHURN) return churn_connected(worker, client);
    if (client->role == ROLE_SUBSCRIBER)
        waits = plan_stores(worker->plan) ? stored_connected(worker, client) : traffic_connected(worker, client);
    if (!waits) bench_client_ready(worker, client);
}

static void take_suback(struct bench_worker *worker, struct bench_client *client, const struct mqtt_suback *suback)
{
    for (size_t i = 0; i < suback->codes.bytes; i++)
        if (suback->codes.data[i] >= 0x80)
            return worker_fail(worker, "a subscription was refused: %s",
                               mqtt_reason_name((enum mqtt_reason)suback->codes.data[i]));
    if (client->role == ROLE_CHURN) return churn_subscribed(worker, client);
    if (plan_stores(worker->plan)) return stored_subscribed(worker, client);
    if (!traffic_subscribed(worker, client)) bench_client_ready(worker, client);
}

static void take_acked(struct bench_worker *worker, struct bench_client *client)
{
    publisher_of(worker, client)->unacked--;
    if (plan_stores(worker->plan)) return stored_acked(worker, publisher_of(worker, client));
    traffic_acked(worker, client);
}

/* Reasons below 0x80 are success, "no matching subscribers" among them. */
static void take_ack(struct bench_worker *worker, struct bench_client *client, enum mqtt_packet_type type,
                     const struct mqtt_ack *ack)
{
    if (ack->reason >= 0x80) return worker_fail(worker, "a message was refused: %s", mqtt_reason_name(ack->reason));
    switch (type) {
    case MQTT_PUBREC: return send_ack(worker, client, MQTT_PUBREL, ack->packet_id);
    case MQTT_PUBREL: return send_ack(worker, client, MQTT_PUBCOMP, ack->packet_id);
    default: break;
    }
    bool ours = client->role == ROLE_PUBLISHER && publisher_of(worker, client)->unacked > 0;
    if (!ours) return worker_fail(worker, "an acknowledgement came for nothing that was sent");
    take_acked(worker, client);
}

static void take_pingresp(struct bench_worker *worker, struct bench_client *client)
{
    if (client->role != ROLE_PING || !client->waits) return; /* of the keep-alive */
    client->waits = false;
    if (worker->measuring) ping_count(worker, client, worker->shard->now_ns);
}

static void take_packet(struct bench_worker *worker, struct bench_client *client, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNACK: return take_connack(worker, client, &packet->connack);
    case MQTT_SUBACK: return take_suback(worker, client, &packet->suback);
    case MQTT_UNSUBACK: return stored_unsubscribed(worker, client);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return take_ack(worker, client, packet->type, &packet->ack);
    case MQTT_PINGRESP: return take_pingresp(worker, client);
    case MQTT_DISCONNECT:
        return worker_fail(worker, "the broker disconnected a client: %s", mqtt_reason_name(packet->disconnect.reason));
    default: return;
    }
}

static void take_publish(struct bench_worker *worker, struct bench_client *client, uint8_t first, uint16_t packet_id,
                         struct span payload)
{
    uint8_t qos = first >> MQTT_FLAG_QOS_SHIFT & 3;
    if (client->role != ROLE_SUBSCRIBER) return worker_fail(worker, "a message came to a client without a subscription");
    if (plan_stores(worker->plan))
        stored_take(worker, client, payload, (first & MQTT_FLAG_RETAIN) != 0);
    else
        traffic_take(worker, client, payload);
    if (qos) send_ack(worker, client, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id);
}

/* §2.1.4; 0: not there yet; -1: five bytes. */
static int varint(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    *ret_value = 0;
    for (int i = 0; i < 4; i++) {
        if (at + i == end) return 0;
        *ret_value |= (uint32_t)(at[i] & 0x7f) << 7 * i;
        if (!(at[i] & 0x80)) return i + 1;
    }
    return -1;
}

#define PUBLISH_MALFORMED UINT32_MAX

/* A PUBLISH at the front of `bytes`, by hand: most of what arrives. Returns its bytes; 0 and what is needed; or
 * PUBLISH_MALFORMED. */
static uint32_t take_front(struct bench_worker *worker, struct bench_client *client, struct span bytes, uint32_t *ret_needed)
{
    const uint8_t *at = bytes.data + 1, *end = bytes.data + bytes.bytes;
    uint32_t remaining, properties = 0;
    int length = varint(at, end, &remaining);
    if (length < 0) return PUBLISH_MALFORMED;
    *ret_needed = length ? 1 + (uint32_t)length + remaining : (uint32_t)bytes.bytes + 1;
    if (!length || bytes.bytes < *ret_needed) return 0;
    at += length;
    end = at + remaining;
    uint8_t qos = bytes.data[0] >> MQTT_FLAG_QOS_SHIFT & 3;
    if (qos == 3 || end - at < 2) return PUBLISH_MALFORMED;
    uint32_t topic = (uint32_t)at[0] << 8 | at[1], id_bytes = qos ? 2 : 0;
    if ((size_t)(end - at) < 2 + topic + id_bytes) return PUBLISH_MALFORMED;
    at += 2 + topic;
    uint16_t packet_id = qos ? (uint16_t)(at[0] << 8 | at[1]) : 0;
    at += id_bytes;
    if (worker->plan->version == MQTT_5) {
        length = varint(at, end, &properties);
        if (length <= 0 || (size_t)(end - at) < (size_t)length + properties) return PUBLISH_MALFORMED;
        at += (uint32_t)length + properties;
    }
    take_publish(worker, client, bytes.data[0], packet_id, span_of(at, (size_t)(end - at)));
    return *ret_needed;
}

/* From the bare relay: the greeting once, then records. */
static struct conn_progress records_received(struct bench_worker *worker, struct bench_client *client, struct span bytes)
{
    size_t consumed = 0;
    if (client->state != CLIENT_READY) {
        if (bytes.bytes < sizeof(struct relay_greeting)) return (struct conn_progress){0, sizeof(struct relay_greeting)};
        struct relay_greeting greeting;
        memcpy(&greeting, bytes.data, sizeof greeting);
        if (greeting.magic != RELAY_MAGIC) worker_fail(worker, "this is not the bare relay: leave --relay out for a broker");
        client_connected(worker, client);
        bench_client_ready(worker, client);
        consumed = sizeof greeting;
        if (client->role == ROLE_CHURN) churn_greeted(worker, client);
    }
    size_t record = worker->plan->payload_bytes;
    for (; bytes.bytes - consumed >= record; consumed += record) {
        if (client->role == ROLE_CHURN)
            churn_subscribed(worker, client);
        else
            traffic_take(worker, client, span_of(bytes.data + consumed, record));
    }
    return (struct conn_progress){consumed, consumed == bytes.bytes ? 1 : record};
}

static struct conn_progress client_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    struct bench_worker *worker = worker_of(shard);
    struct bench_client *client = conn->client;
    worker->events++;
    if (worker->plan->relay) return records_received(worker, client, bytes);
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = (enum mqtt_version)worker->plan->version};
    size_t consumed = 0;
    while (consumed < bytes.bytes) {
        struct span rest = span_skip(bytes, consumed);
        if (rest.data[0] >> 4 == MQTT_PUBLISH) {
            uint32_t needed, taken = take_front(worker, client, rest, &needed);
            if (taken == 0) return (struct conn_progress){consumed, needed};
            if (taken == PUBLISH_MALFORMED) {
                worker_fail(worker, "the broker sent a PUBLISH that is malformed");
                break;
            }
            consumed += taken;
            continue;
        }
        struct mqtt_packet packet;
        struct mqtt_decoded decoded = mqtt_decode(rest, &limits, &packet);
        if (decoded.status == MQTT_NEED_MORE) return (struct conn_progress){consumed, decoded.bytes};
        if (decoded.status == MQTT_MALFORMED) {
            worker_fail(worker, "the broker sent what is not MQTT: %s", decoded.what);
            break;
        }
        take_packet(worker, client, &packet);
        consumed += decoded.bytes;
    }
    return (struct conn_progress){bytes.bytes, 1};
}

static void client_writable(struct shard *shard, struct conn *conn) { traffic_writable(worker_of(shard), conn->client); }

static void client_closed(struct shard *shard, struct conn *conn, enum conn_end why)
{
    struct bench_worker *worker = worker_of(shard);
    struct bench_client *client = conn->client;
    if (why == CONN_END_STOPPED) return;
    if (client->state == CLIENT_LEAVING) {
        wheel_stop(&shard->wheel, &conn->timer);
        return client_gone(worker, client);
    }
    uint64_t open = atomic_load_explicit(&worker->lane->connected, memory_order_relaxed);
    const char *name = worker->plan->endpoint->name, *reason = filters_reason(conn->filters);
    if (*reason) return worker_fail(worker, "%s: %s%s", name, reason, endpoint_advice(reason));
    if (client->state == CLIENT_CONNECTING)
        return worker_fail(worker, "the broker at %s ended a connection before CONNACK (%lu were accepted here before)", name, open);
    worker_fail(worker, "the broker closed a connection (of %lu here)", open);
}

static void nothing(struct shard *shard) {}
static void no_accepted(struct shard *shard, struct conn *conn) {}
static void no_adopted(struct shard *shard, struct conn *conn, void *baggage) {}
static void no_move_failed(struct shard *shard, void *baggage) {}
static void no_release(struct shard *shard, void *owner) {}
static void no_record(struct shard *shard, uint32_t from, const struct lane_cell *cells) {}
static void no_peer(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address) {}

const struct shard_handler bench_client_handler = {
    .start = nothing, .accepted = no_accepted, .adopted = no_adopted, .move_failed = no_move_failed, .received = client_received,
    .writable = client_writable, .closed = client_closed, .release = no_release, .record = no_record, .peer = no_peer,
    .turn = worker_turn, .stop = nothing, .finish = nothing};
