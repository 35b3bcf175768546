#include "broker/rates.h"

#include "base/memory.h"
#include "broker/broker.h"

/* ---- clocks ----------------------------------------------------------------------------------------------------- */

struct rate rate_of(struct rate_settings settings, enum rate_kind kind)
{
    struct rate rate = {.per_s = settings.per_s};
    if (rate.per_s == 0) return rate;
    uint64_t burst = settings.burst ? settings.burst : rate.per_s;
    /* The last of a burst of packets leaves the clock one unit ahead: who sends that many at once waits with the next. */
    if (kind != RATE_BYTES) burst--;
    rate.burst_ns = rate_cost_ns(&rate, burst);
    if (rate.burst_ns < RATE_BURST_NS_MIN) rate.burst_ns = RATE_BURST_NS_MIN;
    return rate;
}

static uint64_t oldest(const struct rate *rate, uint64_t now_ns) { return now_ns > rate->burst_ns ? now_ns - rate->burst_ns : 0; }

uint64_t rate_charge(const struct rate *rate, uint64_t *clock_ns, uint64_t units, uint64_t now_ns)
{
    uint64_t from = oldest(rate, now_ns);
    if (*clock_ns < from) *clock_ns = from;
    *clock_ns += rate_cost_ns(rate, units);
    return *clock_ns > now_ns ? *clock_ns : 0;
}

uint64_t rate_charge_shared(const struct rate *rate, struct rate_clock *clock, struct rate_drawn *drawn, uint64_t units, uint64_t now_ns,
                            uint32_t shards_count)
{
    if (drawn->units < units) {
        uint64_t ahead = rate->per_s * RATE_AHEAD_MS / 1000 / shards_count, take = units - drawn->units + ahead, after;
        uint64_t before = atomic_load_explicit(&clock->ns, memory_order_relaxed); /* nothing else is published by it */
        do {
            uint64_t from = oldest(rate, now_ns);
            after = (before < from ? from : before) + rate_cost_ns(rate, take);
        } while (!atomic_compare_exchange_weak_explicit(&clock->ns, &before, after, memory_order_relaxed, memory_order_relaxed));
        drawn->units += take;
        drawn->ready_ns = after;
    }
    drawn->units -= units;
    return drawn->ready_ns > now_ns ? drawn->ready_ns : 0;
}

/* ---- one client ------------------------------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* All clocks that count this; when the client may go on, 0: now. */
static uint64_t charge(struct broker_shard *broker, struct session *session, struct session_rates *own, enum rate_kind kind, uint64_t units)
{
    uint8_t listener = session->conn->listener;
    struct rates *rates = broker->limits[listener].rates;
    struct node_rates *node = &broker->node_rates;
    struct rate_clocks *clocks = &broker->broker->rate_clocks;
    uint64_t now_ns = broker->shard->now_ns, ready_ns = 0;
    uint32_t shards = broker->broker->shards_count;
    if (rates && rates->client[kind].per_s) ready_ns = rate_charge(&rates->client[kind], &own->clocks[kind], units, now_ns);
    if (rates && rates->listener[kind].per_s)
        ready_ns = later(ready_ns, rate_charge_shared(&rates->listener[kind], &clocks->listeners[listener][kind], &rates->drawn[kind], units,
                                                      now_ns, shards));
    if (node->rates[kind].per_s)
        ready_ns = later(ready_ns, rate_charge_shared(&node->rates[kind], &clocks->node[kind], &node->drawn[kind], units, now_ns, shards));
    return ready_ns;
}

static void may_read(struct timer *timer, void *context)
{
    struct session_rates *own = CONTAINER_OF(timer, struct session_rates, read_timer);
    conn_release(context, own->session->conn, HOLD_RATE);
}

static void may_deliver(struct timer *timer, void *context)
{
    struct session_rates *own = CONTAINER_OF(timer, struct session_rates, deliver_timer);
    session_pump(broker_of(context), own->session);
}

static struct session_rates *own_rates(struct session *session)
{
    struct session_rare *rare = session_rare(session);
    if (rare->rates) return rare->rates;
    rare->rates = memory_acquire_zeroed(sizeof *rare->rates);
    rare->rates->session = session;
    timer_init(&rare->rates->read_timer, may_read);
    timer_init(&rare->rates->deliver_timer, may_deliver);
    return rare->rates;
}

static void timer_at(struct broker_shard *broker, struct timer *timer, uint64_t at_ns)
{
    uint64_t at_ms = (at_ns + 999999) / 1000000;
    if (timer_running(timer) && timer->deadline_ms >= at_ms) return;
    wheel_start(&broker->shard->wheel, timer, at_ms);
}

static void hold_until(struct broker_shard *broker, struct session *session, uint64_t ready_ns)
{
    if (ready_ns == 0 || session->kicked) return;
    if (!(session->conn->holds & HOLD_RATE)) COUNT(broker, publishers_limited);
    if (UNLIKELY(session->traced)) trace_session(broker, TRACE_EVENT_paused, session, &(struct trace_facts){.numbers = {TRACE_PAUSE_RATE}});
    conn_hold(session->conn, HOLD_RATE);
    timer_at(broker, &session->rare->rates->read_timer, ready_ns);
}

void rates_published(struct broker_shard *broker, struct session *session, uint64_t bytes)
{
    struct session_rates *own = own_rates(session);
    uint64_t ready_ns = charge(broker, session, own, RATE_MESSAGES, 1);
    hold_until(broker, session, later(ready_ns, charge(broker, session, own, RATE_BYTES, bytes)));
}

void rates_subscribed(struct broker_shard *broker, struct session *session, uint32_t filters)
{
    hold_until(broker, session, charge(broker, session, own_rates(session), RATE_SUBSCRIBES, filters));
}

void rates_delivered(struct broker_shard *broker, struct session *session)
{
    struct session_rates *own = own_rates(session);
    uint64_t ready_ns = charge(broker, session, own, RATE_DELIVERIES, 1);
    if (ready_ns == 0) return;
    if (!timer_running(&own->deliver_timer)) COUNT(broker, deliveries_limited);
    timer_at(broker, &own->deliver_timer, ready_ns);
}

bool rates_delivery_waits(const struct session *session)
{
    return session->rare && session->rare->rates && timer_running(&session->rare->rates->deliver_timer);
}

/* ---- coming, going, changing ------------------------------------------------------------------------------------ */

void rates_attach(struct broker_shard *broker, struct session *session)
{
    uint8_t rates = limits_of(broker, session->conn)->rates;
    session->rated = (rates & RATE_BIT(RATE_DELIVERIES)) != 0;
    session->metered = (rates & RATES_PUBLISHED) != 0;
}

void rates_detach(struct broker_shard *broker, struct session *session)
{
    session->rated = false;
    if (!session->rare || !session->rare->rates) return;
    wheel_stop(&broker->shard->wheel, &session->rare->rates->read_timer);
    wheel_stop(&broker->shard->wheel, &session->rare->rates->deliver_timer);
}

static void session_change(struct broker_shard *broker, struct session *session)
{
    struct session_rates *own = session->rare ? session->rare->rates : NULL;
    if (own) memset(own->clocks, 0, sizeof own->clocks);
    if (!session->conn) return;
    rates_attach(broker, session);
    if (!own) return;
    /* In the next turn: this one is in the middle of something else. */
    if (timer_running(&own->read_timer)) shard_start_timer(broker->shard, &own->read_timer, 0);
    if (timer_running(&own->deliver_timer)) shard_start_timer(broker->shard, &own->deliver_timer, 0);
}

static bool same_rates(const struct rate a[RATE_KINDS], const struct rate b[RATE_KINDS])
{
    for (uint32_t i = 0; i < RATE_KINDS; i++)
        if (a[i].per_s != b[i].per_s || a[i].burst_ns != b[i].burst_ns) return false;
    return true;
}

/* What waited for its place on a clock that went by the old rate need not. */
static void clocks_forget(struct broker_shard *broker, struct rate_clock clocks[RATE_KINDS], struct rate_drawn drawn[RATE_KINDS])
{
    for (uint32_t i = 0; i < RATE_KINDS; i++) {
        uint64_t ns = atomic_load_explicit(&clocks[i].ns, memory_order_relaxed);
        if (ns > broker->shard->now_ns) atomic_compare_exchange_strong(&clocks[i].ns, &ns, broker->shard->now_ns);
        drawn[i] = (struct rate_drawn){0};
    }
}

static uint8_t limited(const struct rate rates[RATE_KINDS])
{
    uint8_t bits = 0;
    for (uint32_t i = 0; i < RATE_KINDS; i++)
        if (rates[i].per_s) bits |= (uint8_t)RATE_BIT(i);
    return bits;
}

static struct rate_settings client_settings(const struct broker_shard *broker, const struct limits_entry *entry, uint32_t kind)
{
    struct rate_settings own = entry->client_rates[kind];
    return own.per_s == RATE_INHERIT ? broker->settings->limiter.client[kind] : own;
}

void rates_prepare(struct broker_shard *broker, uint8_t listener)
{
    struct limits_entry *entry = &broker->limits[listener];
    struct rates wanted = {0};
    for (uint32_t i = 0; i < RATE_KINDS; i++) {
        wanted.client[i] = rate_of(client_settings(broker, entry, i), i);
        wanted.listener[i] = rate_of(entry->total_rates[i], i);
    }
    uint8_t own = limited(wanted.client) | limited(wanted.listener);
    entry->limits.rates = own | limited(broker->node_rates.rates);
    if (!own && !entry->rates) return;
    if (!entry->rates) entry->rates = memory_acquire_zeroed(sizeof *entry->rates);
    if (!same_rates(entry->rates->listener, wanted.listener))
        clocks_forget(broker, broker->broker->rate_clocks.listeners[listener], entry->rates->drawn);
    memcpy(entry->rates->client, wanted.client, sizeof wanted.client);
    memcpy(entry->rates->listener, wanted.listener, sizeof wanted.listener);
}

static void node_prepare(struct broker_shard *broker)
{
    struct rate wanted[RATE_KINDS];
    for (uint32_t i = 0; i < RATE_KINDS; i++)
        wanted[i] = rate_of(broker->settings->limiter.node[i], i);
    if (!same_rates(broker->node_rates.rates, wanted)) clocks_forget(broker, broker->broker->rate_clocks.node, broker->node_rates.drawn);
    memcpy(broker->node_rates.rates, wanted, sizeof wanted);
}

void rates_start(struct broker_shard *broker) { node_prepare(broker); }

void rates_change(struct broker_shard *broker)
{
    node_prepare(broker);
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (broker->limits[i].made) rates_prepare(broker, (uint8_t)i);
    broker->rates_walk = (struct map_walk){0};
    broker->slow_work |= SLOW_RATES;
}

static void walk_visit(void *context, void *session) { session_change(context, session); }

#define WALK_PER_LOOK 64

bool rates_turn(struct broker_shard *broker)
{
    shard_step_begin(broker->shard);
    for (uint32_t i = 1; map_walk_next(&broker->sessions, &broker->rates_walk, walk_visit, broker); i++)
        if (i % WALK_PER_LOOK == 0 && shard_step_over(broker->shard)) return true;
    broker->slow_work &= (uint8_t)~SLOW_RATES;
    return false;
}
