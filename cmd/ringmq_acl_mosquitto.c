/* ringmq acl import-mosquitto - Mosquitto's acl_file (mosquitto.conf(5)) as rules of ours.
 *
 * There deny wins wherever it stands, and what is said of the user comes before patterns. Here the first rule wins. So the rules come out as: per
 * user its denials, then what it may; denials of patterns; patterns. */
#include <stdio.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_acl.h"
#include "features/acl/rules.h"

struct imported {
    struct span user;  /* data NULL: topics before any user line: clients without a user name */
    bool pattern, deny;
    const char *action;
    struct span topic;
};

struct import {
    const char *path;
    struct imported *items;
    uint32_t count;
    struct span user;
    uint32_t line;
};

static struct span trimmed(struct span text)
{
    while (text.bytes && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_skip(text, 1);
    while (text.bytes && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t' || text.data[text.bytes - 1] == '\r'))
        text.bytes--;
    return text;
}

static struct span first_word(struct span text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && text.data[bytes] != ' ' && text.data[bytes] != '\t')
        bytes++;
    return span_of(text.data, bytes);
}

/* [read|write|readwrite|deny] TOPIC; the topic may have blanks in it. */
static bool access_take(struct import *import, struct span rest, bool pattern)
{
    static const struct {
        const char *name, *action;
        bool deny;
    } accesses[] = {{"read", "subscribe", false}, {"write", "publish", false}, {"readwrite", "all", false}, {"deny", "all", true}};
    struct imported item = {.user = import->user, .pattern = pattern, .action = "all"};
    struct span word = first_word(rest);
    for (size_t i = 0; word.bytes < rest.bytes && i < sizeof accesses / sizeof *accesses; i++) {
        if (!span_equal(word, span_of_string(accesses[i].name))) continue;
        item.action = accesses[i].action;
        item.deny = accesses[i].deny;
        rest = trimmed(span_skip(rest, word.bytes));
        break;
    }
    item.topic = rest;
    if (rest.bytes == 0) {
        say_error("%s:%u: the topic is missing", import->path, import->line);
        return false;
    }
    import->items = memory_resize(import->items, (import->count + 1) * sizeof item);
    import->items[import->count++] = item;
    return true;
}

static bool line_take(struct import *import, struct span line)
{
    line = trimmed(line);
    if (line.bytes == 0 || line.data[0] == '#') return true;
    struct span word = first_word(line), rest = trimmed(span_skip(line, word.bytes));
    if (span_equal(word, SPAN_LITERAL("topic"))) return access_take(import, rest, false);
    if (span_equal(word, SPAN_LITERAL("pattern"))) return access_take(import, rest, true);
    if (span_equal(word, SPAN_LITERAL("user")) && rest.bytes) {
        import->user = rest;
        return true;
    }
    say_error("%s:%u: a line of an acl_file begins with user, topic or pattern, not '%.*s'", import->path, import->line, SPAN_PRINT(word));
    return false;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void print_quoted(struct span text)
{
    putchar('"');
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') putchar('\\');
        putchar(text.data[i]);
    }
    putchar('"');
}

/* A pattern's %c and %u; elsewhere they are what they are. */
static void print_topic(const struct imported *item)
{
    struct span rest = item->topic;
    putchar('"');
    while (rest.bytes) {
        bool place = item->pattern && rest.bytes > 1 && rest.data[0] == '%' && (rest.data[1] == 'c' || rest.data[1] == 'u');
        if (place) {
            fputs(rest.data[1] == 'c' ? "${client_id}" : "${username}", stdout);
        } else {
            if (rest.data[0] == '"' || rest.data[0] == '\\') putchar('\\');
            putchar(rest.data[0]);
        }
        rest = span_skip(rest, place ? 2 : 1);
    }
    putchar('"');
}

static void print_item(const struct imported *item)
{
    printf("%s %s ", item->deny ? "deny" : "allow", item->action);
    if (!item->pattern) {
        fputs("user=", stdout);
        if (item->user.data)
            print_quoted(item->user);
        else
            putchar('-');
        putchar(' ');
    }
    print_topic(item);
    putchar('\n');
}

/* What cannot be said in a rule: a user name with the wildcards of ours, a topic that looks like a placeholder. */
static bool sayable(const struct import *import, const struct imported *item)
{
    const char *wrong = NULL;
    for (size_t i = 0; !item->pattern && i < item->user.bytes; i++)
        if (item->user.data[i] == '*' || item->user.data[i] == '?') wrong = "a user name with * or ? would be a pattern here";
    for (size_t i = 0; i + 1 < item->topic.bytes; i++)
        if (item->topic.data[i] == '$' && item->topic.data[i + 1] == '{') wrong = "a topic with ${ in it would be a placeholder here";
    if (span_starts_with(item->topic, SPAN_LITERAL("eq:"))) wrong = "a topic that begins with eq: means something else here";
    if (wrong) say_error("%s: topic '%.*s': %s; take the line out and write that rule by hand", import->path, SPAN_PRINT(item->topic), wrong);
    return !wrong;
}

static void print_all(const struct import *import, bool pattern)
{
    for (int deny = 1; deny >= 0; deny--)
        for (uint32_t i = 0; i < import->count; i++)
            if (import->items[i].pattern == pattern && import->items[i].deny == (bool)deny) print_item(&import->items[i]);
}

int acl_import_mosquitto(const char *path)
{
    char *text;
    size_t bytes;
    if (!path) {
        say_error("import-mosquitto needs one file (ringmq acl --help)");
        return RINGMQ_EXIT_FAILED;
    }
    if (!acl_file_read(path, &text, &bytes)) return RINGMQ_EXIT_FAILED;
    struct import import = {.path = path};
    struct span rest = span_of(text, bytes);
    bool sound = true;
    while (rest.bytes && sound) {
        const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
        size_t line_bytes = end ? (size_t)(end - rest.data) : rest.bytes;
        import.line++;
        sound = line_take(&import, span_of(rest.data, line_bytes));
        rest = span_skip(rest, line_bytes + (end != NULL));
    }
    for (uint32_t i = 0; i < import.count && sound; i++)
        sound = sayable(&import, &import.items[i]);
    if (sound) {
        printf("# From %s, by ringmq acl import-mosquitto. Subscriptions are checked as a whole here: docs/access-control.md.\n", path);
        print_all(&import, false);
        print_all(&import, true);
    }
    memory_release(import.items);
    memory_release(text);
    return sound ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}
