#include "router/sink_places.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

struct sink_places {
    uint32_t mask;
    uint32_t used;
    uint32_t slots[];
};

static uint32_t home(const struct sink_places *places, const void *who)
{
    return (uint32_t)hash_u64((uintptr_t)who) & places->mask;
}

struct sink_places *sink_places_create(const struct sink *sinks, uint32_t count, uint32_t capacity)
{
    uint32_t slots_count = 16;
    while ((uint64_t)slots_count * 3 < (uint64_t)capacity * 4)
        slots_count *= 2;
    struct sink_places *places = memory_acquire_zeroed(sizeof *places + slots_count * sizeof places->slots[0]);
    places->mask = slots_count - 1;
    for (uint32_t i = 0; i < count; i++)
        if (sinks[i].who != NULL) sink_places_add(places, sinks, i);
    return places;
}

void sink_places_release(struct sink_places *places) { memory_release(places); }

uint64_t sink_places_bytes(const struct sink_places *places)
{
    return places ? sizeof *places + (uint64_t)(places->mask + 1) * sizeof places->slots[0] : 0;
}

static uint32_t slot_find(const struct sink_places *places, const struct sink *sinks, const void *who)
{
    uint32_t slot = home(places, who);
    while (places->slots[slot] != 0 && sinks[places->slots[slot] - 1].who != who)
        slot = (slot + 1) & places->mask;
    return slot;
}

uint32_t sink_places_find(const struct sink_places *places, const struct sink *sinks, const void *who)
{
    return places->slots[slot_find(places, sinks, who)] - 1; /* 0 - 1 is SINK_PLACE_NONE */
}

void sink_places_add(struct sink_places *places, const struct sink *sinks, uint32_t index)
{
    uint32_t slot = slot_find(places, sinks, sinks[index].who);
    DCHECK(places->slots[slot] == 0);
    DCHECK(places->used * 4ull < (places->mask + 1ull) * 3);
    places->slots[slot] = index + 1;
    places->used++;
}

void sink_places_remove(struct sink_places *places, const struct sink *sinks, uint32_t index)
{
    uint32_t hole = slot_find(places, sinks, sinks[index].who);
    DCHECK(places->slots[hole] == index + 1);
    for (uint32_t next = (hole + 1) & places->mask; places->slots[next] != 0; next = (next + 1) & places->mask) {
        uint32_t wanted = home(places, sinks[places->slots[next] - 1].who);
        bool may_move = ((next - wanted) & places->mask) >= ((next - hole) & places->mask);
        if (!may_move) continue;
        places->slots[hole] = places->slots[next];
        hole = next;
    }
    places->slots[hole] = 0;
    places->used--;
}
