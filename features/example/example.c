/* example.c - a feature to begin with: everything a feature can do, in the smallest form (docs/features.md walks through it).
 *
 *     ringmqd --set features.load=example --set example.enable=true --set example.closed_topics=secret/
 *
 * It asks a thread of its own about each CONNECT (as one would ask a server of users), denies publishes and subscriptions below a prefix,
 * remembers a number per client, and counts events. With example.sink.filter set it is a bridge in small (sink.c). It is built as a module; with
 * ringmq_feature(example) it would be built in. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/feature.h"
#include "features/example/sink.h"

/* ---- settings ------------------------------------------------------------------------------------------------------ */

struct example_settings {
    bool enable;
    char *closed_topics, *slow_topics, *refused_clients;
    uint32_t think_ms;
    struct example_sink_settings sink;
    struct example_room *rooms;
    uint32_t rooms_count;
};

struct example_room {
    char *name, *topic;
    uint32_t seats;
};

#define IN(member) SCHEMA_MEMBER(struct example_settings, member)

static const struct schema_word policies[] = {{"push_back", FEATURE_SINK_PUSH_BACK}, {"drop_newest", FEATURE_SINK_DROP_NEWEST},
                                              {"drop_oldest", FEATURE_SINK_DROP_OLDEST}, {NULL, 0}};

static const struct schema_key keys[] = {
    {"example.enable", TYPE_BOOL, IN(enable), .reloadable = true, .default_text = "false", .documentation = "Switches the example on."},
    {"example.closed_topics", TYPE_STRING, IN(closed_topics), .reloadable = true, .max = 1024, .default_text = "",
     .documentation = "Nobody may publish or subscribe to topics that begin with this. Empty: no topics."},
    {"example.slow_topics", TYPE_STRING, IN(slow_topics), .reloadable = true, .max = 1024, .default_text = "",
     .documentation = "Packets about topics that begin with this wait for example.think_time."},
    {"example.refused_clients", TYPE_STRING, IN(refused_clients), .reloadable = true, .max = 1024, .default_text = "",
     .documentation = "Clients whose id begins with this may not connect. Empty: none."},
    {"example.think_time", TYPE_DURATION, IN(think_ms), .reloadable = true, .unit_us = SCHEMA_MS, .max = 60000, .default_text = "0ms",
     .documentation = "How long the thread thinks about each question. 0: nobody is asked."},
    {"example.sink.filter", TYPE_STRING, IN(sink.filter), .reloadable = true, .max = 1024, .default_text = "",
     .documentation = "Messages that match are kept in batches, and published again once they are safe. $share/GROUP/FILTER, too. Empty: no sink."},
    {"example.sink.republish", TYPE_STRING, IN(sink.republish), .reloadable = true, .max = 1024, .default_text = "",
     .documentation = "Where they are published again: their topic comes behind it. Empty: nowhere."},
    {"example.sink.batch", TYPE_UNSIGNED, IN(sink.batch), .reloadable = true, .min = 1, .max = 1000, .default_text = "10", .documentation = "Messages of a batch."},
    {"example.sink.write_time", TYPE_DURATION, IN(sink.write_ms), .reloadable = true, .unit_us = SCHEMA_MS, .max = 60000, .default_text = "0ms",
     .documentation = "How long it takes until a batch is safe."},
    {"example.sink.acknowledges", TYPE_BOOL, IN(sink.acknowledges), .default_text = "true", .documentation = "PUBACK and PUBREC wait until a batch is safe."},
    {"example.sink.queue", TYPE_UNSIGNED, IN(sink.queue), .min = 1, .max = 1000000, .default_text = "1000",
     .documentation = "Messages that may wait for the sink, per shard, beyond those of two batches."},
    {"example.sink.policy", TYPE_ENUM, IN(sink.policy), .words = policies, .default_text = "push_back",
     .documentation = "While it is full: push_back, drop_newest or drop_oldest."},
    {"example.room.NAME.topic", TYPE_STRING, SCHEMA_MEMBER(struct example_room, topic), .reloadable = true, .min = 1, .max = 1024,
     .documentation = "The topic of a room. Sections with names of their own: any number of them."},
    {"example.room.NAME.seats", TYPE_UNSIGNED, SCHEMA_MEMBER(struct example_room, seats), .reloadable = true, .min = 1, .max = 1000, .default_text = "10",
     .documentation = "Its size."},
};
static const struct schema_section sections[] = {{"example", "An example of a feature."}, {"example.sink", "A sink of the example."}, {"example.room.NAME", "Rooms of the example."}};
static const struct schema_group groups[] = {{.path = "example.room.NAME", .item_bytes = sizeof(struct example_room),
                                              .name_offset = offsetof(struct example_room, name), .items_offset = offsetof(struct example_settings, rooms),
                                              .count_offset = offsetof(struct example_settings, rooms_count), .max = 8}};

static const char *check(const void *settings, char *buffer, size_t bytes)
{
    const struct example_settings *mine = settings;
    if (mine->slow_topics[0] && mine->think_ms == 0) return "`example.slow_topics` is set, but `example.think_time` is 0: write how long";
    return NULL;
}

static const struct schema_part part = {.name = "example", .keys = keys, .keys_count = SCHEMA_COUNT(keys), .sections = sections,
                                        .sections_count = SCHEMA_COUNT(sections), .groups = groups, .groups_count = SCHEMA_COUNT(groups),
                                        .settings_bytes = sizeof(struct example_settings), .check = check};

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

/* One question under way: to the thread, and back to the shard as a post. */
struct question {
    struct feature_post post; /* first */
    struct question *next;
    uint64_t conn;
    uint32_t shard, think_ms;
};

struct thinker {
    struct feature_node *node;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct question *first, **last;
    bool stopping;
    uint64_t events; /* by the control thread */
};

static void answered(struct feature_shard *shard, struct feature_post *post);

static void *think(void *argument)
{
    struct thinker *thinker = argument;
    for (;;) {
        pthread_mutex_lock(&thinker->lock);
        while (!thinker->first && !thinker->stopping)
            pthread_cond_wait(&thinker->more, &thinker->lock);
        struct question *question = thinker->first;
        if (question && !(thinker->first = question->next)) thinker->last = &thinker->first;
        bool hurry = thinker->stopping;
        pthread_mutex_unlock(&thinker->lock);
        if (!question) return NULL;
        struct timespec time = {question->think_ms / 1000, question->think_ms % 1000 * 1000000l};
        if (!hurry) nanosleep(&time, NULL);
        question->post.run = answered;
        feature_post(thinker->node, question->shard, &question->post);
    }
}

static void ask(struct thinker *thinker, struct question *question)
{
    pthread_mutex_lock(&thinker->lock); /* held for a few instructions only, by both sides */
    *thinker->last = question;
    thinker->last = &question->next;
    pthread_cond_signal(&thinker->more);
    pthread_mutex_unlock(&thinker->lock);
}

static bool example_open(struct feature_node *node, char *ret_error, size_t error_bytes)
{
    struct thinker *thinker = memory_acquire_zeroed(sizeof *thinker);
    thinker->node = node;
    thinker->last = &thinker->first;
    pthread_mutex_init(&thinker->lock, NULL);
    pthread_cond_init(&thinker->more, NULL);
    if (pthread_create(&thinker->thread, NULL, think, thinker) != 0) {
        memory_release(thinker);
        snprintf(ret_error, error_bytes, "cannot start a thread");
        return false;
    }
    node->state = thinker;
    return true;
}

static void example_halt(struct feature_node *node)
{
    struct thinker *thinker = node->state;
    pthread_mutex_lock(&thinker->lock);
    thinker->stopping = true;
    pthread_cond_signal(&thinker->more);
    pthread_mutex_unlock(&thinker->lock);
    pthread_join(thinker->thread, NULL);
}

static void example_close(struct feature_node *node)
{
    struct thinker *thinker = node->state;
    LOG(INFO, "example", "events=%llu", (unsigned long long)thinker->events);
    pthread_mutex_destroy(&thinker->lock);
    pthread_cond_destroy(&thinker->more);
    memory_release(thinker);
}

/* ---- settings in force ------------------------------------------------------------------------------------------------- */

/* Settings live as long as their configuration, which may be released after a reload: what is needed is copied. */
struct prepared {
    struct example_sink_settings sink; /* first; texts are ours */
    char *closed, *slow, *refused;
    uint32_t think_ms;
};

static bool example_prepare(struct feature_node *node, const void *settings, struct feature_setup *ret_setup, char *ret_error, size_t error_bytes)
{
    const struct example_settings *mine = settings;
    if (!mine->enable) return true; /* no moments: off */
    struct prepared *prepared = memory_acquire_zeroed(sizeof *prepared);
    prepared->closed = memory_copy_string(span_of_string(mine->closed_topics));
    prepared->slow = memory_copy_string(span_of_string(mine->slow_topics));
    prepared->refused = memory_copy_string(span_of_string(mine->refused_clients));
    prepared->think_ms = mine->think_ms;
    prepared->sink = mine->sink;
    prepared->sink.filter = memory_copy_string(span_of_string(mine->sink.filter));
    prepared->sink.republish = memory_copy_string(span_of_string(mine->sink.republish));
    ret_setup->prepared = prepared;
    ret_setup->moments = FEATURE_GATE(connect) | FEATURE_TAP(connected) | FEATURE_TAP(disconnected) | FEATURE_TAP(subscribed) | FEATURE_TAP(denied);
    if (mine->closed_topics[0] || mine->slow_topics[0]) ret_setup->moments |= FEATURE_GATE(publish) | FEATURE_GATE(subscribe);
    if (mine->sink.filter[0]) ret_setup->moments |= FEATURE_SINKS;
    ret_setup->knows_publishers = mine->sink.filter[0];
    ret_setup->no_ticks = !mine->sink.filter[0]; /* tick() is the sink's */
    for (uint32_t i = 0; i < mine->rooms_count; i++)
        LOG(INFO, "example room", "name=%s topic=%s seats=%u", mine->rooms[i].name, log_quoted(span_of_string(mine->rooms[i].topic)), mine->rooms[i].seats);
    return true;
}

static void example_release(struct feature_node *node, void *old)
{
    struct prepared *prepared = old;
    memory_release(prepared->sink.filter);
    memory_release(prepared->sink.republish);
    memory_release(prepared->closed);
    memory_release(prepared->slow);
    memory_release(prepared->refused);
    memory_release(prepared);
}

/* ---- gates -------------------------------------------------------------------------------------------------------------- */

enum thinking { NOT_ASKED, ASKED, ANSWERED };

/* What is kept per client: the state of its question, in the slot itself. */
static void answered(struct feature_shard *shard, struct feature_post *post)
{
    struct question *question = (struct question *)post;
    struct feature_client *client = feature_client_find(shard, question->conn);
    if (client) {
        client->slots[shard->slot] = (void *)ANSWERED;
        feature_resume(shard, question->conn);
    }
    memory_release(question);
}

/* LATER the first time, PASS when the answer has come. */
static struct feature_verdict think_about(struct feature_shard *shard, struct feature_client *client)
{
    const struct prepared *prepared = shard->prepared;
    enum thinking state = (enum thinking)(uintptr_t)client->slots[shard->slot];
    if (state == ANSWERED) {
        client->slots[shard->slot] = (void *)NOT_ASKED; /* the next packet is another question */
        return FEATURE_VERDICT(PASS);
    }
    if (state == NOT_ASKED) {
        struct question *question = memory_acquire_zeroed(sizeof *question);
        question->conn = client->conn;
        question->shard = shard->number;
        question->think_ms = prepared->think_ms;
        client->slots[shard->slot] = (void *)ASKED;
        ask(shard->node->state, question);
    }
    return FEATURE_VERDICT(LATER);
}

static bool begins_with(struct span text, const char *start) { return *start && span_starts_with(text, span_of_string(start)); }

static struct feature_verdict example_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect)
{
    const struct prepared *prepared = shard->prepared;
    if (begins_with(client->client_id, prepared->refused))
        return (struct feature_verdict){.decision = FEATURE_DENY, .reason = MQTT_REASON_BANNED, .what = "clients of this kind are not welcome"};
    return prepared->think_ms ? think_about(shard, client) : FEATURE_VERDICT(PASS);
}

static struct feature_verdict about_topic(struct feature_shard *shard, struct feature_client *client, struct span topic)
{
    const struct prepared *prepared = shard->prepared;
    if (begins_with(topic, prepared->closed)) return (struct feature_verdict){.decision = FEATURE_DENY, .what = "this topic is closed"};
    if (begins_with(topic, prepared->slow)) return think_about(shard, client);
    return (struct feature_verdict){.decision = FEATURE_PASS, .holds_ms = FEATURE_HOLDS}; /* until the settings change */
}

static struct feature_verdict example_publish(struct feature_shard *shard, struct feature_client *client, const struct feature_publish *publish)
{
    return about_topic(shard, client, publish->topic);
}

static struct feature_verdict example_subscribe(struct feature_shard *shard, struct feature_client *client, const struct mqtt_subscription *subscription)
{
    return about_topic(shard, client, subscription->filter);
}

/* ---- taps --------------------------------------------------------------------------------------------------------------- */

static void example_tap(struct feature_node *node, const struct feature_event *events, uint32_t count)
{
    struct thinker *thinker = node->state;
    thinker->events += count;
    for (uint32_t i = 0; i < count; i++)
        LOG(INFO, "example event", "moment=%s text=%s reason=0x%02x value=%u", feature_moment_names[events[i].moment],
            log_quoted(span_of(events[i].text, events[i].text_bytes)), events[i].reason, events[i].value);
}

/* ---- requests ----------------------------------------------------------------------------------------------------------- */

/* POST /api/v1/features/example/requests {"verb": "echo", "question": {…}} answers the question. A worker of the admin API's calls it. */
static void example_request(struct feature_node *node, struct feature_request *request)
{
    bool echo = strcmp(request->verb, "echo") == 0;
    request->status = echo ? 200 : 404;
    if (echo)
        request->answer = strndup((const char *)request->body.data, request->body.bytes);
    else
        snprintf(request->error, sizeof request->error, "the example knows no request but echo");
}

static const struct feature feature_example = {
    .abi = FEATURE_ABI,
    .name = "example",
    .version = "1",
    .documentation = "Shows how a feature is made: closed topics, a thread that thinks, events in the log.",
    .stage = FEATURE_STAGE_OTHER,
    .configuration = &part,
    .open = example_open,
    .halt = example_halt,
    .close = example_close,
    .prepare = example_prepare,
    .release = example_release,
    .tap = example_tap,
    .apply = example_sink_apply,
    .tick = example_sink_tick,
    .deliver = example_sink_deliver,
    .stop = example_sink_stop,
    .request = example_request,
    .connect = example_connect,
    .publish = example_publish,
    .subscribe = example_subscribe,
};

FEATURE_MODULE(feature_example);
