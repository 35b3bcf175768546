#include <criterion/criterion.h>

#include <string.h>

#include "broker/broker.h"
#include "broker/run_send.h"
#include "proto/decode.h"

#define KIND   RECORD_PUBLISH_RUN
#define FILTER 7u

static struct shard sender; /* nothing of it is used but its ways and counters */
static struct mesh *mesh;

static void wake(struct kernel_ring *from, uint32_t to) {}
static const struct kernel_verbs verbs = {.wake = wake};

static void begin(uint32_t lane_cells)
{
    mesh = mesh_create(2, lane_cells);
    sender = (struct shard){.number = 0, .ways = mesh_ways(mesh, 0)};
}

static struct publication publication(const char *topic, const void *payload, size_t bytes)
{
    return (struct publication){.topic = span_of_string(topic), .payload = span_of(payload, bytes), .publisher_conn = 5};
}

static bool sends(const struct publication *publication) { return run_send(&sender, 1, KIND, publication, FILTER); }

/* What the other shard is given: every record checked for its bounds, its messages counted and kept. */
static struct {
    uint32_t records, messages;
    uint32_t counts[600];
    struct span payloads[8192];
    uint8_t bytes[1 << 20];
    size_t bytes_count;
} got;

static void take(void *topic, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    cr_assert_eq(record_kind(cells), KIND);
    cr_assert_eq((uint32_t)cells->b, FILTER);
    cr_assert(run.count >= 1 && run.count <= RUN_MESSAGES_MAX);
    cr_assert_geq(record_cells(cells), run.count * RUN_CELLS_A_MESSAGE, "what is reckoned by cells holds for messages");
    cr_assert_geq((record_cells(cells) - RUN_CELLS_HEAD) * sizeof *cells, run.bytes);
    struct mqtt_decode_limits limits = {.from = MQTT_FROM_SERVER, .version = MQTT_3_1_1};
    const uint8_t *at = run.packets;
    uint64_t payload_bytes = 0;
    for (uint32_t i = 0; i < run.count; i++) {
        struct mqtt_packet packet;
        struct mqtt_decoded decoded = mqtt_decode(span_of(at, run.packets + run.bytes - at), &limits, &packet);
        cr_assert_eq(decoded.status, MQTT_DECODED);
        cr_assert_leq(decoded.bytes, RUN_PACKET_BYTES_MAX - 3, "5.0 has up to two bytes more, QoS 1 two");
        const uint8_t *next = at + decoded.bytes;
        const uint8_t *begin = at;
        struct row_message message = run_next(&at);
        struct span payload = message.payload;
        cr_assert_eq(at, next);
        cr_assert(message.packet.data == begin && message.packet.bytes == decoded.bytes);
        cr_assert(packet.type == MQTT_PUBLISH && packet.publish.qos == 0 && !packet.publish.retain);
        if (topic) cr_assert(span_equal(packet.publish.topic, span_of_string(topic)));
        cr_assert(packet.publish.topic.data == message.topic.data && packet.publish.topic.bytes == message.topic.bytes);
        cr_assert(packet.publish.payload.data == payload.data && packet.publish.payload.bytes == payload.bytes);
        memcpy(got.bytes + got.bytes_count, payload.data, payload.bytes);
        got.payloads[got.messages++] = span_of(got.bytes + got.bytes_count, payload.bytes);
        got.bytes_count += payload.bytes;
        payload_bytes += payload.bytes;
    }
    cr_assert_eq(at, run.packets + run.bytes);
    cr_assert_eq(run.payload_bytes, payload_bytes);
    got.counts[got.records++] = run.count;
}

static void taken(const char *topic)
{
    uint32_t fullest;
    memset(&got, 0, sizeof got);
    mesh_flush(mesh, 0, &verbs, NULL, &sender.stats);
    mesh_drain(mesh, 1, UINT32_MAX, take, NULL, (void *)(uintptr_t)topic, &fullest);
}

Test(runs, what_follows_one_another_goes_together)
{
    begin(LANE_SLOTS);
    uint8_t payload[16];
    for (uint32_t i = 0; i < 150; i++) {
        memset(payload, (int)i, sizeof payload);
        struct publication message = publication("some/topic", payload, i % 17);
        cr_assert(sends(&message));
    }
    taken("some/topic");
    cr_assert_eq(got.messages, 150);
    cr_assert(got.records == 3 && got.counts[0] == RUN_MESSAGES_MAX && got.counts[1] == RUN_MESSAGES_MAX, "%u records", got.records);
    for (uint32_t i = 0; i < 150; i++) {
        cr_assert_eq(got.payloads[i].bytes, i % 17);
        for (uint32_t at = 0; at < i % 17; at++)
            cr_assert_eq(got.payloads[i].data[at], (uint8_t)i);
    }
    mesh_destroy(mesh);
}

/* Every length up to what is copied at all, topics of all lengths, payloads that lie behind their topic and that do not; the largest fill a record before there are many. */
Test(runs, all_lengths)
{
    static uint8_t bytes[600];
    static char topic[300];
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)('a' + i % 23);
    for (uint32_t topic_bytes = 1; topic_bytes <= 240; topic_bytes += topic_bytes < 20 ? 1 : 37) {
        begin(LANE_SLOTS);
        memcpy(topic, bytes, topic_bytes);
        topic[topic_bytes] = '\0';
        uint32_t sent = 0;
        for (uint32_t payload_bytes = 0; payload_bytes + topic_bytes <= 240; payload_bytes++) {
            struct publication message = publication(topic, payload_bytes % 2 ? bytes + topic_bytes : bytes + 300, payload_bytes);
            message.topic.data = payload_bytes % 4 < 2 ? bytes : (const uint8_t *)topic;
            cr_assert(sends(&message));
            sent++;
        }
        struct publication large = publication(topic, bytes, 241 - topic_bytes);
        cr_assert_not(sends(&large));
        taken(topic);
        cr_assert_eq(got.messages, sent);
        for (uint32_t i = 0; i < sent; i++)
            cr_assert(span_equal(got.payloads[i], span_of(i % 2 ? bytes + topic_bytes : bytes + 300, i)), "%u bytes", i);
        mesh_destroy(mesh);
    }
}

Test(runs, only_what_is_alike_goes_together)
{
    const struct publication plain = publication("topic/one", "x", 1);
    struct publication others[] = {plain, plain};
    others[0].qos = 1;
    others[1].publisher_conn = 6;
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++) {
        begin(LANE_SLOTS);
        cr_assert(sends(&plain) && sends(&plain) && sends(&others[i]) && sends(&plain));
        cr_assert_eq(sender.stats.lane_records, 3, "of %u", i);
        mesh_destroy(mesh);
    }
    begin(LANE_SLOTS);
    cr_assert(sends(&plain) && run_send(&sender, 1, KIND, &plain, FILTER + 1) && run_send(&sender, 1, RECORD_PUBLISH_SHARED_RUN, &plain, FILTER + 1));
    cr_assert_eq(sender.stats.lane_records, 3, "other filters, other kinds");
    struct lane_cell between = record_first(RECORD_SYS, 0, NULL, 0);
    mesh_send(mesh, 0, 1, &between, 1, &sender.stats);
    cr_assert(run_send(&sender, 1, RECORD_PUBLISH_SHARED_RUN, &plain, FILTER + 1));
    cr_assert_eq(sender.stats.lane_records, 5, "what was sent between stays between");
    mesh_destroy(mesh);
}

/* As a filter with wildcards brings them. */
Test(runs, of_many_topics)
{
    static const char *const topics[] = {"a", "topic/one", "topic/two", "topic/that/is/longer/than/sixteen/bytes"};
    begin(LANE_SLOTS);
    for (uint32_t i = 0; i < 60; i++) {
        const char *topic = topics[i % 4];
        struct publication message = publication(topic, topic, strlen(topic));
        cr_assert(sends(&message));
    }
    taken(NULL);
    cr_assert(got.messages == 60 && got.records == 1, "%u messages in %u records", got.messages, got.records);
    for (uint32_t i = 0; i < 60; i++)
        cr_assert(span_equal(got.payloads[i], span_of_string(topics[i % 4])), "%u", i);
    mesh_destroy(mesh);
}

Test(runs, some_go_another_way)
{
    begin(LANE_SLOTS);
    struct message message;
    struct publication others[] = {publication("t", "x", 1), publication("t", "x", 1), publication("t", "x", 1), publication("t", "x", 1)};
    others[0].retain = true;
    others[1].properties = span_of("\x01\x01", 2);
    others[2].expires_ms = 1;
    others[3].message = &message;
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_not(sends(&others[i]), "%u", i);
    cr_assert_eq(sender.stats.lane_records, 0);
    mesh_destroy(mesh);
}

static void skip(void *context, uint32_t from, const struct lane_cell *cells) {}

/* A lane that is nearly full: a run stops there, and what comes then has to go another way. */
Test(runs, as_far_as_there_is_room)
{
    const struct publication message = publication("some/topic", "sixteen bytes...", 16); /* 30 bytes */
    begin(20);
    uint32_t sent = 0;
    while (sends(&message))
        sent++;
    cr_assert_eq(sent, 9, "in 18 cells, not %u", sent);
    taken("some/topic");
    cr_assert_eq(got.messages, sent);
    mesh_destroy(mesh);
}

/* ... and its end, which a run comes to at any of its places. */
Test(runs, as_far_as_the_lane_goes)
{
    const struct publication message = publication("some/topic", "sixteen bytes...", 16);
    uint32_t cut = 0, fullest;
    begin(LANE_SLOTS);
    for (uint32_t round = 0; round < 1000; round++) {
        uint32_t sent = 0;
        while (sent < 30 && sends(&message))
            sent++;
        taken("some/topic");
        cr_assert_eq(got.messages, sent);
        cut += sent < 30;
        for (uint32_t aside = 0; aside < (sent < 30 ? 3 : 0); aside++) { /* the way that wraps around, and sees that there is room again */
            struct lane_cell cells[100] = {record_first(KIND, 99, NULL, 0)};
            mesh_send(mesh, 0, 1, cells, 100, &sender.stats);
            mesh_flush(mesh, 0, &verbs, NULL, &sender.stats);
            mesh_drain(mesh, 1, UINT32_MAX, skip, NULL, NULL, &fullest);
        }
    }
    cr_assert(cut > 3 && sender.stats.lane_overflows == 0, "%u times cut", cut);
    mesh_destroy(mesh);
}

/* Messages of one topic with a pen, behind some that came without: as many as the lane takes, and never anything else than the same ones without it. */
static uint32_t sends_row(const struct publication *messages, uint32_t count)
{
    struct run_pen pen = {.way = NULL};
    uint32_t sent = 0;
    for (; sent < count; sent++) {
        struct span topic = messages[sent].topic, payload = messages[sent].payload;
        uint32_t remaining = (uint32_t)(2 + topic.bytes + payload.bytes);
        uint8_t *at = run_pen_room(&pen, remaining, (uint32_t)payload.bytes);
        if (!at) at = run_pen_place(&pen, &sender, 1, KIND, run_what(FILTER, 0), messages[sent].publisher_conn, remaining, (uint32_t)payload.bytes);
        if (!at) break;
        run_packet_write(at, topic, payload, remaining);
    }
    run_pen_up(&pen);
    return sent;
}

Test(runs, a_row_with_a_pen)
{
    static const uint32_t limits[] = {20, 61, 300, LANE_SLOTS}, largest[] = {1, 16, 17, 100, 220};
    static struct publication messages[300];
    static uint8_t bytes[300][220];
    uint64_t random = 1;
    for (uint32_t round = 0; round < 4 * 5 * 40; round++) {
        uint32_t limit = limits[round % 4], most = largest[round / 4 % 5], before = round / 20 % 4, count = 1 + round * 7 % (300 - before);
        for (uint32_t i = 0; i < count + before; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            memset(bytes[i], (int)(random >> 40), most);
            messages[i] = publication("some/topic", bytes[i], (random >> 33) % (most + 1));
        }
        begin(limit);
        uint32_t sent = 0, records;
        while (sent < before && sends(&messages[sent]))
            sent++;
        if (sent == before) sent += sends_row(messages + before, count);
        records = (uint32_t)sender.stats.lane_records;
        taken("some/topic");
        cr_assert(got.messages == sent && got.records == records && (sent == count + before || limit < LANE_SLOTS), "%u of %u", sent, count + before);
        for (uint32_t i = 0; i < sent; i++)
            cr_assert(span_equal(got.payloads[i], messages[i].payload), "%u", i);
        uint32_t so_many = sent;
        mesh_destroy(mesh);
        begin(limit);
        for (sent = 0; sent < count + before && sends(&messages[sent]);)
            sent++;
        cr_assert(sent == so_many && sender.stats.lane_records == records, "without it %u in %u, with it %u in %u", sent, (uint32_t)sender.stats.lane_records, so_many, records);
        mesh_destroy(mesh);
    }
}
