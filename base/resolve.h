/* resolve.h - the addresses of a host name, with an end to the wait.
 *
 * getaddrinfo(3) ends when it likes: with a name server that says nothing, after what resolv.conf(5) wants, for each server and search domain anew. So a thread of its own looks
 * a name up, and who wants to know waits for it no longer than until a deadline. The look-up goes on without them: the next who asks for the name finds its end, or
 * waits for the same one, so that there is never more than one thread for a name.
 *
 * What was found is good for RESOLVE_FRESH_MS without asking anew (no resolver tells us how long it really is). Older addresses are better than none: they are
 * given out when a new look-up fails or takes longer than RESOLVE_PATIENCE_MS.
 * Threads: any. Memory: RESOLVE_NAMES_MAX names at most; those that nobody has asked for longest give way.
 * Errors: a phrase such as "its name cannot be resolved (Name or service not known)" in ret_error, without the name. */
#ifndef RINGMQ_BASE_RESOLVE_H
#define RINGMQ_BASE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVE_ADDRESSES_MAX 16 /* of a name; further ones are left out */
#define RESOLVE_NAMES_MAX     256
#define RESOLVE_FRESH_MS      10000u
#define RESOLVE_PATIENCE_MS   500u

struct resolve_addresses {
    uint32_t count;
    struct resolve_address {
        socklen_t bytes;
        struct sockaddr_storage address; /* with the port asked for */
    } addresses[RESOLVE_ADDRESSES_MAX];
};

/* `host` is a name or an address (which takes no look-up), `port` a number; the deadline is one of CLOCK_MONOTONIC in ms. *given_up (may be NULL) ends the wait
 * within a tenth of a second. */
bool resolve(const char *host, const char *port, uint64_t deadline_ms, const _Atomic bool *given_up, struct resolve_addresses *ret_addresses, char *ret_error,
             size_t error_bytes);

/* As text with commas between them, as many as have room: "192.0.2.1,2001:db8::1". */
#define RESOLVE_TEXT_BYTES (RESOLVE_ADDRESSES_MAX * 64)
void resolve_text(const struct resolve_addresses *addresses, char *ret_text, size_t bytes);

/* For tests: who looks up in place of getaddrinfo(3); NULL: that. Only while nothing is looked up. */
struct addrinfo;
void resolve_look_up_with(int (*look_up)(const char *, const char *, const struct addrinfo *, struct addrinfo **));

#endif
