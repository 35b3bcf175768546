/* ringmq.h - what all subcommands of `ringmq` share: their table, how they end, how they complain. */
#ifndef RINGMQ_CMD_RINGMQ_H
#define RINGMQ_CMD_RINGMQ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* How a run ends; docs/cli.md explains each. A reason code of MQTT 5 (128 and above) is an exit status by itself, also
 * when the connection speaks 3.1.1: the codes of CONNACK are translated (proto/mqtt.h). */
enum ringmq_exit {
    RINGMQ_EXIT_OK = 0,
    RINGMQ_EXIT_FAILED = 1,      /* wrong use, unreadable file, a check that did not pass */
    RINGMQ_EXIT_UNREACHABLE = 2, /* no connection, or no CONNACK */
    RINGMQ_EXIT_LOST = 3,        /* the connection broke, or the peer does not speak MQTT */
    RINGMQ_EXIT_TIMEOUT = 27,    /* -W ran out; the number is mosquitto_sub's */
};

/* argv[0] is the subcommand's name. */
int ringmq_pub(int argc, char **argv);
int ringmq_sub(int argc, char **argv);
int ringmq_check(int argc, char **argv);
int ringmq_bench(int argc, char **argv);
int ringmq_store(int argc, char **argv);
int ringmq_passwd(int argc, char **argv);
int ringmq_users(int argc, char **argv);
int ringmq_acl(int argc, char **argv);
int ringmq_ctl(int argc, char **argv);
int ringmq_top(int argc, char **argv);
int ringmq_why(int argc, char **argv);

/* "ringmq pub: …" and a newline, on stderr. say_quiet silences it (--quiet). */
extern const char *say_who;
extern const char *say_summary; /* what that program is for, in a line */
extern bool say_quiet;
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What a server says, or a client's name, for a terminal: that obeys bytes below 0x20, 0x7f, and U+0080 to U+009F; they are shown as \xNN. */
void print_shown(const char *text, FILE *out);

/* CLOCK_MONOTONIC. */
uint64_t clock_now_ms(void);
uint64_t clock_now_us(void);

/* The candidate that is fewest edits away from `word`; NULL when none is near enough to be worth suggesting. */
const char *nearest_word(const char *word, const char *const *candidates, unsigned count);

#endif
