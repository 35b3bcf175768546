#include "tests/unit/tls/peer.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "base/check.h"

struct peer *peer_create(struct tls_context *context)
{
    struct peer *peer = calloc(1, sizeof *peer);
    peer->library = SSL_CTX_new(TLS_client_method());
    peer->from_server = BIO_new(BIO_s_mem());
    peer->to_server = BIO_new(BIO_s_mem());
    peer->server = tls_filter_create(context);
    return peer;
}

/* The library's settings are copied into a connection when it is made: late, so that a test may change them.
 */
static SSL *client(struct peer *peer)
{
    if (peer->ssl) return peer->ssl;
    peer->ssl = SSL_new(peer->library);
    SSL_set_bio(peer->ssl, peer->from_server, peer->to_server);
    SSL_set_connect_state(peer->ssl);
    return peer->ssl;
}

void peer_release(struct peer *peer)
{
    if (peer->ssl) {
        SSL_set_shutdown(peer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session is not used again */
        SSL_free(peer->ssl);
    } else {
        BIO_free(peer->from_server);
        BIO_free(peer->to_server);
    }
    SSL_CTX_free(peer->library);
    peer->server->verbs->release(peer->server);
    free(peer);
}

static void server_own_bytes(struct peer *peer)
{
    static uint8_t room[4096];
    for (bool more = true; more;) {
        struct filter_step step = peer->server->verbs->send(peer->server, span_of(NULL, 0), room, sizeof room);
        if (step.output_bytes) BIO_write(peer->from_server, step.output, (int)step.output_bytes);
        more = step.to_send;
    }
}

/* One delivery, as the engine makes it. */
static void deliver(struct peer *peer, const uint8_t *bytes, size_t count)
{
    static uint8_t room[65536];
    uint8_t *copy = malloc(count + 1), *at = copy; /* of the exact size: reading past it is seen */
    memcpy(copy, bytes, count);
    peer->sent += count;
    for (;;) {
        if (peer->wants == FILTER_FAILED || peer->wants == FILTER_ENDED) break;
        struct filter_step step =
            peer->server->verbs->receive(peer->server, at, count, room, peer->room_bytes ? peer->room_bytes : sizeof room);
        peer->wants = step.wants;
        CHECK(step.consumed <= count);
        at += step.consumed;
        count -= step.consumed;
        CHECK(peer->received_bytes + step.output_bytes <= sizeof peer->received);
        if (step.output_bytes) memcpy(peer->received + peer->received_bytes, step.output, step.output_bytes);
        peer->received_bytes += step.output_bytes;
        if (step.to_send) server_own_bytes(peer);
        if (step.wants == FILTER_LATER) {
            CHECK(!peer->server->verbs->is_open(peer->server));
            peer->laters++;
            continue;
        }
        if (step.wants == FILTER_MORE) continue;
        if (step.wants == FILTER_GOES_ON) CHECK(count == 0);
        break;
    }
    free(copy);
}

void peer_feed(struct peer *peer, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    while (count) {
        size_t now = count;
        if (peer->piece && now > peer->piece) now = peer->piece;
        if (peer->cut && peer->sent < peer->cut && peer->sent + now > peer->cut) now = peer->cut - peer->sent;
        deliver(peer, at, now);
        at += now;
        count -= now;
    }
}

static bool client_to_server(struct peer *peer)
{
    char *data;
    long bytes = BIO_get_mem_data(peer->to_server, &data);
    if (bytes <= 0) return false;
    uint8_t *copy = malloc((size_t)bytes);
    memcpy(copy, data, (size_t)bytes);
    (void)BIO_reset(peer->to_server);
    peer_feed(peer, copy, (size_t)bytes);
    free(copy);
    return true;
}

bool peer_handshake(struct peer *peer)
{
    SSL *ssl = client(peer);
    for (int round = 0; round < 50; round++) {
        ERR_clear_error();
        int done = SSL_do_handshake(ssl);
        if (done != 1) {
            int error = SSL_get_error(ssl, done);
            if (error != SSL_ERROR_WANT_READ) peer->client_error = error;
        }
        bool moved = client_to_server(peer);
        if (!moved && (done == 1 || peer->client_error || BIO_pending(peer->from_server) == 0)) break;
        if (peer->client_error) break;
    }
    return SSL_is_init_finished(ssl) && peer->server->verbs->is_open(peer->server);
}

void peer_pump(struct peer *peer)
{
    while (client_to_server(peer)) {
    }
}

void peer_server_says(struct peer *peer, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    while (count) { /* as the engine does it: 16 KiB at a time */
        size_t now = count < 16384 ? count : 16384, room_bytes = peer->server->verbs->send_bytes_max(peer->server, now);
        uint8_t *room = malloc(room_bytes);
        struct filter_step step = peer->server->verbs->send(peer->server, span_of(at, now), room, room_bytes);
        CHECK(step.consumed == now && step.output_bytes <= room_bytes);
        BIO_write(peer->from_server, room, (int)step.output_bytes);
        free(room);
        at += now;
        count -= now;
    }
}

size_t peer_client_reads(struct peer *peer, void *room, size_t room_bytes)
{
    size_t bytes = 0;
    while (bytes < room_bytes) {
        int got = SSL_read(peer->ssl, (uint8_t *)room + bytes, (int)(room_bytes - bytes));
        if (got <= 0) {
            int error = SSL_get_error(peer->ssl, got);
            if (error != SSL_ERROR_WANT_READ) peer->client_error = error;
            break;
        }
        bytes += (size_t)got;
    }
    return bytes;
}
