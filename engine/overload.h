/* overload.h - a shard that is asked for more than it can do: it stops accepting connections first, then reads publishers more slowly.
 *
 * Two measures: how long turns take on average (settings->overload.turn_us), and what the shard's pool has handed out
 * (overload.memory_bytes_max). Each change of level is logged and counted. Threads: the shard's. */
#ifndef RINGMQ_ENGINE_OVERLOAD_H
#define RINGMQ_ENGINE_OVERLOAD_H

#include "base/wheel.h"

struct shard;

enum overload_level {
    OVERLOAD_NONE,
    OVERLOAD_NO_ACCEPT, /* new connections wait in the kernel */
    OVERLOAD_SLOW       /* and whoever publishes is paused for mqtt.pause after each packet */
};

struct overload {
    uint8_t level;          /* enum overload_level */
    uint64_t turn_ns;       /* moving average */
    uint64_t since_ms;      /* of this level */
    uint64_t memory_alarm;  /* of the pool: look at once; UINT64_MAX: memory has no limit */
    struct timer timer;     /* looks again while overloaded, also when nothing happens */
};

void overload_init(struct shard *shard);
/* New settings: shard->overload_settings. */
void overload_configure(struct shard *shard);
/* At the end of a turn that began at shard->now_ns, when overload_looks(). */
void overload_turn(struct shard *shard);

#define OVERLOAD_LOOK_TURNS       16  /* every so often: reading a clock costs about as much as 1 % of the shortest turn */
#define OVERLOAD_LOOK_COMPLETIONS 256 /* a turn with so many may be long */

static inline bool overload_looks(const struct overload *overload, uint64_t turns, uint32_t completions, uint64_t pool_bytes)
{
    return overload->level != OVERLOAD_NONE || turns % OVERLOAD_LOOK_TURNS == 0 || completions >= OVERLOAD_LOOK_COMPLETIONS ||
           pool_bytes >= overload->memory_alarm;
}

#endif
