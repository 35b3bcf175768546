/* ringmq - the client and admin program. Each subcommand is a file of its own; this one only finds it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_manual.h"

static const struct manual_command commands[] = {
    {"pub", ringmq_pub, "ringmq pub", "publish messages: from the command line, a file or standard input"},
    {"sub", ringmq_sub, "ringmq sub", "subscribe and print what arrives"},
    {"bench", ringmq_bench, "ringmq bench", "load a broker and count what becomes of every message"},
    {"passwd", ringmq_passwd, "ringmq passwd", "write password files: set, delete, verify, hash"},
    {"users", ringmq_users, "ringmq users", "users of a built-in database without a broker: import and export EMQX's files"},
    {"store", ringmq_store, "ringmq store", "look into a stopped broker's store: is it whole, what is in it"},
    {"acl", ringmq_acl, "ringmq acl", "authorization rules: check them, try them, take over Mosquitto's"},
    {"ctl", ringmq_ctl, "ringmq ctl", "see and steer a running broker through its admin API"},
    {"top", ringmq_top, "ringmq top", "a live console: shards, memory, drops, the busiest clients"},
    {"why", ringmq_why, "ringmq why", "would a message reach a client, and what decides it"},
    {"check", ringmq_check, "ringmq check", "try what a broker can do and print a verdict per capability"},
};
#define COMMANDS_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fputs("ringmq: MQTT from the command line.\n\n"
          "Usage: ringmq SUBCOMMAND [options]\n"
          "       ringmq SUBCOMMAND --help\n"
          "       ringmq --version\n"
          "       ringmq --completion bash|zsh     print a script that completes these commands\n\n"
          "Subcommands:\n",
          out);
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        fprintf(out, "  %-8s%s\n", commands[i].name, commands[i].summary);
    fputs("\nManual: docs/cli.md\n", out);
}

static int unknown_command(const char *word)
{
    const char *names[COMMANDS_COUNT];
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        names[i] = commands[i].name;
    const char *nearest = nearest_word(word, names, COMMANDS_COUNT);
    if (nearest)
        say_error("there is no subcommand '%s'; did you mean '%s'? (ringmq --help lists them all)", word, nearest);
    else
        say_error("there is no subcommand '%s' (ringmq --help lists them all)", word);
    return RINGMQ_EXIT_FAILED;
}

static int print_completion(int argc, char **argv)
{
    if (argc == 3 && completion_print_commands(argv[2], commands, COMMANDS_COUNT)) return RINGMQ_EXIT_OK;
    say_error("--completion wants bash or zsh");
    return RINGMQ_EXIT_FAILED;
}

/* What was printed may have gone to a full disk or a closed pipe. */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return RINGMQ_EXIT_OK;
    if (errno != EPIPE) say_error("cannot write to standard output: %s", strerror(errno)); /* else its reader has seen enough */
    return RINGMQ_EXIT_FAILED;
}

static int run(int argc, char **argv);

int main(int argc, char **argv)
{
    int status = run(argc, argv);
    return status == RINGMQ_EXIT_OK ? printed() : status;
}

static int run(int argc, char **argv)
{
    signal(SIGPIPE,
           SIG_IGN); /* a reader of our output that went away is a failed write, so that we can still say goodbye */
    if (argc < 2) {
        print_help(stderr);
        return RINGMQ_EXIT_FAILED;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return RINGMQ_EXIT_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0 || strcmp(word, "version") == 0) {
        puts("ringmq " RINGMQ_VERSION);
        return RINGMQ_EXIT_OK;
    }
    if (strcmp(word, "--help=man") == 0) {
        manual_print_commands(commands, COMMANDS_COUNT);
        return RINGMQ_EXIT_OK;
    }
    if (strcmp(word, "--completion") == 0) return print_completion(argc, argv);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (strcmp(word, commands[i].name) != 0) continue;
        say_who = commands[i].says;
        say_summary = commands[i].summary;
        return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_command(word);
}
