/* listener.h - listening sockets: one per listener and shard, sharing an address by SO_REUSEPORT.
 *
 * Opened by the control thread before the shards run, so that an address that cannot be had is an error at start. */
#ifndef RINGMQ_ENGINE_LISTENER_H
#define RINGMQ_ENGINE_LISTENER_H

#include <stdatomic.h>
#include <sys/socket.h>

#include "base/settings.h"

struct listener {
    const struct listener_settings *settings;
    uint16_t port;          /* the one the kernel chose when 0 was asked for */
    bool admits;            /* connections go through the handler's admit() */
    bool asks_peer;         /* and it wants to know the address */
    void *above;            /* the handler's */
    _Atomic uint32_t connections; /* over all shards */
};

/* Splits "HOST:PORT", "[HOST]:PORT", ":PORT" or "PORT" into an address. False with a sentence in ret_error. */
bool listener_parse_bind(const char *bind, struct sockaddr_storage *ret_address, socklen_t *ret_bytes, char *ret_error,
                         size_t error_bytes);
/* True for 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool listener_is_loopback(const struct sockaddr_storage *address);
/* Opens the sockets of all shards into fds[shards_count]. False with a sentence in ret_error, and none left open. */
bool listener_open(struct listener *listener, uint32_t shards_count, int *fds, char *ret_error, size_t error_bytes);

#endif
