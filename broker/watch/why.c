#include "broker/watch/why.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect_inside.h"
#include "broker/mount.h"
#include "proto/topic.h"
#include "router/share.h"

#define STEP_NAME(name, documentation) #name,
#define STEP_DOCUMENTATION(name, documentation) documentation,
const char *const why_step_names[WHY_STEPS] = {WHY_STEPS_TABLE(STEP_NAME)};
const char *const why_step_documentation[WHY_STEPS] = {WHY_STEPS_TABLE(STEP_DOCUMENTATION)};

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static struct why_row *row_add(struct inspect *inspect, enum why_kind kind, struct span text, struct span group)
{
    size_t bytes = sizeof(struct why_row) + text.bytes + group.bytes;
    struct why_row *row = memory_acquire(bytes);
    *row = (struct why_row){.kind = (uint8_t)kind, .text_bytes = (uint32_t)text.bytes, .group_bytes = (uint32_t)group.bytes};
    if (text.bytes) memcpy(row->text, text.data, text.bytes);
    if (group.bytes) memcpy(row->text + text.bytes, group.data, group.bytes);
    inspect_row_add(inspect, row, bytes);
    return row;
}

static void __attribute__((format(printf, 4, 5))) say(struct inspect *inspect, enum why_step step, enum why_result result, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct why_row *row = row_add(inspect, WHY_ROW_STEP, span_of_string(text), span_of(NULL, 0));
    row->step = (uint8_t)step;
    row->result = (uint8_t)result;
}

/* Of a name in a sentence. */
#define SHOWN(span) (int)((span).bytes < 200 ? (span).bytes : 200), (span).bytes ? (const char *)(span).data : ""

/* ---- the publisher's side --------------------------------------------------------------------------------------- */

/* False: it goes no further. */
static bool packet(struct broker_shard *broker, struct inspect *inspect, const struct session *session, struct span topic)
{
    const struct limits *limits = limits_of(broker, session->conn);
    struct mqtt_publish publish = {.qos = (uint8_t)inspect->qos, .retain = inspect->retain};
    enum mqtt_reason refused = publish_judge(broker, session, &publish);
    if (refused)
        return say(inspect, WHY_packet, WHY_STOP, "the publisher is disconnected: %s (0x%02x), by the limits of its listener", mqtt_reason_name(refused), refused), false;
    uint32_t levels = mqtt_topic_scan(topic).levels;
    if (limits->topic_levels_max && levels > limits->topic_levels_max)
        return say(inspect, WHY_packet, WHY_STOP, "the topic has %u levels; the publisher's listener takes %u (mqtt.max_topic_levels)", levels, limits->topic_levels_max), false;
    uint64_t bytes = topic.bytes + 2 + inspect->payload_bytes_max + (inspect->qos ? 2 : 0);
    if (bytes > limits->packet_bytes_max)
        return say(inspect, WHY_packet, WHY_STOP, "a packet of about %" PRIu64 " bytes is larger than the publisher's listener takes: %u (mqtt.max_packet_size)", bytes,
                   limits->packet_bytes_max), false;
    say(inspect, WHY_packet, WHY_PASS, "within the limits of the publisher's listener");
    uint8_t ours = session->conn->holds & (HOLD_PACE | HOLD_RATE);
    if (ours)
        say(inspect, WHY_packet, WHY_LATER, "the publisher is read more slowly just now: %s",
            ours & HOLD_RATE ? "it has used up a rate" : "its subscribers or the broker cannot keep up");
    return true;
}

static bool authorization(struct broker_shard *broker, struct inspect *inspect, struct session *session, struct span topic)
{
    if (!feature_attached(broker, FEATURE_GATE(publish)))
        return say(inspect, WHY_authorization, WHY_PASS, "nobody authorizes here: everything is allowed"), true;
    struct client_record *record = session->facts ? (struct client_record *)session->facts : NULL;
    if (!record || record->address_state != CLIENT_ADDRESS_KNOWN)
        return say(inspect, WHY_authorization, WHY_PERHAPS, "the features know the publisher's address only after its next packet: ask again then"), true;
    struct mqtt_properties none = {.present = 0};
    struct feature_publish asked = {.topic = topic, .payload = span_of("", 0), .qos = (uint8_t)inspect->qos, .retain = inspect->retain, .properties = &none};
    struct feature_verdict verdict = features_ask_publish(broker, record, &asked);
    char by[700];
    features_describe(broker, &record->facts, verdict, by, sizeof by);
    switch ((enum feature_decision)verdict.decision) {
    case FEATURE_DENY: return say(inspect, WHY_authorization, WHY_STOP, "denied: %s", by), false;
    case FEATURE_LATER: return say(inspect, WHY_authorization, WHY_PERHAPS, "it has to be asked for, and the answer is not here yet: %s", by), true;
    case FEATURE_PASS:
    case FEATURE_ALLOW:
    case FEATURE_CONTINUE: break;
    }
    return say(inspect, WHY_authorization, WHY_PASS, "allowed: %s", by), true;
}

static bool rewriting(struct broker_shard *broker, struct inspect *inspect, const struct session *session, struct span *topic)
{
    if (!(broker->extras_bits & EXTRA_REWRITE_PUBLISH)) return true;
    struct client_names names = client_names_of(session);
    switch (rewrite_apply(broker->extras->rewrite, broker->rewrite_scratch, REWRITE_PUBLISH, &names, broker->settings->mqtt.topic_levels_max, topic)) {
    case REWRITE_NONE: return true;
    case REWRITE_DONE: return say(inspect, WHY_rewrite, WHY_NOTE, "a rule of rewrite.rules makes %.*s of it", SHOWN(*topic)), true;
    case REWRITE_FAILED: break;
    }
    return say(inspect, WHY_rewrite, WHY_STOP, "what a rule of rewrite.rules makes of it is no topic: refused with 0x90"), false;
}

static bool reserved(struct span topic) { return span_starts_with(topic, SPAN_LITERAL("$SYS/")); }

void why_from(struct broker_shard *broker, struct inspect *inspect)
{
    struct span topic = inspect->match_topic;
    struct session *session = inspect->client_id.bytes ? session_find(broker, inspect->client_id) : NULL;
    bool connected = session && session->conn;
    if (inspect->client_id.bytes == 0)
        say(inspect, WHY_publisher, WHY_NOTE, "no publisher is named: judged as a message of the broker or its API, without limits and authorization of a client");
    else if (!session)
        say(inspect, WHY_publisher, WHY_PERHAPS, "the publisher is not connected and has no session: its authorization cannot be asked");
    else if (!connected)
        say(inspect, WHY_publisher, WHY_PERHAPS, "the publisher is away: its authorization cannot be asked");
    else
        say(inspect, WHY_publisher, WHY_PASS, "the publisher is connected");
    if (connected && !packet(broker, inspect, session, topic)) return;
    uint32_t delay_s = 0;
    if (broker->extras_bits & EXTRA_DELAYED && connected) {
        const char *wrong = delayed_parse(&broker->settings->delayed, &topic, &delay_s);
        if (wrong) return say(inspect, WHY_delayed, WHY_STOP, "refused with 0x90: %s (delayed.*)", wrong);
        if (topic.data != inspect->match_topic.data) say(inspect, WHY_delayed, WHY_LATER, "published after %u s, to %.*s", delay_s, SHOWN(topic));
    }
    if (connected && !authorization(broker, inspect, session, topic)) return;
    if (connected && !rewriting(broker, inspect, session, &topic)) return;
    if (reserved(topic)) return say(inspect, WHY_topic, WHY_STOP, "topics below $SYS are the broker's own: refused with 0x87");
    if (session && session->mounted) {
        topic = mount_topic(broker, session, topic);
        if (topic.bytes == 0) return say(inspect, WHY_mount, WHY_STOP, "too long with the publisher's mount point: the publisher is disconnected (0x90)");
        say(inspect, WHY_mount, WHY_NOTE, "with the publisher's mount point it is %.*s", SHOWN(topic));
    }
    if (durable_shut(broker) && inspect->qos)
        say(inspect, WHY_packet, WHY_PERHAPS, "%s: what must be durable is refused (0x97)",
            durable_full(broker) ? "the store is full (durability.disk_reserve)" : "the disk takes nothing just now");
    row_add(inspect, WHY_ROW_TOPIC, topic, span_of(NULL, 0));
}

/* ---- the subscriber's side -------------------------------------------------------------------------------------- */

struct matched {
    uint32_t plain, taken, groups, members;
    uint8_t qos;
    bool retain;
    uint32_t ids[16], ids_count;
};

static void subscription(struct broker_shard *broker, struct inspect *inspect, uint32_t local_id, const struct sink *sink, struct matched *matched)
{
    struct span filter, group;
    CHECK(sinks_text(broker->sinks, local_id, &filter, &group));
    bool own = inspect->group.bytes && span_equal(inspect->group, inspect->client_id);
    struct why_row *row = row_add(inspect, WHY_ROW_SUBSCRIPTION, filter, group);
    row->qos = sink->qos;
    row->no_local = sink->no_local;
    row->retain_as_published = sink->retain_as_published;
    row->subscription_id = sink->subscription_id;
    row->takes = !(sink->no_local && own);
    if (!row->takes) return;
    uint8_t qos = sink->qos < inspect->qos ? sink->qos : (uint8_t)inspect->qos;
    if (qos > matched->qos) matched->qos = qos;
    matched->retain |= inspect->retain && sink->retain_as_published;
    if (sink->subscription_id && matched->ids_count < 16) matched->ids[matched->ids_count++] = sink->subscription_id;
    matched->taken++;
}

/* The tables that a real message would be looked up in. */
static void match(struct broker_shard *broker, struct inspect *inspect, const struct session *session, struct matched *matched)
{
    const struct match_set *set = match_cache_lookup(broker->matches, inspect->match_topic);
    for (uint32_t i = 0; i < set->local_ids_count; i++) {
        const struct sink *sink = sinks_find_sink(broker->sinks, set->local_ids[i], session);
        if (!sink) continue;
        matched->plain++;
        subscription(broker, inspect, set->local_ids[i], sink, matched);
    }
    for (uint32_t g = 0; g < set->groups_count; g++) {
        const struct route_group *group = &set->groups[g];
        for (uint32_t t = 0; t < group->targets_count; t++) {
            if (group->targets[t].target != broker->shard->number) continue;
            const struct sink *sink = sinks_find_sink(broker->sinks, group->targets[t].local_id, session);
            if (!sink) continue;
            struct span filter, name;
            CHECK(sinks_text(broker->sinks, group->targets[t].local_id, &filter, &name));
            matched->groups++;
            if (group->weight_total > matched->members) matched->members = (uint32_t)group->weight_total;
            subscription(broker, inspect, group->targets[t].local_id, sink, matched);
            if (group->weight_total == 1)
                say(inspect, WHY_share, WHY_PASS, "it is the only member of the shared group %.*s", SHOWN(name));
            else
                say(inspect, WHY_share, matched->plain ? WHY_NOTE : WHY_PERHAPS, "it is one of %" PRIu64 " members of the shared group %.*s; strategy %s: one of them gets it",
                    group->weight_total, SHOWN(name), share_strategy_name((enum share_strategy)group->strategy));
        }
    }
}

static bool matches_folded(struct span topic, struct span filter)
{
    char *a = memory_acquire(topic.bytes + filter.bytes + 1), *b = a + topic.bytes;
    for (size_t i = 0; i < topic.bytes; i++)
        a[i] = (char)tolower(topic.data[i]);
    for (size_t i = 0; i < filter.bytes; i++)
        b[i] = (char)tolower(filter.data[i]);
    bool matches = mqtt_topic_matches_filter(span_of(a, topic.bytes), span_of(b, filter.bytes));
    memory_release(a);
    return matches;
}

/* Nothing matches: what it is subscribed to, and what that looks like. */
static void near_misses(struct broker_shard *broker, struct inspect *inspect, const struct session *session)
{
    char list[700] = "";
    size_t used = 0;
    struct span topic = inspect->match_topic;
    for (uint32_t i = 0; i < session->subscriptions_count && i < 1000; i++) {
        struct span filter, group;
        if (!sinks_text(broker->sinks, session->subscriptions[i], &filter, &group)) continue;
        if (used < 400) used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", used ? ", " : "", (int)(filter.bytes < 100 ? filter.bytes : 100), filter.data);
        if (topic.data[0] == '$' && (filter.data[0] == '#' || filter.data[0] == '+'))
            say(inspect, WHY_matching, WHY_NOTE, "%.*s: a filter that begins with a wildcard never matches a topic that begins with $", SHOWN(filter));
        else if (matches_folded(topic, filter))
            say(inspect, WHY_matching, WHY_NOTE, "%.*s would match if upper and lower case were the same: they are not", SHOWN(filter));
        else if (topic.data[0] == '/' && topic.bytes > 1 && mqtt_topic_matches_filter(span_skip(topic, 1), filter))
            say(inspect, WHY_matching, WHY_NOTE, "%.*s would match without the / in front of the topic: that is a level of its own", SHOWN(filter));
        else if (filter.data[0] == '/' && filter.bytes > 1 && mqtt_topic_matches_filter(topic, span_skip(filter, 1)))
            say(inspect, WHY_matching, WHY_NOTE, "%.*s would match without the / in front of it: that is a level of its own", SHOWN(filter));
    }
    if (session->subscriptions_count == 0)
        say(inspect, WHY_matching, WHY_STOP, "the client has no subscription");
    else
        say(inspect, WHY_matching, WHY_STOP, "none of its %u subscriptions matches: %s%s", session->subscriptions_count, list, used >= 400 ? ", …" : "");
}

static void queueing(struct broker_shard *broker, struct inspect *inspect, struct session *session, struct publication *publication, const struct matched *matched)
{
    static const char *const waits[TRACE_WAITS] = {"the client is away: it waits until the client comes back", "other messages wait before it",
                                                   "as many messages are unacknowledged as may be (the client's Receive Maximum, mqtt.max_inflight)",
                                                   "the client does not read fast enough", "a rate of deliveries is used up (limiter.*)", "it has to be on disk first"};
    struct delivery_options options = {.qos = matched->qos, .retain = matched->retain, .more_ids = matched->ids, .more_ids_count = matched->ids_count};
    struct delivery_way way = session_delivery_way(broker, session, publication, &options);
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    if (way.too_large)
        return say(inspect, WHY_size, WHY_STOP, "a packet of %" PRIu64 " bytes is larger than the client's Maximum Packet Size, %u: dropped, as if it had been delivered",
                   way.packet_bytes, session->packet_bytes_max);
    if (way.offline) return say(inspect, WHY_session, WHY_STOP, "QoS 0, and the client is away: dropped (mqtt.mqueue_store_qos0)");
    if (way.at_once) return say(inspect, WHY_queue, WHY_PASS, "it would be sent at once");
    bool full = way.queue_full || way.node_full;
    const char *what = way.queue_full ? "the queue is full with" : "the queues of the node are full, this client's with";
    const char *keys = way.queue_full ? "mqtt.max_mqueue_len, mqtt.max_mqueue_bytes" : "mqtt.max_node_mqueue_len, mqtt.max_node_mqueue_bytes";
    if (full && mqtt->queue_policy == QUEUE_DROP_OLDEST && way.queued)
        say(inspect, WHY_queue, WHY_NOTE, "%s %" PRIu64 " messages (%s): the oldest makes room (mqtt.mqueue_policy = drop_oldest)", what, way.queued, keys);
    else if (full)
        return say(inspect, WHY_queue, WHY_STOP, "%s %" PRIu64 " messages (%s): dropped%s", what, way.queued, keys,
                   mqtt->queue_policy == QUEUE_DISCONNECT ? ", and the client is disconnected" : "");
    say(inspect, WHY_window, WHY_LATER, "%s; %" PRIu64 " wait already", waits[trace_wait_of(broker, session, way.queued, matched->qos)], way.queued);
}

void why_to(struct broker_shard *broker, struct inspect *inspect)
{
    struct session *session = session_find(broker, inspect->client_id);
    struct matched matched = {0};
    if (!session) return say(inspect, WHY_client, WHY_STOP, "the client is not connected, and there is no session of it: nothing is kept for it");
    if (session->conn) {
        const struct listener_settings *listener = broker->shard->group->listeners[session->conn->listener].settings;
        say(inspect, WHY_client, session->kicked ? WHY_STOP : WHY_PASS, session->kicked ? "the client is just being disconnected" : "the client is connected, by %s.%s, MQTT %s",
            listener_kind_names[listener->kind], listener->name, mqtt_version_name((enum mqtt_version)session->version));
    } else {
        say(inspect, WHY_client, WHY_NOTE, "the client is away; its session is kept%s", session_is_durable(session) ? ", also over a restart" : "");
    }
    match(broker, inspect, session, &matched);
    if (matched.plain + matched.groups == 0) return near_misses(broker, inspect, session);
    say(inspect, WHY_matching, WHY_PASS, "%u of its subscriptions match%s", matched.plain + matched.groups, matched.plain + matched.groups == 1 ? "es" : "");
    if (matched.taken == 0) return say(inspect, WHY_no_local, WHY_STOP, "it is its own message, and the subscription says no local (or it is a bridge)");
    struct publication publication = {.topic = inspect->match_topic, .payload = span_of("", inspect->payload_bytes_max), .qos = (uint8_t)inspect->qos,
                                      .retain = inspect->retain};
    say(inspect, WHY_qos, matched.qos < inspect->qos ? WHY_NOTE : WHY_PASS, matched.qos < inspect->qos ? "with QoS %u: the subscription has no higher one" : "with QoS %u", matched.qos);
    struct span shown = session->mounted ? mount_strip(session, inspect->match_topic) : inspect->match_topic;
    struct why_row *row = row_add(inspect, WHY_ROW_DELIVERY, shown, span_of(NULL, 0));
    row->qos = matched.qos;
    row->retain = matched.retain;
    row->ids_count = matched.ids_count;
    memcpy(row->ids, matched.ids, sizeof row->ids);
    queueing(broker, inspect, session, &publication, &matched);
}
