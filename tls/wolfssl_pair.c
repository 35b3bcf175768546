/* Does a private key belong to a certificate? wolfSSL_CTX_check_private_key() of the packaged library says yes to any (it depends on how the
 * library was configured), so the public halves are compared here. */
#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/der.h"
#include "tls/wolfssl.h"

#define EC_POINT_BYTES_MAX 133
#define RSA_BYTES_MAX      1024

static bool ec_fits(struct span key, struct span public_key)
{
    ecc_key ec;
    WC_RNG random;
    byte point[EC_POINT_BYTES_MAX];
    word32 at = 0, bytes = sizeof point;
    if (wc_InitRng(&random) != 0) return false;
    CHECK(wc_ecc_init(&ec) == 0);
    wc_ecc_set_rng(&ec, &random);
    bool fits = wc_EccPrivateKeyDecode(key.data, &at, &ec, (word32)key.bytes) == 0 && wc_ecc_make_pub_ex(&ec, NULL, &random) == 0 &&
                wc_ecc_export_x963(&ec, point, &bytes) == 0 && span_equal(span_of(point, bytes), public_key);
    wc_ecc_free(&ec);
    wc_FreeRng(&random);
    return fits;
}

/* By the modulus, which nobody else has. */
static bool rsa_fits(struct span key, struct span public_key)
{
    RsaKey rsa;
    byte exponent[RSA_BYTES_MAX], modulus[RSA_BYTES_MAX];
    word32 at = 0, exponent_bytes = sizeof exponent, modulus_bytes = sizeof modulus;
    struct der_element numbers, number;
    CHECK(wc_InitRsaKey(&rsa, NULL) == 0);
    bool fits = wc_RsaPrivateKeyDecode(key.data, &at, &rsa, (word32)key.bytes) == 0 &&
                wc_RsaFlattenPublicKey(&rsa, exponent, &exponent_bytes, modulus, &modulus_bytes) == 0 &&
                der_next_is(&public_key, DER_SEQUENCE, &numbers) && der_next_is(&numbers.content, DER_INTEGER, &number);
    while (fits && number.content.bytes && number.content.data[0] == 0)
        number.content = span_skip(number.content, 1);
    fits = fits && span_equal(span_of(modulus, modulus_bytes), number.content);
    wc_FreeRsaKey(&rsa);
    return fits;
}

static bool ed25519_fits(struct span key, struct span public_key)
{
    ed25519_key edwards;
    byte made[ED25519_PUB_KEY_SIZE];
    word32 at = 0;
    CHECK(wc_ed25519_init(&edwards) == 0);
    bool fits = wc_Ed25519PrivateKeyDecode(key.data, &at, &edwards, (word32)key.bytes) == 0 &&
                wc_ed25519_make_public(&edwards, made, sizeof made) == 0 && span_equal(span_of(made, sizeof made), public_key);
    wc_ed25519_free(&edwards);
    return fits;
}

bool tls_key_fits(enum certificate_key kind, struct span certificate, struct span key_pem, const char *password)
{
    byte *key = memory_acquire(key_pem.bytes + 1);
    int bytes = wc_KeyPemToDer(key_pem.data, (int)key_pem.bytes, key, (int)key_pem.bytes, password ? password : "");
    struct span der = span_of(key, bytes > 0 ? (size_t)bytes : 0), public_key = certificate_public_key(certificate);
    bool fits = bytes > 0 && (kind == CERTIFICATE_KEY_RSA       ? rsa_fits(der, public_key)
                              : kind == CERTIFICATE_KEY_ED25519 ? ed25519_fits(der, public_key)
                                                                : ec_fits(der, public_key));
    explicit_bzero(key, key_pem.bytes);
    memory_release(key);
    return fits;
}
