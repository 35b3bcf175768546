/* ringmq top - a live console of a broker: shards, memory, drops, the busiest clients. */
#include "cmd/ringmq_top.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"
#include "cmd/ringmq_options.h"

struct top_options {
    const char *url, *key, *sort, *filter;
    uint32_t interval_ms, clients, rows;
    bool once, json, ascending;
};

#define FIELD(name) offsetof(struct top_options, name)
static const struct option options[] = {
    {0, "url", "URL", OPTION_TEXT, FIELD(url), .help = "the admin API (default: where `ringmq ctl login` was, else http://127.0.0.1:18083);\nalso the environment's RINGMQ_URL"},
    {0, "key", "KEY:SECRET", OPTION_TEXT, FIELD(key), .help = "an API key; better in the environment, RINGMQ_API_KEY, where others\ncannot see it"},
    {'i', "interval", "SECONDS", OPTION_SECONDS, FIELD(interval_ms), .help = "between two looks (2)"},
    {'s', "sort", "in|inbytes|out|queue|bytes|inflight|subs|id", OPTION_TEXT, FIELD(sort), .help = "order of the clients: messages from them a second, their bytes,\nmessages to them a second, waiting, bytes that wait, unacknowledged, subscriptions (in)"},
    {'r', "reverse", NULL, OPTION_FLAG, FIELD(ascending), .help = "the least first"},
    {'f', "filter", "TEXT", OPTION_TEXT, FIELD(filter), .help = "only clients with this in their id"},
    {0, "clients", "N", OPTION_NUMBER, FIELD(clients), 1, 10000, .help = "ask for so many clients (500): those with the most messages in all,\nor in the order chosen; the fastest of them come first"},
    {0, "once", NULL, OPTION_FLAG, FIELD(once), .help = "print one interval and end"},
    {'n', "rows", "N", OPTION_NUMBER, FIELD(rows), 1, 10000, .help = "with --once: print so many clients (20)"},
    {0, "json", NULL, OPTION_FLAG, FIELD(json), .help = "print a JSON object for each interval, a line each"},
};

static bool sort_take(const char *word, enum top_sort *ret_sort)
{
    for (int sort = 0; word && sort < TOP_SORTS; sort++) {
        if (strcmp(word, top_sort_names[sort]) != 0) continue;
        *ret_sort = (enum top_sort)sort;
        return true;
    }
    if (word) say_error("--sort wants in, inbytes, out, queue, bytes, inflight, subs or id, not '%s'", word);
    return word == NULL;
}

static int look_failed(const struct top *top)
{
    say_error("%s", top->error);
    return RINGMQ_EXIT_UNREACHABLE;
}

static int print_intervals(struct top *top, const struct top_options *given)
{
    if (!top_look(top)) return look_failed(top);
    do {
        struct timespec pause = {given->interval_ms / 1000, (long)(given->interval_ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
        if (!top_look(top)) return look_failed(top);
        if (given->json)
            top_print_json(top);
        else
            top_print(top, given->rows);
        if (fflush(stdout) != 0) return RINGMQ_EXIT_FAILED; /* its reader has gone */
    } while (!given->once);
    return RINGMQ_EXIT_OK;
}

int ringmq_top(int argc, char **argv)
{
    struct top_options given = {.interval_ms = 2000, .clients = 500, .rows = 20};
    const struct option_group group = {"Options", options, sizeof options / sizeof options[0], &given};
    const struct option_program program = {
        .usage = "ringmq top [options]",
        .about = "What a broker does, live: rates, latencies, memory, each shard's processor time, turns, batches and\n"
                 "lanes, what is dropped and why, and the busiest clients. It asks the admin API (see `ringmq ctl login`).\n\n"
                 "Keys: q quit, space pause, v next list (clients, slow subscribers, dropped messages), s next order, r reverse, / filter by client id, up and down choose a client,\n"
                 "k kick it (needs the role operator), h help.\n\n"
                 "  TURN      processor time of one turn of the shard's loop\n"
                 "  BATCH     completions it takes in one turn\n"
                 "  LANE/S    records from other shards\n"
                 "  FILL%     how full the fullest lane from another shard was within the last second\n"
                 "  LANEFULL  how often a lane was full since the start, and its sender had to wait\n"
                 "  slowed    the client publishes faster than its subscribers take",
        .examples = "ringmq top --sort queue\n"
                    "ringmq top --once -n 5\n"
                    "ringmq top --json | jq '.rates.messages_in'\n",
        .groups = &group, .groups_count = 1};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    if (verdict != OPTIONS_FINE) return verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    struct top top = {.clients_max = given.clients, .ascending = given.ascending};
    if (!sort_take(given.sort, &top.sort)) return RINGMQ_EXIT_FAILED;
    if (given.interval_ms < 100) {
        say_error("--interval: at least 0.1 seconds");
        return RINGMQ_EXIT_FAILED;
    }
    if (given.filter && strlen(given.filter) >= sizeof top.filter) {
        say_error("--filter: at most %zu bytes", sizeof top.filter - 1);
        return RINGMQ_EXIT_FAILED;
    }
    snprintf(top.filter, sizeof top.filter, "%s", given.filter ? given.filter : "");
    bool screen = !given.once && !given.json;
    if (!screen) top.events_wanted = 1u << TOP_SLOW | 1u << TOP_DROPS; /* on the screen: as long as they are looked at */
    if (screen && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))) {
        say_error("this is no terminal; --once or --json print instead");
        return RINGMQ_EXIT_FAILED;
    }
    if (!ctl_client(&top.client, given.url, given.key, NULL)) return RINGMQ_EXIT_FAILED;
    setlocale(LC_CTYPE, "");
    int status = RINGMQ_EXIT_OK;
    if (screen && !top_look(&top)) /* said on the terminal as it is, not on a screen that goes */
        status = look_failed(&top);
    else
        status = screen ? top_screen(&top, given.interval_ms) : print_intervals(&top, &given);
    top_release(&top);
    return status;
}
