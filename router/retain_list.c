#include "router/retain_list.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/memory.h"

static size_t record_bytes(size_t topic_bytes, uint32_t height)
{
    return sizeof(struct retain_record) + height * sizeof(struct retain_record *) + topic_bytes;
}

struct span retain_topic(const struct retain_record *record)
{
    return span_of(record->next + record->height, record->topic_bytes);
}

/* How many bytes are the same at the beginning of both. */
static size_t same_bytes(const uint8_t *left, const uint8_t *right, size_t bytes)
{
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t a, b;
        memcpy(&a, left + i, 8);
        memcpy(&b, right + i, 8);
        if (a != b) break;
    }
    while (i < bytes && left[i] == right[i])
        i++;
    return i;
}

static int rank(uint8_t byte) { return byte == '/' ? 0 : byte; }

int retain_compare(struct span left, struct span right)
{
    size_t shorter = left.bytes < right.bytes ? left.bytes : right.bytes;
    size_t same = same_bytes(left.data, right.data, shorter);
    if (same < shorter) return rank(left.data[same]) - rank(right.data[same]);
    return left.bytes < right.bytes ? -1 : left.bytes > right.bytes;
}

/* The links of each level that pass over `topic`'s place. */
static struct retain_record *seek(struct retain_list *list, struct span topic, struct retain_record **passing[])
{
    struct retain_record **links = list->head;
    struct retain_record *known = NULL; /* compared one level above: not before the topic */
    for (int level = RETAIN_HEIGHT_MAX - 1; level >= 0; level--) {
        while (links[level] != NULL && links[level] != known && retain_compare(retain_topic(links[level]), topic) < 0)
            links = links[level]->next;
        known = links[level];
        passing[level] = &links[level];
    }
    return known;
}

struct retain_record *retain_list_seek(const struct retain_list *list, struct span topic)
{
    struct retain_record **passing[RETAIN_HEIGHT_MAX];
    return seek((struct retain_list *)list, topic, passing);
}

static uint8_t height_draw(struct retain_list *list)
{
    uint64_t bits = random_next(&list->random);
    uint8_t height = 1;
    while (height < RETAIN_HEIGHT_MAX && (bits & 3) == 0) {
        height++;
        bits >>= 2;
    }
    return height;
}

struct retain_record *retain_list_put(struct retain_list *list, struct span topic)
{
    struct retain_record **passing[RETAIN_HEIGHT_MAX];
    struct retain_record *found = seek(list, topic, passing);
    CHECK(topic.bytes <= MQTT_STRING_BYTES_MAX);
    if (found != NULL && span_equal(retain_topic(found), topic)) return found;

    uint8_t height = height_draw(list);
    struct retain_record *record = memory_acquire(record_bytes(topic.bytes, height));
    *record = (struct retain_record){.topic_bytes = (uint16_t)topic.bytes, .height = height};
    for (uint8_t level = 0; level < height; level++) {
        record->next[level] = *passing[level];
        *passing[level] = record;
    }
    if (topic.bytes) memcpy(record->next + height, topic.data, topic.bytes);
    list->changes++;
    list->records_count++;
    list->records_bytes += record_bytes(topic.bytes, height);
    return record;
}

void retain_list_remove(struct retain_list *list, struct retain_record *record)
{
    struct retain_record **passing[RETAIN_HEIGHT_MAX];
    CHECK(seek(list, retain_topic(record), passing) == record);
    for (uint8_t level = 0; level < record->height; level++) {
        DCHECK(*passing[level] == record);
        *passing[level] = record->next[level];
    }
    list->changes++;
    list->records_count--;
    list->records_bytes -= record_bytes(record->topic_bytes, record->height);
    memory_release(record);
}
