/* ringmq_bench_worker.h - inside the load generator only: one worker is one thread with one ring (the broker's engine, used
 * from the other side) and the clients that live on it. Worker w of W has every W-th client of each role, so a pair is always
 * together.
 *
 * Files: ringmq_bench_worker.c the loop and the phases; _client.c a client's connection and its packets; _traffic.c publishers
 * and subscribers of running load; _stored.c retained messages and queues; _churn.c short lives. Threads: everything here is
 * one worker's; what is shared goes through struct bench_shared. */
#ifndef RINGMQ_CMD_BENCH_WORKER_H
#define RINGMQ_CMD_BENCH_WORKER_H

#include "cmd/ringmq_bench_shared.h"
#include "engine/shard.h"
#include "proto/packet.h"

/* The head of every payload. */
struct bench_stamp {
    uint32_t publisher, number;
    uint64_t due_ns; /* CLOCK_MONOTONIC: the same in all processes */
};

enum client_role { ROLE_BACKGROUND, ROLE_SUBSCRIBER, ROLE_PUBLISHER, ROLE_PING, ROLE_CHURN, ROLES };
enum client_state {
    CLIENT_AWAY,        /* no connection */
    CLIENT_CONNECTING,
    CLIENT_SUBSCRIBING,
    CLIENT_READY,
    CLIENT_LEAVING      /* DISCONNECT is sent: the broker closes */
};

struct bench_client {
    struct conn *conn;
    uint64_t since_ns;  /* when the dial, ping or round began */
    uint32_t number;    /* of its role, over all workers */
    uint32_t place;     /* of its role, in this worker */
    uint32_t life;      /* CHURN: how many it has had; PING: how many more were due while one waited; else subscriptions asked for so far */
    uint16_t packet_id;
    uint8_t role, state;
    bool keeps;         /* clean start 0: the session outlives the connection */
    bool opened;        /* counted as connected */
    bool waits;         /* PING: for the answer */
};

struct bench_publisher {
    struct bench_client *client;
    uint64_t sent, due;     /* open loop: due so far */
    uint64_t delivered;     /* of sent × fan, as far as this worker sees */
    uint32_t unacked, unacked_max;
    bool listed;            /* on the worker's list of publishers to look at */
    uint8_t *head;          /* of its PUBLISH, packet id at the end */
    uint16_t head_bytes;
};

struct bench_worker {
    const struct bench_plan *plan;
    struct bench_shared *shared;
    struct bench_lane *lane;
    uint32_t number, count;   /* of workers */
    uint32_t fan;
    uint32_t phase;
    bool spins;
    struct shard *shard;

    struct bench_client *clients; /* by role: first those that stay, then subscribers, publishers, pings, churn */
    uint32_t clients_count, role_first[ROLES + 1];
    uint32_t next_dial, dialling;
    struct tls_session *session; /* --resume: what the next connection takes up; NULL: none yet */
    uint64_t dials;           /* so far */
    uint64_t dial_start_ns;

    struct bench_publisher *publishers;
    uint32_t publishers_count;
    uint32_t *listed, listed_count; /* publishers to look at this turn */
    bool publishing, measuring;
    bool begun;               /* closed loop: all publishers have had their first look */
    uint64_t rate_round;      /* open loop: the next message is publisher rate_at's rate_round-th */
    uint32_t rate_at;

    struct track *tracks;     /* [subscriber × publishers it hears] */
    uint32_t tracks_each;
    uint32_t *last;           /* SHARED: [subscriber × publisher] 1 + the highest number seen */
    uint64_t *retained_seen;  /* RETAIN: [subscriber × messages] bits of this round */
    uint32_t *stored;         /* RETAIN: in this round; BURST: so far. By subscriber */
    uint32_t stored_done;     /* FILL, CLEAN: publishers or subscribers that are finished */

    uint64_t next_ping_ns, next_alive_ns;
    uint32_t next_alive;
    uint8_t *payload;
    uint64_t idle_ns, busy_since_ns;
    uint64_t events;          /* what has come and what was sent: did a turn do anything? */
    uint64_t from_ns, until_ns; /* the measured time, as far as it is known */
    double user_before, system_before;
};

static inline struct bench_worker *worker_of(struct shard *shard) { return shard->above; }
static inline uint64_t bench_add(_Atomic uint64_t *counter, uint64_t count)
{ /* ours alone: others only read it */
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed) + count;
    atomic_store_explicit(counter, now, memory_order_relaxed);
    return now;
}
uint64_t bench_now_ns(void);

/* ---- ringmq_bench_worker.c ---- */
/* A worker's whole life, on its thread. `number` over all processes; `shard_number` in this one's group (bench_client_handler,
 * listener 0 for counting). spins: never sleeps. */
void worker_run(struct bench_shared *shared, uint32_t number, const struct shard_group *group, uint32_t shard_number, bool spins);
/* Once a turn, from the engine: what has become due. */
bool worker_turn(struct shard *shard);
void worker_done(struct bench_worker *worker, enum bench_phase phase);
/* A ping of a probe that has been answered now, or has waited until now. */
void ping_count(struct bench_worker *worker, const struct bench_client *client, uint64_t now_ns);
void worker_fail(struct bench_worker *worker, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- ringmq_bench_client.c ---- */
extern const struct shard_handler bench_client_handler;
bool bench_client_dial(struct bench_worker *worker, struct bench_client *client);
void bench_client_subscribe(struct bench_worker *worker, struct bench_client *client, const struct mqtt_subscription *entries,
                            uint32_t count);
void bench_client_unsubscribe(struct bench_worker *worker, struct bench_client *client, struct span filter);
void bench_client_ping(struct bench_worker *worker, struct bench_client *client);
/* Says goodbye; client_gone() follows when the broker has closed (or has not for a second). */
void bench_client_leave(struct bench_worker *worker, struct bench_client *client);
void bench_client_ready(struct bench_worker *worker, struct bench_client *client);
/* Room in its stage; what is committed leaves with the next turn's system call. */
static inline uint8_t *bench_client_reserve(struct bench_worker *worker, struct bench_client *client, uint32_t bytes)
{
    return conn_reserve(worker->shard, client->conn, bytes);
}

/* ---- ringmq_bench_traffic.c: what a running load does. The shapes of ringmq_bench_stored.c and _churn.c take over where noted
 * ---- */
void traffic_open(struct bench_worker *worker);
void traffic_close(struct bench_worker *worker);
/* CONNACK has come: subscribes if it has to. False: nothing to wait for, it is ready. */
bool traffic_connected(struct bench_worker *worker, struct bench_client *client);
/* The next part of its subscriptions, if there is one. */
bool traffic_subscribed(struct bench_worker *worker, struct bench_client *client);
void traffic_take(struct bench_worker *worker, struct bench_client *client, struct span payload);
void traffic_acked(struct bench_worker *worker, struct bench_client *client);
void traffic_writable(struct bench_worker *worker, struct bench_client *client);
void traffic_turn(struct bench_worker *worker);
void traffic_count(struct bench_worker *worker);
/* When the next message is due; UINT64_MAX: no telling. */
uint64_t traffic_due_ns(const struct bench_worker *worker);
/* Stages one PUBLISH (or record). */
void publish(struct bench_worker *worker, struct bench_publisher *publisher, struct span topic, uint8_t qos, bool retain,
             uint32_t number, uint64_t due_ns, uint32_t payload_bytes);
bool publisher_may_send(struct bench_worker *worker, struct bench_publisher *publisher);
/* Counts an arrived message, by what its track said. */
void message_count(struct bench_worker *worker, enum track_verdict verdict, const struct bench_stamp *stamp, size_t bytes);
static inline struct bench_publisher *publisher_of(struct bench_worker *worker, const struct bench_client *client)
{
    return &worker->publishers[client->place];
}

/* ---- ringmq_bench_stored.c ---- */
void stored_open(struct bench_worker *worker);
void stored_close(struct bench_worker *worker);
void stored_phase(struct bench_worker *worker, enum bench_phase phase);
bool stored_connected(struct bench_worker *worker, struct bench_client *client);
void stored_subscribed(struct bench_worker *worker, struct bench_client *client);
void stored_unsubscribed(struct bench_worker *worker, struct bench_client *client);
void stored_gone(struct bench_worker *worker, struct bench_client *client);
void stored_take(struct bench_worker *worker, struct bench_client *client, struct span payload, bool retained);
void stored_publish(struct bench_worker *worker, struct bench_publisher *publisher);
void stored_acked(struct bench_worker *worker, struct bench_publisher *publisher);
void stored_count(struct bench_worker *worker);
static inline bool plan_stores(const struct bench_plan *plan)
{
    return plan->shape == BENCH_RETAIN || plan->shape == BENCH_BURST;
}

/* ---- ringmq_bench_churn.c ---- */
void churn_turn(struct bench_worker *worker);
void churn_connected(struct bench_worker *worker, struct bench_client *client);
void churn_greeted(struct bench_worker *worker, struct bench_client *client); /* by the bare relay */
void churn_subscribed(struct bench_worker *worker, struct bench_client *client);
void churn_gone(struct bench_worker *worker, struct bench_client *client);

#endif
