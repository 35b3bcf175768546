/* state_rows.h - inside store/ only: what a state's sessions and messages are made of, between state.c (which keeps them) and
 * state_apply.c (which knows what each record does to them). */
#ifndef RINGMQ_STORE_STATE_ROWS_H
#define RINGMQ_STORE_STATE_ROWS_H

#include "store/state.h"

void state_message_unref(struct state_message *message);
struct state_message *state_message_find(const struct state *state, uint64_t id);
void state_retained_put(struct state *state, struct span topic, struct state_message *message);
void state_shelf_put(struct state *state, const struct stored_shelf_state *shelf);
void state_origin_add(struct state *state, struct state_message *message);
void state_receiver_add(struct state_message *message, uint64_t session, bool shared);
struct state_session *state_session_find(struct state *state, uint64_t id);
struct state_session *state_session_put(struct state *state, const struct stored_session *stored);
void state_session_clear(struct state_session *session);
void state_shadow_clear(struct state_session *session);
void state_session_release(struct state_session *session);
void state_will_clear(struct state_session *session);
void state_subscription_put(struct state_session *session, const struct stored_subscription *stored);
void state_subscription_remove(struct state_session *session, struct span filter, struct span group);
void state_subscriptions_clear(struct state_session *session);
void state_origin_settle(struct state_message *message);
void state_partials_clear(struct state_session *session);
struct state_partial *state_partial_put(struct state_session *session, uint16_t packet_id, uint64_t hash);
void state_partial_remove(struct state_session *session, uint16_t packet_id);
void state_partial_receiver(struct state_partial *partial, uint64_t session);
void state_incoming_put(struct state_session *session, uint16_t packet_id);
void state_incoming_remove(struct state_session *session, uint16_t packet_id);
struct state_delivery state_delivery_of(struct state_message *message, const struct stored_delivery *stored, struct span ids);
void state_delivery_release(struct state_delivery *delivery);
void state_queue_spilled(struct state_session *session, uint64_t from, uint64_t until, uint64_t bytes);
void state_queue_put(struct state_session *session, struct state_delivery delivery);
void state_row_put(struct state_delivery **row, uint32_t *count, uint32_t *capacity, struct state_delivery delivery);
void state_window_put(struct state_session *session, struct state_delivery delivery, uint16_t packet_id);
void state_window_remove(struct state_session *session, uint16_t packet_id);
/* Before anybody but state_window.c looks into it: at a log's end, behind state_window_put() of one's own. */
void state_window_settle(struct state_session *session);
void state_window_clear(struct state_session *session);
bool state_queue_take(struct state *state, struct state_session *session, struct state_delivery *ret_delivery);
void state_shadow_take(struct state *state, struct state_session *session);
void state_releasing_put(struct state_session *session, uint16_t packet_id);

#endif
