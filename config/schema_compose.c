/* The core's table and those of features, put together. */
#include <stdio.h>

#include "base/memory.h"
#include "config/schema.h"
#include "config/types.h"

/* What a mistake in a table would break later and elsewhere. */
static const char *key_unsound(const struct schema_part *part, const struct schema_key *key)
{
    if (!key->path || strlen(key->path) >= SCHEMA_PATH_BYTES_MAX - SCHEMA_NAME_BYTES_MAX) return "its path is missing or too long";
    if (!strchr(key->path, '.')) return "its path has no section";
    if (!key->documentation) return "it has no documentation";
    if (strstr(key->path, "KIND.NAME")) return "KIND.NAME is for the core";
    if (schema_has_name(key) && !schema_group_of(key)) return "its path has NAME, but no group of the part fits";
    if (!schema_has_name(key) && !key->default_text) return "it has no default";
    if ((size_t)key->offset + key->bytes > (schema_has_name(key) ? schema_group_of(key)->item_bytes : part->settings_bytes)) return "its member lies outside of the settings";
    if (type_is_text(key->type) ? key->bytes != sizeof(char *) : key->bytes != 1 && key->bytes != 2 && key->bytes != 4 && key->bytes != 8)
        return "its member has the wrong size";
    uint64_t number;
    if (key->default_text && !type_is_text(key->type) && !type_parse(key, span_of_string(key->default_text), &number)) return "its default is no value of its type";
    return NULL;
}

static bool path_taken(const struct schema_key *keys, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].path, path) == 0) return true;
    return false;
}

static bool section_known(const struct schema_section *sections, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(sections[i].path, path) == 0) return true;
    return false;
}

bool schema_compose(const struct schema_part *const *parts, size_t count, const struct schema **ret_schema, char *ret_error, size_t error_bytes)
{
    size_t keys_count = SCHEMA.keys_count, sections_count = SCHEMA.sections_count;
    for (size_t i = 0; i < count; i++) {
        keys_count += parts[i]->keys_count;
        sections_count += parts[i]->sections_count;
    }
    struct schema_key *keys = memory_acquire(keys_count * sizeof *keys);
    struct schema_section *sections = memory_acquire(sections_count * sizeof *sections);
    struct schema *schema = memory_acquire(sizeof *schema);
    const struct schema_part **list = memory_acquire((count + 1) * sizeof *list);
    *schema = (struct schema){keys, SCHEMA.keys_count, sections, SCHEMA.sections_count, list, count};
    memcpy(keys, SCHEMA.keys, SCHEMA.keys_count * sizeof *keys);
    memcpy(sections, SCHEMA.sections, SCHEMA.sections_count * sizeof *sections);
    bool sound = true;
    for (size_t i = 0; i < count; i++)
        list[i] = parts[i];
    for (size_t i = 0; i < count && sound; i++) {
        for (size_t j = 0; j < parts[i]->keys_count && sound; j++) {
            struct schema_key key = parts[i]->keys[j];
            key.part = parts[i];
            const char *wrong = key_unsound(parts[i], &key);
            if (!wrong && path_taken(keys, schema->keys_count, key.path)) wrong = "there is such a key already";
            if (wrong) snprintf(ret_error, error_bytes, "feature %s, key `%s`: %s", parts[i]->name, key.path ? key.path : "", wrong);
            sound = !wrong;
            keys[schema->keys_count++] = key;
        }
        for (size_t j = 0; j < parts[i]->sections_count; j++)
            if (!section_known(sections, schema->sections_count, parts[i]->sections[j].path)) sections[schema->sections_count++] = parts[i]->sections[j];
    }
    for (size_t i = SCHEMA.keys_count; sound && i < schema->keys_count; i++) {
        const char *rest;
        if (schema_section_of(schema, &keys[i], &rest)) continue;
        snprintf(ret_error, error_bytes, "feature %s, key `%s`: it lies in no section", keys[i].part->name, keys[i].path);
        sound = false;
    }
    if (sound) {
        *ret_schema = schema;
        return true;
    }
    schema_release(schema);
    return false;
}

void schema_release(const struct schema *schema)
{
    memory_release((void *)(uintptr_t)schema->keys);
    memory_release((void *)(uintptr_t)schema->sections);
    memory_release((void *)(uintptr_t)schema->parts);
    memory_release((void *)(uintptr_t)schema);
}
