#include "features/protect/flapping.h"

#include "base/memory.h"

#define WAYS 4

struct entry {
    uint64_t client_hash; /* 0: free */
    uint64_t began_ms;    /* of the window */
    uint64_t seen_ms;
    uint32_t count;
};

struct flapping {
    struct entry entries[FLAPPING_ENTRIES];
};

struct flapping *flapping_create(void) { return memory_acquire_zeroed(sizeof(struct flapping)); }
void flapping_release(struct flapping *flapping) { memory_release(flapping); }

static struct entry *entry_for(struct flapping *flapping, uint64_t client_hash)
{
    struct entry *row = &flapping->entries[client_hash % (FLAPPING_ENTRIES / WAYS) * WAYS], *oldest = row;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (row[i].client_hash == client_hash) return &row[i];
        if (row[i].seen_ms < oldest->seen_ms) oldest = &row[i];
    }
    *oldest = (struct entry){.client_hash = client_hash};
    return oldest;
}

bool flapping_note(struct flapping *flapping, uint64_t client_hash, uint64_t now_ms, uint64_t window_ms, uint32_t max_count)
{
    struct entry *entry = entry_for(flapping, client_hash ? client_hash : 1);
    if (entry->count == 0 || now_ms - entry->began_ms > window_ms) {
        entry->began_ms = now_ms;
        entry->count = 0;
    }
    entry->seen_ms = now_ms;
    if (++entry->count < max_count) return false;
    entry->count = 0;
    return true;
}
