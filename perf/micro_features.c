/* micro_features.c - what features cost on a message's way: a gate that lets everything pass, a thousand rules, and a sink that takes everything. */
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "config/config.h"
#include "perf/micro.h"

extern const struct feature feature_acl;

static struct feature_verdict pass(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    return FEATURE_VERDICT(PASS);
}

static struct feature_verdict pass_holding(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    return (struct feature_verdict){.decision = FEATURE_PASS, .holds_ms = FEATURE_HOLDS};
}

static bool pass_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    ret_setup->moments = FEATURE_GATE(publish);
    return true;
}

static const struct feature feature_pass_holding = {.abi = FEATURE_ABI, .name = "pass", .version = "1", .documentation = "", .prepare = pass_prepare,
                                                    .publish = pass_holding};
static const struct feature feature_pass = {.abi = FEATURE_ABI, .name = "pass", .version = "1", .documentation = "", .prepare = pass_prepare, .publish = pass};

static bool sink_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    ret_setup->moments = FEATURE_SINKS;
    return true;
}

static void sink_apply(struct feature_shard *shard)
{
    struct feature_sink_options options = {0};
    struct feature_subscription wanted = {.filter = SPAN_LITERAL("bench/#")};
    char error[128];
    struct feature_sink *sink = feature_sink_create(shard, "micro", &options, NULL, error, sizeof error);
    CHECK(sink && !mqtt_reason_is_error(feature_sink_subscribe(sink, &wanted)));
}

static enum feature_taken sink_deliver(struct feature_shard *shard, struct feature_sink *sink, const struct feature_delivery *delivery) { return FEATURE_TAKEN; }

static const struct feature feature_taker = {.abi = FEATURE_ABI, .name = "taker", .version = "1", .documentation = "", .prepare = sink_prepare, .apply = sink_apply,
                                             .deliver = sink_deliver};

static const void *settings_of(void *config, const struct feature *feature)
{
    return feature->configuration ? config_part(config, feature->configuration) : NULL;
}

/* Half of the rules are for users one by one, a third are about topics, the rest may match anybody anywhere; the one that counts is the last. */
static char *thousand_rules(void)
{
    char *text = memory_acquire(200000);
    size_t used = (size_t)sprintf(text, "authorization.rules=");
    for (int i = 0; i < 500; i++)
        used += (size_t)sprintf(text + used, "allow all user=user-%d site/%d/#\n", i, i);
    for (int i = 0; i < 350; i++)
        used += (size_t)sprintf(text + used, "deny publish secret-%d/# other-%d/+/x\n", i, i);
    for (int i = 0; i < 149; i++)
        used += (size_t)sprintf(text + used, "deny publish +/private-%d/#\n", i);
    sprintf(text + used, "allow all bench/#\n");
    return text;
}

void micro_features_attach(struct broker *broker, const struct settings *settings, enum micro_features which)
{
    static struct feature_list list;
    const struct schema_part *const parts[] = {feature_acl.configuration};
    char error[512], *rules = thousand_rules();
    const char *sets[] = {rules, which == MICRO_ACL_EACH ? "authorization.cache.enable=false" : "authorization.cache.enable=true"};
    struct config_sources sources = {.sets = sets, .sets_count = 2};
    struct config_errors errors = {0};
    struct config *config;
    CHECK(config_add_parts(parts, 1, error, sizeof error));
    if (!config_load(&sources, &config, &errors)) {
        config_errors_print(&errors, stderr);
        CHECK(false);
    }
    static const struct feature *const attached[] = {[MICRO_PASS] = &feature_pass_holding, [MICRO_PASS_EACH] = &feature_pass, [MICRO_ACL] = &feature_acl,
                                                     [MICRO_ACL_EACH] = &feature_acl, [MICRO_SINK] = &feature_taker};
    CHECK(feature_list_add(&list, attached[which], error, sizeof error));
    CHECK(features_create(&list, broker, settings, settings_of, config, error, sizeof error));
    memory_release(rules);
}
