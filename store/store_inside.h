/* store_inside.h - inside store/ only: what store.c (opening, the shards' side, the end), store_recover.c (reading what earlier runs left) and store_segments.c
 * (the thread that makes and removes segments) share. */
#ifndef RINGMQ_STORE_STORE_INSIDE_H
#define RINGMQ_STORE_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "base/random.h"
#include "store/replay.h"
#include "store/store.h"

#define STORE_NAME_BYTES 40

/* A segment the shard is finished with; on its way to the thread. */
struct done {
    struct done *next;
    int fd;
};

/* Between one shard and the thread. */
struct supply {
    _Atomic bool ready; /* `next` is the shard's to take; else the thread's to fill */
    struct wal_segment next;
    uint64_t last;      /* number of the newest segment made (thread) */
    uint64_t first;     /* oldest that exists (thread) */
    _Atomic uint64_t needed; /* segments before this one can go; 0: no checkpoint yet (shard) */
};

struct store {
    struct store_config config;
    uint32_t epoch;
    struct replay_segment *old; /* of earlier epochs, sorted by epoch, shard, number */
    uint32_t old_count, old_capacity;
    _Atomic bool old_mapped; /* the control thread still reads them */
    uint32_t complete; /* the newest epoch that needs none before it */
    char (*spares)[STORE_NAME_BYTES];
    uint32_t spares_count, spares_capacity, spares_made;
    struct random_source random;
    struct supply supplies[SHARDS_MAX];
    _Atomic(struct done *) done;
    _Atomic int trouble, removal_trouble; /* store_trouble(), store_removal_trouble() */
    _Atomic uint64_t bytes;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t removing; /* taken by a step while it removes, and by a backup */
    _Atomic bool ending;
    _Atomic bool written;  /* since the last look */
    _Atomic bool sleeping; /* the thread, until it is woken */
    int wake;
};

void store_wake(struct store *store);
void store_spare_add(struct store *store, const char *name);
/* The shard's next one: a spare, or a new file. 0 or a negative errno. */
int store_segment_make(struct store *store, uint32_t shard, struct wal_segment *ret_segment);
void store_done_close(struct store *store);
void *store_thread(void *argument); /* the store */

#endif
