/* Our client against our server, in memory: what is verified, resumption, and a checker that keeps a handshake waiting. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/unit/tls/authority.h"
#include "tls/client.h"
#include "tls/ocsp.h"
#include "tls/certificate.h"
#include "tls/ocsp_response.h"

static struct authority *ca, *other_ca, *server, *client;

static void make_authorities(void)
{
    tls_library_start();
    ca = authority_create(&(struct wanted){.cn = "ringmq test CA", .is_ca = true}, NULL);
    other_ca = authority_create(&(struct wanted){.cn = "another CA", .is_ca = true}, NULL);
    server = authority_create(&(struct wanted){.cn = "localhost", .san = "DNS:broker.example,DNS:*.many.example,IP:127.0.0.1,IP:2001:db8::1"}, ca);
    client = authority_create(&(struct wanted){.cn = "sensor-7"}, ca);
}

TestSuite(client, .init = make_authorities);

struct link {
    struct filter *client, *server;
    enum filter_wants client_wants, server_wants;
    size_t piece; /* 0: whole */
    uint8_t up[1 << 16];
    size_t up_bytes;
};

/* Own bytes of `from` into `to`. True: something moved. */
static bool carry(struct link *link, struct filter *from, struct filter *to, enum filter_wants *wants)
{
    static uint8_t wire[1 << 17], room[1 << 16];
    size_t bytes = 0;
    for (bool more = true; more;) {
        struct filter_step step = from->verbs->send(from, span_of(NULL, 0), wire + bytes, 1024);
        bytes += step.output_bytes;
        more = step.to_send;
    }
    for (size_t at = 0; at < bytes && *wants != FILTER_FAILED && *wants != FILTER_ENDED;) {
        size_t now = link->piece && bytes - at > link->piece ? link->piece : bytes - at, used = 0;
        do {
            struct filter_step step = to->verbs->receive(to, wire + at + used, now - used, room, sizeof room);
            used += step.consumed;
            *wants = step.wants;
            if (step.output_bytes) memcpy(link->up + link->up_bytes, step.output, step.output_bytes);
            link->up_bytes += step.output_bytes;
        } while (*wants == FILTER_MORE || *wants == FILTER_LATER);
        at += now;
    }
    return bytes > 0;
}

static bool shake(struct link *link)
{
    for (int i = 0; i < 50; i++) {
        bool moved = carry(link, link->client, link->server, &link->server_wants);
        moved |= carry(link, link->server, link->client, &link->client_wants);
        if (!moved) break;
    }
    return link->client->verbs->is_open(link->client) && link->server->verbs->is_open(link->server);
}

static void link_end(struct link *link)
{
    link->client->verbs->release(link->client);
    link->server->verbs->release(link->server);
}

static struct tls_context *server_context(const struct tls_options *more)
{
    static struct tls_certificate certificate;
    char error[TLS_ERROR_BYTES] = "";
    struct tls_options options = more ? *more : (struct tls_options){.version_min = TLS_1_2, .version_max = TLS_1_3};
    certificate = (struct tls_certificate){.chain = file_of("server.pem", server->pem), .key = file_of("server.key", server->key_pem)};
    options.certificates = &certificate;
    options.certificates_count = 1;
    struct tls_context *context = tls_context_create(&options, error, sizeof error);
    cr_assert(context, "%s", error);
    return context;
}

static struct tls_context *client_context(enum tls_version version, const struct authority *trusted, bool certificate)
{
    char error[TLS_ERROR_BYTES] = "";
    struct tls_client_options options = {.version_min = version, .version_max = version, .insecure = trusted == NULL};
    if (trusted) options.ca = file_of("ca.pem", trusted->pem);
    if (certificate) options.certificate = (struct tls_certificate){.chain = file_of("c", client->pem), .key = file_of("k", client->key_pem)};
    struct tls_context *context = tls_client_context_create(&options, error, sizeof error);
    cr_assert(context, "%s", error);
    return context;
}

static const enum tls_version versions[] = {TLS_1_2, TLS_1_3};

Test(client, hosts_are_verified)
{
    static const struct {
        const char *host;
        bool other, insecure, fine;
    } cases[] = {{"broker.example", false, false, true}, {"BROKER.example", false, false, true}, {"a.many.example", false, false, true},
                 {"127.0.0.1", false, false, true},      {"2001:db8::1", false, false, true},    {"2001:db8:0::0:1", false, false, true},
                 {"localhost", false, false, false},     {"a.b.many.example", false, false, false}, {"many.example", false, false, false},
                 {"127.0.0.2", false, false, false},     {"::1", false, false, false},           {"evil.example", false, false, false},
                 {"broker.example.", false, false, false}, {"broker.example", true, false, false}, {"evil.example", true, true, true}};
    struct tls_context *serving = server_context(NULL);
    for (int v = 0; v < 2; v++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct tls_context *asking = client_context(versions[v], cases[i].insecure ? NULL : cases[i].other ? other_ca : ca, false);
            struct link link = {.client = tls_client_create(asking, cases[i].host, NULL), .server = tls_filter_create(serving)};
            link.piece = i;
            bool open = shake(&link);
            cr_assert_eq(open, cases[i].fine, "TLS %d, %s: %s", versions[v], cases[i].host, link.client->verbs->reason(link.client));
            if (!open) {
                cr_assert_not(link.client->verbs->is_open(link.client));
                cr_assert(strstr(link.client->verbs->reason(link.client), cases[i].other ? "unknown CA" : "another host"));
#ifndef RINGMQ_WOLFSSL_SYSTEM /* which has no way to send an alert of ours */
                cr_assert(strstr(link.server->verbs->reason(link.server), cases[i].other ? "unknown_ca" : "bad_certificate"),
                          "the server heard: %s", link.server->verbs->reason(link.server));
#endif
            }
            link_end(&link);
            tls_context_release(asking);
        }
    tls_context_release(serving);
}

Test(client, bytes_both_ways_and_an_orderly_end)
{
    struct tls_context *serving = server_context(NULL);
    for (int v = 0; v < 2; v++) {
        struct tls_context *asking = client_context(versions[v], ca, false);
        struct link link = {.client = tls_client_create(asking, "broker.example", NULL), .server = tls_filter_create(serving)};
        cr_assert(shake(&link));
        static uint8_t text[50000], wire[70000], room[65536];
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (uint8_t)(i * 13);
        for (int direction = 0; direction < 2; direction++) {
            struct filter *from = direction ? link.server : link.client, *to = direction ? link.client : link.server;
            struct filter_step step = from->verbs->send(from, span_of(text, sizeof text), wire, sizeof wire);
            size_t bytes = step.output_bytes, got = 0;
            cr_assert(step.consumed == sizeof text && bytes > sizeof text && !memmem(wire, bytes, text, 16));
            for (size_t at = 0; at < bytes || step.wants == FILTER_MORE;) {
                step = to->verbs->receive(to, wire + at, bytes - at, room, 5000);
                at += step.consumed;
                cr_assert(memcmp(room, text + got, step.output_bytes) == 0);
                got += step.output_bytes;
            }
            cr_assert_eq(got, sizeof text);
        }
        link.client->verbs->end(link.client);
        carry(&link, link.client, link.server, &link.server_wants);
        cr_assert_eq(link.server_wants, FILTER_ENDED);
        link_end(&link);
        tls_context_release(asking);
    }
    tls_context_release(serving);
}

Test(client, sessions_resume)
{
    struct tls_tickets *tickets = tls_tickets_create(3600);
    struct tls_options options = {.version_min = TLS_1_2, .version_max = TLS_1_3, .tickets = tickets};
    struct tls_context *serving = server_context(&options);
    for (int v = 0; v < 2; v++) {
        struct tls_context *asking = client_context(versions[v], ca, false);
        struct link first = {.client = tls_client_create(asking, "broker.example", NULL), .server = tls_filter_create(serving)};
        cr_assert(shake(&first));
        cr_assert_not(tls_filter_is_resumed(first.client));
        struct tls_session *session = tls_client_session(first.client);
        cr_assert(session, "TLS %d: no ticket", versions[v]);
        link_end(&first);
        for (int i = 0; i < 3; i++) { /* one session serves many */
            struct link again = {.client = tls_client_create(asking, "broker.example", session), .server = tls_filter_create(serving)};
            cr_assert(shake(&again), "%s", again.client->verbs->reason(again.client));
            cr_assert(tls_filter_is_resumed(again.client) && tls_filter_is_resumed(again.server), "TLS %d, %d", versions[v], i);
            link_end(&again);
        }
        if (versions[v] == TLS_1_2) { /* the library cannot go on with a full handshake there (tls/client.h) */
            tls_session_release(session);
            tls_context_release(asking);
            continue;
        }
        tls_tickets_rotate(tickets);
        tls_tickets_rotate(tickets); /* its key is gone: a full handshake */
        struct link full = {.client = tls_client_create(asking, "broker.example", session), .server = tls_filter_create(serving)};
        cr_assert(shake(&full), "TLS %d: %s, %s", versions[v], full.client->verbs->reason(full.client), full.server->verbs->reason(full.server));
        cr_assert_not(tls_filter_is_resumed(full.server));
        link_end(&full);
        tls_session_release(session);
        tls_context_release(asking);
    }
    tls_context_release(serving);
    tls_tickets_release(tickets);
}

/* ---- a checker ------------------------------------------------------------------------------------------------------- */

static struct {
    enum tls_check_state state;
    bool revoked;
    int begun, released, contexts;
    uint32_t chain;
    struct certificate_names *names;
} judge;

static struct tls_check *judge_begin(void *context, void *who, const struct span *chain, uint32_t count)
{
    cr_assert(context == &judge && who == &judge.begun);
    judge.begun++;
    judge.chain = count;
    cr_assert(chain[0].bytes > 100 && chain[0].data[0] == 0x30);
    return (struct tls_check *)&judge;
}
static enum tls_check_state judge_look(const struct tls_check *check) { return judge.state; }
static const char *judge_reason(const struct tls_check *check) { return "the judge says no"; }
static bool judge_revoked(const struct tls_check *check) { return judge.revoked; }
static void judge_release(struct tls_check *check, void *who) { judge.released++; }
static void judge_retain(void *context) { judge.contexts++; }
static void judge_let_go(void *context) { judge.contexts--; }
static const struct tls_checker checker = {judge_begin, judge_look, judge_reason, judge_revoked, judge_release, judge_retain, judge_let_go};

Test(client, a_handshake_waits_for_the_checker)
{
    struct tls_options options = {.version_min = TLS_1_2, .version_max = TLS_1_3, .ask_certificate = true, .require_certificate = true, .depth = 3,
                                  .checker = &checker, .checker_context = &judge};
    options.ca = file_of("ca.pem", ca->pem);
    for (int v = 0; v < 2; v++)
        for (int verdict = 0; verdict < 4; verdict++) { /* passed, refused, revoked, released while pending */
            memset(&judge, 0, sizeof judge);
            struct tls_context *serving = server_context(&options), *asking = client_context(versions[v], ca, true);
            struct link link = {.client = tls_client_create(asking, "broker.example", NULL), .server = tls_filter_create_for(serving, &judge.begun)};
            cr_assert_not(shake(&link));
            cr_assert(link.server_wants == FILTER_PARKED && judge.begun == 1 && judge.chain == 1, "TLS %d: %d", versions[v], link.server_wants);
            cr_assert_not(link.server->verbs->is_open(link.server));
            cr_assert_not(link.server->verbs->ready(link.server));
            if (versions[v] == TLS_1_2) cr_assert_not(link.client->verbs->is_open(link.client), "the last flight is held back");
            if (verdict < 3) {
                judge.state = verdict == 0 ? TLS_CHECK_PASSED : TLS_CHECK_REFUSED;
                judge.revoked = verdict == 2;
                uint8_t room[1024];
                cr_assert(link.server->verbs->ready(link.server));
                struct filter_step step = link.server->verbs->receive(link.server, room, 0, room, sizeof room);
                cr_assert_eq(step.wants, verdict == 0 ? FILTER_GOES_ON : FILTER_FAILED);
                cr_assert_eq(judge.released, 1);
                bool open = shake(&link);
                cr_assert_eq(open, verdict == 0);
                if (verdict) cr_assert_str_eq(link.server->verbs->reason(link.server), "the judge says no");
#ifndef RINGMQ_WOLFSSL_SYSTEM
                if (verdict == 2) cr_assert(strstr(link.client->verbs->reason(link.client), "certificate_revoked"), "%s", link.client->verbs->reason(link.client));
#endif
            }
            link_end(&link);
            cr_assert_eq(judge.released, 1);
            tls_context_release(asking);
            tls_context_release(serving);
            cr_assert_eq(judge.contexts, 0);
        }
}

/* ---- OCSP responses --------------------------------------------------------------------------------------------------- */

Test(client, ocsp_responses_are_read)
{
    struct span whole = authority_ocsp(ca, server);
    struct ocsp_response read;
    cr_assert(ocsp_response_read(whole, &read) && read.successful && !read.says_unknown);
    cr_assert(read.next_update_s == 0 || read.next_update_s > 1700000000);
    for (size_t bytes = 0; bytes < whole.bytes; bytes++) { /* cut anywhere: nothing read beyond, nothing believed of a stump of the head */
        uint8_t *stump = malloc(bytes + 1);
        memcpy(stump, whole.data, bytes);
        cr_assert_not(ocsp_response_read(span_of(stump, bytes), &read));
        free(stump);
    }
    static const uint8_t try_later[] = {0x30, 3, 0x0a, 1, 3};
    cr_assert(ocsp_response_read(span_of(try_later, 5), &read) && !read.successful);
}

static struct span canned;
static int posts;
static bool post(void *context, const char *url, struct span request, uint8_t **ret_response, size_t *ret_bytes)
{
    posts++;
    cr_assert_str_eq(url, "http://responder.example/");
    cr_assert(request.bytes > 50 && request.data[0] == 0x30);
    if (canned.bytes == 0) return false;
    *ret_response = memory_acquire(canned.bytes);
    memcpy(*ret_response, canned.data, canned.bytes);
    *ret_bytes = canned.bytes;
    return true;
}

Test(client, ocsp_answers_are_verified)
{
    struct tls_ocsp_transport transport = {post, NULL};
    uint32_t bytes = 0;
    uint8_t *der = tls_pem_certificate(span_of_string(client->pem), &bytes), *root = NULL;
    uint32_t root_bytes = 0;
    root = tls_pem_certificate(span_of_string(ca->pem), &root_bytes);
    struct span chain[2] = {span_of(der, bytes), span_of(root, root_bytes)}; /* a client may send the CA, too: nobody asks about that */
    struct tls_ocsp_question question = {span_of_string(ca->pem), chain, 2, "http://responder.example/"};
    int64_t until_s;
    canned = authority_ocsp(ca, client);
    cr_assert_eq(tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL), TLS_OCSP_GOOD);
    cr_assert_eq(posts, 1);
    canned = authority_ocsp(ca, server); /* about somebody else */
    cr_assert_neq(tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL), TLS_OCSP_GOOD);
    canned = authority_ocsp(other_ca, client); /* by somebody else */
    cr_assert_neq(tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL), TLS_OCSP_GOOD);
    canned = authority_ocsp(ca, client);
    uint8_t *changed = malloc(canned.bytes); /* no byte of it may be changed: at most it is no answer any more */
    for (size_t i = 0; i < canned.bytes; i += 3) {
        memcpy(changed, canned.data, canned.bytes);
        changed[i] ^= 0x10;
        struct span before = canned;
        canned = span_of(changed, before.bytes);
        enum tls_ocsp_answer answer = tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL);
        bool in_certificates = i > before.bytes / 2; /* what comes behind the signature: the responder's own certificate */
        cr_assert(answer != TLS_OCSP_GOOD || in_certificates, "byte %zu of %zu", i, before.bytes);
        canned = before;
    }
    free(changed);
    canned = span_of(NULL, 0);
    cr_assert_eq(tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL), TLS_OCSP_UNREACHABLE);
    question.responder = "";
    cr_assert_eq(tls_ocsp_ask(&question, &transport, &until_s, NULL, NULL), TLS_OCSP_NO_RESPONDER);
    memory_release(der);
    memory_release(root);
}
