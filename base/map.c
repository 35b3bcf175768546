#include "base/map.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#define ENTRIES_MIN 16

void map_init(struct map *map, struct span (*key_of)(const void *value)) { *map = (struct map){.key_of = key_of}; }

void map_free(struct map *map)
{
    memory_release(map->entries);
    map_init(map, map->key_of);
}

static struct map_entry *map_entry_of(const struct map *map, struct span key, uint64_t hash)
{
    if (!map->entries) return NULL;
    for (uint32_t at = (uint32_t)hash & map->mask;; at = (at + 1) & map->mask) {
        struct map_entry *entry = &map->entries[at];
        if (!entry->value) return NULL;
        if (entry->hash == hash && span_equal(map->key_of(entry->value), key)) return entry;
    }
}

void *map_find(const struct map *map, struct span key)
{
    struct map_entry *entry = map_entry_of(map, key, hash_span(key));
    return entry ? entry->value : NULL;
}

static void map_put(struct map *map, uint64_t hash, void *value)
{
    uint32_t at = (uint32_t)hash & map->mask;
    while (map->entries[at].value)
        at = (at + 1) & map->mask;
    map->entries[at] = (struct map_entry){hash, value};
}

static void map_grow(struct map *map)
{
    struct map_entry *old = map->entries;
    uint32_t old_entries = old ? map->mask + 1 : 0;
    uint32_t entries = old_entries ? old_entries * 2 : ENTRIES_MIN;
    map->entries = memory_acquire_zeroed(entries * sizeof *map->entries);
    map->mask = entries - 1;
    for (uint32_t i = 0; i < old_entries; i++)
        if (old[i].value) map_put(map, old[i].hash, old[i].value);
    memory_release(old);
}

void map_insert(struct map *map, void *value)
{
    DCHECK(map_find(map, map->key_of(value)) == NULL);
    if (!map->entries || (map->count + 1) * 4 > (map->mask + 1) * 3u) map_grow(map);
    map_put(map, hash_span(map->key_of(value)), value);
    map->count++;
}

void *map_remove(struct map *map, struct span key)
{
    struct map_entry *entry = map_entry_of(map, key, hash_span(key));
    if (!entry) return NULL;
    void *removed = entry->value;
    map->count--;
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
    return NULL;
}

/* Those whose own place is `home`: none of them stands behind the first gap. */
static void visit_home(const struct map *map, uint32_t home, void (*visit)(void *context, void *value), void *context)
{
    for (uint32_t at = home; map->entries[at].value; at = (at + 1) & map->mask)
        if (((uint32_t)map->entries[at].hash & map->mask) == home) visit(context, map->entries[at].value);
}

bool map_walk_next(const struct map *map, struct map_walk *walk, void (*visit)(void *context, void *value), void *context)
{
    if (!map->entries) return false;
    if (!walk->begun) *walk = (struct map_walk){.mask = map->mask, .begun = true};
    if (walk->bucket > walk->mask) return false;
    DCHECK(map->mask >= walk->mask);
    uint64_t step = (uint64_t)walk->mask + 1;
    for (uint64_t home = walk->bucket; home <= map->mask; home += step)
        visit_home(map, (uint32_t)home, visit, context);
    walk->bucket++;
    return true;
}
