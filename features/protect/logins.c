#include "features/protect/logins.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

struct login_entry {
    uint8_t address[16];
    uint64_t began_ms; /* of the window; 0: free */
    uint64_t until_ms; /* refused until then; 0: not */
    uint32_t failures;
};

#define ROWS (LOGINS_ENTRIES / LOGINS_WAYS)

void logins_init(struct logins *logins)
{
    *logins = (struct logins){.entries = NULL};
    for (uint32_t i = 0; i < LOGINS_LOCKS; i++)
        pthread_mutex_init(&logins->locks[i], NULL);
}

void logins_release(struct logins *logins)
{
    memory_release(logins->entries);
    for (uint32_t i = 0; i < LOGINS_LOCKS; i++)
        pthread_mutex_destroy(&logins->locks[i]);
}

void logins_switch_on(struct logins *logins)
{
    if (!logins->entries) logins->entries = memory_acquire_zeroed(LOGINS_ENTRIES * sizeof *logins->entries);
}

/* What counts together. */
static void key_of(const uint8_t address[16], uint8_t ret_key[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    memcpy(ret_key, address, 16);
    if (memcmp(address, mapped, 12) != 0) memset(ret_key + 8, 0, 8);
}

static uint32_t row_of(const uint8_t key[16]) { return (uint32_t)(hash_span(span_of(key, 16)) % ROWS); }

static pthread_mutex_t *lock_of(struct logins *logins, uint32_t row) { return &logins->locks[row % LOGINS_LOCKS]; }

static struct login_entry *find(struct logins *logins, uint32_t row, const uint8_t key[16])
{
    struct login_entry *entries = &logins->entries[(size_t)row * LOGINS_WAYS];
    for (uint32_t i = 0; i < LOGINS_WAYS; i++)
        if (entries[i].began_ms && memcmp(entries[i].address, key, 16) == 0) return &entries[i];
    return NULL;
}

static void forget(struct logins *logins, struct login_entry *entry)
{
    if (!entry->began_ms) return;
    if (entry->until_ms) atomic_fetch_sub(&logins->blocked, 1);
    atomic_fetch_sub(&logins->used, 1);
    *entry = (struct login_entry){.began_ms = 0};
}

/* A place: a free one, else the oldest that is not blocked, else the block that ends first. */
static struct login_entry *place(struct logins *logins, uint32_t row)
{
    struct login_entry *entries = &logins->entries[(size_t)row * LOGINS_WAYS], *best = entries;
    for (uint32_t i = 0; i < LOGINS_WAYS; i++) {
        struct login_entry *entry = &entries[i];
        if (!entry->began_ms) return entry;
        bool better = entry->until_ms != best->until_ms ? entry->until_ms < best->until_ms : entry->began_ms < best->began_ms;
        if (better) best = entry;
    }
    forget(logins, best);
    return best;
}

bool logins_failed(struct logins *logins, const uint8_t address[16], const struct login_rules *rules, uint64_t now_ms)
{
    uint8_t key[16];
    key_of(address, key);
    uint32_t row = row_of(key);
    pthread_mutex_lock(lock_of(logins, row));
    struct login_entry *entry = find(logins, row, key);
    bool over = entry && !entry->until_ms && now_ms - entry->began_ms > rules->window_ms;
    if (!entry) {
        entry = place(logins, row);
        memcpy(entry->address, key, 16);
        atomic_fetch_add(&logins->used, 1);
    }
    if (over || !entry->began_ms) {
        entry->began_ms = now_ms ? now_ms : 1;
        entry->failures = 0;
    }
    bool blocks = ++entry->failures >= rules->max_failures && !entry->until_ms;
    if (blocks) {
        entry->until_ms = now_ms + rules->ban_ms;
        atomic_fetch_add(&logins->blocked, 1);
    }
    pthread_mutex_unlock(lock_of(logins, row));
    return blocks;
}

bool logins_refused(struct logins *logins, const uint8_t address[16], uint64_t now_ms)
{
    if (atomic_load_explicit(&logins->blocked, memory_order_relaxed) == 0) return false;
    uint8_t key[16];
    key_of(address, key);
    uint32_t row = row_of(key);
    pthread_mutex_lock(lock_of(logins, row));
    struct login_entry *entry = find(logins, row, key);
    bool refused = entry && entry->until_ms > now_ms;
    if (entry && entry->until_ms && !refused) forget(logins, entry);
    pthread_mutex_unlock(lock_of(logins, row));
    return refused;
}

void logins_sweep(struct logins *logins, const struct login_rules *rules, uint64_t now_ms, uint32_t *cursor, uint32_t count)
{
    for (uint32_t i = 0; i < count && atomic_load(&logins->used); i++) {
        uint32_t row = *cursor = (*cursor + 1) % ROWS;
        pthread_mutex_lock(lock_of(logins, row));
        for (uint32_t w = 0; w < LOGINS_WAYS; w++) {
            struct login_entry *entry = &logins->entries[(size_t)row * LOGINS_WAYS + w];
            bool over = entry->until_ms ? entry->until_ms <= now_ms : now_ms - entry->began_ms > rules->window_ms;
            if (over) forget(logins, entry);
        }
        pthread_mutex_unlock(lock_of(logins, row));
    }
}
