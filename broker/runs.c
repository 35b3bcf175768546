#include "broker/runs.h"

#include "base/check.h"
#include "broker/broker.h"
#include "broker/rows.h"

/* ---- taking ----------------------------------------------------------------------------------------------------- */

static inline struct publication publication_of_run(const struct run *run, const struct row_message *message, uint64_t publisher_conn)
{
    return (struct publication){.topic = message->topic, .payload = message->payload, .qos = run->qos, .publisher_conn = publisher_conn};
}

static inline struct row row_of_run(struct broker_shard *broker, const struct run *run, uint64_t publisher_conn)
{
    return (struct row){.broker = broker, .publisher_conn = publisher_conn, .qos = run->qos};
}

/* Not all at once: some subscriber does not take it so. An only one has them in a row, as far as it takes them. */
__attribute__((noinline)) static void take_each(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    const struct run run = run_of(cells);
    const uint8_t *at = run.packets;
    uint32_t local_id = (uint32_t)cells->b;
    bool congested = false, in_row = run.qos <= 1 && run_is_plain(broker, &run);
    struct row row = row_of_run(broker, &run, cells[1].a);
    row.view = sinks_get(broker->sinks, local_id);
    for (uint32_t i = 0; i < run.count; i++) {
        struct row_message message = run_next(&at);
        const struct sink *sink = in_row && row.view.count == 1 ? row_next(&row) : NULL;
        if (LIKELY(sink != NULL)) {
            row_deliver(&row, sink, &message);
            continue;
        }
        struct publication publication = publication_of_run(&run, &message, cells[1].a);
        record_publication_taken(broker, from, &publication, local_id);
        congested |= publication.congested;
        row.view = sinks_get(broker->sinks, local_id);
    }
    DCHECK(at == run.packets + run.bytes);
    row_end(&row);
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
    enum share_strategy strategy = (enum share_strategy)(cells->b >> 32 & 0xff);
    bool congested = false, in_row = run.qos <= 1 && run_is_plain(broker, &run);
    struct row row = row_of_run(broker, &run, cells[1].a);
    row.view = sinks_get(broker->sinks, local_id);
    if (LIKELY(in_row)) row.turn = share_member_turn(broker->share, strategy, local_id);
    for (uint32_t i = 0; i < run.count; i++) {
        struct row_message message = run_next(&at);
        const struct sink *sink = row.turn && row.view.count ? row_next(&row) : NULL;
        if (LIKELY(sink != NULL)) {
            row_deliver(&row, sink, &message);
            continue;
        }
        struct share_keys keys = {.random = random_next(&broker->shard->random)};
        struct share_choice choice = publication_share_choose(broker, row.view, local_id, strategy, &keys);
        if (in_row && LIKELY(choice.available) && LIKELY(row_takes(&row, &row.view.sinks[choice.index]))) {
            row_deliver(&row, &row.view.sinks[choice.index], &message);
        } else {
            struct publication publication = publication_of_run(&run, &message, cells[1].a);
            record_shared_taken(broker, from, &publication, local_id, row.view, choice);
            congested |= publication.congested;
            row.view = sinks_get(broker->sinks, local_id);
        }
        if (row.turn) row.turn = share_member_turn(broker->share, strategy, local_id);
    }
    DCHECK(at == run.packets + run.bytes);
    row_end(&row);
    if (UNLIKELY(congested)) record_congested(broker, from, cells[1].a);
}
