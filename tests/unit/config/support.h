/* support.h - texts in, JSON and errors out; and a directory for files that vanishes with the test. */
#ifndef RINGMQ_TESTS_CONFIG_SUPPORT_H
#define RINGMQ_TESTS_CONFIG_SUPPORT_H

#include <criterion/criterion.h>

#include "config/config.h"
#include "config/hocon.h"
#include "config/schema.h"

/* What a tree became: JSON, or the errors, one per line. memory_release() it. */
char *json_of(struct hocon_tree *tree, struct config_errors *errors);
/* The same for a text that is in the file `t`. */
char *json_of_text(const char *text);

/* A loaded config, or NULL and all errors in *ret_errors (memory_release() it). Lists end with NULL and may be NULL. */
struct config *load(const char *const *files, const char *const *environment, const char *const *sets, char **ret_errors);
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
/* For sources that are sound. */
struct config *load_sound(const char *const *files, const char *const *environment, const char *const *sets);
/* For sources that are not: the errors. */
char *load_wrong(const char *const *files, const char *const *environment, const char *const *sets);

/* A file in this test's own directory, which becomes the working directory; removed at the end of the process. */
void file_write(const char *name, const char *text);

char *errors_text(struct config_errors *errors); /* clears them */
/* What a printing function prints. */
char *printed_by(void (*print)(FILE *));
char *effective(const struct config *config);

#define assert_text(actual, expected, name)                                                                          \
    do {                                                                                                             \
        char *actual_ = (actual);                                                                                    \
        cr_assert(strcmp(actual_, expected) == 0, "%s\nexpected:\n%s\nfound:\n%s", name, expected, actual_);         \
        memory_release(actual_);                                                                                     \
    } while (0)
#define assert_contains(text, part) cr_assert(strstr(text, part), "\n%s\ndoes not contain\n%s", text, part)

#include "base/memory.h"

#endif
