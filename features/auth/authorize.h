/* authorize.h - authorization.NAME with ask = topic: sources that are asked when a client first publishes or subscribes to a topic. They are offered to the
 * feature acl (features/acl/sources.h), which has the cache, the rule file and the order of all (authorization.chain).
 *
 * Owner: a struct auth_asked belongs to the auth_prepared it was made of. Threads: the control thread's; questions come from shards. */
#ifndef RINGMQ_FEATURES_AUTH_AUTHORIZE_H
#define RINGMQ_FEATURES_AUTH_AUTHORIZE_H

#include <stdbool.h>
#include <stddef.h>

struct auth_asked;
struct auth_prepared;

/* NULL with a sentence: this ringmqd was built without the feature acl. */
struct auth_asked *authorize_make(const struct auth_prepared *prepared, char *ret_error, size_t error_bytes);
void authorize_release(struct auth_asked *asked); /* accepts NULL */
/* Before the feature acl prepares; and when it is no longer to be found. */
void authorize_offer(const struct auth_asked *asked);
void authorize_withdraw(const struct auth_asked *asked);

#endif
