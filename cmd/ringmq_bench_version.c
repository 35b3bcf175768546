#include "cmd/ringmq_bench_version.h"

#include <stdio.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_client.h"

#define ANSWER_MS 300

struct question {
    struct client client;
    char *out;
    size_t bytes;
    bool answered;
};

static void ask(void *context, const struct mqtt_connack *connack)
{
    static const struct mqtt_subscription filters[] = {{.full_filter = SPAN_LITERAL("$SYS/broker/version")},
                                                       {.full_filter = SPAN_LITERAL("$SYS/brokers/+/version")}};
    struct question *question = context;
    client_subscribe(&question->client, filters, 2, NULL);
}

/* What is printable of the payload. */
static void take(void *context, const struct mqtt_publish *publish)
{
    struct question *question = context;
    size_t used = 0;
    for (size_t i = 0; i < publish->payload.bytes && used + 1 < question->bytes; i++) {
        char c = (char)publish->payload.data[i];
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') question->out[used++] = c;
    }
    question->out[used] = 0;
    question->answered = true;
}

void broker_version(const struct bench_plan *plan, char *out, size_t bytes)
{
    static const struct client_events events = {.online = ask, .message = take};
    char id[32];
    snprintf(id, sizeof id, "bench-%s-v", plan->run);
    struct client_settings settings = {.net = {.endpoint = plan->endpoint, .name = plan->endpoint->name, .host = plan->endpoint->host,
                                               .port = plan->endpoint->port, .no_delay = true, .attempt_ms = ANSWER_MS},
                                       .connack_ms = ANSWER_MS,
                                       .connect = {.version = MQTT_3_1_1, .clean_start = true, .client_id = span_of_string(id)}};
    struct question question = {.out = out, .bytes = bytes};
    out[0] = 0;
    client_init(&question.client, &settings, &events, &question);
    client_open(&question.client);
    uint64_t until_ms = clock_now_ms() + ANSWER_MS, now_ms;
    while (!question.answered && question.client.state != CLIENT_CLOSED && (now_ms = clock_now_ms()) < until_ms) {
        struct pollfd watched = client_pollfd(&question.client);
        uint64_t wake_ms = client_wake_ms(&question.client);
        if (wake_ms > until_ms) wake_ms = until_ms;
        poll(&watched, 1, wake_ms > now_ms ? (int)(wake_ms - now_ms) : 0);
        client_turn(&question.client);
    }
    client_abort(&question.client);
    client_release(&question.client);
}
