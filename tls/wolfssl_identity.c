#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

/* ---- which certificate is ours ------------------------------------------------------------------------------------ */

static uint32_t key_bit(enum certificate_key key)
{
    switch (key) {
    case CERTIFICATE_KEY_RSA: return HELLO_RSA;
    case CERTIFICATE_KEY_EC_256: return HELLO_ECDSA_256;
    case CERTIFICATE_KEY_EC_384: return HELLO_ECDSA_384;
    case CERTIFICATE_KEY_EC_521: return HELLO_ECDSA_521;
    case CERTIFICATE_KEY_ED25519: return HELLO_ED25519;
    default: return 0;
    }
}

/* The first certificate for that host that the client can verify; else the first for the host, else one it
 * can verify, else the first. */
struct tls_identity *tls_identity_choose(const struct tls_context *context, const struct hello *hello)
{
    struct tls_identity *best = &context->identities[0];
    uint32_t verifies = hello->verifies_1_3 && context->allows_1_3 ? hello->verifies_1_3 : hello->verifies_1_2;
    uint32_t best_score = 0;
    for (uint32_t i = 0; i < context->identities_count; i++) {
        struct tls_identity *identity = &context->identities[i];
        bool named = hello->server_name[0] && identity->file && certificate_is_for(&identity->names, hello->server_name);
        uint32_t score = (named ? 2u : 0u) + (key_bit(identity->names.key) & verifies ? 1u : 0u);
        if (score <= best_score) continue;
        best = identity;
        best_score = score;
    }
    return best;
}

/* ---- who the client is -------------------------------------------------------------------------------------------- */

static char *fingerprint(struct span der)
{
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    char text[2 * sizeof digest + 1];
    CHECK(wc_Sha256Hash(der.data, (word32)der.bytes, digest) == 0);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return memory_copy_string(span_of_string(text));
}

char *tls_peer_name(const struct certificate_names *names, enum tls_name which, struct span der)
{
    const char *name = which == TLS_NAME_CN    ? names->common_name
                       : which == TLS_NAME_DN  ? names->subject
                       : which == TLS_NAME_SAN ? names->alternative
                                               : NULL;
    if (which == TLS_NAME_FINGERPRINT) return fingerprint(der);
    return name ? memory_copy_string(span_of_string(name)) : NULL;
}
