/* Two shards on the fake kernel and an echo above them: a connection with any filters, cut anywhere, moves and loses nothing. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "engine/listener.h"
#include "engine/shard.h"
#include "tests/sim/fake_filters.h"
#include "tests/sim/fake_kernel.h"

#define HELLO "hello"
#define HELLO_BYTES 5
#define MESSAGE_BYTES 300

struct world {
    struct settings settings;
    struct listener_settings listener_settings;
    struct listener listener;
    struct shard_handler handler;
    struct shard_group group;
    struct qsbr qsbr;
    struct shard *shards[2];
    uint32_t layers, accepted_on;
    uint32_t attached; /* pieces lent to the engine */
    bool moves, attaches, large, finishes;
    uint32_t closed, moved;
    enum conn_end why;
    char address[32];
};

static struct world *world;

/* ---- the echo ------------------------------------------------------------------------------------------------------- */

static const uint8_t large_piece[500000];

static void echo_nothing(struct shard *shard) {}
static void echo_accepted(struct shard *shard, struct conn *conn) { conn->client = NULL; }

static bool echo_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    conn->filters = fake_filters_create(world->layers, 7);
    return true;
}

static void echo_adopted(struct shard *shard, struct conn *conn, void *baggage)
{
    world->moved++;
    conn->client = world;
}

static struct conn_progress echo_received(struct shard *shard, struct conn *conn, struct span bytes)
{
    if (!conn->client) {
        if (bytes.bytes < HELLO_BYTES) return (struct conn_progress){0, HELLO_BYTES};
        cr_assert(memcmp(bytes.data, HELLO, HELLO_BYTES) == 0);
        struct span address = filters_fact(conn->filters, FACT_ADDRESS);
        snprintf(world->address, sizeof world->address, "%.*s", SPAN_PRINT(address));
        if (world->moves) {
            conn_move(shard, conn, 1 - shard->number, NULL);
            return (struct conn_progress){0, 0};
        }
        conn->client = world;
    }
    if (world->attaches) {
        uint8_t *copy = memory_acquire(bytes.bytes);
        memcpy(copy, bytes.data, bytes.bytes);
        world->attached++;
        conn_attach(shard, conn, copy, (uint32_t)bytes.bytes, copy);
    } else {
        memcpy(conn_reserve(shard, conn, (uint32_t)bytes.bytes), bytes.data, bytes.bytes);
        conn_commit(conn, (uint32_t)bytes.bytes);
    }
    if (world->large) {
        world->large = false;
        world->attached++;
        conn_attach(shard, conn, large_piece, sizeof large_piece, (void *)(uintptr_t)large_piece);
    }
    if (world->finishes && bytes.data[bytes.bytes - 1] == '!') conn_finish(shard, conn, false);
    return (struct conn_progress){bytes.bytes, 1};
}

static void echo_writable(struct shard *shard, struct conn *conn) {}
static void echo_closed(struct shard *shard, struct conn *conn, enum conn_end why)
{
    world->closed++;
    world->why = why;
}
static void echo_release(struct shard *shard, void *owner)
{
    world->attached--;
    if (owner != large_piece) memory_release(owner);
}
static void echo_move_failed(struct shard *shard, void *baggage) {}
static bool echo_turn(struct shard *shard) { return false; }

static const struct shard_handler echo = {
    .start = echo_nothing, .accepted = echo_accepted, .admit = echo_admit, .adopted = echo_adopted, .move_failed = echo_move_failed,
    .received = echo_received, .writable = echo_writable, .closed = echo_closed, .release = echo_release, .turn = echo_turn};

/* ---- the world ------------------------------------------------------------------------------------------------------ */

static void world_make(uint32_t layers, uint64_t seed, bool fd_passing)
{
    struct fake_chances chances = {.receive_now = 200, .receive_short = 20, .receive_ends = 20, .no_buffer = 10, .send_now = 200,
                                   .send_short = 100, .accept_now = 255, .fd_passing = fd_passing, .send_vectorized = seed & 1,
                                   .pipe_bytes = 4096};
    world = memory_acquire_zeroed(sizeof *world);
    fake_reset(seed, &chances);
    world->layers = layers;
    world->listener_settings = (struct listener_settings){.name = "x", .enable = true};
    world->listener = (struct listener){.settings = &world->listener_settings, .admits = layers != 0, .asks_peer = seed & 2};
    world->settings = (struct settings){.node = {.connections_max = 64}, .io = {.receive_buffers_bytes = 65536},
                                        .listeners = &world->listener_settings, .listeners_count = 1};
    qsbr_init(&world->qsbr, 2);
    world->handler = echo;
    world->group = (struct shard_group){.shards_count = 2, .verbs = &kernel_fake, .handler = &world->handler,
                                        .mesh = mesh_create(2, LANE_SLOTS), .qsbr = &world->qsbr, .listeners = &world->listener,
                                        .listeners_count = 1};
    int fd = FAKE_LISTENER;
    char error[64];
    for (uint32_t s = 0; s < 2; s++)
        world->shards[s] = shard_create(s, &world->group, &world->settings, &fd, seed, NULL, error, sizeof error);
    for (uint32_t s = 0; s < 2; s++)
        shard_start(world->shards[s]);
}

static void turns(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        shard_turn(world->shards[i & 1], 0);
        fake_advance_ns(200000);
    }
}

static void world_end(void)
{
    for (uint32_t s = 0; s < 2; s++)
        shard_stop(world->shards[s]);
    for (uint32_t i = 0; i < 100000 && !(shard_done(world->shards[0]) && shard_done(world->shards[1])); i++)
        turns(2);
    cr_assert(shard_done(world->shards[0]) && shard_done(world->shards[1]));
    cr_assert_eq(world->attached, 0);
    for (uint32_t s = 0; s < 2; s++)
        shard_destroy(world->shards[s]); /* CHECKs that every pool block came home */
    mesh_destroy(world->group.mesh);
    fake_release();
    memory_release(world);
}

struct peer {
    int socket;
    struct random_source random;
    struct fake_link link;
    struct fake_bytes wire, plain;
    bool ended;
};

static void peer_begin(struct peer *peer)
{
    *peer = (struct peer){.socket = fake_connect(0), .random = {.state = 3}};
    fake_link_open(&peer->link, world->layers, &peer->wire);
}

static void peer_receive(struct peer *peer)
{
    uint8_t bytes[1000];
    int got;
    while ((got = fake_client_receive(peer->socket, bytes, sizeof bytes)) > 0)
        cr_assert(fake_link_receive(&peer->link, bytes, (size_t)got, &peer->plain), "the broker's end broke the rules");
    peer->ended |= got < 0;
}

/* Until so many bytes came back, or the broker has closed. */
static void peer_await(struct peer *peer, size_t bytes)
{
    for (uint32_t i = 0; i < 20000 && peer->plain.bytes < bytes && !peer->ended; i++) {
        turns(2);
        peer_receive(peer);
    }
    cr_assert_eq(peer->plain.bytes, bytes, "%zu of %zu bytes came back", peer->plain.bytes, bytes);
}

static void peer_send(struct peer *peer, size_t from, size_t to)
{
    while (from < to) {
        int taken = fake_client_send(peer->socket, peer->wire.data + from, to - from);
        if (taken < 0) { /* a hand-over the fake kernel has refused */
            peer->ended = true;
            return;
        }
        from += (size_t)taken;
        turns(2);
        peer_receive(peer);
    }
}

static void peer_end(struct peer *peer)
{
    fake_hang_up(peer->socket, false);
    fake_link_release(&peer->link);
    memory_release(peer->wire.data);
    memory_release(peer->plain.data);
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static void message_make(uint8_t *message)
{
    memcpy(message, HELLO, HELLO_BYTES);
    for (int i = HELLO_BYTES; i < MESSAGE_BYTES; i++)
        message[i] = (uint8_t)(i * 7);
}

Test(filters, a_connection_cut_anywhere_moves_and_loses_nothing)
{
    uint8_t message[MESSAGE_BYTES];
    message_make(message);
    for (uint32_t layers = 0; layers <= FAKE_LAYERS_ALL; layers++) {
        size_t cuts = 1, moved = 0;
        for (size_t cut = 0; cut < cuts; cut++) {
            world_make(layers, cut, cut % 3 != 0);
            world->moves = true;
            world->attaches = cut % 5 == 0;
            struct peer peer;
            peer_begin(&peer);
            fake_link_send(&peer.link, message, MESSAGE_BYTES, &peer.random, &peer.wire);
            cuts = peer.wire.bytes;
            peer_send(&peer, 0, cut);
            turns(cut % 40);
            peer_send(&peer, cut, peer.wire.bytes);
            for (uint32_t i = 0; i < 200 && !world->moved && !peer.ended; i++)
                turns(2);
            if (world->moved) { /* the fake kernel refuses some hand-overs */
                peer_await(&peer, MESSAGE_BYTES);
                cr_assert(memcmp(peer.plain.data, message, MESSAGE_BYTES) == 0);
                cr_assert_str_eq(world->address, layers & FAKE_HEADER ? "192.0.2.1:5" : "");
            }
            moved += world->moved;
            peer_end(&peer);
            world_end();
        }
        cr_assert(moved > cuts * 9 / 10, "%zu of %zu moved", moved, cuts);
    }
}

Test(filters, large_pieces_go_through_in_slices_and_the_end_is_said)
{
    uint8_t message[MESSAGE_BYTES];
    message_make(message);
    message[MESSAGE_BYTES - 1] = '!';
    for (uint32_t layers = 0; layers <= FAKE_LAYERS_ALL; layers++)
        for (uint64_t seed = 0; seed < 8; seed++) {
            world_make(layers, seed, true);
            world->large = world->finishes = true;
            world->attaches = seed & 4;
            struct peer peer;
            peer_begin(&peer);
            fake_link_send(&peer.link, message, MESSAGE_BYTES, &peer.random, &peer.wire);
            peer_send(&peer, 0, peer.wire.bytes);
            peer_await(&peer, MESSAGE_BYTES + sizeof large_piece);
            for (uint32_t i = 0; i < 2000 && !peer.ended; i++) {
                turns(2);
                peer_receive(&peer);
            }
            cr_assert(peer.ended);
            cr_assert_eq(peer.link.closed, (layers & (FAKE_CIPHER | FAKE_FRAME)) != 0, "layers %u", layers);
            peer_end(&peer);
            world_end();
        }
}

Test(filters, a_peer_that_breaks_the_rules_is_closed)
{
    for (uint32_t layers = 1; layers <= FAKE_LAYERS_ALL; layers++) {
        world_make(layers, layers, true);
        struct peer peer;
        peer_begin(&peer);
        peer.wire.data[0] ^= 0xff;
        peer_send(&peer, 0, peer.wire.bytes);
        for (uint32_t i = 0; i < 2000 && !world->closed; i++)
            turns(2);
        cr_assert_eq(world->closed, 1);
        cr_assert_eq(world->why, CONN_END_FILTER);
        cr_assert_eq(world->shards[0]->stats.filter_errors, 1);
        peer_end(&peer);
        world_end();
    }
}

Test(filters, expensive_steps_are_taken_one_a_turn)
{
    world_make(FAKE_CIPHER, 0, true);
    struct peer peers[8];
    for (int i = 0; i < 8; i++) {
        peer_begin(&peers[i]);
        peer_send(&peers[i], 0, peers[i].wire.bytes);
    }
    for (int i = 0; i < 8; i++) {
        fake_link_send(&peers[i].link, HELLO, HELLO_BYTES, &peers[i].random, &peers[i].wire);
        peer_send(&peers[i], 4, peers[i].wire.bytes);
        peer_await(&peers[i], HELLO_BYTES);
    }
    for (int i = 0; i < 8; i++)
        peer_end(&peers[i]);
    cr_assert_eq(world->shards[0]->later_count, 0);
    world_end();
}
