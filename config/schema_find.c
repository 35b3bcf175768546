/* Finding keys: by path, and by what somebody may have meant. */
#include <stdio.h>

#include "config/schema.h"

#define WORD_BYTES_MAX 64 /* longer words are compared by their beginning */

static size_t component_bytes(const char *path) { return strcspn(path, "."); }

static bool component_is_name(const char *pattern, size_t bytes)
{
    return bytes == strlen(SCHEMA_NAME) && memcmp(pattern, SCHEMA_NAME, bytes) == 0;
}

bool schema_has_name(const struct schema_key *key) { return strstr(key->path, "." SCHEMA_NAME ".") != NULL; }

bool schema_name_valid(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= SCHEMA_NAME_BYTES_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == bytes;
}

/* What is left of the pattern behind the path: "" when they match, NULL when they do not. */
static const char *match(const char *pattern, const char *path)
{
    for (;;) {
        size_t pattern_bytes = component_bytes(pattern), path_bytes = component_bytes(path);
        bool same = pattern_bytes == path_bytes && memcmp(pattern, path, path_bytes) == 0;
        if (!same && !component_is_name(pattern, pattern_bytes)) return NULL;
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
    for (size_t i = 0; i < schema->keys_count; i++) {
        const char *rest = match(schema->keys[i].path, path);
        if (rest && *rest == 0) return &schema->keys[i];
    }
    return NULL;
}

bool schema_is_section(const struct schema *schema, const char *path)
{
    for (size_t i = 0; i < schema->keys_count; i++) {
        const char *rest = match(schema->keys[i].path, path);
        if (rest && *rest == '.') return true;
    }
    return false;
}

void schema_path_of(const struct schema_key *key, const char *name, char *ret_path, size_t bytes)
{
    const char *hole = schema_has_name(key) && name ? strstr(key->path, "." SCHEMA_NAME ".") + 1 : NULL;
    if (!hole)
        snprintf(ret_path, bytes, "%s", key->path);
    else
        snprintf(ret_path, bytes, "%.*s%s%s", (int)(hole - key->path), key->path, name, hole + strlen(SCHEMA_NAME));
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

/* The name that stands where the key has NAME, or NULL. */
static const char *name_in(const struct schema_key *key, const char *path, char *ret_name, size_t bytes)
{
    const char *pattern = key->path;
    while (!component_is_name(pattern, component_bytes(pattern))) {
        pattern += component_bytes(pattern);
        path += component_bytes(path);
        if (*pattern == 0 || *path == 0) return NULL;
        pattern++;
        path++;
    }
    snprintf(ret_name, bytes, "%.*s", (int)component_bytes(path), path);
    return ret_name;
}

const char *schema_nearest(const struct schema *schema, const char *path, char *ret_path)
{
    size_t length = strlen(path), best = length / 4 + 2;
    bool found = false;
    for (size_t i = 0; i < schema->keys_count; i++) {
        char full[SCHEMA_PATH_BYTES_MAX], name[SCHEMA_NAME_BYTES_MAX + 1];
        const struct schema_key *key = &schema->keys[i];
        schema_path_of(key, name_in(key, path, name, sizeof name), full, sizeof full);
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
