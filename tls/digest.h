/* digest.h - SHA-256 (FIPS 180-4), for secrets that are random themselves (API keys, tokens). Passwords need something slow: admin/auth.c. */
#ifndef RINGMQ_TLS_DIGEST_H
#define RINGMQ_TLS_DIGEST_H

#include "base/span.h"

#define SHA256_BYTES 32

void tls_sha256(struct span bytes, uint8_t ret_digest[SHA256_BYTES]);
/* In a time that does not tell where they differ. */
bool tls_same_secret(struct span a, struct span b);

#endif
