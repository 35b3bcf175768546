/* password_file.h - mosquitto's password file: a line `name:stored` per user (features/auth/password.h says which stored forms).
 *
 * Blank lines are skipped. A name is 1 to 1024 bytes without `:` and control characters and occurs once; a line that breaks this is
 * an error with its number, not a user less.
 * Owner:   whoever read it. Threads: immutable after password_file_read(). */
#ifndef RINGMQ_FEATURES_AUTH_PASSWORD_FILE_H
#define RINGMQ_FEATURES_AUTH_PASSWORD_FILE_H

#include <stdio.h>

#include "base/span.h"

#define PASSWORD_NAME_BYTES_MAX 1024
#define PASSWORD_FILE_BYTES_MAX (256u * 1024 * 1024)

struct password_entry {
    struct span name, stored;
};
struct password_file; /* entries by name */

/* NULL: what is wrong is in ret_error, beginning with the path (and line). Blocks. */
struct password_file *password_file_read(const char *path, char *ret_error, size_t error_bytes);
/* The same from memory, which is copied; `path` is for messages. */
struct password_file *password_file_parse(struct span text, const char *path, char *ret_error, size_t error_bytes);
void password_file_release(struct password_file *file); /* accepts NULL */
const struct password_entry *password_file_find(const struct password_file *file, struct span name);
/* In the order of the lines; NULL behind the last. */
const struct password_entry *password_file_at(const struct password_file *file, uint32_t number);
uint32_t password_file_count(const struct password_file *file);
/* NULL, or why this is no name. */
const char *password_name_check(struct span name);

#endif
