#include "router/local_filter.h"

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

/* From here on an array has a hash of places; below it a scan of the array (16 B a sink) is as fast. */
#define PLACES_SINKS_MIN 32
#define ARRAY_CAPACITY_MIN 4

static uint64_t array_bytes(uint32_t capacity) { return sizeof(struct sink_array) + (uint64_t)capacity * sizeof(struct sink); }
static uint64_t block_bytes(struct span filter, struct span group)
{
    return offsetof(struct local_filter, text) + filter.bytes + (group.bytes ? sizeof(uint16_t) + group.bytes : 0);
}
static uint64_t filter_bytes(const struct local_filter *filter)
{
    return block_bytes(local_filter_text(filter), local_filter_group(filter));
}

struct span local_filter_text(const struct local_filter *filter) { return span_of(filter->text, filter->filter_bytes); }

struct span local_filter_group(const struct local_filter *filter)
{
    if (!filter->has_group) return span_of(filter->text + filter->filter_bytes, 0);
    uint16_t bytes;
    memcpy(&bytes, filter->text + filter->filter_bytes, sizeof bytes);
    return span_of(filter->text + filter->filter_bytes + sizeof bytes, bytes);
}

uint32_t local_filter_count(const struct local_filter *filter)
{
    return filter->is_many ? filter->many->count - filter->many->holes : filter->only.who != NULL;
}

struct sink *local_filter_sink(struct local_filter *filter, uint32_t place)
{
    DCHECK(place < (filter->is_many ? filter->many->count : 1));
    return filter->is_many ? &filter->many->sinks[place] : &filter->only;
}

static struct sinks_debt *debt_add(struct sinks *table, struct local_filter *filter, enum sinks_debt_kind kind)
{
    DCHECK(table->holds > 0);
    if (table->debts_count == table->debts_capacity) {
        table->debts_capacity = table->debts_capacity ? table->debts_capacity * 2 : 16;
        table->debts = memory_resize(table->debts, table->debts_capacity * sizeof *table->debts);
    }
    struct sinks_debt *debt = &table->debts[table->debts_count++];
    *debt = (struct sinks_debt){.filter = filter, .kind = kind};
    return debt;
}

static void debt_add_stale(struct sinks *table, struct local_filter *filter, enum sinks_debt_kind kind, struct sink *sinks, uint32_t count)
{
    struct sinks_debt *debt = debt_add(table, filter, kind);
    debt->stale_sinks = sinks;
    debt->stale_count = count;
    filter->many->moved = true;
}

static struct sink_array *array_of(struct sink *sinks) { return CONTAINER_OF(sinks, struct sink_array, sinks); }
static struct local_filter *block_of(struct sink *only) { return CONTAINER_OF(only, struct local_filter, only); }

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

static void places_drop(struct sinks *table, struct sink_array *array)
{
    table->bytes -= sink_places_bytes(array->places);
    sink_places_release(array->places);
    array->places = NULL;
}

static void places_build(struct sinks *table, struct sink_array *array)
{
    if (array->capacity <= PLACES_SINKS_MIN) return;
    array->places = sink_places_create(array->sinks, array->count, array->capacity);
    table->bytes += sink_places_bytes(array->places);
}

/* Of these sinks, holes and all. */
static struct sink_array *array_create(struct sinks *table, const struct sink *sinks, uint32_t count, uint32_t capacity)
{
    struct sink_array *array = memory_acquire(array_bytes(capacity));
    *array = (struct sink_array){.count = count, .capacity = capacity};
    memcpy(array->sinks, sinks, count * sizeof *sinks);
    places_build(table, array);
    table->bytes += array_bytes(capacity);
    return array;
}

static void array_release(struct sinks *table, struct sink_array *array)
{
    table->bytes -= array_bytes(array->capacity);
    places_drop(table, array);
    memory_release(array);
}

static void array_exchange(struct sinks *table, struct local_filter *filter, uint32_t capacity)
{
    struct sink_array *old = filter->many;
    filter->many = array_create(table, old->sinks, old->count, capacity);
    filter->many->holes = old->holes;
    if (table->holds == 0) return array_release(table, old);
    debt_add_stale(table, filter, DEBT_ARRAY, old->sinks, old->count);
    places_drop(table, old);
    table->bytes -= array_bytes(old->capacity);
}

/* The only sink gets company. Walks of a held table may be looking at it where it is, so the filter moves to a new block then. */
static struct local_filter *only_to_many(struct sinks *table, struct local_filter *filter)
{
    struct sink_array *array = array_create(table, &filter->only, 1, ARRAY_CAPACITY_MIN);
    struct local_filter *block = filter;
    if (table->holds > 0) {
        size_t bytes = filter_bytes(filter);
        block = pool_acquire(&table->pool, bytes);
        memcpy(block, filter, bytes);
    }
    block->many = array;
    block->is_many = true;
    if (block != filter) debt_add_stale(table, block, DEBT_BLOCK, &filter->only, 1);
    return block;
}

/* ---- filters ---------------------------------------------------------------------------------------------------- */

struct local_filter *local_filter_create(struct sinks *table, struct span filter, struct span group)
{
    uint64_t bytes = block_bytes(filter, group);
    struct local_filter *created = pool_acquire(&table->pool, bytes);
    uint16_t group_bytes = (uint16_t)group.bytes;
    created->only = (struct sink){0};
    created->filter_bytes = (uint16_t)filter.bytes;
    created->is_many = false;
    created->has_group = group_bytes != 0;
    if (filter.bytes) memcpy(created->text, filter.data, filter.bytes);
    if (group_bytes) {
        memcpy(created->text + filter.bytes, &group_bytes, sizeof group_bytes);
        memcpy(created->text + filter.bytes + sizeof group_bytes, group.data, group.bytes);
    }
    table->bytes += bytes;
    return created;
}

void local_filter_release(struct sinks *table, struct local_filter *filter)
{
    if (table->holds > 0) { /* its array is found through it */
        debt_add(table, filter, DEBT_FILTER);
        return;
    }
    uint64_t bytes = filter_bytes(filter);
    if (filter->is_many) array_release(table, filter->many);
    table->bytes -= bytes;
    pool_release(&table->pool, filter, bytes);
}

uint32_t local_filter_find(const struct local_filter *filter, const void *who)
{
    struct sinks_view view = local_filter_view(filter);
    if (filter->is_many && filter->many->places != NULL) return sink_places_find(filter->many->places, view.sinks, who);
    for (uint32_t i = 0; i < view.count; i++)
        if (view.sinks[i].who == who) return i;
    return SINK_PLACE_NONE;
}

struct local_filter *local_filter_append(struct sinks *table, struct local_filter *filter, const struct sink *sink)
{
    if (!filter->is_many && filter->only.who == NULL) {
        filter->only = *sink;
        return filter;
    }
    if (!filter->is_many)
        filter = only_to_many(table, filter);
    else if (filter->many->count == filter->many->capacity)
        array_exchange(table, filter, filter->many->capacity * 2);
    struct sink_array *array = filter->many;
    array->sinks[array->count++] = *sink;
    if (array->places != NULL) sink_places_add(array->places, array->sinks, array->count - 1);
    return filter;
}

/* A hole in the array and in those that walks may still be in: places are the same in all of them. */
static void hole_make(struct sinks *table, struct local_filter *filter, uint32_t local_id, uint32_t place)
{
    local_filter_sink(filter, place)->who = NULL;
    if (!filter->is_many) return; /* it was the only one: the filter goes */
    if (filter->many->holes++ == 0) debt_add(table, filter, DEBT_HOLES)->local_id = local_id;
    if (!filter->many->moved) return;
    for (uint32_t i = 0; i < table->debts_count; i++) {
        struct sinks_debt *debt = &table->debts[i];
        if (debt->filter == filter && place < debt->stale_count) debt->stale_sinks[place].who = NULL;
    }
}

static void shrink(struct sinks *table, struct local_filter *filter)
{
    struct sink_array *array = filter->many;
    DCHECK(table->holds == 0 && array->holes == 0);
    if (array->count > array->capacity / 4) return;
    if (array->count == 1) {
        filter->only = array->sinks[0];
        filter->is_many = false;
        array_release(table, array);
        return;
    }
    uint32_t capacity = array->capacity / 2;
    while (capacity > ARRAY_CAPACITY_MIN && array->count <= capacity / 4)
        capacity /= 2;
    if (capacity >= ARRAY_CAPACITY_MIN) array_exchange(table, filter, capacity);
}

void local_filter_take(struct sinks *table, struct local_filter *filter, uint32_t local_id, uint32_t place)
{
    struct sink_array *array = filter->is_many ? filter->many : NULL;
    DCHECK(local_filter_sink(filter, place)->who != NULL);
    if (array && array->places) sink_places_remove(array->places, array->sinks, place);
    if (table->holds > 0) return hole_make(table, filter, local_id, place);
    if (array == NULL) {
        filter->only.who = NULL;
        return;
    }
    uint32_t last = array->count - 1;
    if (place != last) {
        if (array->places) sink_places_remove(array->places, array->sinks, last);
        array->sinks[place] = array->sinks[last];
        if (array->places) sink_places_add(array->places, array->sinks, place);
    }
    if (--array->count > 0) shrink(table, filter);
}

/* ---- debts ------------------------------------------------------------------------------------------------------ */

static void close_up(struct sinks *table, struct local_filter *filter)
{
    struct sink_array *array = filter->many;
    uint32_t kept = 0;
    places_drop(table, array);
    for (uint32_t i = 0; i < array->count; i++)
        if (array->sinks[i].who != NULL) array->sinks[kept++] = array->sinks[i];
    DCHECK(kept == array->count - array->holes && kept > 0);
    array->count = kept;
    array->holes = 0;
    places_build(table, array);
    shrink(table, filter);
}

void local_filter_pay_debts(struct sinks *table)
{
    DCHECK(table->holds == 0);
    for (uint32_t i = 0; i < table->debts_count; i++) {
        struct sinks_debt *debt = &table->debts[i];
        struct local_filter *filter = debt->filter;
        switch (debt->kind) {
        case DEBT_HOLES:
            if (sinks_get(table, debt->local_id).sinks != NULL) close_up(table, filter);
            break;
        case DEBT_ARRAY:
        case DEBT_BLOCK:
            if (filter->is_many) filter->many->moved = false; /* a filter's own release comes after this debt */
            if (debt->kind == DEBT_ARRAY)
                memory_release(array_of(debt->stale_sinks));
            else /* the text is the filter's own */
                pool_release(&table->pool, block_of(debt->stale_sinks), filter_bytes(filter));
            break;
        case DEBT_FILTER:
            local_filter_release(table, filter);
            break;
        }
    }
    table->debts_count = 0;
}
