/* inside.h - what the files of the frame (this folder) share. */
#ifndef RINGMQ_BROKER_FEATURES_INSIDE_H
#define RINGMQ_BROKER_FEATURES_INSIDE_H

#include "broker/features/features.h"

struct feature_part {
    const struct feature *feature;
    struct feature_node node;
    bool opened;
    struct feature_setup setup; /* in force, or about to be: read by the shards at RECORD_SETTINGS */
    struct feature_setup next;  /* prepared and not taken, or taken from and not released */
};

void features_taps_create(struct features *features, uint32_t shards_count);
void features_taps_destroy(struct features *features);
/* Which events somebody wants, from the setups. */
void features_taps_want(struct features *features);

/* sink.c */
void features_sinks_stop(struct broker_shard *broker);
void features_sinks_release(struct features *features);
struct session *features_sink_session(const struct feature_sink *sink);
/* publish.c */
void features_publishes_start(struct features_shard *shard);
/* True: there is more to do at once. */
bool features_publishes_turn(struct broker_shard *broker);
void features_publishes_stop(struct broker_shard *broker);
void features_publishes_forget(struct broker_shard *broker, const struct session *from);
/* store.c */
bool features_questions_turn(struct broker_shard *broker); /* as above; while `early` has something */
void features_questions_stop(struct broker_shard *broker);

/* What gates have said about anybody's last PUBLISH counts no more. */
static inline void features_forget_all(struct features_shard *shard)
{
    if (++shard->verdicts_epoch == 0) shard->verdicts_epoch = 1; /* 0 is nobody's */
}

/* client.c. Its address is known, or has been asked for; false: the latter. */
bool features_address_ask(struct broker_shard *broker, struct client_record *record);
/* find.c */
void features_find_tick(struct timer *timer, void *context);
void features_found(struct broker_shard *broker, struct client_record *record); /* its address is known now */

/* expiring_count has grown. */
void features_expiry_counted(struct broker_shard *broker);
/* A client that nobody waits for any more. */
void client_record_release(struct client_record *record);

#endif
