/* A turn's budget on the fake kernel: records of 4 bytes, each of which takes a while of the fake clock, from connections with and without filters. */
#include <criterion/criterion.h>

#include "base/check.h"
#include "base/memory.h"
#include "engine/listener.h"
#include "engine/shard.h"
#include "tests/sim/fake_filters.h"
#include "tests/sim/fake_kernel.h"

#define RECORD_BYTES 4
#define RECORD_NS    10000
#define BUDGET_US    500
#define CLIENTS      3
#define RECORDS      3000

static struct {
    struct settings settings;
    struct listener_settings listener_settings;
    struct listener listener;
    struct shard_group group;
    struct qsbr qsbr;
    struct shard *shard;
    uint32_t layers, accepted;
    uint32_t next[CLIENTS]; /* the record that each connection's client must send next */
    uint32_t in_turn, most_in_turn, closed;
    uint32_t order[CLIENTS];  /* who was heard in this turn, in order */
    uint32_t heard;
} world;

static void nothing(struct shard *shard) {}
static void accepted(struct shard *shard, struct conn *conn) { conn->client = (void *)(uintptr_t)++world.accepted; }
static bool admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    conn->filters = fake_filters_create(world.layers, 7);
    return true;
}

static struct conn_progress received(struct shard *shard, struct conn *conn, struct span bytes)
{
    uint32_t client = (uint32_t)(uintptr_t)conn->client - 1;
    size_t consumed = 0;
    if (world.heard < CLIENTS) world.order[world.heard++] = client;
    while (bytes.bytes - consumed >= RECORD_BYTES) {
        uint32_t number;
        memcpy(&number, bytes.data + consumed, RECORD_BYTES);
        cr_assert_eq(number, world.next[client]++, "client %u", client);
        consumed += RECORD_BYTES;
        shard->turn_packets++;
        world.in_turn++;
        fake_advance_ns(RECORD_NS);
        if (shard_turn_spent(shard) && consumed < bytes.bytes) return (struct conn_progress){consumed, 0};
    }
    return (struct conn_progress){consumed, RECORD_BYTES};
}

static void writable(struct shard *shard, struct conn *conn) {}
static void closed(struct shard *shard, struct conn *conn, enum conn_end why) { world.closed++; }
static void release(struct shard *shard, void *owner) {}
static bool turn(struct shard *shard) { return false; }

static const struct shard_handler handler = {.start = nothing, .accepted = accepted, .admit = admit, .received = received, .writable = writable,
                                             .closed = closed, .release = release, .turn = turn};

static void one_turn(void)
{
    world.in_turn = world.heard = 0;
    shard_turn(world.shard, 0);
    if (world.in_turn > world.most_in_turn) world.most_in_turn = world.in_turn;
}

static void world_make(uint32_t layers, uint32_t pipe_bytes)
{
    struct fake_chances chances = {.receive_now = 255, .send_now = 255, .accept_now = 255, .pipe_bytes = pipe_bytes};
    fake_reset(5, &chances);
    world.layers = layers;
    world.listener_settings = (struct listener_settings){.name = "x", .enable = true};
    world.listener = (struct listener){.settings = &world.listener_settings, .admits = layers != 0};
    world.settings = (struct settings){.node = {.connections_max = 1024}, .io = {.receive_buffers_bytes = 1 << 20, .turn_budget_us = BUDGET_US},
                                       .listeners = &world.listener_settings, .listeners_count = 1};
    qsbr_init(&world.qsbr, 1);
    world.group = (struct shard_group){.shards_count = 1, .verbs = &kernel_fake, .handler = &handler, .mesh = mesh_create(1, LANE_SLOTS),
                                       .qsbr = &world.qsbr, .listeners = &world.listener, .listeners_count = 1};
    int fd = FAKE_LISTENER;
    char error[64];
    world.shard = shard_create(0, &world.group, &world.settings, &fd, 5, NULL, error, sizeof error);
    shard_start(world.shard);
}

static void world_end(void)
{
    shard_stop(world.shard);
    for (uint32_t i = 0; i < 1000 && !shard_done(world.shard); i++)
        one_turn();
    cr_assert(shard_done(world.shard));
    shard_destroy(world.shard);
    mesh_destroy(world.group.mesh);
    fake_release();
}

/* Every client sends all it has as fast as it is taken, and hangs up. Each record comes once and in order, before its connection's end; a turn
 * takes no more than its budget and what one look at the clock leaves open; and nobody is left out while others go on. */
static void crowd(uint32_t layers, uint32_t pipe_bytes)
{
    struct fake_link links[CLIENTS];
    struct fake_bytes wires[CLIENTS] = {0};
    int sockets[CLIENTS];
    size_t sent[CLIENTS] = {0};
    struct random_source chances = {.state = 3};
    bool gone[CLIENTS] = {false};
    world_make(layers, pipe_bytes);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        sockets[c] = fake_connect(0);
        one_turn();
        cr_assert_eq(world.accepted, c + 1);
        fake_link_open(&links[c], layers, &wires[c]);
        for (uint32_t i = 0; i < RECORDS; i++)
            fake_link_send(&links[c], &i, RECORD_BYTES, &chances, &wires[c]);
    }
    uint32_t lag = 0;
    for (uint32_t t = 0; t < 20000 && world.closed < CLIENTS; t++) {
        for (uint32_t c = 0; c < CLIENTS; c++) {
            int taken = sent[c] < wires[c].bytes ? fake_client_send(sockets[c], wires[c].data + sent[c], wires[c].bytes - sent[c]) : 0;
            sent[c] += taken > 0 ? (size_t)taken : 0;
            if (sent[c] == wires[c].bytes && !gone[c]) {
                fake_hang_up(sockets[c], false);
                gone[c] = true;
            }
        }
        one_turn();
        for (uint32_t c = 0; c < CLIENTS; c++)
            for (uint32_t d = 0; d < CLIENTS; d++)
                if (world.next[c] > world.next[d] && world.next[c] - world.next[d] > lag) lag = world.next[c] - world.next[d];
    }
    cr_assert_eq(world.closed, CLIENTS);
    for (uint32_t c = 0; c < CLIENTS; c++)
        cr_assert_eq(world.next[c], RECORDS);
    /* Two phases of a turn take input (and one more what filters have left over): each its budget and one look. */
    cr_assert_leq(world.most_in_turn, 3 * (BUDGET_US * 1000 / RECORD_NS + WORK_PER_LOOK));
    if (pipe_bytes > 4096) {
        cr_assert_gt(stats_read(&world.shard->stats.turns_cut), 10);
        cr_assert_lt(lag, 2 * 3 * (BUDGET_US * 1000 / RECORD_NS + WORK_PER_LOOK), "one was %u records ahead", lag);
    }
    world_end();
    for (uint32_t c = 0; c < CLIENTS; c++) {
        fake_link_release(&links[c]);
        memory_release(wires[c].data);
    }
}

Test(turn, input_is_cut_and_goes_on_in_order) { crowd(0, 16384); }
Test(turn, also_behind_filters) { crowd(1, 16384); }
Test(turn, small_receives_are_left_whole) { crowd(0, 64); }

/* ---- who goes first --------------------------------------------------------------------------------------------- */

static int sockets[CLIENTS];
static uint32_t sent[CLIENTS];

static void clients_connect(void)
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        sockets[c] = fake_connect(0);
        one_turn();
        sent[c] = 0;
    }
    cr_assert_eq(world.accepted, CLIENTS);
}

static void client_sends(uint32_t client, uint32_t records)
{
    for (uint32_t i = 0; i < records; i++, sent[client]++)
        cr_assert_eq(fake_client_send(sockets[client], &sent[client], RECORD_BYTES), RECORD_BYTES);
}

static void all_end(void)
{
    for (uint32_t c = 0; c < CLIENTS; c++)
        fake_hang_up(sockets[c], false);
    for (uint32_t i = 0; i < 1000 && world.closed < CLIENTS; i++)
        one_turn();
    for (uint32_t c = 0; c < CLIENTS; c++)
        cr_assert_eq(world.next[c], sent[c]);
    world_end();
}

Test(turn, a_small_receive_goes_first)
{
    world_make(0, 16384);
    world.shard->sorted_from = 2;
    clients_connect();
    client_sends(0, 16);
    client_sends(1, 16);
    client_sends(2, 1);
    one_turn();
    cr_assert_eq(world.heard, CLIENTS);
    cr_assert_eq(world.order[0], 2);
    all_end();
}

/* received() asserts the order of each client's records. */
Test(turn, a_small_receive_overtakes_none_of_its_own_connection)
{
    struct random_source chances = {.state = 11};
    uint32_t overtaken = 0;
    world_make(0, 16384);
    world.shard->sorted_from = 1;
    clients_connect();
    for (uint32_t t = 0; t < 3000; t++) {
        for (uint32_t c = 0; c < CLIENTS; c++)
            if (sent[c] - world.next[c] < 500) client_sends(c, random_below(&chances, 2) ? 1 : 20 + (uint32_t)random_below(&chances, 40));
        one_turn();
        for (uint32_t i = 0; i < world.shard->completions_left; i++) /* what was small and waits: only behind one of its own */
            overtaken += world.shard->completions[i].result > 0 && world.shard->completions[i].result <= RECORD_BYTES;
    }
    cr_assert_gt(overtaken, 100, "%u small ones had to wait", overtaken);
    all_end();
}

/* ---- rest ------------------------------------------------------------------------------------------------------- */

#define CROWD 600 /* more than two turns' sends */

static uint32_t messages_each; /* that whatever comes becomes for everybody */

static struct conn_progress received_for_all(struct shard *shard, struct conn *conn, struct span bytes)
{
    for (uint32_t slot = 0; slot < CROWD; slot++) {
        memset(conn_reserve(shard, &shard->conns[slot], 8), 0, 8);
        conn_commit(&shard->conns[slot], 8);
    }
    shard->stats.publish_sent += (uint64_t)CROWD * messages_each;
    return (struct conn_progress){bytes.bytes, 1};
}

/* The longest minimum wait while a message (and, in the middle of its sends, perhaps another one) goes to the crowd. */
static uint64_t longest_rest(uint32_t each, bool another)
{
    struct shard_handler to_all = handler;
    uint64_t longest_ns = 0, rests_until_ns = 0;
    world_make(0, 16384);
    world.accepted = 0;
    int first = fake_connect(0);
    for (uint32_t i = 1; i < CROWD; i++)
        fake_connect(0);
    for (uint32_t i = 0; i < 10000 && world.accepted < CROWD; i++)
        one_turn();
    cr_assert_eq(world.accepted, CROWD);
    for (uint32_t i = 0; i < 50; i++) { /* a crowd that has just come is gathered, too: accept.c */
        fake_advance_ns(20000000);
        one_turn();
    }
    to_all.received = received_for_all;
    world.group.handler = &to_all;
    messages_each = each;
    uint64_t sends = stats_read(&world.shard->stats.sends);
    fake_client_send(first, "1", 1);
    for (uint32_t turns = 0; turns < 60; turns++) {
        uint64_t before = stats_read(&world.shard->stats.sends);
        shard_turn(world.shard, 1000000000);
        uint64_t now_ns = fake_now_ns(), wait_ns = fake_min_wait_ns(0), after = stats_read(&world.shard->stats.sends);
        if (wait_ns > 60000 && wait_ns > longest_ns) rests_until_ns = now_ns + wait_ns;
        if (wait_ns > longest_ns) longest_ns = wait_ns;
        if (now_ns + 30000 < rests_until_ns) cr_assert_lt(after - before, 100, "it sends while it rests (but for what had found no room)");
        if (another && after - sends > CROWD / 2 && after - sends < CROWD) another = fake_client_send(first, "2", 1) != 1;
        bool rests = world.shard->dirty_count && after - before < 100;
        fake_advance_ns(rests ? 100000 : 600000);
    }
    cr_assert_eq(world.shard->dirty_count, 0, "all has been sent");
    world.group.handler = &handler;
    world_end();
    return longest_ns;
}

Test(turn, a_round_of_sends_behind_which_the_next_waits_is_followed_by_a_rest)
{
    uint64_t rest_ns = longest_rest(1, true);
    cr_assert(rest_ns > 200000 && rest_ns < 600000, "a fifth of some turns of 600 us: %llu", (unsigned long long)rest_ns);
    cr_assert_lt(longest_rest(1, false), 60000, "nothing waits");
    cr_assert_lt(longest_rest(16, true), 60000, "many messages a send");
}
