/* What the broker keeps: retained messages, and queues of sessions that are away.
 *
 * RETAIN   FILL: all messages are published and acknowledged. Then every subscriber, in rounds: subscribe to #, get each once,
 *          unsubscribe. CLEAN: the topics are emptied.
 * BURST    OPEN: the sessions subscribe and leave. FILL: every publisher fills its session's queue. MEASURE: all come back; it
 * is over when each has had all. CLEAN: the sessions are ended. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq_bench_worker.h"

#define FILL_WINDOW     100 /* unacknowledged messages of one publisher: no broker's limit is below */
#define TOPIC_BYTES_MAX 96

static uint32_t subscribers_here(const struct bench_worker *worker)
{
    return worker->role_first[ROLE_SUBSCRIBER + 1] - worker->role_first[ROLE_SUBSCRIBER];
}

static struct bench_client *subscriber(struct bench_worker *worker, uint32_t place)
{
    return &worker->clients[worker->role_first[ROLE_SUBSCRIBER] + place];
}

static size_t round_words(const struct bench_worker *worker) { return (worker->plan->messages + 63) / 64; }

void stored_open(struct bench_worker *worker)
{
    worker->stored = memory_acquire_zeroed((subscribers_here(worker) + 1) * sizeof *worker->stored);
    worker->retained_seen = memory_acquire_zeroed((subscribers_here(worker) * round_words(worker) + 1) * sizeof(uint64_t));
}

void stored_close(struct bench_worker *worker)
{
    memory_release(worker->stored);
    memory_release(worker->retained_seen);
}

/* ---- publishers: FILL, CLEAN ------------------------------------------------------------------------------------- */

/* How many messages this publisher stores. */
static uint32_t stored_share(const struct bench_worker *worker, const struct bench_publisher *publisher)
{
    const struct bench_plan *plan = worker->plan;
    if (plan->shape == BENCH_BURST) return plan->messages;
    return (plan->messages + plan->publishers - 1 - publisher->client->number) / plan->publishers;
}

static void publish_stored(struct bench_worker *worker, struct bench_publisher *publisher)
{
    const struct bench_plan *plan = worker->plan;
    uint32_t number = (uint32_t)publisher->sent++, stream = publisher->client->number;
    if (plan->shape == BENCH_BURST) {
        atomic_store_explicit(&worker->shared->sent[stream], number + 1, memory_order_relaxed);
        bench_add(&worker->lane->expected, 1);
        return publish(worker, publisher, span_of(NULL, 0), (uint8_t)plan->qos, false, number, worker->shard->now_ns,
                       plan->payload_bytes);
    }
    char name[TOPIC_BYTES_MAX];
    number = number * plan->publishers + stream;
    int bytes = snprintf(name, sizeof name, "bench/%s/%u/%u", plan->run, number / 100, number);
    publish(worker, publisher, span_of(name, (size_t)bytes), 1, true, number, worker->shard->now_ns,
            worker->phase == PHASE_CLEAN ? 0 : plan->payload_bytes);
}

void stored_publish(struct bench_worker *worker, struct bench_publisher *publisher)
{
    if (worker->phase != PHASE_FILL && worker->phase != PHASE_CLEAN) return;
    while (publisher->sent < stored_share(worker, publisher) && publisher->unacked < FILL_WINDOW &&
           publisher_may_send(worker, publisher))
        publish_stored(worker, publisher);
}

static void publisher_finished(struct bench_worker *worker)
{
    if (++worker->stored_done == worker->publishers_count) worker_done(worker, (enum bench_phase)worker->phase);
}

void stored_acked(struct bench_worker *worker, struct bench_publisher *publisher)
{
    bench_add(&worker->lane->acked, 1);
    stored_publish(worker, publisher);
    if (publisher->sent == stored_share(worker, publisher) && publisher->unacked == 0) publisher_finished(worker);
}

static void publishers_start(struct bench_worker *worker)
{
    worker->stored_done = 0;
    if (worker->publishers_count == 0) worker_done(worker, (enum bench_phase)worker->phase);
    for (uint32_t i = 0; i < worker->publishers_count; i++) {
        worker->publishers[i].sent = 0;
        if (stored_share(worker, &worker->publishers[i]) == 0) publisher_finished(worker);
        stored_publish(worker, &worker->publishers[i]);
    }
}

/* ---- subscribers of RETAIN --------------------------------------------------------------------------------------- */

static struct span everything(const struct bench_worker *worker, char *out)
{
    return span_of(out, (size_t)snprintf(out, TOPIC_BYTES_MAX, "bench/%s/#", worker->plan->run));
}

static void round_start(struct bench_worker *worker, struct bench_client *client)
{
    char name[TOPIC_BYTES_MAX];
    struct mqtt_subscription entry = {.full_filter = everything(worker, name), .qos = (uint8_t)worker->plan->qos};
    memset(worker->retained_seen + client->place * round_words(worker), 0, round_words(worker) * sizeof(uint64_t));
    worker->stored[client->place] = 0;
    bench_add(&worker->lane->expected, worker->plan->messages);
    client->since_ns = bench_now_ns();
    bench_client_subscribe(worker, client, &entry, 1);
}

static bool rounds_go_on(const struct bench_worker *worker)
{
    return worker->phase == PHASE_WARM || worker->phase == PHASE_MEASURE;
}

static void round_counted(struct bench_worker *worker, struct bench_client *client)
{
    bench_add(&worker->lane->rounds, 1);
    if (!worker->measuring) return;
    worker->lane->tally.rounds++;
    histogram_add(&worker->lane->tally.round_ns, worker->shard->now_ns - client->since_ns);
}

/* SUBACK and all messages have come, in whatever order. */
static void round_join(struct bench_worker *worker, struct bench_client *client)
{
    if (client->state != CLIENT_READY || worker->stored[client->place] < worker->plan->messages) return;
    char name[TOPIC_BYTES_MAX];
    round_counted(worker, client);
    client->state = CLIENT_SUBSCRIBING; /* of the next round, from UNSUBACK on */
    bench_client_unsubscribe(worker, client, everything(worker, name));
}

static void rounds_finished(struct bench_worker *worker)
{
    for (uint32_t i = 0; i < subscribers_here(worker); i++)
        if (subscriber(worker, i)->waits) return;
    worker_done(worker, PHASE_DRAIN);
}

void stored_unsubscribed(struct bench_worker *worker, struct bench_client *client)
{
    client->waits = rounds_go_on(worker);
    if (client->waits) return round_start(worker, client);
    client->state = CLIENT_READY;
    if (worker->phase == PHASE_DRAIN) rounds_finished(worker);
}

static void retained_take(struct bench_worker *worker, struct bench_client *client, struct span payload, bool retained)
{
    const struct bench_plan *plan = worker->plan;
    struct bench_stamp stamp;
    if (worker->phase == PHASE_CLEAN) return; /* a round that never ended sees its topics emptied */
    if (payload.bytes != plan->payload_bytes || !retained)
        return worker_fail(worker, "a message came that this run did not retain");
    memcpy(&stamp, payload.data, sizeof stamp);
    if (stamp.number >= plan->messages) return worker_fail(worker, "a retained message came that this run did not publish");
    uint64_t *word = worker->retained_seen + client->place * round_words(worker) + stamp.number / 64,
             bit = 1ull << stamp.number % 64;
    bool again = (*word & bit) != 0;
    *word |= bit;
    stamp.due_ns = client->since_ns;
    message_count(worker, again ? TRACK_REPEATED : TRACK_FRESH, &stamp, payload.bytes);
    if (again) return;
    worker->stored[client->place]++;
    round_join(worker, client);
}

/* ---- subscribers of BURST ---------------------------------------------------------------------------------------- */

static void queued_take(struct bench_worker *worker, struct bench_client *client, struct span payload)
{
    const struct bench_plan *plan = worker->plan;
    struct bench_stamp stamp;
    if (payload.bytes != plan->payload_bytes) return worker_fail(worker, "a message came that this run did not send");
    memcpy(&stamp, payload.data, sizeof stamp);
    if (stamp.publisher != client->number || stamp.number >= plan->messages)
        return worker_fail(worker, "a message came to a session that nobody sent to it");
    enum track_verdict verdict = track_take(&worker->tracks[client->place], stamp.number, &worker->lane->tally.missing);
    stamp.due_ns = client->since_ns;
    message_count(worker, verdict, &stamp, payload.bytes);
    if (verdict == TRACK_REPEATED || ++worker->stored[client->place] < plan->messages) return;
    round_counted(worker, client);
    if (++worker->stored_done == subscribers_here(worker)) worker_done(worker, PHASE_MEASURE);
}

static void sessions_return(struct bench_worker *worker)
{
    worker->stored_done = 0;
    if (subscribers_here(worker) == 0) worker_done(worker, PHASE_MEASURE);
    for (uint32_t i = 0; i < subscribers_here(worker); i++)
        bench_client_dial(worker, subscriber(worker, i));
}

static void sessions_end(struct bench_worker *worker)
{
    worker->stored_done = 0;
    if (subscribers_here(worker) == 0) worker_done(worker, PHASE_CLEAN);
    for (uint32_t i = 0; i < subscribers_here(worker); i++) {
        struct bench_client *client = subscriber(worker, i);
        if (client->conn && client->state != CLIENT_LEAVING) bench_client_leave(worker, client);
    }
}

/* A session's connection has ended as it should: after SUBACK, or on the way to its end. */
void stored_gone(struct bench_worker *worker, struct bench_client *client)
{
    if (worker->phase < PHASE_CLEAN) {
        bench_client_ready(worker, client);
        client->state = CLIENT_AWAY;
        return;
    }
    if (client->keeps) { /* a clean start ends the session */
        client->keeps = false;
        bench_client_dial(worker, client);
        return;
    }
    if (++worker->stored_done == subscribers_here(worker)) worker_done(worker, PHASE_CLEAN);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

bool stored_connected(struct bench_worker *worker, struct bench_client *client)
{
    if (worker->plan->shape == BENCH_RETAIN) return false;
    if (worker->phase == PHASE_CLEAN) {
        bench_client_leave(worker, client);
        return true;
    }
    if (worker->phase != PHASE_OPEN) return false; /* it has come back to its session */
    char name[TOPIC_BYTES_MAX];
    int bytes = snprintf(name, sizeof name, "bench/%s/%u", worker->plan->run, client->number);
    struct mqtt_subscription entry = {.full_filter = span_of(name, (size_t)bytes), .qos = (uint8_t)worker->plan->qos};
    bench_client_subscribe(worker, client, &entry, 1);
    return true;
}

void stored_subscribed(struct bench_worker *worker, struct bench_client *client)
{
    if (worker->plan->shape == BENCH_BURST) return bench_client_leave(worker, client);
    client->state = CLIENT_READY;
    round_join(worker, client);
}

void stored_take(struct bench_worker *worker, struct bench_client *client, struct span payload, bool retained)
{
    if (worker->plan->shape == BENCH_RETAIN) return retained_take(worker, client, payload, retained);
    queued_take(worker, client, payload);
}

void stored_phase(struct bench_worker *worker, enum bench_phase phase)
{
    bool retain = worker->plan->shape == BENCH_RETAIN;
    if (phase == PHASE_FILL || (phase == PHASE_CLEAN && retain)) return publishers_start(worker);
    if (phase == PHASE_CLEAN) return sessions_end(worker);
    if (phase == PHASE_MEASURE && !retain) return sessions_return(worker);
    if (phase == PHASE_DRAIN && retain) return rounds_finished(worker);
    for (uint32_t i = 0; phase == PHASE_WARM && retain && i < subscribers_here(worker); i++) {
        subscriber(worker, i)->waits = true;
        round_start(worker, subscriber(worker, i));
    }
}

void stored_count(struct bench_worker *worker)
{
    for (uint32_t i = 0; i < subscribers_here(worker); i++) {
        if (worker->plan->shape == BENCH_RETAIN && subscriber(worker, i)->waits)
            worker->lane->tally.missing += worker->plan->messages - worker->stored[i];
        if (worker->plan->shape == BENCH_BURST)
            worker->lane->tally.missing +=
                (int64_t)atomic_load_explicit(&worker->shared->sent[subscriber(worker, i)->number], memory_order_relaxed) -
                worker->tracks[i].next;
    }
}
