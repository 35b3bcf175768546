#include "base/words.h"

static bool is_blank(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }
static bool ends_rule(uint8_t byte) { return byte == '\n' || byte == ';'; }

static struct span take_quoted(struct span *rest, struct words *rule)
{
    struct span inside = span_skip(*rest, 1);
    const uint8_t *end = inside.bytes ? memchr(inside.data, '"', inside.bytes) : NULL;
    if (!end) {
        rule->wrong = "a double quote has no partner";
        *rest = span_skip(*rest, rest->bytes);
        return inside;
    }
    struct span word = span_of(inside.data, (size_t)(end - inside.data));
    *rest = span_skip(inside, word.bytes + 1);
    return word;
}

static struct span take_plain(struct span *rest)
{
    size_t bytes = 0;
    while (bytes < rest->bytes && !is_blank(rest->data[bytes]) && !ends_rule(rest->data[bytes]))
        bytes++;
    struct span word = span_of(rest->data, bytes);
    *rest = span_skip(*rest, bytes);
    return word;
}

bool words_next(struct span *rest, struct words *ret_rule)
{
    *ret_rule = (struct words){.count = 0};
    while (rest->bytes) {
        uint8_t byte = rest->data[0];
        if (is_blank(byte) || ends_rule(byte)) {
            *rest = span_skip(*rest, 1);
            if (ends_rule(byte) && ret_rule->count) return true;
            continue;
        }
        struct span word = byte == '"' ? take_quoted(rest, ret_rule) : take_plain(rest);
        if (ret_rule->count < WORDS_MAX)
            ret_rule->words[ret_rule->count++] = word;
        else
            ret_rule->wrong = "it has too many words";
    }
    return ret_rule->count > 0;
}
