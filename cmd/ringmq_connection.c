#include "cmd/ringmq_connection.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "proto/topic.h"
#include "proto/utf8.h"

#define RETRY_PAUSE_S                   30
#define SESSION_EXPIRY_WHILE_RETRYING_S 3600
/* 3.1 allows no longer client id (3.1 §3.1). */
#define CLIENT_ID_BYTES_MAX_3_1 23

/* ---- single options ---- */

static bool take_version(void *target, struct option_arguments *arguments)
{
    static const struct {
        const char *word;
        enum mqtt_version version;
    } words[] = {{"5", MQTT_5},         {"mqttv5", MQTT_5}, {"311", MQTT_3_1_1}, {"mqttv311", MQTT_3_1_1},
                 {"3.1.1", MQTT_3_1_1}, {"4", MQTT_3_1_1},  {"31", MQTT_3_1},    {"mqttv31", MQTT_3_1},
                 {"3.1", MQTT_3_1},     {"5.0", MQTT_5}};
    struct connection_options *options = target;
    const char *value = option_value(arguments);
    for (size_t i = 0; value && i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(value, words[i].word) != 0) continue;
        options->version = words[i].version;
        return true;
    }
    say_error("-V wants a version: mqttv5, mqttv311 or mqttv31 (5, 311 and 31 for short), not '%s'",
              value ? value : "");
    return false;
}

static bool take_session_expiry(void *target, struct option_arguments *arguments)
{
    struct connection_options *options = target;
    const char *value = option_value(arguments);
    uint64_t seconds = UINT32_MAX;
    bool never = value && (strcmp(value, "-1") == 0 || strcmp(value, "never") == 0 || strcmp(value, "∞") == 0);
    if (value == NULL || (!never && !parse_number(value, 0, UINT32_MAX, &seconds))) {
        say_error("-x wants seconds from 0 to 4294967294, or -1 for a session that never expires");
        return false;
    }
    struct mqtt_properties *connect = &options->properties[PROPERTY_CONNECT].properties;
    connect->session_expiry_s = (uint32_t)seconds;
    mqtt_set(connect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
    return true;
}

static bool take_property(void *target, struct option_arguments *arguments)
{
    return property_take(((struct connection_options *)target)->properties, arguments);
}

/* --retry [SECONDS]: the next argument is its value only if it looks like one. */
static bool take_retry(void *target, struct option_arguments *arguments)
{
    struct connection_options *options = target;
    options->retry = true;
    const char *value = arguments->attached;
    bool attached = value != NULL;
    if (!attached && arguments->next < arguments->end) value = *arguments->next;
    uint32_t pause_ms;
    if (value == NULL || !parse_seconds(value, &pause_ms)) {
        if (attached) say_error("--retry wants seconds, not '%s'", value);
        return !attached;
    }
    option_value(arguments);
    options->retry_pause_ms_max = pause_ms ? pause_ms : 1;
    return true;
}

/* ---- where ---- */

bool connection_take_address(struct connection_options *options, const char *text)
{
    uint16_t port = 0;
    if (!net_split_address(text, options->host_text, sizeof options->host_text, &port)) {
        say_error("'%s' is no HOST[:PORT] (an IPv6 address with a port needs brackets: [::1]:1883)", text);
        return false;
    }
    options->endpoint.host = options->host_text;
    if (port) options->endpoint.port = port;
    return true;
}

static bool take_url(void *target, struct option_arguments *arguments)
{
    struct connection_options *options = target;
    const char *text = option_value(arguments);
    if (text == NULL) say_error("-L wants a URL");
    if (text == NULL || !endpoint_take_url(&options->endpoint, text)) return false;
    const struct url *url = &options->endpoint.url;
    if (url->user_name) options->user_name = url->user_name;
    if (url->password) options->password = url->password;
    bool names_topic = url->kind == ENDPOINT_TCP || url->kind == ENDPOINT_TLS;
    if (names_topic) options->topic_of_url = url->path;
    return true;
}

/* ---- the tables ---- */

#define FIELD(name) offsetof(struct connection_options, name)

const struct option connection_network_options[] = {
    {'h', "host", "HOST", OPTION_TEXT, FIELD(endpoint.host), 0, 0, NULL, "server's name or address (localhost)"},
    {'p', "port", "PORT", OPTION_NUMBER, FIELD(endpoint.port), 1, 65535, NULL,
     "server's port (1883; TLS 8883, WebSocket 8083, both 8084)"},
    {'L', "url", "URL", OPTION_CALL, 0, 0, 0, take_url,
     "mqtt://user:password@host:port/topic, instead of -u -P -h -p -t;\nmqtts:// with TLS, ws:// and wss://host:port/path, unix:///path"},
    {'u', "username", "NAME", OPTION_TEXT, FIELD(user_name), 0, 0, NULL, "user name"},
    {'P', "pw", "PASSWORD", OPTION_TEXT, FIELD(password), 0, 0, NULL, "password (others on this machine can see it)"},
    {'A', "bind", "ADDRESS", OPTION_TEXT, FIELD(bind_address), 0, 0, NULL, "connect from this address of this machine"},
    {0, "nodelay", NULL, OPTION_FLAG, FIELD(no_delay), 0, 0, NULL, "switch Nagle's algorithm off (TCP_NODELAY)"},
    {0, "connect-timeout", "SECONDS", OPTION_SECONDS, FIELD(connect_ms), 0, 0, NULL,
     "how long each address of the server may take to answer,\nand the server to answer CONNECT (10)"},
};
const uint32_t connection_network_options_count =
    sizeof connection_network_options / sizeof connection_network_options[0];

const struct option connection_session_options[] = {
    {'V', "protocol-version", "mqttv5|mqttv311|mqttv31", OPTION_CALL, 0, 0, 0, take_version,
     "the default is mqttv5; 5, 311 and 31 are understood, too"},
    {'i', "id", "ID", OPTION_TEXT, FIELD(client_id), 0, 0, NULL,
     "client id; '' lets the server choose (default: a random one)"},
    {'I', "id-prefix", "PREFIX", OPTION_TEXT, FIELD(client_id_prefix), 0, 0, NULL,
     "client id: PREFIX and the process id"},
    {'c', "disable-clean-session", NULL, OPTION_FLAG, FIELD(keep_session), 0, 0, NULL,
     "keep the session on the server; needs -i or -I. It never expires,\nunless -x says otherwise"},
    {'x', "session-expiry-interval", "SECONDS", OPTION_CALL, 0, 0, 0, take_session_expiry,
     "how long the server keeps the session after the connection\n(MQTT 5); -1: for ever"},
    {'k', "keepalive", "SECONDS", OPTION_NUMBER, FIELD(keep_alive_s), 0, 65535, NULL, "keep-alive (60); 0: none"},
    {'D', "property", "COMMAND PROPERTY VALUE", OPTION_CALL, 0, 0, 0, take_property,
     "an MQTT 5 property: COMMAND is connect, publish, subscribe, unsubscribe,\n"
     "disconnect or will; user-property takes a name and a value"},
    {'M', "max-inflight", "COUNT", OPTION_NUMBER, FIELD(inflight_max), 1, 65535, NULL,
     "pub: messages that may wait for an acknowledgement;\nsub: the Receive Maximum announced (MQTT 5)"},
    {0, "retry", "[SECONDS]", OPTION_CALL, 0, 0, 0, take_retry,
     "reconnect whenever the connection fails, after 0.25 s, then twice as long\n"
     "each time up to SECONDS (30), and go on where it broke off"},
    {'d', "debug", NULL, OPTION_FLAG, FIELD(debug), 0, 0, NULL, "show the packets on standard error"},
    {0, "quiet", NULL, OPTION_FLAG, FIELD(quiet), 0, 0, NULL, "no complaints; only the exit status tells"},
};
const uint32_t connection_session_options_count =
    sizeof connection_session_options / sizeof connection_session_options[0];

const struct option connection_will_options[] = {
    {0, "will-topic", "TOPIC", OPTION_TEXT, FIELD(will_topic), 0, 0, NULL,
     "topic of the message the server sends if we vanish"},
    {0, "will-payload", "TEXT", OPTION_TEXT, FIELD(will_payload), 0, 0, NULL, "its payload (empty)"},
    {0, "will-qos", "QOS", OPTION_NUMBER, FIELD(will_qos), 0, 2, NULL, "its QoS (0)"},
    {0, "will-retain", NULL, OPTION_FLAG, FIELD(will_retain), 0, 0, NULL, "it is retained"},
};
const uint32_t connection_will_options_count = sizeof connection_will_options / sizeof connection_will_options[0];

void connection_options_init(struct connection_options *options)
{
    *options = (struct connection_options){
        .keep_alive_s = 60, .version = MQTT_5, .connect_ms = 10000, .retry_pause_ms_max = RETRY_PAUSE_S * 1000};
}

void connection_options_release(struct connection_options *options)
{
    for (int i = 0; i < PROPERTY_COMMANDS; i++)
        memory_release(options->properties[i].users);
    endpoint_release(&options->settled);
    endpoint_options_release(&options->endpoint);
}

/* ---- all together ---- */

static bool judge_text(const char *option, const char *text)
{
    struct span span = span_of_string(text ? text : "");
    if (span.bytes > MQTT_STRING_BYTES_MAX) {
        say_error("%s: more than %d bytes", option, MQTT_STRING_BYTES_MAX);
        return false;
    }
    if (mqtt_utf8_valid(span)) return true;
    say_error("%s: not UTF-8", option);
    return false;
}

static bool judge_will(const struct connection_options *options)
{
    bool others = options->will_payload || options->will_qos || options->will_retain ||
                  options->properties[PROPERTY_WILL].properties.present;
    if (options->will_topic == NULL) {
        if (others) say_error("a will needs a --will-topic");
        return !others;
    }
    if (!mqtt_topic_name_valid(span_of_string(options->will_topic), 0)) {
        say_error("--will-topic: '%s' is no topic one can publish to (no wildcards, not empty)", options->will_topic);
        return false;
    }
    if (options->will_payload == NULL || strlen(options->will_payload) <= MQTT_STRING_BYTES_MAX) return true;
    say_error("--will-payload: more than %d bytes", MQTT_STRING_BYTES_MAX);
    return false;
}

static bool judge_version(const struct connection_options *options)
{
    if (options->version == MQTT_5) return true;
    for (int i = 0; i < PROPERTY_COMMANDS; i++) {
        if (options->properties[i].properties.present == 0) continue;
        say_error("-D and -x need MQTT 5 (-V says %s)", mqtt_version_name(options->version));
        return false;
    }
    if (options->password && options->user_name == NULL) {
        say_error("-P needs -u before MQTT 5");
        return false;
    }
    return true;
}

static bool make_client_id(struct connection_options *options, const char *role)
{
    if (options->client_id && options->client_id_prefix) {
        say_error("-i and -I exclude each other");
        return false;
    }
    if (options->keep_session && (options->client_id == NULL || options->client_id[0] == 0) &&
        !options->client_id_prefix) {
        say_error("-c needs a client id to come back with (-i)");
        return false;
    }
    if (options->client_id_prefix) {
        snprintf(options->id_text, sizeof options->id_text, "%s%ld", options->client_id_prefix, (long)getpid());
    } else if (options->client_id == NULL) {
        uint32_t random = (uint32_t)getpid();
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random ^= (uint32_t)clock_now_us();
        snprintf(options->id_text, sizeof options->id_text, "ringmq-%s-%08x", role, random);
    }
    if (options->client_id == NULL) options->client_id = options->id_text;
    if (options->version == MQTT_3_1 &&
        (options->client_id[0] == 0 || strlen(options->client_id) > CLIENT_ID_BYTES_MAX_3_1)) {
        say_error("MQTT 3.1 wants a client id of 1 to %d bytes (-i)", CLIENT_ID_BYTES_MAX_3_1);
        return false;
    }
    return judge_text("-i", options->client_id);
}

static bool judge_properties(const struct connection_options *options)
{
    const struct mqtt_properties *connect = &options->properties[PROPERTY_CONNECT].properties;
    const struct mqtt_properties *disconnect = &options->properties[PROPERTY_DISCONNECT].properties;
    if (mqtt_has(connect, MQTT_PROPERTY_AUTHENTICATION_DATA) &&
        !mqtt_has(connect, MQTT_PROPERTY_AUTHENTICATION_METHOD)) {
        say_error("-D connect authentication-data needs -D connect authentication-method");
        return false;
    }
    bool prolongs = mqtt_has(disconnect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL) && disconnect->session_expiry_s;
    bool none = !mqtt_has(connect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL) || connect->session_expiry_s == 0;
    if (!prolongs || !none) return true;
    say_error(
        "-D disconnect session-expiry-interval cannot prolong a session that ends with its connection (add -x or -c)");
    return false; /* §3.14.2.2.2 */
}

/* How long the server keeps the session: -c alone means for ever, --retry alone for as long as an outage may take. */
static void settle_session(struct connection_options *options)
{
    struct mqtt_properties *connect = &options->properties[PROPERTY_CONNECT].properties;
    if (options->version != MQTT_5 || mqtt_has(connect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)) return;
    if (!options->keep_session && !options->retry) return;
    connect->session_expiry_s = options->keep_session ? UINT32_MAX : SESSION_EXPIRY_WHILE_RETRYING_S;
    mqtt_set(connect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
    if (options->keep_session) return;
    /* Nobody asked for a session that outlives us. */
    struct mqtt_properties *disconnect = &options->properties[PROPERTY_DISCONNECT].properties;
    if (mqtt_has(disconnect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL)) return;
    disconnect->session_expiry_s = 0;
    mqtt_set(disconnect, MQTT_PROPERTY_SESSION_EXPIRY_INTERVAL);
}

static struct mqtt_connect make_connect(const struct connection_options *options)
{
    struct mqtt_connect connect = {
        .version = options->version,
        .clean_start = !options->keep_session,
        .has_will = options->will_topic != NULL,
        .has_user_name = options->user_name != NULL,
        .has_password = options->password != NULL,
        .keep_alive_s = (uint16_t)options->keep_alive_s,
        .client_id = span_of_string(options->client_id),
        .user_name = span_of_string(options->user_name ? options->user_name : ""),
        .password = span_of_string(options->password ? options->password : ""),
        .properties = options->properties[PROPERTY_CONNECT].properties,
        .will = {.qos = (uint8_t)options->will_qos,
                 .retain = options->will_retain,
                 .topic = span_of_string(options->will_topic ? options->will_topic : ""),
                 .payload = span_of_string(options->will_payload ? options->will_payload : ""),
                 .properties = options->properties[PROPERTY_WILL].properties},
    };
    return connect;
}

bool connection_settle(struct connection_options *options, const char *role, struct client_settings *ret_settings)
{
    if (!judge_text("-u", options->user_name) || !judge_will(options) || !judge_version(options)) return false;
    if (options->password && strlen(options->password) > MQTT_STRING_BYTES_MAX) {
        say_error("-P: more than %d bytes", MQTT_STRING_BYTES_MAX);
        return false;
    }
    if (!make_client_id(options, role)) return false;
    settle_session(options);
    if (!judge_properties(options)) return false;
    if (!endpoint_settle(&options->endpoint, &options->settled)) return false;
    const struct endpoint *endpoint = &options->settled;
    *ret_settings = (struct client_settings){
        .net = {.endpoint = endpoint,
                .name = endpoint->name,
                .host = endpoint->host,
                .port = endpoint->port,
                .bind_address = options->bind_address,
                .no_delay = options->no_delay,
                .attempt_ms = options->connect_ms},
        .connack_ms = options->connect_ms,
        .connect = make_connect(options),
        .resume = options->version == MQTT_5 || options->keep_session,
        .inflight_max = (uint16_t)options->inflight_max,
    };
    return true;
}
