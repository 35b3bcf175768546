/* retain_list.h - topics in order: a skip list of records. Internal to router/.
 *
 * The order is that of the bytes with `/` below all others (NUL is not allowed in a topic), so a topic is followed by its subtree:
 *
 *     a   a/   a/b   a/b/c   a!   ab
 *         └── subtree of a ──┘
 *
 * Why a list and not a trie: a scan must go on at a given topic after any change, and find the first topic behind a subtree;
 * both are one seek here, and a record of a 25-byte topic is about 64 bytes.
 *
 * Threads: none. Lifetime: a record lives until it is removed; its address does not change. */
#ifndef RINGMQ_ROUTER_RETAIN_LIST_H
#define RINGMQ_ROUTER_RETAIN_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/span.h"

#define RETAIN_HEIGHT_MAX 12 /* a level has a quarter of the one below: 4^12 topics */

struct retain_record {
    void *message;
    uint64_t bytes; /* the message's */
    uint16_t topic_bytes;
    uint8_t height;
    struct retain_record *next[]; /* [height], then the topic */
};

struct retain_list {
    struct retain_record *head[RETAIN_HEIGHT_MAX];
    struct random_source random;
    uint64_t records_count, records_bytes;
    uint64_t changes; /* of the links: while it is the same, a record's next[0] may be followed */
};

struct span retain_topic(const struct retain_record *record);
/* < 0, 0, > 0 in the list's order. */
int retain_compare(struct span left, struct span right);
/* The first record whose topic is not before `topic`; NULL: none. */
struct retain_record *retain_list_seek(const struct retain_list *list, struct span topic);
/* The topic's record; a new one has message NULL. */
struct retain_record *retain_list_put(struct retain_list *list, struct span topic);
/* Unlinks and releases the record (not the message). It must be there. */
void retain_list_remove(struct retain_list *list, struct retain_record *record);

#endif
