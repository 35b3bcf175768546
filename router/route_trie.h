/* route_trie.h - one partition of the route index: its trie, its counters, its version. Internal to router/.
 *
 *     a/+/c, a/b, a/#                       root
 *                                            └─ a   routes_below: {a/#}
 *                                               ├─ +
 *                                               │  └─ c  routes: {a/+/c}
 *                                               └─ b  routes: {a/b}
 *
 * The words a reader follows are atomic and tagged:
 *     children   0 nothing │ node (the only child) │ table|1 (route_children.h)
 *     routes     0 nothing │ local_id<<32 target<<16 1 (one plain route, the common case) │ route_set (route_set.h)
 * A block is complete before the release store that shows it and never changes afterwards, but for the slots of a child table.
 *
 * Threads: as route_index.h says: one writer, readers anywhere. Counters are the writer's, read by anyone. */
#ifndef RINGMQ_ROUTER_ROUTE_TRIE_H
#define RINGMQ_ROUTER_ROUTE_TRIE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/memory.h"
#include "router/levels.h"
#include "router/route_index.h"
#include "router/route_memory.h"

typedef _Atomic uintptr_t route_word;

struct route_node {
    route_word children;
    route_word routes;       /* of the filter that ends here */
    route_word routes_below; /* of that filter with `/#` behind it */
    uint32_t hash;           /* low half of the level's hash, cut to the index's hash_bits; unused in a `+` */
    uint16_t label_bytes;
    uint16_t is_plus;
    uint8_t label[];
};

struct route_trie {
    _Alignas(64) _Atomic uint64_t version; /* alone on its line: every shard's match cache looks at it */
    _Alignas(64) struct route_node *root;  /* has no label */
    struct route_memory *memory;           /* the writing shard's */
    uint32_t hash_mask;
    _Atomic uint32_t writers; /* 0 or 1; debug */
    _Atomic uint64_t filters, routes, nodes, bytes;
};

void route_trie_init(struct route_trie *trie, struct route_memory *memory, uint32_t hash_mask);
void route_trie_clear(struct route_trie *trie); /* no readers are left */
bool route_trie_add(struct route_trie *trie, struct span filter, const struct levels *levels, const struct route *route);
bool route_trie_remove(struct route_trie *trie, const struct levels *levels, struct span group, uint16_t target);
void route_trie_match(const struct route_trie *trie, const struct levels *levels, struct route_match *ret);

/* Counters have one writer: no read-modify-write needed. */
static inline void route_count(_Atomic uint64_t *counter, int64_t change)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint64_t)change, memory_order_relaxed);
}

static inline void *route_block_acquire(struct route_trie *trie, size_t bytes)
{
    route_count(&trie->bytes, (int64_t)bytes);
    return pool_acquire_zeroed(&trie->memory->pool, bytes);
}

/* No readers are left. */
static inline void route_block_release(struct route_trie *trie, void *block, size_t bytes)
{
    pool_release(&trie->memory->pool, block, bytes);
}

static inline void route_block_retire(struct route_trie *trie, void *block, size_t bytes)
{
    route_count(&trie->bytes, -(int64_t)bytes);
    route_memory_retire(trie->memory, block, bytes);
}

/* The writer's own look at a word only it changes. */
static inline uintptr_t route_word_own(const route_word *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}
static inline uintptr_t route_word_read(const route_word *word) /* pairs: route_word_publish */
{
    return atomic_load_explicit(word, memory_order_acquire);
}
static inline void route_word_publish(route_word *word, uintptr_t value) /* pairs: route_word_read */
{
    atomic_store_explicit(word, value, memory_order_release);
}

#endif
