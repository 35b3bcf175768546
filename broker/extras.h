/* extras.h - what a broker can do with topics beyond the standard: rules of the configuration, compiled once and read by all shards
 * (docs/extras.md).
 *
 *     rewrite.h         topics and filters become others
 *     auto_subscribe.h  every client gets subscriptions
 *     topic_metrics.h   counts per registered topic or filter
 *     topic_rules.h     max QoS per filter, strategies of shared groups
 *     delayed.h, exclusive.h, slow_subs.h
 *
 * Owner:   the control thread makes one at the start and one at each reload; shards take the newest with the settings
 *          (RECORD_SETTINGS), and the one before goes when all have.
 * Off:     one test of broker->extras_bits. */
#ifndef RINGMQ_BROKER_EXTRAS_H
#define RINGMQ_BROKER_EXTRAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/span.h"
#include "broker/auto_subscribe.h"
#include "broker/delayed.h"
#include "broker/exclusive.h"
#include "broker/rewrite.h"
#include "broker/watch/slow_subs.h"
#include "broker/watch/topic_metrics.h"
#include "broker/topic_rules.h"
#include "broker/user_quota.h"
#include "proto/packet.h"

struct broker;
struct broker_shard;
struct session;

enum extra {
    EXTRA_REWRITE_PUBLISH = 1 << 0,
    EXTRA_REWRITE_SUBSCRIBE = 1 << 1,
    EXTRA_DELAYED = 1 << 2,
    EXTRA_METRICS = 1 << 3,
    EXTRA_EXCLUSIVE = 1 << 4,
    EXTRA_MAX_QOS = 1 << 5,
    EXTRA_AUTO_SUBSCRIBE = 1 << 6,
    EXTRA_SLOW_SUBS = 1 << 7,
    EXTRA_USER_NAMES = 1 << 8, /* sessions remember their user's name: a rule or a quota asks for it */
    EXTRA_TRACE = 1 << 9       /* some trace is on: broker/watch/trace.h. Not of the configuration: trace_bits() */
};
/* Those that look at a client's PUBLISH before it is given out. */
#define EXTRAS_PUBLISH (EXTRA_REWRITE_PUBLISH | EXTRA_DELAYED | EXTRA_METRICS)

struct extras {
    uint32_t bits;
    struct rewrite *rewrite;               /* NULL: none; so are all of these */
    struct auto_subscribe *auto_subscribe;
    struct topic_metrics *metrics;
    struct topic_rules *max_qos, *share_strategies;
};

/* NULL with a sentence that names the key in ret_error. */
struct extras *extras_create(const struct settings *settings, uint32_t shards_count, char *ret_error, size_t error_bytes);
void extras_release(struct extras *extras); /* accepts NULL */

/* For `--check` and before a reload: true, or a sentence in ret_error. */
bool extras_check(const struct settings *settings, char *ret_error, size_t error_bytes);
/* On the control thread: what shards find with the next RECORD_SETTINGS. Returns what was there before, to be released when all have taken
 * it. CHECKs: the settings have passed extras_check(). */
struct extras *extras_change(struct broker *broker, const struct settings *settings);
/* On a shard. take(): the newest. */
void extras_start(struct broker_shard *broker);
void extras_take(struct broker_shard *broker);
void extras_finish(struct broker_shard *broker);

/* What a client publishes to becomes something else; only with EXTRA_REWRITE_PUBLISH. */
enum mqtt_reason extras_rewrite_topic(struct broker_shard *broker, const struct session *session, struct span *topic);
/* The same for a will, perhaps before the session has its client's names. Asked twice about one will it is told, in counters, log and traces, once: with `told`. */
struct client_names;
void extras_rewrite_will(struct broker_shard *broker, const struct session *session, const struct client_names *names, bool told, struct span *topic);
/* $exclusive/FILTER becomes FILTER, where that is on. False: it is an ordinary one. */
bool extras_exclusive(const struct broker_shard *broker, struct mqtt_subscription *subscription);
/* The same for a filter, and what $exclusive/ means; only with EXTRA_REWRITE_SUBSCRIBE or EXTRA_EXCLUSIVE. */
enum mqtt_reason extras_filter(struct broker_shard *broker, const struct session *session, struct mqtt_subscription *subscription,
                               bool *ret_exclusive);

/* Counts a message of this topic; only with EXTRA_METRICS. */
void extras_count(struct broker_shard *broker, struct span topic, enum topic_metric metric);

/* JSON arrays for $SYS; free() them. Any thread that may look at `extras`. */
char *extras_metrics_json(const struct extras *extras);
char *extras_slow_subs_json(struct broker *broker);

/* The client's user name, as far as it is remembered; empty: none. */
struct span extras_user_name(const struct session *session);
void extras_user_name_set(struct broker_shard *broker, struct session *session, struct span user_name);

#endif
