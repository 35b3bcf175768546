/* rules.h - authorization rules: compiled once, decided often. Used by features/acl (the rule file) and by whoever has rules that came with a
 * login (JWT claims, rows of a database): client->rules.
 *
 * One rule a line; a line that begins with # is a comment. The first rule that matches decides.
 *
 *     allow|deny  [publish|subscribe|all]  [KEY=VALUE[,VALUE…]]…  [TOPIC…]
 *
 *     # nobody reads everything
 *     deny  subscribe eq:#
 *     allow all       ip=127.0.0.0/8
 *     allow publish   user=sensor-* qos=0,1 retain=no         sensors/${username}/+
 *     allow subscribe user=dashboard,"ops team"               $SYS/# "a topic with blanks/#"
 *
 * KEY        matches when
 * user       the user name is one of the values; * and ? are wildcards; user=- is "without user name"
 * client     the same for the client id
 * ip         the address is in one of the networks (base/cidr.h; unix: a Unix socket)
 * listener   tcp.default and so on; * and ? are wildcards
 * cn         the certificate's common name; * and ? are wildcards
 * attribute.NAME   the client's attribute has one of the values
 * qos        of the PUBLISH, or asked for in SUBSCRIBE: 0, 1, 2
 * retain     yes, no: the PUBLISH's retain flag. A rule with it is for publish only
 * Different keys must all match, of the values of one key one is enough. Without a topic the rule is for all topics.
 *
 * TOPIC      a filter. ${client_id}, ${username}, ${attribute.NAME}, ${cn} stand for the client's; a rule whose placeholder the client has no value for,
 *            or one with /, + or # in it, does not match. eq:FILTER is compared word for word. "…" and \" for blanks and quotes.
 * PUBLISH    matches a topic as a subscription would.
 * SUBSCRIBE  allow matches when the filter covers all of what is subscribed to; deny already when the two have a topic in common: `deny
 *            secret/#` also refuses a subscription to `#` (`allow` before it notwithstanding: the first match decides).
 *
 * Owner:    reference-counted: acl_rules_share(), acl_rules_release(); by any thread.
 * Threads:  immutable once compiled; decided on by all shards at once. */
#ifndef RINGMQ_FEATURES_ACL_RULES_H
#define RINGMQ_FEATURES_ACL_RULES_H

#include "broker/feature.h"

struct acl_rules;

#define ACL_RULES_MAX       1000000u
#define ACL_LINE_BYTES_MAX  65536u
#define ACL_ERROR_BYTES_MAX 512

enum acl_action { ACL_PUBLISH = 1, ACL_SUBSCRIBE = 2 };
enum acl_decision { ACL_NO_MATCH, ACL_ALLOW, ACL_DENY };

/* From text as above. `name` is for errors: "acl.conf:3:12: there is no key `usr`; …". NULL with a sentence in ret_error[ACL_ERROR_BYTES_MAX]. */
struct acl_rules *acl_rules_compile(struct span text, const char *name, char *ret_error);
/* From parts: for rules that are not written as text. Begin, any number of rules, end. */
struct acl_builder;
struct acl_builder *acl_builder_begin(void);
/* `topic` is a filter with placeholders (and eq:); qos_mask a bit for each QoS (7: all); retain: -1 any, 0, 1. NULL, or what is wrong with the
 * topic (a constant sentence): then nothing was added. Only for the client at hand, so no conditions about who. */
const char *acl_builder_add(struct acl_builder *builder, bool allow, unsigned actions, struct span topic, uint8_t qos_mask, int retain);
struct acl_rules *acl_builder_end(struct acl_builder *builder); /* releases the builder */

struct acl_rules *acl_rules_share(const struct acl_rules *rules); /* one more reference */
void acl_rules_release(const struct acl_rules *rules);            /* accepts NULL */
uint32_t acl_rules_count(const struct acl_rules *rules);

struct acl_outcome {
    enum acl_decision decision;
    uint32_t line; /* of the rule that decided (1…); rules from a builder: their number from 1. 0: none */
};
/* `topic`: a topic name (ACL_PUBLISH), or a filter without $share/GROUP/ (ACL_SUBSCRIBE). `retain` counts for publish only. */
struct acl_outcome acl_rules_decide(const struct acl_rules *rules, const struct feature_client *client, enum acl_action action,
                                    struct span topic, uint8_t qos, bool retain);
/* The rule of that line as it was written, for `acl test`; empty: not known. */
struct span acl_rules_text(const struct acl_rules *rules, uint32_t line);

#endif
