#include <stdio.h>

#include "tls/wolfssl.h"

bool tls_complain(struct tls_complaint *complaint, const char *file, const char *what, int error)
{
    if (error)
        snprintf(complaint->text, complaint->bytes, "%s: %s: %s", file, what, tls_error_words(error));
    else
        snprintf(complaint->text, complaint->bytes, "%s: %s", file, what);
    return false;
}

const char *tls_error_words(int error)
{
    static const struct {
        int error;
        const char *words;
    } known[] = {
        {ASN_NO_SIGNER_E, "the certificate is signed by an unknown CA"},
        {ASN_SIG_CONFIRM_E, "the certificate's signature is wrong"},
        {ASN_AFTER_DATE_E, "the certificate has expired"},
        {ASN_BEFORE_DATE_E, "the certificate is not valid yet"},
        {ASN_PATHLEN_INV_E, "the chain of certificates is longer than one of them allows"},
        {ASN_SELF_SIGNED_E, "the certificate is self-signed"},
        {CRL_CERT_REVOKED, "the certificate is revoked (CRL)"},
        {CRL_MISSING, "there is no revocation list (CRL) of the certificate's issuer"},
        {CRL_CERT_DATE_ERR, "the revocation list (CRL) is out of date"},
        {OCSP_CERT_REVOKED, "the certificate is revoked (OCSP)"},
        {OCSP_CERT_UNKNOWN, "the OCSP responder does not know the certificate"},
        {ASN_VERSION_E, "the certificate is of X.509 version 1; TLS wants version 3 (make it with an extension, docs/tls.md)"},
        {NO_PEER_CERT, "no certificate was sent"},
        {MAX_CHAIN_ERROR, "the chain of certificates is too long"},
        {EXTKEYUSE_AUTH_E, "the certificate is not for this use (extended key usage)"},
        {KEYUSE_SIGNATURE_E, "the certificate is not for this use (key usage)"},
        {VERSION_ERROR, "no TLS version in common"},
        {MATCH_SUITE_ERROR, "no cipher in common"},
        {UNKNOWN_ALPN_PROTOCOL_NAME_E, "no application protocol (ALPN) in common"},
        {PSK_KEY_ERROR, "the identity of the pre-shared key is unknown"},
        {VERIFY_MAC_ERROR, "a record does not decrypt"},
        {DECRYPT_ERROR, "a record does not decrypt"},
        {VERIFY_FINISHED_ERROR, "the handshake does not verify"},
        {BAD_BINDER, "the pre-shared key is wrong"},
        {LENGTH_ERROR, "a record of a forbidden length"},
        {UNKNOWN_RECORD_TYPE, "bytes that are no TLS record"},
        {OUT_OF_ORDER_E, "a handshake message out of order"},
        {SECURE_RENEGOTIATION_E, "the peer wants to renegotiate"},
        {DUPLICATE_MSG_E, "a handshake message a second time (renegotiation is not supported)"},
        {PEER_KEY_ERROR, "the certificate's key is of a kind that is not supported"},
        {RSA_KEY_SIZE_E, "the certificate's RSA key is too short"},
        {ECC_KEY_SIZE_E, "the certificate's elliptic curve key is too short"},
        {NO_CERT_ERROR, "no certificate was sent"},
        {ASN_PARSE_E, "it cannot be read"},
        {ASN_NO_PEM_HEADER, "there is no -----BEGIN line of that kind in it"},
        {WOLFSSL_BAD_FILE, "it cannot be read"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].error == error) return known[i].words;
    return wolfSSL_ERR_reason_error_string((unsigned long)(error < 0 ? -(long)error : error));
}

const char *tls_alert_name(int alert)
{
    switch (alert) {
    case 10: return "unexpected_message";
    case 20: return "bad_record_mac";
    case 22: return "record_overflow";
    case 40: return "handshake_failure";
    case 42: return "bad_certificate";
    case 43: return "unsupported_certificate";
    case 44: return "certificate_revoked";
    case 45: return "certificate_expired";
    case 46: return "certificate_unknown";
    case 47: return "illegal_parameter";
    case 48: return "unknown_ca";
    case 49: return "access_denied";
    case 50: return "decode_error";
    case 51: return "decrypt_error";
    case 70: return "protocol_version";
    case 71: return "insufficient_security";
    case 80: return "internal_error";
    case 90: return "user_canceled";
    case 109: return "missing_extension";
    case 112: return "unrecognized_name";
    case 115: return "unknown_psk_identity";
    case 116: return "certificate_required";
    case 120: return "no_application_protocol";
    default: return "unknown";
    }
}
