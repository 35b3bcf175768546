/* hocon_value.h - making resolved values. Private to hocon*.c.
 *
 * Values are immutable once made and may be shared by several parents. */
#ifndef RINGMQ_CONFIG_HOCON_VALUE_H
#define RINGMQ_CONFIG_HOCON_VALUE_H

#include "config/hocon_tree.h"

struct values {
    struct arena *arena;
    const struct hocon_value **list;
    uint32_t count;
};

void values_add(struct values *values, const struct hocon_value *value);

/* An object while it is made. Starts as {.arena = …}. */
struct members {
    struct arena *arena;
    struct hocon_member *list;
    uint32_t count;
    uint32_t *slots; /* many members: open addressing by name, number + 1 */
    uint32_t slots_count;
};

/* NULL: no such member yet. */
struct hocon_member *members_find(const struct members *members, const char *name);
void members_add(struct members *members, struct hocon_member member); /* must be new */

const struct hocon_value *value_scalar(struct arena *arena, enum hocon_kind kind, struct config_origin origin, struct span text);
const struct hocon_value *value_array(const struct values *values, struct config_origin origin);
const struct hocon_value *value_object(const struct members *members, struct config_origin origin);

/* Both are objects: the members of both; of two with the same name the one in `over`, merged if both are objects. */
const struct hocon_value *value_merge(struct arena *arena, const struct hocon_value *over, const struct hocon_value *under);

#endif
