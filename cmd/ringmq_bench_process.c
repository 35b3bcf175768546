#include "cmd/ringmq_bench_process.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void usage_ticks(uint32_t pid, struct process_usage *usage)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = 0;
    const char *after = strrchr(text, ')'); /* a name may contain anything */
    int fields = after ? sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) : 0;
    if (fields != 2) return;
    usage->user_seconds = (double)user / (double)sysconf(_SC_CLK_TCK);
    usage->system_seconds = (double)system / (double)sysconf(_SC_CLK_TCK);
}

static void usage_memory(uint32_t pid, struct process_usage *usage)
{
    char path[64], line[128];
    unsigned long kib;
    snprintf(path, sizeof path, "/proc/%u/status", pid);
    FILE *file = fopen(path, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "VmRSS: %lu", &kib) == 1) usage->rss_bytes = kib * 1024;
        if (sscanf(line, "RssAnon: %lu", &kib) == 1) usage->private_bytes = kib * 1024;
    }
    fclose(file);
}

bool process_exists(uint32_t pid)
{
    clockid_t clock;
    return clock_getcpuclockid((pid_t)pid, &clock) == 0;
}

struct process_usage process_usage(uint32_t pid)
{
    struct process_usage usage = {0};
    clockid_t clock;
    struct timespec used;
    if (pid == 0 || clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return usage;
    usage.cpu_seconds = (double)used.tv_sec + (double)used.tv_nsec / 1e9;
    usage_ticks(pid, &usage);
    usage_memory(pid, &usage);
    return usage;
}

/* The kernel counts user and system time in ticks: the clock's nanoseconds are divided in that proportion. */
struct process_usage process_usage_since(uint32_t pid, const struct process_usage *before)
{
    struct process_usage now = process_usage(pid);
    double ticks = now.user_seconds + now.system_seconds - before->user_seconds - before->system_seconds;
    double user = ticks > 0 ? (now.user_seconds - before->user_seconds) / ticks : 0;
    now.cpu_seconds -= before->cpu_seconds;
    now.user_seconds = now.cpu_seconds * user;
    now.system_seconds = ticks > 0 ? now.cpu_seconds * (1 - user) : 0;
    return now;
}

void process_program(uint32_t pid, char *out, size_t bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/exe", pid);
    ssize_t used = pid ? readlink(path, out, bytes - 1) : 0;
    out[used > 0 ? used : 0] = 0;
}

void host_kernel(char *out, size_t bytes)
{
    struct utsname name;
    snprintf(out, bytes, "%s", uname(&name) == 0 ? name.release : "");
}

void host_congestion(char *out, size_t bytes)
{
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_congestion_control", "r");
    out[0] = 0;
    if (!file) return;
    if (!fgets(out, (int)bytes, file)) out[0] = 0;
    out[strcspn(out, "\n")] = 0;
    fclose(file);
}
