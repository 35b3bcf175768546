/* route_set.h - the routes of one filter: who has plain sinks on it, and its shared groups. Internal to router/.
 *
 * One plain route is kept in the word itself. Everything else is an immutable block: a change makes a new one, publishes it and
 * retires the old; groups are blocks of their own, so that a change copies one group and the list of pointers. */
#ifndef RINGMQ_ROUTER_ROUTE_SET_H
#define RINGMQ_ROUTER_ROUTE_SET_H

#include "router/route_trie.h"

/* The writer. True: added; false: updated. `filter` gives a new group its id. */
bool route_set_add(struct route_trie *trie, route_word *word, struct span filter, const struct route *route);
/* The writer. False: not there. The word is 0 when no route is left. */
bool route_set_remove(struct route_trie *trie, route_word *word, struct span group, uint16_t target);
/* Any reader: appends all to *ret. `word` is a block. */
void route_set_match_block(uintptr_t word, struct route_match *ret);
/* No readers are left. */
void route_set_release(struct route_trie *trie, uintptr_t word);

#define ROUTE_INLINE_TAG ((uintptr_t)1)

static inline bool route_is_inline(uintptr_t word) { return (word & ROUTE_INLINE_TAG) != 0; }

/* Is it one plain route to that target alone? */
static inline bool route_set_only(uintptr_t word, uint16_t target, uint32_t *ret_local_id)
{
    *ret_local_id = (uint32_t)(word >> 32);
    return route_is_inline(word) && (uint16_t)(word >> 16) == target;
}

/* The same of any word. */
static inline void route_set_match(uintptr_t word, struct route_match *ret)
{
    if (word == 0) return;
    if (!route_is_inline(word)) return route_set_match_block(word, ret);
    route_match_add_plain(ret, (uint16_t)(word >> 16), (uint32_t)(word >> 32));
}

#endif
