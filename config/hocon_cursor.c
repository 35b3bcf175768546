#include "config/hocon_cursor.h"

void cursor_skip(struct cursor *cursor, size_t bytes)
{
    for (; bytes && cursor->at < cursor->end; bytes--) {
        uint8_t byte = *cursor->at++;
        if (byte == '\n') {
            cursor->here.line++;
            cursor->here.column = 1;
        } else if (cursor->at == cursor->end || (*cursor->at & 0xC0) != 0x80) { /* last byte of a character */
            cursor->here.column++;
        }
    }
}

static size_t utf8_bytes(const uint8_t *at, size_t left)
{
    if (at[0] < 0x80) return 1;
    size_t bytes = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4 || bytes > left) return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xC0) != 0x80) return 0;
    if (at[0] == 0xE0 && at[1] < 0xA0) return 0; /* longer than needed */
    if (at[0] == 0xED && at[1] > 0x9F) return 0; /* surrogates */
    if (at[0] == 0xF0 && at[1] < 0x90) return 0;
    if (at[0] == 0xF4 && at[1] > 0x8F) return 0; /* beyond U+10FFFF */
    return bytes;
}

bool cursor_check_text(const struct cursor *cursor)
{
    struct cursor walk = *cursor;
    while (walk.at < walk.end) {
        size_t bytes = utf8_bytes(walk.at, (size_t)(walk.end - walk.at));
        if (bytes == 0) {
            config_errors_add(cursor->errors, &walk.here, "the byte 0x%02x is not UTF-8; save the file as UTF-8", *walk.at);
            return false;
        }
        if (*walk.at == 0) {
            config_errors_add(cursor->errors, &walk.here, "there is a NUL byte; this does not look like a text file");
            return false;
        }
        cursor_skip(&walk, bytes);
    }
    return true;
}

/* Unicode's space characters and the byte order mark, as HOCON wants; the line separators U+2028 and U+2029 too. */
static size_t wide_blank_bytes(const uint8_t *at, size_t left)
{
    if (left >= 2 && at[0] == 0xC2 && at[1] == 0xA0) return 2;
    if (left < 3) return 0;
    uint32_t character = (uint32_t)(at[0] & 0x0F) << 12 | (uint32_t)(at[1] & 0x3F) << 6 | (at[2] & 0x3F);
    if ((at[0] & 0xF0) != 0xE0) return 0;
    bool blank = character == 0x1680 || (character >= 0x2000 && character <= 0x200A) || character == 0x2028 ||
                 character == 0x2029 || character == 0x202F || character == 0x205F || character == 0x3000 ||
                 character == 0xFEFF;
    return blank ? 3 : 0;
}

size_t cursor_blank_bytes(const struct cursor *cursor)
{
    int byte = cursor_peek(cursor);
    if (byte == CURSOR_END || byte == '\n') return 0;
    if (byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1C && byte <= 0x1F)) return 1;
    return byte < 0x80 ? 0 : wide_blank_bytes(cursor->at, (size_t)(cursor->end - cursor->at));
}

void cursor_skip_blanks(struct cursor *cursor)
{
    for (size_t bytes; (bytes = cursor_blank_bytes(cursor)) > 0;)
        cursor_skip(cursor, bytes);
}

bool cursor_at_comment(const struct cursor *cursor)
{
    return cursor_peek(cursor) == '#' || cursor_looking_at(cursor, "//");
}

bool cursor_skip_lines(struct cursor *cursor)
{
    bool newline = false;
    for (;;) {
        cursor_skip_blanks(cursor);
        if (cursor_at_comment(cursor))
            while (cursor_peek(cursor) != '\n' && cursor_peek(cursor) != CURSOR_END)
                cursor_skip(cursor, 1);
        if (cursor_peek(cursor) != '\n') return newline;
        newline = true;
        cursor_skip(cursor, 1);
    }
}

bool cursor_at_unquoted(const struct cursor *cursor)
{
    int byte = cursor_peek(cursor);
    if (byte == CURSOR_END || byte == '\n' || strchr("$\"{}[]:=,+#`^?!@*&\\", byte)) return false;
    return cursor_blank_bytes(cursor) == 0 && !cursor_at_comment(cursor);
}

static void skip_quoted(struct cursor *cursor)
{
    bool triple = cursor_looking_at(cursor, "\"\"\"");
    cursor_skip(cursor, triple ? 3 : 1);
    while (cursor->at < cursor->end) {
        if (triple ? cursor_looking_at(cursor, "\"\"\"") : cursor_peek(cursor) == '"') {
            cursor_skip(cursor, triple ? 3 : 1);
            return;
        }
        if (!triple && cursor_peek(cursor) == '\n') return;
        cursor_skip(cursor, !triple && cursor_peek(cursor) == '\\' && !cursor_looking_at(cursor, "\\\n") ? 2 : 1);
    }
}

void cursor_recover(struct cursor *cursor, uint32_t depth)
{
    while (cursor->at < cursor->end) {
        int byte = cursor_peek(cursor);
        if (cursor_at_comment(cursor)) {
            while (cursor_peek(cursor) != '\n' && cursor_peek(cursor) != CURSOR_END)
                cursor_skip(cursor, 1);
            continue;
        }
        if (cursor->depth <= depth && (byte == '\n' || byte == ',' || byte == '}')) break;
        if (byte == '"') {
            skip_quoted(cursor);
            continue;
        }
        if (byte == '{' || byte == '[') cursor->depth++;
        if ((byte == '}' || byte == ']') && cursor->depth > depth) cursor->depth--;
        cursor_skip(cursor, 1);
    }
    cursor->depth = depth;
}

const char *cursor_describe(const struct cursor *cursor)
{
    static _Thread_local char text[16];
    int byte = cursor_peek(cursor);
    if (byte == CURSOR_END) return "the end of the text";
    if (byte == '\n') return "the end of the line";
    if (byte < 0x20 || byte == 0x7F) {
        snprintf(text, sizeof text, "0x%02x", byte);
        return text;
    }
    size_t bytes = utf8_bytes(cursor->at, (size_t)(cursor->end - cursor->at));
    snprintf(text, sizeof text, "`%.*s`", (int)bytes, (const char *)cursor->at);
    return text;
}
