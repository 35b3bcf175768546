#include "cmd/ringmq_bench_scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNIT_SECONDS  5
#define SUITE_SECONDS 1800

static const struct {
    const char *name;
    struct bench_plan plan;
} scenarios[] = {
    {"p2p", {.shape = BENCH_PAIRS, .publishers = 100, .subscribers = 100, .outstanding = 64}},
    {"fanout", {.shape = BENCH_FANOUT, .publishers = 1, .subscribers = 1000, .outstanding = 16}},
    {"sharedsub", {.shape = BENCH_SHARED, .publishers = 1000, .subscribers = 5, .outstanding = 16}},
    {"conn", {.shape = BENCH_CONNECT, .subscribers = 10000}},
    {"wild", {.shape = BENCH_WILD, .publishers = 100, .subscribers = 1000, .filters = 100000, .outstanding = 16}},
    {"retain", {.shape = BENCH_RETAIN, .publishers = 10, .subscribers = 1, .messages = 100000}},
    {"churn", {.shape = BENCH_CHURN, .subscribers = 100}},
    {"burst", {.shape = BENCH_BURST, .publishers = 20, .subscribers = 20, .messages = 10000, .qos = 1}},
};

/* The suite calls its shared subscription sometimes so, sometimes so. */
static const struct {
    const char *prefix;
    enum bench_shape shape;
    uint32_t numbers, version;
} families[] = {{"p2p-", BENCH_PAIRS, 4, 4},
                {"fanout-", BENCH_FANOUT, 4, 4},
                {"sharedsub-", BENCH_SHARED, 4, 5},
                {"sharesub-", BENCH_SHARED, 4, 5},
                {"conn-tcp-", BENCH_CONNECT, 2, 4}};

/* "1000", "1k", "1M"; then a dash or the end. NULL: it is none of them. */
static const char *take_number(const char *at, uint32_t *ret_number)
{
    char *end;
    if (*at < '0' || *at > '9') return NULL;
    unsigned long number = strtoul(at, &end, 10), unit = 1;
    if (*end == 'k' || *end == 'K') unit = 1000, end++;
    else if (*end == 'm' || *end == 'M') unit = 1000000, end++;
    if (number == 0 || number > 100000000 / unit || (*end != '-' && *end != 0)) return NULL;
    *ret_number = (uint32_t)(number * unit);
    return *end == '-' ? end + 1 : end;
}

static bool suite_fill(struct bench_plan *plan, enum bench_shape shape, const uint32_t numbers[4], char *ret_error,
                       size_t error_bytes)
{
    plan->shape = shape;
    plan->qos = 1;
    plan->keep_alive_s = 300;
    plan->seconds = SUITE_SECONDS;
    if (shape == BENCH_CONNECT) {
        plan->subscribers = numbers[0];
        plan->connect_rate = numbers[1];
        return true;
    }
    if (numbers[2] != numbers[0]) {
        snprintf(ret_error, error_bytes,
                 "a scenario with %u publishers has %u topics, not %u: each publisher has one of its own", numbers[0],
                 numbers[0], numbers[2]);
        return false;
    }
    plan->publishers = numbers[0];
    plan->subscribers = numbers[1];
    plan->rate = shape == BENCH_FANOUT ? numbers[3] / numbers[1] : numbers[3];
    if (plan->rate == 0) {
        snprintf(ret_error, error_bytes, "%u deliveries a second to %u subscribers are less than one message a second",
                 numbers[3], numbers[1]);
        return false;
    }
    return true;
}

static bool suite_find(const char *name, struct bench_plan *plan, char *ret_error, size_t error_bytes)
{
    if (strncasecmp(name, "singlenode-", 11) == 0) name += 11;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        size_t bytes = strlen(families[i].prefix);
        if (strncasecmp(name, families[i].prefix, bytes) != 0) continue;
        uint32_t numbers[4] = {0};
        const char *at = name + bytes;
        for (uint32_t n = 0; n < families[i].numbers && at; n++)
            at = take_number(at, &numbers[n]);
        if (!at || *at) {
            snprintf(ret_error, error_bytes, "'%s' wants %u numbers with dashes between, such as %s", name, families[i].numbers,
                     families[i].numbers == 2 ? "conn-tcp-10k-100" : "fanout-5-1000-5-250k");
            return false;
        }
        plan->version = families[i].version;
        return suite_fill(plan, families[i].shape, numbers, ret_error, error_bytes);
    }
    snprintf(ret_error, error_bytes, "there is no scenario '%s' (--help lists them)", name);
    return false;
}

bool scenario_find(const char *name, struct bench_plan *plan, char *ret_error, size_t error_bytes)
{
    plan->scenario = name;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcasecmp(scenarios[i].name, name) != 0) continue;
        const struct bench_plan *named = &scenarios[i].plan;
        plan->shape = named->shape;
        plan->publishers = named->publishers;
        plan->subscribers = named->subscribers;
        plan->outstanding = named->outstanding;
        plan->filters = named->filters;
        plan->messages = named->messages;
        plan->qos = named->qos;
        plan->version = 4;
        plan->seconds = UNIT_SECONDS;
        return true;
    }
    return suite_find(name, plan, ret_error, error_bytes);
}

static void divide(uint32_t *number, uint32_t scale)
{
    if (*number) *number = *number / scale ? *number / scale : 1;
}

void scenario_scale(struct bench_plan *plan, uint32_t scale)
{
    divide(&plan->publishers, scale);
    divide(&plan->subscribers, scale);
    divide(&plan->rate, scale);
    divide(&plan->connect_rate, scale);
    divide(&plan->filters, scale);
    divide(&plan->messages, scale);
}

bool scenario_check(const struct bench_plan *plan, char *ret_error, size_t error_bytes)
{
    ret_error[0] = 0;
    bool couples = plan->shape == BENCH_PAIRS || plan->shape == BENCH_BURST;
    if (couples && plan->publishers != plan->subscribers)
        snprintf(ret_error, error_bytes, "%s needs as many subscribers as publishers, not %u and %u", plan->scenario,
                 plan->subscribers, plan->publishers);
    else if (plan->relay && (plan->qos || (plan->shape != BENCH_PAIRS && plan->shape != BENCH_FANOUT && plan->shape != BENCH_CONNECT &&
                                            plan->shape != BENCH_CHURN)))
        snprintf(ret_error, error_bytes, "the bare relay knows p2p and fanout at QoS 0, conn and churn only");
    else if (plan->relay && (plan->background || plan->ping_probes))
        snprintf(ret_error, error_bytes, "the bare relay has no idle connections and no pings");
    else if (plan->shape == BENCH_BURST && plan->qos == 0)
        snprintf(ret_error, error_bytes, "burst is about queued messages: QoS 1 or 2");
    else if (plan->rate && (plan->shape == BENCH_RETAIN || plan->shape == BENCH_CHURN || plan->shape == BENCH_BURST ||
                            plan->shape == BENCH_CONNECT))
        snprintf(ret_error, error_bytes, "%s has no --rate%s", plan->scenario,
                 plan->shape == BENCH_CONNECT ? ": --connect-rate says how fast to connect" : "");
    else if (plan->shape == BENCH_WILD && plan->filters < plan->subscribers)
        snprintf(ret_error, error_bytes, "%u filters are less than one for each of %u subscribers", plan->filters,
                 plan->subscribers);
    else if ((plan->busy || plan->zipf || plan->broad) && plan->shape != BENCH_WILD)
        snprintf(ret_error, error_bytes, "--busy, --broad and --zipf are for wild");
    else if (plan->busy > plan->filters)
        snprintf(ret_error, error_bytes, "%u busy topics are more than %u filters", plan->busy, plan->filters);
    else if ((uint64_t)plan->subscribers * plan->publishers > (1u << 28) && plan->shape != BENCH_PAIRS &&
             plan->shape != BENCH_BURST)
        snprintf(ret_error, error_bytes, "%u publishers × %u subscribers are more streams than can be told apart",
                 plan->publishers, plan->subscribers);
    else if (plan->threads > 64)
        snprintf(ret_error, error_bytes, "one process has 64 rings at most; --processes makes more");
    return ret_error[0] == 0;
}
