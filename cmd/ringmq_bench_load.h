/* ringmq_bench_load.h - the load of `ringmq bench`: clients on an io_uring of their own (the broker's engine, used from the other side).
 *
 * Every message carries its publisher, its number and the time it was due, so each receiver counts exactly what it missed, got twice or
 * got out of order. Closed loop: a publisher has at most `outstanding` messages that have not arrived everywhere; nothing is
 * lost by design, so a loss is a finding. Open loop (`rate` > 0): messages leave when they are due, however slow the broker is,
 * and their latency counts from that time.
 *
 * Threads: one, the caller's. */
#ifndef RINGMQ_CMD_BENCH_LOAD_H
#define RINGMQ_CMD_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/ringmq_bench_histogram.h"

enum bench_shape {
    BENCH_PAIRS,  /* publisher i → subscriber i, a topic each */
    BENCH_FANOUT, /* every publisher → every subscriber */
    BENCH_SHARED, /* all publishers → one shared group */
    BENCH_CONNECT /* connect, and stay */
};

struct bench_plan {
    enum bench_shape shape;
    const char *host, *port;
    uint32_t publishers, subscribers;
    uint32_t qos, payload_bytes; /* at least 16 */
    uint32_t outstanding;        /* per publisher, closed loop */
    uint32_t rate;               /* messages a second of all publishers; 0: closed loop */
    uint32_t seconds, warm_up_seconds;
    uint32_t connect_parallel;   /* CONNECTs under way at a time */
    uint32_t version;            /* 4 or 5 */
    uint32_t core;               /* to run on; UINT32_MAX: anywhere */
    uint32_t broker_pid;         /* 0: unknown */
    bool relay;                  /* against perf/relay: no MQTT, records of payload_bytes */
    bool sleeps;                 /* in the kernel when there is nothing to do, instead of spinning */
};

struct bench_result {
    uint64_t sent, received;     /* in the measured time */
    uint64_t expected, arrived;  /* over the whole run: deliveries */
    uint64_t lost, duplicated, disordered;
    uint64_t bytes_received;
    double seconds;
    double own_cpu_seconds, broker_cpu_seconds;
    double idle_seconds;         /* of the measured time: the generator had nothing to do */
    uint64_t broker_rss_bytes_before, broker_rss_bytes_after; /* without clients, with them */
    uint32_t connections;
    double connect_seconds, connect_broker_cpu_seconds;
    struct histogram latency_ns;
};

/* False with a sentence in ret_error. */
bool bench_run(const struct bench_plan *plan, struct bench_result *ret_result, char *ret_error, uint32_t error_bytes);

#endif
