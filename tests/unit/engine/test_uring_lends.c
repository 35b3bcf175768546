/* test_uring_lends.c - bytes that leave from the buffers they came in, on a real ring: an echo whose peer reads slowly. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/random.h"
#include "engine/listener.h"
#include "engine/shard.h"

#define HOLD_ROOM   1
#define TOTAL_BYTES (6u << 20)

static struct {
    struct settings settings;
    struct listener listener;
    struct shard_group group;
    struct qsbr qsbr;
    struct shard *shard;
    uint32_t lent, copied, kept_most;
} world;

static void nothing(struct shard *shard) {}
static void accepted(struct shard *shard, struct conn *conn) {}

static struct conn_progress received(struct shard *shard, struct conn *conn, struct span bytes)
{
    if (!conn_has_room(conn)) {
        conn_hold(conn, HOLD_ROOM);
        conn->wants_writable = true;
        return (struct conn_progress){0, 0};
    }
    bool inside = bytes.data >= shard->receiving.data && bytes.data + bytes.bytes <= shard->receiving.data + shard->receiving.bytes;
    if (inside && conn_lend(shard, conn, bytes)) {
        world.lent++;
    } else {
        memcpy(conn_reserve(shard, conn, (uint32_t)bytes.bytes), bytes.data, bytes.bytes);
        conn_commit(conn, (uint32_t)bytes.bytes);
        world.copied++;
    }
    if (shard->lent > world.kept_most) world.kept_most = shard->lent;
    return (struct conn_progress){bytes.bytes, 1};
}

static void writable(struct shard *shard, struct conn *conn)
{
    if (conn->holds & HOLD_ROOM) conn_release(shard, conn, HOLD_ROOM);
}
static void closed(struct shard *shard, struct conn *conn, enum conn_end why) {}
static void release(struct shard *shard, void *owner) { cr_assert_fail("nobody attached anything"); }
static bool turn(struct shard *shard) { return false; }

static const struct shard_handler handler = {.start = nothing, .accepted = accepted, .received = received, .writable = writable, .closed = closed,
                                             .release = release, .turn = turn};

static void echo(bool vectorized)
{
    static uint8_t bytes[TOTAL_BYTES], back[TOTAL_BYTES];
    struct random_source random = {.state = 5};
    for (uint32_t i = 0; i < TOTAL_BYTES; i++)
        bytes[i] = (uint8_t)random_next(&random);
    world.settings = (struct settings){.node = {.connections_max = 16},
                                       .io = {.ring_entries = 64, .receive_buffers_bytes = 512 * 1024, .multishot_receive = true,
                                              .incremental_buffers = true, .send_vectorized = vectorized}};
    qsbr_init(&world.qsbr, 1);
    world.group = (struct shard_group){.shards_count = 1, .verbs = &kernel_uring, .handler = &handler, .mesh = mesh_create(1, LANE_SLOTS),
                                       .qsbr = &world.qsbr, .listeners = &world.listener, .listeners_count = 1};
    int none = -1, pair[2];
    char error[256];
    world.shard = shard_create(0, &world.group, &world.settings, &none, 1, NULL, error, sizeof error);
    cr_assert(world.shard, "%s", error);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    cr_assert(conn_dialled(world.shard, pair[0]));

    uint32_t sent = 0, got = 0;
    for (uint32_t turns = 0; got < TOTAL_BYTES; turns++) {
        uint32_t wanted = 1 + (uint32_t)random_below(&random, 60000);
        ssize_t done = sent < TOTAL_BYTES ? send(pair[1], bytes + sent, wanted < TOTAL_BYTES - sent ? wanted : TOTAL_BYTES - sent, MSG_DONTWAIT) : 0;
        sent += done > 0 ? (uint32_t)done : 0;
        bool reads = turns / 64 % 2 || sent == TOTAL_BYTES; /* nothing at all for a while: what was lent finds no room */
        done = reads ? recv(pair[1], back + got, 1 + random_below(&random, 90000), MSG_DONTWAIT) : 0;
        cr_assert(done >= 0 || errno == EAGAIN);
        got += done > 0 ? (uint32_t)done : 0;
        shard_turn(world.shard, 1000000);
        if (!reads && turns % 64 > 40) cr_assert_eq(world.shard->lent, 0, "a peer that reads nothing keeps nothing");
    }
    cr_assert_eq(memcmp(bytes, back, TOTAL_BYTES), 0);
    for (int i = 0; i < 4; i++)
        shard_turn(world.shard, 0);
    cr_assert_eq(world.shard->lent, 0, "all came back");
    if (kernel_uring.features(world.shard->ring)->incremental_buffers) /* others are smaller than what is lent */
        cr_assert(world.lent > 20 && world.kept_most > 0, "%u lent, %u copied", world.lent, world.copied);
    close(pair[1]);
    shard_stop(world.shard);
    for (int i = 0; i < 1000 && !shard_done(world.shard); i++)
        shard_turn(world.shard, 1000000);
    cr_assert(shard_done(world.shard));
    shard_destroy(world.shard);
    mesh_destroy(world.group.mesh);
}

Test(uring_lends, an_echo_comes_back_whole, .timeout = 60) { echo(true); }
Test(uring_lends, also_by_messages, .timeout = 60) { echo(false); }
