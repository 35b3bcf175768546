/* auth_inside.h - what auth.c, auth_login.c and auth_audit.c share. */
#ifndef RINGMQ_ADMIN_AUTH_INSIDE_H
#define RINGMQ_ADMIN_AUTH_INSIDE_H

#include <pthread.h>

#include "admin/auth.h"
#include "tls/digest.h"

#define HASH_BYTES_MAX 384 /* crypt(3): CRYPT_OUTPUT_SIZE */

struct auth_token {
    uint8_t digest[SHA256_BYTES];
    char user[AUTH_NAME_BYTES_MAX + 1];
    uint64_t expires_ms; /* monotonic */
};

/* Wrong passwords, by the hash of an address or a user. */
struct auth_failures {
    uint64_t key;
    uint32_t count;
    uint64_t until_ms, last_ms;
};
#define AUTH_FAILURES_SLOTS 512

struct auth {
    pthread_mutex_t lock;
    char *directory;
    json_t *users, *keys; /* objects by name: {"role", "description", "hash"}, {"api_key", "role", "enable", "sha256", …} */
    uint32_t token_lifetime_s;
    struct auth_token tokens[AUTH_TOKENS_MAX];
    uint32_t tokens_count;
    struct auth_failures failures[AUTH_FAILURES_SLOTS];
    uint64_t failures_seed;
    pthread_mutex_t audit_lock;
    int audit; /* descriptor; -1: cannot be written */
    uint64_t audit_bytes;
};

enum api_role auth_role_of(const char *name);
void auth_random(uint8_t *ret_bytes, size_t bytes);
/* base64url without padding. */
void auth_text_of(const uint8_t *bytes, size_t count, char *ret_text);
bool auth_name_valid(const char *name);
/* Slow on purpose: without the lock. False: the system's crypt(3) refuses. */
bool auth_hash(const char *password, char ret_hash[HASH_BYTES_MAX]);
bool auth_hash_matches(const char *hash, const char *password);
bool auth_save(struct auth *auth); /* with the lock */
void auth_tokens_end(struct auth *auth, const char *user); /* with the lock */
void auth_audit_open(struct auth *auth);
/* The hash of the user's password, copied. False: no such user. */
bool auth_hash_of(struct auth *auth, const char *name, char ret_hash[HASH_BYTES_MAX]);
/* With the lock. The name of the key that this secret fits, or NULL. */
const char *auth_key_find(struct auth *auth, const char *api_key, struct span secret, enum api_role *ret_role);
/* May this peer try a password of that user now? Seconds to wait, or 0. */
uint32_t auth_must_wait(struct auth *auth, const char *user, const char *peer);
void auth_failed(struct auth *auth, const char *user, const char *peer);
void auth_succeeded(struct auth *auth, const char *user, const char *peer);

#endif
