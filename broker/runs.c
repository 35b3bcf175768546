#include "broker/runs.h"

#include "base/check.h"
#include "broker/broker.h"

/* ---- taking ----------------------------------------------------------------------------------------------------- */

static inline struct publication publication_of_run(const struct run *run, const struct run_message *message, uint64_t publisher_conn)
{
    return (struct publication){.topic = message->topic, .payload = message->payload, .qos = run->qos, .publisher_conn = publisher_conn};
}

/* Not all at once: some subscriber does not take it so. */
__attribute__((noinline)) static void take_each(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    const uint8_t *at = run.packets;
    bool congested = false;
    for (uint32_t i = 0; i < run.count; i++) {
        struct run_message message = run_next(&at);
        struct publication publication = publication_of_run(&run, &message, cells[1].a);
        record_publication_taken(broker, from, &publication, (uint32_t)cells->b);
        congested |= publication.congested;
    }
    DCHECK(at == run.packets + run.bytes);
    if (UNLIKELY(congested)) record_congested(broker, from, cells[1].a);
}

void run_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    if (UNLIKELY(!publication_run_deliver(broker, cells))) take_each(broker, from, cells);
}

/* Groups that choose by hashes get no runs. */
void run_take_shared(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    const uint8_t *at = run.packets;
    uint32_t local_id = (uint32_t)cells->b;
    struct run_sent sent = {0};
    bool congested = false;
    for (uint32_t i = 0; i < run.count; i++) {
        struct run_message message = run_next(&at);
        struct share_keys keys = {.random = random_next(&broker->shard->random)};
        struct sinks_view view = sinks_get(broker->sinks, local_id);
        struct share_choice choice = publication_share_choose(broker, view, local_id, (uint8_t)(cells->b >> 32), &keys);
        if (run.qos == 0 && LIKELY(choice.available) && LIKELY(publication_run_give(broker, &message, &view.sinks[choice.index], &sent))) continue;
        struct publication publication = publication_of_run(&run, &message, cells[1].a);
        record_shared_taken(broker, from, &publication, local_id, view, choice);
        congested |= publication.congested;
    }
    DCHECK(at == run.packets + run.bytes);
    run_sent_count(broker, &sent);
    if (UNLIKELY(congested)) record_congested(broker, from, cells[1].a);
}
