#include "config/arena.h"

#include <stdalign.h>

#include "base/memory.h"

#define CHUNK_BYTES 16384u

struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes;
    alignas(max_align_t) uint8_t data[];
};

void *arena_take(struct arena *arena, size_t bytes)
{
    bytes = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (bytes > arena->bytes_left) {
        size_t chunk_bytes = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        struct arena_chunk *chunk = memory_acquire_zeroed(sizeof *chunk + chunk_bytes);
        chunk->bytes = chunk_bytes;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->bytes_left = chunk_bytes;
    }
    struct arena_chunk *chunk = arena->chunks;
    void *taken = chunk->data + (chunk->bytes - arena->bytes_left);
    arena->bytes_left -= bytes;
    arena->bytes_used += bytes;
    return taken;
}

struct span arena_copy(struct arena *arena, struct span text)
{
    char *copy = arena_take(arena, text.bytes + 1);
    if (text.bytes) memcpy(copy, text.data, text.bytes);
    return span_of(copy, text.bytes);
}

const char *arena_copy_string(struct arena *arena, const char *text)
{
    return (const char *)arena_copy(arena, span_of_string(text)).data;
}

void arena_release(struct arena *arena)
{
    struct arena_chunk *next;
    for (struct arena_chunk *chunk = arena->chunks; chunk; chunk = next) {
        next = chunk->next;
        memory_release(chunk);
    }
    *arena = (struct arena){0};
}

void *arena_grow(struct arena *arena, void *array, size_t count, size_t item_bytes)
{
    bool full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!full) return array;
    void *larger = arena_take(arena, (count < 4 ? 4 : count * 2) * item_bytes);
    if (count) memcpy(larger, array, count * item_bytes);
    return larger;
}

void arena_text_add(struct arena_text *text, const void *data, size_t bytes)
{
    if (text->bytes + bytes + 1 > text->capacity) {
        size_t capacity = text->capacity ? text->capacity * 2 : 64;
        if (capacity < text->bytes + bytes + 1) capacity = text->bytes + bytes + 1;
        char *larger = arena_take(text->arena, capacity);
        if (text->bytes) memcpy(larger, text->data, text->bytes);
        text->data = larger;
        text->capacity = capacity;
    }
    if (bytes) memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = 0;
}

struct span arena_text_span(struct arena_text *text)
{
    arena_text_add(text, "", 0);
    return span_of(text->data, text->bytes);
}
