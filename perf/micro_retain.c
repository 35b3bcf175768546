/* Retained messages: `size` topics siteS/deviceD/status of 100 devices a site. */
#include <stdio.h>

#include "base/check.h"
#include "base/random.h"
#include "perf/micro.h"
#include "router/retain.h"

static struct retain_store *store;
static uint64_t topics_count, seen;

static void release(void *context, void *message) {}

static struct span topic_of(uint64_t i, char *out)
{
    return span_of(out, (size_t)sprintf(out, "site%lu/device%lu/status", i / 100, i));
}

static void setup(uint64_t size)
{
    const struct retain_config config = {.seed = 42, .release = release};
    char name[64];
    store = retain_create(&config);
    topics_count = size;
    for (uint64_t i = 0; i < size; i++)
        CHECK(retain_set(store, topic_of(hash_u64(i) % size, name), &store, 16) <= RETAIN_REPLACED);
}

static enum retain_answer visit(void *context, struct span topic, void *message, uint64_t bytes)
{
    seen++;
    micro_keep(topic.bytes);
    return RETAIN_NEXT;
}

static uint64_t scan(struct span filter)
{
    uint64_t before = seen;
    struct retain_cursor *cursor = retain_scan_begin(filter);
    while (retain_scan_next(store, cursor, 256, visit, NULL)) {}
    retain_scan_end(cursor);
    return seen - before;
}

static uint64_t run_all(uint64_t count)
{
    uint64_t done = 0;
    while (done < count)
        done += scan(SPAN_LITERAL("#"));
    return done;
}

/* One site: about 63 of its 100 topics are there. */
static uint64_t run_subtree(uint64_t count)
{
    uint64_t done = 0;
    char name[64];
    for (uint64_t site = 0; done < count; site = (site + 37) % (topics_count / 100))
        done += scan(span_of(name, (size_t)sprintf(name, "site%lu/#", site)));
    return done;
}

static uint64_t run_plus(uint64_t count)
{
    uint64_t done = 0;
    while (done < count)
        done += scan(SPAN_LITERAL("+/+/status"));
    return done;
}

static uint64_t run_set(uint64_t count)
{
    char name[64];
    for (uint64_t i = 0; i < count; i++)
        micro_keep(retain_set(store, topic_of(hash_u64(i) % topics_count, name), &store, 16));
    return count;
}

const struct micro_case micro_retain[] = {
    {"retain-scan-all-10k", setup, run_all, 10000, 5000},
    {"retain-scan-site-10k", setup, run_subtree, 10000, 5000},
    {"retain-scan-plus-10k", setup, run_plus, 10000, 5000},
    {"retain-replace-10k", setup, run_set, 10000, 5000},
    {"retain-scan-all-1m", setup, run_all, 1000000, 5000},
    {"retain-scan-site-1m", setup, run_subtree, 1000000, 5000},
    {"retain-replace-1m", setup, run_set, 1000000, 5000},
    {0},
};
