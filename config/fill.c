/* From the resolved tree to the list of values: what is unknown, what is wrong, what is left at its default. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "config/types.h"
#include "config/values.h"

#define LISTENERS_MAX 64 /* the engine has 255 numbers, and a changed listener uses another one */
#define SECRET_FILE_BYTES_MAX 65536
#define FOUND_BYTES_MAX 48 /* of a wrong value, in an error */

/* ---- unknown keys ------------------------------------------------------------------------------------------------- */

static void refuse_unknown(const struct schema *schema, const struct hocon_member *member, const char *path,
                           struct config_errors *errors)
{
    char nearest[SCHEMA_PATH_BYTES_MAX];
    if (schema_nearest(schema, path, nearest))
        config_errors_add(errors, &member->origin, "there is no key `%s`; did you mean `%s`?", path, nearest);
    else
        config_errors_add(errors, &member->origin, "there is no key `%s`; ringmqd --print-sample shows all", path);
}

/* "listeners.tcp" and its sisters. */
static bool below_listeners(const char *path)
{
    return strncmp(path, "listeners.", 10) == 0 && !strchr(path + 10, '.') && schema_kind_of(path + 10) < LISTENER_KINDS;
}

static void refuse_name(const struct hocon_member *member, const char *of_what, struct config_errors *errors)
{
    config_errors_add(errors, &member->origin, "`%.100s` cannot be the name of %s; use up to %d of a-z, 0-9, _ and -",
                      member->name, of_what, SCHEMA_NAME_BYTES_MAX);
}

/* A key that only sections with names of their own have, written into one that has a meaning of its own. */
static bool in_wrong_section(const struct schema *schema, const struct schema_key *key, const char *prefix)
{
    const struct schema_group *group = schema_group_of(key);
    size_t before = group ? strlen(group->path) - strlen("NAME") : 0;
    return group && strncmp(prefix, group->path, before) == 0 && schema_is_own_section(schema, prefix);
}

static void walk(const struct schema *schema, const struct hocon_value *object, const char *prefix, struct config_errors *errors)
{
    for (uint32_t i = 0; i < object->count; i++) {
        const struct hocon_member *member = &object->members[i];
        char path[4 * SCHEMA_PATH_BYTES_MAX], nearest[SCHEMA_PATH_BYTES_MAX];
        int bytes = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", member->name);
        bool odd = bytes >= SCHEMA_PATH_BYTES_MAX || strchr(member->name, '.') != NULL;
        const struct schema_key *own = odd ? NULL : schema_find(schema, path);
        bool literal = own && !schema_has_name(own);
        if (odd) {
            config_errors_add(errors, &member->origin, "there is no key `%.200s`; ringmqd --print-sample shows all", path);
        } else if (literal) {
            continue;
        } else if (below_listeners(prefix) && !schema_name_valid(member->name)) {
            refuse_name(member, "a listener", errors);
        } else if (schema_is_group(schema, prefix) && !schema_name_valid(member->name)) {
            refuse_name(member, "a section", errors);
        } else if (schema_is_section(schema, path)) {
            if (member->value->kind == HOCON_OBJECT)
                walk(schema, member->value, path, errors);
            else if (member->value->kind != HOCON_NULL && schema_is_group(schema, prefix) && schema_nearest(schema, path, nearest))
                refuse_unknown(schema, member, path, errors); /* rather a slip than the name of a section */
            else if (member->value->kind != HOCON_NULL)
                config_errors_add(errors, &member->value->origin, "`%s` is a section, not a value; write %s { KEY = VALUE } or "
                                  "%s.KEY = VALUE", path, path, path);
        } else if (!own) {
            refuse_unknown(schema, member, path, errors);
        } else if (in_wrong_section(schema, own, prefix)) {
            config_errors_add(errors, &member->origin, "there is no key `%s`: `%s` has keys of its own, and cannot be the name of another section; choose another name", path, prefix);
        }
    }
}

/* ---- one value ---------------------------------------------------------------------------------------------------- */

static void refuse_value(const struct config_value *value, const struct hocon_value *found, struct config_errors *errors)
{
    char wanted[512], text[FOUND_BYTES_MAX + 8] = "";
    type_describe(value->key, wanted, sizeof wanted);
    bool secret = value->key->type == TYPE_SECRET, scalar = found->kind < HOCON_ARRAY;
    if (scalar && !secret)
        snprintf(text, sizeof text, found->kind == HOCON_STRING ? " \"%.*s%s\"" : " %.*s%s",
                 (int)(found->text.bytes > FOUND_BYTES_MAX - 16 ? FOUND_BYTES_MAX - 16 : found->text.bytes),
                 (const char *)found->text.data, found->text.bytes > FOUND_BYTES_MAX - 16 ? "…" : "");
    bool unit = (value->key->type == TYPE_DURATION || value->key->type == TYPE_RATE) && found->kind == HOCON_NUMBER;
    config_errors_add(errors, &found->origin, "`%s` is %s%s%s; write %s", value->path, hocon_kind_name(found->kind), text,
                      unit ? " without a unit" : "", wanted);
}

static const char *read_secret(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    char *text = memory_acquire(SECRET_FILE_BYTES_MAX + 1);
    size_t bytes = fread(text, 1, SECRET_FILE_BYTES_MAX + 1, file);
    bool sound = !ferror(file) && bytes <= SECRET_FILE_BYTES_MAX && (bytes == 0 || !memchr(text, 0, bytes));
    if (!sound && !ferror(file)) errno = EFBIG;
    fclose(file);
    if (sound && bytes && text[bytes - 1] == '\n') bytes--;
    if (sound && bytes && text[bytes - 1] == '\r') bytes--;
    const char *copy = sound ? (const char *)arena_copy(arena, span_of(text, bytes)).data : NULL;
    memory_release(text);
    return copy;
}

static bool take_text(struct arena *arena, struct config_value *value, const struct hocon_value *found,
                      struct config_errors *errors)
{
    static const char file_prefix[] = "file://";
    value->text = (const char *)found->text.data;
    if (value->key->type == TYPE_SECRET && strncmp(value->text, file_prefix, sizeof file_prefix - 1) == 0) {
        const char *path = value->text + sizeof file_prefix - 1;
        value->text = read_secret(arena, path);
        if (!value->text) {
            config_errors_add(errors, &found->origin, "`%s`: cannot read %s: %s; give a readable file with one line of text", value->path,
                              path, strerror(errno));
            return false;
        }
    }
    size_t bytes = strlen(value->text);
    if (bytes < value->key->min || bytes > value->key->max) {
        refuse_value(value, found, errors);
        return false;
    }
    return true;
}

static bool take_value(struct arena *arena, struct config_value *value, const struct hocon_value *found,
                       struct config_errors *errors)
{
    if (found->kind >= HOCON_ARRAY || (!type_is_text(value->key->type) && !type_parse(value->key, found->text, &value->number))) {
        refuse_value(value, found, errors);
        return false;
    }
    char text[TYPE_TEXT_BYTES_MAX];
    if (type_is_text(value->key->type)) {
        if (!take_text(arena, value, found, errors)) return false;
    } else {
        type_format(value->key, value->number, text, sizeof text);
        value->text = text;
    }
    value->text = arena_copy_string(arena, value->text);
    const char *wrong = value->key->check ? value->key->check(span_of_string(value->text)) : NULL;
    if (!wrong) return true;
    if (value->key->type == TYPE_SECRET)
        config_errors_add(errors, &found->origin, "`%s`: %s", value->path, wrong);
    else
        config_errors_add(errors, &found->origin, "`%s` is \"%.100s\": %s", value->path, value->text, wrong);
    return false;
}

/* ---- all values --------------------------------------------------------------------------------------------------- */

const struct hocon_value *values_at(const struct hocon_value *root, const char *path)
{
    while (root && *path) {
        char name[SCHEMA_PATH_BYTES_MAX];
        size_t bytes = strcspn(path, ".");
        if (root->kind != HOCON_OBJECT) return NULL;
        snprintf(name, sizeof name, "%.*s", (int)bytes, path);
        root = hocon_member(root, name);
        path += bytes + (path[bytes] == '.');
    }
    return root && root->kind != HOCON_NULL ? root : NULL;
}

static void fill_key(struct config *config, const struct schema_key *key, const char *name, const struct hocon_value *root,
                     struct config_errors *errors)
{
    char path[SCHEMA_PATH_BYTES_MAX];
    schema_path_of(key, name, path, sizeof path);
    struct config_value value = {.key = key, .path = path, .name = schema_has_name(key) ? name : NULL, .text = ""};
    bool is_default = value.name && schema_of_listener(key) && strcmp(strchr(name, '.') + 1, SCHEMA_DEFAULT_NAME) == 0 && key->default_of_default;
    const char *default_text = is_default ? key->default_of_default[schema_kind_of(name)] : key->default_text;
    const struct hocon_value *found = values_at(root, path);
    if (found) {
        value.origin = found->origin;
        if (!take_value(&config->arena, &value, found, errors)) return;
    } else if (default_text) {
        struct hocon_value plain = {.kind = HOCON_STRING, .text = span_of_string(default_text)};
        CHECK(take_value(&config->arena, &value, &plain, errors));
    } else {
        char section[SCHEMA_PATH_BYTES_MAX];
        snprintf(section, sizeof section, "%.*s", (int)(strrchr(path, '.') - path), path);
        const struct hocon_value *object = values_at(root, section);
        config_errors_add(errors, object ? &object->origin : NULL, "`%s` is missing; write one for this %s", path,
                          schema_of_listener(key) ? "listener" : "section");
        return;
    }
    values_add_copy(config, &value);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* All listeners that can be used as KIND.NAME, the default one among them; sorted. */
static uint32_t listener_names(struct arena *arena, const struct hocon_value *root, const char **ret_names, struct config_errors *errors)
{
    uint32_t count = 0;
    ret_names[count++] = SCHEMA_DEFAULT_LISTENER;
    for (int kind = 0; kind < LISTENER_KINDS; kind++) {
        char section[SCHEMA_PATH_BYTES_MAX], listener[SCHEMA_LISTENER_BYTES_MAX + 1];
        snprintf(section, sizeof section, "listeners.%s", listener_kind_names[kind]);
        const struct hocon_value *listeners = values_at(root, section);
        for (uint32_t i = 0; listeners && listeners->kind == HOCON_OBJECT && i < listeners->count; i++) {
            const struct hocon_member *member = &listeners->members[i];
            if (member->value->kind != HOCON_OBJECT || !schema_name_valid(member->name)) continue;
            snprintf(listener, sizeof listener, "%s.%s", listener_kind_names[kind], member->name);
            if (strcmp(listener, SCHEMA_DEFAULT_LISTENER) == 0) continue;
            if (count == LISTENERS_MAX) {
                config_errors_add(errors, &member->origin, "there are more than %d listeners; remove some", LISTENERS_MAX);
                break;
            }
            ret_names[count++] = arena_copy_string(arena, listener);
        }
    }
    qsort(ret_names, count, sizeof *ret_names, compare_names);
    return count;
}

/* Sections of a group that are written down, sorted. */
static uint32_t section_names(const struct schema *schema, const struct schema_group *group, const struct hocon_value *root,
                              const char *ret_names[static SCHEMA_NAMES_MAX], struct config_errors *errors)
{
    char path[SCHEMA_PATH_BYTES_MAX];
    uint32_t count = 0;
    snprintf(path, sizeof path, "%.*s", (int)(strlen(group->path) - strlen(".NAME")), group->path);
    const struct hocon_value *sections = values_at(root, path);
    for (uint32_t i = 0; sections && sections->kind == HOCON_OBJECT && i < sections->count; i++) {
        const struct hocon_member *member = &sections->members[i];
        char whole[2 * SCHEMA_PATH_BYTES_MAX];
        snprintf(whole, sizeof whole, "%s.%s", path, member->name);
        const struct schema_key *own = schema_find(schema, whole);
        if (member->value->kind != HOCON_OBJECT || !schema_name_valid(member->name) || (own && !schema_has_name(own)) || schema_is_own_section(schema, whole)) continue;
        if (count == (group->max < SCHEMA_NAMES_MAX ? group->max : SCHEMA_NAMES_MAX)) {
            config_errors_add(errors, &member->origin, "there are more than %u sections in `%s`; remove some", count, path);
            break;
        }
        ret_names[count++] = member->name;
    }
    if (count) qsort(ret_names, count, sizeof *ret_names, compare_names);
    return count;
}

/* Keys of one group are neighbours: all of the first section, then of the next. Returns where the group ends. */
static size_t fill_group(struct config *config, size_t first, const struct hocon_value *root, struct config_errors *errors)
{
    const struct schema *schema = config->schema;
    const struct schema_group *group = schema_group_of(&schema->keys[first]);
    const char *names[SCHEMA_NAMES_MAX];
    uint32_t count = section_names(schema, group, root, names, errors);
    size_t end = first;
    while (end < schema->keys_count && schema->keys[end].part && schema_group_of(&schema->keys[end]) == group)
        end++;
    for (uint32_t name = 0; name < count; name++)
        for (size_t j = first; j < end; j++)
            fill_key(config, &schema->keys[j], names[name], root, errors);
    return end;
}

void values_fill(struct config *config, const struct hocon_value *root, struct config_errors *errors)
{
    const struct schema *schema = config->schema;
    const char *names[LISTENERS_MAX];
    uint32_t names_count = listener_names(&config->arena, root, names, errors);
    walk(schema, root, "", errors);
    for (size_t i = 0; i < schema->keys_count;) {
        if (!schema_has_name(&schema->keys[i])) {
            fill_key(config, &schema->keys[i++], NULL, root, errors);
            continue;
        }
        if (!schema_of_listener(&schema->keys[i])) {
            i = fill_group(config, i, root, errors);
            continue;
        }
        size_t end = i;
        while (end < schema->keys_count && schema_of_listener(&schema->keys[end]))
            end++;
        for (uint32_t name = 0; name < names_count; name++)
            for (size_t j = i; j < end; j++)
                if (schema->keys[j].kinds >> schema_kind_of(names[name]) & 1) fill_key(config, &schema->keys[j], names[name], root, errors);
        i = end;
    }
    values_collect_names(config);
}
