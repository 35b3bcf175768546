#include "router/sinks.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include "router/local_filter.h"

#define SLOT_MASK SINKS_FILTERS_MAX
#define SLOT_NONE UINT32_MAX

static uint32_t id_slot(uint32_t local_id) { return local_id & SLOT_MASK; }
static bool slot_is_free(uintptr_t slot) { return (slot & 1) != 0; }

struct sinks *sinks_create(uint64_t hash_seed, uint32_t hash_bits)
{
    struct sinks *table = memory_acquire_zeroed(sizeof *table);
    table->hash_seed = hash_seed;
    table->hash_mask = hash_bits ? (uint32_t)((1ull << hash_bits) - 1) : UINT32_MAX;
    table->free_first = table->free_last = SLOT_NONE;
    return table;
}

void sinks_destroy(struct sinks *table)
{
    if (table == NULL) return;
    CHECK(table->holds == 0);
    for (uint32_t i = 0; i < table->slots_count; i++)
        if (!slot_is_free(table->slots[i])) local_filter_release(table, (struct local_filter *)table->slots[i]);
    memory_release(table->slots);
    memory_release(table->generations);
    memory_release(table->buckets);
    memory_release(table->debts);
    pool_free(&table->pool);
    memory_release(table);
}

/* Slots. ------------------------------------------------------------------------------------------------------------ */

static struct local_filter *filter_at(const struct sinks *table, uint32_t local_id)
{
    uint32_t slot = id_slot(local_id);
    if (UNLIKELY(slot >= table->slots_count) || UNLIKELY(slot_is_free(table->slots[slot]))) return NULL;
    struct local_filter *filter = (struct local_filter *)table->slots[slot];
    return LIKELY(filter->local_id == local_id) ? filter : NULL;
}

/* Slots rest in a queue, so that a generation comes round as late as possible. */
static uint32_t slot_acquire(struct sinks *table)
{
    if (table->free_count > SINKS_SLOTS_RESTING ||
        (table->free_count > 0 && table->slots_count == SINKS_FILTERS_MAX)) {
        uint32_t slot = table->free_first;
        uint32_t next = (uint32_t)(table->slots[slot] >> 1);
        table->free_first = --table->free_count ? next : SLOT_NONE;
        return slot;
    }
    if (table->slots_count == SINKS_FILTERS_MAX) return SLOT_NONE;
    if (table->slots_count == table->slots_capacity) {
        table->slots_capacity = table->slots_capacity ? table->slots_capacity + table->slots_capacity / 2 : 64;
        table->slots = memory_resize(table->slots, table->slots_capacity * sizeof *table->slots);
        table->generations = memory_resize(table->generations, table->slots_capacity);
    }
    table->generations[table->slots_count] = 0;
    return table->slots_count++;
}

static uint32_t slot_next_id(struct sinks *table, uint32_t slot)
{
    uint8_t generation = ++table->generations[slot];
    if (generation == 0) generation = table->generations[slot] = 1; /* so that no id is SINKS_ID_NONE */
    return (uint32_t)generation << SINKS_SLOT_BITS | slot;
}

static void slot_release(struct sinks *table, uint32_t slot)
{
    table->slots[slot] = 1;
    if (table->free_count++ == 0)
        table->free_first = slot;
    else
        table->slots[table->free_last] = (uintptr_t)slot << 1 | 1;
    table->free_last = slot;
}

/* Texts. ------------------------------------------------------------------------------------------------------------ */

static uint32_t hash_of(const struct sinks *table, struct span filter, struct span group)
{
    uint64_t hash = hash_span_seeded(filter, table->hash_seed);
    if (group.bytes) hash = hash_span_seeded(group, hash);
    return (uint32_t)hash & table->hash_mask;
}

static struct span text_filter(const struct local_filter *filter) { return span_of(filter->text, filter->filter_bytes); }
static struct span text_group(const struct local_filter *filter)
{
    return span_of(filter->text + filter->filter_bytes, filter->group_bytes);
}

static struct local_filter *bucket_filter(const struct sinks *table, uint32_t bucket)
{
    return (struct local_filter *)table->slots[table->buckets[bucket] - 1];
}

/* The filter's bucket, or the empty one where it belongs. */
static uint32_t bucket_find(const struct sinks *table, struct span filter, struct span group, uint32_t hash)
{
    uint32_t mask = table->buckets_count - 1, bucket = hash & mask;
    for (; table->buckets[bucket] != 0; bucket = (bucket + 1) & mask) {
        const struct local_filter *there = bucket_filter(table, bucket);
        if (there->hash == hash && span_equal(text_filter(there), filter) && span_equal(text_group(there), group)) break;
    }
    return bucket;
}

static void buckets_resize(struct sinks *table, uint32_t buckets_count)
{
    memory_release(table->buckets);
    table->buckets = memory_acquire_zeroed(buckets_count * sizeof *table->buckets);
    table->buckets_count = buckets_count;
    for (uint32_t slot = 0; slot < table->slots_count; slot++) {
        if (slot_is_free(table->slots[slot])) continue;
        uint32_t bucket = ((struct local_filter *)table->slots[slot])->hash & (buckets_count - 1);
        while (table->buckets[bucket] != 0)
            bucket = (bucket + 1) & (buckets_count - 1);
        table->buckets[bucket] = slot + 1;
    }
}

static void bucket_remove(struct sinks *table, uint32_t hole)
{
    uint32_t mask = table->buckets_count - 1;
    for (uint32_t next = (hole + 1) & mask; table->buckets[next] != 0; next = (next + 1) & mask) {
        uint32_t wanted = bucket_filter(table, next)->hash & mask;
        if (((next - wanted) & mask) < ((next - hole) & mask)) continue;
        table->buckets[hole] = table->buckets[next];
        hole = next;
    }
    table->buckets[hole] = 0;
}

static struct local_filter *filter_find(const struct sinks *table, struct span filter, struct span group)
{
    if (table->buckets_count == 0) return NULL;
    uint32_t bucket = bucket_find(table, filter, group, hash_of(table, filter, group));
    return table->buckets[bucket] ? bucket_filter(table, bucket) : NULL;
}

static struct local_filter *filter_create(struct sinks *table, struct span filter, struct span group)
{
    uint32_t slot = slot_acquire(table);
    if (slot == SLOT_NONE) return NULL;
    struct local_filter *created = local_filter_create(table, filter, group);
    created->hash = hash_of(table, filter, group);
    created->local_id = slot_next_id(table, slot);
    table->slots[slot] = 1; /* not yet a filter: buckets_resize() must not see it */
    if ((uint64_t)(table->filters_count + 1) * 4 > (uint64_t)table->buckets_count * 3)
        buckets_resize(table, table->buckets_count ? table->buckets_count * 2 : 64);
    table->buckets[bucket_find(table, filter, group, created->hash)] = slot + 1;
    table->slots[slot] = (uintptr_t)created;
    table->filters_count++;
    return created;
}

static void filter_remove(struct sinks *table, struct local_filter *filter)
{
    uint32_t slot = id_slot(filter->local_id);
    bucket_remove(table, bucket_find(table, text_filter(filter), text_group(filter), filter->hash));
    slot_release(table, slot);
    local_filter_release(table, filter);
    table->filters_count--;
    if (table->filters_count > 0) return;
    memory_release(table->buckets);
    table->buckets = NULL;
    table->buckets_count = 0;
}

/* Sinks. ------------------------------------------------------------------------------------------------------------ */

struct sinks_added sinks_add(struct sinks *table, struct span filter, struct span group, const struct sink *sink)
{
    struct sinks_added added = {0};
    CHECK(sink->who != NULL);
    CHECK(filter.bytes <= MQTT_STRING_BYTES_MAX && group.bytes <= MQTT_STRING_BYTES_MAX);
    struct local_filter *found = filter_find(table, filter, group);
    if (found == NULL) {
        found = filter_create(table, filter, group);
        if (found == NULL) return added;
        added.first = true;
    }
    uint32_t place = added.first ? SINK_PLACE_NONE : local_filter_find(found, sink->who);
    if (place != SINK_PLACE_NONE) {
        added.replaced = true;
        added.previous = found->sinks[place];
        found->sinks[place] = *sink;
    } else {
        local_filter_append(table, found, sink);
        table->sinks_count++;
    }
    added.local_id = found->local_id;
    added.count = found->count - found->holes;
    return added;
}

struct sinks_removed sinks_remove(struct sinks *table, struct span filter, struct span group, const void *who)
{
    struct sinks_removed removed = {0};
    struct local_filter *found = filter_find(table, filter, group);
    uint32_t place = found ? local_filter_find(found, who) : SINK_PLACE_NONE;
    if (place == SINK_PLACE_NONE || who == NULL) return removed;

    removed.found = true;
    removed.sink = found->sinks[place];
    removed.local_id = found->local_id;
    local_filter_take(table, found, place);
    table->sinks_count--;
    removed.count = found->count - found->holes;
    removed.last = removed.count == 0;
    if (removed.last) filter_remove(table, found);
    return removed;
}

struct sinks_view sinks_get(const struct sinks *table, uint32_t local_id)
{
    const struct local_filter *filter = filter_at(table, local_id);
    if (UNLIKELY(filter == NULL)) return (struct sinks_view){0};
    return (struct sinks_view){filter->sinks, filter->count};
}

void sinks_hold(struct sinks *table) { table->holds++; }

void sinks_drop(struct sinks *table)
{
    DCHECK(table->holds > 0);
    if (--table->holds == 0 && table->debts_count > 0) local_filter_pay_debts(table);
}

uint32_t sinks_find(const struct sinks *table, struct span filter, struct span group)
{
    const struct local_filter *found = filter_find(table, filter, group);
    return found ? found->local_id : SINKS_ID_NONE;
}

const struct sink *sinks_find_sink(const struct sinks *table, uint32_t local_id, const void *who)
{
    const struct local_filter *filter = filter_at(table, local_id);
    uint32_t place = filter && who ? local_filter_find(filter, who) : SINK_PLACE_NONE;
    return place == SINK_PLACE_NONE ? NULL : &filter->sinks[place];
}

bool sinks_text(const struct sinks *table, uint32_t local_id, struct span *ret_filter, struct span *ret_group)
{
    const struct local_filter *filter = filter_at(table, local_id);
    if (filter == NULL) return false;
    *ret_filter = text_filter(filter);
    *ret_group = text_group(filter);
    return true;
}

uint32_t sinks_next(const struct sinks *table, uint32_t local_id)
{
    uint32_t slot = local_id == SINKS_ID_NONE ? 0 : id_slot(local_id) + 1;
    while (slot < table->slots_count && slot_is_free(table->slots[slot]))
        slot++;
    return slot < table->slots_count ? ((struct local_filter *)table->slots[slot])->local_id : SINKS_ID_NONE;
}

struct sinks_stats sinks_stats(const struct sinks *table)
{
    uint64_t tables = table->slots_capacity * (sizeof *table->slots + 1ull) + table->buckets_count * 4ull;
    return (struct sinks_stats){.filters = table->filters_count, .sinks = table->sinks_count, .bytes = table->bytes + tables};
}
