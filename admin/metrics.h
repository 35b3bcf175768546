/* metrics.h - all numbers there are, told one after the other to whoever writes them down: for Prometheus (metrics_text.c), for OpenTelemetry
 * (otlp_encode.c). The names are in the tables of base/stats.h, base/spread.h and admin/metrics_table.h.
 *
 *     writer->family(turn_seconds, histogram) ─► point(shard 0) ─► point(shard 1) ─► family(…) …
 * Threads: any. What shards count meanwhile may be missing. May take as long as the control thread needs for a question (listeners).
 * Owner: what a writer is given lives as long as the call. */
#ifndef RINGMQ_ADMIN_METRICS_H
#define RINGMQ_ADMIN_METRICS_H

#include "admin/admin.h"
#include "admin/http.h"
#include "base/exemplar.h"
#include "base/spread.h"

enum metrics_type { METRICS_GAUGE, METRICS_COUNTER, METRICS_HISTOGRAM };
extern const char *const metrics_type_names[]; /* "gauge" … */

struct metrics_family {
    const char *name;   /* "ringmq_turn_seconds"; a counter's without _total */
    enum metrics_type type;
    const char *unit;   /* "seconds", "bytes" (the name ends so), "" */
    const char *says;
};

struct metrics_label {
    const char *name, *value;
};

struct metrics_exemplar {
    bool given;
    double value;
    uint64_t unix_ms;
    char topic[EXEMPLAR_TOPIC_BYTES_MAX + 1], client_id[EXEMPLAR_CLIENT_BYTES_MAX + 1];
};

#define METRICS_BUCKETS_MAX EXEMPLAR_PLACES
#define METRICS_LABELS_MAX  4

struct metrics_buckets {
    uint32_t bounds_count;
    double bounds[METRICS_BUCKETS_MAX];        /* the largest values of the buckets */
    uint64_t counts[METRICS_BUCKETS_MAX + 1];  /* of each alone; the last: beyond all bounds */
    uint64_t count;
    double sum;
    struct metrics_exemplar exemplars[METRICS_BUCKETS_MAX + 1];
};

struct metrics_point {
    struct metrics_label labels[METRICS_LABELS_MAX];
    uint32_t labels_count;
    bool whole;              /* `integer` is the value, else `number` */
    uint64_t integer;
    double number;
    const struct metrics_buckets *buckets; /* histograms: in place of a value */
    uint64_t since_unix_ms;  /* counters and histograms: counted since then */
};

/* The first member of a writer's own struct. */
struct metrics_writer {
    void (*family)(struct metrics_writer *writer, const struct metrics_family *family);
    void (*point)(struct metrics_writer *writer, const struct metrics_point *point);
    bool exemplars; /* wanted */
};

/* Tells all. False: a part is missing because the broker is stopping. */
bool metrics_walk(struct admin *admin, struct metrics_writer *writer);

/* ---- for those who tell a part (metrics_*.c) ------------------------------------------------------------------------ */

struct metrics_walk {
    struct metrics_writer *writer;
    struct admin *admin;
    uint64_t since_unix_ms; /* of the process; put into points */
};

/* Begins the family of that name of admin/metrics_table.h. */
void metrics_family_begin(struct metrics_walk *walk, const char *name);
/* A point of the family at hand; labels are pairs of names and values with a NULL behind the last. */
void metrics_put(struct metrics_walk *walk, uint64_t value, ...) __attribute__((sentinel));
void metrics_put_number(struct metrics_walk *walk, double value, ...) __attribute__((sentinel));
/* exemplars may be NULL. */
void metrics_put_spread(struct metrics_walk *walk, const struct spread *spread, bool seconds, const struct exemplars *exemplars, uint64_t exemplars_now_ms,
                        const struct metrics_label *labels, uint32_t labels_count, uint64_t since_unix_ms);
void metrics_put_point(struct metrics_walk *walk, struct metrics_point *point);

void metrics_walk_features(struct metrics_walk *walk);  /* metrics_features.c */
void metrics_walk_reasons(struct metrics_walk *walk);   /* metrics_reasons.c */

/* ---- in and out ------------------------------------------------------------------------------------------------------- */

/* Text of the Prometheus (version 0.0.4) or OpenMetrics (1.0.0) format. */
void metrics_write(struct admin *admin, bool openmetrics, bool exemplars, struct http_text *ret_text);
/* The table of all metrics as Markdown: docs/metrics.md. */
void metrics_write_docs(struct http_text *ret_text);
/* "Bad User Name or Password": bad_user_name_or_password */
void metrics_reason_label(uint8_t reason, bool disconnect, char *ret_label, size_t bytes);
/* What spreads are called: "ringmq_turn_seconds". */
void metrics_histogram_name(enum spread_kind kind, char *ret_name, size_t bytes);

#endif
