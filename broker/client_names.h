/* client_names.h - what placeholders (base/placeholder.h) stand for: the client's id, its user name, and the attributes that logins and client_attributes.NAME
 * have given it (feature.h). Threads: the session's shard. */
#ifndef RINGMQ_BROKER_CLIENT_NAMES_H
#define RINGMQ_BROKER_CLIENT_NAMES_H

#include "base/placeholder.h"
#include "broker/session.h"

struct feature_client;

struct client_names {
    struct span client_id, user_name;
    const struct feature_client *facts; /* NULL: no feature is in force, or the client is away: it has no attributes */
};

/* As the session knows them; the user name only where something wants it (EXTRA_USER_NAMES). */
struct client_names client_names_of(const struct session *session);
/* Empty: there is none, or it would add levels or wildcards, and cannot be part of a topic. */
struct span client_names_value(const struct client_names *names, const struct placeholder *placeholder);

#endif
