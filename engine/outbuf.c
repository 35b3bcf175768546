#include "engine/outbuf.h"

#include "base/check.h"

struct outbuf *outbuf_acquire(struct pool *pool, uint32_t stage_bytes)
{
    size_t wanted = sizeof(struct outbuf) + stage_bytes;
    struct outbuf *outbuf = pool_acquire(pool, wanted);
    *outbuf = (struct outbuf){.capacity = (uint32_t)(pool_block_bytes(wanted) - sizeof *outbuf)};
    return outbuf;
}

struct outbuf *outbuf_make_room(struct pool *pool, struct outbuf *outbuf, uint32_t bytes)
{
    if (LIKELY(outbuf->capacity - outbuf->bytes >= bytes)) return outbuf;
    uint32_t doubled = 2 * (outbuf->capacity + (uint32_t)sizeof *outbuf) - (uint32_t)sizeof *outbuf;
    uint32_t wanted = outbuf->bytes + bytes;
    struct outbuf *larger = outbuf_acquire(pool, wanted > doubled ? wanted : doubled);
    uint32_t capacity = larger->capacity;
    *larger = *outbuf;
    larger->capacity = capacity;
    memcpy(larger->stage, outbuf->stage, outbuf->bytes);
    pool_release(pool, outbuf, sizeof *outbuf + outbuf->capacity);
    return larger;
}

void outbuf_attach(struct pool *pool, struct outbuf *outbuf, const void *data, uint32_t bytes, void *owner)
{
    CHECK(outbuf->pieces_count < OUTBUF_PIECES_MAX);
    if (outbuf->pieces_count == outbuf->pieces_capacity) {
        uint16_t capacity = outbuf->pieces_capacity ? outbuf->pieces_capacity * 2u & 0x7fff : 4;
        struct outbuf_piece *pieces = pool_acquire(pool, capacity * sizeof *pieces);
        if (outbuf->pieces) {
            memcpy(pieces, outbuf->pieces, outbuf->pieces_count * sizeof *pieces);
            pool_release(pool, outbuf->pieces, outbuf->pieces_capacity * sizeof *pieces);
        }
        outbuf->pieces = pieces;
        outbuf->pieces_capacity = capacity;
    }
    outbuf->pieces[outbuf->pieces_count++] = (struct outbuf_piece){data, owner, bytes, outbuf->bytes};
    outbuf->pieces_bytes += bytes;
}

/* Appends [data, bytes) less what `*skip` says was sent already. */
static void vector_append(struct outbuf *outbuf, const uint8_t *data, uint64_t bytes, uint64_t *skip)
{
    uint64_t skipped = *skip < bytes ? *skip : bytes;
    *skip -= skipped;
    if (bytes == skipped) return;
    outbuf->vector[outbuf->vector_count++] = (struct iovec){(void *)(uintptr_t)(data + skipped), bytes - skipped};
}

void outbuf_vector(struct pool *pool, struct outbuf *outbuf, uint64_t sent)
{
    size_t entries = 2u * outbuf->pieces_count + 1;
    if (!outbuf->vector) outbuf->vector = pool_acquire(pool, entries * sizeof *outbuf->vector);
    outbuf->vector_count = 0;
    uint32_t staged = 0;
    for (uint32_t i = 0; i < outbuf->pieces_count; i++) {
        const struct outbuf_piece *piece = &outbuf->pieces[i];
        vector_append(outbuf, outbuf->stage + staged, piece->at - staged, &sent);
        vector_append(outbuf, piece->data, piece->bytes, &sent);
        staged = piece->at;
    }
    vector_append(outbuf, outbuf->stage + staged, outbuf->bytes - staged, &sent);
    outbuf->message = (struct msghdr){.msg_iov = outbuf->vector, .msg_iovlen = outbuf->vector_count};
}

__attribute__((always_inline)) static inline void outbuf_free(struct pool *pool, struct outbuf *outbuf)
{
    if (outbuf->vector)
        pool_release(pool, outbuf->vector, (2u * outbuf->pieces_count + 1) * sizeof *outbuf->vector);
    if (outbuf->pieces) pool_release(pool, outbuf->pieces, outbuf->pieces_capacity * sizeof *outbuf->pieces);
    pool_release(pool, outbuf, sizeof *outbuf + outbuf->capacity);
}

/* Appends [data, bytes) less what `*skip` says was sent already. */
static void copy_rest(struct outbuf *to, const uint8_t *data, uint32_t bytes, uint64_t *skip)
{
    uint32_t skipped = *skip < bytes ? (uint32_t)*skip : bytes;
    *skip -= skipped;
    memcpy(to->stage + to->bytes, data + skipped, bytes - skipped);
    to->bytes += bytes - skipped;
}

struct outbuf *outbuf_own(struct pool *pool, struct outbuf *outbuf, uint64_t sent, void (*release)(void *context, void *owner), void *context)
{
    struct outbuf *own = outbuf_acquire(pool, (uint32_t)(outbuf_bytes(outbuf) - sent));
    uint32_t staged = 0;
    for (uint32_t i = 0; i < outbuf->pieces_count; i++) {
        const struct outbuf_piece *piece = &outbuf->pieces[i];
        copy_rest(own, outbuf->stage + staged, piece->at - staged, &sent);
        staged = piece->at;
        if (sent < piece->bytes && !outbuf_is_lent(piece->owner)) {
            outbuf_attach(pool, own, piece->data + sent, piece->bytes - (uint32_t)sent, piece->owner);
            sent = 0;
        } else {
            copy_rest(own, piece->data, piece->bytes, &sent);
            release(context, piece->owner);
        }
    }
    copy_rest(own, outbuf->stage + staged, outbuf->bytes - staged, &sent);
    outbuf_free(pool, outbuf);
    return own;
}

void outbuf_release(struct pool *pool, struct outbuf *outbuf, void (*release)(void *context, void *owner), void *context)
{
    for (uint32_t i = 0; i < outbuf->pieces_count; i++)
        release(context, outbuf->pieces[i].owner);
    outbuf_free(pool, outbuf);
}
