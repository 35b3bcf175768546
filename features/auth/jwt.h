/* jwt.h - JSON Web Tokens: is this one signed by one of our keys? RFC 7515, 7518, 7519, 8037.
 *
 * Which keys may check which algorithm is decided by the keys, never by the token: secrets check HS256, HS384 and HS512; RSA keys RS* and PS*; EC keys the
 * ES* of their curve; Ed25519 keys EdDSA. There is no `none`, and a public key can never be taken for a secret. Headers with `crit` are refused (§4.1.11).
 * What the claims say is the caller's business (source_jwt.c).
 *
 * Owner: keys belong to who made them. Threads: keys are immutable once filled, and may be used by all. Takes 3 µs (HMAC) to 200 µs (P-521). */
#ifndef RINGMQ_FEATURES_AUTH_JWT_H
#define RINGMQ_FEATURES_AUTH_JWT_H

#include <jansson.h>

#include "base/span.h"

#define JWT_BYTES_MAX   65535 /* what a password can carry */
#define JWT_KEYS_MAX    256
#define JWT_RSA_BITS_MIN 2048 /* RFC 7518 §3.3 */

enum jwt_algorithm {
    JWT_HS256, JWT_HS384, JWT_HS512, JWT_RS256, JWT_RS384, JWT_RS512, JWT_PS256, JWT_PS384, JWT_PS512,
    JWT_ES256, JWT_ES384, JWT_ES512, JWT_EDDSA, JWT_ALGORITHMS
};
extern const char *const jwt_algorithm_names[JWT_ALGORITHMS];
#define JWT_ALL ((1u << JWT_ALGORITHMS) - 1)

struct jwt_keys;

struct jwt_keys *jwt_keys_create(void);
void jwt_keys_release(struct jwt_keys *keys); /* accepts NULL; wipes secrets */
uint32_t jwt_keys_count(const struct jwt_keys *keys);
/* All: NULL, or what is wrong. */
const char *jwt_keys_add_secret(struct jwt_keys *keys, struct span secret);
const char *jwt_keys_add_pem(struct jwt_keys *keys, struct span pem); /* a public key or a certificate */
/* {"keys": [ … ]} (RFC 7517): those we can use; the others are left out (also symmetric ones: what a server tells everybody is no secret). */
const char *jwt_keys_add_jwks(struct jwt_keys *keys, struct span text);

enum jwt_verdict { JWT_GOOD, JWT_NO_TOKEN /* does not even look like one */, JWT_UNKNOWN_KEY /* none of ours is for it */, JWT_BAD };
/* GOOD: *ret_claims is an object the caller gives back with json_decref(). Else a sentence in ret_error. algorithms: bits of enum jwt_algorithm. */
enum jwt_verdict jwt_verify(const struct jwt_keys *keys, uint32_t algorithms, struct span token, json_t **ret_claims, char *ret_error, size_t error_bytes);

/* "HS256, es256" to bits; 0: something else is written there. */
uint32_t jwt_algorithms_parse(struct span text);

/* jwt_keys.c keeps them; jwt.c asks for the next one that fits. */
struct jwt_key;
const struct jwt_key *jwt_keys_next(const struct jwt_keys *keys, const struct jwt_key *previous, enum jwt_algorithm algorithm, struct span kid);
struct span jwt_key_secret(const struct jwt_key *key);
struct evp_pkey_st *jwt_key_public(const struct jwt_key *key);

#endif
