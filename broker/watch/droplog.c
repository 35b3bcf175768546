#include "broker/watch/droplog.h"

#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect_inside.h"
#include "broker/watch/trace.h"
#include "proto/topic.h"

#define REASON_NAME(name, documentation) #name,
#define REASON_DOCUMENTATION(name, documentation) documentation,
#define DROP_REASON REASON_NAME
const char *const drop_reason_names[DROP_REASONS] = {
#include "broker/watch/droplog.def"
};
#undef DROP_REASON
#define DROP_REASON REASON_DOCUMENTATION
const char *const drop_reason_documentation[DROP_REASONS] = {
#include "broker/watch/droplog.def"
};
#undef DROP_REASON

struct droplog {
    uint64_t second;    /* of the shard's clock */
    uint32_t in_second, not_noted;
    uint32_t next, count;
    struct drop drops[DROPS_MAX];
};

/* False: enough for this second. */
static bool admit(struct droplog *log, uint64_t now_ms)
{
    if (log->second != now_ms / 1000) {
        log->second = now_ms / 1000;
        log->in_second = 0;
    }
    if (log->in_second < DROPS_PER_SECOND) {
        log->in_second++;
        return true;
    }
    log->not_noted++;
    return false;
}

static uint8_t copy(char *to, struct span text, bool *ret_cut)
{
    *ret_cut = text.bytes > DROP_TEXT_BYTES;
    size_t bytes = *ret_cut ? DROP_TEXT_BYTES : text.bytes;
    if (bytes) memcpy(to, text.data, bytes);
    return (uint8_t)bytes;
}

void drop_note(struct broker_shard *broker, enum drop_reason reason, const struct session *session, struct span topic, uint32_t count)
{
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE))
        trace_topic(broker, TRACE_EVENT_dropped, session, topic, &(struct trace_facts){.numbers = {reason, count}});
    if (!broker->drops) broker->drops = memory_acquire_zeroed(sizeof *broker->drops);
    struct droplog *log = broker->drops;
    if (!admit(log, broker->shard->now_ms)) return;
    struct drop *drop = &log->drops[log->next];
    log->next = (log->next + 1) % DROPS_MAX;
    if (log->count < DROPS_MAX) log->count++;
    *drop = (struct drop){.at_ns = broker->shard->group->verbs->realtime_ns(broker->shard->ring), .count = count, .not_noted = log->not_noted,
                          .reason = (uint8_t)reason, .shard = (uint8_t)broker->shard->number};
    drop->client_bytes = copy(drop->client, session ? session_client_id(session) : span_of(NULL, 0), &drop->client_cut);
    drop->topic_bytes = copy(drop->topic, topic, &drop->topic_cut);
    log->not_noted = 0;
}

static bool wanted(const struct inspect *inspect, const struct drop *drop)
{
    struct span client = span_of(drop->client, drop->client_bytes), topic = span_of(drop->topic, drop->topic_bytes);
    if (inspect->client_id.bytes && !span_equal(inspect->client_id, client)) return false;
    if (inspect->qos != INSPECT_ANY && inspect->qos != drop->reason) return false;
    return inspect->filter.bytes == 0 || (topic.bytes && mqtt_topic_matches_filter(topic, inspect->filter));
}

void drops_list(struct broker_shard *broker, struct inspect *inspect)
{
    const struct droplog *log = broker->drops;
    for (uint32_t i = 0; log && i < log->count && !inspect_full(inspect); i++) {
        const struct drop *drop = &log->drops[(log->next + DROPS_MAX - 1 - i) % DROPS_MAX];
        if (!wanted(inspect, drop)) continue;
        struct drop *row = memory_acquire(sizeof *row);
        *row = *drop;
        inspect_row_add(inspect, row, sizeof *row);
    }
}

void drops_finish(struct broker_shard *broker)
{
    memory_release(broker->drops);
    broker->drops = NULL;
}
