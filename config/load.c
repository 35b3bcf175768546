/* The sources, in their order, into one tree. */
#include <ctype.h>
#include <strings.h>
#include <stdlib.h>

#include "base/memory.h"
#include "config/values.h"

#define VARIABLE_PREFIX "RINGMQ__"

/* RINGMQ__NODE__SHARDS: node.shards. In ret_path[SCHEMA_PATH_BYTES_MAX]; false: too long to be any key. */
static bool variable_path(struct span name, char *ret_path)
{
    size_t used = 0;
    name = span_skip(name, strlen(VARIABLE_PREFIX));
    while (name.bytes) {
        bool level = span_starts_with(name, SPAN_LITERAL("__"));
        if (used + 1 >= SCHEMA_PATH_BYTES_MAX) return false;
        ret_path[used++] = level ? '.' : (char)tolower(name.data[0]);
        name = span_skip(name, level ? 2 : 1);
    }
    ret_path[used] = 0;
    return true;
}

static void read_variable(struct hocon_tree *tree, const char *variable, struct config_errors *errors)
{
    const char *equals = strchr(variable, '=');
    char path[SCHEMA_PATH_BYTES_MAX];
    char *name = memory_copy_string(span_of(variable, (size_t)(equals - variable)));
    struct config_origin origin = {ORIGIN_ENVIRONMENT, 0, 0, name};
    if (variable_path(span_of_string(name), path))
        hocon_read_setting(tree, path, span_of_string(equals + 1), origin, errors);
    else
        config_errors_add(errors, &origin, "there is no key with such a long name");
    memory_release(name);
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* In the order of their names, so that the same variables give the same result. */
static void read_environment(struct hocon_tree *tree, const char *const *environment, struct config_errors *errors)
{
    size_t count = 0, used = 0;
    while (environment && environment[count])
        count++;
    if (count == 0) return;
    const char **variables = memory_acquire(count * sizeof *variables);
    for (size_t i = 0; i < count; i++)
        if (strncasecmp(environment[i], VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0 && strchr(environment[i], '='))
            variables[used++] = environment[i];
    qsort(variables, used, sizeof *variables, compare_texts);
    for (size_t i = 0; i < used; i++)
        read_variable(tree, variables[i], errors);
    memory_release(variables);
}

static void read_set(struct hocon_tree *tree, const char *set, struct config_errors *errors)
{
    const char *equals = strchr(set, '=');
    if (!equals) {
        struct config_origin whole = {ORIGIN_COMMAND_LINE, 0, 0, set};
        config_errors_add(errors, &whole, "there is no `=`; write --set KEY=VALUE");
        return;
    }
    char *key = memory_copy_string(span_of(set, (size_t)(equals - set)));
    struct config_origin origin = {ORIGIN_COMMAND_LINE, 0, 0, key};
    hocon_read_setting(tree, key, span_of_string(equals + 1), origin, errors);
    memory_release(key);
}

static bool read_sources(struct hocon_tree *tree, const struct config_sources *sources, struct config_errors *errors)
{
    uint32_t errors_before = errors->count;
    for (size_t i = 0; i < sources->files_count; i++)
        hocon_read_file(tree, sources->files[i], errors);
    read_environment(tree, sources->environment, errors);
    for (size_t i = 0; i < sources->sets_count; i++)
        read_set(tree, sources->sets[i], errors);
    return errors->count == errors_before;
}

bool config_load_with(const struct schema *schema, const struct config_sources *sources, struct config **ret_config,
                      struct config_errors *errors)
{
    uint32_t errors_before = errors->count;
    struct hocon_tree *tree = hocon_tree_create(sources->environment);
    struct config *config = values_create(schema);
    const struct hocon_value *root = read_sources(tree, sources, errors) ? hocon_resolve(tree, errors) : NULL;
    if (root) {
        values_fill(config, root, errors);
        values_check(config, errors);
        values_apply(config);
        if (errors->count == errors_before) values_check_parts(config, errors);
    }
    hocon_tree_release(tree);
    if (!root || errors->count != errors_before) {
        config_release(config);
        return false;
    }
    *ret_config = config;
    return true;
}

/* Of this process: the core's table, or that with the features'. */
static const struct schema *whole = &SCHEMA;

const struct schema *config_schema(void) { return whole; }

bool config_is_secret(const char *path)
{
    const struct schema_key *key = schema_find(whole, path);
    return key && key->type == TYPE_SECRET;
}

bool config_add_parts(const struct schema_part *const *parts, size_t count, char *ret_error, size_t error_bytes)
{
    const struct schema *before = whole;
    if (!schema_compose(parts, count, &whole, ret_error, error_bytes)) return false;
    if (before != &SCHEMA) schema_release(before);
    return true;
}

bool config_load(const struct config_sources *sources, struct config **ret_config, struct config_errors *errors)
{
    return config_load_with(whole, sources, ret_config, errors);
}

bool config_peek(const struct config_sources *sources, const char *path, char **ret_text)
{
    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create(sources->environment);
    const struct hocon_value *root = read_sources(tree, sources, &errors) ? hocon_resolve(tree, &errors) : NULL;
    const struct hocon_value *found = root ? values_at(root, path) : NULL;
    bool text = found && found->kind < HOCON_ARRAY; /* whatever else it is, config_load() says what is wrong with it */
    *ret_text = memory_copy_string(text ? found->text : span_of("", 0));
    bool sound = root != NULL;
    hocon_tree_release(tree);
    config_errors_clear(&errors);
    return sound;
}
