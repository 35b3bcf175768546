/* bell.h - how a thread that waits in poll() is told that there is something in its rings: an eventfd that is written only while it sleeps.
 *
 *     writer (any number)                         reader (one)
 *     puts its record, with a store that is       bell_sleep()
 *     memory_order_seq_cst                        looks once more, with loads that are memory_order_seq_cst; something is there: bell_awake()
 *     bell_ring()                                 poll(bell->fd, …), bell_awake()
 *
 * Either the writer sees the reader asleep and rings, or the reader, looking once more, sees the record: all four accesses are in the one order of
 * sequentially consistent ones (C17 5.1.2.4, 7.17.3), so that not both of the loads can come before the other side's store. While the reader is
 * awake a writer pays the load; one that rings is the first of many, and the only one that makes a system call.
 *
 * A bell that has not been opened (zeroed, or BELL_CLOSED) is never rung.
 * Threads: as above; bell_open() before the writers begin, bell_close() after they have ended. */
#ifndef RINGMQ_BASE_BELL_H
#define RINGMQ_BASE_BELL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/check.h"

struct bell {
    _Alignas(64) _Atomic bool sleeping; /* in a line of its own, which stays shared while the reader is awake */
    int fd;                             /* poll it for reading; -1: closed */
};

#define BELL_CLOSED {.fd = -1}

/* False, with errno: there is no descriptor; the bell is closed then. */
bool bell_open(struct bell *bell);
void bell_close(struct bell *bell); /* accepts a closed one */
void bell_sleep(struct bell *bell);
/* Nobody rings from now on; forgets that somebody has. A ring under way may still come: the reader then looks once for nothing. */
void bell_awake(struct bell *bell);

void bell_ring_now(struct bell *bell);
static inline void bell_ring(struct bell *bell)
{
    if (UNLIKELY(atomic_load(&bell->sleeping))) bell_ring_now(bell);
}

#endif
