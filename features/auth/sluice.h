/* sluice.h - between a client library and its server: the library reads what it was let have, no more, however fast the server is.
 *
 * For libraries that read until nothing is there and keep it all (libpq's PQconsumeInput(): a message announced as 100 MB makes a buffer of that size, and one
 * call fills it from a server that is quick enough). The library's descriptor becomes one end of a pair of sockets; at the other end the bytes are counted.
 * What they mean is not looked at, so that TLS is as good as none.
 *
 * Owner: the embedding; closed by sluice_close(). Threads: one at a time. */
#ifndef RINGMQ_FEATURES_AUTH_SLUICE_H
#define RINGMQ_FEATURES_AUTH_SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLUICE_STEP_BYTES 16384 /* as many at once, each way */

struct sluice_way {
    size_t bytes, sent; /* of `data`: read, but not all written */
    char data[SLUICE_STEP_BYTES];
};

struct sluice {
    int server;         /* the way to the server; -1: not open, the library's descriptor is its own */
    int inside;         /* our end of the pair */
    uint64_t left_bytes; /* so many more, and it is too much; 0: it was */
    struct sluice_way in, out;
};

/* Not open: sluice_wait() then only polls. */
void sluice_init(struct sluice *sluice);
/* Takes the place of the server behind `library`, a connected socket that does not block. False with errno: nothing has changed. */
bool sluice_open(struct sluice *sluice, int library);
/* So many bytes may come from now on. */
void sluice_allow(struct sluice *sluice, uint64_t bytes);
/* Waits until `library` is ready for one of `events` (poll's), at most `timeout_ms`; bytes go both ways meanwhile. False: late, or more than was allowed
 * has come (sluice_spent()). The end of the server's side is one for the library. */
bool sluice_wait(struct sluice *sluice, int library, short events, int timeout_ms);
/* More has come than was allowed. */
bool sluice_spent(const struct sluice *sluice);
/* When the library has closed its descriptor: what it said last goes out as far as it goes without waiting. */
void sluice_close(struct sluice *sluice);

#endif
