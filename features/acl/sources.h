/* sources.h - whom the rules may ask when they do not know: databases and HTTP servers, behind a table of verbs. Who has them (features/auth) offers them at each
 * prepare(), before features/acl prepares; so neither feature includes the other.
 *
 *     acl: step LOGIN (rules that came with the login) ─► step FILE ─► step SOURCE 0 ─► …      in the order the offer says
 *                                                                        ask() … answered() on the client's shard
 * An answer is a verdict, or the client's rules, which are then held against the topic; nothing decided: the next step.
 *
 * Owner:    the offer belongs to who offers it, and lives until all shards have taken what was prepared after it.
 * Threads:  offering is the control thread's; ask() comes from shards and must not wait. */
#ifndef RINGMQ_FEATURES_ACL_SOURCES_H
#define RINGMQ_FEATURES_ACL_SOURCES_H

#include "features/acl/rules.h"

enum acl_step { ACL_STEP_LOGIN, ACL_STEP_FILE, ACL_STEP_SOURCE /* and its number */ };
#define ACL_STEPS_MAX 64

struct acl_answer {
    struct feature_post post; /* first; goes to question.node, on the shard that asked */
    uint64_t conn;
    uint32_t ticket;
    uint8_t decision;         /* enum acl_decision */
    bool keeps;               /* it may be remembered: it is the source's word, and not what somebody thought of because it could not be asked */
    const struct acl_rules *rules; /* NO_MATCH: the client's; NULL: none */
    const char *what;         /* DENY: constant text */
    void (*release)(struct acl_answer *answer);
};

/* What is asked; texts live as long as the call. */
struct acl_question {
    const struct feature_client *client;
    enum acl_action action;
    struct span topic;
    uint8_t qos;
    bool retain;
    /* for the answer */
    struct feature_node *node;
    uint32_t ticket;
    void (*answered)(struct feature_shard *shard, struct feature_post *post); /* releases it */
};

struct acl_sources {
    uint8_t steps[ACL_STEPS_MAX]; /* enum acl_step */
    uint32_t steps_count, count;  /* count: of sources */
    bool (*concerns)(const struct acl_sources *sources, uint32_t number, const struct feature_client *client);
    void (*ask)(const struct acl_sources *sources, uint32_t number, const struct acl_question *question); /* one answer follows, later */
    const char *(*name)(const struct acl_sources *sources, uint32_t number);
};

void acl_sources_offer(const struct acl_sources *sources); /* NULL: there are none */
const struct acl_sources *acl_sources_offered(void);

#endif
