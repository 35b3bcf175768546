#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/huge.h"

void *memory_acquire(size_t bytes)
{
    void *block = malloc(bytes ? bytes : 1);
    CHECK(block != NULL);
    return block;
}

void *memory_acquire_zeroed(size_t bytes)
{
    void *block = calloc(1, bytes ? bytes : 1);
    CHECK(block != NULL);
    return block;
}

void *memory_resize(void *block, size_t bytes)
{
    void *resized = realloc(block, bytes ? bytes : 1);
    CHECK(resized != NULL);
    return resized;
}

void memory_release(void *block) { free(block); }

char *memory_copy_string(struct span text)
{
    char *copy = memory_acquire(text.bytes + 1);
    if (text.bytes) memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = 0;
    return copy;
}

static size_t rounded_up(size_t alignment, size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

void *memory_acquire_aligned_raw(size_t alignment, size_t bytes)
{
    void *block = aligned_alloc(alignment, rounded_up(alignment, bytes));
    CHECK(block != NULL);
    return block;
}

void *memory_acquire_aligned(size_t alignment, size_t bytes)
{
    return memset(memory_acquire_aligned_raw(alignment, bytes), 0, rounded_up(alignment, bytes));
}

static void *pages_map(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    CHECK(pages != MAP_FAILED);
    return pages;
}

/* A large one begins where a huge page can. */
void *memory_acquire_pages(size_t bytes)
{
    if (bytes < HUGE_BYTES) return pages_map(bytes);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *around = pages_map(whole + HUGE_BYTES);
    size_t before = (HUGE_BYTES - (uintptr_t)around % HUGE_BYTES) % HUGE_BYTES;
    if (before) munmap(around, before);
    munmap(around + before + whole, HUGE_BYTES - before);
    return around + before;
}

void memory_release_pages(void *pages, size_t bytes)
{
    if (!pages) return;
    huge_forget(pages, bytes);
    CHECK(munmap(pages, bytes) == 0);
}

void *memory_resize_pages(void *pages, size_t old_bytes, size_t bytes)
{
    if (!pages) return memory_acquire_pages(bytes);
    huge_forget(pages, old_bytes);
    if (old_bytes >= HUGE_BYTES) madvise(pages, old_bytes, MADV_NOHUGEPAGE); /* one mapping again, where some pieces were made huge: only such moves. They stay huge */
    void *resized = mremap(pages, old_bytes, bytes, MREMAP_MAYMOVE);
    if (resized != MAP_FAILED) return resized;
    resized = memory_acquire_pages(bytes);
    memcpy(resized, pages, old_bytes < bytes ? old_bytes : bytes);
    memory_release_pages(pages, old_bytes);
    return resized;
}

#define TABLE_PAGES_BYTES (64 * 1024)

void *memory_acquire_table(size_t bytes)
{
    return bytes >= TABLE_PAGES_BYTES ? memory_acquire_pages(bytes) : memory_acquire_zeroed(bytes);
}

void memory_release_table(void *table, size_t bytes)
{
    if (bytes >= TABLE_PAGES_BYTES)
        memory_release_pages(table, bytes);
    else
        memory_release(table);
}
