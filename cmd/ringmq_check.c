/* ringmq check - tries what a broker can do, one capability after the other, and prints a verdict for each. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_capability.h"
#include "cmd/ringmq_format.h"

const struct capability capabilities[] = {
    {"mqtt-3.1", "MQTT 3.1", false, false, try_version_3_1},
    {"mqtt-3.1.1", "MQTT 3.1.1", true, false, try_version_3_1_1},
    {"mqtt-5", "MQTT 5", true, false, try_version_5},
    {"qos-0", "QoS 0 round trip", true, false, try_qos_0},
    {"qos-1", "QoS 1 round trip", true, false, try_qos_1},
    {"qos-2", "QoS 2 round trip", true, false, try_qos_2},
    {"wildcards", "wildcards", true, false, try_wildcard},
    {"retained", "retained: set, get, clear", true, false, try_retained},
    {"retained-once", "retained: not repeated", false, false, try_retained_once},
    {"will", "will", true, false, try_will},
    {"session-resume", "session resume, offline queue", true, false, try_session_resume},
    {"takeover", "takeover of a client id", false, false, try_takeover},
    {"assigned-client-id", "assigned client id", false, false, try_assigned_client_id},
    {"shared", "shared subscriptions", false, false, try_shared},
    {"subscription-identifiers", "subscription identifiers", false, false, try_subscription_ids},
    {"no-local", "no local", false, false, try_no_local},
    {"retain-as-published", "retain as published", false, false, try_retain_as_published},
    {"retain-handling", "retain handling", false, false, try_retain_handling},
    {"topic-alias", "topic alias to the server", false, false, try_topic_alias},
    {"topic-alias-out", "topic alias from the server", false, false, try_topic_alias_out},
    {"request-response", "request/response properties", false, false, try_request_response},
    {"receive-maximum", "receive maximum is kept", false, false, try_receive_maximum},
    {"maximum-packet-size", "maximum packet size is kept", false, false, try_maximum_packet},
    {"message-expiry", "message expiry", false, true, try_message_expiry},
    {"keep-alive", "keep-alive is enforced", false, true, try_keep_alive},
};
const uint32_t capabilities_count = sizeof capabilities / sizeof capabilities[0];

struct check_options {
    struct text_list positionals, only;
    bool json, quick, debug;
    uint32_t wait_ms;
    const char *prefix;
};

struct tally {
    uint32_t passed, failed, absent, essential_missed;
};

#define FIELD(name) offsetof(struct check_options, name)
static const struct option check_options[] = {
    {0, "json", NULL, OPTION_FLAG, FIELD(json), 0, 0, NULL, "print one JSON object instead of a table"},
    {0, "only", "NAME", OPTION_LIST, FIELD(only), 0, 0, NULL,
     "try only this capability (its name in --json); repeatable"},
    {0, "quick", NULL, OPTION_FLAG, FIELD(quick), 0, 0, NULL, "leave out what takes longer than a second"},
    {0, "timeout", "SECONDS", OPTION_SECONDS, FIELD(wait_ms), 0, 0, NULL,
     "how long to wait for an answer or a message (5)"},
    {0, "topic-prefix", "TOPIC", OPTION_TEXT, FIELD(prefix), 0, 0, NULL,
     "try below this topic (ringmq/check); a random level is added"},
    {'d', "debug", NULL, OPTION_FLAG, FIELD(debug), 0, 0, NULL, "show the packets on standard error"},
};

static const char usage[] = "ringmq check [HOST[:PORT]] [options]";
static const char about[] =
    "Tries what an MQTT server can do and prints a verdict per capability: pass, fail, or absent\n"
    "(the server says that it does not offer it). Exit status: 0 all essential ones (*) pass, 1 one\n"
    "does not, 2 the server cannot be reached or does not let us in. Topics and client ids are unique,\n"
    "and nothing is left behind.";
static const char examples[] = "  ringmq check broker:1883\n"
                               "  ringmq check -L wss://broker/mqtt --cafile ca.pem\n"
                               "  ringmq check -L mqtt://ann:secret@broker --json | jq .essential_missed\n";

static const char *const verdict_words[] = {"pass", "fail", "absent"};

/* ---- what CONNACK announced ---- */

static void print_announced_json(const struct client *client)
{
    const struct client_server *server = &client->server;
    printf("\"announced\":{\"receive_maximum\":%u,\"maximum_qos\":%u,\"retain_available\":%s,\"maximum_packet_size\":",
           server->receive_maximum, server->maximum_qos, server->retain_available ? "true" : "false");
    if (server->packet_bytes_max)
        printf("%u", server->packet_bytes_max);
    else
        fputs("null", stdout);
    printf(
        ",\"topic_alias_maximum\":%u,\"wildcard_subscription_available\":%s,\"subscription_identifiers_available\":%s,"
        "\"shared_subscription_available\":%s,\"server_keep_alive\":",
        server->topic_alias_maximum, server->wildcard_available ? "true" : "false",
        server->subscription_ids_available ? "true" : "false", server->shared_available ? "true" : "false");
    if (server->announced >> MQTT_PROPERTY_SERVER_KEEP_ALIVE & 1)
        printf("%u},", server->keep_alive_s);
    else
        fputs("null},", stdout);
}

static void print_announced(const struct client *client)
{
    const struct client_server *server = &client->server;
    printf("announced: receive maximum %u, maximum QoS %u, topic aliases %u, maximum packet ", server->receive_maximum,
           server->maximum_qos, server->topic_alias_maximum);
    if (server->packet_bytes_max)
        printf("%u B", server->packet_bytes_max);
    else
        fputs("unlimited", stdout);
    if (server->announced >> MQTT_PROPERTY_SERVER_KEEP_ALIVE & 1) printf(", keep-alive %u s", server->keep_alive_s);
    printf("\nannounced: retained %s, wildcards %s, shared %s, subscription identifiers %s\n\n",
           server->retain_available ? "yes" : "no", server->wildcard_available ? "yes" : "no",
           server->shared_available ? "yes" : "no", server->subscription_ids_available ? "yes" : "no");
}

/* ---- trying ---- */

static bool wanted(const struct check_options *options, const struct capability *capability)
{
    if (options->only.count == 0) return !(options->quick && capability->slow);
    for (uint32_t i = 0; i < options->only.count; i++)
        if (strcmp(options->only.items[i], capability->name) == 0) return true;
    return false;
}

static void count(struct tally *tally, const struct capability *capability, enum capability_verdict verdict)
{
    if (verdict == CAPABILITY_PASS) tally->passed++;
    if (verdict == CAPABILITY_FAIL) tally->failed++;
    if (verdict == CAPABILITY_ABSENT) tally->absent++;
    if (capability->essential && verdict != CAPABILITY_PASS) tally->essential_missed++;
}

static void print_verdict(const struct check *check, const struct capability *capability,
                          enum capability_verdict verdict, uint64_t took_us)
{
    printf("%-6s  %-32s %c %9.3f ms", verdict_words[verdict], capability->title, capability->essential ? '*' : ' ',
           (double)took_us / 1000);
    if (check->note[0]) fputs("  ", stdout);
    print_shown(check->note, stdout);
    putchar('\n');
    fflush(stdout);
}

static void print_verdict_json(const struct check *check, const struct capability *capability,
                               enum capability_verdict verdict, uint64_t took_us, bool first)
{
    printf("%s{\"name\":\"%s\",\"verdict\":\"%s\",\"essential\":%s,\"ms\":%.3f,\"note\":", first ? "" : ",",
           capability->name, verdict_words[verdict], capability->essential ? "true" : "false", (double)took_us / 1000);
    json_print_string(span_of_string(check->note), stdout);
    putchar('}');
}

static struct tally try_all(struct check *check, const struct check_options *options)
{
    struct tally tally = {0, 0, 0, 0};
    for (uint32_t i = 0; i < capabilities_count; i++) {
        const struct capability *capability = &capabilities[i];
        if (!wanted(options, capability)) continue;
        check->note[0] = 0;
        uint64_t begin_us = clock_now_us(), took_us = 0;
        bool first = tally.passed + tally.failed + tally.absent == 0;
        enum capability_verdict verdict = capability->try(check, &took_us);
        if (took_us == 0) took_us = clock_now_us() - begin_us;
        count(&tally, capability, verdict);
        if (options->json)
            print_verdict_json(check, capability, verdict, took_us, first);
        else
            print_verdict(check, capability, verdict, took_us);
    }
    return tally;
}

/* ---- the first connection: is there anybody? ---- */

static int report_unreachable(const struct check_options *options, const struct connection_options *connection,
                              const struct client_end *end)
{
    say_error("%s", end->text);
    if (options->json) {
        printf("{\"host\":");
        json_print_string(span_of_string(connection->settled.host), stdout);
        printf(",\"port\":%u,\"reachable\":false,\"error\":", connection->settled.port);
        json_print_string(span_of_string(end->text), stdout);
        puts("}");
    }
    return RINGMQ_EXIT_UNREACHABLE;
}

/* A server may speak 3.1.1 and nothing newer. */
static bool takes_older_version(struct check *check)
{
    struct client_settings settings = check->settings;
    settings.connect.version = MQTT_3_1_1;
    settings.connect.properties.present = 0;
    struct peer peer;
    bool online = peer_open(&peer, check, "hello", &settings);
    peer_close(&peer);
    return online;
}

static int run_check(struct check *check, const struct check_options *options)
{
    struct peer peer;
    bool online = peer_open(&peer, check, "hello", &check->settings);
    struct client_end end = peer.client.end;
    if (!online && !takes_older_version(check)) {
        peer_close(&peer);
        return report_unreachable(options, check->options, &end);
    }
    if (options->json) {
        printf("{\"host\":");
        json_print_string(span_of_string(check->options->settled.host), stdout);
        printf(",\"port\":%u,\"reachable\":true,", check->options->settled.port);
        if (online) print_announced_json(&peer.client);
        printf("\"checks\":[");
    } else {
        puts(check->options->settled.name);
        if (online) print_announced(&peer.client);
    }
    peer_close(&peer);
    struct tally tally = try_all(check, options);
    if (options->json)
        printf("],\"passed\":%u,\"failed\":%u,\"absent\":%u,\"essential_missed\":%u}\n", tally.passed, tally.failed,
               tally.absent, tally.essential_missed);
    else
        printf("\n%u passed, %u failed, %u absent; %u essential (*) missed\n", tally.passed, tally.failed, tally.absent,
               tally.essential_missed);
    return tally.essential_missed ? RINGMQ_EXIT_FAILED : RINGMQ_EXIT_OK;
}

/* ---- the command ---- */

static bool judge(const struct check_options *options, struct connection_options *connection)
{
    if (options->positionals.count > 1) {
        say_error("'%s': one HOST[:PORT] is enough", options->positionals.items[1]);
        return false;
    }
    if (options->positionals.count && (connection->endpoint.host || connection->endpoint.unix_path)) {
        say_error("HOST[:PORT] and -h or -L exclude each other");
        return false;
    }
    for (uint32_t i = 0; i < options->only.count; i++) {
        const char *names[sizeof capabilities / sizeof capabilities[0]];
        bool found = false;
        for (uint32_t j = 0; j < capabilities_count; j++) {
            names[j] = capabilities[j].name;
            found = found || strcmp(names[j], options->only.items[i]) == 0;
        }
        if (found) continue;
        const char *nearest = nearest_word(options->only.items[i], names, capabilities_count);
        say_error("--only: there is no capability '%s'%s%s", options->only.items[i], nearest ? "; did you mean " : "",
                  nearest ? nearest : "");
        return false;
    }
    if (strlen(options->prefix) > 60 || strpbrk(options->prefix, "+#")) {
        say_error("--topic-prefix: at most 60 bytes, without wildcards");
        return false;
    }
    return options->positionals.count == 0 || connection_take_address(connection, options->positionals.items[0]);
}

static int prepare_and_run(const struct check_options *options, struct connection_options *connection)
{
    struct check check = {.options = connection, .wait_ms = options->wait_ms};
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random = (uint32_t)clock_now_us() ^ (uint32_t)getpid();
    snprintf(check.prefix, sizeof check.prefix, "%s/%08x", options->prefix, random);
    snprintf(check.tag, sizeof check.tag, "rc%08x", random); /* short: 3.1 takes ids up to 23 bytes */
    connection->debug = options->debug;
    if (!connection_settle(connection, "check", &check.settings)) return RINGMQ_EXIT_FAILED;
    check.settings.resume = false;
    check.settings.net.no_delay = true;
    return run_check(&check, options);
}

int ringmq_check(int argc, char **argv)
{
    struct check_options options = {.wait_ms = 5000, .prefix = "ringmq/check"};
    struct connection_options connection;
    connection_options_init(&connection);
    connection.connect_ms = 5000;
    const struct option_group groups[] = {
        {"Check", check_options, sizeof check_options / sizeof check_options[0], &options},
        {"Server", connection_network_options, connection_network_options_count, &connection},
        {"TLS and WebSocket", endpoint_options_table, endpoint_options_count, &connection.endpoint},
    };
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = groups, .groups_count = 3,
                                           .positionals = &options.positionals, .first = "HOST"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE && judge(&options, &connection)) status = prepare_and_run(&options, &connection);
    text_list_release(&options.positionals);
    text_list_release(&options.only);
    connection_options_release(&connection);
    return status;
}
