/* Complaints, clocks and near misses. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/ringmq.h"

const char *say_who = "ringmq";
const char *say_summary = "MQTT from the command line";
bool say_quiet;

void print_shown(const char *text, FILE *out)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
        if (c1 || (*at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            fprintf(out, "\\x%02x", c1 ? *++at : *at);
        else
            fputc(*at, out);
    }
}

void say_error(const char *format, ...)
{
    if (say_quiet) return;
    fflush(stdout);
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int bytes = vasprintf(&text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s: ", say_who);
    print_shown(bytes < 0 ? format : text, stderr);
    fputc('\n', stderr);
    if (bytes >= 0) free(text);
}

uint64_t clock_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_now_ms(void)
{
    return clock_now_us() / 1000;
}

#define WORD_MAX 63

/* Insertions, deletions and replacements that make one word of the other (Levenshtein), one row at a time. */
static unsigned edits_between(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1], b_length = (unsigned)strnlen(b, WORD_MAX);
    for (unsigned j = 0; j <= b_length; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] && i <= WORD_MAX; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b_length];
}

const char *nearest_word(const char *word, const char *const *candidates, unsigned count)
{
    const char *nearest = NULL;
    unsigned edits_best = 3; /* more edits than that, and it is another word */
    for (unsigned i = 0; i < count; i++) {
        bool start = word[0] && strncmp(candidates[i], word, strlen(word)) == 0;
        unsigned edits = start ? 1 : edits_between(word, candidates[i]);
        if (edits >= edits_best || edits >= strlen(candidates[i])) continue;
        edits_best = edits;
        nearest = candidates[i];
    }
    return nearest;
}
