#include <criterion/criterion.h>
#include <string.h>

#include "cmd/ringmq_bench_scenario.h"

static char error[256];

static struct bench_plan found(const char *name)
{
    struct bench_plan plan = {0};
    cr_assert(scenario_find(name, &plan, error, sizeof error), "%s: %s", name, error);
    cr_assert(scenario_check(&plan, error, sizeof error), "%s: %s", name, error);
    return plan;
}

static void refused(const char *name, const char *says)
{
    struct bench_plan plan = {0};
    cr_assert_not(scenario_find(name, &plan, error, sizeof error), "%s", name);
    cr_assert(strstr(error, says), "%s: \"%s\" does not say \"%s\"", name, error, says);
}

Test(scenario, the_suite_s_basic_set)
{
    struct bench_plan plan = found("p2p-1K-1K-1K-1K");
    cr_assert(plan.shape == BENCH_PAIRS && plan.publishers == 1000 && plan.subscribers == 1000 && plan.rate == 1000 && plan.qos == 1);
    cr_assert(plan.keep_alive_s == 300 && plan.seconds == 1800 && plan.version == 4);
    plan = found("fanout-1-1k-1-1K");
    cr_assert(plan.shape == BENCH_FANOUT && plan.publishers == 1 && plan.subscribers == 1000 && plan.rate == 1);
    plan = found("sharedsub-1K-5-1K-1K");
    cr_assert(plan.shape == BENCH_SHARED && plan.publishers == 1000 && plan.subscribers == 5 && plan.rate == 1000 && plan.version == 5);
    plan = found("conn-tcp-10k-100");
    cr_assert(plan.shape == BENCH_CONNECT && plan.subscribers == 10000 && plan.connect_rate == 100 && plan.publishers == 0);
}

Test(scenario, the_suite_s_enterprise_set)
{
    struct bench_plan plan = found("singlenode-p2p-50K-50K-50K-50K");
    cr_assert(plan.publishers == 50000 && plan.subscribers == 50000 && plan.rate == 50000);
    plan = found("fanout-5-1000-5-250K");
    cr_assert(plan.publishers == 5 && plan.subscribers == 1000 && plan.rate == 250); /* 250,000 deliveries */
    plan = found("singlenode-sharesub-50K-500-50K-50K");
    cr_assert(plan.shape == BENCH_SHARED && plan.publishers == 50000 && plan.subscribers == 500 && plan.rate == 50000);
    plan = found("conn-tcp-1M-5K");
    cr_assert(plan.subscribers == 1000000 && plan.connect_rate == 5000);
}

Test(scenario, the_short_names)
{
    const char *names[] = {"p2p", "fanout", "sharedsub", "conn", "wild", "retain", "churn", "burst", "WILD"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bench_plan plan = found(names[i]);
        cr_assert(plan.version == 4 && plan.rate == 0 && plan.seconds == 5, "%s", names[i]);
    }
    cr_assert_eq(found("burst").qos, 1);
}

Test(scenario, what_makes_no_sense_is_told)
{
    refused("p2q", "there is no scenario 'p2q'");
    refused("p2p-1k-1k-1k", "wants 4 numbers");
    refused("p2p-1k-1k-1k-1k-1k", "wants 4 numbers");
    refused("p2p-1k-1k-1k-x", "wants 4 numbers");
    refused("p2p-0-0-0-1", "wants 4 numbers");
    refused("conn-tcp-1k", "wants 2 numbers");
    refused("conn-tcp-5000000000-1", "wants 2 numbers");
    refused("fanout-5-1000-3-250k", "5 publishers has 5 topics, not 3");
    refused("fanout-1-1000-1-999", "less than one message a second");
}

Test(scenario, what_cannot_be_run_is_told)
{
    struct bench_plan plan = found("p2p");
    plan.publishers = 5;
    cr_assert_not(scenario_check(&plan, error, sizeof error));
    cr_assert(strstr(error, "as many subscribers as publishers"));
    plan = found("burst");
    plan.qos = 0;
    cr_assert_not(scenario_check(&plan, error, sizeof error));
    plan = found("wild");
    plan.relay = true;
    cr_assert_not(scenario_check(&plan, error, sizeof error));
    plan = found("churn");
    plan.rate = 10;
    cr_assert_not(scenario_check(&plan, error, sizeof error));
    plan = found("wild");
    plan.filters = 10;
    cr_assert_not(scenario_check(&plan, error, sizeof error));
}

Test(scenario, scaled_down_keeps_at_least_one_of_each)
{
    struct bench_plan plan = found("fanout-5-1000-5-250K");
    scenario_scale(&plan, 10);
    cr_assert(plan.publishers == 1 && plan.subscribers == 100 && plan.rate == 25);
    plan = found("conn-tcp-1m-5k");
    scenario_scale(&plan, 1000);
    cr_assert(plan.subscribers == 1000 && plan.connect_rate == 5 && plan.publishers == 0);
}
