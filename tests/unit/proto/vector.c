#include "vector.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "proto/encode.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* Up to `]` or the end; moves *text behind it. */
static size_t block(const char **text, uint8_t *out, size_t capacity, bool inside)
{
    static uint8_t nested[4][4096];
    static unsigned depth;
    size_t bytes = 0;
    const char *at = *text;
    while (*at && *at != ']') {
        if (bytes + 300 > capacity) return SIZE_MAX;
        if (isspace((unsigned char)*at)) {
            at++;
        } else if (*at == '"' || *at == '\'') {
            const char *end = strchr(at + 1, *at);
            if (end == NULL) return SIZE_MAX;
            struct span inner = span_of(at + 1, (size_t)(end - at - 1));
            bytes = (size_t)((*at == '"' ? mqtt_put_string(out + bytes, inner) : mqtt_put_bytes(out + bytes, inner)) - out);
            at = end + 1;
        } else if (*at == '[') {
            if (depth == 4) return SIZE_MAX;
            uint8_t *into = nested[depth++];
            at++;
            size_t inner = block(&at, into, sizeof nested[0], true);
            depth--;
            if (inner == SIZE_MAX) return SIZE_MAX;
            uint8_t *end = mqtt_put_varint(out + bytes, (uint32_t)inner);
            bytes = (size_t)(mqtt_put_bytes(end, span_of(into, inner)) - out);
        } else {
            if (digit(at[0]) < 0 || digit(at[1]) < 0) return SIZE_MAX;
            out[bytes++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
            at += 2;
        }
    }
    if (inside != (*at == ']')) return SIZE_MAX;
    *text = inside ? at + 1 : at;
    return bytes;
}

size_t vector_bytes(const char *text, uint8_t *out, size_t capacity) { return block(&text, out, capacity, false); }
