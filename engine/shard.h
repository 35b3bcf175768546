/* shard.h - a shard: one thread, one ring, and the connections that live on it (design §4, §5).
 *
 * Threads: everything here is called on the shard's own thread, except where said. */
#ifndef RINGMQ_ENGINE_SHARD_H
#define RINGMQ_ENGINE_SHARD_H

#include <sys/socket.h>
#include <time.h>

#include "base/exemplar.h"
#include "base/spread.h"
#include "base/qsbr.h"
#include "base/random.h"
#include "base/settings.h"
#include "base/stats.h"
#include "base/wheel.h"
#include "engine/accept.h"
#include "engine/conn.h"
#include "engine/filters.h"
#include "engine/kernel.h"
#include "engine/listener.h"
#include "engine/mesh.h"
#include "engine/overload.h"

/* What the layer above does with connections and records. All calls come on the shard's thread; `shard->above` is its own. */
struct shard_handler {
    /* On the control thread: what the connections of a listener need (filled in: listener->admits, asks_peer, above), before its
     * sockets are opened; and its end, when no connection is left. False with a sentence in ret_error. Both NULL: nothing. */
    bool (*listener_open)(struct listener *listener, char *ret_error, size_t error_bytes);
    void (*listener_close)(struct listener *listener);
    void (*start)(struct shard *shard);
    void (*accepted)(struct shard *shard, struct conn *conn);
    /* After accepted(), on listeners with `admits`: may it come in? Then conn->filters are what its bytes go through (engine/filters.h).
     * Nothing is received before. `address`: who is at the other end of the socket, on listeners with `asks_peer` (NULL: cannot be
     * found out). False: it is closed, and closed() says so. NULL on handlers without such listeners. */
    bool (*admit)(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address);
    void (*adopted)(struct shard *shard, struct conn *conn, void *baggage);
    void (*move_failed)(struct shard *shard, void *baggage);
    struct conn_progress (*received)(struct shard *shard, struct conn *conn, struct span bytes);
    void (*writable)(struct shard *shard, struct conn *conn);
    void (*closed)(struct shard *shard, struct conn *conn, enum conn_end why);
    void (*release)(struct shard *shard, void *owner); /* of a piece given to conn_attach() */
    void (*record)(struct shard *shard, uint32_t from, const struct lane_cell *cells);
    /* The answer to shard_ask_peer(): NULL when the connection has gone. */
    void (*peer)(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address);
    /* The outcome of shard_write_sync(): as write_sync completes (engine/kernel.h). May be NULL if nobody calls that. */
    void (*file)(struct shard *shard, int32_t result);
    /* Something of the handler's is still in the kernel: the shard goes on turning though its connections have gone. May be NULL. */
    bool (*busy)(struct shard *shard);
    /* Once a turn, after completions, records and timers; true: there is more to do, don't sleep. */
    bool (*turn)(struct shard *shard);
    /* The end, in two steps on the control thread after all shards have stopped turning. stop(): release what other shards may
     * have lent (records still reach them); finish(): release the rest. */
    void (*stop)(struct shard *shard);
    void (*finish)(struct shard *shard);
};

/* What all shards of a node share. */
struct shard_group {
    uint32_t shards_count;
    const struct kernel_verbs *verbs;
    const struct shard_handler *handler;
    struct mesh *mesh;
    struct qsbr *qsbr;
    struct listener *listeners;        /* by number; LISTENERS_MAX of them where they come and go */
    uint32_t listeners_count;          /* at the start; the control thread opens and closes more */
    uint32_t packets_max, sorted_from; /* 0: PACKETS_PER_TURN_MAX, COMPLETIONS_SORTED_FROM; fewer in tests that want leftovers */
    uint32_t lends_from;               /* 0: LENDS_FROM; in tests */
    uint32_t crowd_from;               /* connections that are a crowd; 0: as in accept.c */
    _Atomic uint32_t *connections;     /* of all listeners; NULL: node.max_connections is not looked at */
};

/* Who is said to have done nothing for a second has had ten turns at least to be heard in. */
#define HEARD_MS_MAX 100

/* Histograms with exemplars. */
enum shard_exemplars { SHARD_EXEMPLARS_stage_route, SHARD_EXEMPLARS_publish_to_send, SHARD_EXEMPLARS };

struct shard {
    uint32_t number;
    clockid_t cpu_clock;  /* of its thread: any thread may ask how much it has used */
    bool stopping;        /* shard_stop() was called: leaves its loop when the last connection is gone */
    bool more_next_turn;  /* something was left over: the next turn does not sleep */
    bool lanes_full;      /* records wait for room in a lane: the next turn sleeps for a moment only */
    uint64_t lane_overflows_seen; /* stats.lane_overflows when lanes were last flushed */
    uint64_t now_ns;      /* read once a turn; monotonic */
    uint64_t now_ms;
    uint64_t heard_ms;    /* goes on with now_ms, but by HEARD_MS_MAX a turn: what came while the shard slept or stood still is heard in this turn and the next ones */
    const struct shard_group *group;
    struct mesh_way *ways; /* this shard's, by the shard they lead to */
    struct mesh_row *row;            /* where it has something for others */
    struct mesh_inbox *inbox;        /* who has something for it */
    const struct settings *settings;
    struct kernel_ring *ring;
    const struct kernel_features *features;
    void *above;          /* the handler's */

    struct conn *conns;   /* by slot; pages come with use */
    uint32_t conns_capacity, conns_used, conns_open;
    uint32_t conns_free;  /* head of the list of free slots, linked through `sent`; UINT32_MAX ends it */
    uint32_t *dirty;      /* slots to send for at the end of the turn */
    uint32_t dirty_count;
    struct {              /* the sends of a fan-out that takes several turns: dirty_send_some() */
        uint32_t left;    /* at the front of `dirty`: those that were there when the round began */
        bool over;        /* with the last turn; how long it took is known when its sends have been submitted */
        uint64_t began_ns, sends, messages;
        uint64_t rest_until_ns; /* 0: it does not rest */
    } round;
    struct {              /* the receive that is being handed up, if its bytes may be lent; else bytes is 0. See conn_lend() */
        const uint8_t *data;
        uint32_t bytes, buffer;
    } receiving;
    uint32_t lends_from;
    uint32_t lent;        /* pieces of receive buffers on their way out: given back when their sends are over, in the next turn */
    uint64_t settled_turn; /* the last turn that began with settle() */
    uint32_t *stalled;    /* slots whose receive waits for buffers */
    uint32_t stalled_count, stalled_capacity;
    uint64_t *rested;     /* names of connections that a turn's budget has stopped in the middle of what they had, in order */
    uint32_t rested_count, rested_capacity;
    uint64_t *later;      /* names of connections whose filter waits for an expensive step, in order */
    uint32_t later_head, later_count, later_capacity;
    bool later_rests;     /* the settings allow no more steps for the moment */
    uint64_t later_credit, later_earned_ms;
    struct timer later_timer;
    uint64_t *parked;     /* names of connections whose filter waits for another thread */
    uint32_t parked_count, parked_capacity;
    struct timer parked_timer; /* runs while there are any */
    uint8_t *filter_rooms[FILTER_LEVELS_MAX], *filter_gather; /* scratch, made at the first use */

    struct pool pool;
    struct wheel wheel;
    struct random_source random;
    struct timer accept_retry;
    struct acceptor acceptors[LISTENERS_MAX]; /* by the listener's number */
    uint32_t acceptors_count;                 /* numbers below were used */
    uint32_t accept_rate, accept_burst;       /* of the node, see acceptors_limit() */
    uint64_t accept_tokens_ns;                /* as an acceptor's */
    struct accept_crowd crowd;
    struct overload overload;
    struct overload_settings overload_settings; /* the newest: the layer above hands them on */
    uint64_t last_event_ns;
    uint32_t turn_receives;  /* receives of this turn, and the packets the layer above found in them (it counts those): */
    uint32_t turn_packets;   /* how much arrives together decides whether waiting for more pays */
    uint32_t turn_look_at;   /* the clock is looked at when turn_packets has come so far, see shard_turn_spent() */
    uint32_t look_every;     /* WORK_PER_LOOK; in tests: the packets that end a phase, whatever the clock says, */
    uint32_t sends_most;     /* and the sends that end a turn; else UINT32_MAX */
    uint32_t sends_uncounted; /* fewer are not looked at */
    bool turn_spent;         /* no more input in this phase of the turn */
    uint64_t phase_until_ns; /* when its input ends */
    uint64_t step_ns, step_until_ns; /* see shard_step_over(); until 0: it has not been asked yet */
    uint64_t budget_ns;      /* io.turn_budget */
    struct turn_clock_marks *marks; /* NULL: turns are measured by the time that passes alone */
    uint32_t gathering;      /* recent packets per receive, times 256 */
    struct kernel_completion *completions;
    uint32_t packets_max, sorted_from; /* see PACKETS_PER_TURN_MAX, COMPLETIONS_SORTED_FROM */
    struct kernel_completion *completions_aside; /* scratch, made at the first use */
    uint32_t completions_left; /* at the front: those the last turn had no time for */
    uint32_t completions_next, completions_until; /* while one is handled: those of this turn behind it, for received() to look at ahead */
    struct stats stats;
    struct spread spreads[SPREADS];
    struct exemplars exemplars[SHARD_EXEMPLARS];
    bool sampling;           /* the layer above: the packet at hand is a sample */
    bool sampled_named;      /* sampled_names are those of that sample; false: nobody wants exemplars */
    uint64_t sampled_ns;     /* when a sample of this turn was routed; 0: there was none */
    struct exemplar_names sampled_names;
    uint32_t lane_fullest;   /* cells in the fullest lane to this shard since lane_since_ms, see lanes_measure() */
    uint64_t lane_since_ms;
};

/* A turn handles at most so many of each, so that nobody starves (design §5). Packets: of connections that are not urgent; the
 * receive that goes beyond is finished. */
#define COMPLETIONS_PER_TURN_MAX 1024
#define PACKETS_PER_TURN_MAX     2048
/* The same in time: io.turn_budget (decision 0027). The turn's work comes in phases: what earlier turns have left over in connections, receives of
 * those who owe acknowledgements, other receives, what other shards send, timers, the layer above. Each has its part of the budget and begins whatever
 * the others have used, so none starves; the clock is looked at every WORK_PER_LOOK pieces of work. */
#define WORK_PER_LOOK    64
#define TURN_BUDGET_US   500 /* where the settings name none */
/* Receives of fewer bytes are copied sooner than kept until what they brought has left, and so are messages of less than a sixteenth of it. */
#define LENDS_FROM       (8 * 1024)
#define LENDS_SHARE      16
/* With fewer completions than this their order makes no difference that anybody could notice. */
#define COMPLETIONS_SORTED_FROM  32
#define RECORDS_PER_LANE_TURN_MAX 2048
#define TIMERS_PER_LOOK          64

/* Opens the ring; to be called on the thread that will run it. NULL with a sentence in ret_error. */
struct shard *shard_create(uint32_t number, const struct shard_group *group, const struct settings *settings,
                           const int *listener_fds, uint64_t seed, void *above, char *ret_error, size_t error_bytes);
/* Hands over the records that wait; returns how many. For node_destroy(), when no thread runs. */
uint32_t shard_settle(struct shard *shard);
void shard_destroy(struct shard *shard);
void shard_start(struct shard *shard);
/* One turn; sleeps at most `sleep_ns` when there is nothing to do. */
void shard_turn(struct shard *shard, uint64_t sleep_ns);
/* Turns until stopped. */
void shard_run(struct shard *shard);
/* Closes the listeners and all connections the layer above has not closed; the shard is done when shard_done(). */
void shard_stop(struct shard *shard);
static inline bool shard_done(const struct shard *shard) { return shard->stopping && shard->conns_open == 0; }
/* Stops accepting; connections stay. */
void shard_stop_accepting(struct shard *shard);

static inline void shard_send(struct shard *shard, uint32_t to, const struct lane_cell *cells, uint32_t count)
{
    mesh_send(shard->group->mesh, shard->number, to, cells, count, &shard->stats);
}

/* The budget of the phase at hand is spent: whoever takes bytes in stops behind the packet at hand and answers {consumed, 0}; the next turn goes on
 * there. Asked behind every packet: two loads and a comparison, and a look at the clock every WORK_PER_LOOK. */
bool shard_turn_look(struct shard *shard); /* for shard_turn_spent() only */
static inline bool shard_turn_spent(struct shard *shard)
{
    if (LIKELY((int32_t)(shard->turn_packets - shard->turn_look_at) < 0)) return false;
    return shard_turn_look(shard);
}
/* A packet that costs as much as `pieces` others (a fan-out): the clock is looked at the sooner. */
static inline void shard_turn_work(struct shard *shard, uint32_t pieces) { shard->turn_look_at -= pieces; }

/* For work that is no input and can go on in a later turn: shard_step_begin(), and between pieces of some microseconds shard_step_over(), which reads
 * the clock and counts from the first time: half a budget. Whoever stops because of it sees to it that the next turn goes on (handler->turn() answers
 * true). Steps do not nest. */
static inline void shard_step_of(struct shard *shard, uint64_t ns) { shard->step_ns = ns, shard->step_until_ns = 0; }
static inline void shard_step_begin(struct shard *shard) { shard_step_of(shard, shard->budget_ns / 2); }
bool shard_step_over(struct shard *shard);

static inline void shard_start_timer(struct shard *shard, struct timer *timer, uint64_t in_ms)
{
    wheel_start(&shard->wheel, timer, shard->now_ms + in_ms);
}
static inline void shard_stop_timer(struct shard *shard, struct timer *timer) { wheel_stop(&shard->wheel, timer); }

/* Who is at the other end? Answered by the handler's peer(), at once or later. */
void shard_ask_peer(struct shard *shard, struct conn *conn);

/* The one write a shard may have under way (engine/kernel.h: write_sync); answered by the handler's file(). */
void shard_write_sync(struct shard *shard, int fd, const void *data, uint32_t bytes, uint64_t offset);

/* ---- for engine/ only ------------------------------------------------------------------------------------------- */

enum user_kind { USER_ACCEPT = 1, USER_RECEIVE, USER_SEND, USER_CLOSE, USER_PASS, USER_ADOPT, USER_INSTALL, USER_SHUTDOWN,
                 USER_FILE };
enum {
    RECORD_ADOPT = 1,
    RECORD_LISTENER_OPEN,  /* b: number | socket << 32 */
    RECORD_LISTENER_CLOSE  /* b: number */
};

static inline uint64_t user_of_conn(enum user_kind kind, const struct conn *conn)
{
    return (uint64_t)kind << 56 | (uint64_t)(conn->generation & 0xffffff) << 32 | conn->slot;
}
void shard_mark_dirty(struct shard *shard, struct conn *conn);
/* One send for each that is marked, or, when they are very many, for some of them: the end of the turn (shard_sends.c). */
void shard_sends(struct shard *shard);
#define SENDS_PER_LOOK 32 /* so many are not counted, nor is the clock looked at: those of filters are encrypted there */
void shard_mark_stalled(struct shard *shard, struct conn *conn);
struct conn *shard_conn_acquire(struct shard *shard);
void shard_conn_release(struct shard *shard, struct conn *conn);

#endif
