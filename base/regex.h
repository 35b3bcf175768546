/* regex.h - regular expressions over names that strangers choose: each byte of the text costs one look into a table, whatever the expression.
 *
 * Compiled to a deterministic automaton at once; an expression whose automaton would be large is refused instead of being slow (decision 0071). The usual
 * syntax: literals, . (not a line end), [a-z] [^/], \d \w \s and \D \W \S (ASCII), \t \n \r \f \v \xHH, ( ) (?: ) |, * + ? {m} {m,} {m,n} (lazy ones say the
 * same), ^ and $ (of the whole text), (?i) at the beginning (ASCII letters). Characters are those of UTF-8. There are no back references, no looking around, no \b
 * and no \p: the error says so. An expression without ^ finds a match anywhere.
 * Owner: who compiled it. Threads: matching from any. */
#ifndef RINGMQ_BASE_REGEX_H
#define RINGMQ_BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define REGEX_BYTES_MAX 1024

struct regex;

/* NULL with a sentence. */
struct regex *regex_compile(struct span pattern, char *ret_error, size_t error_bytes);
void regex_release(struct regex *regex); /* accepts NULL */
bool regex_finds(const struct regex *regex, struct span text);

#endif
