/* holds.h - why nothing is read from a client for the moment: one set of reasons per connection (conn->holds, engine/conn.h).
 *
 *     conn_hold(conn, HOLD_…)              a reason begins
 *     conn_release(shard, conn, HOLD_…)    it ends; reading goes on when it was the last one
 * So nobody who ends a reason of his own need know of the others. The connection's end ends all of them. */
#ifndef RINGMQ_BROKER_HOLDS_H
#define RINGMQ_BROKER_HOLDS_H

enum conn_hold_reason {
    HOLD_PACE = 1 << 0,      /* its subscribers or the shard cannot keep up: publisher_pause() */
    HOLD_UNREAD = 1 << 1,    /* it does not read our answers */
    HOLD_SUBSCRIBE = 1 << 2, /* the routes of its SUBSCRIBE are being laid */
    HOLD_CONNECT = 1 << 3,   /* its CONNECT waits for the disk (broker/durable/connect.c) */
    HOLD_GATE = 1 << 4,      /* a feature has answered LATER */
    HOLD_RATE = 1 << 5,      /* it has used up what a rate allows (broker/rates.h) */
    HOLD_TRACE = 1 << 6      /* a trace by address wants to know where it comes from, before its CONNECT (broker/watch/trace.h) */
};

/* It is disconnected at the end of this turn or a later one (session_kick()): never released. The bits are all given away, and this one is free again when
 * there is a session that can be kicked. */
#define HOLD_KICKED HOLD_CONNECT

/* Those in which it is we who do not listen: keep-alive is not counted meanwhile. */
#define HOLDS_OURS (HOLD_PACE | HOLD_SUBSCRIBE | HOLD_CONNECT | HOLD_GATE | HOLD_RATE)

#endif
