/* acl.h - what the files of the feature share: acl.c (configuration, life, requests), acl_decide.c (gates: cache, rules, sources), listing.c. */
#ifndef RINGMQ_FEATURES_ACL_ACL_H
#define RINGMQ_FEATURES_ACL_ACL_H

#include <jansson.h>

#include "features/acl/acl_cache.h"
#include "features/acl/sources.h"

struct acl_prepared {
    struct acl_rules *inline_rules, *file_rules; /* NULL: none */
    char *file;
    const struct acl_sources *sources; /* never NULL: it has the order at least */
    bool everyone; /* there are rules for all, or sources, not only rules that came with a login */
    bool cache;
    uint32_t cache_size;
    uint32_t cache_ttl_ms;
};

struct acl_shard {
    uint32_t generation; /* of the rules: caches of an older one are forgotten */
    uint32_t decided_by; /* source and line of the last verdict, for acl_describe() */
    uint32_t tickets;
    const struct acl_purge *purging; /* in purge(): what for */
};

/* acl_decide.c */
struct feature_verdict acl_publish(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish);
struct feature_verdict acl_subscribe(struct feature_shard *shard, struct feature_client *client, const struct mqtt_subscription *subscription);
void acl_describe(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes);

/* requests.c */
void acl_request(struct feature_node *node, struct feature_request *request);

/* listing.c. From now on these rules are in force; NULL: none of that kind. They are shared, the name is copied. Any thread. */
void acl_listing(const struct acl_rules *inline_rules, const struct acl_rules *file_rules, const char *file);
/* Answers with a page of them. */
void acl_rules_list(struct feature_request *request, const json_t *body);

#endif
