/* cidr.h - lists of networks: "10.0.0.0/8, 192.0.2.7, 2001:db8::/32, unix".
 *
 * IPv4 addresses are kept as ::ffff:a.b.c.d, so that a v4 client of a dual-stack socket is the same as one of a v4 socket. `unix` stands
 * for peers of a Unix socket, which have no address.
 * Owner: whoever parsed it. Threads: immutable, read by all. */
#ifndef RINGMQ_BASE_CIDR_H
#define RINGMQ_BASE_CIDR_H

#include <sys/socket.h>

#include "base/span.h"

struct cidr {
    uint8_t address[16];
    uint8_t bits; /* 0 to 128 */
};

struct cidr_list {
    struct cidr *entries;
    uint32_t count;
    bool any_unix;
};

#define CIDR_LIST_MAX 1024

/* NULL, or what is wrong with the text and what to write. ret_list may be NULL (to check only); else release it with cidr_list_release(). */
const char *cidr_list_parse(struct span text, struct cidr_list *ret_list);
void cidr_list_release(struct cidr_list *list);
/* A socket's address, or one in text with or without a port ("192.0.2.7:99", "[::1]:99", "::1"), as sixteen bytes. False: no IP address. */
bool cidr_address(const struct sockaddr_storage *address, uint8_t ret_address[16]);
bool cidr_address_of_text(struct span text, uint8_t ret_address[16]);
bool cidr_list_has(const struct cidr_list *list, const uint8_t address[16]);

#endif
