/* Text for man pages: what roff would read as its own is escaped, and the Markdown of docs/ keeps its meaning. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ringmq_roff.h"

static char *printed(void (*print)(const char *text, FILE *out), const char *text)
{
    char *got = NULL;
    size_t bytes;
    FILE *memory = open_memstream(&got, &bytes);
    print(text, memory);
    fclose(memory);
    return got;
}

static void plain(const char *text, FILE *out) { roff_print(text, strlen(text), out); }
static void marked(const char *text, FILE *out) { roff_print_marked(text, strlen(text), out); }

static void expect(void (*print)(const char *text, FILE *out), const char *text, const char *wanted)
{
    char *got = printed(print, text);
    cr_expect_str_eq(got, wanted, "%s became %s", text, got);
    free(got);
}

Test(roff, special_bytes_are_escaped)
{
    expect(plain, "--set a=\"b\\c\"", "\\-\\-set a=\\(dqb\\(rsc\\(dq");
    expect(plain, ".conf it's `x` ~^", "\\&.conf it\\(aqs \\(gax\\(ga \\(ti\\(ha");
    expect(plain, "", "");
}

Test(roff, marks_inside_a_line)
{
    expect(marked, "say `-q 1` or **more**, *now*", "say \\fB\\-q 1\\fR or \\fBmore\\fR, \\fInow\\fR");
    expect(marked, "2 * 3 * 4 and a*", "2 * 3 * 4 and a*");
    expect(marked, "``a ` b``", "\\fBa \\(ga b\\fR");
    expect(marked, "[tls.md](tls.md), [site](https://a.b/c)", "tls.md, site (https://a.b/c)");
    expect(marked, "a \\| b, `unclosed", "a | b, \\(gaunclosed");
    expect(marked, "[not a link] (x)", "[not a link] (x)");
}

Test(roff, documents)
{
    expect(roff_print_markdown, "# Title\n\nText\nmore\n\n## `part`\nFirst.\n\nSecond.\n",
           "Text\nmore\n.SH \"part\"\nFirst.\n.PP\nSecond.\n");
    expect(roff_print_markdown, "## A\n- one\n  goes on\n- two\n\n1. first\n", ".SH \"A\"\n.IP \\(bu 2\none\ngoes on\n.IP \\(bu 2\ntwo\n.IP 1. 4\nfirst\n");
    expect(roff_print_markdown, "## A\n```sh\n# no heading\n.x\n```\nafter\n", ".SH \"A\"\n.EX\n# no heading\n\\&.x\n.EE\n.PP\nafter\n");
    expect(roff_print_markdown, "## A\n| x | y |\n|---|---|\n| `a\\|b` | c | d |\n", ".SH \"A\"\n.TP\n\\fBa|b\\fR\nc; d\n");
    expect(roff_print_paragraphs, "one\n\n  code -x\ntwo\n", "one\n.PP\n.EX\n  code \\-x\n.EE\n.PP\ntwo\n");
}
