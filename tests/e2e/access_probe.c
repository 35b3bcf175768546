/* access_probe.c - a module for tests/e2e/run-access: does at a user's name what a feature may do. With -DWRONG_ABI it is one of another time. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "broker/feature.h"
#include "features/acl/rules.h"

#ifdef WRONG_ABI
static const struct feature probe = {.abi = 4711};
#else

struct probe_settings {
    bool enable;
};
static const struct schema_key keys[] = {{"probe.enable", TYPE_BOOL, SCHEMA_MEMBER(struct probe_settings, enable), .reloadable = true,
                                          .default_text = "false", .documentation = "Switches it on."}};
static const struct schema_section sections[] = {{"probe", "For tests."}};
static bool guards(const void *settings) { return ((const struct probe_settings *)settings)->enable; }
static const struct schema_part part = {.name = "probe", .keys = keys, .keys_count = 1, .sections = sections, .sections_count = 1,
                                        .settings_bytes = sizeof(struct probe_settings), .guards = guards};

enum state { NEW, ASKED, SLOW, ANSWERED };

static bool prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    bool enable = ((const struct probe_settings *)settings)->enable;
    if (enable)
        *ret_setup = (struct feature_setup){.moments = FEATURE_GATE(connect) | FEATURE_GATE(authenticate), .authenticates = true, .brings_rules = true};
    return true;
}

static bool user_is(const struct feature_client *client, const char *name) { return span_equal(client->user_name, span_of_string(name)); }

static void sleep_ms(long ms)
{
    struct timespec time = {0, ms * 1000000};
    nanosleep(&time, NULL);
}

static struct feature_verdict by_name(struct feature_shard *shard, struct feature_client *client)
{
    char error[ACL_ERROR_BYTES_MAX];
    if (user_is(client, "root")) client->superuser = true;
    if (user_is(client, "sleepy")) sleep_ms(3);
    if (user_is(client, "short")) client->expires_ms = feature_unix_ms(shard) + 300;
    if (user_is(client, "ruled") && !client->rules)
        client->rules = acl_rules_compile(SPAN_LITERAL("allow publish own/${client_id}\ndeny all site/#\n"), "login", error);
    if (user_is(client, "berliner") && !feature_attribute_set(client, SPAN_LITERAL("site"), SPAN_LITERAL("berlin"))) return FEATURE_VERDICT(DENY);
    if (user_is(client, "nobody"))
        return (struct feature_verdict){.decision = FEATURE_DENY, .reason = MQTT_REASON_BAD_USER_NAME_OR_PASSWORD, .what = "nobody may not come in"};
    return FEATURE_VERDICT(PASS);
}

static struct feature_verdict at_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    bool method = mqtt_has(&connect->properties, MQTT_PROPERTY_AUTHENTICATION_METHOD) &&
                  span_equal(connect->properties.authentication_method, SPAN_LITERAL("TWO-STEP"));
    if (!method) return by_name(shard, client);
    if ((enum state)(uintptr_t)client->slots[shard->slot] == ANSWERED) {
        client->method_satisfied = true;
        client->auth_data = SPAN_LITERAL("welcome");
        return by_name(shard, client);
    }
    client->slots[shard->slot] = (void *)ASKED;
    client->auth_data = SPAN_LITERAL("who?");
    return FEATURE_VERDICT(CONTINUE);
}

struct wait {
    struct feature_post post;
    uint64_t conn;
    bool used;
};
static struct wait waits[64]; /* a test's worth */

static void resume(struct feature_shard *shard, struct feature_post *post)
{
    struct wait *wait = (struct wait *)post;
    struct feature_client *client = feature_client_find(shard, wait->conn);
    if (client) client->slots[shard->slot] = (void *)ANSWERED;
    feature_resume(shard, wait->conn);
    __atomic_store_n(&wait->used, false, __ATOMIC_RELEASE);
}

static struct feature_verdict at_auth(struct feature_shard *shard, struct feature_client *client, const struct mqtt_auth *auth)
{
    struct span data = auth->properties.authentication_data;
    client->auth_data = span_of(NULL, 0);
    if (span_equal(data, SPAN_LITERAL("slow"))) {
        if ((enum state)(uintptr_t)client->slots[shard->slot] == ANSWERED) return FEATURE_VERDICT(PASS);
        for (int i = 0; i < 64; i++) {
            if (__atomic_exchange_n(&waits[i].used, true, __ATOMIC_ACQUIRE)) continue;
            waits[i].post.run = resume;
            waits[i].conn = client->conn;
            client->slots[shard->slot] = (void *)SLOW;
            feature_post(shard->node, shard->number, &waits[i].post);
            return FEATURE_VERDICT(LATER);
        }
    }
    if (span_equal(data, SPAN_LITERAL("more"))) {
        client->auth_data = SPAN_LITERAL("and?");
        return FEATURE_VERDICT(CONTINUE);
    }
    if (!span_equal(data, SPAN_LITERAL("me")))
        return (struct feature_verdict){.decision = FEATURE_DENY, .reason = MQTT_REASON_NOT_AUTHORIZED, .what = "wrong answer"};
    client->slots[shard->slot] = (void *)ANSWERED;
    client->auth_data = SPAN_LITERAL("again");
    if (client->connected && user_is(client, "root")) client->superuser = !client->superuser;
    return FEATURE_VERDICT(PASS);
}

static void gone(struct feature_shard *shard, struct feature_client *client)
{
    acl_rules_release(client->rules);
    client->rules = NULL;
}

static const struct feature probe = {.abi = FEATURE_ABI, .name = "probe", .version = "1", .documentation = "For tests.",
                                     .stage = FEATURE_STAGE_AUTHENTICATION, .configuration = &part, .prepare = prepare, .connect = at_connect,
                                     .authenticate = at_auth, .client_gone = gone};
#endif

FEATURE_MODULE(probe);

/* Somebody asks for a reload while the configuration is read. */
__attribute__((constructor)) static void hang_up(void)
{
    if (getenv("PROBE_HANGS_UP")) kill(getpid(), SIGHUP);
}
