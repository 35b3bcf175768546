/* Slow subscribers and dropped messages: lists that the API has when the broker looks for them, and for those whom it shows topics. */
#include "cmd/ringmq_top.h"

#include <stdio.h>

#define DROPS_ASKED 200

const char *const top_view_names[TOP_VIEWS] = {"clients", "slow subscribers", "drops"};

/* Replaces *list. What the API refuses is no failure of the look: the sentence it says stands where the list would be. */
static void look_at(struct top *top, const char *target, json_t **list, char *why, size_t why_bytes)
{
    int status;
    json_t *answer = top_ask(top, target, &status);
    json_decref(*list);
    *list = answer;
    snprintf(why, why_bytes, "%.*s", (int)why_bytes - 1, answer ? "" : top->error);
    if (status) top->error[0] = 0;
}

void top_look_at_events(struct top *top, uint32_t wanted)
{
    char target[64];
    snprintf(target, sizeof target, "/api/v1/drops?limit=%d", DROPS_ASKED);
    if (wanted & 1u << TOP_SLOW) look_at(top, "/api/v1/slow_subscriptions", &top->now.slow, top->slow_why, sizeof top->slow_why);
    if (wanted & 1u << TOP_DROPS) look_at(top, target, &top->now.drop_log, top->drops_why, sizeof top->drops_why);
}

static const char *text_of(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

uint32_t top_events(const struct top *top, enum top_view view, struct top_event *events, uint32_t max, const char **ret_why)
{
    const json_t *data = json_object_get(view == TOP_SLOW ? top->now.slow : top->now.drop_log, "data"), *row;
    const char *said = view == TOP_SLOW ? top->slow_why : top->drops_why;
    uint32_t count = 0;
    for (size_t i = 0; count < max && (row = json_array_get(data, i)); i++)
        events[count++] = (struct top_event){
            .at = text_of(row, view == TOP_SLOW ? "last_update_time" : "at"),
            .client_id = text_of(row, "clientid"),
            .topic = text_of(row, "topic"),
            .reason = text_of(row, "reason"),
            .waited_ms = (uint64_t)json_integer_value(json_object_get(row, "timespan")),
        };
    *ret_why = count ? "" : *said ? said : view == TOP_SLOW ? "nobody was slow" : "nothing was dropped";
    return count;
}
