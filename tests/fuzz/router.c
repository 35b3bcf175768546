/* Input: lines of an operation, an argument and a filter or topic. What shards do with the route index, their tables of sinks, the match cache and the retained store, against plain
 * lists that are compared character by character (tests/unit/router/naive.h).
 *
 *     + and -   ARGUMENT FILTER   a sink comes or goes: bit 0 of the argument its shard, 1 and 2 its group, 3 and 4 who it is, 5 to 7 the group's strategy
 *     = and 0   ARGUMENT TOPIC    a message is kept, or not any more
 *     others    ARGUMENT TEXT     who wants this topic; what is kept under this filter
 *
 * The first byte says how many bits of hashes count, so that levels and filters collide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/topic.h"
#include "router/match_cache.h"
#include "router/retain.h"
#include "router/route_index.h"
#include "router/share.h"
#include "tests/unit/router/naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define SHARDS      2
#define SINKS_MAX   64
#define KEPT_MAX    64
#define ROUNDS_FREE 4 /* of collecting, until nobody can see what was retired */

struct subscriber { char filter[NAIVE_TEXT_MAX], group[4]; uint32_t shard; uintptr_t who; };

static struct {
    struct qsbr qsbr;
    struct route_index *index;
    struct sinks *sinks[SHARDS];
    struct match_cache *cache;
    struct share_state *share;
    struct route_match match;
    struct retain_store *retain;
    struct subscriber subscribers[SINKS_MAX];
    uint32_t subscribers_count;
    char kept[KEPT_MAX][NAIVE_TEXT_MAX]; /* topics */
    uint32_t kept_count, released;
} it;

static void release(void *context, void *message) { it.released++; }

static void begin(uint32_t hash_bits)
{
    struct route_index_config config = {.shards_count = SHARDS, .partitions_count = 4, .hash_seed = 7, .hash_bits = hash_bits};
    struct retain_config kept = {.seed = 3, .release = release};
    memset(&it, 0, sizeof it);
    qsbr_init(&it.qsbr, SHARDS);
    it.index = route_index_create(&config, &it.qsbr);
    for (uint32_t s = 0; s < SHARDS; s++)
        it.sinks[s] = sinks_create(7, hash_bits);
    it.cache = match_cache_create(it.index, 0, 16, 1 << 20);
    it.share = share_create(5);
    it.retain = retain_create(&kept);
}

/* ---- sinks come and go ---------------------------------------------------------------------------------------------- */

static uint32_t members(const char *filter, const char *group, uint32_t shard)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < it.subscribers_count; i++)
        count += it.subscribers[i].shard == shard && !strcmp(it.subscribers[i].filter, filter) && !strcmp(it.subscribers[i].group, group);
    return count;
}

static struct subscriber *find(const struct subscriber *wanted)
{
    for (uint32_t i = 0; i < it.subscribers_count; i++) {
        struct subscriber *one = &it.subscribers[i];
        if (one->shard == wanted->shard && one->who == wanted->who && !strcmp(one->filter, wanted->filter) && !strcmp(one->group, wanted->group)) return one;
    }
    return NULL;
}

static void subscribe(const struct subscriber *wanted, uint8_t strategy)
{
    struct subscriber *there = find(wanted);
    if (!there && it.subscribers_count == SINKS_MAX) return;
    struct sink sink = {.who = (void *)wanted->who};
    struct sinks_added added = sinks_add(it.sinks[wanted->shard], text(wanted->filter), text(wanted->group), &sink);
    CHECK(added.replaced == (there != NULL) && added.local_id != SINKS_ID_NONE);
    if (!there) it.subscribers[it.subscribers_count++] = *wanted;
    CHECK(added.count == members(wanted->filter, wanted->group, wanted->shard) && added.first == (!there && added.count == 1));
    struct route route = {.group = text(wanted->group), .local_id = added.local_id, .weight = added.count, .target = (uint16_t)wanted->shard, .strategy = strategy};
    CHECK(route_index_add(it.index, text(wanted->filter), &route) == added.first);
}

static void unsubscribe(const struct subscriber *wanted, uint8_t strategy)
{
    struct subscriber *there = find(wanted);
    struct sinks_removed removed = sinks_remove(it.sinks[wanted->shard], text(wanted->filter), text(wanted->group), (void *)wanted->who);
    CHECK(removed.found == (there != NULL));
    if (!there) {
        bool any = members(wanted->filter, wanted->group, wanted->shard) > 0;
        CHECK(any || !route_index_remove(it.index, text(wanted->filter), text(wanted->group), (uint16_t)wanted->shard));
        return;
    }
    struct subscriber gone = *there; /* `wanted` may be this very one */
    *there = it.subscribers[--it.subscribers_count];
    CHECK(removed.count == members(gone.filter, gone.group, gone.shard) && removed.last == (removed.count == 0));
    struct route route = {.group = text(gone.group), .local_id = removed.local_id, .weight = removed.count, .target = (uint16_t)gone.shard, .strategy = strategy};
    if (removed.last)
        CHECK(route_index_remove(it.index, text(gone.filter), text(gone.group), (uint16_t)gone.shard));
    else if (gone.group[0])
        CHECK(!route_index_add(it.index, text(gone.filter), &route));
}

/* ---- who wants it ------------------------------------------------------------------------------------------------------ */

/* The id is one of a filter that matches, with the members it should have. */
static void check_target(uint32_t shard, uint32_t local_id, const char *topic, bool shared)
{
    struct span filter, group;
    char filter_text[NAIVE_TEXT_MAX], group_text[4];
    CHECK(sinks_text(it.sinks[shard], local_id, &filter, &group));
    snprintf(filter_text, sizeof filter_text, "%.*s", (int)filter.bytes, (const char *)filter.data);
    snprintf(group_text, sizeof group_text, "%.*s", (int)group.bytes, group.bytes ? (const char *)group.data : "");
    CHECK(naive_matches(filter_text, topic) && (group.bytes > 0) == shared);
    CHECK(sinks_get(it.sinks[shard], local_id).count == members(filter_text, group_text, shard));
}

static uint32_t load(void *context, const struct sink *sink) { return (uintptr_t)sink->who % 3 == 0 ? SHARE_UNAVAILABLE : 0; }

static void check_group(const struct route_group *group, const char *topic, const struct match_set *set)
{
    uint64_t weights = 0;
    for (uint32_t i = 0; i < group->targets_count; i++) {
        const struct route_target *target = &group->targets[i];
        check_target(target->target, target->local_id, topic, true);
        CHECK(target->weight == sinks_get(it.sinks[target->target], target->local_id).count);
        weights += target->weight;
    }
    CHECK(weights == group->weight_total);
    struct share_keys keys = {.publisher_hash = group->id, .topic_hash = set->topic_hash, .random = weights, .shard = 0};
    uint32_t picked = share_pick_shard(it.share, group, &keys);
    CHECK(picked < group->targets_count);
    if (group->targets_count > 1) CHECK(share_pick_other(group, picked, &keys) != picked);
    const struct route_target *target = &group->targets[picked];
    struct sinks_view view = sinks_get(it.sinks[target->target], target->local_id);
    struct share_choice choice = share_pick_member(it.share, (enum share_strategy)group->strategy, target->local_id, view, &keys, load, NULL);
    CHECK(choice.index < view.count && choice.available == share_has_room(view, &keys, load, NULL));
    if (choice.available) CHECK(load(NULL, &view.sinks[choice.index]) == 0);
}

/* Filters with sinks on that shard that want it, plain or shared. */
static uint32_t wanting(const char *topic, uint32_t shard, bool shared)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < it.subscribers_count; i++) {
        const struct subscriber *one = &it.subscribers[i];
        bool counts = one->shard == shard && (one->group[0] != 0) == shared && naive_matches(one->filter, topic);
        for (uint32_t k = 0; counts && k < i; k++) /* each filter once */
            counts = it.subscribers[k].shard != shard || strcmp(it.subscribers[k].filter, one->filter) || strcmp(it.subscribers[k].group, one->group);
        count += counts;
    }
    return count;
}

static void who_wants(const char *topic)
{
    uint32_t plain[SHARDS] = {0}, shared[SHARDS] = {0};
    route_index_match(it.index, text(topic), &it.match);
    for (uint32_t i = 0; i < it.match.plain_count; i++) {
        check_target(it.match.plain[i].target, it.match.plain[i].local_id, topic, false);
        plain[it.match.plain[i].target]++;
        for (uint32_t k = 0; k < i; k++)
            CHECK(it.match.plain[k].target != it.match.plain[i].target || it.match.plain[k].local_id != it.match.plain[i].local_id);
    }
    const struct match_set *set = match_cache_lookup(it.cache, text(topic));
    CHECK(set->groups_count == it.match.groups_count && set->local_ids_count == plain[0]);
    for (uint32_t i = 0; i < set->groups_count; i++) {
        check_group(&set->groups[i], topic, set);
        for (uint32_t t = 0; t < set->groups[i].targets_count; t++)
            shared[set->groups[i].targets[t].target]++;
    }
    CHECK(set->others_count == (plain[1] > 0) && (!set->others_count || (set->others[0].target == 1 && set->others[0].ids_count == plain[1])));
    for (uint32_t s = 0; s < SHARDS; s++)
        CHECK(plain[s] == wanting(topic, s, false) && shared[s] == wanting(topic, s, true));
}

/* ---- what is kept ------------------------------------------------------------------------------------------------------ */

static uint32_t kept_at(const char *topic)
{
    uint32_t i = 0;
    while (i < it.kept_count && strcmp(it.kept[i], topic) != 0)
        i++;
    return i;
}

static void keep(const char *topic)
{
    uint32_t at = kept_at(topic);
    if (at == KEPT_MAX) return;
    uint32_t released = it.released;
    CHECK(retain_set(it.retain, text(topic), (void *)(uintptr_t)1, 10) == (at < it.kept_count ? RETAIN_REPLACED : RETAIN_STORED));
    CHECK(it.released - released == (at < it.kept_count));
    if (at == it.kept_count) strcpy(it.kept[it.kept_count++], topic);
}

static void keep_not(const char *topic)
{
    uint32_t at = kept_at(topic);
    CHECK((retain_get(it.retain, text(topic)) != NULL) == (at < it.kept_count));
    CHECK(retain_remove(it.retain, text(topic)) == (at < it.kept_count));
    if (at < it.kept_count) memmove(it.kept[at], it.kept[--it.kept_count], NAIVE_TEXT_MAX);
}

struct scan { const char *filter; uint32_t shown; };

static enum retain_answer shown(void *context, struct span topic, void *message, uint64_t bytes)
{
    struct scan *scan = context;
    char name[NAIVE_TEXT_MAX];
    snprintf(name, sizeof name, "%.*s", (int)topic.bytes, (const char *)topic.data);
    CHECK(naive_matches(scan->filter, name) && kept_at(name) < it.kept_count && bytes == 10);
    return ++scan->shown % 2 ? RETAIN_NEXT : RETAIN_STOP;
}

static void what_is_kept(const char *filter)
{
    struct scan scan = {.filter = filter};
    struct retain_cursor *cursor = retain_scan_begin(text(filter));
    uint32_t expected = 0;
    while (retain_scan_next(it.retain, cursor, 3, shown, &scan))
        ;
    retain_scan_end(cursor);
    for (uint32_t i = 0; i < it.kept_count; i++)
        expected += naive_matches(filter, it.kept[i]);
    CHECK(scan.shown == expected);
}

/* ---- a line ------------------------------------------------------------------------------------------------------------- */

static void collect(uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t s = 0; s < SHARDS; s++)
            route_index_collect(it.index, s);
}

static void line_take(uint8_t operation, uint8_t argument, struct span name)
{
    struct subscriber wanted = {.shard = argument & 1, .who = 1 + (argument >> 3 & 3)};
    uint8_t strategy = (uint8_t)((argument >> 5) % SHARE_STRATEGIES_COUNT);
    if (name.bytes == 0 || name.bytes >= NAIVE_TEXT_MAX || memchr(name.data, 0, name.bytes)) return;
    memcpy(wanted.filter, name.data, name.bytes);
    if (argument >> 1 & 3) snprintf(wanted.group, sizeof wanted.group, "g%u", argument >> 1 & 3);
    bool topic = mqtt_topic_name_valid(name, 0);
    bool filter = mqtt_topic_filter_valid(name, 0) && !span_starts_with(name, SPAN_LITERAL("$share/")) && route_index_accepts(name);
    switch (operation) {
    case '+':
        if (filter) subscribe(&wanted, strategy);
        return;
    case '-':
        if (filter) unsubscribe(&wanted, strategy);
        return;
    case '=':
        if (topic) keep(wanted.filter);
        return;
    case '0':
        if (topic) keep_not(wanted.filter);
        return;
    default:
        if (topic) who_wants(wanted.filter);
        if (filter) what_is_kept(wanted.filter);
    }
}

/* All go: nothing may be left. */
static void end(void)
{
    struct route_index_stats stats;
    while (it.subscribers_count)
        unsubscribe(&it.subscribers[0], 0);
    while (it.kept_count)
        keep_not(it.kept[0]);
    collect(ROUNDS_FREE);
    route_index_stats(it.index, &stats);
    CHECK(stats.filters == 0 && stats.routes == 0 && stats.nodes == 0 && stats.bytes == 0 && stats.retired_blocks == 0);
    CHECK(retain_stats(it.retain).messages == 0 && sinks_filters(it.sinks[0]) == 0 && sinks_filters(it.sinks[1]) == 0);
    route_match_release(&it.match);
    match_cache_destroy(it.cache);
    share_destroy(it.share);
    retain_destroy(it.retain);
    for (uint32_t s = 0; s < SHARDS; s++)
        sinks_destroy(it.sinks[s]);
    route_index_destroy(it.index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || bytes > 4000) return 0;
    begin(data[0] & 1 ? 2 : 0);
    for (size_t at = 1; at < bytes;) {
        const uint8_t *newline = memchr(data + at, '\n', bytes - at);
        size_t line = newline ? (size_t)(newline - data) - at : bytes - at;
        if (line >= 2) line_take(data[at], data[at + 1], span_of(data + at + 2, line - 2));
        if (data[at] == '-') collect(1);
        at += line + 1;
    }
    end();
    return 0;
}
