#include "router/local_filter.h"

#include "base/check.h"
#include "base/memory.h"

/* From here on an array has a hash of places; below it a scan of the array (16 B a sink) is as fast. */
#define PLACES_SINKS_MIN 32
#define ARRAY_CAPACITY_MIN 4

struct array_head {
    struct sink_places *places; /* or NULL */
    uint64_t unused;            /* keeps sinks on 16 bytes */
};

static struct array_head *head_of(struct sink *sinks) { return (struct array_head *)sinks - 1; }
static uint64_t array_bytes(uint32_t capacity)
{
    return sizeof(struct array_head) + (uint64_t)capacity * sizeof(struct sink);
}
static uint64_t filter_bytes(const struct local_filter *filter)
{
    return sizeof *filter + filter->filter_bytes + filter->group_bytes;
}
static struct sink_places *places_of(const struct local_filter *filter)
{
    return filter->capacity > 1 ? head_of(filter->sinks)->places : NULL;
}

static void places_drop(struct sinks *table, struct local_filter *filter)
{
    struct sink_places *places = places_of(filter);
    if (places == NULL) return;
    table->bytes -= sink_places_bytes(places);
    sink_places_release(places);
    head_of(filter->sinks)->places = NULL;
}

static struct sinks_debt *debt_add(struct sinks *table, struct local_filter *filter)
{
    DCHECK(table->holds > 0);
    if (table->debts_count == table->debts_capacity) {
        table->debts_capacity = table->debts_capacity ? table->debts_capacity * 2 : 16;
        table->debts = memory_resize(table->debts, table->debts_capacity * sizeof *table->debts);
    }
    struct sinks_debt *debt = &table->debts[table->debts_count++];
    *debt = (struct sinks_debt){.filter = filter, .local_id = filter->local_id};
    return debt;
}

static void array_release(struct sinks *table, struct local_filter *filter, struct sink *sinks, uint32_t capacity)
{
    if (capacity <= 1) return; /* inside the filter */
    DCHECK(sinks != &filter->first);
    table->bytes -= array_bytes(capacity);
    memory_release(head_of(sinks));
}

/* Puts the sinks into an array of another size; the places, if any, are built anew by the caller. */
static void array_exchange(struct sinks *table, struct local_filter *filter, uint32_t capacity)
{
    struct sink *old = filter->sinks;
    uint32_t old_capacity = filter->capacity;
    places_drop(table, filter);
    if (capacity == 1) {
        filter->sinks = &filter->first;
    } else {
        struct array_head *head = memory_acquire(array_bytes(capacity));
        *head = (struct array_head){0};
        filter->sinks = (struct sink *)(head + 1);
        table->bytes += array_bytes(capacity);
    }
    filter->capacity = capacity;
    if (filter->count) memcpy(filter->sinks, old, filter->count * sizeof *old);
    if (table->holds == 0) {
        array_release(table, filter, old, old_capacity);
        return;
    }
    struct sinks_debt *debt = debt_add(table, filter);
    debt->stale_sinks = old;
    debt->stale_count = filter->count;
    filter->moved = true;
    if (old_capacity > 1) table->bytes -= array_bytes(old_capacity);
}

static void places_build(struct sinks *table, struct local_filter *filter)
{
    if (filter->capacity <= PLACES_SINKS_MIN) return;
    struct sink_places *places = sink_places_create(filter->sinks, filter->count, filter->capacity);
    head_of(filter->sinks)->places = places;
    table->bytes += sink_places_bytes(places);
}

struct local_filter *local_filter_create(struct sinks *table, struct span filter, struct span group)
{
    struct local_filter *created = pool_acquire_zeroed(&table->pool, sizeof *created + filter.bytes + group.bytes);
    created->filter_bytes = (uint16_t)filter.bytes;
    created->group_bytes = (uint16_t)group.bytes;
    if (filter.bytes) memcpy(created->text, filter.data, filter.bytes);
    if (group.bytes) memcpy(created->text + filter.bytes, group.data, group.bytes);
    created->sinks = &created->first;
    created->capacity = 1;
    table->bytes += filter_bytes(created);
    return created;
}

void local_filter_release(struct sinks *table, struct local_filter *filter)
{
    table->bytes -= filter_bytes(filter);
    places_drop(table, filter);
    if (table->holds > 0) { /* its array is found through it */
        if (filter->capacity > 1) table->bytes -= array_bytes(filter->capacity);
        debt_add(table, filter)->release_filter = true;
        return;
    }
    array_release(table, filter, filter->sinks, filter->capacity);
    pool_release(&table->pool, filter, filter_bytes(filter));
}

uint32_t local_filter_find(const struct local_filter *filter, const void *who)
{
    const struct sink_places *places = places_of(filter);
    if (places != NULL) return sink_places_find(places, filter->sinks, who);
    for (uint32_t i = 0; i < filter->count; i++)
        if (filter->sinks[i].who == who) return i;
    return SINK_PLACE_NONE;
}

void local_filter_append(struct sinks *table, struct local_filter *filter, const struct sink *sink)
{
    if (filter->count == filter->capacity) {
        array_exchange(table, filter, filter->capacity == 1 ? ARRAY_CAPACITY_MIN : filter->capacity * 2);
        places_build(table, filter);
    }
    filter->sinks[filter->count++] = *sink;
    struct sink_places *places = places_of(filter);
    if (places != NULL) sink_places_add(places, filter->sinks, filter->count - 1);
}

/* A hole in the array and in those that walks may still be in: places are the same in all of them. */
static void hole_make(struct sinks *table, struct local_filter *filter, uint32_t index)
{
    filter->sinks[index].who = NULL;
    if (filter->holes++ == 0) debt_add(table, filter);
    if (!filter->moved) return;
    for (uint32_t i = 0; i < table->debts_count; i++) {
        struct sinks_debt *debt = &table->debts[i];
        if (debt->filter == filter && index < debt->stale_count) debt->stale_sinks[index].who = NULL;
    }
}

static void shrink(struct sinks *table, struct local_filter *filter)
{
    if (filter->capacity == 1 || filter->count > filter->capacity / 4) return;
    uint32_t capacity = filter->capacity / 2;
    while (capacity > ARRAY_CAPACITY_MIN && filter->count <= capacity / 4)
        capacity /= 2;
    if (filter->count <= 1) capacity = 1;
    if (capacity == filter->capacity || (capacity < ARRAY_CAPACITY_MIN && capacity > 1)) return;
    array_exchange(table, filter, capacity);
    places_build(table, filter);
}

void local_filter_take(struct sinks *table, struct local_filter *filter, uint32_t index)
{
    struct sink_places *places = places_of(filter);
    DCHECK(index < filter->count && filter->sinks[index].who != NULL);
    if (places != NULL) sink_places_remove(places, filter->sinks, index);
    if (table->holds > 0) {
        hole_make(table, filter, index);
        return;
    }
    uint32_t last = filter->count - 1;
    if (index != last) {
        if (places != NULL) sink_places_remove(places, filter->sinks, last);
        filter->sinks[index] = filter->sinks[last];
        if (places != NULL) sink_places_add(places, filter->sinks, index);
    }
    filter->count--;
    shrink(table, filter);
}

static void close_up(struct sinks *table, struct local_filter *filter)
{
    uint32_t kept = 0;
    places_drop(table, filter);
    for (uint32_t i = 0; i < filter->count; i++)
        if (filter->sinks[i].who != NULL) filter->sinks[kept++] = filter->sinks[i];
    DCHECK(kept == filter->count - filter->holes && kept > 0);
    filter->count = kept;
    filter->holes = 0;
    shrink(table, filter);
    if (places_of(filter) == NULL) places_build(table, filter);
}

void local_filter_pay_debts(struct sinks *table)
{
    DCHECK(table->holds == 0);
    for (uint32_t i = 0; i < table->debts_count; i++) {
        struct sinks_debt *debt = &table->debts[i];
        if (debt->stale_sinks != NULL) {
            debt->filter->moved = false; /* a filter's own release comes after this debt */
            if (debt->stale_sinks != &debt->filter->first) memory_release(head_of(debt->stale_sinks));
        } else if (debt->release_filter) {
            if (debt->filter->capacity > 1) memory_release(head_of(debt->filter->sinks));
            pool_release(&table->pool, debt->filter, filter_bytes(debt->filter));
        } else if (sinks_get(table, debt->local_id).sinks != NULL) {
            close_up(table, debt->filter);
        }
    }
    table->debts_count = 0;
}
