/* micro_path.c - the broker's own work on one message, without a kernel: decode → route → encode.
 *
 * Shards on a kernel that hands them prepared bytes and swallows what they send. PUBLISH packets of one publisher go to its
 * subscribers, `batch` of them to a receive, as a busy socket brings them. Publisher and subscribers live on one shard, or
 * (`cross`) on two, and both shards' work counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "engine/listener.h"
#include "perf/micro.h"
#include "proto/decode.h"
#include "proto/encode.h"

/* ---- a kernel that is not there --------------------------------------------------------------------------------- */

#define SOCKETS_MAX 2048

#define LOOP_SHARDS 2

#define SUBSCRIBERS_ANSWER_MAX 5

/* What one shard has of it. */
struct loop {
    uint64_t receive_user[SOCKETS_MAX];
    struct kernel_completion waiting[SOCKETS_MAX * 2];
    uint32_t waiting_count, events; /* events: those of them that end a wait */
    uint64_t accept_user;
};

static struct loop loops[LOOP_SHARDS];
static struct {
    int next_fd;
    uint64_t sent_bytes;
    uint64_t now_ns;
    struct {
        uint8_t bytes[1 << 16];
        uint32_t count;
    } acks[SUBSCRIBERS_ANSWER_MAX + 1]; /* what the subscriber with this descriptor answers */
    int answers_last;                  /* descriptors 1 … this one are those of subscribers that do */
} world;

static const struct kernel_features features = {.send_vectorized = true, .multishot_accept = true, .multishot_receive = true};

static struct kernel_ring *loop_open(uint32_t shard, const struct settings *settings, char *error, size_t bytes)
{
    return (struct kernel_ring *)&loops[shard];
}
static struct loop *loop_of(struct kernel_ring *ring) { return (struct loop *)ring; }
static void loop_close(struct kernel_ring *ring) {}
static const struct kernel_features *loop_features(const struct kernel_ring *ring) { return &features; }
static uint64_t loop_now(struct kernel_ring *ring) { return world.now_ns += 1000; }
static void loop_accept(struct kernel_ring *ring, int listener, enum kernel_accept which, uint64_t user) { loop_of(ring)->accept_user = user; }
static void loop_receive(struct kernel_ring *ring, int fd, bool once, uint64_t user) { loop_of(ring)->receive_user[fd] = user; }
static void loop_receive_done(struct kernel_ring *ring, uint32_t buffer) {}
static void loop_receive_keep(struct kernel_ring *ring, uint32_t buffer) {}

static void complete(struct loop *loop, uint64_t user, int result, const void *data, uint32_t flags)
{
    loop->waiting[loop->waiting_count++] =
        (struct kernel_completion){.user = user, .result = result, .data = data, .flags = flags};
    loop->events++;
}

/* What all clients speak. */
static enum mqtt_version version = MQTT_3_1_1;

/* The subscriber acknowledges QoS 1 at once: its PUBACKs arrive in the next turn. */
static void answer(int fd, const uint8_t *data, size_t bytes)
{
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = version};
    struct mqtt_packet packet;
    for (size_t at = 0; at < bytes;) {
        struct mqtt_decoded decoded = mqtt_decode(span_of(data + at, bytes - at), &limits, &packet);
        CHECK(decoded.status == MQTT_DECODED);
        if (packet.type == MQTT_PUBLISH && packet.publish.qos == 1)
            world.acks[fd].count += (uint32_t)mqtt_write_ack(world.acks[fd].bytes + world.acks[fd].count, MQTT_PUBACK, packet.publish.packet_id);
        at += decoded.bytes;
    }
}

static void loop_send(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user)
{
    world.sent_bytes += bytes;
    if (fd >= 1 && fd <= world.answers_last) answer(fd, data, bytes);
    complete(loop_of(ring), user, (int)bytes, NULL, 0);
}
static void loop_send_now(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user)
{
    loop_send(ring, fd, data, bytes, user);
    loop_of(ring)->events--;
}
static void loop_send_vector(struct kernel_ring *ring, int fd, const struct iovec *pieces, uint32_t count, bool at_once, uint64_t user)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    world.sent_bytes += bytes;
    complete(loop_of(ring), user, (int)bytes, NULL, 0);
}
static void loop_write_sync(struct kernel_ring *ring, int fd, const void *data, uint32_t bytes, uint64_t offset, uint64_t user)
{
    complete(loop_of(ring), user, (int)bytes, NULL, 0);
}
static void loop_cancel(struct kernel_ring *ring, uint64_t target) { complete(loop_of(ring), target, -125, NULL, 0); }
static void loop_shutdown(struct kernel_ring *ring, int fd, uint64_t user) { complete(loop_of(ring), user, 0, NULL, 0); }
static void loop_close_fd(struct kernel_ring *ring, int fd, uint64_t user) { complete(loop_of(ring), user, 0, NULL, 0); }
static void loop_wake(struct kernel_ring *from, uint32_t to) {} /* mesh_ready() says so, too */
static uint32_t loop_wait(struct kernel_ring *ring, uint64_t timeout, uint64_t min, struct kernel_completion *out, uint32_t max)
{
    struct loop *loop = loop_of(ring);
    uint32_t count = loop->waiting_count < max ? loop->waiting_count : max;
    memcpy(out, loop->waiting, count * sizeof *out);
    memmove(loop->waiting, loop->waiting + count, (loop->waiting_count - count) * sizeof *out);
    loop->waiting_count -= count;
    loop->events = loop->waiting_count;
    return count;
}
static uint32_t loop_settle(struct kernel_ring *ring, struct kernel_completion *out, uint32_t max) { return loop_wait(ring, 0, 0, out, max); }
static bool loop_ready(struct kernel_ring *ring) { return true; }

static const struct kernel_verbs kernel_loop = {
    .name = "loop", .open = loop_open, .close = loop_close, .features = loop_features, .monotonic_ns = loop_now,
    .realtime_ns = loop_now, .accept = loop_accept, .receive = loop_receive, .receive_done = loop_receive_done, .receive_keep = loop_receive_keep,
    .send = loop_send, .send_vector = loop_send_vector, .send_now = loop_send_now, .cancel = loop_cancel, .shutdown = loop_shutdown,
    .close_fd = loop_close_fd, .write_sync = loop_write_sync, .wake = loop_wake, .wait = loop_wait, .settle = loop_settle, .ready = loop_ready};

/* ---- the scene -------------------------------------------------------------------------------------------------- */

static struct shard *shards[LOOP_SHARDS];
static uint32_t shards_count;

static void feed(uint32_t shard, int fd, const void *data, size_t bytes)
{
    complete(&loops[shard], loops[shard].receive_user[fd], (int)bytes, data, KERNEL_MORE | KERNEL_BUFFER);
}

static void turns(uint32_t count)
{
    while (count--)
        for (uint32_t i = 0; i < shards_count; i++)
            shard_turn(shards[i], 0);
}

/* As many turns as a kernel would wake the shards for. */
static void turns_until_asleep(void)
{
    for (bool awake = true; awake;) {
        awake = false;
        for (uint32_t i = 0; i < shards_count; i++) {
            if (!loops[i].events && !shards[i]->more_next_turn && !mesh_inbox_waits(shards[i]->inbox)) continue;
            shard_turn(shards[i], UINT64_MAX);
            awake = true;
        }
    }
}

struct client {
    int fd;
    uint32_t shard;
};

/* What a micro case wants beyond a broker and its clients. */
static bool with_store, subscribers_stay;

/* The next client whose home is that shard. */
static struct client client_connect(uint32_t home, bool stays)
{
    static uint32_t number;
    struct client client = {world.next_fd++, home};
    uint8_t packet[128];
    char id[24];
    do {
        snprintf(id, sizeof id, "bench-%u", number++);
    } while (broker_home(broker_of(shards[0])->broker, hash_span(span_of_string(id))) != home);
    struct mqtt_packet connect = {.type = MQTT_CONNECT,
                                  .connect = {.version = version, .clean_start = !stays, .client_id = span_of_string(id)}};
    connect.connect.properties.present = 0;
    size_t bytes = mqtt_encode(packet, sizeof packet, version, &connect);
    complete(&loops[home], loops[home].accept_user, client.fd, NULL, KERNEL_MORE);
    turns(1);
    feed(home, client.fd, packet, bytes);
    turns(4);
    return client;
}

static struct span filter = SPAN_LITERAL("bench/topic/1");

static void client_subscribe(struct client client, uint8_t qos)
{
    uint8_t packet[128];
    struct mqtt_subscription entry = {.full_filter = filter, .qos = qos};
    struct mqtt_packet subscribe = {.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = 1, .subscriptions = &entry}};
    subscribe.subscribe.properties.present = 0;
    feed(client.shard, client.fd, packet, mqtt_encode(packet, sizeof packet, version, &subscribe));
    turns(4);
}

static struct {
    uint8_t *bytes;
    size_t bytes_count;
    uint32_t batch;
    struct client publisher;
    uint32_t subscribers_shard;
} scene;

static void acknowledge_all(void)
{
    bool any = false;
    for (int fd = 1; fd <= world.answers_last; fd++) {
        if (!world.acks[fd].count) continue;
        any = true;
        feed(scene.subscribers_shard, fd, world.acks[fd].bytes, world.acks[fd].count);
        world.acks[fd].count = 0;
    }
    if (any) turns_until_asleep();
}

static void receive_once(void)
{
    feed(scene.publisher.shard, scene.publisher.fd, scene.bytes, scene.bytes_count);
    turns_until_asleep();
    acknowledge_all();
}

static enum micro_features wanted;

static void shards_open(uint32_t count)
{
    static struct listener_settings listener_settings = {
        .name = "bench", .protocol_versions = "3.1, 3.1.1, 5.0", .mountpoint = "", .packet_bytes_max = LISTENER_INHERIT,
        .receive_max = LISTENER_INHERIT, .topic_alias_max = LISTENER_INHERIT, .keep_alive_max_s = LISTENER_INHERIT,
        .qos_max = LISTENER_INHERIT, .retain_available = SWITCH_INHERIT, .wildcard_available = SWITCH_INHERIT,
        .shared_available = SWITCH_INHERIT};
    static struct settings settings = {
        .node = {.connections_max = SOCKETS_MAX},
        .mqtt = {.packet_bytes_max = 1 << 20, .receive_max = 1024, .inflight_max = 1024, .topic_levels_max = 128,
                 .client_id_bytes_max = 100, .qos_max = 2, .retain_available = true, .wildcard_available = true,
                 .shared_available = true, .queue_messages_max = 100000, .queue_bytes_max = 1 << 30,
                 .match_cache_topics = 4096, .share_strategy = SHARE_ROUND_ROBIN, .response_information = "", .denied_filters = "", .session_expiry_max_s = 3600},
        .durability = {.checkpoint_bytes = 1ull << 40, .backlog_bytes_max = 1 << 30, .queue_window = UINT32_MAX, .queue_window_bytes = 1ull << 40},
        .listeners = &listener_settings, .listeners_count = 1};
    static struct listener listener = {.settings = &listener_settings};
    static struct shard_group group;
    shards_count = count;
    struct broker *broker = broker_create(&settings, count, 1);
    settings.features.gate_budget_us = 1000000;
    settings.metrics.exemplars = true; /* as they come */
    if (wanted) micro_features_attach(broker, &settings, wanted);
    if (with_store) micro_store_attach(broker, count);
    group = (struct shard_group){.shards_count = count, .verbs = &kernel_loop, .handler = &broker_handler,
                                 .mesh = mesh_create(count, LANE_SLOTS), .qsbr = &broker->qsbr, .listeners = &listener,
                                 .listeners_count = 1};
    int listener_fd = 0;
    char error[100];
    world.now_ns = 1000000000000;
    for (uint32_t i = 0; i < count; i++) {
        shards[i] = shard_create(i, &group, &settings, &listener_fd, 1, broker->shards[i], error, sizeof error);
        CHECK(shards[i]);
        shard_start(shards[i]);
    }
}

/* Each message of a receive has another topic than the one before; and each of them its filter, if there is none for all. */
#define TOPICS 16
static uint32_t topics_count = 1;
static bool filter_each;
static struct span topic_of(uint32_t number)
{
    static char topics[TOPICS][32];
    snprintf(topics[number % topics_count], sizeof *topics, "bench/topic/%u", number % topics_count + 1);
    return span_of_string(topics[number % topics_count]);
}

static void client_subscribe_each(struct client client, uint8_t qos)
{
    for (uint32_t i = 0; i < topics_count; i++) {
        filter = topic_of(i);
        client_subscribe(client, qos);
    }
}

/* One publisher, and `subscribers` to what it publishes. */
static void scene_open(uint8_t qos, uint32_t payload_bytes, uint32_t batch, uint32_t subscribers, bool cross)
{
    log_configure(LOG_OFF, LOG_TEXT);
    shards_open(cross ? 2 : 1);
    scene.batch = batch;
    if (with_store) turns(8); /* nothing is restored, and nothing written once more */
    scene.publisher = client_connect(0, false);
    scene.subscribers_shard = cross ? 1 : 0;
    for (uint32_t i = 1; i <= subscribers; i++)
        (filter_each ? client_subscribe_each : client_subscribe)(client_connect(scene.subscribers_shard, subscribers_stay), qos);
    CHECK(qos == 0 || subscribers <= SUBSCRIBERS_ANSWER_MAX);
    world.answers_last = qos == 1 ? (int)subscribers : 0;

    static uint8_t payload[65536];
    uint8_t *at = scene.bytes = memory_acquire(batch * (payload_bytes + 64));
    for (uint32_t i = 0; i < batch; i++) {
        struct mqtt_packet publish = {.type = MQTT_PUBLISH,
                                      .publish = {.qos = qos,
                                                  .packet_id = qos ? (uint16_t)(i + 1) : 0,
                                                  .topic = topic_of(i),
                                                  .payload = span_of(payload, payload_bytes)}};
        publish.publish.properties.present = 0;
        publish.publish.properties.raw = span_of(NULL, 0);
        at += mqtt_encode(at, payload_bytes + 64, version, &publish);
    }
    scene.bytes_count = (size_t)(at - scene.bytes);
}

static void setup_single(uint64_t size) { scene_open(0, (uint32_t)size, 1, 1, false); }
static void setup_batch(uint64_t size) { scene_open(0, (uint32_t)size, 64, 1, false); }
static void setup_fan(uint64_t size) { scene_open(0, 16, 64, (uint32_t)size, false); }
static void setup_single_qos1(uint64_t size) { scene_open(1, (uint32_t)size, 1, 1, false); }
static void setup_batch_qos1(uint64_t size) { scene_open(1, (uint32_t)size, 64, 1, false); }

static void setup_cross_single(uint64_t size) { scene_open(0, (uint32_t)size, 1, 1, true); }
static void setup_cross_single_qos1(uint64_t size) { scene_open(1, (uint32_t)size, 1, 1, true); }
static void setup_cross_batch(uint64_t size) { scene_open(0, (uint32_t)size, 64, 1, true); }
static void setup_cross_fan(uint64_t size) { scene_open(0, 16, 64, (uint32_t)size, true); }
static void setup_cross_batch_qos1(uint64_t size) { scene_open(1, (uint32_t)size, 64, 1, true); }

static void topics_open(uint64_t size, bool each, bool cross)
{
    topics_count = TOPICS;
    filter_each = each;
    filter = SPAN_LITERAL("bench/topic/+");
    scene_open(0, (uint32_t)size, 64, 1, cross);
}
static void setup_topics(uint64_t size) { topics_open(size, true, false); }
static void setup_topics_plus(uint64_t size) { topics_open(size, false, false); }
static void setup_cross_topics(uint64_t size) { topics_open(size, true, true); }
static void setup_cross_topics_plus(uint64_t size) { topics_open(size, false, true); }

/* The subscribers are the members of one group. */
static void group_open(uint8_t qos, uint64_t size, uint32_t members, bool cross)
{
    filter = SPAN_LITERAL("$share/group/bench/topic/1");
    scene_open(qos, (uint32_t)size, 64, members, cross);
}
static void setup_shared(uint64_t size) { group_open(0, size, 4, false); }
static void setup_shared_qos1(uint64_t size) { group_open(1, size, 1, false); }

/* A thousand publishers, whose receives have 32 messages each (the one that is there already is not among them), to a group of five. */
#define CROWD_BATCH 32
#define CROWD_FED   64 /* publishers to a turn: what the budget of its packets has room for */

static struct {
    struct client publishers[1000];
    uint32_t next;
} crowd;

static void setup_shared_crowd(uint64_t size)
{
    version = MQTT_5;
    filter = SPAN_LITERAL("$share/group/bench/topic/1");
    scene_open(1, (uint32_t)size, CROWD_BATCH, 5, false);
    for (uint32_t i = 0; i < 1000; i++)
        crowd.publishers[i] = client_connect(0, false);
}

static uint64_t run_crowd(uint64_t count)
{
    const struct stats *stats = &shards[0]->stats;
    uint64_t before = stats->publish_sent;
    for (uint64_t sent = 0; sent < count; sent += CROWD_FED * CROWD_BATCH) {
        for (uint32_t i = 0; i < CROWD_FED; i++, crowd.next = (crowd.next + 1) % 1000)
            feed(0, crowd.publishers[crowd.next].fd, scene.bytes, scene.bytes_count);
        turns_until_asleep();
        acknowledge_all();
    }
    CHECK(stats->inflight_messages == 0 && stats->queued_messages == 0);
    return stats->publish_sent - before;
}

static void setup_cross_shared(uint64_t size) { group_open(0, size, 4, true); }
static void setup_cross_shared_qos1(uint64_t size) { group_open(1, size, 1, true); }

static void setup_pass(uint64_t size)
{
    wanted = MICRO_PASS;
    setup_batch(size);
}
static void setup_pass_each(uint64_t size)
{
    wanted = MICRO_PASS_EACH;
    setup_batch(size);
}
static void setup_acl(uint64_t size)
{
    wanted = MICRO_ACL;
    setup_batch(size);
}
static void setup_acl_single(uint64_t size)
{
    wanted = MICRO_ACL;
    setup_single(size);
}
static void setup_acl_each(uint64_t size)
{
    wanted = MICRO_ACL_EACH;
    setup_batch(size);
}

static void setup_sink(uint64_t size)
{
    wanted = MICRO_SINK;
    setup_batch(size);
}

/* A trace is on, and not about the clients and topics at hand. */
static void trace_open(enum trace_kind kind, struct span value)
{
    static struct trace_set set = {.count = 1};
    struct broker_shard *broker = broker_of(shards[0]);
    struct inspect *question = inspect_create(INSPECT_TRACE);
    broker->broker->trace = trace_node_create(1, TRACE_RING_BYTES_MIN);
    trace_node_open(broker->broker->trace);
    set.rules[0] = (struct trace_rule){.kind = kind, .value = value};
    set.topics = kind == TRACE_TOPIC;
    question->traces = &set;
    CHECK(trace_install(broker, question, 1000));
    inspect_release(question);
}

static void setup_trace_client(uint64_t size)
{
    setup_batch(size);
    trace_open(TRACE_CLIENT_ID, SPAN_LITERAL("somebody else"));
}
static void setup_trace_topic(uint64_t size)
{
    setup_batch(size);
    trace_open(TRACE_TOPIC, SPAN_LITERAL("some/other/topic/#"));
}

/* A store is on: nobody durable, or the subscriber is, or it is and has gone. */
static void setup_store_batch(uint64_t size)
{
    with_store = true;
    setup_batch(size);
}
static void setup_store_qos1(uint64_t size)
{
    with_store = true;
    setup_batch_qos1(size);
}
static void setup_durable(uint64_t size)
{
    with_store = subscribers_stay = true;
    setup_batch_qos1(size);
}
static void setup_durable_single(uint64_t size)
{
    with_store = subscribers_stay = true;
    setup_single_qos1(size);
}
static void setup_durable_cross(uint64_t size)
{
    with_store = subscribers_stay = true;
    setup_cross_batch_qos1(size);
}
static void setup_durable_away(uint64_t size)
{
    static const uint8_t disconnect[] = {0xe0, 0};
    setup_durable(size);
    feed(scene.subscribers_shard, 1, disconnect, sizeof disconnect);
    turns(4);
}

/* Counts what is queued for one who is away. */
static uint64_t run_away(uint64_t count)
{
    const struct stats *stats = &shards[scene.subscribers_shard]->stats;
    uint64_t before = stats->deliveries_queued;
    for (uint64_t sent = 0; sent < count; sent += scene.batch)
        receive_once();
    return stats->deliveries_queued - before;
}

/* Counts deliveries. */
static uint64_t run(uint64_t count)
{
    const struct stats *stats = &shards[scene.subscribers_shard]->stats;
    uint64_t before = stats->publish_sent;
    for (uint64_t sent = 0; sent < count; sent += scene.batch)
        receive_once();
    return stats->publish_sent - before;
}

/* Very many filters, of four kinds, spread over some hundred subscribers, and topics that hardly ever come again. */
#define WIDE_SUBSCRIBERS 500
#define WIDE_BATCHES     1024
#define WIDE_BATCH       16
#define WIDE_FILTERS     50 /* to a SUBSCRIBE */
#define WIDE_NAME_BYTES  64

static struct {
    uint8_t *bytes[WIDE_BATCHES];
    size_t bytes_count[WIDE_BATCHES];
    uint32_t next;
} wide;

static struct span wide_name(uint64_t device, bool is_filter, char *out)
{
    static const char *const kinds[4] = {"bench/site%lu/device%lu/status", "bench/site%lu/device%lu/+", "bench/site%lu/device%lu/#", "bench/+/device%lu/status"};
    unsigned long site = device / 1000, number = device;
    int bytes = is_filter && device % 4 == 3 ? snprintf(out, WIDE_NAME_BYTES, kinds[3], number)
                                             : snprintf(out, WIDE_NAME_BYTES, kinds[is_filter ? device % 4 : 0], site, number);
    return span_of(out, (size_t)bytes);
}

static void wide_subscribe(struct client client, uint64_t first, uint64_t count)
{
    static uint8_t packet[WIDE_FILTERS * (WIDE_NAME_BYTES + 8)];
    char names[WIDE_FILTERS][WIDE_NAME_BYTES];
    struct mqtt_subscription entries[WIDE_FILTERS];
    for (uint64_t done = 0; done < count;) {
        uint16_t some = 0;
        for (; some < WIDE_FILTERS && done < count; some++, done++)
            entries[some] = (struct mqtt_subscription){.full_filter = wide_name(first + done * WIDE_SUBSCRIBERS, true, names[some])};
        struct mqtt_packet subscribe = {.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = some, .subscriptions = entries}};
        subscribe.subscribe.properties.present = 0;
        feed(client.shard, client.fd, packet, mqtt_encode(packet, sizeof packet, MQTT_3_1_1, &subscribe));
        turns(4);
    }
}

static void setup_wide(uint64_t size)
{
    struct random_source random = {11};
    static uint8_t payload[16];
    scene_open(0, sizeof payload, WIDE_BATCH, 0, false);
    for (uint64_t i = 0; i < WIDE_SUBSCRIBERS; i++)
        wide_subscribe(client_connect(0, false), i, size / WIDE_SUBSCRIBERS);
    for (uint32_t i = 0; i < WIDE_BATCHES; i++) {
        uint8_t *at = wide.bytes[i] = memory_acquire(WIDE_BATCH * (WIDE_NAME_BYTES + sizeof payload + 8));
        for (uint32_t n = 0; n < WIDE_BATCH; n++) {
            char name[WIDE_NAME_BYTES];
            struct mqtt_packet publish = {.type = MQTT_PUBLISH, .publish = {.topic = wide_name(random_below(&random, size), false, name), .payload = span_of(payload, sizeof payload)}};
            publish.publish.properties.present = 0;
            publish.publish.properties.raw = span_of(NULL, 0);
            at += mqtt_encode(at, WIDE_NAME_BYTES + sizeof payload + 8, MQTT_3_1_1, &publish);
        }
        wide.bytes_count[i] = (size_t)(at - wide.bytes[i]);
    }
}

static uint64_t run_wide(uint64_t count)
{
    const struct stats *stats = &shards[0]->stats;
    uint64_t before = stats->publish_sent;
    for (uint64_t sent = 0; sent < count; sent += WIDE_BATCH, wide.next = (wide.next + 1) % WIDE_BATCHES) {
        scene.bytes = wide.bytes[wide.next];
        scene.bytes_count = wide.bytes_count[wide.next];
        receive_once();
    }
    return stats->publish_sent - before;
}

/* A life: a connection comes, says CONNECT, SUBSCRIBE, DISCONNECT, and is closed; beside one that stays. */
static struct {
    uint8_t bytes[3][128];
    size_t counts[3];
} life;

static void setup_life(uint64_t size)
{
    struct mqtt_subscription entry = {.full_filter = SPAN_LITERAL("bench/life/1")};
    struct mqtt_packet packets[3] = {
        {.type = MQTT_CONNECT, .connect = {.version = MQTT_3_1_1, .clean_start = true, .client_id = SPAN_LITERAL("bench-life")}},
        {.type = MQTT_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = 1, .subscriptions = &entry}},
        {.type = MQTT_DISCONNECT}};
    log_configure(LOG_OFF, LOG_TEXT);
    shards_open(1);
    client_subscribe(client_connect(0, false), 0);
    packets[0].connect.properties.present = packets[1].subscribe.properties.present = packets[2].disconnect.properties.present = 0;
    for (int i = 0; i < 3; i++)
        life.counts[i] = mqtt_encode(life.bytes[i], sizeof life.bytes[i], MQTT_3_1_1, &packets[i]);
}

static uint64_t run_lives(uint64_t count)
{
    const struct stats *stats = &shards[0]->stats;
    uint64_t before = stats->packets_sent;
    for (uint64_t lived = 0; lived < count; lived++) {
        complete(&loops[0], loops[0].accept_user, 1, NULL, KERNEL_MORE);
        turns(1);
        for (int i = 0; i < 3; i++) {
            feed(0, 1, life.bytes[i], life.counts[i]);
            turns(3); /* the packet, the answer's completion, what was cancelled */
        }
        CHECK(shards[0]->conns_open == 1);
    }
    CHECK(stats->packets_sent - before == 2 * count); /* CONNACK and SUBACK */
    return count;
}

const struct micro_case micro_path[] = {
    {"path-qos0-single", setup_single, run, 16, 4096},
    {"path-qos0-64", setup_batch, run, 16, 4096},
    {"path-qos0-1k-64", setup_batch, run, 1024, 4096},
    {"path-qos0-64-to-100", setup_fan, run, 100, 1024},
    {"path-sink-64", setup_sink, run, 16, 4096},
    {"path-gate-64", setup_pass, run, 16, 4096},
    {"path-gate-asked-64", setup_pass_each, run, 16, 4096},
    {"path-acl-64", setup_acl, run, 16, 4096},
    {"path-acl-single", setup_acl_single, run, 16, 4096},
    {"path-acl-uncached-64", setup_acl_each, run, 16, 4096},
    {"path-trace-of-others-64", setup_trace_client, run, 16, 4096},
    {"path-trace-of-other-topics-64", setup_trace_topic, run, 16, 4096},
    {"path-wide-16-1k", setup_wide, run_wide, 1000, 4096},
    {"path-wide-16-30k", setup_wide, run_wide, 30000, 4096},
    {"path-wide-16-1m", setup_wide, run_wide, 1000000, 16384},
    {"path-life", setup_life, run_lives, 0, 1024},
    {"path-qos1-single", setup_single_qos1, run, 16, 4096},
    {"path-qos1-64", setup_batch_qos1, run, 16, 4096},
    {"path-cross-qos0-single", setup_cross_single, run, 16, 4096},
    {"path-cross-qos1-single", setup_cross_single_qos1, run, 16, 4096},
    {"path-cross-qos0-64", setup_cross_batch, run, 16, 4096},
    {"path-cross-qos0-64-to-100", setup_cross_fan, run, 100, 1024},
    {"path-cross-qos1-64", setup_cross_batch_qos1, run, 16, 4096},
    {"path-topics-64", setup_topics, run, 16, 4096},
    {"path-topics-plus-64", setup_topics_plus, run, 16, 4096},
    {"path-cross-topics-64", setup_cross_topics, run, 16, 4096},
    {"path-cross-topics-plus-64", setup_cross_topics_plus, run, 16, 4096},
    {"path-shared-64", setup_shared, run, 16, 4096},
    {"path-shared-qos1-64", setup_shared_qos1, run, 16, 4096},
    {"path-shared-qos1-1000", setup_shared_crowd, run_crowd, 16, 32768},
    {"path-cross-shared-64", setup_cross_shared, run, 16, 4096},
    {"path-cross-shared-qos1-64", setup_cross_shared_qos1, run, 16, 4096},
    {"path-store-qos0-64", setup_store_batch, run, 16, 4096},
    {"path-store-qos1-64", setup_store_qos1, run, 16, 4096},
    {"path-durable-single", setup_durable_single, run, 256, 4096},
    {"path-durable-64", setup_durable, run, 256, 4096},
    {"path-durable-away-64", setup_durable_away, run_away, 256, 4096},
    {"path-cross-durable-64", setup_durable_cross, run, 256, 4096},
    {0},
};
