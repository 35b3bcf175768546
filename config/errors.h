/* errors.h - where a value was written, and what was wrong with it.
 *
 * Every error reads `file:line:column: what; what to do`. A load goes on after an error so that one run shows them all;
 * from CONFIG_ERRORS_MAX on they are only counted.
 *
 * Owner: the errors own their texts. Threads: one at a time. */
#ifndef RINGMQ_CONFIG_ERRORS_H
#define RINGMQ_CONFIG_ERRORS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum config_origin_kind { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_COMMAND_LINE };

/* A value; `name` belongs to the config (or errors') maker and lives as long as the config does. */
struct config_origin {
    enum config_origin_kind kind;
    uint32_t line, column; /* from 1, in characters; 0: the value as a whole */
    const char *name;      /* file as given, name of the environment variable, or the KEY of --set */
};

#define CONFIG_ERRORS_MAX 20
#define CONFIG_ORIGIN_BYTES_MAX 512 /* enough for config_origin_format(); longer names are cut */

struct config_errors {
    uint32_t count; /* all of them; the first CONFIG_ERRORS_MAX have a text */
    char *texts[CONFIG_ERRORS_MAX];
};

/* "ringmq.conf:3:7", "environment RINGMQ__NODE__SHARDS", "command line --set node.shards", "default". */
void config_origin_format(const struct config_origin *origin, char *ret_text, size_t bytes);

/* origin may be NULL: the error has no place. A second error with the same words is not added again. */
void config_errors_add(struct config_errors *errors, const struct config_origin *origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One error per line, then "… and N more errors" when there were more than fit. */
void config_errors_print(const struct config_errors *errors, FILE *file);
/* Forgets all; the struct may be used again. */
void config_errors_clear(struct config_errors *errors);

#endif
