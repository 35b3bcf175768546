#include <criterion/criterion.h>
#include <stdio.h>

#include "base/sha1.h"

/* RFC 3174 §7.3, FIPS 180 examples, and RFC 6455 §1.3. */
static const struct {
    const char *text, *digest;
} vectors[] = {
    {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {"0123456701234567012345670123456701234567012345670123456701234567", "e0c094e867ef46c350ef54a7f59dd60bed92ae83"},
};

Test(sha1, vectors)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t digest[SHA1_BYTES];
        char text[2 * SHA1_BYTES + 1];
        sha1(span_of_string(vectors[i].text), digest);
        for (int j = 0; j < SHA1_BYTES; j++)
            snprintf(text + 2 * j, 3, "%02x", digest[j]);
        cr_assert_str_eq(text, vectors[i].digest, "%s", vectors[i].text);
    }
}

Test(sha1, a_million_times_a)
{
    static char text[1000000];
    static const uint8_t expected[4] = {0x34, 0xaa, 0x97, 0x3c};
    uint8_t digest[SHA1_BYTES];
    memset(text, 'a', sizeof text);
    sha1(span_of(text, sizeof text), digest);
    cr_assert(memcmp(digest, expected, 4) == 0);
}

Test(sha1, base64)
{
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[16];
        base64_encode(span_of_string(pairs[i][0]), text);
        cr_assert_str_eq(text, pairs[i][1]);
    }
    uint8_t digest[SHA1_BYTES];
    char accept[BASE64_BYTES(SHA1_BYTES) + 1];
    sha1(SPAN_LITERAL("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
    base64_encode(span_of(digest, SHA1_BYTES), accept);
    cr_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
