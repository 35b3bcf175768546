/* ringmq_bench_run.h - a whole run: starts the workers, leads them through the phases, adds up what they found. */
#ifndef RINGMQ_CMD_BENCH_RUN_H
#define RINGMQ_CMD_BENCH_RUN_H

#include "cmd/ringmq_bench_plan.h"
#include "cmd/ringmq_bench_process.h"
#include "cmd/ringmq_bench_shared.h"

#define MEMORY_SAMPLES_MAX 64

/* The broker's memory when it had so many connections. */
struct memory_sample {
    uint64_t connections, private_bytes;
};

struct bench_result {
    struct bench_tally all;            /* of all workers; idle and measured time added up */
    double busy_most;                  /* the busiest worker's part of the measured time, 0 … 1 */
    uint64_t lost;
    bool stored_left;                  /* RETAIN, BURST: the broker could not be cleaned of what was stored */
    double seconds;                    /* measured */
    struct process_usage broker;       /* the broker's CPU time in the measured time; its memory at the end of it */
    uint64_t connections;
    double connect_seconds, connect_broker_cpu_seconds;
    double fill_seconds;               /* RETAIN, BURST */
    double rss_bytes_per_connection;   /* growth after the first thousandth or so of connections, which pay for what all share */
    uint32_t samples_count;
    struct memory_sample samples[MEMORY_SAMPLES_MAX];
    bool interrupted;
    char kernel[64], congestion[32], broker_program[256], broker_version[64], tls[80];
};

/* False with a sentence in ret_error. */
bool bench_run(struct bench_plan *plan, struct bench_result *ret_result, char *ret_error, uint32_t error_bytes);

#endif
