#include <stdio.h>

#include "base/memory.h"
#include "tls/wolfssl.h"

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
bool tls_staple_prepare(struct tls_identity *identity, const struct tls_options *options, const struct tls_certificate *certificate,
                           struct tls_complaint *complaint)
{
#ifdef RINGMQ_WOLFSSL_SYSTEM
    return tls_complain(complaint, certificate->staple.name, "the packaged wolfSSL leaks memory when it staples; use ringmq's own build", 0);
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
    return ready || tls_complain(complaint, certificate->staple.name, "the library cannot staple", 0);
}
