/* node.h - the shards of one process: their threads, listeners and lanes, and the control thread's way to reach them.
 *
 * Threads: node_start() to node_destroy() are called by the control thread. A shard's `above` is made by the caller before
 *          the start and belongs to the shard's thread from then on. */
#ifndef RINGMQ_ENGINE_NODE_H
#define RINGMQ_ENGINE_NODE_H

#include "engine/listener.h"
#include "engine/shard.h"

struct node;

/* Usable cores of this process (its affinity mask), at most SHARDS_MAX. */
uint32_t node_cores(void);

/* Opens the listeners and the mesh. NULL with a sentence in ret_error. `settings` must outlive the node. */
struct node *node_create(const struct settings *settings, uint32_t shards_count, const struct shard_handler *handler,
                         const struct kernel_verbs *verbs, struct qsbr *qsbr, char *ret_error, size_t error_bytes);
/* Starts one pinned thread per shard and returns when all of them turn. False with a sentence in ret_error: none runs. */
bool node_start(struct node *node, void *const *aboves, char *ret_error, size_t error_bytes);
/* Sends a record from the control thread to a shard and wakes it. */
void node_send(struct node *node, uint32_t to_shard, const struct lane_cell *cells, uint32_t count);
/* The same from the admin's threads, one at a time. */
void node_send_admin(struct node *node, uint32_t to_shard, const struct lane_cell *cells, uint32_t count);
/* Opens, closes and changes listeners until they are as in `settings` (of which nothing is kept). Connections stay, with the options they came
 * in with; a listener that cannot be changed or opened stays as it was, and the log says why. Returns how many could not. */
uint32_t node_listeners_change(struct node *node, const struct settings *settings);
/* Closes the listening sockets, so that no new connection comes; those accepted stay. */
void node_stop_accepting(struct node *node);
/* Waits for the shards' threads (which end after their shard_stop()), then releases everything. */
void node_join(struct node *node);
void node_destroy(struct node *node);

/* Number 0 to LISTENERS_MAX - 1; NULL: nobody listens under it. */
const struct listener *node_listener(const struct node *node, uint32_t number);
const struct kernel_features *node_features(const struct node *node);

#endif
