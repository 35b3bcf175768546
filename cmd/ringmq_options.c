#include "cmd/ringmq_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_manual.h"

#define NAMES_MAX 128

void text_list_add(struct text_list *list, const char *text)
{
    list->items = memory_resize(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = text;
}

void text_list_release(struct text_list *list)
{
    memory_release(list->items);
}

bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < min || number > max) return false;
    *ret_number = number;
    return true;
}

bool parse_seconds(const char *text, uint32_t *ret_ms)
{
    char *end;
    errno = 0;
    double seconds = strtod(text, &end);
    bool digits = (text[0] >= '0' && text[0] <= '9') || text[0] == '.';
    if (!digits || *end || errno || !(seconds >= 0 && seconds <= 4000000)) return false;
    *ret_ms = (uint32_t)(seconds * 1000 + 0.5);
    return true;
}

const char *option_value(struct option_arguments *arguments)
{
    const char *value = arguments->attached;
    arguments->attached = NULL;
    if (value) return value;
    return arguments->next < arguments->end ? *arguments->next++ : NULL;
}

/* ---- taking one option ---- */

static bool take_number(const struct option *option, void *field, const char *shown, const char *value)
{
    uint64_t number;
    if (!parse_number(value, option->min, option->max, &number)) {
        say_error("%s wants a number from %u to %u, not '%s'", shown, option->min, option->max, value);
        return false;
    }
    *(uint32_t *)field = (uint32_t)number;
    return true;
}

static bool take_seconds(void *field, const char *shown, const char *value)
{
    if (parse_seconds(value, field)) return true;
    say_error("%s wants seconds, such as 5 or 0.25, not '%s'", shown, value);
    return false;
}

static bool take_option(const struct option *option, void *target, struct option_arguments *arguments)
{
    void *field = (char *)target + option->offset;
    if (option->kind == OPTION_CALL) return option->call(target, arguments);
    if (option->kind == OPTION_FLAG) {
        if (arguments->attached) {
            say_error("%s takes no value", arguments->shown);
            return false;
        }
        *(bool *)field = true;
        return true;
    }
    const char *value = option_value(arguments);
    if (value == NULL) {
        say_error("%s wants a value: %s", arguments->shown, option->value);
        return false;
    }
    switch (option->kind) {
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_LIST: text_list_add(field, value); return true;
    case OPTION_NUMBER: return take_number(option, field, arguments->shown, value);
    case OPTION_SECONDS: return take_seconds(field, arguments->shown, value);
    default: return false;
    }
}

/* ---- finding it ---- */

static const struct option *find(const struct option_program *program, char letter, const char *name, size_t name_bytes,
                                 void **ret_target)
{
    for (uint32_t g = 0; g < program->groups_count; g++) {
        const struct option_group *group = &program->groups[g];
        for (uint32_t i = 0; i < group->count; i++) {
            const struct option *option = &group->options[i];
            bool same_name = name && option->name && strlen(option->name) == name_bytes &&
                             memcmp(option->name, name, name_bytes) == 0;
            if (!same_name && !(letter && option->letter == letter)) continue;
            *ret_target = group->target;
            return option;
        }
    }
    return NULL;
}

static void complain_unknown(const struct option_program *program, const char *shown, const char *name)
{
    const char *names[NAMES_MAX];
    uint32_t count = 0;
    for (uint32_t g = 0; g < program->groups_count; g++)
        for (uint32_t i = 0; i < program->groups[g].count; i++)
            if (program->groups[g].options[i].name && count < NAMES_MAX)
                names[count++] = program->groups[g].options[i].name;
    const char *nearest = name ? nearest_word(name, names, count) : NULL;
    if (nearest)
        say_error("there is no option %s; did you mean --%s?", shown, nearest);
    else
        say_error("there is no option %s (--help lists them all)", shown);
}

static bool take_long(const struct option_program *program, char *argument, struct option_arguments *arguments)
{
    char *name = argument + 2, *equals = strchr(name, '=');
    size_t name_bytes = equals ? (size_t)(equals - name) : strlen(name);
    arguments->attached = equals ? equals + 1 : NULL;
    arguments->shown = argument;
    void *target;
    const struct option *option = find(program, 0, name, name_bytes, &target);
    if (equals) *equals = 0; /* complaints show the name alone */
    if (option) return take_option(option, target, arguments);
    complain_unknown(program, argument, name);
    return false;
}

/* -q 1, -q1, -rn. */
static bool take_letters(const struct option_program *program, char *argument, struct option_arguments *arguments)
{
    for (char *letter = argument + 1; *letter; letter++) {
        char shown[3] = {'-', *letter, 0};
        void *target;
        const struct option *option = find(program, *letter, NULL, 0, &target);
        if (option == NULL) {
            complain_unknown(program, shown, NULL);
            return false;
        }
        arguments->shown = shown;
        bool takes_rest = option->value && letter[1];
        arguments->attached = takes_rest ? letter + 1 : NULL;
        if (!take_option(option, target, arguments)) return false;
        if (option->value) return true;
    }
    return true;
}

/* ---- help ---- */

static void print_option(const struct option *option)
{
    char left[64];
    int used = option->letter ? snprintf(left, sizeof left, "-%c%s", option->letter, option->name ? ", " : "")
                              : snprintf(left, sizeof left, "    ");
    if (option->name) used += snprintf(left + used, sizeof left - (size_t)used, "--%s", option->name);
    if (option->value) snprintf(left + used, sizeof left - (size_t)used, " %s", option->value);
    if (strlen(left) <= 28)
        printf("  %-28s  ", left);
    else
        printf("  %s\n%32s", left, "");
    for (const char *at = option->help; *at; at++) {
        putchar(*at);
        if (*at == '\n') printf("%32s", "");
    }
    putchar('\n');
}

void options_print_help(const struct option_program *program)
{
    printf("Usage: %s\n\n%s\n", program->usage, program->about);
    for (uint32_t g = 0; g < program->groups_count; g++) {
        printf("\n%s:\n", program->groups[g].title);
        for (uint32_t i = 0; i < program->groups[g].count; i++)
            print_option(&program->groups[g].options[i]);
    }
    printf("\nExamples:\n%s", program->examples);
}

static void print_markdown_cell(const char *text)
{
    for (; *text; text++) { /* inside `code`, too, GitHub's tables want \| */
        if (*text == '|' || *text == '<' || *text == '*') putchar('\\');
        putchar(*text == '\n' ? ' ' : *text);
    }
}

static void print_markdown(const struct option_program *program)
{
    for (uint32_t g = 0; g < program->groups_count; g++) {
        printf("| %s | |\n|---|---|\n", program->groups[g].title);
        for (uint32_t i = 0; i < program->groups[g].count; i++) {
            const struct option *option = &program->groups[g].options[i];
            fputs("| `", stdout);
            if (option->letter) printf("-%c%s", option->letter, option->name ? "`, `" : "");
            if (option->name) printf("--%s", option->name);
            fputs(option->value ? " " : "", stdout);
            print_markdown_cell(option->value ? option->value : "");
            fputs("` | ", stdout);
            print_markdown_cell(option->help);
            fputs(" |\n", stdout);
        }
        putchar('\n');
    }
}

/* ---- the command line ---- */

/* What every program of ours understands without a line in its table. */
static bool print_about(const struct option_program *program, const char *argument)
{
    static const struct {
        const char *option;
        void (*print)(const struct option_program *program);
    } forms[] = {{"--help", options_print_help},
                 {"--help=markdown", print_markdown},
                 {"--help=man", manual_print},
                 {"--help=bash", completion_print_bash},
                 {"--help=zsh", completion_print_zsh}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(argument, forms[i].option) != 0) continue;
        forms[i].print(program);
        return true;
    }
    if (strcmp(argument, "--version") != 0) return false;
    printf("%.*s " RINGMQ_VERSION "\n", (int)strcspn(say_who, " "), say_who); /* "ringmq pub" is ringmq */
    return true;
}

enum option_verdict options_parse(const struct option_program *program, int argc, char **argv)
{
    struct option_arguments arguments = {.next = argv + 1, .end = argv + argc};
    bool options_over = false;
    while (arguments.next < arguments.end) {
        char *argument = *arguments.next++;
        if (options_over || argument[0] != '-' || argument[1] == 0) {
            if (program->positionals == NULL) {
                say_error("'%s' belongs to no option (--help lists them all)", argument);
                return OPTIONS_WRONG;
            }
            text_list_add(program->positionals, argument);
        } else if (strcmp(argument, "--") == 0) {
            options_over = true;
        } else if (print_about(program, argument)) {
            return OPTIONS_HELPED;
        } else {
            bool fine = argument[1] == '-' ? take_long(program, argument, &arguments)
                                           : take_letters(program, argument, &arguments);
            if (!fine) return OPTIONS_WRONG;
        }
    }
    return OPTIONS_FINE;
}
