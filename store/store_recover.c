/* store_recover.c - what earlier runs have left, read into a state: epoch after epoch, in each shard after shard. */
#include <stdio.h>

#include "store/store_inside.h"

struct recovery {
    struct state *state;
    void (*progress)(void *context, uint64_t bytes, uint64_t bytes_all);
    void *context;
    uint64_t done, all;
};

static bool recovery_record(void *context, uint32_t type, struct span body, void *own)
{
    return state_apply(((struct recovery *)context)->state, type, body, own);
}

static void recovery_progress(void *context, uint64_t bytes)
{
    struct recovery *recovery = context;
    recovery->done += bytes;
    if (recovery->progress) recovery->progress(recovery->context, recovery->done, recovery->all);
}

static bool log_recover(struct store *store, const struct replay *replay, uint32_t first, uint32_t count, struct state *state,
                        struct store_report *report, char *ret_error, size_t error_bytes)
{
    struct replay_result result;
    state_log_begin(state);
    bool sound = replay_log(replay, store->old + first, count, &result);
    state_log_end(state);
    report->segments += count;
    report->commits += result.commits;
    report->records += result.records;
    report->bytes += result.bytes;
    report->torn += result.torn;
    report->holes += result.hole;
    if (result.last_ms > state->last_ms) state->last_ms = result.last_ms;
    if (sound && result.hole) {
        report->salvaged = true;
        snprintf(report->hole, sizeof report->hole, "%s", result.fault);
    }
    if (!sound)
        snprintf(ret_error, error_bytes, "%s%s", result.fault,
                 result.hole ? "; restore a backup, or set durability.on_damage = salvage to start with what can be read" : "");
    return sound;
}

/* Everything before this place belongs to epochs that a complete one has made superfluous. */
static uint32_t first_needed(const struct store *store)
{
    uint32_t first = 0;
    while (first < store->old_count && store->old[first].epoch < store->complete)
        first++;
    return first;
}

bool store_recover(struct store *store, struct state *state,
                   state_groups *groups, void (*progress)(void *context, uint64_t bytes, uint64_t bytes_all), void *context,
                   struct store_report *ret_report, char *ret_error, size_t error_bytes)
{
    uint32_t at = first_needed(store);
    struct recovery recovery = {.state = state, .progress = progress, .context = context,
                                .all = (store->old_count - at) * store->config.segment_bytes};
    struct replay replay = {.files = &store->config.files, .salvage = store->config.salvage, .record = recovery_record,
                            .progress = recovery_progress, .context = &recovery};
    *ret_report = (struct store_report){0};
    atomic_store(&store->old_mapped, true);
    while (at < store->old_count) {
        uint32_t epoch = store->old[at].epoch;
        while (at < store->old_count && store->old[at].epoch == epoch) {
            uint32_t count = 1;
            while (at + count < store->old_count && store->old[at + count].epoch == epoch &&
                   store->old[at + count].shard == store->old[at].shard)
                count++;
            if (!log_recover(store, &replay, at, count, state, ret_report, ret_error, error_bytes)) return false;
            at += count;
        }
        ret_report->epochs++;
        ret_report->epoch_last = epoch;
        state_resolve(state, groups, context);
        state_epoch_end(state);
    }
    return true;
}

void store_recovered(struct store *store)
{
    for (uint32_t i = 0; i < store->old_count; i++) {
        store->config.files.unmap(store->config.files.context, store->old[i].bytes);
        store->old[i].bytes = span_of("", 0);
    }
    if (atomic_exchange(&store->old_mapped, false)) store_wake(store);
}
