/* partial.c - QoS 2 messages that a crash left half given out (store/state.h): only those get them who have not.
 *
 * The process ended after some receivers' shards had the message on disk and before its publisher's shard had the packet id. PUBREC
 * was never sent, so the publisher sends the message again, in its place among its others [MQTT-4.4.0-1, MQTT-4.6.0-1]. Giving it to
 * the rest at start instead would put it before messages that nobody has and that come again, too. */
#include <stdlib.h>

#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "proto/topic.h"

struct durable_partial {
    struct list link;         /* of its session's; not linked: its packet id is in the log */
    uint32_t references;      /* the session's, and a wait's while other shards read it */
    uint16_t packet_id;
    uint64_t hash;
    uint32_t receivers_count; /* sorted */
    uint32_t groups_count;
    uint64_t numbers[];       /* receivers, then groups */
};

/* ---- its life --------------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void durable_partial_restore(struct durable_session *session, const struct state_partial *from)
{
    struct durable_partial *partial =
        memory_acquire(sizeof *partial + (from->receivers_count + from->groups_count) * sizeof partial->numbers[0]);
    *partial = (struct durable_partial){.references = 1, .packet_id = from->packet_id, .hash = from->hash,
                                        .receivers_count = from->receivers_count, .groups_count = from->groups_count};
    if (from->receivers_count) memcpy(partial->numbers, from->receivers, from->receivers_count * sizeof partial->numbers[0]);
    qsort(partial->numbers, from->receivers_count, sizeof partial->numbers[0], compare_numbers);
    if (from->groups_count)
        memcpy(partial->numbers + from->receivers_count, from->groups, from->groups_count * sizeof partial->numbers[0]);
    list_append(&session->partials, &partial->link);
}

struct durable_partial *durable_partial_ref(struct durable_partial *partial)
{
    partial->references++;
    return partial;
}

void durable_partial_unref(struct durable_partial *partial)
{
    if (partial && --partial->references == 0) memory_release(partial);
}

void durable_partial_known(struct durable_partial *partial)
{
    if (!partial || list_empty(&partial->link)) return;
    list_remove(&partial->link);
    durable_partial_unref(partial);
}

void durable_partials_forget(struct durable_session *session)
{
    while (!list_empty(&session->partials))
        durable_partial_known(CONTAINER_OF(session->partials.next, struct durable_partial, link));
}

/* ---- when it comes again ----------------------------------------------------------------------------------------- */

struct durable_partial *durable_partial_find(const struct durable_session *session, const struct publication *publication,
                                             uint16_t packet_id)
{
    LIST_FOR_EACH(link, &session->partials)
    {
        struct durable_partial *partial = CONTAINER_OF(link, struct durable_partial, link);
        if (partial->packet_id != packet_id) continue;
        if (partial->hash == stored_partial_hash(publication->topic, publication->payload)) return partial;
        durable_partial_known(partial); /* its client has forgotten the message and uses the id for another one */
        return NULL;
    }
    return NULL;
}

bool durable_partial_has(const struct durable_partial *partial, const struct session *session)
{
    if (!session->durable || !session->durable->id) return false;
    return bsearch(&session->durable->id, partial->numbers, partial->receivers_count, sizeof partial->numbers[0], compare_numbers) != NULL;
}

bool durable_partial_served(const struct durable_partial *partial, const struct broker_shard *broker, uint32_t local_id)
{
    struct span filter, group;
    if (!sinks_text(broker->sinks, local_id, &filter, &group)) return false;
    uint64_t hash = stored_group_hash(filter, group);
    for (uint32_t i = 0; i < partial->groups_count; i++)
        if (partial->numbers[partial->receivers_count + i] == hash) return true;
    return false;
}

/* ---- on disk ----------------------------------------------------------------------------------------------------- */

void durable_partials_put(struct record_writer *writer, const struct durable_session *session)
{
    size_t count_at = writer->bytes;
    uint32_t count = 0;
    record_put_u32(writer, 0);
    LIST_FOR_EACH(link, &session->partials)
    {
        const struct durable_partial *partial = CONTAINER_OF(link, struct durable_partial, link);
        record_put_u16(writer, partial->packet_id);
        record_put_u64(writer, partial->hash);
        record_put_u32(writer, partial->receivers_count);
        record_put(writer, partial->numbers, partial->receivers_count * sizeof partial->numbers[0]);
        record_put_u32(writer, partial->groups_count);
        record_put(writer, partial->numbers + partial->receivers_count, partial->groups_count * sizeof partial->numbers[0]);
        count++;
    }
    memcpy(writer->data + count_at, &count, 4);
}

/* For state_resolve(). A member of two groups that match has perhaps got it for one of them only; then the other one misses it. */
void durable_groups(void *context, const struct state_session *session, const struct state_message *message,
                    struct state_partial *partial)
{
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        const struct stored_subscription *stored = &session->subscriptions[i]->stored;
        if (stored->group.bytes && mqtt_topic_matches_filter(message->stored.topic, stored->filter))
            state_partial_group(partial, stored_group_hash(stored->filter, stored->group));
    }
}
