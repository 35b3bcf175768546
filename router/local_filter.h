/* local_filter.h - one (filter, group) of a shard with its sinks. Internal to router/; sinks.c owns the table.
 *
 *     only                          │ filter text │ group text, its length     one sink: the block is all there is
 *     many ──▶ head, sink sink …    │ filter text │ …                          more: an array; with places when there are many
 *
 * A block knows neither its id nor its hash: the table finds it by either and says so to whom it concerns. */
#ifndef RINGMQ_ROUTER_LOCAL_FILTER_H
#define RINGMQ_ROUTER_LOCAL_FILTER_H

#include "base/pool.h"
#include "router/sink_places.h"
#include "router/sinks.h"

struct sink_array {
    struct sink_places *places; /* or NULL */
    uint32_t count;             /* entries, holes included */
    uint32_t capacity;
    uint32_t holes; /* 0 unless the table is held */
    bool moved;     /* while the table is held: walks may be in an older array */
    _Alignas(16) struct sink sinks[];
};

struct local_filter {
    union {
        struct sink only; /* who == NULL: none, between creation and the first sink, or as a hole in a held table */
        struct sink_array *many;
    };
    uint16_t filter_bytes;
    bool is_many;
    bool has_group;
    uint8_t text[]; /* the filter; then, if there is a group, its length (2 bytes) and its name */
};

enum sinks_debt_kind {
    DEBT_HOLES,  /* holes to be closed up, if local_id is still alive at the drop */
    DEBT_ARRAY,  /* an older array that walks may still be in */
    DEBT_BLOCK,  /* the block that held the only sink, which walks may still look at */
    DEBT_FILTER, /* a filter that has gone, with its array */
};

/* What a held table owes: memory not yet released, arrays with holes not yet closed up. */
struct sinks_debt {
    struct local_filter *filter; /* whose */
    struct sink *stale_sinks;    /* DEBT_ARRAY, DEBT_BLOCK: the older entries … */
    uint32_t stale_count;        /* … and how many */
    uint32_t local_id;           /* DEBT_HOLES */
    enum sinks_debt_kind kind;
};

struct sinks {
    struct pool pool;  /* of the filters */
    uint64_t *slots;   /* a struct local_filter * or, odd, next free slot << 1 | 1; above it the generation of the id it has or had last */
    uint32_t *buckets; /* open addressing: slot + 1, above it eight bits of the hash */
    uint32_t *old;     /* those before the last growth; the ones before `moved` are in `buckets`, too; NULL: none */
    struct sinks_debt *debts;
    uint64_t bytes, sinks_count, hash_seed;
    uint32_t slots_count, slots_capacity;
    uint32_t free_first, free_last, free_count;
    uint32_t buckets_count, filters_count, old_count, moved;
    uint32_t hash_mask;
    uint32_t holds, debts_count, debts_capacity;
};

struct local_filter *local_filter_create(struct sinks *table, struct span filter, struct span group);
/* At once, or when the table is dropped. */
void local_filter_release(struct sinks *table, struct local_filter *filter);

struct span local_filter_text(const struct local_filter *filter);
struct span local_filter_group(const struct local_filter *filter);
/* Holes not included. */
uint32_t local_filter_count(const struct local_filter *filter);

static inline struct sinks_view local_filter_view(const struct local_filter *filter)
{
    return filter->is_many ? (struct sinks_view){filter->many->sinks, filter->many->count} : (struct sinks_view){&filter->only, 1};
}

uint32_t local_filter_find(const struct local_filter *filter, const void *who); /* SINK_PLACE_NONE */
struct sink *local_filter_sink(struct local_filter *filter, uint32_t place);
/* Returns the filter: in a held table it may have moved to another block. */
struct local_filter *local_filter_append(struct sinks *table, struct local_filter *filter, const struct sink *sink);
void local_filter_take(struct sinks *table, struct local_filter *filter, uint32_t local_id, uint32_t place);
/* The last hold has been dropped. */
void local_filter_pay_debts(struct sinks *table);

#endif
