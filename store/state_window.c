/* state_window.c - a session's window: packet ids whose acknowledgement has not come, in the order of sending.
 *
 * A log of a busy client puts into it and takes out of it once for each message. As long as it is short it is walked. A long one (mqtt.max_inflight is up to 65,535)
 * has a table beside it, and what is taken out leaves a gap, which goes when the window grows or the log has been read: nobody else sees gaps. */
#include "base/memory.h"
#include "store/state_rows.h"

#define TABLE_FROM 64
#define TAKEN      UINT32_MAX /* in the table: something was here, what follows may be reached past it */

/* Places in the window, 1 for the first, by packet id; twice as many as the window has room for, and each of its places is put in here once between two makings. */
struct window_table {
    uint32_t mask;
    uint32_t places[];
};

static uint32_t *slot_of(const struct state_session *session, uint16_t packet_id)
{
    struct window_table *table = session->window_table;
    uint32_t at = packet_id * 0x9E3779B1u >> 8 & table->mask;
    for (;; at = (at + 1) & table->mask) {
        uint32_t place = table->places[at];
        if (place == 0 || (place != TAKEN && session->window[place - 1].packet_id == packet_id)) return &table->places[at];
    }
}

static void table_drop(struct state_session *session)
{
    memory_release(session->window_table);
    session->window_table = NULL;
}

static void table_make(struct state_session *session)
{
    uint32_t slots = 2;
    while (slots < 2 * session->window_capacity)
        slots *= 2;
    table_drop(session);
    session->window_table = memory_acquire_zeroed(sizeof *session->window_table + slots * sizeof session->window_table->places[0]);
    session->window_table->mask = slots - 1;
    for (uint32_t i = 0; i < session->window_count; i++)
        *slot_of(session, session->window[i].packet_id) = i + 1;
}

static void gaps_close(struct state_session *session)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; session->window_gaps && i < session->window_count; i++)
        if (session->window[i].packet_id) session->window[kept++] = session->window[i];
    if (session->window_gaps) session->window_count = kept;
    session->window_gaps = 0;
}

static uint32_t find(const struct state_session *session, uint16_t packet_id)
{
    if (session->window_table) {
        uint32_t place = *slot_of(session, packet_id);
        return place ? place - 1 : UINT32_MAX;
    }
    for (uint32_t i = 0; i < session->window_count; i++)
        if (session->window[i].packet_id == packet_id) return i;
    return UINT32_MAX;
}

void state_window_remove(struct state_session *session, uint16_t packet_id)
{
    uint32_t i = packet_id ? find(session, packet_id) : UINT32_MAX;
    if (i == UINT32_MAX) return;
    if (session->window_table) *slot_of(session, packet_id) = TAKEN;
    state_delivery_release(&session->window[i]);
    if (session->window_table) {
        session->window_gaps++; /* its packet id is 0 now */
        return;
    }
    session->window_count--;
    memmove(session->window + i, session->window + i + 1, (session->window_count - i) * sizeof *session->window);
}

void state_window_put(struct state_session *session, struct state_delivery delivery, uint16_t packet_id)
{
    state_window_remove(session, packet_id);
    if (session->window_count == session->window_capacity) {
        bool many_gaps = session->window_gaps > session->window_capacity / 4;
        gaps_close(session);
        if (!many_gaps) {
            session->window_capacity = session->window_capacity ? session->window_capacity * 2 : 8;
            session->window = memory_resize(session->window, session->window_capacity * sizeof *session->window);
        }
        if (session->window_table) table_make(session);
    }
    if (!session->window_table && session->window_count >= TABLE_FROM) table_make(session);
    delivery.packet_id = packet_id;
    session->window[session->window_count++] = delivery;
    if (session->window_table) *slot_of(session, packet_id) = session->window_count;
}

void state_releasing_put(struct state_session *session, uint16_t packet_id)
{
    uint32_t i = packet_id ? find(session, packet_id) : UINT32_MAX;
    if (i == UINT32_MAX) return;
    struct state_delivery *delivery = &session->window[i];
    state_message_unref(delivery->message);
    delivery->message = NULL;
    delivery->shelved = false;
    delivery->state = STORED_RELEASING;
    delivery->qos = 2;
}

void state_window_settle(struct state_session *session)
{
    gaps_close(session);
    table_drop(session);
}

void state_window_clear(struct state_session *session)
{
    for (uint32_t i = 0; i < session->window_count; i++)
        state_delivery_release(&session->window[i]);
    session->window_count = session->window_gaps = 0;
    table_drop(session);
}
