/* arena.h - memory that is released all at once: what one load of a configuration needs.
 *
 * Owner: whoever holds the arena. Threads: one at a time.
 * Bounds: an allocation always succeeds; `bytes_used` lets the caller stop in time (HOCON_MEMORY_BYTES_MAX). */
#ifndef RINGMQ_CONFIG_ARENA_H
#define RINGMQ_CONFIG_ARENA_H

#include "base/span.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t bytes_left;
    size_t bytes_used;
};

void *arena_take(struct arena *arena, size_t bytes); /* zeroed, aligned for any type */
/* A copy with a NUL behind it that the span does not count. */
struct span arena_copy(struct arena *arena, struct span text);
const char *arena_copy_string(struct arena *arena, const char *text);
void arena_release(struct arena *arena);

/* An array that grows inside an arena: `array = arena_grow(…)` before storing item number `count`. */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t item_bytes);

/* Bytes that are appended to. Starts as {.arena = …}. */
struct arena_text {
    struct arena *arena;
    char *data;
    size_t bytes, capacity;
};

void arena_text_add(struct arena_text *text, const void *data, size_t bytes);
struct span arena_text_span(struct arena_text *text); /* NUL-terminated; never NULL */

#endif
