#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

/* ---- the peer's certificate --------------------------------------------------------------------------------------- */

static bool load_crls(WOLFSSL_CTX *library, const struct tls_file *file, struct tls_complaint *complaint)
{
    static const char begin[] = "-----BEGIN X509 CRL-----", end[] = "-----END X509 CRL-----";
    struct span rest = file->content;
    uint32_t count = 0;
    if (wolfSSL_CTX_EnableCRL(library, 0) != WOLFSSL_SUCCESS)
        return tls_complain(complaint, file->name, "cannot check revocation lists", 0);
    for (;;) {
        const uint8_t *from = rest.bytes ? memmem(rest.data, rest.bytes, begin, sizeof begin - 1) : NULL;
        if (!from) break;
        rest = span_skip(rest, (size_t)(from - rest.data));
        const uint8_t *to = memmem(rest.data, rest.bytes, end, sizeof end - 1);
        if (!to) return tls_complain(complaint, file->name, "a revocation list (CRL) in it has no END line", 0);
        size_t bytes = (size_t)(to - from) + sizeof end - 1;
        int loaded = wolfSSL_CTX_LoadCRLBuffer(library, from, (long)bytes, WOLFSSL_FILETYPE_PEM);
        if (loaded != WOLFSSL_SUCCESS)
            return tls_complain(complaint, file->name, "cannot use a revocation list (CRL) in it", loaded);
        rest = span_skip(rest, bytes);
        count++;
    }
    return count > 0 || tls_complain(complaint, file->name, "there is no revocation list (-----BEGIN X509 CRL-----) in it", 0);
}

static bool prepare_verification(WOLFSSL_CTX *library, const struct tls_options *options, struct tls_complaint *complaint)
{
    if (!options->ask_certificate) {
        wolfSSL_CTX_set_verify(library, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    if (!options->ca.content.bytes)
        return tls_complain(complaint, "the CA file", "it is needed to verify clients, and there is none", 0);
    int loaded = wolfSSL_CTX_load_verify_buffer(library, options->ca.content.data, (long)options->ca.content.bytes,
                                                WOLFSSL_FILETYPE_PEM);
    if (loaded != WOLFSSL_SUCCESS) return tls_complain(complaint, options->ca.name, "cannot use the CA certificates in it", loaded);
    if (options->crl.name && !load_crls(library, &options->crl, complaint)) return false;
    wolfSSL_CTX_set_verify_depth(library, options->depth);
    int flags = WOLFSSL_VERIFY_PEER | (options->require_certificate ? WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    wolfSSL_CTX_set_verify(library, flags, NULL);
    if (options->checker) tls_chain_prepare(library, flags);
    return true;
}

/* ---- contexts ----------------------------------------------------------------------------------------------------- */

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
    tls_library_harden(library);
    return library;
}

static bool identity_create(struct tls_context *context, struct tls_identity *identity, const struct tls_options *options,
                            const struct tls_certificate *certificate, struct tls_complaint *complaint)
{
    CHECK(pthread_mutex_init(&identity->staple_lock, NULL) == 0);
    identity->library = library_create(options);
    tls_filter_prepare(identity->library);
    if (options->psk) tls_psk_prepare(identity->library);
    tls_tickets_prepare(identity->library, context->tickets);
    if (!tls_ciphers_prepare(identity->library, options, complaint->text, complaint->bytes)) return false;
    if (certificate && !tls_identity_load(identity, certificate, complaint)) return false;
    if (!prepare_verification(identity->library, options, complaint)) return false;
    bool staples = certificate && (certificate->staple.content.bytes || certificate->staple_comes);
    return !staples || tls_staple_prepare(identity, options, certificate, complaint);
}

struct tls_context *tls_context_create(const struct tls_options *options, char *ret_error, size_t error_bytes)
{
    struct tls_complaint complaint = {ret_error, error_bytes};
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
                             .checker = options->ask_certificate ? options->checker : NULL,
                             .checker_context = options->checker_context,
                             .username = options->username,
                             .client_id = options->client_id};
    if (context->checker) context->checker->retain_context(context->checker_context);
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
    if (context->checker) context->checker->release_context(context->checker_context);
    tls_psk_release(context->psk);
    tls_tickets_release(context->tickets);
    memory_release(context->alpn);
    memory_release(context->psk_identity);
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
