#include "engine/shard.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/prefetch.h"
#include "engine/accept.h"
#include "engine/filters.h"
#include "engine/listener.h"
#include "engine/mesh_one.h"

#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

/* ---- connection slots ------------------------------------------------------------------------------------------- */

struct conn *shard_conn_acquire(struct shard *shard)
{
    uint32_t slot = shard->conns_free;
    if (slot != UINT32_MAX)
        shard->conns_free = shard->conns[slot].sent;
    else if (shard->conns_used < shard->conns_capacity)
        slot = shard->conns_used++;
    else
        return NULL;
    struct conn *conn = &shard->conns[slot];
    uint32_t generation = conn->generation ? conn->generation : 1; /* so that no name is 0, which stands for none */
    *conn = (struct conn){.slot = slot, .generation = generation, .state = CONN_OPEN};
    timer_init(&conn->timer, NULL);
    shard->conns_open++;
    stats_count(&shard->stats.connections, 1);
    return conn;
}

void shard_conn_release(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->in_kernel == 0 && !conn->out && !conn->sending && !conn->carry && !timer_running(&conn->timer));
    conn->state = CONN_FREE;
    conn->generation = (conn->generation + 1) & 0xffffff;
    conn->client = NULL;
    conn->filters = NULL;
    conn->sent = shard->conns_free;
    shard->conns_free = conn->slot;
    shard->conns_open--;
    stats_count(&shard->stats.connections, (uint64_t)-1);
}

void shard_mark_stalled(struct shard *shard, struct conn *conn)
{
    if (conn->stalled) return;
    conn->stalled = true;
    if (shard->stalled_count == shard->stalled_capacity) {
        shard->stalled_capacity = shard->stalled_capacity ? shard->stalled_capacity * 2 : 64;
        shard->stalled = memory_resize(shard->stalled, shard->stalled_capacity * sizeof *shard->stalled);
    }
    shard->stalled[shard->stalled_count++] = conn->slot;
}

/* ---- completions ------------------------------------------------------------------------------------------------ */

#define ACCEPT_WORK 8 /* packets that it costs as much as */

static struct conn *completion_conn(struct shard *shard, const struct kernel_completion *completion)
{
    uint32_t slot = (uint32_t)completion->user;
    DCHECK(slot < shard->conns_used);
    struct conn *conn = &shard->conns[slot];
    /* A slot is released only when the kernel holds nothing of it, so a stale name cannot arrive. */
    CHECK(conn->state != CONN_FREE && (completion->user >> 32 & 0xffffff) == conn->generation);
    return conn;
}

/* Neither receive nor send. */
static void completion_handle(struct shard *shard, const struct kernel_completion *completion)
{
    if (completion->flags & KERNEL_WAKE || completion->user == 0) return; /* user 0: close of a connection that never was */
    switch ((enum user_kind)(completion->user >> 56)) {
    case USER_ACCEPT: shard_turn_work(shard, ACCEPT_WORK); return accept_completed(shard, completion);
    case USER_ADOPT: return conn_adopt(shard, (struct conn_handoff *)(uintptr_t)(completion->user & RECORD_POINTER_MASK), completion->result);
    case USER_FILE: return shard->group->handler->file(shard, completion->result);
    case USER_CLOSE: return conn_completed_close(shard, completion_conn(shard, completion));
    case USER_PASS: return conn_completed_pass(shard, completion_conn(shard, completion), completion->result);
    case USER_INSTALL: return conn_completed_install(shard, completion_conn(shard, completion), completion->result);
    case USER_SHUTDOWN: return conn_completed_shutdown(shard, completion_conn(shard, completion));
    case USER_RECEIVE:
    case USER_SEND: break;
    }
    UNREACHABLE("a completion of no kind");
}

/* True: the budget was spent in the middle of it, the rest waits. */
static bool completion_take(struct shard *shard, struct kernel_completion *completion)
{
    enum user_kind kind = (enum user_kind)(completion->user >> 56);
    if (LIKELY(kind == USER_RECEIVE)) return conn_completed_receive(shard, completion_conn(shard, completion), completion);
    if (LIKELY(kind == USER_SEND)) return conn_completed_send(shard, completion_conn(shard, completion), completion->result), false;
    return completion_handle(shard, completion), false;
}

/* No message fits into so few bytes: a ping, an answer, a farewell. They take next to nothing, and somebody counts the time until he is answered. */
#define RECEIVE_BYTES_SMALL 4

/* To be asked of each completion in their order: what comes behind one of the same connection that is not urgent is not, either. */
static bool completion_is_urgent(struct shard *shard, const struct kernel_completion *completion)
{
    if (completion->user >> 56 != USER_RECEIVE) return true;
    struct conn *conn = &shard->conns[(uint32_t)completion->user];
    if (conn->urgent) return true;
    bool small = completion->result > 0 && completion->result <= RECEIVE_BYTES_SMALL && !(completion->flags & KERNEL_REST);
    if (small && !conn->waits_its_turn) return true;
    conn->waits_its_turn = true;
    return false;
}

static void completion_prefetch(const struct shard *shard, uint32_t at, uint32_t count)
{
    if (at + 2 < count) prefetch(&shard->conns[(uint32_t)shard->completions[at + 2].user]); /* of no connection: any address will do */
}

/* Input may be taken until then, from the beginning of the turn: in any case some. */
static void phase_begin(struct shard *shard, uint64_t until_ns)
{
    shard->turn_spent = false;
    shard->phase_until_ns = shard->now_ns + until_ns;
    shard->turn_look_at = shard->turn_packets + shard->look_every;
}

bool shard_turn_look(struct shard *shard)
{
    if (shard->turn_spent) return true;
    shard->turn_spent = shard->sends_most != UINT32_MAX || shard->group->verbs->monotonic_ns(shard->ring) > shard->phase_until_ns;
    shard->turn_look_at = shard->turn_packets + (shard->turn_spent ? 0 : WORK_PER_LOOK);
    return shard->turn_spent;
}

bool shard_step_over(struct shard *shard)
{
    uint64_t now_ns = shard->group->verbs->monotonic_ns(shard->ring);
    if (shard->step_until_ns == 0) shard->step_until_ns = now_ns + shard->step_ns;
    return now_ns > shard->step_until_ns;
}

/* Handles those that must not wait behind a crowd of publishers (everything but receives, the smallest of these, and receives of whoever has
 * acknowledgements to send: they make room for what the others bring) and closes the gaps. Who is urgent is looked up before anything is
 * handled, so that one connection's receives keep their order. Returns how many remain. */
static uint32_t completions_urgent(struct shard *shard, uint32_t count)
{
    struct kernel_completion *completions = shard->completions;
    uint32_t remaining = 0;
    for (uint32_t i = 0; i < count; i++) {
        completion_prefetch(shard, i, count);
        completions[i].flags &= ~(uint32_t)KERNEL_URGENT;
        if (completion_is_urgent(shard, &completions[i])) completions[i].flags |= KERNEL_URGENT;
    }
    phase_begin(shard, shard->budget_ns / 4 * 3);
    shard->completions_until = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t kind = completions[i].user >> 56;
        if (!(completions[i].flags & KERNEL_URGENT)) shard->conns[(uint32_t)completions[i].user].waits_its_turn = false;
        bool costs = kind == USER_RECEIVE || kind == USER_ACCEPT; /* the others take little, and what they free is needed */
        shard->completions_next = i + 1;
        bool now = completions[i].flags & KERNEL_URGENT && !(costs && shard_turn_spent(shard));
        if (!now || completion_take(shard, &completions[i])) completions[remaining++] = completions[i];
    }
    return remaining;
}

/* Whoever has used up the budget had its part of this turn: what its connection has received goes behind the others that wait. */
static void goes_back(struct shard *shard, uint64_t user)
{
    struct kernel_completion *completions = shard->completions;
    uint32_t count = shard->completions_left, kept = 0, set_aside = 0;
    if (!shard->completions_aside) shard->completions_aside = memory_acquire(COMPLETIONS_PER_TURN_MAX * sizeof *completions);
    for (uint32_t i = 0; i < count; i++)
        if (completions[i].user == user)
            shard->completions_aside[set_aside++] = completions[i];
        else
            completions[kept++] = completions[i];
    memcpy(completions + kept, shard->completions_aside, set_aside * sizeof *completions);
}

static void completions_handle(struct shard *shard, uint32_t count)
{
    struct kernel_completion *completions = shard->completions;
    stats_count(&shard->stats.completions, count - shard->completions_left);
    if (count >= shard->sorted_from) count = completions_urgent(shard, count);
    phase_begin(shard, shard->budget_ns);
    uint32_t budget = shard->turn_packets + shard->packets_max, i = 0;
    uint64_t user = 0;
    shard->completions_until = count;
    for (; i < count && shard->turn_packets < budget && !shard_turn_spent(shard); i++) {
        completion_prefetch(shard, i, count);
        user = completions[i].user;
        shard->completions_next = i + 1;
        if (UNLIKELY(completion_take(shard, &completions[i]))) break;
    }
    shard->completions_left = count - i;
    shard->completions_next = shard->completions_until = 0;
    if (LIKELY(i == count)) return;
    memmove(completions, completions + i, (count - i) * sizeof *completions);
    if (shard->turn_spent) goes_back(shard, user);
}

void shard_write_sync(struct shard *shard, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    shard->group->verbs->write_sync(shard->ring, fd, data, bytes, offset, (uint64_t)USER_FILE << 56);
}

void shard_ask_peer(struct shard *shard, struct conn *conn)
{
    conn->in_kernel++;
    if (shard->features->direct_descriptors)
        shard->group->verbs->install(shard->ring, conn->fd, user_of_conn(USER_INSTALL, conn));
    else
        conn_completed_install(shard, conn, conn->fd);
}

/* ---- the turn --------------------------------------------------------------------------------------------------- */

static inline void record_take(void *context, uint32_t from, const struct lane_cell *cells)
{
    struct shard *shard = context;
    if (LIKELY(record_kind(cells) >= RECORD_KIND_FIRST)) return shard->group->handler->record(shard, from, cells);
    switch (record_kind(cells)) {
    case RECORD_ADOPT: return conn_adopt(shard, record_pointer(cells), -1);
    case RECORD_LISTENER_OPEN: return accept_open(shard, (uint32_t)cells->b, (int)(cells->b >> 32));
    case RECORD_LISTENER_CLOSE: return accept_close(shard, (uint32_t)cells->b);
    }
    UNREACHABLE("a record of no kind");
}

static bool step_over(void *shard) { return shard_step_over(shard); }

static uint32_t timers_expire(struct shard *shard)
{
    if (!wheel_due(&shard->wheel, shard->now_ms)) return 0;
    uint32_t now = wheel_expire(&shard->wheel, shard->now_ms, TIMERS_PER_LOOK, shard), fired = now;
    if (LIKELY(now < TIMERS_PER_LOOK)) return fired;
    shard_step_begin(shard);
    while (now == TIMERS_PER_LOOK && !shard_step_over(shard)) {
        now = wheel_expire(&shard->wheel, shard->now_ms, TIMERS_PER_LOOK, shard);
        fired += now;
    }
    shard->more_next_turn |= now == TIMERS_PER_LOOK;
    return fired;
}

/* Whoever has filled a lane has nothing better to do than to wait for its reader, who may need this very core; at worst the reader has
 * emptied the lane and sleeps for so long. */
#define LANE_FULL_NS (50 * NS_PER_US)

/* In a crowd of connections (accept.c) a shard with nothing to do sleeps for so long, and then does all at once: each of them is a few
 * packets at some distance, and would wake it for every one. */
#define CROWD_NS (200 * NS_PER_US)

static uint64_t sleep_limit_ns(const struct shard *shard, uint64_t sleep_ns)
{
    if (shard->more_next_turn) return 0;
    if (UNLIKELY(shard->lanes_full) && sleep_ns > LANE_FULL_NS) sleep_ns = LANE_FULL_NS;
    if (UNLIKELY(shard->crowd.on) && sleep_ns > CROWD_NS) sleep_ns = CROWD_NS;
    if (UNLIKELY(shard->round.rest_until_ns)) {
        uint64_t now_ns = shard->group->verbs->monotonic_ns(shard->ring), until_ns = shard->round.rest_until_ns;
        uint64_t rest_ns = until_ns > now_ns ? until_ns - now_ns : 0;
        if (rest_ns < sleep_ns) sleep_ns = rest_ns;
    }
    uint64_t next_ms = wheel_next_ms(&shard->wheel);
    if (next_ms == WHEEL_NEVER) return sleep_ns;
    uint64_t next_ns = next_ms * NS_PER_MS;
    uint64_t until_ns = next_ns > shard->now_ns ? next_ns - shard->now_ns : 0;
    return until_ns < sleep_ns ? until_ns : sleep_ns;
}

/* Looks for events without a system call for a short while after the last one. */
static bool shard_spin(struct shard *shard)
{
    uint64_t spin_ns = shard->settings->io.spin_us * NS_PER_US;
    if (spin_ns == 0) return false;
    const struct kernel_verbs *verbs = shard->group->verbs;
    while (verbs->monotonic_ns(shard->ring) - shard->last_event_ns < spin_ns) {
        if (verbs->ready(shard->ring) || mesh_inbox_waits(shard->inbox)) return true;
        __builtin_ia32_pause();
    }
    return false;
}

/* With several packets to a receive, a wait that goes on collecting for a moment makes larger batches of everything: fewer
 * sends, fewer turns. With one packet to a receive (each client waits for its answer) it would only cost time. */
#define GATHER_NS        (50 * NS_PER_US)
#define GATHER_FROM      (3 * 256 / 2) /* 1.5 packets a receive */
#define GATHER_WEIGHT    16

static uint64_t gather_ns(const struct shard *shard)
{
    if (UNLIKELY(shard->crowd.on)) return CROWD_NS;
    if (UNLIKELY(shard->round.rest_until_ns)) return UINT64_MAX; /* the whole rest */
    return shard->gathering >= GATHER_FROM ? GATHER_NS : 0;
}

static void gather_learn(struct shard *shard)
{
    if (shard->turn_receives == 0) { /* the rest of what came before */
        shard->turn_packets = 0;
        return;
    }
    uint32_t now = shard->turn_packets * 256 / shard->turn_receives;
    if (now > 64 * 256) now = 64 * 256;
    shard->gathering += (int32_t)(now - shard->gathering) / GATHER_WEIGHT;
    shard->turn_receives = shard->turn_packets = 0;
}

/* What was lent in the last turn is sent first, so that what comes in now finds the buffers; every other turn takes in what comes. */
static uint32_t shard_wait(struct shard *shard, uint64_t sleep_ns)
{
    const struct shard_group *group = shard->group;
    uint64_t limit_ns = mesh_inbox_waits(shard->inbox) ? 0 : sleep_limit_ns(shard, sleep_ns);
    uint32_t left = shard->completions_left;
    if (UNLIKELY(shard->lent) && shard->stats.turns != shard->settled_turn + 1) {
        shard->settled_turn = shard->stats.turns;
        return left + group->verbs->settle(shard->ring, shard->completions + left, COMPLETIONS_PER_TURN_MAX - left);
    }
    if (limit_ns > 0 && shard_spin(shard)) limit_ns = 0;
    bool sleeps = limit_ns > 0 && mesh_may_sleep(group->mesh, shard->number);
    if (!sleeps)
        return left + group->verbs->wait(shard->ring, 0, 0, shard->completions + left, COMPLETIONS_PER_TURN_MAX - left);
    DCHECK(left == 0);
    qsbr_sleep(group->qsbr, shard->number);
    uint64_t gather = gather_ns(shard);
    uint32_t count = group->verbs->wait(shard->ring, limit_ns, gather < limit_ns ? gather : limit_ns, shard->completions, COMPLETIONS_PER_TURN_MAX);
    qsbr_wake(group->qsbr, shard->number);
    mesh_awake(group->mesh, shard->number);
    if (count == 0) shard->gathering = 0; /* quiet: the next wait is a plain one */
    return count;
}

static void shard_set_now(struct shard *shard)
{
    uint64_t before_ms = shard->now_ms;
    shard->now_ns = shard->group->verbs->monotonic_ns(shard->ring);
    shard->now_ms = shard->now_ns / NS_PER_MS;
    uint64_t passed_ms = shard->now_ms - before_ms;
    shard->heard_ms += passed_ms < HEARD_MS_MAX ? passed_ms : HEARD_MS_MAX;
}

static void stalled_receive_again(struct shard *shard)
{
    uint32_t count = shard->stalled_count;
    shard->stalled_count = 0;
    for (uint32_t i = 0; i < count; i++)
        conn_receive_again(shard, &shard->conns[shard->stalled[i]]);
}

/* io.turn_clock = processor: what the thread had used when each part of the turn had ended. */
enum turn_part { TURN_WAIT, TURN_INPUT, TURN_LANES, TURN_ABOVE, TURN_SENDS, TURN_PARTS };
struct turn_clock_marks {
    uint64_t used_ns[TURN_PARTS];
    uint32_t packets;
    struct rusage wait; /* when the wait was over: pages that the thread has touched first, and how often it has left the processor */
};
#define LONG_TURN_NS (2 * NS_PER_MS)

static void turn_mark(struct shard *shard, enum turn_part part)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    shard->marks->used_ns[part] = (uint64_t)used.tv_sec * 1000 * NS_PER_MS + (uint64_t)used.tv_nsec;
    if (part == TURN_INPUT) shard->marks->packets = shard->turn_packets;
    if (part == TURN_WAIT) getrusage(RUSAGE_THREAD, &shard->marks->wait);
}

static void marks_measure(struct shard *shard, uint32_t completions, uint64_t elapsed_ns)
{
    const uint64_t *at = shard->marks->used_ns;
    uint64_t before_ns = at[TURN_SENDS];
    turn_mark(shard, TURN_SENDS);
    uint64_t turn_ns = at[TURN_SENDS] - at[TURN_WAIT];
    spread_record(&shard->spreads[SPREAD_turn_processor], turn_ns);
    spread_record(&shard->spreads[SPREAD_round_processor], at[TURN_SENDS] - before_ns);
    if (LIKELY(turn_ns <= LONG_TURN_NS)) return;
    const struct rusage *from = &shard->marks->wait;
    struct rusage now;
    getrusage(RUSAGE_THREAD, &now);
    LOG_LIMITED(NOTICE, 50, "long turn", "shard=%u us=%llu elapsed_us=%llu completions=%u packets=%u input_us=%llu lanes_us=%llu timers_and_above_us=%llu sends_us=%llu faults=%ld switches=%ld",
                shard->number, (unsigned long long)(turn_ns / 1000), (unsigned long long)(elapsed_ns / 1000), completions, shard->marks->packets,
                (unsigned long long)(at[TURN_INPUT] - at[TURN_WAIT]) / 1000, (unsigned long long)(at[TURN_LANES] - at[TURN_INPUT]) / 1000,
                (unsigned long long)(at[TURN_ABOVE] - at[TURN_LANES]) / 1000, (unsigned long long)(at[TURN_SENDS] - at[TURN_ABOVE]) / 1000, now.ru_minflt - from->ru_minflt,
                now.ru_nvcsw + now.ru_nivcsw - from->ru_nvcsw - from->ru_nivcsw);
}

/* One more reading of the clock, about 25 ns a turn. */
static void turn_measure(struct shard *shard, uint32_t completions, bool marked)
{
    uint64_t now_ns = shard->group->verbs->monotonic_ns(shard->ring);
    spread_record(&shard->spreads[SPREAD_turn], now_ns - shard->now_ns);
    if (UNLIKELY(marked)) marks_measure(shard, completions, now_ns - shard->now_ns);
    spread_record(&shard->spreads[SPREAD_turn_completions], completions);
    if (LIKELY(!shard->sampled_ns)) return;
    spread_record(&shard->spreads[SPREAD_stage_send], now_ns - shard->sampled_ns);
    spread_record(&shard->spreads[SPREAD_publish_to_send], now_ns - shard->now_ns);
    if (shard->sampled_named)
        exemplars_put(&shard->exemplars[SHARD_EXEMPLARS_publish_to_send], now_ns - shard->now_ns, shard->now_ms, &shard->sampled_names);
    shard->sampled_ns = 0;
}

/* stats.lane_fill: a peak shows at once and is forgotten a second or two later. Nearly every turn ends at the two comparisons. */
static void lanes_measure(struct shard *shard, uint32_t fullest)
{
    bool over = shard->now_ms - shard->lane_since_ms >= 1000;
    if (LIKELY(fullest <= shard->lane_fullest && !over)) return;
    uint64_t shown = stats_read(&shard->stats.lane_fill), peak = fullest > shard->lane_fullest ? fullest : shard->lane_fullest;
    uint64_t fill = peak * 1000 / LANE_SLOTS;
    if (over || fill > shown) stats_count(&shard->stats.lane_fill, fill - shown);
    shard->lane_fullest = over ? fullest : (uint32_t)peak;
    if (over) shard->lane_since_ms = shard->now_ms;
}

static uint32_t lanes_drain(struct shard *shard)
{
    uint32_t from, fullest = 0, records = 1;
    const struct lane_cell *cells = mesh_the_one(shard->inbox, &from);
    if (LIKELY(cells != NULL)) {
        fullest = record_cells(cells);
        record_take(shard, from, cells);
        mesh_taken_one(shard->inbox, from, fullest);
    } else {
        shard_step_of(shard, shard->budget_ns);
        records = mesh_drain(shard->group->mesh, shard->number, RECORDS_PER_LANE_TURN_MAX, record_take, step_over, shard, &fullest);
    }
    lanes_measure(shard, fullest);
    return records;
}

/* Who waits for a lane that was full and has room again (the layer above, which has had its turn) goes on in the next turn: nothing else may come that
 * would wake the shard. */
static void lanes_flush(struct shard *shard)
{
    const struct shard_group *group = shard->group;
    if (LIKELY(shard->row->staged == 0)) {
        DCHECK(!shard->lanes_full);
        return;
    }
    if (mesh_flush_one(shard->row, shard->ways, group->verbs, shard->ring, &shard->stats)) {
        DCHECK(!shard->lanes_full); /* a lane that was would be among those staged */
        return;
    }
    bool filled = shard->stats.lane_overflows != shard->lane_overflows_seen || shard->lanes_full;
    shard->lanes_full = mesh_flush(group->mesh, shard->number, group->verbs, shard->ring, &shard->stats);
    if (LIKELY(!filled)) return;
    shard->lane_overflows_seen = shard->stats.lane_overflows;
    shard->more_next_turn |= !shard->lanes_full;
}

void shard_turn(struct shard *shard, uint64_t sleep_ns)
{
    const struct shard_group *group = shard->group;
    const bool marked = shard->marks != NULL; /* io.turn_clock = processor */

    uint32_t completions = shard_wait(shard, sleep_ns); /* the only system call     */
    shard_set_now(shard);                               /* everything in the turn happens at this time */
    shard->more_next_turn = false;
    if (UNLIKELY(marked)) turn_mark(shard, TURN_WAIT);

    if (UNLIKELY(shard->rested_count)) {
        phase_begin(shard, shard->budget_ns / 2);
        conn_rested_turn(shard);
    }
    completions_handle(shard, completions);
    if (UNLIKELY(marked)) turn_mark(shard, TURN_INPUT);
    uint32_t records = 0;
    if (mesh_inbox_waits(shard->inbox))
        records = lanes_drain(shard);
    else
        lanes_measure(shard, 0);
    if (UNLIKELY(marked)) turn_mark(shard, TURN_LANES);
    uint32_t timers = timers_expire(shard);
    bool more = group->handler->turn(shard);
    if (UNLIKELY(marked)) turn_mark(shard, TURN_ABOVE);
    if (shard->stalled_count && !shard->lent) stalled_receive_again(shard); /* else in the next turn: they would find no buffers again */
    if (shard->later_count) more |= filters_later_turn(shard);
    if (UNLIKELY(shard->crowd.on)) acceptors_crowd(shard);

    lanes_flush(shard);
    shard_sends(shard);
    qsbr_pass(group->qsbr, shard->number);

    if (UNLIKELY(shard->completions_left | shard->rested_count)) {
        stats_count(&shard->stats.turns_cut, 1);
        more = true;
    }
    shard->more_next_turn |= more;
    gather_learn(shard);
    turn_measure(shard, completions, marked);
    if (UNLIKELY(overload_looks(&shard->overload, shard->stats.turns, completions, shard->pool.bytes_used))) overload_turn(shard);
    if (completions | records | timers) shard->last_event_ns = shard->now_ns;
    stats_count(&shard->stats.turns, 1);
}

void shard_run(struct shard *shard)
{
    const struct shard_handler *handler = shard->group->handler;
    while (!shard_done(shard) || (handler->busy && handler->busy(shard)))
        shard_turn(shard, UINT64_MAX);
    qsbr_sleep(shard->group->qsbr, shard->number);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct shard *shard_create(uint32_t number, const struct shard_group *group, const struct settings *settings,
                           const int *listener_fds, uint64_t seed, void *above, char *ret_error, size_t error_bytes)
{
    struct shard *shard = memory_acquire_aligned(64, sizeof *shard);
    shard->number = number;
    CHECK(pthread_getcpuclockid(pthread_self(), &shard->cpu_clock) == 0);
    shard->group = group;
    shard->ways = mesh_ways(group->mesh, number);
    shard->row = mesh_row(group->mesh, number);
    shard->inbox = mesh_inbox(group->mesh, number);
    shard->settings = settings;
    shard->above = above;
    shard->ring = group->verbs->open(number, settings, ret_error, error_bytes);
    if (!shard->ring) {
        memory_release(shard);
        return NULL;
    }
    shard->features = group->verbs->features(shard->ring);
    shard->random.state = seed;
    shard->packets_max = group->packets_max ? group->packets_max : PACKETS_PER_TURN_MAX;
    shard->sorted_from = group->sorted_from ? group->sorted_from : COMPLETIONS_SORTED_FROM;
    shard->lends_from = group->lends_from ? group->lends_from : LENDS_FROM;
    shard->look_every = group->packets_max ? group->packets_max : WORK_PER_LOOK;
    shard->sends_most = group->packets_max ? group->packets_max : UINT32_MAX;
    shard->sends_uncounted = group->packets_max ? 0 : SENDS_PER_LOOK;
    if (settings->io.turn_clock == TURN_CLOCK_PROCESSOR) shard->marks = memory_acquire_zeroed(sizeof *shard->marks);
    shard->budget_ns = (settings->io.turn_budget_us ? settings->io.turn_budget_us : TURN_BUDGET_US) * NS_PER_US;
    shard->conns_capacity = settings->node.connections_max;
    shard->conns_free = UINT32_MAX;
    size_t conns_bytes = (size_t)shard->conns_capacity * sizeof(struct conn);
    void *conns = mmap(NULL, conns_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    void *dirty = mmap(NULL, 2 * (size_t)shard->conns_capacity * sizeof *shard->dirty, PROT_READ | PROT_WRITE,
                       MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK(conns != MAP_FAILED && dirty != MAP_FAILED);
    shard->conns = conns;
    shard->dirty = dirty;
    shard->completions = memory_acquire(COMPLETIONS_PER_TURN_MAX * sizeof *shard->completions);
    pool_init(&shard->pool);
    shard_set_now(shard);
    wheel_init(&shard->wheel, shard->now_ms);
    acceptors_init(shard, listener_fds);
    shard->overload_settings = settings->overload;
    overload_init(shard);
    return shard;
}

void shard_start(struct shard *shard)
{
    qsbr_wake(shard->group->qsbr, shard->number);
    shard->group->handler->start(shard);
    acceptors_arm(shard);
}

void shard_stop(struct shard *shard)
{
    shard->stopping = true;
    shard_stop_accepting(shard);
    for (uint32_t slot = 0; slot < shard->conns_used; slot++) {
        struct conn *conn = &shard->conns[slot];
        if (conn->state != CONN_OPEN) continue;
        shard->group->handler->closed(shard, conn, CONN_END_STOPPED);
        if (conn->state == CONN_OPEN) conn_close(shard, conn);
    }
    shard->more_next_turn = true;
}

uint32_t shard_settle(struct shard *shard)
{
    uint32_t fullest, records = mesh_drain(shard->group->mesh, shard->number, RECORDS_PER_LANE_TURN_MAX, record_take, NULL, shard, &fullest);
    mesh_flush(shard->group->mesh, shard->number, shard->group->verbs, shard->ring, &shard->stats);
    return records;
}

void shard_destroy(struct shard *shard)
{
    wheel_stop(&shard->wheel, &shard->accept_retry);
    wheel_stop(&shard->wheel, &shard->overload.timer);
    CHECK(shard->lent == 0);
    shard->group->verbs->close(shard->ring);
    munmap(shard->conns, (size_t)shard->conns_capacity * sizeof(struct conn));
    munmap(shard->dirty, 2 * (size_t)shard->conns_capacity * sizeof *shard->dirty);
    pool_free(&shard->pool);
    memory_release(shard->stalled);
    memory_release(shard->rested);
    memory_release(shard->marks);
    memory_release(shard->later);
    memory_release(shard->parked);
    memory_release(shard->filter_gather);
    for (uint32_t level = 0; level < FILTER_LEVELS_MAX; level++)
        memory_release(shard->filter_rooms[level]);
    memory_release(shard->completions);
    memory_release(shard->completions_aside);
    memory_release(shard);
}
