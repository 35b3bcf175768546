/* ringmq bench - how fast is a broker? See docs/cli.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_bench_load.h"
#include "cmd/ringmq_options.h"

struct bench_options {
    struct bench_plan plan;
    uint32_t port;
    bool json;
};

static const struct {
    const char *name;
    enum bench_shape shape;
    uint32_t publishers, subscribers, outstanding;
    const char *summary;
} scenarios[] = {
    {"p2p", BENCH_PAIRS, 100, 100, 64, "publisher i to subscriber i"},
    {"fanout", BENCH_FANOUT, 1, 1000, 16, "every message to all subscribers"},
    {"sharedsub", BENCH_SHARED, 1000, 5, 16, "all publishers to one shared group"},
    {"conn", BENCH_CONNECT, 0, 10000, 0, "connect and stay: rate and memory"},
};

#define FIELD(name) offsetof(struct bench_options, name)

static const struct option options[] = {
    {'h', "host", "HOST", OPTION_TEXT, FIELD(plan.host), .help = "the broker (localhost)"},
    {'p', "port", "PORT", OPTION_NUMBER, FIELD(port), 1, 65535, .help = "its port (1883)"},
    {'q', "qos", "QOS", OPTION_NUMBER, FIELD(plan.qos), 0, 2, .help = "of publishes and subscriptions (0)"},
    {'s', "size", "BYTES", OPTION_NUMBER, FIELD(plan.payload_bytes), 16, 1 << 20, .help = "payload (16, the least: it carries number and time)"},
    {0, "publishers", "N", OPTION_NUMBER, FIELD(plan.publishers), 1, 1000000, .help = "publishing clients (by scenario)"},
    {0, "subscribers", "N", OPTION_NUMBER, FIELD(plan.subscribers), 1, 1000000, .help = "subscribing clients, or connections of `conn` (by scenario)"},
    {0, "outstanding", "N", OPTION_NUMBER, FIELD(plan.outstanding), 1, 1000000, .help = "closed loop: messages of one publisher under way (by scenario)"},
    {0, "rate", "N", OPTION_NUMBER, FIELD(plan.rate), 1, 100000000, .help = "open loop: messages a second of all publishers; latency counts from when each was due"},
    {'t', "seconds", "N", OPTION_NUMBER, FIELD(plan.seconds), 1, 86400, .help = "measured time (5)"},
    {0, "warm-up", "N", OPTION_NUMBER, FIELD(plan.warm_up_seconds), 0, 3600, .help = "seconds before it (1)"},
    {'V', "protocol", "4|5", OPTION_NUMBER, FIELD(plan.version), 4, 5, .help = "MQTT 3.1.1 or 5 (4)"},
    {0, "connecting", "N", OPTION_NUMBER, FIELD(plan.connect_parallel), 1, 100000, .help = "CONNECTs under way at a time (200)"},
    {0, "core", "N", OPTION_NUMBER, FIELD(plan.core), 0, 1023, .help = "run on this core only"},
    {0, "broker-pid", "PID", OPTION_NUMBER, FIELD(plan.broker_pid), 1, 4194304, .help = "report its CPU time and memory"},
    {0, "sleep", NULL, OPTION_FLAG, FIELD(plan.sleeps), .help = "wait in the kernel, not spinning: kind to others, but its waking up counts as latency"},
    {0, "relay", NULL, OPTION_FLAG, FIELD(plan.relay), .help = "the other side is the bare relay of perf/ceiling: no MQTT, only records of --size bytes"},
    {0, "json", NULL, OPTION_FLAG, FIELD(json), .help = "the result as one JSON object"},
};

static double per(double amount, double unit) { return unit > 0 ? amount / unit : 0; }

/* The part of the measured time in which the generator had something to do. */
static double busy(const struct bench_result *result) { return result->seconds > 0 ? 1 - result->idle_seconds / result->seconds : 0; }

static void print_json(const char *scenario, const struct bench_plan *plan, const struct bench_result *result)
{
    printf("{\"scenario\":\"%s\",\"publishers\":%u,\"subscribers\":%u,\"qos\":%u,\"payload_bytes\":%u,\"rate\":%u,\"outstanding\":%u,",
           scenario, plan->publishers, plan->subscribers, plan->qos, plan->payload_bytes, plan->rate, plan->outstanding);
    printf("\"seconds\":%.3f,\"sent\":%lu,\"received\":%lu,\"received_per_second\":%.0f,\"lost\":%lu,\"duplicated\":%lu,\"disordered\":%lu,",
           result->seconds, result->sent, result->received, per((double)result->received, result->seconds), result->lost,
           result->duplicated, result->disordered);
    printf("\"broker_cpu_seconds\":%.4f,\"received_per_broker_cpu_second\":%.0f,\"own_cpu_seconds\":%.3f,\"own_busy\":%.3f,", result->broker_cpu_seconds,
           per((double)result->received, result->broker_cpu_seconds), result->own_cpu_seconds, busy(result));
    printf("\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"max\":%.1f},",
           (double)histogram_quantile(&result->latency_ns, 500000) / 1e3, (double)histogram_quantile(&result->latency_ns, 900000) / 1e3,
           (double)histogram_quantile(&result->latency_ns, 990000) / 1e3, (double)histogram_quantile(&result->latency_ns, 999000) / 1e3,
           (double)result->latency_ns.max / 1e3);
    printf("\"connections\":%u,\"connects_per_second\":%.0f,\"connects_per_broker_cpu_second\":%.0f,\"rss_bytes_per_connection\":%.0f}\n",
           result->connections, per(result->connections, result->connect_seconds),
           per(result->connections, result->connect_broker_cpu_seconds),
           per((double)result->broker_rss_bytes_after - (double)result->broker_rss_bytes_before, result->connections));
}

static void print_table(const char *scenario, const struct bench_plan *plan, const struct bench_result *result)
{
    bool known = plan->broker_pid != 0;
    printf("%s: %u publishers, %u subscribers, QoS %u, %u B, %s\n", scenario, plan->publishers, plan->subscribers, plan->qos,
           plan->payload_bytes, plan->rate ? "open loop" : "closed loop");
    printf("  connects          %12.0f /s", per(result->connections, result->connect_seconds));
    if (known) printf("   %.0f per broker CPU second", per(result->connections, result->connect_broker_cpu_seconds));
    printf("\n");
    if (known)
        printf("  memory            %12.0f B per connection\n",
               per((double)result->broker_rss_bytes_after - (double)result->broker_rss_bytes_before, result->connections));
    if (plan->shape == BENCH_CONNECT) return;
    printf("  received          %12.0f /s", per((double)result->received, result->seconds));
    if (known)
        printf("   %.0f per broker CPU second (broker %.0f %% of a core)", per((double)result->received, result->broker_cpu_seconds),
               per(result->broker_cpu_seconds, result->seconds) * 100);
    printf("\n  generator         %12.0f %% busy%s\n", busy(result) * 100, busy(result) >= 0.95 ? ": it was the limit, not the broker" : "");
    printf("  latency           p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f us\n",
           (double)histogram_quantile(&result->latency_ns, 500000) / 1e3, (double)histogram_quantile(&result->latency_ns, 900000) / 1e3,
           (double)histogram_quantile(&result->latency_ns, 990000) / 1e3, (double)histogram_quantile(&result->latency_ns, 999000) / 1e3,
           (double)result->latency_ns.max / 1e3);
    printf("  lost %lu, duplicated %lu, out of order %lu\n", result->lost, result->duplicated, result->disordered);
}

int ringmq_bench(int argc, char **argv)
{
    struct bench_options given = {.plan = {.host = "localhost", .seconds = 5, .warm_up_seconds = 1, .payload_bytes = 16, .version = 4,
                                           .connect_parallel = 200, .core = UINT32_MAX},
                                  .port = 1883};
    struct text_list positionals = {0};
    const struct option_group group = {"Options", options, sizeof options / sizeof options[0], &given};
    const struct option_program program = {
        .usage = "ringmq bench p2p|fanout|sharedsub|conn [options]",
        .about = "Load on a broker, and what became of every message. p2p: publisher i to subscriber i; fanout: every message to all "
                 "subscribers; sharedsub: all publishers to one shared group; conn: connect and stay. Exit status 1 when a message was "
                 "lost, came twice or out of order.",
        .examples = "ringmq bench p2p --publishers 100 --subscribers 100 -q 1 --broker-pid $(pidof ringmqd)\n"
                    "ringmq bench p2p --publishers 1000 --subscribers 1000 --rate 10000\n",
        .groups = &group, .groups_count = 1, .positionals = &positionals};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    if (verdict != OPTIONS_FINE) return verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;

    const char *name = positionals.count == 1 ? positionals.items[0] : "";
    struct bench_plan *plan = &given.plan;
    bool found = false;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, name) != 0) continue;
        found = true;
        plan->shape = scenarios[i].shape;
        if (!plan->publishers) plan->publishers = scenarios[i].publishers;
        if (!plan->subscribers) plan->subscribers = scenarios[i].subscribers;
        if (!plan->outstanding) plan->outstanding = scenarios[i].outstanding;
    }
    text_list_release(&positionals);
    if (!found) {
        say_error("name one scenario: p2p, fanout, sharedsub or conn (--help explains)");
        return RINGMQ_EXIT_FAILED;
    }
    if (plan->relay && (plan->qos || (plan->shape != BENCH_PAIRS && plan->shape != BENCH_FANOUT))) {
        say_error("the bare relay knows p2p and fanout at QoS 0 only");
        return RINGMQ_EXIT_FAILED;
    }
    if (plan->shape == BENCH_CONNECT) plan->publishers = 0;
    if (plan->shape == BENCH_PAIRS && plan->publishers != plan->subscribers) {
        say_error("p2p needs as many subscribers as publishers, not %u and %u", plan->subscribers, plan->publishers);
        return RINGMQ_EXIT_FAILED;
    }
    char port[8], error[256] = "";
    snprintf(port, sizeof port, "%u", given.port);
    plan->port = port;
    static struct bench_result result;
    if (!bench_run(plan, &result, error, sizeof error)) {
        say_error("%s", error);
        return RINGMQ_EXIT_UNREACHABLE;
    }
    if (given.json)
        print_json(name, plan, &result);
    else
        print_table(name, plan, &result);
    return result.lost || result.duplicated || result.disordered ? RINGMQ_EXIT_FAILED : RINGMQ_EXIT_OK;
}
