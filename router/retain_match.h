/* retain_match.h - a filter against a topic of the ordered list: does it match, and if not, where could the next match be?
 * Internal to router/. */
#ifndef RINGMQ_ROUTER_RETAIN_MATCH_H
#define RINGMQ_ROUTER_RETAIN_MATCH_H

#include "base/span.h"

enum retain_where {
    RETAIN_MATCHES,
    RETAIN_SEEK,     /* no topic from this one up to *ret_seek matches */
    RETAIN_NO_MORE,  /* no topic from this one on matches */
};

/* Where to look next: the topic's first `prefix_bytes`, then `tail`. A value; the spans point into the topic and the filter. */
struct retain_seek {
    struct span prefix;
    struct span between; /* "", "/" or the byte behind a subtree */
    struct span tail;
};

enum retain_where retain_where(struct span filter, struct span topic, struct retain_seek *ret_seek);

#endif
