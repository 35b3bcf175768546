/* metrics_text.c - all numbers as text: the older format of Prometheus (0.0.4), or OpenMetrics 1.0. */
#include <inttypes.h>
#include <stdio.h>

#include "admin/metrics.h"

struct text_writer {
    struct metrics_writer writer; /* first */
    struct http_text *text;
    bool openmetrics;
    char name[128];               /* of the family at hand, without _total */
    enum metrics_type type;
};

/* Only three characters of a label's value have a meaning of their own, in both formats. */
static void put_escaped(struct http_text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            http_text_add(text, "\\n", 2);
        else if (*value == '"' || *value == '\\')
            http_text_print(text, "\\%c", *value);
        else
            http_text_add(text, value, 1);
    }
}

static void put_label(struct http_text *text, const char *name, const char *value, bool first)
{
    http_text_print(text, "%s%s=\"", first ? "" : ",", name);
    put_escaped(text, value);
    http_text_add(text, "\"", 1);
}

/* NAME{labels, and `le` if given} */
static void put_series(struct text_writer *writer, const char *ending, const struct metrics_point *point, const char *le)
{
    http_text_print(writer->text, "%s%s", writer->name, ending);
    if (point->labels_count == 0 && !le) return;
    http_text_add(writer->text, "{", 1);
    for (uint32_t i = 0; i < point->labels_count; i++)
        put_label(writer->text, point->labels[i].name, point->labels[i].value, i == 0);
    if (le) put_label(writer->text, "le", le, point->labels_count == 0);
    http_text_add(writer->text, "}", 1);
}

static void text_family(struct metrics_writer *base, const struct metrics_family *family)
{
    struct text_writer *writer = (struct text_writer *)base;
    snprintf(writer->name, sizeof writer->name, "%s", family->name);
    writer->type = family->type;
    /* The older format names counters as their samples. */
    const char *total = family->type == METRICS_COUNTER && !writer->openmetrics ? "_total" : "";
    http_text_print(writer->text, "# HELP %s%s %s\n# TYPE %s%s %s\n", family->name, total, family->says, family->name, total, metrics_type_names[family->type]);
    if (writer->openmetrics && *family->unit) http_text_print(writer->text, "# UNIT %s %s\n", family->name, family->unit);
}

/* Behind a bucket's count: # {topic="a/b",client_id="c"} 0.0012 1764108000.123 */
static void put_exemplar(struct text_writer *writer, const struct metrics_exemplar *exemplar)
{
    if (!exemplar->given || !writer->openmetrics) return;
    http_text_add(writer->text, " # {", 4);
    put_label(writer->text, "topic", exemplar->topic, true);
    put_label(writer->text, "client_id", exemplar->client_id, false);
    http_text_print(writer->text, "} %.9g %" PRIu64 ".%03u", exemplar->value, exemplar->unix_ms / 1000, (unsigned)(exemplar->unix_ms % 1000));
}

static void put_buckets(struct text_writer *writer, const struct metrics_point *point)
{
    const struct metrics_buckets *buckets = point->buckets;
    uint64_t below = 0;
    for (uint32_t i = 0; i <= buckets->bounds_count; i++) {
        char bound[32] = "+Inf";
        if (i < buckets->bounds_count) snprintf(bound, sizeof bound, "%.9g", buckets->bounds[i]);
        put_series(writer, "_bucket", point, bound);
        http_text_print(writer->text, " %" PRIu64, below += buckets->counts[i]);
        put_exemplar(writer, &buckets->exemplars[i]);
        http_text_add(writer->text, "\n", 1);
    }
    put_series(writer, "_sum", point, NULL);
    http_text_print(writer->text, " %.17g\n", buckets->sum);
    put_series(writer, "_count", point, NULL);
    http_text_print(writer->text, " %" PRIu64 "\n", buckets->count);
}

static void text_point(struct metrics_writer *base, const struct metrics_point *point)
{
    struct text_writer *writer = (struct text_writer *)base;
    if (point->buckets) return put_buckets(writer, point);
    put_series(writer, writer->type == METRICS_COUNTER ? "_total" : "", point, NULL);
    if (point->whole)
        http_text_print(writer->text, " %" PRIu64 "\n", point->integer);
    else
        http_text_print(writer->text, " %.17g\n", point->number);
}

void metrics_write(struct admin *admin, bool openmetrics, bool exemplars, struct http_text *ret_text)
{
    struct text_writer writer = {.writer = {.family = text_family, .point = text_point, .exemplars = openmetrics && exemplars}, .text = ret_text, .openmetrics = openmetrics};
    metrics_walk(admin, &writer.writer);
    if (openmetrics) http_text_print(ret_text, "# EOF\n");
}
