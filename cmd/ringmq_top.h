/* ringmq_top.h - `ringmq top`: what the admin API says now, and how fast it changes. ringmq_top_data.c asks and reckons, ringmq_top_lists.c looks at slow
 * subscribers and drops, ringmq_top_screen.c shows, ringmq_top_print.c prints. */
#ifndef RINGMQ_CMD_TOP_H
#define RINGMQ_CMD_TOP_H

#include <jansson.h>

#include "cmd/ringmq_http.h"

#define TOP_SHARDS_MAX 64
#define TOP_DROPS_MAX 32

enum top_sort { TOP_BY_IN, TOP_BY_IN_BYTES, TOP_BY_OUT, TOP_BY_QUEUE, TOP_BY_QUEUE_BYTES, TOP_BY_INFLIGHT, TOP_BY_SUBSCRIPTIONS, TOP_BY_ID, TOP_SORTS };
extern const char *const top_sort_names[TOP_SORTS]; /* "in", "out", … */

struct top_shard {
    uint32_t number;
    double cpu_percent;       /* of a core */
    double turns, turn_us;    /* a second; processor time of each */
    double batch;             /* completions a turn */
    double lane_records;      /* from other shards, a second */
    double lane_fill;         /* percent of a lane: the fullest to it within the last second */
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

/* A subscriber that kept a message waiting (slow_subs.enable), or a message that was dropped. */
struct top_event {
    const char *at, *client_id, *topic; /* in `slow`, `drops`; RFC 3339; "": nobody in particular */
    const char *reason;                 /* of a drop */
    uint64_t waited_ms;                 /* of a slow one */
};

/* What the lower part of the screen lists. */
enum top_view { TOP_CLIENTS, TOP_SLOW, TOP_DROPS, TOP_VIEWS };
extern const char *const top_view_names[TOP_VIEWS]; /* "clients", … */

/* One look, and the rates since the look before (0 in the first). */
struct top_sample {
    json_t *stats, *node, *clients;
    json_t *slow, *drop_log;     /* answers; NULL: not asked, or the API has none for us: see top_events() */
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
    uint32_t events_wanted;     /* see top_look_at_events() */
    char slow_why[200], drops_why[200]; /* why there is no list of them */
    char error[700];            /* why the last look failed; "": it did not */
};

/* The rows of TOP_SLOW or TOP_DROPS, the slowest or the newest first, at most `max`. 0 with a sentence in ret_why when there is nothing to show. */
uint32_t top_events(const struct top *top, enum top_view view, struct top_event *events, uint32_t max, const char **ret_why);
/* Asks for the rows of both views that `wanted` has bits of (1 << TOP_SLOW, …). */
void top_look_at_events(struct top *top, uint32_t wanted);
/* GET: the answer, or NULL with top->error and the status (0: no answer). */
json_t *top_ask(struct top *top, const char *target, int *ret_status);

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
