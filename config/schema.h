/* schema.h - the one table of all keys: the core's, and those of features (base/schema.h says what a table is made of).
 *
 * The core's keys lie in struct settings (those with KIND.NAME in an element of settings.listeners), a part's in its own settings. Two keys
 * may have the same path and other kinds. */
#ifndef RINGMQ_CONFIG_SCHEMA_H
#define RINGMQ_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/schema.h"
#include "base/settings.h"

struct schema {
    const struct schema_key *keys; /* those of a section are neighbours */
    size_t keys_count;
    const struct schema_section *sections;
    size_t sections_count;
    const struct schema_part *const *parts; /* NULL: the core alone */
    size_t parts_count;
};

extern const struct schema SCHEMA; /* the core's */

/* The core's table and those of the parts, in their order: made once, lives to the end of the process. False with a sentence in ret_error when
 * two have the same path, or a table is not sound. */
void schema_release(const struct schema *schema); /* a composed one */
bool schema_compose(const struct schema_part *const *parts, size_t count, const struct schema **ret_schema, char *ret_error, size_t error_bytes);

#define SCHEMA_LISTENER "KIND.NAME"
#define SCHEMA_DEFAULT_LISTENER "tcp.default" /* exists without being written down */
#define SCHEMA_DEFAULT_NAME "default"
#define SCHEMA_NAME_BYTES_MAX 32
#define SCHEMA_LISTENER_BYTES_MAX (5 + SCHEMA_NAME_BYTES_MAX) /* "unix." and a name */
#define SCHEMA_PATH_BYTES_MAX 128

bool schema_has_name(const struct schema_key *key);  /* its path has a hole: KIND.NAME or NAME */
bool schema_of_listener(const struct schema_key *key); /* KIND.NAME */
/* The group a key with NAME belongs to; NULL: it has none. */
const struct schema_group *schema_group_of(const struct schema_key *key);
/* True when `path` is what stands before NAME in a group of some part: "authentication". */
bool schema_is_group(const struct schema *schema, const char *path);
/* The most special section a key lies in, and what is left of its path behind it. */
const struct schema_section *schema_section_of(const struct schema *schema, const struct schema_key *key, const char **ret_rest);
/* What a name in place of NAME may be: a-z 0-9 _ -, so that an environment variable can say it. */
bool schema_name_valid(const char *name);
/* NULL: no such key. */
const struct schema_key *schema_find(const struct schema *schema, const char *path);
/* True when keys of their own (without a hole) lie below this path: no section of a group may be called so. */
bool schema_is_own_section(const struct schema *schema, const char *path);
/* True when keys lie below this path. */
bool schema_is_section(const struct schema *schema, const char *path);
/* The path of the key most like this one (with its NAME), or NULL when none is. Into ret_path[SCHEMA_PATH_BYTES_MAX]. */
const char *schema_nearest(const struct schema *schema, const char *path, char *ret_path);
/* The kind of "tls.east", or of "tls"; LISTENER_KINDS: there is none of that name. */
enum listener_kind schema_kind_of(const char *listener);
/* "listeners.KIND.NAME.bind" with KIND.NAME replaced by `name`, such as "tls.east"; the same with NAME and "east". */
void schema_path_of(const struct schema_key *key, const char *name, char *ret_path, size_t bytes);

#endif
