/* listeners.h - a picture of all listeners, for the API and the metrics. */
#ifndef RINGMQ_ADMIN_LISTENERS_H
#define RINGMQ_ADMIN_LISTENERS_H

#include "admin/admin.h"
#include "engine/listener.h"

struct listener_picture {
    char id[80];    /* "tcp.default" */
    char bind[160];
    bool enable, running, has_port;
    uint16_t port;
    uint32_t connections, connections_max; /* max 0: no limit */
    uint64_t events[LISTENER_EVENTS];      /* engine/listener.h */
};

/* Taken on the control thread; to be released with memory_release(). NULL: the broker stops. */
struct listener_picture *listeners_picture(struct admin *admin, uint32_t *ret_count);

#endif
