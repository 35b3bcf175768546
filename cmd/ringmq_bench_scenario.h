/* ringmq_bench_scenario.h - what the scenarios of `ringmq bench` are called, and what each name says.
 *
 * Short names (p2p, wild …) have sizes that a machine of two cores carries. Names with sizes follow EMQ's Open MQTT Benchmark
 * Suite:
 *
 *     p2p-PUBLISHERS-SUBSCRIBERS-TOPICS-RATE            messages a second of all publishers
 *     fanout-PUBLISHERS-SUBSCRIBERS-TOPICS-RATE         deliveries a second to all subscribers
 *     sharedsub-PUBLISHERS-SUBSCRIBERS-TOPICS-RATE      messages a second
 *     conn-tcp-CONNECTIONS-RATE                         connects a second
 *
 * each number with k or m behind it if you like. They are QoS 1, 16 B, keep-alive 300 s, 30 minutes (all as the suite has it);
 * MQTT 3.1.1, but 5 for sharedsub. */
#ifndef RINGMQ_CMD_BENCH_SCENARIO_H
#define RINGMQ_CMD_BENCH_SCENARIO_H

#include <stddef.h>

#include "cmd/ringmq_bench_plan.h"

/* Sets what the name says in a plan that has only zeros there. False with a sentence in ret_error. */
bool scenario_find(const char *name, struct bench_plan *plan, char *ret_error, size_t error_bytes);
/* Divides clients, filters, messages and rates by `scale`; none below 1. */
void scenario_scale(struct bench_plan *plan, uint32_t scale);
/* A plan that cannot be run: false with a sentence in ret_error. */
bool scenario_check(const struct bench_plan *plan, char *ret_error, size_t error_bytes);

#endif
