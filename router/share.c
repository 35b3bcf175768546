#include "router/share.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

#define WAYS 4
#define MEMORY_SETS (SHARE_MEMORY_GROUPS / WAYS)

/* What is remembered of one group: a turn counter, or the sticky choice. */
struct recall {
    uint64_t key; /* 0: empty */
    uint64_t value;
    uint32_t hint; /* sticky member: its index when it was last chosen */
};

/* The most recently used is first in its set; the last one is pushed out. */
struct recall_table {
    struct recall sets[MEMORY_SETS][WAYS];
};

struct share_state {
    uint64_t seed;
    struct recall_table targets; /* by group id */
    struct recall_table members; /* by local id */
};

static const char *const NAMES[SHARE_STRATEGIES_COUNT] = {
    [SHARE_RANDOM] = "random",
    [SHARE_ROUND_ROBIN] = "round-robin",
    [SHARE_STICKY] = "sticky",
    [SHARE_HASH_CLIENT_ID] = "hash-client-id",
    [SHARE_HASH_TOPIC] = "hash-topic",
    [SHARE_LEAST_INFLIGHT] = "least-inflight",
    [SHARE_LOCAL_FIRST] = "local",
};

const char *share_strategy_name(enum share_strategy strategy)
{
    CHECK(strategy < SHARE_STRATEGIES_COUNT);
    return NAMES[strategy];
}

static char letter_plain(char letter) { return letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter; }
static bool letter_skipped(char letter) { return letter == '-' || letter == '_'; }

static bool name_equal(const char *name, struct span said)
{
    for (size_t i = 0; i < said.bytes; i++) {
        if (letter_skipped((char)said.data[i])) continue;
        while (letter_skipped(*name))
            name++;
        if (*name == 0 || *name != letter_plain((char)said.data[i])) return false;
        name++;
    }
    return *name == 0;
}

bool share_strategy_from_name(struct span name, enum share_strategy *ret_strategy)
{
    for (uint32_t i = 0; i < SHARE_STRATEGIES_COUNT; i++) {
        if (!name_equal(NAMES[i], name)) continue;
        *ret_strategy = (enum share_strategy)i;
        return true;
    }
    return false;
}

struct share_state *share_create(uint64_t seed)
{
    struct share_state *state = memory_acquire_zeroed(sizeof *state);
    state->seed = hash_u64(seed);
    return state;
}

void share_destroy(struct share_state *state) { memory_release(state); }

/* The group's memory; *ret_new when it has just begun. */
static struct recall *recall(struct recall_table *table, uint64_t key, bool *ret_new)
{
    if (key == 0) key = 1;
    struct recall *set = table->sets[hash_u64(key) % MEMORY_SETS];
    uint32_t way = 0;
    while (way < WAYS - 1 && set[way].key != key && set[way].key != 0)
        way++;
    *ret_new = set[way].key != key;
    struct recall found = *ret_new ? (struct recall){.key = key} : set[way];
    for (; way > 0; way--)
        set[way] = set[way - 1];
    set[0] = found;
    return &set[0];
}

/* value spread evenly over 0 … bound - 1 */
static uint64_t spread(uint64_t value, uint64_t bound) { return (uint64_t)((unsigned __int128)value * bound >> 64); }

/* Targets. ---------------------------------------------------------------------------------------------------------- */

/* The target in whose share of the total weight `position` falls. */
static uint32_t target_at(const struct route_group *group, uint64_t position)
{
    uint32_t i = 0;
    while (i + 1 < group->targets_count && position >= group->targets[i].weight)
        position -= group->targets[i++].weight;
    return i;
}

static uint32_t target_next(struct share_state *state, const struct route_group *group)
{
    bool fresh;
    struct recall *turn = recall(&state->targets, group->id, &fresh);
    if (fresh) turn->value = hash_u64(group->id ^ state->seed) >> 1; /* not all shards with the same one */
    return target_at(group, turn->value++ % group->weight_total);
}

/* All shards that have to choose among the same targets choose the same one (highest random weight). */
static uint32_t target_agreed(const struct route_group *group)
{
    uint32_t best = 0;
    uint64_t best_score = 0;
    for (uint32_t i = 0; i < group->targets_count; i++) {
        uint64_t score = hash_u64(group->id ^ hash_u64(group->targets[i].target + 1));
        if (score < best_score) continue;
        best = i;
        best_score = score;
    }
    return best;
}

static uint32_t target_sticky(struct share_state *state, const struct route_group *group)
{
    bool fresh;
    struct recall *choice = recall(&state->targets, group->id, &fresh);
    for (uint32_t i = 0; !fresh && i < group->targets_count; i++)
        if (group->targets[i].target == choice->value) return i;
    uint32_t index = target_agreed(group);
    choice->value = group->targets[index].target;
    return index;
}

static uint32_t target_local_first(const struct route_group *group, const struct share_keys *keys)
{
    for (uint32_t i = 0; i < group->targets_count; i++)
        if (group->targets[i].target == keys->shard) return i;
    return target_at(group, spread(keys->random, group->weight_total));
}

uint32_t share_pick_shard(struct share_state *state, const struct route_group *group, const struct share_keys *keys)
{
    DCHECK(group->targets_count > 0);
    if (group->targets_count == 1) return 0;
    switch ((enum share_strategy)group->strategy) {
    case SHARE_ROUND_ROBIN: return target_next(state, group);
    case SHARE_STICKY: return target_sticky(state, group);
    case SHARE_HASH_CLIENT_ID: return target_at(group, spread(hash_u64(keys->publisher_hash), group->weight_total));
    case SHARE_HASH_TOPIC: return target_at(group, spread(hash_u64(keys->topic_hash), group->weight_total));
    case SHARE_LOCAL_FIRST: return target_local_first(group, keys);
    case SHARE_RANDOM:
    case SHARE_LEAST_INFLIGHT: /* what is in flight elsewhere is not known here */
    default: return target_at(group, spread(keys->random, group->weight_total));
    }
}

uint32_t share_pick_other(const struct route_group *group, uint32_t index, const struct share_keys *keys)
{
    DCHECK(group->targets_count > 1 && index < group->targets_count);
    uint64_t before = 0, own = group->targets[index].weight;
    for (uint32_t i = 0; i < index; i++)
        before += group->targets[i].weight;
    uint64_t position = spread(keys->random, group->weight_total - own);
    return target_at(group, position < before ? position : position + own);
}

/* Members. ---------------------------------------------------------------------------------------------------------- */

struct asking {
    struct sinks_view sinks;
    share_load *load;
    void *context;
};

static uint32_t load_of(const struct asking *asking, uint32_t index)
{
    const struct sink *sink = &asking->sinks.sinks[index];
    return sink->who ? asking->load(asking->context, sink) : SHARE_UNAVAILABLE;
}

/* The first from `start` on, all the way round, that can take it; else the first for whom waiting is best, no hole. */
static struct share_choice first_available(const struct asking *asking, uint32_t start)
{
    struct share_choice waiting = {SHARE_NONE, false, SHARE_UNAVAILABLE};
    for (uint32_t i = 0, index = start; i < asking->sinks.count; i++) {
        uint32_t load = load_of(asking, index);
        if (load < SHARE_WAITING) return (struct share_choice){index, true, load};
        if ((waiting.index == SHARE_NONE || load < waiting.load) && asking->sinks.sinks[index].who != NULL)
            waiting = (struct share_choice){index, false, load};
        if (++index == asking->sinks.count) index = 0;
    }
    return waiting;
}

static uint64_t *member_turn(struct share_state *state, uint32_t local_id)
{
    bool fresh;
    struct recall *turn = recall(&state->members, local_id, &fresh);
    if (fresh) turn->value = hash_u64(local_id ^ state->seed) >> 1;
    return &turn->value;
}

static struct share_choice member_next(struct share_state *state, uint32_t local_id, const struct asking *asking)
{
    uint64_t *turn = member_turn(state, local_id);
    struct share_choice choice = first_available(asking, (uint32_t)(*turn % asking->sinks.count));
    if (choice.index != SHARE_NONE) *turn = (uint64_t)choice.index + 1;
    return choice;
}

uint64_t *share_member_turn(struct share_state *state, enum share_strategy strategy, uint32_t local_id)
{
    return strategy == SHARE_ROUND_ROBIN || strategy == SHARE_LOCAL_FIRST ? member_turn(state, local_id) : NULL;
}

static uint32_t member_place(const struct asking *asking, const struct recall *choice)
{
    const struct sink *sinks = asking->sinks.sinks;
    uint64_t who = choice->value;
    if (choice->hint < asking->sinks.count && (uintptr_t)sinks[choice->hint].who == who) return choice->hint;
    for (uint32_t i = 0; i < asking->sinks.count; i++) /* others have left and it has moved */
        if ((uintptr_t)sinks[i].who == who) return i;
    return SHARE_NONE;
}

static struct share_choice member_sticky(struct share_state *state, uint32_t local_id, const struct asking *asking,
                                         uint64_t random)
{
    bool fresh;
    struct recall *last = recall(&state->members, local_id, &fresh);
    uint32_t place = fresh ? SHARE_NONE : member_place(asking, last);
    uint32_t start = place != SHARE_NONE ? place : (uint32_t)spread(random, asking->sinks.count);
    struct share_choice choice = first_available(asking, start);
    if (choice.index == SHARE_NONE) return choice;
    last->value = (uintptr_t)asking->sinks.sinks[choice.index].who;
    last->hint = choice.index;
    return choice;
}

static struct share_choice member_least(const struct asking *asking, uint64_t random)
{
    uint32_t start = (uint32_t)spread(random, asking->sinks.count);
    uint32_t asked = asking->sinks.count < SHARE_ASKED_MAX ? asking->sinks.count : SHARE_ASKED_MAX;
    uint32_t best = SHARE_NONE, best_load = SHARE_WAITING;
    for (uint32_t i = 0, index = start; i < asked; i++) {
        uint32_t load = load_of(asking, index);
        if (load < best_load) {
            best = index;
            best_load = load;
        }
        if (++index == asking->sinks.count) index = 0;
    }
    return best != SHARE_NONE ? (struct share_choice){best, true, best_load} : first_available(asking, start);
}

struct share_choice share_pick_member(struct share_state *state, enum share_strategy strategy, uint32_t local_id,
                                      struct sinks_view sinks, const struct share_keys *keys, share_load *load,
                                      void *context)
{
    struct asking asking = {sinks, load, context};
    if (sinks.count == 0) return (struct share_choice){SHARE_NONE, false, SHARE_UNAVAILABLE};
    /* Hashed once more than for the target: within one target's share the first hash is no longer spread. */
    uint64_t publisher = hash_u64(hash_u64(keys->publisher_hash) + 1), topic = hash_u64(hash_u64(keys->topic_hash) + 1);
    uint64_t random = hash_u64(keys->random + 1);
    switch (strategy) {
    case SHARE_LOCAL_FIRST:
    case SHARE_ROUND_ROBIN: return member_next(state, local_id, &asking);
    case SHARE_STICKY: return member_sticky(state, local_id, &asking, random);
    case SHARE_HASH_CLIENT_ID: return first_available(&asking, (uint32_t)spread(publisher, sinks.count));
    case SHARE_HASH_TOPIC: return first_available(&asking, (uint32_t)spread(topic, sinks.count));
    case SHARE_LEAST_INFLIGHT: return member_least(&asking, random);
    case SHARE_RANDOM:
    default: return first_available(&asking, (uint32_t)spread(random, sinks.count));
    }
}

bool share_has_room(struct sinks_view sinks, const struct share_keys *keys, share_load *load, void *context)
{
    struct asking asking = {sinks, load, context};
    return sinks.count && first_available(&asking, (uint32_t)spread(hash_u64(keys->random + 1), sinks.count)).available;
}
