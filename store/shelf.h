/* shelf.h - the long-term home of what waits in long queues, blocks of entries by session and number, and of large retained messages, rows.
 *
 * A key is (session, number of the block's first entry), a value a block of entries in the order of their numbers. The shelf is never
 * asked what exists: the log alone says which numbers of a session are there (STORE_SPILLED, SNAPSHOT), so the two need not change
 * together. What the log does not name any more is garbage, and shelf_sweep() of a start removes it (decision 0025).
 *
 * "Sessions" from SHELF_ROWS on are none: they are *spaces* of rows that stand each for itself. A space is one run's of one shard (shelf_space()), which numbers
 * its rows from 1 and uses no number twice; a row is a retained message's topic, properties and payload, and STORE_RETAIN_SHELVED names it (decision 0035).
 *
 * Two implementations: store/shelf_rocksdb.c and tests/sim/fake_shelf.c. All verbs may block and are called on one thread at a time
 * (store/spill.h). Results are 0 or a negative errno; put() and drop() are durable when a later sync() has returned 0. */
#ifndef RINGMQ_STORE_SHELF_H
#define RINGMQ_STORE_SHELF_H

#include "base/span.h"

/* False: enough. */
typedef bool shelf_block(void *context, uint64_t session, uint64_t number, struct span block);

#define SHELF_ROWS (1ull << 63)
/* (session ids begin with the epoch, too, and would need eight million starts to come here) */
static inline uint64_t shelf_space(uint32_t epoch, uint32_t shard) { return SHELF_ROWS | (uint64_t)epoch << 8 | shard; }
static inline uint32_t shelf_space_epoch(uint64_t space) { return (uint32_t)(space >> 8); }

struct shelf {
    void *context;
    int (*put)(void *context, uint64_t session, uint64_t number, struct span block);
    int (*sync)(void *context);
    /* The blocks of a session in order, from the one that has `number` (the last that begins at or before it) on. */
    int (*read)(void *context, uint64_t session, uint64_t number, shelf_block *each, void *argument);
    /* All blocks that begin in [from, until). */
    int (*drop)(void *context, uint64_t session, uint64_t from, uint64_t until);
    /* The row with exactly this number, if it is there: `each` is called once, or not at all. */
    int (*get)(void *context, uint64_t space, uint64_t number, shelf_block *each, void *argument);
    /* … goes; it need not be there. */
    int (*remove)(void *context, uint64_t space, uint64_t number);
    /* The first session at or after `session` that has blocks; false: none. */
    bool (*next)(void *context, uint64_t session, uint64_t *ret_session);
    /* A copy that can be opened, in a directory that does not exist yet. */
    int (*backup)(void *context, const char *directory);
    /* Bytes on disk, and of memory it uses now. Any thread. */
    void (*size)(void *context, uint64_t *ret_disk_bytes, uint64_t *ret_memory_bytes);
    /* Bytes of disk it may still need: for what it has been given and has not written, and to give back the room of what was dropped. Any thread. */
    uint64_t (*needs)(void *context);
    int (*compact)(void *context); /* gives the room of what was dropped back; takes as long as it takes */
    /* Begins to where a drop of this session up to `until` has been (UINT64_MAX: all of it), and does not wait for it. It must be synced. */
    int (*shrink)(void *context, uint64_t session, uint64_t until);
    const char *(*fault)(void *context); /* of the last verb that failed: a sentence */
    void (*close)(void *context);
};

/* In the directory `path`, made if need be (unless read_only). memory_bytes: its memtables and cache together. False: a sentence in ret_error. */
bool shelf_open(const char *path, bool read_only, uint64_t memory_bytes, struct shelf *ret_shelf, char *ret_error, size_t error_bytes);

struct state;
/* At start: removes what `state` does not name. Of spaces that a checkpoint calls settled only what the log says was still to be removed: no row is read. */
int shelf_sweep(const struct shelf *shelf, const struct state *state);

#endif
