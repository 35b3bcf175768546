/* replay.h - reading logs back: which commits are whole, in which order, and where a log ends.
 *
 * The end of a log is the first commit that is not whole (the write was under way when the process or the machine stopped), as long
 * as no later commit follows: a commit is written only after the one before was synced, so a later one proves that something
 * once durable has been damaged. That is a hole, and a start refuses it unless told to salvage.
 *
 * A segment whose sync failed is left as it is; the commits in question are in the next one again, with the same numbers. */
#ifndef RINGMQ_STORE_REPLAY_H
#define RINGMQ_STORE_REPLAY_H

#include "store/files.h"
#include "store/format.h"

struct replay_segment {
    char name[40];
    uint32_t epoch, shard;
    uint64_t number;
    struct span bytes; /* mapped by replay_log(), to be unmapped by the caller */
};

struct replay_result {
    uint64_t commits, records, bytes; /* bytes: of commits */
    uint64_t last_sequence, last_ms;
    uint64_t checkpoint; /* of the last STORE_CHECKPOINT: segments before this one are not needed; 0: there was none */
    uint64_t torn;       /* segments that end in a commit that is not whole */
    uint64_t skipped;    /* commits found twice (their first segment had failed) */
    bool hole;
    char fault[300]; /* a sentence; also for holes */
};

struct replay {
    const struct store_files *files;
    bool salvage; /* go on behind a hole */
    /* One whole record. `own` is its memory when it came in pieces, the callee's from then on; else NULL and the body lies in a
     * segment. False: it makes no sense, and the replay ends. */
    bool (*record)(void *context, uint32_t type, struct span body, void *own);
    void (*progress)(void *context, uint64_t bytes); /* after each segment; may be NULL */
    void *context;
};

/* "log-…": false when the name is no segment's. */
bool replay_parse_name(const char *name, struct replay_segment *ret_segment);
void replay_make_name(uint32_t epoch, uint32_t shard, uint64_t number, char ret_name[static 40]);
/* The segments of one log, in order. False: see ret_result->fault. */
bool replay_log(const struct replay *replay, struct replay_segment *segments, uint32_t count, struct replay_result *ret_result);

#endif
