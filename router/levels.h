/* levels.h - a topic or filter cut at its slashes. Internal to router/.
 *
 * The spans point into the text and live as long. "" has no levels to MQTT; here it has one empty level, like any text without `/`. */
#ifndef RINGMQ_ROUTER_LEVELS_H
#define RINGMQ_ROUTER_LEVELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/span.h"

struct levels {
    const uint8_t *end; /* of the whole text */
    uint32_t count;
    bool deeper; /* the text has more levels than these */
    struct span items[TOPIC_LEVELS_MAX];
};

/* What is left of `rest` before its first slash. *ret_rest is what follows it; false: that was the last level. */
static inline bool level_cut(struct span rest, struct span *ret_level, struct span *ret_rest)
{
    const uint8_t *slash = rest.bytes ? memchr(rest.data, '/', rest.bytes) : NULL;
    if (slash == NULL) {
        *ret_level = rest;
        return false;
    }
    *ret_level = span_of(rest.data, (size_t)(slash - rest.data));
    *ret_rest = span_skip(rest, ret_level->bytes + 1);
    return true;
}

static inline bool level_is(struct span level, char wildcard) { return level.bytes == 1 && level.data[0] == wildcard; }

static inline void levels_split(struct span text, struct levels *ret)
{
    bool more = true;
    ret->end = text.bytes ? text.data + text.bytes : text.data;
    for (ret->count = 0; more && ret->count < TOPIC_LEVELS_MAX; ret->count++)
        more = level_cut(text, &ret->items[ret->count], &text);
    ret->deeper = more;
}

/* The text from a level to its end. */
static inline struct span levels_from(const struct levels *levels, uint32_t i)
{
    const uint8_t *data = levels->items[i].data;
    return span_of(data, (size_t)(levels->end - data));
}

#endif
