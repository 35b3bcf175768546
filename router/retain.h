/* retain.h - one shard's retained messages: topic → message, found by exact topic or by filter.
 *
 * One ordered list (retain_list.h) in which `/` sorts before every other byte: a topic is followed at once by its whole subtree,
 * so `a/b/#` is a range, and a `+` is stepped through by seeking past the subtree just done.
 *
 * Owner:    the shard. `message` is opaque: the store holds one reference of the owner's, given with retain_set() and given back
 *           through `release` when the message is replaced, removed or the store destroyed. NULL is not a message.
 * Threads:  none; a store belongs to one shard.
 * Lifetime: topics are copied. A message returned by retain_get() or shown to a callback is the store's: take a reference to keep it.
 * Units:    bytes are the message's as the owner counts them, plus the topic's; the tree's own are in stats.index_bytes.
 * Time:     none. Expiry is the owner's: look at the message in the callback and answer RETAIN_REMOVE.
 * `$`:      a topic that begins with `$` is hidden from filters that begin with a wildcard. */
#ifndef RINGMQ_ROUTER_RETAIN_H
#define RINGMQ_ROUTER_RETAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct retain_store;

struct retain_config {
    uint64_t messages_max; /* 0: no limit */
    uint64_t bytes_max;    /* 0: no limit */
    uint64_t seed;         /* shapes the index; any number, best one nobody can guess */
    void (*release)(void *context, void *message); /* must not call the store */
    void *context;
};

struct retain_store *retain_create(const struct retain_config *config);
void retain_destroy(struct retain_store *store); /* accepts NULL; releases all messages; no cursor may be used afterwards */
/* Takes effect for what comes; nothing stored is thrown away. */
void retain_set_limits(struct retain_store *store, uint64_t messages_max, uint64_t bytes_max);

enum retain_verdict {
    RETAIN_STORED,
    RETAIN_REPLACED,    /* the previous message has been released */
    RETAIN_FULL_COUNT,  /* nothing changed: `message` is still the caller's; the previous one, if any, stays */
    RETAIN_FULL_BYTES,  /* the same */
};

enum retain_verdict retain_set(struct retain_store *store, struct span topic, void *message, uint64_t bytes);
bool retain_remove(struct retain_store *store, struct span topic); /* false: there was none */
void *retain_get(const struct retain_store *store, struct span topic); /* or NULL */

enum retain_answer {
    RETAIN_NEXT,        /* go on */
    RETAIN_REMOVE,      /* remove this one and go on */
    RETAIN_STOP,        /* end this slice after this one; the next slice goes on behind it */
    RETAIN_STOP_BEFORE, /* end this slice, this one was not taken (no room): the next slice shows it again */
};
/* `topic` is valid during the call. May change the store: set, replace and remove any topic, this one included (then answer anything
 * but RETAIN_REMOVE). */
typedef enum retain_answer retain_visit(void *context, struct span topic, void *message, uint64_t bytes);

/* A scan in slices, across turns. Between slices (and in callbacks) the store may change in any way: a message that is there from
 * begin to end is shown exactly once, one that comes or goes meanwhile once or not at all.
 * The cursor owns copies of the filter and of the place it has reached; it holds nothing in the store. */
struct retain_cursor;

/* An empty filter (MQTT has none) shows everything, topics that begin with `$` included. */
struct retain_cursor *retain_scan_begin(struct span filter);
/* Looks at up to `budget` topics or subtrees (not matches: a slice's cost is bounded even when nothing matches). False: finished;
 * calling again does nothing and says false. budget must not be 0. */
bool retain_scan_next(struct retain_store *store, struct retain_cursor *cursor, uint32_t budget, retain_visit *visit,
                      void *context);
void retain_scan_end(struct retain_cursor *cursor); /* at any time; accepts NULL */

struct retain_stats {
    uint64_t messages, bytes;
    uint64_t index_nodes, index_bytes; /* of the records: topics and links */
};
struct retain_stats retain_stats(const struct retain_store *store);

#endif
