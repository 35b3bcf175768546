/* ringmq_bench_shared.h - what the workers of a run and the one who directs them have in common.
 *
 * Workers are threads, of this process or of several; everything they share lies in memory mapped before the first fork.
 *
 *   the director sets `phase`  →  every worker does its part and says so in `done`  →  the next phase
 *
 * Owner:   the director (bench_run). Threads: fields are atomic, or written by one worker and read after its `done`. */
#ifndef RINGMQ_CMD_BENCH_SHARED_H
#define RINGMQ_CMD_BENCH_SHARED_H

#include <stdatomic.h>

#include "cmd/ringmq_bench_histogram.h"
#include "cmd/ringmq_bench_plan.h"
#include "cmd/ringmq_bench_track.h"

enum bench_phase {
    PHASE_START = 1, /* rings are opened                                                 done: they are */
    PHASE_OPEN,    /* clients connect and subscribe                                    done: all have */
    PHASE_FILL,    /* RETAIN, BURST: the messages are stored                           done: all are acknowledged */
    PHASE_WARM,    /* the load runs                                                    ended by the director */
    PHASE_MEASURE, /* ... and counts                              BURST: done when all have come; else ended by the director */
    PHASE_DRAIN,   /* nothing new; what is under way arrives                           done: nothing more is expected */
    PHASE_COUNT,   /* what has not come is lost                                        done */
    PHASE_CLEAN,   /* RETAIN, BURST: what was stored is removed                        done */
    PHASE_END      /* connections are closed                                           done: the thread ends */
};

/* One worker's results. */
struct bench_tally {
    uint64_t sent, received, bytes_received; /* in the measured time */
    int64_t missing;                         /* over the whole run */
    uint64_t duplicated, disordered;
    uint64_t unsent;                         /* open loop: due, but the broker pushed back */
    uint64_t rounds;                         /* CHURN: cycles; RETAIN: subscriptions; BURST: sessions. In the measured time */
    uint64_t resumed;                        /* TLS handshakes that a ticket made short, over the whole run */
    uint64_t idle_ns, measured_ns;           /* of the measured time: nothing to do; all of it */
    double user_seconds, system_seconds;     /* of the thread, in the measured time */
    struct histogram latency_ns;             /* message: due (sent) to arrived */
    struct histogram round_ns;               /* CHURN, RETAIN, BURST */
    struct histogram connect_ns;             /* dialled to CONNACK */
    struct histogram late_ns;                /* open loop: due to handed to the kernel */
    struct histogram ping_ns;                /* PINGREQ due to PINGRESP, in the measured time */
};

struct bench_lane { /* one worker's, as the director sees it */
    _Alignas(64) _Atomic uint32_t entered;   /* the phase it is in */
    _Atomic uint32_t done;                   /* the phase it has finished */
    _Atomic uint64_t connected;              /* CONNACKs so far (of OPEN) */
    _Atomic uint64_t ready;                  /* ... that have subscribed, too */
    _Atomic uint64_t expected, arrived;      /* deliveries over the whole run */
    _Atomic uint64_t acked;                  /* FILL, CLEAN: stored so far */
    _Atomic uint64_t rounds;
    struct bench_tally tally;
};

struct bench_shared {
    const struct bench_plan *plan;
    _Atomic uint32_t phase;
    _Atomic uint32_t failed;                 /* 1 + worker that said `failure` first */
    char failure[512];
    char congestion[16];                     /* of the first connection */
    char tls[80];                            /* "TLSv1.3, TLS_AES_128_GCM_SHA256", of the first; "": none */
    uint64_t start_ns;                       /* of WARM: the open loop's zero */
    uint32_t group_words;
    _Atomic uint32_t *sent;                  /* [publisher × streams]: how many so far */
    _Atomic uint64_t *delivered;             /* [worker × publisher]: arrived there; NULL where a worker has both ends */
    _Atomic uint64_t *group_seen;            /* SHARED: [publisher × group_words] */
    struct bench_lane *lanes;
};

struct bench_shared *shared_create(const struct bench_plan *plan);
void shared_destroy(struct bench_shared *shared);
/* The run is over: the first such sentence is told. */
void shared_fail(struct bench_shared *shared, uint32_t worker, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline bool shared_failed(const struct bench_shared *shared)
{
    return atomic_load_explicit(&shared->failed, memory_order_relaxed) != 0;
}

static inline struct group shared_group(const struct bench_shared *shared, uint32_t publisher)
{
    return (struct group){shared->group_seen + (size_t)publisher * shared->group_words, shared->group_words};
}

#endif
