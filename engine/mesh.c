#include "engine/mesh.h"

#include <sys/mman.h>

#include "base/memory.h"

struct mesh {
    uint32_t shards_count, producers_count; /* producers: the shards, the control thread, the admin thread */
    size_t lanes_bytes;
    struct lane *lanes; /* [to][from] */
    struct mesh_way *ways;  /* [from][to] */
    struct mesh_sleep {
        _Alignas(64) _Atomic bool asleep;
    } *sleeps;
};

static struct lane *lane_between(const struct mesh *mesh, uint32_t from, uint32_t to)
{
    return &mesh->lanes[(size_t)to * mesh->producers_count + from];
}

struct mesh_way *mesh_ways(struct mesh *mesh, uint32_t from) { return &mesh->ways[(size_t)from * mesh->shards_count]; }

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
    for (uint32_t from = 0; from < mesh->producers_count; from++)
        for (uint32_t to = 0; to < shards_count; to++)
            mesh_ways(mesh, from)[to].lane = lane_between(mesh, from, to);
    mesh->sleeps = memory_acquire_aligned(64, shards_count * sizeof *mesh->sleeps);
    return mesh;
}

void mesh_destroy(struct mesh *mesh)
{
    for (uint32_t i = 0; i < mesh->shards_count * mesh->producers_count; i++)
        memory_release(mesh->ways[i].cells);
    memory_release(mesh->ways);
    memory_release(mesh->sleeps);
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
    bool remains = false, published = false;
    bool published_to[SHARDS_MAX];
    struct mesh_way *way = mesh_ways(mesh, from);
    for (uint32_t to = 0; to < mesh->shards_count; to++, way++) {
        if (UNLIKELY(way->count)) overflow_stage(way);
        way->open = 0;
        remains |= way->count != 0;
        published_to[to] = lane_publish(way->lane);
        published |= published_to[to];
        if (published_to[to] && to != from) stats_count(&stats->lanes_published, 1);
    }
    if (!published) return remains;
    atomic_thread_fence(memory_order_seq_cst); /* pairs: mesh_may_sleep */
    for (uint32_t to = 0; to < mesh->shards_count; to++) {
        if (!published_to[to] || to == from) continue;
        if (!atomic_load_explicit(&mesh->sleeps[to].asleep, memory_order_relaxed)) continue;
        if (!atomic_exchange_explicit(&mesh->sleeps[to].asleep, false, memory_order_relaxed)) continue;
        verbs->wake(ring, to);
        stats_count(&stats->wakeups_sent, 1);
    }
    return remains;
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

uint32_t mesh_drain(struct mesh *mesh, uint32_t to, uint32_t budget,
                    void (*take)(void *context, uint32_t from, const struct lane_cell *cells), bool (*enough)(void *context), void *context,
                    uint32_t *ret_fullest)
{
    struct lane_cell scratch[RECORD_CELLS_MAX];
    uint32_t records = 0, fullest = 0;
    struct lane *lane = lane_between(mesh, 0, to); /* those to one shard lie side by side */
    for (uint32_t from = 0; from < mesh->producers_count; from++, lane++) {
        uint32_t head, ready = lane_ready(lane, &head), end = head + ready, look_at = MESH_RECORDS_PER_LOOK;
        for (uint32_t taken = 0; head != end && taken < budget; records++) {
            const struct lane_cell *cells = record_at(lane, head, scratch);
            uint32_t count = record_cells(cells);
            take(context, from, cells);
            head += count;
            taken += (count + MESH_CELLS_A_RECORD - 1) / MESH_CELLS_A_RECORD;
            if (LIKELY(taken < look_at)) continue;
            look_at = taken + MESH_RECORDS_PER_LOOK;
            if (enough && enough(context)) budget = MESH_RECORDS_PER_LOOK; /* of the lanes that follow, too: none is left out */
        }
        if (ready) lane_taken(lane, head);
        if (ready > fullest) fullest = ready;
    }
    *ret_fullest = fullest;
    return records;
}

bool mesh_ready(struct mesh *mesh, uint32_t to)
{
    uint32_t head;
    for (uint32_t from = 0; from < mesh->producers_count; from++)
        if (lane_ready(lane_between(mesh, from, to), &head)) return true;
    return false;
}

bool mesh_may_sleep(struct mesh *mesh, uint32_t to)
{
    atomic_store_explicit(&mesh->sleeps[to].asleep, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs: mesh_flush */
    if (!mesh_ready(mesh, to)) return true;
    mesh_awake(mesh, to);
    return false;
}

void mesh_awake(struct mesh *mesh, uint32_t to)
{
    atomic_store_explicit(&mesh->sleeps[to].asleep, false, memory_order_relaxed);
}
