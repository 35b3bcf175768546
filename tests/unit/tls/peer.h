/* peer.h - OpenSSL as the client of a tls filter: both ends in memory, every byte in the test's hands. */
#ifndef RINGMQ_TESTS_TLS_PEER_H
#define RINGMQ_TESTS_TLS_PEER_H

#include <openssl/ssl.h>

#include "tests/unit/tls/authority.h"

struct peer {
    SSL_CTX *library;
    SSL *ssl;
    BIO *from_server, *to_server;
    struct filter *server;
    enum filter_wants wants; /* the server's last word */
    size_t cut;              /* the client's first bytes after reset go in two pieces, cut here; 0: whole */
    size_t piece;            /* all of the client's bytes go in pieces of so many; 0: whole */
    size_t sent;             /* bytes of the client so far */
    size_t room_bytes;       /* that the filter is given; 0: 64 KiB */
    uint32_t laters;
    uint8_t received[1 << 18]; /* plain, by the server */
    size_t received_bytes;
    int client_error; /* SSL_get_error of the last failure; 0: none */
};

/* A client that trusts everybody until told otherwise. */
struct peer *peer_create(struct tls_context *context);
void peer_release(struct peer *peer);
/* Moves bytes until nothing moves any more, and the client's handshake with them. True when both sides have
 * finished it. */
bool peer_handshake(struct peer *peer);
void peer_pump(struct peer *peer);
/* Raw bytes to the server, without OpenSSL. */
void peer_feed(struct peer *peer, const void *bytes, size_t count);
/* The server says this; what the client reads (all of it). */
void peer_server_says(struct peer *peer, const void *bytes, size_t count);
size_t peer_client_reads(struct peer *peer, void *room, size_t room_bytes);

#endif
