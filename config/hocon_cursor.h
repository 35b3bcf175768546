/* hocon_cursor.h - a place in a text, with its line and column; and the smallest steps one can take from there.
 *
 * The text is valid UTF-8 without NULs (cursor_check_text()). Columns count characters. Private to hocon*.c. */
#ifndef RINGMQ_CONFIG_HOCON_CURSOR_H
#define RINGMQ_CONFIG_HOCON_CURSOR_H

#include "config/hocon_tree.h"

struct cursor {
    struct hocon_tree *tree;
    struct config_errors *errors;
    const uint8_t *at, *end;
    struct config_origin here; /* of `at` */
    uint32_t depth;            /* objects and arrays around `at` */
    const char *directory;     /* where relative includes start, "" for the working directory */
    struct hocon_path place;   /* names of the objects around `at`: where an include would be put */
    bool place_known;          /* false inside an array: it has no name to refer to */
    struct hocon_path prefix;  /* place of the include that brought this file */
    bool ended_early;          /* said once: a bracket is never closed, or there is too much to go on */
    const struct open_file *open_files; /* this file and those that include it */
};

#define CURSOR_END (-1)

/* False, with an error, for bytes that are not UTF-8 and for NULs. */
bool cursor_check_text(const struct cursor *cursor);

static inline int cursor_peek(const struct cursor *cursor) { return cursor->at < cursor->end ? *cursor->at : CURSOR_END; }

static inline bool cursor_looking_at(const struct cursor *cursor, const char *text)
{
    return span_starts_with(span_of(cursor->at, (size_t)(cursor->end - cursor->at)), span_of_string(text));
}

void cursor_skip(struct cursor *cursor, size_t bytes); /* never more than there are */
/* Skips what HOCON counts as white space, but no newline. */
void cursor_skip_blanks(struct cursor *cursor);
/* Skips blanks, newlines and comments; true when there was a newline. */
bool cursor_skip_lines(struct cursor *cursor);
bool cursor_at_comment(const struct cursor *cursor);
/* Bytes of the blank at the cursor: 0 when it is none. Newlines are not blanks here. */
size_t cursor_blank_bytes(const struct cursor *cursor);
/* True for the characters an unquoted string may have; `//` ends one too. */
bool cursor_at_unquoted(const struct cursor *cursor);

/* After an error: to the end of the line, to a comma or to the bracket that closes the object at `depth`; steps over whatever
 * brackets were opened inside it. */
void cursor_recover(struct cursor *cursor, uint32_t depth);

/* What stands at the cursor, quoted, for error texts; in a static buffer per thread. */
const char *cursor_describe(const struct cursor *cursor);

#endif
