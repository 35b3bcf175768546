#include "router/match_cache.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/pool.h"
#include "router/match_ahead.h"
#include "router/share.h"

#define WAYS 8
/* The scratch entry of a result too large to keep is itself kept up to this size. */
#define UNKEPT_BYTES_KEPT 65536

/* One allocation: entry │ groups │ others │ groups' targets │ ids │ topic. */
struct entry {
    const _Atomic uint64_t *first_at, *wildcard_at; /* the two partitions' versions */
    uint64_t first_version, wildcard_version;       /* as they were before the match */
    struct match_set set;
    size_t block_bytes; /* allocated; may be more than this result needs */
    const uint8_t *topic;
    uint32_t topic_bytes;
};

struct cache_set {
    _Alignas(64) uint32_t tags[WAYS];
    struct entry *entries[WAYS]; /* NULL: empty */
    uint8_t referenced;          /* a bit per way: hit since the hand passed */
    uint8_t hand;
    uint8_t seen_hand;
    uint16_t seen[WAYS];         /* the last topics that came by and were not kept; 0: none */
};
_Static_assert(sizeof(struct cache_set) == 128, "two cache lines");

struct match_cache {
    const struct route_index *index;
    struct pool pool; /* of the entries */
    struct cache_set *sets;
    uint32_t sets_count;
    uint32_t sweep_set; /* where the search for bytes goes on */
    uint16_t self;
    uint64_t bytes_max;
    const struct sinks *sinks; /* match_cache_serves(); or NULL */
    struct entry *unkept; /* the last result that was not kept */
    struct entry *last;   /* the last hit, often the next one, too; NULL: none, or it may have gone */
    struct route_match match;
    struct match_cache_stats stats;
    uint64_t misses_looked; /* when they last began a scouting */
    uint32_t scout_from;
    uint32_t scouted, scouted_cold; /* topics, since the last judgement */
    bool *scouts;
    uint16_t *warm;              /* topics scouted lately, by hash; NULL: none yet */
    struct match_aheads aheads;
};

/* A topic that begins with `$` does not depend on the wildcard partition. */
static const _Atomic uint64_t version_of_nothing;

struct match_cache *match_cache_create(const struct route_index *index, uint16_t self, uint32_t entries_max,
                                       uint64_t bytes_max)
{
    struct match_cache *cache = memory_acquire_zeroed(sizeof *cache);
    cache->index = index;
    cache->self = self;
    cache->bytes_max = bytes_max;
    cache->sets_count = entries_max / WAYS + (entries_max % WAYS != 0);
    if (cache->sets_count == 0) cache->sets_count = 1;
    cache->sets = memory_acquire_aligned(64, cache->sets_count * sizeof *cache->sets);
    return cache;
}

void match_cache_serves(struct match_cache *cache, const struct sinks *sinks, uint32_t scout_from, bool *scouts)
{
    cache->sinks = sinks;
    cache->scout_from = scout_from;
    cache->scouts = scouts;
}

static void entry_release(struct match_cache *cache, struct entry *entry)
{
    if (entry) pool_release(&cache->pool, entry, entry->block_bytes);
}

void match_cache_destroy(struct match_cache *cache)
{
    if (cache == NULL) return;
    for (uint32_t i = 0; i < cache->sets_count; i++)
        for (uint32_t way = 0; way < WAYS; way++)
            entry_release(cache, cache->sets[i].entries[way]);
    entry_release(cache, cache->unkept);
    pool_free(&cache->pool);
    memory_release(cache->sets);
    memory_release(cache->warm);
    route_match_release(&cache->match);
    memory_release(cache);
}

/* Building an entry. ------------------------------------------------------------------------------------------------ */

struct shape {
    uint32_t others_count;
    size_t others_at, targets_at, ids_at, topic_at, bytes;
};

static int by_target(const void *left, const void *right)
{
    const struct route_target *a = left, *b = right;
    if (a->target != b->target) return a->target < b->target ? -1 : 1;
    return a->local_id < b->local_id ? -1 : a->local_id > b->local_id;
}

/* Sinks that want what is published on their own shard: here they are plain filters of this shard, elsewhere they are nothing. */
static void fold_local(struct match_cache *cache)
{
    struct route_match *match = &cache->match;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < match->groups_count; i++) {
        const struct route_group *group = &match->groups[i];
        if (LIKELY(group->strategy != SHARE_LOCAL)) {
            match->groups[kept++] = *group;
            continue;
        }
        for (uint32_t t = 0; t < group->targets_count; t++)
            if (group->targets[t].target == cache->self) route_match_add_plain(match, cache->self, group->targets[t].local_id);
    }
    match->groups_count = kept;
}

/* After the match's plain routes are sorted by target. */
static struct shape shape_of(const struct match_cache *cache, struct span topic)
{
    const struct route_match *match = &cache->match;
    struct shape shape = {0};
    for (uint32_t i = 0; i < match->plain_count; i++)
        if (match->plain[i].target != cache->self)
            shape.others_count += i == 0 || match->plain[i].target != match->plain[i - 1].target;
    shape.others_at = sizeof(struct entry) + match->groups_count * sizeof(struct route_group);
    shape.targets_at = shape.others_at + shape.others_count * sizeof(struct match_target);
    shape.ids_at = shape.targets_at + match->group_targets_count * sizeof(struct route_target);
    shape.topic_at = shape.ids_at + match->plain_count * sizeof(uint32_t);
    shape.bytes = shape.topic_at + topic.bytes;
    return shape;
}

/* Wherever this shard stands among the targets, its ids are one run of the sorted routes. */
static void entry_fill_plain(const struct match_cache *cache, struct entry *entry, const struct shape *shape)
{
    const struct route_match *match = &cache->match;
    struct match_target *others = (struct match_target *)((char *)entry + shape->others_at);
    uint32_t *ids = (uint32_t *)((char *)entry + shape->ids_at), others_count = 0;
    entry->set.others = others;
    entry->set.local_ids = ids;
    for (uint32_t i = 0, end; i < match->plain_count; i = end) {
        uint16_t target = match->plain[i].target;
        for (end = i; end < match->plain_count && match->plain[end].target == target; end++)
            ids[end] = match->plain[end].local_id;
        if (target == cache->self) {
            entry->set.local_ids = ids + i;
            entry->set.local_ids_count = end - i;
        } else {
            others[others_count++] = (struct match_target){.ids = ids + i, .ids_count = end - i, .target = target};
        }
    }
    DCHECK(others_count == shape->others_count);
    entry->set.others_count = others_count;
}

static void entry_fill_groups(const struct match_cache *cache, struct entry *entry, const struct shape *shape)
{
    const struct route_match *match = &cache->match;
    struct route_group *groups = (struct route_group *)(entry + 1);
    struct route_target *targets = (struct route_target *)((char *)entry + shape->targets_at);
    if (match->group_targets_count)
        memcpy(targets, match->group_targets, match->group_targets_count * sizeof *targets);
    for (uint32_t i = 0; i < match->groups_count; i++) {
        groups[i] = match->groups[i];
        groups[i].targets = targets + (match->groups[i].targets - match->group_targets);
    }
    entry->set.groups = groups;
    entry->set.groups_count = match->groups_count;
}

/* What must be read before the match: see route_index.h, Barriers. */
static struct entry entry_begin(const struct match_cache *cache, struct span topic)
{
    bool hidden = topic.bytes > 0 && topic.data[0] == '$';
    uint32_t first = route_index_partition(cache->index, topic);
    uint32_t wildcard = route_index_wildcard_partition(cache->index);
    struct entry entry = {
        .first_at = route_index_version_at(cache->index, first),
        .wildcard_at = hidden ? &version_of_nothing : route_index_version_at(cache->index, wildcard),
    };
    entry.first_version = atomic_load_explicit(entry.first_at, memory_order_acquire);
    entry.wildcard_version = atomic_load_explicit(entry.wildcard_at, memory_order_acquire);
    return entry;
}

/* `old` may be NULL; its memory is used again where it fits. */
static struct entry *entry_build(struct match_cache *cache, struct entry *old, const struct entry *begun,
                                 const struct shape *shape, struct span topic, uint64_t topic_hash)
{
    size_t block_bytes = old ? old->block_bytes : 0;
    struct entry *entry = old;
    if (block_bytes < shape->bytes || block_bytes > shape->bytes * 4) {
        entry_release(cache, old);
        block_bytes = pool_block_bytes(shape->bytes);
        entry = pool_acquire(&cache->pool, block_bytes);
    }
    *entry = *begun;
    entry->block_bytes = block_bytes;
    entry->topic = (uint8_t *)entry + shape->topic_at;
    entry->topic_bytes = (uint32_t)topic.bytes;
    if (topic.bytes) memcpy((char *)entry + shape->topic_at, topic.data, topic.bytes);
    entry->set.topic_hash = topic_hash;
    entry_fill_plain(cache, entry, shape);
    entry_fill_groups(cache, entry, shape);
    return entry;
}

/* Room. ------------------------------------------------------------------------------------------------------------- */

static void entry_evict(struct match_cache *cache, struct cache_set *set, uint32_t way)
{
    cache->last = NULL;
    cache->stats.bytes -= set->entries[way]->block_bytes;
    cache->stats.entries--;
    cache->stats.evicted++;
    entry_release(cache, set->entries[way]);
    set->entries[way] = NULL;
}

/* Goes round the sets until `bytes` fit; the first time round spares what was hit lately. */
static void bytes_make_room(struct match_cache *cache, uint64_t bytes)
{
    for (uint32_t steps = 0; steps < 2 * cache->sets_count && cache->stats.bytes + bytes > cache->bytes_max; steps++) {
        struct cache_set *set = &cache->sets[cache->sweep_set];
        cache->sweep_set = (cache->sweep_set + 1) % cache->sets_count;
        for (uint32_t way = 0; way < WAYS; way++)
            if (set->entries[way] != NULL && (set->referenced >> way & 1) == 0) entry_evict(cache, set, way);
        set->referenced = 0;
    }
}

static uint32_t way_make_room(struct match_cache *cache, struct cache_set *set)
{
    for (uint32_t way = 0; way < WAYS; way++)
        if (set->entries[way] == NULL) return way;
    while (set->referenced >> set->hand & 1) {
        set->referenced &= (uint8_t)~(1u << set->hand);
        set->hand = (set->hand + 1) % WAYS;
    }
    uint32_t way = set->hand;
    set->hand = (set->hand + 1) % WAYS;
    entry_evict(cache, set, way);
    return way;
}

/* Looking up. ------------------------------------------------------------------------------------------------------- */

static bool entry_is(const struct entry *entry, struct span topic)
{
    return entry->topic_bytes == topic.bytes &&
           (topic.bytes == 0 || memcmp(entry->topic, topic.data, topic.bytes) == 0);
}

static bool entry_current(const struct entry *entry)
{
    return atomic_load_explicit(entry->first_at, memory_order_acquire) == entry->first_version &&
           atomic_load_explicit(entry->wildcard_at, memory_order_acquire) == entry->wildcard_version;
}

/* Topics of one system differ at their ends: where this is not the one, that shows at once. */
static inline bool last_is(const struct entry *entry, struct span topic)
{
    if (entry->topic_bytes != topic.bytes || topic.bytes < 8) return false;
    uint64_t end_here, end_there;
    memcpy(&end_here, entry->topic + topic.bytes - 8, 8);
    memcpy(&end_there, topic.data + topic.bytes - 8, 8);
    return end_here == end_there && span_same_bytes(entry->topic, topic.data, topic.bytes);
}

/* Among very many filters each of these is a miss of all caches. The slots come while the match is being remembered, the filters while its message is made ready. */
#define AHEAD 8

static void slots_ahead(const struct match_cache *cache)
{
    const struct route_match *match = &cache->match;
    for (uint32_t i = 0; i < match->plain_count && i < AHEAD; i++)
        if (match->plain[i].target == cache->self) sinks_expect(cache->sinks, match->plain[i].local_id);
}

static void filters_ahead(const struct match_cache *cache, const struct match_set *set)
{
    for (uint32_t i = 0; i < set->local_ids_count && i < AHEAD; i++)
        sinks_expect_more(cache->sinks, set->local_ids[i]);
}

/* Is it worth the place of another one? A topic that comes for the second time while the set still knows of the first is; one of very many that come once in a long
 * while is not: it would be thrown out before it is asked for again, and what it throws out with it. */
static bool is_admitted(const struct match_cache *cache, struct cache_set *set, size_t bytes, uint64_t hash)
{
    uint16_t name = (uint16_t)((uint16_t)hash | 1); /* other bits than the set's */
    bool room = cache->stats.bytes + bytes <= cache->bytes_max, place = false;
    for (uint32_t way = 0; way < WAYS; way++)
        place |= set->entries[way] == NULL;
    if (room && place) return true;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set->seen[i] != name) continue;
        set->seen[i] = 0;
        return true;
    }
    set->seen[set->seen_hand] = name;
    set->seen_hand = (set->seen_hand + 1) % WAYS;
    return false;
}

/* The result goes into no place. */
static const struct match_set *unkept_build(struct match_cache *cache, const struct entry *begun, const struct shape *shape, struct span topic,
                                            uint64_t hash)
{
    cache->unkept = entry_build(cache, cache->unkept, begun, shape, topic, hash);
    return &cache->unkept->set;
}

static struct cache_set *set_of(const struct match_cache *cache, uint64_t hash) { return &cache->sets[(hash >> 32) * cache->sets_count >> 32]; }

uint64_t match_cache_expect(const struct match_cache *cache, struct span topic)
{
    uint64_t hash = hash_span(topic);
    const struct cache_set *set = set_of(cache, hash);
    __builtin_prefetch(set);
    __builtin_prefetch((const char *)set + 64);
    return hash;
}

const struct match_set *match_cache_may_know(const struct match_cache *cache, uint64_t topic_hash)
{
    const struct cache_set *set = set_of(cache, topic_hash);
    for (uint32_t way = 0; way < WAYS; way++)
        if (set->tags[way] == (uint32_t)topic_hash && set->entries[way]) return &set->entries[way]->set;
    return NULL;
}

void match_cache_expect_known(const struct match_set *known)
{
    const char *entry = (const char *)known - offsetof(struct entry, set);
    for (size_t at = 0; at < sizeof(struct entry) + 64; at += 64) /* its id and its topic lie behind it */
        __builtin_prefetch(entry + at);
}

/* ---- when to scout ----------------------------------------------------------------------------------------------- */

#define MISSES_PER_LOOK   64
#define SCOUTED_PER_LOOK  64
#define WARM_TOPICS       8192 /* what belongs to so many is about as large as the caches that are near */

struct match_aheads *match_cache_aheads(struct match_cache *cache) { return &cache->aheads; }

bool match_cache_is_warm(struct match_cache *cache, uint64_t topic_hash)
{
    uint16_t *known = &cache->warm[topic_hash % WARM_TOPICS], name = (uint16_t)(topic_hash >> 48 | 1);
    bool warm = *known == name;
    *known = name;
    return warm;
}

void match_cache_scouted(struct match_cache *cache, uint32_t topics, uint32_t cold)
{
    cache->scouted += topics;
    cache->scouted_cold += cold;
    if (cache->scouted < SCOUTED_PER_LOOK) return;
    if (cache->scouted_cold < cache->scouted / 4) {
        *cache->scouts = false;
        cache->aheads.count = 0;
    }
    cache->scouted = cache->scouted_cold = 0;
}

static void misses_look(struct match_cache *cache)
{
    cache->misses_looked = cache->stats.misses;
    if (cache->sinks == NULL || *cache->scouts || sinks_filters(cache->sinks) < cache->scout_from) return;
    if (cache->warm == NULL) cache->warm = memory_acquire_zeroed(WARM_TOPICS * sizeof *cache->warm);
    cache->scouted = cache->scouted_cold = 0;
    *cache->scouts = true;
}

/* ---- looking up, continued ---------------------------------------------------------------------------------------- */

/* What is in cache->match gets a place; way == WAYS: the topic has none yet. */
static const struct match_set *entry_keep(struct match_cache *cache, struct cache_set *set, uint32_t way, const struct entry *begun, const struct shape *shape,
                                          struct span topic, uint64_t hash)
{
    struct entry *old = NULL;
    if (way < WAYS) {
        old = set->entries[way];
        set->entries[way] = NULL;
        cache->stats.bytes -= old->block_bytes;
        cache->stats.entries--;
    }
    bytes_make_room(cache, pool_block_bytes(shape->bytes));
    if (way == WAYS) way = way_make_room(cache, set);
    struct entry *entry = entry_build(cache, old, begun, shape, topic, hash);
    set->tags[way] = (uint32_t)hash;
    set->entries[way] = entry;
    cache->stats.bytes += entry->block_bytes;
    cache->stats.entries++;
    return &entry->set;
}

static const struct match_set *match_anew(struct match_cache *cache, struct cache_set *set, uint32_t way,
                                          struct span topic, uint64_t hash)
{
    struct entry begun = entry_begin(cache, topic);
    cache->last = NULL;
    route_index_match(cache->index, topic, &cache->match);
    if (LIKELY(cache->sinks != NULL)) slots_ahead(cache);
    if (cache->match.groups_count) fold_local(cache);
    if (cache->match.plain_count > 1)
        qsort(cache->match.plain, cache->match.plain_count, sizeof *cache->match.plain, by_target);
    struct shape shape = shape_of(cache, topic);
    cache->stats.misses++;
    cache->stats.outdated += way < WAYS;

    if (shape.bytes > cache->bytes_max / 8) {
        if (way < WAYS) entry_evict(cache, set, way);
        return unkept_build(cache, &begun, &shape, topic, hash);
    }
    if (way == WAYS && !is_admitted(cache, set, pool_block_bytes(shape.bytes), hash)) {
        cache->stats.passed++;
        return unkept_build(cache, &begun, &shape, topic, hash);
    }
    return entry_keep(cache, set, way, &begun, &shape, topic, hash);
}

static const struct match_set *lookup_anew(struct match_cache *cache, struct cache_set *set, uint32_t way, struct span topic, uint64_t hash)
{
    const struct match_set *found = match_anew(cache, set, way, topic, hash);
    if (UNLIKELY(cache->stats.misses - cache->misses_looked >= MISSES_PER_LOOK)) misses_look(cache);
    if (LIKELY(cache->sinks != NULL)) filters_ahead(cache, found);
    return found;
}

/* The scout has been there: one filter of this shard, or none. */
static const struct match_set *lookup_scouted(struct match_cache *cache, struct cache_set *set, const struct match_ahead *ahead, struct span topic)
{
    uint64_t hash = ahead->set.topic_hash;
    struct entry begun = {.first_at = ahead->first_at, .wildcard_at = ahead->wildcard_at, .first_version = ahead->first_version, .wildcard_version = ahead->wildcard_version};
    size_t bytes = sizeof(struct entry) + ahead->set.local_ids_count * sizeof(uint32_t) + topic.bytes;
    cache->stats.misses++;
    cache->stats.ahead++;
    if (bytes > cache->bytes_max / 8 || !is_admitted(cache, set, pool_block_bytes(bytes), hash)) {
        cache->stats.passed++;
        return &ahead->set;
    }
    cache->last = NULL;
    route_match_clear(&cache->match);
    if (ahead->set.local_ids_count) route_match_add_plain(&cache->match, cache->self, ahead->local_id);
    struct shape shape = shape_of(cache, topic);
    return entry_keep(cache, set, WAYS, &begun, &shape, topic, hash);
}

const struct match_set *match_cache_lookup(struct match_cache *cache, struct span topic)
{
    struct entry *last = cache->last;
    if (last && last_is(last, topic) && LIKELY(entry_current(last))) {
        cache->stats.hits++;
        return &last->set;
    }
    uint64_t hash = hash_span(topic);
    struct cache_set *set = set_of(cache, hash);
    if (UNLIKELY(cache->unkept != NULL) && cache->unkept->block_bytes > UNKEPT_BYTES_KEPT) {
        entry_release(cache, cache->unkept);
        cache->unkept = NULL;
    }
    for (uint32_t way = 0; way < WAYS; way++) {
        struct entry *entry = set->entries[way];
        if (set->tags[way] != (uint32_t)hash || entry == NULL || !entry_is(entry, topic)) continue;
        if (UNLIKELY(!entry_current(entry))) return lookup_anew(cache, set, way, topic, hash);
        set->referenced |= (uint8_t)(1u << way);
        cache->stats.hits++;
        cache->last = entry;
        return &entry->set;
    }
    if (cache->aheads.count) {
        const struct match_ahead *ahead = match_ahead_find(&cache->aheads, topic);
        if (LIKELY(ahead != NULL)) return lookup_scouted(cache, set, ahead, topic);
    }
    return lookup_anew(cache, set, WAYS, topic, hash);
}

struct match_cache_stats match_cache_stats(const struct match_cache *cache) { return cache->stats; }
