/* ringmq_ctl_request.c - words and options of `ringmq ctl` → the route they name and the request it takes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"

const struct api_route *ctl_find(int count, char **words, int *ret_words)
{
    const struct api_route *found = NULL;
    *ret_words = 0;
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const char *at = api_routes[i].command;
        int used = 0;
        while (at && *at && used < count) {
            size_t bytes = strcspn(at, " ");
            if (strlen(words[used]) != bytes || memcmp(words[used], at, bytes) != 0) break;
            used++;
            at += bytes + (at[bytes] == ' ');
        }
        if (!at || *at || used <= *ret_words) continue;
        found = &api_routes[i];
        *ret_words = used;
    }
    return found;
}

/* "--like-clientid" for like_clientid. */
static const struct api_field *field_of(const struct api_field *fields, uint32_t count, const char *option)
{
    char name[64];
    snprintf(name, sizeof name, "%s", option);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return api_field_find(fields, count, name);
}

/* All of a file ("-": standard input), NUL-terminated. NULL: it has complained. */
static char *read_whole(const char *path, size_t *ret_bytes)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        say_error("cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    size_t bytes = 0, got, capacity = 0;
    do {
        if (bytes + 4097 > capacity) text = memory_resize(text, capacity = (bytes + 4097) * 2);
        got = fread(text + bytes, 1, 4096, file);
        bytes += got;
    } while (got);
    text[bytes] = 0;
    *ret_bytes = bytes;
    bool failed = ferror(file);
    if (failed) say_error("cannot read %s: %s", path, strerror(errno));
    if (file != stdin) fclose(file);
    if (!failed) return text;
    memory_release(text);
    return NULL;
}

/* An option's text as the JSON its field wants. NULL: it has complained. */
static json_t *value_json(const struct api_field *field, const char *text)
{
    json_t *value = NULL;
    if (field->type == FIELD_STRING && text[0] == '@') {
        size_t bytes;
        char *content = read_whole(text + 1, &bytes);
        if (!content) return NULL;
        value = memchr(content, 0, bytes) ? NULL : json_stringn(content, bytes);
        memory_release(content);
        if (!value) say_error("%s is no text: it has a NUL, or is not UTF-8; send it as base64", text + 1);
        return value;
    }
    if (field->type == FIELD_STRING && !(field->nullable && strcmp(text, "null") == 0)) {
        value = json_string(text);
        if (!value) say_error("--%s is not UTF-8", field->name);
        return value;
    }
    json_error_t error;
    value = json_loads(text, JSON_DECODE_ANY, &error);
    if (!value) say_error("--%s wants %s, not '%s'", field->name, field->type == FIELD_BOOLEAN ? "true or false" : field->type == FIELD_INTEGER ? "a number" : "JSON", text);
    return value;
}

/* mqtt.max_inflight=55 into {"mqtt.max_inflight": "55"}. */
static bool pair_take(json_t *map, const char *word)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) {
        say_error("'%s' is no KEY=VALUE", word);
        return false;
    }
    char *key = memory_copy_string(span_of(word, (size_t)(equals - word)));
    json_object_set_new(map, key, strcmp(equals + 1, "null") == 0 ? json_null() : json_string(equals + 1));
    memory_release(key);
    return true;
}

static bool append(struct ctl_request *request, const char *text)
{
    size_t used = strlen(request->target);
    if (used + strlen(text) >= sizeof request->target) {
        say_error("that is too long");
        return false;
    }
    strcpy(request->target + used, text);
    return true;
}

static bool append_encoded(struct ctl_request *request, const char *text, size_t (*encode)(const char *text, char *out, size_t bytes))
{
    char encoded[6144];
    if (encode(text, encoded, sizeof encoded) >= sizeof encoded) {
        say_error("that is too long");
        return false;
    }
    return append(request, encoded);
}

/* The path with the words in place of its {…}. */
static bool path_make(struct ctl_request *request, int *count, char ***words)
{
    const struct api_route *route = request->route;
    strcpy(request->target, API_PREFIX);
    for (const char *at = route->path; *at;) {
        const char *open = strchr(at, '{');
        char piece[128];
        snprintf(piece, sizeof piece, "%.*s", (int)(open ? (size_t)(open - at) : strlen(at)), at);
        if (!append(request, piece)) return false;
        if (!open) break;
        at = strchr(open, '}') + 1;
        if (*count == 0) {
            say_error("%s wants %.*s (ringmq ctl %s --help)", route->command, (int)(at - open - 2), open + 1, route->command);
            return false;
        }
        if (!append_encoded(request, **words, http_encode_segment)) return false;
        --*count;
        ++*words;
    }
    return true;
}

static bool take_rest(struct ctl_request *request, int count, char **words)
{
    if (ctl_is_map(request->route) || ctl_is_list(request->route)) {
        const char *name = api_schema_find(request->route->body)->fields[0].name;
        json_t *all = ctl_is_map(request->route) ? json_object() : json_array();
        json_object_set_new(request->body, name, all);
        for (int i = 0; i < count; i++) {
            if (ctl_is_list(request->route))
                json_array_append_new(all, json_string(words[i]));
            else if (!pair_take(all, words[i]))
                return false;
        }
        return true;
    }
    if (count == 0) return true;
    say_error("'%s' is one word too many (ringmq ctl %s --help)", words[0], request->route->command);
    return false;
}

/* An option of the command. False: it has complained. */
static bool option_take(struct ctl_request *request, const char *option, const char *value, bool *query)
{
    const struct api_route *route = request->route;
    const struct api_schema *body = route->body ? api_schema_find(route->body) : NULL;
    const struct api_field *field = field_of(route->parameters, route->parameters_count, option);
    if (strcmp(option, "body") == 0 && body) {
        json_error_t error;
        size_t bytes;
        char *text = read_whole(value, &bytes);
        json_t *whole = text ? json_loadb(text, bytes, 0, &error) : NULL;
        if (text && !whole) say_error("%s is no JSON: line %d: %s", value, error.line, error.text);
        memory_release(text);
        if (!whole) return false;
        json_object_update(request->body, whole);
        json_decref(whole);
        return true;
    }
    if (field && !field->in_path) {
        bool first = !*query;
        *query = true;
        return append(request, first ? "?" : "&") && append(request, field->name) && append(request, "=") && append_encoded(request, value, http_encode);
    }
    field = body ? field_of(body->fields, body->fields_count, option) : NULL;
    if (field) {
        json_t *json = value_json(field, value);
        if (json) json_object_set_new(request->body, field->name, json);
        return json != NULL;
    }
    say_error("%s has no option --%s (ringmq ctl %s --help)", route->command, option, route->command);
    return false;
}

bool ctl_request_make(struct ctl_request *request, int argc, char **argv)
{
    char **words = memory_acquire((size_t)(argc + 1) * sizeof *words);
    int count = 0;
    int options = 0; /* what lies behind "--" are words */
    for (; options < argc && strcmp(argv[options], "--") != 0; options++) { /* words first: the path stands before the query */
        if (strncmp(argv[options], "--", 2) != 0)
            words[count++] = argv[options];
        else if (!strchr(argv[options], '='))
            options++;
    }
    if (options > argc) options = argc;
    for (int i = options + 1; i < argc; i++)
        words[count++] = argv[i];
    char **rest = words;
    request->body = request->route->body ? json_object() : NULL;
    bool good = path_make(request, &count, &rest) && take_rest(request, count, rest), query = false;
    for (int i = 0; good && i < options; i++) {
        if (strncmp(argv[i], "--", 2) != 0) continue;
        char name[64];
        const char *equals = strchr(argv[i], '='), *value = equals ? equals + 1 : argv[i + 1 < argc ? i + 1 : i];
        snprintf(name, sizeof name, "%.*s", (int)(equals ? (size_t)(equals - argv[i]) - 2 : strlen(argv[i]) - 2), argv[i] + 2);
        if (!equals && i + 1 >= argc) {
            say_error("--%s wants a value", name);
            good = false;
        } else {
            good = option_take(request, name, value, &query);
            if (!equals) i++;
        }
    }
    memory_release(words);
    return good;
}
