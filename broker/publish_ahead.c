/* publish_ahead.c - PUBLISH packets that lie behind the one at hand: what routing them will touch is fetched for all of them at once (router/route_scout.h).
 *
 * Only while most topics have to be matched anew, among many filters. Nothing is decided and nothing checked here: whatever is wrong with these
 * bytes is found when their turn comes. */
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

size_t publish_ahead(struct broker_shard *broker, const struct session *session, struct span bytes)
{
    struct span topics[SCOUT_TOPICS];
    uint32_t count = 0;
    size_t at = 0;
    if (session->mounted || broker->extras_bits & EXTRA_REWRITE_PUBLISH) return bytes.bytes; /* they will be other topics */
    while (count < SCOUT_TOPICS) {
        struct span rest = span_skip(bytes, at);
        size_t head_bytes, packet_bytes = packet_at(rest, &head_bytes);
        if (packet_bytes == 0) break;
        struct span topic = span_of(NULL, 0);
        if (rest.data[0] >> 4 == MQTT_PUBLISH) topic = topic_at(span_of(rest.data + head_bytes, packet_bytes - head_bytes));
        if (topic.bytes) topics[count++] = topic;
        at += packet_bytes;
    }
    if (count > 1) match_cache_scouted(broker->matches, route_scout(broker->broker->routes, broker->matches, broker->sinks, (uint16_t)broker->shard->number, topics, count));
    return count == SCOUT_TOPICS ? at : bytes.bytes;
}
