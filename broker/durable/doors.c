/* doors.c - what is not let in while the disk takes nothing, or the store is full.
 *
 *                            stuck: the log is far behind, or cannot be written        full: less room than durability.disk_reserve
 *     PUBLISH QoS 1, 2       0x97 if it would go into a log                            the same, but a retained message may be deleted
 *     retained, QoS 0        is kept as well as it can be                              not kept; what it replaces goes, too [MQTT-3.3.1-5 allows both]
 *     QoS 0 into a long queue                                                          dropped
 *     SUBSCRIBE, durable     0x97                                                      0x97, unless it is there already
 *     CONNECT, durable       0x88                                                      0x88, unless its session is there: it may take what is in it
 *     a will, QoS 1, 2       is given out with QoS 0 if it would go into a log         the same (and as a retained message of QoS 0)
 *     delayed, due           waits on, if it would go into a log                       the same
 *     all that takes away: acknowledgements, UNSUBSCRIBE, DISCONNECT, expiry           goes on
 *
 * MQTT 3 has no code for a refused PUBLISH: its client is disconnected, and sends it again on its next connection. Of a will nobody is there to be told, and many come at once when a
 * network fails; a delayed message was acknowledged, and is kept already. */
#include "base/log.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"

void durable_doors_look(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    const struct durability_settings *settings = &broker->settings->durability;
    bool looks = (settings->topics && *settings->topics) || wal_backlog_bytes(&durable->wal) > settings->backlog_bytes_max / 2;
    broker->durable_doors = (uint8_t)((durable_refuses(broker) ? DURABLE_STUCK : 0) | (reserve_full(store_reserve(broker->broker->store)) ? DURABLE_FULL : 0) |
                                      (looks ? DURABLE_LOOKS : 0));
}

/* By the bitmaps of durable filters, so now and then true for nothing. */
static bool somebody_keeps(const struct broker_shard *broker, struct span topic)
{
    const struct match_set *set = match_cache_lookup(broker->matches, topic);
    if (set->local_ids_count && durable_filters_any(broker->durable, set->local_ids, set->local_ids_count)) return true;
    for (uint32_t i = 0; i < set->others_count; i++)
        if (durable_filters_any(broker->broker->shards[set->others[i].target]->durable, set->others[i].ids, set->others[i].ids_count)) return true;
    for (uint32_t g = 0; g < set->groups_count; g++)
        for (uint32_t t = 0; t < set->groups[g].targets_count; t++) {
            const struct route_target *target = &set->groups[g].targets[t];
            if (durable_filters_any(broker->broker->shards[target->target]->durable, &target->local_id, 1)) return true;
        }
    return false;
}

bool durable_would_keep(const struct broker_shard *broker, struct span topic, uint8_t qos, enum durable_keeps keeps)
{
    bool stuck = (broker->durable_doors & DURABLE_STUCK) != 0;
    if (qos == 0 || durable_level(broker, topic) == DURABILITY_NONE) return false;
    return keeps == DURABLE_KEEPS || (keeps == DURABLE_CLEARS && stuck) || somebody_keeps(broker, topic);
}

bool durable_turns_away(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, enum durable_keeps keeps)
{
    bool knows_id = qos == 2 && session && session_is_durable(session), stuck = (broker->durable_doors & DURABLE_STUCK) != 0;
    if (!knows_id && !durable_would_keep(broker, topic, qos, keeps)) return false;
    COUNT(broker, durable_refused);
    drop_note(broker, DROP_disk, session, topic, 1);
    LOG_LIMITED(WARN, 1000, "message refused", "reason=%s client=%s topic=%s", stuck ? "disk" : "store_full",
                session ? log_quoted(session_client_id(session)) : "-", log_quoted(topic));
    return true;
}

bool durable_turns_away_connect(struct broker_shard *broker, struct span client_id)
{
    if (!(broker->durable_doors & DURABLE_STUCK)) {
        const struct session *session = session_find(broker, client_id);
        if (session && session_is_durable(session)) return false;
    }
    COUNT(broker, durable_refused);
    return true;
}

bool durable_turns_away_subscribe(struct broker_shard *broker, bool stands)
{
    if (stands && !(broker->durable_doors & DURABLE_STUCK)) return false;
    COUNT(broker, durable_refused);
    return true;
}
