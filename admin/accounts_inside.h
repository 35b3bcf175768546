/* accounts_inside.h - what accounts.c, accounts_login.c and accounts_audit.c share. */
#ifndef RINGMQ_ADMIN_ACCOUNTS_INSIDE_H
#define RINGMQ_ADMIN_ACCOUNTS_INSIDE_H

#include <pthread.h>

#include "admin/accounts.h"
#include "tls/digest.h"

#define HASH_BYTES_MAX 384 /* crypt(3): CRYPT_OUTPUT_SIZE */

struct accounts_token {
    uint8_t digest[SHA256_BYTES];
    char user[ACCOUNTS_NAME_BYTES_MAX + 1];
    uint64_t expires_ms; /* monotonic */
};

/* Wrong passwords, by the hash of an address or a user. */
struct accounts_failures {
    uint64_t key;
    uint32_t count;
    uint64_t until_ms, last_ms;
};
#define ACCOUNTS_FAILURES_SLOTS 512

struct accounts {
    pthread_mutex_t lock;
    char *directory;
    json_t *users, *keys; /* objects by name: {"role", "description", "hash"}, {"api_key", "role", "enable", "sha256", …} */
    uint32_t token_lifetime_s;
    struct accounts_token tokens[ACCOUNTS_TOKENS_MAX];
    uint32_t tokens_count;
    struct accounts_failures failures[ACCOUNTS_FAILURES_SLOTS];
    uint64_t failures_seed;
    struct accounts_counts counts;
    pthread_mutex_t audit_lock;
    int audit; /* descriptor; -1: cannot be written */
    uint64_t audit_bytes;
};

enum api_role accounts_role_of(const char *name);
void accounts_random(uint8_t *ret_bytes, size_t bytes);
/* base64url without padding. */
void accounts_text_of(const uint8_t *bytes, size_t count, char *ret_text);
bool accounts_name_valid(const char *name);
/* Slow on purpose: without the lock. False: the system's crypt(3) refuses. */
bool accounts_hash(const char *password, char ret_hash[HASH_BYTES_MAX]);
bool accounts_hash_matches(const char *hash, const char *password);
bool accounts_save(struct accounts *accounts); /* with the lock */
void accounts_tokens_end(struct accounts *accounts, const char *user); /* with the lock */
void accounts_audit_open(struct accounts *accounts);
/* The hash of the user's password, copied. False: no such user. */
bool accounts_hash_of(struct accounts *accounts, const char *name, char ret_hash[HASH_BYTES_MAX]);
/* With the lock. The name of the key that this secret fits, or NULL. */
const char *accounts_key_find(struct accounts *accounts, const char *api_key, struct span secret, enum api_role *ret_role);
/* May this peer try a password of that user now? Seconds to wait, or 0. */
uint32_t accounts_must_wait(struct accounts *accounts, const char *user, const char *peer);
void accounts_failed(struct accounts *accounts, const char *user, const char *peer);
void accounts_succeeded(struct accounts *accounts, const char *user, const char *peer);

#endif
