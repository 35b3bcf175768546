#include <stdio.h>

#include "tls/wolfssl.h"

/* All that may be named, and nothing else: no export, no anonymous, no static RSA, no RC4, 3DES, CBC with
 * SHA-1. What the library was built without is left out of the default and refused when named. */
static const struct cipher {
    const char *name;    /* as we write it: IANA's name in TLS 1.3, OpenSSL's in TLS 1.2 */
    const char *library; /* as wolfSSL does */
    bool is_default;
    bool psk; /* only for listeners with pre-shared keys (TLS 1.2; in 1.3 any suite serves them) */
} ciphers[] = {
    {"TLS_AES_128_GCM_SHA256", "TLS13-AES128-GCM-SHA256", true, false},
    {"TLS_AES_256_GCM_SHA384", "TLS13-AES256-GCM-SHA384", true, false},
    {"TLS_CHACHA20_POLY1305_SHA256", "TLS13-CHACHA20-POLY1305-SHA256", true, false},
    {"TLS_AES_128_CCM_SHA256", "TLS13-AES128-CCM-SHA256", false, false},
    {"TLS_AES_128_CCM_8_SHA256", "TLS13-AES128-CCM-8-SHA256", false, false},
    {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", true, false},
    {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", true, false},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", true, false},
    {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", true, false},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305", true, false},
    {"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", true, false},
    {"ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES128-CCM", false, false},
    {"ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES128-CCM-8", false, false},
    {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256", false, false},
    {"ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", false, false},
    {"ECDHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-CHACHA20-POLY1305", true, true},
    {"ECDHE-PSK-AES128-CBC-SHA256", "ECDHE-PSK-AES128-CBC-SHA256", true, true},
    /* Without forward secrecy: for devices that have nothing else. */
    {"PSK-AES128-GCM-SHA256", "PSK-AES128-GCM-SHA256", false, true},
    {"PSK-AES256-GCM-SHA384", "PSK-AES256-GCM-SHA384", false, true},
    {"PSK-CHACHA20-POLY1305", "PSK-CHACHA20-POLY1305", false, true},
    {"PSK-AES128-CCM", "PSK-AES128-CCM", false, true},
    {"PSK-AES128-CCM8", "PSK-AES128-CCM-8", false, true},
    {"PSK-AES128-CBC-SHA256", "PSK-AES128-CBC-SHA256", false, true},
};
#define CIPHERS_COUNT (sizeof ciphers / sizeof ciphers[0])

static bool library_has(const char *name)
{
    const char *known;
    for (int i = 0; (known = wolfSSL_get_cipher_list(i)); i++)
        if (strcmp(known, name) == 0) return true;
    return false;
}

static const struct cipher *find(struct span name)
{
    for (size_t i = 0; i < CIPHERS_COUNT; i++)
        if (span_equal(span_of_string(ciphers[i].name), name) || span_equal(span_of_string(ciphers[i].library), name))
            return &ciphers[i];
    return NULL;
}

static void append(char *list, size_t list_bytes, const char *name)
{
    size_t at = strlen(list);
    snprintf(list + at, list_bytes - at, "%s%s", at ? ":" : "", name);
}

static bool take_named(const char *names, char *list, size_t list_bytes, char *ret_error, size_t error_bytes)
{
    while (*names) {
        size_t bytes = strcspn(names, ":, ");
        struct span name = span_of(names, bytes);
        names += bytes + (names[bytes] != 0);
        if (bytes == 0) continue;
        const struct cipher *cipher = find(name);
        if (!cipher || !library_has(cipher->library)) {
            snprintf(ret_error, error_bytes, "there is no cipher \"%.*s\"; see docs/tls.md for the names", SPAN_PRINT(name));
            return false;
        }
        append(list, list_bytes, cipher->library);
    }
    return true;
}

bool tls_ciphers_prepare(WOLFSSL_CTX *library, const struct tls_options *options, char *ret_error, size_t error_bytes)
{
    char list[2048] = "";
    if (options->ciphers && options->ciphers[0]) {
        if (!take_named(options->ciphers, list, sizeof list, ret_error, error_bytes)) return false;
    } else {
        for (size_t i = 0; i < CIPHERS_COUNT; i++)
            if (ciphers[i].is_default && (!ciphers[i].psk || options->psk) && library_has(ciphers[i].library))
                append(list, sizeof list, ciphers[i].library);
    }
    if (wolfSSL_CTX_set_cipher_list(library, list) == WOLFSSL_SUCCESS) return true;
    snprintf(ret_error, error_bytes, "the list of ciphers is empty or has none that fits the TLS versions");
    return false;
}
