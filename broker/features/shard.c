/* shard.c - the features' part of a shard: newest settings, posts from other threads, ticks. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

#define TICK_MS 100
/* Clients looked at for their expiry in one tick. */
#define EXPIRY_STEP 4096

static struct span record_key(const void *value) { return span_of(&((const struct client_record *)value)->facts.conn, sizeof(uint64_t)); }

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void attach_gates(struct features_shard *shard, uint32_t number, const struct feature *feature)
{
    for (uint32_t gate = 0; gate < FEATURE_GATES; gate++) {
        if (!(shard->setups[number].moments & FEATURE_BIT(gate))) continue;
        shard->gates[gate][shard->gates_count[gate]++] =
            (struct feature_asked){feature, &shard->shards[number], &shard->counts[number][gate]};
    }
}

static void timer_tick(struct timer *timer, void *context);

static void timer_want(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    bool wanted = shard->tick_wanted || shard->expiring_count;
    if (wanted && !timer_running(&shard->timer)) shard_start_timer(broker->shard, &shard->timer, TICK_MS);
}

void features_expiry_counted(struct broker_shard *broker) { timer_want(broker); }

/* From the parts, which the control thread does not touch while shards look at them. */
static void take_setups(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    struct features *features = shard->features;
    uint32_t moments = 0;
    memset(shard->gates_count, 0, sizeof shard->gates_count);
    features_forget_all(shard);
    shard->authenticates = shard->authorizes = shard->tick_wanted = false;
    shard->budget_ticks = broker->settings->features.gate_budget_us * feature_ticks_per_us();
    for (uint32_t i = 0; i < features->count; i++) {
        const struct feature_part *part = features->parts[i];
        shard->setups[i] = part->setup;
        shard->shards[i].prepared = part->setup.prepared;
        moments |= part->setup.moments;
        shard->authenticates |= part->setup.authenticates;
        shard->authorizes |= part->setup.authorizes;
        if (part->setup.knows_publishers) moments |= FEATURE_GATE(connect); /* facts are gathered there */
        shard->tick_wanted |= part->setup.moments && part->feature->tick && !part->setup.no_ticks;
        attach_gates(shard, i, part->feature);
    }
    if (shard->authorizes) moments |= FEATURE_GATE(publish) | FEATURE_GATE(subscribe) | FEATURE_GATE(connect); /* for what nobody decides, and wills */
    if (moments & ((1u << FEATURE_GATES) - 1)) moments |= FEATURE_GATE(connect); /* facts are gathered there */
    broker->moments = moments;
    for (uint32_t i = 0; i < features->count; i++)
        if (features->parts[i]->feature->apply) features->parts[i]->feature->apply(&shard->shards[i]);
    timer_want(broker);
}

void features_shard_start(struct broker_shard *broker)
{
    struct features *features = broker->broker->features;
    if (!features) return;
    struct features_shard *shard = memory_acquire_aligned(64, sizeof *shard);
    shard->features = features;
    map_init(&shard->clients, record_key);
    timer_init(&shard->timer, timer_tick);
    timer_init(&shard->find_timer, features_find_tick);
    list_init(&shard->sinks);
    list_init(&shard->questions);
    list_init(&shard->early);
    features_publishes_start(shard);
    for (uint32_t i = 0; i < features->count; i++)
        shard->shards[i] = (struct feature_shard){.number = broker->shard->number, .slot = i, .now_ms = &broker->shard->now_ms,
                                                  .node = &features->parts[i]->node, .frame = broker};
    atomic_store(&broker->features, shard);
    take_setups(broker);
}

void features_shard_apply(struct broker_shard *broker)
{
    if (broker->features) take_setups(broker);
}

/* ---- posts ------------------------------------------------------------------------------------------------------- */

/* A stack that any thread pushes to and the shard empties at once; run in the order they came. */
static void run_posts(struct features_shard *shard)
{
    struct feature_post *newest = atomic_exchange_explicit(&shard->posts, NULL, memory_order_acquire); /* pairs: feature_post */
    struct feature_post *first = NULL;
    while (newest) {
        struct feature_post *next = newest->next;
        newest->next = first;
        first = newest;
        newest = next;
    }
    while (first) {
        struct feature_post *post = first;
        first = post->next; /* run() may release the post */
        post->run(&shard->shards[post->feature], post);
    }
}

bool features_shard_turn(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    shard->turned = true;
    if (UNLIKELY(atomic_load_explicit(&shard->posts, memory_order_relaxed) != NULL)) run_posts(shard);
    bool more = UNLIKELY(!list_empty(&shard->early)) && features_questions_turn(broker);
    return (UNLIKELY(shard->publishes_count) && features_publishes_turn(broker)) || more;
}

void feature_post(struct feature_node *node, uint32_t to_shard, struct feature_post *post)
{
    struct features *features = node->frame;
    struct features_shard *shard = atomic_load(&features->broker->shards[to_shard]->features);
    CHECK(shard); /* features post to shards that have come to apply() */
    post->feature = node->number;
    struct feature_post *newest = atomic_load_explicit(&shard->posts, memory_order_relaxed);
    do {
        post->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&shard->posts, &newest, post, memory_order_release, memory_order_relaxed)); /* pairs: run_posts */
    /* Whoever finds the stack empty wakes: the shard looks after it is awake, so one wake-up is enough for all that is there then. */
    if (!newest && features->verbs) features->verbs->wake(NULL, to_shard);
}

/* ---- ticks ------------------------------------------------------------------------------------------------------- */

uint64_t feature_unix_ms(const struct feature_shard *shard)
{
    struct broker_shard *broker = shard->frame;
    return broker->shard->group->verbs->realtime_ns(broker->shard->ring) / 1000000;
}

static void expire_clients(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    uint64_t now_ms = broker->shard->group->verbs->realtime_ns(broker->shard->ring) / 1000000;
    for (uint32_t step = 0; step < EXPIRY_STEP; step++) {
        struct client_record *record = map_next(&shard->clients, &shard->expiry_cursor);
        if (!record) {
            shard->expiry_cursor = 0;
            return;
        }
        bool over = record->facts.expires_ms && record->facts.expires_ms <= now_ms && record->session;
        if (!over) continue;
        LOG_LIMITED(INFO, 100, "login expired", "client=%s", log_quoted(record->facts.client_id));
        session_kick(broker, record->session, MQTT_REASON_NOT_AUTHORIZED);
    }
}

static void timer_tick(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct features_shard *shard = broker->features;
    for (uint32_t i = 0; i < shard->features->count; i++) {
        const struct feature *feature = shard->features->parts[i]->feature;
        if (shard->setups[i].moments && feature->tick) feature->tick(&shard->shards[i]);
    }
    if (shard->expiring_count) expire_clients(broker);
    timer_want(broker);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

void features_shard_stop(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    if (!shard) return;
    wheel_stop(&broker->shard->wheel, &shard->timer);
    wheel_stop(&broker->shard->wheel, &shard->find_timer);
    uint32_t cursor = 0;
    for (struct client_record *record; (record = map_next(&shard->clients, &cursor)); cursor = 0)
        features_record_end(broker, record);
    run_posts(shard); /* all who post have ended: features_halt() */
    features_questions_stop(broker);
    for (uint32_t i = shard->features->count; i-- > 0;)
        if (shard->features->parts[i]->feature->stop) shard->features->parts[i]->feature->stop(&shard->shards[i]);
    features_sinks_stop(broker);
    features_publishes_stop(broker);
    broker->moments = 0;
    atomic_store(&broker->features, NULL);
    map_free(&shard->clients);
    memory_release(shard->codes);
    memory_release(shard);
}
