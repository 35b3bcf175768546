/* Short lives: connect, subscribe, disconnect, and the same again under another client id, as long as the load runs. */
#include <stdio.h>

#include "cmd/ringmq_bench_worker.h"

static void live_again(struct bench_worker *worker, struct bench_client *client)
{
    if (!worker->publishing) return; /* the load has ended */
    client->life++;
    bench_client_dial(worker, client);
}

/* The first lives begin with WARM. */
void churn_turn(struct bench_worker *worker)
{
    uint32_t alive = 0;
    for (uint32_t i = worker->role_first[ROLE_CHURN]; i < worker->role_first[ROLE_CHURN + 1]; i++) {
        struct bench_client *client = &worker->clients[i];
        if (client->state == CLIENT_AWAY && !worker->begun) live_again(worker, client);
        alive += client->state != CLIENT_AWAY;
    }
    worker->begun = true;
    if (worker->phase == PHASE_DRAIN && alive == 0) worker_done(worker, PHASE_DRAIN);
}

void churn_connected(struct bench_worker *worker, struct bench_client *client)
{
    char name[96];
    int bytes = snprintf(name, sizeof name, "bench/%s/%u", worker->plan->run, client->number);
    struct mqtt_subscription entry = {.full_filter = span_of(name, (size_t)bytes), .qos = (uint8_t)worker->plan->qos};
    bench_client_subscribe(worker, client, &entry, 1);
}

/* A record stands for SUBSCRIBE; it comes back for SUBACK. */
void churn_greeted(struct bench_worker *worker, struct bench_client *client)
{
    uint32_t bytes = worker->plan->payload_bytes;
    memset(bench_client_reserve(worker, client, bytes), 0, bytes);
    conn_commit(client->conn, bytes);
}

void churn_subscribed(struct bench_worker *worker, struct bench_client *client) { bench_client_leave(worker, client); }

void churn_gone(struct bench_worker *worker, struct bench_client *client)
{
    bench_add(&worker->lane->rounds, 1);
    if (worker->measuring) {
        worker->lane->tally.rounds++;
        histogram_add(&worker->lane->tally.round_ns, worker->shard->now_ns - client->since_ns);
    }
    live_again(worker, client);
}
