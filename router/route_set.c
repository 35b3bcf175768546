#include "router/route_set.h"

#include "router/route_groups.h"

struct plain {
    uint32_t local_id;
    uint16_t target;
};

/* Many groups are a tree (route_groups.h) in place of the array. */
#define FLAT_MAX ROUTE_GROUPS_FAN

struct route_set {
    uint32_t groups_count, plain_count;
    void *groups[]; /* struct group_block *, or the tree's root alone; then struct plain[plain_count] */
};

static uint32_t words_of(uint32_t groups_count) { return groups_count <= FLAT_MAX ? groups_count : 1; }

static uintptr_t inline_of(struct plain plain)
{
    return (uintptr_t)plain.local_id << 32 | (uintptr_t)plain.target << 16 | ROUTE_INLINE_TAG;
}
static struct plain inline_plain(uintptr_t word) { return (struct plain){(uint32_t)(word >> 32), (uint16_t)(word >> 16)}; }
_Static_assert(sizeof(uintptr_t) == 8, "a word holds a local id and a target");

static size_t set_bytes(uint32_t groups_count, uint32_t plain_count)
{
    return sizeof(struct route_set) + words_of(groups_count) * sizeof(void *) + plain_count * sizeof(struct plain);
}
static struct plain *set_plain(struct route_set *set) { return (struct plain *)(set->groups + words_of(set->groups_count)); }

static size_t group_bytes(uint32_t targets_count, size_t name_bytes)
{
    return sizeof(struct group_block) + targets_count * sizeof(struct route_target) + name_bytes;
}
/* A writable picture of the set, whatever form the word has. `one` is room for the inline route. */
struct view {
    void **groups; /* as in the set */
    struct plain *plain;
    struct plain one;
    uint32_t groups_count, plain_count;
};

static void view_of(uintptr_t word, struct view *ret)
{
    *ret = (struct view){0};
    if (word == 0) return;
    if (route_is_inline(word)) {
        ret->one = inline_plain(word);
        ret->plain = &ret->one;
        ret->plain_count = 1;
        return;
    }
    struct route_set *set = (struct route_set *)word;
    ret->groups = set->groups;
    ret->groups_count = set->groups_count;
    ret->plain = set_plain(set);
    ret->plain_count = set->plain_count;
}

static uint32_t plain_find(const struct view *view, uint16_t target)
{
    uint32_t i = 0;
    while (i < view->plain_count && view->plain[i].target != target)
        i++;
    return i;
}

static bool is_tree(uint32_t groups_count) { return groups_count > FLAT_MAX; }

/* NULL: there is none of that name. */
static struct group_block *group_find(const struct route_trie *trie, const struct view *view, struct span name)
{
    if (is_tree(view->groups_count)) return route_groups_find(trie, view->groups[0], name);
    for (uint32_t i = 0; i < view->groups_count; i++)
        if (span_equal(group_block_name(view->groups[i]), name)) return view->groups[i];
    return NULL;
}

static uint32_t target_find(const struct group_block *group, uint16_t target)
{
    uint32_t i = 0;
    while (i < group->targets_count && group->targets[i].target != target)
        i++;
    return i;
}

static void set_publish(struct route_trie *trie, route_word *word, uintptr_t value)
{
    uintptr_t old = route_word_own(word);
    route_word_publish(word, value);
    if (old == 0 || route_is_inline(old)) return;
    const struct route_set *set = (const struct route_set *)old;
    route_block_retire(trie, (void *)old, set_bytes(set->groups_count, set->plain_count));
}

static struct route_set *set_acquire(struct route_trie *trie, uint32_t groups_count, uint32_t plain_count)
{
    struct route_set *set = route_block_acquire(trie, set_bytes(groups_count, plain_count));
    set->groups_count = groups_count;
    set->plain_count = plain_count;
    return set;
}

static void array_copy(void *to, const void *from, size_t bytes)
{
    if (bytes) memcpy(to, from, bytes);
}

/* from[count] without the one at `hole`; hole == count copies all. */
static void array_copy_without(void *to, const void *from, uint32_t count, uint32_t hole, size_t item_bytes)
{
    array_copy(to, from, hole * item_bytes);
    if (hole < count)
        array_copy((char *)to + hole * item_bytes, (const char *)from + (hole + 1) * item_bytes,
                   (count - hole - 1) * item_bytes);
}

static bool plain_add(struct route_trie *trie, route_word *word, const struct route *route)
{
    struct plain plain = {route->local_id, route->target};
    struct view view;
    view_of(route_word_own(word), &view);
    uint32_t at = plain_find(&view, route->target);
    bool added = at == view.plain_count;
    uint32_t plain_count = view.plain_count + added;
    if (view.groups_count == 0 && plain_count == 1) {
        set_publish(trie, word, inline_of(plain));
        return added;
    }
    struct route_set *set = set_acquire(trie, view.groups_count, plain_count);
    array_copy(set->groups, view.groups, words_of(view.groups_count) * sizeof *view.groups);
    array_copy(set_plain(set), view.plain, view.plain_count * sizeof *view.plain);
    set_plain(set)[at] = plain;
    set_publish(trie, word, (uintptr_t)set);
    return added;
}

static bool plain_remove(struct route_trie *trie, route_word *word, uint16_t target)
{
    struct view view;
    view_of(route_word_own(word), &view);
    uint32_t at = plain_find(&view, target), plain_count = view.plain_count - 1;
    if (at == view.plain_count) return false;
    if (view.groups_count == 0 && plain_count <= 1) {
        set_publish(trie, word, plain_count == 1 ? inline_of(view.plain[1 - at]) : 0);
        return true;
    }
    struct route_set *set = set_acquire(trie, view.groups_count, plain_count);
    array_copy(set->groups, view.groups, words_of(view.groups_count) * sizeof *view.groups);
    array_copy_without(set_plain(set), view.plain, view.plain_count, at, sizeof *view.plain);
    set_publish(trie, word, (uintptr_t)set);
    return true;
}

static struct group_block *group_acquire(struct route_trie *trie, uint32_t targets_count, struct span name)
{
    struct group_block *group = route_block_acquire(trie, group_bytes(targets_count, name.bytes));
    group->targets_count = targets_count;
    group->name_bytes = (uint16_t)name.bytes;
    array_copy(group->targets + targets_count, name.data, name.bytes);
    return group;
}

static void group_retire(struct route_trie *trie, struct group_block *group)
{
    route_block_retire(trie, group, group_bytes(group->targets_count, group->name_bytes));
}

static void group_sum(struct group_block *group)
{
    group->weight_total = 0;
    for (uint32_t i = 0; i < group->targets_count; i++)
        group->weight_total += group->targets[i].weight;
}

/* `old` may be NULL: the group is new. */
static struct group_block *group_with(struct route_trie *trie, struct group_block *old, struct span filter, const struct route *route,
                                bool *ret_added)
{
    uint32_t count = old ? old->targets_count : 0;
    uint32_t at = old ? target_find(old, route->target) : 0;
    *ret_added = at == count;
    struct group_block *group = group_acquire(trie, count + *ret_added, route->group);
    group->id = old ? old->id : hash_span_seeded(route->group, hash_span(filter));
    group->strategy = route->strategy;
    if (old) array_copy(group->targets, old->targets, count * sizeof *old->targets);
    group->targets[at] = (struct route_target){route->local_id, route->weight ? route->weight : 1, route->target};
    group_sum(group);
    return group;
}

struct gathering {
    void **groups;
    uint32_t count;
};

static void gather(void *context, struct group_block *group)
{
    struct gathering *gathering = context;
    gathering->groups[gathering->count++] = group;
}

/* The groups of the new set: `made` in the place of `old` (NULL: it is one more); made NULL: without it. */
static void groups_exchange(struct route_trie *trie, const struct view *view, struct group_block *old, struct group_block *made, struct route_set *set)
{
    bool was_tree = is_tree(view->groups_count);
    if (is_tree(set->groups_count)) {
        struct route_groups *root = was_tree ? view->groups[0] : NULL;
        for (uint32_t i = 0; !was_tree && i < view->groups_count; i++)
            root = route_groups_put(trie, root, NULL, view->groups[i]);
        set->groups[0] = route_groups_put(trie, root, old, made);
        return;
    }
    struct gathering left = {.groups = set->groups};
    if (was_tree) { /* it has become small */
        struct route_groups *root = route_groups_put(trie, view->groups[0], old, made);
        route_groups_each(root, gather, &left);
        route_groups_retire(trie, root);
    } else {
        for (uint32_t i = 0; i < view->groups_count; i++)
            if (view->groups[i] != old) gather(&left, view->groups[i]);
        if (made) gather(&left, made);
    }
    DCHECK(left.count == set->groups_count);
}

static void set_put_group(struct route_trie *trie, route_word *word, const struct view *view, struct group_block *old, struct group_block *made)
{
    uint32_t groups_count = view->groups_count + (old == NULL) - (made == NULL);
    if (groups_count == 0 && view->plain_count <= 1) {
        set_publish(trie, word, view->plain_count == 1 ? inline_of(view->plain[0]) : 0);
    } else {
        struct route_set *set = set_acquire(trie, groups_count, view->plain_count);
        groups_exchange(trie, view, old, made, set);
        array_copy(set_plain(set), view->plain, view->plain_count * sizeof *view->plain);
        set_publish(trie, word, (uintptr_t)set);
    }
    if (old != NULL) group_retire(trie, old);
}

static bool group_add(struct route_trie *trie, route_word *word, struct span filter, const struct route *route)
{
    struct view view;
    view_of(route_word_own(word), &view);
    bool added;
    struct group_block *old = group_find(trie, &view, route->group);
    struct group_block *group = group_with(trie, old, filter, route, &added);
    set_put_group(trie, word, &view, old, group);
    return added;
}

static bool group_remove(struct route_trie *trie, route_word *word, struct span name, uint16_t target)
{
    struct view view;
    view_of(route_word_own(word), &view);
    struct group_block *old = group_find(trie, &view, name), *group = NULL;
    if (!old) return false;
    uint32_t hole = target_find(old, target);
    if (hole == old->targets_count) return false;
    if (old->targets_count > 1) {
        group = group_acquire(trie, old->targets_count - 1, name);
        group->id = old->id;
        group->strategy = old->strategy;
        array_copy_without(group->targets, old->targets, old->targets_count, hole, sizeof *old->targets);
        group_sum(group);
    }
    set_put_group(trie, word, &view, old, group);
    return true;
}

bool route_set_add(struct route_trie *trie, route_word *word, struct span filter, const struct route *route)
{
    CHECK(route->group.bytes <= MQTT_STRING_BYTES_MAX);
    return route->group.bytes ? group_add(trie, word, filter, route) : plain_add(trie, word, route);
}

bool route_set_remove(struct route_trie *trie, route_word *word, struct span group, uint16_t target)
{
    return group.bytes ? group_remove(trie, word, group, target) : plain_remove(trie, word, target);
}

static void match_add(void *context, struct group_block *group)
{
    struct route_group found = {.id = group->id,
                                .targets = group->targets,
                                .weight_total = group->weight_total,
                                .targets_count = group->targets_count,
                                .strategy = group->strategy};
    route_match_add_group(context, &found);
}

void route_set_match_block(uintptr_t word, struct route_match *ret)
{
    struct view view;
    view_of(word, &view);
    for (uint32_t i = 0; i < view.plain_count; i++)
        route_match_add_plain(ret, view.plain[i].target, view.plain[i].local_id);
    if (UNLIKELY(is_tree(view.groups_count))) return route_groups_each(view.groups[0], match_add, ret);
    for (uint32_t i = 0; i < view.groups_count; i++)
        match_add(ret, view.groups[i]);
}

static void group_release(void *context, struct group_block *group)
{
    route_block_release(context, group, group_bytes(group->targets_count, group->name_bytes));
}

void route_set_release(struct route_trie *trie, uintptr_t word)
{
    if (word == 0 || route_is_inline(word)) return;
    struct route_set *set = (struct route_set *)word;
    if (is_tree(set->groups_count)) {
        route_groups_each(set->groups[0], group_release, trie);
        route_groups_release(trie, set->groups[0]);
    }
    for (uint32_t i = 0; !is_tree(set->groups_count) && i < set->groups_count; i++)
        group_release(trie, set->groups[i]);
    route_block_release(trie, set, set_bytes(set->groups_count, set->plain_count));
}
