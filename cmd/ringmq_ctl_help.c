/* ringmq_ctl_help.c - the commands of `ringmq ctl`, explained from the table of routes. */
#include <stdio.h>
#include <string.h>

#include "cmd/ringmq_ctl.h"

static const struct api_schema *body_of(const struct api_route *route) { return route->body ? api_schema_find(route->body) : NULL; }

bool ctl_is_map(const struct api_route *route)
{
    const struct api_schema *body = body_of(route);
    return body && body->fields_count == 1 && body->fields[0].type == FIELD_MAP;
}

bool ctl_is_list(const struct api_route *route)
{
    const struct api_schema *body = body_of(route);
    return body && body->fields_count == 1 && body->fields[0].type == FIELD_ARRAY && !api_schema_find(body->fields[0].of);
}

static void option_name(const char *name, char *ret_name, size_t bytes)
{
    snprintf(ret_name, bytes, "--%s", name);
    for (char *c = ret_name; *c; c++)
        if (*c == '_') *c = '-';
}

static const char *value_of(const struct api_field *field)
{
    switch (field->type) {
    case FIELD_INTEGER:
    case FIELD_NUMBER: return "NUMBER";
    case FIELD_BOOLEAN: return "true|false";
    case FIELD_STRING: return field->words ? "WORD" : "TEXT";
    default: return "JSON";
    }
}

static void put_usage(const struct api_route *route)
{
    printf("ringmq ctl %s", route->command);
    for (uint32_t i = 0; i < route->parameters_count; i++) {
        if (!route->parameters[i].in_path) continue;
        putchar(' ');
        for (const char *c = route->parameters[i].name; *c; c++)
            putchar(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    if (ctl_is_map(route)) fputs(" KEY=VALUE…", stdout);
    if (ctl_is_list(route)) fputs(" CLIENTID…", stdout);
    bool options = body_of(route) && !ctl_is_map(route) && !ctl_is_list(route);
    for (uint32_t i = 0; i < route->parameters_count; i++)
        options |= !route->parameters[i].in_path;
    if (options) fputs(" [options]", stdout);
}

static void put_field(const struct api_field *field)
{
    char name[64], left[128];
    option_name(field->name, name, sizeof name);
    snprintf(left, sizeof left, "%s %s", name, value_of(field));
    printf("  %-34s %s%s", left, field->required ? "(must be given) " : "", field->says);
    if (field->words) {
        fputs(" One of", stdout);
        for (const char *const *word = field->words; *word; word++)
            printf("%s %s", word == field->words ? "" : ",", *word);
        putchar('.');
    }
    if (field->fallback && *field->fallback) printf(" Default: %s.", field->fallback);
    putchar('\n');
}

void ctl_help_command(const struct api_route *route)
{
    fputs("Usage: ", stdout);
    put_usage(route);
    printf("\n\n%s%s%s\nNeeds the role %s. (%s " API_PREFIX "%s)\n", route->summary, route->says ? "\n" : "", route->says ? route->says : "", api_role_names[route->role],
           http_method_names[route->method], route->path);
    bool titled = false;
    for (uint32_t i = 0; i < route->parameters_count; i++) {
        if (route->parameters[i].in_path) continue;
        if (!titled) puts("\nOptions:");
        titled = true;
        put_field(&route->parameters[i]);
    }
    const struct api_schema *body = body_of(route);
    if (!body) return;
    if (ctl_is_map(route)) {
        puts("\nKEY=null takes a key out again.");
        return;
    }
    if (ctl_is_list(route)) return;
    puts("\nWhat is sent (a TEXT that begins with @ is read from that file, @- from standard input):");
    for (uint32_t i = 0; i < body->fields_count; i++)
        put_field(&body->fields[i]);
    printf("  %-34s %s\n", "--body FILE", "The whole as JSON, in place of these; - is standard input.");
}

static const char general[] =
    "Usage: ringmq ctl [--url URL] [--key KEY:SECRET] [--cafile FILE] [--json] [--wide] COMMAND …\n"
    "       ringmq ctl COMMAND --help\n"
    "\n"
    "See and steer a running broker through its admin API.\n"
    "\n"
    "  --url URL          where it is; default: where the last login was, else http://127.0.0.1:18083. Also RINGMQ_URL\n"
    "  --key KEY:SECRET   an API key. Better in the environment: RINGMQ_API_KEY, where other users cannot see it\n"
    "  --cafile FILE      for https: the CA of the server's certificate; default: the system's. Also RINGMQ_CAFILE\n"
    "  --insecure         for https: believe any certificate. Also RINGMQ_INSECURE=1\n"
    "  --json             print the answer as it is\n"
    "  --wide             all columns, however long the lines\n"
    "  --                 what follows are no options: a client may be called --json\n"
    "\n"
    "  login [--username NAME]   asks for the password (or takes RINGMQ_PASSWORD) and keeps the token in ~/.config/ringmq/token\n"
    "  logout                    ends the token and forgets it\n"
    "\n"
    "Exit status: 0 done, 1 wrong use or refused, 2 unreachable, 4 not logged in or not allowed, 5 not found, 6 in conflict with how things are,\n"
    "             7 the broker could not do it.\n"
    "\n"
    "Commands:\n";

void ctl_help(void)
{
    fputs(general, stdout);
    const char *tag = "";
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!route->command || route->operation == OPERATION_login || route->operation == OPERATION_logout) continue;
        if (strcmp(tag, route->tag) != 0) putchar('\n');
        tag = route->tag;
        printf("  %-26s %s\n", route->command, route->summary);
    }
}

void ctl_help_markdown(void)
{
    printf("| command | does | role |\n|---|---|---|\n");
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!route->command) continue;
        fputs("| `", stdout);
        put_usage(route);
        printf("` | %s | %s |\n", route->summary, api_role_names[route->role]);
    }
}
