/* The table: nothing ambiguous, nothing undocumented, nothing that points nowhere. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>

#include "admin/pages.h"
#include "admin/routes.h"
#include "admin/validate.h"

static void check_fields(const char *where, const struct api_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct api_field *field = &fields[i];
        cr_assert(field->says && *field->says, "%s.%s is not documented", where, field->name);
        for (uint32_t j = 0; j < i; j++)
            cr_assert_str_neq(field->name, fields[j].name, "%s.%s is there twice", where, field->name);
        bool points = field->type == FIELD_OBJECT || field->type == FIELD_ARRAY || field->type == FIELD_MAP;
        cr_assert_eq(points, field->of != NULL, "%s.%s", where, field->name);
        if (field->type == FIELD_OBJECT) cr_assert_not_null(api_schema_find(field->of), "%s.%s", where, field->name);
    }
}

Test(routes, table_is_sound)
{
    for (uint32_t i = 0; i < api_schemas_count; i++)
        check_fields(api_schemas[i].name, api_schemas[i].fields, api_schemas[i].fields_count);
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        check_fields(route->path, route->parameters, route->parameters_count);
        cr_assert(route->summary && *route->summary, "%s", route->path);
        cr_assert(!route->body || api_schema_find(route->body), "%s", route->path);
        cr_assert(!route->answer || api_schema_find(route->answer), "%s", route->path);
        /* the parameters in the path, in its order */
        const char *at = route->path;
        for (uint32_t p = 0; p < route->parameters_count; p++) {
            char braced[64];
            if (!route->parameters[p].in_path) continue;
            snprintf(braced, sizeof braced, "{%s}", route->parameters[p].name);
            at = strstr(at, braced);
            cr_assert_not_null(at, "%s has no %s", route->path, braced);
        }
        for (uint32_t j = 0; j < i; j++) {
            cr_assert_neq(route->operation, api_routes[j].operation, "%s", route->path);
            if (route->command && api_routes[j].command) cr_assert_str_neq(route->command, api_routes[j].command);
        }
    }
    bool routed[OPERATIONS] = {false};
    for (uint32_t i = 0; i < api_routes_count; i++)
        routed[api_routes[i].operation] = true;
    for (int operation = 0; operation < OPERATIONS; operation++)
        cr_assert(routed[operation], "%s has no route", api_operation_names[operation]);
}

/* Every route is found by its own path, and by no other (api_route_find() stops the process where two fit). */
Test(routes, found_by_their_paths)
{
    for (uint32_t i = 0; i < api_routes_count; i++) {
        struct span values[API_PATH_VALUES_MAX];
        uint32_t methods;
        cr_assert_eq(api_route_find(api_routes[i].method, span_of_string(api_routes[i].path), values, &methods), &api_routes[i], "%s", api_routes[i].path);
        cr_assert(methods >> api_routes[i].method & 1);
    }
    struct span values[API_PATH_VALUES_MAX];
    uint32_t methods;
    cr_assert_eq(api_route_find(METHOD_GET, SPAN_LITERAL("/clients/a%2Fb/subscriptions"), values, &methods)->operation, OPERATION_list_client_subscriptions);
    cr_assert(span_equal(values[0], SPAN_LITERAL("a%2Fb")));
    cr_assert_eq(api_route_find(METHOD_HEAD, SPAN_LITERAL("/clients"), values, &methods)->operation, OPERATION_list_clients);
    static const char *const nowhere[] = {"", "/", "//", "/clients/", "/clients//subscriptions", "/clients/a/b", "/client", "clients", "/clients/a/subscriptions/"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        cr_assert_null(api_route_find(METHOD_GET, span_of_string(nowhere[i]), values, &methods), "'%s'", nowhere[i]);
    cr_assert_null(api_route_find(METHOD_PATCH, SPAN_LITERAL("/clients"), values, &methods));
    cr_assert_eq(methods, 1u << METHOD_GET);
}

Test(routes, bodies_are_checked)
{
    static const struct {
        const char *schema, *body, *wrong; /* NULL: it is right */
    } cases[] = {
        {"Message", "{\"topic\":\"a\"}", NULL},
        {"Message", "{\"topic\":\"a\",\"qos\":2.0}", NULL},
        {"Message", "{\"topic\":\"a\",\"qos\":3}", "qos must be 0 to 2"},
        {"Message", "{\"topic\":\"a\",\"qos\":\"1\"}", "qos must be an integer"},
        {"Message", "{}", "topic is missing"},
        {"Message", "{\"topic\":\"\"}", "topic must have 1 to 65535 bytes"},
        {"Message", "{\"topic\":\"a\\u0000\"}", "topic must not have a NUL in it"},
        {"Message", "{\"topic\":null}", "topic must not be null"},
        {"Message", "{\"topic\":\"a\",\"retain\":1}", "retain must be true or false"},
        {"Message", "{\"topic\":\"a\",\"nonsense\":1}", "nonsense is no member of this object"},
        {"Message", "{\"topic\":\"a\",\"payload_encoding\":\"x\"}", "payload_encoding must be one of plain, base64"},
        {"Message", "{\"topic\":\"a\",\"properties\":{\"content_type\":1}}", "properties.content_type must be a string"},
        {"Messages", "{\"messages\":[{\"topic\":\"a\"},{\"topic\":1}]}", "messages[1].topic must be a string"},
        {"Messages", "{\"messages\":[]}", "messages must have 1 to 1000 items"},
        {"Messages", "{\"messages\":[1]}", "messages[0] must be an object"},
        {"ClientIds", "{\"clientids\":[\"a\",2]}", "clientids[1] must be a string"},
        {"ApiKeyChange", "{\"expired_at\":null}", NULL},
        {"ConfigChange", "{\"changes\":{\"a.b\":null,\"c\":1,\"d\":true,\"e\":\"x\"}}", NULL},
        {"ConfigChange", "{\"changes\":{\"a\":[]}}", "changes.a must be a string, a number, true, false or null"},
        {"ConfigChange", "[]", "the body must be a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char error[512] = "";
        json_t *body = json_loads(cases[i].body, JSON_ALLOW_NUL, NULL);
        cr_assert_not_null(body, "%s", cases[i].body);
        bool right = validate_object(api_schema_find(cases[i].schema), body, error, sizeof error);
        cr_assert_eq(right, cases[i].wrong == NULL, "%s: %s", cases[i].body, error);
        if (!right) cr_assert_str_eq(error, cases[i].wrong);
        json_decref(body);
    }
}

Test(routes, document_is_json)
{
    json_t *document = json_loadb((const char *)openapi_document().data, openapi_document().bytes, 0, NULL);
    cr_assert_not_null(document);
    cr_assert_str_eq(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    json_decref(document);
    cr_assert(openapi_page().bytes > 10000);
}
