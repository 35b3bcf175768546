/* backup.h - a copy of a running store: what a start with it finds is what was acknowledged when it was begun, or later. */
#ifndef RINGMQ_STORE_BACKUP_H
#define RINGMQ_STORE_BACKUP_H

#include "store/spill.h"
#include "store/store.h"

/* Into `directory`, which must not exist and becomes node.data_dir of whoever starts with it (`directory`/store). First the logs as far as
 * they are whole now, then the shelf; meanwhile nothing that they name is removed. Takes as long as reading and writing that much; any
 * thread but a shard's, one at a time. spill: NULL when there is none. *ret_bytes: on disk. False: a sentence in ret_error, and `directory` is gone
 * again. */
bool store_backup(struct store *store, struct spill *spill, const char *directory, uint64_t *ret_bytes, char *ret_error, size_t error_bytes);

#endif
