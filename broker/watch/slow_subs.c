#include "broker/watch/slow_subs.h"

#include <stdlib.h>

#include "base/memory.h"
#include "broker/broker.h"

void slow_subs_init(struct slow_subs *slow) { pthread_mutex_init(&slow->mutex, NULL); }

static void entry_release(struct slow_sub *entry)
{
    memory_release(entry->client_id);
    memory_release(entry->topic);
}

static void entry_remove(struct slow_subs *slow, uint32_t at)
{
    entry_release(&slow->entries[at]);
    memmove(&slow->entries[at], &slow->entries[at + 1], (slow->count - at - 1) * sizeof *slow->entries);
    slow->count--;
}

static void clear(struct slow_subs *slow)
{
    while (slow->count)
        entry_remove(slow, slow->count - 1);
    memory_release(slow->entries);
    slow->entries = NULL;
}

void slow_subs_release(struct slow_subs *slow)
{
    clear(slow);
    pthread_mutex_destroy(&slow->mutex);
}

static bool is_for(const struct slow_sub *entry, struct span client_id, struct span topic)
{
    return span_equal(span_of(entry->client_id, entry->client_id_bytes), client_id) &&
           span_equal(span_of(entry->topic, entry->topic_bytes), topic);
}

static char *copy(struct span text)
{
    char *made = memory_acquire(text.bytes + 1);
    if (text.bytes) memcpy(made, text.data, text.bytes);
    made[text.bytes] = 0;
    return made;
}

static void insert(struct slow_subs *slow, uint32_t top_k, struct slow_sub entry)
{
    uint32_t at = slow->count;
    while (at > 0 && slow->entries[at - 1].latency_ms < entry.latency_ms)
        at--;
    if (slow->count == top_k) entry_remove(slow, top_k - 1);
    slow->entries = memory_resize(slow->entries, (slow->count + 1) * sizeof *slow->entries);
    memmove(&slow->entries[at + 1], &slow->entries[at], (slow->count - at) * sizeof *slow->entries);
    slow->entries[at] = entry;
    slow->count++;
}

static void expire(struct slow_subs *slow, uint64_t now_ms, uint64_t expire_ms)
{
    for (uint32_t i = slow->count; i-- > 0;)
        if (now_ms > slow->entries[i].noted_ms + expire_ms) entry_remove(slow, i);
}

static void note(struct broker_shard *broker, struct span client_id, struct span topic, uint32_t latency_ms)
{
    const struct slow_subs_settings *settings = &broker->settings->slow_subs;
    struct slow_subs *slow = &broker->slow_subs;
    struct shard *shard = broker->shard;
    slow->top_k = settings->top_k;
    slow->expire_ms = settings->expire_s * 1000ull;
    while (slow->count > settings->top_k)
        entry_remove(slow, slow->count - 1); /* it has become shorter */
    expire(slow, shard->now_ms, slow->expire_ms);
    for (uint32_t i = 0; i < slow->count; i++) {
        if (!is_for(&slow->entries[i], client_id, topic)) continue;
        struct slow_sub entry = slow->entries[i];
        entry.latency_ms = latency_ms; /* the newest counts: one that has recovered sinks */
        entry.noted_ms = shard->now_ms;
        entry.at_ms = shard->group->verbs->realtime_ns(shard->ring) / 1000000;
        memmove(&slow->entries[i], &slow->entries[i + 1], (slow->count - i - 1) * sizeof *slow->entries);
        slow->count--;
        return insert(slow, settings->top_k, entry);
    }
    if (slow->count == settings->top_k && slow->entries[slow->count - 1].latency_ms >= latency_ms) return;
    insert(slow, settings->top_k, (struct slow_sub){.latency_ms = latency_ms,
                                                    .noted_ms = shard->now_ms,
                                                    .at_ms = shard->group->verbs->realtime_ns(shard->ring) / 1000000,
                                                    .client_id = copy(client_id),
                                                    .topic = copy(topic),
                                                    .client_id_bytes = (uint32_t)client_id.bytes,
                                                    .topic_bytes = (uint32_t)topic.bytes});
}

void slow_subs_note(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, bool sent, uint32_t stamp_ms)
{
    const struct slow_subs_settings *settings = &broker->settings->slow_subs;
    bool internal = settings->stats_type == SLOW_SUBS_INTERNAL;
    bool counts = sent ? internal || (qos == 0 && settings->stats_type == SLOW_SUBS_WHOLE) : !internal;
    uint32_t latency_ms = (uint32_t)broker->shard->now_ms - stamp_ms;
    if (!counts || stamp_ms == 0 || latency_ms < settings->threshold_ms) return;
    COUNT(broker, deliveries_slow);
    pthread_mutex_lock(&broker->slow_subs.mutex);
    note(broker, session_client_id(session), topic, latency_ms);
    pthread_mutex_unlock(&broker->slow_subs.mutex);
}

void slow_subs_sent(struct broker_shard *broker, const struct session *session, struct span topic, uint8_t qos, struct delivery *delivery)
{
    slow_subs_note(broker, session, topic, qos, true, delivery_stamp_ms(*delivery));
    if (broker->settings->slow_subs.stats_type == SLOW_SUBS_RESPONSE) delivery_stamp_again(delivery, (uint32_t)broker->shard->now_ms);
}

static int by_latency(const void *a, const void *b)
{
    uint32_t left = ((const struct slow_sub *)a)->latency_ms, right = ((const struct slow_sub *)b)->latency_ms;
    return left < right ? 1 : left > right ? -1 : 0;
}

void slow_subs_list(struct broker *broker, void (*each)(void *context, const struct slow_sub *entry), void *context)
{
    struct slow_sub *all = NULL;
    uint32_t count = 0, top_k = 0;
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        struct broker_shard *shard = broker->shards[s];
        if (!shard->shard) continue; /* not started yet */
        pthread_mutex_lock(&shard->slow_subs.mutex);
        if (shard->slow_subs.top_k > top_k) top_k = shard->slow_subs.top_k;
        expire(&shard->slow_subs, __atomic_load_n(&shard->shard->now_ms, __ATOMIC_RELAXED), shard->slow_subs.expire_ms);
        all = memory_resize(all, (count + shard->slow_subs.count + 1) * sizeof *all);
        for (uint32_t i = 0; i < shard->slow_subs.count; i++) {
            struct slow_sub entry = shard->slow_subs.entries[i];
            entry.client_id = copy(span_of(entry.client_id, entry.client_id_bytes));
            entry.topic = copy(span_of(entry.topic, entry.topic_bytes));
            all[count++] = entry;
        }
        pthread_mutex_unlock(&shard->slow_subs.mutex);
    }
    if (count) qsort(all, count, sizeof *all, by_latency);
    for (uint32_t i = 0; i < count; i++) {
        if (i < top_k) each(context, &all[i]);
        entry_release(&all[i]);
    }
    memory_release(all);
}

void slow_subs_clear(struct broker *broker)
{
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        struct slow_subs *slow = &broker->shards[s]->slow_subs;
        if (!broker->shards[s]->shard) continue;
        pthread_mutex_lock(&slow->mutex);
        clear(slow);
        pthread_mutex_unlock(&slow->mutex);
    }
}
