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

static inline bool span_starts_with(struct span whole, struct span start)
{
    return whole.bytes >= start.bytes && (start.bytes == 0 || memcmp(whole.data, start.data, start.bytes) == 0);
}

/* The span without its first `bytes`. Does not accept more than it has. */
static inline struct span span_skip(struct span whole, size_t bytes)
{
    return (struct span){whole.data + bytes, whole.bytes - bytes};
}

#endif
