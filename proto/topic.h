/* topic.h - topic names and topic filters (§4.7, §4.8.2).
 *
 * A topic is levels separated by '/'; levels may be empty ("/" has two). In a filter '+' alone stands for one level, '#'
 * alone and last for any number of levels, its parent included. "$share/GROUP/FILTER" is a shared subscription in every
 * version of the protocol: to a 3.1.1 client it is an extension that all large brokers offer.
 *
 * Threads: pure functions. Nothing is allocated; spans that are handed out point into the argument. */
#ifndef RINGMQ_PROTO_TOPIC_H
#define RINGMQ_PROTO_TOPIC_H

#include "base/span.h"

/* What one pass over a string finds out about it. Wildcards are not judged here. */
struct mqtt_topic_scan {
    bool utf8;       /* an MQTT string, §1.5.4 */
    bool wildcards;  /* has a '+' or '#' anywhere */
    uint32_t levels; /* at least 1 */
};
struct mqtt_topic_scan mqtt_topic_scan(struct span text);

/* A name one may publish to: 1 … 65535 bytes of valid UTF-8, no wildcard, at most levels_max levels (0: any number). */
bool mqtt_topic_name_valid(struct span topic, uint32_t levels_max);
/* A filter one may subscribe to; if it begins with "$share/", its group and inner filter are judged too.
 * levels_max counts the inner filter's levels. */
bool mqtt_topic_filter_valid(struct span filter, uint32_t levels_max);

/* Splits "$share/group/a/b" into "group" and "a/b". For any other filter the group is empty and the filter unchanged.
 * False, and nothing written, when it begins with "$share/" and the group is empty or holds a wildcard, or the filter is
 * missing (§4.8.2: [MQTT-4.8.2-1], [MQTT-4.8.2-2]). "$share" alone is an ordinary filter. Does not judge the inner filter. */
bool mqtt_share_split(struct span full_filter, struct span *ret_group, struct span *ret_filter);

/* Does the name match the filter (without $share)? Both must be valid. A filter that begins with a wildcard never matches a
 * name that begins with '$' [MQTT-4.7.2-1]. Walks both strings level by level: the reference for the router's trie, and
 * good enough for a handful of filters. */
bool mqtt_topic_matches_filter(struct span topic, struct span filter);

/* Does every topic that matches `filter` match `wide`, too, as far as their levels tell: `a/+/b` lies below `a/#` and `a/+/+`, `a/#` only below a
 * `#`. Both valid, without $share. */
bool mqtt_filter_covers(struct span wide, struct span filter);

/* Takes the next level off the front:
 *     struct span rest = topic, level;
 *     while (mqtt_level_next(&rest, &level)) …
 * After the last one rest.data is NULL. A string of 0 bytes with non-NULL data is one empty level. */
static inline bool mqtt_level_next(struct span *rest, struct span *ret_level)
{
    if (rest->data == NULL) return false;
    const uint8_t *slash = rest->bytes ? memchr(rest->data, '/', rest->bytes) : NULL;
    if (slash == NULL) {
        *ret_level = *rest;
        *rest = (struct span){NULL, 0};
        return true;
    }
    *ret_level = span_of(rest->data, (size_t)(slash - rest->data));
    *rest = span_skip(*rest, ret_level->bytes + 1);
    return true;
}

/* '+', '#' anywhere: a filter that names more than one topic. */
static inline bool mqtt_topic_has_wildcards(struct span topic)
{
    return topic.bytes && (memchr(topic.data, '+', topic.bytes) || memchr(topic.data, '#', topic.bytes));
}

#endif
