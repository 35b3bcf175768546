#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "cmd/ringmq_bench_worker.h"
#include "proto/encode.h"

#define NS_PER_S 1000000000ull
#define TOPIC_BYTES_MAX 96
/* Filters in one SUBSCRIBE. */
#define FILTERS_A_PACKET 64
/* A subscriber of a fan-out names every topic, as Open MQTT Benchmark Suite has it, up to so many; more are one filter. */
#define FANOUT_TOPICS_MAX 64

/* ---- names ------------------------------------------------------------------------------------------------------ */

static uint32_t subscribers_here(const struct bench_worker *worker)
{
    return worker->role_first[ROLE_SUBSCRIBER + 1] - worker->role_first[ROLE_SUBSCRIBER];
}

static struct span topic_of_publisher(const struct bench_worker *worker, uint32_t number, char *out)
{
    return span_of(out, (size_t)snprintf(out, TOPIC_BYTES_MAX, "bench/%s/%u", worker->plan->run, number));
}

/* WILD: message `device` goes to subscriber device % subscribers, whose site it is. The subscriber has one filter for it, of one of four kinds; or with `broad` one of two
 * kinds for all of its site's devices. */
static struct span wild_topic(const struct bench_worker *worker, uint32_t device, char *out)
{
    const struct bench_plan *plan = worker->plan;
    return span_of(out, (size_t)snprintf(out, TOPIC_BYTES_MAX, "bench/%s/site%u/device%u/status", plan->run, device % plan->subscribers, device));
}

static struct span wild_filter(const struct bench_worker *worker, uint32_t device, char *out)
{
    static const char *const kinds[4] = {"bench/%s/site%u/device%u/status", "bench/%s/site%u/device%u/+",
                                         "bench/%s/site%u/device%u/#", "bench/%s/+/device%u/status"};
    static const char *const broad[2] = {"bench/%s/site%u/+/status", "bench/%s/site%u/#"};
    const char *run = worker->plan->run;
    uint32_t kind = (uint32_t)(hash_u64(device) >> 62), site = device % worker->plan->subscribers;
    int bytes = worker->plan->broad ? snprintf(out, TOPIC_BYTES_MAX, broad[site % 2], run, site)
                : kind == 3         ? snprintf(out, TOPIC_BYTES_MAX, kinds[3], run, device)
                                    : snprintf(out, TOPIC_BYTES_MAX, kinds[kind], run, site, device);
    return span_of(out, (size_t)bytes);
}

/* Which device the next message is about. Busy ones are as far apart as can be, and one further each time, so that all subscribers and all kinds of
 * filters have their part of them. With a share of 1 / r each, the cumulated share of the first r of n is nearly log r / log n: its inverse is
 * n ^ u. */
static uint32_t wild_device(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    uint32_t busy = plan->busy ? plan->busy : plan->filters, apart = plan->filters / busy, one;
    uint64_t random = random_next(&worker->shard->random);
    if (plan->zipf) {
        uint64_t rank = (uint64_t)pow(busy, (double)(random >> 11) * 0x1p-53) - 1;
        one = (uint32_t)(hash_u64(rank) % busy); /* the busiest ones are not neighbours */
    } else {
        one = (uint32_t)((unsigned __int128)random * busy >> 64);
    }
    return one * apart + one % apart;
}

/* How many filters a subscriber has, and its n-th. */
static uint32_t filters_of(const struct bench_worker *worker, const struct bench_client *client)
{
    const struct bench_plan *plan = worker->plan;
    if (plan->shape == BENCH_FANOUT) return plan->publishers <= FANOUT_TOPICS_MAX ? plan->publishers : 1;
    if (plan->shape == BENCH_WILD && plan->broad) return 1;
    if (plan->shape == BENCH_WILD) return (plan->filters + plan->subscribers - 1 - client->number) / plan->subscribers;
    return 1;
}

static struct span filter_of(const struct bench_worker *worker, const struct bench_client *client, uint32_t n, char *out)
{
    const struct bench_plan *plan = worker->plan;
    switch (plan->shape) {
    case BENCH_WILD: return wild_filter(worker, client->number + n * plan->subscribers, out);
    case BENCH_SHARED: return span_of(out, (size_t)snprintf(out, TOPIC_BYTES_MAX, "$share/bench/bench/%s/#", plan->run));
    case BENCH_FANOUT:
        if (plan->publishers > FANOUT_TOPICS_MAX)
            return span_of(out, (size_t)snprintf(out, TOPIC_BYTES_MAX, "bench/%s/+", plan->run));
        return topic_of_publisher(worker, n, out);
    default: return topic_of_publisher(worker, client->number, out);
    }
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void *pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static size_t last_bytes(const struct bench_worker *worker)
{
    return (size_t)subscribers_here(worker) * worker->plan->publishers * sizeof(uint32_t);
}
static size_t tracks_bytes(const struct bench_worker *worker)
{
    return (size_t)subscribers_here(worker) * worker->tracks_each * sizeof(struct track);
}

static void publishers_open(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    worker->publishers_count = worker->role_first[ROLE_PUBLISHER + 1] - worker->role_first[ROLE_PUBLISHER];
    worker->publishers = memory_acquire_zeroed((worker->publishers_count + 1) * sizeof *worker->publishers);
    worker->listed = memory_acquire((worker->publishers_count + 1) * sizeof *worker->listed);
    for (uint32_t i = 0; i < worker->publishers_count; i++) {
        struct bench_publisher *publisher = &worker->publishers[i];
        publisher->client = &worker->clients[worker->role_first[ROLE_PUBLISHER] + i];
        publisher->unacked_max = 65000;
        if (plan->relay || plan->shape == BENCH_WILD || plan->shape == BENCH_RETAIN)
            continue; /* a topic for each message, or none */
        char name[TOPIC_BYTES_MAX];
        struct span topic = topic_of_publisher(worker, publisher->client->number, name);
        uint32_t after = plan->payload_bytes + (plan->version == MQTT_5 ? 1 : 0);
        publisher->head_bytes = (uint16_t)mqtt_publish_head_bytes((uint8_t)plan->qos, topic.bytes, after);
        publisher->head = memory_acquire(publisher->head_bytes);
        mqtt_write_publish_head(publisher->head, mqtt_publish_first_byte((uint8_t)plan->qos, false, false), topic, 0, after);
    }
}

void traffic_open(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    worker->payload = memory_acquire_zeroed(plan->payload_bytes + 1);
    publishers_open(worker);
    worker->tracks_each = plan->shape == BENCH_FANOUT || plan->shape == BENCH_WILD ? plan->publishers : 1;
    worker->tracks = pages(tracks_bytes(worker));
    if (plan->shape == BENCH_SHARED) worker->last = pages(last_bytes(worker));
    if (plan_stores(plan)) stored_open(worker);
}

void traffic_close(struct bench_worker *worker)
{
    for (uint32_t i = 0; i < worker->publishers_count; i++)
        memory_release(worker->publishers[i].head);
    if (plan_stores(worker->plan)) stored_close(worker);
    if (worker->last) munmap(worker->last, last_bytes(worker) + 1);
    munmap(worker->tracks, tracks_bytes(worker) + 1);
    memory_release(worker->publishers);
    memory_release(worker->listed);
    memory_release(worker->payload);
}

bool traffic_subscribed(struct bench_worker *worker, struct bench_client *client)
{
    char names[FILTERS_A_PACKET][TOPIC_BYTES_MAX];
    struct mqtt_subscription entries[FILTERS_A_PACKET];
    uint32_t all = filters_of(worker, client), count = 0;
    for (; count < FILTERS_A_PACKET && client->life < all; count++, client->life++)
        entries[count] = (struct mqtt_subscription){.full_filter = filter_of(worker, client, client->life, names[count]),
                                                    .qos = (uint8_t)worker->plan->qos};
    if (count) bench_client_subscribe(worker, client, entries, count);
    return count > 0;
}

bool traffic_connected(struct bench_worker *worker, struct bench_client *client)
{
    if (worker->plan->shape == BENCH_CONNECT) return false;
    return traffic_subscribed(worker, client);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

bool publisher_may_send(struct bench_worker *worker, struct bench_publisher *publisher)
{
    if (worker->plan->qos && publisher->unacked >= publisher->unacked_max) return false; /* an acknowledgement comes back here */
    struct conn *conn = publisher->client->conn;
    if (conn_has_room(conn)) return true;
    conn->wants_writable = true;
    return false;
}

static void publish_record(struct bench_worker *worker, struct bench_publisher *publisher, const struct bench_stamp *stamp)
{
    uint32_t bytes = worker->plan->payload_bytes;
    uint8_t *out = bench_client_reserve(worker, publisher->client, bytes);
    memcpy(out, stamp, sizeof *stamp);
    memcpy(out + sizeof *stamp, worker->payload, bytes - sizeof *stamp);
    conn_commit(publisher->client->conn, bytes);
}

void publish(struct bench_worker *worker, struct bench_publisher *publisher, struct span topic, uint8_t qos, bool retain,
             uint32_t number, uint64_t due_ns, uint32_t payload_bytes)
{
    struct bench_client *client = publisher->client;
    struct bench_stamp stamp = {client->number, number, due_ns};
    if (worker->plan->relay) return publish_record(worker, publisher, &stamp);
    if (qos) {
        if (++client->packet_id == 0) client->packet_id = 1;
        publisher->unacked++;
    }
    uint32_t properties = worker->plan->version == MQTT_5 ? 1 : 0, after = properties + payload_bytes;
    uint32_t head = publisher->head ? publisher->head_bytes : (uint32_t)mqtt_publish_head_bytes(qos, topic.bytes, after);
    uint8_t *out = bench_client_reserve(worker, client, head + after), *at = out;
    if (publisher->head) {
        memcpy(at, publisher->head, head);
        at += head;
        if (qos) mqtt_put_u16(at - 2, client->packet_id);
    } else {
        at += mqtt_write_publish_head(at, mqtt_publish_first_byte(qos, retain, false), topic, client->packet_id, after);
    }
    if (properties) at = mqtt_put_u8(at, 0);
    if (payload_bytes) {
        memcpy(at, &stamp, sizeof stamp);
        memcpy(at + sizeof stamp, worker->payload, payload_bytes - sizeof stamp);
    }
    conn_commit(client->conn, head + after);
}

/* The number of the next message of a stream; counted as sent. */
static uint32_t stream_next(struct bench_worker *worker, uint32_t stream)
{
    _Atomic uint32_t *sent = &worker->shared->sent[stream];
    uint32_t number = atomic_load_explicit(sent, memory_order_relaxed);
    if (number == UINT32_MAX)
        worker_fail(worker, "a publisher has used up its 4,294,967,295 numbers: measure for a shorter time");
    atomic_store_explicit(sent, number + 1, memory_order_relaxed);
    return number;
}

static void publish_next(struct bench_worker *worker, struct bench_publisher *publisher, uint64_t due_ns)
{
    const struct bench_plan *plan = worker->plan;
    struct bench_tally *tally = &worker->lane->tally;
    uint32_t stream = publisher->client->number, number;
    char name[TOPIC_BYTES_MAX];
    struct span topic = span_of(NULL, 0);
    if (plan->shape == BENCH_WILD) {
        uint32_t device = wild_device(worker);
        stream = stream * plan->subscribers + device % plan->subscribers;
        topic = wild_topic(worker, device, name);
    }
    if (plan->shape == BENCH_SHARED) { /* its bits must be free before its number is known as sent */
        struct group group = shared_group(worker->shared, stream);
        tally->missing += group_send(&group, atomic_load_explicit(&worker->shared->sent[stream], memory_order_relaxed));
    }
    number = stream_next(worker, stream);
    publish(worker, publisher, topic, (uint8_t)plan->qos, false, number, due_ns, plan->payload_bytes);
    publisher->sent++;
    worker->events++;
    bench_add(&worker->lane->expected, worker->fan);
    if (!worker->measuring) return;
    tally->sent++;
    if (plan->rate) histogram_add(&tally->late_ns, worker->shard->now_ns - due_ns);
}

/* Open loop: message k of all is due at k / rate and is publisher k % publishers', so a publisher's j-th is … */
static uint64_t due_ns_of(const struct bench_worker *worker, uint32_t publisher, uint64_t j)
{
    unsigned __int128 k = (unsigned __int128)j * worker->plan->publishers + publisher;
    return worker->shared->start_ns + (uint64_t)(k * NS_PER_S / worker->plan->rate);
}

static uint64_t delivered_of(const struct bench_worker *worker, const struct bench_publisher *publisher)
{
    if (!worker->shared->delivered) return publisher->delivered;
    uint64_t all = 0;
    for (uint32_t w = 0; w < worker->count; w++)
        all += atomic_load_explicit(&worker->shared->delivered[(size_t)w * worker->plan->publishers + publisher->client->number],
                                    memory_order_relaxed);
    return all;
}

static void publisher_top_up(struct bench_worker *worker, struct bench_publisher *publisher)
{
    if (!worker->publishing) return;
    if (worker->plan->rate) { /* what is due */
        while (publisher->sent < publisher->due && publisher_may_send(worker, publisher))
            publish_next(worker, publisher, due_ns_of(worker, publisher->client->number, publisher->sent));
        return;
    }
    uint64_t window = (uint64_t)worker->plan->outstanding * worker->fan, delivered = delivered_of(worker, publisher);
    if (publisher->sent * worker->fan - delivered + (uint64_t)worker->plan->credit * worker->fan > window) return;
    while (publisher->sent * worker->fan - delivered + worker->fan <= window && publisher_may_send(worker, publisher))
        publish_next(worker, publisher, worker->shard->now_ns);
}

static void publisher_list(struct bench_worker *worker, struct bench_publisher *publisher)
{
    if (publisher->listed) return;
    publisher->listed = true;
    worker->listed[worker->listed_count++] = (uint32_t)(publisher - worker->publishers);
}

uint64_t traffic_due_ns(const struct bench_worker *worker)
{
    if (!worker->publishing || !worker->plan->rate || !worker->publishers_count) return UINT64_MAX;
    return due_ns_of(worker, worker->publishers[worker->rate_at].client->number, worker->rate_round);
}

void traffic_turn(struct bench_worker *worker)
{
    if (!worker->plan->rate && worker->publishing && worker->publishers_count && (worker->shared->delivered || !worker->begun)) {
        for (uint32_t i = 0; i < worker->publishers_count; i++) /* other workers have received, or this is the beginning */
            publisher_list(worker, &worker->publishers[i]);
        worker->begun = true;
    }
    while (traffic_due_ns(worker) <= worker->shard->now_ns) {
        struct bench_publisher *publisher = &worker->publishers[worker->rate_at];
        publisher->due++;
        publisher_top_up(worker, publisher);
        if (++worker->rate_at < worker->publishers_count) continue;
        worker->rate_at = 0;
        worker->rate_round++;
    }
    for (uint32_t i = 0; i < worker->listed_count; i++) {
        worker->publishers[worker->listed[i]].listed = false;
        publisher_top_up(worker, &worker->publishers[worker->listed[i]]);
    }
    worker->listed_count = 0;
}

void traffic_acked(struct bench_worker *worker, struct bench_client *client)
{
    publisher_list(worker, publisher_of(worker, client));
}

void traffic_writable(struct bench_worker *worker, struct bench_client *client)
{
    if (client->role != ROLE_PUBLISHER) return;
    if (plan_stores(worker->plan)) return stored_publish(worker, publisher_of(worker, client));
    publisher_list(worker, publisher_of(worker, client));
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

void message_count(struct bench_worker *worker, enum track_verdict verdict, const struct bench_stamp *stamp, size_t bytes)
{
    struct bench_tally *tally = &worker->lane->tally;
    tally->duplicated += verdict == TRACK_REPEATED;
    tally->disordered += verdict == TRACK_LATE;
    if (verdict == TRACK_REPEATED) return;
    bench_add(&worker->lane->arrived, 1);
    /* Open loop: of those that were due in the measured time, also when they come after it; else what waits longest would not be among them. */
    bool timed = worker->plan->rate ? stamp->due_ns >= worker->from_ns && stamp->due_ns < worker->until_ns : worker->measuring;
    uint64_t now_ns = worker->shard->now_ns;
    if (timed) histogram_add(&tally->latency_ns, now_ns > stamp->due_ns ? now_ns - stamp->due_ns : 0);
    if (!worker->measuring) return;
    tally->received++;
    tally->bytes_received += bytes;
}

/* One member's part of a publisher's messages must come in order, too. */
static enum track_verdict group_judge(struct bench_worker *worker, const struct bench_client *client,
                                      const struct bench_stamp *stamp)
{
    struct group group = shared_group(worker->shared, stamp->publisher);
    uint32_t sent = atomic_load_explicit(&worker->shared->sent[stamp->publisher], memory_order_relaxed);
    enum track_verdict verdict = group_take(&group, stamp->number, sent);
    if (verdict == TRACK_LATE) worker->lane->tally.missing--;
    uint32_t *last = &worker->last[(size_t)client->place * worker->plan->publishers + stamp->publisher];
    if (verdict == TRACK_FRESH && stamp->number < *last) verdict = TRACK_LATE;
    if (stamp->number >= *last) *last = stamp->number + 1;
    return verdict;
}

static void credit(struct bench_worker *worker, uint32_t number)
{
    if (worker->plan->rate) return;
    if (worker->shared->delivered) {
        bench_add(&worker->shared->delivered[(size_t)worker->number * worker->plan->publishers + number], 1);
        return;
    }
    struct bench_publisher *publisher =
        &worker->publishers[number / worker->count]; /* pairs are together, or there is one worker */
    publisher->delivered++;
    publisher_list(worker, publisher);
}

void traffic_take(struct bench_worker *worker, struct bench_client *client, struct span payload)
{
    const struct bench_plan *plan = worker->plan;
    struct bench_stamp stamp;
    if (payload.bytes != plan->payload_bytes)
        return worker_fail(worker, "a message of %zu bytes came that this run did not send", payload.bytes);
    memcpy(&stamp, payload.data, sizeof stamp);
    bool ours = stamp.publisher < plan->publishers && (plan->shape != BENCH_PAIRS || stamp.publisher == client->number);
    uint64_t stream = (uint64_t)stamp.publisher * plan_streams(plan) + (plan->shape == BENCH_WILD ? client->number : 0);
    if (!ours || stamp.number >= atomic_load_explicit(&worker->shared->sent[stream], memory_order_relaxed))
        return worker_fail(worker, "a message came to a subscriber that nobody sent to it");
    enum track_verdict verdict;
    if (plan->shape == BENCH_SHARED)
        verdict = group_judge(worker, client, &stamp);
    else
        verdict = track_take(
            &worker->tracks[(size_t)client->place * worker->tracks_each + (worker->tracks_each > 1 ? stamp.publisher : 0)],
            stamp.number, &worker->lane->tally.missing);
    message_count(worker, verdict, &stamp, payload.bytes);
    if (verdict != TRACK_REPEATED) credit(worker, stamp.publisher);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* What was sent after the last that came. */
static void tracks_count(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    for (uint32_t s = 0; s < subscribers_here(worker); s++)
        for (uint32_t t = 0; t < worker->tracks_each; t++) {
            uint32_t number = worker->clients[worker->role_first[ROLE_SUBSCRIBER] + s].number;
            uint64_t stream = plan->shape == BENCH_PAIRS
                                  ? number
                                  : (uint64_t)t * plan_streams(plan) + (plan->shape == BENCH_WILD ? number : 0);
            uint32_t sent = atomic_load_explicit(&worker->shared->sent[stream], memory_order_relaxed);
            worker->lane->tally.missing += (int64_t)sent - worker->tracks[(size_t)s * worker->tracks_each + t].next;
        }
}

void traffic_count(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    for (uint32_t i = 0; i < worker->publishers_count; i++) {
        const struct bench_publisher *publisher = &worker->publishers[i];
        if (plan->rate) worker->lane->tally.unsent += publisher->due - publisher->sent;
        if (plan->shape != BENCH_SHARED) continue;
        struct group group = shared_group(worker->shared, publisher->client->number);
        worker->lane->tally.missing +=
            group_missing(&group, atomic_load_explicit(&worker->shared->sent[publisher->client->number], memory_order_relaxed));
    }
    if (plan->shape == BENCH_PAIRS || plan->shape == BENCH_FANOUT || plan->shape == BENCH_WILD) tracks_count(worker);
}
