/* delayed.h - `$delayed/SECONDS/TOPIC`: a message that is published to TOPIC when its time has come.
 *
 * A waiting message lies among the retained messages of the shard that owns its name, `$delayed<FF>/DUE/NUMBER/TOPIC`: no client can
 * write or read such a name, since <FF> is no UTF-8. So everything that retained messages have holds for it: it survives a restart when
 * the message is durable (PUBACK then waits for the disk), checkpoints write it again, and retainer.max_messages counts it. Its timer is made
 * from the name, at start, too: DUE is Unix time in ms. A crash between publishing and forgetting it publishes it twice.
 *
 * Threads: the publisher's shard takes it, the owner's keeps it. The number of those waiting is the node's (atomic). */
#ifndef RINGMQ_BROKER_DELAYED_H
#define RINGMQ_BROKER_DELAYED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/span.h"
#include "proto/mqtt.h"
#include "store/format.h"

struct broker_shard;
struct message;
struct publication;
struct session;

/* Longest delay that a client may ask for at all: 2^32 - 1 ms, as elsewhere. */
#define DELAYED_SECONDS_MAX 4294967u

/* Splits $delayed/SECONDS/TOPIC: *topic becomes TOPIC. A topic that does not begin so is left alone: SUCCESS with 0 seconds. An error is
 * logged and counted. `0` publishes at once. */
enum mqtt_reason delayed_split(struct broker_shard *broker, const struct session *session, struct span *topic, uint32_t *ret_delay_s);
/* The same without a word to anybody: NULL, or what is wrong with it. */
const char *delayed_parse(const struct delayed_settings *settings, struct span *topic, uint32_t *ret_delay_s);
/* Keeps the publication (whose topic is the real one) for so long. */
enum mqtt_reason delayed_keep(struct broker_shard *broker, struct publication *publication, uint32_t delay_s);

/* The name of a waiting message begins so; DUE (Unix ms, decimal), NUMBER (16 hex digits) and TOPIC follow. */
#define DELAYED_NAME_PREFIX STORE_DELAYED_PREFIX
#define DELAYED_ID_BYTES    40
/* What a name says: when, which topic, and DUE-NUMBER as text. */
uint64_t delayed_name_parse(struct span name, struct span *ret_topic, char ret_id[DELAYED_ID_BYTES]);
/* An administrator removes the one of this name, on its owner: its timer will find nothing. False: there is none. */
bool delayed_remove(struct broker_shard *broker, struct span name);
/* For the store of retained messages: is this the name of a waiting one? */
static inline bool delayed_is(struct span name) { return name.bytes > 9 && name.data[0] == '$' && name.data[1] == 'd' && name.data[8] == 0xFF; }
/* It is in (was not put into) the store of its owner. */
void delayed_kept(struct broker_shard *broker, struct span name);
void delayed_lost(struct broker_shard *broker);
void delayed_start(struct broker_shard *broker);
void delayed_stop(struct broker_shard *broker);

#endif
