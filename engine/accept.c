/* accept.c - how a connection begins: limits, who is at the other end, the filters it gets. */
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/conn_inside.h"
#include "engine/filters.h"
#include "engine/listener.h"
#include "engine/shard.h"

const char *conn_listener_name(const struct shard *shard, const struct conn *conn)
{
    return shard->group->listeners[conn->listener].settings->name;
}

struct conn *conn_begin(struct shard *shard, int fd, uint8_t listener)
{
    struct conn *conn = shard_conn_acquire(shard);
    if (!conn) return NULL;
    conn->fd = fd;
    conn->listener = listener;
    conn->state = CONN_OPEN;
    conn->last_received_ms = shard->now_ms;
    conn->stage_log2 = OUTBUF_BLOCK_LOG2_MIN;
    return conn;
}

/* One more on this listener: within its own limit and the node's? */
static bool connection_allowed(const struct shard *shard, struct listener *listener)
{
    uint32_t here = atomic_fetch_add_explicit(&listener->connections, 1, memory_order_relaxed) + 1, all = 0;
    for (uint32_t i = 0; i < shard->group->listeners_count; i++)
        all += atomic_load_explicit(&shard->group->listeners[i].connections, memory_order_relaxed);
    uint32_t limit = listener->settings->connections_max;
    return !shard->stopping && (limit == 0 || here <= limit) && all <= shard->settings->node.connections_max;
}

/* The handler looks at who it is and chooses the filters; nothing is received before. */
static void conn_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    conn->unadmitted = false;
    if (!shard->group->handler->admit(shard, conn, address)) return conn_end(shard, conn, CONN_END_REFUSED);
    conn_receive_again(shard, conn);
}

void conn_accepted(struct shard *shard, int fd, uint8_t listener_number)
{
    struct listener *listener = &shard->group->listeners[listener_number];
    struct conn *conn = connection_allowed(shard, listener) ? conn_begin(shard, fd, listener_number) : NULL;
    if (!conn) {
        atomic_fetch_sub_explicit(&listener->connections, 1, memory_order_relaxed);
        stats_count(&shard->stats.connections_refused, 1);
        LOG_LIMITED(WARN, 1000, "connection refused", "reason=too_many_connections listener=%s", listener->settings->name);
        shard->group->verbs->close_fd(shard->ring, fd, 0);
        return;
    }
    stats_count(&shard->stats.connections_accepted, 1);
    if (listener->admits) {
        conn->unadmitted = true;
        shard->group->handler->accepted(shard, conn);
        if (listener->asks_peer) return shard_ask_peer(shard, conn);
        return conn_admit(shard, conn, NULL);
    }
    conn_receive_arm(shard, conn);
    shard->group->handler->accepted(shard, conn);
}


void conn_completed_install(struct shard *shard, struct conn *conn, int fd)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    conn->in_kernel--;
    bool known = fd >= 0 && getpeername(fd, (struct sockaddr *)&address, &bytes) == 0;
    if (fd >= 0 && shard->features->direct_descriptors) close(fd);
    if (conn->state == CONN_CLOSING) return conn_close_join(shard, conn);
    if (conn->state == CONN_MOVING) return conn_move_join(shard, conn);
    if (conn->state != CONN_OPEN) return;
    if (conn->unadmitted) return conn_admit(shard, conn, known ? &address : NULL);
    shard->group->handler->peer(shard, conn, known ? &address : NULL);
}
