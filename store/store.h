/* store.h - the node's store: a directory with the logs of all shards, of this run and of earlier ones.
 *
 *     store_open() ─► store_recover() ─► store_start() ─► (shards: store_wal_config(), store_checkpointed(), store_trim()) ─► store_close()
 *
 * Segments are made, recycled and removed by one thread (design §4, "storage"), since that may block. A run is an epoch. The logs
 * of earlier epochs are kept until every shard of this one has written all that lives once more (its first checkpoint); then a
 * file `complete-EPOCH` says so, and they go.
 *
 * Threads: store_open() to store_start() and store_close(): control. The calls marked (shard): the shard's own thread. store_step():
 *          the store's thread, or a test in its place. */
#ifndef RINGMQ_STORE_STORE_H
#define RINGMQ_STORE_STORE_H

#include "store/files.h"
#include "store/reserve.h"
#include "store/state.h"
#include "store/wal.h"

struct store;

#define STORE_SHELF_NAME "shelf" /* the shelf's directory in the store's */

struct store_config {
    struct store_files files; /* stays the caller's */
    uint32_t shards_count;
    uint64_t segment_bytes;   /* of new segments; a multiple of STORE_BLOCK_BYTES, at least STORE_SEGMENT_BYTES_MIN */
    bool salvage;             /* start although a log has a hole */
    uint64_t realtime_ms, seed;
    struct reserve *reserve;  /* the caller's; NULL: none is kept */
    const char *path;         /* for what is said; NULL: nothing is known of it */
};

#define STORE_SEGMENT_BYTES_MIN (2ull * 1024 * 1024)

struct store_report {
    uint64_t segments, commits, records, bytes, torn, holes;
    uint32_t epochs, epoch_last; /* 0: none */
    bool salvaged;
    char hole[300]; /* what salvage passed over */
};

/* Looks at what is there. NULL: a sentence in ret_error. */
struct store *store_open(const struct store_config *config, char *ret_error, size_t error_bytes);
/* Replays what is there into `state`, whose messages point into the mapped segments until store_recovered(). `groups`: state_resolve();
 * `progress` is called now and then with bytes done and bytes in all. False: a sentence in ret_error. */
bool store_recover(struct store *store, struct state *state,
                   state_groups *groups, void (*progress)(void *context, uint64_t bytes, uint64_t bytes_all), void *context,
                   struct store_report *ret_report, char *ret_error, size_t error_bytes);
/* The state is not used any more. */
void store_recovered(struct store *store);
/* Is there room for the first segments? False: a sentence in ret_error. Nothing is made. */
bool store_has_room(const struct store *store, char *ret_error, size_t error_bytes);
/* Makes the first segments; with_thread: starts the thread. False: a sentence in ret_error. */
bool store_start(struct store *store, bool with_thread, char *ret_error, size_t error_bytes);
/* All logs are released. Ends the thread. */
void store_close(struct store *store);

/* For a backup: while held, nothing is removed or used again, and no epoch becomes complete. Any thread. */
void store_hold(struct store *store, bool held);
const struct store_files *store_files_of(const struct store *store);
struct reserve *store_reserve(const struct store *store); /* NULL: none is kept */
/* A commit is being written: the room on the disk is looked at each second as long as this happens. (shard) */
void store_written(struct store *store);
uint32_t store_epoch(const struct store *store);
/* What a shard's log is made with; the caller adds disk.write_sync, its context and the interval. (shard) */
bool store_segment_take(struct store *store, uint32_t shard, struct wal_segment *ret_segment);
void store_segment_done(struct store *store, uint32_t shard, const struct wal_segment *segment, bool failed);
/* A checkpoint of this shard is durable: segments of its log before `segment` are not needed. (shard) */
void store_checkpointed(struct store *store, uint32_t shard, uint64_t segment);
/* Writes and syncs in the calling thread: for the end of a run. 0 or a negative errno. */
int store_write_sync(struct store *store, int fd, const void *data, uint32_t bytes, uint64_t offset);
/* One round of the thread's work. True: something failed; try again later. */
bool store_step(struct store *store);
/* Why segments cannot be made: an errno, or 0. Any thread. */
int store_trouble(const struct store *store);
/* Why what nobody needs any more cannot be removed: an errno, or 0. Any thread. */
int store_removal_trouble(const struct store *store);
/* Bytes of this epoch's segments of a shard, as the thread last saw. Any thread. */
uint64_t store_bytes(const struct store *store);

#endif
