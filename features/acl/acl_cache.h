/* acl_cache.h - verdicts of one client that were given before: one lookup in place of the rules.
 *
 * Four places a topic may be in, by its hash; a new one takes that of whoever was asked for longest ago. (One place each would do for rules, but two topics that
 * push each other out would have a source asked for every message.) An entry counts only for exactly this topic, action, QoS and retain
 * flag, within its time, and with the rules it was decided by. Topics longer than ACL_CACHE_TOPIC_BYTES_MAX are not remembered.
 * Owner: the client's slot. Threads: its shard. */
#ifndef RINGMQ_FEATURES_ACL_CACHE_H
#define RINGMQ_FEATURES_ACL_CACHE_H

#include "features/acl/rules.h"

#define ACL_CACHE_TOPIC_BYTES_MAX 1024
#define ACL_CACHE_SIZE_MAX        1024
#define ACL_CACHE_WAYS            4

struct acl_cache_key {
    struct span topic;
    uint8_t action, qos;
    bool retain;
    uint64_t hash; /* written by acl_cache_find() when it has not found it, for acl_cache_put() */
};

struct acl_cache_verdict {
    uint8_t decision; /* enum acl_decision */
    uint32_t line;
};

/* For acl_cache.c and what is inline below. */
struct acl_cache_entry {
    uint64_t hash, until_ms;
    struct acl_cache_verdict verdict;
    uint8_t action, qos;
    bool retain;
    uint16_t bytes, capacity;
    uint8_t topic[];
};

/* A question to a source that is under way for the client, or has just been answered (acl_decide.c). */
enum acl_pending_state { ACL_PENDING_NOTHING, ACL_PENDING_WAITS, ACL_PENDING_DECIDED };
struct acl_pending {
    struct acl_cache_key key;  /* its topic points behind us */
    uint8_t state;             /* enum acl_pending_state */
    bool keeps;                /* the verdict may be remembered */
    uint32_t step, ticket, generation, capacity;
    struct acl_cache_verdict verdict;
    uint64_t until_ms;         /* DECIDED: good until then */
    const char *what;          /* constant */
    uint8_t topic[];
};

struct acl_cache {
    uint32_t size, generation;
    const struct acl_rules *rules; /* by which it was decided; a reference, so that no others can come to lie where these have lain. NULL: none */
    struct acl_pending *pending; /* NULL: none was ever asked */
    struct acl_cache_entry *recent; /* the last that was found: most clients publish to one topic, over and over */
    struct acl_cache_entry *entries[];
};

static inline bool acl_cache_entry_is(const struct acl_cache_entry *entry, const struct acl_cache_key *key)
{
    return entry->bytes == key->topic.bytes && entry->action == key->action && entry->qos == key->qos && entry->retain == key->retain &&
           memcmp(entry->topic, key->topic.data, key->topic.bytes) == 0;
}

/* The same question as the one before, of the same rules and in time: its entry; NULL: look further. Accepts NULL. */
static inline const struct acl_cache_entry *acl_cache_same(const struct acl_cache *cache, uint32_t generation, const struct acl_rules *rules,
                                                             const struct acl_cache_key *key, uint64_t now_ms)
{
    const struct acl_cache_entry *entry = cache ? cache->recent : NULL;
    bool same = entry && cache->generation == generation && cache->rules == rules && entry->until_ms > now_ms && acl_cache_entry_is(entry, key);
    return same ? entry : NULL;
}

/* `size`: a power of two. */
struct acl_cache *acl_cache_create(uint32_t size);
void acl_cache_release(struct acl_cache *cache); /* accepts NULL */
/* Forgets all verdicts; what is under way goes on. */
void acl_cache_forget(struct acl_cache *cache);
/* Forgets everything when the rules are others (`generation`, `rules`) or the size is. Returns the cache to use from now on. */
struct acl_cache *acl_cache_current(struct acl_cache *cache, uint32_t size, uint32_t generation, const struct acl_rules *rules);
static inline struct acl_cache_key acl_cache_key(enum acl_action action, struct span topic, uint8_t qos, bool retain)
{
    return (struct acl_cache_key){.topic = topic, .action = (uint8_t)action, .qos = qos, .retain = retain};
}
/* NULL: not known, or too old. Until the next acl_cache_put(), _forget() or _release(). */
const struct acl_cache_entry *acl_cache_find(struct acl_cache *cache, struct acl_cache_key *key, uint64_t now_ms);
void acl_cache_put(struct acl_cache *cache, const struct acl_cache_key *key, uint64_t until_ms, struct acl_cache_verdict verdict);

#endif
