/* limits.h - every fixed limit of the broker in one place, with its unit and its reason.
 * What an operator may want to change is configuration (config/schema.c), not here. */
#ifndef RINGMQ_BASE_LIMITS_H
#define RINGMQ_BASE_LIMITS_H

/* Shards of one process. Bounds the lane mesh (n² rings) and the per-shard columns of the route index. */
#define SHARDS_MAX 64

/* Hash buckets a client id falls into; buckets map to shards, so the number of shards may change (design §2, §9). */
#define BUCKETS 4096

/* Slots of one lane. 16 B each: 128 KiB a lane; a turn rarely publishes more than a few thousand. */
#define LANE_SLOTS 8192

/* MQTT §1.5.4: a UTF-8 string has a two-byte length. */
#define MQTT_STRING_BYTES_MAX 65535

/* MQTT §1.5.5: the largest variable byte integer, and so the largest remaining length. */
#define MQTT_VARINT_MAX 268435455u

/* Levels of a topic or filter. EMQX allows 128; a trie walk's stack has this depth. */
#define TOPIC_LEVELS_MAX 128

/* A log line is cut here; the cut is marked. */
#define LOG_LINE_BYTES_MAX 1024

/* Log lines a thread may be ahead of the writer before lines are dropped and counted. */
#define LOG_LINES_PENDING_MAX 512

#endif
