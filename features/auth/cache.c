/* cache.c - see cache.h. */
#include "features/auth/cache.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "features/auth/encode.h"

#define STRIPES 16

struct entry {
    struct list link; /* in the stripe's */
    bool allows;
    uint8_t key[AUTH_KEY_BYTES];
    uint64_t until_ms, epoch;
    struct auth_answer *answer;
    uint64_t user_hash; /* of the user's name */
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct map by_key;
    struct list kept[2]; /* oldest first: refusals, and the others */
    uint32_t counts[2];
};

struct auth_cache {
    uint8_t secret[32];
    uint64_t seed;
    atomic_uint ttl_ms, negative_ttl_ms, entries_max, count;
    _Atomic uint64_t generation;
    struct stripe stripes[STRIPES];
};

static _Atomic uint64_t epoch; /* of the users: entries of an older one count no more */

static struct span key_of(const void *value) { return span_of(((const struct entry *)value)->key, AUTH_KEY_BYTES); }

struct auth_cache *auth_cache_create(void)
{
    struct auth_cache *cache = memory_acquire_aligned(64, sizeof *cache);
    CHECK(getrandom(cache->secret, sizeof cache->secret, 0) == sizeof cache->secret);
    CHECK(getrandom(&cache->seed, sizeof cache->seed, 0) == sizeof cache->seed);
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&cache->stripes[i].lock, NULL);
        map_init(&cache->stripes[i].by_key, key_of);
        list_init(&cache->stripes[i].kept[false]);
        list_init(&cache->stripes[i].kept[true]);
    }
    uint8_t key[AUTH_KEY_BYTES]; /* libcrypto reads its configuration when first used: not on a shard */
    auth_cache_key(cache, &(struct auth_query){0}, key);
    return cache;
}

/* The stripe is locked. */
static void drop(struct auth_cache *cache, struct stripe *stripe, struct entry *entry)
{
    map_remove(&stripe->by_key, key_of(entry));
    list_remove(&entry->link);
    stripe->counts[entry->allows]--;
    auth_answer_release(entry->answer);
    memory_release(entry);
    atomic_fetch_sub_explicit(&cache->count, 1, memory_order_relaxed);
}

void auth_cache_release(struct auth_cache *cache)
{
    if (!cache) return;
    auth_cache_purge(cache, span_of(NULL, 0));
    for (int i = 0; i < STRIPES; i++) {
        map_free(&cache->stripes[i].by_key);
        pthread_mutex_destroy(&cache->stripes[i].lock);
    }
    secret_wipe(cache->secret, sizeof cache->secret);
    memory_release(cache);
}

void auth_cache_configure(struct auth_cache *cache, uint32_t ttl_ms, uint32_t negative_ttl_ms, uint32_t entries_max)
{
    atomic_store(&cache->ttl_ms, ttl_ms);
    atomic_store(&cache->negative_ttl_ms, negative_ttl_ms);
    atomic_store(&cache->entries_max, entries_max);
}

void auth_cache_outdate(void) { atomic_fetch_add(&epoch, 1); }
/* Both only grow, so the sum is the same only if both are. */
uint64_t auth_cache_generation(const struct auth_cache *cache) { return atomic_load(&cache->generation) + atomic_load(&epoch); }
uint32_t auth_cache_count(const struct auth_cache *cache) { return atomic_load(&cache->count); }

/* Each piece with its length before it, so that no two queries make one text. */
static void add(struct auth_text *text, struct span piece)
{
    uint32_t bytes = (uint32_t)piece.bytes;
    auth_text_add(text, span_of(&bytes, sizeof bytes));
    auth_text_add(text, piece);
}

void auth_cache_key(const struct auth_cache *cache, const struct auth_query *query, uint8_t ret_key[AUTH_KEY_BYTES])
{
    struct auth_text text = {0};
    uint8_t flags = (uint8_t)(query->has_user_name | query->has_password << 1 | query->certified << 2);
    add(&text, span_of(&flags, 1));
    add(&text, query->user_name);
    add(&text, query->password);
    add(&text, query->client_id);
    add(&text, query->peer_host);
    add(&text, query->listener);
    add(&text, query->certificate_cn);
    add(&text, query->certificate_dn);
    for (uint32_t i = 0; i < query->attributes_count; i++) {
        add(&text, query->attributes[i].name);
        add(&text, query->attributes[i].value);
    }
    unsigned bytes = AUTH_KEY_BYTES;
    CHECK(HMAC(EVP_sha256(), cache->secret, sizeof cache->secret, (const uint8_t *)text.data, text.bytes, ret_key, &bytes));
    auth_text_release(&text);
}

static struct stripe *stripe_of(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES]) { return &cache->stripes[key[0] % STRIPES]; }

static struct auth_answer *find_locked(struct auth_cache *cache, struct stripe *stripe, const uint8_t key[AUTH_KEY_BYTES], uint64_t now_ms)
{
    struct entry *entry = map_find(&stripe->by_key, span_of(key, AUTH_KEY_BYTES));
    if (!entry) return NULL;
    if (entry->until_ms > now_ms && entry->epoch == atomic_load(&epoch) && (!entry->answer->expires_s || entry->answer->expires_s > auth_unix_s())) return auth_answer_share(entry->answer);
    drop(cache, stripe, entry);
    return NULL;
}

struct auth_answer *auth_cache_find(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], uint64_t now_ms)
{
    struct stripe *stripe = stripe_of(cache, key);
    pthread_mutex_lock(&stripe->lock);
    struct auth_answer *answer = find_locked(cache, stripe, key, now_ms);
    pthread_mutex_unlock(&stripe->lock);
    return answer;
}

struct auth_answer *auth_cache_find_quick(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], uint64_t now_ms)
{
    struct stripe *stripe = stripe_of(cache, key);
    if (pthread_mutex_trylock(&stripe->lock) != 0) return NULL;
    struct auth_answer *answer = find_locked(cache, stripe, key, now_ms);
    pthread_mutex_unlock(&stripe->lock);
    return answer;
}

void auth_cache_put(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], struct span user_name, struct auth_answer *answer, uint64_t generation,
                    uint64_t now_ms)
{
    uint32_t ttl_ms = atomic_load(answer->verdict == AUTH_ALLOW ? &cache->ttl_ms : &cache->negative_ttl_ms);
    bool allows = answer->verdict == AUTH_ALLOW;
    uint32_t parts = allows ? STRIPES : STRIPES * 4, room = (atomic_load(&cache->entries_max) + parts - 1) / parts;
    if (ttl_ms == 0 || room == 0 || !answer->cacheable) return;
    struct stripe *stripe = stripe_of(cache, key);
    pthread_mutex_lock(&stripe->lock);
    if (auth_cache_generation(cache) != generation) {
        pthread_mutex_unlock(&stripe->lock);
        return;
    }
    struct entry *entry = map_find(&stripe->by_key, span_of(key, AUTH_KEY_BYTES));
    if (entry) drop(cache, stripe, entry);
    for (struct list *oldest; (oldest = list_first(&stripe->kept[allows]));) {
        struct entry *old = CONTAINER_OF(oldest, struct entry, link);
        if (old->until_ms > now_ms && stripe->counts[allows] < room) break;
        drop(cache, stripe, old);
    }
    entry = memory_acquire_zeroed(sizeof *entry);
    memcpy(entry->key, key, AUTH_KEY_BYTES);
    entry->until_ms = now_ms + ttl_ms;
    entry->epoch = generation - atomic_load(&cache->generation);
    entry->answer = auth_answer_share(answer);
    entry->user_hash = hash_span_seeded(user_name, cache->seed);
    map_insert(&stripe->by_key, entry);
    entry->allows = allows;
    list_append(&stripe->kept[allows], &entry->link);
    stripe->counts[allows]++;
    atomic_fetch_add_explicit(&cache->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&stripe->lock);
}

uint32_t auth_cache_purge(struct auth_cache *cache, struct span user_name)
{
    uint32_t gone = 0;
    uint64_t user_hash = hash_span_seeded(user_name, cache->seed);
    atomic_fetch_add(&cache->generation, 1);
    for (int i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &cache->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        for (int allows = 0; allows < 2; allows++)
            LIST_FOR_EACH(link, &stripe->kept[allows])
            {
                struct entry *entry = CONTAINER_OF(link, struct entry, link);
                if (user_name.bytes && entry->user_hash != user_hash) continue;
                drop(cache, stripe, entry);
                gone++;
            }
        pthread_mutex_unlock(&stripe->lock);
    }
    return gone;
}

/* ---- failed logins per address ---------------------------------------------------------------------------------- */

#define SLOTS 65536
#define WAYS  4

/* tag:20 | when the last failure will have leaked away:44 (sixteenths of a millisecond: 35 years). A failure puts that off by the time that one takes to leak, so
 * nothing is ever rounded, however often an address comes. 0: free. */
struct auth_throttle {
    uint64_t seed;
    _Atomic uint64_t slots[SLOTS];
};

#define TIME_BITS   44
#define TICKS_A_MS  16u

struct auth_throttle *auth_throttle_create(void)
{
    struct auth_throttle *throttle = memory_acquire_aligned(64, sizeof *throttle);
    CHECK(getrandom(&throttle->seed, sizeof throttle->seed, 0) == sizeof throttle->seed);
    return throttle;
}

void auth_throttle_release(struct auth_throttle *throttle) { memory_release(throttle); }

uint64_t auth_throttle_hash(const struct auth_throttle *throttle, const uint8_t address[16])
{
    static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    bool v4 = memcmp(address, v4_mapped, sizeof v4_mapped) == 0;
    return hash_span_seeded(span_of(address, v4 ? 16 : 8), throttle->seed);
}

static uint32_t tag_of(uint64_t hash) { return (uint32_t)(hash >> TIME_BITS) | 1; }
static uint32_t first_of(uint64_t hash) { return (uint32_t)hash & (SLOTS - 1) & ~(WAYS - 1u); }
static uint64_t word_of(uint32_t tag, uint64_t empty_at) { return (uint64_t)tag << TIME_BITS | empty_at; }
static uint32_t word_tag(uint64_t word) { return (uint32_t)(word >> TIME_BITS); }
static uint64_t word_time(uint64_t word) { return word & ((1ull << TIME_BITS) - 1); }

/* How long one failure takes to leak away. */
static uint64_t leak_time(uint32_t max, uint32_t window_s)
{
    uint64_t ticks = window_s * 1000ull * TICKS_A_MS / max;
    return ticks ? ticks : 1;
}

bool auth_throttle_over(const struct auth_throttle *throttle, const uint8_t address[16], uint32_t max, uint32_t window_s, uint64_t now_ms)
{
    if (max == 0 || window_s == 0) return false;
    uint64_t hash = auth_throttle_hash(throttle, address), now = now_ms * TICKS_A_MS, each = leak_time(max, window_s);
    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load_explicit(&throttle->slots[first_of(hash) + i], memory_order_relaxed);
        if (word_tag(word) == tag_of(hash)) return word_time(word) > now + (max - 1) * each;
    }
    return false;
}

void auth_throttle_failed(struct auth_throttle *throttle, const uint8_t address[16], uint32_t max, uint32_t window_s, uint64_t now_ms)
{
    if (max == 0 || window_s == 0) return;
    uint64_t hash = auth_throttle_hash(throttle, address), now = now_ms * TICKS_A_MS, each = leak_time(max, window_s);
    for (int tries = 0; tries < 8; tries++) { /* losing a count to another shard eight times running is no loss */
        uint32_t chosen = first_of(hash);
        for (uint32_t i = 0; i < WAYS; i++) {
            uint64_t word = atomic_load_explicit(&throttle->slots[first_of(hash) + i], memory_order_relaxed);
            bool ours = word_tag(word) == tag_of(hash);
            if (ours || word_time(word) < word_time(atomic_load_explicit(&throttle->slots[chosen], memory_order_relaxed))) chosen = first_of(hash) + i;
            if (ours) break;
        }
        uint64_t word = atomic_load_explicit(&throttle->slots[chosen], memory_order_relaxed), from = word_tag(word) == tag_of(hash) ? word_time(word) : 0;
        if (from < now) from = now;
        if (from > now + max * each) return; /* full; what comes on top would only lengthen the wait */
        if (atomic_compare_exchange_weak_explicit(&throttle->slots[chosen], &word, word_of(tag_of(hash), from + each), memory_order_relaxed, memory_order_relaxed)) return;
    }
}
