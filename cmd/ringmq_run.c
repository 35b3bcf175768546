#include "cmd/ringmq_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/random.h"
#include "cmd/ringmq.h"

#define PAUSE_MS_FIRST 250

static int stop_fd = -1; /* an eventfd: the one thing a signal handler may touch */

static void on_signal(int number)
{
    uint64_t one = 1;
    if (write(stop_fd, &one, sizeof one) < 0) return; /* it was signalled already */
}

static void watch_signals(void)
{
    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void run_init(struct run *run, const struct connection_options *options, const struct client_settings *settings,
              const struct client_events *events, void *context)
{
    *run = (struct run){.options = options, .pause_ms = PAUSE_MS_FIRST};
    say_quiet = options->quiet;
    watch_signals();
    client_init(&run->client, settings, events, context);
}

void run_disconnect(struct run *run)
{
    const struct mqtt_properties *properties = &run->options->properties[PROPERTY_DISCONNECT].properties;
    struct client *client = &run->client;
    run->leaving = true;
    client_disconnect(client, MQTT_REASON_NORMAL_DISCONNECTION, properties);
    if (client->state == CLIENT_CLOSED) run->gave_up = true;
}

/* ---- when the connection is over ---- */

static int status_of(const struct client_end *end)
{
    switch (end->cause) {
    case CLIENT_CAUSE_UNREACHABLE: return RINGMQ_EXIT_UNREACHABLE;
    case CLIENT_CAUSE_REFUSED: return (int)end->reason;
    case CLIENT_CAUSE_DISCONNECTED: return mqtt_reason_is_error(end->reason) ? (int)end->reason : RINGMQ_EXIT_LOST;
    case CLIENT_CAUSE_LOST:
    case CLIENT_CAUSE_PROTOCOL: return RINGMQ_EXIT_LOST;
    default: return RINGMQ_EXIT_OK;
    }
}

/* What may be different next time. A session taken over is not tried again: two clients would take it from each other.
 */
static bool worth_retrying(const struct client_end *end)
{
    if (end->cause == CLIENT_CAUSE_UNREACHABLE || end->cause == CLIENT_CAUSE_LOST) return true;
    if (end->cause != CLIENT_CAUSE_REFUSED && end->cause != CLIENT_CAUSE_DISCONNECTED) return false;
    switch (end->reason) {
    case MQTT_REASON_SUCCESS:
    case MQTT_REASON_UNSPECIFIED_ERROR:
    case MQTT_REASON_IMPLEMENTATION_SPECIFIC:
    case MQTT_REASON_SERVER_UNAVAILABLE:
    case MQTT_REASON_SERVER_BUSY:
    case MQTT_REASON_SERVER_SHUTTING_DOWN:
    case MQTT_REASON_KEEP_ALIVE_TIMEOUT:
    case MQTT_REASON_MESSAGE_RATE_TOO_HIGH:
    case MQTT_REASON_QUOTA_EXCEEDED:
    case MQTT_REASON_ADMINISTRATIVE_ACTION:
    case MQTT_REASON_CONNECTION_RATE_EXCEEDED:
    case MQTT_REASON_MAXIMUM_CONNECT_TIME: return true;
    default: return false;
    }
}

/* Half of the pause is by chance, so that a thousand clients do not come back together. */
static void plan_reopening(struct run *run)
{
    struct random_source random = {clock_now_us()};
    uint64_t pause_ms = run->pause_ms / 2 + random_below(&random, run->pause_ms / 2 + 1);
    run->reopen_at_ms = clock_now_ms() + pause_ms;
    say_error("%s; trying again in %.1f s", run->client.end.text, (double)pause_ms / 1000);
    run->pause_ms *= 2;
    if (run->pause_ms > run->options->retry_pause_ms_max) run->pause_ms = run->options->retry_pause_ms_max;
}

/* False: over. */
static bool handle_end(struct run *run)
{
    const struct client_end *end = &run->client.end;
    if (end->cause == CLIENT_CAUSE_LOCAL || run->gave_up || run->leaving) return false;
    if (run->options->retry && !run->stopped && worth_retrying(end)) {
        plan_reopening(run);
        return true;
    }
    say_error("%s", end->text);
    run->status = status_of(end);
    run->gave_up = true;
    return false;
}

/* ---- the turn ---- */

static int milliseconds_until(uint64_t wake_ms)
{
    if (wake_ms == UINT64_MAX) return -1;
    uint64_t now_ms = clock_now_ms();
    if (wake_ms <= now_ms) return 0;
    return wake_ms - now_ms > 3600000 ? 3600000 : (int)(wake_ms - now_ms);
}

static void take_signal(struct run *run)
{
    uint64_t count;
    if (read(stop_fd, &count, sizeof count) < 0) return;
    run->stopped = true;
    if (run->reopen_at_ms) run->gave_up = true;
    run_disconnect(run);
}

bool run_turn(struct run *run, int input_fd, uint64_t wake_ms)
{
    struct client *client = &run->client;
    if (run->gave_up) return false;
    if (client->state == CLIENT_CLOSED && run->reopen_at_ms == 0) {
        if (!handle_end(run)) return false;
    }
    if (client->state == CLIENT_CLOSED && run->reopen_at_ms < wake_ms) wake_ms = run->reopen_at_ms;
    if (client_wake_ms(client) < wake_ms) wake_ms = client_wake_ms(client);

    struct pollfd watched[] = {
        client_pollfd(client), {.fd = stop_fd, .events = POLLIN}, {.fd = input_fd, .events = POLLIN}};
    if (poll(watched, 3, milliseconds_until(wake_ms)) < 0 && errno != EINTR) {
        say_error("poll failed; this should not happen");
        run->status = RINGMQ_EXIT_FAILED;
        return false;
    }
    run->input_ready = watched[2].revents != 0;
    if (watched[1].revents) take_signal(run);
    if (run->gave_up) return false;
    if (client->state == CLIENT_CLOSED && run->reopen_at_ms && clock_now_ms() >= run->reopen_at_ms) {
        run->reopen_at_ms = 0;
        client_open(client);
        return true;
    }
    client_turn(client);
    if (client->state == CLIENT_ONLINE) run->pause_ms = PAUSE_MS_FIRST;
    return true;
}

int run_finish(struct run *run)
{
    client_release(&run->client);
    close(stop_fd);
    return run->status;
}

/* ---- -d ---- */

static void trace_publish(const struct mqtt_publish *publish)
{
    fprintf(stderr, " qos %u%s%s", publish->qos, publish->retain ? ", retain" : "", publish->dup ? ", dup" : "");
    if (publish->qos) fprintf(stderr, ", id %u", publish->packet_id);
    if (mqtt_has(&publish->properties, MQTT_PROPERTY_TOPIC_ALIAS))
        fprintf(stderr, ", alias %u", publish->properties.topic_alias);
    fprintf(stderr, ", '%.*s', %zu bytes", SPAN_PRINT(publish->topic), publish->payload.bytes);
}

void run_trace(void *context, bool sent, const struct mqtt_packet *packet)
{
    fflush(stdout);
    fprintf(stderr, "%s %s", sent ? "-->" : "<--", mqtt_packet_name(packet->type));
    switch (packet->type) {
    case MQTT_CONNECT:
        fprintf(stderr, " MQTT %s, client id '%.*s', %s, keep-alive %u s", mqtt_version_name(packet->connect.version),
                SPAN_PRINT(packet->connect.client_id), packet->connect.clean_start ? "clean start" : "resume",
                packet->connect.keep_alive_s);
        break;
    case MQTT_CONNACK:
        fprintf(stderr, " %s%s", mqtt_reason_name(packet->connack.reason),
                packet->connack.session_present ? ", session present" : "");
        break;
    case MQTT_PUBLISH: trace_publish(&packet->publish); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        fprintf(stderr, " id %u, %s", packet->ack.packet_id, mqtt_reason_name(packet->ack.reason));
        break;
    case MQTT_SUBSCRIBE:
        fprintf(stderr, " id %u, %u filters", packet->subscribe.packet_id, packet->subscribe.count);
        break;
    case MQTT_UNSUBSCRIBE:
        fprintf(stderr, " id %u, %u filters", packet->unsubscribe.packet_id, packet->unsubscribe.count);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        fprintf(stderr, " id %u", packet->suback.packet_id);
        for (size_t i = 0; i < packet->suback.codes.bytes; i++)
            fprintf(stderr, ", %s", mqtt_reason_name(packet->suback.codes.data[i]));
        break;
    case MQTT_DISCONNECT: fprintf(stderr, " %s", mqtt_reason_name(packet->disconnect.reason)); break;
    default: break;
    }
    fputc('\n', stderr);
}
