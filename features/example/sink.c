/* sink.c - see sink.h. Everything here is one shard's, so there is no lock: each shard has a sink, batches and a count of its own. */
#include "features/example/sink.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"

/* One message of a batch: kept without a copy, and what to do when it is safe. */
struct kept {
    struct message *message;
    struct feature_hold *hold; /* NULL: nobody waits */
    uint8_t qos;
};

struct batch {
    struct kept *messages;
    uint32_t count, done; /* done: of a batch that is safe, those published again */
};

struct bridge {
    struct feature_sink *sink; /* NULL: off */
    char *filter;              /* subscribed */
    struct batch filling, writing;
    uint64_t safe_at_ms;       /* of `writing`; 0: nothing is written */
    bool full;
    uint64_t written;          /* messages, over all runs: the value `written/SHARD` in our store */
    struct feature_store_call call;
    bool calling, counted; /* counted: what earlier runs have written was asked for; a reload that switches us off and on does not add it again */
};

static const struct example_sink_settings *settings_of(const struct feature_shard *shard) { return shard->prepared; }

/* ---- the count on disk ------------------------------------------------------------------------------------------------- */

static void count_known(struct feature_shard *shard, struct feature_store_call *call)
{
    struct bridge *bridge = call->state;
    char text[32];
    bridge->calling = false;
    if (call->result != FEATURE_STORE_DONE || call->value.bytes == 0) return; /* a put, or there is none yet */
    snprintf(text, sizeof text, "%.*s", SPAN_PRINT(call->value));
    bridge->written += strtoull(text, NULL, 10);
    LOG(INFO, "example sink", "shard=%u written_before=%s", shard->number, text);
}

static void count_ask(struct feature_shard *shard, struct bridge *bridge, bool put)
{
    char key[32], value[32];
    int key_bytes = snprintf(key, sizeof key, "written/%u", shard->number);
    int value_bytes = snprintf(value, sizeof value, "%llu", (unsigned long long)bridge->written);
    if (bridge->calling) return; /* the next batch brings it up to date */
    bridge->calling = true;
    bridge->call = (struct feature_store_call){.done = count_known, .state = bridge};
    if (put)
        feature_store_put(shard, &bridge->call, span_of(key, (size_t)key_bytes), span_of(value, (size_t)value_bytes));
    else
        feature_store_get(shard, &bridge->call, span_of(key, (size_t)key_bytes));
}

/* ---- batches ------------------------------------------------------------------------------------------------------------- */

static void batch_give_up(struct feature_shard *shard, struct batch *batch)
{
    for (uint32_t i = batch->done; i < batch->count; i++) {
        if (batch->messages[i].hold) feature_hold_done(shard, batch->messages[i].hold, MQTT_REASON_UNSPECIFIED_ERROR); /* not safe: it is to be sent again */
        feature_message_release(shard, batch->messages[i].message);
    }
    memory_release(batch->messages);
    *batch = (struct batch){0};
}

static void write_next(struct feature_shard *shard, struct bridge *bridge)
{
    if (bridge->safe_at_ms || bridge->filling.count == 0) return;
    bridge->writing = bridge->filling;
    bridge->filling = (struct batch){0};
    bridge->safe_at_ms = *shard->now_ms + settings_of(shard)->write_ms;
}

/* False: too much waits to be published already. */
static bool publish_again(struct feature_shard *shard, struct bridge *bridge, const struct kept *kept)
{
    struct span prefix = span_of_string(settings_of(shard)->republish), topic, properties, payload;
    feature_message_read(kept->message, &topic, &properties, &payload);
    char *name = memory_acquire(prefix.bytes + topic.bytes);
    memcpy(name, prefix.data, prefix.bytes);
    memcpy(name + prefix.bytes, topic.data, topic.bytes);
    struct feature_message message = {.topic = span_of(name, prefix.bytes + topic.bytes), .properties = properties, .payload = payload, .qos = kept->qos};
    enum mqtt_reason said = feature_publish(shard, bridge->sink, &message);
    if (mqtt_reason_is_error(said) && said != MQTT_REASON_QUOTA_EXCEEDED)
        LOG_LIMITED(WARN, 1000, "example sink", "not_published=%s reason=\"%s\"", log_quoted(message.topic), mqtt_reason_name(said));
    memory_release(name);
    return said != MQTT_REASON_QUOTA_EXCEEDED;
}

void example_sink_tick(struct feature_shard *shard)
{
    struct bridge *bridge = shard->state;
    if (!bridge || !bridge->sink) return;
    write_next(shard, bridge);
    if (!bridge->safe_at_ms || bridge->safe_at_ms > *shard->now_ms) return;
    struct batch *batch = &bridge->writing;
    for (; batch->done < batch->count; batch->done++) {
        struct kept *kept = &batch->messages[batch->done];
        if (settings_of(shard)->republish[0] && !publish_again(shard, bridge, kept)) return; /* the next tick goes on */
        if (kept->hold) feature_hold_done(shard, kept->hold, MQTT_REASON_SUCCESS);
        feature_message_release(shard, kept->message);
    }
    bridge->written += batch->count;
    count_ask(shard, bridge, true);
    memory_release(batch->messages);
    *batch = (struct batch){0};
    bridge->safe_at_ms = 0;
    write_next(shard, bridge);
    if (bridge->full) {
        bridge->full = false;
        feature_sink_ready(bridge->sink);
    }
}

/* In the middle of the fan-out: short, and nothing that waits. */
enum feature_taken example_sink_deliver(struct feature_shard *shard, struct feature_sink *sink, const struct feature_delivery *delivery)
{
    struct bridge *bridge = sink->state;
    struct batch *batch = &bridge->filling;
    uint32_t batch_max = settings_of(shard)->batch;
    if (batch->count >= batch_max) {
        bridge->full = true;
        return FEATURE_FULL;
    }
    if (!batch->messages) batch->messages = memory_acquire(batch_max * sizeof *batch->messages);
    LOG(INFO, "example sink", "shard=%u topic=%s client=%s user=%s qos=%u retain=%d retained=%d", shard->number, log_quoted(delivery->topic),
        log_quoted(delivery->client_id), log_quoted(delivery->user_name), delivery->qos, delivery->retain, delivery->retained);
    batch->messages[batch->count++] = (struct kept){feature_delivery_keep(delivery), feature_delivery_hold(delivery), delivery->qos};
    return FEATURE_TAKEN;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static void end(struct feature_shard *shard, struct bridge *bridge)
{
    batch_give_up(shard, &bridge->writing);
    batch_give_up(shard, &bridge->filling);
    bridge->safe_at_ms = 0;
    if (bridge->sink) feature_sink_destroy(bridge->sink);
    bridge->sink = NULL;
    memory_release(bridge->filter);
    bridge->filter = NULL;
}

static void begin(struct feature_shard *shard, struct bridge *bridge)
{
    const struct example_sink_settings *settings = settings_of(shard);
    struct feature_sink_options options = {.policy = settings->policy, .acknowledges = settings->acknowledges, .queue_messages_max = settings->queue};
    char error[160];
    bridge->sink = feature_sink_create(shard, "example", &options, bridge, error, sizeof error);
    if (!bridge->sink) {
        LOG(ERROR, "example sink", "error=\"%s\"", error);
        return;
    }
    if (bridge->counted) return;
    bridge->counted = true;
    count_ask(shard, bridge, false);
}

/* At start and at each reload: batches and the sink stay, filters change. A batch may be larger than the new limit; it only takes no more. */
void example_sink_apply(struct feature_shard *shard)
{
    const struct example_sink_settings *settings = settings_of(shard);
    if (!shard->state) shard->state = memory_acquire_zeroed(sizeof(struct bridge));
    struct bridge *bridge = shard->state;
    bool wanted = settings && settings->filter[0];
    if (!wanted) return end(shard, bridge);
    if (bridge->filling.messages) /* room for the new limit */
        bridge->filling.messages = memory_resize(bridge->filling.messages, (settings->batch > bridge->filling.count ? settings->batch : bridge->filling.count) *
                                                                               sizeof *bridge->filling.messages);
    if (!bridge->sink) begin(shard, bridge);
    if (!bridge->sink || (bridge->filter && strcmp(bridge->filter, settings->filter) == 0)) return;
    if (bridge->filter) feature_sink_unsubscribe(bridge->sink, span_of_string(bridge->filter), FEATURE_SINK_LOCAL);
    memory_release(bridge->filter);
    bridge->filter = memory_copy_string(span_of_string(settings->filter));
    struct feature_subscription subscription = {.filter = span_of_string(bridge->filter), .qos = 2, .no_local = true};
    enum mqtt_reason code = feature_sink_subscribe(bridge->sink, &subscription);
    if (mqtt_reason_is_error(code)) LOG(ERROR, "example sink", "filter=%s reason=\"%s\"", log_quoted(subscription.filter), mqtt_reason_name(code));
}

void example_sink_stop(struct feature_shard *shard)
{
    if (!shard->state) return;
    end(shard, shard->state);
    memory_release(shard->state);
    shard->state = NULL;
}
