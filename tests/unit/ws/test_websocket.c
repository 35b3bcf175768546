#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/random.h"
#include "ws/unmask.h"
#include "ws/websocket.h"

static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
static struct websocket_options options = {.path = "/mqtt", .subprotocol_required = true, .allowed_origins = "", .header_bytes_max = 2048};

/* What came of some bytes. */
struct outcome {
    uint8_t up[100000], own[20000];
    size_t up_bytes, own_bytes;
    enum filter_wants wants;
    char reason[100];
};

static struct filter *filter;

static void own_take(struct outcome *outcome)
{
    for (bool more = true; more;) {
        uint8_t room[1024];
        struct filter_step step = filter->verbs->send(filter, span_of(NULL, 0), room, sizeof room);
        memcpy(outcome->own + outcome->own_bytes, step.output, step.output_bytes);
        outcome->own_bytes += step.output_bytes;
        more = step.to_send;
    }
}

/* Feeds the bytes in pieces of at most `piece`; each in a block of its own, so that a look beyond it is found. */
static void feed(struct outcome *outcome, const uint8_t *bytes, size_t count, size_t piece)
{
    while (count && outcome->wants == FILTER_GOES_ON) {
        size_t now = count < piece ? count : piece;
        uint8_t *block = malloc(now);
        memcpy(block, bytes, now);
        struct filter_step step = filter->verbs->receive(filter, block, now, NULL, 0);
        cr_assert(step.output_bytes == 0 || (step.output >= block && step.output + step.output_bytes <= block + now));
        memcpy(outcome->up + outcome->up_bytes, step.output, step.output_bytes);
        outcome->up_bytes += step.output_bytes;
        outcome->wants = step.wants;
        if (step.wants == FILTER_GOES_ON) cr_assert_eq(step.consumed, now);
        if (step.to_send) own_take(outcome);
        if (step.wants == FILTER_FAILED) strcpy(outcome->reason, filter->verbs->reason(filter));
        free(block);
        bytes += now;
        count -= now;
    }
}

static void begin(struct outcome *outcome, size_t piece)
{
    memset(outcome, 0, sizeof *outcome);
    filter = websocket_create(&options, false);
    feed(outcome, (const uint8_t *)request, sizeof request - 1, piece);
    cr_assert(outcome->wants == FILTER_GOES_ON && filter->verbs->is_open(filter));
    cr_assert(memcmp(outcome->own, "HTTP/1.1 101", 12) == 0);
    outcome->own_bytes = 0;
}

/* A masked frame; returns its bytes. `length_bytes`: 0, 2 or 8, whatever would be the fewest. */
static size_t frame_as(uint8_t *out, uint8_t first, const void *payload, size_t bytes, int length_bytes)
{
    static const uint8_t mask[4] = {0x11, 0xe2, 0x33, 0x94};
    size_t at = 0;
    out[at++] = first;
    out[at++] = 0x80 | (length_bytes == 0 ? (uint8_t)bytes : length_bytes == 2 ? 126 : 127);
    for (int i = length_bytes; i-- > 0;)
        out[at++] = (uint8_t)(bytes >> 8 * i);
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < bytes; i++)
        out[at + i] = ((const uint8_t *)payload)[i] ^ mask[i & 3];
    return at + bytes;
}

static size_t frame(uint8_t *out, uint8_t first, const void *payload, size_t bytes)
{
    return frame_as(out, first, payload, bytes, bytes < 126 ? 0 : bytes < 65536 ? 2 : 8);
}

#define FINAL 0x80
enum { CONTINUATION, TEXT, BINARY, CLOSE = 8, PING, PONG };

Test(websocket, unmask_like_the_definition)
{
    uint8_t from[300], to[300];
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * 31);
    for (size_t bytes = 0; bytes < 200; bytes++)
        for (size_t back = 0; back < 40; back += 3) { /* to a place before it, overlapping */
            uint8_t mask[4] = {1, 2, 200, 255}, again[4];
            memcpy(to, from, sizeof to);
            unmask(to + 50 - back, to + 50, bytes, mask);
            for (size_t i = 0; i < bytes; i++)
                cr_assert_eq(to[50 - back + i], (uint8_t)(from[50 + i] ^ mask[i & 3]));
            memcpy(again, mask, 4);
            mask_turn(again, bytes);
            cr_assert_eq(again[0], mask[bytes & 3]);
        }
}

Test(websocket, many_frames_become_one_stream_however_cut)
{
    static uint8_t wire[70000], expected[70000];
    static struct outcome outcome;
    static const size_t sizes[] = {0, 1, 2, 125, 126, 127, 128, 1000, 5000, 3};
    struct random_source random = {.state = 5};
    size_t wire_bytes = 0, expected_bytes = 0;
    for (size_t i = 0; i < 30; i++) {
        size_t bytes = sizes[i % 10];
        uint8_t payload[5000];
        for (size_t j = 0; j < bytes; j++)
            payload[j] = (uint8_t)random_next(&random);
        bool fragmented = i % 3 == 1; /* in two, with a ping between them */
        size_t first = fragmented ? bytes / 2 : bytes;
        wire_bytes += frame(wire + wire_bytes, BINARY | (fragmented ? 0 : FINAL), payload, first);
        if (fragmented) {
            wire_bytes += frame(wire + wire_bytes, FINAL | PING, "p", 1);
            wire_bytes += frame(wire + wire_bytes, FINAL | CONTINUATION, payload + first, bytes - first);
        }
        memcpy(expected + expected_bytes, payload, bytes);
        expected_bytes += bytes;
    }
    static const size_t pieces[] = {1, 2, 3, 7, 13, 64, 1000, 4096, 70000};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        begin(&outcome, pieces[i]);
        feed(&outcome, wire, wire_bytes, pieces[i]);
        cr_assert_eq(outcome.wants, FILTER_GOES_ON, "%s", outcome.reason);
        cr_assert_eq(outcome.up_bytes, expected_bytes);
        cr_assert(memcmp(outcome.up, expected, expected_bytes) == 0);
        cr_assert_eq(outcome.own_bytes, 30); /* ten pongs of three bytes */
        cr_assert(memcmp(outcome.own, "\x8a\x01p", 3) == 0);
        filter->verbs->release(filter);
    }
}

/* One frame, made by hand: what it comes to. */
static const struct {
    uint8_t first;
    bool masked_off;
    int length_bytes; /* -1: as it should be */
    const char *payload;
    int payload_bytes;
    int code; /* of our close frame; 0: none */
    bool ended; /* an orderly end */
} single[] = {
    {FINAL | BINARY, false, -1, "x", 1, 0, false},
    {FINAL | PONG, false, -1, "unasked for", 11, 0, false},
    {FINAL | TEXT, false, -1, "x", 1, 1003, false},
    {FINAL | BINARY, true, -1, "x", 1, 1002, false},
    {FINAL | BINARY | 0x40, false, -1, "x", 1, 1002, false},
    {FINAL | BINARY | 0x20, false, -1, "x", 1, 1002, false},
    {FINAL | PING | 0x10, false, -1, "x", 1, 1002, false},
    {FINAL | 3, false, -1, "", 0, 1002, false},
    {FINAL | 7, false, -1, "", 0, 1002, false},
    {FINAL | 11, false, -1, "", 0, 1002, false},
    {FINAL | 15, false, -1, "x", 1, 1002, false},
    {FINAL | CONTINUATION, false, -1, "x", 1, 1002, false},
    {CONTINUATION, false, -1, "x", 1, 1002, false},
    {PING, false, -1, "x", 1, 1002, false},
    {CLOSE, false, -1, "", 0, 1002, false},
    {FINAL | PING, false, 2, "x", 1, 1002, false},
    {FINAL | BINARY, false, 2, "x", 1, 1002, false},
    {FINAL | BINARY, false, 8, "x", 1, 1002, false},
    {FINAL | CLOSE, false, -1, "", 0, 1005, true},
    {FINAL | CLOSE, false, -1, "\x03", 1, 1002, false},
    {FINAL | CLOSE, false, -1, "\x03\xe8", 2, 1000, true},
    {FINAL | CLOSE, false, -1, "\x03\xe8good-bye \xc3\xa9", 13, 1000, true},
    {FINAL | CLOSE, false, -1, "\x03\xe8\xc3", 3, 1007, false},
    {FINAL | CLOSE, false, -1, "\x03\xe8\xed\xa0\x80", 5, 1007, false},
    {FINAL | CLOSE, false, -1, "\x03\xe7", 2, 1002, false},
    {FINAL | CLOSE, false, -1, "\x03\xec", 2, 1002, false},
    {FINAL | CLOSE, false, -1, "\x03\xed", 2, 1002, false},
    {FINAL | CLOSE, false, -1, "\x03\xee", 2, 1002, false},
    {FINAL | CLOSE, false, -1, "\x03\xf3", 2, 1011, true},
    {FINAL | CLOSE, false, -1, "\x0b\xb8", 2, 3000, true},
    {FINAL | CLOSE, false, -1, "\x13\x87", 2, 4999, true},
    {FINAL | CLOSE, false, -1, "\x13\x88", 2, 1002, false},
};

Test(websocket, single_frames)
{
    static struct outcome outcome;
    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        uint8_t wire[200];
        size_t bytes = (size_t)single[i].payload_bytes;
        size_t count = frame_as(wire, single[i].first, single[i].payload, bytes, single[i].length_bytes < 0 ? 0 : single[i].length_bytes);
        if (single[i].masked_off) wire[1] &= 0x7f;
        begin(&outcome, 10000);
        feed(&outcome, wire, count, i % 2 ? 1 : count);
        if (outcome.wants != FILTER_GOES_ON) {
            filter->verbs->end(filter);
            own_take(&outcome);
        }
        enum filter_wants wanted = single[i].ended ? FILTER_ENDED : single[i].code ? FILTER_FAILED : FILTER_GOES_ON;
        cr_assert_eq(outcome.wants, wanted, "%zu: %s", i, outcome.reason);
        if (single[i].code == 1005) {
            cr_assert(outcome.own_bytes == 2 && memcmp(outcome.own, "\x88\0", 2) == 0, "%zu", i);
        } else if (single[i].code) {
            cr_assert_eq(outcome.own_bytes, 4, "%zu", i);
            cr_assert_eq(outcome.own[0], 0x88);
            cr_assert_eq(outcome.own[2] << 8 | outcome.own[3], single[i].code, "%zu: %d", i, outcome.own[2] << 8 | outcome.own[3]);
        }
        size_t said = outcome.own_bytes;
        filter->verbs->end(filter); /* says good-bye once */
        own_take(&outcome);
        cr_assert_eq(outcome.own_bytes, said ? said : 4);
        filter->verbs->release(filter);
    }
}

Test(websocket, limits)
{
    static struct outcome outcome;
    uint8_t wire[14] = {FINAL | BINARY, 0x80 | 127, 0, 0, 0, 0, 0x10, 0, 0, 1};
    options.frame_bytes_max = 0x10000000;
    begin(&outcome, 10000);
    feed(&outcome, wire, sizeof wire, 14);
    cr_assert_eq(outcome.wants, FILTER_FAILED);
    filter->verbs->end(filter);
    own_take(&outcome);
    cr_assert(memcmp(outcome.own + 2, "\x03\xf1", 2) == 0); /* 1009 */
    filter->verbs->release(filter);
    wire[2] = 0x80;
    options.frame_bytes_max = 0;
    begin(&outcome, 10000);
    feed(&outcome, wire, sizeof wire, 14);
    cr_assert_eq(outcome.wants, FILTER_FAILED);
    filter->verbs->release(filter);
    /* A peer that pings and does not read: some pongs are left out, memory stays bounded. */
    begin(&outcome, 10000);
    for (int i = 0; i < 1000; i++) {
        uint8_t ping[200], payload[125] = {0};
        size_t count = frame(ping, FINAL | PING, payload, sizeof payload);
        struct filter_step step = filter->verbs->receive(filter, ping, count, NULL, 0);
        cr_assert(step.to_send || i > 100);
    }
    own_take(&outcome);
    cr_assert(outcome.own_bytes > 16000 && outcome.own_bytes <= 16384);
    filter->verbs->release(filter);
}

Test(websocket, heads_of_what_leaves)
{
    static const struct {
        uint64_t bytes;
        const char *head;
        size_t head_bytes;
    } heads[] = {{1, "\x82\x01", 2}, {125, "\x82\x7d", 2}, {126, "\x82\x7e\0\x7e", 4}, {65535, "\x82\x7e\xff\xff", 4},
                 {65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10}};
    static struct outcome outcome;
    begin(&outcome, 10000);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        uint8_t room[FILTER_PREFIX_BYTES_MAX];
        cr_assert_eq(filter->verbs->prefix(filter, heads[i].bytes, room + sizeof room), heads[i].head_bytes);
        cr_assert(memcmp(room + sizeof room - heads[i].head_bytes, heads[i].head, heads[i].head_bytes) == 0, "%zu", i);
    }
    filter->verbs->release(filter);
}

Test(websocket, released_in_the_middle_of_anything)
{
    static struct outcome outcome;
    uint8_t wire[300];
    size_t count = frame(wire, FINAL | PING, "12345", 5);
    count += frame(wire + count, BINARY, "12345", 5);
    for (size_t cut = 0; cut <= count; cut++) {
        begin(&outcome, 10000);
        feed(&outcome, wire, cut, 1);
        filter->verbs->release(filter);
    }
    for (size_t cut = 0; cut < sizeof request - 1; cut += 5) {
        memset(&outcome, 0, sizeof outcome);
        filter = websocket_create(&options, true);
        feed(&outcome, (const uint8_t *)request, cut, 3);
        filter->verbs->release(filter);
    }
}
