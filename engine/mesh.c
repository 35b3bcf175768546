#include "engine/mesh.h"

#include <sys/mman.h>

#include "base/memory.h"
#include "engine/mesh_one.h"

struct mesh {
    uint32_t shards_count, producers_count; /* producers: the shards, the control thread, the admin thread */
    size_t lanes_bytes;
    struct lane *lanes; /* [to][from] */
    struct mesh_way *ways;  /* [from][to] */
    struct mesh_row *rows;      /* [from] */
    struct mesh_inbox *inboxes; /* [to] */
};

static uint64_t bell_of(uint32_t from) { return 1ull << (from < MESH_BELL_LAST ? from : MESH_BELL_LAST); }
_Static_assert(SHARDS_MAX <= 64, "a row has a bit for each shard");

static struct lane *lane_between(const struct mesh *mesh, uint32_t from, uint32_t to)
{
    return &mesh->lanes[(size_t)to * mesh->producers_count + from];
}

struct mesh_way *mesh_ways(struct mesh *mesh, uint32_t from) { return &mesh->ways[(size_t)from * mesh->shards_count]; }
struct mesh_row *mesh_row(const struct mesh *mesh, uint32_t from) { return &mesh->rows[from]; }
struct mesh_inbox *mesh_inbox(const struct mesh *mesh, uint32_t to) { return &mesh->inboxes[to]; }

struct mesh *mesh_create(uint32_t shards_count, uint32_t cells_max)
{
    CHECK(cells_max <= LANE_SLOTS);
    struct mesh *mesh = memory_acquire_zeroed(sizeof *mesh);
    mesh->shards_count = shards_count;
    mesh->producers_count = shards_count + MESH_OUTSIDERS;
    /* Pages that no record ever touches cost nothing: 64 shards have 4,160 lanes and use few of them. */
    mesh->lanes_bytes = (size_t)shards_count * mesh->producers_count * sizeof(struct lane);
    void *lanes = mmap(NULL, mesh->lanes_bytes, PROT_READ | PROT_WRITE,
                       MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK(lanes != MAP_FAILED);
    mesh->lanes = lanes;
    for (uint32_t i = 0; i < shards_count * mesh->producers_count; i++)
        mesh->lanes[i].limit = cells_max;
    mesh->ways = memory_acquire_zeroed((size_t)shards_count * mesh->producers_count * sizeof *mesh->ways);
    mesh->rows = memory_acquire_aligned(64, mesh->producers_count * sizeof *mesh->rows);
    mesh->inboxes = memory_acquire_aligned(64, shards_count * sizeof *mesh->inboxes);
    for (uint32_t to = 0; to < shards_count; to++) {
        mesh->inboxes[to].lanes = lane_between(mesh, 0, to);
        mesh->inboxes[to].producers_count = mesh->producers_count;
    }
    for (uint32_t from = 0; from < mesh->producers_count; from++) {
        mesh->rows[from].bell = bell_of(from);
        mesh->rows[from].inboxes = mesh->inboxes;
        mesh->rows[from].number = from;
        for (uint32_t to = 0; to < shards_count; to++)
            mesh_ways(mesh, from)[to] = (struct mesh_way){.lane = lane_between(mesh, from, to), .staged = &mesh->rows[from].staged, .bit = 1ull << to};
    }
    return mesh;
}

void mesh_destroy(struct mesh *mesh)
{
    for (uint32_t i = 0; i < mesh->shards_count * mesh->producers_count; i++)
        memory_release(mesh->ways[i].cells);
    memory_release(mesh->ways);
    memory_release(mesh->rows);
    memory_release(mesh->inboxes);
    munmap(mesh->lanes, mesh->lanes_bytes);
    memory_release(mesh);
}

static void overflow_append(struct mesh_way *overflow, const struct lane_cell *cells, uint32_t count)
{
    if (overflow->head + overflow->count + count > overflow->capacity) {
        if (overflow->head) /* reuse the front before growing */
            memmove(overflow->cells, overflow->cells + overflow->head, overflow->count * sizeof *overflow->cells);
        overflow->head = 0;
        if (overflow->count + count > overflow->capacity) {
            overflow->capacity = (overflow->count + count) * 2;
            overflow->cells = memory_resize(overflow->cells, overflow->capacity * sizeof *overflow->cells);
        }
    }
    memcpy(overflow->cells + overflow->head + overflow->count, cells, count * sizeof *cells);
    overflow->count += count;
}

void mesh_send(struct mesh *mesh, uint32_t from, uint32_t to, const struct lane_cell *cells, uint32_t count,
               struct stats *stats)
{
    DCHECK(count == record_cells(cells));
    stats_count(&stats->lane_records, 1);
    struct mesh_way *way = &mesh_ways(mesh, from)[to];
    way->open = 0;
    *way->staged |= way->bit;
    if (LIKELY(way->count == 0) && LIKELY(lane_stage(way->lane, cells, count))) return;
    stats_count(&stats->lane_overflows, 1);
    overflow_append(way, cells, count);
}

static void overflow_stage(struct mesh_way *overflow)
{
    while (overflow->count) {
        const struct lane_cell *first = overflow->cells + overflow->head;
        uint32_t count = record_cells(first);
        if (!lane_stage(overflow->lane, first, count)) return;
        overflow->head += count;
        overflow->count -= count;
    }
    overflow->head = 0;
}

bool mesh_flush(struct mesh *mesh, uint32_t from, const struct kernel_verbs *verbs, struct kernel_ring *ring,
                struct stats *stats)
{
    struct mesh_row *row = &mesh->rows[from];
    struct mesh_way *ways = mesh_ways(mesh, from);
    uint64_t staged = row->staged;
    row->staged = 0;
    for (; staged; staged &= staged - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(staged);
        struct mesh_way *way = &ways[to];
        if (UNLIKELY(way->count)) overflow_stage(way);
        if (UNLIKELY(way->count)) row->staged |= way->bit;
        way->open = 0;
        if (UNLIKELY(!lane_publish(way->lane))) continue;
        if (LIKELY(to != from)) stats_count(&stats->lanes_published, 1);
        if (!mesh_ring(&mesh->inboxes[to], row->bell)) continue;
        verbs->wake(ring, to);
        stats_count(&stats->wakeups_sent, 1);
    }
    return row->staged != 0;
}

/* The record at `head` in one piece: in place unless it wraps around the end of the lane. */
static const struct lane_cell *record_at(const struct lane *lane, uint32_t head, struct lane_cell *scratch)
{
    const struct lane_cell *first = lane_cell_at(lane, head);
    uint32_t count = record_cells(first);
    if (LIKELY((head & (LANE_SLOTS - 1)) + count <= LANE_SLOTS)) return first;
    for (uint32_t i = 0; i < count; i++)
        scratch[i] = *lane_cell_at(lane, head + i);
    return scratch;
}

/* What a turn may take, from lane to lane. */
struct draining {
    void (*take)(void *context, uint32_t from, const struct lane_cell *cells);
    bool (*enough)(void *context);
    void *context;
    uint32_t budget, records, fullest;
};

/* False: some of it must wait. */
static bool lane_drain(struct draining *draining, struct lane *lane, uint32_t from)
{
    struct lane_cell scratch[RECORD_CELLS_MAX];
    uint32_t head, ready = lane_ready(lane, &head), end = head + ready, look_at = MESH_RECORDS_PER_LOOK;
    for (uint32_t taken = 0; head != end && taken < draining->budget; draining->records++) {
        const struct lane_cell *cells = record_at(lane, head, scratch);
        uint32_t count = record_cells(cells);
        draining->take(draining->context, from, cells);
        head += count;
        taken += (count + MESH_CELLS_A_RECORD - 1) / MESH_CELLS_A_RECORD;
        if (LIKELY(taken < look_at)) continue;
        look_at = taken + MESH_RECORDS_PER_LOOK;
        bool over = draining->enough && draining->enough(draining->context);
        if (over) draining->budget = MESH_RECORDS_PER_LOOK; /* of the lanes that follow, too: none is left out */
    }
    if (ready) lane_taken(lane, head);
    if (ready > draining->fullest) draining->fullest = ready;
    return head == end;
}

uint32_t mesh_drain(struct mesh *mesh, uint32_t to, uint32_t budget,
                    void (*take)(void *context, uint32_t from, const struct lane_cell *cells), bool (*enough)(void *context), void *context,
                    uint32_t *ret_fullest)
{
    struct mesh_inbox *inbox = &mesh->inboxes[to];
    struct draining draining = {take, enough, context, budget, 0, 0};
    if (atomic_load_explicit(&inbox->bells, memory_order_relaxed)) mesh_bells_take(inbox);
    uint64_t left = 0;
    for (uint64_t rung = inbox->rung; rung; rung &= rung - 1) {
        uint32_t from = (uint32_t)__builtin_ctzll(rung);
        do
            if (!lane_drain(&draining, &inbox->lanes[from], from)) left |= rung & -rung;
        while (UNLIKELY(from >= MESH_BELL_LAST) && ++from < inbox->producers_count);
    }
    inbox->rung = left;
    *ret_fullest = draining.fullest;
    return draining.records;
}

bool mesh_may_sleep(struct mesh *mesh, uint32_t to)
{
    struct mesh_inbox *inbox = &mesh->inboxes[to];
    uint64_t none = 0;
    return inbox->rung == 0 && atomic_compare_exchange_strong_explicit(&inbox->bells, &none, MESH_ASLEEP, memory_order_acq_rel, memory_order_relaxed); /* pairs: mesh_ring */
}

void mesh_awake(struct mesh *mesh, uint32_t to) { mesh_bells_take(&mesh->inboxes[to]); }
