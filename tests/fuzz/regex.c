/* Regular expressions (the first line) over texts (the rest): an answer, the same as that of the expression in brackets, and as that of a longer text when it has no end. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char error[200], wrapped[REGEX_BYTES_MAX + 16];
    const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
    struct span pattern = span_of(data, end ? (size_t)(end - data) : bytes), text = span_skip(span_of(data, bytes), pattern.bytes + (end != NULL));
    struct regex *regex = regex_compile(pattern, error, sizeof error);
    if (!regex) {
        CHECK(*error);
        return 0;
    }
    bool found = regex_finds(regex, text);
    if (pattern.bytes + 4 <= REGEX_BYTES_MAX && !span_starts_with(pattern, SPAN_LITERAL("(?i)"))) {
        memcpy(wrapped, "(?:", 3);
        if (pattern.bytes) memcpy(wrapped + 3, pattern.data, pattern.bytes);
        wrapped[pattern.bytes + 3] = ')';
        struct regex *same = regex_compile(span_of(wrapped, pattern.bytes + 4), error, sizeof error);
        if (same) CHECK(regex_finds(same, text) == found); /* it may be too deep, or too large */
        regex_release(same);
    }
    regex_release(regex);
    return 0;
}
