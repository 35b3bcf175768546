/* conn_move.c - a connection moves to another shard: once in its life, when CONNECT has named the client (design §6). */
#include "base/check.h"
#include "base/memory.h"
#include "engine/accept.h"
#include "engine/conn_inside.h"
#include "engine/filters.h"
#include "engine/listener.h"
#include "engine/shard.h"

struct conn_handoff {
    _Atomic bool sealed; /* release here, acquire there: the kernel's hand-over is a barrier, but no compiler can see that */
    int fd; /* where descriptors are good for all rings; else the ring says which */
    uint8_t listener;
    bool ended;
    uint32_t carry_bytes;
    void *baggage;
    struct conn_filters *filters;
    uint8_t carry[];
};

/* The receive must have ended before the descriptor goes, or its bytes would be lost between the two shards; and what the filters
 * were sending (the end of a handshake) must have left. What they have to say yet goes with them. */
void conn_move_join(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_MOVING);
    if (conn->in_kernel > 0) return;
    struct conn_handoff *handoff = memory_acquire(sizeof *handoff + conn->carry_bytes);
    *handoff = (struct conn_handoff){.fd = conn->fd, .listener = conn->listener, .ended = conn->ended,
                                     .carry_bytes = conn->carry_bytes, .baggage = conn->move_baggage, .filters = conn->filters};
    conn->filters = NULL;
    if (conn->carry_bytes) memcpy(handoff->carry, conn->carry + conn->carry_start, conn->carry_bytes);
    conn_carry_release(shard, conn);
    stats_count(&shard->stats.connections_moved, 1);
    atomic_store_explicit(&handoff->sealed, true, memory_order_release); /* pairs: conn_adopt */
    if (shard->features->fd_passing) {
        uint64_t there = (uint64_t)USER_ADOPT << 56 | (uint64_t)(uintptr_t)handoff;
        conn->move_baggage = handoff;
        conn->in_kernel++;
        shard->group->verbs->pass(shard->ring, conn->fd, conn->move_to, there, user_of_conn(USER_PASS, conn));
        return;
    }
    struct lane_cell cell = record_first(RECORD_ADOPT, 0, handoff, 0);
    shard_send(shard, conn->move_to, &cell, 1);
    shard_conn_release(shard, conn);
}

/* After success the descriptor here has gone with it. */
void conn_completed_pass(struct shard *shard, struct conn *conn, int result)
{
    struct conn_handoff *handoff = conn->move_baggage;
    conn->in_kernel--;
    if (result >= 0) return shard_conn_release(shard, conn);
    conn->state = CONN_CLOSING;
    shard->group->handler->move_failed(shard, handoff->baggage);
    filters_release(handoff->filters);
    memory_release(handoff);
    conn_close_join(shard, conn);
}

void conn_move(struct shard *shard, struct conn *conn, uint32_t to_shard, void *baggage)
{
    DCHECK(conn->state == CONN_OPEN && !conn->out && (conn->filters || !conn->sending) && to_shard != shard->number);
    conn->state = CONN_MOVING;
    conn->move_to = (uint8_t)to_shard;
    conn->move_baggage = baggage;
    wheel_stop(&shard->wheel, &conn->timer);
    conn_receive_cancel(shard, conn);
    /* Called inside received(): the caller still has bytes to put into the carry, and then comes to move_join(). A stalled
     * or held connection has no receive to wait for and is never moved: CONNECT has only just been read. */
    if (!conn->in_handler) conn_move_join(shard, conn);
}

void conn_adopt(struct shard *shard, struct conn_handoff *handoff, int fd)
{
    CHECK(atomic_load_explicit(&handoff->sealed, memory_order_acquire)); /* pairs: move_join */
    if (!shard->features->fd_passing) fd = handoff->fd;
    struct conn *conn = conn_begin(shard, fd, handoff->listener);
    if (!conn) {
        stats_count(&shard->stats.connections_refused, 1);
        stats_count(&shard->stats.refused_too_many, 1);
        shard->group->handler->move_failed(shard, handoff->baggage);
        shard->group->verbs->close_fd(shard->ring, fd, 0);
        filters_release(handoff->filters);
        listener_count(shard, handoff->listener, -1);
        memory_release(handoff);
        return;
    }
    conn->settled = true;
    conn->filters = handoff->filters;
    conn->ended = handoff->ended;
    if (!conn->ended) conn_receive_arm(shard, conn);
    shard->group->handler->adopted(shard, conn, handoff->baggage);
    if (handoff->carry_bytes && conn->state == CONN_OPEN)
        conn_input(shard, conn, span_of(handoff->carry, handoff->carry_bytes));
    memory_release(handoff);
    if (conn->filters && filters_waiting(conn->filters) && conn->state == CONN_OPEN) shard_mark_dirty(shard, conn);
    if (conn->ended && conn->state == CONN_OPEN && !(conn->holds && conn->carry_bytes))
        conn_end(shard, conn, CONN_END_PEER);
}
