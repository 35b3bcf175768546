#include "base/spread.h"

#define SPREAD_NAME(name, unit, documentation) #name,
#define SPREAD_UNIT(name, unit, documentation) unit,
#define SPREAD_DOCUMENTATION(name, unit, documentation) documentation,
const char *const spread_names[SPREADS] = {SPREADS_TABLE(SPREAD_NAME)};
const char *const spread_units[SPREADS] = {SPREADS_TABLE(SPREAD_UNIT)};
const char *const spread_documentation[SPREADS] = {SPREADS_TABLE(SPREAD_DOCUMENTATION)};

void spread_add(struct spread *sum, const struct spread *from)
{
    for (uint32_t i = 0; i < SPREAD_BUCKETS; i++)
        sum->buckets[i] += stats_read(&from->buckets[i]);
    sum->sum += stats_read(&from->sum);
}

uint64_t spread_total(const struct spread *spread)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < SPREAD_BUCKETS; i++)
        total += spread->buckets[i];
    return total;
}

double spread_quantile(const struct spread *spread, double share)
{
    uint64_t total = spread_total(spread), before = 0;
    double wanted = share * (double)total;
    for (uint32_t i = 0; i < SPREAD_BUCKETS && total; i++) {
        uint64_t count = spread->buckets[i];
        if (count && (double)(before + count) >= wanted) {
            double low = i ? (double)spread_bound(i - 1) : 0, high = (double)spread_bound(i);
            return low + (high - low) * (wanted - (double)before) / (double)count;
        }
        before += count;
    }
    return 0;
}
