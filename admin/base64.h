/* base64.h - base64 (RFC 4648 §4) to bytes; the way back is in base/sha1.h. Threads: pure functions. */
#ifndef RINGMQ_ADMIN_BASE64_H
#define RINGMQ_ADMIN_BASE64_H

#include "base/span.h"

/* Strict: the alphabet, whole groups, padding at the end only. False: it is none, or larger than the room. */
bool base64_decode(struct span text, uint8_t *ret_bytes, size_t room, size_t *ret_count);

#endif
