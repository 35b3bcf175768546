#include "engine/overload.h"

#include "base/log.h"
#include "engine/accept.h"
#include "engine/shard.h"

#define LOOK_AGAIN_MS     100
#define AVERAGE_WEIGHT    8
#define WORSE_AFTER_MS    1000 /* without new connections it must have had time to get better */

static const char *const level_names[] = {"none", "no_new_connections", "publishers_slowed"};

static void look_again(struct timer *timer, void *context)
{
    struct shard *shard = context;
    shard_start_timer(shard, timer, LOOK_AGAIN_MS); /* the turn that runs this looks */
}

void overload_init(struct shard *shard)
{
    shard->overload = (struct overload){0};
    timer_init(&shard->overload.timer, look_again);
    overload_configure(shard);
}

void overload_configure(struct shard *shard)
{
    uint64_t limit = shard->overload_settings.memory_bytes_max;
    shard->overload.memory_alarm = limit ? limit / 10 * 9 : UINT64_MAX;
}

static void level_set(struct shard *shard, uint8_t level, const char *why)
{
    struct overload *overload = &shard->overload;
    uint8_t before = overload->level;
    overload->level = level;
    overload->since_ms = shard->now_ms;
    stats_count(&shard->stats.overload_level, (uint64_t)level - before);
    if (level > before) stats_count(&shard->stats.overloads, 1);
    LOG(WARN, level > before ? "shard overloaded" : "shard no longer overloaded", "shard=%u measure=%s because=%s turn_us=%llu memory_bytes=%llu",
        shard->number, level_names[level], why, (unsigned long long)(overload->turn_ns / 1000), (unsigned long long)shard->pool.bytes_used);
    if (level == OVERLOAD_NONE) {
        shard_stop_timer(shard, &overload->timer);
        acceptors_arm(shard);
    } else if (before == OVERLOAD_NONE) {
        acceptors_rest(shard);
        shard_start_timer(shard, &overload->timer, LOOK_AGAIN_MS);
    }
}

static void turn_measure(struct shard *shard)
{
    uint64_t took_ns = shard->group->verbs->monotonic_ns(shard->ring) - shard->now_ns;
    struct overload *overload = &shard->overload;
    overload->turn_ns += (uint64_t)((int64_t)(took_ns - overload->turn_ns) / AVERAGE_WEIGHT);
}

void overload_turn(struct shard *shard)
{
    struct overload *overload = &shard->overload;
    uint64_t turn_limit_ns = shard->overload_settings.turn_us * 1000ull, memory_limit = shard->overload_settings.memory_bytes_max;
    uint64_t used = shard->pool.bytes_used;
    if (turn_limit_ns) turn_measure(shard);
    bool long_turns = turn_limit_ns && overload->turn_ns > turn_limit_ns;
    bool much_memory = memory_limit && used >= memory_limit / 10 * 9, most_memory = memory_limit && used >= memory_limit / 20 * 19;
    const char *why = much_memory ? "memory" : "long_turns";
    if (overload->level == OVERLOAD_NONE) {
        if (long_turns || much_memory) level_set(shard, OVERLOAD_NO_ACCEPT, why);
    } else {
        bool patience = shard->now_ms - overload->since_ms >= WORSE_AFTER_MS;
        bool better = (turn_limit_ns == 0 || overload->turn_ns < turn_limit_ns / 2) && (memory_limit == 0 || used < memory_limit / 10 * 8);
        if (overload->level == OVERLOAD_NO_ACCEPT && (most_memory || (long_turns && patience))) level_set(shard, OVERLOAD_SLOW, why);
        if (better) level_set(shard, OVERLOAD_NONE, "it_got_better");
    }
}
