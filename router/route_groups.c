#include "router/route_groups.h"

#define FAN_BITS  6
#define DEPTH_MAX 5 /* 30 bits of the hash; leaves below that are as long as need be */
_Static_assert(ROUTE_GROUPS_FAN == 1u << FAN_BITS, "a level takes so many bits of the hash");

struct route_groups {
    uint32_t count; /* entries; of a branch: ROUTE_GROUPS_FAN */
    bool is_branch;
    void *entries[]; /* a branch: nodes or NULL; a leaf: groups */
};

static size_t node_bytes(uint32_t count) { return sizeof(struct route_groups) + count * sizeof(void *); }

static uint32_t hash_of(const struct route_trie *trie, struct span name) { return (uint32_t)hash_span_seeded(name, trie->hash_seed) & trie->hash_mask; }
static uint32_t place_of(uint32_t hash, uint32_t depth) { return hash >> (FAN_BITS * depth) & (ROUTE_GROUPS_FAN - 1); }

struct group_block *route_groups_find(const struct route_trie *trie, const struct route_groups *node, struct span name)
{
    uint32_t hash = hash_of(trie, name);
    for (uint32_t depth = 0; node && node->is_branch; depth++)
        node = node->entries[place_of(hash, depth)];
    for (uint32_t i = 0; node && i < node->count; i++)
        if (span_equal(group_block_name(node->entries[i]), name)) return node->entries[i];
    return NULL;
}

void route_groups_each(const struct route_groups *node, void (*each)(void *context, struct group_block *group), void *context)
{
    for (uint32_t i = 0; node && i < node->count; i++) {
        if (!node->is_branch)
            each(context, node->entries[i]);
        else
            route_groups_each(node->entries[i], each, context); /* as deep as DEPTH_MAX */
    }
}

static struct route_groups *node_acquire(struct route_trie *trie, uint32_t count, bool is_branch)
{
    struct route_groups *node = route_block_acquire(trie, node_bytes(count));
    node->count = count;
    node->is_branch = is_branch;
    return node;
}

static void node_retire(struct route_trie *trie, struct route_groups *node) { route_block_retire(trie, node, node_bytes(node->count)); }

static struct route_groups *put(struct route_trie *trie, struct route_groups *node, uint32_t depth, uint32_t hash, struct group_block *old, struct group_block *made);

/* A full leaf becomes a branch over leaves of its own. */
static struct route_groups *leaf_split(struct route_trie *trie, struct route_groups *leaf, uint32_t depth)
{
    struct route_groups *branch = node_acquire(trie, ROUTE_GROUPS_FAN, true);
    for (uint32_t i = 0; i < leaf->count; i++) {
        struct group_block *group = leaf->entries[i];
        uint32_t hash = hash_of(trie, group_block_name(group));
        void **below = &branch->entries[place_of(hash, depth)];
        *below = put(trie, *below, depth + 1, hash, NULL, group);
    }
    return branch;
}

static struct route_groups *leaf_put(struct route_trie *trie, struct route_groups *leaf, struct group_block *old, struct group_block *made)
{
    uint32_t before = leaf ? leaf->count : 0, count = before + (old == NULL) - (made == NULL), kept = 0;
    if (count == 0) return NULL;
    struct route_groups *node = node_acquire(trie, count, false);
    for (uint32_t i = 0; i < before; i++)
        if (leaf->entries[i] != old) node->entries[kept++] = leaf->entries[i];
    if (made) node->entries[kept++] = made;
    DCHECK(kept == count);
    return node;
}

static struct route_groups *branch_put(struct route_trie *trie, struct route_groups *branch, uint32_t place, struct route_groups *below)
{
    uint32_t lives = 0;
    struct route_groups *node = node_acquire(trie, ROUTE_GROUPS_FAN, true);
    for (uint32_t i = 0; i < ROUTE_GROUPS_FAN; i++) {
        node->entries[i] = i == place ? below : branch->entries[i];
        lives += node->entries[i] != NULL;
    }
    if (lives) return node;
    node_retire(trie, node);
    return NULL;
}

static struct route_groups *put(struct route_trie *trie, struct route_groups *node, uint32_t depth, uint32_t hash, struct group_block *old, struct group_block *made)
{
    struct route_groups *changed, *split = NULL;
    bool full = node && !node->is_branch && node->count >= ROUTE_GROUPS_FAN && depth < DEPTH_MAX && !old;
    if (full) split = leaf_split(trie, node, depth);
    struct route_groups *from = split ? split : node;
    if (from && from->is_branch) {
        uint32_t place = place_of(hash, depth);
        changed = branch_put(trie, from, place, put(trie, from->entries[place], depth + 1, hash, old, made));
    } else {
        changed = leaf_put(trie, from, old, made);
    }
    if (split) node_retire(trie, split);
    if (node) node_retire(trie, node);
    return changed;
}

struct route_groups *route_groups_put(struct route_trie *trie, struct route_groups *root, struct group_block *old, struct group_block *made)
{
    return put(trie, root, 0, hash_of(trie, group_block_name(old ? old : made)), old, made);
}

void route_groups_retire(struct route_trie *trie, struct route_groups *node)
{
    for (uint32_t i = 0; node->is_branch && i < node->count; i++)
        if (node->entries[i]) route_groups_retire(trie, node->entries[i]);
    node_retire(trie, node);
}

void route_groups_release(struct route_trie *trie, struct route_groups *node)
{
    for (uint32_t i = 0; node->is_branch && i < node->count; i++)
        if (node->entries[i]) route_groups_release(trie, node->entries[i]);
    route_block_release(trie, node, node_bytes(node->count));
}
