/* words.h - lists of rules in one string of the configuration: a rule a line (or several with `;` between them), each of words with blanks
 * between them. A word in double quotes may hold blanks and `;`. Empty rules are passed over.
 *
 * Threads: pure functions. Words point into the text. */
#ifndef RINGMQ_BASE_WORDS_H
#define RINGMQ_BASE_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define WORDS_MAX 8

struct words {
    struct span words[WORDS_MAX];
    uint32_t count;
    const char *wrong; /* NULL, or why the rule makes no sense: more than WORDS_MAX words, a quote that does not end */
};

/* Takes the next rule off the front; false: there is none. With `wrong` the words before it are there. */
bool words_next(struct span *rest, struct words *ret_rule);

#endif
