#include "tls/wolfssl.h"

#include "base/check.h"
#include "tls/digest.h"

void tls_sha256(struct span bytes, uint8_t ret_digest[SHA256_BYTES])
{
    CHECK(wc_Sha256Hash(bytes.data, (word32)bytes.bytes, ret_digest) == 0);
}

bool tls_same_secret(struct span a, struct span b)
{
    uint8_t differs = a.bytes != b.bytes;
    for (size_t i = 0; i < a.bytes && i < b.bytes; i++)
        differs |= a.data[i] ^ b.data[i];
    return differs == 0;
}
