/* dial.h - a way to a source's server that ends at a deadline: its name, and a connection to it. For the sources in shared objects, through their tools.
 *
 * Threads: any. Errors: a sentence that names the server, and the setting when it was a limit of ours. */
#ifndef RINGMQ_FEATURES_AUTH_DIAL_H
#define RINGMQ_FEATURES_AUTH_DIAL_H

#include "features/auth/template.h"

/* The addresses of a host, numeric, with commas between them: for libraries that connect by themselves, and would look the name up without an end. */
bool auth_resolve(const char *host, uint64_t deadline_ms, struct auth_text *ret_addresses, char *ret_error, size_t error_bytes);
/* A connected socket that does not block, the caller's. `host` with a slash in front: a Unix socket. -1: none. */
int auth_dial(const char *host, const char *port, uint64_t deadline_ms, char *ret_error, size_t error_bytes);

#endif
