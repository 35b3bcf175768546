/* schema.h - the one table of all keys. Parsing, checking, defaults, printing and the manual follow from it.
 *
 * In listeners.KIND.NAME.bind KIND stands for tcp, tls, ws, wss or unix (those of the key's `kinds`) and NAME for any name; the key then
 * lies in an element of settings.listeners, all others in settings itself. Two keys may have the same path and other kinds. */
#ifndef RINGMQ_CONFIG_SCHEMA_H
#define RINGMQ_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/span.h"

enum schema_type { TYPE_BOOL, TYPE_UNSIGNED, TYPE_SIZE, TYPE_DURATION, TYPE_RATE, TYPE_ENUM, TYPE_STRING, TYPE_SECRET };

/* A word for a number: the names of an enum, or one like `auto` beside the numbers. Of several for one value the first is
 * shown. Ends with a NULL name. */
struct schema_word {
    const char *name;
    uint64_t value;
};

struct schema_key {
    const char *path;
    enum schema_type type;
    bool reloadable;              /* a reload puts it in force; otherwise it waits for the next start */
    uint8_t bytes;                /* of the member of the settings; strings: sizeof(char *) */
    uint16_t offset;              /* of that member */
    uint32_t unit_us;             /* DURATION: microseconds in one unit of the member */
    uint64_t min, max;            /* in the member's unit; words are outside of it. Strings: bytes */
    const struct schema_word *words;
    const char *default_text;     /* NULL: must be given (in a NAME section) */
    const char *const *default_of_default; /* with NAME: by kind, the default where NAME is SCHEMA_DEFAULT_NAME */
    uint8_t kinds;                /* with NAME: a bit for each enum listener_kind that has the key */
    const char *(*check)(struct span text); /* NULL, or what is wrong and what to do */
    const char *documentation;
};

struct schema_section {
    const char *path;
    const char *documentation;
};

struct schema {
    const struct schema_key *keys; /* those of a section are neighbours */
    size_t keys_count;
    const struct schema_section *sections;
    size_t sections_count;
};

extern const struct schema SCHEMA;

#define SCHEMA_LISTENER "KIND.NAME"
#define SCHEMA_DEFAULT_LISTENER "tcp.default" /* exists without being written down */
#define SCHEMA_DEFAULT_NAME "default"
#define SCHEMA_NAME_BYTES_MAX 32
#define SCHEMA_LISTENER_BYTES_MAX (5 + SCHEMA_NAME_BYTES_MAX) /* "unix." and a name */
#define SCHEMA_PATH_BYTES_MAX 128

bool schema_has_name(const struct schema_key *key); /* its path has KIND.NAME in it */
/* What a name in place of NAME may be: a-z 0-9 _ -, so that an environment variable can say it. */
bool schema_name_valid(const char *name);
/* NULL: no such key. */
const struct schema_key *schema_find(const struct schema *schema, const char *path);
/* True when keys lie below this path. */
bool schema_is_section(const struct schema *schema, const char *path);
/* The path of the key most like this one (with its NAME), or NULL when none is. Into ret_path[SCHEMA_PATH_BYTES_MAX]. */
const char *schema_nearest(const struct schema *schema, const char *path, char *ret_path);
/* The kind of "tls.east", or of "tls"; LISTENER_KINDS: there is none of that name. */
enum listener_kind schema_kind_of(const char *listener);
/* "listeners.KIND.NAME.bind" with KIND.NAME replaced by `listener`, such as "tls.east". */
void schema_path_of(const struct schema_key *key, const char *listener, char *ret_path, size_t bytes);

#endif
