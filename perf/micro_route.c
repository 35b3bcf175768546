/* Who wants a topic? `size` filters of four kinds in equal parts; filter i belongs to device i, whose topic it alone matches:
 *
 *     exact  siteS/deviceD/status       plus  siteS/+/deviceD        hash  siteS/deviceD/#        deep  14 levels, the 7th a +
 *
 * Topics are those of one kind in random order, or of all with the frequencies of a Zipf distribution (s = 1). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"
#include "perf/micro.h"
#include "router/match_cache.h"
#include "router/route_index.h"

#define TOPICS      4096
#define NAME_BYTES  128
#define CACHE_TOPICS 4096

enum kind { EXACT, PLUS, HASH, DEEP, KINDS };

static struct qsbr qsbr;
static struct route_index *routes;
static struct match_cache *cache;
static struct route_match found;
static char names[TOPICS][NAME_BYTES];
static struct span topics[TOPICS];

static struct span written(char *out, int count) { return span_of(out, (size_t)count); }

static struct span filter_of(uint64_t i, char *out)
{
    unsigned long site = i / 1000;
    switch (i % KINDS) {
    case EXACT: return written(out, snprintf(out, NAME_BYTES, "site%lu/device%lu/status", site, i));
    case PLUS: return written(out, snprintf(out, NAME_BYTES, "site%lu/+/device%lu", site, i));
    case HASH: return written(out, snprintf(out, NAME_BYTES, "site%lu/device%lu/#", site, i));
    default: return written(out, snprintf(out, NAME_BYTES, "site%lu/a/b/c/d/e/+/f/g/h/i/j/k/device%lu", site, i));
    }
}

static struct span topic_of(uint64_t i, char *out)
{
    unsigned long site = i / 1000;
    switch (i % KINDS) {
    case EXACT: return written(out, snprintf(out, NAME_BYTES, "site%lu/device%lu/status", site, i));
    case PLUS: return written(out, snprintf(out, NAME_BYTES, "site%lu/building/device%lu", site, i));
    case HASH: return written(out, snprintf(out, NAME_BYTES, "site%lu/device%lu/status/voltage", site, i));
    default: return written(out, snprintf(out, NAME_BYTES, "site%lu/a/b/c/d/e/x/f/g/h/i/j/k/device%lu", site, i));
    }
}

static void build(uint64_t size)
{
    const struct route_index_config config = {.shards_count = 1, .hash_seed = 42};
    char name[NAME_BYTES];
    qsbr_init(&qsbr, 1);
    qsbr_wake(&qsbr, 0);
    routes = route_index_create(&config, &qsbr);
    for (uint64_t i = 0; i < size; i++) {
        const struct route route = {.local_id = (uint32_t)i, .target = 0};
        CHECK(route_index_add(routes, filter_of(i, name), &route));
        if (i % 1024) continue;
        qsbr_pass(&qsbr, 0);
        route_index_collect(routes, 0);
    }
}

static void setup_kind(uint64_t size, enum kind kind)
{
    struct random_source random = {7};
    build(size);
    for (uint32_t t = 0; t < TOPICS; t++)
        topics[t] = topic_of(random_below(&random, size / KINDS) * KINDS + kind, names[t]);
}

static void setup_exact(uint64_t size) { setup_kind(size, EXACT); }
static void setup_plus(uint64_t size) { setup_kind(size, PLUS); }
static void setup_hash(uint64_t size) { setup_kind(size, HASH); }
static void setup_deep(uint64_t size) { setup_kind(size, DEEP); }

/* Rank r has frequency 1 / r: the inverse of its cumulated distribution is nearly size ^ u. */
static void setup_zipf(uint64_t size)
{
    struct random_source random = {7};
    build(size);
    for (uint32_t t = 0; t < TOPICS; t++) {
        double u = (double)(random_next(&random) >> 11) / 9007199254740992.0;
        uint64_t rank = (uint64_t)pow((double)size, u) - 1;
        topics[t] = topic_of(hash_u64(rank) % size, names[t]); /* the frequent ones are not neighbours */
    }
    cache = match_cache_create(routes, 0, CACHE_TOPICS, 64u << 20);
}

static void setup_miss(uint64_t size)
{
    build(size);
    for (uint32_t t = 0; t < TOPICS; t++)
        topics[t] = written(names[t], snprintf(names[t], NAME_BYTES, "site%u/nobody%u/listens", t % 100, t));
}

static uint64_t run_match(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        route_index_match(routes, topics[i % TOPICS], &found);
        micro_keep(found.plain_count);
    }
    return count;
}

static uint64_t run_cache(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        micro_keep(match_cache_lookup(cache, topics[i % TOPICS])->local_ids_count);
    return count;
}

/* A filter comes and goes: both writes, and what they retire. */
static uint64_t run_change(uint64_t count)
{
    const struct route route = {.local_id = 1, .target = 0};
    for (uint64_t i = 0; i < count; i++) {
        CHECK(route_index_add(routes, topics[i % TOPICS], &route));
        CHECK(route_index_remove(routes, topics[i % TOPICS], span_of(NULL, 0), 0));
        qsbr_pass(&qsbr, 0);
        route_index_collect(routes, 0);
    }
    return count;
}

#define SIZES(kind)                                                                                                            \
    {"match-" #kind "-1k", setup_##kind, run_match, 1000, 4096},                                                               \
        {"match-" #kind "-100k", setup_##kind, run_match, 100000, 4096},                                                       \
        {"match-" #kind "-1m", setup_##kind, run_match, 1000000, 4096},                                                        \
    {                                                                                                                          \
        "match-" #kind "-10m", setup_##kind, run_match, 10000000, 4096                                                         \
    }

const struct micro_case micro_route[] = {
    SIZES(exact),
    SIZES(plus),
    SIZES(hash),
    SIZES(deep),
    SIZES(zipf),
    {"match-nothing-1k", setup_miss, run_match, 1000, 4096},
    {"match-nothing-1m", setup_miss, run_match, 1000000, 4096},
    {"match-cached-zipf-1k", setup_zipf, run_cache, 1000, 16384},
    {"match-cached-zipf-1m", setup_zipf, run_cache, 1000000, 16384},
    {"subscribe-unsubscribe-1k", setup_miss, run_change, 1000, 2000},
    {"subscribe-unsubscribe-1m", setup_miss, run_change, 1000000, 2000},
    {0},
};
