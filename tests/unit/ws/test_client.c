/* The client's end of a WebSocket: against the server's end, and against answers that are wrong. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/sha1.h"
#include "ws/websocket.h"

static uint64_t next_random(void *context) { return random_next(context); }
static struct random_source seed;
static const struct websocket_client_options client_options = {
    .host = "broker:8083", .path = "/mqtt", .headers = "X-Test: 1\r\n", .random = next_random, .context = &seed};
static const struct websocket_options server_options = {.path = "/mqtt", .subprotocol_required = true, .allowed_origins = "", .header_bytes_max = 2048};

static size_t own_of(struct filter *filter, uint8_t *out, size_t room)
{
    size_t bytes = 0;
    for (bool more = true; more;) {
        struct filter_step step = filter->verbs->send(filter, span_of(NULL, 0), out + bytes, room - bytes < 512 ? room - bytes : 512);
        bytes += step.output_bytes;
        more = step.to_send;
    }
    return bytes;
}

/* In pieces, each in a block of its own. */
static enum filter_wants feed(struct filter *filter, const uint8_t *bytes, size_t count, size_t piece, uint8_t *up, size_t *up_bytes)
{
    enum filter_wants wants = FILTER_GOES_ON;
    while (count && wants == FILTER_GOES_ON) {
        size_t now = count < piece ? count : piece;
        uint8_t *block = malloc(now);
        memcpy(block, bytes, now);
        struct filter_step step = filter->verbs->receive(filter, block, now, NULL, 0);
        if (step.output_bytes) memcpy(up + *up_bytes, step.output, step.output_bytes);
        *up_bytes += step.output_bytes;
        wants = step.wants;
        free(block);
        bytes += now;
        count -= now;
    }
    return wants;
}

/* What leaves as one batch. */
static size_t batch(struct filter *filter, const uint8_t *payload, size_t bytes, uint8_t *out)
{
    static uint8_t stage[200000];
    memcpy(stage + FILTER_PREFIX_BYTES_MAX, payload, bytes);
    size_t head = filter->verbs->prefix(filter, bytes, stage + FILTER_PREFIX_BYTES_MAX);
    size_t half = bytes / 3; /* in two pieces, as an engine may have them */
    if (filter->verbs->change) filter->verbs->change(filter, stage + FILTER_PREFIX_BYTES_MAX, half);
    if (filter->verbs->change) filter->verbs->change(filter, stage + FILTER_PREFIX_BYTES_MAX + half, bytes - half);
    memcpy(out, stage + FILTER_PREFIX_BYTES_MAX - head, head + bytes);
    return head + bytes;
}

Test(websocket_client, both_ends_understand_each_other_however_cut)
{
    static uint8_t payload[70000], wire[200000], up[200000];
    static const size_t sizes[] = {1, 125, 126, 65535, 65536, 3}, pieces[] = {1, 2, 7, 1000, 200000};
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7);
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        struct filter *client = websocket_client_create(&client_options), *server = websocket_create(&server_options, false);
        size_t up_bytes = 0, bytes = own_of(client, wire, sizeof wire);
        cr_assert_not(client->verbs->is_open(client));
        cr_assert(memmem(wire, bytes, "GET /mqtt HTTP/1.1\r\nHost: broker:8083\r\n", 39) && memmem(wire, bytes, "X-Test: 1\r\n", 11));
        cr_assert_eq(feed(server, wire, bytes, pieces[p], up, &up_bytes), FILTER_GOES_ON);
        bytes = own_of(server, wire, sizeof wire);
        cr_assert_eq(feed(client, wire, bytes, pieces[p], up, &up_bytes), FILTER_GOES_ON);
        cr_assert(client->verbs->is_open(client) && server->verbs->is_open(server) && up_bytes == 0);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            bytes = batch(client, payload, sizes[i], wire);
            cr_assert(wire[1] & 0x80, "masked");
            if (sizes[i] > 8) cr_assert(memmem(wire, bytes, payload, 8) == NULL, "in the clear");
            up_bytes = 0;
            cr_assert_eq(feed(server, wire, bytes, pieces[p], up, &up_bytes), FILTER_GOES_ON);
            cr_assert(up_bytes == sizes[i] && memcmp(up, payload, up_bytes) == 0);
            bytes = batch(server, payload, sizes[i], wire);
            up_bytes = 0;
            cr_assert_eq(feed(client, wire, bytes, pieces[p], up, &up_bytes), FILTER_GOES_ON);
            cr_assert(up_bytes == sizes[i] && memcmp(up, payload, up_bytes) == 0);
        }
        /* a ping is answered with a masked pong; the end is said and answered */
        static const uint8_t ping[] = {0x89, 3, 'a', 'b', 'c'};
        feed(client, ping, sizeof ping, pieces[p], up, &up_bytes);
        bytes = own_of(client, wire, sizeof wire);
        cr_assert(bytes == 9 && wire[0] == 0x8a && wire[1] == 0x83);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(wire[6 + i] ^ wire[2 + i], "abc"[i]);
        client->verbs->end(client);
        bytes = own_of(client, wire, sizeof wire);
        cr_assert_eq(feed(server, wire, bytes, pieces[p], up, &up_bytes), FILTER_ENDED);
        server->verbs->end(server);
        bytes = own_of(server, wire, sizeof wire);
        cr_assert_eq(feed(client, wire, bytes, pieces[p], up, &up_bytes), FILTER_ENDED);
        client->verbs->release(client);
        server->verbs->release(server);
    }
}

Test(websocket_client, masks_and_keys_differ)
{
    static uint8_t wire[1000], more[1000];
    struct filter *client = websocket_client_create(&client_options), *other = websocket_client_create(&client_options);
    size_t bytes = own_of(client, wire, sizeof wire);
    own_of(other, more, sizeof more);
    const uint8_t *key = memmem(wire, bytes, "Sec-WebSocket-Key: ", 19);
    cr_assert(key && memcmp(key + 19, more + (key - wire) + 19, 24) != 0);
    uint8_t payload[4] = {0}, first[32], second[32];
    batch(client, payload, 4, first);
    batch(client, payload, 4, second);
    cr_assert(memcmp(first + 2, second + 2, 4) != 0, "the same mask twice");
    client->verbs->release(client);
    other->verbs->release(other);
}

/* The answer that fits the request of `client`. */
static size_t answer_for(struct filter *client, const char *template, char *out, size_t room)
{
    static uint8_t wire[1000];
    size_t bytes = own_of(client, wire, sizeof wire);
    const uint8_t *key = memmem(wire, bytes, "Sec-WebSocket-Key: ", 19);
    char keyed[100], accept[40];
    uint8_t digest[SHA1_BYTES];
    snprintf(keyed, sizeof keyed, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (const char *)key + 19);
    sha1(span_of_string(keyed), digest);
    base64_encode(span_of(digest, sizeof digest), accept);
    return (size_t)snprintf(out, room, template, accept);
}

Test(websocket_client, wrong_answers)
{
    static const struct {
        const char *answer, *reason;
    } cases[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
         "sec-websocket-protocol: mqtt\r\n\r\n", NULL},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x%s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", "does not fit our key"},
        {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", "lacks Upgrade"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", "subprotocol mqtt"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "subprotocol mqtt"},
        {"HTTP/1.1 404 Not Found\r\n\r\n%s", "HTTP 404"},
        {"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n%s", "HTTP 302, https://elsewhere/"},
        {"HTTP/1.0 200 OK\r\n\r\n%s", "HTTP 200"},
        {"\x20\x02%s", "no HTTP/1.1"},
        {"SSH-2.0-%s\r\n", "no HTTP/1.1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct filter *client = websocket_client_create(&client_options);
        char answer[1000];
        uint8_t up[1000];
        size_t up_bytes = 0, bytes = answer_for(client, cases[i].answer, answer, sizeof answer);
        enum filter_wants wants = feed(client, (const uint8_t *)answer, bytes, 1 + i, up, &up_bytes);
        cr_assert_eq(wants, cases[i].reason ? FILTER_FAILED : FILTER_GOES_ON, "case %zu", i);
        if (cases[i].reason) cr_assert(strstr(client->verbs->reason(client), cases[i].reason), "%zu: %s", i, client->verbs->reason(client));
        client->verbs->release(client);
    }
}

Test(websocket_client, headers_without_end)
{
    struct filter *client = websocket_client_create(&client_options);
    uint8_t up[16], line[] = "X-Much: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    size_t up_bytes = 0;
    enum filter_wants wants = feed(client, (const uint8_t *)"HTTP/1.1 101 x\r\n", 16, 16, up, &up_bytes);
    int lines = 0;
    for (; wants == FILTER_GOES_ON && lines < 1000; lines++)
        wants = feed(client, line, sizeof line - 1, sizeof line, up, &up_bytes);
    cr_assert(wants == FILTER_FAILED && lines < 400);
    client->verbs->release(client);
}

Test(websocket_client, a_masked_frame_of_a_server_is_wrong)
{
    struct filter *client = websocket_client_create(&client_options);
    char answer[1000];
    uint8_t up[100];
    size_t up_bytes = 0, bytes = answer_for(client, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                                            "Sec-WebSocket-Protocol: mqtt\r\n\r\n", answer, sizeof answer);
    cr_assert_eq(feed(client, (const uint8_t *)answer, bytes, bytes, up, &up_bytes), FILTER_GOES_ON);
    static const uint8_t masked[] = {0x82, 0x81, 1, 2, 3, 4, 5};
    cr_assert_eq(feed(client, masked, sizeof masked, 3, up, &up_bytes), FILTER_FAILED);
    cr_assert_str_eq(client->verbs->reason(client), "a frame of a server is masked");
    client->verbs->release(client);
}
