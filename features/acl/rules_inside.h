/* rules_inside.h - compiled rules, as rules_*.c share them. Everything lies in arrays and is named by number, so that they may grow. */
#ifndef RINGMQ_FEATURES_ACL_RULES_INSIDE_H
#define RINGMQ_FEATURES_ACL_RULES_INSIDE_H

#include <stdatomic.h>

#include "base/cidr.h"
#include "base/map.h"
#include "features/acl/rules.h"

enum acl_condition_kind { ACL_USER, ACL_CLIENT, ACL_LISTENER, ACL_CN, ACL_ATTRIBUTE, ACL_IP };
enum acl_variable { ACL_VAR_NONE, ACL_VAR_CLIENT_ID, ACL_VAR_USERNAME, ACL_VAR_CN, ACL_VAR_ATTRIBUTE };
enum acl_level_kind { ACL_WORD, ACL_PLUS, ACL_HASH, ACL_TEMPLATE };

struct acl_value {
    struct span text;
    bool pattern; /* has * or ? */
    bool absent;  /* user=-: there is none */
    struct regex *regex; /* re:…; NULL: none */
};

struct acl_condition {
    enum acl_condition_kind kind;
    struct span attribute;
    uint32_t values_first, values_count;
    struct cidr_list networks; /* ACL_IP */
};

/* A piece of a level: text, or what stands for a placeholder. */
struct acl_piece {
    enum acl_variable variable; /* NONE: text */
    struct span text;           /* text, or the attribute's name */
};

struct acl_level {
    enum acl_level_kind kind;
    struct span word;
    uint32_t pieces_first, pieces_count;
};

struct acl_topic {
    bool literal;      /* eq: */
    struct span whole; /* as written, without eq: */
    uint32_t levels_first, levels_count;
};

struct acl_rule {
    bool allow;
    uint8_t actions;  /* enum acl_action */
    uint8_t qos_mask;
    int8_t retain;    /* -1: any */
    uint32_t line;
    uint32_t conditions_first, conditions_count;
    uint32_t topics_first, topics_count; /* none: all topics */
};

/* Rules that can only match with this user, client or first level; in rising order. */
struct acl_bucket {
    struct span key;
    uint32_t *rules;
    uint32_t count, capacity;
};

struct acl_rules {
    _Atomic uint32_t references;
    void **blocks; /* texts */
    uint32_t blocks_count;
    struct span source; /* empty: from a builder */
    struct acl_rule *rules;
    struct acl_condition *conditions;
    struct acl_value *values;
    struct acl_topic *topics;
    struct acl_level *levels;
    struct acl_piece *pieces;
    uint32_t rules_count, conditions_count, values_count, topics_count, levels_count, pieces_count;
    struct map users, clients, levels_index; /* of struct acl_bucket */
    struct acl_bucket rest;
};

struct acl_rules *acl_rules_create(void);
/* A copy of the text that lives as long as the rules. */
struct span acl_rules_keep(struct acl_rules *rules, struct span text);
/* Appends a topic to the rule at hand: NULL, or what is wrong. `text` must live as long as the rules. */
const char *acl_topic_add(struct acl_rules *rules, struct span text);
/* One more of something; the pointer is good until the next. */
void *acl_array_add(void *array, uint32_t *count, size_t item_bytes);
/* When all rules are there. */
void acl_rules_index(struct acl_rules *rules);

#endif
