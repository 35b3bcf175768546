#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

uint8_t *tls_certificate_der(struct span content, uint32_t *ret_bytes)
{
    uint8_t *der = memory_acquire(content.bytes + 1);
    int bytes = content.bytes ? wc_CertPemToDer(content.data, (int)content.bytes, der, (int)content.bytes, CERT_TYPE) : 0;
    if (bytes > 0) {
        *ret_bytes = (uint32_t)bytes;
        return der;
    }
    memory_release(der);
    return NULL;
}

uint8_t *tls_pem_certificate(struct span pem, uint32_t *ret_bytes)
{
    tls_library_start();
    return tls_certificate_der(pem, ret_bytes);
}

static int give_password(char *room, int room_bytes, int writing, void *password)
{
    size_t bytes = strlen(password);
    if (bytes > (size_t)room_bytes) return 0;
    memcpy(room, password, bytes);
    return (int)bytes;
}

/* The key of a PEM file without knowing what kind it is: what the header of the block says in case of
 * failure. */
static const char *why_no_key(struct span pem, bool has_password)
{
    if (memmem(pem.data, pem.bytes, "BEGIN ENCRYPTED PRIVATE KEY", 27))
        return has_password ? "the key cannot be decrypted; is the password right? (PBES2 with AES is understood)"
                            : "the key is encrypted; set the password for it";
    if (memmem(pem.data, pem.bytes, "Proc-Type: 4,ENCRYPTED", 22))
        return "the key is encrypted in the old way, with MD5; convert it: openssl pkcs8 -topk8 -in KEY -out "
               "NEW";
    if (!memmem(pem.data, pem.bytes, "PRIVATE KEY-----", 16)) return "there is no private key (PEM) in it";
    return "the private key cannot be used; RSA from 2048 bits, ECDSA (P-256, P-384, P-521) and Ed25519 can";
}

static bool load_key(struct tls_identity *identity, const struct tls_certificate *certificate, struct span der, struct tls_complaint *complaint)
{
    bool has_password = certificate->key_password && certificate->key_password[0];
    struct span key = certificate->key.content;
    wolfSSL_CTX_set_default_passwd_cb(identity->library, give_password);
    wolfSSL_CTX_set_default_passwd_cb_userdata(identity->library,
                                               has_password ? (void *)(uintptr_t)certificate->key_password : (void *)"");
    int loaded = wolfSSL_CTX_use_PrivateKey_buffer(identity->library, key.data, (long)key.bytes, WOLFSSL_FILETYPE_PEM);
    wolfSSL_CTX_set_default_passwd_cb_userdata(identity->library, (void *)"");
    if (loaded != WOLFSSL_SUCCESS) return tls_complain(complaint, certificate->key.name, why_no_key(key, has_password), 0);
    if (!tls_key_fits(identity->names.key, der, key, has_password ? certificate->key_password : NULL))
        return tls_complain(complaint, certificate->key.name, "the key does not belong to the certificate in", 0) ||
               (snprintf(complaint->text + strlen(complaint->text), complaint->bytes - strlen(complaint->text), " %s",
                         certificate->chain.name),
                false);
    return true;
}

static bool load_with(struct tls_identity *identity, const struct tls_certificate *certificate, struct span der, struct tls_complaint *complaint)
{
    struct span chain = certificate->chain.content;
    if (identity->names.key == CERTIFICATE_KEY_OTHER ||
        (identity->names.key == CERTIFICATE_KEY_RSA && identity->names.key_bits < 2048))
        return tls_complain(complaint, certificate->chain.name,
                        "the certificate's key cannot be used; RSA from 2048 bits, ECDSA (P-256, P-384, "
                        "P-521) and Ed25519 can",
                        0);
    int loaded = wolfSSL_CTX_use_certificate_chain_buffer(identity->library, chain.data, (long)chain.bytes);
    if (loaded != WOLFSSL_SUCCESS) return tls_complain(complaint, certificate->chain.name, "cannot use the certificate", loaded);
    identity->file = memory_copy_string(span_of_string(certificate->chain.name));
    tls_staple_set(identity, certificate->staple.content);
    return load_key(identity, certificate, der, complaint);
}

bool tls_identity_load(struct tls_identity *identity, const struct tls_certificate *certificate, struct tls_complaint *complaint)
{
    uint32_t der_bytes;
    uint8_t *der = tls_certificate_der(certificate->chain.content, &der_bytes);
    bool readable = der && certificate_read(span_of(der, der_bytes), &identity->names);
    bool fine = readable ? load_with(identity, certificate, span_of(der, der_bytes), complaint)
                         : tls_complain(complaint, certificate->chain.name, "there is no certificate (PEM) in it", 0);
    memory_release(der);
    return fine;
}

/* Ephemeral keys only on curves that are fast and safe. */
static int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1, WOLFSSL_ECC_SECP521R1};

void tls_library_harden(WOLFSSL_CTX *library)
{
    wolfSSL_CTX_set_groups(library, groups, sizeof groups / sizeof groups[0]);
    wolfSSL_CTX_SetMinRsaKey_Sz(library, 2048);
    wolfSSL_CTX_SetMinEccKey_Sz(library, 256);
}
