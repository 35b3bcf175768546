/* ringmqd_store.h - the broker's store at start and at the end (docs/durability.md). */
#ifndef RINGMQ_CMD_RINGMQD_STORE_H
#define RINGMQ_CMD_RINGMQD_STORE_H

#include <pthread.h>

#include "admin/control.h"
#include "broker/broker.h"

struct ringmqd_store {
    struct store_files files;
    struct reserve *reserve;
    char path[4200];     /* node.data_dir/store */
    struct store *store; /* NULL: durability is off */
    struct spill *spill;
    struct state state;
    bool has_state;
    const char *data_dir;
    pthread_t backup;
    bool has_backup;
    pthread_mutex_t backup_lock; /* of what follows */
    struct admin_backup last_backup;
};

/* Opens node.data_dir/store, replays what is there and gives it to the broker. Progress is logged when it takes more than a second.
 * False: everything is said. */
bool ringmqd_store_open(struct ringmqd_store *store, const struct settings *settings, struct broker *broker, uint32_t shards_count);
/* All shards have started: what was replayed is theirs now. */
bool ringmqd_store_started(struct ringmqd_store *store);
/* Begins a copy of the running store into node.data_dir/backup-TIME, by a thread of its own; the log says how it went. On the control thread. False: a
 * sentence in ret_error. */
bool ringmqd_store_backup(struct ringmqd_store *store, char *ret_error, size_t error_bytes);
/* Any thread. */
void ringmqd_store_last_backup(struct ringmqd_store *store, struct admin_backup *ret_backup);
/* Before the shards go, whose threads have ended: the store's own threads go on until ringmqd_store_close(). */
void ringmqd_store_shards_end(struct ringmqd_store *store);
/* After the node has gone. Also after a start that failed. */
void ringmqd_store_close(struct ringmqd_store *store);

#endif
