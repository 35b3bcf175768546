/* Regular expressions: a table, what is refused, and random ones against the C library's. */
#include "base/regex.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct span text(const char *string) { return span_of(string, strlen(string)); }

Test(regex, finds)
{
    static const struct {
        const char *pattern, *text;
        bool found;
    } rows[] = {
        {"", "", true}, {"", "x", true}, {"a", "xay", true}, {"^a", "xa", false}, {"a$", "ax", false}, {"^a$", "a", true}, {"^$", "", true}, {"^$", "a", false},
        {"^d-[0-9]+$", "d-12", true}, {"^d-[0-9]+$", "d-", false}, {"^d-[0-9]+$", "xd-12", false}, {"^d-[0-9]+$", "d-12\n", false}, {"a|b", "cb", true}, {"^(a|b)*$", "abba", true},
        {"^(?:ab|cd){2}$", "abcd", true}, {"^(?:ab|cd){2}$", "ab", false}, {"^a{2,3}$", "aaaa", false}, {"^a{2,}$", "aaaaa", true}, {"^a{0}b$", "b", true}, {"^a??b+?$", "abb", true},
        {"^a{0,2}$", "", true}, {"^.$", "ü", true}, {"^.$", "\n", false}, {"^..$", "ü", false}, {"^[^/]+$", "a/b", false}, {"^[^/]+$", "grün€😀", true}, {"^[à-ÿ]$", "é", true}, {"^[à-ÿ]$", "e", false},
        {"^[а-я]{3}$", "мир", true}, {"^[\\u]$", "", false}, {"^\\d\\D\\w\\W\\s\\S$", "1a_- x", true}, {"\\.\\*\\\\", "a.*\\", true}, {"^[]a]+$", "]a", true}, {"^[a-]+$", "-a", true},
        {"^[\\]\\-]+$", "-]", true}, {"(?i)^ABC[d-f]$", "abcE", true}, {"^\\x41\\t$", "A\t", true}, {"x*", "", true}, {"^(a(b(c)?)?)?$", "ab", true}, {"^(|a)b$", "b", true}, {"a^b", "a^b", false},
        {"(^a|b)c", "xbc", true}, {"(^a|b)c", "xac", false}, {"a($|b)", "xa", true}, {"a$|b", "ab", true}, {"^(a*)*$", "aaa", true}, {"^(a*)+b", "aaab", true}, {"($)", "x", true}, {"^(^a)", "a", true},
        {"^[\x01-\x1f]", "\x02", true}, {"^[^a]$", "€", true}, {"^[^€]$", "€", false}, {"^[^€]$", "₭", true}, {"[^\\d]", "5", false}, {"^€{2}$", "€€", true}, {"$^", "", true}, {"$^", "x", false}, {"(b|$c){2}", "ab", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[200] = "";
        struct regex *regex = regex_compile(text(rows[i].pattern), error, sizeof error);
        if (strcmp(rows[i].pattern, "^[\\u]$") == 0) {
            cr_assert_null(regex, "\\u");
            continue;
        }
        cr_assert_not_null(regex, "%s: %s", rows[i].pattern, error);
        cr_assert_eq(regex_finds(regex, text(rows[i].text)), rows[i].found, "%s in %s", rows[i].pattern, rows[i].text);
        regex_release(regex);
    }
}

Test(regex, refuses)
{
    static const char *const broken[] = {"(", ")", "[", "[]", "a**", "*", "a{", "a{x}", "a{2,1}", "a{256}", "\\1", "\\b", "(?=a)", "(?<n>a)", "(?i", "[z-a]", "a++", "\\", "\\xg0", "\xff", "\xc3",
                                         "[[:digit:]]", "(a{255}){255}", "(a|b)*a(a|b){14}", "a(?i)b", "[^\\d\\D]"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char error[200] = "";
        struct regex *regex = regex_compile(text(broken[i]), error, sizeof error);
        cr_assert_null(regex, "%s", broken[i]);
        cr_assert(*error, "%s", broken[i]);
    }
    char deep[400] = "", error[200];
    memset(deep, '(', 300);
    cr_assert_null(regex_compile(text(deep), error, sizeof error));
}

/* What backtracking would take for ever on. */
Test(regex, linear)
{
    char error[200];
    size_t bytes = 65535;
    char *long_text = malloc(bytes);
    memset(long_text, 'a', bytes);
    struct regex *regex = regex_compile(text("^(a+)+$|(a|aa)+b|(.*)*c"), error, sizeof error);
    cr_assert_not_null(regex, "%s", error);
    long_text[bytes - 1] = 'x';
    clock_t from = clock();
    cr_assert_not(regex_finds(regex, span_of(long_text, bytes)));
    cr_assert_lt((double)(clock() - from) / CLOCKS_PER_SEC, 0.5);
    regex_release(regex);
    free(long_text);
}

static uint32_t seed = 7;
static uint32_t pick(uint32_t below) { return (seed = seed * 1664525u + 1013904223u) / 65536 % below; }

static void random_pattern(char *ret_pattern, int depth)
{
    static const char *const pieces[] = {"a", "b", "c", ".", "[ab]", "[^a]", "[b-c]", "a*", "b+", "c?", "a{2}", "b{1,2}", "[ac]*"};
    for (uint32_t i = pick(4) + 1; i; i--) {
        if (depth && pick(4) == 0) {
            strcat(ret_pattern, "(");
            random_pattern(ret_pattern, depth - 1);
            strcat(ret_pattern, pick(2) ? "|" : "");
            random_pattern(ret_pattern, depth - 1);
            static const char *const ends[] = {")", ")*", ")?", "){2}", ")+"};
            strcat(ret_pattern, ends[pick(5)]);
        } else {
            strcat(ret_pattern, pieces[pick(sizeof pieces / sizeof pieces[0])]);
        }
    }
}

Test(regex, as_the_c_library)
{
    uint32_t compared = 0, found = 0;
    for (int i = 0; i < 4000; i++) {
        char pattern[2000] = "", error[200];
        if (pick(3) == 0) strcat(pattern, "^"); /* only there: the C library gets some others wrong */
        random_pattern(pattern, 2);
        if (pick(3) == 0) strcat(pattern, "$");
        if (strlen(pattern) > 300) continue;
        struct regex *ours = regex_compile(text(pattern), error, sizeof error);
        regex_t theirs;
        if (!ours) {
            cr_assert(strstr(error, "automaton") || strstr(error, "large"), "%s: %s", pattern, error);
            continue;
        }
        if (regcomp(&theirs, pattern, REG_EXTENDED | REG_NOSUB) == 0) {
            for (int t = 0; t < 20; t++) {
                char word[12] = "";
                for (uint32_t n = pick(8); n; n--)
                    word[strlen(word)] = (char)('a' + pick(4));
                bool is = regexec(&theirs, word, 0, NULL, 0) == 0;
                cr_assert_eq(regex_finds(ours, text(word)), is, "%s in '%s': %d", pattern, word, is);
                compared++;
                found += is;
            }
            regfree(&theirs);
        }
        regex_release(ours);
    }
    cr_assert(compared > 20000 && found > 2000 && found < compared - 2000, "%u compared, %u found", compared, found);
}
