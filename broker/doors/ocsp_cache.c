#include "broker/doors/ocsp_cache.h"

#include "base/memory.h"
#include "tls/digest.h"
#include "tls/tls.h"

#define SETS 4096u
#define WAYS 4u

struct place {
    uint8_t key[OCSP_KEY_BYTES];
    int64_t until_s; /* realtime; 0: free */
    uint8_t answer;
};

struct ocsp_cache {
    struct place places[SETS][WAYS];
};

struct ocsp_cache *ocsp_cache_create(void) { return memory_acquire_zeroed(sizeof(struct ocsp_cache)); }
void ocsp_cache_release(struct ocsp_cache *cache) { memory_release(cache); }
void ocsp_cache_key(struct span certificate, uint8_t ret_key[OCSP_KEY_BYTES]) { tls_sha256(certificate, ret_key); }

static uint32_t set_of(const uint8_t *key) { return ((uint32_t)key[0] | (uint32_t)key[1] << 8) % SETS; }

bool ocsp_cache_find(const struct ocsp_cache *cache, const uint8_t *key, int64_t now_s, enum tls_ocsp_answer *ret_answer)
{
    const struct place *set = cache->places[set_of(key)];
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].until_s <= now_s || memcmp(set[i].key, key, OCSP_KEY_BYTES) != 0) continue;
        *ret_answer = (enum tls_ocsp_answer)set[i].answer;
        return true;
    }
    return false;
}

void ocsp_cache_put(struct ocsp_cache *cache, const uint8_t *key, enum tls_ocsp_answer answer, int64_t until_s)
{
    struct place *set = cache->places[set_of(key)], *taken = &set[0];
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].until_s && memcmp(set[i].key, key, OCSP_KEY_BYTES) == 0) {
            taken = &set[i];
            break;
        }
        if (set[i].until_s < taken->until_s) taken = &set[i];
    }
    memcpy(taken->key, key, OCSP_KEY_BYTES);
    taken->until_s = until_s;
    taken->answer = (uint8_t)answer;
}
