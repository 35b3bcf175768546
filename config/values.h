/* values.h - a configuration as a list: one entry per key (and listener), each with its text, number and origin. The settings
 * are made from the list. Private to config/. */
#ifndef RINGMQ_CONFIG_VALUES_H
#define RINGMQ_CONFIG_VALUES_H

#include "config/arena.h"
#include "config/config.h"
#include "config/hocon.h"
#include "config/schema.h"

struct config_value {
    const struct schema_key *key;
    const char *path;     /* with the listener's name in it */
    const char *name;     /* the listener's, as KIND.NAME, or a section's NAME; NULL for keys without */
    const char *text;     /* as it would be written; strings without quotes */
    uint64_t number;      /* of types that are not text */
    struct config_origin origin;
};

struct config {
    struct arena arena;
    const struct schema *schema;
    struct config_value *values; /* in the order of the schema; within listeners, listener by listener, by name */
    size_t count;
    const char **names; /* of the listeners, as KIND.NAME, sorted */
    uint32_t names_count;
    struct settings settings;
    void **parts; /* the settings of schema->parts */
};

/* config_load() with another table, for tests: `schema` may leave out listeners altogether. */
bool config_load_with(const struct schema *schema, const struct config_sources *sources, struct config **ret_config,
                      struct config_errors *errors);

struct config *values_create(const struct schema *schema);
/* One entry for each key from the resolved tree, else from the default. Unknown keys and wrong values become errors. */
void values_fill(struct config *config, const struct hocon_value *root, struct config_errors *errors);
/* What no single key can see: listeners in each other's way, limits that contradict. */
void values_check(const struct config *config, struct config_errors *errors);
/* The same within the settings of features, after values_apply(). */
void values_check_parts(const struct config *config, struct config_errors *errors);
/* Makes config->settings from the list. */
void values_apply(struct config *config);

/* The value at a path of the tree; NULL: there is none, or null. */
const struct hocon_value *values_at(const struct hocon_value *root, const char *path);
const struct schema *config_schema(void); /* what config_load() goes by */

const struct config_value *values_find(const struct config *config, const char *path); /* NULL: none */
void values_add_copy(struct config *config, const struct config_value *value);
/* Takes the listeners' names from the list. */
void values_collect_names(struct config *config);
/* As HOCON; secrets masked. */
void value_print(const struct config_value *value, FILE *file);

#endif
