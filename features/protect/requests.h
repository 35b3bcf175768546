/* requests.h - the ban list for administrators: struct feature_request to the verbs of protect.h and back. Any thread.
 *
 *     bans list    {"page", "limit"}                                  {"data": [ban …], "meta": {"page", "limit", "count", "hasnext"}}
 *     bans add     {"as", "who", "by", "reason", "at_ms", "until_ms"} the ban. All but the first two may be left out
 *     bans remove  {"as", "who"}                                      nothing
 *     bans clear   {}                                                 nothing
 * A ban has all members of `bans add`. Times are Unix ms, until_ms 0 is for good. */
#ifndef RINGMQ_FEATURES_PROTECT_REQUESTS_H
#define RINGMQ_FEATURES_PROTECT_REQUESTS_H

#include "broker/feature.h"

void protect_request(struct feature_node *node, struct feature_request *request);

#endif
