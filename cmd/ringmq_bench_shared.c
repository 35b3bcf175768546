#include "cmd/ringmq_bench_shared.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

/* Numbers a shared subscription's publishers remember, all together: 16 MiB of bits, pages come with use. */
#define GROUP_BITS_ALL (1u << 27)
#define GROUP_WORDS_MIN 64
#define GROUP_WORDS_MAX (1u << 14)

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_SHARED | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static size_t sent_bytes(const struct bench_plan *plan)
{
    return ((size_t)plan->publishers * plan_streams(plan) + 1) * sizeof(_Atomic uint32_t);
}
static size_t delivered_bytes(const struct bench_plan *plan)
{
    return (size_t)plan_workers(plan) * plan->publishers * sizeof(_Atomic uint64_t);
}
static size_t lanes_bytes(const struct bench_plan *plan) { return plan_workers(plan) * sizeof(struct bench_lane); }
static size_t group_bytes(const struct bench_shared *shared)
{
    return ((size_t)shared->plan->publishers * shared->group_words + 1) * sizeof(uint64_t);
}

struct bench_shared *shared_create(const struct bench_plan *plan)
{
    struct bench_shared *shared = map(sizeof *shared);
    shared->plan = plan;
    shared->phase = PHASE_START;
    shared->sent = map(sent_bytes(plan));
    shared->lanes = map(lanes_bytes(plan));
    bool crosses = plan_workers(plan) > 1 && plan->rate == 0 &&
                   (plan->shape == BENCH_FANOUT || plan->shape == BENCH_SHARED || plan->shape == BENCH_WILD);
    if (crosses) shared->delivered = map(delivered_bytes(plan));
    if (plan->shape != BENCH_SHARED) return shared;
    shared->group_words = GROUP_WORDS_MIN;
    while (shared->group_words < GROUP_WORDS_MAX && (uint64_t)shared->group_words * 128 * plan->publishers <= GROUP_BITS_ALL)
        shared->group_words *= 2;
    shared->group_seen = map(group_bytes(shared));
    return shared;
}

void shared_destroy(struct bench_shared *shared)
{
    if (shared->group_seen) munmap(shared->group_seen, group_bytes(shared));
    if (shared->delivered) munmap(shared->delivered, delivered_bytes(shared->plan));
    munmap(shared->lanes, lanes_bytes(shared->plan));
    munmap(shared->sent, sent_bytes(shared->plan));
    munmap(shared, sizeof *shared);
}

void shared_fail(struct bench_shared *shared, uint32_t worker, const char *format, ...)
{
    uint32_t nobody = 0;
    char text[sizeof shared->failure];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    static _Atomic uint32_t telling; /* of this process */
    if (atomic_exchange(&telling, 1) || shared_failed(shared)) return;
    memcpy(shared->failure, text, sizeof text);
    atomic_compare_exchange_strong(&shared->failed, &nobody, 1 + worker);
}
