#include <criterion/criterion.h>

#include "base/random.h"
#include "engine/outbuf.h"

static uint32_t released;
static void release(void *context, void *owner) { released++; }

/* Random pieces and staged bytes: whatever was sent already, the vector is the rest of the stream. */
Test(outbuf, the_vector_is_what_is_left_of_the_stream)
{
    static uint8_t stream[1 << 20], seen[1 << 20], piece_bytes[64][4096];
    struct random_source random = {11};
    for (int round = 0; round < 200; round++) {
        struct pool pool;
        pool_init(&pool);
        struct outbuf *outbuf = outbuf_acquire(&pool, OUTBUF_STAGE_BYTES_MIN);
        uint32_t total = 0, pieces = 0;
        released = 0;
        for (uint32_t i = 0; i < 1 + random_below(&random, 60); i++) {
            uint32_t bytes = (uint32_t)random_below(&random, 3000);
            if (random_below(&random, 2) && pieces < 64) {
                for (uint32_t b = 0; b < bytes; b++)
                    piece_bytes[pieces][b] = stream[total + b] = (uint8_t)random_next(&random);
                outbuf_attach(&pool, outbuf, piece_bytes[pieces], bytes, &piece_bytes[pieces]);
                pieces++;
            } else {
                outbuf = outbuf_make_room(&pool, outbuf, bytes);
                for (uint32_t b = 0; b < bytes; b++)
                    outbuf->stage[outbuf->bytes + b] = stream[total + b] = (uint8_t)random_next(&random);
                outbuf->bytes += bytes;
            }
            total += bytes;
        }
        cr_assert_eq(outbuf_bytes(outbuf), total);
        for (int part = 0; part < 5 && total; part++) {
            uint64_t sent = random_below(&random, total), at = 0;
            outbuf_vector(&pool, outbuf, sent);
            for (uint32_t i = 0; i < outbuf->vector_count; i++) {
                cr_assert_gt(outbuf->vector[i].iov_len, 0);
                memcpy(seen + at, outbuf->vector[i].iov_base, outbuf->vector[i].iov_len);
                at += outbuf->vector[i].iov_len;
            }
            cr_assert_eq(at, total - sent);
            cr_assert_eq(memcmp(seen, stream + sent, at), 0);
        }
        outbuf_release(&pool, outbuf, release, NULL);
        cr_assert_eq(released, pieces);
        pool_free(&pool);
    }
}
