#include "base/glob.h"

#include <criterion/criterion.h>

Test(glob, star_question_and_text)
{
    static const struct {
        const char *pattern, *text;
        bool wanted;
    } cases[] = {
        {"", "", true},           {"", "a", false},         {"*", "", true},       {"*", "abc", true},        {"a*", "abc", true},
        {"*c", "abc", true},      {"a*c", "abc", true},     {"a*c", "ab", false},  {"*b*b*", "abab", true},   {"a**c", "ac", true},
        {"?", "a", true},         {"?", "", false},         {"a?c", "abc", true},  {"a?c", "ac", false},      {"?", "\u00fc", true},
        {"??", "\u00fc", false},  {"x?y", "x\u20acy", true}, {"abc", "abc", true}, {"abc", "abd", false},     {"a", "ab", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(glob_matches(span_of_string(cases[i].pattern), span_of_string(cases[i].text)), cases[i].wanted, "%s against %s", cases[i].pattern,
                     cases[i].text);
}
