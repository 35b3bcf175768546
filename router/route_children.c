#include "router/route_children.h"

#include "base/huge.h"

#define TABLE_SLOTS_MIN 4
#define BUILD_SLOTS_MIN 4096 /* a smaller table is copied at once */
#define BUILD_A_TIME    64   /* slots: through when the table has grown by a 64th */

static size_t table_bytes(uint32_t slots_count) { return sizeof(struct route_table) + slots_count * sizeof(route_word); }

static bool child_is(uintptr_t child, struct span label)
{
    if (!route_child_is_leaf(child)) {
        const struct route_node *node = route_child_node(child);
        return span_equal(span_of(node->label, node->label_bytes), label);
    }
    const struct route_leaf *leaf = route_child_leaf(child);
    return leaf->tail_bytes >= label.bytes && (leaf->tail_bytes == label.bytes || leaf->tail[label.bytes] == '/') &&
           span_equal(span_of(leaf->tail, label.bytes), label);
}

static bool child_is_plus(uintptr_t child) { return child_is(child, SPAN_LITERAL("+")); }

static uint32_t level_hash(const struct route_trie *trie, struct span level)
{
    return (uint32_t)route_level_hash(level, trie->hash_seed) & trie->hash_mask;
}
static uint32_t child_hash(const struct route_trie *trie, uintptr_t child) { return level_hash(trie, route_child_label(child)); }

uintptr_t route_children_find(const struct route_trie *trie, uintptr_t children, struct span level)
{
    if (!route_is_table(children)) return children != 0 && child_is(children, level) ? children : 0;

    const struct route_table *table = route_table_of(children);
    if (level_is(level, '+')) return route_word_own(&table->plus);
    uint32_t hash = level_hash(trie, level);
    uintptr_t tag = route_slot_tag(hash);
    for (uint32_t i = route_slot_home(hash, table->slots_count);; i = route_slot_after(i, table->slots_count)) {
        uintptr_t slot = route_word_own(&table->slots[i]);
        if (slot == ROUTE_SLOT_EMPTY) return 0;
        if (route_slot_may_be(slot, tag) && child_is(route_slot_child(slot), level)) return route_slot_child(slot);
    }
}

/* Returns the slot. Relaxed is enough into a table nobody sees yet, release is needed into one that is published: always release. */
static uint32_t table_put(const struct route_trie *trie, struct route_table *table, uintptr_t child)
{
    if (child_is_plus(child)) {
        DCHECK(route_word_own(&table->plus) == 0);
        route_word_publish(&table->plus, child);
        return UINT32_MAX;
    }
    uint32_t hash = child_hash(trie, child), i = route_slot_home(hash, table->slots_count);
    while (route_slot_has_child(route_word_own(&table->slots[i])))
        i = route_slot_after(i, table->slots_count);
    if (route_word_own(&table->slots[i]) == ROUTE_SLOT_EMPTY) table->filled++;
    table->live++;
    route_word_publish(&table->slots[i], child | route_slot_tag(hash));
    return i;
}

/* Room for half as many more as there are, and for what fits into the block beside that. */
static struct route_table *table_acquire(struct route_trie *trie, uint32_t live)
{
    uint32_t slots_count = live + live / 2 + 1;
    if (slots_count < TABLE_SLOTS_MIN) slots_count = TABLE_SLOTS_MIN;
    slots_count += (uint32_t)((pool_block_bytes(table_bytes(slots_count)) - table_bytes(slots_count)) / sizeof(route_word));
    struct route_table *table = route_block_acquire(trie, table_bytes(slots_count));
    table->slots_count = slots_count;
    return table;
}

/* The same children in a table that has the right size for `live` of them. */
static struct route_table *table_copy(struct route_trie *trie, const struct route_table *old, uint32_t live)
{
    struct route_table *table = table_acquire(trie, live);
    for (uint32_t i = 0; i < old->slots_count; i++) {
        uintptr_t slot = route_word_own(&old->slots[i]);
        if (route_slot_has_child(slot)) table_put(trie, table, route_slot_child(slot));
    }
    route_word_publish(&table->plus, route_word_own(&old->plus));
    return table;
}

static void table_retire(struct route_trie *trie, struct route_table *table)
{
    route_block_retire(trie, table, table_bytes(table->slots_count));
}

/* ---- large tables, copied in parts -------------------------------------------------------------------------------- */

static void table_take(const struct route_trie *trie, struct route_table *table, uintptr_t child);

static struct route_build *build_of(struct route_trie *trie, const struct route_table *table)
{
    for (uint32_t i = 0; trie->builds_count && i < ROUTE_BUILDS; i++)
        if (trie->builds[i].table == table) return &trie->builds[i];
    return NULL;
}

/* NULL: as many as can be are under way. */
static struct route_build *build_begin(struct route_trie *trie, struct route_table *table, uint32_t live)
{
    struct route_build *build = build_of(trie, table);
    for (uint32_t i = 0; !build && i < ROUTE_BUILDS; i++) {
        if (trie->builds[i].table) continue;
        build = &trie->builds[i];
        *build = (struct route_build){.table = table, .next = table_acquire(trie, live)};
        trie->builds_count++;
    }
    return build;
}

static void build_end(struct route_trie *trie, struct route_build *build)
{
    *build = (struct route_build){0};
    trie->builds_count--;
}

/* The table goes before it is copied. */
static void build_drop(struct route_trie *trie, const struct route_table *table)
{
    struct route_build *build = build_of(trie, table);
    if (LIKELY(!build)) return;
    table_retire(trie, build->next);
    build_end(trie, build);
}

static void build_go_on(struct route_trie *trie, route_word *children, struct route_build *build, uint32_t count)
{
    struct route_table *table = build->table, *next = build->next;
    for (; count && build->copied < table->slots_count; count--, build->copied++) {
        uintptr_t slot = route_word_own(&table->slots[build->copied]);
        if (route_slot_has_child(slot)) table_put(trie, next, route_slot_child(slot));
    }
    if (build->copied < table->slots_count) return;
    route_word_publish(&next->plus, route_word_own(&table->plus));
    route_word_publish(children, (uintptr_t)next | ROUTE_TABLE_TAG);
    huge_soon(next, table_bytes(next->slots_count)); /* each walk looks somewhere else in it */
    build_end(trie, build);
    table_retire(trie, table);
}

/* The same change where the copy has it already. */
static void build_added(struct route_trie *trie, const struct route_build *build, uint32_t i, uintptr_t child)
{
    if (build && i < build->copied) table_put(trie, build->next, child);
}

/* The same children in a table of the right size for `live`: now, or when enough changes have come by. */
static void table_exchange(struct route_trie *trie, route_word *children, struct route_table *table, uint32_t live)
{
    struct route_build *build = table->slots_count >= BUILD_SLOTS_MIN ? build_begin(trie, table, live) : NULL;
    if (build) return;
    struct route_table *copy = table_copy(trie, table, live);
    route_word_publish(children, (uintptr_t)copy | ROUTE_TABLE_TAG);
    table_retire(trie, table);
}

/* ---- changes -------------------------------------------------------------------------------------------------------- */

void route_children_add(struct route_trie *trie, route_word *children, uintptr_t child)
{
    uintptr_t word = route_word_own(children);
    DCHECK(child != 0 && (child & (ROUTE_TABLE_TAG | ~ROUTE_SLOT_CHILD_MASK)) == 0);
    if (word == 0) {
        route_word_publish(children, child);
        return;
    }
    if (!route_is_table(word)) {
        struct route_table *table = table_acquire(trie, 2);
        table_put(trie, table, word);
        table_put(trie, table, child);
        route_word_publish(children, (uintptr_t)table | ROUTE_TABLE_TAG);
        return;
    }
    struct route_table *table = route_table_of(word);
    if (!child_is_plus(child) && (table->filled + 1ull) * 4 > table->slots_count * 3ull) {
        table_exchange(trie, children, table, table->live + 1);
        struct route_build *grows = build_of(trie, table);
        if (grows && (table->filled + 1ull) * 8 > table->slots_count * 7ull) build_go_on(trie, children, grows, UINT32_MAX);
        table = route_table_of(route_word_own(children));
    }
    struct route_build *build = build_of(trie, table);
    build_added(trie, build, table_put(trie, table, child), child);
    if (UNLIKELY(build)) build_go_on(trie, children, build, BUILD_A_TIME);
}

/* Where the child stands. */
static uint32_t table_slot(const struct route_trie *trie, const struct route_table *table, uintptr_t child)
{
    uint32_t i = route_slot_home(child_hash(trie, child), table->slots_count);
    while (route_slot_child(route_word_own(&table->slots[i])) != child) {
        DCHECK(route_word_own(&table->slots[i]) != ROUTE_SLOT_EMPTY);
        i = route_slot_after(i, table->slots_count);
    }
    return i;
}

static void table_take(const struct route_trie *trie, struct route_table *table, uintptr_t child)
{
    if (route_word_own(&table->plus) == child) {
        route_word_publish(&table->plus, 0);
        return;
    }
    uint32_t i = table_slot(trie, table, child);
    /* Before an empty slot no probe needs the grave. */
    bool bury = route_word_own(&table->slots[route_slot_after(i, table->slots_count)]) != ROUTE_SLOT_EMPTY;
    route_word_publish(&table->slots[i], bury ? ROUTE_SLOT_GRAVE : ROUTE_SLOT_EMPTY);
    if (!bury) table->filled--;
    table->live--;
}

static uintptr_t table_any(const struct route_table *table)
{
    uintptr_t plus = route_word_own(&table->plus);
    if (plus != 0) return plus;
    for (uint32_t i = 0; i < table->slots_count; i++) {
        uintptr_t slot = route_word_own(&table->slots[i]);
        if (route_slot_has_child(slot)) return route_slot_child(slot);
    }
    UNREACHABLE("a table holds two children or more");
}

void route_children_remove(struct route_trie *trie, route_word *children, uintptr_t child)
{
    uintptr_t word = route_word_own(children);
    if (!route_is_table(word)) {
        DCHECK(word == child);
        route_word_publish(children, 0);
        return;
    }
    struct route_table *table = route_table_of(word);
    struct route_build *build = build_of(trie, table);
    bool copied = UNLIKELY(build) && route_word_own(&table->plus) != child && table_slot(trie, table, child) < build->copied;
    if (copied) table_take(trie, build->next, child);
    table_take(trie, table, child);
    uint32_t remaining = table->live + (route_word_own(&table->plus) != 0);
    if (remaining == 1) {
        build_drop(trie, table);
        route_word_publish(children, table_any(table));
        table_retire(trie, table);
    } else if (UNLIKELY(build)) {
        build_go_on(trie, children, build, BUILD_A_TIME);
    } else if (table->slots_count > 2 * TABLE_SLOTS_MIN && table->live < table->slots_count / 4) {
        table_exchange(trie, children, table, table->live);
    }
}

static void slot_exchange(route_word *slot, uintptr_t child)
{
    route_word_publish(slot, child | (route_word_own(slot) & ~ROUTE_SLOT_CHILD_MASK));
}

void route_children_replace(struct route_trie *trie, route_word *children, uintptr_t old, uintptr_t child)
{
    uintptr_t word = route_word_own(children);
    if (!route_is_table(word)) {
        DCHECK(word == old);
        route_word_publish(children, child);
        return;
    }
    struct route_table *table = route_table_of(word);
    if (route_word_own(&table->plus) == old) {
        route_word_publish(&table->plus, child);
        return;
    }
    uint32_t i = table_slot(trie, table, old);
    const struct route_build *build = build_of(trie, table);
    if (UNLIKELY(build) && i < build->copied) slot_exchange(&build->next->slots[table_slot(trie, build->next, old)], child);
    slot_exchange(&table->slots[i], child);
}

void route_children_release(struct route_trie *trie, uintptr_t children, void (*visit)(struct route_trie *trie, uintptr_t child))
{
    if (children == 0) return;
    if (!route_is_table(children)) {
        visit(trie, children);
        return;
    }
    struct route_table *table = route_table_of(children);
    struct route_build *build = build_of(trie, table);
    if (build) {
        route_block_release(trie, build->next, table_bytes(build->next->slots_count));
        build_end(trie, build);
    }
    if (route_word_own(&table->plus)) visit(trie, route_word_own(&table->plus));
    for (uint32_t i = 0; i < table->slots_count; i++)
        if (route_slot_has_child(route_word_own(&table->slots[i]))) visit(trie, route_slot_child(route_word_own(&table->slots[i])));
    route_block_release(trie, table, table_bytes(table->slots_count));
}
