/* client.h - the other end: TLS 1.2 and 1.3 for connections that we open (ringmq's client programs, later bridges).
 *
 * Contexts, sessions and filters are those of tls/tls.h: tls_context_retain(), tls_context_release() and the verbs of the filter
 * are the same. A filter of this end has bytes to send from the beginning (its hello): ask send() first.
 *
 * Verified is the chain up to a CA of ours and that the certificate is for the host (RFC 6125: DNS names with a wildcard for one
 * label, IP addresses; the CN only where there are neither). */
#ifndef RINGMQ_TLS_CLIENT_H
#define RINGMQ_TLS_CLIENT_H

#include "tls/tls.h"

struct tls_client_options {
    struct tls_file ca;      /* PEM: who may have signed the server's certificate */
    bool ca_may_be_odd;      /* certificates in it that cannot be used are passed over: the system's collection has some */
    bool insecure;           /* neither certificate nor host is looked at: whoever is in between can read and change all */
    struct tls_certificate certificate; /* ours; no chain: none */
    enum tls_version version_min, version_max;
    const char *ciphers;      /* as in tls_options */
    const char *alpn;         /* "": none is asked for */
    const char *psk_identity; /* NULL: none */
    const char *psk_key;      /* hexadecimal digits */
};

/* NULL with a sentence in ret_error that names the file. */
struct tls_context *tls_client_context_create(const struct tls_client_options *options, char *ret_error, size_t error_bytes);

/* A session that may be taken up again: what a ticket is for. Used by one thread. When the server does not take it (any more), TLS 1.3 goes
 * on with a full handshake; in TLS 1.2 the handshake fails ("out of order": wolfSSL 5.5 takes a ticket for a promise). */
struct tls_session;
void tls_session_release(struct tls_session *session); /* accepts NULL */

/* `host`: the name or address that was asked for; sent along if it is a name (SNI). `resume`: NULL, or a session with that host.
 * Takes a reference of its own on the context. Never NULL. */
struct filter *tls_client_create(struct tls_context *context, const char *host, const struct tls_session *resume);
/* Of a filter that is open; NULL: the server has given no ticket (yet: in TLS 1.3 it comes after the handshake). */
struct tls_session *tls_client_session(struct filter *filter);

#endif
