#include "broker/pressure.h"

#include "base/hash.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/mount.h"
#include "broker/rewrite.h"

/* ---- boards ----------------------------------------------------------------------------------------------------- */

void pressure_init(struct pressure *pressure, uint32_t shards_count)
{
    pressure->boards = memory_acquire_aligned(64, shards_count * sizeof *pressure->boards); /* zeroed */
}

void pressure_release(struct pressure *pressure)
{
    CHECK(atomic_load(&pressure->marked) == 0);
    memory_release(pressure->boards);
}

static uint32_t set_of(uint32_t filter) { return (uint32_t)(hash_u64(filter) % PRESSURE_SETS); }

static bool board_has(const struct pressure_board *board, uint32_t filter)
{
    const _Atomic uint32_t *set = board->filters[set_of(filter)];
    for (uint32_t way = 0; way < PRESSURE_WAYS; way++)
        if (atomic_load_explicit(&set[way], memory_order_relaxed) == filter) return true;
    return false;
}

/* By the owner: the filter's place, or an empty one. NULL: neither. */
static _Atomic uint32_t *board_place(struct pressure_board *board, uint32_t filter, uint16_t **ret_holders)
{
    uint32_t set = set_of(filter);
    _Atomic uint32_t *empty = NULL;
    for (uint32_t way = 0; way < PRESSURE_WAYS; way++) {
        _Atomic uint32_t *place = &board->filters[set][way];
        uint32_t there = atomic_load_explicit(place, memory_order_relaxed);
        if (there != filter && (there != SINKS_ID_NONE || empty)) continue;
        *ret_holders = &board->holders[set][way];
        if (there == filter) return place;
        empty = place;
    }
    return empty;
}

static bool board_mark(struct broker_shard *broker, uint32_t filter)
{
    struct pressure *pressure = &broker->broker->pressure;
    uint16_t *holders;
    _Atomic uint32_t *place = board_place(&pressure->boards[broker->shard->number], filter, &holders);
    if (!place || *holders == UINT16_MAX) return false;
    if ((*holders)++ > 0) return true;
    atomic_store_explicit(place, filter, memory_order_relaxed);
    atomic_fetch_add_explicit(&pressure->marked, 1, memory_order_relaxed);
    COUNT(broker, filters_pressed);
    return true;
}

/* One holder less, or (of a group: one member with room is enough) none. */
static void board_unmark(struct broker_shard *broker, uint32_t filter, bool all)
{
    struct pressure *pressure = &broker->broker->pressure;
    uint16_t *holders;
    _Atomic uint32_t *place = board_place(&pressure->boards[broker->shard->number], filter, &holders);
    if (!place || *holders == 0) return; /* another member has ended it */
    *holders = all ? 0 : (uint16_t)(*holders - 1);
    if (*holders) return;
    atomic_store_explicit(place, SINKS_ID_NONE, memory_order_relaxed);
    atomic_fetch_sub_explicit(&pressure->marked, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pressure->eased, 1, memory_order_release); /* pairs: pressure_turn */
}

/* ---- the subscriber's shard ------------------------------------------------------------------------------------- */

/* How often those whose queues are about to be full are looked at, beside what their acknowledgements say. */
#define LOOK_MS    20
#define MEASURE_MS 1000

static uint64_t waiting(const struct session *session)
{
    return session->queue.count + (UNLIKELY(session->spilled) ? durable_spill_count(session) : 0);
}

static void measure(struct broker_shard *broker, struct pressed *pressed)
{
    pressed->since_ms = broker->shard->heard_ms;
    pressed->sent = pressed->session->queue.sent;
    uint64_t queued = waiting(pressed->session), limit = broker->settings->mqtt.queue_messages_max;
    pressed->wanted = (uint32_t)((queued < limit ? queued : limit) / 4) + 1;
}

static bool is_group(const struct broker_shard *broker, uint32_t filter)
{
    struct span text, group;
    return sinks_text(broker->sinks, filter, &text, &group) && group.bytes;
}

static void marks_end(struct broker_shard *broker, struct pressed *pressed)
{
    for (uint32_t i = 0; i < pressed->filters_count; i++)
        board_unmark(broker, pressed->filters[i], is_group(broker, pressed->filters[i]));
    pressed->filters_count = 0;
}

static void mark(struct broker_shard *broker, struct pressed *pressed, uint32_t filter)
{
    if (pressed->slow || pressed->filters_count == PRESSED_FILTERS_MAX) return;
    for (uint32_t i = 0; i < pressed->filters_count; i++)
        if (pressed->filters[i] == filter) return;
    if (board_mark(broker, filter)) pressed->filters[pressed->filters_count++] = filter;
}

/* None of the group's members here has room: the first of them that has ends it for all. */
static void mark_group(struct broker_shard *broker, uint32_t filter)
{
    if (board_has(&broker->broker->pressure.boards[broker->shard->number], filter)) return;
    struct sinks_view view = sinks_get(broker->sinks, filter);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct session *member = view.sinks[i].who;
        if (member && member->pressed) mark(broker, member->rare->pressed, filter);
    }
}

void pressure_rise(struct broker_shard *broker, struct session *session, uint32_t filter)
{
    if (broker->settings->mqtt.pause_ms == 0) return; /* publishers are never slowed down */
    if (!session->pressed) {
        struct pressed *pressed = memory_acquire_zeroed(sizeof *pressed);
        pressed->session = session;
        session_rare(session)->pressed = pressed;
        session->pressed = true;
        list_append(&broker->pressed, &pressed->link);
        measure(broker, pressed);
        if (!timer_running(&broker->pressure_timer)) shard_start_timer(broker->shard, &broker->pressure_timer, LOOK_MS);
    }
    if (filter == SINKS_ID_NONE) return;
    if (is_group(broker, filter))
        mark_group(broker, filter);
    else
        mark(broker, session->rare->pressed, filter);
}

void pressure_end(struct broker_shard *broker, struct session *session)
{
    struct pressed *pressed = session->rare->pressed;
    marks_end(broker, pressed);
    list_remove(&pressed->link);
    memory_release(pressed);
    session->rare->pressed = NULL;
    session->pressed = false;
}

void pressure_look(struct broker_shard *broker, struct session *session)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    if (waiting(session) * 2 <= mqtt->queue_messages_max && session->queue_bytes * 2 <= mqtt->queue_bytes_max) pressure_end(broker, session);
}

/* Does it take enough for others to wait for it? */
static void judge(struct broker_shard *broker, struct pressed *pressed)
{
    const struct session *session = pressed->session;
    bool stands = session_took_nothing_ms(broker, session) >= MEASURE_MS;
    if (!stands && broker->shard->heard_ms - pressed->since_ms < MEASURE_MS) return;
    bool slow = stands || session->queue.sent - pressed->sent < pressed->wanted;
    if (slow && !pressed->slow) COUNT(broker, subscribers_slow);
    pressed->slow = slow;
    if (slow) marks_end(broker, pressed);
    measure(broker, pressed);
}

static void look_at_all(struct timer *timer, void *context)
{
    struct broker_shard *broker = CONTAINER_OF(timer, struct broker_shard, pressure_timer);
    LIST_FOR_EACH(link, &broker->pressed) {
        struct pressed *pressed = CONTAINER_OF(link, struct pressed, link);
        judge(broker, pressed);
        pressure_look(broker, pressed->session);
    }
    if (!list_empty(&broker->pressed)) shard_start_timer(broker->shard, timer, LOOK_MS);
}

bool pressure_admits(const struct broker_shard *broker, const struct session *session, uint64_t queued, uint64_t queued_bytes)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    return pressure_is_held_for(session) && queued < (uint64_t)mqtt->queue_messages_max + PRESSURE_BEYOND(broker->broker->shards_count) &&
           queued_bytes <= mqtt->queue_bytes_max + PRESSURE_BEYOND_BYTES;
}

/* ---- the publisher's shard -------------------------------------------------------------------------------------- */

static bool target_pressed(const struct broker_shard *broker, uint32_t target, uint32_t filter)
{
    const struct shard *shard = broker->shard;
    return (target != shard->number && mesh_blocked(&shard->ways[target])) ||
           board_has(&broker->broker->pressure.boards[target], filter);
}

uint32_t pressure_pick(const struct broker_shard *broker, const struct route_group *group, uint32_t picked)
{
    for (uint32_t i = 0; i < group->targets_count; i++) {
        uint32_t at = (picked + i) % group->targets_count;
        if (!target_pressed(broker, group->targets[at].target, group->targets[at].local_id)) return at;
    }
    return picked;
}

static bool group_pressed(const struct broker_shard *broker, const struct route_group *group)
{
    const struct route_target *first = &group->targets[pressure_pick(broker, group, 0)];
    return target_pressed(broker, first->target, first->local_id);
}

static bool set_pressed(const struct broker_shard *broker, const struct match_set *set)
{
    for (uint32_t i = 0; i < set->others_count; i++)
        for (uint32_t k = 0; k < set->others[i].ids_count; k++)
            if (target_pressed(broker, set->others[i].target, set->others[i].ids[k])) return true;
    for (uint32_t i = 0; i < set->local_ids_count; i++)
        if (target_pressed(broker, broker->shard->number, set->local_ids[i])) return true;
    for (uint32_t i = 0; i < set->groups_count; i++)
        if (group_pressed(broker, &set->groups[i])) return true;
    return false;
}

/* As it will be when it is given out, but for what features make of it. Empty: it will not be. */
static struct span final_topic(struct broker_shard *broker, struct session *session, struct span topic)
{
    if (UNLIKELY(broker->extras_bits & EXTRA_REWRITE_PUBLISH)) {
        struct client_names names = client_names_of(session);
        if (rewrite_apply(broker->extras->rewrite, broker->rewrite_scratch, REWRITE_PUBLISH, &names, broker->settings->mqtt.topic_levels_max, &topic) ==
            REWRITE_FAILED)
            return span_of(NULL, 0);
    }
    return UNLIKELY(session->mounted) ? mount_topic(broker, session, topic) : topic;
}

bool pressure_holds(struct broker_shard *broker, struct session *session, struct span topic)
{
    if (session->queue.count || session->kicked || broker->settings->mqtt.pause_ms == 0) return false;
    topic = final_topic(broker, session, topic);
    if (topic.bytes == 0 || !set_pressed(broker, match_cache_lookup(broker->matches, topic))) return false;
    conn_hold(session->conn, HOLD_PACE);
    list_append(&broker->held, &session->link);
    COUNT(broker, publishers_paused);
    COUNT(broker, publishers_held);
    UNCOUNT(broker, packets_received); /* it will be received once more */
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_paused, session, &(struct trace_facts){.numbers = {TRACE_PAUSE_PACE}});
    if (!timer_running(&broker->pause_timer)) shard_start_timer(broker->shard, &broker->pause_timer, broker->settings->mqtt.pause_ms);
    return true;
}

static void lanes_look(struct broker_shard *broker)
{
    const struct shard *shard = broker->shard;
    for (uint32_t to = 0; to < broker->broker->shards_count; to++)
        if (mesh_blocked(&shard->ways[to])) return;
    broker->lanes_blocked = false;
    broker->lanes_opened = true;
}

/* Those whose own queue has begun to wait: see pressure.h. */
static void held_look(struct broker_shard *broker)
{
    LIST_FOR_EACH(link, &broker->held) {
        if (CONTAINER_OF(link, struct session, link)->queue.count == 0) continue;
        list_remove(link);
        list_append(&broker->resuming, link);
    }
}

void publisher_pause(struct broker_shard *broker, struct session *session)
{
    struct conn *conn = session->conn;
    if (!conn || session->kicked || (conn->holds & HOLD_PACE) || broker->settings->mqtt.pause_ms == 0) return;
    conn_hold(conn, HOLD_PACE);
    list_append(&broker->paused, &session->link);
    COUNT(broker, publishers_paused);
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_paused, session, &(struct trace_facts){.numbers = {TRACE_PAUSE_PACE}});
    if (!timer_running(&broker->pause_timer))
        shard_start_timer(broker->shard, &broker->pause_timer, broker->settings->mqtt.pause_ms);
}

/* All that were paused since the timer was started: one timer serves a shard, whatever the number of publishers. */
static void slice_over(struct timer *timer, void *context)
{
    struct broker_shard *broker = CONTAINER_OF(timer, struct broker_shard, pause_timer);
    list_take_all(&broker->resuming, &broker->paused);
    if (list_empty(&broker->held)) return;
    held_look(broker);
    shard_start_timer(broker->shard, timer, broker->settings->mqtt.pause_ms ? broker->settings->mqtt.pause_ms : 1);
}

/* So many packets of publishers that go on are handled in a turn, beside the turn's own. */
#define RESUMED_PACKETS_MAX 1024

bool pressure_turn(struct broker_shard *broker)
{
    struct shard *shard = broker->shard;
    if (broker->lanes_blocked) lanes_look(broker);
    uint32_t eased = atomic_load_explicit(&broker->broker->pressure.eased, memory_order_acquire); /* pairs: board_unmark */
    if (broker->lanes_opened || eased != broker->eased_seen || broker->settings->mqtt.pause_ms == 0) list_take_all(&broker->resuming, &broker->held);
    broker->eased_seen = eased;
    broker->lanes_opened = false;
    uint32_t packets = shard->turn_packets;
    while (!list_empty(&broker->resuming) && !broker->lanes_blocked && shard->turn_packets - packets < RESUMED_PACKETS_MAX) {
        struct session *session = CONTAINER_OF(broker->resuming.next, struct session, link);
        list_remove(&session->link);
        if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_resumed, session, &(struct trace_facts){.numbers = {TRACE_PAUSE_PACE}});
        if (session->conn) conn_release(shard, session->conn, HOLD_PACE);
    }
    return !list_empty(&broker->resuming) && !broker->lanes_blocked;
}

void pressure_start(struct broker_shard *broker)
{
    list_init(&broker->paused);
    list_init(&broker->held);
    list_init(&broker->resuming);
    list_init(&broker->pressed);
    timer_init(&broker->pause_timer, slice_over);
    timer_init(&broker->pressure_timer, look_at_all);
}
