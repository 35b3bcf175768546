/* authority.h - certificates made for a test, by OpenSSL, in memory. */
#ifndef RINGMQ_TESTS_TLS_AUTHORITY_H
#define RINGMQ_TESTS_TLS_AUTHORITY_H

#include <openssl/x509.h>

#include "tls/tls.h"

struct authority {
    X509 *certificate;
    EVP_PKEY *key;
    char *pem;
    char *key_pem;
    long serial;
};

enum made_key { MADE_EC, MADE_RSA, MADE_ED25519 };

struct wanted {
    const char *cn;  /* NULL: no subject */
    const char *san; /* "DNS:a.example,email:x@y"; NULL: none */
    enum made_key key;
    int days; /* negative: expired */
    bool is_ca;
    const char *usage;    /* extended key usage; NULL: none */
    const char *password; /* of the key's PEM */
};

/* Signed by `issuer`, or by itself. */
struct authority *authority_create(const struct wanted *wanted, const struct authority *issuer);
/* A revocation list of the issuer with that certificate, PEM; NULL: an empty list. */
char *authority_revoke(const struct authority *issuer, const struct authority *revoked);
/* "This certificate is good", signed by its issuer. */
struct span authority_ocsp(const struct authority *issuer, const struct authority *subject);
/* What a test makes lives until its process ends; the leak checker finds it here. */
void *keep(void *made);
/* Two PEM texts one after the other. */
char *join(const char *first, const char *second);
static inline struct tls_file file_of(const char *name, const char *text)
{
    return (struct tls_file){name, span_of_string(text)};
}

#endif
