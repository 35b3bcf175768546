/* ringmq_manual.h - what else follows from a program's table of options: its man page and the shells' completions.
 *
 * The pages and completions of the packages are made from the built programs (cmake/Manual.cmake), so they can't be stale. */
#ifndef RINGMQ_CMD_MANUAL_H
#define RINGMQ_CMD_MANUAL_H

#include "cmd/ringmq_options.h"

/* --help=man: the page of say_who, such as ringmq-pub(1); roff, on stdout. The date in it is $SOURCE_DATE_EPOCH's, or today's. */
void manual_print(const struct option_program *program);

/* One subcommand in the page of `ringmq` and its completions. */
struct manual_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *says, *summary; /* says: who complains, "ringmq pub" */
};
/* ringmq(1): all subcommands, the exit status. */
void manual_print_commands(const struct manual_command *commands, uint32_t count);
/* The head of a page: its name, section, and what it is for. */
void manual_print_head(const char *page, const char *section, const char *summary);

/* --help=bash, --help=zsh of a program without subcommands: a whole script. Of `ringmq pub`: its part of the script of `ringmq`. */
void completion_print_bash(const struct option_program *program);
void completion_print_zsh(const struct option_program *program);
/* The scripts of `ringmq`: shell is "bash" or "zsh"; false: no other is known. */
bool completion_print_commands(const char *shell, const struct manual_command *commands, uint32_t count);

#endif
