/* wolfssl.h - what the wolfssl_*.c files share. Nobody else includes it: outside of them wolfSSL has no name.
 */
#ifndef RINGMQ_TLS_WOLFSSL_H
#define RINGMQ_TLS_WOLFSSL_H

#include <wolfssl/options.h> /* first: what the library was built with */

#include <wolfssl/ssl.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <pthread.h>

#include "base/span.h"
#include "tls/certificate.h"
#include "tls/client.h"
#include "tls/hello.h"
#include "tls/ocsp.h"
#include "tls/tls.h"

/* Where a sentence about what is wrong goes. */
struct tls_complaint {
    char *text;
    size_t bytes;
};
/* "FILE: what", with the library's error (0: none) in words. False. */
bool tls_complain(struct tls_complaint *complaint, const char *file, const char *what, int error);

/* One certificate with its key. Each has a library context of its own: choosing a certificate is choosing
 * which one to begin with. */
struct tls_identity {
    WOLFSSL_CTX *library;
    char *file; /* of the chain; NULL: there is no certificate, only pre-shared keys */
    struct certificate_names names;
    pthread_mutex_t staple_lock; /* a handshake that is asked for the staple copies it under it */
    uint8_t *staple;
    uint32_t staple_bytes;
};

struct tls_context {
    _Atomic uint32_t references;
    uint32_t identities_count;
    struct tls_identity *identities;
    struct tls_psk *psk;
    struct tls_tickets *tickets;
    char *alpn;
    bool allows_1_3, allows_1_2;
    bool asks_certificate, psk_username;
    enum tls_name username, client_id;
    const struct tls_checker *checker; /* NULL: revocation is not asked about */
    void *checker_context;
    /* of connections that we open: */
    bool is_client, verifies;
    char *psk_identity; /* NULL: none. Its key is in `psk` */
};

/* Gives a library context the callbacks through which a filter's bytes go. */
void tls_filter_prepare(WOLFSSL_CTX *library);
const struct tls_context *tls_filter_context(WOLFSSL *ssl); /* of the filter that uses it */

/* wolfssl_client.c: a session of the library for a connection that we open, before its callbacks are set (NULL: none could be made);
 * after the handshake: what
 * is wrong with the server's certificate (NULL: nothing); its ticket. */
WOLFSSL *tls_client_begin(const struct tls_context *context, const char *host, const struct tls_session *resume);
const char *tls_client_judge(const struct tls_context *context, WOLFSSL *ssl, const char *host);
struct tls_session *tls_client_take_session(WOLFSSL *ssl);
void tls_psk_prepare(WOLFSSL_CTX *library);
void tls_tickets_prepare(WOLFSSL_CTX *library, struct tls_tickets *tickets);
/* False with a sentence: a name in the list is unknown, or nothing is left. */
bool tls_ciphers_prepare(WOLFSSL_CTX *library, const struct tls_options *options, char *ret_error, size_t error_bytes);
/* wolfssl_check.c: what the client has sent, its own certificate first, kept at `place` by the verification. For contexts with a
 * checker. */
struct tls_chain {
    uint32_t count;
    struct span certificates[TLS_OCSP_CHAIN_MAX];
    uint8_t *bytes;
};
void tls_chain_prepare(WOLFSSL_CTX *library, int verify_flags);
void tls_chain_begin(WOLFSSL *ssl, struct tls_chain **place);
void tls_chain_release(struct tls_chain *chain); /* accepts NULL */
/* A fatal alert of ours, where the library has sent none. */
void tls_send_alert(WOLFSSL *ssl, int description);
/* Chain and key into identity->library, names into identity->names. */
bool tls_identity_load(struct tls_identity *identity, const struct tls_certificate *certificate, struct tls_complaint *complaint);
/* Does the private key (PEM) belong to the certificate (DER)? */
bool tls_key_fits(enum certificate_key kind, struct span certificate, struct span key_pem, const char *password);
/* Curves and the shortest keys, for both ends. */
void tls_library_harden(WOLFSSL_CTX *library);
/* An empty response: none. */
void tls_staple_set(struct tls_identity *identity, struct span response);
bool tls_staple_prepare(struct tls_identity *identity, const struct tls_options *options, const struct tls_certificate *certificate,
                        struct tls_complaint *complaint);
/* The content of a PEM or DER file with one certificate, as DER; to be released. NULL: it is none. */
uint8_t *tls_certificate_der(struct span content, uint32_t *ret_bytes);
/* The first certificate for that host that the client can verify; else the first for the host, else one it can verify, else the
 * first of all. */
struct tls_identity *tls_identity_choose(const struct tls_context *context, const struct hello *hello);
/* A name of the peer's certificate (`der`), to be released; NULL: it has none of that kind. */
char *tls_peer_name(const struct certificate_names *names, enum tls_name which, struct span der);
const char *tls_alert_name(int alert); /* "unknown_ca" (RFC 8446 §6) */
/* "the certificate is signed by an unknown CA" for what the library calls -188. */
const char *tls_error_words(int error);

#endif
