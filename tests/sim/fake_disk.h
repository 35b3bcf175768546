/* fake_disk.h - a disk in memory with every fault a disk can have: store_files (store/files.h) and the write_sync of a log.
 *
 * What was written and not yet synced is lost sector by sector, by chance, in a crash: so writes are torn and sectors arrive in any
 * order. A failed sync loses some of them for good and reports it once. Names are durable when their verb has returned. */
#ifndef RINGMQ_TESTS_SIM_FAKE_DISK_H
#define RINGMQ_TESTS_SIM_FAKE_DISK_H

#include "base/random.h"
#include "store/files.h"

/* Chances in 1/256 per opportunity. */
struct fake_disk_chances {
    uint32_t write_fails, sync_fails, make_fails;
};

struct fake_disk;

struct fake_disk *fake_disk_create(uint64_t seed, const struct fake_disk_chances *chances);
void fake_disk_release(struct fake_disk *disk);
void fake_disk_release_pool(void); /* at the end of the program */
struct store_files fake_disk_files(struct fake_disk *disk);
/* Its size: making a file beyond it fails. 0: there is no end of it. */
void fake_disk_set_size(struct fake_disk *disk, uint64_t bytes);
uint64_t fake_disk_used(const struct fake_disk *disk);
void fake_disk_set_chances(struct fake_disk *disk, const struct fake_disk_chances *chances);

/* Applies a write and its sync at once and returns 0 or a negative errno; half: the process ends in the middle of it. */
int fake_disk_write_sync(struct fake_disk *disk, int fd, const void *data, uint32_t bytes, uint64_t offset, bool half);
/* The machine stops: unsynced sectors survive by chance, descriptors are gone. */
void fake_disk_crash(struct fake_disk *disk);
/* From now on every verb fails and nothing changes: what a process does that has been killed and does not know it yet. */
void fake_disk_freeze(struct fake_disk *disk, bool frozen);
/* Flips one bit at `offset` of the file. */
void fake_disk_flip(struct fake_disk *disk, const char *name, uint64_t offset);
/* Files whose names begin so; the last one in alphabetical order is copied to ret_name[64]. */
uint32_t fake_disk_count(const struct fake_disk *disk, const char *prefix, char *ret_name);

#endif
