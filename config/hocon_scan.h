/* hocon_scan.h - strings, numbers and paths: the words of the language. Private to hocon*.c.
 *
 * Each returns false after adding an error; the cursor then stands near the mistake. */
#ifndef RINGMQ_CONFIG_HOCON_SCAN_H
#define RINGMQ_CONFIG_HOCON_SCAN_H

#include "config/hocon_cursor.h"

/* At a `"`: "…" with JSON's escapes, or """…""" without. */
bool scan_quoted(struct cursor *cursor, struct span *ret_text);
/* At a character for which cursor_at_unquoted() holds: all that follow, too. */
struct span scan_unquoted(struct cursor *cursor);
/* A path up to `:`, `=`, `{`, `+=` (or the `}` of a substitution), which is left there: a.b."c d".e */
bool scan_path(struct cursor *cursor, struct hocon_path *ret_path);

/* BOOL, NULL, NUMBER (JSON's grammar) or STRING. */
enum node_kind scan_classify(struct span unquoted);
/* "a.b.c", without quotes: as one would name a variable, and for error texts. */
const char *path_text(struct hocon_tree *tree, const struct hocon_path *path);
/* The names of one path followed by those of another. */
struct hocon_path path_join(struct hocon_tree *tree, const struct hocon_path *first, const struct hocon_path *second);

#endif
