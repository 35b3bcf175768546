#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

void tls_staple_set(struct tls_identity *identity, struct span response)
{
    uint8_t *copy = response.bytes ? memory_acquire(response.bytes) : NULL;
    if (copy) memcpy(copy, response.data, response.bytes);
    pthread_mutex_lock(&identity->staple_lock);
    memory_release(identity->staple);
    identity->staple = copy;
    identity->staple_bytes = (uint32_t)response.bytes;
    pthread_mutex_unlock(&identity->staple_lock);
}

void tls_context_set_staple(struct tls_context *context, uint32_t number, struct span response)
{
    CHECK(number < context->identities_count);
    tls_staple_set(&context->identities[number], response);
}

/* The library thinks that it asks a responder. */
static int give_staple(void *context, const char *url, int url_bytes, unsigned char *request, int request_bytes, unsigned char **ret_response)
{
    struct tls_identity *identity = context;
    pthread_mutex_lock(&identity->staple_lock);
    int bytes = (int)identity->staple_bytes;
    if (bytes) {
        *ret_response = memory_acquire((size_t)bytes);
        memcpy(*ret_response, identity->staple, (size_t)bytes);
    }
    pthread_mutex_unlock(&identity->staple_lock);
    return bytes ? bytes : -1;
}

static void take_staple_back(void *context, unsigned char *response) { memory_release(response); }

/* To send a response along the library must be able to check it, so it must know the CA that issued our certificate: from the chain, or from
 * the CA file. Where clients are verified, the chain's CA must not become one of theirs: there only the CA file counts. */
bool tls_staple_prepare(struct tls_identity *identity, const struct tls_options *options, const struct tls_certificate *certificate,
                           struct tls_complaint *complaint)
{
#ifdef RINGMQ_WOLFSSL_SYSTEM
    return tls_complain(complaint, certificate->chain.name, "the packaged wolfSSL leaks memory when it staples; use ringmq's own build", 0);
#endif
    WOLFSSL_CTX *library = identity->library;
    WOLFSSL_CERT_MANAGER *manager = wolfSSL_CTX_GetCertManager(library);
    if (!options->ask_certificate) {
        struct span rest = certificate->chain.content;
        const uint8_t *second = memmem(rest.data + 1, rest.bytes - 1, "-----BEGIN", 10);
        struct span issuers = second ? span_skip(rest, (size_t)(second - rest.data)) : options->ca.content;
        if (issuers.bytes == 0 || wolfSSL_CTX_load_verify_buffer(library, issuers.data, (long)issuers.bytes, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
            return tls_complain(complaint, certificate->chain.name,
                            "to staple an OCSP response the certificate of the CA must follow in this file, or be in the CA file", 0);
    }
    bool ready = wolfSSL_CertManagerEnableOCSP(manager, WOLFSSL_OCSP_URL_OVERRIDE) == WOLFSSL_SUCCESS &&
                 wolfSSL_CertManagerSetOCSPOverrideURL(manager, "http://from.file/") == WOLFSSL_SUCCESS &&
                 wolfSSL_CertManagerDisableOCSP(manager) == WOLFSSL_SUCCESS && /* that was for the URL only: clients are not looked up */
                 wolfSSL_CTX_EnableOCSPStapling(library) == WOLFSSL_SUCCESS &&
                 wolfSSL_CTX_SetOCSP_Cb(library, give_staple, take_staple_back, identity) == WOLFSSL_SUCCESS;
    return ready || tls_complain(complaint, certificate->chain.name, "the library cannot staple", 0);
}
