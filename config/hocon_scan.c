#include "config/hocon_scan.h"

static void add_character(struct arena_text *text, uint32_t character)
{
    uint8_t bytes[4];
    size_t count = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = count; i > 1; i--, character >>= 6)
        bytes[i - 1] = (uint8_t)(0x80 | (character & 0x3F));
    bytes[0] = (uint8_t)(leads[count] | character);
    arena_text_add(text, bytes, count);
}

/* Four hexadecimal digits behind `\u`; UINT32_MAX when they are not there. */
static uint32_t hex_four(const struct cursor *cursor)
{
    if (cursor->end - cursor->at < 6) return UINT32_MAX;
    uint32_t value = 0;
    for (int i = 2; i < 6; i++) {
        int digit = cursor->at[i] | 0x20;
        if (digit >= '0' && digit <= '9')
            value = value << 4 | (uint32_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = value << 4 | (uint32_t)(digit - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return value;
}

static bool scan_unicode(struct cursor *cursor, struct arena_text *text)
{
    struct config_origin start = cursor->here;
    uint32_t character = hex_four(cursor);
    if (character == UINT32_MAX) {
        config_errors_add(cursor->errors, &start, "`\\u` needs four hexadecimal digits, as in \\u00e9");
        return false;
    }
    cursor_skip(cursor, 6);
    if (character >= 0xD800 && character <= 0xDBFF && cursor_looking_at(cursor, "\\u")) {
        uint32_t low = hex_four(cursor);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            character = 0x10000 + ((character - 0xD800) << 10) + (low - 0xDC00);
            cursor_skip(cursor, 6);
        }
    }
    if (character == 0 || (character >= 0xD800 && character <= 0xDFFF)) {
        config_errors_add(cursor->errors, &start, "\\u%04x is no character; write the two halves of a pair, and no zero",
                          character);
        return false;
    }
    add_character(text, character);
    return true;
}

static bool scan_escape(struct cursor *cursor, struct arena_text *text)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int name = cursor->end - cursor->at > 1 ? cursor->at[1] : CURSOR_END;
    if (name == 'u') return scan_unicode(cursor, text);
    const char *found = name > 0 ? strchr(names, name) : NULL;
    if (!found) {
        config_errors_add(cursor->errors, &cursor->here,
                          "`\\` begins none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; write \\\\ for a backslash");
        return false;
    }
    arena_text_add(text, values + (found - names), 1);
    cursor_skip(cursor, 2);
    return true;
}

static bool scan_triple(struct cursor *cursor, struct span *ret_text)
{
    struct config_origin start = cursor->here;
    cursor_skip(cursor, 3);
    const uint8_t *first = cursor->at;
    while (cursor->at < cursor->end && !cursor_looking_at(cursor, "\"\"\""))
        cursor_skip(cursor, 1);
    if (cursor->at == cursor->end) {
        config_errors_add(cursor->errors, &start, "this \"\"\" is never closed; add \"\"\" behind the string");
        return false;
    }
    cursor_skip(cursor, 3);
    while (cursor_peek(cursor) == '"') /* more than three: the first ones belong to the string */
        cursor_skip(cursor, 1);
    *ret_text = arena_copy(&cursor->tree->arena, span_of(first, (size_t)(cursor->at - first) - 3));
    return true;
}

/* After a mistake inside a string: to its end, so that what it holds is not taken for brackets. */
static bool leave_string(struct cursor *cursor)
{
    while (cursor_peek(cursor) != '"' && cursor_peek(cursor) != '\n' && cursor_peek(cursor) != CURSOR_END)
        cursor_skip(cursor, cursor_looking_at(cursor, "\\\"") ? 2 : 1);
    if (cursor_peek(cursor) == '"') cursor_skip(cursor, 1);
    return false;
}

bool scan_quoted(struct cursor *cursor, struct span *ret_text)
{
    if (cursor_looking_at(cursor, "\"\"\"")) return scan_triple(cursor, ret_text);
    struct config_origin start = cursor->here;
    struct arena_text text = {.arena = &cursor->tree->arena};
    cursor_skip(cursor, 1);
    for (;;) {
        int byte = cursor_peek(cursor);
        if (byte == CURSOR_END || byte == '\n') {
            config_errors_add(cursor->errors, &start,
                              "this \" is never closed; add a \" on the same line, or use \"\"\" for several lines");
            return false;
        }
        if (byte == '"') break;
        if (byte == '\\') {
            if (!scan_escape(cursor, &text)) return leave_string(cursor);
            continue;
        }
        if (byte < 0x20) {
            config_errors_add(cursor->errors, &cursor->here, "a control character (0x%02x) in a string; write it as \\u%04x", byte,
                              byte);
            return leave_string(cursor);
        }
        arena_text_add(&text, cursor->at, 1);
        cursor_skip(cursor, 1);
    }
    cursor_skip(cursor, 1);
    *ret_text = arena_text_span(&text);
    return true;
}

struct span scan_unquoted(struct cursor *cursor)
{
    const uint8_t *start = cursor->at;
    while (cursor_at_unquoted(cursor))
        cursor_skip(cursor, 1);
    return span_of(start, (size_t)(cursor->at - start));
}

static size_t digits(struct span text)
{
    size_t count = 0;
    while (count < text.bytes && text.data[count] >= '0' && text.data[count] <= '9')
        count++;
    return count;
}

static bool is_number(struct span text)
{
    if (text.bytes && text.data[0] == '-') text = span_skip(text, 1);
    size_t whole = digits(text);
    if (whole == 0 || (whole > 1 && text.data[0] == '0')) return false;
    text = span_skip(text, whole);
    if (text.bytes && text.data[0] == '.') {
        text = span_skip(text, 1);
        size_t fraction = digits(text);
        if (fraction == 0) return false;
        text = span_skip(text, fraction);
    }
    if (text.bytes && (text.data[0] | 0x20) == 'e') {
        text = span_skip(text, 1);
        if (text.bytes && (text.data[0] == '-' || text.data[0] == '+')) text = span_skip(text, 1);
        if (digits(text) == 0) return false;
        text = span_skip(text, digits(text));
    }
    return text.bytes == 0;
}

enum node_kind scan_classify(struct span unquoted)
{
    if (span_equal(unquoted, SPAN_LITERAL("null"))) return NODE_NULL;
    if (span_equal(unquoted, SPAN_LITERAL("true")) || span_equal(unquoted, SPAN_LITERAL("false"))) return NODE_BOOL;
    return is_number(unquoted) ? NODE_NUMBER : NODE_STRING;
}

/* A path while it is read. */
struct path_builder {
    struct cursor *cursor;
    struct hocon_path path;
    struct arena_text name;
    bool name_begun;   /* something, though it may be "", was written since the last dot */
    const uint8_t *blank; /* white space that belongs to the name if more follows */
    size_t blank_bytes;
};

static bool name_end(struct path_builder *builder)
{
    struct cursor *cursor = builder->cursor;
    if (!builder->name_begun) {
        config_errors_add(cursor->errors, &cursor->here,
                          "a name is missing in this path; write names with one dot between them, as in node.shards");
        return false;
    }
    if (builder->path.count == HOCON_DEPTH_MAX) {
        config_errors_add(cursor->errors, &cursor->here, "a path may have at most %d names", HOCON_DEPTH_MAX);
        return false;
    }
    struct arena *arena = &cursor->tree->arena;
    builder->path.names = arena_grow(arena, builder->path.names, builder->path.count, sizeof(char *));
    builder->path.names[builder->path.count++] = (const char *)arena_text_span(&builder->name).data;
    builder->name = (struct arena_text){.arena = arena};
    builder->name_begun = false;
    return true;
}

static void name_add(struct path_builder *builder, const void *data, size_t bytes)
{
    arena_text_add(&builder->name, builder->blank, builder->blank_bytes);
    arena_text_add(&builder->name, data, bytes);
    builder->blank_bytes = 0;
    builder->name_begun = true;
}

static bool unquoted_names(struct path_builder *builder)
{
    while (cursor_at_unquoted(builder->cursor)) {
        bool dot = cursor_peek(builder->cursor) == '.';
        if (dot && !name_end(builder)) return false;
        if (!dot) name_add(builder, builder->cursor->at, 1);
        cursor_skip(builder->cursor, 1);
    }
    return true;
}

bool scan_path(struct cursor *cursor, struct hocon_path *ret_path)
{
    struct path_builder builder = {.cursor = cursor, .name = {.arena = &cursor->tree->arena}};
    for (;;) {
        builder.blank = cursor->at;
        cursor_skip_blanks(cursor);
        builder.blank_bytes = builder.name_begun ? (size_t)(cursor->at - builder.blank) : 0;
        if (cursor_peek(cursor) == '"') {
            struct span text;
            if (!scan_quoted(cursor, &text)) return false;
            name_add(&builder, text.data, text.bytes);
        } else if (cursor_at_unquoted(cursor)) {
            if (!unquoted_names(&builder)) return false;
        } else {
            break;
        }
    }
    if (!name_end(&builder)) return false;
    *ret_path = builder.path;
    return true;
}

const char *path_text(struct hocon_tree *tree, const struct hocon_path *path)
{
    struct arena_text text = {.arena = &tree->arena};
    for (uint32_t i = 0; i < path->count; i++) {
        if (i) arena_text_add(&text, ".", 1);
        arena_text_add(&text, path->names[i], strlen(path->names[i]));
    }
    return (const char *)arena_text_span(&text).data;
}

struct hocon_path path_join(struct hocon_tree *tree, const struct hocon_path *first, const struct hocon_path *second)
{
    struct hocon_path joined = {arena_take(&tree->arena, (first->count + second->count + 1) * sizeof(char *)),
                                first->count + second->count};
    if (first->count) memcpy(joined.names, first->names, first->count * sizeof(char *));
    if (second->count) memcpy(joined.names + first->count, second->names, second->count * sizeof(char *));
    return joined;
}
