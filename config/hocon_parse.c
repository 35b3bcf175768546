#include "config/hocon_parse.h"

#include "config/hocon_scan.h"

static struct node *parse_value(struct cursor *cursor);

/* ---- pieces of a value -------------------------------------------------------------------------------------------- */

static struct node *text_node(struct cursor *cursor, enum node_kind kind, struct config_origin origin, struct span text)
{
    struct node *node = hocon_node_create(cursor->tree, kind, origin);
    node->text = text;
    return node;
}

static struct node *parse_reference(struct cursor *cursor)
{
    struct node *node = hocon_node_create(cursor->tree, NODE_REFERENCE, cursor->here);
    if (!cursor_looking_at(cursor, "${")) {
        config_errors_add(cursor->errors, &cursor->here,
                          "`$` begins a substitution such as ${node.name}; put the value in double quotes to have a plain $");
        return NULL;
    }
    cursor_skip(cursor, 2);
    cursor->depth++; /* its brace, should we have to step over it */
    if (cursor_peek(cursor) == '?') {
        node->optional = true;
        cursor_skip(cursor, 1);
    }
    if (!scan_path(cursor, &node->path)) return NULL;
    if (cursor_peek(cursor) != '}') {
        config_errors_add(cursor->errors, &node->origin, "this substitution is not closed; write ${NAME}, with quotes for odd names");
        return NULL;
    }
    cursor_skip(cursor, 1);
    cursor->depth--;
    node->prefix = cursor->prefix;
    node->text = span_of_string(path_text(cursor->tree, &node->path));
    return node;
}

static bool enter(struct cursor *cursor, const char *what)
{
    if (cursor->depth == HOCON_DEPTH_MAX) {
        config_errors_add(cursor->errors, &cursor->here, "%s inside %d others; that is as deep as it goes", what, HOCON_DEPTH_MAX);
        return false;
    }
    cursor->depth++;
    cursor_skip(cursor, 1);
    return true;
}

/* Between two fields or items: a comma, new lines, or both. False when there is neither and `closing` does not follow. */
static bool separator(struct cursor *cursor, int closing)
{
    bool newline = cursor_skip_lines(cursor);
    if (cursor_peek(cursor) == ',') {
        cursor_skip(cursor, 1);
        return true;
    }
    return newline || cursor_peek(cursor) == closing || cursor_peek(cursor) == CURSOR_END;
}

/* Only the innermost of the brackets that are open at the end is named. */
static struct node *refuse_end(struct cursor *cursor, const struct config_origin *place, const char *what)
{
    if (!cursor->ended_early) config_errors_add(cursor->errors, place, "%s", what);
    cursor->ended_early = true;
    return NULL;
}

static struct node *parse_array(struct cursor *cursor)
{
    struct node *array = hocon_node_create(cursor->tree, NODE_ARRAY, cursor->here);
    bool place_known = cursor->place_known;
    if (!enter(cursor, "an array")) return NULL;
    cursor->place_known = false;
    for (;;) {
        cursor_skip_lines(cursor);
        if (cursor_peek(cursor) == ']') break;
        if (cursor_peek(cursor) == CURSOR_END) return refuse_end(cursor, &array->origin, "this [ is never closed; add ]");
        struct node *item = parse_value(cursor);
        if (!item) return NULL;
        node_add_item(cursor->tree, array, item);
        if (!separator(cursor, ']')) {
            config_errors_add(cursor->errors, &cursor->here, "found %s; put a comma or a new line between the items of an array, "
                              "and ] behind the last", cursor_describe(cursor));
            return NULL;
        }
    }
    cursor_skip(cursor, 1);
    cursor->depth--;
    cursor->place_known = place_known;
    return array;
}

static void parse_fields(struct cursor *cursor, struct node *object, int closing);

static struct node *parse_object(struct cursor *cursor)
{
    struct node *object = hocon_node_create(cursor->tree, NODE_OBJECT, cursor->here);
    if (!enter(cursor, "an object")) return NULL;
    parse_fields(cursor, object, '}');
    if (cursor_peek(cursor) != '}') return refuse_end(cursor, &object->origin, "this { is never closed; add }");
    cursor_skip(cursor, 1);
    cursor->depth--;
    return object;
}

static struct node *refuse(struct cursor *cursor)
{
    int byte = cursor_peek(cursor);
    if (byte == ':')
        config_errors_add(cursor->errors, &cursor->here,
                          "`:` cannot stand in a value without quotes; write it in double quotes, as in \"127.0.0.1:1883\"");
    else if (byte == '=')
        config_errors_add(cursor->errors, &cursor->here,
                          "a second `=`; write the value in double quotes, or begin the next key on a new line");
    else
        config_errors_add(cursor->errors, &cursor->here, "found %s where a value should be; write the value in double quotes",
                          cursor_describe(cursor));
    return NULL;
}

static struct node *parse_piece(struct cursor *cursor)
{
    struct config_origin start = cursor->here;
    struct span text;
    switch (cursor_peek(cursor)) {
    case '{': return parse_object(cursor);
    case '[': return parse_array(cursor);
    case '$': return parse_reference(cursor);
    case '"': return scan_quoted(cursor, &text) ? text_node(cursor, NODE_STRING, start, text) : NULL;
    }
    if (!cursor_at_unquoted(cursor)) return refuse(cursor);
    text = scan_unquoted(cursor);
    if (cursor_peek(cursor) == '+' && (text.data[text.bytes - 1] | 0x20) == 'e') { /* 1e+5 */
        struct cursor ahead = *cursor;
        cursor_skip(&ahead, 1);
        struct span all = span_of(text.data, text.bytes + 1 + scan_unquoted(&ahead).bytes);
        if (scan_classify(all) == NODE_NUMBER) {
            text = all;
            *cursor = ahead;
        }
    }
    return text_node(cursor, scan_classify(text), start, arena_copy(&cursor->tree->arena, text));
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static const char *piece_name(const struct node *node)
{
    return node->kind == NODE_OBJECT ? "an object" : node->kind == NODE_ARRAY ? "an array" : "a string";
}

/* Two literal pieces that follow one another become one; what holds a reference waits for hocon_resolve(). */
static bool join_literals(struct cursor *cursor, struct node *before, const struct node *after)
{
    if (before->kind == NODE_OBJECT && after->kind == NODE_OBJECT)
        object_merge(cursor->tree, before, after);
    else if (before->kind == NODE_ARRAY && after->kind == NODE_ARRAY)
        for (uint32_t i = 0; i < after->count; i++)
            node_add_item(cursor->tree, before, after->items[i]);
    else
        return false;
    return true;
}

static bool concat_add(struct cursor *cursor, struct node *concat, struct span blank, struct node *piece)
{
    struct node *last = concat->count ? concat->items[concat->count - 1] : NULL;
    bool literals = last && node_is_literal(last) && node_is_literal(piece);
    if (literals && !(node_is_text(last) && node_is_text(piece))) {
        if (join_literals(cursor, last, piece)) return true;
        config_errors_add(cursor->errors, &piece->origin, "%s directly behind %s; put a comma or a new line between them",
                          piece_name(piece), piece_name(last));
        return false;
    }
    if (last && blank.bytes)
        node_add_item(cursor->tree, concat,
                      text_node(cursor, NODE_BLANK, piece->origin, arena_copy(&cursor->tree->arena, blank)));
    node_add_item(cursor->tree, concat, piece);
    return true;
}

static struct node *concat_finish(struct cursor *cursor, struct node *concat)
{
    if (concat->count == 1) return concat->items[0];
    struct arena_text text = {.arena = &cursor->tree->arena};
    for (uint32_t i = 0; i < concat->count; i++) {
        if (!node_is_text(concat->items[i])) return concat;
        arena_text_add(&text, concat->items[i]->text.data, concat->items[i]->text.bytes);
    }
    return text_node(cursor, NODE_STRING, concat->origin, arena_text_span(&text));
}

static bool at_value_end(const struct cursor *cursor)
{
    int byte = cursor_peek(cursor);
    return byte == CURSOR_END || byte == '\n' || byte == ',' || byte == '}' || byte == ']' || cursor_at_comment(cursor);
}

static struct node *parse_value(struct cursor *cursor)
{
    if (at_value_end(cursor)) {
        config_errors_add(cursor->errors, &cursor->here, "a value is missing before %s; write one, \"\" for an empty string",
                          cursor_describe(cursor));
        return NULL;
    }
    struct node *concat = hocon_node_create(cursor->tree, NODE_CONCAT, cursor->here);
    for (;;) {
        const uint8_t *blank = cursor->at;
        cursor_skip_blanks(cursor);
        struct span between = span_of(blank, (size_t)(cursor->at - blank));
        if (at_value_end(cursor)) return concat_finish(cursor, concat);
        struct node *piece = parse_piece(cursor);
        if (!piece || !concat_add(cursor, concat, between, piece)) return NULL;
        if (cursor->tree->arena.bytes_used > HOCON_MEMORY_BYTES_MAX) {
            config_errors_add(cursor->errors, &cursor->here, "the configuration needs more than %u MiB; make it smaller",
                              HOCON_MEMORY_BYTES_MAX >> 20);
            cursor->at = cursor->end;
            cursor->ended_early = true;
            return NULL;
        }
    }
}

/* ---- fields ------------------------------------------------------------------------------------------------------- */

/* `=`, `:`, `+=`, or the `{` of a value that follows directly. */
static bool parse_assignment(struct cursor *cursor, const char *name, struct config_origin start, bool *ret_append)
{
    cursor_skip_lines(cursor);
    int byte = cursor_peek(cursor);
    *ret_append = cursor_looking_at(cursor, "+=");
    if (byte == '{') return true;
    if (byte != '=' && byte != ':' && !*ret_append) {
        config_errors_add(cursor->errors, &start, "`%.100s` has no value; write %.100s = VALUE", name, name);
        return false;
    }
    cursor_skip(cursor, *ret_append ? 2 : 1);
    cursor_skip_lines(cursor);
    return true;
}

/* The left side of `+=`, as a value. */
static struct node *parse_previous(struct cursor *cursor, struct config_origin start)
{
    struct node *previous = hocon_node_create(cursor->tree, cursor->place_known ? NODE_REFERENCE : NODE_PREVIOUS, start);
    previous->optional = true;
    previous->path = cursor->place;
    return previous;
}

static bool parse_field(struct cursor *cursor, struct node *object)
{
    if (cursor_at_include(cursor)) return parse_include(cursor, object);
    struct config_origin start = cursor->here;
    if (cursor_peek(cursor) != '"' && !cursor_at_unquoted(cursor)) {
        config_errors_add(cursor->errors, &start, "found %s where a key such as node.shards should be", cursor_describe(cursor));
        return false;
    }
    struct hocon_tree *tree = cursor->tree;
    struct hocon_path path;
    bool append;
    if (!scan_path(cursor, &path)) return false;
    if (!parse_assignment(cursor, path_text(tree, &path), start, &append)) return false;

    struct hocon_path outer = cursor->place;
    cursor->place = path_join(tree, &outer, &path);
    bool room = cursor->place.count <= HOCON_DEPTH_MAX;
    if (!room) config_errors_add(cursor->errors, &start, "more than %d names in one another; use fewer", HOCON_DEPTH_MAX);
    struct node *value = room ? parse_value(cursor) : NULL;
    struct node *previous = value && append ? parse_previous(cursor, start) : NULL;
    cursor->place = outer;
    if (!value) return false;

    struct node *container = object_at(tree, object, &path, path.count - 1, start);
    struct span name = span_of_string(path.names[path.count - 1]);
    append ? object_append(tree, container, name, previous, value) : object_define(tree, container, name, start, value);
    return true;
}

/* Up to `closing` ('}' or CURSOR_END), which is left there. */
static void parse_fields(struct cursor *cursor, struct node *object, int closing)
{
    uint32_t depth = cursor->depth;
    struct hocon_path place = cursor->place;
    bool place_known = cursor->place_known;
    for (;;) {
        cursor_skip_lines(cursor);
        int byte = cursor_peek(cursor);
        if (byte == closing || byte == CURSOR_END) return;
        if (byte == '}' || byte == ']' || byte == ',') {
            config_errors_add(cursor->errors, &cursor->here,
                              byte == ',' ? "a comma with nothing before it; remove it" : "%s closes nothing; remove it",
                              cursor_describe(cursor));
            cursor_skip(cursor, 1);
            continue;
        }
        bool sound = parse_field(cursor, object);
        if (sound && !separator(cursor, closing)) {
            config_errors_add(cursor->errors, &cursor->here, "found %s; put a comma or a new line behind a value",
                              cursor_describe(cursor));
            sound = false;
        }
        if (sound) continue;
        cursor_recover(cursor, depth);
        cursor->place = place;
        cursor->place_known = place_known;
        separator(cursor, closing);
    }
}

static void refuse_rest(struct cursor *cursor, const char *what)
{
    cursor_skip_lines(cursor);
    if (cursor_peek(cursor) == CURSOR_END) return;
    config_errors_add(cursor->errors, &cursor->here, "found %s behind %s; nothing may follow it", cursor_describe(cursor), what);
}

void parse_document(struct cursor *cursor, struct node *object)
{
    if (!cursor_check_text(cursor)) return;
    cursor_skip_lines(cursor);
    if (cursor_peek(cursor) == '[') {
        config_errors_add(cursor->errors, &cursor->here, "found an array; a configuration is made of fields: KEY = VALUE");
        return;
    }
    if (cursor_peek(cursor) != '{') return parse_fields(cursor, object, CURSOR_END);
    struct node *root = parse_object(cursor);
    if (!root) return;
    object_merge(cursor->tree, object, root);
    refuse_rest(cursor, "the closing } of the file");
}

struct node *parse_only_value(struct cursor *cursor)
{
    uint32_t errors_before = cursor->errors->count;
    if (!cursor_check_text(cursor)) return NULL;
    cursor_skip_lines(cursor);
    struct node *value = parse_value(cursor);
    if (value) refuse_rest(cursor, "the value");
    return cursor->errors->count == errors_before ? value : NULL;
}
