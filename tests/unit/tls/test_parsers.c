/* hello.h, certificate.h and the file of pre-shared keys: the parsers that see other people's bytes. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/unit/tls/authority.h"
#include "tls/certificate.h"
#include "tls/hello.h"

/* ---- hello -------------------------------------------------------------------------------------------------------- */

static struct span real_hello(int version, const char *name)
{
    SSL_CTX *library = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(library, version);
    SSL *ssl = SSL_new(library);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    if (name) SSL_set_tlsext_host_name(ssl, name);
    SSL_do_handshake(ssl);
    char *data;
    size_t bytes = (size_t)BIO_get_mem_data(out, &data);
    uint8_t *copy = keep(malloc(bytes));
    memcpy(copy, data, bytes);
    SSL_free(ssl);
    SSL_CTX_free(library);
    return span_of(copy, bytes);
}

/* The same message in records of `piece` bytes. */
static struct span in_pieces(struct span hello, size_t piece)
{
    uint8_t *made = keep(malloc(hello.bytes * 6));
    size_t at = 0;
    struct span message = span_skip(hello, 5);
    while (message.bytes) {
        size_t now = message.bytes < piece ? message.bytes : piece;
        const uint8_t header[5] = {22, 3, 1, (uint8_t)(now >> 8), (uint8_t)now};
        memcpy(made + at, header, 5);
        memcpy(made + at + 5, message.data, now);
        at += 5 + now;
        message = span_skip(message, now);
    }
    return span_of(made, at);
}

Test(hello, whole_at_its_last_byte_and_not_before)
{
    struct span whole = real_hello(TLS1_3_VERSION, "Broker.Example"), pieces = in_pieces(whole, 40);
    const struct span forms[] = {whole, pieces};
    for (int form = 0; form < 2; form++)
        for (size_t bytes = 0; bytes <= forms[form].bytes; bytes++) {
            uint8_t *exact = malloc(bytes + 1); /* reading past it is seen by the sanitizer */
            memcpy(exact, forms[form].data, bytes);
            struct hello hello;
            cr_assert_eq(hello_look(span_of(exact, bytes), &hello),
                         bytes == forms[form].bytes ? HELLO_COMPLETE : HELLO_INCOMPLETE);
            if (bytes == forms[form].bytes) {
                cr_assert_str_eq(hello.server_name, "broker.example");
                cr_assert_eq(hello.verifies_1_3, HELLO_RSA | HELLO_ECDSA | HELLO_ED25519);
                cr_assert_eq(hello.verifies_1_2, HELLO_RSA | HELLO_ECDSA | HELLO_ED25519);
            }
            free(exact);
        }
}

Test(hello, an_older_client)
{
    struct hello hello;
    cr_assert_eq(hello_look(real_hello(TLS1_2_VERSION, NULL), &hello), HELLO_COMPLETE);
    cr_assert_eq(hello.verifies_1_3, 0);
    cr_assert(hello.verifies_1_2 & HELLO_RSA);
    cr_assert_str_eq(hello.server_name, "");
}

Test(hello, too_many_pieces)
{
    struct hello hello;
    struct span whole = real_hello(TLS1_3_VERSION, NULL);
    cr_assert_eq(hello_look(in_pieces(whole, whole.bytes / 14), &hello), HELLO_COMPLETE);
    cr_assert_eq(hello_look(in_pieces(whole, 5), &hello), HELLO_WRONG);
    cr_assert(strstr(hello.reason, "too many pieces"));
}

Test(hello, a_name_that_is_none)
{
    struct hello hello;
    struct span whole = real_hello(TLS1_3_VERSION, "evil/../name");
    cr_assert_eq(hello_look(whole, &hello), HELLO_COMPLETE);
    cr_assert_str_eq(hello.server_name, "");
}

/* RFC 6066 §3 wants the name without it; some libraries send what their user wrote. */
Test(hello, the_dot_behind_a_name_is_left_out)
{
    static const char *const names[][2] = {{"Broker.Example.", "broker.example"}, {"broker.example..", "broker.example."}, {".", ""}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct hello hello;
        cr_assert_eq(hello_look(real_hello(TLS1_3_VERSION, names[i][0]), &hello), HELLO_COMPLETE);
        cr_assert_str_eq(hello.server_name, names[i][1]);
    }
}

Test(hello, whole_records)
{
    cr_assert_eq(records_whole(span_of("", 0)), 0);
    cr_assert_eq(records_whole(span_of("\x17\x03\x03\x00\x02"
                                       "a",
                                       6)),
                 0);
    cr_assert_eq(records_whole(span_of("\x17\x03\x03\x00\x02"
                                       "ab",
                                       7)),
                 7);
    cr_assert_eq(records_whole(span_of("\x17\x03\x03\x00\x02"
                                       "ab"
                                       "\x17\x03",
                                       9)),
                 7);
    cr_assert_eq(records_whole(span_of("\x17\x03\x03\x00\x00", 5)), 5);
    cr_assert_eq(records_whole(span_of("\x17\x03\x03\xff\xff", 5)), 5); /* there is no such record: the library says so */
}

/* ---- pre-shared keys ---------------------------------------------------------------------------------------------- */

#define HEX16 "000102030405060708090a0b0c0d0e0f"

Test(psk, a_file)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_file file = file_of("keys", "# ours\n\nb:" HEX16 "\r\na:" HEX16 HEX16 "\nwith:colon:" HEX16
                                           "\nlast:AABBCCDDEEFF00112233445566778899");
    struct tls_psk *psk = tls_psk_create(&file, error, sizeof error);
    cr_assert(psk, "%s", error);
    cr_assert_eq(tls_psk_count(psk), 4);
    cr_assert_eq(tls_psk_find(psk, span_of_string("a")).bytes, 32);
    cr_assert_eq(tls_psk_find(psk, span_of_string("b")).bytes, 16);
    cr_assert_eq(tls_psk_find(psk, span_of_string("with:colon")).bytes, 16);
    cr_assert_eq(tls_psk_find(psk, span_of_string("last")).data[0], 0xAA);
    cr_assert_eq(tls_psk_find(psk, span_of_string("c")).bytes, 0);
    cr_assert_eq(tls_psk_find(psk, span_of_string("")).bytes, 0);
    cr_assert_eq(tls_psk_find(psk, span_of_string("las")).bytes, 0);
    cr_assert_eq(tls_psk_find(psk, span_of_string("last2")).bytes, 0);
    tls_psk_release(psk);
}

Test(psk, what_is_wrong_is_named_with_its_line)
{
    static const struct {
        const char *content, *error;
    } rows[] = {{"", "keys: there is no key in it"},
                {"# only words\n", "keys: there is no key in it"},
                {"a:" HEX16 "\nno colon\n", "keys, line 2: there is no colon"},
                {":" HEX16, "keys, line 1: the identity"},
                {"a:00", "keys, line 1: the key must have 32 to 128"},
                {"a:" HEX16 "0", "keys, line 1: the key must have 32 to 128"},
                {"a:" HEX16 HEX16 HEX16 HEX16 "00", "keys, line 1: the key must have 32 to 128"},
                {"a:0001020304050607 8090a0b0c0d0e0f", "keys, line 1: the key has a character"},
                {"a\tb:" HEX16, "keys, line 1: the identity has a control"},
                {"caf\xc3\xa9:" HEX16 "\ncaf\xe9:" HEX16, "keys, line 2: the identity is not UTF-8"},
                {"a:" HEX16 "\nb:" HEX16 "\n#\na:" HEX16, "keys, line 4: the identity is there a second time"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[TLS_ERROR_BYTES] = "";
        struct tls_file file = file_of("keys", rows[i].content);
        cr_assert_null(tls_psk_create(&file, error, sizeof error), "row %zu", i);
        cr_assert(strstr(error, rows[i].error), "row %zu: %s", i, error);
        cr_assert_not(strstr(error, "0405"), "row %zu: the key is in the error", i);
    }
}

/* ---- certificates ------------------------------------------------------------------------------------------------- */

static struct span der_of(const struct authority *made)
{
    unsigned char *der = NULL;
    int bytes = i2d_X509(made->certificate, &der);
    return span_of(keep(der), (size_t)bytes);
}

static struct authority *with_subject(const char *const *pairs, size_t count, int type)
{
    struct authority *made = authority_create(&(struct wanted){.cn = "x"}, NULL);
    X509_NAME *name = X509_NAME_new();
    for (size_t i = 0; i < count; i += 2)
        X509_NAME_add_entry_by_txt(name, pairs[i], type, (const unsigned char *)pairs[i + 1], -1, -1, 0);
    X509_set_subject_name(made->certificate, name);
    X509_sign(made->certificate, made->key, EVP_sha256());
    X509_NAME_free(name);
    return made;
}

static void add_cn(struct authority *made, int type, const char *bytes, int count)
{
    X509_NAME *name = X509_get_subject_name(made->certificate);
    X509_NAME_add_entry_by_NID(name, NID_commonName, type, (const unsigned char *)bytes, count, -1, 0);
    X509_sign(made->certificate, made->key, EVP_sha256());
}

Test(certificate, names_of_all_kinds)
{
    const char *pairs[] = {"C",    "DE", "O",      "Größe, \"Inc\"", "OU",  " edge ", "CN",
                           "#7+8", "CN", "second", "emailAddress",   "a@b", "UID",    "u<1>",
                           "DC",   "org"};
    struct authority *made = with_subject(pairs, sizeof pairs / sizeof pairs[0], MBSTRING_UTF8);
    struct certificate_names names;
    cr_assert(certificate_read(der_of(made), &names));
    cr_assert_str_eq(names.common_name, "#7+8");
    cr_assert_str_eq(names.subject, "DC=org,UID=u\\<1\\>,emailAddress=a@b,CN=second,CN=\\#7\\+8,OU=\\ edge\\ "
                                    ",O=Größe\\, \\\"Inc\\\",C=DE");
    cr_assert_eq(names.key, CERTIFICATE_KEY_EC_256);
    cr_assert_null(names.alternative);
    cr_assert(strlen(names.expires) == 10 && strncmp(names.expires, "20", 2) == 0);
    certificate_release(&names);
}

Test(certificate, an_unknown_attribute_and_sixteen_bit_characters)
{
    const char *pairs[] = {"1.2.3.4.5", "x"};
    struct authority *made = with_subject(pairs, 2, MBSTRING_UTF8);
    add_cn(made, V_ASN1_BMPSTRING, "\0K\0\xe4\0s\0e\x20\xac", 10);
    struct certificate_names names;
    cr_assert(certificate_read(der_of(made), &names));
    cr_assert_str_eq(names.common_name, "Käse€");
    cr_assert_str_eq(names.subject, "CN=Käse€,1.2.3.4.5=#0c0178");
    certificate_release(&names);
}

/* "admin\0.evil.example" is no "admin". */
Test(certificate, a_name_with_a_zero_byte_is_none)
{
    const char *pairs[] = {"O", "Evil"};
    struct authority *made = with_subject(pairs, 2, MBSTRING_UTF8);
    add_cn(made, V_ASN1_UTF8STRING, "admin\0.evil.example", 19);
    struct certificate_names names;
    cr_assert(certificate_read(der_of(made), &names));
    cr_assert_null(names.common_name);
    cr_assert(names.subject && strncmp(names.subject, "2.5.4.3=#0c13", 13) == 0, "%s", names.subject);
    certificate_release(&names);
}

Test(certificate, alternative_names_and_hosts)
{
    struct authority *made =
        authority_create(&(struct wanted){.cn = "ignored.example",
                                          .san = "URI:urn:dev:7,DNS:Broker.Example,DNS:*.fleet.example,IP:192.0.2.1",
                                          .key = MADE_RSA},
                         NULL);
    struct certificate_names names;
    cr_assert(certificate_read(der_of(made), &names));
    cr_assert_str_eq(names.alternative, "urn:dev:7");
    cr_assert_eq(names.dns_count, 2);
    cr_assert(names.key == CERTIFICATE_KEY_RSA && names.key_bits == 2048);
    cr_assert(certificate_is_for(&names, "broker.example"));
    cr_assert(certificate_is_for(&names, "a.fleet.example"));
    cr_assert_not(certificate_is_for(&names, "a.b.fleet.example"));
    cr_assert_not(certificate_is_for(&names, "fleet.example"));
    cr_assert_not(certificate_is_for(&names, ".fleet.example"));
    cr_assert_not(certificate_is_for(&names, "ignored.example"));
    certificate_release(&names);
}

Test(certificate, cut_and_changed_anywhere)
{
    struct authority *made = authority_create(&(struct wanted){.cn = "sensor", .san = "DNS:a.example,email:x@y.example"}, NULL);
    struct span der = der_of(made);
    for (size_t bytes = 0; bytes < der.bytes; bytes++) {
        uint8_t *cut = malloc(bytes + 1);
        memcpy(cut, der.data, bytes);
        struct certificate_names names;
        cr_assert_not(certificate_read(span_of(cut, bytes), &names));
        certificate_release(&names);
        free(cut);
    }
    uint8_t *changed = malloc(der.bytes);
    for (size_t i = 0; i < der.bytes; i++)
        for (int change = 0; change < 4; change++) {
            static const uint8_t values[] = {0x00, 0xFF, 0x80, 0x84};
            memcpy(changed, der.data, der.bytes);
            changed[i] = values[change];
            struct certificate_names names;
            certificate_read(span_of(changed, der.bytes), &names);
            certificate_release(&names);
        }
    free(changed);
}
