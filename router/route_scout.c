#include "router/route_scout.h"

#include "router/route_children.h"
#include "router/route_set.h"
#include "router/route_text.h"
#include "router/route_walk.h"

#define ITEMS       64 /* a power of two; steps that find no place are not taken */
#define STEPS_MAX   512 /* in all: a topic may match very many filters */
#define PROBES_MAX  8

/* A step that waits for its line. */
enum step_kind {
    LOOK,   /* the topic's set in the match cache */
    SLOT,   /* where the topic's level should be in a table */
    CHILD,  /* a node or a leaf */
    SINK,   /* a local id's slot */
    FILTER  /* … and its filter */
};

struct item {
    uintptr_t what;    /* table, child or local id */
    const uint8_t *at; /* where in the topic */
    uint32_t hash;     /* of the level there */
    uint8_t kind, topic;
};

struct scout {
    const struct route_index *index;
    const struct match_cache *cache;
    const struct sinks *sinks;
    const struct span *topics;
    uint64_t hash_seed;
    uint32_t head, tail;
    uint32_t unknown; /* topics to be matched */
    uint16_t self;
    uint64_t topic_hashes[SCOUT_TOPICS];
    struct item items[ITEMS];
};

static inline void put(struct scout *scout, struct item item)
{
    if (scout->tail - scout->head < ITEMS && scout->tail < STEPS_MAX) scout->items[scout->tail++ % ITEMS] = item;
}

static inline const uint8_t *topic_end(const struct scout *scout, const struct item *item)
{
    return scout->topics[item->topic].data + scout->topics[item->topic].bytes;
}

static inline void child_ahead(struct scout *scout, const struct item *from, uintptr_t child, const uint8_t *at)
{
    __builtin_prefetch((const void *)(child & ~(uintptr_t)7));
    put(scout, (struct item){.what = child, .at = at, .kind = CHILD, .topic = from->topic});
}

/* A table's head, unlike its slots, is likely to be there. */
static inline void table_ahead(struct scout *scout, const struct item *from, const struct route_table *table, const uint8_t *at)
{
    uintptr_t plus = route_word_read(&table->plus);
    if (plus != 0) child_ahead(scout, from, plus, at);
    struct span level = span_of(at, route_level_bytes(at, topic_end(scout, from)));
    uint32_t hash = (uint32_t)route_level_hash(level, scout->hash_seed); /* all of it: where tests mask some of it away there is less to find */
    __builtin_prefetch(&table->slots[route_slot_home(hash, table->slots_count)]);
    put(scout, (struct item){.what = (uintptr_t)table, .at = at, .hash = hash, .kind = SLOT, .topic = from->topic});
}

static inline void children_ahead(struct scout *scout, const struct item *from, uintptr_t children, const uint8_t *at)
{
    if (children == 0) return;
    if (route_is_table(children))
        table_ahead(scout, from, route_table_of(children), at);
    else
        child_ahead(scout, from, children, at);
}

static inline void route_ahead(struct scout *scout, const struct item *from, uintptr_t route)
{
    uint32_t local_id;
    if (!route_set_only(route, scout->self, &local_id)) return;
    sinks_expect(scout->sinks, local_id);
    put(scout, (struct item){.what = local_id, .kind = SINK, .topic = from->topic});
}

static void look(struct scout *scout, const struct item *item)
{
    struct span topic = scout->topics[item->topic], first, rest;
    if (match_cache_may_know(scout->cache, scout->topic_hashes[item->topic])) return;
    scout->unknown++;
    level_cut(topic, &first, &rest);
    const struct route_trie *trie = route_index_trie(scout->index, route_level_hash(first, scout->hash_seed));
    const struct route_trie *wildcards = route_index_wildcard_trie(scout->index);
    children_ahead(scout, item, route_word_read(&trie->root->children), topic.data);
    if (topic.data[0] != '$') children_ahead(scout, item, route_word_read(&wildcards->root->children), topic.data);
}

static void step_slot(struct scout *scout, const struct item *item)
{
    const struct route_table *table = (const struct route_table *)item->what;
    uintptr_t tag = route_slot_tag(item->hash);
    uint32_t i = route_slot_home(item->hash, table->slots_count);
    for (uint32_t probe = 0; probe < PROBES_MAX; probe++, i = route_slot_after(i, table->slots_count)) {
        uintptr_t slot = route_word_read(&table->slots[i]);
        if (slot == ROUTE_SLOT_EMPTY) return;
        if (route_slot_may_be(slot, tag)) return child_ahead(scout, item, route_slot_child(slot), item->at);
    }
}

static void step_child(struct scout *scout, const struct item *item)
{
    const uint8_t *end = topic_end(scout, item), *below;
    if (route_child_is_leaf(item->what)) {
        const struct route_leaf *leaf = route_child_leaf(item->what);
        if (route_leaf_matches(leaf, item->at, end)) route_ahead(scout, item, route_word_read(&leaf->routes));
        return;
    }
    const struct route_node *node = route_child_node(item->what);
    if (!route_node_matches(node, item->at, end, &below)) return;
    route_ahead(scout, item, route_word_read(&node->routes_below));
    if (below)
        children_ahead(scout, item, route_word_read(&node->children), below);
    else
        route_ahead(scout, item, route_word_read(&node->routes));
}

static void step_sink(struct scout *scout, const struct item *item)
{
    sinks_expect_more(scout->sinks, (uint32_t)item->what);
    put(scout, (struct item){.what = item->what, .kind = FILTER, .topic = item->topic});
}

static void step_filter(struct scout *scout, const struct item *item)
{
    struct sinks_view view = sinks_get(scout->sinks, (uint32_t)item->what);
    if (view.count == 1) __builtin_prefetch(view.sinks->who);
}

static inline void step(struct scout *scout, const struct item *item)
{
    switch ((enum step_kind)item->kind) {
    case LOOK: return look(scout, item);
    case SLOT: return step_slot(scout, item);
    case CHILD: return step_child(scout, item);
    case SINK: return step_sink(scout, item);
    case FILTER: return step_filter(scout, item);
    }
}

uint32_t route_scout(const struct route_index *index, const struct match_cache *cache, const struct sinks *sinks, uint16_t self, const struct span *topics,
                 uint32_t count)
{
    struct scout scout; /* not cleared: items are written before they are read */
    scout.index = index;
    scout.cache = cache;
    scout.sinks = sinks;
    scout.topics = topics;
    scout.hash_seed = route_index_hash_seed(index);
    scout.head = scout.tail = scout.unknown = 0;
    scout.self = self;
    for (uint32_t i = 0; i < count && i < SCOUT_TOPICS; i++) {
        if (topics[i].bytes == 0) continue;
        scout.topic_hashes[i] = match_cache_expect(cache, topics[i]);
        put(&scout, (struct item){.kind = LOOK, .topic = (uint8_t)i});
    }
    while (scout.head != scout.tail) {
        struct item item = scout.items[scout.head++ % ITEMS];
        step(&scout, &item);
    }
    return scout.unknown;
}
