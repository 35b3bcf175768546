/* shelf.h - large payloads of retained messages: on the shelf (store/shelf.h), their topics in memory (decision 0035).
 *
 *     kept ──► young ──too many bytes──► on its way ──synced──► shelved: topic, properties and row in memory, STORE_RETAIN_SHELVED in the log
 *     (the log has it; acknowledged)      WRITE       └──replaced meanwhile──► its row is dead
 *                                                             shelved ──replaced, cleared, expired──► dead ──what did it is on disk──► REMOVE
 *
 * The newest ones, retainer.shelf_memory of them, stay in memory as well: what changes often never reaches the shelf, and who has few never uses it. With the
 * store full, or a shelf that refuses, or behind, they stay longer (then their publishers are read more slowly). A message that went past all that is found by
 * a walk over the store later on.
 *
 * What can be shelved: payloads from retainer.shelf_above to RETAINED_ROW_BYTES_MAX of messages that are in the log (level commit or lazy); not delayed messages and
 * values of features, which lie in the same store and are read at once.
 *
 * A shelved message is a struct message without its payload (message->shelved, message_row()), whose row has topic, properties and payload. Nobody may send it. Whoever
 * wants the payload asks for it with a *fetch*, a bounded number of them in one go, and gets a whole message, at a time when it is still the topic's; or what the topic has
 * by then; or nothing, if that is nothing, or cannot be read (which is counted and logged).
 *
 * Dead rows: removed when the record that took their place is durable, and not while a backup is made. Those that are still to be removed are listed in each
 * checkpoint, since the records that say so may go with it; a start removes them (store/shelf_sweep.c). A start reads no row.
 *
 * Owner and threads: the shard. Memory: retainer.shelf_memory of payloads in all shards together and, over the shard's backlog (store/spill.h), as much again at
 * worst; of what is fetched RETAINED_FETCH_BYTES for each subscription (or a single larger message) and RETAINED_FETCHING_BYTES in a shard. */
#ifndef RINGMQ_BROKER_RETAINED_SHELF_H
#define RINGMQ_BROKER_RETAINED_SHELF_H

#include "broker/message.h"
#include "store/records.h"

struct broker_shard;
struct spill_request;
struct retained_shelf; /* one shard's, broker->durable->shelf; NULL: there is no shelf */

#define RETAINED_ROW_BYTES_MAX  (16u * 1024 * 1024)
#define RETAINED_FETCH_ROWS     256
#define RETAINED_FETCH_BYTES    (256u * 1024)
#define RETAINED_FETCHING_BYTES (8u * 1024 * 1024)

void retained_shelf_start(struct broker_shard *broker);
void retained_shelf_stop(struct broker_shard *broker); /* before the store of retained messages goes */

/* It has been kept, and the log has it. True: the shelf is behind, read its publisher more slowly. */
bool retained_shelf_kept(struct broker_shard *broker, struct message *message);
/* One of a start; shelved or not. */
void retained_shelf_restored(struct broker_shard *broker, struct message *message);
/* The store of retained messages gives one up that is MESSAGE_KEPT; its reference is still there. */
void retained_shelf_gone(struct broker_shard *broker, struct message *message);
/* The row belongs to nobody: its message was not taken up at start. */
void retained_shelf_dead(struct broker_shard *broker, struct stored_row row);
/* The settings have changed: what is in memory is looked at again. */
void retained_shelf_look_again(struct broker_shard *broker);
/* Once a turn. True: there is more to do at once. */
bool retained_shelf_turn(struct broker_shard *broker);

/* Of a checkpoint: one message; and what it says at its end of rows. False: too much is still to be removed, again later (something makes a turn then). */
void retained_shelf_snapshot(struct broker_shard *broker, const struct message *message);
bool retained_shelf_checkpoint(struct broker_shard *broker);

/* ---- fetches ----------------------------------------------------------------------------------------------------- */

struct retained_fetch;

/* A whole message; the reference is the callee's. */
typedef void retained_fetched(struct broker_shard *broker, void *context, struct message *message);
/* All are through; so many could not be read. The fetch goes. */
typedef void retained_fetch_done(struct broker_shard *broker, void *context, uint32_t lost);

/* NULL: as much is under way as may be. With `regardless` never: somebody asks for one message. Neither is called after retained_shelf_stop(). */
struct retained_fetch *retained_fetch_begin(struct broker_shard *broker, retained_fetched *each, retained_fetch_done *done, void *context, bool regardless);
/* One of the store's, shelved. False: it has no room for it. */
bool retained_fetch_add(struct broker_shard *broker, struct retained_fetch *fetch, struct message *shelved);
void retained_fetch_send(struct broker_shard *broker, struct retained_fetch *fetch);
/* The shelf's answer to one; the caller releases it. */
void retained_fetch_answer(struct broker_shard *broker, struct spill_request *request);

#endif
