#include "naive.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

static const char *level_end(const char *level)
{
    while (*level != 0 && *level != '/')
        level++;
    return level;
}

bool naive_matches(const char *filter, const char *topic)
{
    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#')) return false;
    for (;;) {
        if (filter[0] == '#') return true;
        const char *filter_end = level_end(filter), *topic_end = level_end(topic);
        bool same = filter_end - filter == topic_end - topic && memcmp(filter, topic, (size_t)(topic_end - topic)) == 0;
        if (!same && !(filter_end - filter == 1 && filter[0] == '+')) return false;
        if (*topic_end == 0) return *filter_end == 0 || strcmp(filter_end, "/#") == 0;
        if (*filter_end == 0) return false;
        filter = filter_end + 1;
        topic = topic_end + 1;
    }
}

uint64_t naive_seed(uint64_t fallback)
{
    const char *seed = getenv("RINGMQ_SEED");
    return seed ? strtoull(seed, NULL, 0) : fallback;
}

static const char *const LEVELS[] = {"a", "b", "c", "", "ab", "a!", "$x", "0", "zz"};
#define LEVELS_COUNT (sizeof LEVELS / sizeof *LEVELS)

static uint32_t depth_draw(struct random_source *random)
{
    return random_below(random, 50) == 0 ? 8 + (uint32_t)random_below(random, 20) : 1 + (uint32_t)random_below(random, 4);
}

static void text_draw(struct random_source *random, bool wildcards, char *ret_text)
{
    uint32_t depth = depth_draw(random), choices = random_below(random, 2) ? 3 : LEVELS_COUNT;
    char *end = ret_text;
    *end = 0;
    for (uint32_t i = 0; i < depth; i++) {
        if (i > 0) *end++ = '/';
        uint64_t wild = wildcards ? random_below(random, 8) : 8;
        if (wild == 0) {
            strcpy(end, "#");
            return;
        }
        strcpy(end, wild <= 2 ? "+" : LEVELS[random_below(random, choices)]);
        end += strlen(end);
        *end = 0;
    }
    if (ret_text[0] == 0) strcpy(ret_text, "a");
}

void naive_topic(struct random_source *random, char *ret_text) { text_draw(random, false, ret_text); }
void naive_filter(struct random_source *random, char *ret_text) { text_draw(random, true, ret_text); }

const char *naive_group(struct random_source *random)
{
    static const char *const GROUPS[] = {"", "", "", "g", "gg"};
    return GROUPS[random_below(random, 5)];
}

void naive_release(struct naive *naive)
{
    memory_release(naive->routes);
    *naive = (struct naive){0};
}

struct naive_route *naive_find(struct naive *naive, const char *filter, const char *group, uint16_t target)
{
    for (uint32_t i = 0; i < naive->count; i++) {
        struct naive_route *route = &naive->routes[i];
        if (route->target == target && !strcmp(route->filter, filter) && !strcmp(route->group, group)) return route;
    }
    return NULL;
}

bool naive_add(struct naive *naive, const struct naive_route *route)
{
    struct naive_route *there = naive_find(naive, route->filter, route->group, route->target);
    for (uint32_t i = 0; i < naive->count; i++) /* a group has one strategy */
        if (!strcmp(naive->routes[i].filter, route->filter) && !strcmp(naive->routes[i].group, route->group))
            naive->routes[i].strategy = route->strategy;
    if (there != NULL) {
        *there = *route;
        return false;
    }
    if (naive->count == naive->capacity) {
        naive->capacity = naive->capacity ? naive->capacity * 2 : 64;
        naive->routes = memory_resize(naive->routes, naive->capacity * sizeof *naive->routes);
    }
    naive->routes[naive->count++] = *route;
    return true;
}

bool naive_remove(struct naive *naive, const char *filter, const char *group, uint16_t target)
{
    struct naive_route *there = naive_find(naive, filter, group, target);
    if (there == NULL) return false;
    *there = naive->routes[--naive->count];
    return true;
}
