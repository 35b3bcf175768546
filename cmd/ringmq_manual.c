#include "cmd/ringmq_manual.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_roff.h"

/* For ringmq(1) and its subcommands. Numbers: enum ringmq_exit. */
static const struct {
    const char *status, *means;
} exits[] = {
    {"0", "done; also after SIGINT or SIGTERM when nothing was left to do"},
    {"1", "wrong use; a file or standard output failed; what was to be checked did not pass"},
    {"2", "no connection, or no answer to CONNECT"},
    {"3", "the connection was lost, or the server broke the protocol"},
    {"27", "`sub -W`: the time is up"},
    {"128 to 255", "the server said no: the reason code of MQTT 5, such as 135, not authorized"},
};

static void print_text(const char *text)
{
    roff_print(text, strlen(text), stdout);
}

/* Set in capitals, with - for a space: "RINGMQ\-PUB". */
static void print_name(const char *name, bool capitals)
{
    for (; *name; name++) {
        char byte = *name == ' ' ? '-' : capitals ? (char)toupper((unsigned char)*name) : *name;
        roff_print(&byte, 1, stdout);
    }
}

void manual_print_head(const char *page, const char *section, const char *summary)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    time_t when = epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    char date[16];
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(date, sizeof date, "%Y-%m-%d", &parts);
    fputs(".\\\" Made by the program itself (--help=man): change its tables, not this page.\n.TH ", stdout);
    print_name(page, true);
    printf(" %s %s \"ringmq " RINGMQ_VERSION "\"\n.SH NAME\n", section, date);
    print_name(page, false);
    fputs(" \\- ", stdout);
    print_text(summary);
    fputc('\n', stdout);
}

static void print_lines(const char *title, const char *lines)
{
    printf(".SH %s\n.EX\n", title);
    while (*lines) {
        lines += strspn(lines, " ");
        size_t bytes = strcspn(lines, "\n");
        roff_print(lines, bytes, stdout);
        fputc('\n', stdout);
        lines += bytes + (lines[bytes] == '\n');
    }
    fputs(".EE\n", stdout);
}

static void print_option(const struct option *option)
{
    CHECK(option->help && *option->help); /* an option without a word of help is not finished */
    fputs(".TP\n\\fB", stdout);
    if (option->letter) {
        char letter[2] = {'-', option->letter};
        roff_print(letter, 2, stdout);
    }
    if (option->letter && option->name) fputs("\\fR, \\fB", stdout);
    if (option->name) {
        fputs("\\-\\-", stdout);
        print_text(option->name);
    }
    fputs("\\fR", stdout);
    if (option->value) {
        fputs(" \\fI", stdout);
        print_text(option->value);
        fputs("\\fR", stdout);
    }
    fputc('\n', stdout);
    for (const char *at = option->help; *at;) {
        size_t bytes = strcspn(at, "\n");
        roff_print_marked(at, bytes, stdout);
        fputc('\n', stdout);
        at += bytes + (at[bytes] == '\n');
    }
}

static void print_exits(void)
{
    fputs(".SH \"EXIT STATUS\"\n", stdout);
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        printf(".TP\n.B %s\n", exits[i].status);
        roff_print_marked(exits[i].means, strlen(exits[i].means), stdout);
        fputc('\n', stdout);
    }
}

static void print_see_also(const char *not_this)
{
    static const char *const pages[] = {"ringmq 1", "ringmqd 8", "ringmq.conf 5"};
    const char *before = "";
    fputs(".SH \"SEE ALSO\"\n", stdout);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        const char *space = strchr(pages[i], ' ');
        if (strncmp(pages[i], not_this, (size_t)(space - pages[i])) == 0 && strlen(not_this) == (size_t)(space - pages[i])) continue;
        printf("%s.BR %.*s (%s)", before, (int)(space - pages[i]), pages[i], space + 1);
        before = ",\n";
    }
    fputc('\n', stdout);
}

void manual_print(const struct option_program *program)
{
    bool daemon = strcmp(say_who, "ringmqd") == 0;
    manual_print_head(say_who, daemon ? "8" : "1", say_summary);
    print_lines("SYNOPSIS", program->usage);
    fputs(".SH DESCRIPTION\n", stdout);
    roff_print_paragraphs(program->about, stdout);
    for (uint32_t g = 0; g < program->groups_count; g++) {
        const struct option_group *group = &program->groups[g];
        fputs(".SH \"", stdout);
        for (const char *at = group->title; *at; at++)
            fputc(toupper((unsigned char)*at), stdout);
        fputs("\"\n", stdout);
        for (uint32_t i = 0; i < group->count; i++)
            print_option(&group->options[i]);
    }
    if (program->examples && *program->examples) print_lines("EXAMPLES", program->examples);
    if (!daemon) print_exits();
    print_see_also(say_who);
}

void manual_print_commands(const struct manual_command *commands, uint32_t count)
{
    manual_print_head("ringmq", "1", say_summary);
    print_lines("SYNOPSIS", "ringmq SUBCOMMAND [options]\nringmq SUBCOMMAND --help\nringmq --version\n");
    fputs(".SH DESCRIPTION\nThe client and admin program of the ringmq MQTT broker.\nEach subcommand has a page of its own.\n", stdout);
    for (uint32_t i = 0; i < count; i++) {
        fputs(".TP\n.BR ", stdout);
        print_name(commands[i].says, false);
        fputs(" (1)\n", stdout);
        print_text(commands[i].summary);
        fputc('\n', stdout);
    }
    print_exits();
    print_see_also("ringmq");
}
