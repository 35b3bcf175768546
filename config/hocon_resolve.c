/* From definitions to values. Each definition is resolved at most once; a substitution resolves what it needs, in any order.
 *
 * A frame says inside which definitions, lexically, a substitution stands. One that leads back to a definition it stands in
 * means what was there before (`a = ${a} more`); one that leads to a definition that is being resolved for another reason is
 * a circle, and an error. */
#include "config/hocon_cursor.h"
#include "config/hocon_scan.h"
#include "config/hocon_value.h"

struct frame {
    const struct definition *definition;
    const struct frame *outer;
};

struct resolver {
    struct hocon_tree *tree;
    struct config_errors *errors;
    const struct config_origin *place; /* of the substitution looked up last: where a circle is reported */
    uint32_t depth;
};

/* Instead of a value when an error was added. NULL is another answer: undefined. */
static const struct hocon_value failed_value;
#define FAILED (&failed_value)

static const struct hocon_value *resolve_node(struct resolver *resolver, const struct node *node, const struct frame *frame);

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static const struct hocon_value *within_limits(struct resolver *resolver, const struct hocon_value *value,
                                               const struct config_origin *place)
{
    if (value->depth > HOCON_RESOLVE_DEPTH_MAX) {
        config_errors_add(resolver->errors, place, "substitutions build more than %d levels; use fewer", HOCON_RESOLVE_DEPTH_MAX);
        return FAILED;
    }
    if (value->weight > HOCON_VALUES_MAX || resolver->tree->arena.bytes_used > HOCON_MEMORY_BYTES_MAX) {
        config_errors_add(resolver->errors, place, "substitutions build more than %u values or %u MiB; use fewer",
                          HOCON_VALUES_MAX, HOCON_MEMORY_BYTES_MAX >> 20);
        return FAILED;
    }
    return value;
}

/* ---- definitions -------------------------------------------------------------------------------------------------- */

static const struct hocon_value *resolve_definition(struct resolver *resolver, struct definition *definition,
                                                    const struct frame *frame)
{
    const struct config_origin *place = resolver->place ? resolver->place : &definition->value->origin;
    if (definition->state == DEFINITION_DONE) return definition->result;
    if (definition->state == DEFINITION_FAILED) return FAILED;
    if (definition->state == DEFINITION_RESOLVING) {
        config_errors_add(resolver->errors, place, "this substitution leads in a circle back to itself; remove one of its steps");
        return FAILED;
    }
    if (resolver->depth == HOCON_RESOLVE_DEPTH_MAX) {
        config_errors_add(resolver->errors, place, "more than %d substitutions depend on one another; use fewer",
                          HOCON_RESOLVE_DEPTH_MAX);
        return FAILED;
    }
    resolver->depth++;
    definition->state = DEFINITION_RESOLVING;
    struct frame inner = {definition, frame};
    const struct hocon_value *value = resolve_node(resolver, definition->value, &inner);
    if (value && value != FAILED) value = within_limits(resolver, value, &definition->value->origin);
    definition->state = value == FAILED ? DEFINITION_FAILED : DEFINITION_DONE;
    definition->result = value == FAILED ? NULL : value;
    resolver->depth--;
    return value;
}

/* What is known from newer definitions, and the next older one. False: older ones no longer matter. */
static bool lay_over(struct resolver *resolver, const struct hocon_value **sum, const struct hocon_value *older)
{
    if (!older) return true;
    if (older == FAILED) {
        *sum = FAILED;
        return false;
    }
    if (!*sum)
        *sum = older;
    else if (older->kind == HOCON_OBJECT)
        *sum = value_merge(&resolver->tree->arena, *sum, older);
    else
        return false;
    return (*sum)->kind == HOCON_OBJECT;
}

static bool hidden(const struct hocon_value *sum, const struct definition *definition)
{
    return sum && node_is_literal(definition->value) && definition->value->kind != NODE_OBJECT;
}

static const struct hocon_value *resolve_definitions(struct resolver *resolver, struct definition *newest,
                                                     const struct frame *frame)
{
    const struct hocon_value *sum = NULL;
    for (struct definition *definition = newest; definition; definition = definition->older)
        if (hidden(sum, definition) || !lay_over(resolver, &sum, resolve_definition(resolver, definition, frame))) break;
    return sum;
}

static const struct hocon_value *resolve_field(struct resolver *resolver, struct field *field, const struct frame *frame)
{
    if (field->resolved) return field->result;
    const struct hocon_value *value = resolve_definitions(resolver, field->newest, frame);
    if (value == FAILED) return FAILED;
    field->result = value;
    field->resolved = true;
    return value;
}

/* ---- looking up a path -------------------------------------------------------------------------------------------- */

static bool stands_in(const struct frame *frame, const struct definition *definition)
{
    for (; frame; frame = frame->outer)
        if (frame->definition == definition) return true;
    return false;
}

/* The newest definition that a substitution standing in `asker` may see of this field. */
static struct definition *visible_definition(const struct field *field, const struct frame *asker, bool whole)
{
    for (struct definition *definition = field->newest; definition; definition = definition->older) {
        bool steps_through = definition->value->kind == NODE_OBJECT && !whole;
        if (!steps_through && stands_in(asker, definition)) return definition->older;
    }
    return field->newest;
}

static const struct hocon_value *member_at(const struct hocon_value *value, const char *const *names, uint32_t count)
{
    for (; value && count; names++, count--)
        value = value->kind == HOCON_OBJECT ? hocon_member(value, *names) : NULL;
    return value;
}

struct lookup {
    const struct hocon_path *path;
    const struct frame *asker;
};

static const struct hocon_value *look_up(struct resolver *resolver, const struct lookup *lookup, const struct node *object,
                                         uint32_t step, const struct frame *frame);

static const struct hocon_value *look_in(struct resolver *resolver, const struct lookup *lookup, struct definition *definition,
                                         uint32_t step, const struct frame *frame)
{
    struct frame inner = {definition, frame};
    if (definition->value->kind == NODE_OBJECT) return look_up(resolver, lookup, definition->value, step, &inner);
    const struct hocon_value *value = resolve_definition(resolver, definition, frame);
    if (!value || value == FAILED) return value;
    return member_at(value, (const char *const *)lookup->path->names + step, lookup->path->count - step);
}

static const struct hocon_value *look_up(struct resolver *resolver, const struct lookup *lookup, const struct node *object,
                                         uint32_t step, const struct frame *frame)
{
    struct field *field = object_find(object, span_of_string(lookup->path->names[step]));
    if (!field) return NULL;
    bool whole = step + 1 == lookup->path->count;
    struct definition *newest = visible_definition(field, lookup->asker, whole);
    if (whole) return newest == field->newest ? resolve_field(resolver, field, frame)
                                              : resolve_definitions(resolver, newest, frame);
    const struct hocon_value *sum = NULL;
    for (struct definition *definition = newest; definition; definition = definition->older) {
        if (node_is_literal(definition->value) && definition->value->kind != NODE_OBJECT) break;
        if (!lay_over(resolver, &sum, look_in(resolver, lookup, definition, step + 1, frame))) break;
    }
    return sum;
}

/* ---- substitutions ------------------------------------------------------------------------------------------------ */

static const struct hocon_value *from_environment(struct resolver *resolver, const struct node *node)
{
    for (const char *const *variable = resolver->tree->environment; variable && *variable; variable++) {
        struct span text = span_of_string(*variable);
        if (!span_starts_with(text, node->text) || text.data[node->text.bytes] != '=') continue;
        text = span_skip(text, node->text.bytes + 1);
        struct config_origin origin = {ORIGIN_ENVIRONMENT, 1, 1, (const char *)node->text.data};
        struct cursor cursor = {.errors = resolver->errors, .at = text.data, .end = text.data + text.bytes, .here = origin};
        if (!cursor_check_text(&cursor)) return FAILED;
        return value_scalar(&resolver->tree->arena, HOCON_STRING, node->origin, arena_copy(&resolver->tree->arena, text));
    }
    return NULL;
}

static const struct hocon_value *find_value(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    struct hocon_tree *tree = resolver->tree;
    const struct hocon_value *value = NULL;
    if (node->prefix.count) {
        struct hocon_path path = path_join(tree, &node->prefix, &node->path);
        value = look_up(resolver, &(struct lookup){&path, frame}, tree->root, 0, NULL);
    }
    if (!value) value = look_up(resolver, &(struct lookup){&node->path, frame}, tree->root, 0, NULL);
    return value || node->text.bytes == 0 ? value : from_environment(resolver, node); /* no text: the left side of += */
}

static const struct hocon_value *resolve_reference(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    const struct config_origin *outer_place = resolver->place;
    resolver->place = &node->origin;
    const struct hocon_value *value = find_value(resolver, node, frame);
    resolver->place = outer_place;
    if (!value && !node->optional) {
        config_errors_add(resolver->errors, &node->origin,
                          "${%.100s} refers to nothing: no key has this name before it, and no environment variable; "
                          "write ${?%.100s} if it may be missing", (const char *)node->text.data, (const char *)node->text.data);
        return FAILED;
    }
    if (!value || value == FAILED || value->kind >= HOCON_ARRAY) return value;
    return value_scalar(&resolver->tree->arena, value->kind, node->origin, value->text); /* found here, as the reader sees it */
}

/* ---- concatenations ----------------------------------------------------------------------------------------------- */

static const struct hocon_value *join_texts(struct resolver *resolver, const struct node *node, const struct values *pieces)
{
    struct arena_text text = {.arena = &resolver->tree->arena};
    size_t bytes = 0;
    for (uint32_t i = 0; i < pieces->count; i++)
        bytes += pieces->list[i]->text.bytes;
    if (bytes > HOCON_MEMORY_BYTES_MAX / 4) {
        config_errors_add(resolver->errors, &node->origin, "substitutions build a string of more than %u MiB; use fewer",
                          HOCON_MEMORY_BYTES_MAX / 4 >> 20);
        return FAILED;
    }
    for (uint32_t i = 0; i < pieces->count; i++)
        arena_text_add(&text, pieces->list[i]->text.data, pieces->list[i]->text.bytes);
    return value_scalar(text.arena, HOCON_STRING, node->origin, arena_text_span(&text));
}

static const struct hocon_value *join_arrays(struct resolver *resolver, const struct node *node, const struct values *pieces)
{
    struct values items = {.arena = &resolver->tree->arena};
    for (uint32_t i = 0; i < pieces->count; i++) {
        for (uint32_t j = 0; j < pieces->list[i]->count; j++)
            values_add(&items, pieces->list[i]->items[j]);
        if (items.count > HOCON_VALUES_MAX) break; /* within_limits() will say so */
    }
    return value_array(&items, node->origin);
}

static const struct hocon_value *join_objects(struct resolver *resolver, const struct values *pieces)
{
    const struct hocon_value *sum = pieces->list[0];
    for (uint32_t i = 1; i < pieces->count; i++)
        sum = value_merge(&resolver->tree->arena, pieces->list[i], sum);
    return sum;
}

/* `solid`: without the white space between them, which counts only for strings. */
static const struct hocon_value *join(struct resolver *resolver, const struct node *node, const struct values *pieces,
                                      const struct values *solid)
{
    if (pieces->count == 0) return NULL;
    if (pieces->count == 1) return pieces->list[0];
    enum hocon_kind kind = solid->count ? solid->list[0]->kind : HOCON_STRING;
    for (uint32_t i = 1; i < solid->count; i++) {
        enum hocon_kind other = solid->list[i]->kind;
        if (other == kind || (kind < HOCON_ARRAY && other < HOCON_ARRAY)) continue;
        config_errors_add(resolver->errors, &solid->list[i]->origin, "%s directly behind %s; they cannot be joined",
                          hocon_kind_name(other), hocon_kind_name(solid->list[i - 1]->kind));
        return FAILED;
    }
    if (kind == HOCON_OBJECT) return join_objects(resolver, solid);
    return kind == HOCON_ARRAY ? join_arrays(resolver, node, solid) : join_texts(resolver, node, pieces);
}

static const struct hocon_value *resolve_concat(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    struct values pieces = {.arena = &resolver->tree->arena}, solid = pieces;
    bool failed = false;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node *item = node->items[i];
        if (item->kind == NODE_BLANK) {
            values_add(&pieces, value_scalar(pieces.arena, HOCON_STRING, item->origin, item->text));
            continue;
        }
        const struct hocon_value *piece = resolve_node(resolver, item, frame);
        failed |= piece == FAILED;
        if (!piece || piece == FAILED) continue;
        values_add(&pieces, piece);
        values_add(&solid, piece);
    }
    return failed ? FAILED : join(resolver, node, &pieces, &solid);
}

/* ---- everything --------------------------------------------------------------------------------------------------- */

static const struct hocon_value *resolve_array(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    struct values items = {.arena = &resolver->tree->arena};
    bool failed = false;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct hocon_value *item = resolve_node(resolver, node->items[i], frame);
        failed |= item == FAILED;
        if (item && item != FAILED) values_add(&items, item);
    }
    return failed ? FAILED : value_array(&items, node->origin);
}

static const struct hocon_value *resolve_object(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    struct members members = {.arena = &resolver->tree->arena};
    bool failed = false;
    for (uint32_t i = 0; i < node->count; i++) {
        struct field *field = node->fields[i];
        const struct hocon_value *value = resolve_field(resolver, field, frame);
        failed |= value == FAILED;
        if (value && value != FAILED)
            members_add(&members, (struct hocon_member){(const char *)field->name.data, field->origin, value});
    }
    return failed ? FAILED : value_object(&members, node->origin);
}

static const struct hocon_value *resolve_node(struct resolver *resolver, const struct node *node, const struct frame *frame)
{
    switch (node->kind) {
    case NODE_ARRAY: return resolve_array(resolver, node, frame);
    case NODE_OBJECT: return resolve_object(resolver, node, frame);
    case NODE_REFERENCE: return resolve_reference(resolver, node, frame);
    case NODE_CONCAT: return resolve_concat(resolver, node, frame);
    case NODE_PREVIOUS: return resolve_definitions(resolver, frame->definition->older, frame->outer);
    default: return value_scalar(&resolver->tree->arena, (enum hocon_kind)node->kind, node->origin, node->text);
    }
}

const struct hocon_value *hocon_resolve(struct hocon_tree *tree, struct config_errors *errors)
{
    struct resolver resolver = {.tree = tree, .errors = errors};
    const struct hocon_value *root = resolve_object(&resolver, tree->root, NULL);
    if (root != FAILED) root = within_limits(&resolver, root, NULL);
    return root == FAILED ? NULL : root;
}
