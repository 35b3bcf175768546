/* Connections that come in a crowd are looked for instead of waited for; then all is as before. */
#include <criterion/criterion.h>

#include "base/memory.h"
#include "engine/listener.h"
#include "engine/shard.h"
#include "tests/sim/fake_kernel.h"

#define CROWD 80

static struct settings settings;
static struct listener_settings listener_settings = {.name = "x", .enable = true};
static struct listener listener = {.settings = &listener_settings};
static struct shard_group group;
static struct qsbr qsbr;
static struct shard *only;

static void nothing(struct shard *shard) {}
static void accepted(struct shard *shard, struct conn *conn) {}
static struct conn_progress received(struct shard *shard, struct conn *conn, struct span bytes) { return (struct conn_progress){bytes.bytes, 1}; }
static void closed(struct shard *shard, struct conn *conn, enum conn_end why) {}
static bool turn(struct shard *shard) { return false; }
static const struct shard_handler handler = {.start = nothing, .accepted = accepted, .received = received, .closed = closed, .turn = turn};

static void world_make(void)
{
    struct fake_chances chances = {.receive_now = 255, .send_now = 255, .accept_now = 255, .pipe_bytes = 4096};
    int fd = FAKE_LISTENER;
    char error[64];
    fake_reset(1, &chances);
    settings = (struct settings){.node = {.connections_max = 400}, .io = {.receive_buffers_bytes = 65536}, .listeners = &listener_settings, .listeners_count = 1};
    qsbr_init(&qsbr, 1);
    group = (struct shard_group){.shards_count = 1, .verbs = &kernel_fake, .handler = &handler, .mesh = mesh_create(1, LANE_SLOTS), .qsbr = &qsbr,
                                 .listeners = &listener, .listeners_count = 1};
    only = shard_create(0, &group, &settings, &fd, 1, NULL, error, sizeof error);
    shard_start(only);
}

static void world_end(void)
{
    shard_stop(only);
    for (uint32_t i = 0; i < 1000 && !shard_done(only); i++)
        shard_turn(only, 0);
    cr_assert(shard_done(only));
    shard_destroy(only);
    mesh_destroy(group.mesh);
    fake_release();
}

/* The fake kernel gives at most one connection a turn. */
static void all_come(uint32_t count)
{
    uint32_t before = only->conns_open;
    for (uint32_t i = 0; i < count; i++)
        fake_connect(0);
    for (uint32_t i = 0; i < 10 * count && only->conns_open < before + count; i++)
        shard_turn(only, 0);
    cr_assert_eq(only->conns_open, before + count);
}

Test(accept, a_crowd_is_looked_for_and_nobody_is_forgotten)
{
    world_make();
    all_come(10);
    cr_assert(!only->crowd.on, "ten are none");
    all_come(CROWD - 10);
    cr_assert(only->crowd.on);
    cr_assert_eq(stats_read(&only->stats.accept_crowds), 1);
    fake_advance_ns(4000000);
    all_come(1);
    cr_assert(only->crowd.on, "for a moment after the last of it");
    fake_advance_ns(60000000);
    for (int i = 0; i < 3; i++)
        shard_turn(only, 0);
    cr_assert(!only->crowd.on);
    cr_assert(only->acceptors[0].armed, "waited for again");
    all_come(1);
    cr_assert_eq(stats_read(&only->stats.accept_crowds), 1);
    world_end();
}

Test(accept, whoever_has_messages_is_not_kept_waiting)
{
    world_make();
    stats_count(&only->stats.publish_received, 1);
    all_come(CROWD);
    cr_assert(!only->crowd.on);
    fake_advance_ns(200000000);
    all_come(CROWD);
    cr_assert(only->crowd.on, "none for a while");
    stats_count(&only->stats.publish_sent, 1);
    shard_turn(only, 0);
    cr_assert(!only->crowd.on, "the first message ends it");
    for (int i = 0; i < 3; i++)
        shard_turn(only, 0);
    cr_assert(only->acceptors[0].armed);
    all_come(1);
    world_end();
}
