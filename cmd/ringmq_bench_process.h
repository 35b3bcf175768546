/* ringmq_bench_process.h - what /proc says about the broker and the machine. Everything is 0 or "" where it cannot be had. */
#ifndef RINGMQ_CMD_BENCH_PROCESS_H
#define RINGMQ_CMD_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process_usage {
    double cpu_seconds;                  /* to the nanosecond */
    double user_seconds, system_seconds; /* of it, in ticks of 10 ms */
    uint64_t rss_bytes;                  /* resident in all */
    uint64_t private_bytes;              /* ... of it anonymous: what the process itself allocated */
};

bool process_exists(uint32_t pid);
struct process_usage process_usage(uint32_t pid);
/* The CPU time since `before`, and the memory now. */
struct process_usage process_usage_since(uint32_t pid, const struct process_usage *before);
/* The program's path. */
void process_program(uint32_t pid, char *out, size_t bytes);
/* "6.1.0-18-amd64", and /proc/sys/net/ipv4/tcp_congestion_control. */
void host_kernel(char *out, size_t bytes);
void host_congestion(char *out, size_t bytes);

#endif
