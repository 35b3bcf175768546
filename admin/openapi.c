/* openapi.c - the table of routes as an OpenAPI 3.1 document. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "admin/pages.h"
#include "admin/routes.h"
#include "base/check.h"

static json_t *reference_to(const char *kind, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "#/components/%s/%s", kind, name);
    return json_pack("{s:s}", "$ref", path);
}

static json_t *items_of(const char *of)
{
    if (api_schema_find(of)) return reference_to("schemas", of);
    if (strcmp(of, "any") == 0) return json_pack("{s:[s, s, s, s]}", "type", "string", "number", "boolean", "null");
    json_t *items = json_pack("{s:s}", "type", of);
    if (strcmp(of, "string") == 0) json_object_update_new(items, json_pack("{s:i, s:i}", "minLength", 1, "maxLength", API_WORD_BYTES_MAX));
    return items;
}

static const char *const type_names[] = {"string", "integer", "number", "boolean", "object", "array", "object"};

static void put_limits(json_t *schema, const struct api_field *field)
{
    static const char *const names[][2] = {[FIELD_STRING] = {"minLength", "maxLength"}, [FIELD_INTEGER] = {"minimum", "maximum"}, [FIELD_ARRAY] = {"minItems", "maxItems"},
                                           [FIELD_MAP] = {NULL, NULL}};
    if (!(field->min || field->max) || !names[field->type][0]) return;
    if (field->type != FIELD_STRING || field->min) json_object_set_new(schema, names[field->type][0], json_integer(field->min));
    json_object_set_new(schema, names[field->type][1], json_integer(field->max));
}

static json_t *fallback_json(const struct api_field *field)
{
    if (field->type == FIELD_INTEGER) return json_integer(strtoll(field->fallback, NULL, 10));
    if (field->type == FIELD_BOOLEAN) return json_boolean(strcmp(field->fallback, "true") == 0);
    return json_string(field->fallback);
}

static json_t *field_schema(const struct api_field *field, bool with_text)
{
    if (field->type == FIELD_OBJECT) {
        json_t *reference = reference_to("schemas", field->of);
        return field->nullable ? json_pack("{s:[o, {s:s}]}", "anyOf", reference, "type", "null") : reference;
    }
    json_t *schema = json_object();
    if (field->nullable)
        json_object_set_new(schema, "type", json_pack("[s, s]", type_names[field->type], "null"));
    else
        json_object_set_new(schema, "type", json_string(type_names[field->type]));
    if (field->words) {
        json_t *words = json_array();
        for (const char *const *word = field->words; *word; word++)
            json_array_append_new(words, json_string(*word));
        if (field->nullable) json_array_append_new(words, json_null());
        json_object_set_new(schema, "enum", words);
    }
    put_limits(schema, field);
    if (field->type == FIELD_STRING && !field->words && !field->format) json_object_set_new(schema, "pattern", json_string(field->pattern ? field->pattern : "^[^\\u0000]*$"));
    if (field->format) json_object_set_new(schema, "format", json_string(field->format));
    if (field->fallback) json_object_set_new(schema, "default", fallback_json(field));
    if (field->type == FIELD_ARRAY) json_object_set_new(schema, "items", items_of(field->of));
    if (field->type == FIELD_MAP && strcmp(field->of, "anything") != 0) json_object_set_new(schema, "additionalProperties", items_of(field->of));
    if (with_text) json_object_set_new(schema, "description", json_string(field->says));
    return schema;
}

/* ---- schemas ---------------------------------------------------------------------------------------------------- */

/* Is it part of some request's body? Then members may be left out. */
static bool reached(const char *from, const char *name, int depth)
{
    if (strcmp(from, name) == 0) return true;
    const struct api_schema *schema = depth < 8 ? api_schema_find(from) : NULL;
    for (uint32_t i = 0; schema && i < schema->fields_count; i++)
        if (schema->fields[i].of && reached(schema->fields[i].of, name, depth + 1)) return true;
    return false;
}

static bool is_asked(const char *name)
{
    for (uint32_t i = 0; i < api_routes_count; i++)
        if (api_routes[i].body && reached(api_routes[i].body, name, 0)) return true;
    return false;
}

static json_t *object_schema(const struct api_schema *schema)
{
    json_t *properties = json_object(), *required = json_array();
    bool asked = is_asked(schema->name);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        const struct api_field *field = &schema->fields[i];
        json_object_set_new(properties, field->name, field_schema(field, true));
        if (!asked || field->required) json_array_append_new(required, json_string(field->name));
    }
    json_t *object = json_pack("{s:s, s:s, s:o, s:b}", "type", "object", "description", schema->says, "properties", properties, "additionalProperties", 0);
    if (json_array_size(required))
        json_object_set_new(object, "required", required);
    else
        json_decref(required);
    return object;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static json_t *parameters_json(const struct api_route *route)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < route->parameters_count; i++) {
        const struct api_field *field = &route->parameters[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", field->name, "in", field->in_path ? "path" : "query", "required", field->required,
                                              "description", field->says, "schema", field_schema(field, false)));
    }
    return list;
}

static json_t *answer_schema(const struct api_route *route)
{
    json_t *one = reference_to("schemas", route->answer);
    if (!route->page && !route->list) return one;
    json_t *object = json_pack("{s:s, s:{s:{s:s, s:o}}, s:[s], s:b}", "type", "object", "properties", "data", "type", "array", "items", one, "required", "data",
                               "additionalProperties", 0);
    if (!route->page) return object;
    json_object_set_new(json_object_get(object, "properties"), "meta", reference_to("schemas", "Meta"));
    json_array_append_new(json_object_get(object, "required"), json_string("meta"));
    return object;
}

static json_t *success_json(const struct api_route *route)
{
    json_t *answer = json_pack("{s:s}", "description", route->answer ? "Done." : "Done; no body.");
    if (route->operation == OPERATION_stream_stats)
        json_object_set_new(answer, "content", json_pack("{s:{s:{s:s}}}", "text/event-stream", "schema", "type", "string"));
    else if (route->operation == OPERATION_download_trace)
        json_object_set_new(answer, "content", json_pack("{s:{s:{s:s}}, s:{s:{s:s}}}", "text/plain", "schema", "type", "string", "application/x-ndjson", "schema", "type", "string"));
    else if (route->answer)
        json_object_set_new(answer, "content", json_pack("{s:{s:o}}", "application/json", "schema", answer_schema(route)));
    return answer;
}

static void put_error(json_t *answers, int status)
{
    char text[8], name[16];
    snprintf(text, sizeof text, "%d", status);
    snprintf(name, sizeof name, "E%d", status);
    json_object_set_new(answers, text, reference_to("responses", name));
}

static json_t *operation_json(const struct api_route *route)
{
    static const int usual[] = {400, 401, 403, 408, 429, 431, 500, 503, 504};
    char status[8], says[1024];
    snprintf(status, sizeof status, "%d", route->success);
    json_t *answers = json_object();
    json_object_set_new(answers, status, success_json(route));
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        put_error(answers, usual[i]);
    if (route->body) {
        put_error(answers, 413);
        put_error(answers, 415);
    }
    for (const int *error = route->errors; error && *error; error++)
        put_error(answers, *error);
    snprintf(says, sizeof says, "%s%sNeeds %s%s.%s%s%s", route->says ? route->says : "", route->says ? " " : "",
             route->role == ROLE_NONE ? "no authentication" : "the role ", route->role == ROLE_NONE ? "" : api_role_names[route->role],
             route->command ? " Command: `ringmq ctl " : "", route->command ? route->command : "", route->command ? "`." : "");
    json_t *operation = json_pack("{s:s, s:[s], s:s, s:s, s:o}", "operationId", api_operation_names[route->operation], "tags", route->tag, "summary", route->summary,
                                  "description", says, "responses", answers);
    if (route->parameters_count) json_object_set_new(operation, "parameters", parameters_json(route));
    if (route->body)
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema", reference_to("schemas", route->body)));
    if (route->role == ROLE_NONE) json_object_set_new(operation, "security", json_array());
    json_object_set_new(operation, "x-role", json_string(api_role_names[route->role]));
    if (route->command) json_object_set_new(operation, "x-command", json_string(route->command));
    return operation;
}

static const char *const method_keys[METHODS] = {[METHOD_GET] = "get", [METHOD_POST] = "post", [METHOD_PUT] = "put", [METHOD_PATCH] = "patch", [METHOD_DELETE] = "delete"};

static json_t *paths_json(void)
{
    json_t *paths = json_object();
    for (uint32_t i = 0; i < api_routes_count; i++) {
        char path[128];
        snprintf(path, sizeof path, API_PREFIX "%s", api_routes[i].path);
        json_t *item = json_object_get(paths, path);
        if (!item) json_object_set_new(paths, path, item = json_object());
        json_object_set_new(item, method_keys[api_routes[i].method], operation_json(&api_routes[i]));
    }
    return paths;
}

static json_t *errors_json(void)
{
    static const struct {
        int status;
        const char *says;
    } errors[] = {{400, "The request is not as it must be; the message says where."}, {401, "Log in first."}, {403, "The role does not allow it."},
                  {404, "It is not there."}, {409, "It cannot be done in this state; the message says why."}, {408, "The request took too long to arrive."}, {413, "The body is too large."}, {431, "Request line and headers are too long."},
                  {415, "The body is no JSON."}, {429, "Too many wrong passwords; see Retry-After."}, {500, "The broker could not do it; see its log."},
                  {503, "Too much at once, or the broker stops; try again."}, {504, "A shard has not answered in time."}};
    json_t *answers = json_object();
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char name[16];
        snprintf(name, sizeof name, "E%d", errors[i].status);
        json_object_set_new(answers, name,
                            json_pack("{s:s, s:{s:{s:o}}}", "description", errors[i].says, "content", "application/json", "schema", reference_to("schemas", "Error")));
    }
    return answers;
}

static char *document;
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make(void)
{
    json_t *schemas = json_object(), *tags = json_array();
    for (uint32_t i = 0; i < api_schemas_count; i++)
        json_object_set_new(schemas, api_schemas[i].name, object_schema(&api_schemas[i]));
    for (uint32_t i = 0; i < api_routes_count; i++)
        if (i == 0 || strcmp(api_routes[i].tag, api_routes[i - 1].tag) != 0) {
            bool there = false;
            for (size_t t = 0; t < json_array_size(tags); t++)
                there |= strcmp(json_string_value(json_object_get(json_array_get(tags, t), "name")), api_routes[i].tag) == 0;
            if (!there) json_array_append_new(tags, json_pack("{s:s}", "name", api_routes[i].tag));
        }
    json_t *whole = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}, {s:[]}], s:o, s:o, s:{s:o, s:o, s:{s:{s:s, s:s}, s:{s:s, s:s}}}}", "openapi", "3.1.0", "info", "title",
        "ringmq admin API", "version", RINGMQ_VERSION, "description",
        "What can be seen and done while the broker runs. Log in with POST /api/v1/login and send the token as a Bearer token, or send an API key by HTTP Basic "
        "authentication.",
        "license", "name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", "/", "security", "token", "key", "tags", tags, "paths", paths_json(), "components", "schemas",
        schemas, "responses", errors_json(), "securitySchemes", "token", "type", "http", "scheme", "bearer", "key", "type", "http", "scheme", "basic");
    CHECK(whole);
    document = json_dumps(whole, JSON_INDENT(1));
    json_decref(whole);
    CHECK(document);
}

struct span openapi_document(void)
{
    pthread_once(&made, make);
    return span_of_string(document);
}
