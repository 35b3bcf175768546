/* certificate.h - the names in an X.509 certificate (RFC 5280), read from its DER by ourselves: the library
 * has verified the certificate by then, but hands its names out as C strings, in which "admin\0.evil" is
 * "admin".
 *
 * Texts are UTF-8. A name with a control character or an encoding nobody should use is treated as absent. */
#ifndef RINGMQ_TLS_CERTIFICATE_H
#define RINGMQ_TLS_CERTIFICATE_H

#include "base/span.h"

enum certificate_key {
    CERTIFICATE_KEY_OTHER,
    CERTIFICATE_KEY_RSA,
    CERTIFICATE_KEY_EC_256,
    CERTIFICATE_KEY_EC_384,
    CERTIFICATE_KEY_EC_521,
    CERTIFICATE_KEY_ED25519
};

#define CERTIFICATE_DNS_MAX 64
#define CERTIFICATE_ADDRESSES_MAX 16

struct certificate_names {
    char *common_name;              /* the first CN of the subject; NULL: none */
    char *subject;                  /* as RFC 4514 writes it, the last part first: "CN=sensor-7,O=Example"; NULL: empty, or not
                      readable */
    char *alternative;              /* the first DNS name, e-mail address or URI of the subject alternative name; NULL:
                          none */
    char *dns[CERTIFICATE_DNS_MAX]; /* all DNS names, in lower case */
    uint32_t dns_count;
    uint8_t addresses[CERTIFICATE_ADDRESSES_MAX][16]; /* the IP addresses; an IPv4 one in its first four bytes */
    uint8_t address_bytes[CERTIFICATE_ADDRESSES_MAX]; /* 4 or 16 */
    uint32_t addresses_count;
    enum certificate_key key;
    uint32_t key_bits; /* RSA: of the modulus */
    int64_t expires_s;         /* realtime; INT64_MAX: not readable */
    char expires[40];  /* "2027-01-31"; "": not readable */
};

/* False when the bytes are no certificate; the names are empty then. */
bool certificate_read(struct span der, struct certificate_names *ret_names);
/* The subject's public key: what is in the BIT STRING of SubjectPublicKeyInfo. Empty: it is no certificate. */
struct span certificate_public_key(struct span der);
void certificate_release(struct certificate_names *names);
/* Is the certificate for this host? A name: by its DNS names, a wildcard standing for one label (RFC 6125); by its CN only when it
 * has none. An address, as inet_pton() reads it: by its IP addresses only. */
bool certificate_is_for(const struct certificate_names *names, const char *host);
const char *certificate_key_name(enum certificate_key key); /* "rsa", "ecdsa-256" */

#endif
