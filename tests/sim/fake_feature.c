#include "tests/sim/fake_feature.h"

#include <stdio.h>

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

enum waiting { IDLE, WAITS, ANSWERED };

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

/* Some verdicts hold, for a while or until this gate says otherwise about this client or all of the shard. */
static struct feature_verdict pass_for_now(struct feature_shard *shard, struct feature_client *client)
{
    struct feature_verdict verdict = FEATURE_VERDICT(PASS);
    switch (random_below(&random_now, 8)) {
    case 0: feature_forget(shard, random_below(&random_now, 4) ? client : NULL); break;
    case 1: verdict.holds_ms = 1 + random_below(&random_now, 50); break;
    case 2: verdict.holds_ms = FEATURE_HOLDS; break;
    default: break;
    }
    return verdict;
}

static struct feature_verdict ask(struct feature_shard *shard, struct feature_client *client)
{
    enum waiting state = (enum waiting)(uintptr_t)client->slots[shard->slot];
    CHECK(client->shard == shard->number);
    if (state == WAITS) return FEATURE_VERDICT(LATER);
    if (state == ANSWERED) { /* to this packet; the next one is asked about anew */
        client->slots[shard->slot] = (void *)IDLE;
        return random_below(&random_now, 2) ? FEATURE_VERDICT(PASS) : FEATURE_VERDICT(ALLOW);
    }
    if (random_below(&random_now, 256) >= chance_now) return pass_for_now(shard, client);
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

/* ---- a sink ------------------------------------------------------------------------------------------------------ */

/* What all sinks have got of one flow: its messages come in order, and are safe when their hold is done. */
struct fake_flow {
    int32_t highest;
    bool got[SIM_SEQUENCE_MAX], safe[SIM_SEQUENCE_MAX];
};

struct held {
    struct feature_post post; /* first */
    struct held *next;
    struct feature_hold *hold;
    struct message *message; /* kept as long */
    struct feature_node *node;
    uint32_t shard, publisher, qos, number;
    enum mqtt_reason reason;
};

enum sink_job { SINK_READY, SINK_END, STORE_PUT, STORE_GET };

/* What is to be done on a shard by and by. */
struct errand {
    struct feature_post post; /* first */
    struct errand *next;
    struct feature_node *node;
    uint32_t shard, key;
    enum sink_job job;
};

static struct fake_flow flows[SIM_CLIENTS_MAX][3];
static struct held *held_first;
static struct errand *errands;
static struct feature_sink *sinks[SHARDS_MAX];
static bool sink_full[SHARDS_MAX], sinks_ending, sinks_wanted;
static uint64_t sink_messages, sink_holds;

static void errand_new(struct feature_shard *shard, enum sink_job job, uint32_t key)
{
    struct errand *errand = memory_acquire_zeroed(sizeof *errand);
    *errand = (struct errand){.next = errands, .node = shard->node, .shard = shard->number, .job = job, .key = key};
    errands = errand;
    alive++;
}

static void held_done(struct feature_shard *shard, struct feature_post *post)
{
    struct held *held = (struct held *)post;
    bool refused = mqtt_reason_is_error(held->reason);
    struct span topic, properties, payload;
    feature_message_read(held->message, &topic, &properties, &payload);
    CHECK(payload.bytes >= 4 && memcmp(payload.data, &held->number, 4) == 0);
    if (!refused) flows[held->publisher][held->qos].safe[held->number] = true;
    feature_hold_done(shard, held->hold, held->reason);
    feature_message_release(shard, held->message);
    memory_release(held);
    alive--;
}

static bool flow_of(const struct feature_delivery *delivery, uint32_t *ret_publisher, uint32_t *ret_qos, uint32_t *ret_number)
{
    char topic[64] = "";
    struct span name = delivery->topic, mount = SPAN_LITERAL("mounted/here/");
    if (span_starts_with(name, mount)) name = span_skip(name, mount.bytes);
    memcpy(topic, name.data, name.bytes < 63 ? name.bytes : 63);
    if (sscanf(topic, "s/%u/%u", ret_publisher, ret_qos) != 2 || delivery->payload.bytes < 4) return false;
    memcpy(ret_number, delivery->payload.data, 4);
    return *ret_publisher < SIM_CLIENTS_MAX && *ret_qos < 3 && *ret_number < SIM_SEQUENCE_MAX;
}

static enum feature_taken fake_deliver(struct feature_shard *shard, struct feature_sink *sink, const struct feature_delivery *delivery)
{
    uint32_t publisher, qos, number;
    CHECK(sink == sinks[shard->number] && sink->state == sink->name);
    if (sink_full[shard->number] || random_below(&random_now, 40) == 0) {
        if (!sink_full[shard->number]) errand_new(shard, SINK_READY, 0);
        sink_full[shard->number] = true;
        return FEATURE_FULL;
    }
    if (delivery->retained || !flow_of(delivery, &publisher, &qos, &number)) return FEATURE_TAKEN;
    struct fake_flow *flow = &flows[publisher][qos];
    sink_messages++;
    char client_id[24];
    snprintf(client_id, sizeof client_id, "sim-%u", publisher);
    CHECK(!delivery->publisher || delivery->client_id.data);
    for (size_t i = 4; i < delivery->payload.bytes; i++)
        CHECK(delivery->payload.data[i] == (uint8_t)number);
    if (!flow->got[number] && (int32_t)number < flow->highest && !sim_client_late(publisher, qos, number)) sim_fail("a sink saw the order broken", NULL, publisher, qos, number);
    flow->got[number] = true;
    if ((int32_t)number > flow->highest) flow->highest = (int32_t)number;
    struct feature_hold *hold = random_below(&random_now, 4) ? feature_delivery_hold(delivery) : NULL;
    if (!hold) {
        flow->safe[number] = true;
        return FEATURE_TAKEN;
    }
    /* QoS 2 that is refused comes again as new: subscribers would rightly see it twice. Some are refused at once. */
    if (qos == 1 && random_below(&random_now, 128) == 0) {
        feature_hold_done(shard, hold, MQTT_REASON_QUOTA_EXCEEDED);
        return FEATURE_TAKEN;
    }
    struct held *held = memory_acquire_zeroed(sizeof *held);
    bool refuses = qos == 1 && random_below(&random_now, 64) == 0;
    *held = (struct held){.post.run = held_done, .next = held_first, .hold = hold, .message = feature_delivery_keep(delivery), .node = shard->node,
                          .shard = shard->number, .publisher = publisher, .qos = qos, .number = number,
                          .reason = refuses ? MQTT_REASON_QUOTA_EXCEEDED : MQTT_REASON_SUCCESS};
    held_first = held;
    sink_holds++;
    alive++;
    return FEATURE_TAKEN;
}

void fake_feature_check(uint32_t publisher, uint32_t qos, uint32_t number)
{
    if (sinks_wanted && !flows[publisher][qos].safe[number]) sim_fail("acknowledged, but not safe with the sink", NULL, publisher, qos, number);
}

/* ---- values that last ------------------------------------------------------------------------------------------------ */

#define KEYS 8
struct value_call {
    struct feature_store_call call; /* first */
    uint32_t key, version;
    bool first_look; /* after a start: what was stored before it must be there */
};

static uint32_t versions, versions_stored[KEYS], versions_before[KEYS];
static bool lasts;

static void value_done(struct feature_shard *shard, struct feature_store_call *call)
{
    struct value_call *value = (struct value_call *)call;
    uint32_t version = 0;
    if (call->value.bytes == sizeof version) memcpy(&version, call->value.data, sizeof version);
    if (value->version && call->result == FEATURE_STORE_DONE && value->version > versions_stored[value->key]) versions_stored[value->key] = value->version;
    bool tells = !value->version && call->result != FEATURE_STORE_STOPPED;
    if (tells && version < versions_before[value->key]) sim_fail("a stored value is lost", NULL, value->key, version, versions_before[value->key]);
    memory_release(value);
    alive--;
}

static void value_begin(struct feature_shard *shard, uint32_t key, bool put)
{
    char name[16];
    struct value_call *value = memory_acquire_zeroed(sizeof *value);
    *value = (struct value_call){.call.done = value_done, .key = key, .version = put ? ++versions : 0};
    snprintf(name, sizeof name, "k/%u", key);
    alive++;
    if (put)
        feature_store_put(shard, &value->call, span_of_string(name), span_of(&value->version, sizeof value->version));
    else
        feature_store_get(shard, &value->call, span_of_string(name));
}

static void errand_run(struct feature_shard *shard, struct feature_post *post)
{
    struct errand *errand = (struct errand *)post;
    switch (errand->job) {
    case SINK_READY:
        sink_full[shard->number] = false;
        if (sinks[shard->number]) feature_sink_ready(sinks[shard->number]);
        break;
    case SINK_END:
        if (sinks[shard->number]) feature_sink_destroy(sinks[shard->number]);
        sinks[shard->number] = NULL;
        break;
    case STORE_PUT: /* one shard per key, so that the versions are put in their order */
        if (errand->key % shard->node->shards_count == shard->number) value_begin(shard, errand->key, true);
        break;
    case STORE_GET: value_begin(shard, errand->key, false); break;
    }
    memory_release(errand);
    alive--;
}

static bool fake_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    *ret_setup = (struct feature_setup){.moments = FEATURE_GATE(connect) | FEATURE_GATE(publish) | FEATURE_GATE(subscribe) | FEATURE_TAP(connected) |
                                                   FEATURE_TAP(disconnected) | FEATURE_TAP(subscribed) | FEATURE_TAP(session_created) |
                                                   FEATURE_TAP(session_ended) | FEATURE_SINKS};
    return true;
}

static void fake_tap(struct feature_node *node, const struct feature_event *these, uint32_t count) { events += count; }

static void fake_apply(struct feature_shard *shard)
{
    shard->state = shard;
    sinks[shard->number] = NULL;
    sink_full[shard->number] = false;
    lasts = shard->node->settings->durability.enable;
    for (uint32_t key = 0; lasts && key < KEYS; key++)
        errand_new(shard, STORE_GET, key);
    if (!sinks_wanted || sinks_ending) return;
    char error[128];
    struct feature_sink_options options = {.acknowledges = true};
    sinks[shard->number] = feature_sink_create(shard, "fake", &options, NULL, error, sizeof error);
    CHECK(sinks[shard->number]);
    sinks[shard->number]->state = (void *)(uintptr_t)sinks[shard->number]->name;
    static const char *const filters[] = {"#", "+/+/2", "mounted/here/s/#"}; /* they overlap: one copy all the same */
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct feature_subscription wanted = {.filter = span_of_string(filters[i]), .qos = 2, .subscription_id = (uint32_t)i};
        CHECK(feature_sink_subscribe(sinks[shard->number], &wanted) == MQTT_REASON_GRANTED_QOS_2);
    }
}

static void fake_stop(struct feature_shard *shard)
{
    for (struct held **place = &held_first; *place;) { /* those nobody has posted yet */
        struct held *held = *place;
        if (held->shard != shard->number) {
            place = &held->next;
            continue;
        }
        *place = held->next;
        held->reason = MQTT_REASON_SERVER_SHUTTING_DOWN;
        held_done(shard, &held->post);
    }
    shard->state = NULL;
}

static const struct feature fake = {.abi = FEATURE_ABI, .name = "fake", .version = "1", .documentation = "Waits.", .stage = FEATURE_STAGE_PROTECTION,
                                    .prepare = fake_prepare, .tap = fake_tap, .apply = fake_apply, .stop = fake_stop, .connect = fake_connect,
                                    .publish = fake_publish, .subscribe = fake_subscribe, .deliver = fake_deliver};

static const void *no_settings(void *context, const struct feature *feature) { return NULL; }

struct features *fake_feature_create(struct broker *broker, const struct settings *settings, uint64_t seed, uint32_t chance)
{
    struct feature_list list = {0};
    char error[256];
    random_now.state = seed;
    chance_now = chance;
    questions = NULL;
    alive = 0;
    sinks_wanted = seed & 2;
    memcpy(versions_before, versions_stored, sizeof versions_before);
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
    while (held_first && random_below(&random_now, 3) == 0) {
        struct held *held = held_first;
        held_first = held->next;
        feature_post(held->node, held->shard, &held->post);
    }
    while (errands && random_below(&random_now, 4) == 0) {
        struct errand *errand = errands;
        errands = errand->next;
        errand->post.run = errand_run;
        feature_post(errand->node, errand->shard, &errand->post);
    }
}

void fake_feature_begin(void)
{
    memset(flows, 0, sizeof flows);
    for (uint32_t p = 0; p < SIM_CLIENTS_MAX; p++)
        for (uint32_t qos = 0; qos < 3; qos++)
            flows[p][qos].highest = -1;
    memset(versions_stored, 0, sizeof versions_stored);
    sinks_ending = false;
}

void fake_feature_chore(struct features_shard *shard)
{
    if (!sinks_ending && random_below(&random_now, 64) == 0) errand_new(&shard->shards[0], STORE_PUT, (uint32_t)random_below(&random_now, KEYS));
}

void fake_feature_end_sinks(struct features_shard *shard)
{
    sinks_ending = true;
    if (sinks[shard->shards[0].number]) errand_new(&shard->shards[0], SINK_END, 0);
}

void fake_feature_destroy(struct features *features)
{
    for (struct question *question = questions, *next; question; question = next) { /* their clients have gone */
        next = question->next;
        memory_release(question);
        alive--;
    }
    questions = NULL;
    for (struct errand *errand = errands, *next; errand; errand = next) {
        next = errand->next;
        memory_release(errand);
        alive--;
    }
    errands = NULL;
    CHECK(alive == 0); /* posts are run to the end */
    features_destroy(features);
}

uint64_t fake_feature_waited(void) { return waited; }
uint64_t fake_feature_sunk(uint64_t *ret_holds)
{
    *ret_holds = sink_holds;
    return sink_messages;
}
