/* tls.h - TLS 1.2 and 1.3 as a filter (base/filter.h): bytes from the network become bytes for MQTT or
 * WebSocket, and back.
 *
 *     options ──► tls_context ──► slot of a listener ──► one tls filter a connection
 *     (certificates, CA, PSK …)     (swapped on reload)
 *
 * No socket, no file, no thread in here: whoever calls brings the bytes of the files (cmd/ringmqd_tls.c) and
 * moves the bytes of the connection (engine). The library is wolfSSL, known to tls/wolfssl*.c alone.
 *
 * Contexts: immutable once made, shared by all shards, counted: each filter holds one, so a reload drops nobody.
 * Threads:  contexts, slots, tickets: any thread. A filter: one thread at a time.
 * Secrets:  private keys, pre-shared keys, ticket keys and what a handshake leaves are wiped when released, and never logged.
 * Standards: RFC 8446 (1.3), RFC 5246 (1.2), RFC 6066 (SNI, OCSP stapling), RFC 7301 (ALPN), RFC 9257 (external PSK), RFC 9325
 * (what a safe default is). */
#ifndef RINGMQ_TLS_TLS_H
#define RINGMQ_TLS_TLS_H

#include "base/filter.h"
#include "base/span.h"

struct tls_context;
struct tls_tickets;
struct tls_psk;
struct tls_checker;

enum tls_version { TLS_1_2 = 12, TLS_1_3 = 13 };

/* Which name of the client's certificate. FINGERPRINT: SHA-256 of it, in hexadecimal digits. */
enum tls_name { TLS_NAME_NONE, TLS_NAME_CN, TLS_NAME_DN, TLS_NAME_SAN, TLS_NAME_FINGERPRINT };

/* The content of a file and what to call it in an error. data NULL: there is none. */
struct tls_file {
    const char *name;
    struct span content;
};

struct tls_certificate {
    struct tls_file chain;    /* PEM: ours first, then the intermediates */
    struct tls_file key;      /* PEM: PKCS#8 (encrypted or not), EC or RSA */
    const char *key_password; /* NULL or "": none */
    struct tls_file staple;   /* DER: an OCSP response for ours; none: nothing is stapled */
    bool staple_comes;        /* … until tls_context_set_staple() */
};

struct tls_options {
    const struct tls_certificate *certificates; /* chosen by SNI and by what the client can verify; the first is the default */
    uint32_t certificates_count;
    struct tls_file ca;       /* PEM: who may have signed the peer's certificate */
    struct tls_file crl;      /* PEM, one or more: then each certificate's issuer must have one */
    bool ask_certificate;     /* server: ask the client for a certificate; what it sends must verify */
    bool require_certificate; /* … and it must send one (or use a pre-shared key) */
    uint8_t depth;            /* intermediates between the peer's certificate and the CA; at most TLS_DEPTH_MAX */
    struct tls_psk *psk;      /* NULL: none. The context takes its own reference */
    enum tls_version version_min, version_max;
    const char *ciphers;               /* names, as OpenSSL or IANA write them, separated by : or ,; "": the safe ones */
    const char *alpn;                  /* protocols in our order, separated by commas; "": ALPN is ignored */
    struct tls_tickets *tickets;       /* NULL: no session tickets. The context takes its own reference */
    bool psk_username;                 /* the identity of the pre-shared key is FACT_USERNAME */
    const struct tls_checker *checker; /* asked about each certificate of a client (tls/ocsp.h); NULL: nobody is */
    void *checker_context;             /* the context retains it */
    enum tls_name username, client_id; /* facts FACT_USERNAME and FACT_CLIENT_ID; a certificate without that name is refused */
};

#define TLS_CERTIFICATES_MAX 32
#define TLS_DEPTH_MAX        9
#define TLS_ERROR_BYTES      512

/* ---- contexts ----------------------------------------------------------------------------------------------------- */

/* For connections that come. Session tickets are off where clients are identified by certificates or
 * pre-shared keys: a ticket remembers nobody, and a revoked certificate must not live on in one
 * (docs/decisions/0011). NULL with a sentence in ret_error that names the file. Reads the files' contents
 * during the call only. */
struct tls_context *tls_context_create(const struct tls_options *options, char *ret_error, size_t error_bytes);
struct tls_context *tls_context_retain(struct tls_context *context);
void tls_context_release(struct tls_context *context); /* accepts NULL */
/* What is worth a line in the log: "file="server.pem" name="a.example" key=ecdsa-256 expires=2027-01-01". Into ret_text; false: no such
 * number. */
bool tls_context_describe(const struct tls_context *context, uint32_t number, char *ret_text, size_t bytes);
bool tls_context_expiry(const struct tls_context *context, uint32_t number, int64_t *ret_realtime_s);

/* Replaces the staple of a certificate while handshakes go on. The bytes are copied. Any thread. */
void tls_context_set_staple(struct tls_context *context, uint32_t number, struct span response);

/* The place of a listener's context: taken by each new connection, set by a reload. */
struct tls_slot;
struct tls_slot *tls_slot_create(struct tls_context *context); /* takes the reference */
void tls_slot_set(struct tls_slot *slot, struct tls_context *context);
struct tls_context *tls_slot_take(struct tls_slot *slot); /* a reference of its own */
void tls_slot_release(struct tls_slot *slot);

/* ---- filters ------------------------------------------------------------------------------------------------------ */

/* Takes a reference of its own on the context. Never NULL. Costs about 200 bytes until the client's hello has
 * arrived. */
struct filter *tls_filter_create(struct tls_context *context);
/* `who` is handed to the context's checker. */
struct filter *tls_filter_create_for(struct tls_context *context, void *who);
/* True after a handshake that a ticket made short. */
bool tls_filter_is_resumed(const struct filter *filter);

/* ---- pre-shared keys ---------------------------------------------------------------------------------------------- */

#define TLS_PSK_IDENTITY_BYTES_MAX 127
#define TLS_PSK_KEY_BYTES_MIN      16
#define TLS_PSK_KEY_BYTES_MAX      64

/* Reads `identity:hexkey` lines; blank lines and lines that begin with # are skipped. NULL with a sentence
 * that names file and line (never the key). */
struct tls_psk *tls_psk_create(const struct tls_file *file, char *ret_error, size_t error_bytes);
struct tls_psk *tls_psk_retain(struct tls_psk *psk);
void tls_psk_release(struct tls_psk *psk); /* accepts NULL */
uint32_t tls_psk_count(const struct tls_psk *psk);
/* The key of an identity; an empty span: unknown. Lives as long as the table. */
struct span tls_psk_find(const struct tls_psk *psk, struct span identity);

/* ---- session tickets ---------------------------------------------------------------------------------------------- */

/* Keys for tickets (RFC 5077, RFC 8446 §4.6.1), random, shared by all shards: a client resumes on whichever
 * shard it lands. New ones are made by tls_tickets_rotate(); tickets under the one before are still accepted,
 * those under older ones get a full handshake. */
struct tls_tickets *tls_tickets_create(uint32_t lifetime_s);
struct tls_tickets *tls_tickets_retain(struct tls_tickets *tickets);
void tls_tickets_release(struct tls_tickets *tickets); /* accepts NULL */
void tls_tickets_rotate(struct tls_tickets *tickets);  /* call it once in lifetime_s */

/* ---- the library -------------------------------------------------------------------------------------------------- */

/* Once, before anything else here; again is harmless. */
void tls_library_start(void);
const char *tls_library_version(void);
/* The first certificate of a PEM as DER, to be released with memory_release(). NULL: there is none. */
uint8_t *tls_pem_certificate(struct span pem, uint32_t *ret_bytes);
/* How fast it seals AES-128-GCM, measured now (about a millisecond): below TLS_LIBRARY_SLOW it was built
 * without AES-NI. */
uint32_t tls_library_megabytes_per_s(void);
#define TLS_LIBRARY_SLOW 700

#endif
