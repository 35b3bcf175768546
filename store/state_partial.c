/* state_partial.c - QoS 2 messages that a crash has left half given out: who has them, until their publisher sends them again. */
#include <stdlib.h>

#include "base/memory.h"
#include "store/state_rows.h"

/* ---- a session's partial messages -------------------------------------------------------------------------------- */

static void partial_release(struct state_partial *partial)
{
    memory_release(partial->receivers);
    memory_release(partial->groups);
}

void state_partials_clear(struct state_session *session)
{
    while (session->partials_count)
        partial_release(&session->partials[--session->partials_count]);
}

struct state_partial *state_partial_put(struct state_session *session, uint16_t packet_id, uint64_t hash)
{
    for (uint32_t i = 0; i < session->partials_count; i++) {
        struct state_partial *partial = &session->partials[i];
        if (partial->packet_id != packet_id) continue;
        if (partial->hash == hash) return partial;
        partial_release(partial); /* the id was used for another message since */
        *partial = (struct state_partial){.packet_id = packet_id, .hash = hash};
        return partial;
    }
    session->partials = memory_resize(session->partials, (session->partials_count + 1) * sizeof *session->partials); /* there are few */
    struct state_partial *partial = &session->partials[session->partials_count++];
    *partial = (struct state_partial){.packet_id = packet_id, .hash = hash};
    return partial;
}

void state_partial_remove(struct state_session *session, uint16_t packet_id)
{
    for (uint32_t i = 0; i < session->partials_count; i++) {
        if (session->partials[i].packet_id != packet_id) continue;
        partial_release(&session->partials[i]);
        session->partials[i] = session->partials[--session->partials_count];
        return;
    }
}

/* The room of a row of numbers is the next power of two. */
static void number_put(uint64_t **numbers, uint32_t *count, uint64_t number)
{
    if ((*count & (*count - 1)) == 0) *numbers = memory_resize(*numbers, (*count ? *count * 2u : 1u) * sizeof **numbers);
    (*numbers)[(*count)++] = number;
}

void state_partial_receiver(struct state_partial *partial, uint64_t session)
{
    number_put(&partial->receivers, &partial->receivers_count, session); /* more than once does no harm */
}

void state_partial_group(struct state_partial *partial, uint64_t group_hash)
{
    for (uint32_t i = 0; i < partial->groups_count; i++)
        if (partial->groups[i] == group_hash) return;
    number_put(&partial->groups, &partial->groups_count, group_hash);
}

/* ---- what becomes partial ---------------------------------------------------------------------------------------- */

void state_origin_settle(struct state_message *message)
{
    memory_release(message->receivers);
    message->receivers = NULL;
    message->receivers_count = 0;
    message->stored.origin = (struct stored_origin){0};
    state_message_unref(message);
}

/* Several shards may have the same message: what they know of it comes together. */
static void message_becomes_partial(struct state *state, struct state_session *publisher, const struct state_message *message,
                                    state_groups *groups, void *context)
{
    const struct stored_message *stored = &message->stored;
    struct state_partial *partial =
        state_partial_put(publisher, stored->origin.packet_id, stored_partial_hash(stored->topic, stored->payload));
    for (uint32_t i = 0; i < message->receivers_count; i++) {
        const struct state_receiver *receiver = &message->receivers[i];
        if (!receiver->shared) {
            state_partial_receiver(partial, receiver->session);
            continue;
        }
        struct state_session *member = map_find(&state->sessions, span_of(&receiver->session, 8));
        if (member) groups(context, member, message, partial);
    }
}

/* So that of two messages that used one packet id the later one stays. */
static int compare_origins(const void *a, const void *b)
{
    const struct stored_origin *x = &(*(struct state_message *const *)a)->stored.origin;
    const struct stored_origin *y = &(*(struct state_message *const *)b)->stored.origin;
    if (x->session != y->session) return x->session < y->session ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void state_resolve(struct state *state, state_groups *groups, void *context)
{
    uint32_t open = 0;
    for (uint32_t i = 0; i < state->origins_count; i++) {
        struct state_message *message = state->origins[i];
        const struct stored_origin *origin = &message->stored.origin;
        struct state_session *publisher = map_find(&state->sessions, span_of(&origin->session, 8));
        if (publisher && origin->number > publisher->stored.incoming_number)
            state->origins[open++] = message;
        else
            state_origin_settle(message);
    }
    state->origins_count = open;
    if (open) qsort(state->origins, open, sizeof *state->origins, compare_origins);
    for (uint32_t i = 0; i < open; i++)
        message_becomes_partial(state, map_find(&state->sessions, span_of(&state->origins[i]->stored.origin.session, 8)),
                                state->origins[i], groups, context);
    for (uint32_t i = 0; i < open; i++) { /* what the publisher sends next has a number of its own */
        const struct stored_origin *origin = &state->origins[i]->stored.origin;
        struct state_session *publisher = map_find(&state->sessions, span_of(&origin->session, 8));
        if (publisher->stored.incoming_number < origin->number) publisher->stored.incoming_number = origin->number;
    }
}

