/* routes.h - the REST API as data: what can be asked, by whom, with what, and what comes back.
 *
 * From this table come the dispatching and checking of requests (api.c), the OpenAPI document (openapi.c), docs/admin-api.md and the commands of
 * `ringmq ctl`. It depends on nothing but base/. Threads: constant. */
#ifndef RINGMQ_ADMIN_ROUTES_H
#define RINGMQ_ADMIN_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/http_method.h"
#include "base/span.h"

#define API_PREFIX "/api/v1"

enum api_operation {
#define API_OPERATION(name) OPERATION_##name,
#include "admin/operations.def"
#undef API_OPERATION
    OPERATIONS
};
extern const char *const api_operation_names[OPERATIONS];

/* Each may do what those before it may. */
enum api_role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMINISTRATOR, ROLES };
extern const char *const api_role_names[ROLES]; /* "none", "viewer", "operator", "administrator" */

enum field_type { FIELD_STRING, FIELD_INTEGER, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_OBJECT, FIELD_ARRAY, FIELD_MAP };

/* A member of a JSON object, or a parameter. */
struct api_field {
    const char *name;
    enum field_type type;
    bool required;      /* in requests; in answers all members are always there */
    bool nullable;
    bool in_path;       /* parameters */
    int64_t min, max;   /* INTEGER: the value; STRING: bytes; ARRAY: items. Both 0: any */
    const char *const *words; /* STRING: one of these; ends with NULL */
    const char *of;     /* OBJECT: name of its schema. ARRAY: of the items' schema, or "string", "integer". MAP: type of the values, "string", "any" (scalars) or "anything" */
    const char *fallback; /* default, as text */
    const char *format; /* of JSON schema: "date-time"; NULL: none */
    const char *pattern; /* of JSON schema, checked by the handler; NULL: any text */
    const char *says;
};

/* Of the strings in an array. */
#define API_WORD_BYTES_MAX 4096

struct api_schema {
    const char *name;
    const char *says;
    const struct api_field *fields;
    uint32_t fields_count;
};

struct api_route {
    enum http_method method;
    const char *path;     /* behind API_PREFIX, "/clients/{clientid}" */
    enum api_operation operation;
    enum api_role role;   /* at least */
    const char *tag;
    const char *command;  /* of `ringmq ctl`: "clients get" */
    const struct api_field *parameters;
    uint32_t parameters_count;
    const char *body;     /* name of its schema; NULL: none */
    bool body_optional;
    const char *answer;   /* name of the schema; NULL: no body */
    bool page;            /* the answer is {"data": [answer…], "meta": Meta} */
    bool list;            /* the answer is {"data": [answer…]} */
    int success;          /* status */
    const int *errors;    /* that it may answer beyond 400, 401, 403, 429, 500, 503; ends with 0 */
    const char *summary;
    const char *says;     /* NULL: the summary says it all */
};

extern const struct api_route api_routes[];
extern const uint32_t api_routes_count;
extern const struct api_schema api_schemas[];
extern const uint32_t api_schemas_count;

/* NULL: none of that name. */
const struct api_schema *api_schema_find(const char *name);
const struct api_field *api_field_find(const struct api_field *fields, uint32_t count, const char *name);
/* The route for a method and a path (without API_PREFIX), and the undecoded values of {…} in their order. NULL: none; ret_methods then has a bit for each
 * method that the path knows. HEAD is GET. */
#define API_PATH_VALUES_MAX 4
const struct api_route *api_route_find(enum http_method method, struct span path, struct span ret_values[API_PATH_VALUES_MAX], uint32_t *ret_methods);

#endif
