#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/huge.h"
#include "base/memory.h"

#define PIECES 4
#define WORDS (PIECES * HUGE_BYTES / sizeof(uint64_t))

static void moment(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

static bool there_are_huge_pages(void)
{
    char said[64] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    if (!file) return false;
    bool read = fgets(said, sizeof said, file) != NULL;
    fclose(file);
    return read && !strstr(said, "[never]");
}

/* One thread counts every word up, round after round, while the pages are exchanged under it. */
struct counter {
    _Atomic uint64_t *words;
    _Atomic uint64_t rounds;
    _Atomic bool ends;
};

static void *count_up(void *context)
{
    struct counter *counter = context;
    while (!atomic_load(&counter->ends)) {
        for (size_t i = 0; i < WORDS; i += 64)
            atomic_store_explicit(&counter->words[i], atomic_load_explicit(&counter->words[i], memory_order_relaxed) + 1, memory_order_relaxed);
        atomic_fetch_add(&counter->rounds, 1);
    }
    return NULL;
}

Test(huge, exchanges_pages_under_who_writes_and_loses_nothing, .timeout = 120)
{
    struct counter counter = {.words = memory_acquire_pages(WORDS * sizeof(uint64_t))};
    pthread_t thread;
    cr_assert_eq((uintptr_t)counter.words % HUGE_BYTES, 0, "begins where a huge page can");
    cr_assert_eq(pthread_create(&thread, NULL, count_up, &counter), 0);
    while (atomic_load(&counter.rounds) < 2)
        moment();
    size_t before = huge_pieces();
    huge_soon((void *)counter.words, WORDS * sizeof(uint64_t)); /* nobody is there to do it */
    huge_begin();
    huge_soon((void *)counter.words, WORDS * sizeof(uint64_t));
    huge_soon((void *)counter.words, 2 * HUGE_BYTES); /* again: once is enough */
    for (int i = 0; i < 5000 && there_are_huge_pages() && huge_pieces() - before < PIECES; i++)
        moment(); /* where there are too few of them it stays with fewer */
    uint64_t rounds = atomic_load(&counter.rounds);
    while (atomic_load(&counter.rounds) < rounds + 2)
        moment();
    huge_end();
    atomic_store(&counter.ends, true);
    pthread_join(thread, NULL);
    cr_expect_leq(huge_pieces() - before, PIECES);
    for (size_t i = 0; i < WORDS; i++)
        cr_assert_eq(counter.words[i], i % 64 ? 0 : counter.rounds, "word %zu", i);
    memory_release_pages((void *)counter.words, WORDS * sizeof(uint64_t));
}

/* The system moves a mapping as a whole: pieces with other properties than the rest are no reason to lose it. */
Test(huge, what_cannot_be_moved_is_copied)
{
    char *pages = memory_acquire_pages(3 * HUGE_BYTES);
    memset(pages, 7, 3 * HUGE_BYTES);
    cr_assert_eq(madvise(pages + HUGE_BYTES, HUGE_BYTES, MADV_DONTDUMP), 0);
    char *resized = memory_resize_pages(pages, 3 * HUGE_BYTES, 4 * HUGE_BYTES);
    for (size_t at = 0; at < 3 * HUGE_BYTES; at += 1024)
        cr_assert_eq(resized[at], 7);
    cr_assert_eq(resized[4 * HUGE_BYTES - 1], 0);
    memory_release_pages(resized, 4 * HUGE_BYTES);
}

/* What is forgotten is never touched again, whether it waits or is at work: then its place may be anybody's. */
Test(huge, what_is_forgotten_may_go_at_any_time, .timeout = 120)
{
    huge_begin();
    for (int i = 0; i < 200; i++) {
        char *pages = memory_acquire_pages(3 * HUGE_BYTES + 4096);
        memset(pages, i, 3 * HUGE_BYTES);
        huge_soon(pages, 3 * HUGE_BYTES + 4096);
        if (i % 3 == 0) moment();
        if (i % 2) { /* the middle stays forgotten when it moves */
            huge_forget(pages + HUGE_BYTES, HUGE_BYTES);
            pages = memory_resize_pages(pages, 3 * HUGE_BYTES + 4096, 6 * HUGE_BYTES);
            for (size_t at = 0; at < 3 * HUGE_BYTES; at += 4096)
                cr_assert_eq((unsigned char)pages[at], (unsigned char)i);
            cr_assert_eq(pages[6 * HUGE_BYTES - 1], 0);
        }
        memory_release_pages(pages, (i % 2 ? 6 * HUGE_BYTES : 3 * HUGE_BYTES + 4096));
    }
    huge_end();
    huge_end();
    huge_begin();
    huge_end();
}
