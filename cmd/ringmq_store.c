/* ringmq_store.c - `ringmq store check|stat|export DIRECTORY`: a stopped broker's store, read and never changed (docs/durability.md).
 *
 * The only file of the client program that includes store/. */
#include "cmd/ringmq.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cmd/ringmq_format.h"
#include "cmd/ringmq_options.h"
#include "proto/utf8.h"
#include "store/store.h"

struct store_options {
    struct text_list positionals;
    bool salvage;
};

static const struct option store_options[] = {
    {0, "salvage", NULL, OPTION_FLAG, offsetof(struct store_options, salvage),
     .help = "go on behind damage, as a start with durability.on_damage = salvage does"},
};
static const char usage[] = "ringmq store check|stat|export DIRECTORY [options]";
static const char about[] =
    "A stopped broker's store: DIRECTORY is node.data_dir, or the store in it. Nothing is changed.\n"
    "\n"
    "  check   is it whole? Exit status 0: yes (a torn end is none of its faults); 1: no, and what is wrong\n"
    "  stat    what is in it, as KEY VALUE lines\n"
    "  export  sessions, subscriptions, queued and retained messages as JSON, an object a line";
static const char examples[] = "  ringmq store check /var/lib/ringmq\n"
                               "  ringmq store export /var/lib/ringmq | jq 'select(.kind == \"retained\")'\n";

struct opened {
    struct store_files files;
    struct store *store;
    struct state state;
    struct store_report report;
};

/* Nobody publishes here. */
static void groups_none(void *context, const struct state_session *session, const struct state_message *message,
                        struct state_partial *partial)
{
}

static bool open_store(struct opened *opened, const char *directory, bool salvage)
{
    char path[4200], error[600];
    snprintf(path, sizeof path, "%s/store", directory);
    struct stat status;
    if (stat(path, &status) != 0) snprintf(path, sizeof path, "%s", directory);
    if (!files_open(path, true, &opened->files, error, sizeof error)) {
        say_error("%s", error);
        return false;
    }
    struct store_config config = {.files = opened->files, .shards_count = 1, .segment_bytes = STORE_SEGMENT_BYTES_MIN, .salvage = salvage};
    opened->store = store_open(&config, error, sizeof error);
    state_init(&opened->state);
    bool read = opened->store && store_recover(opened->store, &opened->state, groups_none, NULL, NULL, &opened->report, error, sizeof error);
    if (!read) say_error("%s", error);
    return read;
}

static void close_store(struct opened *opened)
{
    state_release(&opened->state);
    if (opened->store) store_close(opened->store);
    files_close(&opened->files);
}

/* ---- stat ------------------------------------------------------------------------------------------------------- */

struct sums {
    uint64_t sessions, subscriptions, queued, window, incoming, wills;
};

static struct sums sums_of(const struct state *state)
{
    struct sums sums = {0};
    uint32_t cursor = 0;
    for (const struct state_session *session; (session = state_session_next(state, &cursor));) {
        sums.sessions++;
        sums.subscriptions += session->subscriptions_count;
        sums.queued += session->queue_count - session->queue_head;
        sums.window += session->window_count;
        sums.incoming += session->incoming_count;
        sums.wills += session->stored.will.present;
    }
    return sums;
}

static void print_stat(const struct opened *opened)
{
    const struct store_report *report = &opened->report;
    struct sums sums = sums_of(&opened->state);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"epochs", report->epochs}, {"last_epoch", report->epoch_last}, {"segments", report->segments},
                {"commits", report->commits}, {"records", report->records}, {"bytes", report->bytes},
                {"torn_ends", report->torn}, {"holes", report->holes}, {"sessions", sums.sessions},
                {"subscriptions", sums.subscriptions}, {"queued_messages", sums.queued}, {"window_messages", sums.window},
                {"incoming_packet_ids", sums.incoming}, {"wills", sums.wills}, {"retained_messages", opened->state.retained.count}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
}

/* ---- export ----------------------------------------------------------------------------------------------------- */

static void print_text(const char *key, struct span text)
{
    printf(",\"%s\":", key);
    json_print_string(text, stdout);
}

static void print_message(const struct stored_message *message)
{
    print_text("topic", message->topic);
    printf(",\"qos\":%u,\"retain\":%s", message->qos, message->retain ? "true" : "false");
    if (message->expires_ms) printf(",\"expires_ms\":%llu", (unsigned long long)message->expires_ms);
    if (message->properties.bytes) {
        printf(",\"properties_base64\":");
        json_print_base64(message->properties, stdout);
    }
    if (mqtt_utf8_valid(message->payload)) return print_text("payload", message->payload);
    printf(",\"payload_base64\":");
    json_print_base64(message->payload, stdout);
}

static void print_delivery(const struct state_session *session, const struct state_delivery *delivery, const char *place)
{
    printf("{\"kind\":\"%s\"", place);
    print_text("client", session->stored.client_id);
    if (delivery->packet_id) printf(",\"packet_id\":%u,\"released\":%s", delivery->packet_id, delivery->message ? "false" : "true");
    printf(",\"granted_qos\":%u", delivery->qos);
    if (delivery->message) print_message(&delivery->message->stored);
    printf("}\n");
}

static void print_session(const struct state_session *session)
{
    const struct stored_session *stored = &session->stored;
    printf("{\"kind\":\"session\"");
    print_text("client", stored->client_id);
    if (stored->expiry_s == UINT32_MAX)
        printf(",\"expiry_s\":null");
    else
        printf(",\"expiry_s\":%u", stored->expiry_s);
    printf(",\"detached_ms\":%llu,\"incoming_packet_ids\":[", (unsigned long long)stored->detached_ms);
    for (uint32_t i = 0; i < session->incoming_count; i++)
        printf("%s%u", i ? "," : "", session->incoming[i]);
    printf("]}\n");
    if (stored->will.present) {
        printf("{\"kind\":\"will\"");
        print_text("client", stored->client_id);
        printf(",\"delay_s\":%u", stored->will.delay_s);
        print_message(&stored->will.message);
        printf("}\n");
    }
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        const struct stored_subscription *subscription = &session->subscriptions[i].stored;
        printf("{\"kind\":\"subscription\"");
        print_text("client", stored->client_id);
        print_text("filter", subscription->filter);
        if (subscription->group.bytes) print_text("group", subscription->group);
        printf(",\"qos\":%u,\"no_local\":%s,\"retain_as_published\":%s,\"subscription_id\":%u}\n", subscription->qos,
               subscription->no_local ? "true" : "false", subscription->retain_as_published ? "true" : "false",
               subscription->subscription_id);
    }
    for (uint32_t i = 0; i < session->window_count; i++)
        print_delivery(session, &session->window[i], "window");
    for (uint32_t i = session->queue_head; i < session->queue_count; i++)
        print_delivery(session, &session->queue[i], "queued");
}

static void print_export(const struct state *state)
{
    uint32_t cursor = 0;
    for (const struct state_session *session; (session = state_session_next(state, &cursor));)
        print_session(session);
    cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));) {
        printf("{\"kind\":\"retained\"");
        print_message(&message->stored);
        printf("}\n");
    }
}

/* ---- the subcommand --------------------------------------------------------------------------------------------- */

static int look_into(const char *what, const char *directory, bool salvage)
{
    struct opened opened = {0};
    log_configure(LOG_WARN, LOG_TEXT);
    if (!open_store(&opened, directory, salvage)) {
        close_store(&opened);
        return RINGMQ_EXIT_FAILED;
    }
    if (opened.report.salvaged) say_error("damaged: %s", opened.report.hole);
    if (strcmp(what, "stat") == 0) print_stat(&opened);
    if (strcmp(what, "export") == 0) print_export(&opened.state);
    if (strcmp(what, "check") == 0)
        printf("%s: %llu commits, %u sessions, %u retained messages\n", opened.report.salvaged ? "damaged" : "whole",
               (unsigned long long)opened.report.commits, opened.state.sessions.count, opened.state.retained.count);
    bool whole = !opened.report.salvaged && fflush(stdout) == 0;
    close_store(&opened);
    return whole ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

int ringmq_store(int argc, char **argv)
{
    struct store_options options = {0};
    const struct option_group group = {"Options", store_options, sizeof store_options / sizeof store_options[0], &options};
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = &group, .groups_count = 1,
                                           .positionals = &options.positionals, .first = "check|stat|export", .others = "DIRECTORY"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE) {
        const char *const *words = options.positionals.items;
        const char *what = options.positionals.count ? words[0] : "";
        bool known = strcmp(what, "check") == 0 || strcmp(what, "stat") == 0 || strcmp(what, "export") == 0;
        if (known && options.positionals.count == 2)
            status = look_into(what, words[1], options.salvage);
        else
            say_error("say check, stat or export, and one directory (ringmq store --help)");
    }
    text_list_release(&options.positionals);
    return status;
}
