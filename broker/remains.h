/* remains.h - what a session leaves that is too much for one turn: subscriptions by the ten thousand, messages by the hundred thousand.
 *
 * The session itself has ended for everybody: nobody finds it by its name, a new one may have the same client id, nothing is delivered to it. Its
 * subscriptions still stand in the table of sinks and in the route index until remains_turn() comes to them; `session->ended` tells those who meet them there.
 * Of messages only the references wait: they are counted off before.
 *
 * Owner and threads: the shard. Order: one after the other. */
#ifndef RINGMQ_BROKER_REMAINS_H
#define RINGMQ_BROKER_REMAINS_H

#include "broker/session.h"

/* More than this is not removed at once: some hundred microseconds. */
#define REMAINS_SUBSCRIPTIONS 256
#define REMAINS_MESSAGES      2048

/* Releases a queue that nobody counts any more: at once, or, if it is long, in the turns to come. */
void remains_queue(struct broker_shard *broker, struct delivery_queue *queue);
/* Takes over a session that has nothing left but subscriptions. */
void remains_session(struct broker_shard *broker, struct session *session);
/* Some of it. True: there is more. */
bool remains_turn(struct broker_shard *broker);
/* All of it, at the end. */
void remains_finish(struct broker_shard *broker);

#endif
