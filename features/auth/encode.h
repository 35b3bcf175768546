/* encode.h - base64, base64url and hex, and the two things secrets need: comparing in constant time and wiping.
 *
 * Threads: any. Failure: decoders answer false and leave *ret_bytes alone; what they accept is exact (no blanks, no line ends,
 * no padding in the wrong place), because two texts for one secret are one too many. */
#ifndef RINGMQ_FEATURES_AUTH_ENCODE_H
#define RINGMQ_FEATURES_AUTH_ENCODE_H

#include "base/span.h"

/* Characters base64 takes for so many bytes, with padding, without the NUL. */
#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* With padding (RFC 4648 §4), or by the URL alphabet without (§5). Writes a NUL behind it. */
void b64_encode(struct span bytes, char *ret_text);
void b64url_encode(struct span bytes, char *ret_text);
/* Padding must be there / must not be there. `room` is what ret_data has. */
bool b64_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes);
bool b64url_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes);
void hex_encode(struct span bytes, char *ret_text); /* lower case, with a NUL */
bool hex_decode(struct span text, uint8_t *ret_data, size_t room, size_t *ret_bytes);

/* In a time that depends on the length only. */
bool secret_equal(struct span a, struct span b);
/* The compiler may not leave it out. */
void secret_wipe(void *data, size_t bytes);

#endif
