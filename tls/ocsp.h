/* ocsp.h - is a certificate revoked? The Online Certificate Status Protocol (RFC 6960), for certificates of clients and for our own.
 *
 * Asking means waiting for a responder, which a shard must not do: so the filter hands the client's certificates to a checker and
 * parks (base/filter.h) until that has a verdict. Who the checker is, is not known here (broker/doors/ocsp.c: a cache and a few
 * threads); what it calls is tls_ocsp_ask(), which does all but the sockets.
 *
 *     filter ──begin(certificates)──► checker ──tls_ocsp_ask()──► transport ──► responder
 *       └────────── look() ◄────────────┘ */
#ifndef RINGMQ_TLS_OCSP_H
#define RINGMQ_TLS_OCSP_H

#include "base/span.h"

#define TLS_OCSP_CHAIN_MAX     10                /* certificates of one client: its own and nine intermediates */
#define TLS_OCSP_CERT_BYTES    (16 * 1024)       /* of all of them together */
#define TLS_OCSP_RESPONSE_MAX  (64 * 1024)

enum tls_ocsp_answer {
    TLS_OCSP_GOOD,
    TLS_OCSP_REVOKED,
    TLS_OCSP_UNKNOWN,      /* the responder does not know the certificate */
    TLS_OCSP_NO_RESPONDER, /* the certificate names none, and none is configured */
    TLS_OCSP_UNREACHABLE,  /* no answer in time, or an error in place of one */
    TLS_OCSP_BAD           /* an answer that does not verify, or is out of date */
};
const char *tls_ocsp_answer_name(enum tls_ocsp_answer answer); /* "revoked" */

/* ---- asking: on a thread that may wait -------------------------------------------------------------------------------- */

/* POSTs a request to an http:// URL. False: no answer. *ret_response is released with memory_release(). */
struct tls_ocsp_transport {
    bool (*post)(void *context, const char *url, struct span request, uint8_t **ret_response, size_t *ret_bytes);
    void *context;
};

struct tls_ocsp_question {
    struct span ca;           /* PEM: the CAs, which have signed the chain and whose responders count */
    const struct span *chain; /* DER: the certificate in question, then its issuers as far as they are not in `ca` */
    uint32_t chain_count;
    const char *responder;    /* in place of those that the certificates name; "": theirs */
};

/* Asks about each certificate of the chain; the first that is not good decides. *ret_until_s: until when (realtime) the answer holds
 * by its nextUpdate, 0: it does not say. *ret_response (may be NULL): the response about the first certificate, if that is GOOD. */
enum tls_ocsp_answer tls_ocsp_ask(const struct tls_ocsp_question *question, const struct tls_ocsp_transport *transport,
                                  int64_t *ret_until_s, uint8_t **ret_response, size_t *ret_response_bytes);

/* ---- the checker of a context ------------------------------------------------------------------------------------------ */

enum tls_check_state { TLS_CHECK_PENDING, TLS_CHECK_PASSED, TLS_CHECK_REFUSED };

struct tls_check; /* the checker's, for one handshake */

struct tls_checker {
    /* `who`: of tls_filter_create_for(). The bytes are the filter's. Never NULL. */
    struct tls_check *(*begin)(void *context, void *who, const struct span *chain, uint32_t count);
    enum tls_check_state (*look)(const struct tls_check *check); /* cheap: asked again and again. Any thread */
    /* After the verdict: a phrase for the log; the alert (RFC 8446 §6) that tells the client. */
    const char *(*reason)(const struct tls_check *check);
    bool (*is_revoked)(const struct tls_check *check);
    /* Also while it is pending. `who` again, to be told of the result. */
    void (*release)(struct tls_check *check, void *who);
    void (*retain_context)(void *context);
    void (*release_context)(void *context);
};

#endif
