/* Who the client is: certificates (mutual TLS), revocation, names, pre-shared keys. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/unit/tls/peer.h"

#define KEY_HEX "000102030405060708090a0b0c0d0e0f"

static struct authority *ca, *other_ca, *server;

static void make_authorities(void)
{
    tls_library_start();
    ca = authority_create(&(struct wanted){.cn = "ringmq test CA", .is_ca = true}, NULL);
    other_ca = authority_create(&(struct wanted){.cn = "another CA", .is_ca = true}, NULL);
    server = authority_create(&(struct wanted){.cn = "localhost", .san = "DNS:localhost"}, ca);
}

TestSuite(verify, .init = make_authorities);

static struct tls_options mutual(struct tls_certificate *certificate)
{
    *certificate =
        (struct tls_certificate){.chain = file_of("server.pem", server->pem), .key = file_of("server.key", server->key_pem)};
    return (struct tls_options){.certificates = certificate,
                                .certificates_count = 1,
                                .ca = file_of("ca.pem", ca->pem),
                                .ask_certificate = true,
                                .require_certificate = true,
                                .depth = 3,
                                .version_min = TLS_1_2,
                                .version_max = TLS_1_3};
}

static struct tls_context *context_of(const struct tls_options *options)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_context *context = tls_context_create(options, error, sizeof error);
    cr_assert(context, "%s", error);
    return context;
}

static void client_certificate(struct peer *peer, const struct authority *certificate, const struct authority *intermediate)
{
    if (!certificate) return;
    cr_assert(SSL_CTX_use_certificate(peer->library, certificate->certificate));
    cr_assert(SSL_CTX_use_PrivateKey(peer->library, certificate->key));
    if (intermediate) cr_assert(SSL_CTX_add1_chain_cert(peer->library, intermediate->certificate));
}

/* NULL: connected; else the reason. The facts stay in `facts` when it is given. */
static const char *try_client(struct tls_context *context, const struct authority *certificate,
                              const struct authority *intermediate, int version, char facts[FACT_COUNT][256])
{
    static char reason[256];
    struct peer *peer = peer_create(context);
    SSL_CTX_set_min_proto_version(peer->library, version);
    SSL_CTX_set_max_proto_version(peer->library, version);
    client_certificate(peer, certificate, intermediate);
    bool connected = peer_handshake(peer);
    if (facts)
        for (int i = 0; i < FACT_COUNT; i++) {
            struct span fact = peer->server->verbs->fact(peer->server, (enum filter_fact)i);
            snprintf(facts[i], 256, "%.*s", SPAN_PRINT(fact));
        }
    snprintf(reason, sizeof reason, "%s", peer->server->verbs->reason(peer->server));
    peer_release(peer);
    return connected ? NULL : reason;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

Test(verify, what_is_let_in_and_what_is_not)
{
    struct authority *good = authority_create(&(struct wanted){.cn = "sensor-7", .usage = "clientAuth"}, ca);
    struct authority *no_usage = authority_create(&(struct wanted){.cn = "sensor-8", .key = MADE_RSA}, ca);
    struct authority *edwards = authority_create(&(struct wanted){.cn = "sensor-9", .key = MADE_ED25519}, ca);
    struct authority *stranger = authority_create(&(struct wanted){.cn = "sensor-7"}, other_ca);
    struct authority *himself = authority_create(&(struct wanted){.cn = "sensor-7"}, NULL);
    struct authority *expired = authority_create(&(struct wanted){.cn = "sensor-7", .days = -2}, ca);
    struct authority *for_servers = authority_create(&(struct wanted){.cn = "sensor-7", .usage = "serverAuth"}, ca);
    struct authority *intermediate = authority_create(&(struct wanted){.cn = "line 1", .is_ca = true}, ca);
    struct authority *below = authority_create(&(struct wanted){.cn = "sensor-10"}, intermediate);
    struct authority *not_ca = authority_create(&(struct wanted){.cn = "sensor-11"}, good);
    const struct {
        const struct authority *certificate, *intermediate;
        const char *reason; /* NULL: let in */
    } rows[] = {{good, NULL, NULL},
                {no_usage, NULL, NULL},
                {edwards, NULL, NULL},
                {below, intermediate, NULL},
                {NULL, NULL, "no certificate"},
                {stranger, NULL, "unknown CA"},
                {himself, NULL, "unknown CA"},
                {expired, NULL, "expired"},
                {for_servers, NULL, "extended key usage"},
                {below, NULL, "unknown CA"},
                {not_ca, good, ""}};
    struct tls_certificate certificate;
    struct tls_options options = mutual(&certificate);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int v = 0; v < 2; v++) {
            struct tls_context *context =
                context_of(&options); /* a fresh one: the library remembers intermediates it has verified */
            const char *reason = try_client(context, rows[i].certificate, rows[i].intermediate, versions[v], NULL);
            cr_assert_eq(!reason, !rows[i].reason, "row %zu version %d: %s", i, v, reason ? reason : "let in");
            if (reason) cr_assert(strstr(reason, rows[i].reason), "row %zu version %d: %s", i, v, reason);
            tls_context_release(context);
        }
    options.require_certificate = false; /* may come without, but not with a wrong one */
    struct tls_context *context = context_of(&options);
    cr_assert_null(try_client(context, NULL, NULL, TLS1_3_VERSION, NULL));
    cr_assert_null(try_client(context, good, NULL, TLS1_3_VERSION, NULL));
    cr_assert_not_null(try_client(context, stranger, NULL, TLS1_3_VERSION, NULL));
    cr_assert_not_null(try_client(context, himself, NULL, TLS1_2_VERSION, NULL));
    tls_context_release(context);
}

Test(verify, depth_is_the_number_of_intermediates)
{
    struct authority *first = authority_create(&(struct wanted){.cn = "1", .is_ca = true}, ca);
    struct authority *leaf = authority_create(&(struct wanted){.cn = "leaf"}, first);
    struct authority *direct = authority_create(&(struct wanted){.cn = "direct"}, ca);
    struct tls_certificate certificate;
    struct tls_options options = mutual(&certificate);
    for (uint8_t depth = 0; depth < 2; depth++) {
        options.depth = depth;
        struct tls_context *context = context_of(&options);
        for (int v = 0; v < 2; v++) {
            cr_assert_null(try_client(context, direct, NULL, versions[v], NULL), "depth %d", depth);
            const char *reason = try_client(context, leaf, first, versions[v], NULL);
            cr_assert_eq(reason != NULL, depth == 0, "depth %d version %d: %s", depth, v, reason ? reason : "let in");
        }
        tls_context_release(context);
    }
}

Test(verify, revoked_certificates_stay_out)
{
    struct authority *good = authority_create(&(struct wanted){.cn = "good"}, ca),
                     *bad = authority_create(&(struct wanted){.cn = "bad"}, ca);
    struct authority *second_ca = authority_create(&(struct wanted){.cn = "second CA", .is_ca = true}, NULL);
    struct authority *elsewhere = authority_create(&(struct wanted){.cn = "elsewhere"}, second_ca);
    char *list = authority_revoke(ca, bad), *empty = authority_revoke(second_ca, NULL);
    struct tls_certificate certificate;
    struct tls_options options = mutual(&certificate);
    char *both = join(ca->pem, second_ca->pem), *lists = join(list, empty);
    options.ca = file_of("ca.pem", both);
    options.crl = file_of("crl.pem", lists);
    struct tls_context *context = context_of(&options);
    for (int v = 0; v < 2; v++) {
        cr_assert_null(try_client(context, good, NULL, versions[v], NULL));
        cr_assert_null(try_client(context, elsewhere, NULL, versions[v], NULL));
        cr_assert(strstr(try_client(context, bad, NULL, versions[v], NULL), "revoked (CRL)"));
    }
    tls_context_release(context);
    options.crl = file_of("crl.pem", list); /* and nothing from the second CA */
    context = context_of(&options);
    cr_assert(strstr(try_client(context, elsewhere, NULL, TLS1_3_VERSION, NULL), "no revocation list"));
    tls_context_release(context);
}

Test(verify, names_become_username_and_client_id)
{
    static const struct {
        enum tls_name which;
        const char *name;
    } rows[] = {{TLS_NAME_CN, "sensor-7"}, {TLS_NAME_DN, "CN=sensor-7,O=Example"}, {TLS_NAME_SAN, "device@example.org"}};
    struct authority *named =
        authority_create(&(struct wanted){.cn = "sensor-7", .san = "email:device@example.org,DNS:sensor-7.example"}, ca);
    struct authority *bare = authority_create(&(struct wanted){.cn = NULL}, ca);
    struct tls_certificate certificate;
    char facts[FACT_COUNT][256];
    struct tls_options options = mutual(&certificate);
    for (int v = 0; v < 2; v++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            options.username = rows[i].which;
            options.client_id = rows[i].which;
            struct tls_context *context = context_of(&options);
            cr_assert_null(try_client(context, named, NULL, versions[v], facts));
            cr_assert_str_eq(facts[FACT_USERNAME], rows[i].name);
            cr_assert_str_eq(facts[FACT_CLIENT_ID], rows[i].name);
            cr_assert_str_eq(facts[FACT_CERTIFICATE_CN], "sensor-7");
            cr_assert_str_eq(facts[FACT_CERTIFICATE_DN], "CN=sensor-7,O=Example");
            cr_assert_str_eq(facts[FACT_CERTIFICATE_SAN], "device@example.org");
            if (rows[i].which != TLS_NAME_DN) {
                struct peer *peer = peer_create(context); /* the handshake itself is sound: refused all the same */
                SSL_CTX_set_max_proto_version(peer->library, versions[v]);
                client_certificate(peer, bare, NULL);
                peer_handshake(peer);
                cr_assert_eq(peer->wants, FILTER_FAILED);
                cr_assert(strstr(peer->server->verbs->reason(peer->server), "lacks the name"));
                peer_release(peer);
            }
            tls_context_release(context);
        }
    options.username = TLS_NAME_FINGERPRINT;
    options.client_id = TLS_NAME_NONE;
    struct tls_context *context = context_of(&options);
    cr_assert_null(try_client(context, named, NULL, TLS1_3_VERSION, facts));
    unsigned char digest[32];
    unsigned bytes;
    char text[65];
    X509_digest(named->certificate, EVP_sha256(), digest, &bytes);
    for (int i = 0; i < 32; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
    cr_assert_str_eq(facts[FACT_USERNAME], text);
    cr_assert_str_eq(facts[FACT_CLIENT_ID], "");
    tls_context_release(context);
}

/* A certificate-identified client gets no ticket: what it was let in for would outlive a revocation. */
Test(verify, no_tickets_for_identified_clients)
{
    struct authority *good = authority_create(&(struct wanted){.cn = "good"}, ca);
    struct tls_certificate certificate;
    struct tls_options options = mutual(&certificate);
    options.tickets = tls_tickets_create(3600);
    struct tls_context *context = context_of(&options);
    for (int v = 0; v < 2; v++) {
        struct peer *peer = peer_create(context);
        char byte;
        SSL_CTX_set_max_proto_version(peer->library, versions[v]);
        client_certificate(peer, good, NULL);
        cr_assert(peer_handshake(peer));
        peer_server_says(peer, "x", 1);
        cr_assert_eq(peer_client_reads(peer, &byte, 1), 1);
        cr_assert_not(SSL_SESSION_has_ticket(SSL_get0_session(peer->ssl)));
        peer_release(peer);
    }
    tls_context_release(context);
    tls_tickets_release(options.tickets);
}

Test(verify, wrong_files_are_named)
{
    struct tls_certificate certificate;
    struct tls_options sound = mutual(&certificate), options;
    struct authority *locked = authority_create(&(struct wanted){.cn = "locked", .password = "secret"}, ca);
    char error[TLS_ERROR_BYTES];
    struct tls_certificate pair;
    struct tls_context *context;

    pair = certificate;
    options = sound;
    options.certificates = &pair;
    pair.chain = file_of("a.pem", "nothing");
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert_str_eq(error, "a.pem: there is no certificate (PEM) in it");
    pair.chain = file_of("a.pem", "");
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "a.pem: there is no certificate"));

    pair = certificate;
    pair.key = file_of("b.key", ca->key_pem);
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "b.key: ") && strstr(error, "server.pem"), "%s", error);
    pair.key = file_of("b.key", server->pem);
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert_str_eq(error, "b.key: there is no private key (PEM) in it");

    pair = (struct tls_certificate){.chain = file_of("locked.pem", locked->pem), .key = file_of("locked.key", locked->key_pem)};
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "locked.key: the key is encrypted; set the password"), "%s", error);
    pair.key_password = "wrong";
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "is the password right"), "%s", error);
    pair.key_password = "secret";
    context = tls_context_create(&options, error, sizeof error);
    cr_assert(context, "%s", error);
    char text[256];
    cr_assert(tls_context_describe(context, 0, text, sizeof text));
    cr_assert(strstr(text, "locked.pem") && strstr(text, "ecdsa-256") && strstr(text, "expires=20"), "%s", text);
    cr_assert_not(tls_context_describe(context, 1, text, sizeof text));
    tls_context_release(context);

    options = sound;
    options.ca = file_of("ca.pem", "garbage");
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "ca.pem: cannot use the CA"), "%s", error);
    options.ca = (struct tls_file){0};
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "CA file"), "%s", error);
    options = sound;
    options.crl = file_of("crl.pem", "garbage");
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "crl.pem: there is no revocation list"), "%s", error);
    options = sound;
    options.ciphers = "TLS_AES_128_GCM_SHA256:RC4-MD5";
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "no cipher \"RC4-MD5\""), "%s", error);
    options = sound;
    options.certificates_count = 0;
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "neither a certificate nor"), "%s", error);
}

/* ---- pre-shared keys ---------------------------------------------------------------------------------------------- */

static const char *client_identity;
static unsigned char client_key[16];

static unsigned int client_psk(SSL *ssl, const char *hint, char *identity, unsigned int identity_max, unsigned char *key,
                               unsigned int key_max)
{
    snprintf(identity, identity_max, "%s", client_identity);
    memcpy(key, client_key, sizeof client_key);
    return sizeof client_key;
}

static const char *try_psk(struct tls_context *context, const char *identity, bool right_key, int version, const char *ciphers,
                           char *username)
{
    static char reason[256];
    struct peer *peer = peer_create(context);
    SSL_CTX_set_min_proto_version(peer->library, version);
    SSL_CTX_set_max_proto_version(peer->library, version);
    client_identity = identity;
    for (size_t i = 0; i < sizeof client_key; i++)
        client_key[i] = (unsigned char)(right_key ? i : i + 1);
    SSL_CTX_set_psk_client_callback(peer->library, client_psk);
    if (ciphers) SSL_CTX_set_cipher_list(peer->library, ciphers);
    bool connected = peer_handshake(peer);
    struct span fact = peer->server->verbs->fact(peer->server, FACT_USERNAME);
    if (username) snprintf(username, 128, "%.*s", SPAN_PRINT(fact));
    if (connected) {
        char byte;
        SSL_write(peer->ssl, "x", 1);
        peer_pump(peer);
        cr_assert_eq(peer->received_bytes, 1);
        peer_server_says(peer, "y", 1);
        cr_assert_eq(peer_client_reads(peer, &byte, 1), 1);
    }
    snprintf(reason, sizeof reason, "%s", peer->server->verbs->reason(peer->server));
    peer_release(peer);
    return connected ? NULL : reason;
}

static struct tls_psk *keys(void)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_file file = file_of("keys", "device-1:" KEY_HEX "\ndevice-2:" KEY_HEX KEY_HEX "\n");
    struct tls_psk *psk = tls_psk_create(&file, error, sizeof error);
    cr_assert(psk, "%s", error);
    return psk;
}

Test(verify, pre_shared_keys_alone_and_beside_a_certificate)
{
    struct tls_certificate certificate;
    struct tls_options options = mutual(&certificate);
    options.ask_certificate = options.require_certificate = false;
    options.psk = keys();
    options.psk_username = true;
    for (uint32_t certificates = 0; certificates < 2; certificates++) {
        options.certificates_count = certificates;
        struct tls_context *context = context_of(&options);
        char username[128];
        for (int v = 0; v < 2; v++) {
            const char *reason = try_psk(context, "device-1", true, versions[v], "PSK", username);
            cr_assert_null(reason, "version %d: %s", v, reason);
            cr_assert_str_eq(username, "device-1");
            reason = try_psk(context, "device-1", false, versions[v], "PSK", username);
            cr_assert_not_null(reason);
            cr_assert_str_eq(username, "");
            reason = try_psk(context, "nobody", true, versions[v], "PSK", username);
            cr_assert_eq(reason == NULL, certificates == 1 && v == 1, "%s",
                         reason);           /* TLS 1.3 goes on with the certificate … */
            cr_assert_str_eq(username, ""); /* … as nobody */
        }
        tls_context_release(context);
    }
    options.certificates_count = 0;
    struct tls_context *context = context_of(&options);
    cr_assert_not_null(try_psk(context, "device-1", true, TLS1_2_VERSION, "PSK-AES128-GCM-SHA256",
                               NULL)); /* no forward secrecy: not by default */
    tls_context_release(context);
    options.ciphers = "PSK-AES128-GCM-SHA256";
    context = context_of(&options);
    cr_assert_null(try_psk(context, "device-1", true, TLS1_2_VERSION, "PSK-AES128-GCM-SHA256", NULL));
    tls_context_release(context);
    tls_psk_release(options.psk);
}

/* ---- OCSP stapling -------------------------------------------------------------------------------------------------- */

Test(verify, an_ocsp_response_is_stapled)
{
    struct authority *issuer = authority_create(&(struct wanted){.cn = "issuing CA", .is_ca = true}, ca);
    struct authority *leaf = authority_create(&(struct wanted){.cn = "localhost"}, issuer);
    struct span response = authority_ocsp(issuer, leaf);
    char *chain = join(leaf->pem, issuer->pem);
    struct tls_certificate certificate = {.chain = file_of("chain.pem", chain), .key = file_of("key", leaf->key_pem),
                                          .staple = {"staple.der", response}};
    struct tls_options options = {.certificates = &certificate, .certificates_count = 1, .version_min = TLS_1_2, .version_max = TLS_1_3};
    struct tls_context *context = context_of(&options);
    for (int v = 0; v < 2; v++)
        for (int again = 0; again < 2; again++) {
            struct peer *peer = peer_create(context);
            SSL_CTX_set_max_proto_version(peer->library, versions[v]);
            SSL_CTX_set_tlsext_status_type(peer->library, TLSEXT_STATUSTYPE_ocsp);
            cr_assert(peer_handshake(peer), "%s", peer->server->verbs->reason(peer->server));
            const unsigned char *stapled;
            long bytes = SSL_get_tlsext_status_ocsp_resp(peer->ssl, &stapled);
            cr_assert_eq(bytes, (long)response.bytes, "version %d: %ld bytes", v, bytes);
            cr_assert(memcmp(stapled, response.data, response.bytes) == 0);
            peer_release(peer);
        }
    tls_context_release(context);
    certificate.chain = file_of("leaf.pem", leaf->pem); /* nobody knows the CA */
    char error[TLS_ERROR_BYTES];
    cr_assert_null(tls_context_create(&options, error, sizeof error));
    cr_assert(strstr(error, "leaf.pem: to staple"), "%s", error);
}
