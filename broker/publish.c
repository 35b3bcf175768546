/* publish.c - a publication goes to all who want it: sinks here, other shards, shared groups (design §7). */
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/mount.h"
#include "broker/run_send.h"

/* ---- the sinks of this shard ------------------------------------------------------------------------------------ */

static inline uint8_t lower_qos(uint8_t a, uint8_t b) { return a < b ? a : b; }

/* Several filters match: a session with overlapping subscriptions gets one copy with the highest QoS and all its
 * subscription identifiers (§3.3.4). First pass: one entry per session. */
static void merge_filter(struct broker_shard *broker, struct publication *publication, uint32_t local_id)
{
    struct sinks_view view = sinks_get(broker->sinks, local_id);
    for (uint32_t i = 0; i < view.count; i++) {
        const struct sink *sink = &view.sinks[i];
        if (!subscription_wants(sink, publication)) continue;
        struct session *session = sink->who;
        if (session->fanout_stamp != broker->fanout_stamp) {
            session->fanout_stamp = broker->fanout_stamp;
            session->fanout_place = broker->fanout_count;
            if (broker->fanout_count == broker->fanout_capacity) {
                broker->fanout_capacity = broker->fanout_capacity ? broker->fanout_capacity * 2 : 64;
                broker->fanout = memory_resize(broker->fanout, broker->fanout_capacity * sizeof *broker->fanout);
            }
            broker->fanout[broker->fanout_count++] = (struct fanout_entry){.session = session, .filter = local_id};
        }
        struct fanout_entry *entry = &broker->fanout[session->fanout_place];
        uint8_t qos = lower_qos(sink->qos, publication->qos);
        if (qos > entry->qos) entry->qos = qos;
        entry->retain |= publication->retain && sink->retain_as_published;
        if (!sink->subscription_id) continue;
        if (broker->fanout_ids_count + 2 > broker->fanout_ids_capacity) {
            broker->fanout_ids_capacity = broker->fanout_ids_capacity ? broker->fanout_ids_capacity * 2 : 128;
            broker->fanout_ids =
                memory_resize(broker->fanout_ids, broker->fanout_ids_capacity * sizeof *broker->fanout_ids);
        }
        broker->fanout_ids[broker->fanout_ids_count++] = session->fanout_place;
        broker->fanout_ids[broker->fanout_ids_count++] = sink->subscription_id;
        entry->ids_count++;
    }
}

/* Second pass: the pairs (entry, id) become one run of ids per entry, in the upper half of the same scratch. */
static void gather_ids(struct broker_shard *broker)
{
    uint32_t pairs = broker->fanout_ids_count, needed = pairs + pairs / 2;
    if (needed > broker->fanout_ids_capacity) {
        broker->fanout_ids_capacity = needed;
        broker->fanout_ids = memory_resize(broker->fanout_ids, needed * sizeof *broker->fanout_ids);
    }
    uint32_t at = pairs;
    for (uint32_t i = 0; i < broker->fanout_count; i++) {
        broker->fanout[i].ids_first = at;
        at += broker->fanout[i].ids_count;
        broker->fanout[i].ids_count = 0;
    }
    for (uint32_t i = 0; i < pairs; i += 2) {
        struct fanout_entry *entry = &broker->fanout[broker->fanout_ids[i]];
        broker->fanout_ids[entry->ids_first + entry->ids_count++] = broker->fanout_ids[i + 1];
    }
}

static void deliver_merged(struct broker_shard *broker, struct publication *publication, const uint32_t *local_ids,
                           uint32_t count)
{
    broker->fanout_count = broker->fanout_ids_count = 0;
    if (++broker->fanout_stamp == 0) broker->fanout_stamp = 1; /* 0 is "never" in a new session */
    for (uint32_t i = 0; i < count; i++)
        merge_filter(broker, publication, local_ids[i]);
    if (broker->fanout_ids_count) gather_ids(broker);
    if (UNLIKELY(broker->fanout_count >= FANOUT_WORK)) shard_turn_work(broker->shard, broker->fanout_count / FANOUT_WORK);
    for (uint32_t i = 0; i < broker->fanout_count; i++) {
        const struct fanout_entry *entry = &broker->fanout[i];
        publication->filter = entry->filter;
        struct delivery_options options = {.qos = entry->qos, .retain = entry->retain};
        if (entry->ids_count == 1) options.subscription_id = broker->fanout_ids[entry->ids_first];
        if (entry->ids_count > 1) {
            options.more_ids = broker->fanout_ids + entry->ids_first;
            options.more_ids_count = entry->ids_count;
        }
        session_deliver(broker, entry->session, publication, &options);
    }
}

void publication_deliver(struct broker_shard *broker, struct publication *publication, const uint32_t *local_ids,
                         uint32_t count)
{
    if (LIKELY(count == 1)) return publication_deliver_filter(broker, publication, local_ids[0]);
    deliver_merged(broker, publication, local_ids, count);
}

/* The lane took it, but is full: whoever comes next waits (broker/pressure.h). */
static inline void lane_look(struct broker_shard *broker, struct publication *publication, uint32_t to)
{
    if (LIKELY(!mesh_blocked(&broker->shard->ways[to]))) return;
    broker->lanes_blocked = true;
    publication->congested = true;
}

/* ---- shared subscriptions --------------------------------------------------------------------------------------- */

static uint32_t member_load(void *context, const struct sink *sink)
{
    const struct session *session = sink->who;
    if (UNLIKELY(session->is_sink)) return features_sink_idle(session) ? 0 : SHARE_UNAVAILABLE;
    if (!session->conn) return SHARE_UNAVAILABLE;
    bool waits = session->queue.count || mqtt_inflight_full(&session->inflight) || !conn_has_room(session->conn) ||
                 (UNLIKELY(session->rated) && rates_delivery_waits(session));
    if (waits) return !session->pressed ? SHARE_WAITING : pressure_is_held_for(session) ? SHARE_PRESSED : SHARE_UNAVAILABLE;
    return mqtt_inflight_count(&session->inflight);
}

/* Has a queue of them room, beside those that are nearly full? */
static bool others_wait(struct broker_shard *broker, struct sinks_view view)
{
    for (uint32_t i = 0; i < view.count; i++)
        if (view.sinks[i].who && member_load(broker, &view.sinks[i]) < SHARE_PRESSED) return true;
    return false;
}

/* Nobody could take it at once, and the member whose turn it is has ended: the next one that has not. NULL: there is none. */
static const struct sink *member_that_stays(struct sinks_view view, uint32_t index)
{
    for (uint32_t i = 0; i < view.count; i++) {
        const struct sink *sink = &view.sinks[(index + i) % view.count];
        if (sink->who && !((const struct session *)sink->who)->ended) return sink;
    }
    return NULL;
}

struct share_choice publication_share_choose(struct broker_shard *broker, struct sinks_view view, uint32_t local_id, uint8_t strategy,
                                             const struct share_keys *keys)
{
    return share_pick_member(broker->share, (enum share_strategy)strategy, local_id, view, keys, member_load, broker);
}

static inline bool deliver_chosen(struct broker_shard *broker, struct publication *publication, uint32_t local_id, struct sinks_view view,
                                  struct share_choice choice)
{
    if (choice.index == SHARE_NONE) return false;
    if (UNLIKELY(broker->durable) && publication->partial && durable_partial_served(publication->partial, broker, local_id)) return true;
    const struct sink *sink = &view.sinks[choice.index];
    if (UNLIKELY(((const struct session *)sink->who)->ended) && !(sink = member_that_stays(view, choice.index))) return false;
    struct session *session = sink->who;
    publication->filter = choice.load == SHARE_PRESSED ? local_id : SINKS_ID_NONE; /* others have room */
    if (choice.available && publication_deliver_plain(broker, publication, sink)) return true;
    struct delivery_options options = subscription_options(sink, publication);
    options.shared = true;
    session_deliver(broker, session, publication, &options);
    if (UNLIKELY(session->pressed) && choice.load == SHARE_WAITING && !others_wait(broker, view)) pressure_rise(broker, session, local_id);
    return true;
}

bool publication_deliver_chosen(struct broker_shard *broker, struct publication *publication, uint32_t local_id, struct sinks_view view,
                                struct share_choice choice)
{
    return deliver_chosen(broker, publication, local_id, view, choice);
}

bool publication_deliver_shared(struct broker_shard *broker, struct publication *publication, uint32_t local_id,
                                uint8_t strategy, const struct share_keys *keys)
{
    struct sinks_view view = sinks_get(broker->sinks, local_id);
    return deliver_chosen(broker, publication, local_id, view, publication_share_choose(broker, view, local_id, strategy, keys));
}

static void publish_to_group(struct broker_shard *broker, struct publication *publication,
                             const struct route_group *group, uint64_t topic_hash)
{
    struct shard *shard = broker->shard;
    struct share_keys keys = {.publisher_hash = publication->publisher_hash, .topic_hash = topic_hash,
                              .random = random_next(&shard->random), .shard = shard->number};
    uint32_t picked = share_pick_shard(broker->share, group, &keys);
    if (group->strategy == SHARE_LOCAL_FIRST && group->targets_count > 1 && group->targets[picked].target == shard->number &&
        !share_has_room(sinks_get(broker->sinks, group->targets[picked].local_id), &keys, member_load, broker))
        picked = share_pick_other(group, picked, &keys);
    if (pressure_any(broker)) picked = pressure_pick(broker, group, picked);
    for (uint32_t tried = 0; tried < group->targets_count; tried++) {
        const struct route_target *target = &group->targets[(picked + tried) % group->targets_count];
        if (target->target != shard->number) {
            if (UNLIKELY(broker->durable)) durable_announce(broker, target->target, publication, &target->local_id, 1);
            bool runs = !share_hashes((enum share_strategy)group->strategy) &&
                        run_send(shard, target->target, RECORD_PUBLISH_SHARED_RUN, publication, run_group(target->local_id, group->strategy));
            if (UNLIKELY(!runs))
                record_send_shared(shard, target->target, publication, target->local_id, group->strategy, keys.publisher_hash, keys.topic_hash);
            lane_look(broker, publication, target->target);
            return;
        }
        if (publication_deliver_shared(broker, publication, target->local_id, group->strategy, &keys)) return;
    }
    COUNT(broker, dropped_no_share_member);
    drop_note(broker, DROP_no_share_member, NULL, publication->topic, 1);
}

/* ---- fan-out ---------------------------------------------------------------------------------------------------- */

/* To other shards. */
__attribute__((noinline)) static void publish_to_others(struct broker_shard *broker, struct publication *publication, const struct match_set *set)
{
    struct shard *shard = broker->shard;
    for (uint32_t i = 0; i < set->others_count; i++) {
        const struct match_target *other = &set->others[i];
        bool has_room = false; /* it lies in the lane: that one is not full */
        if (UNLIKELY(broker->durable) && publication->qos && durable_send_publish(broker, other->target, publication, other->ids, other->ids_count))
            ; /* somebody there keeps it */
        else if (UNLIKELY(other->ids_count > 1))
            record_send_publish(shard, other->target, publication_message(shard, publication), other->ids, other->ids_count);
        else if (UNLIKELY(!(has_room = run_send(shard, other->target, RECORD_PUBLISH_RUN, publication, other->ids[0]))))
            record_send_publish_one(shard, other->target, publication, other->ids[0]);
        if (UNLIKELY(shard->sampling)) {
            record_send(shard, other->target, RECORD_SAMPLE, NULL, shard->now_ns);
            has_room = false;
        }
        if (UNLIKELY(!has_room)) lane_look(broker, publication, other->target);
    }
}

bool publication_publish(struct broker_shard *broker, struct publication *publication)
{
    if (UNLIKELY(publication->retain)) publication->identity = (uint64_t)broker->shard->number << 56 | ++broker->identities;
    const struct match_set *set = match_cache_lookup(broker->matches, publication->topic);
    if (LIKELY(set->local_ids_count == 1 && (set->others_count | set->groups_count) == 0) && LIKELY(!publication->retain))
        return publication_deliver_filter(broker, publication, set->local_ids[0]), true; /* nearly all */
    bool wanted = !match_set_empty(set);
    /* Nothing below looks a topic up again, so the set stays valid: whoever must be disconnected is kicked later. */
    if (set->others_count) publish_to_others(broker, publication, set);
    for (uint32_t i = 0; i < set->groups_count; i++)
        publish_to_group(broker, publication, &set->groups[i], set->topic_hash);
    if (set->local_ids_count) publication_deliver(broker, publication, set->local_ids, set->local_ids_count);
    if (UNLIKELY(publication->retain)) retained_store(broker, publication);
    if (!wanted) {
        COUNT(broker, publish_unmatched);
        if (UNLIKELY(broker->extras_bits & EXTRA_METRICS) && publication->publisher) extras_count(broker, publication->topic, METRIC_DROPPED);
    }
    return wanted;
}
