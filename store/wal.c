#include "store/wal.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

struct wal_chunk {
    struct list link;
    uint8_t *data; /* aligned to a block */
    uint32_t bytes, capacity;
    uint32_t fits; /* as much goes into it without a second look: its capacity, or a commit's limit */
    uint64_t sequence;
    uint64_t first_ms; /* when its first record came */
};

#define SPARE_BYTES_MAX (4u * 1024 * 1024)

/* ---- chunks: commits in memory ---------------------------------------------------------------------------------- */

static uint32_t fits(const struct wal *wal, const struct wal_chunk *chunk)
{
    return chunk->capacity < wal->config.commit_bytes_max ? chunk->capacity : wal->config.commit_bytes_max;
}

static struct wal_chunk *chunk_acquire(struct wal *wal, uint64_t now_ms)
{
    struct wal_chunk *chunk;
    if (list_empty(&wal->spare)) {
        chunk = memory_acquire_zeroed(sizeof *chunk);
        chunk->capacity = (uint32_t)store_round_up(wal->config.commit_bytes_max); /* its pages come as they are filled: to let it grow would touch them all at once */
        chunk->data = memory_acquire_aligned_raw(STORE_BLOCK_BYTES, chunk->capacity);
    } else {
        chunk = CONTAINER_OF(wal->spare.next, struct wal_chunk, link);
        list_remove(&chunk->link);
        wal->spare_bytes -= chunk->capacity;
    }
    list_init(&chunk->link);
    chunk->bytes = sizeof(struct store_commit_header);
    chunk->fits = fits(wal, chunk);
    chunk->sequence = ++wal->sequence;
    chunk->first_ms = now_ms;
    wal->backlog_bytes += chunk->bytes;
    return chunk;
}

static void chunk_free(struct wal_chunk *chunk)
{
    memory_release(chunk->data);
    memory_release(chunk);
}

static void chunk_release(struct wal *wal, struct wal_chunk *chunk)
{
    wal->backlog_bytes -= chunk->bytes;
    if (wal->spare_bytes + chunk->capacity > SPARE_BYTES_MAX) return chunk_free(chunk);
    list_append(&wal->spare, &chunk->link);
    wal->spare_bytes += chunk->capacity;
}

/* For a record that is larger than a commit should be. */
static void chunk_grow(const struct wal *wal, struct wal_chunk *chunk, uint32_t bytes)
{
    uint32_t capacity = chunk->capacity;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *data = memory_acquire_aligned_raw(STORE_BLOCK_BYTES, capacity);
    memcpy(data, chunk->data, chunk->bytes);
    memory_release(chunk->data);
    chunk->data = data;
    chunk->capacity = capacity;
    chunk->fits = fits(wal, chunk);
}

static void gathering_seal(struct wal *wal)
{
    list_append(&wal->sealed, &wal->gathering->link);
    wal->gathering = NULL;
}

/* ---- appending -------------------------------------------------------------------------------------------------- */

void wal_init(struct wal *wal, const struct wal_config *config)
{
    *wal = (struct wal){.config = *config, .segment = {.fd = -1}};
    uint32_t *most = &wal->config.commit_bytes_max;
    if (*most == 0 || *most > STORE_COMMIT_BYTES_MAX) *most = STORE_COMMIT_BYTES_MAX;
    list_init(&wal->sealed);
    list_init(&wal->spare);
}

static void chunks_free(struct list *list)
{
    while (!list_empty(list)) {
        struct wal_chunk *chunk = CONTAINER_OF(list->next, struct wal_chunk, link);
        list_remove(&chunk->link);
        chunk_free(chunk);
    }
}

void wal_release(struct wal *wal)
{
    CHECK(!wal->writing);
    chunks_free(&wal->sealed);
    chunks_free(&wal->spare);
    if (wal->gathering) chunk_free(wal->gathering);
    if (wal->segment.fd >= 0) wal->config.disk.segment_done(wal->config.disk.context, &wal->segment, false);
    wal->gathering = NULL;
    wal->segment.fd = -1;
}

/* Room in a commit for a record whose size with its head is `needed`. */
static struct wal_chunk *chunk_room(struct wal *wal, uint32_t needed, uint64_t now_ms)
{
    bool empty = !wal->gathering || wal->gathering->bytes == sizeof(struct store_commit_header);
    if (!empty && wal->gathering->bytes + needed > wal->config.commit_bytes_max) gathering_seal(wal);
    if (!wal->gathering) wal->gathering = chunk_acquire(wal, now_ms);
    struct wal_chunk *chunk = wal->gathering;
    if (chunk->bytes + needed > chunk->capacity) chunk_grow(wal, chunk, chunk->bytes + needed);
    return chunk;
}

uint8_t *wal_place(struct wal *wal, uint32_t type, uint32_t bytes, uint64_t now_ms)
{
    DCHECK(bytes <= STORE_RECORD_BYTES_MAX);
    uint32_t needed = 4 + bytes;
    struct wal_chunk *chunk = wal->gathering;
    if (UNLIKELY(!chunk || chunk->bytes + needed > chunk->fits)) chunk = chunk_room(wal, needed, now_ms);
    uint8_t *at = chunk->data + chunk->bytes;
    uint32_t head = record_head(type, bytes);
    memcpy(at, &head, 4);
    chunk->bytes += needed;
    wal->backlog_bytes += needed;
    wal->bytes_appended += needed;
    return at + 4;
}

uint64_t wal_append(struct wal *wal, uint32_t type, const struct span *parts, uint32_t parts_count, uint64_t now_ms)
{
    DCHECK(type > 0 && type < RECORD_CONTINUES);
    uint64_t left = 0;
    for (uint32_t i = 0; i < parts_count; i++)
        left += parts[i].bytes;
    uint32_t part = 0, continues = 0;
    size_t taken = 0; /* of parts[part] */
    do {
        uint32_t piece = left > STORE_RECORD_BYTES_MAX ? STORE_RECORD_BYTES_MAX : (uint32_t)left;
        uint8_t *out = wal_place(wal, type | continues | (piece < left ? RECORD_MORE : 0), piece, now_ms);
        continues = RECORD_CONTINUES;
        for (uint32_t room = piece; room > 0;) {
            size_t bytes = parts[part].bytes - taken < room ? parts[part].bytes - taken : room;
            if (bytes) memcpy(out, parts[part].data + taken, bytes);
            out += bytes;
            room -= (uint32_t)bytes;
            taken += bytes;
            if (taken < parts[part].bytes) continue;
            part++;
            taken = 0;
        }
        left -= piece;
    } while (left > 0);
    return wal->sequence;
}

void wal_touch(struct wal *wal, uint64_t now_ms)
{
    if (!wal->gathering && list_empty(&wal->sealed) && !wal->writing) wal->gathering = chunk_acquire(wal, now_ms);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void segment_leave(struct wal *wal, bool failed)
{
    wal->config.disk.segment_done(wal->config.disk.context, &wal->segment, failed);
    wal->segment.fd = -1;
}

/* A segment with room for these bytes. */
static bool segment_have(struct wal *wal, uint64_t bytes)
{
    if (wal->segment.fd >= 0 && wal->offset + bytes > wal->segment.bytes) segment_leave(wal, false);
    if (wal->segment.fd >= 0) return true;
    wal->starved = !wal->config.disk.segment_take(wal->config.disk.context, &wal->segment);
    if (wal->starved) {
        wal->segment.fd = -1;
        return false;
    }
    CHECK(wal->segment.bytes >= STORE_BLOCK_BYTES + STORE_COMMIT_BYTES_MAX && wal->segment.number > wal->segment_last);
    wal->segment_last = wal->segment.number;
    wal->offset = STORE_BLOCK_BYTES;
    return true;
}

/* The checksum is made now: a commit that goes into another segment after a failure names that one. */
static void chunk_finish(struct wal *wal, struct wal_chunk *chunk, uint64_t realtime_ms)
{
    struct store_commit_header header = {.magic = STORE_COMMIT_MAGIC,
                                         .bytes = chunk->bytes,
                                         .sequence = chunk->sequence,
                                         .epoch = wal->config.epoch,
                                         .shard = wal->config.shard,
                                         .segment = wal->segment.number,
                                         .realtime_ms = realtime_ms};
    memcpy(chunk->data, &header, sizeof header);
    header.checksum = hash_span_seeded(span_of(chunk->data + STORE_COMMIT_CHECKED_FROM, chunk->bytes - STORE_COMMIT_CHECKED_FROM),
                                       wal->segment.seed);
    memcpy(chunk->data, &header, sizeof header);
    memset(chunk->data + chunk->bytes, 0, store_round_up(chunk->bytes) - chunk->bytes);
}

static struct wal_chunk *chunk_next(struct wal *wal, uint64_t now_ms, uint64_t *ret_again_ms)
{
    *ret_again_ms = UINT64_MAX;
    if (!list_empty(&wal->sealed)) return CONTAINER_OF(wal->sealed.next, struct wal_chunk, link);
    struct wal_chunk *chunk = wal->gathering;
    if (!chunk) return NULL;
    uint64_t due_ms = wal->started_ms + wal->config.interval_ms; /* the first after a rest need not wait */
    if (due_ms <= now_ms || chunk->bytes >= STORE_COMMIT_BYTES_SOON) return chunk;
    *ret_again_ms = due_ms;
    return NULL;
}

#define STARVED_AGAIN_MS 5
#define FAILURE_REST_MS  50   /* doubled with each failure in a row … */
#define FAILURE_REST_MS_MAX 2000 /* … up to this: each try costs a segment */

static uint64_t rest_over_ms(const struct wal *wal)
{
    if (wal->failures == 0) return 0;
    uint64_t rest_ms = wal->failures > 6 ? FAILURE_REST_MS_MAX : (uint64_t)FAILURE_REST_MS << (wal->failures - 1);
    return wal->started_ms + (rest_ms < FAILURE_REST_MS_MAX ? rest_ms : FAILURE_REST_MS_MAX);
}

uint64_t wal_turn(struct wal *wal, uint64_t now_ms, uint64_t realtime_ms)
{
    if (wal->writing) return UINT64_MAX;
    uint64_t again_ms;
    struct wal_chunk *chunk = chunk_next(wal, now_ms, &again_ms);
    if (!chunk) return again_ms;
    if (rest_over_ms(wal) > now_ms) return rest_over_ms(wal);
    uint64_t bytes = store_round_up(chunk->bytes);
    if (!segment_have(wal, bytes)) return now_ms + STARVED_AGAIN_MS;
    if (chunk == wal->gathering)
        wal->gathering = NULL;
    else
        list_remove(&chunk->link);
    chunk_finish(wal, chunk, realtime_ms);
    wal->writing = chunk;
    wal->started_ms = now_ms;
    wal->config.disk.write_sync(wal->config.disk.context, wal->segment.fd, chunk->data, (uint32_t)bytes, wal->offset);
    return UINT64_MAX;
}

/* Back to the front of the row, for the next segment. */
static void chunk_again(struct wal *wal, struct wal_chunk *chunk)
{
    list_append(wal->sealed.next, &chunk->link); /* before the first */
}

void wal_written(struct wal *wal, int error)
{
    struct wal_chunk *chunk = wal->writing;
    CHECK(chunk);
    wal->writing = NULL;
    if (error) {
        wal->failures++;
        wal->segments_failed++;
        segment_leave(wal, true);
        return chunk_again(wal, chunk);
    }
    uint64_t bytes = store_round_up(chunk->bytes);
    DCHECK(chunk->sequence == wal->committed + 1);
    wal->failures = 0;
    wal->committed = chunk->sequence;
    wal->offset += bytes;
    wal->commits++;
    wal->bytes_written += bytes;
    chunk_release(wal, chunk);
}
