#include "proto/topic.h"

#include "base/limits.h"
#include "proto/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { SAW_WILDCARD = 1, SAW_NUL = 2, SAW_NOT_ASCII = 4 };

static uint32_t scan_byte(uint8_t byte, uint32_t *slashes)
{
    if (byte == '/') ++*slashes;
    if (byte >= 0x80) return SAW_NOT_ASCII;
    if (byte == 0) return SAW_NUL;
    return byte == '+' || byte == '#' ? SAW_WILDCARD : 0;
}

#ifdef __SSE2__
static const uint8_t old_and_fresh[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* The first `seen` bytes of the block were looked at before. */
static inline uint32_t scan_block(const uint8_t *at, size_t seen, uint32_t *slashes)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i wildcards =
        _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('+')), _mm_cmpeq_epi8(block, _mm_set1_epi8('#')));
    __m128i fresh = _mm_loadu_si128((const __m128i *)(const void *)(old_and_fresh + 16 - seen));
    __m128i sums = _mm_sad_epu8(_mm_and_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('/')), fresh), _mm_setzero_si128());
    *slashes += (uint32_t)(_mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4));
    uint32_t saw = 0;
    if (_mm_movemask_epi8(wildcards)) saw |= SAW_WILDCARD;
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_setzero_si128()))) saw |= SAW_NUL;
    if (_mm_movemask_epi8(block)) saw |= SAW_NOT_ASCII;
    return saw;
}
#endif

struct mqtt_topic_scan mqtt_topic_scan(struct span text)
{
    uint32_t saw = 0, slashes = 0;
    size_t i = 0;
#ifdef __SSE2__
    for (; text.bytes - i >= 16; i += 16)
        saw |= scan_block(text.data + i, 0, &slashes);
    if (i && i < text.bytes) { /* the last block overlaps the one before */
        saw |= scan_block(text.data + text.bytes - 16, 16 - (text.bytes - i), &slashes);
        i = text.bytes;
    }
    if (i == 0 && text.bytes) { /* shorter than a block: filled up with a byte that means nothing */
        uint8_t block[16];
        _mm_storeu_si128((__m128i *)(void *)block, _mm_set1_epi8('a'));
        memcpy(block, text.data, text.bytes);
        saw |= scan_block(block, 0, &slashes);
        i = text.bytes;
    }
#endif
    for (; i < text.bytes; i++)
        saw |= scan_byte(text.data[i], &slashes);

    bool utf8 = !(saw & SAW_NUL) && (!(saw & SAW_NOT_ASCII) || mqtt_utf8_valid(text));
    return (struct mqtt_topic_scan){.utf8 = utf8, .wildcards = saw & SAW_WILDCARD, .levels = slashes + 1};
}

bool mqtt_topic_name_valid(struct span topic, uint32_t levels_max)
{
    if (topic.bytes == 0 || topic.bytes > MQTT_STRING_BYTES_MAX) return false;
    struct mqtt_topic_scan scan = mqtt_topic_scan(topic);
    return scan.utf8 && !scan.wildcards && (levels_max == 0 || scan.levels <= levels_max);
}

/* [MQTT-4.7.1-1] '#' alone in the last level; [MQTT-4.7.1-2] '+' alone in its level. */
static bool wildcards_placed_well(struct span filter)
{
    struct span rest = filter, level;
    while (mqtt_level_next(&rest, &level)) {
        if (!mqtt_topic_has_wildcards(level)) continue;
        if (level.bytes != 1) return false;
        if (level.data[0] == '#' && rest.data != NULL) return false;
    }
    return true;
}

bool mqtt_topic_filter_valid(struct span filter, uint32_t levels_max)
{
    if (filter.bytes == 0 || filter.bytes > MQTT_STRING_BYTES_MAX) return false;
    struct span group, inner;
    if (!mqtt_share_split(filter, &group, &inner)) return false;
    struct mqtt_topic_scan scan = mqtt_topic_scan(filter);
    if (!scan.utf8) return false;
    uint32_t levels = scan.levels - (group.bytes ? 2 : 0);
    if (levels_max && levels > levels_max) return false;
    return !scan.wildcards || wildcards_placed_well(inner);
}

bool mqtt_share_split(struct span full_filter, struct span *ret_group, struct span *ret_filter)
{
    const struct span start = SPAN_LITERAL("$share/");
    if (!span_starts_with(full_filter, start)) {
        *ret_group = (struct span){NULL, 0};
        *ret_filter = full_filter;
        return true;
    }
    struct span rest = span_skip(full_filter, start.bytes), group = {NULL, 0};
    mqtt_level_next(&rest, &group);
    if (group.bytes == 0 || mqtt_topic_has_wildcards(group)) return false;
    if (rest.data == NULL || rest.bytes == 0) return false;
    *ret_group = group;
    *ret_filter = rest;
    return true;
}

bool mqtt_topic_matches_filter(struct span topic, struct span filter)
{
    if (topic.bytes == 0 || filter.bytes == 0) return false;
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#')) return false;

    struct span topic_rest = topic, filter_rest = filter, name, pattern;
    while (mqtt_level_next(&filter_rest, &pattern)) {
        if (pattern.bytes == 1 && pattern.data[0] == '#') return true; /* also matches the parent */
        if (!mqtt_level_next(&topic_rest, &name)) return false;
        if (pattern.bytes == 1 && pattern.data[0] == '+') continue;
        if (!span_equal(name, pattern)) return false;
    }
    return topic_rest.data == NULL;
}

bool mqtt_filter_covers(struct span wide, struct span filter)
{
    struct span wide_level, level;
    bool hidden = filter.bytes && filter.data[0] == '$' && wide.bytes && (wide.data[0] == '+' || wide.data[0] == '#');
    if (hidden) return false; /* [MQTT-4.7.2-1] */
    while (mqtt_level_next(&wide, &wide_level)) {
        if (span_equal(wide_level, SPAN_LITERAL("#"))) return true;
        if (!mqtt_level_next(&filter, &level) || span_equal(level, SPAN_LITERAL("#"))) return false;
        if (!span_equal(wide_level, SPAN_LITERAL("+")) && !span_equal(wide_level, level)) return false;
    }
    return filter.data == NULL;
}
