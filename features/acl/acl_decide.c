/* acl_decide.c - one question after the other: what is remembered, rules of the login, rules of the configuration, sources that are asked.
 *
 *     gate ─► remembered? ─► steps … ─► a source's turn: LATER, and a question goes out
 *                               ▲                                   │
 *                               └── nothing decided ◄── answered() ◄┘ ─► decided: kept in `pending`, feature_resume(), and the gate is asked again
 *
 * A client has one question under way at most: nothing more is read from it meanwhile. */
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "features/acl/acl.h"

/* Which rules a line is of, or that it is a source's number + 1: the two top bits of what is remembered about a verdict. */
enum rule_source { RULES_OF_LOGIN, RULES_INLINE, RULES_OF_FILE, RULES_OF_SOURCE };
#define SOURCE_SHIFT 30
#define LINE_MASK    ((1u << SOURCE_SHIFT) - 1)

static uint32_t rule_of(enum rule_source source, uint32_t line) { return (uint32_t)source << SOURCE_SHIFT | line; }

/* ---- rules ----------------------------------------------------------------------------------------------------------- */

static struct acl_outcome held_against(const struct acl_rules *rules, enum rule_source source, const struct feature_client *client,
                                       const struct acl_cache_key *key)
{
    struct acl_outcome outcome = {ACL_NO_MATCH, 0};
    if (rules) outcome = acl_rules_decide(rules, client, (enum acl_action)key->action, key->topic, key->qos, key->retain);
    outcome.line = rule_of(source, outcome.line);
    return outcome;
}

/* From *step on. False: it is the turn of a source, which *step says. */
static bool decide(const struct acl_prepared *prepared, const struct feature_client *client, const struct acl_cache_key *key, uint32_t *step,
                   struct acl_outcome *ret_outcome)
{
    const struct acl_sources *sources = prepared->sources;
    *ret_outcome = (struct acl_outcome){ACL_NO_MATCH, 0};
    for (; *step < sources->steps_count && ret_outcome->decision == ACL_NO_MATCH; ++*step) {
        uint8_t kind = sources->steps[*step];
        if (kind == ACL_STEP_LOGIN) {
            *ret_outcome = held_against(client->rules, RULES_OF_LOGIN, client, key);
        } else if (kind == ACL_STEP_FILE) {
            *ret_outcome = held_against(prepared->inline_rules, RULES_INLINE, client, key);
            if (ret_outcome->decision == ACL_NO_MATCH) *ret_outcome = held_against(prepared->file_rules, RULES_OF_FILE, client, key);
        } else if (sources->concerns(sources, kind - ACL_STEP_SOURCE, client)) {
            return false;
        }
    }
    if (ret_outcome->decision == ACL_NO_MATCH) ret_outcome->line = 0;
    return true;
}

/* How long an answer waits for the packet it is about. */
#define PENDING_MS 5000

/* ---- a question under way ---------------------------------------------------------------------------------------------- */

static struct acl_pending *pending_for(struct acl_cache *cache, const struct acl_cache_key *key)
{
    struct acl_pending *pending = cache->pending;
    if (pending && pending->capacity < key->topic.bytes) {
        memory_release(pending);
        pending = NULL;
    }
    if (!pending) {
        pending = memory_acquire_zeroed(sizeof *pending + key->topic.bytes);
        pending->capacity = (uint32_t)key->topic.bytes;
    }
    pending->key = *key;
    pending->key.topic = span_of(pending->topic, key->topic.bytes);
    memcpy(pending->topic, key->topic.data, key->topic.bytes);
    pending->keeps = true;
    pending->what = NULL;
    return cache->pending = pending;
}

static bool pending_is(const struct acl_pending *pending, const struct acl_cache_key *key)
{
    return pending->key.action == key->action && pending->key.qos == key->qos && pending->key.retain == key->retain && span_equal(pending->key.topic, key->topic);
}

static void answered(struct feature_shard *shard, struct feature_post *post);

static void pending_ask(struct feature_shard *shard, const struct feature_client *client, struct acl_pending *pending)
{
    const struct acl_prepared *prepared = shard->prepared;
    struct acl_shard *mine = shard->state;
    pending->state = ACL_PENDING_WAITS;
    pending->generation = mine->generation;
    pending->ticket = ++mine->tickets;
    struct acl_question question = {.client = client, .action = (enum acl_action)pending->key.action, .topic = pending->key.topic, .qos = pending->key.qos,
                                    .retain = pending->key.retain, .node = shard->node, .ticket = pending->ticket, .answered = answered};
    prepared->sources->ask(prepared->sources, prepared->sources->steps[pending->step] - ACL_STEP_SOURCE, &question);
}

static struct acl_outcome outcome_of(const struct acl_prepared *prepared, const struct feature_client *client, struct acl_pending *pending,
                                     const struct acl_answer *answer)
{
    uint32_t line = rule_of(RULES_OF_SOURCE, prepared->sources->steps[pending->step] - ACL_STEP_SOURCE + 1u);
    struct acl_outcome outcome = {(enum acl_decision)answer->decision, line};
    if (outcome.decision == ACL_NO_MATCH && answer->rules) outcome = held_against(answer->rules, RULES_OF_SOURCE, client, &pending->key);
    outcome.line = line;
    pending->keeps &= answer->keeps;
    pending->what = answer->decision == ACL_DENY ? answer->what : outcome.decision == ACL_DENY ? "a rule denies it" : NULL;
    return outcome;
}

static void conclude(struct feature_shard *shard, struct acl_cache *cache, struct acl_pending *pending, struct acl_outcome outcome)
{
    const struct acl_prepared *prepared = shard->prepared;
    struct acl_cache_verdict verdict = {(uint8_t)outcome.decision, outcome.line};
    pending->state = ACL_PENDING_DECIDED;
    pending->until_ms = *shard->now_ms + PENDING_MS;
    pending->verdict = verdict;
    if (!prepared->cache || !pending->keeps) return;
    acl_cache_find(cache, &pending->key, *shard->now_ms); /* for the hash */
    acl_cache_put(cache, &pending->key, *shard->now_ms + prepared->cache_ttl_ms, verdict);
}

/* On the shard: what a source has said. */
static void answered(struct feature_shard *shard, struct feature_post *post)
{
    struct acl_answer *answer = (struct acl_answer *)post;
    const struct acl_prepared *prepared = shard->prepared;
    const struct acl_shard *mine = shard->state;
    struct feature_client *client = feature_client_find(shard, answer->conn);
    struct acl_cache *cache = client ? client->slots[shard->slot] : NULL;
    struct acl_pending *pending = cache ? cache->pending : NULL;
    if (!pending || pending->state != ACL_PENDING_WAITS || pending->ticket != answer->ticket) return answer->release(answer);
    if (!prepared || pending->generation != mine->generation) { /* asked by another configuration */
        pending->state = ACL_PENDING_NOTHING;
        answer->release(answer);
        return feature_resume(shard, client->conn);
    }
    struct acl_outcome outcome = outcome_of(prepared, client, pending, answer);
    answer->release(answer);
    pending->step++;
    if (outcome.decision == ACL_NO_MATCH && !decide(prepared, client, &pending->key, &pending->step, &outcome)) return pending_ask(shard, client, pending);
    conclude(shard, cache, pending, outcome);
    feature_resume(shard, client->conn);
}

/* ---- gates ------------------------------------------------------------------------------------------------------------- */

static struct feature_verdict verdict_of(struct acl_shard *mine, uint8_t decision, uint32_t rule)
{
    mine->decided_by = rule;
    switch ((enum acl_decision)decision) {
    case ACL_ALLOW: return FEATURE_VERDICT(ALLOW);
    case ACL_DENY:
        return (struct feature_verdict){.decision = FEATURE_DENY, .what = rule >> SOURCE_SHIFT == RULES_OF_SOURCE ? "a source denies it" : "a rule denies it"};
    case ACL_NO_MATCH: break;
    }
    return FEATURE_VERDICT(PASS);
}

/* What is remembered holds as long as it is. */
static struct feature_verdict verdict_of_entry(struct acl_shard *mine, const struct acl_cache_entry *entry, uint64_t now_ms)
{
    struct feature_verdict verdict = verdict_of(mine, entry->verdict.decision, entry->verdict.line);
    verdict.holds_ms = (uint32_t)(entry->until_ms - now_ms);
    return verdict;
}

/* Where nobody has written down rules for all, only those who brought some are held to them: then authorization.no_match is about these. */
static struct feature_verdict verdict_of_brought(const struct feature_shard *shard, struct feature_verdict verdict)
{
    bool allowed = verdict.decision != FEATURE_PASS || shard->node->settings->authorization.no_match == AUTHORIZATION_ALLOW;
    return allowed ? verdict : (struct feature_verdict){.decision = FEATURE_DENY, .what = "no rule of the login allows it"};
}

/* It is not remembered. */
static struct feature_verdict find_out(struct feature_shard *shard, struct feature_client *client, struct acl_cache *cache, struct acl_cache_key *key)
{
    const struct acl_prepared *prepared = shard->prepared;
    struct acl_pending *pending = cache->pending;
    /* Another question than the one under way comes when somebody asks in the client's place (`ringmq why`): one after the other. */
    if (pending && pending->state == ACL_PENDING_WAITS) return FEATURE_VERDICT(LATER);
    uint32_t step = 0;
    struct acl_outcome outcome;
    if (!decide(prepared, client, key, &step, &outcome)) {
        pending = pending_for(cache, key);
        pending->step = step;
        pending_ask(shard, client, pending);
        return FEATURE_VERDICT(LATER);
    }
    struct feature_verdict verdict = verdict_of(shard->state, (uint8_t)outcome.decision, outcome.line);
    if (!prepared->cache) return verdict;
    acl_cache_put(cache, key, *shard->now_ms + prepared->cache_ttl_ms, (struct acl_cache_verdict){(uint8_t)outcome.decision, outcome.line});
    verdict.holds_ms = prepared->cache_ttl_ms;
    return verdict;
}

/* The verdict that was waited for, told once: it may be one that is not remembered. Too old: whoever asked has not come back. */
static bool take_pending(struct acl_shard *mine, struct acl_cache *cache, const struct acl_cache_key *key, uint64_t now_ms, struct feature_verdict *ret_verdict)
{
    struct acl_pending *pending = cache->pending;
    if (pending->until_ms <= now_ms || pending->state != ACL_PENDING_DECIDED || !pending_is(pending, key)) return false;
    pending->state = ACL_PENDING_NOTHING;
    *ret_verdict = verdict_of(mine, pending->verdict.decision, pending->verdict.line);
    if (pending->what) ret_verdict->what = pending->what;
    return true;
}

static struct feature_verdict ask_rules(struct feature_shard *shard, struct feature_client *client, enum acl_action action, struct span topic, uint8_t qos,
                                        bool retain)
{
    const struct acl_prepared *prepared = shard->prepared;
    struct acl_shard *mine = shard->state;
    struct acl_cache_key key = acl_cache_key(action, topic, qos, retain);
    if (!prepared->cache && !prepared->sources->count) {
        struct acl_outcome fresh;
        uint32_t step = 0;
        decide(prepared, client, &key, &step, &fresh);
        return verdict_of(mine, (uint8_t)fresh.decision, fresh.line);
    }
    const struct acl_cache_entry *known = acl_cache_same(client->slots[shard->slot], mine->generation, client->rules, &key, *shard->now_ms);
    if (known) return verdict_of_entry(mine, known, *shard->now_ms);
    struct acl_cache *cache = acl_cache_current(client->slots[shard->slot], prepared->cache_size, mine->generation, client->rules);
    client->slots[shard->slot] = cache;
    struct feature_verdict verdict;
    if (UNLIKELY(cache->pending != NULL) && take_pending(mine, cache, &key, *shard->now_ms, &verdict)) return verdict;
    known = acl_cache_find(cache, &key, *shard->now_ms);
    if (known) return verdict_of_entry(mine, known, *shard->now_ms);
    return find_out(shard, client, cache, &key);
}

static struct feature_verdict ask(struct feature_shard *shard, struct feature_client *client, enum acl_action action, struct span topic, uint8_t qos,
                                  bool retain)
{
    bool everyone = ((const struct acl_prepared *)shard->prepared)->everyone;
    if (!everyone && !client->rules) return (struct feature_verdict){.decision = FEATURE_PASS, .holds_ms = FEATURE_HOLDS};
    struct feature_verdict verdict = ask_rules(shard, client, action, topic, qos, retain);
    return everyone ? verdict : verdict_of_brought(shard, verdict);
}

struct feature_verdict acl_publish(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    return ask(shard, client, ACL_PUBLISH, publish->topic, publish->qos, publish->retain);
}

struct feature_verdict acl_subscribe(struct feature_shard *shard, struct feature_client *client, const struct mqtt_subscription *subscription)
{
    return ask(shard, client, ACL_SUBSCRIBE, subscription->filter, subscription->qos, false);
}

/* ---- in words ------------------------------------------------------------------------------------------------------------ */

/* "acl.conf:12: deny publish #", "source web: …" */
void acl_describe(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes)
{
    const struct acl_prepared *prepared = shard->prepared;
    const struct acl_shard *mine = shard->state;
    uint32_t line = mine->decided_by & LINE_MASK;
    const struct acl_rules *rules = NULL;
    const char *name = "";
    if (verdict.decision == FEATURE_LATER) {
        snprintf(ret_text, bytes, "a source is being asked");
        return;
    }
    switch ((enum rule_source)(mine->decided_by >> SOURCE_SHIFT)) {
    case RULES_OF_LOGIN: rules = client->rules, name = "rules of the login"; break;
    case RULES_INLINE: rules = prepared->inline_rules, name = "authorization.rules"; break;
    case RULES_OF_FILE: rules = prepared->file_rules, name = prepared->file; break;
    case RULES_OF_SOURCE:
        snprintf(ret_text, bytes, "source %s: %s", line && line <= prepared->sources->count ? prepared->sources->name(prepared->sources, line - 1) : "?",
                 verdict.decision == FEATURE_ALLOW ? "allowed" : verdict.what ? verdict.what : "denied");
        return;
    }
    struct span text = rules && line ? acl_rules_text(rules, line) : span_of(NULL, 0);
    if (line == 0)
        snprintf(ret_text, bytes, "%s", verdict.what ? verdict.what : "no rule matches");
    else
        snprintf(ret_text, bytes, "%s:%u%s%.*s", name, line, text.bytes ? ": " : "", (int)(text.bytes < 300 ? text.bytes : 300), text.bytes ? (const char *)text.data : "");
}
