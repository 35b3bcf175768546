#include "router/route_children.h"

#define TABLE_TAG 1u
#define SLOT_TAG_MASK 15u /* the allocator aligns to 16 */
#define SLOT_EMPTY 0u
#define SLOT_GRAVE 1u     /* no node at all, a tag only */
#define TABLE_SLOTS_MIN 4

struct table {
    uint32_t slots_count; /* a power of two; fixed */
    uint32_t live;        /* the writer's: nodes in slots */
    uint32_t filled;      /* the writer's: nodes and graves, at most 3/4 of the slots, so every probe ends */
    route_word plus;
    route_word slots[];
};

static struct table *table_of(uintptr_t children) { return (struct table *)(children - TABLE_TAG); }
static bool is_table(uintptr_t children) { return (children & TABLE_TAG) != 0; }
static size_t table_bytes(uint32_t slots_count) { return sizeof(struct table) + slots_count * sizeof(route_word); }
static struct route_node *slot_node(uintptr_t slot) { return (struct route_node *)(slot & ~(uintptr_t)SLOT_TAG_MASK); }
static uintptr_t slot_of(const struct route_node *node) { return (uintptr_t)node | node->hash >> 28; }

static bool node_is(const struct route_node *node, struct span label, uint32_t hash)
{
    return node->hash == hash && span_equal(span_of(node->label, node->label_bytes), label);
}

struct route_node *route_children_find(uintptr_t children, struct span label, uint32_t hash)
{
    if (!is_table(children)) {
        struct route_node *only = (struct route_node *)children;
        return only != NULL && !only->is_plus && node_is(only, label, hash) ? only : NULL;
    }
    const struct table *table = table_of(children);
    uint32_t mask = table->slots_count - 1, tag = hash >> 28;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        uintptr_t slot = route_word_read(&table->slots[i]);
        if (slot == SLOT_EMPTY) return NULL;
        struct route_node *node = slot_node(slot);
        if ((slot & SLOT_TAG_MASK) == tag && node != NULL && node_is(node, label, hash)) return node;
    }
}

struct route_node *route_children_plus(uintptr_t children)
{
    if (is_table(children)) return (struct route_node *)route_word_read(&table_of(children)->plus);
    struct route_node *only = (struct route_node *)children;
    return only != NULL && only->is_plus ? only : NULL;
}

/* Relaxed is enough into a table nobody sees yet, release is needed into one that is published: always release. */
static void table_put(struct table *table, struct route_node *node)
{
    if (node->is_plus) {
        DCHECK(route_word_own(&table->plus) == 0);
        route_word_publish(&table->plus, (uintptr_t)node);
        return;
    }
    uint32_t mask = table->slots_count - 1, i = node->hash & mask;
    while (slot_node(route_word_own(&table->slots[i])) != NULL)
        i = (i + 1) & mask;
    if (route_word_own(&table->slots[i]) == SLOT_EMPTY) table->filled++;
    table->live++;
    route_word_publish(&table->slots[i], slot_of(node));
}

static struct table *table_acquire(struct route_trie *trie, uint32_t live)
{
    uint32_t slots_count = TABLE_SLOTS_MIN;
    while (live > slots_count / 8 * 5 + slots_count % 8 / 2) /* room to grow before the next copy */
        slots_count *= 2;
    struct table *table = route_block_acquire(trie, table_bytes(slots_count));
    DCHECK(((uintptr_t)table & SLOT_TAG_MASK) == 0);
    table->slots_count = slots_count;
    return table;
}

/* The same nodes in a table that has the right size for `live` of them. */
static struct table *table_copy(struct route_trie *trie, const struct table *old, uint32_t live)
{
    struct table *table = table_acquire(trie, live);
    for (uint32_t i = 0; i < old->slots_count; i++) {
        struct route_node *node = slot_node(route_word_own(&old->slots[i]));
        if (node != NULL) table_put(table, node);
    }
    route_word_publish(&table->plus, route_word_own(&old->plus));
    return table;
}

static void table_retire(struct route_trie *trie, struct table *table)
{
    route_block_retire(trie, table, table_bytes(table->slots_count));
}

void route_children_add(struct route_trie *trie, route_word *children, struct route_node *child)
{
    uintptr_t word = route_word_own(children);
    DCHECK(((uintptr_t)child & SLOT_TAG_MASK) == 0);
    if (word == 0) {
        route_word_publish(children, (uintptr_t)child);
        return;
    }
    if (!is_table(word)) {
        struct table *table = table_acquire(trie, 2);
        table_put(table, (struct route_node *)word);
        table_put(table, child);
        route_word_publish(children, (uintptr_t)table | TABLE_TAG);
        return;
    }
    struct table *table = table_of(word);
    if (child->is_plus || (table->filled + 1) * 4 <= table->slots_count * 3) {
        table_put(table, child);
        return;
    }
    struct table *grown = table_copy(trie, table, table->live + 1);
    table_put(grown, child);
    route_word_publish(children, (uintptr_t)grown | TABLE_TAG);
    table_retire(trie, table);
}

static void table_take(struct table *table, const struct route_node *node)
{
    if (node->is_plus) {
        DCHECK(route_word_own(&table->plus) == (uintptr_t)node);
        route_word_publish(&table->plus, 0);
        return;
    }
    uint32_t mask = table->slots_count - 1, i = node->hash & mask;
    while (slot_node(route_word_own(&table->slots[i])) != node) {
        DCHECK(route_word_own(&table->slots[i]) != SLOT_EMPTY);
        i = (i + 1) & mask;
    }
    /* Before an empty slot no probe needs the grave. */
    bool bury = route_word_own(&table->slots[(i + 1) & mask]) != SLOT_EMPTY;
    route_word_publish(&table->slots[i], bury ? SLOT_GRAVE : SLOT_EMPTY);
    if (!bury) table->filled--;
    table->live--;
}

static struct route_node *table_any(const struct table *table)
{
    struct route_node *plus = (struct route_node *)route_word_own(&table->plus);
    if (plus != NULL) return plus;
    for (uint32_t i = 0; i < table->slots_count; i++) {
        struct route_node *node = slot_node(route_word_own(&table->slots[i]));
        if (node != NULL) return node;
    }
    UNREACHABLE("a table holds two children or more");
}

void route_children_remove(struct route_trie *trie, route_word *children, struct route_node *child)
{
    uintptr_t word = route_word_own(children);
    if (!is_table(word)) {
        DCHECK(word == (uintptr_t)child);
        route_word_publish(children, 0);
        return;
    }
    struct table *table = table_of(word);
    table_take(table, child);
    uint32_t remaining = table->live + (route_word_own(&table->plus) != 0);
    if (remaining == 1) {
        route_word_publish(children, (uintptr_t)table_any(table));
        table_retire(trie, table);
    } else if (table->slots_count > TABLE_SLOTS_MIN && table->live < table->slots_count / 8) {
        struct table *shrunk = table_copy(trie, table, table->live);
        route_word_publish(children, (uintptr_t)shrunk | TABLE_TAG);
        table_retire(trie, table);
    }
}

void route_children_release(struct route_trie *trie, uintptr_t children, void (*visit)(struct route_trie *trie, struct route_node *child))
{
    if (children == 0) return;
    if (!is_table(children)) {
        visit(trie, (struct route_node *)children);
        return;
    }
    struct table *table = table_of(children);
    if (route_word_own(&table->plus)) visit(trie, (struct route_node *)route_word_own(&table->plus));
    for (uint32_t i = 0; i < table->slots_count; i++)
        if (slot_node(route_word_own(&table->slots[i]))) visit(trie, slot_node(route_word_own(&table->slots[i])));
    route_block_release(trie, table, table_bytes(table->slots_count));
}
