/* websocket_echo: a server that sends every binary message back, on the real engine with the real WebSocket filter, for suites that want an echo
 * (run-autobahn). Prints `port N`; ends when standard input does.
 *
 * MQTT sees a stream, so the filter hides where messages end. A tap around it looks at the frames' heads to find out: what it hands up ends with each
 * message, and an empty message, which a stream cannot show, it answers itself. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/node.h"
#include "ws/websocket.h"

static const struct websocket_options options = {.path = "/", .subprotocol_required = false, .allowed_origins = "", .header_bytes_max = 8192};

/* ---- the tap -------------------------------------------------------------------------------------------------------- */

struct tap {
    struct filter filter;
    struct filter *inner;
    uint8_t head[14], head_bytes;
    uint64_t left, message_bytes;
    bool in_frame, message_over;
    uint32_t empty_to_send;
};

static struct tap *tap_of(const struct filter *filter) { return (struct tap *)(uintptr_t)filter; }

static size_t head_wants(const uint8_t *head, size_t bytes)
{
    if (bytes < 2) return 2;
    uint8_t length = head[1] & 0x7f;
    return (length == 127 ? 10u : length == 126 ? 4u : 2u) + (head[1] & 0x80 ? 4u : 0u);
}

/* Bytes up to the end of the next data message, or all. */
static size_t up_to_message_end(struct tap *tap, const uint8_t *input, size_t bytes)
{
    size_t at = 0;
    tap->message_over = false;
    while (at < bytes) {
        if (!tap->in_frame) {
            tap->head[tap->head_bytes++] = input[at++];
            if (tap->head_bytes < head_wants(tap->head, tap->head_bytes)) continue;
            uint8_t length = tap->head[1] & 0x7f;
            tap->left = length;
            if (length >= 126) tap->left = 0;
            for (int i = 0; length >= 126 && i < (length == 126 ? 2 : 8); i++)
                tap->left = tap->left << 8 | tap->head[2 + i];
            tap->in_frame = true;
            tap->head_bytes = 0;
            if ((tap->head[0] & 0x0f) < 8) tap->message_bytes += tap->left;
        }
        size_t here = bytes - at < tap->left ? bytes - at : (size_t)tap->left;
        at += here;
        tap->left -= here;
        if (tap->left) return at;
        tap->in_frame = false;
        tap->message_over = (tap->head[0] & 0x80) && (tap->head[0] & 0x0f) < 8;
        if (tap->message_over) return at;
    }
    return at;
}

static struct filter_step tap_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct tap *tap = tap_of(filter);
    const struct filter_verbs *verbs = tap->inner->verbs;
    if (!verbs->is_open(tap->inner)) return verbs->receive(tap->inner, input, bytes, room, room_bytes);
    size_t now = up_to_message_end(tap, input, bytes);
    struct filter_step step = verbs->receive(tap->inner, input, now, room, room_bytes);
    if (step.wants != FILTER_GOES_ON) tap->message_over = false; /* it stopped before the end that was seen here */
    if (step.wants != FILTER_GOES_ON) return step;
    if (tap->message_over && tap->message_bytes == 0) {
        tap->empty_to_send++;
        step.to_send = true;
    }
    if (tap->message_over) tap->message_bytes = 0;
    if (now < bytes) step.wants = FILTER_MORE;
    return step;
}

static struct filter_step tap_send(struct filter *filter, struct span input, uint8_t *room, size_t room_bytes)
{
    struct tap *tap = tap_of(filter);
    if (tap->empty_to_send == 0) return tap->inner->verbs->send(tap->inner, input, room, room_bytes);
    memcpy(room, "\x82", 2);
    tap->empty_to_send--;
    return (struct filter_step){.output = room, .output_bytes = 2, .to_send = true};
}

static size_t tap_prefix(struct filter *filter, uint64_t bytes, uint8_t *end)
{
    return tap_of(filter)->inner->verbs->prefix(tap_of(filter)->inner, bytes, end);
}
static bool tap_is_open(const struct filter *filter) { return tap_of(filter)->inner->verbs->is_open(tap_of(filter)->inner); }
static void tap_end(struct filter *filter) { tap_of(filter)->inner->verbs->end(tap_of(filter)->inner); }
static const char *tap_reason(const struct filter *filter) { return tap_of(filter)->inner->verbs->reason(tap_of(filter)->inner); }
static void tap_release(struct filter *filter)
{
    tap_of(filter)->inner->verbs->release(tap_of(filter)->inner);
    memory_release(filter);
}

static const struct filter_verbs tap_verbs = {.name = "websocket", .receive = tap_receive, .send = tap_send, .prefix = tap_prefix,
                                              .is_open = tap_is_open, .end = tap_end, .reason = tap_reason, .release = tap_release};

/* ---- the echo -------------------------------------------------------------------------------------------------------- */

struct message {
    uint8_t *data;
    size_t bytes, capacity;
};

static void echo_nothing(struct shard *shard) {}
static void echo_accepted(struct shard *shard, struct conn *conn) { conn->client = memory_acquire_zeroed(sizeof(struct message)); }
static bool echo_listener(struct listener *listener, char *ret_error, size_t error_bytes) { return listener->admits = true; }

static bool echo_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    struct tap *tap = memory_acquire_zeroed(sizeof *tap);
    tap->filter.verbs = &tap_verbs;
    tap->inner = websocket_create(&options, false);
    conn->filters = filters_create();
    filters_add(conn->filters, &tap->filter);
    return true;
}

static struct conn_progress echo_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    struct message *message = conn->client;
    if (message->bytes + bytes.bytes > message->capacity) {
        message->capacity = 2 * (message->bytes + bytes.bytes);
        message->data = memory_resize(message->data, message->capacity);
    }
    memcpy(message->data + message->bytes, bytes.data, bytes.bytes);
    message->bytes += bytes.bytes;
    if (tap_of(conn->filters->levels[0])->message_over) {
        memcpy(conn_reserve(shard, conn, (uint32_t)message->bytes), message->data, message->bytes);
        conn_commit(conn, (uint32_t)message->bytes);
        message->bytes = 0;
        conn_send_staged(shard, conn); /* each message in a frame of its own */
    }
    return (struct conn_progress){bytes.bytes, 1};
}

static void echo_closed(struct shard *shard, struct conn *conn, enum conn_end why)
{
    struct message *message = conn->client;
    memory_release(message->data);
    memory_release(message);
}

static void echo_writable(struct shard *shard, struct conn *conn) {}
static void echo_release(struct shard *shard, void *owner) {}
static void echo_record(struct shard *shard, uint32_t from, const struct lane_cell *cells) { shard_stop(shard); }
static bool echo_turn(struct shard *shard) { return false; }

static const struct shard_handler echo = {.listener_open = echo_listener, .start = echo_nothing, .accepted = echo_accepted, .admit = echo_admit,
                                          .received = echo_received, .writable = echo_writable, .closed = echo_closed, .release = echo_release,
                                          .record = echo_record, .turn = echo_turn, .stop = echo_nothing, .finish = echo_nothing};

int main(void)
{
    static struct listener_settings listener = {.name = "echo", .kind = LISTENER_WS, .enable = true, .bind = "127.0.0.1:0", .backlog = 128, .tcp_nodelay = true};
    static struct settings settings = {.node = {.shards = 1, .connections_max = 1000}, .listeners = &listener, .listeners_count = 1,
                                       .io = {.direct_descriptors = true, .fd_passing = true, .message_ring = true, .incremental_buffers = true,
                                              .send_vectorized = true, .multishot_accept = true, .multishot_receive = true,
                                              .receive_buffers_bytes = 2 << 20, .ring_entries = 256}};
    static struct qsbr qsbr;
    char error[256];
    void *above[1] = {NULL};
    log_configure(LOG_WARN, LOG_TEXT);
    struct node *node = node_create(&settings, 1, &echo, &kernel_uring, &qsbr, error, sizeof error);
    if (!node || !node_start(node, above, error, sizeof error)) return fprintf(stderr, "%s\n", error), 1;
    printf("port %u\n", node_listener(node, 0)->port);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    struct lane_cell cell = record_first(RECORD_KIND_FIRST, 0, NULL, 0);
    node_stop_accepting(node);
    node_send(node, 0, &cell, 1);
    node_join(node);
    node_destroy(node);
    return 0;
}
