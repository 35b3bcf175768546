/* ringmq_run.h - the loop of a program with one client: poll, signals, one more descriptor, reconnecting.
 *
 *     run_init(); client_open(&run.client);
 *     while (run_turn(&run, stdin wanted ? 0 : -1, deadline)) { look at what the events left behind; }
 *     return run_finish();
 *
 * SIGINT and SIGTERM ask for a clean DISCONNECT (run.stopped); a second one kills, as it does by default. */
#ifndef RINGMQ_CMD_RUN_H
#define RINGMQ_CMD_RUN_H

#include "cmd/ringmq_connection.h"

struct run {
    struct client client;
    const struct connection_options *options;
    bool stopped;          /* a signal came */
    bool input_ready;      /* the other descriptor has something to read, or ended */
    bool leaving;          /* run_disconnect() was called */
    bool gave_up;          /* the connection is over and will not be made again; a complaint was printed */
    int status;            /* the exit status so far */
    uint32_t pause_ms;     /* before the next attempt */
    uint64_t reopen_at_ms; /* 0: no attempt is due */
};

void run_init(struct run *run, const struct connection_options *options, const struct client_settings *settings,
              const struct client_events *events, void *context);
/* One turn, no longer than until wake_ms (CLOCK_MONOTONIC; UINT64_MAX: no limit). `input_fd` is watched too (-1: none).
 * False: it is over. Begins to disconnect by itself when a signal came. */
bool run_turn(struct run *run, int input_fd, uint64_t wake_ms);
/* Ends well: DISCONNECT with what -D disconnect asks for. */
void run_disconnect(struct run *run);
/* Gives everything back; returns the exit status. */
int run_finish(struct run *run);

/* The packets, on standard error, for -d. */
void run_trace(void *context, bool sent, const struct mqtt_packet *packet);

#endif
