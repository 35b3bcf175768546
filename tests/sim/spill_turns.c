/* spill_turns.c - what one turn does for a long queue is bounded by counts, however much has gathered for it.
 *
 * One shard of the real broker on the fake kernel, its log on the fake disk, a shelf that this program lets sync or not. A durable session is away, a
 * publisher fills its queue; a checkpoint begins and must wait for the shelf, so that tens of thousands of messages gather behind it; then the shelf
 * syncs. From there on each turn may make some blocks and write a slice of the log, no more. Then a block of it is lost. At the end the session goes while a lot waits again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/retained/shelf_inside.h"
#include "engine/listener.h"
#include "tests/sim/fake_disk.h"
#include "tests/sim/fake_kernel.h"
#include "tests/sim/fake_shelf.h"

#define PUBLISHERS     6
#define PUBLISH_BYTES  12
#define RECEIVED       42     /* as many of those are in a receive of the fake kernel, which gives a connection one a turn */
#define PER_TURN       64     /* messages that come meanwhile */
#define GATHERED       60000  /* at least */
#define TURNS_MAX      200000
#define BLOCKS_PER_TURN (10 + 1 + 1) /* CREDIT_BLOCKS of 64 KiB, so up to twice as many of short messages, one that goes beyond, and what PER_TURN messages pay for */
#define SLICE_BYTES    (128u * 1024 + 64 * 1024) /* a slice, what goes beyond it, and what PER_TURN messages and blocks on the shelf are written with */
#define RELEASED_PER_TURN 4096

static struct {
    struct settings settings;
    struct listener_settings listener_settings;
    struct listener listener;
    struct shard_group group;
    struct broker *broker;
    struct shard *shard;
    struct fake_disk *disk;
    struct store_files files;
    struct store *store;
    struct fake_shelf *shelf;
    struct spill *spill;
    bool shelf_works; /* else nothing of it goes on */
    int publishers[PUBLISHERS];
    uint16_t packet_id;
} it;

_Noreturn static void fail(const char *what, uint64_t number)
{
    fprintf(stderr, "spill_turns: %s: %" PRIu64 "\n", what, number);
    exit(1);
}

static struct durable_shard *durable(void) { return it.broker->shards[0]->durable; }

static struct durable_spill *spilled(void)
{
    struct list *first = list_first(&durable()->spills);
    if (first == &durable()->spill_walk.mark) first = first->next;
    return first && first != &durable()->spills ? CONTAINER_OF(first, struct durable_spill, link) : NULL;
}

/* ---- the world -------------------------------------------------------------------------------------------------- */

static void settings_make(void)
{
    it.listener_settings = (struct listener_settings){
        .name = "sim", .enable = true, .connect_timeout_ms = 60000, .protocol_versions = "5.0", .mountpoint = "", .packet_bytes_max = LISTENER_INHERIT,
        .receive_max = LISTENER_INHERIT, .topic_alias_max = LISTENER_INHERIT, .keep_alive_max_s = LISTENER_INHERIT, .qos_max = LISTENER_INHERIT,
        .retain_available = SWITCH_INHERIT, .wildcard_available = SWITCH_INHERIT, .shared_available = SWITCH_INHERIT};
    it.listener = (struct listener){.settings = &it.listener_settings};
    it.settings = (struct settings){
        .node = {.connections_max = 64},
        .mqtt = {.packet_bytes_max = 32u << 20, .retained_shelf_above = 65536, .retained_shelf_memory_bytes = 1, .receive_max = 65535, .inflight_max = 100, .topic_levels_max = 128, .client_id_bytes_max = 100, .qos_max = 2,
                 .retain_available = true, .wildcard_available = true, .session_expiry_max_s = UINT32_MAX, .queue_messages_max = 10000000,
                 .queue_bytes_max = 1ull << 34, .match_cache_topics = 64, .response_information = ""},
        .durability = {.enable = true, .topics = "", .commit_interval_ms = 1, .checkpoint_bytes = 1 << 20, .backlog_bytes_max = 1u << 30,
                       .memory_bytes = 1u << 30, .queue_window = 256, .queue_window_bytes = 1u << 20},
        .sys = {.interval_s = 1000}, .listeners = &it.listener_settings, .listeners_count = 1};
}

static void world_make(void)
{
    struct fake_chances chances = {.receive_now = 256, .send_now = 256, .accept_now = 256, .pipe_bytes = 1 << 20};
    struct fake_disk_chances none = {0};
    char error[512];
    fake_reset(1, &chances);
    settings_make();
    it.disk = fake_disk_create(1, &none);
    it.files = fake_disk_files(it.disk);
    fake_use_disk(it.disk);
    it.broker = broker_create(&it.settings, 1, 1);
    it.group = (struct shard_group){.shards_count = 1, .verbs = &kernel_fake, .handler = &broker_handler, .mesh = mesh_create(1, LANE_SLOTS),
                                    .qsbr = &it.broker->qsbr, .listeners = &it.listener, .listeners_count = 1};
    struct store_config config = {.files = it.files, .shards_count = 1, .segment_bytes = 4 * STORE_SEGMENT_BYTES_MIN, .realtime_ms = fake_now_ns() / 1000000,
                                  .seed = 1, .path = "fake"};
    it.store = store_open(&config, error, sizeof error);
    CHECK(it.store && store_start(it.store, false, error, sizeof error));
    broker_use_store(it.broker, it.store, NULL);
    it.shelf = fake_shelf_create(1);
    struct spill_config spill = {.shelf = fake_shelf_verbs(it.shelf), .shards_count = 1, .sync_bytes = 1 << 20};
    it.spill = spill_create(&spill);
    CHECK(it.spill);
    broker_use_spill(it.broker, it.spill);
    it.shelf_works = true;
    int listener_fd = FAKE_LISTENER;
    it.shard = shard_create(0, &it.group, &it.settings, &listener_fd, 1, it.broker->shards[0], error, sizeof error);
    CHECK(it.shard);
    shard_start(it.shard);
    store_recovered(it.store);
}

static void turn(void)
{
    shard_turn(it.shard, 0);
    store_step(it.store);
    if (it.shelf_works) spill_step(it.spill, fake_now_ns() / 1000000);
    fake_advance_ns(300000);
}

static void world_unmake(void)
{
    it.shelf_works = true;
    broker_stop_clients(it.broker->shards[0]);
    while (!shard_done(it.shard) || broker_handler.busy(it.shard))
        turn();
    broker_handler.stop(it.shard);
    broker_handler.finish(it.shard);
    shard_destroy(it.shard);
    mesh_destroy(it.group.mesh);
    spill_destroy(it.spill);
    store_close(it.store);
    broker_destroy(it.broker);
    fake_disk_release(it.disk);
    fake_shelf_destroy(it.shelf);
    fake_release();
    fake_disk_release_pool();
}

/* ---- clients ---------------------------------------------------------------------------------------------------- */

static void send_all(int client, const void *data, size_t bytes)
{
    if (fake_client_send(client, data, bytes) != (int)bytes) fail("not taken", bytes);
}

/* Throws away what has come; false: nothing had. */
static bool took_any(int client)
{
    uint8_t data[65536];
    bool any = false;
    for (int bytes; (bytes = fake_client_receive(client, data, sizeof data)) > 0;)
        any = true;
    return any;
}

static int client_make(const char *letter, bool clean)
{
    uint8_t hello[] = {0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 5, clean ? 2 : 0, 0, 0, 5, 0x11, 0, 1, 0, 0, 0, 1, (uint8_t)*letter};
    int client = fake_connect(0);
    send_all(client, hello, sizeof hello);
    while (!took_any(client))
        turn();
    return client;
}

static void sleeper_make(void)
{
    static const uint8_t subscribe[] = {0x82, 7, 0, 1, 0, 0, 1, 'q', 1}, bye[] = {0xe0, 0};
    int client = client_make("s", false);
    send_all(client, subscribe, sizeof subscribe);
    while (!took_any(client))
        turn();
    send_all(client, bye, sizeof bye);
    turn();
    fake_hang_up(client, false);
    turn();
}

static void publish(uint32_t count)
{
    DCHECK(count <= PUBLISHERS * RECEIVED);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t packet[PUBLISH_BYTES] = {0x32, PUBLISH_BYTES - 2, 0, 1, 'q'};
        if (++it.packet_id == 0) it.packet_id = 1;
        packet[5] = (uint8_t)(it.packet_id >> 8);
        packet[6] = (uint8_t)it.packet_id;
        send_all(it.publishers[i / RECEIVED], packet, sizeof packet);
    }
    turn();
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        took_any(it.publishers[i]);
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

/* Publishes until the checkpoint waits for the shelf and a lot has gathered behind it. */
static void gather(void)
{
    it.shelf_works = false;
    for (uint32_t turns = 0; !spilled() || !spilled()->paused || spilled()->rest.count < GATHERED; turns++) {
        if (turns == TURNS_MAX) fail("no checkpoint has held the queue up; behind the shelf", spilled() ? spilled()->rest.count : 0);
        it.shelf_works = !spilled(); /* it must have something to wait for */
        publish(PUBLISHERS * RECEIVED);
    }
}

/* The shelf works again: each turn makes a few blocks and writes a slice, until nothing is left over. */
static void catches_up_in_steps(void)
{
    uint64_t blocks_sum = 0, blocks_most = 0, bytes_most = 0, checkpoints = it.shard->stats.durable_checkpoints;
    it.shelf_works = true;
    uint32_t turns = 0;
    for (; spilled()->paused || !list_empty(&durable()->spills_long) || it.shard->stats.durable_checkpoints == checkpoints; turns++) {
        uint64_t blocks = durable()->spill_tickets, bytes = durable()->wal.bytes_appended;
        publish(PER_TURN);
        blocks = durable()->spill_tickets - blocks;
        bytes = durable()->wal.bytes_appended - bytes;
        if (blocks > BLOCKS_PER_TURN) fail("blocks made in one turn", blocks);
        if (bytes > SLICE_BYTES) fail("bytes written in one turn", bytes);
        blocks_sum += blocks;
        if (blocks > blocks_most) blocks_most = blocks;
        if (bytes > bytes_most) bytes_most = bytes;
        if (turns == TURNS_MAX) fail("never caught up; behind the shelf", spilled()->rest.count);
    }
    if (spilled()->rest.count > 1000) fail("not shortened; behind the shelf", spilled()->rest.count);
    if (blocks_sum < GATHERED / 128) fail("this has tested nothing; blocks", blocks_sum);
    printf("spill_turns: %" PRIu64 " blocks in %u turns, at most %" PRIu64 " in one; at most %" PRIu64 " bytes of log in one\n", blocks_sum, turns, blocks_most, bytes_most);
}

/* What a client has been sent and has not acknowledged. */
static struct {
    uint8_t bytes[1 << 16];
    size_t count;
    uint16_t ids[128]; /* inflight_max is 100 */
    uint32_t ids_count;
} taken;

static void take(int client)
{
    int bytes;
    while ((bytes = fake_client_receive(client, taken.bytes + taken.count, sizeof taken.bytes - taken.count)) > 0)
        taken.count += (size_t)bytes;
    size_t at = 0;
    for (; at + 2 <= taken.count && at + 2 + taken.bytes[at + 1] <= taken.count; at += 2u + taken.bytes[at + 1]) { /* all are short */
        if (taken.bytes[at] >> 4 != 3) continue;
        if (taken.ids_count == 128) fail("more than its window", taken.ids_count);
        taken.ids[taken.ids_count++] = (uint16_t)(taken.bytes[at + 5] << 8 | taken.bytes[at + 6]);
    }
    memmove(taken.bytes, taken.bytes + at, taken.count -= at);
}

static void acknowledge(int client, uint32_t count)
{
    for (; count > 0 && taken.ids_count > 0; count--) {
        uint8_t packet[] = {0x40, 2, (uint8_t)(taken.ids[0] >> 8), (uint8_t)taken.ids[0]};
        send_all(client, packet, sizeof packet);
        memmove(taken.ids, taken.ids + 1, --taken.ids_count * sizeof *taken.ids);
    }
}

/* A block is lost, and its turn has not come: a client that stands still does not have it asked for over and over. Then it is passed over and counted, and what is behind it comes. */
static void damage_is_asked_for_once(void)
{
    struct durable_spill *spill = spilled();
    uint64_t from = spill->from, next = fake_shelf_lose(it.shelf, spill->id, from), reads = 0;
    uint8_t hello[] = {0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 5, 0, 0, 0, 5, 0x11, 0, 1, 0, 0, 0, 1, 's'};
    int client = fake_connect(0);
    send_all(client, hello, sizeof hello);
    for (uint32_t turns = 0; !spill->reading; turns++) { /* half of what is in memory has gone */
        if (turns == TURNS_MAX) fail("nothing is read ahead; in memory", spill->session->queue.count);
        turn();
        take(client);
        acknowledge(client, 1);
    }
    reads = fake_shelf_reads(it.shelf);
    for (uint32_t turns = 0; turns < 200; turns++)
        turn();
    reads = fake_shelf_reads(it.shelf) - reads;
    if (reads > 1) fail("a client stands still, and what is lost was read so often", reads);
    for (uint32_t turns = 0; spill->from < next + 10; turns++) {
        if (turns == TURNS_MAX) fail("what is behind the damage does not come; first on the shelf", spill->from);
        take(client);
        acknowledge(client, 128);
        turn();
    }
    if (it.shard->stats.dropped_damaged != next - from) fail("lost and counted", it.shard->stats.dropped_damaged);
    printf("spill_turns: %" PRIu64 " messages of a lost block were passed over\n", next - from);
    fake_hang_up(client, true);
    turn();
}

/* Those that wait: retained ones ($SYS) stay. */
static uint64_t waiting(void) { return it.shard->stats.messages_stored - it.shard->stats.retained_messages; }

/* A new session takes its place: what waited in memory goes in the turns to come. */
static void goes_in_steps(void)
{
    uint64_t before = waiting(), most = 0;
    int client = fake_connect(0);
    static const uint8_t hello[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 1, 's'};
    send_all(client, hello, sizeof hello);
    fake_look_takes_ns(10000); /* half a budget is 25 looks */
    for (uint32_t turns = 0; waiting() > 0; turns++) {
        uint64_t now = waiting();
        turn();
        took_any(client);
        if (now > waiting() && now - waiting() > most) most = now - waiting();
        if (turns == TURNS_MAX) fail("messages are left", waiting());
    }
    if (before < GATHERED) fail("this has tested nothing; messages", before);
    if (most > RELEASED_PER_TURN) fail("messages released in one turn", most);
    fake_hang_up(client, false);
}

#define LARGE_BYTES (12u << 20)
#define COPIED_PER_TURN (1u << 20) /* twice COPY_BYTES: once as it is kept, once as the turn ends */

static bool row_compare(void *argument, uint64_t session, uint64_t number, struct span row)
{
    bool *same = argument;
    *same = row.bytes == LARGE_BYTES + 1 && row.data[0] == 'l';
    for (size_t i = 1; i < row.bytes; i++)
        *same &= row.data[i] == (uint8_t)((i - 1) * 7);
    return true;
}

/* A large payload is copied for the shelf's thread in as many turns as it takes. */
static void a_large_one_is_copied_in_parts(void)
{
    const struct retained_shelf *shelf = durable()->shelf;
    uint8_t head[] = {0x33, 0, 0, 0, 0, 0, 1, 'l', 1, 1, 0}, *packet = memory_acquire(sizeof head + LARGE_BYTES);
    size_t rest = sizeof head - 5 + LARGE_BYTES, most = 0, before = 0, sent = 0, bytes = sizeof head + LARGE_BYTES;
    for (uint32_t i = 1; i < 5; i++, rest >>= 7)
        head[i] = (uint8_t)((rest & 127) | (i < 4 ? 128 : 0));
    memcpy(packet, head, sizeof head);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        packet[sizeof head + i] = (uint8_t)(i * 7);
    int client = client_make("l", true);
    uint32_t copying = 0;
    for (uint32_t turns = 0; it.shard->stats.retained_shelved == 0; turns++) {
        if (turns == TURNS_MAX) fail("not on the shelf; bytes sent", sent);
        int taken_now = sent < bytes ? fake_client_send(client, packet + sent, bytes - sent) : 0;
        if (taken_now > 0) sent += (size_t)taken_now;
        turn();
        took_any(client);
        size_t done = shelf->copying.message ? shelf->copying.done : 0;
        if (done > before && done - before > most) most = done - before;
        copying += done > 0;
        before = done;
    }
    if (most > COPIED_PER_TURN) fail("bytes copied in one turn", most);
    if (copying < LARGE_BYTES / COPIED_PER_TURN) fail("copied at once; turns that left some", copying);
    bool same = false;
    struct shelf verbs = fake_shelf_verbs(it.shelf);
    CHECK(fake_shelf_rows(it.shelf) == 1 && verbs.get(verbs.context, shelf->space, shelf->number, row_compare, &same) == 0);
    if (!same) fail("a row is not what was published", 0);
    printf("spill_turns: a payload of %u bytes copied in %u turns\n", LARGE_BYTES, copying);
    memory_release(packet);
    fake_hang_up(client, false);
    turn();
}

int main(void)
{
    log_configure(LOG_OFF, LOG_TEXT);
    world_make();
    sleeper_make();
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        it.publishers[i] = client_make((const char *[]){"0", "1", "2", "3", "4", "5"}[i], true);
    a_large_one_is_copied_in_parts();
    gather();
    catches_up_in_steps();
    damage_is_asked_for_once();
    gather();
    goes_in_steps();
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        fake_hang_up(it.publishers[i], false);
    turn();
    world_unmake();
    printf("spill_turns: passed\n");
    return 0;
}
