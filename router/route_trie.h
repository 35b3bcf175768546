/* route_trie.h - one partition of the route index: its trie, its counters, its version. Internal to router/.
 *
 *     a/+/c, a/b/d/e, a/#                   root
 *                                            └─ node a   routes_below: {a/#}
 *                                               ├─ leaf +/c     {a/+/c}
 *                                               └─ leaf b/d/e   {a/b/d/e}
 *
 * A filter's levels are nodes as far as another filter shares them; what is left of it is one leaf. Most filters are a leaf and a slot in
 * their parent's table, whatever their depth. A leaf becomes a node when a second filter wants its first level, and a node with one
 * thing in it becomes a leaf again.
 *
 * The words a reader follows are atomic and tagged:
 *     child      node │ leaf|2
 *     children   0 nothing │ child (the only one) │ table|1 (route_children.h)
 *     routes     0 nothing │ local_id<<32 target<<16 1 (one plain route, the common case) │ route_set (route_set.h)
 * A block is complete before the release store that shows it and never changes afterwards, but for its route words and the slots of a child
 * table. When a leaf becomes a node or back, its route word moves to a new block; the set it points to stays.
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
    uint16_t label_bytes;
    uint8_t label[];
};

struct route_leaf {
    route_word routes;
    uint16_t tail_bytes;
    bool wild; /* there is a wildcard in the tail */
    uint8_t tail[]; /* the filter from this level to its end; `#` is never its first level */
};

/* A large table of children that is being copied, some slots with each change; readers see the new one when it is whole (route_children.c). */
struct route_build {
    struct route_table *table, *next; /* NULL: unused */
    uint32_t copied;                  /* slots of `table` before this are in `next`, too */
};
#define ROUTE_BUILDS 4

struct route_trie {
    _Alignas(64) _Atomic uint64_t version; /* alone on its line: every shard's match cache looks at it */
    _Alignas(64) struct route_node *root;  /* has no label */
    struct route_memory *memory;           /* the writing shard's */
    uint64_t hash_seed;
    uint32_t hash_mask;
    uint32_t builds_count;    /* the writer's, like these */
    struct route_build builds[ROUTE_BUILDS];
    _Atomic uint32_t writers; /* 0 or 1; debug */
    _Atomic uint64_t filters, routes, nodes, bytes;
};

void route_trie_init(struct route_trie *trie, struct route_memory *memory, uint64_t hash_seed, uint32_t hash_mask);
void route_trie_clear(struct route_trie *trie); /* no readers are left */
bool route_trie_add(struct route_trie *trie, struct span filter, const struct levels *levels, const struct route *route);
bool route_trie_remove(struct route_trie *trie, const struct levels *levels, struct span group, uint16_t target);

/* The low half names the child, the high half the partition. */
static inline uint64_t route_level_hash(struct span level, uint64_t seed) { return hash_span_seeded(level, seed); }

/* Counters have one writer: no read-modify-write needed. */
static inline void route_count(_Atomic uint64_t *counter, int64_t change)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint64_t)change, memory_order_relaxed);
}

static inline void *route_block_acquire(struct route_trie *trie, size_t bytes)
{
    route_count(&trie->bytes, (int64_t)bytes);
    return route_memory_acquire(trie->memory, bytes);
}

/* No readers are left. */
static inline void route_block_release(struct route_trie *trie, void *block, size_t bytes)
{
    route_memory_release(trie->memory, block, bytes);
}

static inline void route_block_retire(struct route_trie *trie, void *block, size_t bytes)
{
    route_count(&trie->bytes, -(int64_t)bytes);
    route_memory_retire(trie->memory, block, bytes);
}

#define ROUTE_LEAF_TAG ((uintptr_t)2)

static inline bool route_child_is_leaf(uintptr_t child) { return (child & ROUTE_LEAF_TAG) != 0; }
static inline struct route_leaf *route_child_leaf(uintptr_t child) { return (struct route_leaf *)(child - ROUTE_LEAF_TAG); }
static inline struct route_node *route_child_node(uintptr_t child) { return (struct route_node *)child; }
static inline uintptr_t route_child_of_leaf(const struct route_leaf *leaf) { return (uintptr_t)leaf | ROUTE_LEAF_TAG; }

/* The level a child stands for. */
static inline struct span route_child_label(uintptr_t child)
{
    struct span label, rest;
    if (!route_child_is_leaf(child)) return span_of(route_child_node(child)->label, route_child_node(child)->label_bytes);
    level_cut(span_of(route_child_leaf(child)->tail, route_child_leaf(child)->tail_bytes), &label, &rest);
    return label;
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
