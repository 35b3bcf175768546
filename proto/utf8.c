#include "proto/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How many bytes the ASCII (and, unless nul_allowed, NUL-free) blocks at the front have. */
static size_t ascii_blocks_bytes(const uint8_t *at, const uint8_t *end, bool nul_allowed)
{
    const uint8_t *start = at;
#ifdef __SSE2__
    const __m128i zero = _mm_setzero_si128();
    for (; end - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
        int stop = _mm_movemask_epi8(block); /* sign bits: not ASCII */
        if (!nul_allowed) stop |= _mm_movemask_epi8(_mm_cmpeq_epi8(block, zero));
        if (stop) break;
    }
#else
    const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        if (word & highs) break;
        if (!nul_allowed && ((word - ones) & ~word & highs)) break;
    }
#endif
    return (size_t)(at - start);
}

static inline bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* Bytes of the well-formed sequence of two to four bytes at the front (Unicode 15, Table 3-7), 0 if there is none. */
static size_t sequence_bytes(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    if (lead < 0xC2 || lead > 0xF4) return 0; /* a lone continuation, an overlong pair, above U+10FFFF */
    if (left < 2 || !continues(at[1])) return 0;
    if (lead < 0xE0) return 2;

    if (left < 3 || !continues(at[2])) return 0;
    if (lead == 0xE0 && at[1] < 0xA0) return 0;  /* overlong */
    if (lead == 0xED && at[1] >= 0xA0) return 0; /* surrogates */
    if (lead < 0xF0) return 3;

    if (left < 4 || !continues(at[3])) return 0;
    if (lead == 0xF0 && at[1] < 0x90) return 0;  /* overlong */
    if (lead == 0xF4 && at[1] >= 0x90) return 0; /* above U+10FFFF */
    return 4;
}

static bool valid(struct span text, bool nul_allowed)
{
    if (text.bytes == 0) return true;
    const uint8_t *at = text.data, *end = text.data + text.bytes;
    while (at < end) {
        at += ascii_blocks_bytes(at, end, nul_allowed);
        /* What stopped the blocks: at most 16 bytes of ASCII and one longer sequence, then try blocks again. */
        for (int ascii = 0; at < end && *at < 0x80 && ascii < 16; ascii++, at++)
            if (*at == 0 && !nul_allowed) return false;
        while (at < end && *at >= 0x80) {
            size_t bytes = sequence_bytes(at, (size_t)(end - at));
            if (bytes == 0) return false;
            at += bytes;
        }
    }
    return true;
}

bool mqtt_utf8_valid(struct span text) { return valid(text, false); }
bool mqtt_utf8_payload_valid(struct span payload) { return valid(payload, true); }
