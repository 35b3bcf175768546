/* conn.h - a connection: a socket and its bytes. It knows no MQTT.
 *
 *   accepted ──► OPEN ──► MOVING ──► (freed here, OPEN on another shard)
 *                 │  └──► FINISHING (what is staged goes out, then the peer's end is awaited for a moment)
 *                 └─────► CLOSING  (nothing more; waits until the kernel has given everything back)
 *
 * Owner:    its shard. Threads: that shard only. Names: slot and generation (conn_name); a name outlives its connection
 *           harmlessly.
 * Lifetime: from the handler's accepted()/adopted() to its closed(), or to the conn_close()/conn_finish()/conn_move() that the
 *           layer above calls itself (closed() is not called then). After either the layer above forgets the pointer.
 * Units:    bytes; milliseconds of the shard's clock.
 * Two cache lines: all that a busy turn touches. What is rare is allocated on demand. */
#ifndef RINGMQ_ENGINE_CONN_H
#define RINGMQ_ENGINE_CONN_H

#include "base/check.h"
#include "base/wheel.h"
#include "engine/kernel.h"
#include "engine/outbuf.h"

struct shard;
struct conn_filters;

enum conn_state { CONN_FREE, CONN_OPEN, CONN_MOVING, CONN_FINISHING, CONN_CLOSING };

/* Why the engine ended a connection. */
enum conn_end {
    CONN_END_PEER,
    CONN_END_RESET,
    CONN_END_FILTER,  /* the peer broke the protocol of a filter */
    CONN_END_REFUSED, /* the handler's admit() said no */
    CONN_END_STOPPED
};

struct conn {
    int32_t fd;              /* the ring's direct descriptor, or an ordinary one */
    uint32_t slot;
    uint32_t generation;     /* of the slot; 24 bits are used */
    uint8_t state;           /* enum conn_state */
    uint8_t stage_log2;      /* about what the last send took: where the next stage begins */
    uint8_t listener;        /* number in the group's list */
    uint8_t move_to;         /* MOVING: the shard */
    uint8_t in_kernel;       /* operations that will still complete; one of each kind at most */
    uint8_t holds;           /* why nothing is handed up: the reasons of the layer above and HOLD_TURN, a bit each; 0: received() runs */
    bool receive_armed : 1;  /* a receive is in the kernel */
    bool receive_cancelled : 1;
    bool send_in_kernel : 1;
    bool dirty : 1;          /* on the shard's list of connections to send for */
    bool stalled : 1;        /* waits for free receive buffers */
    bool wants_writable : 1; /* tell the layer above when the stage has emptied */
    bool ended : 1;          /* the peer has said its last byte */
    bool lingers : 1;        /* FINISHING: see conn_finish() */
    bool urgent : 1;         /* the layer above expects acknowledgements: its bytes go before those of others */
    bool in_handler : 1;     /* received() is running: carry is handled by its caller */
    bool unadmitted : 1;     /* the handler's admit() has not been asked yet: nothing is received */
    bool settled : 1;        /* it has moved and will not again */
    bool fd_closed : 1;      /* CLOSING: the descriptor is the kernel's again; what it still holds of it completes on its own */
    bool sends_now : 1;      /* what is in the kernel is a send_now(), counted as sent already */
    bool waits_its_turn : 1; /* while a turn's completions are sorted: it has one that others may overtake, but not its own */
    uint32_t sent;           /* of `sending`, after a short send; of a free slot: the next one */
    struct outbuf *out;      /* being filled; NULL when nothing waits */
    struct outbuf *sending;  /* the kernel's */
    void *client;            /* the layer above's */
    uint64_t last_received_ms;
    struct conn_filters *filters; /* engine/filters.h; NULL: none */

    /* second line */
    uint8_t *carry;          /* bytes of a packet that has not arrived whole, or that came while held */
    uint32_t carry_start;    /* what lies before it has been used */
    uint32_t carry_bytes, carry_capacity;
    uint32_t carry_wanted;   /* total that makes the next call of received() worth it */
    void *move_baggage;
    struct timer timer;      /* the layer above's, until conn_finish() takes it */
};

_Static_assert(sizeof(struct conn) == 128, "two cache lines");

/* How received() answers: what it used, and how many bytes from there on it needs to go on (0: it stopped on purpose: a hold, or
 * shard_turn_spent()). */
struct conn_progress {
    size_t consumed;
    size_t wanted;
};

static inline uint64_t conn_name(const struct conn *conn) { return (uint64_t)conn->generation << 32 | conn->slot; }
/* NULL when that connection is gone. */
struct conn *conn_find(struct shard *shard, uint64_t name);

/* Room for `bytes` at the end of the stage; conn_commit() says how many were written. The connection's bytes leave at the
 * end of the turn. The pointer is good until the next call for this connection. */
uint8_t *conn_reserve_anew(struct shard *shard, struct conn *conn, uint32_t bytes); /* for conn_reserve() only */
static inline uint8_t *conn_reserve(struct shard *shard, struct conn *conn, uint32_t bytes)
{
    struct outbuf *out = conn->out;
    DCHECK(conn->state == CONN_OPEN);
    if (UNLIKELY(!out || out->capacity - out->bytes < bytes)) return conn_reserve_anew(shard, conn, bytes);
    return out->stage + out->bytes;
}
static inline void conn_commit(struct conn *conn, uint32_t bytes)
{
    DCHECK(conn->out->bytes + bytes <= conn->out->capacity);
    conn->out->bytes += bytes;
}
/* A reference to bytes that stay where they are; `owner` goes to the handler's release() once they have left. */
void conn_attach(struct shard *shard, struct conn *conn, const void *data, uint32_t bytes, void *owner);
/* The same for bytes of shard->receiving (the caller has looked): they leave from the kernel's buffer at the end of the turn. False: they could not leave
 * then and must be copied. */
bool conn_lend(struct shard *shard, struct conn *conn, struct span bytes);
/* More than this staged on one connection: conn_has_room() says no. */
#define STAGE_BYTES_MAX (64 * 1024)
/* False: too many references wait already, or too many bytes: use writable(). */
static inline bool conn_has_room(const struct conn *conn)
{
    const struct outbuf *out = conn->out;
    return !out || (out->bytes + out->pieces_bytes < STAGE_BYTES_MAX && out->pieces_count < OUTBUF_PIECES_MAX);
}
/* True when far more than a stage waits: deliveries stop at conn_has_room(), so these are answers that the peer does not read. */
static inline bool conn_is_flooded(const struct conn *conn) { return conn->out && conn->out->bytes >= 2 * STAGE_BYTES_MAX; }
/* Bytes not yet taken by the kernel. */
static inline uint64_t conn_backlog(const struct conn *conn)
{
    return outbuf_bytes(conn->out) + outbuf_bytes(conn->sending);
}

/* No more received() while there is a reason against it. `reason` is one bit of the layer above; to hold for one that is there already,
 * and to release one that is not, changes nothing. Inside received() return what was consumed and wanted = 0.
 * What arrives meanwhile is kept, and nothing is cancelled in the kernel until that is more than HOLD_BYTES_MAX. */
#define HOLD_BYTES_MAX (8 * 1024)
/* The engine's own reason, not to be used above: the turn's budget was spent in the middle of its bytes, it is on the list shard->rested. */
#define HOLD_TURN (1 << 7)
void conn_hold(struct conn *conn, uint8_t reason);
/* The same, and what is in the kernel's hands is cancelled at once: for a peer that should feel it. */
void conn_hold_firmly(struct shard *shard, struct conn *conn, uint8_t reason);
/* With the last reason gone, what has gathered is handed up at once; the connection may have ended when this returns. Not inside
 * received(). */
void conn_release(struct shard *shard, struct conn *conn, uint8_t reason);

/* Ends it at once. Bytes not yet sent are lost. */
void conn_close(struct shard *shard, struct conn *conn);
/* Sends what is staged and closes. With `linger`, for a peer that may still be sending: says FIN, and closes when the peer does or
 * after LINGER_MS; closing at once would answer its bytes with a reset, and a reset makes it forget our last packet. */
void conn_finish(struct shard *shard, struct conn *conn, bool linger);
/* Hands the connection to another shard, with the bytes that received() has not consumed; the handler's adopted() runs there
 * with `baggage`, or its move_failed() here. Nothing may be staged. */
void conn_move(struct shard *shard, struct conn *conn, uint32_t to_shard, void *baggage);

/* Inside received(): the block of the shard's pool in which the bytes at hand have gathered becomes the caller's, all of it, to be given back with
 * its size; all bytes must be consumed then. Only if they end at `end`; false: they lie elsewhere. */
bool conn_take_block(struct conn *conn, const uint8_t *end, uint8_t **ret_block, uint32_t *ret_bytes);

/* ---- the shard's side ------------------------------------------------------------------------------------------- */

#define LINGER_MS 2000

struct conn_handoff; /* a connection between two shards */

void conn_accepted(struct shard *shard, int fd, uint8_t listener);
/* A connection that we opened (an ordinary descriptor, blocking, connected or about to be), on a shard that accepts none. It is
 * counted on listener 0. NULL with errno: no slot is free, or the ring takes no more; fd is closed then. */
struct conn *conn_dialled(struct shard *shard, int fd);
void conn_adopt(struct shard *shard, struct conn_handoff *handoff, int fd);
/* True: the turn's budget was spent in the middle of it, and `completion` is now the rest. */
bool conn_completed_receive(struct shard *shard, struct conn *conn, struct kernel_completion *completion);
/* Goes on with those that the budget of an earlier turn has stopped (and that are not receives which wait as they are), the longest waiting first. */
void conn_rested_turn(struct shard *shard);
void conn_completed_send(struct shard *shard, struct conn *conn, int result);
void conn_completed_close(struct shard *shard, struct conn *conn);
void conn_completed_pass(struct shard *shard, struct conn *conn, int result);
void conn_completed_install(struct shard *shard, struct conn *conn, int fd);
void conn_completed_shutdown(struct shard *shard, struct conn *conn);
void conn_send_staged(struct shard *shard, struct conn *conn);
void conn_receive_again(struct shard *shard, struct conn *conn);

#endif
