#include "base/map.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#define ENTRIES_MIN  16
#define MOVED_A_TIME 8 /* it is through long before the next growth: that comes after half as many insertions as there were buckets */

static void *const gone = (void *)&gone; /* the value of an old entry that was removed */

static uint64_t hash_seed;

void map_seed(uint64_t seed) { hash_seed = seed; }

static uint64_t hash_of(struct span key) { return hash_span_seeded(key, hash_seed); }

void map_init(struct map *map, struct span (*key_of)(const void *value)) { *map = (struct map){.key_of = key_of}; }

static size_t table_bytes(uint32_t mask) { return ((size_t)mask + 1) * sizeof(struct map_entry); }

void map_free(struct map *map)
{
    memory_release_table(map->entries, map->entries ? table_bytes(map->mask) : 0);
    memory_release_table(map->old, map->old ? table_bytes(map->old_mask) : 0);
    map_init(map, map->key_of);
}

static struct map_entry *entry_in(const struct map *map, struct map_entry *entries, uint32_t mask, struct span key, uint64_t hash)
{
    if (!entries) return NULL;
    for (uint32_t at = (uint32_t)hash & mask;; at = (at + 1) & mask) {
        struct map_entry *entry = &entries[at];
        if (!entry->value) return NULL;
        if (entry->hash == hash && entry->value != gone && span_equal(map->key_of(entry->value), key)) return entry;
    }
}

void *map_find(const struct map *map, struct span key)
{
    uint64_t hash = hash_of(key);
    struct map_entry *entry = entry_in(map, map->entries, map->mask, key, hash);
    if (UNLIKELY(!entry && map->old)) entry = entry_in(map, map->old, map->old_mask, key, hash);
    return entry ? entry->value : NULL;
}

static void map_put(struct map *map, uint64_t hash, void *value)
{
    uint32_t at = (uint32_t)hash & map->mask;
    while (map->entries[at].value)
        at = (at + 1) & map->mask;
    map->entries[at] = (struct map_entry){hash, value};
}

/* Old entries are marked, not taken out: their followers stay within reach. One that has been moved is in both until the old table goes. */
static void map_move(struct map *map, uint32_t count)
{
    for (; count && map->moved <= map->old_mask; count--, map->moved++) {
        struct map_entry *entry = &map->old[map->moved];
        if (entry->value && entry->value != gone) map_put(map, entry->hash, entry->value);
    }
    if (map->moved <= map->old_mask) return;
    memory_release_table(map->old, table_bytes(map->old_mask));
    map->old = NULL;
}

static void map_grow(struct map *map)
{
    if (map->old) map_move(map, UINT32_MAX); /* not after the growth of a large one */
    uint32_t entries = map->entries ? (map->mask + 1) * 2 : ENTRIES_MIN;
    map->old = map->entries;
    map->old_mask = map->mask;
    map->moved = 0;
    map->mask = entries - 1;
    map->entries = memory_acquire_table(table_bytes(map->mask));
}

void map_insert(struct map *map, void *value)
{
    DCHECK(map_find(map, map->key_of(value)) == NULL);
    if (!map->entries || (map->count + 1) * 4 > (map->mask + 1) * 3u) map_grow(map);
    map_put(map, hash_of(map->key_of(value)), value);
    map->count++;
    if (UNLIKELY(map->old)) map_move(map, MOVED_A_TIME);
}

void *map_remove(struct map *map, struct span key)
{
    uint64_t hash = hash_of(key);
    struct map_entry *old = UNLIKELY(map->old) ? entry_in(map, map->old, map->old_mask, key, hash) : NULL;
    struct map_entry *entry = entry_in(map, map->entries, map->mask, key, hash);
    if (!entry && !old) return NULL;
    void *removed = entry ? entry->value : old->value;
    map->count--;
    if (UNLIKELY(old)) old->value = gone;
    if (!entry) return removed;
    /* Close the gap: move back every follower that may stand here without jumping over its own place. */
    uint32_t gap = (uint32_t)(entry - map->entries);
    for (uint32_t at = (gap + 1) & map->mask; map->entries[at].value; at = (at + 1) & map->mask) {
        uint32_t home = (uint32_t)map->entries[at].hash & map->mask;
        if (((at - home) & map->mask) < ((at - gap) & map->mask)) continue;
        map->entries[gap] = map->entries[at];
        gap = at;
    }
    map->entries[gap].value = NULL;
    return removed;
}

void *map_next(const struct map *map, uint32_t *cursor)
{
    if (!map->entries) return NULL;
    while (*cursor <= map->mask) {
        void *value = map->entries[(*cursor)++].value;
        if (value) return value;
    }
    /* Then what has not been moved. */
    while (map->old && *cursor - map->mask - 1 <= map->old_mask) {
        uint32_t at = (*cursor)++ - map->mask - 1;
        void *value = map->old[at].value;
        if (at >= map->moved && value && value != gone) return value;
    }
    return NULL;
}

/* One table's values of the walk's bucket. None stands behind the first gap after its own place. From: what stands before has been moved. A table smaller
 * than the walk's (the old one, when the walk began while it was moved) has several of the walk's buckets in one place: only this one's are meant. */
static void visit_bucket(const struct map_entry *entries, uint32_t mask, uint32_t from, const struct map_walk *walk, void (*visit)(void *context, void *value), void *context)
{
    uint64_t step = (uint64_t)walk->mask + 1;
    for (uint64_t home = walk->bucket & mask; home <= mask; home += step)
        for (uint32_t at = (uint32_t)home; entries[at].value; at = (at + 1) & mask) {
            uint32_t hash = (uint32_t)entries[at].hash;
            bool meant = (hash & mask) == home && (hash & walk->mask) == walk->bucket;
            if (meant && at >= from && entries[at].value != gone) visit(context, entries[at].value);
        }
}

bool map_walk_next(const struct map *map, struct map_walk *walk, void (*visit)(void *context, void *value), void *context)
{
    if (!map->entries) return false;
    if (!walk->begun) *walk = (struct map_walk){.mask = map->mask, .begun = true};
    if (walk->bucket > walk->mask) return false;
    DCHECK(map->mask >= walk->mask);
    visit_bucket(map->entries, map->mask, 0, walk, visit, context);
    if (UNLIKELY(map->old)) visit_bucket(map->old, map->old_mask, map->moved, walk, visit, context);
    walk->bucket++;
    return true;
}
