#include <stdio.h>

#include "base/memory.h"
#include "tls/ocsp.h"
#include "tls/ocsp_response.h"
#include "tls/wolfssl.h"

/* The library makes the request and verifies the answer; it calls us for the way between. */

struct asking {
    const struct tls_ocsp_transport *transport;
    bool asked, answered;
    uint8_t *response;
    size_t bytes;
};

static int carry(void *context, const char *url, int url_bytes, unsigned char *request, int request_bytes, unsigned char **ret_response)
{
    struct asking *asking = context;
    char text[1024];
    asking->asked = true;
    if (url_bytes >= (int)sizeof text) return -1;
    snprintf(text, sizeof text, "%.*s", url_bytes, url);
    struct span bytes = span_of(request, (size_t)request_bytes);
    asking->answered = asking->transport->post(asking->transport->context, text, bytes, &asking->response, &asking->bytes);
    if (!asking->answered) return -1;
    *ret_response = asking->response; /* stays ours */
    return (int)asking->bytes;
}

static void keep(void *context, unsigned char *response) { /* we do */ }

static bool is_in(struct span pem, struct span certificate)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    for (;;) {
        const uint8_t *from = pem.bytes ? memmem(pem.data, pem.bytes, begin, sizeof begin - 1) : NULL;
        if (!from) return false;
        pem = span_skip(pem, (size_t)(from - pem.data));
        uint32_t bytes = 0;
        uint8_t *der = tls_certificate_der(pem, &bytes);
        bool same = der && span_equal(span_of(der, bytes), certificate);
        memory_release(der);
        if (same) return true;
        pem = span_skip(pem, sizeof begin - 1);
    }
}

/* Of the chain, those that are to be asked about: a client may send the CA, too, which is trusted as it is. */
static uint32_t below_ca(const struct tls_ocsp_question *question)
{
    for (uint32_t i = 1; i < question->chain_count; i++)
        if (is_in(question->ca, question->chain[i])) return i;
    return question->chain_count;
}

static WOLFSSL_CERT_MANAGER *manager_create(const struct tls_ocsp_question *question, uint32_t count, struct asking *asking)
{
    WOLFSSL_CERT_MANAGER *manager = wolfSSL_CertManagerNew();
    bool other = question->responder[0] != 0;
    bool ready = manager &&
                 wolfSSL_CertManagerEnableOCSP(manager, WOLFSSL_OCSP_NO_NONCE | (other ? WOLFSSL_OCSP_URL_OVERRIDE : 0)) == WOLFSSL_SUCCESS &&
                 wolfSSL_CertManagerSetOCSP_Cb(manager, carry, keep, asking) == WOLFSSL_SUCCESS &&
                 (!other || wolfSSL_CertManagerSetOCSPOverrideURL(manager, question->responder) == WOLFSSL_SUCCESS);
    if (ready)
        wolfSSL_CertManagerLoadCABuffer(manager, question->ca.data, (long)question->ca.bytes, WOLFSSL_FILETYPE_PEM);
    /* From the CA's end, as each must be known before the next. The handshake has verified them. */
    for (uint32_t i = count; ready && i-- > 1;)
        wolfSSL_CertManagerLoadCABuffer(manager, question->chain[i].data, (long)question->chain[i].bytes, WOLFSSL_FILETYPE_ASN1);
    if (ready) return manager;
    wolfSSL_CertManagerFree(manager);
    return NULL;
}

static enum tls_ocsp_answer ask_one(WOLFSSL_CERT_MANAGER *manager, struct asking *asking, struct span certificate, int64_t *ret_until_s)
{
    asking->asked = asking->answered = false;
    int result = wolfSSL_CertManagerCheckOCSP(manager, (unsigned char *)(uintptr_t)certificate.data, (int)certificate.bytes);
    *ret_until_s = 0;
    if (!asking->asked) return result == WOLFSSL_SUCCESS ? TLS_OCSP_NO_RESPONDER : TLS_OCSP_BAD;
    if (!asking->answered) return TLS_OCSP_UNREACHABLE;
    struct ocsp_response read;
    if (!ocsp_response_read(span_of(asking->response, asking->bytes), &read)) return TLS_OCSP_BAD;
    if (!read.successful) return TLS_OCSP_UNREACHABLE; /* "try later" and its like */
    *ret_until_s = read.next_update_s;
    if (result == WOLFSSL_SUCCESS) return TLS_OCSP_GOOD;
    if (result == OCSP_CERT_REVOKED) return TLS_OCSP_REVOKED;
    return read.says_unknown ? TLS_OCSP_UNKNOWN : TLS_OCSP_BAD;
}

enum tls_ocsp_answer tls_ocsp_ask(const struct tls_ocsp_question *question, const struct tls_ocsp_transport *transport,
                                  int64_t *ret_until_s, uint8_t **ret_response, size_t *ret_response_bytes)
{
    struct asking asking = {.transport = transport};
    uint32_t count = below_ca(question);
    WOLFSSL_CERT_MANAGER *manager = manager_create(question, count, &asking);
    enum tls_ocsp_answer answer = manager ? TLS_OCSP_GOOD : TLS_OCSP_BAD;
    *ret_until_s = 0;
    for (uint32_t i = 0; i < count && answer == TLS_OCSP_GOOD; i++) {
        int64_t until_s;
        answer = ask_one(manager, &asking, question->chain[i], &until_s);
        if (i > 0 && answer == TLS_OCSP_NO_RESPONDER) answer = TLS_OCSP_GOOD; /* many CAs leave intermediates to revocation lists */
        if (until_s && (*ret_until_s == 0 || until_s < *ret_until_s)) *ret_until_s = until_s;
        if (i == 0 && answer == TLS_OCSP_GOOD && ret_response) {
            *ret_response = asking.response;
            *ret_response_bytes = asking.bytes;
            asking.response = NULL;
        }
        memory_release(asking.response);
        asking.response = NULL;
    }
    wolfSSL_CertManagerFree(manager);
    return answer;
}

const char *tls_ocsp_answer_name(enum tls_ocsp_answer answer)
{
    static const char *const names[] = {"good", "revoked", "unknown", "no responder", "unreachable", "not verifiable"};
    return names[answer];
}
