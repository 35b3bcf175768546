/* spill_requests.c - what the shelf's thread does for each request of a shard, also while the shelf refuses. */
#include <string.h>

#include "base/memory.h"
#include "store/records.h"
#include "store/spill_inside.h"

struct reading {
    struct spill_request *request;
    size_t capacity;
};

static bool block_take(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct reading *reading = context;
    struct spill_request *request = reading->request;
    if (number >= request->until) return false;
    uint32_t length = (uint32_t)block.bytes;
    size_t needed = request->bytes + 12 + block.bytes;
    if (needed > reading->capacity) {
        reading->capacity = needed < SPILL_READ_BYTES + SPILL_READ_BYTES / 2 ? SPILL_READ_BYTES + SPILL_READ_BYTES / 2 : needed;
        request->data = memory_resize(request->data, reading->capacity);
    }
    memcpy(request->data + request->bytes, &number, 8);
    memcpy(request->data + request->bytes + 8, &length, 4);
    memcpy(request->data + request->bytes + 12, block.data, block.bytes);
    request->bytes = needed;
    return request->bytes < SPILL_READ_BYTES;
}

static void answer(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    spill_stack_push(&spill->desks[shard].answered, request);
    spill_shard_wake(spill, shard);
}

/* ---- rows ---- */

struct fetching {
    uint8_t *data;
    size_t bytes, capacity;
    bool found;
};

static void fetched_put(struct fetching *fetching, const void *data, size_t bytes)
{
    if (fetching->bytes + bytes > fetching->capacity) {
        fetching->capacity = (fetching->bytes + bytes) * 2;
        fetching->data = memory_resize(fetching->data, fetching->capacity);
    }
    if (bytes) memcpy(fetching->data + fetching->bytes, data, bytes);
    fetching->bytes += bytes;
}

static bool row_take(void *context, uint64_t space, uint64_t number, struct span row)
{
    struct fetching *fetching = context;
    uint32_t length = (uint32_t)row.bytes;
    fetched_put(fetching, &length, 4);
    fetched_put(fetching, row.data, row.bytes);
    fetching->found = true;
    return false;
}

/* `until`: about so many bytes are expected. */
static void fetch_do(struct spill *spill, uint32_t shard, struct spill_request *request)
{
    const struct shelf *shelf = &spill->config.shelf;
    const struct stored_row *rows = (const struct stored_row *)(const void *)request->data;
    struct fetching fetching = {.capacity = request->until + 1};
    fetching.data = memory_acquire(fetching.capacity);
    for (size_t i = 0; i < request->bytes / sizeof *rows && !request->error; i++) {
        const uint32_t none = SPILL_NO_ROW;
        fetching.found = false;
        request->error = shelf->get(shelf->context, rows[i].space, rows[i].number, row_take, &fetching);
        if (!fetching.found) fetched_put(&fetching, &none, 4);
    }
    memory_release(request->data);
    request->data = fetching.data;
    request->bytes = fetching.bytes;
    answer(spill, shard, request);
}

void spill_fetches_serve(struct spill *spill)
{
    for (uint32_t s = 0; s < spill->config.shards_count; s++) {
        struct spill_desk *desk = &spill->desks[s];
        if (!atomic_load_explicit(&desk->fetches, memory_order_relaxed)) continue;
        for (struct spill_request *request = spill_stack_take(&desk->fetches), *next; request; request = next) {
            next = request->next;
            fetch_do(spill, s, request);
        }
    }
}

static int rows_remove(const struct shelf *shelf, const struct spill_request *request)
{
    const struct stored_row *rows = (const struct stored_row *)(const void *)request->data;
    int error = 0;
    for (size_t i = 0; i < request->bytes / sizeof *rows && !error; i++)
        error = shelf->remove(shelf->context, rows[i].space, rows[i].number);
    return error;
}

/* ---- blocks ---- */

struct last_before {
    uint64_t number, found;
    bool any;
};

static bool block_last_before(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct last_before *look = context;
    look->any = number <= look->number;
    look->found = number;
    return false;
}

/* What begins in [from, until) goes, but the block that `until` itself is in. */
static int drop(const struct shelf *shelf, const struct spill_request *request)
{
    struct last_before look = {.number = request->until};
    if (request->until == UINT64_MAX) return shelf->drop(shelf->context, request->session, request->from, UINT64_MAX);
    int error = shelf->read(shelf->context, request->session, request->until, block_last_before, &look);
    uint64_t until = look.any ? look.found : request->until;
    return error || until <= request->from ? error : shelf->drop(shelf->context, request->session, request->from, until);
}

/* While the store is full the shelf is to give the room back. */
static void dropped_note(struct spill *spill, const struct spill_request *request)
{
    if (!reserve_full(spill->config.reserve) || spill->dropped_count == DROPS_MAX) return;
    spill->dropped[spill->dropped_count++] = (struct spill_drop){request->session, request->until};
}

void spill_kept_serve(struct spill *spill)
{
    struct spill_request *request = spill->kept;
    spill->kept = NULL;
    while (request) { /* their order does not matter: each is about what nobody needs */
        struct spill_request *next = request->next;
        drop(&spill->config.shelf, request); /* one that fails is found by the next start's sweep */
        dropped_note(spill, request);
        spill->unsynced = true;
        spill_request_release(request);
        request = next;
    }
}

/* False: the shelf refuses; to be done again later. */
static bool request_do(struct spill *spill, uint32_t shard, struct spill_request *request, uint64_t now_ms)
{
    const struct shelf *shelf = &spill->config.shelf;
    struct spill_desk *desk = &spill->desks[shard];
    if (request->kind == SPILL_READ) {
        struct reading reading = {request, 0};
        request->error = shelf->read(shelf->context, request->session, request->from, block_take, &reading);
        answer(spill, shard, request);
        return true;
    }
    if (request->kind == SPILL_DROP && atomic_load(&spill->held)) {
        request->next = spill->kept;
        spill->kept = request;
        return true;
    }
    if (request->kind == SPILL_SYNC) {
        spill->sync_wanted = true;
    } else {
        bool ticket = request->kind != SPILL_DROP, nothing = ticket && request->bytes == 0; /* writes_forget(), drops_serve() */
        int error = nothing ? 0 : request->kind == SPILL_WRITE ? shelf->put(shelf->context, request->session, request->from, span_of(request->data, request->bytes))
                                : request->kind == SPILL_REMOVE ? rows_remove(shelf, request) : drop(shelf, request);
        if (error) {
            spill_trouble_set(spill, error);
            return false;
        }
        if (request->kind == SPILL_DROP) dropped_note(spill, request);
        if (!spill->unsynced) spill->unsynced_since_ms = now_ms;
        spill->unsynced = true;
        spill->unsynced_bytes += request->bytes;
        if (ticket) {
            atomic_fetch_sub_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
            desk->written = request->ticket;
        }
    }
    spill_request_release(request);
    return true;
}

/* The shelf takes nothing, and READs stand behind WRITEs that wait. What those would have written is still here: it is given from there, behind
 * what the shelf has, so that no queue stands still because of a full disk. */
static void reads_serve(struct spill *spill, uint32_t shard)
{
    struct spill_desk *desk = &spill->desks[shard];
    const struct shelf *shelf = &spill->config.shelf;
    for (struct spill_request **at = &desk->todo; *at;) {
        struct spill_request *request = *at;
        if (request->kind != SPILL_READ) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        struct reading reading = {request, 0};
        request->error = shelf->read(shelf->context, request->session, request->from, block_take, &reading);
        uint64_t first = 0; /* where the block begins that has request->from: those before it would only take room */
        for (struct spill_request *write = desk->todo; write != *at; write = write->next)
            if (write->kind == SPILL_WRITE && write->session == request->session && write->from <= request->from) first = write->from;
        for (struct spill_request *write = desk->todo; write != *at && !request->error && request->bytes < SPILL_READ_BYTES; write = write->next)
            if (write->kind == SPILL_WRITE && write->session == request->session && write->from >= first)
                block_take(&reading, write->session, write->from, span_of(write->data, write->bytes));
        answer(spill, shard, request);
    }
    desk->todo_end = &desk->todo;
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

/* The session has ended: what waits to be written for it is written as nothing, so that its ticket comes in its turn. */
static void writes_forget(struct spill_desk *desk, const struct spill_request *drop)
{
    for (struct spill_request *write = desk->todo; write != drop; write = write->next) {
        if (write->kind != SPILL_WRITE || write->session != drop->session) continue;
        atomic_fetch_sub_explicit(&desk->backlog_bytes, write->bytes, memory_order_relaxed);
        write->bytes = 0;
    }
}

/* DROPs and REMOVEs stand behind WRITEs that wait, too, and are what makes room for those. A REMOVE stays, with nothing to do, so that its ticket comes in its turn. */
static void drops_serve(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    struct spill_desk *desk = &spill->desks[shard];
    for (struct spill_request **at = &desk->todo; *at;) {
        struct spill_request *request = *at, *next = request->next;
        if (request->kind == SPILL_DROP) {
            if (request->until == UINT64_MAX) writes_forget(desk, request);
            if (!request_do(spill, shard, request, now_ms)) break;
            *at = next;
            continue;
        }
        if (request->kind == SPILL_REMOVE && request->bytes) {
            if (rows_remove(&spill->config.shelf, request)) break;
            atomic_fetch_sub_explicit(&desk->backlog_bytes, request->bytes, memory_order_relaxed);
            request->bytes = 0;
        }
        at = &request->next;
    }
    desk->todo_end = &desk->todo;
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

static void desk_take(struct spill_desk *desk)
{
    *desk->todo_end = spill_stack_take(&desk->sent);
    while (*desk->todo_end)
        desk->todo_end = &(*desk->todo_end)->next;
}

void spill_desk_wait(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    desk_take(&spill->desks[shard]);
    reads_serve(spill, shard);
    drops_serve(spill, shard, now_ms);
}

#define REQUESTS_PER_LOOK 32 /* then those who wait for rows are looked at */

void spill_desk_serve(struct spill *spill, uint32_t shard, uint64_t now_ms)
{
    struct spill_desk *desk = &spill->desks[shard];
    desk_take(desk);
    for (uint32_t n = 1; desk->todo; n++) {
        if (n % REQUESTS_PER_LOOK == 0) spill_fetches_serve(spill);
        struct spill_request *request = desk->todo, *next = request->next;
        if (!request_do(spill, shard, request, now_ms)) {
            spill->again_ms = now_ms + SPILL_FAILED_AGAIN_MS;
            return spill_desk_wait(spill, shard, now_ms);
        }
        desk->todo = next;
        if (!next) desk->todo_end = &desk->todo;
    }
}
