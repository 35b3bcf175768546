/* ringmq_store.c - `ringmq store …`: a stopped broker's store looked at, written anew, exported and imported (docs/durability.md).
 *
 * Only ringmq_store*.c of the client program include store/. */
#include "cmd/ringmq_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_options.h"
#include "store/rewrite.h"
#include "store/store.h"

struct store_options {
    struct text_list positionals;
    bool salvage;
};

static const struct option store_options[] = {
    {0, "salvage", NULL, OPTION_FLAG, offsetof(struct store_options, salvage),
     .help = "go on behind damage, as a start with durability.on_damage = salvage does"},
};
static const char usage[] = "ringmq store check|stat|export|compact|import DIRECTORY [options]";
static const char about[] =
    "A stopped broker's store: DIRECTORY is node.data_dir, or the store in it. check, stat and export change nothing.\n"
    "\n"
    "  check    is it whole? Exit status 0: yes (a torn end is none of its faults); 1: no, and what is wrong\n"
    "  stat     what is in it, as KEY VALUE lines\n"
    "  export   sessions, subscriptions, queued and retained messages as JSON, an object a line\n"
    "  compact  what lives is written once more and the rest removed\n"
    "  import   the lines of an export, on standard input, become a new store; there must be none in DIRECTORY (node.data_dir)";
static const char examples[] = "  ringmq store check /var/lib/ringmq\n"
                               "  ringmq store export /var/lib/ringmq | jq 'select(.kind == \"retained\")'\n"
                               "  ringmq store export /var/lib/ringmq | ringmq store import /srv/ringmq\n";

#define SHELF_MEMORY_BYTES (64u * 1024 * 1024)
#define SEGMENT_BYTES      (64u * 1024 * 1024)

struct opened {
    char path[4200];
    struct store_files files;
    struct store *store;
    struct state state;
    bool has_state, has_shelf;
    struct shelf shelf;
    struct store_report report;
};

/* Nobody publishes here. */
static void groups_none(void *context, const struct state_session *session, const struct state_message *message,
                        struct state_partial *partial)
{
}

static bool is_store(const char *path)
{
    char version[4300];
    struct stat status;
    snprintf(version, sizeof version, "%s/version", path); /* a start's first file */
    return stat(version, &status) == 0;
}

/* DIRECTORY/store, or DIRECTORY itself. To write is to make what is not there, so that is only done where a store is, or (fresh) is to be. */
static bool open_files(struct opened *opened, const char *directory, bool changes, bool fresh)
{
    char error[600];
    struct stat status;
    bool itself = is_store(directory);
    if (itself && fresh) return say_error("%s is a store itself; import makes a new one in a directory that has none (node.data_dir)", directory), false;
    snprintf(opened->path, sizeof opened->path, "%s/store", directory);
    if (!fresh && (itself || stat(opened->path, &status) != 0)) snprintf(opened->path, sizeof opened->path, "%s", directory);
    if (changes && !fresh && !is_store(opened->path)) return say_error("there is no store in %s", directory), false;
    if (files_open(opened->path, !changes, &opened->files, error, sizeof error)) return true;
    say_error("%s", error);
    return false;
}

static bool open_shelf(struct opened *opened, bool changes)
{
    char path[4300], error[600];
    struct stat status;
    snprintf(path, sizeof path, "%s/" STORE_SHELF_NAME, opened->path);
    if (stat(path, &status) != 0) return true;
    opened->has_shelf = shelf_open(path, !changes, SHELF_MEMORY_BYTES, &opened->shelf, error, sizeof error);
    if (!opened->has_shelf) say_error("%s", error);
    return opened->has_shelf;
}

static bool open_store(struct opened *opened, bool changes, bool salvage)
{
    char error[600];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct store_config config = {.files = opened->files, .shards_count = 1, .segment_bytes = SEGMENT_BYTES, .salvage = salvage,
                                  .realtime_ms = (uint64_t)now.tv_sec * 1000};
    if (getrandom(&config.seed, sizeof config.seed, 0) != sizeof config.seed) return false;
    opened->store = store_open(&config, error, sizeof error);
    state_init(&opened->state);
    opened->has_state = true;
    bool read = opened->store && store_recover(opened->store, &opened->state, groups_none, NULL, NULL, &opened->report, error, sizeof error);
    if (!read) say_error("%s", error);
    return read && open_shelf(opened, changes);
}

static void close_store(struct opened *opened)
{
    if (opened->has_state) state_release(&opened->state);
    if (opened->has_shelf) opened->shelf.close(opened->shelf.context);
    if (opened->store) store_close(opened->store);
    files_close(&opened->files);
}

/* ---- stat ------------------------------------------------------------------------------------------------------- */

struct sums {
    uint64_t retained_shelved, retained_shelved_bytes;
    uint64_t sessions, subscriptions, queued, shelved, window, incoming, wills, partial;
};

static struct sums sums_of(const struct state *state)
{
    struct sums sums = {0};
    uint32_t cursor = 0;
    for (const struct state_session *session; (session = state_session_next(state, &cursor));) {
        sums.sessions++;
        sums.subscriptions += session->subscriptions_count;
        sums.queued += session->queue_count - session->queue_head + session->rest_count - session->rest_head;
        if (session->shelved) sums.shelved += session->shelf_until - session->shelf_from;
        sums.partial += session->partials_count;
        sums.window += session->window_count;
        sums.incoming += session->incoming_count;
        sums.wills += session->stored.will.present;
    }
    cursor = 0;
    for (const struct state_message *message; (message = map_next(&state->retained, &cursor));) {
        sums.retained_shelved += message->row.space != 0;
        sums.retained_shelved_bytes += message->payload_bytes;
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
                {"subscriptions", sums.subscriptions}, {"queued_messages", sums.queued + sums.shelved}, {"queued_on_shelf", sums.shelved}, {"window_messages", sums.window},
                {"incoming_packet_ids", sums.incoming}, {"wills", sums.wills}, {"partial_messages", sums.partial}, {"retained_messages", opened->state.retained.count},
                {"retained_on_shelf", sums.retained_shelved}, {"retained_on_shelf_bytes", sums.retained_shelved_bytes}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
}

/* ---- compact and import ------------------------------------------------------------------------------------------- */

/* The new log will say that of rows nothing is left that it does not name. */
static bool sweep(struct opened *opened, char *ret_error, size_t error_bytes)
{
    const struct shelf *shelf = &opened->shelf;
    if (!opened->has_shelf || (shelf_sweep(shelf, &opened->state) == 0 && shelf->sync(shelf->context) == 0)) return true;
    snprintf(ret_error, error_bytes, "%s", shelf->fault(shelf->context));
    return false;
}

/* The state becomes the store's newest and only log. */
static bool write_anew(struct opened *opened)
{
    char error[600];
    bool done = sweep(opened, error, sizeof error) && store_start(opened->store, false, error, sizeof error) && store_rewrite(opened->store, &opened->state, error, sizeof error);
    if (done && opened->has_shelf && opened->shelf.compact(opened->shelf.context) != 0) {
        snprintf(error, sizeof error, "%s", opened->shelf.fault(opened->shelf.context));
        done = false;
    }
    if (done) {
        state_release(&opened->state);
        opened->has_state = false;
        store_recovered(opened->store);
        done = store_rewritten(opened->store, error, sizeof error);
    }
    if (!done) say_error("%s", error);
    return done;
}

static bool compact(struct opened *opened)
{
    uint64_t before = opened->report.bytes;
    bool done = write_anew(opened);
    if (done) printf("%llu bytes of records before; what lived of them is written anew\n", (unsigned long long)before);
    return done;
}

static bool import(struct opened *opened)
{
    if (opened->report.segments || opened->state.sessions.count || opened->state.retained.count) {
        say_error("there is a store in %s already; import makes a new one", opened->path);
        return false;
    }
    if (!store_import(stdin, &opened->state)) return false;
    uint32_t sessions = opened->state.sessions.count, retained = opened->state.retained.count;
    bool done = write_anew(opened);
    if (done) printf("%u sessions, %u retained messages\n", sessions, retained);
    return done;
}

/* ---- the subcommand --------------------------------------------------------------------------------------------- */

/* Each row the log names is read. */
static uint64_t rows_missing(const struct opened *opened, uint64_t *ret_rows)
{
    uint64_t missing = 0;
    uint32_t cursor = 0;
    *ret_rows = 0;
    for (const struct state_message *message; (message = map_next(&opened->state.retained, &cursor));) {
        struct span payload;
        void *memory;
        if (!message->row.space) continue;
        missing += !store_retained_read(opened->has_shelf ? &opened->shelf : NULL, message, &payload, &memory);
        memory_release(memory);
        ++*ret_rows;
    }
    return missing;
}

static bool check(struct opened *opened)
{
    uint64_t rows, missing = rows_missing(opened, &rows);
    if (missing) {
        printf("damaged: %llu of %llu payloads of retained messages are not on the shelf\n", (unsigned long long)missing, (unsigned long long)rows);
        return false;
    }
    printf("%s: %llu commits, %u sessions, %u retained messages\n", opened->report.salvaged ? "damaged" : "whole",
           (unsigned long long)opened->report.commits, opened->state.sessions.count, opened->state.retained.count);
    return true;
}

static bool stat_print(struct opened *opened)
{
    print_stat(opened);
    return true;
}

static bool export(struct opened *opened) { return store_export(&opened->state, opened->has_shelf ? &opened->shelf : NULL); }

static const struct verb {
    const char *name;
    bool changes, fresh;
    bool (*run)(struct opened *opened);
} verbs[] = {{"check", false, false, check}, {"stat", false, false, stat_print}, {"export", false, false, export},
             {"compact", true, false, compact}, {"import", true, true, import}};

static int run(const struct verb *verb, const char *directory, bool salvage)
{
    struct opened opened = {0};
    log_configure(LOG_WARN, LOG_TEXT);
    bool good = open_files(&opened, directory, verb->changes, verb->fresh);
    if (good) good = open_store(&opened, verb->changes, salvage);
    if (good && opened.report.salvaged) say_error("damaged: %s", opened.report.hole);
    good = good && verb->run(&opened) && !opened.report.salvaged && fflush(stdout) == 0;
    close_store(&opened);
    return good ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

int ringmq_store(int argc, char **argv)
{
    struct store_options options = {0};
    const struct option_group group = {"Options", store_options, sizeof store_options / sizeof store_options[0], &options};
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = &group, .groups_count = 1,
                                           .positionals = &options.positionals, .first = "check|stat|export|compact|import",
                                           .others = "DIRECTORY"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    if (verdict == OPTIONS_FINE) {
        const char *const *words = options.positionals.items;
        const struct verb *verb = NULL;
        for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && options.positionals.count; i++)
            if (strcmp(words[0], verbs[i].name) == 0) verb = &verbs[i];
        if (verb && options.positionals.count == 2)
            status = run(verb, words[1], options.salvage);
        else
            say_error("say check, stat, export, compact or import, and one directory (ringmq store --help)");
    }
    text_list_release(&options.positionals);
    return status;
}
