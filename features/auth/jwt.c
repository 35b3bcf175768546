/* jwt.c - taking a token apart and checking its signature; see jwt.h. */
#include "features/auth/jwt.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <strings.h>

#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/reply.h"

const char *const jwt_algorithm_names[JWT_ALGORITHMS] = {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256",
                                                         "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"};

static const EVP_MD *digest_of(enum jwt_algorithm algorithm)
{
    if (algorithm == JWT_EDDSA) return NULL;
    return algorithm % 3 == 0 ? EVP_sha256() : algorithm % 3 == 1 ? EVP_sha384() : EVP_sha512();
}

uint32_t jwt_algorithms_parse(struct span text)
{
    uint32_t found = 0;
    while (text.bytes) {
        const uint8_t *comma = memchr(text.data, ',', text.bytes);
        struct span one = span_of(text.data, comma ? (size_t)(comma - text.data) : text.bytes);
        text = span_skip(text, one.bytes + (comma != NULL));
        while (one.bytes && one.data[0] == ' ')
            one = span_skip(one, 1);
        while (one.bytes && one.data[one.bytes - 1] == ' ')
            one.bytes--;
        int i = 0;
        while (i < JWT_ALGORITHMS && (one.bytes != strlen(jwt_algorithm_names[i]) || strncasecmp((const char *)one.data, jwt_algorithm_names[i], one.bytes) != 0))
            i++;
        if (i == JWT_ALGORITHMS) return 0;
        found |= 1u << i;
    }
    return found;
}

/* ---- signatures ------------------------------------------------------------------------------------------------- */

static bool hmac_right(enum jwt_algorithm algorithm, struct span secret, struct span text, struct span signature)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned bytes = sizeof mac;
    return HMAC(digest_of(algorithm), secret.data, (int)secret.bytes, text.data, text.bytes, mac, &bytes) && secret_equal(span_of(mac, bytes), signature);
}

/* r and s side by side, as JWS has them, to the DER that libcrypto wants (RFC 7518 §3.4). Returns its bytes; 0: not of the curve's size. */
static int ecdsa_to_der(enum jwt_algorithm algorithm, struct span signature, uint8_t **ret_der)
{
    size_t half = algorithm == JWT_ES256 ? 32 : algorithm == JWT_ES384 ? 48 : 66;
    if (signature.bytes != 2 * half) return 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.data, (int)half, NULL), *s = BN_bin2bn(signature.data + half, (int)half, NULL);
    int bytes = 0;
    *ret_der = NULL;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        bytes = i2d_ECDSA_SIG(sig, ret_der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return bytes > 0 ? bytes : 0;
}

static bool public_right(enum jwt_algorithm algorithm, EVP_PKEY *key, struct span text, struct span signature)
{
    uint8_t *der = NULL;
    if (algorithm >= JWT_ES256 && algorithm <= JWT_ES512) {
        signature.bytes = (size_t)ecdsa_to_der(algorithm, signature, &der);
        signature.data = der;
        if (signature.bytes == 0) return false;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL;
    bool right = context && EVP_DigestVerifyInit(context, &key_context, digest_of(algorithm), NULL, key) == 1;
    if (right && algorithm >= JWT_PS256 && algorithm <= JWT_PS512)
        right = EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) == 1;
    right = right && EVP_DigestVerify(context, signature.data, signature.bytes, text.data, text.bytes) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return right;
}

/* ---- the token -------------------------------------------------------------------------------------------------- */

struct parts {
    struct span header, claims, signature; /* base64url */
    struct span signed_text;
};

static bool cut(struct span token, struct parts *ret_parts)
{
    const uint8_t *first = token.bytes ? memchr(token.data, '.', token.bytes) : NULL;
    if (!first) return false;
    struct span rest = span_skip(token, (size_t)(first - token.data) + 1);
    const uint8_t *second = rest.bytes ? memchr(rest.data, '.', rest.bytes) : NULL;
    if (!second) return false;
    *ret_parts = (struct parts){.header = span_of(token.data, (size_t)(first - token.data)), .claims = span_of(rest.data, (size_t)(second - rest.data)),
                                .signed_text = span_of(token.data, (size_t)(second - token.data))};
    ret_parts->signature = span_skip(rest, ret_parts->claims.bytes + 1);
    return ret_parts->header.bytes && !(ret_parts->signature.bytes && memchr(ret_parts->signature.data, '.', ret_parts->signature.bytes));
}

static json_t *decode_object(struct span text, char *ret_error, size_t error_bytes)
{
    size_t bytes = 0;
    uint8_t *data = memory_acquire(text.bytes + 1);
    json_t *root = NULL;
    if (!b64url_decode(text, data, text.bytes + 1, &bytes))
        snprintf(ret_error, error_bytes, "not base64url");
    else
        root = auth_json(span_of(data, bytes), ret_error, error_bytes);
    secret_wipe(data, bytes);
    memory_release(data);
    if (root && !json_is_object(root)) {
        snprintf(ret_error, error_bytes, "no JSON object");
        json_decref(root);
        root = NULL;
    }
    return root;
}

/* The header's algorithm; JWT_ALGORITHMS: refused, with a sentence. Names are exact (§4.1.1: case-sensitive). */
static enum jwt_algorithm algorithm_of(const json_t *header, uint32_t algorithms, char *ret_error, size_t error_bytes)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    if (json_object_get(header, "crit")) return snprintf(ret_error, error_bytes, "the token's header has critical extensions"), JWT_ALGORITHMS;
    for (int i = 0; name && i < JWT_ALGORITHMS; i++)
        if (strcmp(name, jwt_algorithm_names[i]) == 0 && algorithms >> i & 1) return (enum jwt_algorithm)i;
    snprintf(ret_error, error_bytes, "the token's algorithm is none of those allowed");
    return JWT_ALGORITHMS;
}

static enum jwt_verdict check_signature(const struct jwt_keys *keys, enum jwt_algorithm algorithm, struct span kid, const struct parts *parts, char *ret_error,
                                        size_t error_bytes)
{
    uint8_t signature[1024]; /* RSA of 8192 bits */
    size_t bytes;
    bool tried = false;
    if (!b64url_decode(parts->signature, signature, sizeof signature, &bytes)) {
        snprintf(ret_error, error_bytes, "the token's signature is not base64url, or too long");
        return JWT_BAD;
    }
    for (const struct jwt_key *key = NULL; (key = jwt_keys_next(keys, key, algorithm, kid));) {
        tried = true;
        struct span secret = jwt_key_secret(key), sent = span_of(signature, bytes);
        if (algorithm <= JWT_HS512 ? hmac_right(algorithm, secret, parts->signed_text, sent)
                                   : public_right(algorithm, jwt_key_public(key), parts->signed_text, sent))
            return JWT_GOOD;
    }
    snprintf(ret_error, error_bytes, tried ? "the token's signature is wrong" : "there is no key for the token's algorithm and key id");
    return tried ? JWT_BAD : JWT_UNKNOWN_KEY;
}

enum jwt_verdict jwt_verify(const struct jwt_keys *keys, uint32_t algorithms, struct span token, json_t **ret_claims, char *ret_error, size_t error_bytes)
{
    struct parts parts;
    if (token.bytes > JWT_BYTES_MAX || !cut(token, &parts)) return snprintf(ret_error, error_bytes, "no token"), JWT_NO_TOKEN;
    json_t *header = decode_object(parts.header, ret_error, error_bytes);
    if (!header) return JWT_NO_TOKEN;
    const json_t *kid = json_object_get(header, "kid");
    struct span wanted = json_is_string(kid) ? span_of(json_string_value(kid), json_string_length(kid)) : span_of(NULL, 0);
    enum jwt_algorithm algorithm = algorithm_of(header, algorithms, ret_error, error_bytes);
    enum jwt_verdict verdict = algorithm == JWT_ALGORITHMS ? JWT_BAD : check_signature(keys, algorithm, wanted, &parts, ret_error, error_bytes);
    json_decref(header);
    if (verdict != JWT_GOOD) return verdict;
    json_t *claims = decode_object(parts.claims, ret_error, error_bytes);
    if (!claims) return JWT_BAD;
    *ret_claims = claims;
    return JWT_GOOD;
}
