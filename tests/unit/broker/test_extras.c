#include <criterion/criterion.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/words.h"
#include "broker/auto_subscribe.h"
#include "broker/rewrite.h"
#include "broker/watch/topic_metrics.h"
#include "broker/watch/topic_metrics_text.h"
#include "broker/topic_rules.h"
#include "broker/user_quota.h"
#include "proto/topic.h"
#include "router/share.h"

static struct span text(const char *string) { return span_of_string(string); }
static char error[512];

Test(words, rules_of_words)
{
    struct span rest = text("  a b\tc ; \n\n\"d e;f\" g\n;h");
    struct words words;
    cr_assert(words_next(&rest, &words) && words.count == 3 && span_equal(words.words[2], text("c")));
    cr_assert(words_next(&rest, &words) && words.count == 2 && span_equal(words.words[0], text("d e;f")));
    cr_assert(words_next(&rest, &words) && words.count == 1 && span_equal(words.words[0], text("h")));
    cr_assert_not(words_next(&rest, &words));
    rest = text("\"open");
    cr_assert(words_next(&rest, &words) && words.wrong);
    rest = text("1 2 3 4 5 6 7 8 9");
    cr_assert(words_next(&rest, &words) && words.wrong && words.count == 8);
}

Test(topic, one_filter_below_another)
{
    static const struct {
        const char *wide, *filter;
        bool covers;
    } rows[] = {{"a/#", "a/b/+", true}, {"a/#", "a", true},      {"a/#", "a/#", true},  {"#", "a/#", true},    {"#", "$SYS/a", false},
                {"+/b", "a/b", true},   {"+/b", "+/b", true},    {"+/b", "#", false},   {"a/+", "a/#", false}, {"a/b", "a/+", false},
                {"a/+", "a/b/c", false}, {"a/+/c", "a/+", false}, {"+", "a/", false},   {"+/+", "a/", true},   {"$SYS/#", "$SYS/x", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(mqtt_filter_covers(text(rows[i].wide), text(rows[i].filter)), rows[i].covers, "%s %s", rows[i].wide, rows[i].filter);
}

static struct rewrite *rules(const char *list, bool *ret_users)
{
    uint32_t actions;
    bool users = false;
    struct rewrite *rewrite = rewrite_create(text(list), &actions, &users, error, sizeof error);
    if (ret_users) *ret_users = users;
    return rewrite;
}

Test(rewrite, table)
{
    static const struct {
        const char *rules;
        enum rewrite_action action;
        const char *topic, *becomes; /* NULL: refused; "": unchanged */
    } rows[] = {
        {"all x/# ^x/(.*)$ y/$1", REWRITE_PUBLISH, "x/1/2", "y/1/2"},
        {"all x/# ^x/(.*)$ y/$1", REWRITE_SUBSCRIBE, "x/+/#", "y/+/#"},
        {"all x/+ ^x/(.*)$ y/$1", REWRITE_SUBSCRIBE, "x/#", ""},       /* not below the rule's filter */
        {"publish x/# ^x/(.*)$ y/$1", REWRITE_SUBSCRIBE, "x/1", ""},
        {"all x/# ^x/(a)?b$ y/$1/z", REWRITE_PUBLISH, "x/b", "y//z"},   /* a group that takes no part is empty */
        {"all x/# x y", REWRITE_PUBLISH, "x/anything", "y"},
        {"all x/# ^x/y$ first; all x/# ^x/(.)$ second", REWRITE_PUBLISH, "x/y", "second"}, /* the last that fits */
        {"all x/# ^x/y$ first; all x/# ^x/z$ second", REWRITE_PUBLISH, "x/y", "first"},
        {"all x/# ^ ${client_id}/${username}", REWRITE_PUBLISH, "x/y", "me/you"},
        {"all x/# ^ %c/%u/100%", REWRITE_PUBLISH, "x/y", "me/you/100%"},
        {"all x/# ^x/(.*)$ a/$1$1", REWRITE_PUBLISH, "x/q", "a/qq"},
        {"publish x/# ^ a/+", REWRITE_PUBLISH, "x/q", NULL},
        {"publish x/# ^ $SYS/q", REWRITE_PUBLISH, "x/q", NULL},
        {"publish x/# ^x/(.*)$ $1", REWRITE_PUBLISH, "x/", NULL},       /* an empty topic */
        {"all # ^ all", REWRITE_PUBLISH, "$x", ""},
    };
    struct rewrite_scratch *scratch = rewrite_scratch_create();
    struct client_names names = {text("me"), text("you"), NULL};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rewrite *rewrite = rules(rows[i].rules, NULL);
        cr_assert(rewrite, "%s: %s", rows[i].rules, error);
        struct span topic = text(rows[i].topic);
        enum rewrite_verdict verdict = rewrite_apply(rewrite, scratch, rows[i].action, &names, 0, &topic), wanted = REWRITE_DONE;
        if (!rows[i].becomes) wanted = REWRITE_FAILED;
        if (rows[i].becomes && !*rows[i].becomes) wanted = REWRITE_NONE;
        cr_assert_eq(verdict, wanted, "%s: %s", rows[i].rules, rows[i].topic);
        const char *becomes = wanted == REWRITE_DONE ? rows[i].becomes : rows[i].topic;
        cr_assert(span_equal(topic, text(becomes)), "%s: %.*s", rows[i].rules, SPAN_PRINT(topic));
        rewrite_release(rewrite);
    }
    rewrite_scratch_release(scratch);
}

Test(rewrite, names_that_would_be_levels)
{
    struct rewrite_scratch *scratch = rewrite_scratch_create();
    bool users;
    struct rewrite *rewrite = rules("all x/# ^ u/${username}", &users);
    cr_assert(users);
    static const char *const wrong[] = {"", "a/b", "#", "a+"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct client_names names = {text("me"), text(wrong[i]), NULL};
        struct span topic = text("x/1");
        cr_assert_eq(rewrite_apply(rewrite, scratch, REWRITE_PUBLISH, &names, 0, &topic), REWRITE_FAILED, "%s", wrong[i]);
    }
    rewrite_release(rewrite);
    rewrite_scratch_release(scratch);
}

/* Whatever the expression and the topic: a match ends soon. */
Test(rewrite, no_expression_takes_long, .timeout = 20)
{
    struct rewrite_scratch *scratch = rewrite_scratch_create();
    static const char *const lists[] = {"all a/# ^a/(x+x+)+[yz]$ b", "all a/# ^a/(x*)*(x*)*(x*)*[yz]$ b", "all a/# ^a/(.|x)*[yz]$ b"};
    char topic_text[1002] = "a/";
    memset(topic_text + 2, 'x', 998);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct rewrite *rewrite = rules(lists[i], NULL);
        struct client_names names = {text("me"), text("you"), NULL};
        for (int n = 0; n < 100; n++) {
            struct span topic = span_of(topic_text, 1000);
            cr_assert_eq(rewrite_apply(rewrite, scratch, REWRITE_PUBLISH, &names, 0, &topic), REWRITE_NONE);
        }
        rewrite_release(rewrite);
    }
    rewrite_scratch_release(scratch);
}

Test(topic_rules, max_qos)
{
    struct topic_rules *qos = max_qos_create(text("a/# 0\nb/+ 1; # 2"), error, sizeof error);
    cr_assert(qos, "%s", error);
    cr_assert_eq(max_qos_of(qos, text("a/b/+")), 0);
    cr_assert_eq(max_qos_of(qos, text("b/c")), 1);
    cr_assert_eq(max_qos_of(qos, text("b/#")), 2);
    topic_rules_release(qos);
    static const char *const wrong[] = {"a", "a/#/b 1", "a 3", "a 1 2", "$share/g/a 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!max_qos_create(text(wrong[i]), error, sizeof error) && *error, "%s", wrong[i]);
    cr_assert(!max_qos_create(text(" ;\n"), error, sizeof error) && !*error);
}

Test(topic_rules, strategies)
{
    struct topic_rules *groups = share_strategies_create(text("g sticky; h least_inflight"), error, sizeof error);
    cr_assert_eq(share_strategy_of(groups, text("h"), SHARE_RANDOM), SHARE_LEAST_INFLIGHT);
    cr_assert_eq(share_strategy_of(groups, text("i"), SHARE_RANDOM), SHARE_RANDOM);
    cr_assert_eq(share_strategy_of(NULL, text("i"), SHARE_STICKY), SHARE_STICKY);
    topic_rules_release(groups);
    cr_assert(!share_strategies_create(text("g best"), error, sizeof error) && *error);
    cr_assert(!share_strategies_create(text("g/h random"), error, sizeof error) && *error);
}

Test(auto_subscribe, entries)
{
    bool users = false;
    uint32_t count;
    uint8_t buffer[65535];
    struct client_names x = {text("x"), text(""), NULL}, two_levels = {text("x/y"), text(""), NULL};
    struct auto_subscribe *list = auto_subscribe_create(text("c/${clientid} qos=2 nl\nu/%u rap rh=2; all"), &users, error, sizeof error);
    cr_assert(list && users, "%s", error);
    const struct auto_subscription *entries = auto_subscribe_entries(list, &count);
    cr_assert(count == 3 && entries[0].qos == 2 && entries[0].no_local && entries[1].retain_as_published && entries[1].retain_handling == 2);
    cr_assert(span_equal(auto_subscribe_filter(&entries[0], &x, buffer, sizeof buffer), text("c/x")));
    cr_assert_eq(auto_subscribe_filter(&entries[0], &two_levels, buffer, sizeof buffer).bytes, 0);
    cr_assert_eq(auto_subscribe_filter(&entries[1], &x, buffer, sizeof buffer).bytes, 0);
    cr_assert_eq(auto_subscribe_filter(&entries[0], &x, buffer, 2).bytes, 0);
    auto_subscribe_release(list);
    static const char *const wrong[] = {"a/#/b", "a qos=3", "a ql", "${host}/a", "\"\"", "$share/g/a nl"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!auto_subscribe_create(text(wrong[i]), &users, error, sizeof error) && *error, "%s", wrong[i]);
}

static uint64_t sums[3];
static void add_row(void *context, const struct topic_metrics_row *row)
{
    uint32_t *at = context;
    sums[(*at)++] = row->counts[METRIC_IN_1];
}

Test(topic_metrics, counts_and_takes_over)
{
    struct topic_metrics *metrics = topic_metrics_create(text("a/b; a/#; c"), 2, error, sizeof error);
    cr_assert(metrics, "%s", error);
    topic_metrics_count(metrics, 0, text("a/b"), METRIC_IN_1);
    topic_metrics_count(metrics, 1, text("a/x"), METRIC_IN_1);
    topic_metrics_count(metrics, 1, text("d"), METRIC_IN_1);
    uint32_t at = 0;
    topic_metrics_list(metrics, add_row, &at);
    cr_assert(at == 3 && sums[0] == 1 && sums[1] == 2 && sums[2] == 0);
    struct topic_metrics *next = topic_metrics_create(text("a/#; new"), 2, error, sizeof error);
    topic_metrics_take(next, metrics, 0);
    topic_metrics_take(next, metrics, 1);
    at = 0;
    topic_metrics_list(next, add_row, &at);
    cr_assert(at == 2 && sums[0] == 2 && sums[1] == 0);
    /* a reset, and what comes after it, through one more change */
    cr_assert(topic_metrics_reset(next, text("a/#")) && !topic_metrics_reset(next, text("a")));
    topic_metrics_count(next, 1, text("a/y"), METRIC_IN_1);
    struct topic_metrics *last = topic_metrics_create(text("one; a/#"), 2, error, sizeof error);
    topic_metrics_take_marks(last, next);
    topic_metrics_take(last, next, 1); /* shard 0 has not taken it: below the mark is 0, not 2^64 */
    at = 0;
    topic_metrics_list(last, add_row, &at);
    cr_assert(at == 2 && sums[1] <= 1);
    topic_metrics_take(last, next, 0);
    at = 0;
    topic_metrics_list(last, add_row, &at);
    cr_assert(at == 2 && sums[0] == 0 && sums[1] == 1);
    cr_assert(topic_metrics_reset(last, text("")));
    at = 0;
    topic_metrics_list(last, add_row, &at);
    cr_assert(at == 2 && sums[0] == 0 && sums[1] == 0);
    topic_metrics_release(last);
    topic_metrics_release(metrics);
    topic_metrics_release(next);
    cr_assert(!topic_metrics_create(text("a;a"), 1, error, sizeof error) && *error);
}

static void changed(const char *before, bool with, const char *name, enum topic_metrics_verdict wanted, const char *after)
{
    enum topic_metrics_verdict verdict;
    char *made = with ? topic_metrics_text_with(text(before), text(name), &verdict) : topic_metrics_text_without(text(before), text(name), &verdict);
    cr_assert(verdict == wanted, "%s, %s: %d", before, name, verdict);
    cr_assert(after ? made && strcmp(made, after) == 0 : !made, "%s, %s: %s", before, name, made ? made : "-");
    memory_release(made);
}

Test(topic_metrics, texts_with_and_without)
{
    changed("", true, "a/#", TOPIC_METRICS_CHANGED, "a/#");
    changed(" a ;\n \"b\" ;; \"c d\"", true, "e;f", TOPIC_METRICS_CHANGED, "a; b; \"c d\"; \"e;f\"");
    changed("a; x\"y", true, "z\"", TOPIC_METRICS_CHANGED, "a; x\"y; z\"");
    changed("a; \"c d\"", true, "c d", TOPIC_METRICS_THERE, NULL);
    changed("a", true, "c \"d", TOPIC_METRICS_WRONG, NULL); /* no text of rules can hold it */
    changed("a", true, "\"d", TOPIC_METRICS_WRONG, NULL);
    changed("a", true, "x/#/y", TOPIC_METRICS_WRONG, NULL);
    changed("a", true, "$share/g/t", TOPIC_METRICS_WRONG, NULL);
    changed("a", true, "", TOPIC_METRICS_WRONG, NULL);
    changed("a; \"c d\"; e", false, "c d", TOPIC_METRICS_CHANGED, "a; e");
    changed("a", false, "a", TOPIC_METRICS_CHANGED, "");
    changed("a", false, "b", TOPIC_METRICS_UNKNOWN, NULL);
    char full[TOPIC_METRICS_MAX * 6 + 1] = "";
    for (int i = 0; i < TOPIC_METRICS_MAX; i++)
        snprintf(full + strlen(full), sizeof full - strlen(full), i < TOPIC_METRICS_FILTERS_MAX ? "%d/#;" : "t%d;", i);
    changed(full, true, "more", TOPIC_METRICS_FULL, NULL);
    changed(full, true, "t100", TOPIC_METRICS_THERE, NULL);
    *strrchr(full, 't') = 0;
    changed(full, true, "more/+", TOPIC_METRICS_FILTERS_FULL, NULL);
}
