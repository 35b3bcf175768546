#include "base/sha1.h"

static inline uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t *block)
{
    static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++, block += 4)
        words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 80; i++)
        words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        int round = i / 20;
        uint32_t mixed = round == 0 ? (b & c) | (~b & d) : round == 2 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + mixed + e + words[i] + constants[round];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(struct span text, uint8_t ret_digest[SHA1_BYTES])
{
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint64_t bits = (uint64_t)text.bytes * 8;
    for (; text.bytes >= 64; text = span_skip(text, 64))
        sha1_block(state, text.data);
    uint8_t tail[128] = {0};
    if (text.bytes) memcpy(tail, text.data, text.bytes);
    tail[text.bytes] = 0x80;
    size_t tail_bytes = text.bytes < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++)
        tail[tail_bytes - 1 - i] = (uint8_t)(bits >> 8 * i);
    for (size_t at = 0; at < tail_bytes; at += 64)
        sha1_block(state, tail + at);
    for (int i = 0; i < SHA1_BYTES; i++)
        ret_digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void base64_encode(struct span bytes, char *ret_text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < bytes.bytes; at += 3) {
        size_t left = bytes.bytes - at;
        uint32_t three = (uint32_t)bytes.data[at] << 16;
        if (left > 1) three |= (uint32_t)bytes.data[at + 1] << 8;
        if (left > 2) three |= bytes.data[at + 2];
        *ret_text++ = digits[three >> 18];
        *ret_text++ = digits[three >> 12 & 63];
        *ret_text++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *ret_text++ = left > 2 ? digits[three & 63] : '=';
    }
    *ret_text = 0;
}
