/* hello.h - looks at a client's first bytes before the library does: is it TLS at all, has its hello arrived whole,
 * whom does it want to talk to and what can it verify (RFC 8446 §4.1.2, §5.1; RFC 6066 §3).
 *
 * So a connection costs no library session before there is a hello, garbage gets a helpful reason, and the certificate is
 * chosen first.
 * What is wrong deep inside a hello is left to the library: the library's verdict is the one that counts. */
#ifndef RINGMQ_TLS_HELLO_H
#define RINGMQ_TLS_HELLO_H

#include "base/span.h"

enum hello_state { HELLO_INCOMPLETE, HELLO_COMPLETE, HELLO_WRONG };

/* Kinds of certificates the client can verify; bits. */
enum hello_verifies { HELLO_RSA = 1, HELLO_ECDSA_256 = 2, HELLO_ECDSA_384 = 4, HELLO_ECDSA_521 = 8, HELLO_ED25519 = 16 };
#define HELLO_ECDSA (HELLO_ECDSA_256 | HELLO_ECDSA_384 | HELLO_ECDSA_521)

struct hello {
    const char *reason;    /* HELLO_WRONG: a phrase */
    char server_name[256]; /* lower case; "": none, or none that is a host name */
    uint32_t verifies_1_3; /* if it comes to TLS 1.3; 0: it does not offer that */
    uint32_t verifies_1_2; /* if it comes to TLS 1.2: a cipher suite and a signature algorithm of it */
};

#define HELLO_BYTES_MAX   16384 /* of the message: post-quantum key shares and all */
#define HELLO_RECORDS_MAX 16    /* it may come in: nobody needs two */
/* What must be kept of a hello that has not arrived whole: with the headers of its records. */
#define HELLO_ROOM_BYTES  (HELLO_BYTES_MAX + 4 + 5 * HELLO_RECORDS_MAX)

enum hello_state hello_look(struct span bytes, struct hello *ret_hello);

/* How many of the bytes are whole TLS records. */
size_t records_whole(struct span bytes);

#endif
