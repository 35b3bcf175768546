/* spill.h - between the shards and the shelf: one thread ("shelf") that writes, reads and drops blocks, since that blocks.
 *
 * Requests of a shard are done in their order; answers come back in it. Only FETCHes go before all others, since what they ask for is on the shelf for good. Written blocks are in the shelf's memory first; when enough of
 * them are, or some have waited for SPILL_AGE_MS, or a checkpoint wants it, the shelf is synced, and spill_synced() grows.
 *
 * Owner:   a request belongs to the service from spill_send() until spill_take() returns it. Nobody is answered for WRITE and DROP:
 *          those end with the service.
 * Threads: spill_send(), spill_take(), spill_synced(), spill_backlog_bytes(): the shard's own, each for itself. spill_step(): the
 *          service's thread, or a test in its place. The rest: control, before shards start and after they have ended. */
#ifndef RINGMQ_STORE_SPILL_H
#define RINGMQ_STORE_SPILL_H

#include <stdatomic.h>

#include "store/reserve.h"
#include "store/shelf.h"

#define SPILL_AGE_MS 2000

/* FETCH reads rows, REMOVE removes them (store/shelf.h). */
enum spill_kind { SPILL_WRITE, SPILL_READ, SPILL_DROP, SPILL_SYNC, SPILL_FETCH, SPILL_REMOVE };

struct spill_request {
    struct spill_request *next;
    enum spill_kind kind;
    uint64_t session;
    uint64_t from, until; /* WRITE: from; READ: entries wanted; DROP: what begins there */
    uint64_t ticket;      /* WRITE, REMOVE: given by spill_send(), rising */
    uint8_t *data;        /* WRITE: the block. READ: blocks, each with its number (u64) and length (u32) before it. FETCH, REMOVE: rows (struct stored_row);
                           * as FETCH's answer the rows' values in the same order, each with its length (u32; SPILL_NO_ROW: there is none) before it */
    size_t bytes;
    int error;            /* READ, FETCH */
    void *owner;          /* READ, FETCH: the asker's own */
};

#define SPILL_NO_ROW UINT32_MAX

/* A READ ends with the first block that makes it so long. */
#define SPILL_READ_BYTES (256u * 1024)

struct spill;

struct spill_config {
    struct shelf shelf;      /* the service's from now on */
    uint32_t shards_count;
    uint64_t sync_bytes;     /* so much is written before a sync */
    bool swept;              /* shelf_sweep() has been there: a sync makes good what it has removed */
    struct reserve *reserve; /* the caller's, looked at when something is written; NULL: none is kept */
    void (*wake)(void *context, uint32_t shard); /* an answer or a sync is there for this shard */
    void *context;
};

/* NULL, with errno: there is no descriptor to be had; the shelf stays the caller's. */
struct spill *spill_create(const struct spill_config *config);
bool spill_start(struct spill *spill); /* its thread; false: there is none to be had */
/* The shards are about to go: none is woken from now on. Any thread. */
void spill_shards_end(struct spill *spill);
/* Ends the thread when everything sent is done and synced, as far as the shelf can. */
void spill_destroy(struct spill *spill);

void spill_send(struct spill *spill, uint32_t shard, struct spill_request *request);
/* The next answer to a READ of this shard; NULL: none. */
struct spill_request *spill_take(struct spill *spill, uint32_t shard);
/* All WRITEs and REMOVEs of this shard up to this ticket are durable. */
uint64_t spill_synced(const struct spill *spill, uint32_t shard);
/* Of this shard's WRITEs that are still to be done. */
uint64_t spill_backlog_bytes(const struct spill *spill, uint32_t shard);
void spill_request_release(struct spill_request *request);

/* Does what was sent. `now_ms`: any monotonic clock. Returns when it wants to be called again, UINT64_MAX: when something is sent. */
uint64_t spill_step(struct spill *spill, uint64_t now_ms);
const struct shelf *spill_shelf(const struct spill *spill);
/* The shelf's last error, as an errno; 0: it works. Any thread. */
int spill_trouble(const struct spill *spill);
/* While held, nothing is dropped from the shelf: a backup. REMOVEs are the shards' business: none may be sent while spill_held(). What was sent before was
 * needed by no log that is copied since. Any thread. */
void spill_hold(struct spill *spill, bool held);
bool spill_held(const struct spill *spill);
/* It has been synced since it was created. Any thread. */
bool spill_swept(const struct spill *spill);
/* Syncs and makes a copy of the shelf; done by the thread, waited for. 0 or a negative errno. Any thread but a shard's. */
int spill_backup(struct spill *spill, const char *directory);

#endif
