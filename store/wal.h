/* wal.h - one shard's log: records go in, and come back as "on disk up to commit N".
 *
 * wal_append() copies a record into the commit being gathered and says which commit that will be. wal_turn(), once a turn of
 * the shard, starts a write when none is under way and the gathered commit is old or large enough; the disk below answers with
 * wal_written(). One write is under way at a time, so commits become durable in order. Nothing here waits.
 *
 *     append ─► gathering ─(interval, or STORE_COMMIT_BYTES_SOON)─► write + fdatasync ─► durable ─► whoever waited for it
 *                  └─(full: config.commit_bytes_max)─► sealed, in a row ─────┘
 *
 * A write or fdatasync that fails is final for its segment: nothing is written there again, and the commit goes into the next one.
 * Until that has worked nothing becomes durable and wal_troubled() says so.
 *
 * Owner:   the shard. Threads: one; segments come from and go to the store's thread through the two calls below.
 * Memory:  gathered and sealed commits; wal_backlog_bytes() for back-pressure.
 * Units:   *_ms is the shard's monotonic clock but realtime_ms. */
#ifndef RINGMQ_STORE_WAL_H
#define RINGMQ_STORE_WAL_H

#include "base/list.h"
#include "base/span.h"
#include "store/format.h"

struct wal_segment {
    int fd;
    uint64_t number;
    uint64_t bytes;
    uint64_t seed; /* of its checksums */
};

/* What a log needs from below. */
struct wal_disk {
    void *context;
    /* Starts a write of whole blocks and then an fdatasync. wal_written() is called later, never from within. `data` is
     * aligned to a block and stays until then. */
    void (*write_sync)(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset);
    /* The next segment, ready to be written; false: not yet (ask again next turn). */
    bool (*segment_take)(void *context, struct wal_segment *ret_segment);
    /* Nothing more will be written into it. failed: a write or sync went wrong. */
    void (*segment_done)(void *context, const struct wal_segment *segment, bool failed);
};

struct wal_config {
    struct wal_disk disk;
    uint32_t epoch, shard;
    uint32_t interval_ms; /* how long a commit is gathered; 0: as long as the one before is being written */
    uint32_t commit_bytes_max; /* a commit is not gathered beyond this; a longer record stands alone. 0: STORE_COMMIT_BYTES_MAX */
};

/* A commit this large, or full, does not wait for its interval. */
#define STORE_COMMIT_BYTES_SOON (64u * 1024)

struct wal_chunk;

struct wal {
    struct wal_config config;
    struct wal_chunk *gathering; /* NULL: nothing appended since the last seal */
    struct list sealed;
    struct wal_chunk *writing;
    struct list spare;
    uint32_t spare_bytes;
    uint64_t sequence;   /* of the newest chunk */
    uint64_t committed;  /* last durable commit */
    struct wal_segment segment; /* fd -1: none */
    uint64_t segment_last;      /* number of the newest segment ever taken */
    uint64_t offset;
    uint64_t backlog_bytes;
    uint64_t started_ms; /* of the last write */
    uint32_t failures;   /* in a row */
    bool starved;        /* the last attempt found no segment */
    /* for the statistics */
    uint64_t commits, bytes_appended, bytes_written, segments_failed;
};

void wal_init(struct wal *wal, const struct wal_config *config);
/* Nothing may be under way. What was not written is lost. */
void wal_release(struct wal *wal);

/* One record; its body is the parts in a row, of any length. Returns the number of the commit that will hold (the end of) it. */
uint64_t wal_append(struct wal *wal, uint32_t type, const struct span *parts, uint32_t parts_count, uint64_t now_ms);
/* The same for a body of at most STORE_RECORD_BYTES_MAX that the caller writes himself, all of it, at once: where it goes. wal_position() is its commit. */
uint8_t *wal_place(struct wal *wal, uint32_t type, uint32_t bytes, uint64_t now_ms);
/* The commit that holds everything appended so far. */
static inline uint64_t wal_position(const struct wal *wal) { return wal->sequence; }
static inline bool wal_durable(const struct wal *wal, uint64_t commit) { return commit <= wal->committed; }
static inline uint64_t wal_backlog_bytes(const struct wal *wal) { return wal->backlog_bytes; }
/* The disk refuses: nothing becomes durable until wal_written() brings better news. */
static inline bool wal_troubled(const struct wal *wal) { return wal->failures > 0 || wal->starved; }
/* The oldest segment that what is appended from now on may be in. */
static inline uint64_t wal_segment_now(const struct wal *wal)
{
    return wal->segment.fd >= 0 ? wal->segment.number : wal->segment_last + 1;
}

/* Begins an empty commit if nothing is gathered: its header carries the time. */
void wal_touch(struct wal *wal, uint64_t now_ms);
/* Starts a write if there is one to start. Returns the time at which it wants to be called again; UINT64_MAX: when something was
 * appended or written. */
uint64_t wal_turn(struct wal *wal, uint64_t now_ms, uint64_t realtime_ms);
/* The write under way has ended: error 0, or a negative errno. */
void wal_written(struct wal *wal, int error);
/* All that was appended is durable and nothing is under way. */
static inline bool wal_settled(const struct wal *wal) { return wal->committed == wal->sequence && !wal->writing; }

#endif
