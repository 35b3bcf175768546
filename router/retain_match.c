#include "router/retain_match.h"

#include "router/levels.h"
#include "router/retain_list.h"

/* Sorts behind the subtree of any topic it is appended to, and before everything that follows: `/` ranks 0 and NUL is not used. */
static const struct span behind_subtree = {(const uint8_t *)"\x01", 1};
static const struct span slash = {(const uint8_t *)"/", 1};
static const struct span nothing = {(const uint8_t *)"", 0};

/* Behind everything that begins with `$`. */
static const struct span behind_dollar = {(const uint8_t *)"%", 1};

/* The filter cannot match below this point: go on behind the subtree of the last `+` passed, if there was one. */
static enum retain_where next_plus(struct span topic, size_t plus_end, bool plus_passed, struct retain_seek *ret_seek)
{
    if (!plus_passed) return RETAIN_NO_MORE;
    *ret_seek = (struct retain_seek){span_of(topic.data, plus_end), behind_subtree, nothing};
    return RETAIN_SEEK;
}

static size_t end_in(struct span topic, struct span level) { return (size_t)(level.data - topic.data) + level.bytes; }

enum retain_where retain_where(struct span filter, struct span topic, struct retain_seek *ret_seek)
{
    struct span filter_rest = filter, topic_rest = topic, wanted, level;
    size_t plus_end = 0;      /* bytes of the topic up to the end of the last level a `+` took */
    bool plus_passed = false;
    bool first = true;
    if (filter.bytes == 0) return RETAIN_MATCHES;
    for (;;) {
        bool filter_more = level_cut(filter_rest, &wanted, &filter_rest);
        bool wild = level_is(wanted, '+') || level_is(wanted, '#');
        if (first && wild && topic.bytes > 0 && topic.data[0] == '$') {
            *ret_seek = (struct retain_seek){nothing, behind_dollar, nothing};
            return RETAIN_SEEK;
        }
        first = false;
        if (level_is(wanted, '#')) return RETAIN_MATCHES;

        bool topic_more = level_cut(topic_rest, &level, &topic_rest);
        if (level_is(wanted, '+')) {
            plus_passed = true;
            plus_end = end_in(topic, level);
        } else {
            int order = retain_compare(level, wanted);
            if (order > 0) return next_plus(topic, plus_end, plus_passed, ret_seek);
            if (order < 0) {
                size_t before = (size_t)(level.data - topic.data);
                *ret_seek = (struct retain_seek){span_of(topic.data, before), nothing, wanted};
                return RETAIN_SEEK;
            }
        }
        if (!filter_more && !topic_more) return RETAIN_MATCHES;
        if (!filter_more) { /* the topic is deeper than the filter, and so is all of this subtree */
            return next_plus(topic, plus_end, plus_passed, ret_seek);
        }
        if (!topic_more) { /* the topic is above what the filter wants: its subtree comes next */
            bool parent_of_all = filter_rest.bytes == 1 && filter_rest.data[0] == '#';
            if (parent_of_all) return RETAIN_MATCHES;
            *ret_seek = (struct retain_seek){topic, slash, nothing};
            return RETAIN_SEEK;
        }
    }
}
