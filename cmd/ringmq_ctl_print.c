/* ringmq_ctl_print.c - answers for people. What comes from clients may hold anything: control characters are shown as \xNN. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq_ctl.h"

#define COLUMNS_MAX 40
#define GAP         2

/* Terminals obey bytes below 0x20, 0x7f, and U+0080 to U+009F. */
static char *shown(const char *text, size_t bytes)
{
    char *out = memory_acquire(4 * bytes + 1), *at = out;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < bytes ? (unsigned char)text[i + 1] : 0;
        bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;
        if (c1) {
            at += sprintf(at, "\\x%02x", next);
            i++;
        } else if (c < 0x20 || c == 0x7f) {
            at += sprintf(at, "\\x%02x", c);
        } else {
            *at++ = text[i];
        }
    }
    *at = 0;
    return out;
}

static char *cell(const json_t *value)
{
    if (!value || json_is_null(value)) return memory_copy_string(SPAN_LITERAL("-"));
    if (json_is_string(value)) return shown(json_string_value(value), json_string_length(value));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)), *copy = shown(text, strlen(text));
    free(text);
    return copy;
}

/* Characters, not bytes; good enough for what is not in East Asian scripts. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static size_t terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (columns && atoi(columns) > 20) return (size_t)atoi(columns);
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
    return 120;
}

static void put_row(char **cells, const size_t *widths, uint32_t columns)
{
    for (uint32_t i = 0; i < columns; i++) {
        bool last = i + 1 == columns;
        printf("%s%*s", cells[i], last ? 0 : (int)(widths[i] - width_of(cells[i]) + GAP), "");
    }
    putchar('\n');
}

static bool scalar(const struct api_field *field) { return field->type != FIELD_OBJECT && field->type != FIELD_ARRAY && field->type != FIELD_MAP; }

/* The schema's members in their order are the columns: as many as fit. */
static void print_table(const struct api_schema *schema, const json_t *rows, bool wide)
{
    size_t widths[COLUMNS_MAX], count = json_array_size(rows), used = 0, limit = wide ? SIZE_MAX : terminal_width();
    uint32_t columns = 0;
    char **cells = memory_acquire((count + 1) * COLUMNS_MAX * sizeof *cells);
    for (uint32_t f = 0; f < schema->fields_count && columns < COLUMNS_MAX; f++) {
        if (!scalar(&schema->fields[f]) || (!wide && strcmp(schema->fields[f].name, "documentation") == 0)) continue;
        size_t width = strlen(schema->fields[f].name);
        for (size_t r = 0; r < count; r++) {
            char *text = cells[(r + 1) * COLUMNS_MAX + columns] = cell(json_object_get(json_array_get(rows, r), schema->fields[f].name));
            if (width_of(text) > width) width = width_of(text);
        }
        if (columns && used + width > limit) {
            for (size_t r = 0; r < count; r++)
                memory_release(cells[(r + 1) * COLUMNS_MAX + columns]);
            break;
        }
        used += width + GAP;
        widths[columns] = width;
        cells[columns++] = (char *)(uintptr_t)schema->fields[f].name;
    }
    for (size_t r = 0; r <= count; r++)
        put_row(cells + r * COLUMNS_MAX, widths, columns);
    for (size_t r = 1; r <= count; r++)
        for (uint32_t c = 0; c < columns; c++)
            memory_release(cells[r * COLUMNS_MAX + c]);
    memory_release(cells);
}

static void print_object(const struct api_schema *schema, const json_t *object, int indent)
{
    for (uint32_t f = 0; f < schema->fields_count; f++) {
        const struct api_field *field = &schema->fields[f];
        const json_t *value = json_object_get(object, field->name);
        const struct api_schema *inner = field->of ? api_schema_find(field->of) : NULL;
        if (!value) continue;
        if (field->type == FIELD_ARRAY && inner && json_array_size(value)) {
            printf("%*s%s:\n", indent, "", field->name);
            print_table(inner, value, false);
        } else if (field->type == FIELD_MAP) {
            const char *key;
            json_t *item;
            printf("%*s%s:\n", indent, "", field->name);
            json_object_foreach((json_t *)(uintptr_t)value, key, item)
            {
                char *text = cell(item);
                printf("%*s  %-32s %s\n", indent, "", key, text);
                memory_release(text);
            }
        } else {
            char *text = cell(value);
            printf("%*s%-22s %s\n", indent, "", field->name, text);
            memory_release(text);
        }
    }
}

void ctl_print(const struct api_route *route, const json_t *answer, bool wide)
{
    const struct api_schema *schema = route->answer ? api_schema_find(route->answer) : NULL;
    if (!schema) return;
    if (schema->fields_count == 1 && schema->fields[0].type == FIELD_STRING) { /* a text: as it is, for a file */
        const json_t *text = json_object_get(answer, schema->fields[0].name);
        fwrite(json_string_value(text) ? json_string_value(text) : "", 1, json_string_length(text), stdout);
        return;
    }
    if (!route->page && !route->list) return print_object(schema, answer, 0);
    const json_t *rows = json_object_get(answer, "data"), *meta = json_object_get(answer, "meta");
    print_table(schema, rows, wide);
    if (!json_is_true(json_object_get(meta, "hasnext"))) return;
    fflush(stdout);
    fprintf(stderr, "there is more: --page %lld\n", (long long)json_integer_value(json_object_get(meta, "page")) + 1);
}
