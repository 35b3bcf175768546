#include "router/route_walk.h"

#include "router/route_children.h"
#include "router/route_set.h"
#include "router/route_text.h"

/* Where the walk goes on: the node, and the topic from the level that its children stand for; NULL: the topic ends with this node. */
struct step {
    const struct route_node *node;
    const uint8_t *at;
    uint32_t depth;
};

/* Does the topic lead to this child from `at` on? A leaf is dealt with here; a node is written to *ret. True: yes. */
static inline bool step_to(struct route_walk *walk, uintptr_t child, const uint8_t *at, uint32_t depth, struct step **steps)
{
    if (route_child_is_leaf(child)) {
        const struct route_leaf *leaf = route_child_leaf(child);
        if (!route_leaf_matches(leaf, at, walk->end)) return false;
        route_set_match(route_word_read(&leaf->routes), walk->match);
        return true;
    }
    const struct route_node *node = route_child_node(child);
    const uint8_t *below;
    if (!route_node_matches(node, at, walk->end, &below)) return false;
    *(*steps)++ = (struct step){node, below, depth + 1};
    return true;
}

static inline const struct route_walk_level *level_at(struct route_walk *walk, const uint8_t *at, uint32_t depth)
{
    struct route_walk_level *level = &walk->levels[depth];
    uint64_t *known = &walk->known[depth / 64], bit = 1ull << depth % 64;
    if (*known & bit) return level;
    *known |= bit;
    level->bytes = (uint32_t)route_level_bytes(at, walk->end);
    level->hash = (uint32_t)route_level_hash(span_of(at, level->bytes), walk->hash_seed);
    return level;
}

/* The other way will be gone later: what it looks at first is fetched while this one is. */
static inline void step_ahead(struct route_walk *walk, const struct route_trie *trie, const struct step *step)
{
    if (step->at == NULL) return;
    uintptr_t children = route_word_read(&step->node->children);
    if (!route_is_table(children)) return;
    const struct route_table *table = route_table_of(children);
    uint32_t hash = level_at(walk, step->at, step->depth)->hash & trie->hash_mask;
    __builtin_prefetch(&table->slots[route_slot_home(hash, table->slots_count)]);
}

static void steps_from_table(struct route_walk *walk, const struct route_trie *trie, const struct route_table *table, const uint8_t *at,
                             uint32_t depth, struct step **steps)
{
    uintptr_t plus = route_word_read(&table->plus);
    if (plus != 0 && step_to(walk, plus, at, depth, steps) && !route_child_is_leaf(plus)) step_ahead(walk, trie, *steps - 1);

    uint32_t hash = level_at(walk, at, depth)->hash & trie->hash_mask;
    uintptr_t tag = route_slot_tag(hash);
    for (uint32_t i = route_slot_home(hash, table->slots_count);; i = route_slot_after(i, table->slots_count)) {
        uintptr_t slot = route_word_read(&table->slots[i]);
        if (slot == ROUTE_SLOT_EMPTY) return;
        if (route_slot_may_be(slot, tag) && step_to(walk, route_slot_child(slot), at, depth, steps)) return;
    }
}

uint64_t route_walk_begin(struct route_walk *walk, struct span topic, uint64_t hash_seed, struct route_match *match)
{
    static const uint8_t nothing[1];
    walk->start = topic.bytes ? topic.data : nothing; /* NULL means something else */
    walk->end = walk->start + topic.bytes;
    walk->hash_seed = hash_seed;
    walk->match = match;
    for (size_t i = 1; i < sizeof walk->known / sizeof walk->known[0]; i++)
        walk->known[i] = 0;
    walk->known[0] = 1;
    walk->levels[0].bytes = (uint32_t)route_level_bytes(walk->start, walk->end);
    uint64_t hash = route_level_hash(span_of(walk->start, walk->levels[0].bytes), hash_seed);
    walk->levels[0].hash = (uint32_t)hash;
    return hash;
}

void route_walk_trie(struct route_walk *walk, const struct route_trie *trie)
{
    struct step steps[TOPIC_LEVELS_MAX + 2]; /* each step taken puts back two at most, one level deeper */
    struct step *top = steps;
    *top++ = (struct step){trie->root, walk->start, 0};
    while (top > steps) {
        struct step step = *--top;
        route_set_match(route_word_read(&step.node->routes_below), walk->match);
        if (step.at == NULL) {
            route_set_match(route_word_read(&step.node->routes), walk->match);
            continue;
        }
        uintptr_t children = route_word_read(&step.node->children);
        if (children == 0) continue;
        if (route_is_table(children))
            steps_from_table(walk, trie, route_table_of(children), step.at, step.depth, &top);
        else
            step_to(walk, children, step.at, step.depth, &top);
    }
}
