/* The filter against OpenSSL: handshakes, data, the end; cut anywhere, and broken anywhere. */
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/unit/tls/peer.h"

static struct authority *ec, *rsa, *ed;

static void make_certificates(void)
{
    tls_library_start();
    ec = authority_create(&(struct wanted){.cn = "ec", .san = "DNS:ec.example,DNS:*.wild.example"}, NULL);
    rsa = authority_create(&(struct wanted){.cn = "rsa.example", .key = MADE_RSA}, NULL);
    ed = authority_create(&(struct wanted){.cn = "ed", .san = "DNS:ed.example", .key = MADE_ED25519}, NULL);
}

static struct tls_certificate certificate_of(const struct authority *made)
{
    return (struct tls_certificate){.chain = file_of("server.pem", made->pem), .key = file_of("server.key", made->key_pem)};
}

static struct tls_options options_of(struct tls_certificate *certificates, uint32_t count)
{
    return (struct tls_options){.certificates = certificates,
                                .certificates_count = count,
                                .depth = 3,
                                .version_min = TLS_1_2,
                                .version_max = TLS_1_3,
                                .alpn = "mqtt"};
}

static struct tls_context *context_of(const struct tls_options *options)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_context *context = tls_context_create(options, error, sizeof error);
    cr_assert(context, "%s", error);
    return context;
}

static struct tls_context *simple_context(const struct authority *made)
{
    struct tls_certificate certificate = certificate_of(made);
    struct tls_options options = options_of(&certificate, 1);
    return context_of(&options);
}

static void echo(struct peer *peer, size_t bytes)
{
    uint8_t *sent = malloc(bytes), *back = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        sent[i] = (uint8_t)(i * 31 + i / 251);
    size_t before = peer->received_bytes;
    cr_assert_eq(SSL_write(peer->ssl, sent, (int)bytes), (int)bytes);
    peer_pump(peer);
    cr_assert_eq(peer->received_bytes - before, bytes);
    cr_assert(memcmp(peer->received + before, sent, bytes) == 0);
    peer_server_says(peer, sent, bytes);
    cr_assert_eq(peer_client_reads(peer, back, bytes), bytes);
    cr_assert(memcmp(back, sent, bytes) == 0);
    free(sent);
    free(back);
}

static const char *reason_of(const struct peer *peer)
{
    return peer->server->verbs->reason(peer->server);
}

static const char *fact_of(const struct peer *peer, enum filter_fact fact)
{
    static char text[4][512];
    static int next;
    struct span found = peer->server->verbs->fact(peer->server, fact);
    char *room = text[next++ % 4];
    snprintf(room, sizeof text[0], "%.*s", SPAN_PRINT(found));
    return room;
}

TestSuite(filter, .init = make_certificates);

Test(filter, every_version_and_key_carries_data)
{
    const struct authority *made[] = {ec, rsa, ed};
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 3; i++)
        for (int v = 0; v < 2; v++) {
            struct tls_context *context = simple_context(made[i]);
            struct peer *peer = peer_create(context);
            SSL_CTX_set_min_proto_version(peer->library, versions[v]);
            SSL_CTX_set_max_proto_version(peer->library, versions[v]);
            cr_assert(peer_handshake(peer), "key %d version %d: %s", i, v, reason_of(peer));
            echo(peer, 1);
            echo(peer, 100);
            echo(peer, 60000);
            cr_assert_str_eq(fact_of(peer, FACT_TLS_VERSION), v ? "TLSv1.3" : "TLSv1.2");
            peer_release(peer);
            tls_context_release(context);
        }
}

Test(filter, a_byte_at_a_time_and_a_byte_of_room)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++) {
        struct peer *peer = peer_create(context);
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        peer->piece = 1;
        peer->room_bytes = 1;
        cr_assert(peer_handshake(peer), "%s", reason_of(peer));
        echo(peer, 3000);
        peer_release(peer);
    }
    tls_context_release(context);
}

Test(filter, cut_anywhere, .timeout = 120)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++)
        for (size_t cut = 1;; cut++) {
            struct peer *peer = peer_create(context);
            SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
            peer->cut = cut;
            cr_assert(peer_handshake(peer), "cut at %zu: %s", cut, reason_of(peer));
            echo(peer, 40);
            bool over = peer->sent < cut;
            peer_release(peer);
            if (over) break;
        }
    tls_context_release(context);
}

Test(filter, expensive_steps_ask_for_their_turn)
{
    struct tls_context *context = simple_context(ec);
    struct peer *peer = peer_create(context);
    cr_assert(peer_handshake(peer));
    cr_assert_eq(peer->laters, 1); /* TLS 1.3: the signature; the client's Finished is cheap */
    peer_release(peer);
    peer = peer_create(context);
    SSL_CTX_set_max_proto_version(peer->library, TLS1_2_VERSION);
    cr_assert(peer_handshake(peer));
    cr_assert_eq(peer->laters, 2); /* TLS 1.2: the key exchange comes in a second flight */
    peer_release(peer);
    tls_context_release(context);
}

Test(filter, hello_retry_request)
{
    struct tls_context *context = simple_context(ec);
    struct peer *peer = peer_create(context);
    SSL_CTX_set1_groups_list(peer->library, "ffdhe2048:P-384"); /* its key share is of a group we don't have */
    cr_assert(peer_handshake(peer), "%s", reason_of(peer));
    cr_assert_eq(peer->laters, 2);
    echo(peer, 100);
    peer_release(peer);
    tls_context_release(context);
}

Test(filter, the_certificate_is_chosen_by_name_and_by_what_the_client_knows)
{
    struct tls_certificate certificates[] = {certificate_of(rsa), certificate_of(ec), certificate_of(ed)};
    struct tls_options options = options_of(certificates, 3);
    struct tls_context *context = context_of(&options);
    static const struct {
        const char *name, *algorithms;
        int version;
        const char *cn;
    } rows[] = {{"ec.example", NULL, TLS1_3_VERSION, "ec"},
                {"EC.Example", NULL, TLS1_2_VERSION, "ec"},
                {"a.wild.example", NULL, TLS1_3_VERSION, "ec"},
                {"a.b.wild.example", NULL, TLS1_3_VERSION, "rsa.example"},
                {"ed.example", NULL, TLS1_3_VERSION, "ed"},
                {"rsa.example", NULL, TLS1_3_VERSION, "rsa.example"},
                {"elsewhere", NULL, TLS1_3_VERSION, "rsa.example"},
                {NULL, NULL, TLS1_3_VERSION, "rsa.example"},
                {NULL, "ECDSA+SHA256", TLS1_3_VERSION, "ec"},
                {NULL, "ECDSA+SHA256", TLS1_2_VERSION, "ec"},
                {"rsa.example", "ECDSA+SHA256:RSA-PSS+SHA256", TLS1_2_VERSION, "rsa.example"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer *peer = peer_create(context);
        SSL_CTX_set_max_proto_version(peer->library, rows[i].version);
        if (rows[i].algorithms) SSL_CTX_set1_sigalgs_list(peer->library, rows[i].algorithms);
        peer->ssl = SSL_new(peer->library);
        SSL_set_bio(peer->ssl, peer->from_server, peer->to_server);
        SSL_set_connect_state(peer->ssl);
        if (rows[i].name) SSL_set_tlsext_host_name(peer->ssl, rows[i].name);
        cr_assert(peer_handshake(peer), "row %zu: %s", i, reason_of(peer));
        char cn[64] = "";
        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(peer->ssl)), NID_commonName, cn, sizeof cn);
        cr_assert_str_eq(cn, rows[i].cn, "row %zu: %s", i, cn);
        if (rows[i].name) cr_assert(strcasecmp(fact_of(peer, FACT_SERVER_NAME), rows[i].name) == 0);
        peer_release(peer);
    }
    tls_context_release(context);
}

Test(filter, alpn)
{
    struct tls_context *context = simple_context(ec);
    static const unsigned char ours[] = "\x04http\x04mqtt", theirs[] = "\x02h2\x08http/1.1";
    for (int v = 0; v < 2; v++) {
        struct peer *peer = peer_create(context);
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        SSL_CTX_set_alpn_protos(peer->library, ours, sizeof ours - 1);
        cr_assert(peer_handshake(peer), "%s", reason_of(peer));
        const unsigned char *chosen;
        unsigned bytes;
        SSL_get0_alpn_selected(peer->ssl, &chosen, &bytes);
        cr_assert(bytes == 4 && memcmp(chosen, "mqtt", 4) == 0);
        peer_release(peer);
        peer = peer_create(context);
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        SSL_CTX_set_alpn_protos(peer->library, theirs, sizeof theirs - 1);
        cr_assert_not(peer_handshake(peer));
        cr_assert(strstr(reason_of(peer), "ALPN"), "%s", reason_of(peer));
        cr_assert_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        peer_release(peer);
    }
    tls_context_release(context);
}

Test(filter, versions_and_ciphers_are_limited)
{
    struct tls_certificate certificates[] = {certificate_of(ec), certificate_of(rsa)};
    struct tls_options options = options_of(certificates, 2);
    struct tls_context *both = context_of(&options);
    options.version_min = TLS_1_3;
    struct tls_context *newest = context_of(&options);
    options.version_min = options.version_max = TLS_1_2;
    struct tls_context *older = context_of(&options);
    options.version_max = TLS_1_3;
    options.ciphers = "TLS_CHACHA20_POLY1305_SHA256:ECDHE-ECDSA-AES256-GCM-SHA384";
    struct tls_context *named = context_of(&options);
    const struct {
        struct tls_context *context;
        int version;
        const char *ciphers; /* TLS 1.2 */
        bool works;
        const char *cipher;
    } rows[] = {{both, TLS1_1_VERSION, "ALL:@SECLEVEL=0", false, NULL},
                {both, TLS1_VERSION, "ALL:@SECLEVEL=0", false, NULL},
                {both, TLS1_3_VERSION, NULL, true, "TLS_AES_128_GCM_SHA256"},
                {both, TLS1_2_VERSION, NULL, true, "ECDHE-ECDSA-AES128-GCM-SHA256"},
                {newest, TLS1_2_VERSION, NULL, false, NULL},
                {newest, TLS1_3_VERSION, NULL, true, NULL},
                {older, TLS1_3_VERSION, NULL, false, NULL},
                {older, TLS1_2_VERSION, NULL, true, NULL},
                {named, TLS1_3_VERSION, NULL, true, "TLS_CHACHA20_POLY1305_SHA256"},
                {named, TLS1_2_VERSION, NULL, true, "ECDHE-ECDSA-AES256-GCM-SHA384"},
                {named, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false, NULL},
                {both, TLS1_2_VERSION, "AES128-SHA:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "AES128-GCM-SHA256:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "aNULL:eNULL:@SECLEVEL=0", false, NULL},
                {both, TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305", true, "ECDHE-RSA-CHACHA20-POLY1305"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer *peer = peer_create(rows[i].context);
        SSL_CTX_set_min_proto_version(peer->library, rows[i].version);
        SSL_CTX_set_max_proto_version(peer->library, rows[i].version);
        if (rows[i].ciphers) SSL_CTX_set_cipher_list(peer->library, rows[i].ciphers);
        bool works = peer_handshake(peer);
        cr_assert_eq(works, rows[i].works, "row %zu: %s", i, reason_of(peer));
        if (!works) cr_assert(strlen(reason_of(peer)) > 8 && peer->client_error, "row %zu: %s", i, reason_of(peer));
        if (rows[i].cipher) cr_assert_str_eq(SSL_get_cipher(peer->ssl), rows[i].cipher);
        peer_release(peer);
    }
    struct tls_context *all[] = {both, newest, older, named};
    for (int i = 0; i < 4; i++)
        tls_context_release(all[i]);
}

Test(filter, the_end_is_said_both_ways)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++) {
        struct peer *peer = peer_create(context);
        char byte;
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        cr_assert(peer_handshake(peer));
        peer->server->verbs->end(peer->server); /* we first */
        uint8_t room[100];
        struct filter_step step = peer->server->verbs->send(peer->server, span_of(NULL, 0), room, sizeof room);
        cr_assert(step.output_bytes > 0 && !step.to_send);
        BIO_write(peer->from_server, room, (int)step.output_bytes);
        cr_assert_eq(SSL_read(peer->ssl, &byte, 1), 0);
        cr_assert_eq(SSL_get_shutdown(peer->ssl), SSL_RECEIVED_SHUTDOWN);
        peer_release(peer);

        peer = peer_create(context); /* the client first */
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        cr_assert(peer_handshake(peer));
        SSL_write(peer->ssl, "last words", 10);
        SSL_shutdown(peer->ssl);
        peer_pump(peer);
        cr_assert_eq(peer->wants, FILTER_ENDED);
        cr_assert_eq(peer->received_bytes, 10);
        peer->server->verbs->end(peer->server);
        step = peer->server->verbs->send(peer->server, span_of(NULL, 0), room, sizeof room);
        BIO_write(peer->from_server, room, (int)step.output_bytes);
        cr_assert_eq(SSL_shutdown(peer->ssl), 1);
        peer_release(peer);
    }
    tls_context_release(context);
}

Test(filter, garbage_gets_a_reason_and_an_alert)
{
    struct tls_context *context = simple_context(ec);
    static const struct {
        const char *bytes;
        size_t count;
        const char *reason;
    } rows[] = {{"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00", 14, "MQTT CONNECT without TLS"},
                {"GET / HTTP/1.1\r\n", 16, "HTTP request without TLS"},
                {"\x80\x2e\x01\x00\x02", 5, "SSL 2.0"},
                {"\x16\x02\x00\x00\x05hello", 10, "unknown version"},
                {"\x16\x03\x01\xff\xff", 5, "forbidden length"},
                {"\x16\x03\x01\x00\x00", 5, "forbidden length"},
                {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, "does not begin"},
                {"\x16\x03\x01\x00\x04\x01\x40\x01\x00", 9, "too large"},
                {"\x17\x03\x03\x00\x04____", 9, "not TLS"},
                {"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, ""}, /* a hello with nothing in it: the library's words */
                {"\xff\xff\xff\xff", 4, "not TLS"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct peer *peer = peer_create(context);
        peer_feed(peer, rows[i].bytes, rows[i].count);
        cr_assert_eq(peer->wants, FILTER_FAILED, "row %zu", i);
        cr_assert(strstr(reason_of(peer), rows[i].reason) && reason_of(peer)[0], "row %zu: %s", i, reason_of(peer));
        uint8_t alert[7];
        cr_assert(BIO_read(peer->from_server, alert, 7) == 7 && alert[0] == 21 && alert[5] == 2, "row %zu", i);
        cr_assert_not(peer->server->verbs->is_open(peer->server));
        peer->server->verbs->end(peer->server);
        peer_release(peer);
    }
    tls_context_release(context);
}

/* The hello and the Finished of a real client with each byte changed in turn: an answer, never a crash, never
 * an open connection when it mattered. */
Test(filter, each_byte_of_a_hello_changed, .timeout = 120)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++) {
        struct peer *model = peer_create(context);
        SSL_CTX_set_max_proto_version(model->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        model->ssl = SSL_new(model->library);
        SSL_set_bio(model->ssl, model->from_server, model->to_server);
        SSL_set_connect_state(model->ssl);
        SSL_do_handshake(model->ssl);
        char *data;
        size_t bytes = (size_t)BIO_get_mem_data(model->to_server, &data);
        for (size_t i = 0; i < bytes; i++)
            for (int change = 0; change < 3; change++) {
                uint8_t *copy = memory_acquire(bytes);
                memcpy(copy, data, bytes);
                copy[i] = (uint8_t)(change == 0 ? 0 : change == 1 ? 0xFF : copy[i] ^ 0x20);
                struct peer *peer = peer_create(context);
                peer_feed(peer, copy, bytes);
                cr_assert_not(peer->server->verbs->is_open(peer->server));
                if (peer->wants == FILTER_FAILED) cr_assert(reason_of(peer)[0]);
                peer_release(peer);
                memory_release(copy);
            }
        peer_release(model);
    }
    tls_context_release(context);
}

Test(filter, each_byte_of_a_record_changed)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++)
        for (size_t i = 0;; i++) {
            struct peer *peer = peer_create(context);
            SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
            cr_assert(peer_handshake(peer));
            SSL_write(peer->ssl, "hello", 5);
            char *data;
            size_t bytes = (size_t)BIO_get_mem_data(peer->to_server, &data);
            bool over = i >= bytes;
            if (!over) {
                data[i] ^= 1;
                peer_pump(peer);
                cr_assert(peer->received_bytes == 0 && (peer->wants == FILTER_FAILED || peer->wants == FILTER_GOES_ON));
                if (i >= 5) cr_assert(peer->wants == FILTER_FAILED && reason_of(peer)[0]);
            }
            peer_release(peer);
            if (over) break;
        }
    tls_context_release(context);
}

Test(filter, renegotiation_is_refused)
{
    struct tls_context *context = simple_context(ec);
    struct peer *peer = peer_create(context);
    SSL_CTX_set_max_proto_version(peer->library, TLS1_2_VERSION);
    SSL_CTX_set_options(peer->library, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
    cr_assert(peer_handshake(peer));
    echo(peer, 10);
    SSL_renegotiate(peer->ssl);
    SSL_do_handshake(peer->ssl);
    peer_pump(peer);
    cr_assert_eq(peer->wants, FILTER_FAILED);
    cr_assert(strstr(reason_of(peer), "renegotiation"), "%s", reason_of(peer));
    peer_release(peer);
    tls_context_release(context);
}

Test(filter, the_clients_alert_is_in_the_reason)
{
    struct tls_context *context = simple_context(ec);
    for (int v = 0; v < 2; v++) {
        struct peer *peer = peer_create(context);
        SSL_CTX_set_max_proto_version(peer->library, v ? TLS1_3_VERSION : TLS1_2_VERSION);
        SSL_CTX_set_verify(peer->library, SSL_VERIFY_PEER, NULL); /* and knows no CA */
        cr_assert_not(peer_handshake(peer));
        cr_assert_eq(peer->wants, FILTER_FAILED);
        cr_assert(strstr(reason_of(peer), "unknown_ca"), "%s", reason_of(peer));
        peer_release(peer);
    }
    tls_context_release(context);
}

Test(filter, key_updates_are_answered_and_bounded)
{
    struct tls_context *context = simple_context(ec);
    struct peer *peer = peer_create(context);
    cr_assert(peer_handshake(peer));
    for (int i = 0; i < 10; i++) {
        cr_assert(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED));
        echo(peer, 100);
    }
    peer_release(peer);
    tls_context_release(context);
}

Test(filter, tickets_resume_on_another_context_until_they_are_old)
{
    struct tls_tickets *tickets = tls_tickets_create(3600);
    struct tls_certificate certificate = certificate_of(ec);
    struct tls_options options = options_of(&certificate, 1);
    options.tickets = tickets;
    for (int v = 0; v < 2; v++) {
        struct tls_context *first = context_of(&options), *second = context_of(&options);
        struct peer *peer = peer_create(first);
        int version = v ? TLS1_3_VERSION : TLS1_2_VERSION;
        SSL_CTX_set_max_proto_version(peer->library, version);
        cr_assert(peer_handshake(peer));
        echo(peer, 10); /* reads the ticket */
        SSL_SESSION *session = SSL_get1_session(peer->ssl);
        cr_assert(SSL_SESSION_has_ticket(session));
        cr_assert_eq(SSL_SESSION_get_ticket_lifetime_hint(session), 3600);
        cr_assert_not(tls_filter_is_resumed(peer->server));
        peer_release(peer);
        for (int rotations = 0; rotations < 3; rotations++) {
            peer = peer_create(second);
            SSL_CTX_set_max_proto_version(peer->library, version);
            peer->ssl = SSL_new(peer->library);
            SSL_set_bio(peer->ssl, peer->from_server, peer->to_server);
            SSL_set_connect_state(peer->ssl);
            SSL_set_session(peer->ssl, session);
            cr_assert(peer_handshake(peer), "%s", reason_of(peer));
            cr_assert_eq(SSL_session_reused(peer->ssl), rotations < 2, "version %d, %d rotations", v, rotations);
            cr_assert_eq(tls_filter_is_resumed(peer->server), rotations < 2);
            echo(peer, 1000);
            peer_release(peer);
            tls_tickets_rotate(tickets);
        }
        SSL_SESSION_free(session);
        tls_context_release(first);
        tls_context_release(second);
    }
    tls_tickets_release(tickets);
}

Test(filter, a_reload_changes_the_certificate_and_drops_nobody)
{
    struct tls_slot *slot = tls_slot_create(simple_context(ec));
    struct tls_context *taken = tls_slot_take(slot);
    struct peer *old = peer_create(taken);
    tls_context_release(taken);
    cr_assert(peer_handshake(old));
    tls_slot_set(slot, simple_context(rsa));
    taken = tls_slot_take(slot);
    struct peer *new = peer_create(taken);
    tls_context_release(taken);
    cr_assert(peer_handshake(new));
    echo(old, 1000);
    echo(new, 1000);
    cr_assert_eq(EVP_PKEY_id(X509_get0_pubkey(SSL_get0_peer_certificate(new->ssl))), EVP_PKEY_RSA);
    tls_slot_release(slot);
    echo(old, 1000);
    peer_release(old);
    peer_release(new);
}

/* ---- the library has nothing to give ------------------------------------------------------------------------------- */

/* Of wolfSSL, whose headers stay in tls/. */
int wolfSSL_SetAllocators(void *(*acquire)(size_t), void (*release)(void *), void *(*resize)(void *, size_t));

static void *acquire_nothing(size_t bytes) { return NULL; }
static void *resize_nothing(void *old, size_t bytes) { return NULL; }

Test(filter, a_session_that_cannot_be_made_ends_the_connection_and_nothing_else)
{
    struct tls_context *context = simple_context(ec);
    struct peer *peer = peer_create(context);
    cr_assert_eq(wolfSSL_SetAllocators(acquire_nothing, free, resize_nothing), 0);
    cr_assert_not(peer_handshake(peer));
    cr_assert_eq(peer->wants, FILTER_FAILED);
    cr_assert(strstr(peer->server->verbs->reason(peer->server), "could not make a session"), "%s", peer->server->verbs->reason(peer->server));
    cr_assert_eq(peer->client_error, SSL_ERROR_SSL, "the client is told by an alert");
    cr_assert_eq(wolfSSL_SetAllocators(malloc, free, realloc), 0);
    peer_release(peer);
    peer = peer_create(context);
    cr_assert(peer_handshake(peer), "the next one is well");
    peer_release(peer);
    tls_context_release(context);
}
