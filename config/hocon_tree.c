#include "config/hocon_tree.h"

#include "base/hash.h"
#include "base/memory.h"

#define SLOTS_FROM_COUNT 16 /* smaller objects are searched one by one */

struct hocon_tree *hocon_tree_create(const char *const *environment)
{
    struct hocon_tree *tree = memory_acquire_zeroed(sizeof *tree);
    tree->environment = environment;
    tree->root = hocon_node_create(tree, NODE_OBJECT, (struct config_origin){ORIGIN_DEFAULT, 0, 0, "root"});
    return tree;
}

void hocon_tree_release(struct hocon_tree *tree)
{
    if (!tree) return;
    arena_release(&tree->arena);
    memory_release(tree);
}

struct node *hocon_node_create(struct hocon_tree *tree, enum node_kind kind, struct config_origin origin)
{
    struct node *node = arena_take(&tree->arena, sizeof *node);
    node->kind = kind;
    node->origin = origin;
    return node;
}

bool node_is_text(const struct node *node) { return node->kind <= NODE_STRING || node->kind == NODE_BLANK; }

bool node_is_literal(const struct node *node) { return node->kind <= NODE_OBJECT; }

void node_add_item(struct hocon_tree *tree, struct node *list, struct node *item)
{
    list->items = arena_grow(&tree->arena, list->items, list->count, sizeof *list->items);
    list->items[list->count++] = item;
}

static void slot_insert(struct node *object, struct field *field)
{
    uint32_t mask = object->slots_count - 1, slot = (uint32_t)hash_span(field->name) & mask;
    while (object->slots[slot])
        slot = (slot + 1) & mask;
    object->slots[slot] = field;
}

static void slots_build(struct hocon_tree *tree, struct node *object)
{
    object->slots_count = object->slots_count ? object->slots_count * 2 : SLOTS_FROM_COUNT * 4;
    object->slots = arena_take(&tree->arena, object->slots_count * sizeof(struct field *));
    for (uint32_t i = 0; i < object->count; i++)
        slot_insert(object, object->fields[i]);
}

struct field *object_find(const struct node *object, struct span name)
{
    if (!object->slots) {
        for (uint32_t i = 0; i < object->count; i++)
            if (span_equal(object->fields[i]->name, name)) return object->fields[i];
        return NULL;
    }
    uint32_t mask = object->slots_count - 1, slot = (uint32_t)hash_span(name) & mask;
    for (; object->slots[slot]; slot = (slot + 1) & mask)
        if (span_equal(object->slots[slot]->name, name)) return object->slots[slot];
    return NULL;
}

static struct field *field_take(struct hocon_tree *tree, struct node *object, struct span name, struct config_origin origin)
{
    struct field *field = object_find(object, name);
    if (field) {
        field->origin = origin;
        return field;
    }
    field = arena_take(&tree->arena, sizeof *field);
    field->origin = origin;
    field->name = arena_copy(&tree->arena, name);
    object->fields = arena_grow(&tree->arena, object->fields, object->count, sizeof(struct field *));
    object->fields[object->count++] = field;
    if (object->slots) slot_insert(object, field);
    if (object->count >= SLOTS_FROM_COUNT && object->count * 2 > object->slots_count) slots_build(tree, object);
    return field;
}

/* The array to which one more item can simply be added, or NULL. */
static struct node *open_array(const struct definition *newest)
{
    if (!newest) return NULL;
    return newest->value->kind == NODE_ARRAY ? newest->value : newest->value->append ? newest->value->items[1] : NULL;
}

static void field_define(struct hocon_tree *tree, struct field *field, struct node *value)
{
    struct node *array = value->append ? open_array(field->newest) : NULL;
    if (array) {
        for (uint32_t i = 0; i < value->items[1]->count; i++)
            node_add_item(tree, array, value->items[1]->items[i]);
        return;
    }
    if (value->kind == NODE_OBJECT && field->newest && field->newest->value->kind == NODE_OBJECT) {
        object_merge(tree, field->newest->value, value);
        field->newest->value->origin = value->origin;
        return;
    }
    bool hides_older = value->kind <= NODE_STRING; /* arrays and objects may refer to what they replace */
    struct definition *definition = arena_take(&tree->arena, sizeof *definition);
    definition->value = value;
    definition->older = hides_older ? NULL : field->newest;
    field->newest = definition;
}

void object_define(struct hocon_tree *tree, struct node *object, struct span name, struct config_origin name_origin,
                   struct node *value)
{
    field_define(tree, field_take(tree, object, name, name_origin), value);
}

/* Always "what was there, and this item": only merging may show that something was there. */
void object_append(struct hocon_tree *tree, struct node *object, struct span name, struct node *previous, struct node *item)
{
    struct node *array = hocon_node_create(tree, NODE_ARRAY, item->origin), *concat = hocon_node_create(tree, NODE_CONCAT, item->origin);
    node_add_item(tree, array, item);
    node_add_item(tree, concat, previous);
    node_add_item(tree, concat, array);
    concat->append = true;
    object_define(tree, object, name, previous->origin, concat);
}

struct node *object_at(struct hocon_tree *tree, struct node *object, const struct hocon_path *path, uint32_t count,
                       struct config_origin origin)
{
    for (uint32_t i = 0; i < count; i++) {
        struct field *field = field_take(tree, object, span_of_string(path->names[i]), origin);
        if (!field->newest || field->newest->value->kind != NODE_OBJECT)
            field_define(tree, field, hocon_node_create(tree, NODE_OBJECT, origin));
        object = field->newest->value;
    }
    return object;
}

static void merge_definitions(struct hocon_tree *tree, struct field *field, const struct definition *newest)
{
    size_t count = 0, next = 0;
    for (const struct definition *definition = newest; definition; definition = definition->older)
        count++;
    struct node **oldest_last = arena_take(&tree->arena, count * sizeof *oldest_last);
    for (const struct definition *definition = newest; definition; definition = definition->older)
        oldest_last[next++] = definition->value;
    while (next)
        field_define(tree, field, oldest_last[--next]);
}

void object_merge(struct hocon_tree *tree, struct node *object, const struct node *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        merge_definitions(tree, field_take(tree, object, from->fields[i]->name, from->fields[i]->origin),
                          from->fields[i]->newest);
}
