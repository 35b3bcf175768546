#include <criterion/criterion.h>

#include "base/random.h"
#include "base/spread.h"

Test(spread, each_value_is_in_its_bucket)
{
    struct random_source random = {.state = 1};
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random_next(&random) >> (24 + random_below(&random, 40));
        uint32_t bucket = spread_bucket(value);
        cr_assert(bucket < SPREAD_BUCKETS && value < spread_bound(bucket) && (bucket == 0 || value >= spread_bound(bucket - 1)), "%llu", (unsigned long long)value);
    }
    cr_assert(spread_bucket(UINT64_MAX) < SPREAD_BUCKETS);
    for (uint32_t i = 1; i < SPREAD_BUCKETS; i++)
        cr_assert(spread_bound(i) > spread_bound(i - 1));
}

Test(spread, quantiles)
{
    static struct spread spread, sum;
    cr_assert_eq(spread_quantile(&spread, 0.5), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        spread_record(&spread, i);
    cr_assert(spread_quantile(&spread, 0.5) > 400 && spread_quantile(&spread, 0.5) < 600);
    cr_assert(spread_quantile(&spread, 0.99) > 800 && spread_quantile(&spread, 0.99) <= 1024);
    spread_add(&sum, &spread);
    spread_add(&sum, &spread);
    cr_assert_eq(spread_total(&sum), 2000);
    cr_assert_eq(sum.sum, 1001000);
}
