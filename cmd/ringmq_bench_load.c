#include "cmd/ringmq_bench_load.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq_bench_relay.h"
#include "engine/listener.h"
#include "engine/shard.h"
#include "proto/decode.h"
#include "proto/encode.h"

/* The head of every payload. */
struct bench_stamp {
    uint32_t publisher, number;
    uint64_t due_ns;
};

enum client_state { CLIENT_CONNECTING, CLIENT_SUBSCRIBING, CLIENT_READY };

struct bench_client {
    struct conn *conn;
    uint32_t number; /* publishers first, then subscribers */
    bool publishes;
    enum client_state state;
    uint32_t sent;         /* publisher: messages so far */
    uint64_t deliveries;   /* publisher: of them, arrived */
    uint16_t packet_id;
    uint32_t *expected;    /* subscriber: next number of each publisher it hears */
};

struct bench {
    const struct bench_plan *plan;
    struct bench_result *result;
    struct bench_client *clients;
    uint32_t clients_count, ready;
    uint32_t fan; /* deliveries a message makes */
    bool publishing, measuring;
    uint64_t idle_ns;    /* spent looking for something to do: the rest of the time is the generator's own work */
    const char *failed;
    uint64_t rate_start_ns, rate_sent;
    uint32_t next_publisher;
    uint8_t *payload;
};

static struct bench *bench_of(struct shard *shard) { return shard->above; }

/* Other processes' CPU time, to the nanosecond. */
static double process_cpu_seconds(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static uint64_t process_rss_bytes(uint32_t pid)
{
    char path[64], line[128];
    uint64_t kib = 0;
    snprintf(path, sizeof path, "/proc/%u/status", pid);
    FILE *file = pid ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %lu", &kib) == 1) break;
    if (file) fclose(file);
    return kib * 1024;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void client_send(struct shard *shard, struct bench_client *client, const struct mqtt_packet *packet)
{
    enum mqtt_version version = (enum mqtt_version)bench_of(shard)->plan->version;
    size_t bytes = mqtt_encoded_bytes(version, packet);
    uint8_t *out = conn_reserve(shard, client->conn, (uint32_t)bytes);
    conn_commit(client->conn, (uint32_t)mqtt_encode(out, bytes, version, packet));
}

/* The bare relay's channel is the pair, or the one that all share. */
static void client_greet(struct shard *shard, struct bench_client *client)
{
    const struct bench_plan *plan = bench_of(shard)->plan;
    struct relay_greeting greeting = {.magic = RELAY_MAGIC, .record_bytes = plan->payload_bytes, .subscribes = !client->publishes,
                                      .channel = plan->shape == BENCH_PAIRS ? client->number % plan->publishers : 0};
    memcpy(conn_reserve(shard, client->conn, sizeof greeting), &greeting, sizeof greeting);
    conn_commit(client->conn, sizeof greeting);
}

static void client_connect(struct shard *shard, struct bench_client *client)
{
    if (bench_of(shard)->plan->relay) return client_greet(shard, client);
    char id[40];
    snprintf(id, sizeof id, "bench-%x-%u", (unsigned)getpid(), client->number);
    struct mqtt_packet packet = {.type = MQTT_CONNECT,
                                 .connect = {.version = (enum mqtt_version)bench_of(shard)->plan->version, .clean_start = true,
                                             .client_id = span_of_string(id)}};
    packet.connect.properties.present = 0;
    client_send(shard, client, &packet);
}

static size_t topic_write(const struct bench *bench, const struct bench_client *client, char *out, size_t bytes)
{
    uint32_t channel = bench->plan->shape == BENCH_PAIRS ? client->number % bench->plan->publishers
                       : client->publishes               ? client->number
                                                         : UINT32_MAX;
    const char *group = bench->plan->shape == BENCH_SHARED && !client->publishes ? "$share/bench/" : "";
    if (channel == UINT32_MAX) return (size_t)snprintf(out, bytes, "%sbench/%x/+", group, (unsigned)getpid());
    return (size_t)snprintf(out, bytes, "bench/%x/%u", (unsigned)getpid(), channel);
}

static void client_subscribe(struct shard *shard, struct bench_client *client)
{
    char filter[64];
    size_t bytes = topic_write(bench_of(shard), client, filter, sizeof filter);
    struct mqtt_subscription entry = {.full_filter = span_of(filter, bytes), .qos = (uint8_t)bench_of(shard)->plan->qos};
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = 1, .subscriptions = &entry}};
    packet.subscribe.properties.present = 0;
    client_send(shard, client, &packet);
    client->state = CLIENT_SUBSCRIBING;
}

static void record_publish(struct shard *shard, struct bench_client *client, const struct bench_stamp *stamp)
{
    const struct bench *bench = bench_of(shard);
    uint32_t bytes = bench->plan->payload_bytes;
    uint8_t *out = conn_reserve(shard, client->conn, bytes);
    memcpy(out, stamp, sizeof *stamp);
    memcpy(out + sizeof *stamp, bench->payload, bytes - sizeof *stamp);
    conn_commit(client->conn, bytes);
}

static void packet_publish(struct shard *shard, struct bench_client *client, const struct bench_stamp *stamp)
{
    struct bench *bench = bench_of(shard);
    const struct bench_plan *plan = bench->plan;
    char topic[64];
    size_t topic_bytes = topic_write(bench, client, topic, sizeof topic);
    uint32_t properties_bytes = plan->version == MQTT_5 ? 1 : 0, after = properties_bytes + plan->payload_bytes;
    if (plan->qos && ++client->packet_id == 0) client->packet_id = 1;
    uint32_t head = (uint32_t)mqtt_publish_head_bytes((uint8_t)plan->qos, topic_bytes, after);
    uint8_t *out = conn_reserve(shard, client->conn, head + after), *at = out;
    at += mqtt_write_publish_head(at, mqtt_publish_first_byte((uint8_t)plan->qos, false, false), span_of(topic, topic_bytes),
                                  client->packet_id, after);
    if (properties_bytes) at = mqtt_put_u8(at, 0);
    memcpy(at, stamp, sizeof *stamp);
    memcpy(at + sizeof *stamp, bench->payload, plan->payload_bytes - sizeof *stamp);
    conn_commit(client->conn, head + after);
}

static void client_publish(struct shard *shard, struct bench_client *client, uint64_t due_ns)
{
    struct bench *bench = bench_of(shard);
    struct bench_stamp stamp = {client->number, client->sent++, due_ns};
    if (bench->plan->relay)
        record_publish(shard, client, &stamp);
    else
        packet_publish(shard, client, &stamp);
    bench->result->expected += bench->fan;
    if (bench->measuring) bench->result->sent++;
}

/* Closed loop: up to `outstanding` messages of this publisher under way. */
static void publisher_top_up(struct shard *shard, struct bench_client *client)
{
    struct bench *bench = bench_of(shard);
    if (!bench->publishing) return;
    uint64_t window = (uint64_t)bench->plan->outstanding * bench->fan;
    while ((uint64_t)client->sent * bench->fan - client->deliveries + bench->fan <= window && conn_has_room(shard, client->conn))
        client_publish(shard, client, shard->now_ns);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static void take_payload(struct shard *shard, struct bench_client *client, struct span payload)
{
    struct bench *bench = bench_of(shard);
    struct bench_stamp stamp;
    if (payload.bytes < sizeof stamp) {
        bench->failed = "a message came that this run did not send";
        return;
    }
    memcpy(&stamp, payload.data, sizeof stamp);
    if (stamp.publisher >= bench->plan->publishers) return;
    struct bench_client *publisher = &bench->clients[stamp.publisher];
    bench->result->arrived++;
    publisher->deliveries++;
    if (bench->plan->shape != BENCH_SHARED) { /* a member of a group sees a part of the numbers */
        uint32_t *expected = &client->expected[bench->plan->shape == BENCH_PAIRS ? 0 : stamp.publisher];
        if (stamp.number == *expected)
            ++*expected;
        else if (stamp.number < *expected)
            bench->result->duplicated++;
        else
            bench->result->disordered++, *expected = stamp.number + 1;
    }
    if (bench->measuring) {
        bench->result->received++;
        bench->result->bytes_received += payload.bytes;
        histogram_add(&bench->result->latency_ns, shard->now_ns > stamp.due_ns ? shard->now_ns - stamp.due_ns : 0);
    }
    if (bench->plan->rate == 0 && bench->plan->shape == BENCH_PAIRS) publisher_top_up(shard, publisher);
}

static void ack(struct shard *shard, struct bench_client *client, enum mqtt_packet_type type, uint16_t packet_id)
{
    conn_commit(client->conn, (uint32_t)mqtt_write_ack(conn_reserve(shard, client->conn, MQTT_ACK_BYTES), type, packet_id));
}

static void client_ready(struct bench *bench, struct bench_client *client)
{
    client->state = CLIENT_READY;
    bench->ready++;
}

static void take_packet(struct shard *shard, struct bench_client *client, const struct mqtt_packet *packet)
{
    struct bench *bench = bench_of(shard);
    switch (packet->type) {
    case MQTT_CONNACK:
        if (packet->connack.reason) bench->failed = mqtt_reason_name(packet->connack.reason);
        if (client->publishes || bench->plan->shape == BENCH_CONNECT) return client_ready(bench, client);
        return client_subscribe(shard, client);
    case MQTT_SUBACK:
        if (packet->suback.codes.data[0] >= 0x80) bench->failed = "a subscription was refused";
        return client_ready(bench, client);
    case MQTT_PUBLISH:
        take_payload(shard, client, packet->publish.payload);
        if (packet->publish.qos == 1) ack(shard, client, MQTT_PUBACK, packet->publish.packet_id);
        if (packet->publish.qos == 2) ack(shard, client, MQTT_PUBREC, packet->publish.packet_id);
        return;
    case MQTT_PUBREC: return ack(shard, client, MQTT_PUBREL, packet->ack.packet_id);
    case MQTT_PUBREL: return ack(shard, client, MQTT_PUBCOMP, packet->ack.packet_id);
    case MQTT_DISCONNECT: bench->failed = mqtt_reason_name(packet->disconnect.reason); return;
    default: return;
    }
}

/* From the bare relay: the greeting once, then records. */
static struct conn_progress records_received(struct shard *shard, struct bench_client *client, struct span bytes)
{
    struct bench *bench = bench_of(shard);
    size_t consumed = 0;
    if (client->state != CLIENT_READY) {
        if (bytes.bytes < sizeof(struct relay_greeting)) return (struct conn_progress){0, sizeof(struct relay_greeting)};
        struct relay_greeting greeting;
        memcpy(&greeting, bytes.data, sizeof greeting);
        if (greeting.magic != RELAY_MAGIC) bench->failed = "this is not the bare relay: leave --relay out for a broker";
        client_ready(bench, client);
        consumed = sizeof greeting;
    }
    size_t record = bench->plan->payload_bytes;
    for (; bytes.bytes - consumed >= record; consumed += record)
        take_payload(shard, client, span_of(bytes.data + consumed, record));
    return (struct conn_progress){consumed, consumed == bytes.bytes ? 1 : record};
}

static struct conn_progress load_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    if (bench_of(shard)->plan->relay) return records_received(shard, conn->client, bytes);
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = (enum mqtt_version)bench_of(shard)->plan->version};
    struct mqtt_packet packet;
    size_t consumed = 0;
    while (consumed < bytes.bytes) {
        struct mqtt_decoded decoded = mqtt_decode(span_skip(bytes, consumed), &limits, &packet);
        if (decoded.status == MQTT_NEED_MORE) return (struct conn_progress){consumed, decoded.bytes};
        if (decoded.status == MQTT_MALFORMED) {
            bench_of(shard)->failed = decoded.what;
            return (struct conn_progress){bytes.bytes, 1};
        }
        take_packet(shard, conn->client, &packet);
        consumed += decoded.bytes;
    }
    return (struct conn_progress){consumed, 1};
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void load_start(struct shard *shard) {}
static void load_accepted(struct shard *shard, struct conn *conn) {}
static void load_adopted(struct shard *shard, struct conn *conn, void *baggage) {}
static void load_move_failed(struct shard *shard, void *baggage) {}
static void load_writable(struct shard *shard, struct conn *conn) {}
static void load_release(struct shard *shard, void *owner) {}
static void load_record(struct shard *shard, uint32_t from, const struct lane_cell *cells) {}
static void load_peer(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address) {}

static void load_closed(struct shard *shard, struct conn *conn, enum conn_end why)
{
    if (why != CONN_END_STOPPED && !bench_of(shard)->failed) bench_of(shard)->failed = "the broker closed a connection";
}

/* Open loop: when the next message is due. */
static uint64_t rate_due_ns(const struct bench *bench)
{
    if (!bench->publishing || !bench->plan->rate) return UINT64_MAX;
    return bench->rate_start_ns + (uint64_t)((unsigned __int128)bench->rate_sent * 1000000000u / bench->plan->rate);
}

/* What is due by now, spread over the publishers in turn. */
static void rate_publish(struct shard *shard, struct bench *bench)
{
    for (uint64_t due_ns; (due_ns = rate_due_ns(bench)) <= shard->now_ns; bench->rate_sent++)
        client_publish(shard, &bench->clients[bench->next_publisher++ % bench->plan->publishers], due_ns);
}

static bool load_turn(struct shard *shard)
{
    struct bench *bench = bench_of(shard);
    if (!bench->publishing) return false;
    if (bench->plan->rate) {
        rate_publish(shard, bench);
    } else if (bench->plan->shape != BENCH_PAIRS) {
        for (uint32_t p = 0; p < bench->plan->publishers; p++)
            publisher_top_up(shard, &bench->clients[p]);
    }
    return false;
}

static const struct shard_handler load_handler = {
    .start = load_start, .accepted = load_accepted, .adopted = load_adopted, .move_failed = load_move_failed,
    .received = load_received, .writable = load_writable, .closed = load_closed, .release = load_release,
    .record = load_record, .peer = load_peer, .turn = load_turn, .stop = load_start, .finish = load_start};

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int dial(const struct bench_plan *plan, uint32_t number, const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (address->ai_family == AF_INET) { /* loopback has many addresses: 28,000 ports each */
        struct sockaddr_in local = {.sin_family = AF_INET};
        const struct sockaddr_in *to = (const struct sockaddr_in *)address->ai_addr;
        if (ntohl(to->sin_addr.s_addr) >> 24 == 127) {
            local.sin_addr.s_addr = htonl(0x7f000001u + ((1 + number / 20000) << 8));
            setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
            if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0) goto failed;
        }
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) return fd;
failed:
    close(fd);
    return -1;
}

static bool clients_open(struct bench *bench, struct shard *shard, const struct addrinfo *address, char *error, uint32_t bytes)
{
    const struct bench_plan *plan = bench->plan;
    for (uint32_t i = 0; i < bench->clients_count; i++) {
        struct bench_client *client = &bench->clients[i];
        int fd = dial(plan, i, address);
        if (fd < 0) return snprintf(error, bytes, "connection %u to %s:%s: %s", i, plan->host, plan->port, strerror(errno)), false;
        client->number = i;
        client->publishes = i < plan->publishers;
        if (!client->publishes)
            client->expected = memory_acquire_zeroed((plan->shape == BENCH_FANOUT ? plan->publishers : 1) * sizeof *client->expected);
        uint32_t before = shard->conns_used;
        conn_accepted(shard, fd, 0);
        client->conn = &shard->conns[before];
        client->conn->client = client;
        client_connect(shard, client);
        while (bench->ready + plan->connect_parallel <= i + 1 && !bench->failed)
            shard_turn(shard, 1000000);
    }
    while (bench->ready < bench->clients_count && !bench->failed)
        shard_turn(shard, 1000000);
    if (bench->failed) snprintf(error, bytes, "%s", bench->failed);
    return !bench->failed;
}

/* Looks, without a system call, until something has arrived or the next message is due. A generator that slept would add its own
 * waking to every latency, and its waking up (an interrupt to another core) to the broker's bill. */
static void spin_until(struct bench *bench, struct shard *shard, uint64_t end_ns)
{
    uint64_t due_ns = rate_due_ns(bench), until_ns = due_ns < end_ns ? due_ns : end_ns, start_ns = now_ns(), now = start_ns;
    while (now < until_ns && !shard->group->verbs->ready(shard->ring)) {
        __builtin_ia32_pause();
        now = now_ns();
    }
    bench->idle_ns += now - start_ns;
}

static void turn_for(struct bench *bench, struct shard *shard, double seconds)
{
    uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
    while (shard->now_ns < end_ns && !bench->failed) {
        if (!bench->plan->sleeps) {
            if (!shard->dirty_count) spin_until(bench, shard, end_ns);
            shard_turn(shard, 0);
            continue;
        }
        uint64_t due_ns = rate_due_ns(bench), until_ns = due_ns < end_ns ? due_ns : end_ns, before_ns = now_ns();
        shard_turn(shard, shard->dirty_count || until_ns <= before_ns ? 0 : until_ns - before_ns);
        bench->idle_ns += shard->now_ns - before_ns;
    }
}

static void measure(struct bench *bench, struct shard *shard)
{
    const struct bench_plan *plan = bench->plan;
    struct bench_result *result = bench->result;
    bench->publishing = true;
    bench->rate_start_ns = shard->now_ns;
    for (uint32_t p = 0; p < plan->publishers && plan->rate == 0; p++)
        publisher_top_up(shard, &bench->clients[p]);
    turn_for(bench, shard, plan->warm_up_seconds);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double cpu = process_cpu_seconds((pid_t)plan->broker_pid);
    uint64_t start_ns = now_ns();
    bench->measuring = true;
    bench->idle_ns = 0;
    turn_for(bench, shard, plan->seconds);
    bench->measuring = false;
    result->idle_seconds = (double)bench->idle_ns / 1e9;
    result->seconds = (double)(now_ns() - start_ns) / 1e9;
    result->broker_cpu_seconds = process_cpu_seconds((pid_t)plan->broker_pid) - cpu;
    getrusage(RUSAGE_SELF, &after);
    result->own_cpu_seconds = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                              (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    /* What is under way still has to arrive. */
    bench->publishing = false;
    for (int waits = 0; waits < 50 && result->arrived < result->expected && !bench->failed; waits++)
        turn_for(bench, shard, 0.1);
    result->lost = result->expected > result->arrived ? result->expected - result->arrived : 0;
    if (result->arrived > result->expected) result->duplicated += result->arrived - result->expected;
}

bool bench_run(const struct bench_plan *plan, struct bench_result *ret_result, char *ret_error, uint32_t error_bytes)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *address;
    int failed = getaddrinfo(plan->host, plan->port, &hints, &address);
    if (failed) return snprintf(ret_error, error_bytes, "%s: %s", plan->host, gai_strerror(failed)), false;
    if (plan->core != UINT32_MAX) {
        cpu_set_t mask;
        CPU_ZERO(&mask);
        CPU_SET(plan->core, &mask);
        sched_setaffinity(0, sizeof mask, &mask);
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    static struct bench bench;
    static struct settings settings;
    static struct listener_settings no_limit;
    static struct listener listener = {.settings = &no_limit};
    static struct qsbr qsbr;
    bench = (struct bench){.plan = plan, .result = ret_result, .clients_count = plan->publishers + plan->subscribers,
                           .fan = plan->shape == BENCH_FANOUT ? plan->subscribers : 1};
    bench.clients = memory_acquire_zeroed(bench.clients_count * sizeof *bench.clients);
    bench.payload = memory_acquire_zeroed(plan->payload_bytes);
    settings = (struct settings){.node = {.connections_max = bench.clients_count + 16},
                                 .io = {.message_ring = true, .incremental_buffers = true, .receive_bundle = true, .send_vectorized = true,
                                        .min_wait = true, .multishot_accept = true, .multishot_receive = true,
                                        .receive_buffers_bytes = 4u << 20, .ring_entries = 4096}};
    qsbr_init(&qsbr, 1);
    struct shard_group group = {.shards_count = 1, .verbs = &kernel_uring, .handler = &load_handler,
                                .mesh = mesh_create(1, LANE_SLOTS), .qsbr = &qsbr, .listeners = &listener};
    struct shard *shard = shard_create(0, &group, &settings, NULL, 1, &bench, ret_error, error_bytes);
    if (!shard) return false;
    shard_start(shard);

    ret_result->broker_rss_bytes_before = process_rss_bytes(plan->broker_pid);
    double cpu = process_cpu_seconds((pid_t)plan->broker_pid);
    uint64_t start_ns = now_ns();
    bool opened = clients_open(&bench, shard, address, ret_error, error_bytes);
    ret_result->connections = bench.ready;
    ret_result->connect_seconds = (double)(now_ns() - start_ns) / 1e9;
    ret_result->connect_broker_cpu_seconds = process_cpu_seconds((pid_t)plan->broker_pid) - cpu;
    if (opened && plan->shape == BENCH_CONNECT) turn_for(&bench, shard, plan->seconds);
    ret_result->broker_rss_bytes_after = process_rss_bytes(plan->broker_pid);
    if (opened && plan->shape != BENCH_CONNECT) measure(&bench, shard);
    if (bench.failed) snprintf(ret_error, error_bytes, "%s", bench.failed);

    shard_stop(shard);
    while (!shard_done(shard))
        shard_turn(shard, 1000000);
    shard_destroy(shard);
    mesh_destroy(group.mesh);
    for (uint32_t i = 0; i < bench.clients_count; i++)
        memory_release(bench.clients[i].expected);
    memory_release(bench.clients);
    memory_release(bench.payload);
    freeaddrinfo(address);
    return opened && !bench.failed;
}
