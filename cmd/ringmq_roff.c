#include "cmd/ringmq_roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/check.h"

/* What roff makes something else of: a hyphen-minus would become a hyphen, and a pasted option would not work. */
static const struct {
    char byte;
    const char *roff;
} specials[] = {{'\\', "\\(rs"}, {'-', "\\-"}, {'\'', "\\(aq"}, {'`', "\\(ga"}, {'^', "\\(ha"}, {'~', "\\(ti"}, {'"', "\\(dq"}};

void roff_print(const char *text, size_t bytes, FILE *out)
{
    if (bytes && *text == '.') fputs("\\&", out); /* at the start of a line it would be a request */
    for (size_t i = 0; i < bytes; i++) {
        const char *instead = NULL;
        for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++)
            if (specials[s].byte == text[i]) instead = specials[s].roff;
        if (instead)
            fputs(instead, out);
        else
            fputc(text[i], out);
    }
}

/* ---- marks inside a line ---- */

/* The piece between `mark` at text and the next one; 0: there is none. */
static size_t marked_bytes(const char *text, size_t bytes, const char *mark)
{
    size_t mark_bytes = strlen(mark);
    if (bytes < 2 * mark_bytes + 1 || memcmp(text, mark, mark_bytes) != 0) return 0;
    const char *end = memmem(text + mark_bytes, bytes - mark_bytes, mark, mark_bytes);
    return end && end > text + mark_bytes ? (size_t)(end - text) - mark_bytes : 0;
}

/* [text](link) at text: bytes of the whole; the parts by reference. 0: it is none. */
static size_t link_bytes(const char *text, size_t bytes, size_t *ret_label_bytes, const char **ret_link, size_t *ret_link_bytes)
{
    if (*text != '[') return 0;
    const char *middle = memmem(text, bytes, "](", 2);
    const char *end = middle ? memchr(middle, ')', bytes - (size_t)(middle - text)) : NULL;
    if (!end) return 0;
    *ret_label_bytes = (size_t)(middle - text) - 1;
    *ret_link = middle + 2;
    *ret_link_bytes = (size_t)(end - middle) - 2;
    return (size_t)(end - text) + 1;
}

static void print_in_font(char font, const char *text, size_t bytes, FILE *out)
{
    fprintf(out, "\\f%c", font);
    roff_print(text, bytes, out);
    fputs("\\fR", out);
}

void roff_print_marked(const char *text, size_t bytes, FILE *out)
{
    static const char *const marks[] = {"``", "`", "**", "*"};
    size_t plain = 0; /* bytes not printed yet, before i */
    for (size_t i = 0; i < bytes;) {
        char font = 'B';
        size_t taken = 0, inner = 0, label_bytes, target_bytes;
        const char *target;
        for (size_t m = 0; m < sizeof marks / sizeof marks[0] && !taken; m++) {
            inner = marked_bytes(text + i, bytes - i, marks[m]);
            if (inner && m == 3 && (text[i + 1] == ' ' || text[i + inner] == ' ')) inner = 0; /* 2 * 3 * 4 */
            if (inner) taken = inner + 2 * strlen(marks[m]);
            if (inner && m == 3) font = 'I';
        }
        bool marked = taken;
        bool escape = text[i] == '\\' && i + 1 < bytes && ispunct((unsigned char)text[i + 1]);
        if (!taken) taken = link_bytes(text + i, bytes - i, &label_bytes, &target, &target_bytes);
        if (!taken && escape) taken = 2;
        if (!taken) {
            i++;
            continue;
        }
        roff_print(text + plain, i - plain, out);
        if (marked) {
            print_in_font(font, text + i + (taken - inner) / 2, inner, out);
        } else if (escape) {
            roff_print(text + i + 1, 1, out);
        } else {
            roff_print_marked(text + i + 1, label_bytes, out);
            if (memmem(target, target_bytes, "://", 3)) {
                fputs(" (", out);
                roff_print(target, target_bytes, out);
                fputs(")", out);
            }
        }
        plain = i += taken;
    }
    roff_print(text + plain, bytes - plain, out);
}

/* ---- lines ---- */

/* The next line of *text, without its end; false: there is none. */
static bool next_line(const char **text, const char **ret_line, size_t *ret_bytes)
{
    if (**text == 0) return false;
    *ret_line = *text;
    *ret_bytes = strcspn(*text, "\n");
    *text += *ret_bytes + ((*text)[*ret_bytes] == '\n');
    return true;
}

static bool starts(const char *line, size_t bytes, const char *with)
{
    return bytes >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

enum block { BLOCK_HEADING, BLOCK_NONE, BLOCK_TEXT, BLOCK_CODE, BLOCK_ITEM, BLOCK_TABLE };

void roff_print_paragraphs(const char *text, FILE *out)
{
    const char *line;
    size_t bytes;
    enum block block = BLOCK_HEADING; /* the caller has just printed one */
    while (next_line(&text, &line, &bytes)) {
        bool code = starts(line, bytes, "  ");
        if (block == BLOCK_CODE && !code) {
            fputs(".EE\n", out);
            block = BLOCK_NONE;
        }
        if (bytes == 0) {
            block = BLOCK_NONE;
            continue;
        }
        if (block == BLOCK_NONE) fputs(".PP\n", out);
        if (code && block != BLOCK_CODE) fputs(".EX\n", out);
        block = code ? BLOCK_CODE : BLOCK_TEXT;
        if (code)
            roff_print(line, bytes, out);
        else
            roff_print_marked(line, bytes, out);
        fputc('\n', out);
    }
    if (block == BLOCK_CODE) fputs(".EE\n", out);
}

/* ---- documents ---- */

/* A cell of a table, where \| is a bar even inside `code`. */
static void print_cell(const char *text, size_t bytes, FILE *out)
{
    char cell[4096];
    size_t used = 0;
    CHECK(bytes <= sizeof cell);
    for (size_t i = 0; i < bytes; i++)
        if (!(text[i] == '\\' && i + 1 < bytes && text[i + 1] == '|')) cell[used++] = text[i];
    roff_print_marked(cell, used, out);
}

/* | one | two | three |: the first cell is a term, the others explain it. The line of dashes and an empty or heading row are left out. */
static void print_row(const char *line, size_t bytes, FILE *out)
{
    const char *at = line + 1, *end = line + bytes;
    for (int cell = 0; at < end; cell++) {
        const char *bar = at;
        bool code = false;
        while (bar < end && (*bar != '|' || code || bar[-1] == '\\')) {
            if (*bar == '`') code = !code;
            bar++;
        }
        if (bar == end) break; /* behind the last | */
        while (at < bar && *at == ' ')
            at++;
        size_t cell_bytes = (size_t)(bar - at);
        while (cell_bytes && at[cell_bytes - 1] == ' ')
            cell_bytes--;
        if (cell == 0) fputs(".TP\n", out);
        if (cell > 1) fputs(cell_bytes ? "; " : "", out);
        print_cell(at, cell_bytes, out);
        if (cell == 0) fputc('\n', out);
        at = bar + 1;
    }
    fputc('\n', out);
}

static void print_heading(const char *line, size_t bytes, size_t level, FILE *out)
{
    fputs(level == 2 ? ".SH " : ".SS ", out);
    line += level + 1, bytes -= level + 1;
    if (bytes > 2 && *line == '`' && line[bytes - 1] == '`') line++, bytes -= 2;
    fputc('"', out);
    roff_print(line, bytes, out);
    fputs("\"\n", out);
}

/* The digits and ". " a numbered item begins with; 0: it is none. */
static size_t item_number_bytes(const char *line, size_t bytes)
{
    size_t digits = 0;
    while (digits < bytes && isdigit((unsigned char)line[digits]))
        digits++;
    return digits && starts(line + digits, bytes - digits, ". ") ? digits + 2 : 0;
}

void roff_print_markdown(const char *markdown, FILE *out)
{
    const char *line, *ahead;
    size_t bytes;
    enum block block = BLOCK_HEADING; /* the caller's, or the title that is left out */
    bool head_row = false;
    while (next_line(&markdown, &line, &bytes)) {
        if (starts(line, bytes, "```")) {
            fputs(block == BLOCK_CODE ? ".EE\n" : block == BLOCK_HEADING ? ".EX\n" : ".PP\n.EX\n", out);
            block = block == BLOCK_CODE ? BLOCK_NONE : BLOCK_CODE;
            continue;
        }
        if (block == BLOCK_CODE) {
            roff_print(line, bytes, out);
            fputc('\n', out);
            continue;
        }
        size_t level = 0, number;
        while (level < bytes && line[level] == '#')
            level++;
        if (bytes == 0) {
            if (block != BLOCK_HEADING) block = BLOCK_NONE;
        } else if (level && line[level] == ' ') {
            if (level > 1) print_heading(line, bytes, level, out);
            block = BLOCK_HEADING;
        } else if (*line == '|') {
            ahead = markdown;
            if (block != BLOCK_TABLE) head_row = starts(ahead, strlen(ahead), "|--");
            bool dashes = starts(line, bytes, "|--");
            if (!head_row && !dashes) print_row(line, bytes, out);
            head_row = false;
            block = BLOCK_TABLE;
        } else if (starts(line, bytes, "- ")) {
            fputs(".IP \\(bu 2\n", out);
            roff_print_marked(line + 2, bytes - 2, out);
            fputc('\n', out);
            block = BLOCK_ITEM;
        } else if ((number = item_number_bytes(line, bytes))) {
            fprintf(out, ".IP %.*s 4\n", (int)number - 1, line);
            roff_print_marked(line + number, bytes - number, out);
            fputc('\n', out);
            block = BLOCK_ITEM;
        } else {
            if (block == BLOCK_NONE || block == BLOCK_TABLE) fputs(".PP\n", out);
            while (bytes && *line == ' ' && block == BLOCK_ITEM) /* goes on */
                line++, bytes--;
            roff_print_marked(line, bytes, out);
            fputc('\n', out);
            if (block != BLOCK_ITEM) block = BLOCK_TEXT;
        }
    }
}
