/* ringmq_ctl_manual.c - `ringmq ctl` as a man page and as completions, from the table of routes. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"
#include "cmd/ringmq_manual.h"
#include "cmd/ringmq_roff.h"

static const struct {
    const char *option, *value, *says;
} general[] = {
    {"--url", "URL", "where the API is; default: where the last login was, else http://127.0.0.1:18083; also the environment's RINGMQ_URL"},
    {"--key", "KEY:SECRET", "an API key; better in the environment, RINGMQ_API_KEY, where other users cannot see it"},
    {"--cafile", "FILE", "for https: the CA of the server's certificate; default: the system's; also the environment's RINGMQ_CAFILE"},
    {"--insecure", NULL, "for https: believe any certificate; also RINGMQ_INSECURE=1 in the environment"},
    {"--json", NULL, "print the answer as it is"},
    {"--wide", NULL, "all columns, however long the lines"},
    {"--help", NULL, "explain ringmq ctl, or the command"},
};
#define GENERAL_COUNT (sizeof general / sizeof general[0])

/* "gte_mqueue_len" is the option --gte-mqueue-len. */
static const char *option_of(const struct api_field *field)
{
    static char name[64];
    snprintf(name, sizeof name, "--%s", field->name);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    return name;
}

static const struct api_schema *options_of_body(const struct api_route *route)
{
    return route->body && !ctl_is_map(route) && !ctl_is_list(route) ? api_schema_find(route->body) : NULL;
}

/* ---- the man page ----------------------------------------------------------------------------------------------- */

static void text(const char *words) { roff_print_marked(words, strlen(words), stdout); }

static void print_field(const struct api_field *field)
{
    fputs(".TP\n\\fB", stdout);
    const char *name = option_of(field);
    roff_print(name, strlen(name), stdout);
    printf("\\fR \\fI%s\\fR\n", field->type == FIELD_INTEGER || field->type == FIELD_NUMBER ? "NUMBER" : field->type == FIELD_BOOLEAN ? "true|false" : field->type == FIELD_STRING ? "TEXT" : "JSON");
    if (field->required) fputs("(must be given) ", stdout);
    text(field->says);
    for (const char *const *word = field->words; word && *word; word++)
        printf("%s%s", word == field->words ? " One of " : ", ", *word);
    fputs(field->words ? ".\n" : "\n", stdout);
}

static void print_command(const struct api_route *route)
{
    printf(".SS \"");
    roff_print(route->command, strlen(route->command), stdout);
    for (uint32_t i = 0; i < route->parameters_count; i++) {
        if (!route->parameters[i].in_path) continue;
        putchar(' ');
        for (const char *c = route->parameters[i].name; *c; c++)
            putchar(toupper((unsigned char)*c));
    }
    fputs(ctl_is_map(route) ? " KEY=VALUE ...\"\n" : ctl_is_list(route) ? " CLIENTID ...\"\n" : "\"\n", stdout);
    text(route->summary);
    putchar('\n');
    if (route->says) {
        text(route->says);
        putchar('\n');
    }
    printf("Needs the role %s.\n", api_role_names[route->role]);
    const struct api_schema *body = options_of_body(route);
    uint32_t options = body ? body->fields_count : 0;
    for (uint32_t i = 0; i < route->parameters_count; i++)
        options += !route->parameters[i].in_path;
    if (options) fputs(".RS\n", stdout); /* an empty one would be warned of */
    for (uint32_t i = 0; i < route->parameters_count; i++)
        if (!route->parameters[i].in_path) print_field(&route->parameters[i]);
    for (uint32_t i = 0; body && i < body->fields_count; i++)
        print_field(&body->fields[i]);
    if (options) fputs(".RE\n", stdout);
}

void ctl_manual(void)
{
    manual_print_head(say_who, "1", say_summary);
    fputs(".SH SYNOPSIS\n.EX\nringmq ctl [options] COMMAND ...\nringmq ctl COMMAND \\-\\-help\n.EE\n.SH DESCRIPTION\n"
          "Sees and steers a running broker through its admin API.\n"
          "A TEXT that begins with @ is read from that file, @\\- from standard input.\n.SH OPTIONS\n",
          stdout);
    for (size_t i = 0; i < GENERAL_COUNT; i++) {
        fputs(".TP\n\\fB", stdout);
        roff_print(general[i].option, strlen(general[i].option), stdout);
        printf("\\fR%s%s%s\n", general[i].value ? " \\fI" : "", general[i].value ? general[i].value : "", general[i].value ? "\\fR" : "");
        text(general[i].says);
        putchar('\n');
    }
    fputs(".SH COMMANDS\n", stdout);
    for (uint32_t i = 0; i < api_routes_count; i++)
        if (api_routes[i].command) print_command(&api_routes[i]);
    fputs(".SH \"EXIT STATUS\"\n0 done, 1 wrong use or refused, 2 unreachable, 4 not logged in or not allowed, 5 not found,\n"
          "6 in conflict with how things are, 7 the broker could not do it.\n"
          ".SH FILES\n.I \\(ti/.config/ringmq/token\n.SH \"SEE ALSO\"\n.BR ringmq (1),\n.BR ringmqd (8)\n",
          stdout);
}

/* ---- completion ------------------------------------------------------------------------------------------------- */

/* The first word of a command, and those behind it. */
static size_t first_bytes(const struct api_route *route) { return strcspn(route->command, " "); }

static bool first_of_its_word(uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (api_routes[i].command && first_bytes(&api_routes[i]) == first_bytes(&api_routes[at]) &&
            strncmp(api_routes[i].command, api_routes[at].command, first_bytes(&api_routes[at])) == 0)
            return false;
    return true;
}

static void print_firsts(void)
{
    const char *before = "";
    for (uint32_t i = 0; i < api_routes_count; i++) {
        if (!api_routes[i].command || !first_of_its_word(i)) continue;
        printf("%s%.*s", before, (int)first_bytes(&api_routes[i]), api_routes[i].command);
        before = " ";
    }
}

static void print_seconds(uint32_t first)
{
    const char *before = "";
    for (uint32_t i = first; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        size_t bytes = first_bytes(&api_routes[first]);
        if (!route->command || first_bytes(route) != bytes || strncmp(route->command, api_routes[first].command, bytes) != 0 || !route->command[bytes]) continue;
        printf("%s%s", before, route->command + bytes + 1);
        before = " ";
    }
}

void ctl_complete_bash(void)
{
    fputs("_ringmq_first[ctl]='", stdout);
    print_firsts();
    fputs("'\n_ringmq_options[ctl]='", stdout);
    for (size_t i = 0; i < GENERAL_COUNT; i++)
        printf("%s%s", i ? " " : "", general[i].option);
    puts("'\n_ringmq_values[ctl --url]='@text'\n_ringmq_values[ctl --key]='@text'\n_ringmq_values[ctl --cafile]='@file'");
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!route->command) continue;
        if (first_of_its_word(i) && route->command[first_bytes(route)]) {
            printf("_ringmq_first['ctl %.*s']='", (int)first_bytes(route), route->command);
            print_seconds(i);
            puts("'");
        }
        const struct api_schema *body = options_of_body(route);
        printf("_ringmq_options['ctl %s']='", route->command);
        for (uint32_t p = 0; p < route->parameters_count; p++)
            if (!route->parameters[p].in_path) printf("%s ", option_of(&route->parameters[p]));
        for (uint32_t f = 0; body && f < body->fields_count; f++)
            printf("%s ", option_of(&body->fields[f]));
        puts("--json --wide --help'");
    }
}

void ctl_complete_zsh(void)
{
    fputs("_ringmq_ctl() {\n    local -a commands\n    if ((CURRENT == 2)); then\n        commands=(", stdout);
    print_firsts();
    fputs(")\n        _describe -t commands command commands\n", stdout);
    printf("        _arguments");
    for (size_t i = 0; i < GENERAL_COUNT; i++)
        printf(" '%s'", general[i].option);
    fputs("\n    elif ((CURRENT == 3)); then\n        case $words[2] in\n", stdout);
    for (uint32_t i = 0; i < api_routes_count; i++) {
        if (!api_routes[i].command || !first_of_its_word(i) || !api_routes[i].command[first_bytes(&api_routes[i])]) continue;
        printf("        %.*s) commands=(", (int)first_bytes(&api_routes[i]), api_routes[i].command);
        print_seconds(i);
        puts(") ;;");
    }
    fputs("        esac\n        ((${#commands})) && _describe -t commands command commands\n    fi\n}\n", stdout);
}
