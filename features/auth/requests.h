/* requests.h - authentication for administrators: struct feature_request to verbs.h and back. Any thread; hashing a password blocks it.
 *
 *     sources list   {}                                                    {"data": [source …]}, in the order in which they are asked
 *     counters       {}                                                    struct auth_counters
 *     purge          {"user_id"}; left out: everybody                      {"purged"}
 *     users list     {"name", "after", "limit"}                            {"data": [{"user_id", "is_superuser"} …]}
 *     users add      {"name", "user_id", "password", "is_superuser"}       {"user_id", "is_superuser"}
 *     users change   the same; what is left out stays                      the same
 *     users delete   {"name", "user_id"}                                   nothing
 *     users import   {"name", "users": CSV or JSON as users.h has it, "override"}   {"added", "changed", "skipped"}
 *     users export   {"name", "format": "csv" or "json"}                   {"users": the text}
 * name: of a built-in database, authentication.NAME. */
#ifndef RINGMQ_FEATURES_AUTH_REQUESTS_H
#define RINGMQ_FEATURES_AUTH_REQUESTS_H

#include "broker/feature.h"

void auth_request(struct feature_node *node, struct feature_request *request);

#endif
