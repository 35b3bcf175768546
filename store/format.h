/* format.h - what lies on disk: segments, commits, records. All numbers are little-endian.
 *
 *     segment   log-EEEEEEEE-SS-NNNNNNNN   (epoch, shard, number; hexadecimal), of one size, written in full before its first use
 *     ┌──────────┬────────────┬─────┬────────────┬─────┬───
 *     │ header   │ commit 17  │ pad │ commit 18  │ pad │ …    everything begins at a multiple of STORE_BLOCK_BYTES
 *     └──────────┴────────────┴─────┴────────────┴─────┴───
 *     commit    header, then records: what one write and one fdatasync put down. Valid as a whole or not at all: its XXH3-64
 *               covers everything behind the checksum, so a torn write, sectors that arrive in another order and a flipped bit
 *               look the same: the commit is not there.
 *     record    four bytes (type, length), then the body (store/records.h). One with RECORD_MORE goes on in the next record,
 *               which has RECORD_CONTINUES; such a piece without its beginning (in a segment trimmed away) is passed over.
 *
 * An epoch is one run of the broker; a log is what one shard wrote in one epoch. Commits of a log are numbered from 1 without a gap,
 * over all its segments. Segments are recycled: what an earlier life left in them names another epoch, shard or segment and is
 * not taken for a commit. */
#ifndef RINGMQ_STORE_FORMAT_H
#define RINGMQ_STORE_FORMAT_H

#include <stdint.h>

#define STORE_FORMAT_VERSION 3 /* 2: what is behind the shelf never in parts, no retained messages on the shelf; 1: no numbers and no shelf; they are read, too */
#define STORE_BLOCK_BYTES    4096u
#define STORE_SEGMENT_MAGIC  0x31534c514d474e52ull /* "RNGMQLS1" */
#define STORE_COMMIT_MAGIC   0x54494d43u           /* "CMIT"     */

/* The first bytes of a segment; the rest of its first block is zero. */
struct store_segment_header {
    uint64_t magic;
    uint64_t checksum; /* XXH3-64 of what follows in this struct */
    uint32_t version;
    uint32_t epoch;
    uint32_t shard;
    uint32_t shards_count; /* of that run */
    uint64_t number;       /* from 1 */
    uint64_t created_ms;   /* realtime */
    uint64_t seed;         /* of the checksums of its commits: a client cannot make a payload that looks like one */
};

struct store_commit_header {
    uint32_t magic;
    uint32_t bytes;    /* this header and the records, without the padding */
    uint64_t checksum; /* XXH3-64, with the segment's seed, of everything behind this field, `bytes` in all */
    uint64_t sequence;
    uint32_t epoch;
    uint32_t shard;
    uint64_t segment;  /* number of the segment it was written into */
    uint64_t realtime_ms;
};

_Static_assert(sizeof(struct store_segment_header) == 56 && sizeof(struct store_commit_header) == 48, "the layout on disk");

#define STORE_COMMIT_CHECKED_FROM 16 /* offset behind the checksum, in both headers */

/* One write is at most this long; a record is cut into pieces that fit. */
#define STORE_COMMIT_BYTES_MAX (1024u * 1024)
#define STORE_RECORD_BYTES_MAX (256u * 1024)
#define RECORD_MORE            0x80u /* of a type: the record goes on in the next one …      */
#define RECORD_CONTINUES       0x40u /* … and this one goes on with the one before it        */

/* A log with durable sessions gets a commit at least so often, if only for its time. A client that was connected at the last commit
 * may have been so for this long after it, and a moment: its session must not expire early. */
#define STORE_HEARTBEAT_MS 2000
#define STORE_LAST_SEEN_MS (STORE_HEARTBEAT_MS + 1000)

/* Among the retained messages lie those that wait for their time (broker/delayed.h). The name of such a one begins so, as no topic does; its due
 * time (Unix ms, decimal), a number (16 hexadecimal digits) and the topic follow, with slashes between them. */
#define STORE_DELAYED_PREFIX "$delayed\xff/"
#define STORE_DELAYED_NUMBER_BYTES 16

static inline uint32_t record_head(uint32_t type, uint32_t bytes) { return type << 24 | bytes; }
static inline uint32_t record_head_type(uint32_t head) { return head >> 24; }
static inline uint32_t record_head_bytes(uint32_t head) { return head & 0xffffff; }

static inline uint64_t store_round_up(uint64_t bytes)
{
    return (bytes + STORE_BLOCK_BYTES - 1) & ~(uint64_t)(STORE_BLOCK_BYTES - 1);
}

#endif
