#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/random.h"
#include "cmd/ringmq_bench_histogram.h"

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

Test(histogram, buckets_keep_the_order_and_two_per_cent)
{
    struct random_source random = {5};
    for (int i = 0; i < 200000; i++) {
        uint64_t value = random_next(&random) >> random_below(&random, 64);
        uint32_t bucket = histogram_bucket(value);
        cr_assert_lt(bucket, HISTOGRAM_BUCKETS);
        uint64_t low = histogram_value(bucket);
        cr_assert(low <= value && value - low <= value / 32, "%lu is in the bucket of %lu", value, low);
    }
}

Test(histogram, quantiles_are_those_of_the_sorted_values)
{
    static struct histogram histogram;
    static uint64_t values[10000];
    struct random_source random = {9};
    for (int i = 0; i < 10000; i++) {
        values[i] = random_next(&random) >> 40;
        histogram_add(&histogram, values[i]);
    }
    qsort(values, 10000, sizeof *values, by_value);
    const uint32_t per_million[] = {0, 1000, 500000, 900000, 990000, 999900};
    for (int i = 0; i < 6; i++) {
        uint64_t exact = values[(uint64_t)per_million[i] * 10000 / 1000000], told = histogram_quantile(&histogram, per_million[i]);
        cr_assert(told >= exact && told - exact <= exact / 32, "%u: %lu, not %lu", per_million[i], told, exact);
    }
    cr_assert_eq(histogram.max, values[9999]);
    cr_assert_eq(histogram.total, 10000);
}
