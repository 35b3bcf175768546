/* ringmq_bench_track.h - counting exactly what became of numbered messages.
 *
 * A track follows one stream at one receiver: numbers 0, 1, 2 … in that order. It keeps the next number and which of the 64
 * before it have come:
 *
 *     number    = next: as it should be         > next: those between are missing (they may still come)
 *     number    < next, not seen yet: late, so out of order, and no longer missing
 *     number    < next, seen: a repetition. Of a number that far back that nobody remembers, repetition is assumed; if it was a
 *               missing one it counts as lost and repeated: two faults where there was one, never none.
 *
 * A group follows one stream of which several receivers see a part each (a shared subscription): a ring of bits over the last
 * GROUP numbers; the sender clears what it is about to reuse and counts what never came.
 *
 * Threads: a track has one; a group's receivers may be many (bits are set atomically), its sender is one. */
#ifndef RINGMQ_CMD_BENCH_TRACK_H
#define RINGMQ_CMD_BENCH_TRACK_H

#include <stdatomic.h>
#include <stdint.h>

enum track_verdict { TRACK_FRESH, TRACK_LATE, TRACK_REPEATED };

struct track {
    uint64_t seen; /* bit i: number next - 1 - i has come */
    uint32_t next;
};

/* `missing` grows by what was skipped and shrinks by what comes late. */
static inline enum track_verdict track_take(struct track *track, uint32_t number, int64_t *missing)
{
    if (__builtin_expect(number >= track->next, 1)) {
        uint32_t steps = number - track->next + 1;
        *missing += steps - 1;
        track->seen = (steps < 64 ? track->seen << steps : 0) | 1;
        track->next = number + 1;
        return TRACK_FRESH;
    }
    uint32_t back = track->next - 1 - number;
    if (back >= 64 || track->seen >> back & 1) return TRACK_REPEATED;
    track->seen |= 1ull << back;
    --*missing;
    return TRACK_LATE;
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

/* `words` (a power of two) × 64 numbers are remembered. */
struct group {
    _Atomic uint64_t *seen;
    uint32_t words;
};

/* The sender, before it sends `number`. Returns how many of the numbers whose bits are reused never came. */
static inline uint32_t group_send(const struct group *group, uint32_t number)
{
    if (number % 64) return 0;
    uint64_t old = atomic_exchange_explicit(&group->seen[number / 64 % group->words], 0, memory_order_relaxed);
    return number / 64 < group->words ? 0 : 64 - (uint32_t)__builtin_popcountll(old);
}

/* A receiver. `sent`: how many the sender has sent by now (or a little earlier). Late: its bit is the next round's already; it
 * was counted as lost. */
static inline enum track_verdict group_take(const struct group *group, uint32_t number, uint32_t sent)
{
    if ((uint64_t)number + 64 * ((uint64_t)group->words - 1) < sent) return TRACK_LATE;
    uint64_t bit = 1ull << number % 64;
    uint64_t old = atomic_fetch_or_explicit(&group->seen[number / 64 % group->words], bit, memory_order_relaxed);
    return old & bit ? TRACK_REPEATED : TRACK_FRESH;
}

/* At the end: how many of the numbers still remembered never came. */
static inline uint32_t group_missing(const struct group *group, uint32_t sent)
{
    uint32_t missing = 0;
    uint32_t first = sent > 64 * group->words ? (sent - 1) / 64 * 64 - 64 * (group->words - 1) : 0;
    for (uint32_t number = first; number < sent; number++)
        missing += !(atomic_load_explicit(&group->seen[number / 64 % group->words], memory_order_relaxed) >> number % 64 & 1);
    return missing;
}

#endif
