/* regions.h - the 2 MiB pieces that pools are made of, and a thread that has their pages ready.
 *
 * The first touch of a huge page is the kernel's zeroing of 2 MiB: a fifth of a millisecond where memory is at hand, 7 ms in a guest whose host has to find
 * it first. No shard should do that in a turn, so once regions_begin() has run a thread of the lowest priority does it ahead: regions_take() hands out what it
 * has made. Is there nothing, a region with small pages is taken, which cost their 2 µs each as they are touched; whoever has filled it may say huge_soon().
 *
 * Owner: whoever takes one; it goes back with regions_give_back(). Threads: any. Memory: as many regions lie ready as shards were named, from the first
 * regions_take() on. Failure: none (as base/memory.h). */
#ifndef RINGMQ_BASE_REGIONS_H
#define RINGMQ_BASE_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#define REGION_BYTES (2u << 20)

/* Starts the thread. For programs with shards, before they take memory: without it huge pages are touched by who takes them. */
void regions_begin(uint32_t shards);
/* Ends it; what lies ready is given back. */
void regions_end(void);

/* Aligned to its size. huge: with one huge page, where the system has it. */
uint8_t *regions_take(bool huge);
void regions_give_back(uint8_t *region);

#endif
