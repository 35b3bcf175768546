#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/random.h"
#include "proto/topic.h"

static bool name_valid(const char *text) { return mqtt_topic_name_valid(span_of_string(text), 0); }
static bool filter_valid(const char *text) { return mqtt_topic_filter_valid(span_of_string(text), 0); }
static bool matches(const char *topic, const char *filter)
{
    return mqtt_topic_matches_filter(span_of_string(topic), span_of_string(filter));
}

/* [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT3-4.7.3-1] */
Test(topic, names)
{
    cr_expect(name_valid("a"));
    cr_expect(name_valid("/"));
    cr_expect(name_valid("//"));
    cr_expect(name_valid("a b/ü"));
    cr_expect(name_valid("$SYS/broker"));
    cr_expect_not(name_valid(""));
    cr_expect_not(name_valid("+"));
    cr_expect_not(name_valid("a/#"));
    cr_expect_not(name_valid("a+"));
    cr_expect_not(name_valid("\xff"));
    cr_expect_not(mqtt_topic_name_valid(span_of("a\0b", 3), 0));
    cr_expect(mqtt_topic_name_valid(SPAN_LITERAL("a/b/c"), 3));
    cr_expect_not(mqtt_topic_name_valid(SPAN_LITERAL("a/b/c"), 2));
}

/* [MQTT-4.7.3-3] Not more than 65535 bytes. */
Test(topic, longest)
{
    char *text = malloc(65536);
    memset(text, 'x', 65536);
    cr_expect(mqtt_topic_name_valid(span_of(text, 65535), 0));
    cr_expect_not(mqtt_topic_name_valid(span_of(text, 65536), 0));
    cr_expect(mqtt_topic_filter_valid(span_of(text, 65535), 0));
    cr_expect_not(mqtt_topic_filter_valid(span_of(text, 65536), 0));
    free(text);
}

/* [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] */
Test(topic, filters)
{
    static const char *const good[] = {"#", "+", "/", "a/#", "+/+", "/+", "+/", "a/+/b", "+/a/#", "a//#",
                                       "$SYS/#", "$share", "$sharex/a"};
    static const char *const bad[] = {"", "a#", "a/#/b", "#/", "##", "++", "a+", "+a", "a/b+", "a/+b/c", "a/#b", "\xc0\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(filter_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(filter_valid(bad[i]), "%s", bad[i]);
    cr_expect(mqtt_topic_filter_valid(SPAN_LITERAL("$share/g/a/b"), 2));
    cr_expect_not(mqtt_topic_filter_valid(SPAN_LITERAL("$share/g/a/b/c"), 2));
}

/* [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
Test(topic, shares)
{
    static const char *const bad[] = {"$share/", "$share//", "$share//a", "$share/g", "$share/g/",
                                      "$share/+/a", "$share/a#b/a", "$share/g/a#"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(filter_valid(bad[i]), "%s", bad[i]);
    struct span group, filter;
    cr_assert(mqtt_share_split(SPAN_LITERAL("$share/g/a/+"), &group, &filter));
    cr_expect(span_equal(group, SPAN_LITERAL("g")));
    cr_expect(span_equal(filter, SPAN_LITERAL("a/+")));
    cr_assert(mqtt_share_split(SPAN_LITERAL("$share/g//"), &group, &filter));
    cr_expect(span_equal(filter, SPAN_LITERAL("/")));
    cr_assert(mqtt_share_split(SPAN_LITERAL("a/b"), &group, &filter));
    cr_expect_eq(group.bytes, 0);
    cr_expect(span_equal(filter, SPAN_LITERAL("a/b")));
}

/* The examples of §4.7.1 and §4.7.2. [MQTT-4.7.2-1] [MQTT3-4.7.2-1] [MQTT-4.7.3-4] */
Test(topic, matching)
{
    cr_expect(matches("sport/tennis/player1", "sport/tennis/player1/#"));
    cr_expect(matches("sport/tennis/player1/ranking", "sport/tennis/player1/#"));
    cr_expect(matches("sport/tennis/player1/score/wimbledon", "sport/tennis/player1/#"));
    cr_expect(matches("sport", "sport/#"));
    cr_expect_not(matches("sports", "sport/#"));
    cr_expect(matches("a/b", "#"));
    cr_expect(matches("sport/tennis/player2", "sport/tennis/+"));
    cr_expect_not(matches("sport/tennis/player1/ranking", "sport/tennis/+"));
    cr_expect_not(matches("sport", "sport/+"));
    cr_expect(matches("sport/", "sport/+"));
    cr_expect(matches("/finance", "+/+"));
    cr_expect(matches("/finance", "/+"));
    cr_expect_not(matches("/finance", "+"));
    cr_expect_not(matches("$SYS/x", "#"));
    cr_expect_not(matches("$SYS/x", "+/x"));
    cr_expect(matches("$SYS/x", "$SYS/#"));
    cr_expect(matches("$SYS/monitor/Clients", "$SYS/monitor/+"));
    cr_expect(matches("a/$b", "a/+"));
    cr_expect_not(matches("ACCOUNTS", "Accounts"));
    cr_expect_not(matches("a", "a/"));
    cr_expect_not(matches("/a", "a"));
}

/* The fast scan against a slow one, every alignment and length. */
Test(topic, scan)
{
    struct random_source random = {11};
    static const char alphabet[] = "aaaaaaaaab//c+#\xc3\xa4\0";
    for (int i = 0; i < 200000; i++) {
        char text[70];
        size_t count = random_below(&random, sizeof text);
        uint32_t levels = 1;
        bool wildcards = false, plain = true;
        bool flaw = random_below(&random, 2);
        for (size_t k = 0; k < count; k++) {
            text[k] = alphabet[random_below(&random, flaw ? sizeof alphabet : 12)];
            levels += text[k] == '/';
            wildcards |= text[k] == '+' || text[k] == '#';
            plain &= text[k] > 0;
        }
        char *exact = malloc(count ? count : 1);
        memcpy(exact, text, count);
        struct mqtt_topic_scan scan = mqtt_topic_scan(span_of(exact, count));
        cr_assert_eq(scan.levels, levels);
        cr_assert_eq(scan.wildcards, wildcards);
        if (plain) cr_assert(scan.utf8);
        if (memchr(text, 0, count)) cr_assert_not(scan.utf8);
        free(exact);
    }
}

Test(topic, levels)
{
    struct span rest = SPAN_LITERAL("/a//b/"), level;
    const char *const expected[] = {"", "a", "", "b", ""};
    for (int i = 0; i < 5; i++) {
        cr_assert(mqtt_level_next(&rest, &level));
        cr_expect(span_equal(level, span_of_string(expected[i])));
    }
    cr_expect_not(mqtt_level_next(&rest, &level));
}
