/* watch/topic_metrics_text.h - the text of topic_metrics.topics with one name more or less: what an administrator's program changes is the same
 * key that stands in the file, so that there is one list only.
 *
 * Threads: pure functions. */
#ifndef RINGMQ_BROKER_WATCH_TOPIC_METRICS_TEXT_H
#define RINGMQ_BROKER_WATCH_TOPIC_METRICS_TEXT_H

#include "base/span.h"

enum topic_metrics_verdict {
    TOPIC_METRICS_CHANGED,
    TOPIC_METRICS_WRONG,  /* neither a topic nor a filter, or one that no text of rules can hold (base/words.h) */
    TOPIC_METRICS_THERE,
    TOPIC_METRICS_FULL,   /* TOPIC_METRICS_MAX names */
    TOPIC_METRICS_FILTERS_FULL,
    TOPIC_METRICS_UNKNOWN
};

/* `text` is one that topic_metrics_create() takes. A new text, released by the caller with memory_release(); NULL unless CHANGED. Its names keep
 * their order, a new one comes last; how they were laid out does not survive. */
char *topic_metrics_text_with(struct span text, struct span name, enum topic_metrics_verdict *ret_verdict);
char *topic_metrics_text_without(struct span text, struct span name, enum topic_metrics_verdict *ret_verdict);

#endif
