/* hocon_parse.h - the grammar. Private to hocon*.c. */
#ifndef RINGMQ_CONFIG_HOCON_PARSE_H
#define RINGMQ_CONFIG_HOCON_PARSE_H

#include "config/hocon_cursor.h"

/* All of the text: fields with or without braces around them, defined in `object`. Errors are added, what is sound is kept. */
void parse_document(struct cursor *cursor, struct node *object);
/* One value and nothing behind it. NULL: an error was added. */
struct node *parse_only_value(struct cursor *cursor);

/* At `include`: reads the file it names into `object` (hocon_include.c). False: an error in the statement itself. */
bool parse_include(struct cursor *cursor, struct node *object);
bool cursor_at_include(const struct cursor *cursor);

#endif
