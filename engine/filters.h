/* filters.h - the filters of one connection (base/filter.h): bytes go up through them on receiving and down on sending.
 *
 *     conn->out ──► plain ──► (prefix, send) ──► conn->sending         what is staged in a turn leaves as one batch: one WebSocket
 *                                                                       frame, as few TLS records as hold it
 *
 * Level 0 is next to the socket. Made by the handler's admit(), owned by the connection, moves with it between shards.
 * Memory: malloc, 64 bytes and what the filters need. */
#ifndef RINGMQ_ENGINE_FILTERS_H
#define RINGMQ_ENGINE_FILTERS_H

#include "base/filter.h"
#include "engine/conn.h"

#define FILTER_LEVELS_MAX 3

struct conn_filters {
    uint8_t count;
    uint8_t transparent; /* a bit per level: all bytes pass by */
    uint8_t to_send;     /* a bit per level: has bytes of its own */
    uint8_t ended_from;  /* levels from here on were told that the connection ends */
    uint8_t prefix_bytes; /* room at the front of every stage */
    int8_t transformer;  /* the level whose send() changes bytes; -1: none */
    uint8_t begins;      /* of a connection that we opened: 1 + the level whose handshake is on; 0: all are over, or it came */
    bool later;          /* waits on one of the shard's lists: for its next expensive step, or for another thread's answer */
    bool send_failed;    /* nothing more can be sent */
    uint32_t held_bytes, held_capacity;
    struct filter *levels[FILTER_LEVELS_MAX];
    uint8_t *held;       /* input of the level that said LATER */
    struct outbuf *plain; /* is going through the transformer in slices; `plain_sent` of it is done */
    uint64_t plain_sent;
};

/* ---- for those who choose a connection's filters ------------------------------------------------------------------ */

struct conn_filters *filters_create(void);
/* Takes the filter; the next level up. */
void filters_add(struct conn_filters *filters, struct filter *filter);
void filters_release(struct conn_filters *filters); /* accepts NULL */
/* What the filters know about the peer: the uppermost that knows anything. */
struct span filters_fact(const struct conn_filters *filters, enum filter_fact fact); /* accepts NULL */
/* True when every handshake is over. */
bool filters_open(const struct conn_filters *filters); /* accepts NULL */

/* Of a connection that we opened (conn_dialled()), after its filters were added and before anything is staged: what is staged waits
 * until every handshake is over. */
void filters_begin(struct shard *shard, struct conn *conn);
/* Why the connection failed, by the filter that said so; "": none did. */
const char *filters_reason(const struct conn_filters *filters); /* accepts NULL */

/* ---- for the engine ------------------------------------------------------------------------------------------------ */

/* Bytes from the socket: through the filters to conn_input(). */
void filters_input(struct shard *shard, struct conn *conn, uint8_t *data, size_t bytes);
/* Something is to be sent that is not in the stage. */
static inline bool filters_waiting(const struct conn_filters *filters) { return filters->plain || filters->to_send; }
/* Makes conn->sending (and conn->sent: what of it must not leave) from what waits. False: nothing does. */
bool filters_prepare(struct shard *shard, struct conn *conn);
/* Tells the next level that the connection ends. False: all know. */
bool filters_end_next(struct conn_filters *filters);
/* Drops what was going to be sent. */
void filters_drop_output(struct shard *shard, struct conn *conn);
/* Filters that wait for their next expensive step, a few a turn. True: some still wait. */
bool filters_later_turn(struct shard *shard);

/* Filters that wait for another thread, asked once in FILTERS_PARKED_MS while there are any. */
#define FILTERS_PARKED_MS 4

/* Filters that take an expensive step in one turn: 0.3 to 0.7 ms each, which is what everybody else on the shard waits. */
#define FILTERS_LATER_PER_TURN 1

#endif
