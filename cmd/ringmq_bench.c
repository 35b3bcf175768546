/* ringmq bench - how fast is a broker? See docs/cli.md. */
#include <stdio.h>
#include <unistd.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_bench_report.h"
#include "cmd/ringmq_bench_run.h"
#include "cmd/ringmq_bench_scenario.h"
#include "cmd/ringmq_options.h"

#define UNSET UINT32_MAX

/* What the command line says; UNSET leaves it to the scenario. */
struct bench_options {
    struct bench_plan plan;
    uint32_t port, scale;
    bool json, progress;
};

#define FIELD(name) offsetof(struct bench_options, name)

static const struct option options[] = {
    {'h', "host", "HOST", OPTION_TEXT, FIELD(plan.host), .help = "the broker (localhost)"},
    {'p', "port", "PORT", OPTION_NUMBER, FIELD(port), 1, 65535, .help = "its port (1883)"},
    {'V', "protocol", "4|5", OPTION_NUMBER, FIELD(plan.version), 4, 5, .help = "MQTT 3.1.1 or 5 (by scenario: 4)"},
    {'q', "qos", "QOS", OPTION_NUMBER, FIELD(plan.qos), 0, 2, .help = "of publishes and subscriptions (by scenario: 0)"},
    {'s', "size", "BYTES", OPTION_NUMBER, FIELD(plan.payload_bytes), 16, 1 << 20,
     .help = "payload (16, the least: it carries number and time)"},
    {0, "publishers", "N", OPTION_NUMBER, FIELD(plan.publishers), 1, 10000000, .help = "publishing clients (by scenario)"},
    {0, "subscribers", "N", OPTION_NUMBER, FIELD(plan.subscribers), 1, 10000000,
     .help = "subscribing clients; connections of `conn`, clients at a time of `churn` (by scenario)"},
    {0, "background", "N", OPTION_NUMBER, FIELD(plan.background), 0, 10000000,
     .help = "connections beside them that do nothing (0)"},
    {0, "filters", "N", OPTION_NUMBER, FIELD(plan.filters), 1, 100000000,
     .help = "`wild`: filters of all subscribers (100000)"},
    {0, "messages", "N", OPTION_NUMBER, FIELD(plan.messages), 1, 100000000,
     .help = "`retain`: retained in all (100000); `burst`: queued for each subscriber (10000)"},
    {0, "outstanding", "N", OPTION_NUMBER, FIELD(plan.outstanding), 1, 1000000,
     .help = "closed loop: messages of one publisher under way (by scenario)"},
    {0, "credit", "N", OPTION_NUMBER, FIELD(plan.credit), 1, 1000000,
     .help = "closed loop: a publisher sends on when so many of those have arrived (1)"},
    {0, "rate", "N", OPTION_NUMBER, FIELD(plan.rate), 1, 100000000,
     .help = "open loop: messages a second of all publishers; latency counts from when each was due"},
    {0, "scale", "N", OPTION_NUMBER, FIELD(scale), 1, 1000000,
     .help = "the scenario made smaller: clients, filters, messages and rates divided by N (1)"},
    {'t', "seconds", "N", OPTION_NUMBER, FIELD(plan.seconds), 1, 864000,
     .help = "measured time (5; 1800 for the names with sizes)"},
    {0, "warm-up", "N", OPTION_NUMBER, FIELD(plan.warm_up_seconds), 0, 3600, .help = "seconds before it (1)"},
    {0, "connecting", "N", OPTION_NUMBER, FIELD(plan.connect_parallel), 1, 100000,
     .help = "CONNECTs under way at a time (200)"},
    {0, "connect-rate", "N", OPTION_NUMBER, FIELD(plan.connect_rate), 1, 10000000,
     .help = "CONNECTs a second (as fast as they are answered)"},
    {0, "keep-alive", "SECONDS", OPTION_NUMBER, FIELD(plan.keep_alive_s), 0, 65535,
     .help = "clients ping at half of it; 0: never (0; 300 for the names with sizes)"},
    {0, "ping-probe", "N", OPTION_NUMBER, FIELD(plan.ping_probes), 0, 1000,
     .help = "connections that ping every 10 ms: how long does PINGRESP take under this load? (0)"},
    {0, "threads", "N", OPTION_NUMBER, FIELD(plan.threads), 1, 64, .help = "rings of each process, a thread each (1)"},
    {0, "processes", "N", OPTION_NUMBER, FIELD(plan.processes), 1, 256, .help = "processes (1)"},
    {0, "core", "N", OPTION_NUMBER, FIELD(plan.core), 0, 1023, .help = "run on this core, further threads on the next ones"},
    {0, "broker-pid", "PID", OPTION_NUMBER, FIELD(plan.broker_pid), 1, 4194304, .help = "report its CPU time and memory"},
    {0, "sleep", NULL, OPTION_FLAG, FIELD(plan.sleeps),
     .help = "wait in the kernel, not spinning: kind to others, but its waking up counts as latency"},
    {0, "relay", NULL, OPTION_FLAG, FIELD(plan.relay),
     .help = "the other side is the bare relay of perf/ceiling: no MQTT, only records of --size bytes"},
    {0, "progress", NULL, OPTION_FLAG, FIELD(progress), .help = "a live line on standard error, also when that is no terminal"},
    {0, "json", NULL, OPTION_FLAG, FIELD(json), .help = "the result as one JSON object"},
};

/* What was given takes the place of what the scenario says. */
static void plan_complete(struct bench_plan *plan, const struct bench_plan *given)
{
#define TAKE(field)                                                                                                            \
    if (given->field != UNSET) plan->field = given->field
    TAKE(version);
    TAKE(qos);
    TAKE(publishers);
    TAKE(subscribers);
    TAKE(filters);
    TAKE(messages);
    TAKE(outstanding);
    TAKE(rate);
    TAKE(seconds);
    TAKE(connect_rate);
    TAKE(keep_alive_s);
#undef TAKE
    if (plan->outstanding == 0) plan->outstanding = 16;
}

int ringmq_bench(int argc, char **argv)
{
    struct bench_options given = {.plan = {.host = "localhost",
                                           .payload_bytes = 16,
                                           .warm_up_seconds = 1,
                                           .credit = 1, .connect_parallel = 200,
                                           .core = UINT32_MAX,
                                           .threads = 1,
                                           .processes = 1,
                                           .version = UNSET,
                                           .qos = UNSET,
                                           .publishers = UNSET,
                                           .subscribers = UNSET,
                                           .filters = UNSET,
                                           .messages = UNSET,
                                           .outstanding = UNSET,
                                           .rate = UNSET,
                                           .seconds = UNSET,
                                           .connect_rate = UNSET,
                                           .keep_alive_s = UNSET},
                                  .port = 1883,
                                  .scale = 1};
    struct text_list positionals = {0};
    const struct option_group group = {"Options", options, sizeof options / sizeof options[0], &given};
    const struct option_program program = {
        .usage = "ringmq bench SCENARIO [options]",
        .about = "Load on a broker, and what became of every message.\n\n"
                 "  p2p        publisher i to subscriber i\n"
                 "  fanout     every message to all subscribers\n"
                 "  sharedsub  all publishers to one shared group\n"
                 "  wild       100,000 exact, + and # filters; each message matches one\n"
                 "  conn       connect and stay: rate and memory\n"
                 "  churn      connect, subscribe, disconnect, over and over\n"
                 "  retain     subscribe to 100,000 retained messages, over and over\n"
                 "  burst      queues of sessions that come back\n\n"
                 "or by the names of EMQ's Open MQTT Benchmark Suite: conn-tcp-10k-100, p2p-1k-1k-1k-1k, fanout-1-1k-1-1k,\n"
                 "sharedsub-1k-5-1k-1k (basic); conn-tcp-1m-5k, p2p-50k-50k-50k-50k, fanout-5-1000-5-250k,\n"
                 "sharedsub-50k-500-50k-50k (enterprise); other numbers are understood, too.\n\n"
                 "Exit status 1 when a message was lost, came twice or out of order.",
        .examples = "ringmq bench p2p -q 1 --broker-pid $(pidof ringmqd)\n"
                    "ringmq bench fanout-5-1000-5-250k -t 30\n"
                    "ringmq bench p2p --publishers 1000 --subscribers 1000 --rate 10000 --ping-probe 10\n",
        .groups = &group, .groups_count = 1, .positionals = &positionals,
        .first = "p2p|fanout|sharedsub|wild|conn|churn|retain|burst"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    if (verdict != OPTIONS_FINE) return verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;

    struct bench_plan named = {0}, *plan = &given.plan;
    char port[8], error[256] = "";
    bool found = positionals.count == 1 && scenario_find(positionals.items[0], &named, error, sizeof error);
    if (positionals.count != 1) snprintf(error, sizeof error, "name one scenario (--help lists them)");
    text_list_release(&positionals);
    if (!found) {
        say_error("%s", error);
        return RINGMQ_EXIT_FAILED;
    }
    scenario_scale(&named, given.scale);
    plan_complete(&named, plan);
    struct bench_plan whole = *plan; /* where and how */
    snprintf(port, sizeof port, "%u", given.port);
    named.host = whole.host;
    named.port = port;
    named.payload_bytes = whole.payload_bytes;
    named.warm_up_seconds = whole.warm_up_seconds;
    named.credit = whole.credit < named.outstanding ? whole.credit : named.outstanding;
    named.background = whole.background;
    named.connect_parallel = whole.connect_parallel;
    named.ping_probes = whole.ping_probes;
    named.threads = whole.threads;
    named.processes = whole.processes;
    named.core = whole.core;
    named.broker_pid = whole.broker_pid;
    named.sleeps = whole.sleeps;
    named.relay = whole.relay;
    named.progress = given.progress || isatty(STDERR_FILENO);
    if (!scenario_check(&named, error, sizeof error)) {
        say_error("%s", error);
        return RINGMQ_EXIT_FAILED;
    }
    static struct bench_result result;
    if (!bench_run(&named, &result, error, sizeof error)) {
        say_error("%s", error);
        return RINGMQ_EXIT_UNREACHABLE;
    }
    if (given.json)
        report_json(&named, &result);
    else
        report_table(&named, &result);
    return result.lost || result.all.duplicated || result.all.disordered ? RINGMQ_EXIT_FAILED : RINGMQ_EXIT_OK;
}
