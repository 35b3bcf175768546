/* Tokens and SCRAM: the vectors of the RFCs, every algorithm with keys made here, and what must not pass. */
#include <criterion/criterion.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "features/auth/auth.h"
#include "features/auth/encode.h"
#include "features/auth/jwt.h"
#include "features/auth/reply.h"
#include "features/auth/scram.h"

static struct span text(const char *string) { return span_of_string(string); }
static char error[300];

/* RFC 7515, appendix A.1 and A.3. */
#define CLAIMS ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
#define A1 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" CLAIMS "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define A1_KEY "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define A3 "eyJhbGciOiJFUzI1NiJ9" CLAIMS "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3_JWKS "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}"

static struct jwt_keys *a1_keys(void)
{
    uint8_t secret[64];
    size_t bytes;
    struct jwt_keys *keys = jwt_keys_create();
    cr_assert(b64url_decode(text(A1_KEY), secret, sizeof secret, &bytes));
    cr_assert_null(jwt_keys_add_secret(keys, span_of(secret, bytes)));
    return keys;
}

static enum jwt_verdict verify(const struct jwt_keys *keys, const char *token)
{
    json_t *claims = NULL;
    enum jwt_verdict verdict = jwt_verify(keys, JWT_ALL, text(token), &claims, error, sizeof error);
    if (verdict == JWT_GOOD) cr_assert(json_is_object(claims));
    if (verdict == JWT_GOOD) json_decref(claims);
    return verdict;
}

Test(tokens, vectors_of_rfc_7515)
{
    struct jwt_keys *secret = a1_keys(), *set = jwt_keys_create();
    cr_assert_null(jwt_keys_add_jwks(set, text(A3_JWKS)));
    cr_assert_eq(jwt_keys_count(set), 1, "a symmetric key of a key set is none");
    cr_assert_eq(verify(secret, A1), JWT_GOOD, "%s", error);
    cr_assert_eq(verify(set, A3), JWT_GOOD, "%s", error);
    cr_assert_eq(verify(secret, A3), JWT_UNKNOWN_KEY);
    cr_assert_eq(verify(set, A1), JWT_UNKNOWN_KEY);
    char changed[] = A1;
    for (size_t i = 0; changed[i]; i++) { /* no single changed character passes */
        char was = changed[i];
        changed[i] = was == 'A' ? 'B' : 'A';
        cr_assert_neq(verify(secret, changed), JWT_GOOD, "character %zu", i);
        changed[i] = was;
    }
    jwt_keys_release(secret);
    jwt_keys_release(set);
}

static void token_of(const char *header, const char *claims, char ret_token[2048])
{
    b64url_encode(text(header), ret_token);
    strcat(ret_token, ".");
    b64url_encode(text(claims), ret_token + strlen(ret_token));
    strcat(ret_token, ".");
}

Test(tokens, none_and_others_that_must_not_pass)
{
    struct jwt_keys *keys = a1_keys();
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"NONE\"}", "{\"alg\":\"\"}", "{\"alg\":null}", "{}", "{\"alg\":\"hs256\"}", "{\"alg\":\"RS256\"}",
                                          "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "{\"alg\":\"HS256\",\"alg\":\"none\"}", "[\"HS256\"]"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char token[2048];
        token_of(headers[i], "{\"sub\":\"x\"}", token);
        cr_assert_neq(verify(keys, token), JWT_GOOD, "%s", headers[i]);
        strcat(token, "AAAA");
        cr_assert_neq(verify(keys, token), JWT_GOOD, "%s", headers[i]);
    }
    static const char *const shapes[] = {"", ".", "..", "...", "a.b.c", "a.b", A1 ".x", "." CLAIMS, "=.=.="};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        cr_assert_eq(verify(keys, shapes[i]), JWT_NO_TOKEN, "%s", shapes[i]);
    cr_assert_not_null(jwt_keys_add_secret(keys, text("-----BEGIN PUBLIC KEY-----")), "a public key as a secret");
    cr_assert_not_null(jwt_keys_add_secret(keys, text("")));
    cr_assert_eq(jwt_algorithms_parse(text("none")), 0);
    json_t *claims;
    cr_assert_eq(jwt_verify(keys, jwt_algorithms_parse(text("hs512, RS256")), text(A1), &claims, error, sizeof error), JWT_BAD, "an algorithm that is not allowed");
    jwt_keys_release(keys);
}

/* A signature as JWS has it, made with libcrypto. */
static void sign(EVP_PKEY *key, enum jwt_algorithm algorithm, char token[2048])
{
    uint8_t der[1024], raw[1024];
    size_t bytes = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context;
    const EVP_MD *digest = algorithm == JWT_EDDSA ? NULL : algorithm % 3 == 0 ? EVP_sha256() : algorithm % 3 == 1 ? EVP_sha384() : EVP_sha512();
    cr_assert_eq(EVP_DigestSignInit(context, &key_context, digest, NULL, key), 1);
    if (algorithm >= JWT_PS256 && algorithm <= JWT_PS512) {
        EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST);
    }
    size_t signed_bytes = strlen(token) - 1; /* without the second dot */
    cr_assert_eq(EVP_DigestSign(context, der, &bytes, (const uint8_t *)token, signed_bytes), 1);
    EVP_MD_CTX_free(context);
    if (algorithm >= JWT_ES256 && algorithm <= JWT_ES512) {
        int half = algorithm == JWT_ES256 ? 32 : algorithm == JWT_ES384 ? 48 : 66;
        const uint8_t *at = der;
        ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)bytes);
        BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, half);
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + half, half);
        ECDSA_SIG_free(signature);
        bytes = (size_t)half * 2;
        memcpy(der, raw, bytes);
    }
    b64url_encode(span_of(der, bytes), token + strlen(token));
}

static struct jwt_keys *keys_of(EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *pem;
    PEM_write_bio_PUBKEY(out, key);
    long bytes = BIO_get_mem_data(out, &pem);
    struct jwt_keys *keys = jwt_keys_create();
    cr_assert_null(jwt_keys_add_pem(keys, span_of(pem, (size_t)bytes)));
    BIO_free(out);
    return keys;
}

Test(tokens, every_algorithm_with_a_public_key)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *p256 = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384"), *p521 = EVP_EC_gen("P-521"), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    EVP_PKEY *keys[JWT_ALGORITHMS] = {[JWT_RS256] = rsa, rsa, rsa, rsa, rsa, rsa, p256, p384, p521, ed};
    for (int algorithm = JWT_RS256; algorithm < JWT_ALGORITHMS; algorithm++) {
        char header[64], token[2048];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", jwt_algorithm_names[algorithm]);
        token_of(header, "{\"sub\":\"ann\"}", token);
        sign(keys[algorithm], (enum jwt_algorithm)algorithm, token);
        for (int other = JWT_RS256; other < JWT_ALGORITHMS; other++) {
            struct jwt_keys *public = keys_of(keys[other]);
            enum jwt_verdict wanted = keys[other] == keys[algorithm] ? JWT_GOOD : JWT_UNKNOWN_KEY;
            cr_assert_eq(verify(public, token), wanted, "%s with the key of %s: %s", jwt_algorithm_names[algorithm], jwt_algorithm_names[other], error);
            jwt_keys_release(public);
        }
        EVP_PKEY *stranger = keys[algorithm] == rsa ? EVP_RSA_gen(2048) : keys[algorithm] == ed ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                             : EVP_EC_gen(keys[algorithm] == p256 ? "P-256" : keys[algorithm] == p384 ? "P-384" : "P-521");
        struct jwt_keys *public = keys_of(stranger);
        cr_assert_eq(verify(public, token), JWT_BAD, "%s with a stranger's key", jwt_algorithm_names[algorithm]);
        jwt_keys_release(public);
        EVP_PKEY_free(stranger);
    }
    EVP_PKEY *small = EVP_RSA_gen(1024);
    BIO *out = BIO_new(BIO_s_mem());
    char *pem;
    PEM_write_bio_PUBKEY(out, small);
    long bytes = BIO_get_mem_data(out, &pem);
    struct jwt_keys *none = jwt_keys_create();
    cr_assert_not_null(jwt_keys_add_pem(none, span_of(pem, (size_t)bytes)), "RSA of 1024 bits");
    cr_assert_not_null(jwt_keys_add_pem(none, text("nonsense")));
    jwt_keys_release(none);
    BIO_free(out);
    EVP_PKEY *all[] = {rsa, p256, p384, p521, ed, small};
    for (size_t i = 0; i < 6; i++)
        EVP_PKEY_free(all[i]);
}

/* ---- answers ---- */

Test(replies, formats_of_emqx)
{
    struct auth_answer *answer = auth_answer_create();
    cr_assert(auth_reply(text("{\"result\":\"allow\",\"is_superuser\":true,\"client_attrs\":{\"Role\":\"x\",\"n\":3,\"deep\":{},\"bad name\":\"y\"},\"expire_at\":99999999999,"
                              "\"acl\":[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a/${clientid}\",\"qos\":[1,2],\"retain\":true},"
                              "{\"permission\":\"deny\",\"action\":\"all\",\"topics\":[\"b\",\"eq #\"]}]}"),
                         true, answer, error, sizeof error), "%s", error);
    cr_assert(answer->verdict == AUTH_ALLOW && answer->superuser && answer->expires_s == 99999999999);
    cr_assert_eq(answer->attributes_count, 2);
    cr_assert_str_eq(answer->names[0], "role");
    cr_assert_eq(answer->rules_count, 3);
    cr_assert(answer->rules[0].allow && answer->rules[0].actions == AUTH_PUBLISH && answer->rules[0].qos_mask == 6 && answer->rules[0].retain == 1);
    cr_assert(!answer->rules[2].allow && answer->rules[2].qos_mask == 7 && answer->rules[2].retain == -1);
    auth_answer_release(answer);
    answer = auth_answer_create();
    cr_assert(auth_reply(text("{\"result\":\"allow\",\"acl\":{\"pub\":[\"a\"],\"sub\":[],\"all\":[\"c\"]}}"), true, answer, error, sizeof error));
    cr_assert_eq(answer->rules_count, 3, "the old form ends with: everything else is denied");
    cr_assert(!answer->rules[2].allow && strcmp(answer->rules[2].topic, "#") == 0);
    auth_answer_release(answer);
    static const struct {
        const char *retain;
        int8_t means;
    } retains[] = {{"null", -1}, {"\"all\"", -1}, {"\"\"", -1}, {"true", 1}, {"1", 1}, {"\"Yes\"", 1}, {"false", 0}, {"0", 0}, {"\"off\"", 0}, {"2", -2}, {"\"maybe\"", -2}, {"[]", -2}};
    for (size_t i = 0; i < sizeof retains / sizeof retains[0]; i++) { /* a rule that denies is about all it could be about, or it is an error */
        char reply[200];
        answer = auth_answer_create();
        snprintf(reply, sizeof reply, "{\"result\":\"allow\",\"acl\":[{\"permission\":\"deny\",\"action\":\"all\",\"topic\":\"x\",\"qos\":null,\"retain\":%s}]}", retains[i].retain);
        bool fine = auth_reply(text(reply), true, answer, error, sizeof error);
        cr_expect_eq(fine, retains[i].means > -2, "retain %s", retains[i].retain);
        cr_expect(!fine || (answer->rules[0].retain == retains[i].means && answer->rules[0].qos_mask == 7), "retain %s", retains[i].retain);
        auth_answer_release(answer);
    }
    static const char *const broken[] = {"", "null", "[]", "{}", "{\"result\":1}", "{\"result\":\"ALLOW\"}", "{\"result\":\"allow\",\"result\":\"deny\"}", "{\"result\":\"allow\",\"expire_at\":\"x\"}",
                                         "{\"result\":\"allow\",\"acl\":3}", "{\"result\":\"allow\",\"acl\":[{\"permission\":\"perhaps\",\"action\":\"all\",\"topic\":\"x\"}]}",
                                         "{\"result\":\"allow\",\"acl\":[{\"permission\":\"allow\",\"action\":\"all\"}]}", "{\"result\":\"allow\",\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"x\",\"qos\":3}]}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        answer = auth_answer_create();
        cr_assert_not(auth_reply(text(broken[i]), true, answer, error, sizeof error), "%s", broken[i]);
        auth_answer_release(answer);
    }
}

/* ---- SCRAM ---- */

/* RFC 7677, section 3. */
Test(scram, vector_of_rfc_7677)
{
    struct scram scram = {0};
    uint8_t salt[16], nonce[SCRAM_NONCE_BYTES] = {0}, seed[32] = {0};
    size_t bytes;
    struct scram_secret secret;
    cr_assert(b64_decode(text("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof salt, &bytes));
    cr_assert(scram_secret_make(text("pencil"), 4096, salt, 16, &secret));
    cr_assert_null(scram_first(&scram, text("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
    cr_assert_str_eq(scram.user, "user");
    cr_assert_null(scram_challenge(&scram, &secret, nonce, seed));
    strcpy(scram.nonce, "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"); /* the server's of the RFC */
    strcpy(scram.challenge, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    struct scram before = scram;
    cr_assert_null(scram_final(&scram, text("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")));
    cr_assert_str_eq(scram.final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    static const char *const broken[] = {
        "", "c=biws", "c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzb", "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=y"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        scram = before;
        cr_assert_not_null(scram_final(&scram, text(broken[i])), "%s", broken[i]);
    }
}

Test(scram, first_messages_and_strangers)
{
    struct scram scram = {0}, again = {0};
    uint8_t nonce[SCRAM_NONCE_BYTES] = {7}, seed[32] = {3};
    cr_assert_null(scram_first(&scram, text("y,,n=a=2Cb=3D,r=12345678,x=y")));
    cr_assert_str_eq(scram.user, "a,b=");
    static const char *const broken[] = {"", "n,,", "n,,n=,r=12345678", "n,,n=x", "n,,n=x,r=1234567", "p=tls-unique,,n=x,r=12345678", "n,a=y,n=x,r=12345678", "n,,m=z,n=x,r=12345678",
                                         "n,,n=a=b,r=12345678", "n,,n=a=2,r=12345678"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_assert_not_null(scram_first(&again, text(broken[i])), "%s", broken[i]);
    cr_assert_null(scram_first(&again, text("n,,n=a=2Cb=3D,r=abcdefgh")));
    cr_assert_null(scram_challenge(&scram, NULL, nonce, seed));
    cr_assert_null(scram_challenge(&again, NULL, nonce, seed));
    cr_assert_eq(memcmp(scram.secret.salt, again.secret.salt, 16), 0, "a stranger's salt is the same every time");
    cr_assert_eq(scram.secret.iterations, SCRAM_ITERATIONS);
}
