/* fanout.h - one message to very many subscribers, in parts.
 *
 * publication_deliver_filter() hands a publication over that a client of this shard has just sent to FANOUT_PARTS subscribers of one filter or more. A part of them get it
 * at once, the others in the turns to come; until then whoever publishes on this shard is paused with its next PUBLISH unread (publisher_pause()), so nobody's messages
 * overtake one another, while everybody else goes on. One at a time. The array of subscribers is held (sinks_hold()): who leaves meanwhile is a hole, who comes is too late.
 *
 * Not cut: what a log or a feature's sink may have to answer for (broker->answers_wait), what comes from other shards, wills, several filters that match.
 * Owner and threads: the shard. Memory: one block while it goes on. */
#ifndef RINGMQ_BROKER_FANOUT_H
#define RINGMQ_BROKER_FANOUT_H

#include "broker/message.h"
#include "router/sinks.h"

struct broker_shard;

#define FANOUT_PARTS 4096

/* False: it is not one to be cut, deliver it. */
bool fanout_begin(struct broker_shard *broker, struct publication *publication, struct sinks_view view);
/* A PUBLISH has come. True: it must stay unread for now. */
bool fanout_waits(struct broker_shard *broker, struct session *session);
/* Some more of it. True: there is more. */
bool fanout_turn(struct broker_shard *broker);
/* All of it, now: before something that must not overtake it, and at the end. */
void fanout_finish(struct broker_shard *broker);
/* The session ends. */
void fanout_forget(struct broker_shard *broker, const struct session *session);

#endif
