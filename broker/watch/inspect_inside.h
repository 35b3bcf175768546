/* watch/inspect_inside.h - what inspect.c and inspect_lists.c share. */
#ifndef RINGMQ_BROKER_WATCH_INSPECT_INSIDE_H
#define RINGMQ_BROKER_WATCH_INSPECT_INSIDE_H

#include "broker/watch/inspect.h"

struct session;

enum inspect_slice { INSPECT_SLICE_GOES_ON, INSPECT_SLICE_FULL, INSPECT_SLICE_ELSEWHERE /* somebody else answers it, or has */ };

/* Takes the row. */
void inspect_row_add(struct inspect *inspect, void *row, size_t bytes);
bool inspect_full(const struct inspect *inspect);
/* One more matches; true: it is one of those to be passed over. */
bool inspect_passes_over(struct inspect *inspect);
bool inspect_like(struct span text, struct span part);
uint64_t inspect_realtime_ms(const struct broker_shard *broker, uint64_t monotonic_ms);

/* When the client came, by the shard's clock in units of 16 ms, and one more: never 0. session->connected_at is the low half. */
uint64_t inspect_connected_at(const struct broker_shard *broker, const struct session *session);
void inspect_client_row(struct broker_shard *broker, struct inspect *inspect, const struct session *session);
/* inspect_sort.c: the same, unless it comes behind the rows wanted. */
void inspect_client_row_sorted(struct broker_shard *broker, struct inspect *inspect, const struct session *session);

void inspect_session_subscriptions(struct broker_shard *broker, struct inspect *inspect, const struct session *session);
enum inspect_slice inspect_filters_slice(struct broker_shard *broker, struct inspect *inspect, uint32_t budget);
enum inspect_slice inspect_retained_slice(struct broker_shard *broker, struct inspect *inspect, uint32_t budget);
enum inspect_slice inspect_retained_one(struct broker_shard *broker, struct inspect *inspect);
/* Somebody else answers it from now on, or inspect_stop(); and does. */
void inspect_elsewhere(struct broker_shard *broker, struct inspect *inspect);
void inspect_elsewhere_done(struct broker_shard *broker, struct inspect *inspect);
enum inspect_status inspect_message_answer(struct broker_shard *broker, struct inspect *inspect);

#endif
