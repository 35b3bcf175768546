/* mesh.h - all lanes between all shards, and how a sleeping shard is woken.
 *
 * A record is 1 + N cells; its first cell says what it is and how long:
 *
 *     first cell, a:  kind (8 bits) | further cells (8 bits) | the kind's own 48 bits (usually a pointer)
 *     first cell, b:  the kind's own 64 bits
 *
 * Each shard has a word with a bit for each producer: whoever publishes a lane sets his, and a shard that has nothing else to do adds one that says it sleeps, if
 * no other is set. So a turn into which nothing comes, and out of which nothing goes, asks one word each, however many shards there are.
 *
 * mesh_send() always takes the record. What does not fit into the lane waits in the sender's overflow and goes first, in
 * order, as soon as there is room; mesh_blocked() tells the sender to read less from whoever causes it (back-pressure).
 *
 * Threads: producer `from` calls mesh_send/flush for its own row, consumer `to` drains its own column. The control thread is
 *          producer number shards_count, whoever holds the admin's lock (node_send_admin()) the one after it. */
#ifndef RINGMQ_ENGINE_MESH_H
#define RINGMQ_ENGINE_MESH_H

#include "base/lane.h"
#include "base/stats.h"
#include "engine/kernel.h"

struct mesh;

/* A producer's: where it has staged something since its last flush, or has something waiting, a bit for each shard; and its bit in their inboxes. */
struct mesh_row {
    _Alignas(64) uint64_t staged;
    uint64_t bell;
    struct mesh_inbox *inboxes; /* by shards */
    uint32_t number;
};

/* Who has published something for a shard. */
#define MESH_ASLEEP (1ull << 63)
struct mesh_inbox {
    _Alignas(64) _Atomic uint64_t bells; /* by producers; MESH_ASLEEP by the shard */
    _Alignas(64) uint64_t rung;          /* the shard's own: taken from there, and not all of those lanes is taken yet */
    struct lane *lanes;                  /* to it, by producers */
    uint32_t producers_count;
};

/* The way of one producer to one shard: for those who send much, without a call. */
struct mesh_way {
    struct lane *lane;
    struct lane_cell *cells; /* records that found the lane full, in order; the producer's */
    uint32_t head, count, capacity;
    uint64_t *staged, bit;   /* the producer's row, and this way in it */
    uint32_t open;           /* cells of the record staged last, while it may still grow (mesh_filled_open()); 0: it may not */
};

/* Producers that are no shards. */
#define MESH_OUTSIDERS 2

/* Kinds below this belong to the engine; the layer above numbers its own from here. */
#define RECORD_KIND_FIRST   16
#define RECORD_CELLS_MAX    256
#define RECORD_POINTER_MASK ((1ull << 48) - 1)

static inline struct lane_cell record_first(uint8_t kind, uint8_t further, const void *pointer, uint64_t b)
{
    return (struct lane_cell){(uint64_t)kind << 56 | (uint64_t)further << 48 | (uint64_t)(uintptr_t)pointer, b};
}
static inline uint8_t record_kind(const struct lane_cell *first) { return (uint8_t)(first->a >> 56); }
static inline uint32_t record_cells(const struct lane_cell *first) { return 1 + (uint32_t)(first->a >> 48 & 0xff); }
static inline void record_grow(struct lane_cell *first, uint32_t more) { first->a += (uint64_t)more << 48; }
static inline void *record_pointer(const struct lane_cell *first)
{
    return (void *)(uintptr_t)(first->a & RECORD_POINTER_MASK);
}

/* cells_max: of each lane; LANE_SLOTS, or fewer in tests that want full lanes (but at least the largest record). */
struct mesh *mesh_create(uint32_t shards_count, uint32_t cells_max);
void mesh_destroy(struct mesh *mesh);

void mesh_send(struct mesh *mesh, uint32_t from, uint32_t to, const struct lane_cell *cells, uint32_t count,
               struct stats *stats);
/* A producer's ways, by the shard they lead to; good as long as the mesh. */
struct mesh_way *mesh_ways(struct mesh *mesh, uint32_t from);
/* As mesh_send() for records of some length, written where they leave from: cells for mesh_filled(), or NULL where it must be mesh_send(). */
static inline struct lane_cell *mesh_room(struct mesh_way *way, uint32_t count) { return LIKELY(way->count == 0) ? lane_room(way->lane, count) : NULL; }
static inline void mesh_filled(struct mesh_way *way, uint32_t count, struct stats *stats)
{
    stats_count(&stats->lane_records, 1);
    lane_staged(way->lane, count);
    *way->staged |= way->bit;
    way->open = 0;
}
/* As mesh_filled() for a record that may grow until the next one or the next flush: mesh_open() gives it once more, or NULL; mesh_grow() adds cells at its
 * end (false: there are none in one piece). How many it has by then the caller writes into its first cell (record_grow()). */
static inline void mesh_filled_open(struct mesh_way *way, uint32_t count, struct stats *stats)
{
    mesh_filled(way, count, stats);
    way->open = count;
}
static inline struct lane_cell *mesh_open(const struct mesh_way *way)
{
    return way->open ? &way->lane->cells[(way->lane->tail_next - way->open) & (LANE_SLOTS - 1)] : NULL;
}
static inline bool mesh_grow(struct mesh_way *way, uint32_t more)
{
    DCHECK(way->open && way->open + more <= RECORD_CELLS_MAX);
    uint32_t at = (way->lane->tail_next - way->open) & (LANE_SLOTS - 1);
    if (at + way->open + more > LANE_SLOTS || way->lane->tail_next + more - way->lane->head_seen > way->lane->limit) return false;
    lane_staged(way->lane, more);
    way->open += more;
    return true;
}
/* So many cells it may have, at most. */
static inline uint32_t mesh_open_cells_max(const struct mesh_way *way)
{
    uint32_t at = (way->lane->tail_next - way->open) & (LANE_SLOTS - 1), used = way->lane->tail_next - way->open - way->lane->head_seen;
    uint32_t most = LANE_SLOTS - at < RECORD_CELLS_MAX ? LANE_SLOTS - at : RECORD_CELLS_MAX;
    return way->lane->limit - used < most ? way->lane->limit - used : most;
}
/* A flush that would find nothing may be left out. */
struct mesh_row *mesh_row(const struct mesh *mesh, uint32_t from);
/* True while records wait for room. */
static inline bool mesh_blocked(const struct mesh_way *way) { return way->count != 0; }
/* Publishes what was sent since the last flush, each lane once, and wakes those who sleep. Returns true while some overflow remains. */
bool mesh_flush(struct mesh *mesh, uint32_t from, const struct kernel_verbs *verbs, struct kernel_ring *ring,
                struct stats *stats);

/* Calls `take` for each record waiting for `to`, at most `budget` records from each producer; one of more than MESH_CELLS_A_RECORD cells counts as several.
 * `enough` (NULL: never) is asked now and then; when it says yes, no producer gets more than MESH_RECORDS_PER_LOOK any more. Returns how many there were,
 * and in ret_fullest how many cells had waited in the fullest lane. */
#define MESH_CELLS_A_RECORD   4
#define MESH_RECORDS_PER_LOOK 64
uint32_t mesh_drain(struct mesh *mesh, uint32_t to, uint32_t budget,
                    void (*take)(void *context, uint32_t from, const struct lane_cell *cells), bool (*enough)(void *context), void *context,
                    uint32_t *ret_fullest);

/* Has anything been published for this shard? */
struct mesh_inbox *mesh_inbox(const struct mesh *mesh, uint32_t to);
static inline bool mesh_inbox_waits(const struct mesh_inbox *inbox)
{
    return (inbox->rung | atomic_load_explicit(&inbox->bells, memory_order_relaxed) << 1) != 0; /* without MESH_ASLEEP */
}
static inline bool mesh_ready(struct mesh *mesh, uint32_t to) { return mesh_inbox_waits(mesh_inbox(mesh, to)); }

/* Says "I am going to sleep" and answers whether sleeping is allowed (nothing has arrived). mesh_awake() takes it back. */
bool mesh_may_sleep(struct mesh *mesh, uint32_t to);
void mesh_awake(struct mesh *mesh, uint32_t to);

#endif
