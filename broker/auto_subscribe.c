#include "broker/auto_subscribe.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/memory.h"
#include "base/words.h"
#include "proto/topic.h"

struct auto_subscribe {
    struct auto_subscription entries[AUTO_SUBSCRIBE_MAX];
    uint32_t count;
    char text[];
};

/* names NULL: is the entry sound, whoever comes? Then any name does. */
static struct span value_of(const struct client_names *names, const struct placeholder *placeholder)
{
    return names ? client_names_value(names, placeholder) : SPAN_LITERAL("x");
}

/* Puts the names in. False: one is missing or more than a level, or there is no room. */
static bool fill_in(struct span template, const struct client_names *names, uint8_t *buffer, size_t bytes, size_t *ret_bytes)
{
    size_t used = 0;
    while (template.bytes) {
        struct placeholder placeholder = placeholder_at(template);
        struct span text = placeholder.kind ? value_of(names, &placeholder) : span_of(template.data, 1);
        size_t taken = placeholder.kind ? placeholder.bytes : 1;
        if (text.bytes == 0) return false;
        if (used + text.bytes > bytes) return false;
        memcpy(buffer + used, text.data, text.bytes);
        used += text.bytes;
        template = span_skip(template, taken);
    }
    *ret_bytes = used;
    return true;
}

static const char *option_read(struct span word, struct auto_subscription *entry)
{
    uint8_t digit = word.bytes ? (uint8_t)(word.data[word.bytes - 1] - '0') : 9;
    if (span_equal(word, SPAN_LITERAL("nl"))) return entry->no_local = true, NULL;
    if (span_equal(word, SPAN_LITERAL("rap"))) return entry->retain_as_published = true, NULL;
    if (word.bytes == 5 && span_starts_with(word, SPAN_LITERAL("qos=")) && digit <= 2) return entry->qos = digit, NULL;
    if (word.bytes == 4 && span_starts_with(word, SPAN_LITERAL("rh=")) && digit <= 2) return entry->retain_handling = digit, NULL;
    return "the options are qos=0, 1 or 2, nl, rap and rh=0, 1 or 2";
}

static const char *entry_read(const struct words *words, struct auto_subscription *entry)
{
    uint8_t sample[MQTT_STRING_BYTES_MAX];
    size_t bytes;
    if (words->wrong) return words->wrong;
    *entry = (struct auto_subscription){.filter = words->words[0]};
    if (!fill_in(entry->filter, NULL, sample, sizeof sample, &bytes) ||
        !mqtt_topic_filter_valid(span_of(sample, bytes), 0))
        return "that is no topic filter";
    if (memchr(sample, '{', bytes)) return "the placeholders are " PLACEHOLDERS;
    for (uint32_t i = 1; i < words->count; i++) {
        const char *wrong = option_read(words->words[i], entry);
        if (wrong) return wrong;
    }
    if (entry->no_local && span_starts_with(entry->filter, SPAN_LITERAL("$share/"))) return "no local is not for shared subscriptions [MQTT-3.8.3-4]";
    return NULL;
}

static bool wants_user_name(struct span filter)
{
    for (; filter.bytes; filter = span_skip(filter, 1))
        if (placeholder_at(filter).kind == PLACEHOLDER_USER_NAME) return true;
    return false;
}

struct auto_subscribe *auto_subscribe_create(struct span text, bool *ret_wants_user_name, char *ret_error, size_t error_bytes)
{
    struct auto_subscribe *list = memory_acquire_zeroed(sizeof *list + text.bytes + 1);
    if (text.bytes) memcpy(list->text, text.data, text.bytes);
    struct span rest = span_of(list->text, text.bytes);
    struct words words;
    *ret_error = 0;
    while (words_next(&rest, &words)) {
        const char *wrong = list->count == AUTO_SUBSCRIBE_MAX ? "too many entries" : entry_read(&words, &list->entries[list->count]);
        if (wrong) {
            snprintf(ret_error, error_bytes, "auto_subscribe.topics: entry %u (%.*s): %s", list->count + 1, SPAN_PRINT(words.words[0]), wrong);
            memory_release(list);
            return NULL;
        }
        *ret_wants_user_name |= wants_user_name(list->entries[list->count++].filter);
    }
    if (list->count) return list;
    memory_release(list);
    return NULL;
}

void auto_subscribe_release(struct auto_subscribe *list) { memory_release(list); }

const struct auto_subscription *auto_subscribe_entries(const struct auto_subscribe *list, uint32_t *ret_count)
{
    *ret_count = list->count;
    return list->entries;
}

struct span auto_subscribe_filter(const struct auto_subscription *entry, const struct client_names *names, uint8_t *buffer, size_t bytes)
{
    size_t used;
    bool sound = fill_in(entry->filter, names, buffer, bytes, &used) && mqtt_topic_filter_valid(span_of(buffer, used), 0);
    return sound ? span_of(buffer, used) : span_of(NULL, 0);
}
