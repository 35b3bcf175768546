/* How a connection begins: when it may, limits, who is at the other end, the filters it gets. */
#include "engine/accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "engine/conn_inside.h"
#include "engine/filters.h"
#include "engine/overload.h"
#include "engine/shard.h"

/* So many connections within so long are a crowd. Long enough that a shard which had to wait for its processor does not take what has piled up
 * for one: many shards on one core that all woke 5,000 times a second would be worse than what they save. */
#define CROWD_CONNECTIONS 64
#define CROWD_MS          16
/* ... unless a message was seen so short a time ago. */
#define CROWD_QUIET_MS    100
/* How long a listener rests after the kernel refused an accept for want of descriptors. */
#define ACCEPT_RETRY_MS 100
#define NS_PER_S 1000000000ull

const char *conn_listener_name(const struct shard *shard, const struct conn *conn)
{
    return shard->group->listeners[conn->listener].settings->name;
}

/* ---- when to accept ------------------------------------------------------------------------------------------------ */

static void accept_retry(struct timer *timer, void *context) { acceptors_arm(context); }

void acceptors_init(struct shard *shard, const int *listener_fds)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        shard->acceptors[i] = (struct acceptor){.fd = i < shard->group->listeners_count ? listener_fds[i] : -1};
    shard->acceptors_count = shard->group->listeners_count;
    shard->accept_rate = shard->settings->limiter.connections_rate;
    shard->accept_burst = shard->settings->limiter.connections_burst;
    timer_init(&shard->accept_retry, accept_retry);
}

static void retry_in(struct shard *shard, uint64_t ms)
{
    if (timer_running(&shard->accept_retry) && shard->accept_retry.deadline_ms <= shard->now_ms + ms) return;
    shard_start_timer(shard, &shard->accept_retry, ms);
}

/* A rate of connections: this shard's part of it, as the time between two. 0: no limit. */
struct accept_rate {
    uint64_t interval_ns, burst_ns; /* burst: how far the clock of tokens may be behind */
};

static struct accept_rate rate_of(const struct shard *shard, uint64_t per_s, uint64_t burst)
{
    struct accept_rate rate = {0, 0};
    if (per_s == 0) return rate;
    uint32_t shards = shard->group->shards_count;
    rate.interval_ns = NS_PER_S * shards / per_s;
    rate.burst_ns = rate.interval_ns * ((burst ? burst : per_s) / shards);
    return rate;
}

static struct accept_rate listener_rate(const struct shard *shard, const struct listener_settings *settings)
{
    return rate_of(shard, settings->connections_rate, settings->connections_burst);
}

static struct accept_rate node_rate(const struct shard *shard)
{
    return rate_of(shard, shard->accept_rate, shard->accept_burst);
}

/* True when the rate allows one more now; else the timer comes back to it. */
static bool rate_allows(struct shard *shard, struct accept_rate rate, uint64_t *tokens_ns)
{
    if (rate.interval_ns == 0) return true;
    uint64_t oldest_ns = shard->now_ns > rate.burst_ns ? shard->now_ns - rate.burst_ns : 0;
    if (*tokens_ns < oldest_ns) *tokens_ns = oldest_ns;
    if (*tokens_ns <= shard->now_ns) return true;
    stats_count(&shard->stats.accepts_delayed, 1);
    retry_in(shard, (*tokens_ns - shard->now_ns) / 1000000 + 1);
    return false;
}

/* With a rate one at a time: a multishot accept would take all that wait. */
static enum kernel_accept which_of(const struct shard *shard, const struct listener_settings *settings)
{
    if (settings->connections_rate != 0 || shard->accept_rate != 0) return KERNEL_ACCEPT_ONE;
    return shard->crowd.on ? KERNEL_ACCEPT_WAITING : KERNEL_ACCEPT_ALL;
}

static void accept_arm(struct shard *shard, uint32_t number)
{
    struct acceptor *acceptor = &shard->acceptors[number];
    if (acceptor->armed || acceptor->fd < 0 || acceptor->closing || shard->overload.level >= OVERLOAD_NO_ACCEPT) return;
    const struct listener_settings *settings = shard->group->listeners[number].settings;
    if (!rate_allows(shard, listener_rate(shard, settings), &acceptor->tokens_ns)) return;
    if (!rate_allows(shard, node_rate(shard), &shard->accept_tokens_ns)) return;
    acceptor->armed = true;
    acceptor->cancelled = false;
    shard->group->verbs->accept(shard->ring, acceptor->fd, which_of(shard, settings), (uint64_t)USER_ACCEPT << 56 | number);
}

void acceptors_arm(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->acceptors_count; i++)
        accept_arm(shard, i);
}

static void accept_cancel(struct shard *shard, uint32_t number)
{
    struct acceptor *acceptor = &shard->acceptors[number];
    if (!acceptor->armed || acceptor->cancelled) return;
    acceptor->cancelled = true;
    shard->group->verbs->cancel(shard->ring, (uint64_t)USER_ACCEPT << 56 | number);
}

void acceptors_limit(struct shard *shard, uint32_t per_s, uint32_t burst)
{
    if (shard->accept_rate == per_s && shard->accept_burst == burst) return;
    shard->accept_rate = per_s;
    shard->accept_burst = burst;
    shard->accept_tokens_ns = shard->now_ns;
    acceptors_rest(shard); /* and begin again: one at a time, or many */
}

void acceptors_rest(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->acceptors_count; i++)
        accept_cancel(shard, i);
}

void shard_stop_accepting(struct shard *shard)
{
    acceptors_rest(shard);
    for (uint32_t i = 0; i < shard->acceptors_count; i++)
        shard->acceptors[i].fd = -1; /* the node shuts the socket down and closes it */
}

static void closed(struct shard *shard, uint32_t number)
{
    shard->acceptors[number] = (struct acceptor){.fd = -1};
    atomic_fetch_sub_explicit(&shard->group->listeners[number].shards_open, 1, memory_order_release); /* pairs: node_reload */
}

void accept_open(struct shard *shard, uint32_t number, int fd)
{
    DCHECK(shard->acceptors[number].fd < 0 && !shard->acceptors[number].armed);
    if (shard->stopping) return closed(shard, number);
    shard->acceptors[number] = (struct acceptor){.fd = fd};
    if (number >= shard->acceptors_count) shard->acceptors_count = number + 1;
    accept_arm(shard, number);
}

void accept_close(struct shard *shard, uint32_t number)
{
    struct acceptor *acceptor = &shard->acceptors[number];
    acceptor->closing = true;
    if (!acceptor->armed) return closed(shard, number);
    accept_cancel(shard, number);
}

/* Whoever has messages here is not kept waiting for the sake of those who come. */
static bool messages_flow(struct shard *shard)
{
    struct accept_crowd *crowd = &shard->crowd;
    uint64_t messages = stats_read(&shard->stats.publish_received) + stats_read(&shard->stats.publish_sent);
    if (messages != crowd->messages) crowd->messages_ms = shard->now_ms;
    crowd->messages = messages;
    return crowd->messages_ms && shard->now_ms - crowd->messages_ms < CROWD_QUIET_MS && !shard->group->crowd_from;
}

/* An accept that waits wakes the shard for every single connection, whatever the shard waits for (the kernel's wake-up is an exclusive one
 * and cannot be put off). In a crowd nothing waits for connections: the shard looks for them each time it turns. */
static void crowd_count(struct shard *shard)
{
    struct accept_crowd *crowd = &shard->crowd;
    if (shard->now_ms - crowd->since_ms >= CROWD_MS) {
        crowd->since_ms = shard->now_ms;
        crowd->count = 0;
    }
    bool quiet = !messages_flow(shard);
    if (++crowd->count != (shard->group->crowd_from ? shard->group->crowd_from : CROWD_CONNECTIONS) || !quiet) return;
    if (!shard->features->accept_waiting || !shard->features->min_wait) return;
    crowd->until_ms = shard->now_ms + 2 * CROWD_MS;
    if (crowd->on) return;
    crowd->on = true;
    stats_count(&shard->stats.accept_crowds, 1);
    acceptors_rest(shard); /* and begin again: with those that wait */
}

void acceptors_crowd(struct shard *shard)
{
    shard->crowd.on = shard->now_ms < shard->crowd.until_ms && !messages_flow(shard);
    acceptors_arm(shard);
}

void accept_completed(struct shard *shard, const struct kernel_completion *completion)
{
    uint32_t number = (uint32_t)completion->user;
    struct acceptor *acceptor = &shard->acceptors[number];
    if (!(completion->flags & KERNEL_MORE)) acceptor->armed = false;
    if (completion->result >= 0) {
        acceptor->tokens_ns += listener_rate(shard, shard->group->listeners[number].settings).interval_ns;
        shard->accept_tokens_ns += node_rate(shard).interval_ns;
        crowd_count(shard);
        conn_accepted(shard, completion->result, (uint8_t)number);
    }
    if (acceptor->armed) return;
    if (acceptor->closing) return closed(shard, number);
    if (completion->result == -EAGAIN && shard->crowd.on) return; /* that was all of them for now */
    bool exhausted = completion->result == -ENFILE || completion->result == -EMFILE || completion->result == -ENOMEM ||
                     completion->result == -ENOBUFS;
    if (!exhausted) return accept_arm(shard, number);
    stats_count(&shard->stats.connections_refused, 1);
    stats_count(&shard->stats.refused_no_descriptor, 1);
    listener_event(&shard->group->listeners[number], LISTENER_refused_no_descriptor);
    retry_in(shard, ACCEPT_RETRY_MS);
}

/* ---- beginning ------------------------------------------------------------------------------------------------------ */

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

static uint32_t count_change(_Atomic uint32_t *count, int change)
{
    return atomic_fetch_add_explicit(count, (uint32_t)change, memory_order_relaxed) + (uint32_t)change;
}

void listener_count(const struct shard *shard, uint32_t number, int change)
{
    struct listener *listener = &shard->group->listeners[number];
    count_change(&listener->connections, change);
    if (listener->total) count_change(&listener->total->connections, change);
    if (shard->group->connections) count_change(shard->group->connections, change);
}

/* One more on this listener, whatever options the others came with: within its own limit and the node's? */
static bool connection_allowed(const struct shard *shard, const struct listener *listener)
{
    uint32_t limit = listener->settings->connections_max, node_limit = shard->settings->node.connections_max;
    const _Atomic uint32_t *here = listener->total ? &listener->total->connections : &listener->connections;
    const _Atomic uint32_t *all = shard->group->connections;
    return !shard->stopping && (limit == 0 || atomic_load_explicit(here, memory_order_relaxed) <= limit) &&
           (!all || atomic_load_explicit(all, memory_order_relaxed) <= node_limit);
}

/* The handler looks at who it is and chooses the filters; nothing is received before. */
static void conn_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    conn->unadmitted = false;
    if (!shard->group->handler->admit(shard, conn, address)) return conn_end(shard, conn, CONN_END_REFUSED);
    conn_receive_again(shard, conn);
}

/* TCP_QUICKACK is the one option that accepted sockets don't inherit. */
static void delay_acks(struct shard *shard, const struct conn *conn, const struct listener_settings *settings)
{
    static const int off = 0;
    if (settings->tcp_quickack || settings->kind == LISTENER_UNIX) return;
    if (shard->features->socket_options)
        shard->group->verbs->set_option(shard->ring, conn->fd, IPPROTO_TCP, TCP_QUICKACK, &off);
    else
        LOG_LIMITED(WARN, 3600000, "option not set", "key=listeners.%s.%s.tcp_quickack reason=needs_linux_6.7",
                    listener_kind_names[settings->kind], settings->name);
}

void conn_accepted(struct shard *shard, int fd, uint8_t number)
{
    struct listener *listener = &shard->group->listeners[number];
    listener_count(shard, number, 1);
    struct conn *conn = connection_allowed(shard, listener) ? conn_begin(shard, fd, number) : NULL;
    if (!conn) {
        listener_count(shard, number, -1);
        stats_count(&shard->stats.connections_refused, 1);
        stats_count(&shard->stats.refused_too_many, 1);
        listener_event(listener, LISTENER_refused_too_many);
        LOG_LIMITED(WARN, 1000, "connection refused", "reason=too_many_connections listener=%s.%s",
                    listener_kind_names[listener->settings->kind], listener->settings->name);
        shard->group->verbs->close_fd(shard->ring, fd, 0);
        return;
    }
    stats_count(&shard->stats.connections_accepted, 1);
    listener_event(listener, LISTENER_accepted);
    delay_acks(shard, conn, listener->settings);
    if (listener->admits) {
        conn->unadmitted = true;
        shard->group->handler->accepted(shard, conn);
        if (listener->asks_peer) return shard_ask_peer(shard, conn);
        return conn_admit(shard, conn, NULL);
    }
    conn_receive_arm(shard, conn);
    shard->group->handler->accepted(shard, conn);
}

struct conn *conn_dialled(struct shard *shard, int fd)
{
    struct conn *conn = conn_begin(shard, fd, 0);
    int entered = conn ? shard->group->verbs->enter(shard->ring, fd, conn->slot) : -ENFILE;
    if (entered < 0) {
        if (conn) shard_conn_release(shard, conn);
        close(fd);
        errno = -entered;
        return NULL;
    }
    conn->fd = entered;
    listener_count(shard, 0, 1);
    conn_receive_arm(shard, conn);
    return conn;
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
