/* reserve.h - the store is full before its disk is.
 *
 * What is on disk becomes less only by writing: acknowledgements and deletions are records, a checkpoint writes what lives once more before old segments go,
 * RocksDB merges files into new ones before it gives room back, and without room for its own writes it ends the process. So some room is kept for that, the
 * *reserve*. When less is free, the store is full: the broker lets nothing in that would stay (broker/durable/doors.c), what is there can be taken and deleted,
 * and with an eighth more than the reserve it goes on by itself. Segments of the log are made all the same: they are what the reserve is for.
 *
 * A reserve of RESERVE_AUTO is what the store may need at the moment:
 *     the shelf   shelf->needs(): what it has been given and has not written, and what its compactions may write at a time
 *     the log     for each shard a new segment, and once more (and a quarter) what a checkpoint may have to write; less the segments that are kept for reuse
 *
 * Owner: who opens the store. Threads: reserve_look(): any that may block; reserve_full(), reserve_report(), reserve_note_log(): any. */
#ifndef RINGMQ_STORE_RESERVE_H
#define RINGMQ_STORE_RESERVE_H

#include "store/files.h"
#include "store/shelf.h"

#define RESERVE_AUTO UINT64_MAX

struct reserve_config {
    const struct store_files *files; /* the caller's; without a verb `room` nothing is ever full */
    const char *path;                /* for the log of the program; the caller's */
    uint64_t bytes;                  /* RESERVE_AUTO, or so much; 0: only the disk itself is the limit */
    uint32_t shards_count;
    uint64_t segment_bytes;
};

struct reserve_report {
    bool full;
    uint64_t free_bytes, reserve_bytes; /* as last looked at */
};

struct reserve;

struct reserve *reserve_create(const struct reserve_config *config);
void reserve_destroy(struct reserve *reserve); /* accepts NULL */
/* Before the threads that look have started, or NULL before it is closed. */
void reserve_use_shelf(struct reserve *reserve, const struct shelf *shelf);
/* What a checkpoint of this shard may have to write. */
void reserve_note_log(struct reserve *reserve, uint32_t shard, uint64_t bytes);
/* Segments that are there to be used again. */
void reserve_note_spares(struct reserve *reserve, uint32_t count);
/* Looks at the disk. True: the store is full. A change is said in the log. NULL: false. */
bool reserve_look(struct reserve *reserve);
/* As of the last look. NULL: false. */
bool reserve_full(const struct reserve *reserve);
void reserve_report(const struct reserve *reserve, struct reserve_report *ret_report);

#endif
