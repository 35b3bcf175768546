/* route_children.h - the children of one trie node: nothing, one child, or a hash table of them. Internal to router/.
 *
 * The table is open-addressed with linear probing. A slot holds a child and, in the sixteen bits a user-space address leaves free, sixteen
 * bits of its hash, so that a probe seldom touches a wrong one. The writer fills empty slots and buries removed ones in place
 * (a reader's probe walks over a grave); a table that is full or nearly empty is copied, published and retired. A large one is copied in parts,
 * with the changes that come meanwhile, and published when all is there. It has any number of slots, not a power of two, so that it can grow by less than doubling: three quarters of it are filled at most (seven eighths while it
 * is being copied), and as a rule more than half.
 * A level's hash is not kept: a copy makes it again from the label. The `+` child has a field of its own. */
#ifndef RINGMQ_ROUTER_ROUTE_CHILDREN_H
#define RINGMQ_ROUTER_ROUTE_CHILDREN_H

#include "router/route_trie.h"

/* Blocks of readers and writers alike; route_walk.c is the reader. */
struct route_table {
    uint32_t slots_count; /* fixed */
    uint32_t live;        /* the writer's: children in slots */
    uint32_t filled;      /* the writer's: children and graves, at most 7/8 of the slots, so every probe ends */
    route_word plus;
    route_word slots[];
};

#define ROUTE_TABLE_TAG       ((uintptr_t)1)
#define ROUTE_SLOT_TAG_SHIFT  48
#define ROUTE_SLOT_CHILD_MASK (((uintptr_t)1 << ROUTE_SLOT_TAG_SHIFT) - 1)
#define ROUTE_SLOT_EMPTY      ((uintptr_t)0)
#define ROUTE_SLOT_GRAVE      ((uintptr_t)1) /* no child at all; a child's lowest bit is 0 */

static inline bool route_is_table(uintptr_t children) { return (children & ROUTE_TABLE_TAG) != 0; }
static inline struct route_table *route_table_of(uintptr_t children) { return (struct route_table *)(children - ROUTE_TABLE_TAG); }
static inline bool route_slot_has_child(uintptr_t slot) { return slot > ROUTE_SLOT_GRAVE; }
static inline uintptr_t route_slot_child(uintptr_t slot) { return slot & ROUTE_SLOT_CHILD_MASK; }
static inline uintptr_t route_slot_tag(uint32_t hash) { return (uintptr_t)(uint16_t)hash << ROUTE_SLOT_TAG_SHIFT; }
/* Does the slot hold a child, and is it probably the one with this hash? */
static inline bool route_slot_may_be(uintptr_t slot, uintptr_t tag)
{
    return ((slot ^ tag) & ~ROUTE_SLOT_CHILD_MASK) == 0 && route_slot_has_child(slot);
}
static inline uint32_t route_slot_home(uint32_t hash, uint32_t slots_count) { return (uint32_t)((uint64_t)hash * slots_count >> 32); }
static inline uint32_t route_slot_after(uint32_t i, uint32_t slots_count) { return i + 1 == slots_count ? 0 : i + 1; }

/* The writer: the child for a level; 0: no such child. */
uintptr_t route_children_find(const struct route_trie *trie, uintptr_t children, struct span level);
/* The writer. The child must not be there; must be there; `old` is there and `child` has the same label. */
void route_children_add(struct route_trie *trie, route_word *children, uintptr_t child);
void route_children_remove(struct route_trie *trie, route_word *children, uintptr_t child);
void route_children_replace(struct route_trie *trie, route_word *children, uintptr_t old, uintptr_t child);

/* No readers are left: visits each child, then releases the table (not the children). */
void route_children_release(struct route_trie *trie, uintptr_t children, void (*visit)(struct route_trie *trie, uintptr_t child));

#endif
