#include "base/placeholder.h"

static const struct {
    struct span text;
    enum placeholder_kind kind;
} words[] = {
    {{(const uint8_t *)"${client_id}", 12}, PLACEHOLDER_CLIENT_ID}, {{(const uint8_t *)"${clientid}", 11}, PLACEHOLDER_CLIENT_ID},
    {{(const uint8_t *)"%c", 2}, PLACEHOLDER_CLIENT_ID},            {{(const uint8_t *)"${username}", 11}, PLACEHOLDER_USER_NAME},
    {{(const uint8_t *)"%u", 2}, PLACEHOLDER_USER_NAME},            {{(const uint8_t *)"${client_attrs.", 15}, PLACEHOLDER_ATTRIBUTE},
    {{(const uint8_t *)"${attribute.", 12}, PLACEHOLDER_ATTRIBUTE},
};

struct placeholder placeholder_at(struct span text)
{
    struct placeholder none = {.kind = PLACEHOLDER_NONE};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!span_starts_with(text, words[i].text)) continue;
        struct placeholder found = {.kind = words[i].kind, .bytes = words[i].text.bytes};
        if (found.kind != PLACEHOLDER_ATTRIBUTE) return found;
        struct span rest = span_skip(text, found.bytes);
        const uint8_t *end = rest.bytes ? memchr(rest.data, '}', rest.bytes) : NULL;
        if (!end || end == rest.data) return none;
        found.attribute = span_of(rest.data, (size_t)(end - rest.data));
        found.bytes += found.attribute.bytes + 1;
        return found;
    }
    return none;
}
