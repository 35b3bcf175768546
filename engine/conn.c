#include "engine/conn.h"

#include <errno.h>

#include "base/check.h"
#include "base/memory.h"
#include "engine/accept.h"
#include "engine/conn_inside.h"
#include "engine/filters.h"
#include "engine/listener.h"
#include "engine/shard.h"

/* ---- names ------------------------------------------------------------------------------------------------------ */

struct conn *conn_find(struct shard *shard, uint64_t name)
{
    uint32_t slot = (uint32_t)name;
    if (slot >= shard->conns_used) return NULL;
    struct conn *conn = &shard->conns[slot];
    return conn->state != CONN_FREE && conn->generation == name >> 32 ? conn : NULL;
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

/* Who has nobody above yet may move to another shard with its first packet, and what is armed then would have to be cancelled and waited
 * for. */
static bool may_move(const struct shard *shard, const struct conn *conn)
{
    return !conn->settled && !conn->client && shard->group->shards_count > 1 && shard->acceptors_count > 0;
}

void conn_receive_arm(struct shard *shard, struct conn *conn)
{
    DCHECK(!conn->receive_armed && (conn->state == CONN_OPEN || conn->state == CONN_FINISHING));
    conn->receive_armed = true;
    conn->receive_cancelled = false;
    conn->in_kernel++;
    shard->group->verbs->receive(shard->ring, conn->fd, may_move(shard, conn), user_of_conn(USER_RECEIVE, conn));
}

void conn_receive_cancel(struct shard *shard, struct conn *conn)
{
    if (!conn->receive_armed || conn->receive_cancelled) return;
    conn->receive_cancelled = true;
    shard->group->verbs->cancel(shard->ring, user_of_conn(USER_RECEIVE, conn));
}

void conn_receive_again(struct shard *shard, struct conn *conn)
{
    conn->stalled = false;
    bool wanted = conn->state == CONN_FINISHING || (conn->state == CONN_OPEN && !conn->holds);
    if (conn->filters && conn->filters->later && conn->filters->held_bytes > HOLD_BYTES_MAX) wanted = false;
    if (wanted && !conn->receive_armed && !conn->ended) conn_receive_arm(shard, conn);
}

void conn_carry_release(struct shard *shard, struct conn *conn)
{
    if (conn->carry) pool_release(&shard->pool, conn->carry, conn->carry_capacity);
    conn->carry = NULL;
    conn->carry_start = conn->carry_bytes = conn->carry_capacity = 0;
}

/* So many bytes cost as much as a packet, above all where their pages are touched for the first time. */
#define CARRY_WORK_BYTES 1024

/* Grows by doubling, so that a peer which announces much and sends little costs little. While nothing is read, at most what the
 * shard's receive buffers hold can still come: room for that is taken at once (its pages come with use). */
static void carry_append(struct shard *shard, struct conn *conn, struct span bytes)
{
    uint32_t needed = conn->carry_bytes + (uint32_t)bytes.bytes;
    shard_turn_work(shard, (uint32_t)bytes.bytes / CARRY_WORK_BYTES);
    if (conn->carry_start && conn->carry_start + needed > conn->carry_capacity) { /* the used front is room, too */
        memmove(conn->carry, conn->carry + conn->carry_start, conn->carry_bytes);
        conn->carry_start = 0;
    }
    if (needed > conn->carry_capacity) {
        uint32_t capacity = conn->carry_capacity * 2 > needed ? conn->carry_capacity * 2 : needed;
        if (conn->receive_cancelled && conn->holds && capacity < shard->settings->io.receive_buffers_bytes)
            capacity = shard->settings->io.receive_buffers_bytes;
        if (!conn->receive_cancelled && capacity > needed && capacity > conn->carry_wanted && conn->carry_wanted >= needed)
            capacity = conn->carry_wanted;
        capacity = (uint32_t)pool_block_bytes(capacity);
        uint8_t *larger = pool_acquire(&shard->pool, capacity);
        if (conn->carry_bytes) memcpy(larger, conn->carry, conn->carry_bytes);
        if (conn->carry) pool_release(&shard->pool, conn->carry, conn->carry_capacity);
        conn->carry = larger;
        conn->carry_capacity = capacity;
    }
    if (bytes.bytes) memcpy(conn->carry + conn->carry_start + conn->carry_bytes, bytes.data, bytes.bytes);
    conn->carry_bytes = needed;
}

static bool conn_takes_bytes(const struct conn *conn) { return conn->state == CONN_OPEN && !conn->holds; }

/* Gives `bytes` to the layer above and returns what it left. */
static struct span conn_hand_up(struct shard *shard, struct conn *conn, struct span bytes)
{
    conn->in_handler = true;
    struct conn_progress progress = shard->group->handler->received(shard, conn, bytes);
    conn->in_handler = false;
    DCHECK(progress.consumed <= bytes.bytes);
    conn->carry_wanted = (uint32_t)progress.wanted;
    return span_skip(bytes, progress.consumed);
}

bool conn_take_block(struct conn *conn, const uint8_t *end, uint8_t **ret_block, uint32_t *ret_bytes)
{
    if (!conn->in_handler || !conn->carry || conn->carry + conn->carry_start + conn->carry_bytes != end) return false;
    *ret_block = conn->carry;
    *ret_bytes = conn->carry_capacity;
    conn->carry = NULL;
    return true;
}

/* The turn is over for it; conn_rested_turn() goes on. What arrives meanwhile comes behind what it has. */
static void conn_rest(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_OPEN && !(conn->holds & HOLD_TURN));
    conn->holds |= HOLD_TURN;
    if (shard->rested_count == shard->rested_capacity) {
        shard->rested_capacity = shard->rested_capacity ? shard->rested_capacity * 2 : 64;
        shard->rested = memory_resize(shard->rested, shard->rested_capacity * sizeof *shard->rested);
    }
    shard->rested[shard->rested_count++] = conn_name(conn);
}

/* The layer above has stopped because the turn's budget is spent, not for want of bytes or because of a hold. */
static bool conn_was_cut(const struct shard *shard, const struct conn *conn)
{
    return UNLIKELY(shard->turn_spent) && conn_takes_bytes(conn) && conn->carry_wanted == 0;
}

/* The carry holds the beginning: it is completed from `bytes` until one hand-up empties it. Returns what is left of `bytes`. */
static struct span conn_complete_carry(struct shard *shard, struct conn *conn, struct span bytes)
{
    while (conn->carry_bytes && conn_takes_bytes(conn)) {
        if (conn->carry_bytes < conn->carry_wanted) {
            size_t missing = conn->carry_wanted - conn->carry_bytes;
            size_t taken = missing < bytes.bytes ? missing : bytes.bytes;
            carry_append(shard, conn, span_of(bytes.data, taken));
            bytes = span_skip(bytes, taken);
            if (conn->carry_bytes < conn->carry_wanted) return bytes;
        }
        uint32_t before = conn->carry_bytes;
        struct span rest = conn_hand_up(shard, conn, span_of(conn->carry + conn->carry_start, before));
        if (conn->state == CONN_FREE || conn->state == CONN_CLOSING) return bytes;
        CHECK(conn->carry || rest.bytes == 0); /* conn_take_block() */
        conn->carry_start += before - (uint32_t)rest.bytes;
        conn->carry_bytes = (uint32_t)rest.bytes;
        if (rest.bytes == 0) conn_carry_release(shard, conn);
        if (UNLIKELY(rest.bytes && conn_was_cut(shard, conn))) conn_rest(shard, conn);
    }
    return bytes;
}

/* As conn_input(), but what the turn's budget leaves over is the caller's to bring again: it is returned. */
static struct span conn_input_cut(struct shard *shard, struct conn *conn, struct span bytes)
{
    if (conn->carry_bytes) bytes = conn_complete_carry(shard, conn, bytes);
    if (bytes.bytes && conn_takes_bytes(conn) && conn->carry_bytes == 0) {
        if (UNLIKELY(shard->turn_spent)) return bytes; /* by what the carry held */
        bytes = conn_hand_up(shard, conn, bytes);
        if (bytes.bytes && conn_was_cut(shard, conn)) return bytes;
    }
    if (bytes.bytes && (conn->state == CONN_OPEN || conn->state == CONN_MOVING)) carry_append(shard, conn, bytes);
    if (conn->state == CONN_OPEN && conn->holds && conn->carry_bytes > HOLD_BYTES_MAX) conn_receive_cancel(shard, conn);
    return span_of(NULL, 0);
}

void conn_input(struct shard *shard, struct conn *conn, struct span bytes)
{
    struct span rest = conn_input_cut(shard, conn, bytes);
    if (LIKELY(rest.bytes == 0)) return;
    carry_append(shard, conn, rest);
    conn_rest(shard, conn);
    if (conn->carry_bytes > HOLD_BYTES_MAX) conn_receive_cancel(shard, conn);
}

void conn_rested_turn(struct shard *shard)
{
    uint32_t count = shard->rested_count, i = 0; /* those that come now wait for the next turn */
    for (; i < count && !shard_turn_spent(shard); i++) {
        struct conn *conn = conn_find(shard, shard->rested[i]);
        if (conn && conn->state == CONN_OPEN) conn_release(shard, conn, HOLD_TURN);
    }
    shard->rested_count -= i;
    memmove(shard->rested, shard->rested + i, shard->rested_count * sizeof *shard->rested);
}

static bool has_output(const struct conn *conn)
{
    return conn->out || conn->send_in_kernel || (conn->filters && filters_waiting(conn->filters));
}

void conn_end(struct shard *shard, struct conn *conn, enum conn_end why)
{
    if (conn->state == CONN_OPEN) {
        shard->group->handler->closed(shard, conn, why);
        if (conn->filters && (why == CONN_END_PEER || why == CONN_END_FILTER)) /* they may have an answer to it */
            conn_finish(shard, conn, why == CONN_END_FILTER);
        else
            conn_close(shard, conn);
    } else if (conn->state == CONN_FINISHING && (why != CONN_END_PEER || !has_output(conn))) {
        conn_close(shard, conn); /* a peer that only stopped talking still gets the rest: finish_join() */
    }
}

__attribute__((noinline)) static struct span received_much(struct shard *shard, struct conn *conn, const struct kernel_completion *completion)
{
    shard->receiving.data = completion->data;
    shard->receiving.bytes = completion->flags & KERNEL_BUFFER ? (uint32_t)completion->result : 0;
    shard->receiving.buffer = completion->buffer;
    struct span rest = conn_input_cut(shard, conn, span_of(completion->data, (size_t)completion->result));
    shard->receiving.bytes = 0;
    return rest;
}

/* The bytes of a receive; what is left of them for the next turn. */
static struct span received(struct shard *shard, struct conn *conn, const struct kernel_completion *completion)
{
    if (LIKELY(!(completion->flags & KERNEL_REST))) {
        conn->last_received_ms = shard->now_ms;
        shard->turn_receives++;
        stats_count(&shard->stats.bytes_received, (uint64_t)completion->result);
    }
    if (LIKELY(!conn->filters)) {
        if (UNLIKELY((uint32_t)completion->result >= shard->lends_from)) return received_much(shard, conn, completion);
        return conn_input_cut(shard, conn, span_of(completion->data, (size_t)completion->result));
    }
    filters_input(shard, conn, (uint8_t *)(uintptr_t)completion->data, (size_t)completion->result);
    return span_of(NULL, 0);
}

static void receive_over(struct shard *shard, struct conn *conn, const struct kernel_completion *completion)
{
    if (completion->flags & KERNEL_BUFFER) shard->group->verbs->receive_done(shard->ring, completion->buffer);

    if (completion->result == 0) conn->ended = true;
    if (conn->state == CONN_CLOSING) return conn_close_join(shard, conn);
    if (conn->state == CONN_MOVING) return conn_move_join(shard, conn);
    /* A held connection's end waits until its bytes have been used. */
    if (completion->result == 0 && !(conn->holds && conn->carry_bytes)) return conn_end(shard, conn, CONN_END_PEER);
    if (completion->result == -ENOBUFS) {
        stats_count(&shard->stats.receive_stalls, 1);
        return shard_mark_stalled(shard, conn);
    }
    if (completion->result < 0 && completion->result != -ECANCELED && completion->result != -EINTR)
        return conn_end(shard, conn, CONN_END_RESET);
    if (!conn->receive_armed) conn_receive_again(shard, conn);
}

bool conn_completed_receive(struct shard *shard, struct conn *conn, struct kernel_completion *completion)
{
    bool last = !(completion->flags & KERNEL_MORE);
    if (last) {
        DCHECK(conn->receive_armed && conn->in_kernel > 0);
        conn->receive_armed = false;
        conn->in_kernel--;
    }
    if (completion->result > 0) {
        struct span rest = received(shard, conn, completion);
        if (UNLIKELY(rest.bytes)) { /* nobody arms, moves or closes it while this is not through */
            completion->data = rest.data;
            completion->result = (int32_t)rest.bytes;
            completion->flags |= KERNEL_REST;
            if (last)
                conn->receive_armed = true, conn->in_kernel++;
            else
                conn_receive_cancel(shard, conn); /* until it has caught up: else it would fill the receive buffers of all */
            return true;
        }
    }
    receive_over(shard, conn, completion);
    return false;
}

void conn_input_over(struct shard *shard, struct conn *conn)
{
    if (conn->state == CONN_MOVING) return conn_move_join(shard, conn);
    if (conn->state == CONN_OPEN && !conn->receive_armed && !conn->stalled) conn_receive_again(shard, conn);
}

void conn_hold(struct conn *conn, uint8_t reason)
{
    DCHECK(conn->state == CONN_OPEN && reason && (reason & (reason - 1)) == 0);
    conn->holds |= reason;
}

void conn_hold_firmly(struct shard *shard, struct conn *conn, uint8_t reason)
{
    conn_hold(conn, reason);
    conn_receive_cancel(shard, conn);
}

void conn_release(struct shard *shard, struct conn *conn, uint8_t reason)
{
    DCHECK(conn->state == CONN_OPEN && !conn->in_handler);
    if (!(conn->holds & reason)) return;
    conn->holds &= (uint8_t)~reason;
    if (conn->holds) return;
    if (UNLIKELY(shard->turn_spent) && conn->carry_bytes) return conn_rest(shard, conn);
    conn->carry_wanted = 0; /* look at what has gathered */
    conn_complete_carry(shard, conn, span_of(NULL, 0));
    if (conn->state == CONN_MOVING) return conn_move_join(shard, conn); /* a CONNECT that was held */
    if (conn->state != CONN_OPEN || conn->holds) return;
    if (conn->ended) return conn_end(shard, conn, CONN_END_PEER);
    if (!conn->stalled) conn_receive_again(shard, conn);
}

/* Growing a stage copies it: a connection that sends much at a time begins with as much as it needed the last time. */
static uint8_t stage_log2_for(uint32_t bytes)
{
    uint32_t block = bytes + (uint32_t)sizeof(struct outbuf);
    if (block <= OUTBUF_BLOCK_BYTES_MIN) return OUTBUF_BLOCK_LOG2_MIN;
    if (block >= STAGE_BYTES_MAX) return OUTBUF_BLOCK_LOG2_MIN + 7; /* 64 KiB */
    return (uint8_t)(32 - __builtin_clz(block - 1));
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

uint8_t *conn_reserve_anew(struct shard *shard, struct conn *conn, uint32_t bytes)
{
    if (!conn->out) {
        uint32_t usual = (1u << conn->stage_log2) - (uint32_t)sizeof(struct outbuf);
        uint32_t front = conn->filters ? conn->filters->prefix_bytes : 0;
        conn->out = outbuf_acquire(&shard->pool, bytes + front > usual ? bytes + front : usual);
        conn->out->bytes = front;
        shard_mark_dirty(shard, conn);
    } else {
        conn->out = outbuf_make_room(&shard->pool, conn->out, bytes);
    }
    return conn->out->stage + conn->out->bytes;
}

void conn_attach(struct shard *shard, struct conn *conn, const void *data, uint32_t bytes, void *owner)
{
    conn_reserve(shard, conn, 0);
    outbuf_attach(&shard->pool, conn->out, data, bytes, owner);
}

bool conn_lend(struct shard *shard, struct conn *conn, struct span bytes)
{
    DCHECK(bytes.data >= shard->receiving.data && bytes.data + bytes.bytes <= shard->receiving.data + shard->receiving.bytes);
    if (conn->send_in_kernel || conn->filters) return false;
    conn_reserve(shard, conn, 0);
    void *owner = outbuf_owner_lent(shard->receiving.buffer);
    if (outbuf_extend(conn->out, bytes.data, (uint32_t)bytes.bytes, owner)) return true;
    shard->group->verbs->receive_keep(shard->ring, shard->receiving.buffer);
    shard->lent++;
    outbuf_attach(&shard->pool, conn->out, bytes.data, (uint32_t)bytes.bytes, owner);
    conn->out->lends = true;
    return true;
}

/* More than this is likely to find no room at once in a socket's buffer. */
#define SEND_NOW_BYTES_MAX (16 * 1024)

/* Nobody waits for this send to be over: it need not end a wait, which saves a turn and a system call for each message that comes alone. */
static bool sends_now(const struct conn *conn)
{
    bool waits = conn->state != CONN_OPEN || conn->wants_writable || conn->out || (conn->filters && filters_waiting(conn->filters));
    return !waits && conn->sending->bytes <= SEND_NOW_BYTES_MAX && conn->sending->pieces_count == 0;
}

static void send_at_once(struct shard *shard, struct conn *conn)
{
    const struct outbuf *outbuf = conn->sending;
    uint32_t bytes = outbuf->bytes - conn->sent;
    conn->sends_now = true;
    conn->send_in_kernel = true;
    conn->in_kernel++;
    stats_count(&shard->stats.sends, 1);
    stats_count(&shard->stats.bytes_sent, bytes); /* now, since its completion may come much later: see conn_completed_send() */
    shard->group->verbs->send_now(shard->ring, conn->fd, outbuf->stage + conn->sent, bytes, user_of_conn(USER_SEND, conn));
}

static void send_issue(struct shard *shard, struct conn *conn)
{
    const struct kernel_verbs *verbs = shard->group->verbs;
    struct outbuf *outbuf = conn->sending;
    uint64_t user = user_of_conn(USER_SEND, conn);
    conn->send_in_kernel = true;
    conn->in_kernel++;
    stats_count(&shard->stats.sends, 1);
    if (outbuf->pieces_count == 0)
        return verbs->send(shard->ring, conn->fd, outbuf->stage + conn->sent, outbuf->bytes - conn->sent, user);
    outbuf_vector(&shard->pool, outbuf, conn->sent);
    if (shard->features->send_vectorized)
        verbs->send_vector(shard->ring, conn->fd, outbuf->vector, outbuf->vector_count, outbuf->lends, user);
    else
        verbs->send_message(shard->ring, conn->fd, &outbuf->message, outbuf->lends, user);
}

void conn_release_piece(void *context, void *owner)
{
    struct shard *shard = context;
    if (!outbuf_is_lent(owner)) return shard->group->handler->release(shard, owner);
    shard->lent--;
    shard->group->verbs->receive_done(shard->ring, outbuf_lent_buffer(owner));
}

static void outbuf_drop(struct shard *shard, struct outbuf **outbuf)
{
    if (!*outbuf) return;
    outbuf_release(&shard->pool, *outbuf, conn_release_piece, shard);
    *outbuf = NULL;
}

static void finish_join(struct shard *shard, struct conn *conn);

static void send_filtered(struct shard *shard, struct conn *conn)
{
    if (filters_prepare(shard, conn)) return sends_now(conn) ? send_at_once(shard, conn) : send_issue(shard, conn);
    if (filters_waiting(conn->filters)) return conn_end(shard, conn, CONN_END_RESET); /* what waits can never leave */
    if (conn->state == CONN_FINISHING) finish_join(shard, conn); /* there was nothing to say after all */
}

void conn_send_staged(struct shard *shard, struct conn *conn)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_FINISHING) return;
    if (conn->send_in_kernel) return; /* its completion comes back here */
    if (UNLIKELY(conn->filters)) return send_filtered(shard, conn);
    if (!conn->out) return;
    if (outbuf_bytes(conn->out) == 0) return outbuf_drop(shard, &conn->out); /* reserved, nothing committed */
    conn->sending = conn->out;
    conn->out = NULL;
    conn->sent = 0;
    if (LIKELY(sends_now(conn))) return send_at_once(shard, conn);
    send_issue(shard, conn);
}

/* There was no room for all of it: what was lent is given back before the peer has read. */
static void own_rest(struct shard *shard, struct conn *conn)
{
    conn->sending = outbuf_own(&shard->pool, conn->sending, conn->sent, conn_release_piece, shard);
    conn->sent = 0;
}

/* It was counted whole when it began. */
static void sent_at_once(struct shard *shard, struct conn *conn, int result)
{
    uint32_t bytes = conn->sending->bytes - conn->sent, sent = result > 0 ? (uint32_t)result : 0;
    conn->sends_now = false;
    conn->sent += sent;
    if (UNLIKELY(sent < bytes)) stats_count(&shard->stats.bytes_sent, (uint64_t)sent - bytes);
}

void conn_completed_send(struct shard *shard, struct conn *conn, int result)
{
    DCHECK(conn->send_in_kernel && conn->in_kernel > 0);
    conn->send_in_kernel = false;
    conn->in_kernel--;
    if (LIKELY(conn->sends_now)) {
        sent_at_once(shard, conn, result);
    } else if (result > 0) {
        conn->sent += (uint32_t)result;
        stats_count(&shard->stats.bytes_sent, (uint64_t)result);
    }
    if (conn->state == CONN_CLOSING) return conn_close_join(shard, conn);
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        if (conn->state != CONN_MOVING) return conn_end(shard, conn, CONN_END_RESET);
        outbuf_drop(shard, &conn->sending); /* its new home will hear of it */
        return conn_move_join(shard, conn);
    }
    if (conn->sent < outbuf_bytes(conn->sending)) { /* short: go on where it stopped, and wait for room */
        if (conn->sending->lends) own_rest(shard, conn);
        return send_issue(shard, conn);
    }
    conn->stage_log2 = stage_log2_for(conn->sending->bytes);
    outbuf_drop(shard, &conn->sending);
    if (conn->state == CONN_FINISHING) return finish_join(shard, conn);
    if (conn->state == CONN_MOVING) return conn_move_join(shard, conn);
    if (conn->wants_writable) {
        conn->wants_writable = false;
        shard->group->handler->writable(shard, conn);
    }
    if (conn->out || (conn->filters && filters_waiting(conn->filters))) shard_mark_dirty(shard, conn);
}

/* ---- ending ----------------------------------------------------------------------------------------------------- */

/* About what the kernel does for a close, in the next system call: for a crowd that leaves at once. */
#define CLOSE_COST_NS 10000
#define CLOSE_WORK    16

static void conn_released(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->in_kernel == 0 && conn->state == CONN_CLOSING);
    outbuf_drop(shard, &conn->sending);
    conn_carry_release(shard, conn);
    filters_release(conn->filters); /* they may look at what is the listener's: before it is counted off */
    listener_count(shard, conn->listener, -1);
    shard_conn_release(shard, conn);
}

/* Runs each time something the kernel borrowed comes back. A receive and a send keep the socket alive by themselves, so the descriptor goes
 * while they are being cancelled, in the same submission; whatever else is out there would look it up only later (kernel.h: shutdown). */
void conn_close_join(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_CLOSING);
    if (conn->fd_closed) {
        if (conn->in_kernel == 0) conn_released(shard, conn);
        return;
    }
    if (conn->in_kernel > (uint32_t)conn->receive_armed + conn->send_in_kernel) return;
    conn->fd_closed = true;
    shard->phase_until_ns -= CLOSE_COST_NS;
    shard_turn_work(shard, CLOSE_WORK);
    if (conn->in_kernel > 0) return shard->group->verbs->close_fd(shard->ring, conn->fd, 0); /* the last of those ends it */
    conn->in_kernel++; /* callers up the stack still look at it: not before the next turn */
    shard->group->verbs->close_fd(shard->ring, conn->fd, user_of_conn(USER_CLOSE, conn));
}

void conn_close(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_OPEN || conn->state == CONN_FINISHING);
    conn->state = CONN_CLOSING;
    wheel_stop(&shard->wheel, &conn->timer);
    outbuf_drop(shard, &conn->out);
    if (conn->filters) filters_drop_output(shard, conn);
    if (!conn->in_handler) conn_carry_release(shard, conn);
    conn_receive_cancel(shard, conn);
    if (conn->send_in_kernel) shard->group->verbs->cancel(shard->ring, user_of_conn(USER_SEND, conn));
    conn_close_join(shard, conn);
}

void conn_completed_close(struct shard *shard, struct conn *conn)
{
    conn->in_kernel--;
    conn_released(shard, conn);
}

static void linger_over(struct timer *timer, void *context)
{
    conn_close(context, CONTAINER_OF(timer, struct conn, timer));
}

/* All is sent: close, or say so and read until the peer has seen it. */
static void finish_join(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_FINISHING);
    if (conn->send_in_kernel) return;
    bool waits = conn->out || (conn->filters && (filters_waiting(conn->filters) || filters_end_next(conn->filters)));
    if (waits) return conn_send_staged(shard, conn);
    if (conn->ended || !conn->lingers) return conn_close(shard, conn);
    conn->in_kernel++; /* where it fails, the peer or the timer ends it */
    shard->group->verbs->shutdown(shard->ring, conn->fd, user_of_conn(USER_SHUTDOWN, conn));
}

void conn_completed_shutdown(struct shard *shard, struct conn *conn)
{
    conn->in_kernel--;
    if (conn->state == CONN_CLOSING) conn_close_join(shard, conn);
}

void conn_finish(struct shard *shard, struct conn *conn, bool linger)
{
    DCHECK(conn->state == CONN_OPEN);
    conn->state = CONN_FINISHING;
    conn->lingers = linger;
    conn->holds = 0;
    if (conn->filters && conn->filters->begins) { /* we opened it, and it never came to saying anything */
        conn->filters->begins = 0;
        outbuf_drop(shard, &conn->out);
    }
    if (!conn->in_handler) conn_carry_release(shard, conn);
    wheel_stop(&shard->wheel, &conn->timer);
    timer_init(&conn->timer, linger_over);
    shard_start_timer(shard, &conn->timer, LINGER_MS);
    if (!conn->receive_armed && !conn->stalled) conn_receive_again(shard, conn);
    finish_join(shard, conn);
}
