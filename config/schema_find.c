/* Finding keys: by path, and by what somebody may have meant. */
#include <stdio.h>

#include "config/schema.h"

#define WORD_BYTES_MAX 64 /* longer words are compared by their beginning */

static size_t component_bytes(const char *path) { return strcspn(path, "."); }

static bool component_is(const char *pattern, size_t bytes, const char *word)
{
    return bytes == strlen(word) && memcmp(pattern, word, bytes) == 0;
}

#define NAME "NAME"

/* Where the hole in a path is, and how long; NULL: there is none. */
static const char *hole_of(const char *path, size_t *ret_bytes)
{
    const char *hole = strstr(path, "." SCHEMA_LISTENER ".");
    *ret_bytes = strlen(hole ? SCHEMA_LISTENER : NAME);
    if (!hole) hole = strstr(path, "." NAME ".");
    return hole ? hole + 1 : NULL;
}

bool schema_has_name(const struct schema_key *key)
{
    size_t bytes;
    return hole_of(key->path, &bytes) != NULL;
}

bool schema_of_listener(const struct schema_key *key) { return strstr(key->path, "." SCHEMA_LISTENER ".") != NULL; }

const struct schema_group *schema_group_of(const struct schema_key *key)
{
    for (size_t i = 0; key->part && i < key->part->groups_count; i++) {
        const struct schema_group *group = &key->part->groups[i];
        size_t bytes = strlen(group->path);
        if (strncmp(key->path, group->path, bytes) == 0 && key->path[bytes] == '.') return group;
    }
    return NULL;
}

bool schema_is_own_section(const struct schema *schema, const char *path)
{
    size_t bytes = strlen(path);
    for (size_t i = 0; i < schema->keys_count; i++)
        if (!schema_has_name(&schema->keys[i]) && strncmp(schema->keys[i].path, path, bytes) == 0 && schema->keys[i].path[bytes] == '.') return true;
    return false;
}

bool schema_is_group(const struct schema *schema, const char *path)
{
    size_t bytes = strlen(path);
    for (size_t i = 0; i < schema->parts_count; i++)
        for (size_t j = 0; j < schema->parts[i]->groups_count; j++) {
            const char *group = schema->parts[i]->groups[j].path;
            if (strncmp(group, path, bytes) == 0 && strcmp(group + bytes, "." NAME) == 0) return true;
        }
    return false;
}

const struct schema_section *schema_section_of(const struct schema *schema, const struct schema_key *key, const char **ret_rest)
{
    const struct schema_section *best = NULL;
    size_t best_bytes = 0;
    for (size_t i = 0; i < schema->sections_count; i++) {
        size_t bytes = strlen(schema->sections[i].path);
        if (bytes <= best_bytes || strncmp(key->path, schema->sections[i].path, bytes) != 0 || key->path[bytes] != '.') continue;
        best = &schema->sections[i];
        best_bytes = bytes;
    }
    *ret_rest = key->path + best_bytes + 1;
    return best;
}

enum listener_kind schema_kind_of(const char *listener)
{
    int kind = 0;
    while (kind < LISTENER_KINDS && !component_is(listener, component_bytes(listener), listener_kind_names[kind]))
        kind++;
    return (enum listener_kind)kind;
}

bool schema_name_valid(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= SCHEMA_NAME_BYTES_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == bytes;
}

static bool component_matches(const struct schema_key *key, const char *pattern, size_t pattern_bytes, const char *path, size_t path_bytes)
{
    if (pattern_bytes == path_bytes && memcmp(pattern, path, path_bytes) == 0) return true;
    if (component_is(pattern, pattern_bytes, "KIND")) return key->kinds >> schema_kind_of(path) & 1;
    return component_is(pattern, pattern_bytes, "NAME");
}

/* What is left of the key's path behind `path`: "" when they match, NULL when they do not. */
static const char *match(const struct schema_key *key, const char *path)
{
    for (const char *pattern = key->path;;) {
        size_t pattern_bytes = component_bytes(pattern), path_bytes = component_bytes(path);
        if (!component_matches(key, pattern, pattern_bytes, path, path_bytes)) return NULL;
        pattern += pattern_bytes;
        path += path_bytes;
        if (*path == 0) return pattern;
        if (*pattern == 0) return NULL;
        pattern++;
        path++;
    }
}

const struct schema_key *schema_find(const struct schema *schema, const char *path)
{
    for (size_t i = 0; i < schema->keys_count; i++) /* a key of its own wins over one with a hole */
        if (!schema_has_name(&schema->keys[i]) && strcmp(schema->keys[i].path, path) == 0) return &schema->keys[i];
    for (size_t i = 0; i < schema->keys_count; i++) {
        const char *rest = match(&schema->keys[i], path);
        if (rest && *rest == 0) return &schema->keys[i];
    }
    return NULL;
}

bool schema_is_section(const struct schema *schema, const char *path)
{
    for (size_t i = 0; i < schema->keys_count; i++) {
        const char *rest = match(&schema->keys[i], path);
        if (rest && *rest == '.') return true;
    }
    return false;
}

void schema_path_of(const struct schema_key *key, const char *name, char *ret_path, size_t bytes)
{
    size_t hole_bytes;
    const char *hole = hole_of(key->path, &hole_bytes);
    if (!hole || !name)
        snprintf(ret_path, bytes, "%s", key->path);
    else
        snprintf(ret_path, bytes, "%.*s%s%s", (int)(hole - key->path), key->path, name, hole + hole_bytes);
}

/* ---- the nearest key ---------------------------------------------------------------------------------------------- */

/* Letters to add, remove, change or swap with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    size_t a_bytes = strnlen(a, WORD_BYTES_MAX), b_bytes = strnlen(b, WORD_BYTES_MAX);
    size_t rows[3][WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_bytes; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && higher[j - 2] + 1 < best) best = higher[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

static const char *last_component(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

/* The listener (KIND.NAME) the path seems to mean, of a kind that has the key; or NULL. */
static const char *listener_in(const struct schema_key *key, const char *path, char *ret_listener, size_t bytes)
{
    const struct schema_group *group = schema_group_of(key);
    if (group) { /* what stands in place of NAME */
        size_t before = strlen(group->path) - strlen(NAME);
        if (strncmp(path, group->path, before) != 0 || !path[before]) return NULL;
        snprintf(ret_listener, bytes, "%.*s", (int)component_bytes(path + before), path + before);
        return ret_listener;
    }
    size_t start = component_bytes(path);
    if (!schema_has_name(key) || path[start] != '.') return NULL;
    const char *kind = path + start + 1;
    enum listener_kind meant = schema_kind_of(kind);
    for (int other = 0; !(key->kinds >> meant & 1) && other < LISTENER_KINDS; other++)
        if (key->kinds >> other & 1) meant = (enum listener_kind)other;
    const char *name = kind + component_bytes(kind);
    if (*name != '.') return NULL;
    snprintf(ret_listener, bytes, "%s.%.*s", listener_kind_names[meant], (int)component_bytes(name + 1), name + 1);
    return ret_listener;
}

const char *schema_nearest(const struct schema *schema, const char *path, char *ret_path)
{
    size_t length = strlen(path), best = length / 4 + 2;
    bool found = false;
    for (size_t i = 0; i < schema->keys_count; i++) {
        char full[SCHEMA_PATH_BYTES_MAX], name[SCHEMA_LISTENER_BYTES_MAX + 1];
        const struct schema_key *key = &schema->keys[i];
        const char *listener = listener_in(key, path, name, sizeof name);
        if (schema_has_name(key) && !listener) continue;
        schema_path_of(key, listener, full, sizeof full);
        size_t whole = distance(path, full);
        size_t last = distance(last_component(path), last_component(full)) + 2; /* right word, wrong section */
        size_t nearest = last < whole && last <= 3 ? last : whole;
        if (nearest >= best) continue;
        best = nearest;
        found = true;
        snprintf(ret_path, SCHEMA_PATH_BYTES_MAX, "%s", full);
    }
    return found ? ret_path : NULL;
}
