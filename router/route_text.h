/* route_text.h - labels and tails of the trie against a topic, compared where they lie. Internal to router/: route_walk.c, route_scout.c. */
#ifndef RINGMQ_ROUTER_ROUTE_TEXT_H
#define RINGMQ_ROUTER_ROUTE_TEXT_H

#include <string.h>

#include "router/route_trie.h"

/* Labels are short: no call. */
static inline bool route_bytes_equal(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    uint64_t left, right;
    uint32_t left_half, right_half;
    if (bytes > 64) return memcmp(a, b, bytes) == 0;
    if (bytes >= 8) {
        for (size_t i = 0; i + 8 < bytes; i += 8) {
            memcpy(&left, a + i, 8);
            memcpy(&right, b + i, 8);
            if (left != right) return false;
        }
        memcpy(&left, a + bytes - 8, 8);
        memcpy(&right, b + bytes - 8, 8);
        return left == right;
    }
    if (bytes >= 4) {
        memcpy(&left_half, a, 4);
        memcpy(&right_half, b, 4);
        if (left_half != right_half) return false;
        memcpy(&left_half, a + bytes - 4, 4);
        memcpy(&right_half, b + bytes - 4, 4);
        return left_half == right_half;
    }
    for (size_t i = 0; i < bytes; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* How many bytes the two begin with in common, at most `bytes`. */
static inline size_t route_common_bytes(const uint8_t *a, const uint8_t *b, size_t bytes)
{
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t left, right;
        memcpy(&left, a + i, 8);
        memcpy(&right, b + i, 8);
        if (left != right) break;
    }
    while (i < bytes && a[i] == b[i])
        i++;
    return i;
}

static inline size_t route_level_bytes(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *slash = memchr(at, '/', (size_t)(end - at));
    return (size_t)((slash ? slash : end) - at);
}

/* Both texts are walked by what they have in common. That ends inside a level (they differ) or in front of a wildcard, which stands
 * alone in its level, so the topic is at the start of the same level then. */
static inline bool route_tail_matches(const uint8_t *filter, const uint8_t *filter_end, const uint8_t *topic, const uint8_t *topic_end)
{
    for (;;) {
        size_t filter_bytes = (size_t)(filter_end - filter), topic_bytes = (size_t)(topic_end - topic);
        size_t common = route_common_bytes(filter, topic, filter_bytes < topic_bytes ? filter_bytes : topic_bytes);
        filter += common;
        topic += common;
        if (filter == filter_end) return topic == topic_end;
        if (*filter == '#') return true;
        if (*filter != '+') return topic == topic_end && filter_end - filter == 2 && filter[0] == '/' && filter[1] == '#'; /* a/# is for a, too */
        topic += route_level_bytes(topic, topic_end);
        filter++;
    }
}

static inline bool route_leaf_matches(const struct route_leaf *leaf, const uint8_t *at, const uint8_t *end)
{
    if (leaf->wild) return route_tail_matches(leaf->tail, leaf->tail + leaf->tail_bytes, at, end);
    return leaf->tail_bytes == (size_t)(end - at) && route_bytes_equal(leaf->tail, at, leaf->tail_bytes);
}

/* Does the node's label stand at `at`? Then *ret_at is where its children's level begins; NULL: the topic ends with it. */
static inline bool route_node_matches(const struct route_node *node, const uint8_t *at, const uint8_t *end, const uint8_t **ret_at)
{
    size_t rest = (size_t)(end - at), bytes = node->label_bytes;
    if (bytes == 1 && node->label[0] == '+')
        bytes = route_level_bytes(at, end);
    else if (rest < bytes || (rest > bytes && at[bytes] != '/') || !route_bytes_equal(node->label, at, bytes))
        return false;
    *ret_at = rest == bytes ? NULL : at + bytes + 1;
    return true;
}

#endif
