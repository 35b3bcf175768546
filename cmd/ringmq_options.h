/* ringmq_options.h - options as tables: one line of a table drives parsing, --help, docs/cli.md (--help=markdown), the man page
 * (--help=man) and the completions of the shells (--help=bash, --help=zsh; ringmq_manual.h).
 *
 * Accepted: -h HOST, -hHOST, -rn (flags together), --host HOST, --host=HOST, -- (what follows are no options).
 * Owner:    values point into argv; of the lists only the arrays are allocated. */
#ifndef RINGMQ_CMD_OPTIONS_H
#define RINGMQ_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_list {
    const char **items;
    uint32_t count;
};
void text_list_add(struct text_list *list, const char *text);
void text_list_release(struct text_list *list);

/* What is left of the command line, for options that take more than one value. */
struct option_arguments {
    const char *attached; /* of --name=value and -nvalue, until taken */
    char **next, **end;
    const char *shown; /* the option as it was written, for complaints */
};
/* The next value; NULL when there is none. */
const char *option_value(struct option_arguments *arguments);

enum option_kind {
    OPTION_FLAG,    /* bool: set to true */
    OPTION_TEXT,    /* const char * */
    OPTION_LIST,    /* struct text_list: may be repeated */
    OPTION_NUMBER,  /* uint32_t, min … max */
    OPTION_SECONDS, /* uint32_t milliseconds, from seconds with decimals */
    OPTION_CALL,    /* call() takes its values; false: it has complained */
};

struct option {
    char letter;       /* 0: none */
    const char *name;  /* NULL: none */
    const char *value; /* what its value is called in the help; NULL: takes none. FILE, DIRECTORY, HOST and "one|other" are completed */
    enum option_kind kind;
    size_t offset;     /* of the field, in the group's target */
    uint32_t min, max; /* NUMBER */
    bool (*call)(void *target, struct option_arguments *arguments);
    const char *help;
};

struct option_group {
    const char *title;
    const struct option *options;
    uint32_t count;
    void *target;
};

struct option_program {
    const char *usage; /* lines without "Usage:" */
    const char *about;
    const char *examples;
    const struct option_group *groups;
    uint32_t groups_count;
    struct text_list *positionals; /* NULL: none are taken */
    const char *first; /* NULL, or what the first of them may be, for completion: words with | between, or FILE, DIRECTORY, HOST */
    const char *others; /* the same for those behind it */
};

enum option_verdict { OPTIONS_FINE, OPTIONS_HELPED, OPTIONS_WRONG };
/* Complains itself. HELPED: --help (or --version) was asked for and printed. */
enum option_verdict options_parse(const struct option_program *program, int argc, char **argv);

void options_print_help(const struct option_program *program);

/* Decimal seconds ("2", "0.25") to milliseconds. */
bool parse_seconds(const char *text, uint32_t *ret_ms);
bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);

#endif
