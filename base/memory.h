/* memory.h - the heap: allocations that cannot fail, for everything that is not on a message's way.
 *
 * Running out of memory is our own mistake (the limits in base/limits.h and the configuration keep us away from it), so
 * these stop the process rather than return NULL.
 * Threads: any. A block may be released by another thread than the one that acquired it.
 * What is allocated per message comes from base/pool.h. */
#ifndef RINGMQ_BASE_MEMORY_H
#define RINGMQ_BASE_MEMORY_H

#include <stddef.h>

#include "base/span.h"

void *memory_acquire(size_t bytes);                  /* uninitialised */
void *memory_acquire_zeroed(size_t bytes);
void *memory_resize(void *block, size_t bytes);      /* block may be NULL */
void memory_release(void *block);                    /* block may be NULL */
/* A copy of the bytes, followed by one NUL that span.bytes does not count. */
char *memory_copy_string(struct span text);
/* Zeroed, and aligned to a cache line (64) or a larger power of two; released by memory_release(). */
void *memory_acquire_aligned(size_t alignment, size_t bytes);
void *memory_acquire_aligned_raw(size_t alignment, size_t bytes); /* the same, uninitialised: what is never used of it costs nothing */
/* Whole pages from the system, zeroed, and back to it at once: for tables that grow by exchange, whose former selves the heap would keep. Those of 2 MiB and
 * more begin where a huge page can (base/huge.h). */
void *memory_acquire_pages(size_t bytes);
void memory_release_pages(void *pages, size_t bytes); /* pages may be NULL */
/* Keeps what is in them; may move them, but copies nothing (unless the system will not move them). What is new is zeroed and costs nothing until it is used. */
void *memory_resize_pages(void *pages, size_t old_bytes, size_t bytes); /* pages may be NULL */
/* A table, zeroed: of the heap while it is small, else pages, so that a large one costs nothing before its parts are used. */
void *memory_acquire_table(size_t bytes);
void memory_release_table(void *table, size_t bytes); /* table may be NULL */

#endif
