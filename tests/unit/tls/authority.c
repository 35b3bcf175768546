#include "tests/unit/tls/authority.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

void *keep(void *made)
{
    static struct kept {
        struct kept *next;
        void *made;
    } * all;
    struct kept *one = malloc(sizeof *one);
    *one = (struct kept){all, made};
    all = one;
    return made;
}

static char *text_of(BIO *bio)
{
    char *data;
    long bytes = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)bytes);
    BIO_free(bio);
    return keep(text);
}

static void extend(X509 *certificate, const struct authority *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer ? issuer->certificate : certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CHECK(extension && X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
}

struct authority *authority_create(const struct wanted *wanted, const struct authority *issuer)
{
    static long serials = 1000;
    struct authority *made = keep(calloc(1, sizeof *made));
    made->key = wanted->key == MADE_RSA       ? EVP_RSA_gen(2048)
                : wanted->key == MADE_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                              : EVP_EC_gen("P-256");
    made->certificate = X509_new();
    made->serial = serials++;
    X509 *certificate = made->certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), made->serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L * 400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * (wanted->days ? wanted->days : 30));
    X509_set_pubkey(certificate, made->key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"Example", -1, -1, 0);
    if (wanted->cn) X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)wanted->cn, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject);
    extend(certificate, issuer, NID_basic_constraints, wanted->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wanted->is_ca) extend(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign"); /* RFC 5280 §4.2.1.3 */
    extend(certificate, issuer, NID_subject_key_identifier, "hash");
    if (wanted->san) extend(certificate, issuer, NID_subject_alt_name, wanted->san);
    if (wanted->usage) extend(certificate, issuer, NID_ext_key_usage, wanted->usage);
    EVP_PKEY *signer = issuer ? issuer->key : made->key;
    CHECK(X509_sign(certificate, signer, EVP_PKEY_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()));
    BIO *pem = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(pem, certificate));
    CHECK(PEM_write_bio_PrivateKey(key, made->key, wanted->password ? EVP_aes_256_cbc() : NULL, NULL, 0, NULL,
                                   (void *)(uintptr_t)wanted->password));
    made->pem = text_of(pem);
    made->key_pem = text_of(key);
    return made;
}

char *authority_revoke(const struct authority *issuer, const struct authority *revoked)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = ASN1_TIME_new(), *later = ASN1_TIME_new();
    X509_gmtime_adj(now, -3600);
    X509_gmtime_adj(later, 86400);
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, later);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
        X509_REVOKED_set_revocationDate(entry, now);
        X509_CRL_add0_revoked(list, entry);
    }
    X509_CRL_sort(list);
    CHECK(X509_CRL_sign(list, issuer->key, EVP_sha256()));
    BIO *pem = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509_CRL(pem, list));
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    X509_CRL_free(list);
    return text_of(pem);
}

char *join(const char *first, const char *second)
{
    char *text = keep(malloc(strlen(first) + strlen(second) + 1));
    sprintf(text, "%s%s", first, second);
    return text;
}

struct span authority_ocsp(const struct authority *issuer, const struct authority *subject)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), subject->certificate, issuer->certificate);
    ASN1_TIME *now = X509_gmtime_adj(NULL, -3600), *later = X509_gmtime_adj(NULL, 86400);
    OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, later);
    CHECK(OCSP_basic_sign(basic, issuer->certificate, issuer->key, EVP_sha256(), NULL, OCSP_NOCERTS));
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int bytes = i2d_OCSP_RESPONSE(response, &der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    return span_of(keep(der), (size_t)bytes);
}
