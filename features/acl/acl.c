/* acl.c - authorization by rules: those that came with a login first, then the rule file. Nothing decided: PASS, and whoever comes after in the
 * order of gates, or authorization.no_match, has the last word. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/feature.h"
#include "features/acl/acl.h"

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
    struct acl_prepared *prepared = old;
    acl_rules_release(prepared->inline_rules);
    acl_rules_release(prepared->file_rules);
    memory_release(prepared->file);
    memory_release(prepared);
}

static bool rules_read(struct acl_prepared *prepared, const struct acl_settings *settings, char *ret_error, size_t error_bytes)
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
    static const struct acl_sources none = {.steps = {ACL_STEP_LOGIN, ACL_STEP_FILE}, .steps_count = 2};
    const struct acl_sources *sources = acl_sources_offered() ? acl_sources_offered() : &none;
    if (!*settings->file && !*settings->rules && !node->rules_expected && !sources->count) return true;
    struct acl_prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    if (!rules_read(prepared, settings, ret_error, error_bytes)) {
        prepared_release(node, prepared);
        return false;
    }
    prepared->sources = sources;
    prepared->everyone = *settings->file || *settings->rules || sources->count;
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

static void acl_apply(struct feature_shard *shard)
{
    const struct acl_prepared *prepared = shard->prepared;
    if (!shard->state) shard->state = memory_acquire_zeroed(sizeof(struct acl_shard));
    if (shard->number == 0) acl_listing(prepared ? prepared->inline_rules : NULL, prepared ? prepared->file_rules : NULL, prepared ? prepared->file : NULL);
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

static void acl_close(struct feature_node *node) { acl_listing(NULL, NULL, NULL); }

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
