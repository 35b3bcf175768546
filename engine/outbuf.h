/* outbuf.h - the bytes a connection is about to send: a stage that small pieces are copied into side by side, and
 * references to large pieces that stay where they lie (design §8, facts §2: copy up to 1 KiB, point above).
 *
 *     stage   [ CONNACK | head of A | head of B, payload of B | … ]
 *                                   ^ piece 0 (payload of A) goes out here: piece.at = its place in the stage
 *
 * A piece may be lent: bytes of a receive buffer on their way out again, kept from the kernel for that time. Such a buffer is sent at the end of the turn
 * or copied (outbuf_own()), so that no peer keeps it by not reading.
 *
 * Owner:    the connection; while the kernel sends from it nothing in it may change. Threads: the shard's.
 * Lifetime: a piece's bytes are kept alive by its `owner`, given back to the layer above when the bytes have left.
 * Units:    bytes. Failure: none; how much may wait is the layer above's decision (conn_backlog()). */
#ifndef RINGMQ_ENGINE_OUTBUF_H
#define RINGMQ_ENGINE_OUTBUF_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/pool.h"
#include "base/span.h"

struct outbuf_piece {
    const uint8_t *data;
    void *owner;
    uint32_t bytes;
    uint32_t at;
};

struct outbuf {
    uint32_t capacity;   /* of the stage                     */
    uint32_t bytes;      /* in the stage                     */
    uint32_t pieces_bytes;
    uint16_t pieces_count;
    uint16_t pieces_capacity : 15;
    uint16_t lends : 1;  /* some pieces are lent */
    struct outbuf_piece *pieces;
    struct iovec *vector; /* made by outbuf_vector() for the time of the send */
    uint32_t vector_count;
    struct msghdr message;
    uint8_t stage[];
};

/* A stage begins with this: a handful of acknowledgements or small messages. */
#define OUTBUF_BLOCK_LOG2_MIN  9
#define OUTBUF_BLOCK_BYTES_MIN (1u << OUTBUF_BLOCK_LOG2_MIN)
#define OUTBUF_STAGE_BYTES_MIN (OUTBUF_BLOCK_BYTES_MIN - sizeof(struct outbuf))
#define OUTBUF_PIECES_MAX      512 /* two iovec entries a piece: UIO_MAXIOV is 1024 */

struct outbuf *outbuf_acquire(struct pool *pool, uint32_t stage_bytes);
/* The same buffer, or a larger one with the same contents, with room for `bytes` more. */
struct outbuf *outbuf_make_room(struct pool *pool, struct outbuf *outbuf, uint32_t bytes);
/* Appends a reference. Does not accept more than OUTBUF_PIECES_MAX. */
void outbuf_attach(struct pool *pool, struct outbuf *outbuf, const void *data, uint32_t bytes, void *owner);
/* The owner of a lent piece is the number of its receive buffer. */
static inline void *outbuf_owner_lent(uint32_t buffer) { return (void *)((uintptr_t)buffer << 1 | 1); }
static inline bool outbuf_is_lent(const void *owner) { return (uintptr_t)owner & 1; }
static inline uint32_t outbuf_lent_buffer(const void *owner) { return (uint32_t)((uintptr_t)owner >> 1); }
/* True: these bytes go on where the last piece ends, and are now part of it. */
static inline bool outbuf_extend(struct outbuf *outbuf, const void *data, uint32_t bytes, const void *owner)
{
    if (outbuf->pieces_count == 0) return false;
    struct outbuf_piece *last = &outbuf->pieces[outbuf->pieces_count - 1];
    if (last->data + last->bytes != data || last->owner != owner || last->at != outbuf->bytes) return false;
    last->bytes += bytes;
    outbuf->pieces_bytes += bytes;
    return true;
}
/* Everything from byte `sent` on in a new buffer, lent bytes copied; the old one and what was sent of it go the way of outbuf_release(). */
struct outbuf *outbuf_own(struct pool *pool, struct outbuf *outbuf, uint64_t sent, void (*release)(void *context, void *owner), void *context);
static inline uint64_t outbuf_bytes(const struct outbuf *outbuf)
{
    return outbuf ? (uint64_t)outbuf->bytes + outbuf->pieces_bytes : 0;
}
/* Fills outbuf->vector with everything from byte `sent` on, in order. */
void outbuf_vector(struct pool *pool, struct outbuf *outbuf, uint64_t sent);
/* Calls release(context, owner) for each piece and gives the memory back. */
void outbuf_release(struct pool *pool, struct outbuf *outbuf, void (*release)(void *context, void *owner), void *context);

#endif
