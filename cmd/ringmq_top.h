/* ringmq_top.h - `ringmq top`: what the admin API says now, and how fast it changes. ringmq_top_data.c asks and reckons, ringmq_top_screen.c shows,
 * ringmq_top_print.c prints. */
#ifndef RINGMQ_CMD_TOP_H
#define RINGMQ_CMD_TOP_H

#include <jansson.h>

#include "cmd/ringmq_http.h"

#define TOP_SHARDS_MAX 64
#define TOP_DROPS_MAX 32

enum top_sort { TOP_BY_IN, TOP_BY_OUT, TOP_BY_QUEUE, TOP_BY_QUEUE_BYTES, TOP_BY_INFLIGHT, TOP_BY_SUBSCRIPTIONS, TOP_BY_ID, TOP_SORTS };
extern const char *const top_sort_names[TOP_SORTS]; /* "in", "out", … */

struct top_shard {
    uint32_t number;
    double cpu_percent;       /* of a core */
    double turns, turn_us;    /* a second; processor time of each */
    double batch;             /* completions a turn */
    double lane_records;      /* from other shards, a second */
    uint64_t lane_overflows;  /* since the start: the lane was full, its sender waited */
    uint64_t connections, sessions, queued, pool_bytes;
};

/* A reason of refusal or drop that counts at all. */
struct top_drop {
    const char *name; /* in `stats` */
    uint64_t count;
    double rate;
};

struct top_client {
    const char *id, *address;  /* in `clients` */
    bool connected, slowed;
    double in, out, in_bytes;  /* messages and payload bytes a second, from and to it */
    uint64_t queue, queue_bytes, inflight, subscriptions, backlog;
};

/* One look, and the rates since the look before (0 in the first). */
struct top_sample {
    json_t *stats, *node, *clients;
    double seconds;             /* since the look before; 0: the first */
    double in, out, in_bytes, out_bytes, connects, drops; /* a second */
    double turn_p50, turn_p99, send_p50, send_p99; /* seconds; negative: none came */
    struct top_shard shards[TOP_SHARDS_MAX];
    uint32_t shards_count;
    struct top_drop dropped[TOP_DROPS_MAX]; /* the fastest first */
    uint32_t dropped_count;
    struct top_client *list;    /* sorted and filtered */
    uint32_t list_count;
};

struct top {
    struct http_client client;
    struct top_sample now;
    json_t *before_stats, *before_clients; /* by client id */
    uint64_t before_us, before_clients_us;
    enum top_sort sort;
    bool ascending;
    char filter[128];           /* part of a client id; "": all */
    uint32_t clients_max;       /* asked for */
    char error[700];            /* why the last look failed; "": it did not */
};

/* Looks again. False: see top->error; what was seen before stays. */
bool top_look(struct top *top);
/* Sorts what was seen again. */
void top_sort(struct top *top);
bool top_kick(struct top *top, const char *client_id);
void top_release(struct top *top);
uint64_t top_counter(const struct top *top, const char *name);

/* The client id with what a terminal would act upon replaced by ?, cut to `columns`; NUL-terminated. */
void top_printable(const char *text, uint32_t columns, char *out, size_t bytes);
/* "1.2k", "3.4M"; "12.5 MiB"; "1.2 ms". Into a static ring of 16 texts. */
const char *top_number(double value);
const char *top_bytes(double value);
const char *top_seconds(double value);

void top_print(const struct top *top, uint32_t rows);
void top_print_json(const struct top *top);
/* Until the user quits; the exit status. */
int top_screen(struct top *top, uint32_t interval_ms);

#endif
