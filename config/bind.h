/* bind.h - addresses to listen on, as numbers: nothing is looked up, so what is loopback is certain. */
#ifndef RINGMQ_CONFIG_BIND_H
#define RINGMQ_CONFIG_BIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct bind_address {
    bool any;            /* no host: all addresses of all families */
    bool six;            /* IPv6 */
    bool loopback;       /* 127.0.0.0/8, ::1, localhost */
    uint8_t address[16]; /* 4 used unless six */
    uint16_t port;       /* 0: any free one */
};

/* "127.0.0.1:1883", "[::1]:1883", "localhost:1883", "*:1883", ":1883", "1883". NULL, or what is wrong and what to do. */
const char *bind_parse(struct span text, struct bind_address *ret_address);
/* True when the second of two listeners could not be opened. */
bool bind_collides(const struct bind_address *first, const struct bind_address *second);

#endif
