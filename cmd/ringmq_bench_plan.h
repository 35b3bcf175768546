/* ringmq_bench_plan.h - what a run of `ringmq bench` shall do. Filled from the command line, read by all workers. */
#ifndef RINGMQ_CMD_BENCH_PLAN_H
#define RINGMQ_CMD_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cmd/ringmq_endpoint.h"

enum bench_shape {
    BENCH_PAIRS,   /* publisher i → subscriber i, a topic each */
    BENCH_FANOUT,  /* every publisher → every subscriber */
    BENCH_SHARED,  /* all publishers → one shared group */
    BENCH_WILD,    /* many exact, + and # filters spread over the subscribers; a message matches one of them */
    BENCH_CONNECT, /* connect, and stay */
    BENCH_RETAIN,  /* subscribe to #, get all retained messages, again and again */
    BENCH_CHURN,   /* connect, subscribe, disconnect, again and again */
    BENCH_BURST    /* messages queued for sessions that are away; then they come back */
};

/* Between workers and processes messages are told apart by number; see ringmq_bench_track.h for what that can count. */
struct bench_plan {
    enum bench_shape shape;
    const char *scenario;        /* its name, as given */
    const struct endpoint *endpoint; /* settled before the first worker; its TLS context serves all */
    bool resume;                 /* TLS: take up sessions where the broker gives tickets */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    char run[16];                /* part of every topic and client id */
    uint32_t publishers, subscribers;
    uint32_t background;         /* connections that only stay */
    uint32_t filters;            /* WILD */
    uint32_t busy;               /* WILD: only so many of the filters' topics are published to, spread over all of them; 0: all */
    bool broad;                  /* WILD: each subscriber has one filter for all topics that are its; else one for each */
    bool zipf;                   /* WILD: the r-th busiest topic gets a share of 1 / r; else all get the same */
    uint32_t messages;           /* RETAIN: in all; BURST: for each subscriber */
    uint32_t qos, payload_bytes; /* at least 16 */
    uint32_t outstanding;        /* closed loop: per publisher */
    uint32_t credit;             /* closed loop: so many of them must have arrived before it sends on; at most `outstanding` */
    uint32_t rate;               /* messages a second of all publishers; 0: closed loop */
    uint32_t seconds, warm_up_seconds;
    uint32_t connect_parallel;   /* CONNECTs under way at a time, of all workers */
    uint32_t connect_rate;       /* CONNECTs a second; 0: as fast as they are answered */
    uint32_t keep_alive_s;       /* 0: none; else every client pings at half of it */
    uint32_t version;            /* enum mqtt_version: 4 or 5 */
    uint32_t threads, processes; /* one ring a thread; `threads` in each process */
    uint32_t core;               /* of the first worker, the next ones follow; UINT32_MAX: anywhere */
    uint32_t broker_pid;         /* 0: unknown */
    uint32_t ping_probes;        /* connections that ping every 10 ms */
    bool relay;                  /* against perf/relay: no MQTT, records of payload_bytes */
    bool sleeps;                 /* in the kernel when there is nothing to do, instead of spinning */
    bool progress;
};

static inline uint32_t plan_workers(const struct bench_plan *plan) { return plan->threads * plan->processes; }
/* Deliveries that a message makes. */
static inline uint32_t plan_fan(const struct bench_plan *plan) { return plan->shape == BENCH_FANOUT ? plan->subscribers : 1; }
/* Streams of numbered messages that a publisher keeps apart: where a message goes to one of many subscribers, one for each. */
static inline uint32_t plan_streams(const struct bench_plan *plan) { return plan->shape == BENCH_WILD ? plan->subscribers : 1; }

#endif
