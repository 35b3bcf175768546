/* ringmq pub - publishes messages and waits until the server has them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_run.h"
#include "proto/topic.h"

struct pub_options {
    const char *topic, *message, *file;
    bool null_message, lines, all_input;
    uint32_t qos;
    bool retain;
    uint32_t repeat;
    uint32_t repeat_delay_ms;
};

struct pub {
    struct pub_options options;
    struct connection_options connection;
    struct run run;
    struct mqtt_properties properties;

    struct span payload;   /* of -m, -f, -n, -s */
    uint8_t *payload_read; /* of -f, -s: the same, ours */
    uint32_t sent_count;
    uint64_t next_at_ms; /* --repeat-delay */
    int refused_status;  /* the last reason a message was refused for */

    uint8_t *input; /* -l: what was read and not yet published */
    size_t input_begin, input_end, input_capacity;
    size_t input_looked; /* up to here there is no line end */
    bool input_over, input_failed;
};

#define FIELD(name) offsetof(struct pub_options, name)
static const struct option pub_options[] = {
    {'t', "topic", "TOPIC", OPTION_TEXT, FIELD(topic), 0, 0, NULL, "topic to publish to"},
    {'m', "message", "TEXT", OPTION_TEXT, FIELD(message), 0, 0, NULL, "payload"},
    {'f', "file", "FILE", OPTION_TEXT, FIELD(file), 0, 0, NULL, "payload: what is in the file ('-': standard input)"},
    {'l', "stdin-line", NULL, OPTION_FLAG, FIELD(lines), 0, 0, NULL, "one message for each line of standard input"},
    {'s', "stdin-file", NULL, OPTION_FLAG, FIELD(all_input), 0, 0, NULL, "payload: all of standard input"},
    {'n', "null-message", NULL, OPTION_FLAG, FIELD(null_message), 0, 0, NULL,
     "empty payload (with -r: clears the retained message)"},
    {'q', "qos", "QOS", OPTION_NUMBER, FIELD(qos), 0, 2, NULL, "0 (the default), 1 or 2"},
    {'r', "retain", NULL, OPTION_FLAG, FIELD(retain), 0, 0, NULL, "the server keeps it for later subscribers"},
    {0, "repeat", "COUNT", OPTION_NUMBER, FIELD(repeat), 1, UINT32_MAX, NULL, "publish it so many times (not with -l)"},
    {0, "repeat-delay", "SECONDS", OPTION_SECONDS, FIELD(repeat_delay_ms), 0, 0, NULL, "time between two of them (0)"},
};

static const char usage[] = "ringmq pub -t TOPIC {-m TEXT | -f FILE | -l | -s | -n} [options]";
static const char about[] = "Publishes messages to an MQTT server and waits until it has acknowledged them.";
static const char examples[] = "  ringmq pub -t home/door -m open -q 1 -r\n"
                               "  tail -F app.log | ringmq pub -h broker -t logs/app -l -q 1 --retry\n"
                               "  ringmq pub -L mqtts://broker/home/door --cafile ca.pem -m shut\n"
                               "  ringmq pub -L mqtt://ann:secret@broker/cmd -m go -D publish response-topic answers\n";

/* ---- where payloads come from ---- */

static bool read_whole(int fd, const char *name, struct span *ret_payload)
{
    uint8_t *data = NULL;
    size_t used = 0, capacity = 0;
    for (;;) {
        if (capacity - used < 65536) data = memory_resize(data, capacity = capacity * 2 + 65536);
        ssize_t got = read(fd, data + used, capacity - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            say_error("cannot read %s: %s", name, strerror(errno));
            memory_release(data);
            return false;
        }
        if (got == 0) break;
        used += (size_t)got;
        if (used <= MQTT_VARINT_MAX) continue;
        say_error("%s is larger than a message can be (%u bytes)", name, MQTT_VARINT_MAX);
        memory_release(data);
        return false;
    }
    *ret_payload = span_of(data, used);
    return true;
}

static bool read_file(const char *name, struct span *ret_payload)
{
    if (strcmp(name, "-") == 0) return read_whole(0, "standard input", ret_payload);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        say_error("cannot open %s: %s", name, strerror(errno));
        return false;
    }
    bool fine = read_whole(fd, name, ret_payload);
    close(fd);
    return fine;
}

static bool load_payload(struct pub *pub)
{
    const struct pub_options *options = &pub->options;
    if (options->message) {
        pub->payload = span_of_string(options->message);
        return true;
    }
    pub->payload = SPAN_LITERAL("");
    if (options->file == NULL && !options->all_input) return true;
    if (!read_file(options->file ? options->file : "-", &pub->payload)) return false;
    pub->payload_read = (uint8_t *)pub->payload.data;
    return true;
}

/* Once, when poll() says there is something. */
static void read_input(struct pub *pub)
{
    if (pub->input_begin == pub->input_end) pub->input_begin = pub->input_end = pub->input_looked = 0;
    if (pub->input_begin) {
        memmove(pub->input, pub->input + pub->input_begin, pub->input_end - pub->input_begin);
        pub->input_end -= pub->input_begin;
        pub->input_looked -= pub->input_begin;
        pub->input_begin = 0;
    }
    if (pub->input_capacity - pub->input_end < 65536)
        pub->input = memory_resize(pub->input, pub->input_capacity = pub->input_capacity * 2 + 65536);
    ssize_t got = read(0, pub->input + pub->input_end, pub->input_capacity - pub->input_end);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got < 0) {
        say_error("cannot read standard input: %s", strerror(errno));
        pub->input_failed = true;
    }
    if (got <= 0) pub->input_over = true;
    if (got > 0) pub->input_end += (size_t)got;
}

/* The next whole line, without its end; the last one may have no end. */
static bool next_line(struct pub *pub, struct span *ret_line)
{
    if (pub->input_begin == pub->input_end) return false;
    uint8_t *begin = pub->input + pub->input_begin;
    uint8_t *found = memchr(pub->input + pub->input_looked, '\n', pub->input_end - pub->input_looked);
    pub->input_looked = pub->input_end;
    if (found == NULL && !pub->input_over) return false;
    size_t bytes = found ? (size_t)(found - begin) : pub->input_end - pub->input_begin;
    *ret_line = span_of(begin, bytes);
    pub->input_begin += bytes + (found ? 1 : 0);
    pub->input_looked = pub->input_begin;
    return true;
}

/* ---- publishing ---- */

static void refuse(struct pub *pub, enum mqtt_reason reason, const char *who)
{
    say_error("%s refused a message to '%s': %s (0x%02X)", who, pub->options.topic, mqtt_reason_name(reason), reason);
    pub->refused_status = (int)reason;
}

static void on_published(void *context, uint64_t token, enum mqtt_reason reason)
{
    if (mqtt_reason_is_error(reason)) refuse(context, reason, "the server");
}

static void publish_one(struct pub *pub, struct span payload)
{
    struct mqtt_publish publish = {.topic = span_of_string(pub->options.topic),
                                   .payload = payload,
                                   .qos = (uint8_t)pub->options.qos,
                                   .retain = pub->options.retain,
                                   .properties = pub->properties};
    enum mqtt_reason reason = client_publish(&pub->run.client, &publish, 0);
    if (reason) refuse(pub, reason, "by what it announced, the server would have");
    pub->sent_count++;
}

static bool all_sent(const struct pub *pub)
{
    if (pub->options.lines) return pub->input_over && pub->input_begin == pub->input_end;
    return pub->sent_count >= pub->options.repeat;
}

static bool may_publish(const struct pub *pub)
{
    return client_can_publish(&pub->run.client, (uint8_t)pub->options.qos);
}

static void pump(struct pub *pub)
{
    struct span line;
    while (pub->options.lines && may_publish(pub) && next_line(pub, &line))
        publish_one(pub, line);
    while (!pub->options.lines && may_publish(pub) && !all_sent(pub)) {
        uint64_t now_ms = clock_now_ms();
        if (pub->options.repeat_delay_ms && now_ms < pub->next_at_ms) return;
        publish_one(pub, pub->payload);
        pub->next_at_ms = now_ms + pub->options.repeat_delay_ms;
    }
}

static bool waits_for_input(const struct pub *pub)
{
    bool partial = pub->input_looked == pub->input_end; /* no whole line is left */
    return pub->options.lines && !pub->input_over && partial && may_publish(pub);
}

static void work(struct pub *pub)
{
    struct run *run = &pub->run;
    for (;;) {
        uint64_t wake_ms = UINT64_MAX;
        if (pub->options.repeat_delay_ms && may_publish(pub) && !all_sent(pub)) wake_ms = pub->next_at_ms;
        if (!run_turn(run, waits_for_input(pub) ? 0 : -1, wake_ms)) return;
        if (run->input_ready) read_input(pub);
        pump(pub);
        bool done = all_sent(pub) && run->client.state == CLIENT_ONLINE && client_idle(&run->client);
        if (done && !run->leaving) run_disconnect(run);
    }
}

/* ---- the command ---- */

static bool judge(struct pub *pub)
{
    struct pub_options *options = &pub->options;
    if (options->topic == NULL) options->topic = pub->connection.topic_of_url;
    if (options->topic == NULL) {
        say_error("where to? -t TOPIC is missing (--help)");
        return false;
    }
    if (!mqtt_topic_name_valid(span_of_string(options->topic), 0)) {
        say_error("'%s' is no topic one can publish to: it must be UTF-8, not empty, without + and #", options->topic);
        return false;
    }
    int sources = (options->message != NULL) + (options->file != NULL) + options->lines + options->all_input +
                  options->null_message;
    if (sources != 1) {
        say_error(sources ? "only one of -m, -f, -l, -s and -n can be"
                          : "what? one of -m, -f, -l, -s and -n is missing (--help)");
        return false;
    }
    if (options->lines && (options->repeat || options->repeat_delay_ms)) {
        say_error("--repeat and --repeat-delay do not go with -l");
        return false;
    }
    if (options->repeat == 0) options->repeat = 1;
    return true;
}

static void connack_hints(void *context, const struct mqtt_connack *connack)
{
    struct pub *pub = context;
    const struct mqtt_properties *asked = &pub->properties;
    uint16_t aliases = pub->run.client.server.topic_alias_maximum;
    if (mqtt_has(asked, MQTT_PROPERTY_TOPIC_ALIAS) && asked->topic_alias > aliases)
        say_error("the server takes topic aliases up to %u only; publishing without", aliases);
}

static const struct client_events events = {.online = connack_hints, .published = on_published};
static const struct client_events events_traced = {
    .online = connack_hints, .published = on_published, .trace = run_trace};

/* The status to exit with. */
static int run_pub(struct pub *pub, const struct client_settings *settings)
{
    pub->properties = pub->connection.properties[PROPERTY_PUBLISH].properties;
    run_init(&pub->run, &pub->connection, settings, pub->connection.debug ? &events_traced : &events, pub);
    client_open(&pub->run.client);
    work(pub);
    bool cut_short = mqtt_inflight_count(&pub->run.client.inflight) || (!pub->options.lines && !all_sent(pub));
    int status = run_finish(&pub->run);
    if (status) return status;
    if (pub->refused_status) return pub->refused_status;
    return cut_short || pub->input_failed ? RINGMQ_EXIT_FAILED : RINGMQ_EXIT_OK;
}

int ringmq_pub(int argc, char **argv)
{
    struct pub pub = {.options = {.topic = NULL}};
    connection_options_init(&pub.connection);
    const struct option_group groups[] = {
        {"Message", pub_options, sizeof pub_options / sizeof pub_options[0], &pub.options},
        {"Server", connection_network_options, connection_network_options_count, &pub.connection},
        {"TLS and WebSocket", endpoint_options_table, endpoint_options_count, &pub.connection.endpoint},
        {"Session", connection_session_options, connection_session_options_count, &pub.connection},
        {"Will", connection_will_options, connection_will_options_count, &pub.connection},
    };
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = groups, .groups_count = 5};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    struct client_settings settings;
    if (verdict == OPTIONS_FINE && judge(&pub) && connection_settle(&pub.connection, "pub", &settings) &&
        load_payload(&pub))
        status = run_pub(&pub, &settings);
    connection_options_release(&pub.connection);
    memory_release(pub.input);
    memory_release(pub.payload_read);
    return status;
}
