/* types.h - the types of the schema: what a text means, and how it is written.
 *
 *     unsigned   1000                              duration   10us 5ms 1.5s 2m 1h30m 7d 1w; a bare number only when it is 0
 *     size       1MiB 512k 1.5G 16MB 300B 300      rate       1000/s 600/m 60/h
 *     enum       any case, - and _ alike           bool       true false on off yes no
 *     secret     a string; file://PATH takes the content of a file
 *
 * In sizes k, K, Ki, KiB … are powers of 1024 and kB, MB … powers of 1000, as HOCON says; units may be in any case. */
#ifndef RINGMQ_CONFIG_TYPES_H
#define RINGMQ_CONFIG_TYPES_H

#include "config/schema.h"

#define TYPE_TEXT_BYTES_MAX 64

/* The number a text stands for, in the key's unit; words and names included. False: it is none, or is out of range. Not for
 * strings and secrets. */
bool type_parse(const struct schema_key *key, struct span text, uint64_t *ret_number);
/* The text type_parse() would read back: in the largest unit that fits, words and names where they exist. */
void type_format(const struct schema_key *key, uint64_t number, char *ret_text, size_t bytes);
/* "a size from 1KiB to 256MiB, such as 1MiB": what to write instead. */
void type_describe(const struct schema_key *key, char *ret_text, size_t bytes);
bool type_is_text(enum schema_type type); /* the value is a string in the settings */

#endif
