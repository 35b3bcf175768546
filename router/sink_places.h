/* sink_places.h - who → index in a large array of sinks. Internal to router/.
 *
 * Open addressing with linear probing and no graves (removal shifts back). A slot holds index + 1; the key is read from the
 * array itself, so the array given must be the one the indices mean. Load at most 3/4. Threads: none. */
#ifndef RINGMQ_ROUTER_SINK_PLACES_H
#define RINGMQ_ROUTER_SINK_PLACES_H

#include "router/sinks.h"

struct sink_places;

#define SINK_PLACE_NONE UINT32_MAX

/* Of all sinks[0 … count - 1] that are not holes, with room for `capacity`. */
struct sink_places *sink_places_create(const struct sink *sinks, uint32_t count, uint32_t capacity);
void sink_places_release(struct sink_places *places); /* accepts NULL */
uint64_t sink_places_bytes(const struct sink_places *places); /* 0 for NULL */
uint32_t sink_places_find(const struct sink_places *places, const struct sink *sinks, const void *who);
void sink_places_add(struct sink_places *places, const struct sink *sinks, uint32_t index);
/* sinks[index].who must still stand there. */
void sink_places_remove(struct sink_places *places, const struct sink *sinks, uint32_t index);

#endif
