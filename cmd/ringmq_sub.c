/* ringmq sub - subscribes and prints what arrives. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_format.h"
#include "cmd/ringmq_run.h"
#include "proto/topic.h"

struct sub_options {
    struct text_list topics, filters_out, unsubscribe;
    uint32_t qos, messages_max, timeout_ms;
    bool exit_when_subscribed, no_line_end, verbose, pretty;
    bool skip_retained, retained_only, remove_retained, retain_as_published, no_local;
    uint8_t retain_handling;
    double percentage;
    const char *format;
};

struct sub {
    struct sub_options options;
    struct connection_options connection;
    struct run run;
    struct format format;
    struct random_source random;
    struct mqtt_subscription *subscriptions;
    struct span *unsubscribe;

    uint16_t subscribe_id, unsubscribe_id; /* awaited; 0: answered or not asked */
    bool subscribed;                       /* once at least */
    uint32_t printed_count;
    bool output_failed;
    int status;
};

static bool take_retain_handling(void *target, struct option_arguments *arguments)
{
    static const char *const words[] = {"always", "new", "never"};
    const char *value = option_value(arguments);
    for (uint8_t i = 0; value && i < 3; i++) {
        if (strcmp(value, words[i]) != 0) continue;
        ((struct sub_options *)target)->retain_handling = i;
        return true;
    }
    say_error("--retain-handling wants always, new or never");
    return false;
}

static bool take_percentage(void *target, struct option_arguments *arguments)
{
    uint32_t thousandths;
    const char *value = option_value(arguments);
    if (value == NULL || !parse_seconds(value, &thousandths) || thousandths > 100000) {
        say_error("--random-filter wants a percentage, from 0 to 100");
        return false;
    }
    ((struct sub_options *)target)->percentage = (double)thousandths / 1000;
    return true;
}

#define FIELD(name) offsetof(struct sub_options, name)
static const struct option sub_options[] = {
    {'t', "topic", "FILTER", OPTION_LIST, FIELD(topics), 0, 0, NULL,
     "topic filter to subscribe to, $share/GROUP/FILTER too; repeatable"},
    {'q', "qos", "QOS", OPTION_NUMBER, FIELD(qos), 0, 2, NULL, "at most this QoS: 0 (the default), 1 or 2"},
    {'U', "unsubscribe", "FILTER", OPTION_LIST, FIELD(unsubscribe), 0, 0, NULL,
     "unsubscribe from it (in a session that was kept); repeatable"},
    {'T', "filter-out", "FILTER", OPTION_LIST, FIELD(filters_out), 0, 0, NULL,
     "ignore messages whose topic matches; repeatable"},
    {'C', "count", "COUNT", OPTION_NUMBER, FIELD(messages_max), 1, UINT32_MAX, NULL, "exit after so many messages"},
    {'W', "timeout", "SECONDS", OPTION_SECONDS, FIELD(timeout_ms), 0, 0, NULL,
     "exit after so long, with status 27; from the start of the program"},
    {'E', "exit-when-subscribed", NULL, OPTION_FLAG, FIELD(exit_when_subscribed), 0, 0, NULL,
     "exit once the server has answered all subscriptions"},
    {'R', "no-retained", NULL, OPTION_FLAG, FIELD(skip_retained), 0, 0, NULL, "ignore retained messages"},
    {0, "retained-only", NULL, OPTION_FLAG, FIELD(retained_only), 0, 0, NULL,
     "print retained messages; exit at the first other one"},
    {0, "remove-retained", NULL, OPTION_FLAG, FIELD(remove_retained), 0, 0, NULL,
     "clear the retained messages that arrive (-T spares some);\nempty messages are ignored"},
    {0, "retain-as-published", NULL, OPTION_FLAG, FIELD(retain_as_published), 0, 0, NULL,
     "keep the retain flag as the publisher set it (MQTT 5)"},
    {0, "retain-handling", "always|new|never", OPTION_CALL, 0, 0, 0, take_retain_handling,
     "retained messages: always (the default), new: only if the\nsubscription is, never (MQTT 5)"},
    {0, "no-local", NULL, OPTION_FLAG, FIELD(no_local), 0, 0, NULL,
     "not what this client id published itself (MQTT 5)"},
    {0, "random-filter", "PERCENT", OPTION_CALL, 0, 0, 0, take_percentage,
     "print only so many per cent of the messages"},
};

static const struct option print_options[] = {
    {'v', "verbose", NULL, OPTION_FLAG, FIELD(verbose), 0, 0, NULL, "print the topic before the payload"},
    {'N', "no-line-end", NULL, OPTION_FLAG, FIELD(no_line_end), 0, 0, NULL, "no line end after each message"},
    {'F', "format", "FORMAT", OPTION_TEXT, FIELD(format), 0, 0, NULL,
     "print this for each message. Items, %[-0][width][.precision]LETTER:\n"
     "%t topic, %p payload, %x %X payload in hexadecimal, %l its length,\n"
     "%q QoS, %r retain flag, %m packet id, %j all as JSON, %J the same\n"
     "with a JSON payload as it is, %I date and time, %U seconds since 1970,\n"
     "%@H %@M … strftime, %% a percent sign; of MQTT 5: %A topic alias,\n"
     "%C content type, %D correlation data, %E message expiry, %F payload\n"
     "format, %P user properties, %R response topic, %S subscription ids"},
    {0, "pretty", NULL, OPTION_FLAG, FIELD(pretty), 0, 0, NULL, "JSON with line breaks"},
};

static const char usage[] = "ringmq sub -t FILTER [-t FILTER …] [options]";
static const char about[] = "Subscribes at an MQTT server and prints the messages that arrive.";
static const char examples[] = "  ringmq sub -t 'home/#' -v\n"
                               "  ringmq sub -t 'sensors/+/temp' -F '%I %t %p' -W 60\n"
                               "  ringmq sub -t orders -q 1 -c -i clerk-1 --retry -F %J | jq .payload\n";

/* All we wanted is there. */
static void finish(struct sub *sub)
{
    if (!sub->run.leaving) run_disconnect(&sub->run);
}

/* ---- output ---- */

static void print_message(struct sub *sub, const struct mqtt_publish *publish)
{
    const struct sub_options *options = &sub->options;
    if (options->format) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        format_print(&sub->format, publish, now, stdout);
    } else {
        if (options->verbose) printf("%.*s ", SPAN_PRINT(publish->topic));
        if (publish->payload.bytes)
            fwrite(publish->payload.data, 1, publish->payload.bytes, stdout);
        else if (options->verbose)
            fputs("(null)", stdout);
    }
    if (!options->no_line_end) putchar('\n');
}

/* ---- messages ---- */

static bool filtered_out(struct sub *sub, const struct mqtt_publish *publish)
{
    const struct sub_options *options = &sub->options;
    if (options->skip_retained && publish->retain) return true;
    if (options->remove_retained && publish->payload.bytes == 0) return true; /* the echo of our own removal */
    for (uint32_t i = 0; i < options->filters_out.count; i++)
        if (mqtt_topic_matches_filter(publish->topic, span_of_string(options->filters_out.items[i]))) return true;
    return (double)random_below(&sub->random, 100000) >= options->percentage * 1000;
}

static void remove_retained(struct sub *sub, const struct mqtt_publish *publish)
{
    struct mqtt_publish empty = {.topic = publish->topic,
                                 .payload = SPAN_LITERAL(""),
                                 .retain = true,
                                 .qos = sub->run.client.server.maximum_qos ? 1 : 0};
    if (!client_can_publish(&sub->run.client, empty.qos)) empty.qos = 0; /* more than the window at once */
    if (!client_can_publish(&sub->run.client, empty.qos)) {
        say_error("too many retained messages at once; '%.*s' was not removed (run it again)",
                  SPAN_PRINT(publish->topic));
        sub->status = RINGMQ_EXIT_FAILED;
        return;
    }
    enum mqtt_reason reason = client_publish(&sub->run.client, &empty, 0);
    if (reason) say_error("cannot remove '%.*s': %s", SPAN_PRINT(publish->topic), mqtt_reason_name(reason));
}

static void on_message(void *context, const struct mqtt_publish *publish)
{
    struct sub *sub = context;
    if (sub->options.retained_only && !publish->retain) {
        finish(sub);
        return;
    }
    if (filtered_out(sub, publish)) return;
    if (sub->options.remove_retained && publish->retain && publish->payload.bytes) remove_retained(sub, publish);
    print_message(sub, publish);
    sub->printed_count++;
    if (sub->options.messages_max == 0 || sub->printed_count < sub->options.messages_max) return;
    finish(sub);
}

/* ---- subscribing ---- */

static void on_online(void *context, const struct mqtt_connack *connack)
{
    struct sub *sub = context;
    struct client *client = &sub->run.client;
    const struct property_set *properties = sub->connection.properties;
    if (sub->subscribed && connack->session_present) return; /* after a reconnect: everything is still there */
    if (sub->options.topics.count) {
        sub->subscribe_id = client_subscribe(client, sub->subscriptions, sub->options.topics.count,
                                             &properties[PROPERTY_SUBSCRIBE].properties);
        if (sub->subscribe_id == 0) {
            say_error("the server takes packets up to %u bytes only: too many or too long filters",
                      client->server.packet_bytes_max);
            sub->status = MQTT_REASON_PACKET_TOO_LARGE;
            finish(sub);
            return;
        }
    }
    if (sub->options.unsubscribe.count)
        sub->unsubscribe_id = client_unsubscribe(client, sub->unsubscribe, sub->options.unsubscribe.count,
                                                 &properties[PROPERTY_UNSUBSCRIBE].properties);
}

/* All refused: nothing will ever come. */
static void judge_suback(struct sub *sub, const struct mqtt_suback *suback)
{
    size_t refused = 0;
    for (size_t i = 0; i < suback->codes.bytes && i < sub->options.topics.count; i++) {
        enum mqtt_reason reason = suback->codes.data[i];
        if (!mqtt_reason_is_error(reason)) continue;
        refused++;
        say_error("the server refused the subscription to '%s': %s (0x%02X)", sub->options.topics.items[i],
                  mqtt_reason_name(reason), reason);
        if (refused < sub->options.topics.count) continue;
        sub->status = (int)reason;
        finish(sub);
    }
}

static void on_answered(void *context, enum mqtt_packet_type type, const struct mqtt_suback *suback)
{
    struct sub *sub = context;
    if (type == MQTT_SUBACK && suback->packet_id == sub->subscribe_id) {
        sub->subscribe_id = 0;
        sub->subscribed = true;
        judge_suback(sub, suback);
    }
    if (type == MQTT_UNSUBACK && suback->packet_id == sub->unsubscribe_id) sub->unsubscribe_id = 0;
    bool nothing_awaited = sub->options.topics.count == 0 && sub->options.messages_max == 0 &&
                           sub->options.timeout_ms == 0 && !sub->connection.keep_session;
    if (sub->subscribe_id || sub->unsubscribe_id) return;
    if (sub->options.exit_when_subscribed || nothing_awaited) finish(sub);
}

static void on_published(void *context, uint64_t token, enum mqtt_reason reason)
{
    struct sub *sub = context;
    if (!mqtt_reason_is_error(reason)) return;
    say_error("the server refused to remove a retained message: %s (0x%02X)", mqtt_reason_name(reason), reason);
    sub->status = (int)reason;
}

/* ---- the loop ---- */

/* A pipe whose reader has gone (| head): no error worth a word. */
static bool reader_is_gone(void)
{
    struct pollfd output = {.fd = 1};
    return poll(&output, 1, 0) > 0 && (output.revents & POLLERR);
}

/* False: there is nobody to write to any more. */
static bool flush_output(struct sub *sub)
{
    if (sub->output_failed) return false;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    int error = errno;
    sub->output_failed = true;
    sub->status = RINGMQ_EXIT_FAILED;
    if (!reader_is_gone())
        say_error("cannot write to standard output%s%s", error ? ": " : "", error ? strerror(error) : "");
    return false;
}

static void work(struct sub *sub)
{
    struct run *run = &sub->run;
    uint64_t end_ms = sub->options.timeout_ms ? clock_now_ms() + sub->options.timeout_ms : UINT64_MAX;
    while (run_turn(run, -1, run->leaving ? UINT64_MAX : end_ms)) {
        if (!flush_output(sub)) finish(sub);
        if (run->leaving || clock_now_ms() < end_ms) continue;
        sub->status = RINGMQ_EXIT_TIMEOUT;
        finish(sub);
    }
    flush_output(sub);
}

/* ---- the command ---- */

static bool judge_filters(const struct text_list *filters, const char *option)
{
    for (uint32_t i = 0; i < filters->count; i++) {
        if (mqtt_topic_filter_valid(span_of_string(filters->items[i]), 0)) continue;
        say_error(
            "%s '%s' is no topic filter: + and # stand alone between slashes, # only at the end; UTF-8, not empty",
            option, filters->items[i]);
        return false;
    }
    return true;
}

static bool judge_version(const struct sub *sub)
{
    const struct sub_options *options = &sub->options;
    if (sub->connection.version == MQTT_5) return true;
    if (!options->retain_as_published && !options->retain_handling && !options->no_local) return true;
    say_error("--retain-as-published, --retain-handling and --no-local need MQTT 5");
    return false;
}

static bool judge(struct sub *sub)
{
    struct sub_options *options = &sub->options;
    if (sub->connection.topic_of_url) text_list_add(&options->topics, sub->connection.topic_of_url);
    if (options->topics.count == 0 && options->unsubscribe.count == 0 && !sub->connection.keep_session) {
        say_error("to what? -t FILTER is missing (--help)");
        return false;
    }
    if (options->skip_retained && options->retained_only) {
        say_error("-R and --retained-only exclude each other");
        return false;
    }
    bool valid = judge_filters(&options->topics, "-t") && judge_filters(&options->filters_out, "-T") &&
                 judge_filters(&options->unsubscribe, "-U");
    if (!valid || !judge_version(sub)) return false;
    for (uint32_t i = 0; i < options->topics.count && options->no_local; i++) {
        if (strncmp(options->topics.items[i], "$share/", 7) != 0) continue;
        say_error("--no-local does not go with a shared subscription [MQTT-3.8.3-4]");
        return false;
    }
    return options->format == NULL || format_compile(options->format, options->pretty, &sub->format);
}

static void make_requests(struct sub *sub)
{
    const struct sub_options *options = &sub->options;
    sub->subscriptions = memory_acquire_zeroed((options->topics.count + 1) * sizeof *sub->subscriptions);
    for (uint32_t i = 0; i < options->topics.count; i++)
        sub->subscriptions[i] = (struct mqtt_subscription){.full_filter = span_of_string(options->topics.items[i]),
                                                           .qos = (uint8_t)options->qos,
                                                           .retain_handling = options->retain_handling,
                                                           .retain_as_published = options->retain_as_published,
                                                           .no_local = options->no_local};
    sub->unsubscribe = memory_acquire_zeroed((options->unsubscribe.count + 1) * sizeof *sub->unsubscribe);
    for (uint32_t i = 0; i < options->unsubscribe.count; i++)
        sub->unsubscribe[i] = span_of_string(options->unsubscribe.items[i]);
}

/* -M: what the server may send before we acknowledge. */
static void announce_window(struct connection_options *connection)
{
    struct mqtt_properties *connect = &connection->properties[PROPERTY_CONNECT].properties;
    if (connection->inflight_max == 0 || connection->version != MQTT_5) return;
    connect->receive_maximum = (uint16_t)connection->inflight_max;
    mqtt_set(connect, MQTT_PROPERTY_RECEIVE_MAXIMUM);
    connection->inflight_max = 0;
}

static const struct client_events events = {
    .online = on_online, .message = on_message, .answered = on_answered, .published = on_published};
static const struct client_events events_traced = {
    .online = on_online, .message = on_message, .answered = on_answered, .published = on_published, .trace = run_trace};

/* The status to exit with. */
static int run_sub(struct sub *sub)
{
    struct client_settings settings;
    announce_window(&sub->connection);
    if (!connection_settle(&sub->connection, "sub", &settings)) return RINGMQ_EXIT_FAILED;
    make_requests(sub);
    run_init(&sub->run, &sub->connection, &settings, sub->connection.debug ? &events_traced : &events, sub);
    client_open(&sub->run.client);
    work(sub);
    int status = run_finish(&sub->run);
    return sub->status ? sub->status : status;
}

int ringmq_sub(int argc, char **argv)
{
    struct sub sub = {.options = {.percentage = 100}, .random = {clock_now_us()}};
    connection_options_init(&sub.connection);
    const struct option_group groups[] = {
        {"Subscription", sub_options, sizeof sub_options / sizeof sub_options[0], &sub.options},
        {"Output", print_options, sizeof print_options / sizeof print_options[0], &sub.options},
        {"Server", connection_network_options, connection_network_options_count, &sub.connection},
        {"TLS and WebSocket", endpoint_options_table, endpoint_options_count, &sub.connection.endpoint},
        {"Session", connection_session_options, connection_session_options_count, &sub.connection},
        {"Will", connection_will_options, connection_will_options_count, &sub.connection},
    };
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = groups, .groups_count = 6};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE && judge(&sub)) status = run_sub(&sub);
    text_list_release(&sub.options.topics);
    text_list_release(&sub.options.filters_out);
    text_list_release(&sub.options.unsubscribe);
    connection_options_release(&sub.connection);
    format_release(&sub.format);
    memory_release(sub.subscriptions);
    memory_release(sub.unsubscribe);
    return status;
}
