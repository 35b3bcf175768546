/* watch/sys.c - $SYS/broker/…: the broker's own counters as retained messages, under the names that Mosquitto's users know.
 *
 * Shard 0 publishes them every sys.interval while at least one filter below $SYS exists on any shard; otherwise nothing ticks. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/records.h"

/* ---- moving averages -------------------------------------------------------------------------------------------- */

/* Per-minute rates over 1, 5 and 15 minutes: rate ← new + e^(-elapsed/period) (rate - new). */
struct load {
    const char *name;
    size_t offset; /* of the counter in struct stats */
};

static const struct load loads[] = {
    {"messages/received", offsetof(struct stats, packets_received)},
    {"messages/sent", offsetof(struct stats, packets_sent)},
    {"publish/received", offsetof(struct stats, publish_received)},
    {"publish/sent", offsetof(struct stats, publish_sent)},
    {"publish/dropped", offsetof(struct stats, dropped_queue_full)},
    {"bytes/received", offsetof(struct stats, bytes_received)},
    {"bytes/sent", offsetof(struct stats, bytes_sent)},
    {"sockets", offsetof(struct stats, connections_accepted)},
    {"connections", offsetof(struct stats, connections_accepted)},
};
#define LOADS (sizeof loads / sizeof loads[0])

static const uint32_t load_minutes[] = {1, 5, 15};

struct sys_load {
    uint64_t at_ms;
    bool published; /* at least once: the first subscriber finds the topics */
    uint64_t clients_maximum;
    struct stats before;
    double rates[LOADS][3];
};

static uint64_t counter_at(const struct stats *stats, size_t offset)
{
    return *(const uint64_t *)((const char *)stats + offset);
}

static void load_update(struct sys_load *load, const struct stats *now, uint64_t now_ms)
{
    double elapsed_min = (double)(now_ms - load->at_ms) / 60000.0;
    if (elapsed_min <= 0) return;
    for (size_t i = 0; i < LOADS; i++) {
        uint64_t gained = counter_at(now, loads[i].offset) - counter_at(&load->before, loads[i].offset);
        for (int m = 0; m < 3; m++) {
            double rate = (double)gained / elapsed_min;
            load->rates[i][m] = rate + exp(-elapsed_min / load_minutes[m]) * (load->rates[i][m] - rate);
        }
    }
    load->before = *now;
    load->at_ms = now_ms;
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

static void sys_publish(struct broker_shard *broker, const char *topic, const char *payload)
{
    char full[128];
    int bytes = snprintf(full, sizeof full, "$SYS/broker/%s", topic);
    struct publication publication = {.topic = span_of(full, (size_t)bytes),
                                      .payload = span_of_string(payload),
                                      .retain = true,
                                      .level = DURABILITY_NONE}; /* made anew at each start */
    publication_publish(broker, &publication);
    publication_end(broker->shard, &publication);
}

static void sys_publish_made(struct broker_shard *broker, const char *topic, char *payload)
{
    sys_publish(broker, topic, payload);
    free(payload);
}

static void sys_publish_number(struct broker_shard *broker, const char *topic, uint64_t number)
{
    char payload[24];
    snprintf(payload, sizeof payload, "%" PRIu64, number);
    sys_publish(broker, topic, payload);
}

static void node_stats_sum(const struct broker *broker, struct stats *ret_sum)
{
    *ret_sum = (struct stats){0};
    for (uint32_t s = 0; s < broker->shards_count; s++)
        if (broker->shards[s]->shard) stats_add(ret_sum, &broker->shards[s]->shard->stats);
}

static uint64_t dropped_all(const struct stats *stats)
{
    return stats->dropped_queue_full + stats->dropped_oldest + stats->dropped_qos0_offline + stats->dropped_qos0_slow +
           stats->dropped_expired + stats->dropped_too_large + stats->dropped_session_ended +
           stats->dropped_no_share_member + stats->dropped_retained_full + stats->dropped_store_full;
}

static void sys_publish_all(struct broker_shard *broker)
{
    struct stats stats;
    node_stats_sum(broker->broker, &stats);
    struct sys_load *load = broker->load;
    load_update(load, &stats, broker->shard->now_ms);
    if (stats.clients_connected > load->clients_maximum) load->clients_maximum = stats.clients_connected;

    char uptime[48];
    snprintf(uptime, sizeof uptime, "%" PRIu64 " seconds", (broker->shard->now_ms - broker->broker->started_ms) / 1000);
    sys_publish(broker, "version", "ringmq version " RINGMQ_VERSION);
    sys_publish(broker, "uptime", uptime);

    const struct {
        const char *topic;
        uint64_t number;
    } numbers[] = {
        {"clients/total", stats.sessions},
        {"clients/connected", stats.clients_connected},
        {"clients/active", stats.clients_connected},
        {"clients/disconnected", stats.sessions - stats.clients_connected},
        {"clients/inactive", stats.sessions - stats.clients_connected},
        {"clients/expired", stats.sessions_expired},
        {"clients/maximum", load->clients_maximum},
        {"messages/received", stats.packets_received},
        {"messages/sent", stats.packets_sent},
        {"messages/inflight", stats.inflight_messages},
        {"messages/queued", stats.queued_messages},
        {"messages/stored", stats.messages_stored},
        {"store/messages/count", stats.messages_stored},
        {"store/messages/bytes", stats.message_bytes},
        {"publish/messages/received", stats.publish_received},
        {"publish/messages/sent", stats.publish_sent},
        {"publish/messages/dropped", dropped_all(&stats)},
        {"publish/bytes/received", stats.publish_received_bytes},
        {"publish/bytes/sent", stats.publish_sent_bytes},
        {"connections/refused", stats.connections_refused},
        {"connections/refused/limit", stats.refused_too_many},
        {"connections/refused/address", stats.refused_address},
        {"connections/refused/proxy", stats.refused_proxy},
        {"connections/handshake_errors", stats.filter_errors},
        {"connections/handshake_timeouts", stats.handshake_timeouts},
        {"handshakes/steps", stats.handshake_steps},
        {"handshakes/waiting", stats.handshakes_waiting},
        {"handshakes/parked", stats.handshakes_parked},
        {"ocsp/asked", stats.ocsp_asked},
        {"ocsp/cached", stats.ocsp_cached},
        {"ocsp/revoked", stats.ocsp_revoked},
        {"ocsp/unknown", stats.ocsp_unknown},
        {"ocsp/unanswered", stats.ocsp_unanswered},
        {"overload/level", stats.overload_level},
        {"overload/count", stats.overloads},
        {"bytes/received", stats.bytes_received},
        {"bytes/sent", stats.bytes_sent},
        {"retained messages/count", stats.retained_messages},
        {"durability/commits", stats.durable_commits},
        {"durability/bytes/written", stats.durable_bytes},
        {"durability/waiting", stats.durable_waits},
        {"durability/write_failures", stats.durable_write_failures},
        {"durability/refused", stats.durable_refused},
        {"durability/checkpoints", stats.durable_checkpoints},
        {"durability/spilled/queues", stats.queues_spilled},
        {"durability/spilled/messages", stats.spilled_messages},
        {"durability/spilled/bytes", stats.spilled_bytes},
        {"subscriptions/count", stats.subscriptions},
        {"shared_subscriptions/count", stats.subscriptions_shared},
        {"connections/socket/count", stats.connections},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sys_publish_number(broker, numbers[i].topic, numbers[i].number);

    if (broker->extras_bits & EXTRA_METRICS) sys_publish_made(broker, "topic_metrics", extras_metrics_json(broker->extras));
    if (broker->extras_bits & EXTRA_SLOW_SUBS) sys_publish_made(broker, "slow_subs", extras_slow_subs_json(broker->broker));

    for (size_t i = 0; i < LOADS; i++)
        for (int m = 0; m < 3; m++) {
            char topic[64], rate[32];
            snprintf(topic, sizeof topic, "load/%s/%umin", loads[i].name, load_minutes[m]);
            snprintf(rate, sizeof rate, "%.2f", load->rates[i][m]);
            sys_publish(broker, topic, rate);
        }
}

/* ---- when ------------------------------------------------------------------------------------------------------- */

static void sys_due(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    uint32_t interval_s = broker->settings->sys.interval_s;
    if (interval_s == 0 || broker->stopping) return;
    bool wanted = atomic_load(&broker->broker->sys_filters) != 0; /* if not, sys_wake() starts it again */
    if (wanted || !broker->load->published) sys_publish_all(broker);
    broker->load->published = true;
    if (wanted) shard_start_timer(broker->shard, timer, interval_s * 1000ull);
}

void sys_start(struct broker_shard *broker)
{
    timer_init(&broker->sys_timer, sys_due);
    if (broker->shard->number != 0) return;
    broker->load = memory_acquire_zeroed(sizeof *broker->load);
    broker->load->at_ms = broker->broker->started_ms = broker->shard->now_ms;
    shard_start_timer(broker->shard, &broker->sys_timer, 0);
}

void sys_stop(struct broker_shard *broker) { shard_stop_timer(broker->shard, &broker->sys_timer); }

void sys_wake(struct broker_shard *broker)
{
    if (broker->stopping || timer_running(&broker->sys_timer)) return;
    shard_start_timer(broker->shard, &broker->sys_timer, 0);
}

static bool below_sys(struct span filter)
{
    return span_starts_with(filter, SPAN_LITERAL("$SYS")) && (filter.bytes == 4 || filter.data[4] == '/');
}

void sys_filter_added(struct broker_shard *broker, struct span filter)
{
    if (!below_sys(filter)) return;
    if (atomic_fetch_add(&broker->broker->sys_filters, 1) == 0) record_send(broker->shard, 0, RECORD_SYS, NULL, 0);
}

void sys_filter_removed(struct broker_shard *broker, struct span filter)
{
    if (below_sys(filter)) atomic_fetch_sub(&broker->broker->sys_filters, 1);
}
