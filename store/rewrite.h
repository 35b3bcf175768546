/* rewrite.h - a whole state written as one log of a new epoch: for tools on a stopped broker. */
#ifndef RINGMQ_STORE_REWRITE_H
#define RINGMQ_STORE_REWRITE_H

#include "store/store.h"

/* `store`: opened with shards_count 1, started without a thread. What the state's messages point into must still be there (store_recovered() comes
 * after). Then store_rewritten() removes the logs before. False: a sentence in ret_error; the logs before stay what counts. */
bool store_rewrite(struct store *store, const struct state *state, char *ret_error, size_t error_bytes);
bool store_rewritten(struct store *store, char *ret_error, size_t error_bytes);

#endif
