/* watch/droplog.h - the last messages that were dropped or refused, with topic, client and reason: a ring per shard.
 *
 * Everything dropped is counted (base/stats.h); here are examples. At most DROPS_PER_SECOND of a shard are noted, the others only counted, so that a
 * flood costs a comparison each and the log still says what happened before it.
 * Owner: the shard. Memory: DROPS_MAX entries, made with the first drop. Who asks: INSPECT_DROPS (broker/watch/inspect.h). */
#ifndef RINGMQ_BROKER_WATCH_DROPLOG_H
#define RINGMQ_BROKER_WATCH_DROPLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct broker_shard;
struct inspect;
struct session;

#define DROPS_MAX        1000
#define DROPS_PER_SECOND 50
/* Of a client id and a topic; longer ones are cut. */
#define DROP_TEXT_BYTES  128

enum drop_reason {
#define DROP_REASON(name, documentation) DROP_##name,
#include "broker/watch/droplog.def"
#undef DROP_REASON
    DROP_REASONS
};
extern const char *const drop_reason_names[DROP_REASONS], *const drop_reason_documentation[DROP_REASONS];

struct drop {
    uint64_t at_ns;     /* Unix time */
    uint32_t count;     /* messages: 1 but for session_ended */
    uint32_t not_noted; /* drops since the entry before that the limit left out */
    uint8_t reason, shard; /* enum drop_reason */
    uint8_t client_bytes, topic_bytes;
    bool client_cut, topic_cut;
    char client[DROP_TEXT_BYTES], topic[DROP_TEXT_BYTES];
};

struct droplog; /* NULL until the first drop */

/* Notes it, and tells the traces that want it. session, topic: the delivery's; NULL, empty: nobody in particular. */
void drop_note(struct broker_shard *broker, enum drop_reason reason, const struct session *session, struct span topic, uint32_t count);
/* Rows for INSPECT_DROPS, the newest first: struct drop. */
void drops_list(struct broker_shard *broker, struct inspect *inspect);
void drops_finish(struct broker_shard *broker);

#endif
