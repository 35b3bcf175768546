/* password.h - password hashes: checking a password against what is stored, and making what is stored.
 *
 * Two kinds of stored form. A *self-describing* one says itself how it was made:
 *     $6$salt$hash              SHA-512 of password and salt, both base64 (mosquitto before 2.0)
 *     $7$iterations$salt$hash   PBKDF2 with HMAC-SHA-512, base64 (mosquitto)
 *     $argon2id$v=19$m=,t=,p=$… argon2id, also argon2i and argon2d (mosquitto 2.1)
 *     $2b$ $2a$ $2y$            bcrypt
 *     $y$ $5$ $6$… of crypt(5)  whatever libcrypt knows
 * A *bare* one, as databases have it, is described beside it by struct password_form: the algorithm, where the salt goes, how the
 * hash is written (hex, in either case). The names are EMQX's.
 *
 * Threads: any. All of this takes from microseconds to half a second of CPU: never on a shard.
 * Secrets: whatever is copied is wiped; nothing is logged. Comparisons take the same time wherever they differ. */
#ifndef RINGMQ_FEATURES_AUTH_PASSWORD_H
#define RINGMQ_FEATURES_AUTH_PASSWORD_H

#include "base/span.h"

#define PASSWORD_STORED_BYTES_MAX 512 /* the longest stored form we make or take, with its NUL */

enum password_verdict { PASSWORD_RIGHT, PASSWORD_WRONG, PASSWORD_UNREADABLE /* the stored form is broken or unknown */ };

enum password_algorithm {
    PASSWORD_ENCODED, /* self-describing */
    PASSWORD_PLAIN, PASSWORD_MD5, PASSWORD_SHA1, PASSWORD_SHA256, PASSWORD_SHA512,
    PASSWORD_BCRYPT, PASSWORD_PBKDF2,
    PASSWORD_ALGORITHMS,
};
enum password_salt { PASSWORD_SALT_PREFIX, PASSWORD_SALT_SUFFIX, PASSWORD_SALT_DISABLE };

struct password_form {
    uint8_t algorithm;     /* enum password_algorithm */
    uint8_t salt_position; /* enum password_salt; of MD5 to SHA512 */
    uint8_t mac;           /* enum password_algorithm of PBKDF2's HMAC: MD5 … SHA512 */
    uint32_t iterations;   /* PBKDF2 */
    uint32_t key_bytes;    /* PBKDF2; 0: as long as the MAC's output */
};

/* "encoded", "plain", "md5", "sha", "sha256", "sha512", "bcrypt", "pbkdf2". */
extern const char *const password_algorithm_names[PASSWORD_ALGORITHMS];

/* Is it a self-describing form we can check? Costs nothing. */
bool password_stored_valid(struct span stored);
enum password_verdict password_check(struct span stored, struct span password);
/* The bare form. A stored text that begins with `$` is self-describing whatever `form` says, unless that is PLAIN. An empty stored text is nobody's password,
 * not even the empty one: it is how databases say that an account has none. */
enum password_verdict password_check_form(const struct password_form *form, struct span stored, struct span salt, struct span password);
/* Takes as long as password_check() of another user's stored form would: for users that do not exist, so that nobody can ask who does. */
void password_check_nobody(struct span stored_of_another, struct span password);

/* ---- making ---- */
enum password_maker { MAKE_SHA512_PBKDF2, MAKE_SHA512, MAKE_ARGON2ID, MAKE_BCRYPT, PASSWORD_MAKERS };
extern const char *const password_maker_names[PASSWORD_MAKERS];

#define PASSWORD_PBKDF2_ITERATIONS 210000 /* what is recommended for HMAC-SHA-512 */
#define PASSWORD_PBKDF2_ITERATIONS_MAX 10000000
#define PASSWORD_BCRYPT_COST 10
#define PASSWORD_ARGON2_MEMORY_KIB 19456 /* and two passes, one lane */
#define PASSWORD_ARGON2_MEMORY_KIB_MAX (1024 * 1024)

/* A self-describing form with a random salt. `cost`: iterations, or bcrypt's exponent, or argon2id's passes; 0: the default. NULL: done; else what is wrong. */
const char *password_make(enum password_maker maker, uint32_t cost, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX]);
/* A bare form. `salt` is used as it is. False: this form cannot be made (bcrypt, encoded). */
bool password_make_form(const struct password_form *form, struct span salt, struct span password, char ret_stored[PASSWORD_STORED_BYTES_MAX]);

#endif
