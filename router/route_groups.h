/* route_groups.h - the shared groups of one filter, where they are many: a tree by the hash of their names. Internal to router/.
 *
 * A client may be in 65,535 groups on one filter, and there may be many such clients. In one array each change copied all of it, and looked at all names: a
 * minute's work for those of one client. Here a change copies a node a level, of ROUTE_GROUPS_FAN entries each, and looks at one leaf.
 *
 * Nodes are immutable, like all that readers see: a change makes new ones from the leaf up and retires the old. The groups are the caller's blocks. */
#ifndef RINGMQ_ROUTER_ROUTE_GROUPS_H
#define RINGMQ_ROUTER_ROUTE_GROUPS_H

#include "router/route_trie.h"

/* Up to so many are an array of route_set.c's; and entries of a node. A power of two. */
#define ROUTE_GROUPS_FAN 64

/* One group: who is in it. */
struct group_block {
    uint64_t id;
    uint64_t weight_total;
    uint32_t targets_count;
    uint16_t name_bytes;
    uint8_t strategy;
    struct route_target targets[]; /* then the name */
};

static inline struct span group_block_name(const struct group_block *group)
{
    return span_of(group->targets + group->targets_count, group->name_bytes);
}

struct route_groups; /* a node */

/* Any reader. */
struct group_block *route_groups_find(const struct route_trie *trie, const struct route_groups *root, struct span name);
void route_groups_each(const struct route_groups *root, void (*each)(void *context, struct group_block *group), void *context);
/* The writer: `made` takes the place of `old`, which is there (NULL: it is one more; made NULL: it goes). Both have the same name. Returns the new root; NULL:
 * none is left. The nodes that are not in it any more are retired, the group is not. */
struct route_groups *route_groups_put(struct route_trie *trie, struct route_groups *root, struct group_block *old, struct group_block *made);
/* The nodes, not the groups: the writer, or (release) no readers are left. */
void route_groups_retire(struct route_trie *trie, struct route_groups *root);
void route_groups_release(struct route_trie *trie, struct route_groups *root);

#endif
