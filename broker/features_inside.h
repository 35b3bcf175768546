/* features_inside.h - what the files of the frame (broker/features*.c) share. */
#ifndef RINGMQ_BROKER_FEATURES_INSIDE_H
#define RINGMQ_BROKER_FEATURES_INSIDE_H

#include "broker/features.h"

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

/* features_sink.c */
void features_sinks_stop(struct broker_shard *broker);
void features_sinks_release(struct features *features);
struct session *features_sink_session(const struct feature_sink *sink);
/* features_publish.c */
void features_publishes_start(struct features_shard *shard);
/* True: there is more to do at once. */
bool features_publishes_turn(struct broker_shard *broker);
void features_publishes_stop(struct broker_shard *broker);
void features_publishes_forget(struct broker_shard *broker, const struct session *from);
/* features_store.c */
bool features_questions_turn(struct broker_shard *broker); /* as above; while `early` has something */
void features_questions_stop(struct broker_shard *broker);

/* expiring_count has grown. */
void features_expiry_counted(struct broker_shard *broker);
/* A client that nobody waits for any more. */
void client_record_release(struct client_record *record);

#endif
