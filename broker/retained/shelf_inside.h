/* shelf_inside.h - what shelf.c and fetch.c share. */
#ifndef RINGMQ_BROKER_RETAINED_SHELF_INSIDE_H
#define RINGMQ_BROKER_RETAINED_SHELF_INSIDE_H

#include "base/list.h"
#include "broker/retained/shelf.h"

struct retain_cursor;

struct retained_shelf {
    uint64_t space, number;   /* this run's rows; the last number given */
    struct {                  /* a ring of those in memory that could be shelved, a reference each; some may be kept no longer */
        struct message **rows;
        uint32_t head, count, capacity; /* capacity: a power of two */
        uint64_t bytes;       /* of their payloads */
    } young;
    struct {                  /* on its way to be written, a part at a time: a turn is short, a payload may be 16 MiB */
        struct message *message; /* the reference it had among the young; NULL: there is none */
        uint8_t *data;
        size_t bytes, done;
    } copying;
    struct list writes;       /* struct shelf_write, by ticket */
    struct stored_row *dead;  /* since the last turn */
    uint32_t dead_count, dead_capacity;
    struct list removals;     /* struct shelf_removal, by commit: those that are not sent yet … */
    struct list removing;     /* … and those that are, by ticket */
    uint32_t removals_rows;   /* of both */
    uint64_t synced;          /* tickets that were looked at */
    bool left;                /* some that could be shelved are not among the young */
    bool sync_asked;
    struct retain_cursor *walk;
    struct list fetches;      /* all of them */
    uint64_t fetching_bytes;
};

void retained_fetches_forget(struct broker_shard *broker); /* at the end */

#endif
