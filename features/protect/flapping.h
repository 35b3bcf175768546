/* flapping.h - clients that come and go: how often each has left within a window.
 *
 * One table a shard (a client id is always on the same one): FLAPPING_ENTRIES places, four for each hash; when all four are taken the one
 * that has been looked at longest ago is given away. No allocation after flapping_create().
 * Owner, threads: the shard. Units: ms of the shard's clock. */
#ifndef RINGMQ_FEATURES_PROTECT_FLAPPING_H
#define RINGMQ_FEATURES_PROTECT_FLAPPING_H

#include <stdbool.h>
#include <stdint.h>

#define FLAPPING_ENTRIES 16384

struct flapping;

struct flapping *flapping_create(void);
void flapping_release(struct flapping *flapping); /* accepts NULL */
/* The client has left. True: for the max_count-th time within window_ms; its count begins again. */
bool flapping_note(struct flapping *flapping, uint64_t client_hash, uint64_t now_ms, uint64_t window_ms, uint32_t max_count);

#endif
