/* events.c - what goes into the log. Callers have looked whether the session is durable, where one is named. */
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"
#include "broker/durable/durable.h"
#include "proto/topic.h"

#define STORED_ID_BITS 48

static struct wal *wal_of(struct broker_shard *broker) { return &broker->durable->wal; }
static uint64_t now_ms(const struct broker_shard *broker) { return broker->shard->now_ms; }

uint64_t durable_realtime_ms(const struct broker_shard *broker, uint64_t monotonic_ms)
{
    if (monotonic_ms == 0) return 0;
    const struct shard *shard = broker->shard;
    uint64_t realtime_ms = shard->group->verbs->realtime_ns(shard->ring) / 1000000;
    return realtime_ms + monotonic_ms - shard->now_ms;
}

/* ---- levels ----------------------------------------------------------------------------------------------------- */

/* The rule's level by its word; the words were checked when the configuration was read. */
static uint8_t level_of(struct span word)
{
    return word.bytes && word.data[0] == 'l' ? DURABILITY_LAZY : word.bytes && word.data[0] == 'n' ? DURABILITY_NONE : DURABILITY_COMMIT;
}

uint8_t durable_level(const struct broker_shard *broker, struct span topic)
{
    for (const char *at = broker->settings->durability.topics; at && *at;) {
        size_t bytes = strcspn(at, ","), equals = bytes;
        while (equals > 0 && at[equals - 1] != '=')
            equals--;
        if (equals > 1 && mqtt_topic_matches_filter(topic, span_of(at, equals - 1)))
            return level_of(span_of(at + equals, bytes - equals));
        at += bytes + (at[bytes] == ',');
    }
    return DURABILITY_COMMIT;
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* Written once for all sessions of this shard, and once more when a checkpoint has begun since: what is before that goes. */
uint64_t durable_message_id(struct broker_shard *broker, struct publication *publication)
{
    struct durable_shard *durable = broker->durable;
    uint64_t stored = publication->message ? publication->message->stored : publication->stored;
    if (stored && stored >> STORED_ID_BITS == durable->generation) return stored & ((1ull << STORED_ID_BITS) - 1);
    uint64_t id = ++durable->message_ids;
    struct stored_message record = {.id = id, .expires_ms = durable_realtime_ms(broker, publication->expires_ms), .qos = publication->qos,
                                    .retain = publication->retain, .topic = publication->topic, .properties = publication->properties,
                                    .payload = publication->payload};
    if (publication->origin_number)
        record.origin = (struct stored_origin){publication->origin_session, publication->origin_number, publication->origin_packet_id};
    store_put_message(wal_of(broker), &record, now_ms(broker));
    publication->stored = id | (uint64_t)durable->generation << STORED_ID_BITS;
    if (publication->message) publication->message->stored = publication->stored;
    return id;
}

bool durable_deliver(struct broker_shard *broker, struct session *session, struct publication *publication,
                     const struct delivery_options *options, uint16_t packet_id)
{
    if (publication->level == DURABILITY_NONE && !session->spilled) return false; /* what goes to the shelf has a number in the log */
    struct durable_session *durable = session->durable;
    uint64_t message = durable_message_id(broker, publication);
    struct stored_delivery record = {.message = message, .qos = options->qos, .retain = options->retain, .shared = options->shared,
                                     .ids = options->more_ids, .ids_count = options->more_ids_count};
    if (options->subscription_id) {
        record.ids = &options->subscription_id;
        record.ids_count = 1;
    }
    uint64_t commit = store_put_delivery(wal_of(broker), durable->id, &record, packet_id, now_ms(broker));
    if (packet_id == 0) durable->next++;
    if (publication->level == DURABILITY_COMMIT && !durable->lazy && options->qos > 0) publication->commit = commit;
    return true;
}

void durable_packet(struct broker_shard *broker, struct session *session, enum store_record type, uint16_t packet_id)
{
    if (type == STORE_SENT || type == STORE_DROP) session->durable->front++;
    store_put_packet(wal_of(broker), type, session->durable->id, packet_id, now_ms(broker));
}

void durable_retain(struct broker_shard *broker, struct publication *publication, bool kept_before)
{
    bool clears = publication->level == DURABILITY_NONE || (publication->payload.bytes == 0 && !delayed_is(publication->topic));
    if (clears && !kept_before) return; /* the log has nothing under this topic */
    uint64_t commit = clears ? store_put_retain_clear(wal_of(broker), publication->topic, now_ms(broker))
                             : store_put_retain(wal_of(broker), durable_message_id(broker, publication), now_ms(broker));
    if (publication->level == DURABILITY_COMMIT) publication->commit = commit;
}

void durable_retain_clear(struct broker_shard *broker, struct span topic) { store_put_retain_clear(wal_of(broker), topic, now_ms(broker)); }

/* ---- sessions --------------------------------------------------------------------------------------------------- */

void durable_subscribe(struct broker_shard *broker, struct session *session, struct span filter, struct span group,
                       const struct sink *sink, uint32_t local_id)
{
    struct stored_subscription record = {.filter = filter, .group = group, .subscription_id = sink->subscription_id, .qos = sink->qos,
                                         .no_local = sink->no_local, .retain_as_published = sink->retain_as_published,
                                         .exclusive = !group.bytes && exclusive_has(&broker->broker->exclusive, filter, session)};
    store_put_subscribe(wal_of(broker), session->durable->id, &record, now_ms(broker));
}

void durable_unsubscribe(struct broker_shard *broker, struct session *session, struct span filter, struct span group)
{
    store_put_unsubscribe(wal_of(broker), session->durable->id, filter, group, now_ms(broker));
}

void durable_detach(struct broker_shard *broker, struct session *session)
{
    if (broker->stopping || !session_is_durable(session)) return; /* a stop is no end: wills and expiry go on from here */
    store_put_detach(wal_of(broker), session->durable->id, session->expiry_s, session_will(session) != NULL,
                     durable_realtime_ms(broker, now_ms(broker)), now_ms(broker));
}

void durable_session_end(struct broker_shard *broker, struct session *session)
{
    if (!session_is_durable(session) || broker->stopping) return;
    store_put_session_end(wal_of(broker), session->durable->id, now_ms(broker));
}

void durable_will_clear(struct broker_shard *broker, struct session *session)
{
    if (!session_is_durable(session) || broker->stopping) return;
    store_put_will_clear(wal_of(broker), session->durable->id, now_ms(broker));
}

/* As it is now; the will's spans are its message's. */
struct stored_session durable_session_record(struct broker_shard *broker, const struct session *session)
{
    const struct durable_session *durable = session->durable;
    struct stored_session record = {.id = durable->id, .client_id = session_client_id(session), .expiry_s = session->expiry_s,
                                    .incoming_number = durable->incoming_logged, .connected = session->conn != NULL,
                                    .lazy = durable->lazy};
    if (!session->conn) {
        /* When it went: its expiry timer knows; without one (it never expires) nobody asks. */
        uint64_t ends_ms = timer_running(&session->timer) ? session->timer.deadline_ms : 0;
        uint64_t lasts_ms = (uint64_t)session->expiry_s * 1000;
        record.detached_ms = durable_realtime_ms(broker, now_ms(broker));
        if (ends_ms && ends_ms < now_ms(broker) + lasts_ms) record.detached_ms -= now_ms(broker) + lasts_ms - ends_ms;
    }
    const struct session_will *will = session_will(session);
    if (!will) return record;
    const struct message *message = will->message;
    record.will = (struct stored_will){.present = true, .delay_s = will->delay_s,
                                       .message = {.qos = message->qos, .retain = message->retain, .expires_ms = message->expires_ms,
                                                   .topic = message_topic(message), .properties = message_properties(message),
                                                   .payload = message_payload(message)}};
    return record;
}

struct stored_delivery durable_stored_delivery(struct delivery delivery, uint32_t *id)
{
    struct stored_delivery stored = {.qos = delivery_qos(delivery), .retain = (delivery.tagged & DELIVERY_RETAIN) != 0};
    *id = (uint32_t)delivery.ids;
    if (delivery.tagged & DELIVERY_IDS_LIST) {
        const uint32_t *list = (const uint32_t *)(uintptr_t)delivery.ids;
        stored.ids = list + 1;
        stored.ids_count = list[0];
    } else if (*id) {
        stored.ids = id;
        stored.ids_count = 1;
    }
    return stored;
}
