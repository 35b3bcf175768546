/* redis_wire.h - a connection to a Redis server, plain or TLS, in which every wait ends at a deadline.
 *
 * The packaged client library has no TLS, and its time-outs are for each read anew; its reader and its writer of commands need no connection of
 * theirs, so this brings the bytes. Certificates are verified by OpenSSL: chain, time, and the name of the server.
 * Owner and threads: one at a time. Errors: a sentence, never with a word of a command in it. */
#ifndef RINGMQ_FEATURES_AUTH_REDIS_WIRE_H
#define RINGMQ_FEATURES_AUTH_REDIS_WIRE_H

#include <hiredis/hiredis.h>

#include "features/auth/settings.h"
#include "features/auth/source.h"

struct redis_tls; /* certificates and keys, read once; shared by all connections */
struct redis_wire;

/* NULL with a sentence: a file cannot be read. */
struct redis_tls *redis_tls_open(const struct auth_source_settings *settings, char *ret_error, size_t error_bytes);
void redis_tls_close(struct redis_tls *tls); /* accepts NULL */

/* `host` (which stays the caller's) with a slash in front: a Unix socket. `tls` NULL: plain. An answer of more bytes is none. NULL with a sentence. */
struct redis_wire *redis_wire_open(const char *host, const char *port, const struct redis_tls *tls, const struct auth_tools *tools, size_t answer_bytes_max,
                                   uint64_t deadline_ms, char *ret_error, size_t error_bytes);
void redis_wire_close(struct redis_wire *wire); /* accepts NULL */

/* Sends the command and waits for its answer, which freeReplyObject() releases. NULL with a sentence: the connection is of no more use.
 * *ret_too_large: because the answer was. */
redisReply *redis_wire_ask(struct redis_wire *wire, int argc, const char **argv, const size_t *bytes, uint64_t deadline_ms, bool *ret_too_large, char *ret_error,
                           size_t error_bytes);

#endif
