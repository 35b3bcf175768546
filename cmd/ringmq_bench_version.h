/* ringmq_bench_version.h - asks a broker what it is: $SYS/broker/version and its like, where they are answered. */
#ifndef RINGMQ_CMD_BENCH_VERSION_H
#define RINGMQ_CMD_BENCH_VERSION_H

#include <stddef.h>

#include "cmd/ringmq_bench_plan.h"

/* Blocks for a third of a second at most. Leaves "" when the broker does not say. */
void broker_version(const struct bench_plan *plan, char *out, size_t bytes);

#endif
