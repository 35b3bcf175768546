/* ringmq_bench_report.h - a result for people and for programs. docs/cli.md lists the fields of the JSON object. */
#ifndef RINGMQ_CMD_BENCH_REPORT_H
#define RINGMQ_CMD_BENCH_REPORT_H

#include "cmd/ringmq_bench_run.h"

void report_json(const struct bench_plan *plan, const struct bench_result *result);
void report_table(const struct bench_plan *plan, const struct bench_result *result);

#endif
