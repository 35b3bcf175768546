/* jwt_keys.c - the keys that check tokens, from secrets, PEM and JWKS; see jwt.h. */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/jwt.h"
#include "features/auth/reply.h"

struct jwt_key {
    uint32_t algorithms; /* bits of enum jwt_algorithm it may check */
    char *kid;           /* NULL: none */
    uint8_t *secret;
    size_t secret_bytes;
    EVP_PKEY *public;
};

struct jwt_keys {
    uint32_t count;
    struct jwt_key keys[JWT_KEYS_MAX];
};

#define BIT(algorithm) (1u << (algorithm))
#define HS (BIT(JWT_HS256) | BIT(JWT_HS384) | BIT(JWT_HS512))
#define RSA_ALL (BIT(JWT_RS256) | BIT(JWT_RS384) | BIT(JWT_RS512) | BIT(JWT_PS256) | BIT(JWT_PS384) | BIT(JWT_PS512))

struct jwt_keys *jwt_keys_create(void) { return memory_acquire_zeroed(sizeof(struct jwt_keys)); }

void jwt_keys_release(struct jwt_keys *keys)
{
    if (!keys) return;
    for (uint32_t i = 0; i < keys->count; i++) {
        secret_wipe(keys->keys[i].secret, keys->keys[i].secret_bytes);
        memory_release(keys->keys[i].secret);
        memory_release(keys->keys[i].kid);
        EVP_PKEY_free(keys->keys[i].public);
    }
    memory_release(keys);
}

uint32_t jwt_keys_count(const struct jwt_keys *keys) { return keys->count; }
struct span jwt_key_secret(const struct jwt_key *key) { return span_of(key->secret, key->secret_bytes); }
struct evp_pkey_st *jwt_key_public(const struct jwt_key *key) { return key->public; }

const struct jwt_key *jwt_keys_next(const struct jwt_keys *keys, const struct jwt_key *previous, enum jwt_algorithm algorithm, struct span kid)
{
    for (uint32_t i = previous ? (uint32_t)(previous - keys->keys) + 1 : 0; i < keys->count; i++) {
        const struct jwt_key *key = &keys->keys[i];
        bool named = key->kid && kid.data;
        if (key->algorithms & BIT(algorithm) && (!named || span_equal(span_of_string(key->kid), kid))) return key;
    }
    return NULL;
}

const char *jwt_keys_add_secret(struct jwt_keys *keys, struct span secret)
{
    if (secret.bytes == 0) return "the secret is empty";
    if (span_starts_with(secret, SPAN_LITERAL("-----BEGIN"))) return "the secret is a PEM key; that belongs into public_key";
    if (keys->count == JWT_KEYS_MAX) return "more than 256 keys";
    struct jwt_key *key = &keys->keys[keys->count++];
    key->algorithms = HS;
    key->secret = (uint8_t *)memory_copy_string(secret);
    key->secret_bytes = secret.bytes;
    return NULL;
}

/* Takes the key. What it may check follows from its type. */
static const char *add_public(struct jwt_keys *keys, EVP_PKEY *public, struct span kid, struct span alg)
{
    uint32_t algorithms = 0;
    int bits = EVP_PKEY_get_bits(public);
    switch (EVP_PKEY_get_base_id(public)) {
    case EVP_PKEY_RSA: algorithms = bits >= JWT_RSA_BITS_MIN && bits <= 8192 ? RSA_ALL : 0; break;
    case EVP_PKEY_EC: algorithms = bits == 256 ? BIT(JWT_ES256) : bits == 384 ? BIT(JWT_ES384) : bits == 521 ? BIT(JWT_ES512) : 0; break;
    case EVP_PKEY_ED25519: algorithms = BIT(JWT_EDDSA); break;
    default: break;
    }
    char group[64] = "";
    if (algorithms & BIT(JWT_ES256) && (!EVP_PKEY_get_group_name(public, group, sizeof group, NULL) || strcmp(group, "prime256v1") != 0)) algorithms = 0;
    if (alg.bytes) algorithms &= jwt_algorithms_parse(alg);
    if (algorithms == 0 || keys->count == JWT_KEYS_MAX) {
        EVP_PKEY_free(public);
        return algorithms ? "more than 256 keys" : "the key is neither RSA of 2048 to 8192 bits, nor P-256, P-384, P-521 or Ed25519";
    }
    struct jwt_key *key = &keys->keys[keys->count++];
    key->algorithms = algorithms;
    key->kid = kid.data ? memory_copy_string(kid) : NULL;
    key->public = public;
    return NULL;
}

const char *jwt_keys_add_pem(struct jwt_keys *keys, struct span pem)
{
    BIO *in = BIO_new_mem_buf(pem.data, (int)pem.bytes);
    EVP_PKEY *public = PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
    if (!public) {
        BIO_reset(in);
        X509 *certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (certificate) public = X509_get_pubkey(certificate);
        X509_free(certificate);
    }
    BIO_free(in);
    return public ? add_public(keys, public, span_of(NULL, 0), span_of(NULL, 0)) : "neither a public key nor a certificate in PEM";
}

/* ---- JWKS ------------------------------------------------------------------------------------------------------- */

#define NUMBER_BYTES_MAX 1100

static bool number_of(const json_t *jwk, const char *name, uint8_t ret_data[static NUMBER_BYTES_MAX], size_t *ret_bytes)
{
    const json_t *value = json_object_get(jwk, name);
    return json_is_string(value) && b64url_decode(span_of(json_string_value(value), json_string_length(value)), ret_data, NUMBER_BYTES_MAX, ret_bytes) && *ret_bytes;
}

static EVP_PKEY *from_data(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (parameters && context && EVP_PKEY_fromdata_init(context) == 1) EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

static EVP_PKEY *rsa_of(const json_t *jwk)
{
    uint8_t n[NUMBER_BYTES_MAX], e[NUMBER_BYTES_MAX];
    size_t n_bytes, e_bytes;
    if (!number_of(jwk, "n", n, &n_bytes) || !number_of(jwk, "e", e, &e_bytes) || e_bytes > 8) return NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, (int)n_bytes, NULL), *exponent = BN_bin2bn(e, (int)e_bytes, NULL);
    EVP_PKEY *key = NULL;
    if (builder && modulus && exponent && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = from_data("RSA", builder);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_of(const json_t *jwk)
{
    static const struct {
        const char *name, *group;
        size_t bytes;
    } curves[] = {{"P-256", "P-256", 32}, {"P-384", "P-384", 48}, {"P-521", "P-521", 66}};
    const char *crv = json_string_value(json_object_get(jwk, "crv"));
    uint8_t x[NUMBER_BYTES_MAX], y[NUMBER_BYTES_MAX], point[1 + 2 * 66] = {4};
    size_t x_bytes, y_bytes, i = 0;
    while (i < 3 && (!crv || strcmp(crv, curves[i].name) != 0))
        i++;
    if (i == 3 || !number_of(jwk, "x", x, &x_bytes) || !number_of(jwk, "y", y, &y_bytes) || x_bytes != curves[i].bytes || y_bytes != curves[i].bytes) return NULL;
    memcpy(point + 1, x, x_bytes);
    memcpy(point + 1 + x_bytes, y, y_bytes);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL; /* libcrypto looks whether the point is on the curve */
    if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curves[i].bytes))
        key = from_data("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *okp_of(const json_t *jwk)
{
    const char *crv = json_string_value(json_object_get(jwk, "crv"));
    uint8_t x[NUMBER_BYTES_MAX];
    size_t bytes;
    if (!crv || strcmp(crv, "Ed25519") != 0 || !number_of(jwk, "x", x, &bytes) || bytes != 32) return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, bytes);
}

static void add_jwk(struct jwt_keys *keys, const json_t *jwk)
{
    const char *kty = json_string_value(json_object_get(jwk, "kty")), *use = json_string_value(json_object_get(jwk, "use"));
    const json_t *kid = json_object_get(jwk, "kid"), *alg = json_object_get(jwk, "alg");
    if (!kty || (use && strcmp(use, "sig") != 0)) return;
    EVP_PKEY *key = strcmp(kty, "RSA") == 0 ? rsa_of(jwk) : strcmp(kty, "EC") == 0 ? ec_of(jwk) : strcmp(kty, "OKP") == 0 ? okp_of(jwk) : NULL;
    if (!key) return;
    add_public(keys, key, json_is_string(kid) ? span_of(json_string_value(kid), json_string_length(kid)) : span_of(NULL, 0),
               json_is_string(alg) ? span_of_string(json_string_value(alg)) : span_of(NULL, 0));
}

const char *jwt_keys_add_jwks(struct jwt_keys *keys, struct span text)
{
    char error[100];
    json_t *root = auth_json(text, error, sizeof error);
    if (!root) return "the key set is not sound JSON";
    const json_t *list = json_object_get(root, "keys");
    uint32_t before = keys->count;
    for (size_t i = 0; i < json_array_size(list); i++)
        add_jwk(keys, json_array_get(list, i));
    const char *wrong = !json_is_array(list) ? "the key set has no list `keys`" : keys->count == before ? "the key set has no key we can use" : NULL;
    json_decref(root);
    return wrong;
}
