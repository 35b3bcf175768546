#include "broker/watch/topic_metrics_text.h"

#include "base/memory.h"
#include "base/words.h"
#include "broker/watch/topic_metrics.h"
#include "proto/topic.h"

static bool holds(struct span text, uint8_t byte) { return text.bytes && memchr(text.data, byte, text.bytes); }

static bool needs_quotes(struct span name)
{
    return holds(name, ' ') || holds(name, '\t') || holds(name, '\r') || holds(name, '\n') || holds(name, ';') || name.data[0] == '"';
}

static bool name_good(struct span name)
{
    return mqtt_topic_filter_valid(name, 0) && !span_starts_with(name, SPAN_LITERAL("$share/")) && !(needs_quotes(name) && holds(name, '"'));
}

struct writer {
    char *text;
    size_t bytes;
};

static void put(struct writer *out, struct span text)
{
    memcpy(out->text + out->bytes, text.data, text.bytes);
    out->bytes += text.bytes;
}

static void put_name(struct writer *out, struct span name)
{
    bool quotes = needs_quotes(name);
    if (out->bytes) put(out, SPAN_LITERAL("; "));
    if (quotes) put(out, SPAN_LITERAL("\""));
    put(out, name);
    if (quotes) put(out, SPAN_LITERAL("\""));
}

/* Room for all names, each in quotes, and one more: a rule takes at least a byte of the text and ends with one, or with the text. */
static struct writer writer_for(struct span text, struct span name)
{
    return (struct writer){.text = memory_acquire(text.bytes * 3 + name.bytes + 16)};
}

static char *finish(struct writer *out)
{
    out->text[out->bytes] = 0;
    return out->text;
}

char *topic_metrics_text_with(struct span text, struct span name, enum topic_metrics_verdict *ret_verdict)
{
    uint32_t count = 0, filters = 0;
    struct words words;
    *ret_verdict = TOPIC_METRICS_WRONG;
    if (!name_good(name)) return NULL;
    struct writer out = writer_for(text, name);
    *ret_verdict = TOPIC_METRICS_CHANGED;
    while (words_next(&text, &words)) {
        count++;
        filters += mqtt_topic_has_wildcards(words.words[0]);
        if (span_equal(words.words[0], name)) *ret_verdict = TOPIC_METRICS_THERE;
        put_name(&out, words.words[0]);
    }
    put_name(&out, name);
    if (*ret_verdict == TOPIC_METRICS_CHANGED && count >= TOPIC_METRICS_MAX) *ret_verdict = TOPIC_METRICS_FULL;
    if (*ret_verdict == TOPIC_METRICS_CHANGED && mqtt_topic_has_wildcards(name) && filters >= TOPIC_METRICS_FILTERS_MAX)
        *ret_verdict = TOPIC_METRICS_FILTERS_FULL;
    if (*ret_verdict == TOPIC_METRICS_CHANGED) return finish(&out);
    memory_release(out.text);
    return NULL;
}

char *topic_metrics_text_without(struct span text, struct span name, enum topic_metrics_verdict *ret_verdict)
{
    struct writer out = writer_for(text, name);
    struct words words;
    *ret_verdict = TOPIC_METRICS_UNKNOWN;
    while (words_next(&text, &words)) {
        if (span_equal(words.words[0], name))
            *ret_verdict = TOPIC_METRICS_CHANGED;
        else
            put_name(&out, words.words[0]);
    }
    if (*ret_verdict == TOPIC_METRICS_CHANGED) return finish(&out);
    memory_release(out.text);
    return NULL;
}
