#include <criterion/criterion.h>
#include <stdio.h>

#include "base/cidr.h"
#include "features/acl/rules.h"

/* ---- a client to ask about --------------------------------------------------------------------------------------- */

static struct feature_attribute attributes[] = {{{(const uint8_t *)"site", 4}, {(const uint8_t *)"berlin", 6}},
                                                {{(const uint8_t *)"bad", 3}, {(const uint8_t *)"a/b", 3}}};

static struct feature_client client_of(const char *user, const char *client_id, const char *ip)
{
    struct feature_client client = {.has_user_name = user != NULL, .user_name = span_of_string(user ? user : ""),
                                    .client_id = span_of_string(client_id), .listener = span_of_string("tls.east"),
                                    .certificate_cn = span_of_string("device 7"), .attributes = attributes, .attributes_count = 2};
    client.has_address = ip && cidr_address_of_text(span_of_string(ip), client.address);
    client.listener_kind = ip ? LISTENER_TLS : LISTENER_UNIX;
    return client;
}

static struct acl_rules *compile(const char *text)
{
    char error[ACL_ERROR_BYTES_MAX] = "";
    struct acl_rules *rules = acl_rules_compile(span_of_string(text), "acl.conf", error);
    cr_assert(rules, "%s: %s", text, error);
    return rules;
}

static enum acl_decision decide(const char *text, const struct feature_client *client, enum acl_action action, const char *topic, uint8_t qos, bool retain)
{
    struct acl_rules *rules = compile(text);
    struct acl_outcome outcome = acl_rules_decide(rules, client, action, span_of_string(topic), qos, retain);
    acl_rules_release(rules);
    return outcome.decision;
}

/* ---- a row per key ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    const char *action; /* p, s */
    const char *topic;
    uint8_t qos;
    bool retain;
    enum acl_decision decision;
} rows[] = {
    /* actions */
    {"allow a", "p", "a", 0, false, ACL_ALLOW},
    {"allow a", "s", "a", 0, false, ACL_ALLOW},
    {"allow publish a", "p", "a", 0, false, ACL_ALLOW},
    {"allow publish a", "s", "a", 0, false, ACL_NO_MATCH},
    {"allow subscribe a", "p", "a", 0, false, ACL_NO_MATCH},
    {"deny all a", "s", "a", 0, false, ACL_DENY},
    {"allow user=alice publish a", "s", "a", 0, false, ACL_NO_MATCH},
    {"allow", "p", "anything", 2, true, ACL_ALLOW},
    {"deny", "s", "#", 2, false, ACL_DENY},
    {"allow \"publish\"", "s", "publish", 0, false, ACL_ALLOW},
    /* user */
    {"allow user=alice a", "p", "a", 0, false, ACL_ALLOW},
    {"allow user=bob,alice a", "p", "a", 0, false, ACL_ALLOW},
    {"allow user=bob a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow user=al* a", "p", "a", 0, false, ACL_ALLOW},
    {"allow user=al*x a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow user=a?ice a", "p", "a", 0, false, ACL_ALLOW},
    {"allow user=?alice a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow user=- a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow user=\"-\" a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow user=\"ali\"ce a", "p", "a", 0, false, ACL_ALLOW},
    /* client */
    {"allow client=c1 a", "p", "a", 0, false, ACL_ALLOW},
    {"allow client=c* a", "p", "a", 0, false, ACL_ALLOW},
    {"allow client=c2 a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow client=re:^c[0-9]$ a", "p", "a", 0, false, ACL_ALLOW},
    {"allow client=re:^c\\d+$ a", "p", "a", 0, false, ACL_ALLOW},
    {"allow client=\"re:^c\\\\d{1,3}$\" a", "p", "a", 0, false, ACL_ALLOW},
    {"allow client=re:^c[2-9]$,re:^x a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow client=x,re:1 a", "p", "a", 0, false, ACL_ALLOW},
    {"allow user=re:^(alice|bob)$ a", "p", "a", 0, false, ACL_ALLOW},
    {"deny user=re:li\nallow a", "p", "a", 0, false, ACL_DENY},
    {"allow client=c1 user=bob a", "p", "a", 0, false, ACL_NO_MATCH},
    /* ip */
    {"allow ip=10.0.0.0/8 a", "p", "a", 0, false, ACL_ALLOW},
    {"allow ip=192.168.0.0/16,10.1.2.3 a", "p", "a", 0, false, ACL_ALLOW},
    {"allow ip=11.0.0.0/8,::1 a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow ip=unix a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow ip=::ffff:10.0.0.0/104 a", "p", "a", 0, false, ACL_ALLOW},
    /* listener, cn, attribute */
    {"allow listener=tls.east a", "p", "a", 0, false, ACL_ALLOW},
    {"allow listener=tls.* a", "p", "a", 0, false, ACL_ALLOW},
    {"allow listener=tcp.* a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow cn=\"device 7\" a", "p", "a", 0, false, ACL_ALLOW},
    {"allow cn=\"device 8\",device* a", "p", "a", 0, false, ACL_ALLOW},
    {"allow cn=x a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow attribute.site=berlin a", "p", "a", 0, false, ACL_ALLOW},
    {"allow attribute.site=paris a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow attribute.none=* a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow attribute.none=- a", "p", "a", 0, false, ACL_ALLOW},
    /* qos, retain */
    {"allow qos=0 a", "p", "a", 0, false, ACL_ALLOW},
    {"allow qos=0,2 a", "p", "a", 1, false, ACL_NO_MATCH},
    {"allow qos=0,2 a", "s", "a", 2, false, ACL_ALLOW},
    {"allow retain=yes a", "p", "a", 0, true, ACL_ALLOW},
    {"allow retain=yes a", "p", "a", 0, false, ACL_NO_MATCH},
    {"allow retain=no a", "p", "a", 0, true, ACL_NO_MATCH},
    {"allow retain=no a", "s", "a", 0, false, ACL_NO_MATCH},
    /* topics */
    {"allow a b c/+", "p", "c/d", 0, false, ACL_ALLOW},
    {"allow a/#", "p", "a", 0, false, ACL_ALLOW},
    {"allow a/#", "p", "a/b/c", 0, false, ACL_ALLOW},
    {"allow a/+", "p", "a/b/c", 0, false, ACL_NO_MATCH},
    {"allow #", "p", "$SYS/x", 0, false, ACL_NO_MATCH},
    {"allow +/x", "p", "$SYS/x", 0, false, ACL_NO_MATCH},
    {"allow $SYS/#", "s", "$SYS/x", 0, false, ACL_ALLOW},
    {"allow \"with blank/#\"", "p", "with blank/x", 0, false, ACL_ALLOW},
    {"allow \"q\\\"\\\\\"", "p", "q\"\\", 0, false, ACL_ALLOW},
    {"allow x/a=b", "p", "x/a=b", 0, false, ACL_ALLOW},
    {"allow \"a=b\"", "p", "a=b", 0, false, ACL_ALLOW},
    {"allow eq:#", "s", "#", 0, false, ACL_ALLOW},
    {"deny subscribe eq:#", "s", "a/#", 0, false, ACL_NO_MATCH},
    {"allow eq:a/+", "p", "a/b", 0, false, ACL_NO_MATCH},
    {"allow eq:a/+", "s", "a/+", 0, false, ACL_ALLOW},
    /* placeholders */
    {"allow d/${client_id}/x", "p", "d/c1/x", 0, false, ACL_ALLOW},
    {"allow d/${clientid}/x", "p", "d/c1/x", 0, false, ACL_ALLOW},
    {"allow d/${client_id}/x", "p", "d/c2/x", 0, false, ACL_NO_MATCH},
    {"allow d/${username}-${client_id}/#", "p", "d/alice-c1/x", 0, false, ACL_ALLOW},
    {"allow d/x${username}y/#", "p", "d/xalicey", 0, false, ACL_ALLOW},
    {"allow d/${username}/#", "s", "d/+/x", 0, false, ACL_NO_MATCH},
    {"allow d/${attribute.site}/#", "s", "d/berlin/#", 0, false, ACL_ALLOW},
    {"allow d/${attribute.bad}/#", "p", "d/a/b/x", 0, false, ACL_NO_MATCH},
    {"allow d/${attribute.none}/#", "p", "d//x", 0, false, ACL_NO_MATCH},
    {"allow ${cn}/#", "p", "device 7/x", 0, false, ACL_ALLOW},
    {"allow eq:d/${client_id}", "p", "d/c1", 0, false, ACL_NO_MATCH},
    /* subscriptions: allow covers */
    {"allow subscribe a/#", "s", "a/#", 0, false, ACL_ALLOW},
    {"allow subscribe a/#", "s", "a", 0, false, ACL_ALLOW},
    {"allow subscribe a/#", "s", "a/+/c", 0, false, ACL_ALLOW},
    {"allow subscribe a/+", "s", "a/+", 0, false, ACL_ALLOW},
    {"allow subscribe a/+", "s", "a/#", 0, false, ACL_NO_MATCH},
    {"allow subscribe a/b", "s", "a/+", 0, false, ACL_NO_MATCH},
    {"allow subscribe a/b", "s", "#", 0, false, ACL_NO_MATCH},
    {"allow subscribe #", "s", "#", 0, false, ACL_ALLOW},
    {"allow subscribe #", "s", "+/+", 0, false, ACL_ALLOW},
    {"allow subscribe +", "s", "#", 0, false, ACL_NO_MATCH},
    {"allow subscribe #", "s", "$SYS/#", 0, false, ACL_NO_MATCH},
    /* subscriptions: deny overlaps */
    {"deny subscribe secret/#", "s", "#", 0, false, ACL_DENY},
    {"deny subscribe secret/#", "s", "+/x", 0, false, ACL_DENY},
    {"deny subscribe secret/#", "s", "secret", 0, false, ACL_DENY},
    {"deny subscribe secret/#", "s", "secretary/#", 0, false, ACL_NO_MATCH},
    {"deny subscribe a/b/c", "s", "a/+/c", 0, false, ACL_DENY},
    {"deny subscribe a/b/c", "s", "a/+", 0, false, ACL_NO_MATCH},
    {"deny subscribe a/b", "s", "a/b/#", 0, false, ACL_DENY},
    {"deny subscribe a/b/#", "s", "a/#", 0, false, ACL_DENY},
    {"deny subscribe a/+/c", "s", "a/b/+", 0, false, ACL_DENY},
    {"deny subscribe a/+/c", "s", "a/b/d", 0, false, ACL_NO_MATCH},
    {"deny subscribe $SYS/#", "s", "#", 0, false, ACL_NO_MATCH},
    {"deny subscribe $SYS/#", "s", "+/x", 0, false, ACL_NO_MATCH},
    {"deny subscribe #", "s", "$SYS/x", 0, false, ACL_NO_MATCH},
    {"deny subscribe d/${client_id}", "s", "d/+", 0, false, ACL_DENY},
    {"deny publish a/#", "p", "a/b", 0, false, ACL_DENY},
    {"deny publish a/b", "p", "a/b/c", 0, false, ACL_NO_MATCH},
    /* the first one that matches */
    {"deny a/b\nallow a/#", "p", "a/b", 0, false, ACL_DENY},
    {"allow a/#\ndeny a/b", "p", "a/b", 0, false, ACL_ALLOW},
    {"# comment\n\n  # another\r\n\tallow\ta\r\n", "p", "a", 0, false, ACL_ALLOW},
    {"deny user=alice a\nallow client=c1 a\nallow a\nallow", "p", "a", 0, false, ACL_DENY},
    {"allow +\ndeny user=alice a", "p", "a", 0, false, ACL_ALLOW},
    {"deny client=c1 a\nallow user=alice a", "p", "a", 0, false, ACL_DENY},
};

Test(acl_rules, a_row_per_key)
{
    struct feature_client client = client_of("alice", "c1", "10.1.2.3");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(decide(rows[i].rule, &client, *rows[i].action == 'p' ? ACL_PUBLISH : ACL_SUBSCRIBE, rows[i].topic, rows[i].qos, rows[i].retain),
                     rows[i].decision, "`%s` about %s %s qos %u retain %d", rows[i].rule, rows[i].action, rows[i].topic, rows[i].qos, rows[i].retain);
}

Test(acl_rules, clients_that_are_odd)
{
    struct feature_client anonymous = client_of(NULL, "c1", NULL), plus = client_of("+", "a/b", "::1"), server = client_of("$SYS", "#", "::1");
    cr_expect_eq(decide("allow user=- a", &anonymous, ACL_PUBLISH, "a", 0, false), ACL_ALLOW);
    cr_expect_eq(decide("allow user=* a", &anonymous, ACL_PUBLISH, "a", 0, false), ACL_NO_MATCH);
    cr_expect_eq(decide("allow ip=unix a", &anonymous, ACL_PUBLISH, "a", 0, false), ACL_ALLOW);
    cr_expect_eq(decide("allow ip=0.0.0.0/0,::/0 a", &anonymous, ACL_PUBLISH, "a", 0, false), ACL_NO_MATCH);
    cr_expect_eq(decide("allow d/${username}", &anonymous, ACL_PUBLISH, "d/", 0, false), ACL_NO_MATCH);
    cr_expect_eq(decide("allow d/${username}", &plus, ACL_SUBSCRIBE, "d/+", 0, false), ACL_NO_MATCH, "a user called + must not read everybody's");
    cr_expect_eq(decide("allow d/${client_id}", &plus, ACL_PUBLISH, "d/a/b", 0, false), ACL_NO_MATCH);
    cr_expect_eq(decide("allow ${username}/#", &server, ACL_PUBLISH, "$SYS/x", 0, false), ACL_NO_MATCH, "a value must not make a topic the server's");
    cr_expect_eq(decide("allow ${client_id}", &server, ACL_SUBSCRIBE, "#", 0, false), ACL_NO_MATCH);
    cr_expect_eq(decide("allow u/${username}/#", &server, ACL_PUBLISH, "u/$SYS/x", 0, false), ACL_ALLOW);
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text, *error;
} mistakes[] = {
    {"permit a", "acl.conf:1:1: a rule begins with allow or deny"},
    {"\n\n  Allow a", "acl.conf:3:3: a rule begins with allow or deny"},
    {"allow usr=x a", "acl.conf:1:7: there is no key `usr`"},
    {"allow a=b", "A topic with = in it goes into double quotes"},
    {"allow user= a", "acl.conf:1:12: a value is missing"},
    {"allow user=a,,b a", "acl.conf:1:14: a value is missing"},
    {"allow ip=10.0.0.0/33 a", "acl.conf:1:10: `10.0.0.0/33` is no network"},
    {"allow ip=1.2.3.4,host a", "acl.conf:1:18: `host` is no network"},
    {"allow qos=3 a", "acl.conf:1:11: `3` is no QoS"},
    {"allow qos=0,x a", "acl.conf:1:13: `x` is no QoS"},
    {"allow retain=maybe a", "acl.conf:1:14: retain is yes or no"},
    {"allow subscribe retain=yes a", "retain is about publish"},
    {"allow publish subscribe a", "acl.conf:1:15: the action is given twice"},
    {"allow a/#/b", "acl.conf:1:7: `a/#/b`: it is no topic filter"},
    {"allow a+", "it is no topic filter"},
    {"allow eq:", "the topic is empty"},
    {"allow \"\"", "the topic is empty"},
    {"allow $share/g/a", "leave that out"},
    {"allow d/${client}", "the placeholders are"},
    {"allow d/${client_id", "the placeholder has no }"},
    {"allow d/${attribute.}", "the placeholders are"},
    {"allow \"a", "acl.conf:1:7: the \" is not closed"},
    {"allow \"a\\n\"", "acl.conf:1:9: after \\ comes"},
    {"allow attribute.=x a", "there is no key"},
};

Test(acl_rules, mistakes_say_where_and_what)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        char error[ACL_ERROR_BYTES_MAX] = "";
        struct acl_rules *rules = acl_rules_compile(span_of_string(mistakes[i].text), "acl.conf", error);
        cr_expect_null(rules, "`%s` was accepted", mistakes[i].text);
        cr_expect(strstr(error, mistakes[i].error), "`%s`: expected \"%s\", got \"%s\"", mistakes[i].text, mistakes[i].error, error);
        acl_rules_release(rules);
    }
    char error[ACL_ERROR_BYTES_MAX];
    cr_expect_null(acl_rules_compile(span_of("allow a\0b", 9), "x", error));
    cr_expect(strstr(error, "x:1:8: there is a NUL byte"), "%s", error);
}

/* ---- the index against no index ---------------------------------------------------------------------------------- */

static uint32_t state_now;
static uint32_t pick(uint32_t below)
{
    state_now = state_now * 1664525u + 1013904223u;
    return (state_now >> 8) % below;
}

static const char *const some_topics[] = {"a", "b", "a/b", "a/c", "b/c", "a/b/c", "$SYS/x", "d/c1", "d/c2", "/", "a/", "#", "+", "a/#", "a/+", "+/b", "+/+",
                                          "a/+/c", "$SYS/#", "d/+", "d/${client_id}", "d/${username}", "${username}/b", "eq:#", "eq:a/b"};
#define TOPICS (sizeof some_topics / sizeof *some_topics)

Test(acl_rules, the_index_changes_nothing)
{
    static const char *const users[] = {"", "user=alice ", "user=bob,alice ", "user=a* ", "user=- ", "client=c1 ", "client=c1,c2 ", "client=c? "};
    struct feature_client clients[] = {client_of("alice", "c1", "10.0.0.1"), client_of("bob", "c2", "10.0.0.1"), client_of(NULL, "c1", "10.0.0.1")};
    for (state_now = 1; state_now < 3000; state_now++) {
        uint32_t seed = state_now;
        char text[4096], lines[24][128];
        uint32_t count = 1 + pick(24), used = 0;
        for (uint32_t i = 0; i < count; i++) {
            snprintf(lines[i], sizeof lines[i], "%s %s%s%s %s", pick(2) ? "allow" : "deny", users[pick(8)], pick(3) ? "" : "qos=0 ",
                     some_topics[pick(TOPICS)], pick(3) ? "" : some_topics[pick(TOPICS)]);
            used += (uint32_t)snprintf(text + used, sizeof text - used, "%s\n", lines[i]);
        }
        struct acl_rules *all = compile(text);
        const struct feature_client *client = &clients[pick(3)];
        enum acl_action action = pick(2) ? ACL_PUBLISH : ACL_SUBSCRIBE;
        const char *topic = some_topics[action == ACL_PUBLISH ? pick(11) : pick(20)];
        uint8_t qos = (uint8_t)pick(3);
        struct acl_outcome outcome = acl_rules_decide(all, client, action, span_of_string(topic), qos, false);
        enum acl_decision expected = ACL_NO_MATCH;
        uint32_t line = 0;
        for (uint32_t i = 0; i < count && expected == ACL_NO_MATCH; i++) { /* one rule at a time has nothing to be found by */
            expected = decide(lines[i], client, action, topic, qos, false);
            line = expected == ACL_NO_MATCH ? 0 : i + 1;
        }
        cr_assert(outcome.decision == expected && outcome.line == line, "seed %u: %d in line %u, expected %d in line %u for %d %s:\n%s", seed,
                  outcome.decision, outcome.line, expected, line, action, topic, text);
        acl_rules_release(all);
        state_now = seed;
    }
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

Test(acl_rules, from_parts)
{
    struct feature_client client = client_of("alice", "c1", "10.0.0.1");
    struct acl_builder *builder = acl_builder_begin();
    cr_assert_null(acl_builder_add(builder, false, ACL_SUBSCRIBE, span_of_string("secret/#"), 7, -1));
    cr_assert_not_null(acl_builder_add(builder, true, ACL_SUBSCRIBE, span_of_string("a/#/b"), 7, -1));
    cr_assert_not_null(acl_builder_add(builder, true, ACL_SUBSCRIBE, span_of_string("ok/${none}/x"), 7, -1));
    cr_assert_not_null(acl_builder_add(builder, true, 0, span_of_string("a"), 7, -1));
    cr_assert_null(acl_builder_add(builder, true, ACL_PUBLISH | ACL_SUBSCRIBE, span_of_string("d/${client_id}/#"), 1, -1));
    for (int i = 0; i < 20; i++)
        cr_assert_null(acl_builder_add(builder, true, ACL_PUBLISH, span_of_string("more/+"), 7, 1));
    struct acl_rules *rules = acl_builder_end(builder), *again = acl_rules_share(rules);
    acl_rules_release(rules);
    cr_assert_eq(acl_rules_count(again), 22);
    cr_expect_eq(acl_rules_decide(again, &client, ACL_SUBSCRIBE, span_of_string("#"), 0, false).decision, ACL_DENY);
    cr_expect_eq(acl_rules_decide(again, &client, ACL_PUBLISH, span_of_string("d/c1/x"), 0, false).line, 2);
    cr_expect_eq(acl_rules_decide(again, &client, ACL_PUBLISH, span_of_string("d/c1/x"), 1, false).decision, ACL_NO_MATCH);
    cr_expect_eq(acl_rules_decide(again, &client, ACL_PUBLISH, span_of_string("more/x"), 1, true).decision, ACL_ALLOW);
    cr_expect_eq(acl_rules_text(again, 1).bytes, 0);
    acl_rules_release(again);
    acl_rules_release(NULL);
}

Test(acl_rules, text_of_a_rule)
{
    struct acl_rules *rules = compile("# one\nallow a\n\ndeny b");
    cr_expect(span_equal(acl_rules_text(rules, 2), SPAN_LITERAL("allow a")));
    cr_expect(span_equal(acl_rules_text(rules, 4), SPAN_LITERAL("deny b")));
    cr_expect_eq(acl_rules_text(rules, 5).bytes, 0);
    cr_expect_eq(acl_rules_text(rules, 0).bytes, 0);
    acl_rules_release(rules);
}
