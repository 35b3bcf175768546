/* ringmq_format.h - how `ringmq sub` prints a message: a format compiled once, then run for each message.
 *
 * A format is text, escapes (\n \t \\ …) and items: %[flags][width][.precision]LETTER; docs/cli.md lists them.
 * Output goes to a FILE; whoever calls looks at ferror(). */
#ifndef RINGMQ_CMD_FORMAT_H
#define RINGMQ_CMD_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "proto/packet.h"

struct format_piece {
    char letter;      /* 0: the literal text; else an item */
    char time_letter; /* of %@x */
    bool left, zeros; /* flags '-' and '0' */
    uint32_t width;   /* 0: as wide as it is */
    int precision;    /* -1: all of it */
    struct span text;
};

struct format {
    struct format_piece *pieces;
    uint32_t count;
    bool pretty; /* JSON with line breaks */
    char *text;  /* literal text, escapes undone */
};

/* Complains and returns false when it is no format. */
bool format_compile(const char *source, bool pretty, struct format *ret_format);
void format_release(struct format *format);
void format_print(const struct format *format, const struct mqtt_publish *publish, struct timespec now, FILE *out);

/* %j and %J: the message as a JSON object; with `payload_as_is`, a payload that is JSON is put in as it is. */
void json_print_message(const struct mqtt_publish *publish, struct timespec now, bool payload_as_is, bool pretty,
                        FILE *out);
/* One JSON value and nothing after it but blanks (RFC 8259), nested no deeper than 128. */
bool json_valid(struct span text);
/* The text as a JSON string, quotes included. It must be UTF-8. */
void json_print_string(struct span text, FILE *out);
void json_print_base64(struct span bytes, FILE *out); /* with its quotes */

#endif
