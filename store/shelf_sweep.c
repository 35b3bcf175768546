/* shelf_sweep.c - at start: what the log does not name goes from the shelf.
 *
 * Of queues two kinds. What lies before the oldest entry a session still needs: dropping it was not synced. And what lies behind the last one the log
 * knows to be there: it was written, but its STORE_SPILLED was not, and after a crash those numbers may be given to other messages.
 *
 * Of rows two kinds, too, and millions of them must not be read to find out. Those whose retained message was replaced or removed: the replay has met both
 * records, or a checkpoint has listed them. And those that were written and never named: they have a number that the last checkpoint of their space does
 * not call settled, and those that are named from there on are known. */
#include <stdlib.h>

#include "base/memory.h"
#include "store/shelf.h"
#include "store/state.h"

struct first_block {
    uint64_t number;
    bool any;
};

static bool first_take(void *context, uint64_t session, uint64_t number, struct span block)
{
    *(struct first_block *)context = (struct first_block){number, true};
    return false;
}

static int session_sweep(const struct shelf *shelf, const struct state_session *session)
{
    uint64_t from = session->shelved ? session->shelf_from : session->front, until = session->shelved ? session->shelf_until : session->front;
    for (uint32_t i = 0; i < session->window_count; i++)
        if (session->window[i].shelved && session->window[i].number < from) from = session->window[i].number;
    int error = shelf->drop(shelf->context, session->key, until, UINT64_MAX);
    if (error || from >= until) return error ? error : shelf->drop(shelf->context, session->key, 0, until);
    struct first_block first = {0};
    error = shelf->read(shelf->context, session->key, from, first_take, &first);
    return error || !first.any || first.number == 0 ? error : shelf->drop(shelf->context, session->key, 0, first.number);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct rows {
    struct stored_row *rows;
    size_t count, capacity;
};

static int compare_rows(const void *a, const void *b)
{
    const struct stored_row *left = a, *right = b;
    if (left->space != right->space) return left->space < right->space ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

static void rows_add(struct rows *rows, struct stored_row row)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 64;
        rows->rows = memory_resize(rows->rows, rows->capacity * sizeof *rows->rows);
    }
    rows->rows[rows->count++] = row;
}

static uint64_t settled_below(const struct state *state, uint64_t space)
{
    if (shelf_space_epoch(space) < state->settled_epoch) return UINT64_MAX;
    for (uint32_t i = 0; i < state->spaces_count; i++)
        if (state->spaces[i].space == space) return state->spaces[i].settled;
    return 0;
}

/* Those the log names: the ones in `wanted` (sorted), and all that are not settled. */
static struct rows rows_named(const struct state *state, const struct rows *wanted)
{
    struct rows named = {0};
    uint32_t cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));) {
        if (!message->row.space) continue;
        bool is_wanted = wanted->count && bsearch(&message->row, wanted->rows, wanted->count, sizeof message->row, compare_rows);
        if (is_wanted || message->row.number >= settled_below(state, message->row.space)) rows_add(&named, message->row);
    }
    if (named.count) qsort(named.rows, named.count, sizeof *named.rows, compare_rows);
    return named;
}

static int dead_remove(const struct shelf *shelf, const struct rows *dead, const struct rows *named)
{
    int error = 0;
    for (size_t i = 0; i < dead->count && !error; i++) {
        const struct stored_row *row = &dead->rows[i];
        if (named->count && bsearch(row, named->rows, named->count, sizeof *row, compare_rows)) continue;
        error = shelf->remove(shelf->context, row->space, row->number);
    }
    return error;
}

#define GAP_ROWS_MAX 1024 /* a longer gap goes as a range, which costs more than a few rows */

static int gap_remove(const struct shelf *shelf, uint64_t space, uint64_t from, uint64_t until)
{
    int error = 0;
    if (until - from > GAP_ROWS_MAX) return shelf->drop(shelf->context, space, from, until);
    for (; from < until && !error; from++)
        error = shelf->remove(shelf->context, space, from);
    return error;
}

/* Between those that are named, and behind the last one. */
static int space_sweep(const struct shelf *shelf, uint64_t space, uint64_t settled, const struct rows *named)
{
    uint64_t from = settled;
    int error = 0;
    for (size_t i = 0; i < named->count && !error; i++) {
        const struct stored_row *row = &named->rows[i];
        if (row->space != space || row->number < from) continue;
        error = gap_remove(shelf, space, from, row->number);
        from = row->number + 1;
    }
    return error ? error : shelf->drop(shelf->context, space, from, UINT64_MAX);
}

static int rows_sweep(const struct shelf *shelf, const struct state *state)
{
    struct rows dead = {.rows = state->dead, .count = state->dead_count, .capacity = state->dead_capacity};
    if (dead.count) qsort(dead.rows, dead.count, sizeof *dead.rows, compare_rows); /* their order means nothing */
    struct rows named = rows_named(state, &dead);
    int error = dead_remove(shelf, &dead, &named);
    for (uint64_t space = SHELF_ROWS; !error && shelf->next(shelf->context, space, &space);) {
        uint64_t settled = settled_below(state, space);
        if (settled != UINT64_MAX) error = space_sweep(shelf, space, settled, &named);
        if (++space == 0) break;
    }
    memory_release(named.rows);
    return error;
}

int shelf_sweep(const struct shelf *shelf, const struct state *state)
{
    uint64_t session = 0;
    while (shelf->next(shelf->context, session, &session) && session < SHELF_ROWS) {
        const struct state_session *known = map_find(&state->sessions, span_of(&session, 8));
        int error = known ? session_sweep(shelf, known) : shelf->drop(shelf->context, session, 0, UINT64_MAX);
        if (error) return error;
        session++;
    }
    return rows_sweep(shelf, state);
}
