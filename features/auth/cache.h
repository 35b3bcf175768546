/* cache.h - verdicts that are remembered for a while, and addresses that have failed too often.
 *
 * A verdict's key is an HMAC-SHA-256, with a key made at start, of everything a source may have looked at: neither a password nor anything
 * that could be tried out against a list of passwords lies in memory. Names of users and sources stand beside it, for purging.
 * Of the room a quarter at most is for refusals, so that wrong logins push out no right ones.
 * Threads: any. auth_cache_find_quick() never waits: a shard that finds a stripe locked takes it for a miss.
 *
 * auth_throttle counts failed logins per address (IPv6: per /64) in a table of fixed size without a lock. Of two addresses that share a slot
 * the older is forgotten, so it errs towards letting in. */
#ifndef RINGMQ_FEATURES_AUTH_CACHE_H
#define RINGMQ_FEATURES_AUTH_CACHE_H

#include "features/auth/auth.h"

#define AUTH_KEY_BYTES 32

struct auth_cache;

struct auth_cache *auth_cache_create(void);
void auth_cache_release(struct auth_cache *cache); /* accepts NULL */
void auth_cache_configure(struct auth_cache *cache, uint32_t ttl_ms, uint32_t negative_ttl_ms, uint32_t entries_max);

void auth_cache_key(const struct auth_cache *cache, const struct auth_query *query, uint8_t ret_key[AUTH_KEY_BYTES]);
/* A reference, or NULL. */
struct auth_answer *auth_cache_find(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], uint64_t now_ms);
struct auth_answer *auth_cache_find_quick(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], uint64_t now_ms);
/* Takes a reference of its own, unless its time is 0 or the answer says it may not be kept. `generation`: auth_cache_generation() when the question
 * was asked; a purge in between makes it void. */
void auth_cache_put(struct auth_cache *cache, const uint8_t key[AUTH_KEY_BYTES], struct span user_name, struct auth_answer *answer, uint64_t generation,
                    uint64_t now_ms);
uint64_t auth_cache_generation(const struct auth_cache *cache);
/* The users themselves have changed (a file, the built-in database): everything remembered by any cache is void. */
void auth_cache_outdate(void);
/* Those of one user (empty: all). Returns how many went. */
uint32_t auth_cache_purge(struct auth_cache *cache, struct span user_name);
uint32_t auth_cache_count(const struct auth_cache *cache);

struct auth_throttle;
struct auth_throttle *auth_throttle_create(void);
void auth_throttle_release(struct auth_throttle *throttle);
/* Has the address had `max` failures that have not leaked away since? `max` of them leak away in a window, evenly: who never fails oftener than that is never
 * over. max 0: nobody is. */
bool auth_throttle_over(const struct auth_throttle *throttle, const uint8_t address[16], uint32_t max, uint32_t window_s, uint64_t now_ms);
void auth_throttle_failed(struct auth_throttle *throttle, const uint8_t address[16], uint32_t max, uint32_t window_s, uint64_t now_ms);
/* For fair queueing: addresses that are one for us have one number. */
uint64_t auth_throttle_hash(const struct auth_throttle *throttle, const uint8_t address[16]);

#endif
