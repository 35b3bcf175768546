#include "tls/client.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "tls/wolfssl.h"

/* ---- pre-shared key ------------------------------------------------------------------------------------------------- */

static unsigned int take_key(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_bytes_max, unsigned char *key,
                             unsigned int key_bytes_max)
{
    const struct tls_context *context = tls_filter_context(ssl);
    struct span found = tls_psk_find(context->psk, span_of_string(context->psk_identity));
    size_t identity_bytes = strlen(context->psk_identity);
    if (found.bytes > key_bytes_max || identity_bytes >= identity_bytes_max) return 0;
    memcpy(identity, context->psk_identity, identity_bytes + 1);
    memcpy(key, found.data, found.bytes);
    return (unsigned int)found.bytes;
}

static unsigned int take_key_1_3(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_bytes_max, unsigned char *key,
                                 unsigned int key_bytes_max, const char **ret_suite)
{
    *ret_suite = "TLS13-AES128-GCM-SHA256"; /* the hash of external keys is SHA-256 (RFC 8446 §4.2.11) */
    return take_key(ssl, hint, identity, identity_bytes_max, key, key_bytes_max);
}

static bool prepare_psk(struct tls_context *context, const struct tls_client_options *options, struct tls_complaint *complaint)
{
    if (!options->psk_identity) return true;
    char line[2 * TLS_PSK_KEY_BYTES_MAX + TLS_PSK_IDENTITY_BYTES_MAX + 64];
    int bytes = snprintf(line, sizeof line, "%s:%s\n", options->psk_identity, options->psk_key);
    if (bytes >= (int)sizeof line)
        return tls_complain(complaint, "the pre-shared key", "identity (127 bytes) or key (128 hexadecimal digits) are too long", 0);
    struct tls_file file = {"the pre-shared key", span_of(line, (size_t)bytes)};
    context->psk = tls_psk_create(&file, complaint->text, complaint->bytes);
    explicit_bzero(line, sizeof line);
    if (!context->psk) return false;
    context->psk_identity = memory_copy_string(span_of_string(options->psk_identity));
    /* As a client of ECDHE-PSK in TLS 1.2 the library cannot use X25519 (5.5 looks at a field that it does not set), though it offers it. */
    static const word16 curves[] = {WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        CHECK(wolfSSL_CTX_UseSupportedCurve(context->identities[0].library, curves[i]) == WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_psk_client_callback(context->identities[0].library, take_key);
    wolfSSL_CTX_set_psk_client_tls13_callback(context->identities[0].library, take_key_1_3);
    return true;
}

/* ---- contexts ------------------------------------------------------------------------------------------------------- */

static bool prepare_verification(WOLFSSL_CTX *library, const struct tls_client_options *options, struct tls_complaint *complaint)
{
    wolfSSL_CTX_set_verify(library, options->insecure ? WOLFSSL_VERIFY_NONE : WOLFSSL_VERIFY_PEER, NULL);
    if (options->insecure || options->ca.content.bytes == 0) return true;
    word32 flags = options->ca_may_be_odd ? WOLFSSL_LOAD_FLAG_IGNORE_ERR : WOLFSSL_LOAD_FLAG_NONE;
    int loaded = wolfSSL_CTX_load_verify_buffer_ex(library, options->ca.content.data, (long)options->ca.content.bytes,
                                                   WOLFSSL_FILETYPE_PEM, 0, flags);
    return loaded == WOLFSSL_SUCCESS || tls_complain(complaint, options->ca.name, "cannot use the CA certificates in it", loaded);
}

static WOLFSSL_CTX *library_create(const struct tls_client_options *options)
{
    WOLFSSL_METHOD *method = options->version_min == TLS_1_3   ? wolfTLSv1_3_client_method()
                             : options->version_max == TLS_1_2 ? wolfTLSv1_2_client_method()
                                                               : wolfSSLv23_client_method();
    WOLFSSL_CTX *library = wolfSSL_CTX_new(method);
    CHECK(library);
    if (options->version_min < options->version_max)
        CHECK(wolfSSL_CTX_SetMinVersion(library, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS);
    tls_library_harden(library);
    CHECK(wolfSSL_CTX_UseSessionTicket(library) == WOLFSSL_SUCCESS);
    return library;
}

/* As OpenSSL has it: a list that names no suite of TLS 1.3 leaves those as they are. With a pre-shared key there is one only: the
 * library insists on the suite that it was given the key for, and a server may prefer another. */
static bool prepare_ciphers(const struct tls_context *context, const struct tls_client_options *options, struct tls_complaint *complaint)
{
    const char *suites_1_3 = context->psk ? "TLS_AES_128_GCM_SHA256"
                                          : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    const char *named = options->ciphers ? options->ciphers : "";
    if (!named[0] && context->psk) named = "ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384";
    char list[2048];
    bool only_1_2 = named[0] && !strstr(named, "TLS_") && !strstr(named, "TLS13") && options->version_max == TLS_1_3;
    if (snprintf(list, sizeof list, "%s%s%s", named, only_1_2 ? ":" : "", only_1_2 ? suites_1_3 : "") >= (int)sizeof list)
        return tls_complain(complaint, "the list of ciphers", "it is too long", 0);
    struct tls_options for_ciphers = {.ciphers = list, .psk = context->psk};
    return tls_ciphers_prepare(context->identities[0].library, &for_ciphers, complaint->text, complaint->bytes);
}

static bool prepare(struct tls_context *context, const struct tls_client_options *options, struct tls_complaint *complaint)
{
    struct tls_identity *identity = &context->identities[0];
    CHECK(pthread_mutex_init(&identity->staple_lock, NULL) == 0);
    identity->library = library_create(options);
    tls_filter_prepare(identity->library);
    if (!prepare_psk(context, options, complaint)) return false;
    if (!prepare_ciphers(context, options, complaint)) return false;
    if (options->certificate.chain.content.data && !tls_identity_load(identity, &options->certificate, complaint)) return false;
    return prepare_verification(identity->library, options, complaint);
}

struct tls_context *tls_client_context_create(const struct tls_client_options *options, char *ret_error, size_t error_bytes)
{
    struct tls_complaint complaint = {ret_error, error_bytes};
    tls_library_start();
    struct tls_context *context = memory_acquire_zeroed(sizeof *context);
    *context = (struct tls_context){.references = 1,
                                    .identities_count = 1,
                                    .identities = memory_acquire_zeroed(sizeof *context->identities),
                                    .alpn = memory_copy_string(span_of_string(options->alpn ? options->alpn : "")),
                                    .is_client = true,
                                    .verifies = !options->insecure};
    if (prepare(context, options, &complaint)) return context;
    tls_context_release(context);
    return NULL;
}

#define TICKET_BYTES_MAX 4096 /* larger ones are not worth sending */

/* ---- one connection ------------------------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    uint8_t bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

#ifndef NO_SESSION_CACHE
static WOLFSSL_SESSION *library_session(const struct tls_session *session)
{
    return (WOLFSSL_SESSION *)(uintptr_t)session;
}
#endif

WOLFSSL *tls_client_begin(const struct tls_context *context, const char *host, const struct tls_session *resume)
{
    WOLFSSL *ssl = wolfSSL_new(context->identities[0].library);
    if (!ssl) return NULL;
    if (host[0] && !is_address(host)) CHECK(wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, host, (unsigned short)strlen(host)) == WOLFSSL_SUCCESS);
    char *alpn = context->alpn;
    if (alpn[0]) CHECK(wolfSSL_UseALPN(ssl, alpn, (unsigned)strlen(alpn), WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
#ifndef NO_SESSION_CACHE
    if (resume) wolfSSL_set_session(ssl, library_session(resume)); /* one that is too old: a full handshake */
#endif
    return ssl;
}

/* NULL: it is for that host. */
const char *tls_client_judge(const struct tls_context *context, WOLFSSL *ssl, const char *host)
{
    if (!context->verifies || wolfSSL_session_reused(ssl)) return NULL; /* what is resumed was looked at the first time, a key knows us both */
    WOLFSSL_X509 *certificate = wolfSSL_get_peer_certificate(ssl);
    int bytes = 0;
    const uint8_t *der = certificate ? wolfSSL_X509_get_der(certificate, &bytes) : NULL;
    struct certificate_names *names = memory_acquire_zeroed(sizeof *names);
    const char *wrong = NULL;
    if (der && (!certificate_read(span_of(der, (size_t)bytes), names) || !certificate_is_for(names, host)))
        wrong = "the server's certificate is for another host";
    if (!der && !context->psk) wrong = "the server has sent no certificate";
    certificate_release(names);
    memory_release(names);
    wolfSSL_X509_free(certificate);
    return wrong;
}

struct tls_session *tls_client_take_session(WOLFSSL *ssl)
{
#ifdef NO_SESSION_CACHE
    return NULL;
#else
    byte ticket[TICKET_BYTES_MAX];
    word32 bytes = sizeof ticket;
    bool has_ticket = wolfSSL_get_SessionTicket(ssl, ticket, &bytes) == WOLFSSL_SUCCESS && bytes > 0;
    explicit_bzero(ticket, sizeof ticket);
    return (struct tls_session *)(has_ticket ? wolfSSL_get1_session(ssl) : NULL);
#endif
}

void tls_session_release(struct tls_session *session)
{
#ifndef NO_SESSION_CACHE
    if (session) wolfSSL_SESSION_free((WOLFSSL_SESSION *)session);
#endif
}
