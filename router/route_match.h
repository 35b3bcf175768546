/* route_match.h - the answer of the route index to one topic: who wants it.
 *
 * Owner:    the caller. Zero-initialise it once, use it for any number of matches (each begins by emptying it), release it
 *           with route_match_release(). It grows to the largest answer it has held and never shrinks.
 * Lifetime: plain[], groups[] and the targets the groups point to are valid until the next match into the same object.
 * Threads:  none; each shard has its own.
 * Order:    unspecified. No (target, local_id) appears twice. */
#ifndef RINGMQ_ROUTER_ROUTE_MATCH_H
#define RINGMQ_ROUTER_ROUTE_MATCH_H

#include <stdint.h>

/* A target is a shard of this node, or (later) a remote node: router/ only compares and stores the number. */
struct route_target {
    uint32_t local_id; /* the filter's id in the target's own sinks table */
    uint32_t weight;   /* shared groups: members there, at least 1; plain routes: 0 */
    uint16_t target;
};

/* One shared group that wants the message exactly once; share_pick_shard() chooses the target. */
struct route_group {
    uint64_t id; /* hash of (filter, group): the same on every shard and after a restart */
    const struct route_target *targets;
    uint64_t weight_total; /* sum of the targets' weights */
    uint32_t targets_count; /* at least 1 */
    uint8_t strategy;       /* enum share_strategy */
};

struct route_match {
    struct route_target *plain;
    struct route_group *groups;
    struct route_target *group_targets; /* all groups' targets, one group after the other */
    uint32_t plain_count, plain_capacity;
    uint32_t groups_count, groups_capacity;
    uint32_t group_targets_count, group_targets_capacity;
};

void route_match_clear(struct route_match *match);
void route_match_release(struct route_match *match); /* leaves it zeroed: usable again */

/* The index's side. Groups' targets are copied; the pointers to the copies are set by route_match_seal(). */
void route_match_add_plain(struct route_match *match, uint16_t target, uint32_t local_id);
void route_match_add_group(struct route_match *match, const struct route_group *group);
void route_match_seal(struct route_match *match);

#endif
