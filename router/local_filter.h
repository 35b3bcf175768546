/* local_filter.h - one (filter, group) of a shard with its array of sinks. Internal to router/; sinks.c owns the table.
 *
 *     struct local_filter │ filter text │ group text          one allocation
 *       sinks ──▶ &first                                       one sink
 *             ──▶ [places] sink sink sink …                    more: a block of its own; places when there are many
 */
#ifndef RINGMQ_ROUTER_LOCAL_FILTER_H
#define RINGMQ_ROUTER_LOCAL_FILTER_H

#include "base/pool.h"
#include "router/sink_places.h"
#include "router/sinks.h"

struct local_filter {
    struct sink *sinks;
    uint32_t local_id;
    uint32_t hash;     /* of (filter, group), cut to hash_bits */
    uint32_t count;    /* entries, holes included */
    uint32_t capacity; /* 1: sinks == &first */
    uint32_t holes : 31; /* 0 unless the table is held */
    uint32_t moved : 1;  /* while the table is held: walks may be in an older array */
    uint16_t filter_bytes, group_bytes;
    struct sink first;
    uint8_t text[];
};

/* What a held table owes: memory not yet released, arrays with holes not yet closed up. */
struct sinks_debt {
    struct local_filter *filter; /* whose */
    struct sink *stale_sinks;    /* an older array of the filter that walks may still be in; NULL: holes, or the filter itself */
    uint32_t stale_count;        /* its entries */
    uint32_t local_id;           /* holes: closed up if this id is still alive at the drop */
    bool release_filter;
};

struct sinks {
    struct pool pool;     /* of the filters */
    uintptr_t *slots;     /* a struct local_filter *, or odd: free, next free slot << 1 | 1 */
    uint32_t *buckets;    /* open addressing: slot + 1 */
    struct sinks_debt *debts;
    uint64_t bytes, sinks_count, hash_seed;
    uint32_t slots_count, slots_capacity;
    uint32_t free_first, free_last, free_count;
    uint32_t buckets_count, filters_count; /* buckets_count: 0 or a power of two */
    uint32_t hash_mask;
    uint32_t holds, debts_count, debts_capacity;
    uint8_t *generations; /* per slot: of the id it has or had last */
};

struct local_filter *local_filter_create(struct sinks *table, struct span filter, struct span group);
/* At once, or when the table is dropped. */
void local_filter_release(struct sinks *table, struct local_filter *filter);
uint32_t local_filter_find(const struct local_filter *filter, const void *who); /* SINK_PLACE_NONE */
void local_filter_append(struct sinks *table, struct local_filter *filter, const struct sink *sink);
void local_filter_take(struct sinks *table, struct local_filter *filter, uint32_t index);
/* The last hold has been dropped. */
void local_filter_pay_debts(struct sinks *table);

#endif
