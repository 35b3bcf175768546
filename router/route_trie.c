#include "router/route_trie.h"

#include "router/route_children.h"
#include "router/route_set.h"

static size_t node_bytes(size_t label_bytes) { return offsetof(struct route_node, label) + label_bytes; }
static size_t leaf_bytes(size_t tail_bytes) { return offsetof(struct route_leaf, tail) + tail_bytes; }

void route_trie_init(struct route_trie *trie, struct route_memory *memory, uint64_t hash_seed, uint32_t hash_mask)
{
    *trie = (struct route_trie){.memory = memory, .hash_seed = hash_seed, .hash_mask = hash_mask};
    atomic_init(&trie->version, 1);
    trie->root = route_memory_acquire(memory, node_bytes(0)); /* not counted: an empty trie has no nodes and no bytes */
}

static void node_release(struct route_trie *trie, struct route_node *node);

static void child_release(struct route_trie *trie, uintptr_t child)
{
    if (!route_child_is_leaf(child)) return node_release(trie, route_child_node(child));
    struct route_leaf *leaf = route_child_leaf(child);
    route_set_release(trie, route_word_own(&leaf->routes));
    route_block_release(trie, leaf, leaf_bytes(leaf->tail_bytes));
}

static void node_release(struct route_trie *trie, struct route_node *node)
{
    route_children_release(trie, route_word_own(&node->children), child_release); /* as deep as the levels */
    route_set_release(trie, route_word_own(&node->routes));
    route_set_release(trie, route_word_own(&node->routes_below));
    route_block_release(trie, node, node_bytes(node->label_bytes));
}

void route_trie_clear(struct route_trie *trie)
{
    node_release(trie, trie->root);
    trie->root = NULL;
}

/* ---- nodes and leaves ------------------------------------------------------------------------------------------- */

static struct route_node *node_create(struct route_trie *trie, struct span label)
{
    struct route_node *node = route_block_acquire(trie, node_bytes(label.bytes));
    node->label_bytes = (uint16_t)label.bytes;
    if (label.bytes) memcpy(node->label, label.data, label.bytes);
    route_count(&trie->nodes, 1);
    return node;
}

static void node_retire(struct route_trie *trie, struct route_node *node)
{
    route_block_retire(trie, node, node_bytes(node->label_bytes));
    route_count(&trie->nodes, -1);
}

/* The tail is `start` and, if there are any, a slash and `end`. */
static struct route_leaf *leaf_create(struct route_trie *trie, struct span start, const struct span *end, uintptr_t routes)
{
    size_t bytes = start.bytes + (end ? 1 + end->bytes : 0);
    struct route_leaf *leaf = route_block_acquire(trie, leaf_bytes(bytes));
    route_word_publish(&leaf->routes, routes);
    leaf->tail_bytes = (uint16_t)bytes;
    if (start.bytes) memcpy(leaf->tail, start.data, start.bytes);
    if (end) leaf->tail[start.bytes] = '/';
    if (end && end->bytes) memcpy(leaf->tail + start.bytes + 1, end->data, end->bytes);
    leaf->wild = memchr(leaf->tail, '+', bytes) != NULL || memchr(leaf->tail, '#', bytes) != NULL;
    route_count(&trie->nodes, 1);
    return leaf;
}

static void leaf_retire(struct route_trie *trie, struct route_leaf *leaf)
{
    route_block_retire(trie, leaf, leaf_bytes(leaf->tail_bytes));
    route_count(&trie->nodes, -1);
}

static struct span leaf_tail(const struct route_leaf *leaf) { return span_of(leaf->tail, leaf->tail_bytes); }

/* A node for the leaf's first level that holds what the leaf held. The leaf itself is left as it is. */
static struct route_node *leaf_open(struct route_trie *trie, const struct route_leaf *leaf)
{
    struct span label, rest;
    bool more = level_cut(leaf_tail(leaf), &label, &rest);
    uintptr_t routes = route_word_own(&leaf->routes);
    struct route_node *node = node_create(trie, label);
    if (!more)
        route_word_publish(&node->routes, routes);
    else if (level_is(rest, '#'))
        route_word_publish(&node->routes_below, routes);
    else
        route_word_publish(&node->children, route_child_of_leaf(leaf_create(trie, rest, NULL, routes)));
    return node;
}

/* The leaf that holds what the node holds, if that is one filter; or NULL. */
static struct route_leaf *node_fold(struct route_trie *trie, const struct route_node *node)
{
    uintptr_t children = route_word_own(&node->children), here = route_word_own(&node->routes);
    uintptr_t below = route_word_own(&node->routes_below);
    struct span label = span_of(node->label, node->label_bytes), hash = SPAN_LITERAL("#");
    if ((children != 0) + (here != 0) + (below != 0) != 1) return NULL;
    if (here) return leaf_create(trie, label, NULL, here);
    if (below) return leaf_create(trie, label, &hash, below);
    if (route_is_table(children) || !route_child_is_leaf(children)) return NULL;
    struct route_leaf *leaf = route_child_leaf(children);
    struct span tail = leaf_tail(leaf);
    return leaf_create(trie, label, &tail, route_word_own(&leaf->routes));
}

/* ---- the way to a filter ---------------------------------------------------------------------------------------- */

struct path {
    struct route_node *nodes[TOPIC_LEVELS_MAX + 1]; /* from the root on; `#` is not a node */
    uint32_t count;
    uint32_t depth;          /* levels that are not a closing `#` */
    struct route_leaf *leaf; /* the last node's child for the next level, when that is a leaf; or NULL */
};

/* On as far as there are nodes. */
static void path_follow(const struct route_trie *trie, const struct levels *levels, struct path *path)
{
    path->leaf = NULL;
    while (path->count <= path->depth) {
        uintptr_t children = route_word_own(&path->nodes[path->count - 1]->children);
        uintptr_t child = route_children_find(trie, children, levels->items[path->count - 1]);
        if (child == 0) return;
        if (route_child_is_leaf(child)) {
            path->leaf = route_child_leaf(child);
            return;
        }
        path->nodes[path->count++] = route_child_node(child);
    }
}

static void path_begin(const struct route_trie *trie, const struct levels *levels, struct path *ret)
{
    ret->depth = levels->count - level_is(levels->items[levels->count - 1], '#');
    ret->count = 1;
    ret->nodes[0] = trie->root;
    path_follow(trie, levels, ret);
}

/* The filter's routes, or NULL when there is no place for them yet. */
static route_word *path_routes(const struct levels *levels, const struct path *path)
{
    if (path->count <= path->depth)
        return path->leaf && span_equal(leaf_tail(path->leaf), levels_from(levels, path->count - 1)) ? &path->leaf->routes : NULL;
    struct route_node *node = path->nodes[path->depth];
    return path->depth < levels->count ? &node->routes_below : &node->routes;
}

static route_word *path_complete(struct route_trie *trie, const struct levels *levels, struct path *path)
{
    for (;;) {
        route_word *routes = path_routes(levels, path), *children = &path->nodes[path->count - 1]->children;
        if (routes) return routes;
        if (path->leaf == NULL) {
            path->leaf = leaf_create(trie, levels_from(levels, path->count - 1), NULL, 0);
            route_children_add(trie, children, route_child_of_leaf(path->leaf));
            return &path->leaf->routes;
        }
        struct route_node *node = leaf_open(trie, path->leaf);
        route_children_replace(trie, children, route_child_of_leaf(path->leaf), (uintptr_t)node);
        leaf_retire(trie, path->leaf);
        path->nodes[path->count++] = node;
        path_follow(trie, levels, path);
    }
}

static bool node_empty(const struct route_node *node)
{
    return route_word_own(&node->children) == 0 && route_word_own(&node->routes) == 0 &&
           route_word_own(&node->routes_below) == 0;
}

/* Takes what is empty off the end, and folds what has one filter left; the root stays. */
static void path_prune(struct route_trie *trie, struct path *path)
{
    if (path->leaf && route_word_own(&path->leaf->routes) == 0) {
        route_children_remove(trie, &path->nodes[path->count - 1]->children, route_child_of_leaf(path->leaf));
        leaf_retire(trie, path->leaf);
    }
    for (; path->count > 1; path->count--) {
        struct route_node *node = path->nodes[path->count - 1];
        route_word *siblings = &path->nodes[path->count - 2]->children;
        struct route_leaf *leaf = NULL;
        if (node_empty(node)) {
            route_children_remove(trie, siblings, (uintptr_t)node);
        } else {
            leaf = node_fold(trie, node);
            if (leaf == NULL) return;
            route_children_replace(trie, siblings, (uintptr_t)node, route_child_of_leaf(leaf));
            uintptr_t only = route_word_own(&node->children);
            if (only != 0) leaf_retire(trie, route_child_leaf(only));
        }
        node_retire(trie, node);
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
    path_begin(trie, levels, &path);
    route_word *routes = path_complete(trie, levels, &path);
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
    path_begin(trie, levels, &path);
    route_word *routes = path_routes(levels, &path);
    bool found = routes && route_set_remove(trie, routes, group, target);
    if (found) {
        bool last = route_word_own(routes) == 0;
        route_count(&trie->routes, -1);
        route_count(&trie->filters, -last);
        if (last) path_prune(trie, &path);
        version_grow(trie);
    }
    writer_leave(trie);
    return found;
}
