#include "cmd/ringmq_bench_report.h"

#include <stdio.h>

/* From here on the generator, not the broker, sets the pace. */
#define BUSY_LIMIT 0.95

static double per(double amount, double unit) { return unit > 0 ? amount / unit : 0; }

/* CHURN counts lives; the rest counts messages. */
static double amount(const struct bench_plan *plan, const struct bench_result *result)
{
    return plan->shape == BENCH_CHURN ? (double)result->all.rounds : (double)result->all.received;
}

static bool moves(const struct bench_plan *plan) { return plan->shape != BENCH_CONNECT; }
static bool is_limit(const struct bench_plan *plan, const struct bench_result *result)
{
    return moves(plan) && result->busy_most >= BUSY_LIMIT;
}
static bool is_open_loop(const struct bench_plan *plan) { return plan->rate != 0; }

static double us(const struct histogram *histogram, uint32_t per_million)
{
    return (double)histogram_quantile(histogram, per_million) / 1e3;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void json_histogram(const char *name, const struct histogram *histogram)
{
    printf("\"%s\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f,\"p99.99\":%.1f,\"max\":%.1f,\"count\":%lu},", name,
           us(histogram, 500000), us(histogram, 900000), us(histogram, 990000), us(histogram, 999000), us(histogram, 999900),
           (double)histogram->max / 1e3, histogram->total);
}

static void json_plan(const struct bench_plan *plan)
{
    printf("\"scenario\":\"%s\",\"protocol\":%u,\"publishers\":%u,\"subscribers\":%u,\"background\":%u,\"filters\":%u,"
           "\"busy\":%u,\"zipf\":%s,\"broad\":%s,\"messages\":%u,",
           plan->scenario, plan->version, plan->publishers, plan->subscribers, plan->background, plan->filters,
           plan->busy ? plan->busy : plan->filters, plan->zipf ? "true" : "false", plan->broad ? "true" : "false", plan->messages);
    printf("\"qos\":%u,\"payload_bytes\":%u,\"rate\":%u,\"outstanding\":%u,\"credit\":%u,\"relay\":%s,", plan->qos, plan->payload_bytes,
           plan->rate, plan->rate ? 0 : plan->outstanding, plan->rate ? 0 : plan->credit,
           plan->relay ? "true" : "false");
    printf("\"threads\":%u,\"processes\":%u,\"transport\":\"%s\",", plan->threads, plan->processes,
           endpoint_scheme(plan->endpoint->kind));
}

static void json_memory(const struct bench_result *result)
{
    printf("\"memory\":[");
    for (uint32_t i = 0; i < result->samples_count; i++)
        printf("%s[%lu,%lu]", i ? "," : "", result->samples[i].connections, result->samples[i].private_bytes);
    printf("],");
}

void report_json(const struct bench_plan *plan, const struct bench_result *result)
{
    const struct bench_tally *all = &result->all;
    double got = amount(plan, result), cpu = result->broker.cpu_seconds;
    printf("{");
    json_plan(plan);
    printf("\"seconds\":%.3f,\"sent\":%lu,\"received\":%lu,\"received_per_second\":%.0f,\"lost\":%lu,\"duplicated\":%lu,"
           "\"disordered\":%lu,\"unsent\":%lu,",
           result->seconds, all->sent, all->received, per(got, result->seconds), result->lost, all->duplicated, all->disordered,
           all->unsent);
    printf("\"rounds\":%lu,\"interrupted\":%s,\"fill_seconds\":%.3f,\"stored_left\":%s,", all->rounds,
           result->interrupted ? "true" : "false", result->fill_seconds, result->stored_left ? "true" : "false");
    printf("\"broker_cpu_seconds\":%.4f,\"broker_user_seconds\":%.4f,\"broker_system_seconds\":%.4f,\"received_per_broker_cpu_"
           "second\":%.0f,",
           cpu, result->broker.user_seconds, result->broker.system_seconds, per(got, cpu));
    printf("\"broker_rss_bytes\":%lu,\"broker_private_bytes\":%lu,", result->broker.rss_bytes, result->broker.private_bytes);
    printf("\"own_user_seconds\":%.3f,\"own_system_seconds\":%.3f,\"own_busy\":%.3f,\"generator_was_limit\":%s,",
           all->user_seconds, all->system_seconds, result->busy_most, is_limit(plan, result) ? "true" : "false");
    json_histogram("latency_us", &all->latency_ns);
    json_histogram("round_us", &all->round_ns);
    json_histogram("late_us", &all->late_ns);
    json_histogram("ping_us", &all->ping_ns);
    json_histogram("connect_us", &all->connect_ns);
    printf("\"connections\":%lu,\"connect_seconds\":%.3f,\"connects_per_second\":%.0f,\"connects_per_broker_cpu_second\":%.0f,",
           result->connections, result->connect_seconds, per((double)result->connections, result->connect_seconds),
           per((double)result->connections, result->connect_broker_cpu_seconds));
    printf("\"rss_bytes_per_connection\":%.1f,\"tls\":\"%s\",\"tls_resumed\":%lu,", result->rss_bytes_per_connection, result->tls,
           result->all.resumed);
    json_memory(result);
    printf("\"kernel\":\"%s\",\"congestion_control\":\"%s\",\"generator\":\"ringmq "
           "%s\",\"broker_program\":\"%s\",\"broker_version\":\"%s\"}\n",
           result->kernel, result->congestion, RINGMQ_VERSION, result->broker_program, result->broker_version);
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

static void table_histogram(const char *name, const struct histogram *histogram)
{
    if (!histogram->total) return;
    printf("  %-15s p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  p99.99 %.0f  max %.0f us\n", name, us(histogram, 500000),
           us(histogram, 900000), us(histogram, 990000), us(histogram, 999000), us(histogram, 999900),
           (double)histogram->max / 1e3);
}

static void table_head(const struct bench_plan *plan, const struct bench_result *result)
{
    printf("%s: ", plan->scenario);
    if (plan->publishers) printf("%u publishers, ", plan->publishers);
    if (plan->shape == BENCH_CONNECT)
        printf("%lu connections", result->connections);
    else
        printf("%u %s", plan->subscribers, plan->shape == BENCH_CHURN ? "clients at a time" : "subscribers");
    if (plan->background) printf(", %u more connections", plan->background);
    if (plan->filters) printf(", %u filters", plan->filters);
    if (plan->busy) printf(" (%u busy)", plan->busy);
    if (plan->broad) printf(", one filter a subscriber");
    if (plan->zipf) printf(", Zipf");
    if (plan->messages) printf(", %u messages%s", plan->messages, plan->shape == BENCH_BURST ? " each" : "");
    if (plan->publishers) printf(", QoS %u, %u B", plan->qos, plan->payload_bytes);
    if (plan->rate) printf(", %u a second", plan->rate);
    if (plan->endpoint->kind != ENDPOINT_TCP) printf(", %s", endpoint_scheme(plan->endpoint->kind));
    printf(", %s\n", plan->relay ? "bare relay" : plan->version == 5 ? "MQTT 5" : "MQTT 3.1.1");
    printf("  generator       ringmq " RINGMQ_VERSION ", %u ring%s; Linux %s, congestion control %s\n", plan_workers(plan),
           plan_workers(plan) > 1 ? "s" : "", result->kernel, result->congestion);
    if (result->broker_program[0] || result->broker_version[0])
        printf("  broker          %s%s%s\n", result->broker_version,
               result->broker_version[0] && result->broker_program[0] ? ", " : "", result->broker_program);
}

static void table_connects(const struct bench_plan *plan, const struct bench_result *result)
{
    printf("  connects        %12.0f /s", per((double)result->connections, result->connect_seconds));
    if (plan->broker_pid)
        printf("   %.0f per broker CPU second", per((double)result->connections, result->connect_broker_cpu_seconds));
    printf("\n");
    if (result->tls[0]) printf("  TLS             %s; %lu handshakes resumed\n", result->tls, result->all.resumed);
    table_histogram("  CONNACK", &result->all.connect_ns);
    if (plan->broker_pid)
        printf("  memory          %12.0f B a connection; %.1f MB private of %.1f MB resident\n", result->rss_bytes_per_connection,
               (double)result->broker.private_bytes / 1e6, (double)result->broker.rss_bytes / 1e6);
}

static void table_traffic(const struct bench_plan *plan, const struct bench_result *result)
{
    const struct bench_tally *all = &result->all;
    double got = amount(plan, result);
    printf("  %-15s %12.0f /s", plan->shape == BENCH_CHURN ? "lives" : "received", per(got, result->seconds));
    if (plan->broker_pid) printf("   %.0f per broker CPU second", per(got, result->broker.cpu_seconds));
    printf("\n");
    if (is_open_loop(plan) && all->unsent)
        printf("  not sent        %12lu messages were due but the broker pushed back\n", all->unsent);
    table_histogram("latency", &all->latency_ns);
    table_histogram(plan->shape == BENCH_BURST ? "drained after" : "a round", &all->round_ns);
    table_histogram("sent late by", &all->late_ns);
    table_histogram("PINGRESP", &all->ping_ns);
    printf("  generator       %12.0f %% busy%s\n", result->busy_most * 100,
           is_limit(plan, result) ? ": it was the limit, not the broker" : "");
    if (plan->shape == BENCH_CHURN) return;
    printf("  lost %lu, duplicated %lu, out of order %lu\n", result->lost, all->duplicated, all->disordered);
}

void report_table(const struct bench_plan *plan, const struct bench_result *result)
{
    table_head(plan, result);
    table_connects(plan, result);
    if (moves(plan)) table_traffic(plan, result);
    if (plan->broker_pid)
        printf("  broker          %12.1f %% of a core (%.1f user, %.1f system)\n",
               per(result->broker.cpu_seconds, result->seconds) * 100, per(result->broker.user_seconds, result->seconds) * 100,
               per(result->broker.system_seconds, result->seconds) * 100);
    if (result->stored_left) printf("  what was stored could not be removed from the broker\n");
    if (result->interrupted) printf("  interrupted after %.1f s\n", result->seconds);
}
