#include "tests/sim/fake_feature.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

struct question {
    struct feature_post post; /* first */
    struct question *next;
    struct feature_node *node;
    uint32_t shard;
    uint64_t conn;
};

static struct random_source random_now;
static uint32_t chance_now;
static struct question *questions;
static uint64_t waited, alive, events;

enum state { IDLE, WAITS, ANSWERED };

static void answered(struct feature_shard *shard, struct feature_post *post)
{
    struct question *question = (struct question *)post;
    struct feature_client *client = feature_client_find(shard, question->conn);
    if (client && (uintptr_t)client->slots[shard->slot] == WAITS) {
        client->slots[shard->slot] = (void *)ANSWERED;
        feature_resume(shard, question->conn);
    }
    memory_release(question);
    alive--;
}

static struct feature_verdict ask(struct feature_shard *shard, struct feature_client *client)
{
    enum state state = (enum state)(uintptr_t)client->slots[shard->slot];
    CHECK(client->shard == shard->number);
    if (state == WAITS) return FEATURE_VERDICT(LATER);
    if (state == ANSWERED) { /* to this packet; the next one is asked about anew */
        client->slots[shard->slot] = (void *)IDLE;
        return random_below(&random_now, 2) ? FEATURE_VERDICT(PASS) : FEATURE_VERDICT(ALLOW);
    }
    if (random_below(&random_now, 256) >= chance_now) return FEATURE_VERDICT(PASS);
    struct question *question = memory_acquire_zeroed(sizeof *question);
    *question = (struct question){.post.run = answered, .next = questions, .node = shard->node, .shard = shard->number, .conn = client->conn};
    questions = question;
    client->slots[shard->slot] = (void *)WAITS;
    waited++;
    alive++;
    return FEATURE_VERDICT(LATER);
}

static struct feature_verdict fake_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    CHECK(!client->connected && client->client_id.bytes);
    return ask(shard, client);
}

static struct feature_verdict fake_publish(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    CHECK(publish->topic.bytes && client->connected != publish->will);
    return ask(shard, client);
}

static struct feature_verdict fake_subscribe(struct feature_shard *shard, struct feature_client *client, const struct mqtt_subscription *subscription)
{
    CHECK(subscription->filter.bytes && client->connected);
    return ask(shard, client);
}

static bool fake_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    *ret_setup = (struct feature_setup){.moments = FEATURE_GATE(connect) | FEATURE_GATE(publish) | FEATURE_GATE(subscribe) | FEATURE_TAP(connected) |
                                                   FEATURE_TAP(disconnected) | FEATURE_TAP(subscribed) | FEATURE_TAP(session_created) |
                                                   FEATURE_TAP(session_ended)};
    return true;
}

static void fake_tap(struct feature_node *node, const struct feature_event *these, uint32_t count) { events += count; }

static void fake_apply(struct feature_shard *shard) { shard->state = shard; }
static void fake_stop(struct feature_shard *shard) { shard->state = NULL; }

static const struct feature fake = {.abi = FEATURE_ABI, .name = "fake", .version = "1", .documentation = "Waits.", .stage = FEATURE_STAGE_PROTECTION,
                                    .prepare = fake_prepare, .tap = fake_tap, .apply = fake_apply, .stop = fake_stop, .connect = fake_connect,
                                    .publish = fake_publish, .subscribe = fake_subscribe};

static const void *no_settings(void *context, const struct feature *feature) { return NULL; }

struct features *fake_feature_create(struct broker *broker, const struct settings *settings, uint64_t seed, uint32_t chance)
{
    struct feature_list list = {0};
    char error[256];
    random_now.state = seed;
    chance_now = chance;
    questions = NULL;
    alive = 0;
    CHECK(feature_list_add(&list, &fake, error, sizeof error));
    struct features *features = features_create(&list, broker, settings, no_settings, NULL, error, sizeof error);
    CHECK(features);
    return features;
}

void fake_feature_step(void)
{
    while (questions && random_below(&random_now, 3) == 0) { /* the newest first: whoever came later is answered earlier */
        struct question *question = questions;
        questions = question->next;
        feature_post(question->node, question->shard, &question->post);
    }
}

void fake_feature_destroy(struct features *features)
{
    for (struct question *question = questions, *next; question; question = next) { /* their clients have gone */
        next = question->next;
        memory_release(question);
        alive--;
    }
    questions = NULL;
    CHECK(alive == 0); /* posts are run to the end */
    features_destroy(features);
}

uint64_t fake_feature_waited(void) { return waited; }
