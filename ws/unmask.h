/* unmask.h - takes the mask off a WebSocket payload (RFC 6455 §5.3), 32 bytes at a time, while moving it to where it is wanted. */
#ifndef RINGMQ_WS_UNMASK_H
#define RINGMQ_WS_UNMASK_H

#include <stdint.h>
#include <string.h>

typedef uint8_t mask_block __attribute__((vector_size(32), aligned(1)));

/* `mask`: four bytes as they came, turned so that the first is for the first byte here. `to` may be the same as `from` or lie before it
 * (a block is read whole before one that ends no later is written). */
static inline void unmask(uint8_t *to, const uint8_t *from, size_t bytes, const uint8_t mask[4])
{
    size_t at = 0;
    if (bytes >= sizeof(mask_block)) {
        mask_block masks;
        for (size_t i = 0; i < sizeof masks; i += 4)
            memcpy((uint8_t *)&masks + i, mask, 4);
        for (; at + sizeof(mask_block) <= bytes; at += sizeof(mask_block)) {
            mask_block block;
            memcpy(&block, from + at, sizeof block);
            block ^= masks;
            memcpy(to + at, &block, sizeof block);
        }
    }
    for (; at < bytes; at++)
        to[at] = from[at] ^ mask[at & 3];
}

static inline void mask_turn(uint8_t mask[4], size_t bytes)
{
    uint8_t turned[4];
    for (size_t i = 0; i < 4; i++)
        turned[i] = mask[(i + bytes) & 3];
    memcpy(mask, turned, 4);
}

#endif
