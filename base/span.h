/* span.h - a piece of memory somebody else owns: where it starts and how many bytes it has.
 *
 * Owner:    never the span. Whoever hands one out says how long the bytes live.
 * Threads:  a value; copy it freely. */
#ifndef RINGMQ_BASE_SPAN_H
#define RINGMQ_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t bytes;
};

#define SPAN_LITERAL(text) ((struct span){(const uint8_t *)(text), sizeof(text) - 1})
/* For printf("%.*s"). */
#define SPAN_PRINT(span) (int)(span).bytes, (const char *)(span).data

static inline struct span span_of(const void *data, size_t bytes)
{
    return (struct span){(const uint8_t *)data, bytes};
}

static inline struct span span_of_string(const char *text) { return span_of(text, strlen(text)); }

static inline bool span_equal(struct span a, struct span b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* In place: topics are short, and a call costs more than their comparison. */
static inline bool span_same_bytes(const uint8_t *one, const uint8_t *other, size_t bytes)
{
    uint64_t a, b;
    if (bytes < sizeof a) return bytes == 0 || memcmp(one, other, bytes) == 0;
    for (size_t at = 0; at < bytes - sizeof a; at += sizeof a) {
        memcpy(&a, one + at, sizeof a);
        memcpy(&b, other + at, sizeof b);
        if (a != b) return false;
    }
    memcpy(&a, one + bytes - sizeof a, sizeof a); /* the last eight, some of them once more */
    memcpy(&b, other + bytes - sizeof b, sizeof b);
    return a == b;
}

static inline bool span_starts_with(struct span whole, struct span start)
{
    return whole.bytes >= start.bytes && (start.bytes == 0 || memcmp(whole.data, start.data, start.bytes) == 0);
}

/* In place: most are so short that the call of memcpy() is most of it. Returns the end; reads and writes nothing beyond. */
static inline uint8_t *span_copy_short(uint8_t *out, struct span from)
{
    const uint8_t *in = from.data;
    size_t bytes = from.bytes;
    if (bytes >= 16) {
        memcpy(out, in, 16);
        for (size_t at = 16; at + 16 < bytes; at += 16)
            memcpy(out + at, in + at, 16);
        memcpy(out + bytes - 16, in + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(out, in, 8);
        memcpy(out + bytes - 8, in + bytes - 8, 8);
    } else {
        for (size_t at = 0; at < bytes; at++)
            out[at] = in[at];
    }
    return out + bytes;
}

/* The span without its first `bytes`. Does not accept more than it has. */
static inline struct span span_skip(struct span whole, size_t bytes)
{
    return (struct span){whole.data + bytes, whole.bytes - bytes};
}

#endif
