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

static uint32_t given_back[64], returned;
static void give_back(void *context, void *owner)
{
    if (outbuf_is_lent(owner))
        given_back[outbuf_lent_buffer(owner)]++;
    else
        returned++;
}

/* Staged bytes, pieces and lent pieces, some of them sent: the rest is the same stream and lends nothing, and each owner is given back once. */
Test(outbuf, what_was_lent_becomes_its_own)
{
    static uint8_t stream[1 << 20], places[64][4096];
    struct random_source random = {12};
    for (int round = 0; round < 300; round++) {
        struct pool pool;
        pool_init(&pool);
        struct outbuf *outbuf = outbuf_acquire(&pool, OUTBUF_STAGE_BYTES_MIN);
        uint32_t total = 0, places_used = 0, owned = 0, lent = 0;
        memset(given_back, 0, sizeof given_back);
        returned = 0;
        for (uint32_t i = 0; i < 1 + random_below(&random, 60); i++) {
            uint32_t bytes = 1 + (uint32_t)random_below(&random, 1300), kind = (uint32_t)random_below(&random, 3);
            for (uint32_t b = 0; b < bytes; b++)
                stream[total + b] = (uint8_t)random_next(&random);
            if (kind == 0) {
                outbuf = outbuf_make_room(&pool, outbuf, bytes);
                memcpy(outbuf->stage + outbuf->bytes, stream + total, bytes);
                outbuf->bytes += bytes;
            } else {
                uint32_t first = bytes / 3, place = places_used++;
                void *owner = kind == 1 ? &places[place] : outbuf_owner_lent(place);
                memcpy(places[place], stream + total, bytes);
                outbuf_attach(&pool, outbuf, places[place], first, owner);
                cr_assert(outbuf_extend(outbuf, places[place] + first, bytes - first, owner));
                cr_assert(!outbuf_extend(outbuf, places[place] + bytes + 1, 1, owner), "it does not go on there");
                cr_assert(!outbuf_extend(outbuf, places[place] + bytes, 1, NULL), "another owner's");
                outbuf->lends |= kind == 2;
                owned += kind == 1;
                lent += kind == 2;
            }
            total += bytes;
        }
        uint64_t sent = random_below(&random, total), at = 0;
        if (random_below(&random, 2)) outbuf_vector(&pool, outbuf, sent);
        outbuf = outbuf_own(&pool, outbuf, sent, give_back, NULL);
        cr_assert(!outbuf->lends);
        cr_assert_eq(outbuf_bytes(outbuf), total - sent);
        for (uint32_t place = 0, count = 0; place < 64; place++) {
            count += given_back[place];
            cr_assert_leq(given_back[place], 1);
            if (place == 63) cr_assert_eq(count, lent);
        }
        memset(places, 0xdd, sizeof places); /* of the lent ones; the others are compared by what is staged and by their place */
        outbuf_vector(&pool, outbuf, 0);
        for (uint32_t i = 0; i < outbuf->vector_count; i++) {
            const uint8_t *base = outbuf->vector[i].iov_base;
            bool piece = base >= places[0] && base < places[0] + sizeof places;
            if (!piece) cr_assert_eq(memcmp(base, stream + sent + at, outbuf->vector[i].iov_len), 0);
            at += outbuf->vector[i].iov_len;
        }
        cr_assert_eq(at, total - sent);
        for (uint32_t i = 0; i < outbuf->pieces_count; i++)
            cr_assert(!outbuf_is_lent(outbuf->pieces[i].owner));
        outbuf_release(&pool, outbuf, give_back, NULL);
        cr_assert_eq(returned, owned);
        pool_free(&pool);
    }
}
