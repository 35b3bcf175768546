#include "engine/filters.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/conn_inside.h"
#include "engine/shard.h"

#define ROOM_BYTES   (64 * 1024) /* for what a level makes of its input */
#define GATHER_BYTES (16 * 1024) /* small pieces are laid side by side before they are encrypted: a TLS record holds so much */
#define SLICE_BYTES  (128 * 1024) /* goes through the transformer at once: the rest waits for the completion of the send */
#define OWN_BYTES    4096

/* ---- making and releasing ------------------------------------------------------------------------------------------ */

struct conn_filters *filters_create(void)
{
    struct conn_filters *filters = memory_acquire_zeroed(sizeof *filters);
    filters->transformer = -1;
    return filters;
}

void filters_add(struct conn_filters *filters, struct filter *filter)
{
    const struct filter_verbs *verbs = filter->verbs;
    CHECK(filters->count < FILTER_LEVELS_MAX && (verbs->send || (!verbs->end && !verbs->send_bytes_max)));
    if (filter->verbs->send_bytes_max) {
        CHECK(filters->transformer < 0);
        filters->transformer = (int8_t)filters->count;
    }
    if (filter->verbs->prefix) filters->prefix_bytes = FILTER_PREFIX_BYTES_MAX;
    filters->levels[filters->count++] = filter;
    filters->ended_from = filters->count;
}

void filters_release(struct conn_filters *filters)
{
    if (!filters) return;
    DCHECK(!filters->plain);
    for (uint32_t level = 0; level < filters->count; level++)
        filters->levels[level]->verbs->release(filters->levels[level]);
    memory_release(filters->held);
    memory_release(filters);
}

struct span filters_fact(const struct conn_filters *filters, enum filter_fact fact)
{
    for (uint32_t level = filters ? filters->count : 0; level-- > 0;) {
        const struct filter *filter = filters->levels[level];
        struct span found = filter->verbs->fact ? filter->verbs->fact(filter, fact) : span_of(NULL, 0);
        if (found.bytes) return found;
    }
    return span_of(NULL, 0);
}

static bool is_transparent(const struct conn_filters *filters, uint32_t level) { return filters->transparent >> level & 1; }

bool filters_open(const struct conn_filters *filters)
{
    for (uint32_t level = 0; filters && level < filters->count; level++)
        if (!is_transparent(filters, level) && !filters->levels[level]->verbs->is_open(filters->levels[level])) return false;
    return true;
}

/* ---- up ------------------------------------------------------------------------------------------------------------ */

static uint8_t *room_of(struct shard *shard, uint32_t level)
{
    if (!shard->filter_rooms[level]) shard->filter_rooms[level] = memory_acquire(ROOM_BYTES);
    return shard->filter_rooms[level];
}

static bool takes_input(const struct conn *conn)
{
    return (conn->state == CONN_OPEN || conn->state == CONN_MOVING) && !conn->ended;
}

static void filter_has_own(struct shard *shard, struct conn *conn, uint32_t level)
{
    conn->filters->to_send |= (uint8_t)(1u << level);
    if (conn->state != CONN_MOVING) shard_mark_dirty(shard, conn); /* a moving one sends it from its new home */
}

void filters_begin(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->filters->count && !conn->out);
    conn->filters->begins = 1;
    filter_has_own(shard, conn, 0);
}

/* A level that has opened lets the next one speak, the last one what is staged. */
static void begin_next(struct shard *shard, struct conn *conn)
{
    struct conn_filters *filters = conn->filters;
    while (filters->begins && filters->levels[filters->begins - 1]->verbs->is_open(filters->levels[filters->begins - 1])) {
        if (filters->begins == filters->count) {
            filters->begins = 0;
            return shard_mark_dirty(shard, conn);
        }
        filter_has_own(shard, conn, filters->begins++);
    }
}

const char *filters_reason(const struct conn_filters *filters)
{
    for (uint32_t level = 0; filters && level < filters->count; level++) {
        const struct filter *filter = filters->levels[level];
        const char *reason = filter->verbs->reason ? filter->verbs->reason(filter) : "";
        if (*reason) return reason;
    }
    return "";
}

static void hold(struct shard *shard, struct conn *conn, const uint8_t *data, size_t bytes)
{
    struct conn_filters *filters = conn->filters;
    if (filters->held_bytes + bytes > filters->held_capacity) {
        filters->held_capacity = (uint32_t)(filters->held_bytes + bytes) * 2;
        filters->held = memory_resize(filters->held, filters->held_capacity);
    }
    if (bytes) memcpy(filters->held + filters->held_bytes, data, bytes);
    filters->held_bytes += (uint32_t)bytes;
    if (filters->held_bytes > HOLD_BYTES_MAX) conn_receive_cancel(shard, conn);
}

static void later_append(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_OPEN && !filters_open(conn->filters)); /* so it is never moved meanwhile */
    conn->filters->later = true;
    if (shard->later_head && shard->later_head >= shard->later_capacity / 2) { /* it need not ever be empty */
        shard->later_count -= shard->later_head;
        memmove(shard->later, shard->later + shard->later_head, shard->later_count * sizeof *shard->later);
        shard->later_head = 0;
    }
    if (shard->later_count == shard->later_capacity) {
        shard->later_capacity = shard->later_capacity ? shard->later_capacity * 2 : 64;
        shard->later = memory_resize(shard->later, shard->later_capacity * sizeof *shard->later);
    }
    shard->later[shard->later_count++] = conn_name(conn);
    stats_count(&shard->stats.handshakes_waiting, 1);
}

/* The peer's orderly end, as if it had said FIN. */
static void filter_ended(struct shard *shard, struct conn *conn)
{
    conn->ended = true;
    if (conn->state == CONN_OPEN && !(conn->holds && conn->carry_bytes)) conn_end(shard, conn, CONN_END_PEER);
}

static void filter_failed(struct shard *shard, struct conn *conn, const struct filter *filter)
{
    stats_count(&shard->stats.filter_errors, 1);
    listener_event(&shard->group->listeners[conn->listener], LISTENER_filter_errors);
    LOG_LIMITED(INFO, 100, "connection closed", "reason=%s_error what=\"%s\" listener=%s", filter->verbs->name,
                filter->verbs->reason(filter), conn_listener_name(shard, conn));
    if (conn->state == CONN_MOVING)
        conn->ended = true; /* its new home ends it, behind what it has read */
    else
        conn_end(shard, conn, CONN_END_FILTER);
}

static void park(struct shard *shard, struct conn *conn);

static void level_input(struct shard *shard, struct conn *conn, uint32_t level, uint8_t *input, size_t bytes)
{
    struct conn_filters *filters = conn->filters;
    while (level < filters->count && is_transparent(filters, level))
        level++;
    if (level == filters->count) {
        if (bytes) conn_input(shard, conn, span_of(input, bytes));
        return;
    }
    struct filter *filter = filters->levels[level];
    for (;;) {
        struct filter_step step = filter->verbs->receive(filter, input, bytes, room_of(shard, level), ROOM_BYTES);
        DCHECK(step.consumed <= bytes);
        input += step.consumed;
        bytes -= step.consumed;
        if (step.to_send) filter_has_own(shard, conn, level);
        if (UNLIKELY(filters->begins)) begin_next(shard, conn);
        if (step.output_bytes) {
            level_input(shard, conn, level + 1, (uint8_t *)(uintptr_t)step.output, step.output_bytes);
            if (!takes_input(conn)) return;
        }
        switch (step.wants) {
        case FILTER_GOES_ON: DCHECK(bytes == 0); return;
        case FILTER_MORE: continue;
        case FILTER_LATER: hold(shard, conn, input, bytes); return later_append(shard, conn);
        case FILTER_PARKED: hold(shard, conn, input, bytes); return park(shard, conn);
        case FILTER_TRANSPARENT:
            filters->transparent |= (uint8_t)(1u << level);
            return level_input(shard, conn, level + 1, input, bytes);
        case FILTER_ENDED: return filter_ended(shard, conn);
        case FILTER_FAILED: return filter_failed(shard, conn, filter);
        }
    }
}

void filters_input(struct shard *shard, struct conn *conn, uint8_t *data, size_t bytes)
{
    if (!takes_input(conn)) return;
    if (UNLIKELY(conn->filters->later)) return hold(shard, conn, data, bytes);
    level_input(shard, conn, 0, data, bytes);
}

/* With what was held meanwhile. */
static void go_on(struct shard *shard, struct conn *conn)
{
    struct conn_filters *filters = conn->filters;
    uint8_t *held = filters->held;
    uint32_t held_bytes = filters->held_bytes;
    filters->held = NULL;
    filters->held_bytes = filters->held_capacity = 0;
    filters->later = false;
    level_input(shard, conn, 0, held, held_bytes); /* all levels below it are transparent by now */
    memory_release(held);
    conn_input_over(shard, conn);
}

/* ---- waiting for other threads -------------------------------------------------------------------------------------- */

static bool is_ready(const struct conn_filters *filters)
{
    for (uint32_t level = 0; level < filters->count; level++) {
        const struct filter *filter = filters->levels[level];
        if (!is_transparent(filters, level) && filter->verbs->ready && filter->verbs->ready(filter)) return true;
    }
    return false;
}

/* Each is asked, and those that are ready go on; the others stay on the list. */
static void parked_look(struct timer *timer, void *context)
{
    struct shard *shard = context;
    uint32_t kept = 0, count = shard->parked_count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t name = shard->parked[i];
        struct conn *conn = conn_find(shard, name);
        bool waits = conn && conn->state == CONN_OPEN && conn->filters && conn->filters->later;
        if (waits && !is_ready(conn->filters)) {
            shard->parked[kept++] = name;
            continue;
        }
        stats_count(&shard->stats.handshakes_parked, (uint64_t)-1);
        if (waits) go_on(shard, conn); /* it may append itself anew */
    }
    memmove(shard->parked + kept, shard->parked + count, (shard->parked_count - count) * sizeof *shard->parked);
    shard->parked_count -= count - kept;
    if (shard->parked_count == 0) return;
    timer_init(&shard->parked_timer, parked_look);
    shard_start_timer(shard, &shard->parked_timer, FILTERS_PARKED_MS);
}

static void park(struct shard *shard, struct conn *conn)
{
    DCHECK(conn->state == CONN_OPEN && !filters_open(conn->filters)); /* so it is never moved meanwhile */
    conn->filters->later = true;
    if (shard->parked_count == shard->parked_capacity) {
        shard->parked_capacity = shard->parked_capacity ? shard->parked_capacity * 2 : 64;
        shard->parked = memory_resize(shard->parked, shard->parked_capacity * sizeof *shard->parked);
    }
    if (shard->parked_count == 0) {
        timer_init(&shard->parked_timer, parked_look);
        shard_start_timer(shard, &shard->parked_timer, FILTERS_PARKED_MS);
    }
    shard->parked[shard->parked_count++] = conn_name(conn);
    stats_count(&shard->stats.handshakes_parked, 1);
}

#define LATER_CREDIT_STEP 1000 /* of one step: a millisecond earns as many as there may be steps in a second */
#define LATER_WAIT_MS     5

static void later_again(struct timer *timer, void *context)
{
    struct shard *shard = context;
    shard->later_rests = false; /* the turn that runs this looks at the list */
}

/* Is there a step left of what the settings allow in a second? A tenth of that may come at once. */
static bool later_allowed(struct shard *shard)
{
    uint64_t rate = shard->overload_settings.handshakes_rate;
    if (rate == 0) return true;
    uint64_t most = rate / 10 * LATER_CREDIT_STEP, passed_ms = shard->now_ms - shard->later_earned_ms;
    if (most < LATER_CREDIT_STEP) most = LATER_CREDIT_STEP;
    shard->later_credit += passed_ms < 10000 ? passed_ms * rate : most;
    if (shard->later_credit > most) shard->later_credit = most;
    shard->later_earned_ms = shard->now_ms;
    if (shard->later_credit < LATER_CREDIT_STEP) return false;
    shard->later_credit -= LATER_CREDIT_STEP;
    return true;
}

bool filters_later_turn(struct shard *shard)
{
    for (uint32_t taken = 0; taken < FILTERS_LATER_PER_TURN && shard->later_head < shard->later_count;) {
        if (shard->later_rests) return false;
        if (!later_allowed(shard)) {
            shard->later_rests = true;
            timer_init(&shard->later_timer, later_again);
            shard_start_timer(shard, &shard->later_timer, LATER_WAIT_MS);
            return false;
        }
        stats_count(&shard->stats.handshakes_waiting, (uint64_t)-1);
        struct conn *conn = conn_find(shard, shard->later[shard->later_head++]);
        if (!conn || conn->state != CONN_OPEN || !conn->filters || !conn->filters->later) continue;
        go_on(shard, conn);
        stats_count(&shard->stats.handshake_steps, 1);
        taken++;
    }
    bool more = shard->later_head < shard->later_count;
    if (!more) shard->later_head = shard->later_count = 0;
    return more;
}

/* ---- down ---------------------------------------------------------------------------------------------------------- */

static struct outbuf *wire_room(struct shard *shard, struct outbuf *wire, size_t bytes)
{
    return wire ? outbuf_make_room(&shard->pool, wire, (uint32_t)bytes) : outbuf_acquire(&shard->pool, (uint32_t)bytes);
}

static bool transform(struct shard *shard, struct conn_filters *filters, struct span input, struct outbuf **wire)
{
    struct filter *filter = filters->levels[filters->transformer];
    size_t room = filter->verbs->send_bytes_max(filter, input.bytes);
    *wire = wire_room(shard, *wire, room);
    struct filter_step step = filter->verbs->send(filter, input, (*wire)->stage + (*wire)->bytes, room);
    DCHECK(step.output_bytes <= room);
    (*wire)->bytes += (uint32_t)step.output_bytes;
    if (step.wants == FILTER_FAILED) filters->send_failed = true;
    DCHECK(filters->send_failed || step.consumed == input.bytes);
    return !filters->send_failed;
}

/* What a level has to say itself. */
static bool own_bytes(struct shard *shard, struct conn_filters *filters, uint32_t level, struct outbuf **wire)
{
    struct filter *filter = filters->levels[level];
    bool through = filters->transformer >= 0 && (int)level > filters->transformer;
    for (bool more = true; more;) {
        uint8_t small[OWN_BYTES];
        if (!through) *wire = wire_room(shard, *wire, OWN_BYTES);
        struct filter_step step =
            filter->verbs->send(filter, span_of(NULL, 0), through ? small : (*wire)->stage + (*wire)->bytes, OWN_BYTES);
        if (!through)
            (*wire)->bytes += (uint32_t)step.output_bytes;
        else if (step.output_bytes && !transform(shard, filters, span_of(small, step.output_bytes), wire))
            return false;
        if (step.wants == FILTER_FAILED) filters->send_failed = true;
        more = step.to_send && !filters->send_failed;
    }
    filters->to_send &= (uint8_t)~(1u << level);
    return !filters->send_failed;
}

/* From the top down; those above the transformer only between two batches, so that a frame stays in one piece. */
static bool all_own_bytes(struct shard *shard, struct conn_filters *filters, struct outbuf **wire)
{
    for (uint32_t level = filters->count; level-- > 0;) {
        if (!(filters->to_send >> level & 1)) continue;
        if (filters->plain && (int)level > filters->transformer) continue;
        if (!own_bytes(shard, filters, level, wire)) return false;
    }
    return true;
}

/* Closes the batch that was staged: nothing is added to it any more. */
static void take_batch(struct shard *shard, struct conn *conn)
{
    struct conn_filters *filters = conn->filters;
    struct outbuf *batch = conn->out;
    conn->out = NULL;
    uint64_t bytes = outbuf_bytes(batch) - filters->prefix_bytes;
    if (bytes == 0) return outbuf_release(&shard->pool, batch, conn_release_piece, shard); /* reserved, nothing committed */
    DCHECK(filters_open(filters));
    filters->plain = batch;
    filters->plain_sent = filters->prefix_bytes;
    for (uint32_t level = filters->count; level-- > 0;) {
        struct filter *filter = filters->levels[level];
        if (!filter->verbs->prefix || is_transparent(filters, level)) continue;
        filters->plain_sent -= filter->verbs->prefix(filter, bytes, batch->stage + filters->prefix_bytes);
        if (LIKELY(!filter->verbs->change)) continue;
        DCHECK(batch->pieces_count == 0); /* those may be shared with others */
        filter->verbs->change(filter, batch->stage + filters->prefix_bytes, bytes);
    }
}

/* A slice of the batch, in pieces as large as they come, small ones gathered. */
static bool transform_slice(struct shard *shard, struct conn_filters *filters, struct outbuf **wire)
{
    struct outbuf *plain = filters->plain;
    if (!shard->filter_gather) shard->filter_gather = memory_acquire(GATHER_BYTES);
    uint8_t *gather = shard->filter_gather;
    size_t gathered = 0, slice = 0;
    outbuf_vector(&shard->pool, plain, filters->plain_sent);
    for (uint32_t i = 0; i < plain->vector_count && slice < SLICE_BYTES; i++) {
        struct span piece = span_of(plain->vector[i].iov_base, plain->vector[i].iov_len);
        while (piece.bytes && slice < SLICE_BYTES) {
            bool direct = gathered == 0 && (piece.bytes >= GATHER_BYTES || i + 1 == plain->vector_count);
            size_t room = GATHER_BYTES - gathered, taken = piece.bytes < room ? piece.bytes : room;
            if (direct) {
                if (!transform(shard, filters, span_of(piece.data, taken), wire)) return false;
            } else {
                memcpy(gather + gathered, piece.data, taken);
                gathered += taken;
            }
            slice += taken;
            piece = span_skip(piece, taken);
            if (gathered == GATHER_BYTES) {
                if (!transform(shard, filters, span_of(gather, gathered), wire)) return false;
                gathered = 0;
            }
        }
    }
    if (gathered && !transform(shard, filters, span_of(gather, gathered), wire)) return false;
    filters->plain_sent += slice;
    if (filters->plain_sent < outbuf_bytes(plain)) return true;
    outbuf_release(&shard->pool, plain, conn_release_piece, shard);
    filters->plain = NULL;
    return true;
}

bool filters_prepare(struct shard *shard, struct conn *conn)
{
    struct conn_filters *filters = conn->filters;
    struct outbuf *wire = NULL;
    bool sound = true;
    if (filters->to_send) sound = all_own_bytes(shard, filters, &wire);
    bool batch_next = sound && !filters->plain && conn->out && !filters->begins && (filters->transformer >= 0 || !wire || !wire->bytes);
    if (batch_next) take_batch(shard, conn);
    if (sound && filters->plain && filters->transformer >= 0) sound = transform_slice(shard, filters, &wire);
    conn->sent = 0;
    if (wire && wire->bytes == 0) {
        outbuf_release(&shard->pool, wire, conn_release_piece, shard);
        wire = NULL;
    }
    if (!wire && filters->plain && filters->transformer < 0) { /* leaves as it lies */
        wire = filters->plain;
        filters->plain = NULL;
        conn->sent = (uint32_t)filters->plain_sent;
    }
    conn->sending = wire;
    return wire != NULL;
}

/* ---- ending -------------------------------------------------------------------------------------------------------- */

bool filters_end_next(struct conn_filters *filters)
{
    while (filters->ended_from > 0) {
        uint32_t level = --filters->ended_from;
        struct filter *filter = filters->levels[level];
        if (!filter->verbs->end || is_transparent(filters, level)) continue;
        filter->verbs->end(filter);
        filters->to_send |= (uint8_t)(1u << level);
        return true;
    }
    return false;
}

void filters_drop_output(struct shard *shard, struct conn *conn)
{
    struct conn_filters *filters = conn->filters;
    filters->to_send = 0;
    if (filters->plain) outbuf_release(&shard->pool, filters->plain, conn_release_piece, shard);
    filters->plain = NULL;
}
