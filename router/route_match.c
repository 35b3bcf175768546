#include "router/route_match.h"

#include <string.h>

#include "base/memory.h"

void route_match_clear(struct route_match *match)
{
    match->plain_count = match->groups_count = match->group_targets_count = 0;
}

void route_match_release(struct route_match *match)
{
    memory_release(match->plain);
    memory_release(match->groups);
    memory_release(match->group_targets);
    *match = (struct route_match){0};
}

/* Room for `more` items behind `count`; returns the array, which may have moved. */
static void *room(void *array, uint32_t count, uint32_t more, uint32_t *capacity, size_t item_bytes)
{
    if (*capacity - count >= more) return array;
    uint32_t wanted = *capacity ? *capacity : 16;
    while (wanted - count < more)
        wanted *= 2;
    *capacity = wanted;
    return memory_resize(array, wanted * item_bytes);
}

void route_match_add_plain(struct route_match *match, uint16_t target, uint32_t local_id)
{
    match->plain = room(match->plain, match->plain_count, 1, &match->plain_capacity, sizeof *match->plain);
    match->plain[match->plain_count++] = (struct route_target){.local_id = local_id, .target = target};
}

void route_match_add_group(struct route_match *match, const struct route_group *group)
{
    match->groups = room(match->groups, match->groups_count, 1, &match->groups_capacity, sizeof *match->groups);
    match->group_targets = room(match->group_targets, match->group_targets_count, group->targets_count,
                                &match->group_targets_capacity, sizeof *match->group_targets);
    match->groups[match->groups_count++] = *group;
    memcpy(match->group_targets + match->group_targets_count, group->targets,
           group->targets_count * sizeof *group->targets);
    match->group_targets_count += group->targets_count;
}

void route_match_seal(struct route_match *match)
{
    const struct route_target *targets = match->group_targets;
    for (uint32_t i = 0; i < match->groups_count; i++) {
        match->groups[i].targets = targets;
        targets += match->groups[i].targets_count;
    }
}
