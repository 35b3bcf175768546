/* Numbers for people, and what --once and --json print. */
#include "cmd/ringmq_top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

static char *next_text(void)
{
    static char texts[16][32];
    static unsigned at;
    return texts[at++ % 16];
}

const char *top_number(double value)
{
    char *text = next_text();
    if (value >= 1e9)
        snprintf(text, 32, "%.2fG", value / 1e9);
    else if (value >= 1e6)
        snprintf(text, 32, "%.2fM", value / 1e6);
    else if (value >= 1e4)
        snprintf(text, 32, "%.1fk", value / 1e3);
    else
        snprintf(text, 32, value >= 100 || value == (double)(uint64_t)value ? "%.0f" : "%.1f", value);
    return text;
}

const char *top_bytes(double value)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *text = next_text();
    unsigned unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return text;
}

const char *top_seconds(double value)
{
    char *text = next_text();
    if (value < 0)
        snprintf(text, 32, "-");
    else if (value < 1e-3)
        snprintf(text, 32, "%.1fus", value * 1e6);
    else if (value < 1)
        snprintf(text, 32, "%.1fms", value * 1e3);
    else
        snprintf(text, 32, "%.1fs", value);
    return text;
}

void top_printable(const char *text, uint32_t columns, char *out, size_t bytes)
{
    mbstate_t state = {0};
    size_t used = 0, left = strlen(text);
    for (uint32_t column = 0; *text && used + 8 < bytes;) {
        wchar_t wide;
        size_t length = mbrtowc(&wide, text, left, &state);
        bool known = length != (size_t)-1 && length != (size_t)-2 && length > 0;
        int width = known && iswprint((wint_t)wide) ? wcwidth(wide) : 0;
        if (!known) { /* not in this locale's characters */
            length = 1;
            memset(&state, 0, sizeof state);
        }
        bool shown = width > 0;
        if (column + (shown ? (uint32_t)width : 1) > columns) break;
        column += shown ? (uint32_t)width : 1;
        if (shown) {
            memcpy(out + used, text, length);
            used += length;
        } else {
            out[used++] = '?'; /* an escape sequence of a client's name is no command to this terminal */
        }
        text += length;
        left -= length;
    }
    out[used] = 0;
}

/* ---- --once ----------------------------------------------------------------------------------------------------- */

/* The first few; nothing where there are none, or the API shows none. */
static void print_events(const struct top *top, enum top_view view)
{
    struct top_event events[5];
    const char *why;
    char id[256], topic[512];
    uint32_t count = top_events(top, view, events, sizeof events / sizeof events[0], &why);
    for (uint32_t i = 0; i < count; i++) {
        top_printable(events[i].client_id, 32, id, sizeof id);
        top_printable(events[i].topic, 60, topic, sizeof topic);
        if (i == 0) printf("\n%s:\n", view == TOP_SLOW ? "slow subscribers" : "last drops");
        printf("  %-24.24s %-22.22s %-32s %s\n", events[i].at, view == TOP_SLOW ? top_seconds((double)events[i].waited_ms / 1000) : events[i].reason, id, topic);
    }
}

void top_print(const struct top *top, uint32_t rows)
{
    const struct top_sample *now = &top->now;
    char id[256], node[256];
    const char *name = json_string_value(json_object_get(now->node, "node"));
    top_printable(name ? name : "", 64, node, sizeof node);
    printf("node %s, %s clients, %s sessions, %s subscriptions, %s resident\n", node, top_number((double)top_counter(top, "connections")),
           top_number((double)top_counter(top, "sessions")), top_number((double)top_counter(top, "subscriptions")),
           top_bytes((double)json_integer_value(json_object_get(now->node, "memory_bytes"))));
    printf("messages in %s/s out %s/s, bytes in %s/s out %s/s, connects %s/s, dropped %s/s\n", top_number(now->in), top_number(now->out), top_bytes(now->in_bytes), top_bytes(now->out_bytes),
           top_number(now->connects), top_number(now->drops));
    printf("queued %s (%s), in flight %s, retained %s (%s); publish to send p50 %s p99 %s, turn p50 %s p99 %s\n\n", top_number((double)top_counter(top, "queued_messages")),
           top_bytes((double)top_counter(top, "queued_bytes")), top_number((double)top_counter(top, "inflight_messages")), top_number((double)top_counter(top, "retained_messages")),
           top_bytes((double)top_counter(top, "retained_bytes")), top_seconds(now->send_p50), top_seconds(now->send_p99), top_seconds(now->turn_p50), top_seconds(now->turn_p99));
    printf("%5s %6s %9s %9s %7s %9s %6s %9s %8s %8s %8s %9s\n", "shard", "cpu%", "turns/s", "turn", "batch", "lane/s", "fill%", "lanefull", "conns", "sessions", "queued", "pools");
    for (uint32_t i = 0; i < now->shards_count; i++) {
        const struct top_shard *shard = &now->shards[i];
        printf("%5u %6.1f %9s %9s %7.1f %9s %6.1f %9s %8s %8s %8s %9s\n", shard->number, shard->cpu_percent, top_number(shard->turns), top_seconds(shard->turn_us / 1e6), shard->batch,
               top_number(shard->lane_records), shard->lane_fill, top_number((double)shard->lane_overflows), top_number((double)shard->connections), top_number((double)shard->sessions),
               top_number((double)shard->queued), top_bytes((double)shard->pool_bytes));
    }
    for (uint32_t i = 0; i < now->dropped_count; i++)
        printf("%s%s %llu (%s/s)%s", i ? ", " : "\ndropped and refused: ", now->dropped[i].name, (unsigned long long)now->dropped[i].count, top_number(now->dropped[i].rate),
               i + 1 == now->dropped_count ? "\n" : "");
    print_events(top, TOP_SLOW);
    print_events(top, TOP_DROPS);
    printf("\n%-32s %8s %8s %10s %8s %9s %8s %6s %9s %s\n", "client", "in/s", "out/s", "in B/s", "queue", "bytes", "inflight", "subs", "unsent", "state");
    for (uint32_t i = 0; i < now->list_count && i < rows; i++) {
        const struct top_client *client = &now->list[i];
        top_printable(client->id, 32, id, sizeof id);
        printf("%-32s %8s %8s %10s %8s %9s %8s %6s %9s %s\n", id, top_number(client->in), top_number(client->out), top_bytes(client->in_bytes), top_number((double)client->queue),
               top_bytes((double)client->queue_bytes), top_number((double)client->inflight), top_number((double)client->subscriptions), top_bytes((double)client->backlog),
               client->slowed ? "slowed" : client->connected ? "connected" : "away");
    }
}

/* ---- --json ----------------------------------------------------------------------------------------------------- */

static json_t *events_json(const json_t *answer) { return answer ? json_incref(json_object_get(answer, "data")) : json_null(); }
static json_t *quantile_json(double value) { return value < 0 ? json_null() : json_real(value); }

void top_print_json(const struct top *top)
{
    const struct top_sample *now = &top->now;
    json_t *shards = json_array(), *dropped = json_object(), *clients = json_array();
    for (uint32_t i = 0; i < now->shards_count; i++) {
        const struct top_shard *shard = &now->shards[i];
        json_array_append_new(shards, json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "shard", (int)shard->number, "cpu_percent", shard->cpu_percent, "turns_per_s", shard->turns,
                                                "turn_us", shard->turn_us, "batch", shard->batch, "lane_records_per_s", shard->lane_records, "lane_fill_percent", shard->lane_fill, "lane_overflows", (json_int_t)shard->lane_overflows,
                                                "connections", (json_int_t)shard->connections, "sessions", (json_int_t)shard->sessions, "queued_messages", (json_int_t)shard->queued, "pool_bytes",
                                                (json_int_t)shard->pool_bytes));
    }
    for (uint32_t i = 0; i < now->dropped_count; i++)
        json_object_set_new(dropped, now->dropped[i].name, json_pack("{s:I, s:f}", "count", (json_int_t)now->dropped[i].count, "per_s", now->dropped[i].rate));
    for (uint32_t i = 0; i < now->list_count; i++) {
        const struct top_client *client = &now->list[i];
        json_array_append_new(clients, json_pack("{s:s, s:b, s:b, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "clientid", client->id, "connected", client->connected, "slowed", client->slowed, "in_per_s",
                                                 client->in, "out_per_s", client->out, "in_bytes_per_s", client->in_bytes, "queue", (json_int_t)client->queue, "queue_bytes",
                                                 (json_int_t)client->queue_bytes, "inflight", (json_int_t)client->inflight, "subscriptions", (json_int_t)client->subscriptions, "unsent_bytes",
                                                 (json_int_t)client->backlog));
    }
    json_t *whole = json_pack("{s:O, s:f, s:O, s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:{s:o, s:o, s:o, s:o}, s:O, s:o, s:o, s:o}", "at", json_object_get(now->stats, "at"), "seconds", now->seconds, "node", now->node,
                              "rates", "messages_in", now->in, "messages_out", now->out, "bytes_in", now->in_bytes, "bytes_out", now->out_bytes, "connects", now->connects, "dropped", now->drops, "latency",
                              "turn_p50_s", quantile_json(now->turn_p50), "turn_p99_s", quantile_json(now->turn_p99), "publish_to_send_p50_s", quantile_json(now->send_p50), "publish_to_send_p99_s",
                              quantile_json(now->send_p99), "counters", json_object_get(now->stats, "counters"), "shards", shards, "dropped", dropped, "clients", clients);
    json_object_set_new(whole, "slow_subscribers", events_json(now->slow));
    json_object_set_new(whole, "last_drops", events_json(now->drop_log));
    json_dumpf(whole, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(whole);
}
