/* sinks.h - one shard's own filters and the sinks on them: the "local filter table".
 *
 * A local filter is a (filter, group) pair that at least one sink of this shard wants; its sinks stand side by side in one
 * array. The route index carries the filter's local id; a shard that receives a message with that id walks the array.
 * A local id is slot and generation: when the filter has gone, the id resolves to nothing, even if the slot is used again
 * (the generation comes round after 255 uses of one slot, and a slot rests until SINKS_SLOTS_RESTING others are free).
 *
 * Owner:    the shard. Sinks are values; `who` belongs to the caller and is only compared here.
 * Threads:  none; a table belongs to one shard.
 * Lifetime: filter and group texts are copied. What sinks_get() returns is valid until the next sinks_add() or
 *           sinks_remove(), unless the walk is held, see below.
 * Failure:  none but a table with SINKS_FILTERS_MAX filters, where sinks_add() answers local_id 0 and changes nothing.
 *
 * Changing the table while an array is walked:
 *     sinks_hold(table);
 *     struct sinks_view view = sinks_get(table, id);
 *     for (uint32_t i = 0; i < view.count; i++)
 *         if (view.sinks[i].who != NULL)         <- a sink removed since sinks_get() is left as a hole
 *             deliver(…);                        <- may add and remove anything, in any table order
 *     sinks_drop(table);
 * Between hold and drop no array moves or is released and nothing changes place: a removed sink becomes a hole (who == NULL), an
 * added one is not in views taken before (a replaced one may be seen with its old options). Arrays are closed up by the last
 * sinks_drop(). Holds nest. Without a hold there are no holes. */
#ifndef RINGMQ_ROUTER_SINKS_H
#define RINGMQ_ROUTER_SINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define SINKS_ID_NONE 0u
#define SINKS_SLOT_BITS 24
#define SINKS_FILTERS_MAX ((1u << SINKS_SLOT_BITS) - 1)
#define SINKS_SLOTS_RESTING 256

struct sink {
    void *who;                /* session, rule, bridge, …; never NULL but in a hole */
    uint32_t subscription_id; /* MQTT 5 §3.3.2.3.8; 0: none */
    uint8_t qos : 2;
    uint8_t no_local : 1;
    uint8_t retain_as_published : 1;
    uint8_t opaque_bits : 4; /* the owner's */
    uint8_t opaque;          /* the owner's: e.g. the kind of `who` */
    uint16_t opaque16;       /* the owner's */
};

struct sinks_view {
    const struct sink *sinks; /* NULL when the id is stale */
    uint32_t count;           /* entries, holes included; 0 when the id is stale */
};

struct sinks_added {
    struct sink previous; /* replaced: what stood there */
    uint32_t local_id;    /* SINKS_ID_NONE: the table is full */
    uint32_t count;       /* sinks on (filter, group) now: the weight of a shared route */
    bool first;           /* (filter, group) is new on this shard: add its route */
    bool replaced;        /* the same `who` was there; its subscription_id and options are the new ones */
};

struct sinks_removed {
    struct sink sink;  /* found: what stood there */
    uint32_t local_id; /* found: of the (filter, group); already stale when last */
    uint32_t count;    /* sinks remaining */
    bool found;
    bool last;         /* none remains, the filter has gone: remove its route */
};

struct sinks;

/* hash_bits: 0 means all; tests set a few to make filters collide. */
struct sinks *sinks_create(uint64_t hash_seed, uint32_t hash_bits);
void sinks_destroy(struct sinks *table); /* accepts NULL */

/* group: empty for a plain subscription. */
struct sinks_added sinks_add(struct sinks *table, struct span filter, struct span group, const struct sink *sink);
struct sinks_removed sinks_remove(struct sinks *table, struct span filter, struct span group, const void *who);

/* The hot path: two loads and a compare. */
struct sinks_view sinks_get(const struct sinks *table, uint32_t local_id);
/* What sinks_get() and a look at the first sink will touch, asked of the memory ahead: first the id's slot, and when that is likely to be there the filter. */
void sinks_expect(const struct sinks *table, uint32_t local_id);
void sinks_expect_more(const struct sinks *table, uint32_t local_id);
void sinks_hold(struct sinks *table);
void sinks_drop(struct sinks *table);

/* SINKS_ID_NONE when there is none. */
uint32_t sinks_find(const struct sinks *table, struct span filter, struct span group);
/* `who`'s place among the filter's sinks, or NULL. Constant time however many there are. */
const struct sink *sinks_find_sink(const struct sinks *table, uint32_t local_id, const void *who);
/* The texts of a filter, valid as long as the filter is. False: stale id. */
bool sinks_text(const struct sinks *table, uint32_t local_id, struct span *ret_filter, struct span *ret_group);
/* Walks all local filters: begin with SINKS_ID_NONE, ends with SINKS_ID_NONE. The table may change between the calls;
 * filters present throughout are seen exactly once. */
uint32_t sinks_next(const struct sinks *table, uint32_t local_id);

struct sinks_stats {
    uint64_t filters, sinks;
    uint64_t bytes; /* asked from the allocator, texts included */
};
/* Filters alone: that one is asked for often. */
uint32_t sinks_filters(const struct sinks *table);
struct sinks_stats sinks_stats(const struct sinks *table);

#endif
