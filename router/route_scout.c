#include "router/route_scout.h"

#include "router/match_ahead.h"
#include "router/route_children.h"
#include "router/route_set.h"
#include "router/route_text.h"
#include "router/route_walk.h"

#define ITEMS       128 /* a power of two; steps that find no place are not taken */
#define STEPS_MAX   512 /* in all: a topic may match very many filters */
#define IDS_AHEAD   4   /* of a remembered topic */

/* A step that waits for its line. */
enum step_kind {
    LOOK,   /* the topic's set in the match cache */
    KNOWN,  /* … and its entry there */
    SLOT,   /* where the topic's level should be in a table */
    CHILD,  /* a node or a leaf */
    SINK,   /* a local id's slot */
    FILTER  /* … and its filter */
};

struct item {
    uintptr_t what;    /* table, child, local id, known match */
    const uint8_t *at; /* where in the topic */
    uint32_t hash;     /* of the level there */
    uint8_t kind, topic;
    bool hashed;       /* CHILD: found by hash, so another one may be the right one */
};

struct scout {
    const struct route_index *index;
    struct match_cache *cache;
    const struct sinks *sinks;
    const struct span *topics;
    struct match_ahead *aheads;
    void **who;
    uint64_t hash_seed;
    uint32_t hash_mask;
    uint32_t head, tail;
    uint32_t cold;
    uint16_t self;
    struct item items[ITEMS];
};

/* What is not looked at may be part of the match. */
static inline void put(struct scout *scout, struct item item)
{
    if (scout->tail - scout->head < ITEMS && scout->tail < STEPS_MAX)
        scout->items[scout->tail++ % ITEMS] = item;
    else
        scout->aheads[item.topic].whole = false;
}

static inline const uint8_t *topic_end(const struct scout *scout, uint32_t topic) { return scout->topics[topic].data + scout->topics[topic].bytes; }

static inline void child_ahead(struct scout *scout, uint8_t topic, uintptr_t child, const uint8_t *at, bool hashed)
{
    __builtin_prefetch((const void *)(child & ~(uintptr_t)7));
    put(scout, (struct item){.what = child, .at = at, .kind = CHILD, .topic = topic, .hashed = hashed});
}

/* A table's head, unlike its slots, is likely to be there. */
static inline void table_ahead(struct scout *scout, uint8_t topic, const struct route_table *table, const uint8_t *at)
{
    uintptr_t plus = route_word_read(&table->plus);
    if (plus != 0) child_ahead(scout, topic, plus, at, false);
    struct span level = span_of(at, route_level_bytes(at, topic_end(scout, topic)));
    uint32_t hash = (uint32_t)route_level_hash(level, scout->hash_seed) & scout->hash_mask;
    __builtin_prefetch(&table->slots[route_slot_home(hash, table->slots_count)]);
    put(scout, (struct item){.what = (uintptr_t)table, .at = at, .hash = hash, .kind = SLOT, .topic = topic});
}

static inline void children_ahead(struct scout *scout, uint8_t topic, uintptr_t children, const uint8_t *at)
{
    if (children == 0) return;
    if (route_is_table(children))
        table_ahead(scout, topic, route_table_of(children), at);
    else
        child_ahead(scout, topic, children, at, false);
}

static inline void id_ahead(struct scout *scout, uint8_t topic, uint32_t local_id)
{
    sinks_expect(scout->sinks, local_id);
    put(scout, (struct item){.what = local_id, .kind = SINK, .topic = topic});
}

/* The match is whole as long as it is one id. */
static inline void route_ahead(struct scout *scout, uint8_t topic, uintptr_t route)
{
    struct match_ahead *ahead = &scout->aheads[topic];
    uint32_t local_id;
    if (route == 0) return;
    bool only = route_set_only(route, scout->self, &local_id);
    if (!only || ahead->set.local_ids_count++ > 0) ahead->whole = false;
    if (!only) return;
    ahead->local_id = local_id;
    id_ahead(scout, topic, local_id);
}

/* True: the topic goes on at *ret_below, under *ret_children. */
static inline bool node_passed(struct scout *scout, uint8_t topic, const struct route_node *node, const uint8_t *below, uintptr_t *ret_children)
{
    route_ahead(scout, topic, route_word_read(&node->routes_below));
    if (!below) return route_ahead(scout, topic, route_word_read(&node->routes)), false;
    *ret_children = route_word_read(&node->children);
    return true;
}

/* The way from a root is trodden: single nodes there are likely to be at hand. */
static void trie_ahead(struct scout *scout, uint8_t topic, const struct route_trie *trie)
{
    const uint8_t *at = scout->topics[topic].data, *end = topic_end(scout, topic);
    uintptr_t children;
    bool on = node_passed(scout, topic, trie->root, at, &children);
    while (on && children != 0 && !route_is_table(children) && !route_child_is_leaf(children)) {
        const struct route_node *node = route_child_node(children);
        if (!route_node_matches(node, at, end, &at)) return;
        on = node_passed(scout, topic, node, at, &children);
    }
    if (on) children_ahead(scout, topic, children, at);
}

static void ahead_begin(struct match_ahead *ahead, struct span topic, const struct route_trie *first, const struct route_trie *wildcards)
{
    ahead->first_at = &first->version;
    ahead->wildcard_at = topic.data[0] == '$' ? &first->version : &wildcards->version;
    ahead->first_version = atomic_load_explicit(ahead->first_at, memory_order_acquire);
    ahead->wildcard_version = atomic_load_explicit(ahead->wildcard_at, memory_order_acquire);
    ahead->whole = topic.bytes <= AHEAD_TEXT_BYTES;
    if (!ahead->whole) return;
    ahead->text_bytes = (uint16_t)topic.bytes;
    memcpy(ahead->text, topic.data, topic.bytes);
}

static void look(struct scout *scout, const struct item *item)
{
    struct match_ahead *ahead = &scout->aheads[item->topic];
    struct span topic = scout->topics[item->topic], first, rest;
    const struct match_set *known = match_cache_may_know(scout->cache, ahead->set.topic_hash);
    bool warm = match_cache_is_warm(scout->cache, ahead->set.topic_hash);
    scout->cold += !warm;
    if (known) {
        if (warm) return;
        match_cache_expect_known(known);
        return put(scout, (struct item){.what = (uintptr_t)known, .kind = KNOWN, .topic = item->topic});
    }
    level_cut(topic, &first, &rest);
    const struct route_trie *trie = route_index_trie(scout->index, route_level_hash(first, scout->hash_seed));
    const struct route_trie *wildcards = route_index_wildcard_trie(scout->index);
    scout->hash_mask = trie->hash_mask;
    ahead_begin(ahead, topic, trie, wildcards);
    trie_ahead(scout, item->topic, trie);
    if (topic.data[0] != '$') trie_ahead(scout, item->topic, wildcards);
}

static void step_known(struct scout *scout, const struct item *item)
{
    const struct match_set *known = (const struct match_set *)item->what;
    for (uint32_t i = 0; i < known->local_ids_count && i < IDS_AHEAD; i++)
        id_ahead(scout, item->topic, known->local_ids[i]);
}

static void step_slot(struct scout *scout, const struct item *item)
{
    const struct route_table *table = (const struct route_table *)item->what;
    uintptr_t tag = route_slot_tag(item->hash);
    for (uint32_t i = route_slot_home(item->hash, table->slots_count);; i = route_slot_after(i, table->slots_count)) {
        uintptr_t slot = route_word_read(&table->slots[i]);
        if (slot == ROUTE_SLOT_EMPTY) return;
        if (route_slot_may_be(slot, tag)) return child_ahead(scout, item->topic, route_slot_child(slot), item->at, true);
    }
}

/* A child that was found by its hash and is not the topic's: the one that is may come behind it. */
static void step_child(struct scout *scout, const struct item *item)
{
    const uint8_t *end = topic_end(scout, item->topic), *below;
    uintptr_t children;
    if (route_child_is_leaf(item->what)) {
        const struct route_leaf *leaf = route_child_leaf(item->what);
        if (route_leaf_matches(leaf, item->at, end))
            route_ahead(scout, item->topic, route_word_read(&leaf->routes));
        else if (item->hashed)
            scout->aheads[item->topic].whole = false;
        return;
    }
    const struct route_node *node = route_child_node(item->what);
    if (!route_node_matches(node, item->at, end, &below)) {
        if (item->hashed) scout->aheads[item->topic].whole = false;
        return;
    }
    if (node_passed(scout, item->topic, node, below, &children)) children_ahead(scout, item->topic, children, below);
}

static void step_sink(struct scout *scout, const struct item *item)
{
    sinks_expect_more(scout->sinks, (uint32_t)item->what);
    put(scout, (struct item){.what = item->what, .kind = FILTER, .topic = item->topic});
}

static void step_filter(struct scout *scout, const struct item *item)
{
    struct sinks_view view = sinks_get(scout->sinks, (uint32_t)item->what);
    if (view.count == 0) return;
    if (view.count == 1) scout->who[item->topic] = view.sinks->who;
    __builtin_prefetch(view.count == 1 ? view.sinks->who : view.sinks);
}

static inline void step(struct scout *scout, const struct item *item)
{
    switch ((enum step_kind)item->kind) {
    case LOOK: return look(scout, item);
    case KNOWN: return step_known(scout, item);
    case SLOT: return step_slot(scout, item);
    case CHILD: return step_child(scout, item);
    case SINK: return step_sink(scout, item);
    case FILTER: return step_filter(scout, item);
    }
}

uint32_t route_scout(const struct route_index *index, struct match_cache *cache, const struct sinks *sinks, uint16_t self, const struct span *topics,
                     uint32_t count, void **ret_who)
{
    struct match_aheads *aheads = match_cache_aheads(cache);
    struct scout scout; /* not cleared: items are written before they are read */
    scout.index = index;
    scout.cache = cache;
    scout.sinks = sinks;
    scout.topics = topics;
    scout.aheads = aheads->items;
    scout.who = ret_who;
    scout.hash_seed = route_index_hash_seed(index);
    scout.head = scout.tail = scout.cold = 0;
    scout.self = self;
    DCHECK(count <= SCOUT_TOPICS);
    aheads->next = 0;
    aheads->count = count;
    for (uint32_t i = 0; i < count; i++) {
        aheads->items[i].whole = false;
        ret_who[i] = NULL;
        if (topics[i].bytes == 0) continue;
        aheads->items[i].set = (struct match_set){.local_ids = &aheads->items[i].local_id, .topic_hash = match_cache_expect(cache, topics[i])};
        put(&scout, (struct item){.kind = LOOK, .topic = (uint8_t)i});
    }
    while (scout.head != scout.tail) {
        struct item item = scout.items[scout.head++ % ITEMS];
        step(&scout, &item);
    }
    return scout.cold;
}
