/* shelf_sweep.c - at start: what the log does not name goes from the shelf.
 *
 * Two kinds. What lies before the oldest entry a session still needs: dropping it was not synced. And what lies behind the last one the log
 * knows to be there: it was written, but its STORE_SPILLED was not, and after a crash those numbers may be given to other messages. */
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

int shelf_sweep(const struct shelf *shelf, const struct state *state)
{
    uint64_t session = 0;
    while (shelf->next(shelf->context, session, &session)) {
        const struct state_session *known = map_find(&state->sessions, span_of(&session, 8));
        int error = known ? session_sweep(shelf, known) : shelf->drop(shelf->context, session, 0, UINT64_MAX);
        if (error) return error;
        if (++session == 0) break;
    }
    return 0;
}
