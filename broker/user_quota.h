/* user_quota.h - sessions per user: mqtt.max_sessions_per_user, over the whole node.
 *
 * A session counts for the user whose client connected to it last, from then until it ends; clients without a user name are not counted, nor
 * sessions that a restart has brought back until their client comes.
 * One table a node, behind a mutex that CONNECT takes while the quota is on, and the end of a session that was counted.
 * Threads: all shards. */
#ifndef RINGMQ_BROKER_USER_QUOTA_H
#define RINGMQ_BROKER_USER_QUOTA_H

#include <pthread.h>
#include <stdbool.h>

#include "base/map.h"
#include "base/span.h"

struct session;
struct quota_user;

struct user_quota {
    pthread_mutex_t mutex;
    struct map users; /* struct quota_user by name */
};

void user_quota_init(struct user_quota *quota);
void user_quota_release(struct user_quota *quota);
/* The session is this user's from now on (rare->quota_user). False: the user has `limit` already, and the session counts as before. */
bool user_quota_take(struct user_quota *quota, struct session *session, struct span user_name, uint32_t limit);
/* Would it say no? Before anything is done about the session: `session` is the one that is there (NULL: none), `ends`: it ends for the new client. */
bool user_quota_refuses(struct user_quota *quota, const struct session *session, bool ends, struct span user_name, uint32_t limit);
/* The session ends. */
void user_quota_end(struct user_quota *quota, struct session *session);

#endif
