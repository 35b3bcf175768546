#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/* Where a sentence about what is wrong goes. */
struct complaint {
    char *text;
    size_t bytes;
};

static bool complain(struct complaint *complaint, const char *file, const char *what, int error)
{
    if (error)
        snprintf(complaint->text, complaint->bytes, "%s: %s: %s", file, what, tls_error_words(error));
    else
        snprintf(complaint->text, complaint->bytes, "%s: %s", file, what);
    return false;
}

const char *tls_error_words(int error)
{
    static const struct {
        int error;
        const char *words;
    } known[] = {
        {ASN_NO_SIGNER_E, "the certificate is signed by an unknown CA"},
        {ASN_SIG_CONFIRM_E, "the certificate's signature is wrong"},
        {ASN_AFTER_DATE_E, "the certificate has expired"},
        {ASN_BEFORE_DATE_E, "the certificate is not valid yet"},
        {ASN_PATHLEN_INV_E, "the chain of certificates is longer than one of them allows"},
        {ASN_SELF_SIGNED_E, "the certificate is self-signed"},
        {CRL_CERT_REVOKED, "the certificate is revoked (CRL)"},
        {CRL_MISSING, "there is no revocation list (CRL) of the certificate's issuer"},
        {CRL_CERT_DATE_ERR, "the revocation list (CRL) is out of date"},
        {OCSP_CERT_REVOKED, "the certificate is revoked (OCSP)"},
        {OCSP_CERT_UNKNOWN, "the OCSP responder does not know the certificate"},
        {ASN_VERSION_E, "the certificate is of X.509 version 1; TLS wants version 3 (make it with an extension, docs/tls.md)"},
        {NO_PEER_CERT, "no certificate was sent"},
        {MAX_CHAIN_ERROR, "the chain of certificates is too long"},
        {EXTKEYUSE_AUTH_E, "the certificate is not for this use (extended key usage)"},
        {KEYUSE_SIGNATURE_E, "the certificate is not for this use (key usage)"},
        {VERSION_ERROR, "no TLS version in common"},
        {MATCH_SUITE_ERROR, "no cipher in common"},
        {UNKNOWN_ALPN_PROTOCOL_NAME_E, "no application protocol (ALPN) in common"},
        {PSK_KEY_ERROR, "the identity of the pre-shared key is unknown"},
        {VERIFY_MAC_ERROR, "a record does not decrypt"},
        {DECRYPT_ERROR, "a record does not decrypt"},
        {VERIFY_FINISHED_ERROR, "the handshake does not verify"},
        {BAD_BINDER, "the pre-shared key is wrong"},
        {LENGTH_ERROR, "a record of a forbidden length"},
        {UNKNOWN_RECORD_TYPE, "bytes that are no TLS record"},
        {OUT_OF_ORDER_E, "a handshake message out of order"},
        {SECURE_RENEGOTIATION_E, "the peer wants to renegotiate"},
        {DUPLICATE_MSG_E, "a handshake message a second time (renegotiation is not supported)"},
        {PEER_KEY_ERROR, "the certificate's key is of a kind that is not supported"},
        {RSA_KEY_SIZE_E, "the certificate's RSA key is too short"},
        {ECC_KEY_SIZE_E, "the certificate's elliptic curve key is too short"},
        {NO_CERT_ERROR, "no certificate was sent"},
        {ASN_PARSE_E, "it cannot be read"},
        {ASN_NO_PEM_HEADER, "there is no -----BEGIN line of that kind in it"},
        {WOLFSSL_BAD_FILE, "it cannot be read"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].error == error) return known[i].words;
    return wolfSSL_ERR_reason_error_string((unsigned long)(error < 0 ? -(long)error : error));
}

/* ---- one certificate ---------------------------------------------------------------------------------------------- */

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

static bool load_key(struct tls_identity *identity, const struct tls_certificate *certificate, struct complaint *complaint)
{
    bool has_password = certificate->key_password && certificate->key_password[0];
    struct span key = certificate->key.content;
    wolfSSL_CTX_set_default_passwd_cb(identity->library, give_password);
    wolfSSL_CTX_set_default_passwd_cb_userdata(identity->library,
                                               has_password ? (void *)(uintptr_t)certificate->key_password : (void *)"");
    int loaded = wolfSSL_CTX_use_PrivateKey_buffer(identity->library, key.data, (long)key.bytes, WOLFSSL_FILETYPE_PEM);
    wolfSSL_CTX_set_default_passwd_cb_userdata(identity->library, (void *)"");
    if (loaded != WOLFSSL_SUCCESS) return complain(complaint, certificate->key.name, why_no_key(key, has_password), 0);
    if (wolfSSL_CTX_check_private_key(identity->library) != WOLFSSL_SUCCESS)
        return complain(complaint, certificate->key.name, "the key does not belong to the certificate in", 0) ||
               (snprintf(complaint->text + strlen(complaint->text), complaint->bytes - strlen(complaint->text), " %s",
                         certificate->chain.name),
                false);
    return true;
}

static bool load_certificate(struct tls_identity *identity, const struct tls_certificate *certificate,
                             struct complaint *complaint)
{
    struct span chain = certificate->chain.content;
    uint32_t der_bytes;
    uint8_t *der = tls_certificate_der(chain, &der_bytes);
    bool readable = der && certificate_read(span_of(der, der_bytes), &identity->names);
    memory_release(der);
    if (!readable) return complain(complaint, certificate->chain.name, "there is no certificate (PEM) in it", 0);
    if (identity->names.key == CERTIFICATE_KEY_OTHER ||
        (identity->names.key == CERTIFICATE_KEY_RSA && identity->names.key_bits < 2048))
        return complain(complaint, certificate->chain.name,
                        "the certificate's key cannot be used; RSA from 2048 bits, ECDSA (P-256, P-384, "
                        "P-521) and Ed25519 can",
                        0);
    int loaded = wolfSSL_CTX_use_certificate_chain_buffer(identity->library, chain.data, (long)chain.bytes);
    if (loaded != WOLFSSL_SUCCESS) return complain(complaint, certificate->chain.name, "cannot use the certificate", loaded);
    identity->file = memory_copy_string(span_of_string(certificate->chain.name));
    if (certificate->staple.content.bytes) {
        identity->staple = memory_acquire(certificate->staple.content.bytes);
        identity->staple_bytes = (uint32_t)certificate->staple.content.bytes;
        memcpy(identity->staple, certificate->staple.content.data, identity->staple_bytes);
    }
    return load_key(identity, certificate, complaint);
}

/* ---- the peer's certificate --------------------------------------------------------------------------------------- */

static bool load_crls(WOLFSSL_CTX *library, const struct tls_file *file, struct complaint *complaint)
{
    static const char begin[] = "-----BEGIN X509 CRL-----", end[] = "-----END X509 CRL-----";
    struct span rest = file->content;
    uint32_t count = 0;
    if (wolfSSL_CTX_EnableCRL(library, 0) != WOLFSSL_SUCCESS)
        return complain(complaint, file->name, "cannot check revocation lists", 0);
    for (;;) {
        const uint8_t *from = rest.bytes ? memmem(rest.data, rest.bytes, begin, sizeof begin - 1) : NULL;
        if (!from) break;
        rest = span_skip(rest, (size_t)(from - rest.data));
        const uint8_t *to = memmem(rest.data, rest.bytes, end, sizeof end - 1);
        if (!to) return complain(complaint, file->name, "a revocation list (CRL) in it has no END line", 0);
        size_t bytes = (size_t)(to - from) + sizeof end - 1;
        int loaded = wolfSSL_CTX_LoadCRLBuffer(library, from, (long)bytes, WOLFSSL_FILETYPE_PEM);
        if (loaded != WOLFSSL_SUCCESS)
            return complain(complaint, file->name, "cannot use a revocation list (CRL) in it", loaded);
        rest = span_skip(rest, bytes);
        count++;
    }
    return count > 0 || complain(complaint, file->name, "there is no revocation list (-----BEGIN X509 CRL-----) in it", 0);
}

static bool prepare_verification(WOLFSSL_CTX *library, const struct tls_options *options, struct complaint *complaint)
{
    if (!options->ask_certificate) {
        wolfSSL_CTX_set_verify(library, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    if (!options->ca.content.bytes)
        return complain(complaint, "the CA file", "it is needed to verify clients, and there is none", 0);
    int loaded = wolfSSL_CTX_load_verify_buffer(library, options->ca.content.data, (long)options->ca.content.bytes,
                                                WOLFSSL_FILETYPE_PEM);
    if (loaded != WOLFSSL_SUCCESS) return complain(complaint, options->ca.name, "cannot use the CA certificates in it", loaded);
    if (options->crl.name && !load_crls(library, &options->crl, complaint)) return false;
    wolfSSL_CTX_set_verify_depth(library, options->depth);
    wolfSSL_CTX_set_verify(
        library, WOLFSSL_VERIFY_PEER | (options->require_certificate ? WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return true;
}

/* ---- OCSP stapling -------------------------------------------------------------------------------------------------- */

/* The library thinks that it asks a responder. */
static int give_staple(void *context, const char *url, int url_bytes, unsigned char *request, int request_bytes, unsigned char **ret_response)
{
    struct tls_identity *identity = context;
    if (identity->staple_bytes == 0) return -1;
    *ret_response = memory_acquire(identity->staple_bytes);
    memcpy(*ret_response, identity->staple, identity->staple_bytes);
    return (int)identity->staple_bytes;
}

static void take_staple_back(void *context, unsigned char *response) { memory_release(response); }

/* To send a response along the library must be able to check it, so it must know the CA that issued our certificate: from the chain, or from
 * the CA file. Where clients are verified, the chain's CA must not become one of theirs: there only the CA file counts. */
static bool prepare_staple(struct tls_identity *identity, const struct tls_options *options, const struct tls_certificate *certificate,
                           struct complaint *complaint)
{
#ifdef RINGMQ_WOLFSSL_SYSTEM
    return complain(complaint, certificate->staple.name, "the packaged wolfSSL leaks memory when it staples; use ringmq's own build", 0);
#endif
    WOLFSSL_CTX *library = identity->library;
    WOLFSSL_CERT_MANAGER *manager = wolfSSL_CTX_GetCertManager(library);
    if (!options->ask_certificate) {
        struct span rest = certificate->chain.content;
        const uint8_t *second = memmem(rest.data + 1, rest.bytes - 1, "-----BEGIN", 10);
        struct span issuers = second ? span_skip(rest, (size_t)(second - rest.data)) : options->ca.content;
        if (issuers.bytes == 0 || wolfSSL_CTX_load_verify_buffer(library, issuers.data, (long)issuers.bytes, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
            return complain(complaint, certificate->chain.name,
                            "to staple an OCSP response the certificate of the CA must follow in this file, or be in the CA file", 0);
    }
    bool ready = wolfSSL_CertManagerEnableOCSP(manager, WOLFSSL_OCSP_URL_OVERRIDE) == WOLFSSL_SUCCESS &&
                 wolfSSL_CertManagerSetOCSPOverrideURL(manager, "http://from.file/") == WOLFSSL_SUCCESS &&
                 wolfSSL_CertManagerDisableOCSP(manager) == WOLFSSL_SUCCESS && /* that was for the URL only: clients are not looked up */
                 wolfSSL_CTX_EnableOCSPStapling(library) == WOLFSSL_SUCCESS &&
                 wolfSSL_CTX_SetOCSP_Cb(library, give_staple, take_staple_back, identity) == WOLFSSL_SUCCESS;
    return ready || complain(complaint, certificate->staple.name, "the library cannot staple", 0);
}

/* ---- contexts ----------------------------------------------------------------------------------------------------- */

/* Ephemeral keys only on curves that are fast and safe. */
static int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1, WOLFSSL_ECC_SECP521R1};

static WOLFSSL_CTX *library_create(const struct tls_options *options)
{
    WOLFSSL_METHOD *method = options->version_min == TLS_1_3   ? wolfTLSv1_3_server_method()
                             : options->version_max == TLS_1_2 ? wolfTLSv1_2_server_method()
                                                               : wolfSSLv23_server_method();
    WOLFSSL_CTX *library = wolfSSL_CTX_new(method);
    CHECK(library);
    if (options->version_min < options->version_max)
        CHECK(wolfSSL_CTX_SetMinVersion(library, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS);
#ifndef NO_SESSION_CACHE /* the system's library has one; tickets do its work without a lock */
    wolfSSL_CTX_set_session_cache_mode(library, WOLFSSL_SESS_CACHE_OFF);
#endif
    wolfSSL_CTX_set_groups(library, groups, sizeof groups / sizeof groups[0]);
    wolfSSL_CTX_SetMinRsaKey_Sz(library, 2048);
    wolfSSL_CTX_SetMinEccKey_Sz(library, 256);
    return library;
}

static bool identity_create(struct tls_context *context, struct tls_identity *identity, const struct tls_options *options,
                            const struct tls_certificate *certificate, struct complaint *complaint)
{
    identity->library = library_create(options);
    tls_filter_prepare(identity->library);
    if (options->psk) tls_psk_prepare(identity->library);
    tls_tickets_prepare(identity->library, context->tickets);
    if (!tls_ciphers_prepare(identity->library, options, complaint->text, complaint->bytes)) return false;
    if (certificate && !load_certificate(identity, certificate, complaint)) return false;
    if (!prepare_verification(identity->library, options, complaint)) return false;
    return !identity->staple || prepare_staple(identity, options, certificate, complaint);
}

struct tls_context *tls_context_create(const struct tls_options *options, char *ret_error, size_t error_bytes)
{
    struct complaint complaint = {ret_error, error_bytes};
    CHECK(options->certificates_count <= TLS_CERTIFICATES_MAX && options->depth <= TLS_DEPTH_MAX);
    if (options->certificates_count == 0 && !options->psk) {
        snprintf(ret_error, error_bytes, "there is neither a certificate nor a file of pre-shared keys");
        return NULL;
    }
    tls_library_start();
    struct tls_context *context = memory_acquire_zeroed(sizeof *context);
    *context =
        (struct tls_context){.references = 1,
                             .psk = tls_psk_retain(options->psk),
                             /* A ticket remembers nobody: who was identified must be identified again. */
                             .tickets = options->ask_certificate || options->psk ? NULL : tls_tickets_retain(options->tickets),
                             .alpn = memory_copy_string(span_of_string(options->alpn ? options->alpn : "")),
                             .allows_1_2 = options->version_min == TLS_1_2,
                             .allows_1_3 = options->version_max == TLS_1_3,
                             .asks_certificate = options->ask_certificate,
                             .psk_username = options->psk_username,
                             .username = options->username,
                             .client_id = options->client_id};
    context->identities_count = options->certificates_count ? options->certificates_count : 1;
    context->identities = memory_acquire_zeroed(context->identities_count * sizeof *context->identities);
    for (uint32_t i = 0; i < context->identities_count; i++) {
        const struct tls_certificate *certificate = options->certificates_count ? &options->certificates[i] : NULL;
        if (identity_create(context, &context->identities[i], options, certificate, &complaint)) continue;
        tls_context_release(context);
        return NULL;
    }
    return context;
}

struct tls_context *tls_context_retain(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tls_context_release(struct tls_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1) return;
    for (uint32_t i = 0; i < context->identities_count; i++) {
        struct tls_identity *identity = &context->identities[i];
        wolfSSL_CTX_free(identity->library); /* wipes the key */
        certificate_release(&identity->names);
        memory_release(identity->file);
        memory_release(identity->staple);
    }
    memory_release(context->identities);
    tls_psk_release(context->psk);
    tls_tickets_release(context->tickets);
    memory_release(context->alpn);
    memory_release(context);
}

bool tls_context_describe(const struct tls_context *context, uint32_t number, char *ret_text, size_t bytes)
{
    if (number >= context->identities_count || !context->identities[number].file) return false;
    const struct tls_identity *identity = &context->identities[number];
    const char *name = identity->names.dns_count     ? identity->names.dns[0]
                       : identity->names.common_name ? identity->names.common_name
                                                     : "";
    snprintf(ret_text, bytes, "file=%s name=%s key=%s expires=%s", log_quoted(span_of_string(identity->file)),
             log_quoted(span_of_string(name)), certificate_key_name(identity->names.key), identity->names.expires);
    return true;
}

bool tls_context_expiry(const struct tls_context *context, uint32_t number, int64_t *ret_realtime_s)
{
    if (number >= context->identities_count || !context->identities[number].file) return false;
    *ret_realtime_s = context->identities[number].names.expires_s;
    return true;
}

/* ---- a listener's place for one ----------------------------------------------------------------------------------- */

struct tls_slot {
    pthread_mutex_t lock;
    struct tls_context *context;
};

struct tls_slot *tls_slot_create(struct tls_context *context)
{
    struct tls_slot *slot = memory_acquire_zeroed(sizeof *slot);
    CHECK(pthread_mutex_init(&slot->lock, NULL) == 0);
    slot->context = context;
    return slot;
}

void tls_slot_set(struct tls_slot *slot, struct tls_context *context)
{
    pthread_mutex_lock(&slot->lock);
    struct tls_context *old = slot->context;
    slot->context = context;
    pthread_mutex_unlock(&slot->lock);
    tls_context_release(old);
}

struct tls_context *tls_slot_take(struct tls_slot *slot)
{
    pthread_mutex_lock(&slot->lock);
    struct tls_context *context = tls_context_retain(slot->context);
    pthread_mutex_unlock(&slot->lock);
    return context;
}

void tls_slot_release(struct tls_slot *slot)
{
    if (!slot) return;
    tls_context_release(slot->context);
    pthread_mutex_destroy(&slot->lock);
    memory_release(slot);
}
