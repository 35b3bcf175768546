/* find.c - feature_clients_find(): every connected client comes by, some at a time, also those whose CONNECT came before any feature was in force. */
#include "broker/broker.h"
#include "broker/features/inside.h"

/* A slice: of a million clients the last comes by after half a minute, and a turn takes less than a millisecond longer. */
#define FIND_BUCKETS 128
#define FIND_EVERY_MS 2

static void found(struct broker_shard *broker, struct client_record *record, uint32_t wanted_by)
{
    struct features_shard *shard = broker->features;
    for (uint32_t i = 0; i < shard->features->count; i++) {
        const struct feature *feature = shard->features->parts[i]->feature;
        if ((wanted_by >> i & 1) && feature->client_found) feature->client_found(&shard->shards[i], &record->facts);
    }
}

void features_found(struct broker_shard *broker, struct client_record *record)
{
    uint32_t wanted_by = record->wanted_by;
    record->wanted_by = 0;
    if (wanted_by && record->session && !record->session->kicked) found(broker, record, wanted_by);
}

static void visit(void *context, void *value)
{
    struct broker_shard *broker = context;
    struct session *session = value;
    if (!session->conn || session->kicked || session->is_sink) return;
    struct client_record *record = features_record_of(broker, session);
    record->wanted_by = broker->features->finding_for;
    if (features_address_ask(broker, record)) features_found(broker, record);
}

void features_find_tick(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    struct features_shard *shard = broker->features;
    for (uint32_t i = 0; i < FIND_BUCKETS; i++) {
        if (map_walk_next(&broker->sessions, &shard->finding, visit, broker)) continue;
        shard->finding_for = 0;
        return;
    }
    shard_start_timer(broker->shard, timer, FIND_EVERY_MS);
}

void feature_clients_find(struct feature_shard *handle)
{
    struct broker_shard *broker = handle->frame;
    struct features_shard *shard = broker->features;
    shard->finding_for |= 1u << handle->slot;
    shard->finding = (struct map_walk){0};
    if (!timer_running(&shard->find_timer)) shard_start_timer(broker->shard, &shard->find_timer, FIND_EVERY_MS);
}
