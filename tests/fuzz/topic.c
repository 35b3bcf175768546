/* Input: a filter, a newline, a name. Validation and matching against twins that split both into arrays of levels first. */
#include <stdlib.h>

#include "base/check.h"
#include "proto/topic.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define LEVELS_MAX 512

static uint32_t split(struct span text, struct span *levels)
{
    uint32_t count = 0;
    size_t start = 0;
    for (size_t i = 0; i <= text.bytes; i++) {
        if (i < text.bytes && text.data[i] != '/') continue;
        if (count == LEVELS_MAX) return count;
        levels[count++] = span_of(text.data + start, i - start);
        start = i + 1;
    }
    return count;
}

static bool is(struct span level, char only) { return level.bytes == 1 && level.data[0] == (uint8_t)only; }

static bool has(struct span level, char wanted)
{
    for (size_t i = 0; i < level.bytes; i++)
        if (level.data[i] == (uint8_t)wanted) return true;
    return false;
}

static bool naive_filter_valid(struct span filter)
{
    struct span levels[LEVELS_MAX];
    if (filter.bytes == 0 || !mqtt_utf8_valid(filter)) return false;
    uint32_t count = split(filter, levels), first = 0;
    if (count > 1 && span_equal(levels[0], SPAN_LITERAL("$share"))) {
        if (count < 3 || levels[1].bytes == 0 || has(levels[1], '+') || has(levels[1], '#')) return false;
        if (count == 3 && levels[2].bytes == 0) return false;
        first = 2;
    }
    for (uint32_t i = first; i < count; i++) {
        if (has(levels[i], '+') && !is(levels[i], '+')) return false;
        if (has(levels[i], '#') && (!is(levels[i], '#') || i + 1 < count)) return false;
    }
    return true;
}

static bool naive_matches(const struct span *topic, uint32_t topic_count, const struct span *filter, uint32_t filter_count)
{
    if (filter_count == 0) return topic_count == 0;
    if (is(filter[0], '#')) return true;
    if (topic_count == 0) return false;
    return (is(filter[0], '+') || span_equal(filter[0], topic[0])) &&
           naive_matches(topic + 1, topic_count - 1, filter + 1, filter_count - 1);
}

static void check_match(struct span topic, struct span filter)
{
    struct span topic_levels[LEVELS_MAX], filter_levels[LEVELS_MAX];
    bool hidden = topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#');
    bool expected = !hidden && naive_matches(topic_levels, split(topic, topic_levels), filter_levels, split(filter, filter_levels));
    CHECK(mqtt_topic_matches_filter(topic, filter) == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 500) return 0;
    const uint8_t *line = bytes ? memchr(data, '\n', bytes) : NULL;
    struct span filter = span_of(data, line ? (size_t)(line - data) : bytes);
    struct span topic = line ? span_of(line + 1, bytes - filter.bytes - 1) : span_of(data, 0);

    bool valid = mqtt_topic_filter_valid(filter, 0);
    CHECK(valid == naive_filter_valid(filter));
    bool name_valid = mqtt_topic_name_valid(topic, 0);
    CHECK(name_valid == (topic.bytes > 0 && mqtt_utf8_valid(topic) && !has(topic, '+') && !has(topic, '#')));
    if (!valid || !name_valid) return 0;

    struct span group, inner, levels[LEVELS_MAX];
    CHECK(mqtt_share_split(filter, &group, &inner));
    CHECK(mqtt_topic_filter_valid(filter, split(inner, levels)));
    CHECK(split(topic, levels) == mqtt_topic_scan(topic).levels);
    check_match(topic, inner);
    check_match(topic, topic);
    return 0;
}
