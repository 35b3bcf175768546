#include "store/reserve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"

struct reserve {
    struct reserve_config config;
    pthread_mutex_t lock; /* of a look, and of `shelf` */
    const struct shelf *shelf;
    int trouble;          /* of the last look */
    _Atomic bool full;
    _Atomic uint64_t free_bytes, reserve_bytes;
    _Atomic uint64_t spares_bytes, log_bytes[SHARDS_MAX];
};

struct reserve *reserve_create(const struct reserve_config *config)
{
    struct reserve *reserve = memory_acquire_zeroed(sizeof *reserve);
    reserve->config = *config;
    pthread_mutex_init(&reserve->lock, NULL);
    return reserve;
}

void reserve_destroy(struct reserve *reserve)
{
    if (!reserve) return;
    pthread_mutex_destroy(&reserve->lock);
    memory_release(reserve);
}

void reserve_use_shelf(struct reserve *reserve, const struct shelf *shelf)
{
    if (!reserve) return;
    pthread_mutex_lock(&reserve->lock);
    reserve->shelf = shelf;
    pthread_mutex_unlock(&reserve->lock);
}

void reserve_note_log(struct reserve *reserve, uint32_t shard, uint64_t bytes)
{
    if (reserve) atomic_store_explicit(&reserve->log_bytes[shard], bytes, memory_order_relaxed);
}

void reserve_note_spares(struct reserve *reserve, uint32_t count)
{
    if (reserve) atomic_store_explicit(&reserve->spares_bytes, count * reserve->config.segment_bytes, memory_order_relaxed);
}

/* ---- how much ----------------------------------------------------------------------------------------------------- */

static uint64_t log_needs(const struct reserve *reserve)
{
    uint64_t needed = 0, spares = atomic_load_explicit(&reserve->spares_bytes, memory_order_relaxed);
    for (uint32_t s = 0; s < reserve->config.shards_count; s++) {
        uint64_t lives = atomic_load_explicit(&reserve->log_bytes[s], memory_order_relaxed);
        needed += reserve->config.segment_bytes + lives + lives / 4; /* a quarter: ends of segments, and what comes while it is written */
    }
    return needed > spares ? needed - spares : 0;
}

static uint64_t needed_now(const struct reserve *reserve)
{
    if (reserve->config.bytes != RESERVE_AUTO) return reserve->config.bytes;
    return log_needs(reserve) + (reserve->shelf ? reserve->shelf->needs(reserve->shelf->context) : 0);
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

static void tell(const struct reserve *reserve, bool full, uint64_t free_bytes, uint64_t needed)
{
    unsigned long long free_mib = free_bytes >> 20, needed_mib = (needed + (1 << 20) - 1) >> 20;
    if (full)
        LOG(ERROR, "the store is full", "path=%s free_mib=%llu reserve_mib=%llu what=\"messages, subscriptions and sessions that must be durable are refused; what is "
            "there can be taken and deleted. Make room on this filesystem (or set durability.disk_reserve, if it is more than the store needs)\"",
            log_quoted(span_of_string(reserve->config.path)), free_mib, needed_mib);
    else
        LOG(NOTICE, "the store has room again", "path=%s free_mib=%llu reserve_mib=%llu", log_quoted(span_of_string(reserve->config.path)), free_mib, needed_mib);
}

static bool look(struct reserve *reserve)
{
    uint64_t free_bytes;
    bool before = atomic_load_explicit(&reserve->full, memory_order_relaxed);
    int error = reserve->config.files->room(reserve->config.files->context, &free_bytes);
    if (error) { /* nobody can say: as before */
        if (error != reserve->trouble)
            LOG(ERROR, "the store cannot ask how much room its disk has", "path=%s error=\"%s\" what=\"it goes on as if nothing had changed\"",
                log_quoted(span_of_string(reserve->config.path)), strerror(-error));
        reserve->trouble = error;
        return before;
    }
    reserve->trouble = 0;
    uint64_t needed = needed_now(reserve);
    bool full = free_bytes < (before ? needed + needed / 8 : needed);
    atomic_store_explicit(&reserve->free_bytes, free_bytes, memory_order_relaxed);
    atomic_store_explicit(&reserve->reserve_bytes, needed, memory_order_relaxed);
    atomic_store_explicit(&reserve->full, full, memory_order_relaxed);
    if (full != before) tell(reserve, full, free_bytes, needed);
    return full;
}

bool reserve_look(struct reserve *reserve)
{
    if (!reserve || !reserve->config.files->room || reserve->config.bytes == 0) return false;
    pthread_mutex_lock(&reserve->lock);
    bool full = look(reserve);
    pthread_mutex_unlock(&reserve->lock);
    return full;
}

bool reserve_full(const struct reserve *reserve) { return reserve && atomic_load_explicit(&reserve->full, memory_order_relaxed); }

void reserve_report(const struct reserve *reserve, struct reserve_report *ret_report)
{
    *ret_report = (struct reserve_report){0};
    if (!reserve) return;
    ret_report->full = reserve_full(reserve);
    ret_report->free_bytes = atomic_load_explicit(&reserve->free_bytes, memory_order_relaxed);
    ret_report->reserve_bytes = atomic_load_explicit(&reserve->reserve_bytes, memory_order_relaxed);
}
