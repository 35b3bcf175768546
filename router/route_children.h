/* route_children.h - the children of one trie node: nothing, one node, or a hash table of nodes. Internal to router/.
 *
 * The table is open-addressed with linear probing. A slot holds a node and, in the four bits a node's address leaves free, four bits
 * of its hash, so that a probe seldom touches a wrong node. The writer fills empty slots and buries removed ones in place
 * (a reader's probe walks over a grave); a table that is full or nearly empty is copied, published and retired.
 * The `+` child has a field of its own. */
#ifndef RINGMQ_ROUTER_ROUTE_CHILDREN_H
#define RINGMQ_ROUTER_ROUTE_CHILDREN_H

#include "router/route_trie.h"

/* Any reader. `hash` is cut to the index's hash_bits. NULL: no such child. */
struct route_node *route_children_find(uintptr_t children, struct span label, uint32_t hash);
struct route_node *route_children_plus(uintptr_t children);

/* The writer. The child must not be there; must be there. */
void route_children_add(struct route_trie *trie, route_word *children, struct route_node *child);
void route_children_remove(struct route_trie *trie, route_word *children, struct route_node *child);

/* No readers are left: visits each child, then releases the table (not the children). */
void route_children_release(struct route_trie *trie, uintptr_t children,
                            void (*visit)(struct route_trie *trie, struct route_node *child));

#endif
