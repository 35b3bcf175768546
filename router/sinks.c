#include "router/sinks.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/huge.h"
#include "base/limits.h"
#include "base/memory.h"
#include "router/local_filter.h"

#define SLOT_NONE             UINT32_MAX
#define SLOT_GENERATION_SHIFT 48
#define SLOT_VALUE_MASK       ((1ull << SLOT_GENERATION_SHIFT) - 1)
#define SLOTS_MIN             512 /* a page */
#define SLOTS_HUGE            (HUGE_BYTES / sizeof(uint64_t))
#define BUCKETS_MIN           16
#define BUCKET_SLOT_MASK      SINKS_FILTERS_MAX
#define BUCKET_TAG_SHIFT      SINKS_SLOT_BITS
_Static_assert(sizeof(uintptr_t) == 8, "a slot holds an address of 48 bits and a generation");

struct sinks *sinks_create(uint64_t hash_seed, uint32_t hash_bits)
{
    struct sinks *table = memory_acquire_zeroed(sizeof *table);
    table->hash_seed = hash_seed;
    table->hash_mask = hash_bits ? (uint32_t)((1ull << hash_bits) - 1) : UINT32_MAX;
    table->free_first = table->free_last = SLOT_NONE;
    return table;
}

/* Slots. ------------------------------------------------------------------------------------------------------------ */

static uint32_t id_slot(uint32_t local_id) { return local_id & SINKS_FILTERS_MAX; }
static uint32_t id_of(uint32_t slot, uint8_t generation) { return (uint32_t)generation << SINKS_SLOT_BITS | slot; }

static bool slot_is_free(uint64_t slot) { return (slot & 1) != 0; }
static uint8_t slot_generation(uint64_t slot) { return (uint8_t)(slot >> SLOT_GENERATION_SHIFT); }
static struct local_filter *slot_filter(uint64_t slot) { return (struct local_filter *)(uintptr_t)(slot & SLOT_VALUE_MASK); }
static uint64_t slot_of(uint64_t value, uint8_t generation) { return value | (uint64_t)generation << SLOT_GENERATION_SHIFT; }

static struct local_filter *filter_at(const struct sinks *table, uint32_t local_id)
{
    uint32_t i = id_slot(local_id);
    if (UNLIKELY(i >= table->slots_count)) return NULL;
    uint64_t slot = table->slots[i];
    if (UNLIKELY(slot_is_free(slot)) || UNLIKELY(slot_generation(slot) != local_id >> SINKS_SLOT_BITS)) return NULL;
    return slot_filter(slot);
}

/* The pages move, what is in them is not copied, and those not yet used cost nothing. */
static void slots_grow(struct sinks *table)
{
    size_t old_bytes = table->slots_capacity * sizeof *table->slots;
    table->slots_capacity = table->slots_capacity ? table->slots_capacity * 2 : SLOTS_MIN;
    table->slots = memory_resize_pages(table->slots, old_bytes, table->slots_capacity * sizeof *table->slots);
}

/* Slots rest in a queue, so that a generation comes round as late as possible. */
static uint32_t slot_acquire(struct sinks *table)
{
    if (table->free_count > SINKS_SLOTS_RESTING ||
        (table->free_count > 0 && table->slots_count == SINKS_FILTERS_MAX)) {
        uint32_t slot = table->free_first;
        uint32_t next = (uint32_t)((table->slots[slot] & SLOT_VALUE_MASK) >> 1);
        table->free_first = --table->free_count ? next : SLOT_NONE;
        return slot;
    }
    if (table->slots_count == SINKS_FILTERS_MAX) return SLOT_NONE;
    if (table->slots_count == table->slots_capacity) slots_grow(table);
    table->slots[table->slots_count] = 1;
    if (UNLIKELY(table->slots_count % SLOTS_HUGE == SLOTS_HUGE - 1)) huge_soon(table->slots, (table->slots_count + 1) * sizeof *table->slots);
    return table->slots_count++;
}

/* Returns the filter's id. */
static uint32_t slot_fill(struct sinks *table, uint32_t slot, const struct local_filter *filter)
{
    uint8_t generation = (uint8_t)(slot_generation(table->slots[slot]) + 1);
    if (generation == 0) generation = 1; /* so that no id is SINKS_ID_NONE */
    DCHECK(((uintptr_t)filter & ~SLOT_VALUE_MASK) == 0);
    table->slots[slot] = slot_of((uintptr_t)filter, generation);
    return id_of(slot, generation);
}

static void slot_release(struct sinks *table, uint32_t slot)
{
    table->slots[slot] = slot_of(1, slot_generation(table->slots[slot]));
    if (table->free_count++ == 0)
        table->free_first = slot;
    else
        table->slots[table->free_last] = slot_of((uint64_t)slot << 1 | 1, slot_generation(table->slots[table->free_last]));
    table->free_last = slot;
}

static void old_release(struct sinks *table)
{
    memory_release_table(table->old, table->old_count * sizeof *table->old);
    table->old = NULL;
    table->old_count = table->moved = 0;
}

static void all_buckets_release(struct sinks *table)
{
    memory_release_table(table->buckets, table->buckets_count * sizeof *table->buckets);
    table->buckets = NULL;
    table->buckets_count = 0;
    old_release(table);
}

void sinks_destroy(struct sinks *table)
{
    if (table == NULL) return;
    CHECK(table->holds == 0);
    for (uint32_t i = 0; i < table->slots_count; i++)
        if (!slot_is_free(table->slots[i])) local_filter_release(table, slot_filter(table->slots[i]));
    memory_release_pages(table->slots, table->slots_capacity * sizeof *table->slots);
    all_buckets_release(table);
    memory_release(table->debts);
    pool_free(&table->pool);
    memory_release(table);
}

/* Texts. ------------------------------------------------------------------------------------------------------------ */

/* The high bits are a filter's home among the buckets, the low eight its tag. Neither is kept: where a bucket has to move, its filter's text
 * is hashed again. */
static uint32_t hash_of(const struct sinks *table, struct span filter, struct span group)
{
    uint64_t hash = hash_span_seeded(filter, table->hash_seed);
    if (group.bytes) hash = hash_span_seeded(group, hash);
    return (uint32_t)hash & table->hash_mask;
}

static uint32_t home_of(uint32_t hash, uint32_t buckets_count) { return (uint32_t)((uint64_t)hash * buckets_count >> 32); }
static uint32_t bucket_after(const struct sinks *table, uint32_t bucket) { return bucket + 1 == table->buckets_count ? 0 : bucket + 1; }
static uint32_t bucket_of(uint32_t slot, uint32_t hash) { return hash << BUCKET_TAG_SHIFT | (slot + 1); }
static uint32_t bucket_slot(uint32_t bucket) { return (bucket & BUCKET_SLOT_MASK) - 1; }
static struct local_filter *bucket_filter(const struct sinks *table, uint32_t bucket)
{
    return slot_filter(table->slots[bucket_slot(table->buckets[bucket])]);
}

static uint32_t filter_hash(const struct sinks *table, const struct local_filter *filter)
{
    return hash_of(table, local_filter_text(filter), local_filter_group(filter));
}

/* The filter's bucket, or the empty one where it belongs. */
static uint32_t bucket_find(const struct sinks *table, struct span filter, struct span group, uint32_t hash)
{
    uint32_t bucket = home_of(hash, table->buckets_count), tag = hash << BUCKET_TAG_SHIFT;
    for (; table->buckets[bucket] != 0; bucket = bucket_after(table, bucket)) {
        if ((table->buckets[bucket] & ~BUCKET_SLOT_MASK) != tag) continue;
        const struct local_filter *there = bucket_filter(table, bucket);
        if (span_equal(local_filter_text(there), filter) && span_equal(local_filter_group(there), group)) break;
    }
    return bucket;
}

static void bucket_put(struct sinks *table, uint32_t slot, uint32_t hash)
{
    uint32_t bucket = home_of(hash, table->buckets_count);
    while (table->buckets[bucket] != 0)
        bucket = bucket_after(table, bucket);
    table->buckets[bucket] = bucket_of(slot, hash);
}

/* A bucket of the old table whose filter has gone: no slot, but not empty, so that probes go on. */
#define BUCKET_GONE (1u << BUCKET_TAG_SHIFT)
static bool bucket_lives(uint32_t bucket) { return (bucket & BUCKET_SLOT_MASK) != 0; }

/* Through long before the next growth, which comes after two fifths as many new filters as there were buckets. */
#define MOVED_A_TIME 16

static void buckets_move(struct sinks *table, uint32_t count)
{
    enum { AHEAD = 8 };
    for (; count && table->moved < table->old_count; count--, table->moved++) {
        uint32_t ahead = table->moved + AHEAD < table->old_count ? table->old[table->moved + AHEAD] : 0, bucket = table->old[table->moved];
        if (bucket_lives(ahead)) __builtin_prefetch(slot_filter(table->slots[bucket_slot(ahead)]));
        if (bucket_lives(bucket)) bucket_put(table, bucket_slot(bucket), filter_hash(table, slot_filter(table->slots[bucket_slot(bucket)])));
    }
    if (table->moved == table->old_count) old_release(table);
}

/* Four fifths are filled at most, so that every probe ends, and half at least but in a small table. A few buckets are moved with every new
 * filter: nobody waits for all of them. */
static void buckets_grow(struct sinks *table)
{
    if (UNLIKELY(table->old)) buckets_move(table, MOVED_A_TIME);
    if ((table->filters_count + 1ull) * 5 <= table->buckets_count * 4ull) return;
    if (table->old) buckets_move(table, UINT32_MAX);
    table->old = table->buckets;
    table->old_count = table->buckets_count;
    table->buckets_count = table->old_count < BUCKETS_MIN ? BUCKETS_MIN : table->old_count + table->old_count / 2;
    table->buckets = memory_acquire_table(table->buckets_count * sizeof *table->buckets);
}

/* Where the old table has it; old_count: nowhere. It may be in the new one, too. */
static uint32_t old_find(const struct sinks *table, struct span filter, struct span group, uint32_t hash)
{
    uint32_t bucket = home_of(hash, table->old_count), tag = hash << BUCKET_TAG_SHIFT;
    for (; table->old[bucket] != 0; bucket = bucket + 1 == table->old_count ? 0 : bucket + 1) {
        if ((table->old[bucket] & ~BUCKET_SLOT_MASK) != tag || !bucket_lives(table->old[bucket])) continue;
        const struct local_filter *there = slot_filter(table->slots[bucket_slot(table->old[bucket])]);
        if (span_equal(local_filter_text(there), filter) && span_equal(local_filter_group(there), group)) return bucket;
    }
    return table->old_count;
}

static void bucket_remove(struct sinks *table, uint32_t hole)
{
    uint32_t count = table->buckets_count;
    for (uint32_t next = bucket_after(table, hole); table->buckets[next] != 0; next = bucket_after(table, next)) {
        uint32_t home = home_of(filter_hash(table, bucket_filter(table, next)), count);
        uint32_t from_home = next >= home ? next - home : next + count - home, from_hole = next >= hole ? next - hole : next + count - hole;
        if (from_home < from_hole) continue;
        table->buckets[hole] = table->buckets[next];
        hole = next;
    }
    table->buckets[hole] = 0;
}

/* SLOT_NONE: no such filter. */
static uint32_t slot_find(const struct sinks *table, struct span filter, struct span group, uint32_t hash)
{
    if (table->buckets_count == 0) return SLOT_NONE;
    uint32_t bucket = table->buckets[bucket_find(table, filter, group, hash)];
    if (bucket) return bucket_slot(bucket);
    if (LIKELY(!table->old)) return SLOT_NONE;
    uint32_t old = old_find(table, filter, group, hash);
    return old < table->old_count ? bucket_slot(table->old[old]) : SLOT_NONE;
}

static uint32_t filter_create(struct sinks *table, struct span filter, struct span group, uint32_t hash)
{
    buckets_grow(table); /* before the slot: a filter without its text in place must not be seen */
    uint32_t slot = slot_acquire(table);
    if (slot == SLOT_NONE) return SLOT_NONE;
    slot_fill(table, slot, local_filter_create(table, filter, group));
    bucket_put(table, slot, hash);
    table->filters_count++;
    return slot;
}

static void filter_remove(struct sinks *table, uint32_t slot)
{
    struct local_filter *filter = slot_filter(table->slots[slot]);
    struct span text = local_filter_text(filter), group = local_filter_group(filter);
    uint32_t hash = hash_of(table, text, group), bucket = bucket_find(table, text, group, hash);
    if (UNLIKELY(table->old)) {
        uint32_t old = old_find(table, text, group, hash);
        if (old < table->old_count) table->old[old] = BUCKET_GONE;
    }
    if (LIKELY(table->buckets[bucket])) bucket_remove(table, bucket);
    slot_release(table, slot);
    local_filter_release(table, filter);
    table->filters_count--;
    if (table->filters_count == 0) all_buckets_release(table);
}

/* Sinks. ------------------------------------------------------------------------------------------------------------ */

struct sinks_added sinks_add(struct sinks *table, struct span filter, struct span group, const struct sink *sink)
{
    struct sinks_added added = {0};
    CHECK(sink->who != NULL);
    CHECK(filter.bytes <= MQTT_STRING_BYTES_MAX && group.bytes <= MQTT_STRING_BYTES_MAX);
    uint32_t hash = hash_of(table, filter, group), slot = slot_find(table, filter, group, hash);
    if (slot == SLOT_NONE) {
        slot = filter_create(table, filter, group, hash);
        if (slot == SLOT_NONE) return added;
        added.first = true;
    }
    struct local_filter *found = slot_filter(table->slots[slot]);
    uint8_t generation = slot_generation(table->slots[slot]);
    uint32_t place = added.first ? SINK_PLACE_NONE : local_filter_find(found, sink->who);
    if (place != SINK_PLACE_NONE) {
        added.replaced = true;
        added.previous = *local_filter_sink(found, place);
        *local_filter_sink(found, place) = *sink;
    } else {
        found = local_filter_append(table, found, sink);
        table->slots[slot] = slot_of((uintptr_t)found, generation);
        table->sinks_count++;
    }
    added.local_id = id_of(slot, generation);
    added.count = local_filter_count(found);
    return added;
}

struct sinks_removed sinks_remove(struct sinks *table, struct span filter, struct span group, const void *who)
{
    struct sinks_removed removed = {0};
    uint32_t slot = slot_find(table, filter, group, hash_of(table, filter, group));
    if (slot == SLOT_NONE || who == NULL) return removed;
    struct local_filter *found = slot_filter(table->slots[slot]);
    uint32_t place = local_filter_find(found, who);
    if (place == SINK_PLACE_NONE) return removed;

    removed.found = true;
    removed.sink = *local_filter_sink(found, place);
    removed.local_id = id_of(slot, slot_generation(table->slots[slot]));
    local_filter_take(table, found, removed.local_id, place);
    table->sinks_count--;
    removed.count = local_filter_count(found);
    removed.last = removed.count == 0;
    if (removed.last) filter_remove(table, slot);
    return removed;
}

void sinks_expect(const struct sinks *table, uint32_t local_id)
{
    uint32_t i = id_slot(local_id);
    if (i < table->slots_count) __builtin_prefetch(&table->slots[i]);
}

void sinks_expect_more(const struct sinks *table, uint32_t local_id)
{
    uint32_t i = id_slot(local_id);
    if (i < table->slots_count) __builtin_prefetch(slot_filter(table->slots[i])); /* a free one names nothing that could be fetched: no harm */
}

struct sinks_view sinks_get(const struct sinks *table, uint32_t local_id)
{
    const struct local_filter *filter = filter_at(table, local_id);
    if (UNLIKELY(filter == NULL)) return (struct sinks_view){0};
    return local_filter_view(filter);
}

void sinks_hold(struct sinks *table) { table->holds++; }

void sinks_drop(struct sinks *table)
{
    DCHECK(table->holds > 0);
    if (--table->holds == 0 && table->debts_count > 0) local_filter_pay_debts(table);
}

uint32_t sinks_find(const struct sinks *table, struct span filter, struct span group)
{
    uint32_t slot = slot_find(table, filter, group, hash_of(table, filter, group));
    return slot == SLOT_NONE ? SINKS_ID_NONE : id_of(slot, slot_generation(table->slots[slot]));
}

const struct sink *sinks_find_sink(const struct sinks *table, uint32_t local_id, const void *who)
{
    struct local_filter *filter = filter_at(table, local_id);
    uint32_t place = filter && who ? local_filter_find(filter, who) : SINK_PLACE_NONE;
    return place == SINK_PLACE_NONE ? NULL : local_filter_sink(filter, place);
}

bool sinks_text(const struct sinks *table, uint32_t local_id, struct span *ret_filter, struct span *ret_group)
{
    const struct local_filter *filter = filter_at(table, local_id);
    if (filter == NULL) return false;
    *ret_filter = local_filter_text(filter);
    *ret_group = local_filter_group(filter);
    return true;
}

uint32_t sinks_next(const struct sinks *table, uint32_t local_id)
{
    uint32_t slot = local_id == SINKS_ID_NONE ? 0 : id_slot(local_id) + 1;
    while (slot < table->slots_count && slot_is_free(table->slots[slot]))
        slot++;
    return slot < table->slots_count ? id_of(slot, slot_generation(table->slots[slot])) : SINKS_ID_NONE;
}

uint32_t sinks_filters(const struct sinks *table) { return table->filters_count; }

struct sinks_stats sinks_stats(const struct sinks *table)
{
    uint64_t tables = table->slots_capacity * sizeof *table->slots + (table->buckets_count + (uint64_t)table->old_count) * sizeof *table->buckets;
    return (struct sinks_stats){.filters = table->filters_count, .sinks = table->sinks_count, .bytes = table->bytes + tables};
}
