/* acl.c - authorization by rules: those that came with a login first, then the rule file. Nothing decided: PASS, and whoever comes after in the
 * order of gates, or authorization.no_match, has the last word. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/feature.h"
#include "features/acl/acl_cache.h"
#include "features/acl/requests.h"
#include "features/acl/rules.h"

#define FILE_BYTES_MAX (256u << 20)

struct acl_settings {
    char *file, *rules;
    bool cache;
    uint32_t cache_size, cache_ttl_ms;
};

#define IN(member) SCHEMA_MEMBER(struct acl_settings, member)

static const struct schema_key keys[] = {
    {"authorization.file", TYPE_STRING, IN(file), .reloadable = true, .max = 4096, .default_text = "",
     .documentation = "The rule file: who may publish and subscribe to what, a rule a line (docs/access-control.md). Read at start and on SIGHUP. "
                      "A relative path starts at the working directory. Empty: no file."},
    {"authorization.rules", TYPE_STRING, IN(rules), .reloadable = true, .max = 1 << 20, .default_text = "",
     .documentation = "The same kind of rules right here, between three double quotes before and after; they come before those of the file."},
    {"authorization.cache.enable", TYPE_BOOL, IN(cache), .reloadable = true, .default_text = "true",
     .documentation = "Remember verdicts per client. A reload forgets all of them."},
    {"authorization.cache.max_size", TYPE_UNSIGNED, IN(cache_size), .reloadable = true, .min = 1, .max = ACL_CACHE_SIZE_MAX, .default_text = "32",
     .documentation = "Topics remembered per client, rounded up to a power of two."},
    {"authorization.cache.ttl", TYPE_DURATION, IN(cache_ttl_ms), .reloadable = true, .unit_us = SCHEMA_MS, .min = 1, .max = 86400000,
     .default_text = "1m", .documentation = "How long a verdict is remembered."},
};

static const struct schema_section sections[] = {{"authorization.cache", "Verdicts that are remembered."}};

static const struct schema_part part = {.name = "acl", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections,
                                        .sections_count = SCHEMA_COUNT(sections), .settings_bytes = sizeof(struct acl_settings)};

/* ---- the rules in force ------------------------------------------------------------------------------------------ */

struct prepared {
    struct acl_rules *inline_rules, *file_rules; /* NULL: none */
    char *file;    /* its name; NULL: none */
    bool everyone; /* there are rules for all, not only such as came with a login */
    bool cache;
    uint32_t cache_size;
    uint32_t cache_ttl_ms;
};

static bool file_read(const char *path, char **ret_text, size_t *ret_bytes, char *ret_error, size_t error_bytes)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(ret_error, error_bytes, "authorization.file: cannot read %s: %s", path, strerror(errno));
        return false;
    }
    char *text = NULL;
    size_t used = 0, capacity = 0, bytes;
    do {
        capacity = capacity ? capacity * 2 : 65536;
        text = memory_resize(text, capacity);
        used += bytes = fread(text + used, 1, capacity - used, file);
    } while (used == capacity && used <= FILE_BYTES_MAX);
    const char *wrong = ferror(file) ? strerror(errno) : used > FILE_BYTES_MAX ? "it is larger than 256 MiB" : NULL;
    fclose(file);
    if (wrong) {
        snprintf(ret_error, error_bytes, "authorization.file: cannot read %s: %s", path, wrong);
        memory_release(text);
        return false;
    }
    *ret_text = text;
    *ret_bytes = used;
    return true;
}

static struct acl_rules *compile(struct span text, const char *name, char *ret_error, size_t error_bytes)
{
    char error[ACL_ERROR_BYTES_MAX];
    struct acl_rules *rules = acl_rules_compile(text, name, error);
    if (!rules) snprintf(ret_error, error_bytes, "%s", error);
    return rules;
}

static void prepared_release(struct feature_node *node, void *old)
{
    struct prepared *prepared = old;
    acl_rules_release(prepared->inline_rules);
    acl_rules_release(prepared->file_rules);
    memory_release(prepared->file);
    memory_release(prepared);
}

static bool rules_read(struct prepared *prepared, const struct acl_settings *settings, char *ret_error, size_t error_bytes)
{
    if (*settings->rules) {
        prepared->inline_rules = compile(span_of_string(settings->rules), "authorization.rules", ret_error, error_bytes);
        if (!prepared->inline_rules) return false;
    }
    if (!*settings->file) return true;
    prepared->file = memory_copy_string(span_of_string(settings->file));
    char *text;
    size_t bytes;
    if (!file_read(settings->file, &text, &bytes, ret_error, error_bytes)) return false;
    prepared->file_rules = compile(span_of(text, bytes), settings->file, ret_error, error_bytes);
    memory_release(text);
    return prepared->file_rules != NULL;
}

static bool acl_prepare(struct feature_node *node, const void *given, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    const struct acl_settings *settings = given;
    if (!*settings->file && !*settings->rules && !node->rules_expected) return true;
    struct prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    if (!rules_read(prepared, settings, ret_error, error_bytes)) {
        prepared_release(node, prepared);
        return false;
    }
    prepared->everyone = *settings->file || *settings->rules;
    prepared->cache = settings->cache;
    for (prepared->cache_size = 1; prepared->cache_size < settings->cache_size;)
        prepared->cache_size *= 2;
    prepared->cache_ttl_ms = settings->cache_ttl_ms;
    *ret_setup = (struct feature_setup){.prepared = prepared, .moments = FEATURE_GATE(publish) | FEATURE_GATE(subscribe),
                                        .authorizes = prepared->everyone};
    LOG(INFO, "authorization", "rules=%u rules_of_file=%u file=%s", prepared->inline_rules ? acl_rules_count(prepared->inline_rules) : 0,
        prepared->file_rules ? acl_rules_count(prepared->file_rules) : 0, log_quoted(span_of_string(settings->file)));
    return true;
}

/* ---- a shard's --------------------------------------------------------------------------------------------------- */

struct acl_shard {
    uint32_t generation; /* of the rules: caches of an older one are forgotten */
    uint32_t decided_by; /* source and line of the last verdict, for acl_describe() */
};

static void acl_apply(struct feature_shard *shard)
{
    const struct prepared *prepared = shard->prepared;
    if (!shard->state) shard->state = memory_acquire_zeroed(sizeof(struct acl_shard));
    if (shard->number == 0) acl_requests_rules(prepared ? prepared->inline_rules : NULL, prepared ? prepared->file_rules : NULL, prepared ? prepared->file : NULL);
    ((struct acl_shard *)shard->state)->generation++;
}

static void acl_stop(struct feature_shard *shard)
{
    memory_release(shard->state);
    shard->state = NULL;
}

static void acl_client_gone(struct feature_shard *shard, struct feature_client *client)
{
    acl_cache_release(client->slots[shard->slot]);
    client->slots[shard->slot] = NULL;
}

/* ---- gates ------------------------------------------------------------------------------------------------------- */

/* Which rules a line is of: the two top bits of what is remembered about a verdict. */
enum rule_source { RULES_OF_LOGIN, RULES_INLINE, RULES_OF_FILE };
#define SOURCE_SHIFT 30
#define LINE_MASK    ((1u << SOURCE_SHIFT) - 1)

static struct acl_outcome decide(const struct prepared *prepared, const struct feature_client *client, enum acl_action action, struct span topic,
                                 uint8_t qos, bool retain)
{
    const struct acl_rules *const sources[] = {client->rules, prepared->inline_rules, prepared->file_rules};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (!sources[i]) continue;
        struct acl_outcome outcome = acl_rules_decide(sources[i], client, action, topic, qos, retain);
        if (outcome.decision == ACL_NO_MATCH) continue;
        outcome.line |= (uint32_t)i << SOURCE_SHIFT;
        return outcome;
    }
    return (struct acl_outcome){ACL_NO_MATCH, 0};
}

static struct feature_verdict verdict_of(struct acl_shard *mine, uint8_t decision, uint32_t rule)
{
    mine->decided_by = rule;
    switch ((enum acl_decision)decision) {
    case ACL_ALLOW: return FEATURE_VERDICT(ALLOW);
    case ACL_DENY: return (struct feature_verdict){.decision = FEATURE_DENY, .what = "a rule denies it"};
    case ACL_NO_MATCH: break;
    }
    return FEATURE_VERDICT(PASS);
}

/* Where nobody has written down rules for all, only those who brought some are held to them: then authorization.no_match is about these. */
static struct feature_verdict verdict_of_brought(const struct feature_shard *shard, struct feature_verdict verdict)
{
    bool allowed = verdict.decision != FEATURE_PASS || shard->node->settings->authorization.no_match == AUTHORIZATION_ALLOW;
    return allowed ? verdict : (struct feature_verdict){.decision = FEATURE_DENY, .what = "no rule of the login allows it"};
}

static struct feature_verdict ask_rules(struct feature_shard *shard, struct feature_client *client, enum acl_action action, struct span topic, uint8_t qos,
                                        bool retain)
{
    const struct prepared *prepared = shard->prepared;
    if (!prepared->cache) {
        struct acl_outcome fresh = decide(prepared, client, action, topic, qos, retain);
        return verdict_of(shard->state, (uint8_t)fresh.decision, fresh.line);
    }
    struct acl_shard *mine = shard->state;
    struct acl_cache_key key = acl_cache_key(action, topic, qos, retain);
    const struct acl_cache_verdict *same = acl_cache_same(client->slots[shard->slot], mine->generation, client->rules, &key, *shard->now_ms);
    if (same) return verdict_of(mine, same->decision, same->line);
    struct acl_cache *cache = acl_cache_current(client->slots[shard->slot], prepared->cache_size, mine->generation, client->rules);
    client->slots[shard->slot] = cache;
    struct acl_cache_verdict known;
    if (acl_cache_find(cache, &key, *shard->now_ms, &known)) return verdict_of(mine, known.decision, known.line);
    struct acl_outcome outcome = decide(prepared, client, action, topic, qos, retain);
    acl_cache_put(cache, &key, *shard->now_ms + prepared->cache_ttl_ms, (struct acl_cache_verdict){(uint8_t)outcome.decision, outcome.line});
    return verdict_of(mine, (uint8_t)outcome.decision, outcome.line);
}

static struct feature_verdict ask(struct feature_shard *shard, struct feature_client *client, enum acl_action action, struct span topic, uint8_t qos,
                                  bool retain)
{
    bool everyone = ((const struct prepared *)shard->prepared)->everyone;
    if (!everyone && !client->rules) return FEATURE_VERDICT(PASS);
    struct feature_verdict verdict = ask_rules(shard, client, action, topic, qos, retain);
    return everyone ? verdict : verdict_of_brought(shard, verdict);
}

static struct feature_verdict acl_publish(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    return ask(shard, client, ACL_PUBLISH, publish->topic, publish->qos, publish->retain);
}

static struct feature_verdict acl_subscribe(struct feature_shard *shard, struct feature_client *client, const struct mqtt_subscription *subscription)
{
    return ask(shard, client, ACL_SUBSCRIBE, subscription->filter, subscription->qos, false);
}

/* "acl.conf:12: deny publish #" */
static void acl_describe(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes)
{
    const struct prepared *prepared = shard->prepared;
    const struct acl_shard *mine = shard->state;
    uint32_t line = mine->decided_by & LINE_MASK;
    const struct acl_rules *rules = NULL;
    const char *name = "";
    switch ((enum rule_source)(mine->decided_by >> SOURCE_SHIFT)) {
    case RULES_OF_LOGIN: rules = client->rules, name = "rules of the login"; break;
    case RULES_INLINE: rules = prepared->inline_rules, name = "authorization.rules"; break;
    case RULES_OF_FILE: rules = prepared->file_rules, name = prepared->file; break;
    }
    struct span text = rules && line ? acl_rules_text(rules, line) : span_of(NULL, 0);
    if (line == 0)
        snprintf(ret_text, bytes, "%s", verdict.what ? verdict.what : "no rule matches");
    else
        snprintf(ret_text, bytes, "%s:%u%s%.*s", name, line, text.bytes ? ": " : "", (int)(text.bytes < 300 ? text.bytes : 300), text.bytes ? (const char *)text.data : "");
}

static void acl_close(struct feature_node *node) { acl_requests_rules(NULL, NULL, NULL); }

const struct feature feature_acl = {
    .abi = FEATURE_ABI,
    .name = "acl",
    .version = RINGMQ_VERSION,
    .documentation = "Authorization by rules: a rule file, and rules that come with a login.",
    .stage = FEATURE_STAGE_AUTHORIZATION,
    .configuration = &part,
    .close = acl_close,
    .request = acl_request,
    .prepare = acl_prepare,
    .release = prepared_release,
    .apply = acl_apply,
    .stop = acl_stop,
    .publish = acl_publish,
    .subscribe = acl_subscribe,
    .describe = acl_describe,
    .client_gone = acl_client_gone,
};
