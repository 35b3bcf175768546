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
    struct endpoint_options endpoint;
    uint32_t scale;
    bool json, progress;
};

#define FIELD(name) offsetof(struct bench_options, name)

static bool take_url(void *target, struct option_arguments *arguments)
{
    const char *text = option_value(arguments);
    if (text == NULL) say_error("-L wants a URL");
    return text && endpoint_take_url(&((struct bench_options *)target)->endpoint, text);
}

static const struct option options[] = {
    {'h', "host", "HOST", OPTION_TEXT, FIELD(endpoint.host), .help = "the broker (localhost)"},
    {'p', "port", "PORT", OPTION_NUMBER, FIELD(endpoint.port), 1, 65535,
     .help = "its port (1883; TLS 8883, WebSocket 8083, both 8084)"},
    {'L', "url", "URL", OPTION_CALL, 0, .call = take_url,
     .help = "mqtt://host:port, mqtts:// with TLS, ws:// and wss://host:port/path, unix:///path"},
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
    {0, "busy", "N", OPTION_NUMBER, FIELD(plan.busy), 0, 100000000,
     .help = "`wild`: publish to the topics of so many of them alone, spread over all; 0: of all (0)"},
    {0, "broad", NULL, OPTION_FLAG, FIELD(plan.broad),
     .help = "`wild`: each subscriber has one filter for all of its topics: the same messages to the same clients by few filters (one each)"},
    {0, "zipf", NULL, OPTION_FLAG, FIELD(plan.zipf),
     .help = "`wild`: the r-th busiest topic gets a share of 1 / r of the messages (all the same share)"},
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
    {0, "resume", NULL, OPTION_FLAG, FIELD(plan.resume),
     .help = "TLS: take sessions up again (tickets) from the second connection of each ring on"},
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

/* The status to exit with. */
static int run(struct bench_plan *plan, bool json)
{
    static struct bench_result result;
    char error[512] = "";
    if (!bench_run(plan, &result, error, sizeof error)) {
        say_error("%s", error);
        return RINGMQ_EXIT_UNREACHABLE;
    }
    if (json)
        report_json(plan, &result);
    else
        report_table(plan, &result);
    return result.lost || result.all.duplicated || result.all.disordered ? RINGMQ_EXIT_FAILED : RINGMQ_EXIT_OK;
}

static int settle_and_run(struct bench_options *given, const struct text_list *positionals)
{
    struct bench_plan named = {0}, whole = given->plan; /* where and how */
    struct endpoint endpoint;
    char error[256] = "";
    if (positionals->count != 1) snprintf(error, sizeof error, "name one scenario (--help lists them)");
    bool found = positionals->count == 1 && scenario_find(positionals->items[0], &named, error, sizeof error);
    if (found) {
        scenario_scale(&named, given->scale);
        plan_complete(&named, &whole);
        named.payload_bytes = whole.payload_bytes;
        named.warm_up_seconds = whole.warm_up_seconds;
        named.credit = whole.credit < named.outstanding ? whole.credit : named.outstanding;
        named.background = whole.background;
        named.busy = whole.busy;
        named.zipf = whole.zipf;
        named.broad = whole.broad;
        named.connect_parallel = whole.connect_parallel;
        named.ping_probes = whole.ping_probes;
        named.threads = whole.threads;
        named.processes = whole.processes;
        named.core = whole.core;
        named.broker_pid = whole.broker_pid;
        named.sleeps = whole.sleeps;
        named.relay = whole.relay;
        named.resume = whole.resume;
        named.progress = given->progress || isatty(STDERR_FILENO);
        found = scenario_check(&named, error, sizeof error);
    }
    if (!found) {
        say_error("%s", error);
        return RINGMQ_EXIT_FAILED;
    }
    if (!endpoint_settle(&given->endpoint, &endpoint)) return RINGMQ_EXIT_FAILED;
    named.endpoint = &endpoint;
    int status = RINGMQ_EXIT_FAILED;
    if (named.resume && !endpoint.tls)
        say_error("--resume is for TLS");
    else if (named.relay && endpoint.kind != ENDPOINT_TCP)
        say_error("the bare relay speaks plain TCP");
    else
        status = run(&named, given->json);
    endpoint_release(&endpoint);
    return status;
}

int ringmq_bench(int argc, char **argv)
{
    struct bench_options given = {.plan = {.payload_bytes = 16,
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
                                  .scale = 1};
    struct text_list positionals = {0};
    const struct option_group groups[] = {
        {"Options", options, sizeof options / sizeof options[0], &given},
        {"TLS and WebSocket", endpoint_options_table, endpoint_options_count, &given.endpoint},
    };
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
                    "ringmq bench conn -L mqtts://broker --cafile ca.pem --resume\n"
                    "ringmq bench p2p --publishers 1000 --subscribers 1000 --rate 10000 --ping-probe 10\n",
        .groups = groups, .groups_count = 2, .positionals = &positionals,
        .first = "p2p|fanout|sharedsub|wild|conn|churn|retain|burst"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE) status = settle_and_run(&given, &positionals);
    text_list_release(&positionals);
    endpoint_options_release(&given.endpoint);
    return status;
}
