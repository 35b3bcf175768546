#include "broker/doors.h"

#include <stdio.h>

#include "base/memory.h"

struct door {
    const struct listener_settings *settings;
};

bool door_open(struct listener *listener, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *settings = listener->settings;
    bool tls = settings->kind == LISTENER_TLS || settings->kind == LISTENER_WSS;
    if (tls || settings->kind != LISTENER_TCP) {
        snprintf(ret_error, error_bytes, "listeners.%s.%s: this build has no %s listeners", listener_kind_names[settings->kind],
                 settings->name, listener_kind_names[settings->kind]);
        return false;
    }
    struct door *door = memory_acquire_zeroed(sizeof *door);
    door->settings = settings;
    listener->above = door;
    listener->admits = tls;
    return true;
}

void door_close(struct listener *listener)
{
    memory_release(listener->above);
    listener->above = NULL;
}

bool door_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    const struct door *door = shard->group->listeners[conn->listener].above;
    struct conn_filters *filters = filters_create();
    /* The filters, from the socket up; each knows its listener's settings: door->settings. */
    (void)door;
    conn->filters = filters;
    return true;
}
