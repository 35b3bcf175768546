/* openapi_page.c - the API for people: one HTML page, made from the table, without scripts. */
#include <pthread.h>
#include <stdio.h>

#include "admin/pages.h"
#include "admin/routes.h"
#include "base/memory.h"

static const char head[] =
    "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>ringmq admin API</title>\n"
    "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin-top:2.5rem;border-bottom:1px solid #8886}h3{margin:1.8rem 0 .2rem;font-size:1rem}code{font-size:.95em}"
    ".m{display:inline-block;min-width:4.5em;font-weight:700}table{border-collapse:collapse;margin:.4rem 0}"
    "td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}th{font-weight:600}.r{opacity:.75}</style>\n"
    "<h1>ringmq admin API</h1>\n<p>As a document for programs: <a href=\"openapi.json\">openapi.json</a>. Errors have the form "
    "<code>{\"code\": …, \"message\": …}</code>. Lists answer <code>{\"data\": […], \"meta\": {page, limit, count, hasnext}}</code>.</p>\n";

static void put(struct http_text *text, const char *words)
{
    for (; *words; words++) {
        const char *entity = *words == '&' ? "&amp;" : *words == '<' ? "&lt;" : *words == '>' ? "&gt;" : *words == '"' ? "&quot;" : NULL;
        if (entity)
            http_text_print(text, "%s", entity);
        else
            http_text_add(text, words, 1);
    }
}

static const char *const type_names[] = {"string", "integer", "number", "boolean", "", "array of ", "object by name of "};

static void put_fields(struct http_text *text, const struct api_field *fields, uint32_t count, bool asked)
{
    http_text_print(text, "<table>");
    for (uint32_t i = 0; i < count; i++) {
        const struct api_field *field = &fields[i];
        http_text_print(text, "<tr><td><code>%s</code>%s<td>%s", field->name, asked && field->required ? "" : asked ? " <span class=r>(optional)</span>" : "",
                        type_names[field->type]);
        if (field->of && api_schema_find(field->of))
            http_text_print(text, "<a href=\"#%s\">%s</a>", field->of, field->of);
        else if (field->of)
            http_text_print(text, "%s", field->of);
        if (field->nullable) http_text_print(text, " or null");
        http_text_print(text, "<td>");
        put(text, field->says);
        if (field->words) {
            http_text_print(text, " One of");
            for (const char *const *word = field->words; *word; word++)
                http_text_print(text, "%s <code>%s</code>", word == field->words ? "" : ",", *word);
            http_text_print(text, ".");
        }
        if (field->fallback && *field->fallback) http_text_print(text, " Default: <code>%s</code>.", field->fallback);
    }
    http_text_print(text, "</table>\n");
}

static void put_route(struct http_text *text, const struct api_route *route)
{
    http_text_print(text, "<h3 id=\"%s\"><span class=m>%s</span> <code>" API_PREFIX "%s</code></h3>\n<p>", api_operation_names[route->operation],
                    http_method_names[route->method], route->path);
    put(text, route->summary);
    if (route->says) {
        http_text_print(text, " ");
        put(text, route->says);
    }
    http_text_print(text, " <span class=r>%s%s", route->role == ROLE_NONE ? "No authentication." : "Role: ", route->role == ROLE_NONE ? "" : api_role_names[route->role]);
    if (route->command) http_text_print(text, "; <code>ringmq ctl %s</code>", route->command);
    http_text_print(text, "</span></p>\n");
    if (route->parameters_count) put_fields(text, route->parameters, route->parameters_count, true);
    if (route->body) http_text_print(text, "<p>Body: <a href=\"#%s\">%s</a>.</p>\n", route->body, route->body);
    if (route->answer)
        http_text_print(text, "<p>%d: %s<a href=\"#%s\">%s</a>.</p>\n", route->success, route->page || route->list ? "list of " : "", route->answer, route->answer);
    else
        http_text_print(text, "<p>%d.</p>\n", route->success);
}

static struct http_text page;
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make(void)
{
    http_text_print(&page, "%s", head);
    const char *tag = "";
    for (uint32_t i = 0; i < api_routes_count; i++) {
        if (strcmp(tag, api_routes[i].tag) != 0) http_text_print(&page, "<h2>%s</h2>\n", tag = api_routes[i].tag);
        put_route(&page, &api_routes[i]);
    }
    http_text_print(&page, "<h2>Objects</h2>\n");
    for (uint32_t i = 0; i < api_schemas_count; i++) {
        const struct api_schema *schema = &api_schemas[i];
        bool asked = false;
        for (uint32_t f = 0; f < schema->fields_count; f++)
            asked |= schema->fields[f].required;
        http_text_print(&page, "<h3 id=\"%s\">%s</h3>\n<p>", schema->name, schema->name);
        put(&page, schema->says);
        http_text_print(&page, "</p>\n");
        put_fields(&page, schema->fields, schema->fields_count, asked);
    }
}

struct span openapi_page(void)
{
    pthread_once(&made, make);
    return span_of(page.data, page.bytes);
}

/* ---- Markdown ---------------------------------------------------------------------------------------------------- */

static void write_fields(struct http_text *text, const struct api_field *fields, uint32_t count, bool asked)
{
    http_text_print(text, "| name | type | meaning |\n|---|---|---|\n");
    for (uint32_t i = 0; i < count; i++) {
        const struct api_field *field = &fields[i];
        http_text_print(text, "| `%s`%s | %s%s%s | %s", field->name, asked && !field->required ? " (optional)" : "", type_names[field->type], field->of ? field->of : "",
                        field->nullable ? " or null" : "", field->says);
        for (const char *const *word = field->words; word && *word; word++)
            http_text_print(text, "%s `%s`", word == field->words ? " One of" : ",", *word);
        if (field->fallback && *field->fallback) http_text_print(text, " Default: `%s`.", field->fallback);
        http_text_print(text, " |\n");
    }
    http_text_print(text, "\n");
}

void openapi_write_docs(struct http_text *text)
{
    http_text_print(text, "# Reference of the admin API\n\nMade by `ringmqd --print-api-docs`. How to use it: [admin-api.md](admin-api.md).\n\n");
    const char *tag = "";
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (strcmp(tag, route->tag) != 0) http_text_print(text, "## %s\n\n", tag = route->tag);
        http_text_print(text, "### `%s " API_PREFIX "%s`\n\n%s%s%s\n\nRole: %s.", http_method_names[route->method], route->path, route->summary, route->says ? " " : "",
                        route->says ? route->says : "", api_role_names[route->role]);
        if (route->command) http_text_print(text, " Command: `ringmq ctl %s`.", route->command);
        if (route->body) http_text_print(text, " Body: [%s](#object-%s).", route->body, route->body);
        http_text_print(text, " Answer: %d", route->success);
        if (route->answer) http_text_print(text, ", %s[%s](#object-%s)", route->page || route->list ? "a list of " : "", route->answer, route->answer);
        http_text_print(text, ".\n\n");
        if (route->parameters_count) write_fields(text, route->parameters, route->parameters_count, true);
    }
    http_text_print(text, "## Objects\n\n");
    for (uint32_t i = 0; i < api_schemas_count; i++) {
        const struct api_schema *schema = &api_schemas[i];
        bool asked = false;
        for (uint32_t f = 0; f < schema->fields_count; f++)
            asked |= schema->fields[f].required;
        http_text_print(text, "### <a id=\"object-%s\"></a>%s\n\n%s\n\n", schema->name, schema->name, schema->says);
        write_fields(text, schema->fields, schema->fields_count, asked);
    }
}
