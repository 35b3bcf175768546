/* sha1.h - SHA-1 (RFC 3174) and base64 (RFC 4648), for the one thing that still needs them: Sec-WebSocket-Accept (RFC 6455 §4.2.2).
 * Not for security: SHA-1 is broken as a signature, and nothing here runs in constant time. */
#ifndef RINGMQ_BASE_SHA1_H
#define RINGMQ_BASE_SHA1_H

#include "base/span.h"

#define SHA1_BYTES 20

void sha1(struct span text, uint8_t ret_digest[SHA1_BYTES]);

/* Characters without the NUL. */
#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)
/* Writes BASE64_BYTES(bytes) characters and a NUL. */
void base64_encode(struct span bytes, char *ret_text);

#endif
