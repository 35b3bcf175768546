/* mount.h - mount points: a prefix that a listener puts in front of all topics of its clients.
 *
 * Clients see their own topics only: the prefix is put in front of what they publish, subscribe to and leave as a will, and taken off what they are
 * sent. Shared subscriptions keep their group; the filter inside is mounted. A session whose client comes back by a listener with
 * another mount point keeps its old subscriptions, and what they bring is sent with the old prefix on it, unless it begins with the new.
 * Threads: the shard's. */
#ifndef RINGMQ_BROKER_MOUNT_H
#define RINGMQ_BROKER_MOUNT_H

#include "broker/client_names.h"
#include "broker/session.h"

struct mount {
    uint32_t bytes;
    char prefix[];
};

/* Fills in the placeholders of the listener's mount point (base/placeholder.h, those with a $), as they are at CONNECT, and gives it to the session. NULL, or why
 * the client cannot come in. */
const char *mount_check(const char *mountpoint, const struct client_names *names);
void mount_set(struct session *session, const char *mountpoint, const struct client_names *names);
/* The topic or filter with the prefix, in the shard's scratch until the next call; the same where the session has none. Empty: too long or too
 * many levels. */
struct span mount_topic(struct broker_shard *broker, const struct session *session, struct span topic);
/* What the client calls it. */
struct span mount_strip(const struct session *session, struct span topic);

#endif
