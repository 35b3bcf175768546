/* scram.h - the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: bytes in, bytes out.
 *
 *     C: n,,n=user,r=<nonce c>                          scram_first()   the user's name is in scram.user
 *     S: r=<nonce c><nonce s>,s=<salt>,i=<iterations>   scram_challenge()
 *     C: c=biws,r=<both nonces>,p=<proof>               scram_final()
 *     S: v=<signature>                                  … when it was right
 * What is stored of a password is no more than what checks it: whoever steals it cannot log in with it.
 * A few HMACs are all that is computed here (the slow part is the client's), so a shard may do it. Names and passwords are prepared with SASLprep
 * (saslprep.h): a name where it comes in, a password where its keys are made. */
#ifndef RINGMQ_FEATURES_AUTH_SCRAM_H
#define RINGMQ_FEATURES_AUTH_SCRAM_H

#include "base/span.h"

#define SCRAM_KEY_BYTES      32
#define SCRAM_SALT_BYTES_MAX 64
#define SCRAM_NONCE_BYTES    24 /* of ours, before base64 */
#define SCRAM_MESSAGE_BYTES_MAX 2048
#define SCRAM_ITERATIONS     4096

struct scram_secret {
    uint8_t salt[SCRAM_SALT_BYTES_MAX];
    uint32_t salt_bytes, iterations;
    uint8_t stored_key[SCRAM_KEY_BYTES], server_key[SCRAM_KEY_BYTES];
};

/* One exchange. */
struct scram {
    char user[512];
    char first_bare[SCRAM_MESSAGE_BYTES_MAX]; /* client-first-message-bare */
    char challenge[SCRAM_MESSAGE_BYTES_MAX];  /* server-first-message */
    char nonce[SCRAM_MESSAGE_BYTES_MAX];      /* both */
    char final[64];                           /* server-final-message */
    struct scram_secret secret;
    bool known;                               /* false: there is no such user; the exchange goes on to the end all the same */
};

/* From a password (blocks for the iterations). salt NULL: a random one. False: the system gives no random bytes. */
bool scram_secret_make(struct span password, uint32_t iterations, const uint8_t *salt, uint32_t salt_bytes, struct scram_secret *ret_secret);
/* NULL, or what is wrong. */
const char *scram_first(struct scram *scram, struct span message);
/* With the user's secret; NULL: no such user, and a salt is made up that is the same every time. `nonce`: 24 random bytes; `seed` keeps made-up salts
 * unpredictable. NULL, or what is wrong. Sets scram->challenge. */
const char *scram_challenge(struct scram *scram, const struct scram_secret *secret, const uint8_t nonce[SCRAM_NONCE_BYTES], const uint8_t seed[32]);
/* NULL: the client has proved that it knows the password, and scram->final is for it. */
const char *scram_final(struct scram *scram, struct span message);
void scram_wipe(struct scram *scram);

#endif
