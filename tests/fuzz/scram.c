/* SCRAM from a client that sends what it likes: both of its messages, cut at the first newline. Nobody gets in: the proof would have to be right. */
#include <stdlib.h>

#include "features/auth/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct scram scram;
    static const struct scram_secret secret = {.salt = {1, 2, 3}, .salt_bytes = 16, .iterations = 4096, .stored_key = {9}, .server_key = {8}};
    static const uint8_t nonce[SCRAM_NONCE_BYTES], seed[32];
    const uint8_t *end = bytes ? memchr(data, '\n', bytes) : NULL;
    struct span first = span_of(data, end ? (size_t)(end - data) : bytes), second = end ? span_of(end + 1, bytes - first.bytes - 1) : span_of(data, 0);
    memset(&scram, 0, sizeof scram);
    if (scram_first(&scram, first)) return 0;
    if (scram_challenge(&scram, bytes % 2 ? &secret : NULL, nonce, seed)) return 0;
    if (!scram_final(&scram, second)) abort();
    return 0;
}
