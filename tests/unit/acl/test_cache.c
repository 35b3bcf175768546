#include <criterion/criterion.h>
#include <stdio.h>

#include "base/memory.h"
#include "features/acl/acl_cache.h"

static struct acl_cache_key key_of(enum acl_action action, const char *topic, uint8_t qos, bool retain)
{
    return acl_cache_key(action, span_of_string(topic), qos, retain);
}

static bool finds(struct acl_cache *cache, struct acl_cache_key *key, uint64_t now_ms, struct acl_cache_verdict *ret_verdict)
{
    const struct acl_cache_entry *entry = acl_cache_find(cache, key, now_ms);
    if (entry) *ret_verdict = entry->verdict;
    return entry != NULL;
}

Test(acl_cache, exactly_this_question)
{
    struct acl_cache *cache = acl_cache_create(64);
    struct acl_cache_key key = key_of(ACL_PUBLISH, "a/b", 1, false);
    struct acl_cache_verdict verdict;
    cr_assert_not(finds(cache, &key, 0, &verdict));
    acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_DENY, 7});
    key = key_of(ACL_PUBLISH, "a/b", 1, false);
    cr_assert(finds(cache, &key, 99, &verdict));
    cr_expect_eq(verdict.decision, ACL_DENY);
    cr_expect_eq(verdict.line, 7);
    cr_expect_not(finds(cache, &key, 100, &verdict), "its time is over");
    struct acl_cache_key others[] = {key_of(ACL_SUBSCRIBE, "a/b", 1, false), key_of(ACL_PUBLISH, "a/b", 0, false), key_of(ACL_PUBLISH, "a/b", 1, true),
                                     key_of(ACL_PUBLISH, "a/bc", 1, false), key_of(ACL_PUBLISH, "a/", 1, false)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_expect(finds(cache, &key, 0, &verdict), "the recent one");
        cr_expect_not(finds(cache, &others[i], 0, &verdict), "%zu", i);
    }
    acl_cache_release(cache);
    acl_cache_release(NULL);
}

Test(acl_cache, a_place_is_taken_over)
{
    struct acl_cache *cache = acl_cache_create(1);
    char lengthy[ACL_CACHE_TOPIC_BYTES_MAX + 2];
    memset(lengthy, 'x', sizeof lengthy);
    struct acl_cache_verdict verdict;
    struct acl_cache_key first = key_of(ACL_PUBLISH, "a", 0, false), second = acl_cache_key(ACL_PUBLISH, span_of(lengthy, 900), 0, false),
                         most = acl_cache_key(ACL_PUBLISH, span_of(lengthy, ACL_CACHE_TOPIC_BYTES_MAX + 1), 0, false);
    cr_expect_not(finds(cache, &first, 0, &verdict));
    acl_cache_put(cache, &first, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    cr_expect_not(finds(cache, &second, 0, &verdict));
    acl_cache_put(cache, &second, 100, (struct acl_cache_verdict){ACL_DENY, 2});
    cr_expect_not(finds(cache, &first, 0, &verdict));
    cr_expect(finds(cache, &second, 0, &verdict));
    acl_cache_put(cache, &first, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    cr_expect(finds(cache, &first, 0, &verdict));
    cr_expect_not(finds(cache, &most, 0, &verdict));
    acl_cache_put(cache, &most, 100, (struct acl_cache_verdict){ACL_ALLOW, 3});
    cr_expect_not(finds(cache, &most, 0, &verdict));
    acl_cache_release(cache);
}

Test(acl_cache, other_rules_forget)
{
    struct acl_rules *rules = acl_builder_end(acl_builder_begin()), *more = acl_builder_end(acl_builder_begin());
    struct acl_cache_verdict verdict;
    struct acl_cache_key key = key_of(ACL_PUBLISH, "a", 0, false);
    struct acl_cache *cache = acl_cache_current(NULL, 8, 1, NULL);
    cr_expect_not(finds(cache, &key, 0, &verdict));
    acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    cr_expect_eq(acl_cache_current(cache, 8, 1, NULL), cache);
    cr_expect(finds(cache, &key, 0, &verdict));
    cache = acl_cache_current(cache, 8, 2, NULL); /* a reload */
    cr_expect_not(finds(cache, &key, 0, &verdict));
    acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    cache = acl_cache_current(cache, 8, 2, rules); /* a new login */
    cr_expect_not(finds(cache, &key, 0, &verdict));
    cache = acl_cache_current(cache, 16, 2, rules);
    cache = acl_cache_current(cache, 16, 2, more);
    acl_cache_release(cache);
    acl_rules_release(rules);
    acl_rules_release(more);
}

/* A client's rules are replaced each authorization.refresh, and the heap gives the place of old ones to new ones: those must not be taken for the old. */
Test(acl_cache, other_rules_in_the_same_place_forget)
{
    enum { OTHERS = 64 };
    struct acl_rules *others[OTHERS], *later = NULL;
    struct acl_cache_verdict verdict;
    struct acl_cache_key key = key_of(ACL_PUBLISH, "a", 0, false);
    for (int i = 0; i < OTHERS; i++)
        others[i] = acl_builder_end(acl_builder_begin());
    struct acl_rules *rules = others[OTHERS / 2];
    struct acl_cache *cache = acl_cache_current(NULL, 8, 1, rules);
    cr_expect_not(finds(cache, &key, 0, &verdict));
    acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    for (int i = 0; i < OTHERS; i++)
        acl_rules_release(others[i]); /* the client has got others, and then others again, and has sent nothing meanwhile */
    for (int i = 0; i < OTHERS; i++) {
        others[i] = acl_builder_end(acl_builder_begin());
        if (others[i] == rules || !later) later = others[i];
    }
    cache = acl_cache_current(cache, 8, 1, later);
    cr_expect_not(finds(cache, &key, 0, &verdict), "a verdict of rules that are gone");
    acl_cache_release(cache);
    for (int i = 0; i < OTHERS; i++)
        acl_rules_release(others[i]);
}

/* A question under way outlives the verdicts, and remembers that they were purged. */
Test(acl_cache, forgetting_and_what_is_under_way)
{
    struct acl_cache *cache = acl_cache_create(8);
    struct acl_cache_key key = key_of(ACL_PUBLISH, "a/b", 1, false);
    struct acl_cache_verdict verdict;
    cr_assert_not(finds(cache, &key, 0, &verdict));
    acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, 1});
    cache->pending = memory_acquire_zeroed(sizeof *cache->pending);
    cache->pending->state = ACL_PENDING_WAITS;
    cache->pending->keeps = true;
    acl_cache_forget(cache);
    cr_assert_not(finds(cache, &key, 0, &verdict));
    cr_assert_not(cache->pending->keeps);
    struct acl_pending *pending = cache->pending;
    cache = acl_cache_current(cache, 8, 5, NULL);
    cr_assert_eq(cache->pending, pending);
    acl_cache_release(cache);
}

/* A few topics side by side do not push each other out, whatever their hashes are. */
Test(acl_cache, four_topics_have_places)
{
    struct acl_cache *cache = acl_cache_create(8);
    struct acl_cache_verdict verdict;
    char topics[64][8];
    for (uint32_t start = 0; start < 60; start += 4) {
        for (uint32_t i = start; i < start + 4; i++) {
            snprintf(topics[i], sizeof topics[i], "t/%u", i);
            struct acl_cache_key key = key_of(ACL_PUBLISH, topics[i], 0, false);
            cr_assert_not(finds(cache, &key, 0, &verdict));
            acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, i});
        }
        for (uint32_t round = 0; round < 3; round++)
            for (uint32_t i = start; i < start + 4; i++) {
                struct acl_cache_key key = key_of(ACL_PUBLISH, topics[i], 0, false);
                cr_assert(finds(cache, &key, 99, &verdict) && verdict.line == i, "%s", topics[i]);
                if (round == 1) acl_cache_put(cache, &key, 100, (struct acl_cache_verdict){ACL_ALLOW, i});
            }
    }
    acl_cache_release(cache);
}
