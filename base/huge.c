#include "base/huge.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/check.h"
#include "base/memory.h"

#ifndef MADV_COLLAPSE /* Linux 6.1; the C library may be older */
#define MADV_COLLAPSE 25
#endif

#define PAUSE_NS 5000000

struct huge_range {
    uintptr_t start, end;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t something, done; /* for the thread; for who forgets the piece at work */
    pthread_t thread;
    struct huge_range *waiting;
    size_t count, capacity;
    uintptr_t piece; /* at work; 0: none */
    size_t pieces;
    bool ends;
    _Atomic bool on; /* looked at first by those that have nothing to say without the thread */
} huge = {.lock = PTHREAD_MUTEX_INITIALIZER, .something = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

/* A collapse copies into a new huge page while who touches the old ones waits. That page is given back zeroed a moment before: so the host has it, and it is
 * likely to be the one the kernel takes. */
static void page_at_hand(void)
{
    uint8_t *both = mmap(NULL, 2 * HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
    if (both == MAP_FAILED) return;
    uint8_t *piece = both + (HUGE_BYTES - (uintptr_t)both % HUGE_BYTES) % HUGE_BYTES;
    if (madvise(piece, HUGE_BYTES, MADV_HUGEPAGE) == 0) *(volatile uint8_t *)piece = 0;
    munmap(both, 2 * HUGE_BYTES);
}

static bool piece_make(void *piece)
{
    if (madvise(piece, HUGE_BYTES, MADV_HUGEPAGE) != 0) return false;
    return madvise(piece, HUGE_BYTES, MADV_COLLAPSE) == 0;
}

/* With the lock. False: nothing waits. */
static bool piece_take(void)
{
    if (huge.count == 0) return false;
    struct huge_range *range = &huge.waiting[huge.count - 1];
    huge.piece = range->start;
    range->start += HUGE_BYTES;
    if (range->start == range->end) huge.count--;
    return true;
}

static void *make(void *argument)
{
    (void)argument;
    pthread_setname_np(pthread_self(), "huge pages");
    pthread_mutex_lock(&huge.lock);
    while (!huge.ends) {
        if (!piece_take()) {
            pthread_cond_wait(&huge.something, &huge.lock);
            continue;
        }
        void *piece = (void *)huge.piece;
        pthread_mutex_unlock(&huge.lock);
        page_at_hand();
        bool made = piece_make(piece);
        pthread_mutex_lock(&huge.lock);
        huge.piece = 0;
        huge.pieces += made;
        pthread_cond_broadcast(&huge.done);
        pthread_mutex_unlock(&huge.lock);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        pthread_mutex_lock(&huge.lock);
    }
    pthread_mutex_unlock(&huge.lock);
    return NULL;
}

/* MADV_COLLAPSE does not ask what the administrator has said. */
static bool system_has_them(void)
{
    char said[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (!file) return false;
    bool read = fgets(said, sizeof said, file) != NULL;
    fclose(file);
    return read && strstr(said, "[never]") == NULL;
}

void huge_begin(void)
{
    CHECK(!atomic_load(&huge.on));
    huge.ends = false;
    if (!system_has_them() || pthread_create(&huge.thread, NULL, make, NULL) != 0) return; /* done without */
    atomic_store(&huge.on, true);
}

void huge_end(void)
{
    if (!atomic_load(&huge.on)) return;
    pthread_mutex_lock(&huge.lock);
    huge.ends = true;
    huge.count = 0;
    pthread_cond_signal(&huge.something);
    pthread_mutex_unlock(&huge.lock);
    pthread_join(huge.thread, NULL);
    atomic_store(&huge.on, false);
    memory_release(huge.waiting);
    huge.waiting = NULL;
    huge.count = huge.capacity = 0;
}

/* ---- what it is told ------------------------------------------------------------------------------------------------- */

/* With the lock. */
static void waiting_add(struct huge_range range)
{
    if (range.start >= range.end) return;
    if (huge.count == huge.capacity) {
        huge.capacity = huge.capacity ? huge.capacity * 2 : 64;
        huge.waiting = memory_resize(huge.waiting, huge.capacity * sizeof *huge.waiting);
    }
    huge.waiting[huge.count++] = range;
}

/* With the lock: what waits of this memory does so no longer. */
static void waiting_drop(struct huge_range gone)
{
    for (size_t i = 0; i < huge.count;) {
        struct huge_range range = huge.waiting[i];
        if (range.end <= gone.start || range.start >= gone.end) {
            i++;
            continue;
        }
        huge.waiting[i] = huge.waiting[--huge.count];
        waiting_add((struct huge_range){range.start, gone.start});
        waiting_add((struct huge_range){gone.end, range.end});
    }
}

static struct huge_range inside(void *start, size_t bytes)
{
    uintptr_t first = ((uintptr_t)start + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1), end = ((uintptr_t)start + bytes) & ~(HUGE_BYTES - 1);
    return (struct huge_range){first, end};
}

void huge_soon(void *start, size_t bytes)
{
    struct huge_range range = inside(start, bytes);
    if (range.start >= range.end || !atomic_load_explicit(&huge.on, memory_order_relaxed)) return;
    pthread_mutex_lock(&huge.lock);
    if (!huge.ends) {
        waiting_drop(range); /* some of it may have waited already */
        waiting_add(range);
        pthread_cond_signal(&huge.something);
    }
    pthread_mutex_unlock(&huge.lock);
}

void huge_forget(void *start, size_t bytes)
{
    struct huge_range range = inside(start, bytes);
    if (range.start >= range.end || !atomic_load_explicit(&huge.on, memory_order_relaxed)) return;
    pthread_mutex_lock(&huge.lock);
    waiting_drop(range);
    while (huge.piece >= range.start && huge.piece < range.end)
        pthread_cond_wait(&huge.done, &huge.lock);
    pthread_mutex_unlock(&huge.lock);
}

size_t huge_pieces(void)
{
    pthread_mutex_lock(&huge.lock);
    size_t pieces = huge.pieces;
    pthread_mutex_unlock(&huge.lock);
    return pieces;
}
