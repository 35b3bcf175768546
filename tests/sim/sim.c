/* sim.c - N shards of the real broker on the fake kernel, in one thread, from one seed (design §13).
 *
 *     sim --seed 0x51f0 [--verbose]        one run
 *     sim --seeds 1000 [--first 1]         many; the first failure ends with its seed
 *     sim --seeds 1000 --pressure          queues of a few messages, and publishers that do nothing but publish
 *
 * What must hold, whatever the schedule: every publisher's messages arrive in the order sent; what was acknowledged reaches
 * every steady subscriber (QoS 1 at least once, QoS 2 exactly once) and exactly one member of a shared group; no lane is published twice in a turn; and when all
 * clients have left, no connection, session, message, buffer or pool block is left. In half of the runs a feature makes packets wait at random. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/records.h"
#include "engine/listener.h"
#include "base/hash.h"
#include "tests/sim/fake_disk.h"
#include "tests/sim/fake_feature.h"
#include "tests/sim/fake_filters.h"
#include "tests/sim/fake_kernel.h"
#include "tests/sim/fake_shelf.h"
#include "tests/sim/sim_client.h"

#define CHAOS_STEPS 1500
#define DRAIN_STEPS_MAX 400000

struct sim {
    uint64_t seed;
    struct random_source random;
    struct settings settings;
    struct listener_settings listener_settings;
    struct listener listener;
    struct shard_group group;
    struct shard_handler handler; /* the broker's, with filters of our own */
    struct broker *broker;
    struct features *features; /* NULL: none; half of the seeds */
    struct shard *shards[8];
    struct sim_client clients[SIM_CLIENTS_MAX];
    struct sim_rules rules;
    struct fake_disk *disk; /* NULL: durability is off */
    uint32_t crashes;
    struct store_files files;
    struct reserve *reserve;
    bool fills; /* somebody else fills the disk now and then, and makes room again */
    struct store *store;
    struct fake_shelf *shelf; /* NULL: queues stay in memory */
    uint32_t shelf_fails;
    struct spill *spill;
    bool sleepy;   /* shards get a turn only when something would wake them */
    uint32_t lazy; /* a shard that seldom gets its turn (or none), so that lanes fill up */
};

static uint64_t seed_now;
static uint32_t layers_now;
static bool verbose, memory_only, store_only; /* no run has a store; all have one */
static bool pressure_only;                    /* see pressure_choose() */
static bool drops_now;                        /* see drops_choose() */
static uint64_t dropped_before;               /* by the broker before the last crash */
static uint64_t rows_found, rows_fetched; /* of retained messages: after starts; for subscribers */
static uint64_t scouted_sum, scouted_across_sum, scouted_found_sum;
static uint64_t pressure_drops, pressure_drop_runs, pressure_holds_sum;

_Noreturn void sim_fail(const char *what, const struct sim_client *client, uint32_t publisher, uint32_t qos, uint32_t number)
{
    fprintf(stderr, "sim: seed 0x%" PRIx64 ": %s (client %u version %d, publisher %u, qos %u, number %u)\n", seed_now, what,
            client ? client->number : 0, client ? (int)client->version : 0, publisher, qos, number);
    exit(1);
}

static uint32_t pick(struct sim *sim, uint32_t low, uint32_t high)
{
    return low + (uint32_t)random_below(&sim->random, high - low + 1);
}

/* ---- filters -------------------------------------------------------------------------------------------------------- */

static bool sim_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    conn->filters = fake_filters_create(layers_now, random_next(&shard->random));
    return true;
}

/* ---- making the world ------------------------------------------------------------------------------------------- */

static struct settings settings_make(struct sim *sim)
{
    return (struct settings){
        .node = {.connections_max = 4096},
        .mqtt = {.packet_bytes_max = 1 << 20, .receive_max = (uint16_t)pick(sim, 1, 12),
                 .inflight_max = (uint16_t)pick(sim, 1, 20), .topic_alias_max = 8, .topic_alias_out_max = (uint16_t)(8 * pick(sim, 0, 1)),
                 .topic_levels_max = 128, .client_id_bytes_max = 65535, .qos_max = 2, .retain_available = true,
                 .wildcard_available = true, .shared_available = true, .share_strategy = (uint8_t)pick(sim, 0, 6),
                 .session_expiry_max_s = UINT32_MAX, .queue_messages_max = 1000000, .queue_bytes_max = 1u << 30,
                 .retained_messages_max = 0, .match_cache_topics = hash_u64(sim->seed ^ 0x70b1c) & 1 ? 64 : 0 /* few */, .pause_ms = pick(sim, 0, 3),
                 .response_information = ""},
        .io = {.spin_us = 0},
        .sys = {.interval_s = 1},
        .listeners = &sim->listener_settings,
        .listeners_count = 1,
    };
}

static struct rate_settings rate_choose(struct sim *sim, uint32_t low, uint32_t high)
{
    if (pick(sim, 0, 1)) return (struct rate_settings){0, 0};
    return (struct rate_settings){pick(sim, low, high), pick(sim, 1, 20)};
}

/* A third of the runs has rates that clients do run into. */
static void rates_choose(struct sim *sim)
{
    static const uint32_t lowest[RATE_KINDS] = {[RATE_MESSAGES] = 300, [RATE_BYTES] = 100000, [RATE_SUBSCRIBES] = 20, [RATE_DELIVERIES] = 1000};
    if (pick(sim, 0, 2)) return;
    for (uint32_t i = 0; i < RATE_KINDS; i++) {
        sim->settings.limiter.client[i] = rate_choose(sim, lowest[i], lowest[i] * 8);
        sim->settings.limiter.node[i] = rate_choose(sim, lowest[i] * 6, lowest[i] * 40);
        sim->listener_settings.total_rates[i] = rate_choose(sim, lowest[i] * 6, lowest[i] * 40);
        sim->listener_settings.rates[i].per_s = pick(sim, 0, 3) ? RATE_INHERIT : 0;
    }
}

/* Another third has the extras on: those that leave the steady clients' messages as they are. */
static void extras_choose(struct sim *sim)
{
    if (pick(sim, 0, 2)) return;
    sim->settings.rewrite_rules = "all never/# ^never/(.*)$ $1; publish rewritten/# ^rewritten/(.)$ made/$1/${username}";
    sim->settings.auto_subscribe_topics = "auto/${client_id} qos=1; $share/auto/auto/all qos=2; user/${username}";
    sim->settings.topic_metrics_topics = "auto/all; #";
    sim->settings.delayed = (struct delayed_settings){.enable = true, .delay_max_s = 100};
    sim->settings.slow_subs = (struct slow_subs_settings){.enable = true, .threshold_ms = pick(sim, 1, 20), .top_k = pick(sim, 1, 5), .expire_s = 1};
    sim->settings.mqtt.exclusive_subscription = true;
    sim->settings.mqtt.max_qos_rules = "auto/# 1";
    sim->settings.mqtt.share_group_strategies = "auto sticky";
    sim->settings.mqtt.sessions_per_user_max = 1;
    sim->settings.mqtt.retained_clear_s = 1;
}

/* Queues are small and no connection breaks, so that nothing may be dropped unless a subscriber was too slow to be waited for. */
static void pressure_choose(struct sim *sim)
{
    sim->settings.mqtt.queue_messages_max = pick(sim, 4, 60);
    if (pick(sim, 0, 2) == 0) sim->settings.mqtt.queue_bytes_max = pick(sim, 16384, 65536);
    sim->settings.mqtt.pause_ms = pick(sim, 1, 3);
}

/* In a quarter of the runs with a shelf queues are short, and what has waited longest goes: also from the shelf, and while it is being read. */
static void drops_choose(struct sim *sim)
{
    uint64_t fate = hash_u64(sim->seed ^ 0xd709);
    drops_now = sim->shelf && (fate & 3) == 0;
    dropped_before = 0;
    if (!drops_now) return;
    sim->settings.mqtt.queue_policy = QUEUE_DROP_OLDEST;
    sim->settings.mqtt.queue_messages_max = 10 + (uint32_t)(fate >> 8 & 127);
}

#define RESERVE_BYTES (16 * STORE_SEGMENT_BYTES_MIN)
#define FILL_NS       40000000ull /* so long the disk stays as it is */

/* A quarter of the time there is less room than the reserve, and in a quarter of that none at all. The run's own chances stay what they are. */
static void disk_fill(struct sim *sim)
{
    uint64_t fate = sim->rules.chaos ? hash_u64(sim->seed ^ (fake_now_ns() / FILL_NS) * 0x9e37) : 1;
    uint64_t free_bytes = fate & 3 ? 4 * RESERVE_BYTES : fate & 12 ? RESERVE_BYTES / 2 : 0;
    fake_disk_set_size(sim->disk, fake_disk_used(sim->disk) + free_bytes);
}

struct row_look {
    struct span topic, properties, payload; /* of the row */
    uint8_t *copy;
};

static bool row_copy(void *context, uint64_t space, uint64_t number, struct span row)
{
    struct row_look *look = context;
    look->copy = memory_acquire(row.bytes + 1);
    memcpy(look->copy, row.data, row.bytes);
    look->payload = span_of(look->copy, row.bytes);
    return false;
}

/* The payload of a row that is there; the copy is the caller's. */
static struct span row_payload(const struct sim *sim, struct stored_row row, struct span topic, size_t properties_bytes, uint8_t **ret_copy)
{
    struct shelf shelf = fake_shelf_verbs(sim->shelf);
    struct row_look look = {0};
    fake_shelf_set_fails(sim->shelf, 0);
    CHECK(shelf.get(shelf.context, row.space, row.number, row_copy, &look) == 0);
    fake_shelf_set_fails(sim->shelf, sim->shelf_fails);
    if (!look.copy) sim_fail("a row that the log names is not on the shelf", NULL, 0, 0, (uint32_t)row.number);
    if (look.payload.bytes < topic.bytes || memcmp(look.copy, topic.data, topic.bytes) != 0) sim_fail("a row is another topic's", NULL, 0, 0, (uint32_t)row.number);
    *ret_copy = look.copy;
    return span_skip(look.payload, topic.bytes + properties_bytes);
}

/* After a start: each row that the log names is there, and no other. */
static void check_rows(const struct sim *sim, const struct state *state)
{
    uint32_t named = 0, cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));) {
        if (!message->row.space) continue;
        uint8_t *copy;
        struct span payload = row_payload(sim, message->row, message->stored.topic, message->stored.properties.bytes, &copy);
        if (payload.bytes != message->payload_bytes) sim_fail("a row of another size", NULL, 0, 0, (uint32_t)message->row.number);
        memory_release(copy);
        named++;
    }
    if (fake_shelf_rows(sim->shelf) != named) sim_fail("rows are left that nobody needs", NULL, fake_shelf_rows(sim->shelf), 0, named);
    rows_found += named;
}

/* Opens the store on the disk, a new one or what a crash has left. */
static void store_make(struct sim *sim, uint32_t shards, struct state *state)
{
    char error[512];
    struct fake_disk_chances none = {0}, chances = {.write_fails = pick(sim, 0, 6), .sync_fails = pick(sim, 0, 6), .make_fails = pick(sim, 0, 30)};
    struct store_config config = {.files = sim->files, .shards_count = shards, .segment_bytes = STORE_SEGMENT_BYTES_MIN,
                                  .realtime_ms = fake_now_ns() / 1000000, .seed = sim->seed + sim->crashes, .path = "fake"};
    struct reserve_config reserve = {.files = &sim->files, .path = "fake", .bytes = RESERVE_BYTES, .shards_count = shards, .segment_bytes = STORE_SEGMENT_BYTES_MIN};
    if (sim->fills) sim->reserve = config.reserve = reserve_create(&reserve);
    fake_disk_set_size(sim->disk, 0);
    struct store_report report;
    fake_disk_set_chances(sim->disk, &none);
    sim->store = store_open(&config, error, sizeof error);
    CHECK(sim->store);
    state_init(state);
    if (!store_recover(sim->store, state, durable_groups, NULL, NULL, &report, error, sizeof error)) sim_fail(error, NULL, 0, 0, 0);
    CHECK(store_start(sim->store, false, error, sizeof error));
    fake_disk_set_chances(sim->disk, &chances);
    broker_use_store(sim->broker, sim->store, state);
    if (!sim->shelf) return;
    struct spill_config spill = {.shelf = fake_shelf_verbs(sim->shelf), .shards_count = shards, .sync_bytes = 1u << pick(sim, 8, 16), .swept = true, .reserve = sim->reserve};
    fake_shelf_set_fails(sim->shelf, sim->shelf_fails = 0); /* a start that cannot read is refused */
    CHECK(shelf_sweep(&spill.shelf, state) == 0);
    check_rows(sim, state);
    sim->spill = spill_create(&spill);
    broker_use_spill(sim->broker, sim->spill);
}

static void store_end(struct sim *sim)
{
    if (!sim->store) return;
    spill_destroy(sim->spill);
    sim->spill = NULL;
    store_close(sim->store);
    sim->store = NULL;
    reserve_destroy(sim->reserve);
    sim->reserve = NULL;
}

static void node_make(struct sim *sim)
{
    uint32_t shards = pick(sim, 1, 4);
    sim->broker = broker_create(&sim->settings, shards, sim->seed);
    sim->group = (struct shard_group){.shards_count = shards, .verbs = &kernel_fake, .handler = &sim->handler,
                                      .mesh = mesh_create(shards, pick(sim, 0, 1) ? LANE_SLOTS : pick(sim, 17, 48)) /* 17: the largest record of this load */,
                                      .qsbr = &sim->broker->qsbr,
                                      .packets_max = pick(sim, 0, 3), .sorted_from = pick(sim, 0, 4), .crowd_from = pick(sim, 0, 2),
                                      .lends_from = hash_u64(sim->seed ^ 0x1e4d) & 3 ? 64 : 0, /* receives of the simulation have 512 bytes at most */
                                      .listeners = &sim->listener, .listeners_count = 1};
    uint64_t fate = hash_u64(sim->seed ^ 0xfea7); /* not the run's own chances: those stay what they were for each seed */
    if ((fate & 1) && !pressure_only) sim->features = fake_feature_create(sim->broker, &sim->settings, fate, (uint32_t)(fate >> 8 & 127));
    struct state state;
    if (sim->disk) store_make(sim, shards, &state);
    int listener_fd = FAKE_LISTENER;
    char error[128];
    for (uint32_t s = 0; s < shards; s++)
        sim->shards[s] = shard_create(s, &sim->group, &sim->settings, &listener_fd, sim->seed + s, sim->broker->shards[s],
                                      error, sizeof error);
    for (uint32_t s = 0; s < shards; s++)
        shard_start(sim->shards[s]);
    sim->broker->recovered = NULL;
    if (sim->store) {
        state_release(&state);
        store_recovered(sim->store);
        if (sim->shelf) fake_shelf_set_fails(sim->shelf, sim->shelf_fails = pick(sim, 0, 1) ? 0 : pick(sim, 0, 5)); /* each failure costs a second */
    }
}

/* Who gets what is published: in a quarter of the runs one client, in another a group alone, and it comes in rows, which go the shortest way to those
 * (broker/publish_again.c). Nothing else is on then that would look at them. */
enum audience { EVERYBODY, ONE, GROUP };

static enum audience audience_of(uint64_t seed)
{
    uint64_t chosen = pressure_only || store_only ? EVERYBODY : hash_u64(seed ^ 0xa11e) % 4;
    return chosen == 1 ? ONE : chosen == 2 ? GROUP : EVERYBODY;
}

static void audience_choose(struct sim *sim, enum audience audience)
{
    if (audience == EVERYBODY) return;
    sim->listener_settings.mountpoint = "";
    sim->settings.mqtt.inflight_max = 1000; /* they keep up, mostly */
    if (sim->seed & 1) sim->settings.mqtt.share_strategy = SHARE_ROUND_ROBIN;
}

static enum sim_role role_of(uint32_t client, enum audience audience)
{
    if (client < 2) return audience == EVERYBODY || (audience == ONE && client == 0) ? SIM_STEADY : SIM_PUBLISHER;
    if (client < 4) return audience == ONE ? SIM_PUBLISHER : SIM_SHARED;
    if (pressure_only) return SIM_PUBLISHER;
    return audience != EVERYBODY ? SIM_PUBLISHER : client % 2 ? SIM_CHAOTIC : SIM_STEADY;
}

static void sim_create(struct sim *sim, uint64_t seed)
{
    memset(sim, 0, sizeof *sim);
    fake_feature_begin();
    sim->seed = seed_now = seed;
    sim->random.state = seed;
    enum audience audience = audience_of(seed);
    struct fake_chances chances = {.receive_now = pick(sim, 64, 255), .receive_short = pick(sim, 0, 120),
                                   .receive_ends = pick(sim, 0, 40), .no_buffer = pick(sim, 0, 30),
                                   .send_now = pick(sim, 64, 255), .send_short = pick(sim, 0, 120),
                                   .accept_now = pick(sim, 64, 255), .fd_passing = pick(sim, 0, 1),
                                   .send_vectorized = pick(sim, 0, 1), .pipe_bytes = pick(sim, 64, 20000)};
    fake_reset(seed ^ 0x5eed, &chances);
    sim->listener_settings = (struct listener_settings){
        .name = "sim", .enable = true, .connect_timeout_ms = 60000, .handshake_timeout_ms = 30000, .protocol_versions = "3.1, 3.1.1, 5.0",
        .mountpoint = pick(sim, 0, 3) ? "" : "mounted/here/", .packet_bytes_max = LISTENER_INHERIT, .receive_max = LISTENER_INHERIT,
        .topic_alias_max = LISTENER_INHERIT, .keep_alive_max_s = LISTENER_INHERIT, .qos_max = LISTENER_INHERIT,
        .retain_available = SWITCH_INHERIT, .wildcard_available = SWITCH_INHERIT, .shared_available = SWITCH_INHERIT};
    sim->settings = settings_make(sim);
    if (pressure_only) {
        pressure_choose(sim);
    } else if (audience == EVERYBODY) {
        rates_choose(sim);
        extras_choose(sim);
    }
    layers_now = pick(sim, 0, 1) ? pick(sim, 1, FAKE_LAYERS_ALL) : 0;
    sim->listener = (struct listener){.settings = &sim->listener_settings, .admits = layers_now != 0, .asks_peer = pick(sim, 0, 1)};
    sim->handler = broker_handler;
    sim->handler.admit = sim_admit;
    audience_choose(sim, audience);
    if ((pick(sim, 0, 1) || store_only) && !memory_only && audience == EVERYBODY) { /* half of the runs keep their sessions on a disk that sometimes fails */
        struct fake_disk_chances none = {0};
        sim->disk = fake_disk_create(sim->seed ^ 0xd15c, &none);
        sim->files = fake_disk_files(sim->disk);
        fake_use_disk(sim->disk);
        sim->fills = hash_u64(sim->seed ^ 0xf111) & 1;
        sim->settings.durability = (struct durability_settings){.enable = true, .topics = "", .commit_interval_ms = pick(sim, 0, 3),
                                                                .commit_bytes_max = (uint64_t)pick(sim, 0, 2) * 4096,
                                                                .checkpoint_bytes = 1u << pick(sim, 12, 20), .backlog_bytes_max = 1u << 30,
                                                                .memory_bytes = 1u << pick(sim, 10, 30), .queue_window = pick(sim, 1, 12),
                                                                .queue_window_bytes = 1u << pick(sim, 10, 20)};
        if (pick(sim, 0, 3)) sim->shelf = fake_shelf_create(sim->seed ^ 0x5e1f);
        uint64_t large = hash_u64(sim->seed ^ 0x4e7a); /* not the run's own chances */
        sim->settings.mqtt.retained_shelf_above = large & 7 ? 1 + (large >> 3) % 1500 : 0;
        sim->settings.mqtt.retained_shelf_memory_bytes = 1ull << (large >> 20) % 15;
    }
    drops_choose(sim);
    node_make(sim);
    sim->lazy = pick(sim, 0, 7);
    sim->sleepy = pressure_only && (hash_u64(seed ^ 0x51ee) & 1); /* without threads that have ways of their own to wake a shard */
    uint32_t clients = pick(sim, 4 + 2 * pressure_only, 10);
    for (uint32_t c = 0; c < clients; c++)
        sim_client_init(&sim->clients[c], c, role_of(c, audience), &sim->random);
    sim->rules = (struct sim_rules){.random = &sim->random, .shards_count = sim->group.shards_count, .clients_count = clients,
                                    .filler_max = pick(sim, 0, pick(sim, 0, 1) ? 3000 : 60), .layers = layers_now, .pressure = pressure_only, .fills = sim->fills,
                                    .returns = drops_now, .rows = audience != EVERYBODY};
}

/* ---- running it ------------------------------------------------------------------------------------------------- */

/* A shard with nothing to do lies in the kernel until something arrives, another shard rings or a timer is due: whoever waits for anything else waits for good. */
static bool sim_sleeps(const struct sim *sim, uint32_t number)
{
    const struct shard *shard = sim->shards[number];
    if (!sim->sleepy || shard->more_next_turn || shard->lanes_full || shard->crowd.on || shard->completions_left) return false;
    if (wheel_next_ms(&shard->wheel) <= fake_now_ns() / 1000000 || mesh_ready(sim->group.mesh, number)) return false;
    return !fake_wakes(number);
}

/* In half of the runs nobody gets a processor now and then, for longer than a second: that makes no subscriber slow. */
static void stand_still(const struct sim *sim)
{
    uint64_t fate = hash_u64(sim->seed ^ fake_now_ns());
    if ((sim->seed & 1) == 0 && fate % 3000 == 0) fake_advance_ns(1000000000 + (fate >> 32) % 2000000000);
}

static void sim_turn(struct sim *sim)
{
    uint32_t shard = pick(sim, 0, sim->group.shards_count - 1);
    if (shard == sim->lazy && pick(sim, 0, 15)) shard = pick(sim, 0, sim->group.shards_count - 1);
    if (sim_sleeps(sim, shard)) return fake_advance_ns(random_below(&sim->random, 600000));
    uint64_t published = sim->shards[shard]->stats.lanes_published;
    shard_turn(sim->shards[shard], 0);
    if (sim->shards[shard]->stats.lanes_published - published >= sim->group.shards_count) sim_fail("a lane was published twice in a turn", NULL, 0, 0, shard);
    if (sim->features) fake_feature_step();
    if (sim->features && sim->broker->shards[shard]->features) fake_feature_chore(sim->broker->shards[shard]->features);
    if (sim->features && (fake_now_ns() & 63) == 0) features_events_drain(sim->features);
    if (sim->fills) disk_fill(sim);
    if (sim->store && pick(sim, 0, 3) == 0) store_step(sim->store);
    if (sim->spill && pick(sim, 0, 3) == 0) spill_step(sim->spill, fake_now_ns() / 1000000);
    fake_advance_ns(random_below(&sim->random, 600000));
    if (pressure_only) stand_still(sim);
}

/* At any moment: what a publisher has its acknowledgement for is safe with the sinks. */
static void check_sinks(const struct sim *sim)
{
    for (uint32_t p = 0; sim->features && p < sim->rules.clients_count; p++)
        for (uint32_t qos = 1; qos <= 2; qos++)
            for (uint32_t n = 0; n < sim->clients[p].flows[qos].published; n++)
                if (sim->clients[p].flows[qos].acknowledged[n]) fake_feature_check(p, qos, n);
}

static void sim_step(struct sim *sim)
{
    if ((fake_now_ns() & 255) == 0) check_sinks(sim);
    sim_client_step(&sim->clients[pick(sim, 0, sim->rules.clients_count - 1)], &sim->rules);
    sim_turn(sim);
}

static bool clients_subscribed(const struct sim *sim)
{
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        if (sim->clients[c].role != SIM_CHAOTIC && !sim->clients[c].subscribed) return false;
    return true;
}

static uint64_t stats_sum(const struct sim *sim, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t s = 0; s < sim->group.shards_count; s++)
        sum += *(const uint64_t *)((const char *)&sim->shards[s]->stats + offset);
    return sum;
}
#define SUM(sim, name) stats_sum(sim, offsetof(struct stats, name))

static bool sim_quiet(const struct sim *sim)
{
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        if (!sim_client_quiet(&sim->clients[c])) return false;
    /* What chaotic clients leave unread keeps nothing of the steady ones' messages. */
    for (uint32_t s = 0; s < sim->group.shards_count; s++) {
        uint32_t cursor = 0;
        for (struct session *session; (session = map_next(&sim->broker->shards[s]->sessions, &cursor));)
            for (uint32_t c = 0; c < sim->rules.clients_count; c++) {
                const struct sim_client *client = &sim->clients[c];
                if (client->role == SIM_CHAOTIC || !span_equal(session_client_id(session), span_of_string(client->client_id)))
                    continue;
                if (session->queue.count || session->spilled || mqtt_inflight_count(&session->inflight) || mqtt_incoming_count(&session->incoming))
                    return false;
                if (!session->conn || conn_backlog(session->conn) || (session->conn->filters && filters_waiting(session->conn->filters))) return false;
            }
    }
    return true;
}

static void sim_drain(struct sim *sim)
{
    sim->rules.chaos = false;
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        sim->clients[c].read_chance = 255; /* nobody is slow any more */
    uint32_t quiet = 0;
    for (uint32_t step = 0; step < DRAIN_STEPS_MAX; step++) {
        sim_step(sim);
        if (step % 16) continue;
        quiet = sim_quiet(sim) ? quiet + 1 : 0;
        if (quiet == 64) return; /* still so a thousand steps later: nothing is under way in the lanes either */
    }
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        if (!sim_client_quiet(&sim->clients[c]))
            sim_fail("never came to rest", &sim->clients[c], 0, sim->clients[c].connected,
                     mqtt_inflight_count(&sim->clients[c].window));
    sim_fail("never came to rest", NULL, 0, 0, 0);
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

/* Nothing the log says is on the shelf was missing there in this run of the broker. */
static void check_shelf(const struct sim *sim)
{
    if (SUM(sim, dropped_damaged)) sim_fail("messages missing on the shelf", NULL, 0, 0, (uint32_t)SUM(sim, dropped_damaged));
}

/* Each retained message is whole, wherever its payload is, and the newest that was acknowledged. */
static void retained_check(const struct sim *sim, const struct message *message)
{
    struct span topic = message_topic(message), payload = message_payload(message);
    uint32_t publisher, qos, number;
    char text[64] = "";
    uint8_t *copy = NULL;
    if (topic.bytes > sizeof text - 1 || topic.bytes < 5) return;
    memcpy(text, topic.data, topic.bytes);
    const char *at = strncmp(text, "mounted/here/", 13) == 0 ? text + 13 : text;
    if (sscanf(at, "s/%u/%u", &publisher, &qos) != 2 || publisher >= sim->rules.clients_count || qos > 2) return;
    if (message->shelved) {
        const struct message_shelved *row = message_row(message);
        payload = row_payload(sim, (struct stored_row){row->space, row->number}, topic, message->properties_bytes, &copy);
        if (payload.bytes != row->payload_bytes) sim_fail("a row of another size", NULL, publisher, qos, (uint32_t)row->number);
    }
    if (payload.bytes < 4) sim_fail("a retained message without its payload", NULL, publisher, qos, message->shelved);
    memcpy(&number, payload.data, 4);
    const struct sim_flow *flow = &sim->clients[publisher].flows[qos];
    uint32_t newest = number;
    for (uint32_t n = number + 1; qos == 1 && n < flow->published; n++)
        if (sim_retains(1, n) && flow->acknowledged[n] && !sim_client_late(publisher, qos, number) && !sim_client_again(publisher, number)) newest = n;
    for (size_t i = 4; i < payload.bytes; i++)
        if (payload.data[i] != (uint8_t)number) sim_fail("a retained payload is damaged", NULL, publisher, qos, number);
    if (newest != number) sim_fail("an acknowledged retained message is lost", NULL, publisher, newest, number);
    memory_release(copy);
}

static enum retain_answer retained_visit(void *context, struct span topic, void *message, uint64_t bytes)
{
    retained_check(context, message);
    return RETAIN_NEXT;
}

static void check_retained(struct sim *sim)
{
    for (uint32_t s = 0; s < sim->group.shards_count; s++) {
        struct retain_cursor *cursor = retain_scan_begin(span_of("", 0));
        while (retain_scan_next(sim->broker->shards[s]->retained, cursor, 1000, retained_visit, sim)) {}
        retain_scan_end(cursor);
    }
    rows_fetched += SUM(sim, retained_fetched);
}

/* Under pressure what a slow subscriber's queue had no room for may be missing: each of them is counted. */
static uint64_t missing;

static void missed(const char *what, const struct sim_client *client, uint32_t publisher, uint32_t qos, uint32_t number)
{
    if (!pressure_only && !drops_now) sim_fail(what, client, publisher, qos, number);
    missing++;
}

static void check_pressure(const struct sim *sim)
{
    uint64_t dropped = SUM(sim, dropped_queue_full);
    if (missing != dropped) sim_fail("a message is missing that no counter knows of", NULL, (uint32_t)missing, 0, (uint32_t)dropped);
    if (dropped && SUM(sim, subscribers_slow) == 0) sim_fail("dropped, though nobody was slow", NULL, 0, 0, (uint32_t)dropped);
    pressure_drops += dropped;
    pressure_drop_runs += dropped != 0;
    pressure_holds_sum += SUM(sim, publishers_held);
    missing = 0;
}

/* A message that is dropped may come from before a crash, after which it was there again, or be a chaotic client's: no more are missing than were dropped. */
static void check_drops(const struct sim *sim)
{
    uint64_t dropped = dropped_before + SUM(sim, dropped_oldest);
    if (missing > dropped) sim_fail("a message is missing that no counter knows of", NULL, (uint32_t)missing, 0, (uint32_t)dropped);
    missing = 0;
}

static void check_flow(const struct sim *sim, uint32_t publisher, uint32_t qos, uint32_t number)
{
    uint32_t shared_times = 0, members = 0;
    for (uint32_t c = 0; c < sim->rules.clients_count; c++) {
        const struct sim_client *client = &sim->clients[c];
        uint32_t times = client->receptions[publisher][qos].times[number];
        if (client->role == SIM_SHARED) members++, shared_times += times;
        if (client->role == SIM_STEADY && times == 0) missed("an acknowledged message is lost", client, publisher, qos, number);
    }
    if (members && shared_times == 0) missed("an acknowledged message reached no member of the group", NULL, publisher, qos, number);
    if (shared_times > 1 && qos == 2) sim_fail("a QoS 2 message reached several members", NULL, publisher, qos, number);
}

static void sim_check(struct sim *sim)
{
    uint64_t messages = 0;
    check_shelf(sim);
    check_retained(sim);
    check_sinks(sim);
    for (uint32_t p = 0; p < sim->rules.clients_count; p++)
        for (uint32_t qos = 1; qos <= 2; qos++)
            for (uint32_t n = 0; n < sim->clients[p].flows[qos].published; n++, messages++) {
                if (!sim->clients[p].flows[qos].acknowledged[n]) sim_fail("never acknowledged", &sim->clients[p], p, qos, n);
                check_flow(sim, p, qos, n);
            }
    if (pressure_only) check_pressure(sim);
    if (drops_now) check_drops(sim);
    scouted_sum += SUM(sim, topics_scouted);
    scouted_across_sum += SUM(sim, topics_scouted_across);
    for (uint32_t s = 0; s < sim->group.shards_count; s++)
        scouted_found_sum += match_cache_stats(sim->broker->shards[s]->matches).ahead;
    if (verbose)
        printf("seed 0x%" PRIx64 ": %u shards, %u clients, %" PRIu64 " messages, layers %u, %" PRIu64 " moved, %" PRIu64
               " redelivered, %" PRIu64 " taken over, %" PRIu64 " paused, %" PRIu64 " limited, %" PRIu64 " deliveries limited, %" PRIu64 " found a lane full, %" PRIu64 " commits, %" PRIu64 " checkpoints, %" PRIu64 " write failures, %" PRIu64 " refused, %u crashes\n", sim->seed, sim->group.shards_count,
               sim->rules.clients_count, messages, layers_now, SUM(sim, connections_moved), SUM(sim, redeliveries),
               SUM(sim, sessions_taken_over), SUM(sim, publishers_paused), SUM(sim, publishers_limited), SUM(sim, deliveries_limited), SUM(sim, lane_overflows), SUM(sim, durable_commits), SUM(sim, durable_checkpoints),
               SUM(sim, durable_write_failures), SUM(sim, durable_refused), sim->crashes);
}

static void sim_leave(struct sim *sim)
{
    for (uint32_t s = 0; sim->features && s < sim->group.shards_count; s++)
        fake_feature_end_sinks(sim->broker->shards[s]->features);
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        for (uint32_t step = 0; !sim_client_leave(&sim->clients[c], &sim->rules); step++) {
            for (int turn = 0; turn < 8; turn++)
                sim_turn(sim);
            if (step > DRAIN_STEPS_MAX) sim_fail("cannot leave", &sim->clients[c], 0, 0, 0);
        }
    for (uint32_t step = 0; fake_open_count() || SUM(sim, sessions); step++) {
        sim_turn(sim);
        if (step > DRAIN_STEPS_MAX) sim_fail("connections or sessions left behind", NULL, fake_open_count(), 0, (uint32_t)SUM(sim, sessions));
    }
    if (SUM(sim, subscriptions) || SUM(sim, inflight_messages) || SUM(sim, queued_messages) || SUM(sim, queued_bytes) ||
        SUM(sim, clients_connected) || SUM(sim, queues_spilled) || SUM(sim, spilled_messages) || SUM(sim, spilled_bytes))
        sim_fail("a gauge is not back at zero", NULL, (uint32_t)SUM(sim, subscriptions), (uint32_t)SUM(sim, inflight_messages),
                 (uint32_t)SUM(sim, queued_messages));
    struct route_index_stats routes;
    for (uint32_t step = 0; route_index_stats(sim->broker->routes, &routes), routes.routes || routes.retired_blocks; step++) {
        sim_turn(sim); /* removals still in lanes, memory waiting for readers */
        if (step > DRAIN_STEPS_MAX) sim_fail("routes left behind", NULL, 0, 0, (uint32_t)routes.routes);
    }
    if (routes.nodes || routes.filters) sim_fail("route nodes left behind", NULL, 0, 0, (uint32_t)routes.nodes);
}

static void node_unmake(struct sim *sim)
{
    for (uint32_t s = 0; s < sim->group.shards_count; s++)
        broker_stop_clients(sim->broker->shards[s]);
    for (uint32_t s = 0; s < sim->group.shards_count;) { /* all at the same time: each turn of one may begin a write */
        bool ended = shard_done(sim->shards[s]) && !broker_handler.busy(sim->shards[s]);
        if (!ended) sim_turn(sim);
        s = ended ? s + 1 : 0;
    }
    void (*const steps[])(struct shard *) = {NULL, broker_handler.stop, broker_handler.finish};
    for (int i = 0; i < 3; i++) {
        for (uint32_t s = 0; steps[i] && s < sim->group.shards_count; s++)
            steps[i](sim->shards[s]);
        for (uint32_t records = 1; records;) {
            records = 0;
            for (uint32_t s = 0; s < sim->group.shards_count; s++)
                records += shard_settle(sim->shards[s]);
        }
    }
    if (SUM(sim, durable_waits)) sim_fail("waits leaked", NULL, 0, 0, (uint32_t)SUM(sim, durable_waits));
    if (SUM(sim, messages_stored) || SUM(sim, message_bytes)) sim_fail("messages leaked", NULL, 0, 0, (uint32_t)SUM(sim, messages_stored));
    for (uint32_t s = 0; s < sim->group.shards_count; s++)
        shard_destroy(sim->shards[s]); /* CHECKs that every pool block came home */
    mesh_destroy(sim->group.mesh);
    store_end(sim);
    if (sim->features) fake_feature_destroy(sim->features);
    sim->features = NULL;
    broker_destroy(sim->broker);
}

/* kill -9, and another start: perhaps with another number of shards. */
static void sim_crash(struct sim *sim)
{
    check_shelf(sim);
    check_retained(sim);
    check_sinks(sim);
    sim->crashes++;
    dropped_before += SUM(sim, dropped_oldest);
    fake_crash_disk();
    if (sim->shelf) fake_shelf_freeze(sim->shelf);
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        sim_client_cut(&sim->clients[c]);
    for (uint32_t turn = 0; turn < 200 * sim->group.shards_count; turn++)
        sim_turn(sim); /* connections on their way from shard to shard arrive: a stopped shard would not take them */
    node_unmake(sim); /* nothing of what it does reaches a client or the disk any more */
    fake_advance_ns(random_below(&sim->random, 2000000000));
    fake_disk_freeze(sim->disk, false);
    if (sim->shelf) fake_shelf_restart(sim->shelf);
    node_make(sim);
    sim->rules.shards_count = sim->group.shards_count;
    check_retained(sim);
    sim->lazy = pick(sim, 0, 7);
}

static void sim_destroy(struct sim *sim)
{
    node_unmake(sim);
    if (sim->disk) fake_disk_release(sim->disk);
    if (sim->shelf) fake_shelf_destroy(sim->shelf);
    for (uint32_t c = 0; c < sim->rules.clients_count; c++)
        sim_client_release(&sim->clients[c]);
    fake_release();
}

static void sim_run(uint64_t seed)
{
    struct sim *sim = memory_acquire(sizeof *sim);
    sim_create(sim, seed);
    for (uint32_t step = 0; !clients_subscribed(sim); step++) {
        sim_step(sim);
        if (step > DRAIN_STEPS_MAX) sim_fail("cannot subscribe", NULL, 0, 0, 0);
    }
    sim->rules.chaos = true;
    for (uint32_t step = 0; step < CHAOS_STEPS * sim->rules.clients_count; step++) {
        sim_step(sim);
        if (sim->disk && pick(sim, 0, 4000) == 0) sim_crash(sim);
    }
    sim_drain(sim);
    sim_check(sim);
    sim->sleepy = false; /* what is freed then waits for every shard's next turn, whenever it is */
    sim_leave(sim);
    sim_destroy(sim);
    memory_release(sim);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 0, seed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0)
            verbose = true;
        else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            count = strtoull(argv[++i], NULL, 0);
        else if (i + 1 < argc && strcmp(argv[i], "--first") == 0)
            first = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--memory") == 0)
            memory_only = true;
        else if (strcmp(argv[i], "--store") == 0)
            store_only = true;
        else if (strcmp(argv[i], "--pressure") == 0)
            memory_only = pressure_only = true;
        else
            return fprintf(stderr, "usage: sim --seed N | --seeds COUNT [--first N] [--memory | --store | --pressure] [--verbose]\n"), 2;
    }
    log_configure(LOG_OFF, LOG_TEXT);
    if (count == 0) {
        sim_run(seed);
        count = 1;
    } else {
        for (uint64_t i = 0; i < count; i++)
            sim_run(first + i);
    }
    uint64_t holds, sunk = fake_feature_sunk(&holds);
    if (verbose) printf("packets that waited for a feature: %" PRIu64 ", messages to sinks: %" PRIu64 ", held: %" PRIu64 "\n", fake_feature_waited(), sunk, holds);
    if (pressure_only)
        printf("publishers waited %" PRIu64 " times; %" PRIu64 " runs had slow subscribers, who missed %" PRIu64 " messages\n", pressure_holds_sum, pressure_drop_runs, pressure_drops);
    if (verbose) printf("topics scouted: %" PRIu64 ", in other receives: %" PRIu64 ", matched by it: %" PRIu64 "\n", scouted_sum, scouted_across_sum, scouted_found_sum);
    if (count >= 100 && !pressure_only && scouted_across_sum == 0) return fprintf(stderr, "no topic was looked at before its turn: that has not been tested\n"), 1;
    if (pressure_only && count >= 100 && pressure_holds_sum == 0) return fprintf(stderr, "no publisher ever waited: this has tested nothing\n"), 1;
    if (store_only) printf("payloads of retained messages: %" PRIu64 " rows were on the shelf after starts, %" PRIu64 " were fetched\n", rows_found, rows_fetched);
    if (store_only && count >= 100 && (rows_found == 0 || rows_fetched == 0)) return fprintf(stderr, "no payload ever lay on the shelf: this has tested nothing\n"), 1;
    printf("sim: %" PRIu64 " seeds passed\n", count);
    return 0;
}
