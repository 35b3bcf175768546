#include "base/stats.h"

#define STATS_NAME(name, documentation) #name,
#define STATS_DOCUMENTATION(name, documentation) documentation,

const char *const stats_names[STATS_COUNT] = {STATS_TABLE(STATS_NAME)};
const char *const stats_documentation[STATS_COUNT] = {STATS_TABLE(STATS_DOCUMENTATION)};

void stats_add(struct stats *sum, const struct stats *from)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *counters = (const uint64_t *)from;
    for (unsigned i = 0; i < STATS_COUNT; i++)
        to[i] += stats_read(&counters[i]);
}
