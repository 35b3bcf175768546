#include "base/regions.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/bell.h"
#include "base/check.h"
#include "base/huge.h"

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; the C library may be older */
#define MADV_POPULATE_WRITE 23
#endif

#define READY_MAX 16

static struct {
    _Atomic(uint8_t *) ready[READY_MAX];
    uint32_t ready_max;     /* 0: there is no thread */
    _Atomic bool wanted;    /* somebody has asked: from now on some lie ready */
    _Atomic bool ends;
    pthread_t thread;
    struct bell bell;
} regions = {.bell = BELL_CLOSED};

static uint8_t *region_map(void)
{
    uint8_t *both = mmap(NULL, 2 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    CHECK(both != MAP_FAILED);
    size_t before = (REGION_BYTES - (uintptr_t)both % REGION_BYTES) % REGION_BYTES;
    if (before) munmap(both, before);
    if (before < REGION_BYTES) munmap(both + before + REGION_BYTES, REGION_BYTES - before);
    return both + before;
}

void regions_give_back(uint8_t *region)
{
    huge_forget(region, REGION_BYTES);
    munmap(region, REGION_BYTES);
}

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

static uint8_t *region_prepare(void)
{
    uint8_t *region = region_map();
    madvise(region, REGION_BYTES, MADV_HUGEPAGE);
    if (madvise(region, REGION_BYTES, MADV_POPULATE_WRITE) != 0) *(volatile uint8_t *)region = 0; /* an older kernel: the huge page comes at a touch */
    return region;
}

/* False: nothing was missing. */
static bool refill(void)
{
    if (!atomic_load(&regions.wanted)) return false;
    for (uint32_t i = 0; i < regions.ready_max; i++) {
        if (atomic_load(&regions.ready[i])) continue;
        atomic_store(&regions.ready[i], region_prepare()); /* pairs: regions_take() */
        return true;
    }
    return false;
}

static void *prepare(void *argument)
{
    pthread_setname_np(pthread_self(), "memory");
    struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    while (!atomic_load(&regions.ends)) {
        if (refill()) continue;
        bell_sleep(&regions.bell);
        struct pollfd look = {.fd = regions.bell.fd, .events = POLLIN};
        bool again = refill();
        if (!again && !atomic_load(&regions.ends)) poll(&look, 1, -1);
        bell_awake(&regions.bell);
    }
    return NULL;
}

void regions_begin(uint32_t shards)
{
    CHECK(regions.ready_max == 0);
    if (!bell_open(&regions.bell)) return; /* no descriptor left: who takes a region touches it */
    regions.ready_max = shards < READY_MAX ? shards : READY_MAX;
    atomic_store(&regions.ends, false);
    if (pthread_create(&regions.thread, NULL, prepare, NULL) == 0) return;
    regions.ready_max = 0; /* no thread left: the same */
    bell_close(&regions.bell);
}

void regions_end(void)
{
    if (regions.ready_max == 0) return;
    atomic_store(&regions.ends, true);
    bell_ring(&regions.bell);
    pthread_join(regions.thread, NULL);
    for (uint32_t i = 0; i < regions.ready_max; i++) {
        uint8_t *region = atomic_exchange(&regions.ready[i], NULL);
        if (region) regions_give_back(region);
    }
    regions.ready_max = 0;
    atomic_store(&regions.wanted, false);
    bell_close(&regions.bell);
}

/* ---- taking ---------------------------------------------------------------------------------------------------------- */

static uint8_t *ready_take(void)
{
    atomic_store(&regions.wanted, true);
    for (uint32_t i = 0; i < regions.ready_max; i++) {
        uint8_t *region = atomic_load(&regions.ready[i]) ? atomic_exchange(&regions.ready[i], NULL) : NULL;
        if (!region) continue;
        bell_ring(&regions.bell);
        return region;
    }
    bell_ring(&regions.bell);
    return NULL;
}

uint8_t *regions_take(bool huge)
{
    bool prepared = huge && regions.ready_max;
    uint8_t *region = prepared ? ready_take() : NULL;
    if (region) return region;
    region = region_map();
    madvise(region, REGION_BYTES, huge && !prepared ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return region;
}
