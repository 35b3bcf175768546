/* huge.h - pages that are small while they fill and huge once they are full.
 *
 * What lives long and is touched in no order (routes, subscriptions, sessions) wants huge pages: with small ones half of the cost is the walk through the page
 * tables, in a guest through two of them. But the first touch of a huge page is its zeroing, up to 7 ms where a host has to find the memory first, and no shard
 * has that time in a turn; the thread of base/regions.h that makes some ready ahead has the lowest priority, and while a storm of subscriptions lasts, which is when
 * they are wanted, it gets nothing. So what was filled in small pages is made huge afterwards, by a thread of ordinary priority, a piece of
 * HUGE_BYTES at a time with a pause between them. Whoever touches just that piece meanwhile, or has the kernel map a page in this mapping, waits for its copy.
 * Measured (1.2 GB, turns of 200 touches at random and one new page): on a core of its own such a turn's p99.9 is 0.14 ms where it is 0.06 ms; where this thread shares the shard's core, about
 * every piece stops the shard for 2 ms once, since the scheduler gives the thread that long (docs/internals/turns.md).
 *
 * Owner: whoever mapped the memory; before it unmaps or moves it, huge_forget(). Threads: any. Memory: 16 bytes for each range that waits.
 * Failure: none. Where the system has no huge pages (or `never`), or none at hand, the pages stay as they are; the kernel's own khugepaged may come by later. */
#ifndef RINGMQ_BASE_HUGE_H
#define RINGMQ_BASE_HUGE_H

#include <stddef.h>

#define HUGE_BYTES ((size_t)2 << 20)

/* Starts the thread. For programs with shards; without it huge_soon() does nothing. */
void huge_begin(void);
/* Ends it; what still waits stays small. */
void huge_end(void);

/* The whole pieces of HUGE_BYTES in this memory, all of which is in use, or will be at once (what nobody has touched yet will cost memory, too). */
void huge_soon(void *start, size_t bytes);
/* It is about to go. Waits if its copy is being made just now. */
void huge_forget(void *start, size_t bytes);

/* Pieces made huge so far. */
size_t huge_pieces(void);

#endif
