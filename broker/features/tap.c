/* tap.c - taps: a ring of 64-byte records per shard, emptied by the control thread.
 *
 *     shard ─► ring (TAP_RING records, full: counted and dropped) ─► control thread ─► tap() of those who want it
 *
 * One producer and one consumer: the shard stores the tail, the control thread the head. The first event rings the bell (base/bell.h); from then
 * on the control thread looks every FEATURES_GATHER_MS until there was nothing, and sleeps again: nobody is woken for each event, and nobody
 * without events. */
#include <stdatomic.h>

#include "base/bell.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

/* 256 KiB a shard, made when somebody wants events: 4,096 in FEATURES_GATHER_MS are 800,000 a second. */
#define TAP_RING 4096
#define TAP_BATCH 256

struct tap_ring {
    _Alignas(64) _Atomic uint32_t tail; /* the shard's */
    uint32_t head_seen;
    _Alignas(64) _Atomic uint32_t head; /* the control thread's */
    struct feature_event events[TAP_RING];
};

struct tap_state {
    uint32_t shards_count;
    _Atomic(struct tap_ring *) rings[SHARDS_MAX];
    uint32_t wanted; /* moments that some feature wants */
    bool sleeps;     /* the control thread waits for the bell */
    struct bell bell; /* closed in the simulation and before the start */
};

void features_taps_create(struct features *features, uint32_t shards_count)
{
    features->taps = memory_acquire_aligned(64, sizeof *features->taps);
    *features->taps = (struct tap_state){.shards_count = shards_count, .bell = BELL_CLOSED};
}

void features_taps_destroy(struct features *features)
{
    for (uint32_t s = 0; s < features->taps->shards_count; s++)
        memory_release(atomic_load(&features->taps->rings[s]));
    bell_close(&features->taps->bell);
    memory_release(features->taps);
}

int features_events_fd(struct features *features)
{
    if (features->taps->bell.fd < 0 && !bell_open(&features->taps->bell)) return -1;
    return features->taps->bell.fd;
}

void features_taps_want(struct features *features)
{
    struct tap_state *taps = features->taps;
    taps->wanted = 0;
    for (uint32_t i = 0; i < features->count; i++)
        taps->wanted |= features->parts[i]->setup.moments & ~(FEATURE_SINKS | ((1u << FEATURE_GATES) - 1));
    for (uint32_t s = 0; taps->wanted && s < taps->shards_count; s++)
        if (!atomic_load(&taps->rings[s])) atomic_store(&taps->rings[s], memory_acquire_aligned(64, sizeof(struct tap_ring)));
}

int features_control_ms(const struct features *features)
{
    bool ticks = false;
    for (uint32_t i = 0; i < features->count; i++)
        ticks |= features_on(features, i) && features->parts[i]->feature->control_tick;
    if (features->taps->wanted && !features->taps->sleeps) return FEATURES_GATHER_MS;
    return ticks ? FEATURES_TICK_MS : -1;
}

/* ---- the shard's side -------------------------------------------------------------------------------------------- */

void features_tap(struct broker_shard *broker, enum feature_moment moment, uint8_t version, uint64_t client_hash, struct span text, uint8_t reason,
                  uint32_t value)
{
    struct features_shard *shard = broker->features;
    if (LIKELY(!(broker->moments >> moment & 1))) return;
    struct tap_ring *ring = atomic_load_explicit(&shard->features->taps->rings[broker->shard->number], memory_order_acquire);
    if (!ring) return; /* it is made before the shards hear that it is wanted; nobody wants events any more */
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - ring->head_seen == TAP_RING) ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire); /* pairs: drain_ring */
    if (tail - ring->head_seen == TAP_RING) {
        COUNT(broker, tap_events_lost);
        LOG_LIMITED(WARN, 10000, "events lost", "reason=ring_full what=\"features are told less than happened\"");
        return;
    }
    struct feature_event *event = &ring->events[tail & (TAP_RING - 1)];
    size_t bytes = text.bytes < sizeof event->text ? text.bytes : sizeof event->text;
    *event = (struct feature_event){.at_ms = broker->shard->group->verbs->realtime_ns(broker->shard->ring) / 1000000,
                                    .moment = (uint8_t)moment,
                                    .shard = (uint8_t)broker->shard->number,
                                    .reason = reason,
                                    .version = version,
                                    .value = value,
                                    .client_hash = client_hash,
                                    .text_bytes = (uint8_t)bytes};
    if (bytes) memcpy(event->text, text.data, bytes);
    COUNT(broker, tap_events);
    atomic_store(&ring->tail, tail + 1); /* pairs: drain_ring, and something_waits with the bell */
    bell_ring(&shard->features->taps->bell);
}

/* ---- the control thread's ---------------------------------------------------------------------------------------- */

static void hand_out(struct features *features, const struct feature_event *events, uint32_t count)
{
    struct feature_event wanted[TAP_BATCH];
    for (uint32_t i = 0; i < features->count; i++) {
        struct feature_part *part = features->parts[i];
        if (!part->feature->tap) continue;
        uint32_t wanted_count = 0;
        for (uint32_t j = 0; j < count; j++)
            if (part->setup.moments >> events[j].moment & 1) wanted[wanted_count++] = events[j];
        if (wanted_count) part->feature->tap(&part->node, wanted, wanted_count);
    }
}

static bool drain_ring(struct features *features, struct tap_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* pairs: features_tap */
    bool any = head != tail;
    while (head != tail) {
        struct feature_event events[TAP_BATCH];
        uint32_t count = 0;
        while (head != tail && count < TAP_BATCH)
            events[count++] = ring->events[head++ & (TAP_RING - 1)];
        atomic_store_explicit(&ring->head, head, memory_order_release); /* pairs: features_tap */
        hand_out(features, events, count);
    }
    return any;
}

bool features_events_drain(struct features *features)
{
    bool any = false;
    for (uint32_t s = 0; s < features->taps->shards_count; s++) {
        struct tap_ring *ring = atomic_load(&features->taps->rings[s]);
        if (ring) any |= drain_ring(features, ring);
    }
    return any;
}

/* Sequentially consistent, as base/bell.h wants it. */
static bool something_waits(const struct tap_state *taps)
{
    for (uint32_t s = 0; s < taps->shards_count; s++) {
        struct tap_ring *ring = atomic_load(&taps->rings[s]);
        if (ring && atomic_load(&ring->tail) != atomic_load_explicit(&ring->head, memory_order_relaxed)) return true;
    }
    return false;
}

void features_events_turn(struct features *features)
{
    struct tap_state *taps = features->taps;
    bell_awake(&taps->bell);
    taps->sleeps = false;
    if (features_events_drain(features) || !taps->wanted) return;
    bell_sleep(&taps->bell);
    taps->sleeps = !something_waits(taps);
    if (!taps->sleeps) bell_awake(&taps->bell);
}
