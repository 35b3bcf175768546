/* fake_shelf.h - a shelf (store/shelf.h) in memory: what was put is there, what was synced survives a crash, and both fail by chance. */
#ifndef RINGMQ_TESTS_SIM_FAKE_SHELF_H
#define RINGMQ_TESTS_SIM_FAKE_SHELF_H

#include <stdint.h>

#include "store/shelf.h"

struct fake_shelf *fake_shelf_create(uint64_t seed);
void fake_shelf_set_fails(struct fake_shelf *shelf, uint32_t of_256);
void fake_shelf_destroy(struct fake_shelf *shelf);
/* Its verbs; close() does nothing. */
struct shelf fake_shelf_verbs(struct fake_shelf *shelf);
/* The process is dead: nothing changes any more. */
void fake_shelf_freeze(struct fake_shelf *shelf);
/* It is as it was at its last sync, and works. */
void fake_shelf_restart(struct fake_shelf *shelf);
uint32_t fake_shelf_blocks(const struct fake_shelf *shelf);
uint64_t fake_shelf_reads(const struct fake_shelf *shelf); /* of blocks, since it was made */
/* Damage: the first block of the session at or behind `number` is gone. Returns the number of the one behind it. */
uint64_t fake_shelf_lose(struct fake_shelf *shelf, uint64_t session, uint64_t number);
uint32_t fake_shelf_rows(const struct fake_shelf *shelf); /* what is behind SHELF_ROWS */

#endif
