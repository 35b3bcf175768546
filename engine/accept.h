/* accept.h - how connections come to a shard: its accepts, their rate, and when they rest. For engine/ only.
 *
 * Threads: the shard's own; the control thread sends RECORD_LISTENER_OPEN and _CLOSE. */
#ifndef RINGMQ_ENGINE_ACCEPT_H
#define RINGMQ_ENGINE_ACCEPT_H

#include "engine/kernel.h"
#include "engine/listener.h"

struct shard;

/* One listener on one shard. */
struct acceptor {
    int fd;          /* -1: none */
    bool armed;      /* an accept is in the kernel */
    bool cancelled;  /* and was cancelled */
    bool closing;    /* the control thread waits for its end */
    uint64_t tokens_ns; /* max_conn_rate: when the next connection may come, on a clock that runs up to a burst behind */
};

/* Connections come so fast that they are gathered: see accept.c, and CROWD_NS in shard.c. */
struct accept_crowd {
    bool on;
    uint32_t count;       /* since since_ms */
    uint64_t since_ms, until_ms;
    uint64_t messages, messages_ms; /* seen so far, and when the last was */
};

void acceptors_init(struct shard *shard, const int *listener_fds);
/* Arms what should be and is not: at the start, after a rest, after a change. */
void acceptors_arm(struct shard *shard);
/* Connections per second of all listeners and shards together (0: no limit), and how many at once (0: what a second allows). */
void acceptors_limit(struct shard *shard, uint32_t per_s, uint32_t burst);
/* Once a turn while shard->crowd.on: accepts whoever waits, and looks whether it is over. */
void acceptors_crowd(struct shard *shard);
/* Takes all accepts back for a while (overload). */
void acceptors_rest(struct shard *shard);
void accept_completed(struct shard *shard, const struct kernel_completion *completion);
/* The control thread's requests: number of the listener, and its socket. */
void accept_open(struct shard *shard, uint32_t listener, int fd);
void accept_close(struct shard *shard, uint32_t listener);
/* A connection more (or less) on the listener it came by. */
void listener_count(const struct shard *shard, uint32_t listener, int change);

#endif
