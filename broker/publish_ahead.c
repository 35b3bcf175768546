/* publish_ahead.c - PUBLISH packets that come after the one at hand: what routing and delivering them will touch is fetched for all of them at once
 * (router/route_scout.h). They are looked for behind it in the same receive and in the receives of the turn that have not been handed up yet: many publishers
 * that send a message each are the common case.
 *
 * Only while broker->scouts: many filters, and topics that are not at hand. Nothing is decided and nothing checked here: whatever is wrong with these
 * bytes is found when their turn comes, and what is not a topic then was fetched in vain. */
#include "broker/broker.h"
#include "router/route_scout.h"

/* The packet at the beginning of `bytes`, with its fixed header; 0: it is not there whole, or it is none. */
static size_t packet_at(struct span bytes, size_t *ret_head_bytes)
{
    size_t remaining = 0;
    for (size_t i = 1; i < bytes.bytes && i <= 4; i++) {
        remaining |= (size_t)(bytes.data[i] & 127) << 7 * (i - 1);
        if (bytes.data[i] & 128) continue;
        *ret_head_bytes = i + 1;
        return remaining <= bytes.bytes - (i + 1) ? i + 1 + remaining : 0;
    }
    return 0;
}

static struct span topic_at(struct span variable)
{
    if (variable.bytes < 2) return span_of(NULL, 0);
    size_t bytes = (size_t)variable.data[0] << 8 | variable.data[1];
    return bytes <= variable.bytes - 2 ? span_of(variable.data + 2, bytes) : span_of(NULL, 0);
}

struct topics {
    struct span items[SCOUT_TOPICS];
    uint32_t count, packets;
};

/* The packets that lie in `bytes` whole; false: there is room for no more. */
static bool topics_gather(struct topics *topics, struct span bytes)
{
    size_t head_bytes = 0, packet_bytes;
    for (; (packet_bytes = packet_at(bytes, &head_bytes)) != 0; bytes = span_skip(bytes, packet_bytes)) {
        if (topics->count == SCOUT_TOPICS) return false;
        struct span topic = span_of(NULL, 0);
        if (bytes.data[0] >> 4 == MQTT_PUBLISH) topic = topic_at(span_of(bytes.data + head_bytes, packet_bytes - head_bytes));
        if (topic.bytes) topics->items[topics->count++] = topic;
        topics->packets++;
    }
    return true;
}

static void topics_gather_next(struct shard *shard, struct topics *topics)
{
    const struct kernel_completion *end = shard->completions + shard->completions_until, *next = shard->completions + shard->completions_next;
    if (end - next > SCOUT_TOPICS) end = next + SCOUT_TOPICS;
    for (const struct kernel_completion *receive = next; receive < end; receive++)
        if (receive->user >> 56 == USER_RECEIVE) __builtin_prefetch(&shard->conns[(uint32_t)receive->user]);
    for (; next < end; next++) {
        if (next->user >> 56 != USER_RECEIVE || !(next->flags & KERNEL_BUFFER) || next->result <= 0) continue;
        const struct conn *conn = &shard->conns[(uint32_t)next->user];
        if (conn->carry_bytes || conn->filters) continue; /* these bytes begin no packet */
        __builtin_prefetch(conn->client);
        if (!topics_gather(topics, span_of(next->data, (size_t)next->result))) return;
    }
}

/* Who gets a message is touched after all the rest. */
static void sessions_expect(void *const *who, uint32_t count)
{
    const struct conn *conns[SCOUT_TOPICS];
    for (uint32_t i = 0; i < count; i++) {
        const struct session *session = who[i];
        conns[i] = session ? session->conn : NULL;
        if (conns[i]) __builtin_prefetch(conns[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (conns[i] && conns[i]->out) __builtin_prefetch(conns[i]->out);
}

void publish_ahead(struct broker_shard *broker, const struct session *session, struct span bytes)
{
    struct topics topics = {.count = 0};
    void *who[SCOUT_TOPICS];
    bool changed = session->mounted || broker->extras_bits & EXTRA_REWRITE_PUBLISH; /* they will be other topics */
    bool all = topics_gather(&topics, bytes);
    uint32_t here = topics.count;
    if (all) topics_gather_next(broker->shard, &topics);
    broker->packets_ahead = topics.packets ? topics.packets - 1 : 0; /* after the one at hand */
    if (changed || topics.count < 2) return;
    uint32_t cold = route_scout(broker->broker->routes, broker->matches, broker->sinks, (uint16_t)broker->shard->number, topics.items, topics.count, who);
    COUNT_BY(broker, topics_scouted, topics.count);
    COUNT_BY(broker, topics_scouted_across, topics.count - here);
    match_cache_scouted(broker->matches, topics.count, cold);
    sessions_expect(who, topics.count);
}
