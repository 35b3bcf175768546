#include "router/route_trie.h"

#include "router/route_children.h"
#include "router/route_set.h"

static size_t node_bytes(size_t label_bytes) { return sizeof(struct route_node) + label_bytes; }

void route_trie_init(struct route_trie *trie, struct route_memory *memory, uint32_t hash_mask)
{
    *trie = (struct route_trie){.memory = memory, .hash_mask = hash_mask};
    atomic_init(&trie->version, 1);
    trie->root = pool_acquire_zeroed(&memory->pool, node_bytes(0)); /* not counted: an empty trie has no nodes and no bytes */
}

static void node_release(struct route_trie *trie, struct route_node *node)
{
    route_children_release(trie, route_word_own(&node->children), node_release); /* as deep as the levels */
    route_set_release(trie, route_word_own(&node->routes));
    route_set_release(trie, route_word_own(&node->routes_below));
    route_block_release(trie, node, node_bytes(node->label_bytes));
}

void route_trie_clear(struct route_trie *trie)
{
    node_release(trie, trie->root);
    trie->root = NULL;
}

/* From the root to the node of a filter; `#` is not a node. */
struct path {
    struct route_node *nodes[TOPIC_LEVELS_MAX + 1];
    uint32_t count;
    bool below; /* the filter ends in `#` */
};

static struct route_node *node_child(const struct route_trie *trie, struct route_node *node, const struct level *level)
{
    uintptr_t children = route_word_own(&node->children);
    if (level_is(level->text, '+')) return route_children_plus(children);
    return route_children_find(children, level->text, (uint32_t)level->hash & trie->hash_mask);
}

static struct route_node *node_create(struct route_trie *trie, const struct level *level)
{
    struct route_node *node = route_block_acquire(trie, node_bytes(level->text.bytes));
    node->hash = (uint32_t)level->hash & trie->hash_mask;
    node->label_bytes = (uint16_t)level->text.bytes;
    node->is_plus = level_is(level->text, '+');
    if (level->text.bytes) memcpy(node->label, level->text.data, level->text.bytes);
    route_count(&trie->nodes, 1);
    return node;
}

/* Follows the filter as far as there are nodes. True: to its end. */
static bool path_find(const struct route_trie *trie, const struct levels *levels, struct path *ret)
{
    const struct level *last = &levels->items[levels->count - 1];
    ret->below = level_is(last->text, '#');
    ret->count = 1;
    ret->nodes[0] = trie->root;
    uint32_t depth = levels->count - ret->below;
    for (uint32_t i = 0; i < depth; i++) {
        struct route_node *child = node_child(trie, ret->nodes[i], &levels->items[i]);
        if (child == NULL) return false;
        ret->nodes[ret->count++] = child;
    }
    return true;
}

static void path_complete(struct route_trie *trie, const struct levels *levels, struct path *path)
{
    uint32_t depth = levels->count - path->below;
    while (path->count < depth + 1) {
        struct route_node *child = node_create(trie, &levels->items[path->count - 1]);
        route_children_add(trie, &path->nodes[path->count - 1]->children, child);
        path->nodes[path->count++] = child;
    }
}

static route_word *path_routes(struct path *path)
{
    struct route_node *node = path->nodes[path->count - 1];
    return path->below ? &node->routes_below : &node->routes;
}

static bool node_empty(const struct route_node *node)
{
    return route_word_own(&node->children) == 0 && route_word_own(&node->routes) == 0 &&
           route_word_own(&node->routes_below) == 0;
}

/* Takes the empty nodes off the end; the root stays. */
static void path_prune(struct route_trie *trie, struct path *path)
{
    while (path->count > 1 && node_empty(path->nodes[path->count - 1])) {
        struct route_node *node = path->nodes[--path->count];
        route_children_remove(trie, &path->nodes[path->count - 1]->children, node);
        route_block_retire(trie, node, node_bytes(node->label_bytes));
        route_count(&trie->nodes, -1);
    }
}

static void writer_enter(struct route_trie *trie)
{
    DCHECK(atomic_fetch_add_explicit(&trie->writers, 1, memory_order_relaxed) == 0);
    (void)trie;
}

static void writer_leave(struct route_trie *trie)
{
    DCHECK(atomic_fetch_sub_explicit(&trie->writers, 1, memory_order_relaxed) == 1);
    (void)trie;
}

static void version_grow(struct route_trie *trie) /* after the change is published; pairs: route_index_version */
{
    uint64_t version = atomic_load_explicit(&trie->version, memory_order_relaxed);
    atomic_store_explicit(&trie->version, version + 1, memory_order_release);
}

bool route_trie_add(struct route_trie *trie, struct span filter, const struct levels *levels, const struct route *route)
{
    struct path path;
    writer_enter(trie);
    path_find(trie, levels, &path);
    path_complete(trie, levels, &path);
    route_word *routes = path_routes(&path);
    route_count(&trie->filters, route_word_own(routes) == 0);
    bool added = route_set_add(trie, routes, filter, route);
    route_count(&trie->routes, added);
    version_grow(trie);
    writer_leave(trie);
    return added;
}

bool route_trie_remove(struct route_trie *trie, const struct levels *levels, struct span group, uint16_t target)
{
    struct path path;
    writer_enter(trie);
    bool found = path_find(trie, levels, &path) && route_set_remove(trie, path_routes(&path), group, target);
    if (found) {
        route_count(&trie->routes, -1);
        route_count(&trie->filters, -(route_word_own(path_routes(&path)) == 0));
        path_prune(trie, &path);
        version_grow(trie);
    }
    writer_leave(trie);
    return found;
}

void route_trie_match(const struct route_trie *trie, const struct levels *levels, struct route_match *ret)
{
    struct {
        const struct route_node *node;
        uint32_t depth;
    } todo[TOPIC_LEVELS_MAX + 2]; /* each node taken puts back two at most, one level deeper */
    uint32_t todo_count = 1;
    todo[0].node = trie->root;
    todo[0].depth = 0;
    while (todo_count > 0) {
        const struct route_node *node = todo[--todo_count].node;
        uint32_t depth = todo[todo_count].depth;
        route_set_match(route_word_read(&node->routes_below), ret);
        if (depth == levels->count) {
            if (levels->deeper) continue; /* no filter goes on down there */
            route_set_match(route_word_read(&node->routes), ret);
            continue;
        }
        uintptr_t children = route_word_read(&node->children);
        if (children == 0) continue;
        const struct level *level = &levels->items[depth];
        const struct route_node *plus = route_children_plus(children);
        const struct route_node *same =
            route_children_find(children, level->text, (uint32_t)level->hash & trie->hash_mask);
        if (plus != NULL) {
            todo[todo_count].node = plus;
            todo[todo_count++].depth = depth + 1;
        }
        if (same != NULL) {
            todo[todo_count].node = same;
            todo[todo_count++].depth = depth + 1;
        }
    }
}
