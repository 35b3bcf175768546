/* requests.h - what an administrator asks of the acl feature: the rules in force, in the order in which they are asked. */
#ifndef RINGMQ_FEATURES_ACL_REQUESTS_H
#define RINGMQ_FEATURES_ACL_REQUESTS_H

#include "features/acl/rules.h"

/* From now on these are in force; NULL: none of that kind. They are shared, the name is copied. Any thread. */
void acl_requests_rules(const struct acl_rules *inline_rules, const struct acl_rules *file_rules, const char *file);
/* As feature.request. */
void acl_request(struct feature_node *node, struct feature_request *request);

#endif
