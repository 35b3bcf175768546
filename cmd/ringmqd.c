/* ringmqd.c - the broker's program: configuration, threads, signals.
 *
 * The main thread is the control thread (design §4): it writes the log, takes signals and tells systemd how things stand.
 *   SIGTERM, SIGINT   stop: MQTT 5 clients are told (DISCONNECT 0x8B), wills are held back; a second one ends at once
 *   SIGUSR1           make a copy of the store in node.data_dir/backup-TIME (docs/durability.md)
 *   SIGHUP            read the configuration again; what can change at run time does, the rest is listed in the log */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "broker/broker.h"
#include "broker/door_tls.h"
#include "broker/records.h"
#include "cmd/ringmqd_config.h"
#include "cmd/ringmqd_notify.h"
#include "cmd/ringmqd_store.h"
#include "cmd/ringmqd_tls.h"

struct control {
    struct ringmqd_arguments arguments;
    struct config *started;    /* the first one: tables and listeners point into it to the end */
    struct config *config;     /* in force */
    struct broker *broker;
    struct node *node;
    struct ringmqd_store store;
    uint32_t shards_count;
    int signals, log_wake, watchdog;
    int files; /* a timer: certificates may have changed */
    bool stopping;
};

/* ---- what start-up says ----------------------------------------------------------------------------------------- */

static void print_features(const struct control *control)
{
    const struct kernel_features *features = node_features(control->node);
    const struct {
        const char *name;
        bool used;
    } rows[] = {{"direct_descriptors", features->direct_descriptors}, {"fd_passing", features->fd_passing},
                {"message_ring", features->message_ring},             {"multishot_accept", features->multishot_accept},
                {"multishot_receive", features->multishot_receive},   {"incremental_buffers", features->incremental_buffers},
                {"receive_bundle", features->receive_bundle},         {"send_vectorized", features->send_vectorized},
                {"socket_options", features->socket_options},
                {"min_wait", features->min_wait}};
    char used[256] = "", unused[256] = "";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *list = rows[i].used ? used : unused;
        snprintf(list + strlen(list), 256 - strlen(list), "%s%s", *list ? "," : "", rows[i].name);
    }
    LOG(INFO, "io_uring", "uses=%s not_used=%s", used, *unused ? unused : "none");
}

/* What the fixed tables of a shard may take when full: the sum an operator sizes a machine by (design §8). */
static void print_limits(const struct control *control)
{
    const struct settings *settings = config_settings(control->config);
    uint64_t connections = (uint64_t)settings->node.connections_max * sizeof(struct conn);
    uint64_t receive = settings->io.receive_buffers_bytes;
    uint64_t lanes = (uint64_t)(control->shards_count + 1) * sizeof(struct lane);
    LOG(INFO, "memory limits per shard",
        "connections_table_bytes=%llu receive_buffers_bytes=%llu lanes_bytes=%llu stage_bytes_per_connection=%u "
        "queue_bytes_per_session=%llu queue_messages_per_session=%u",
        (unsigned long long)connections, (unsigned long long)receive, (unsigned long long)lanes, 2 * STAGE_BYTES_MAX,
        (unsigned long long)settings->mqtt.queue_bytes_max, settings->mqtt.queue_messages_max);
}

static void print_ready(const struct control *control)
{
    const struct listener *listener;
    for (uint32_t i = 0; (listener = node_listener(control->node, i)); i++)
        LOG(NOTICE, "listening", "listener=%s.%s bind=%s port=%u", listener_kind_names[listener->settings->kind], listener->settings->name, listener->settings->bind,
            listener->port);
    LOG(NOTICE, "ringmqd " RINGMQ_VERSION " is ready", "shards=%u pid=%d", control->shards_count, (int)getpid());
}

/* Connections cost a descriptor where they are not in the ring's own table; asking for what we may have is free. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LOG(WARN, "cannot raise the descriptor limit", "error=\"%s\"", strerror(errno));
}

/* ---- reload ----------------------------------------------------------------------------------------------------- */

static void log_change(void *context, const struct config_change *change)
{
    uint32_t *pending = context;
    bool whole_listener = !change->old_text || !change->new_text; /* all its keys differ: those somebody has written are enough */
    if (whole_listener && change->origin.kind == ORIGIN_DEFAULT) return;
    if (!change->reloadable) ++*pending;
    LOG(NOTICE, change->reloadable ? "configuration changed" : "configuration change needs a restart",
        "key=%s old=%s new=%s", change->path, log_quoted(span_of_string(change->old_text ? change->old_text : "")),
        log_quoted(span_of_string(change->new_text ? change->new_text : "")));
}

static void send_to_all(struct control *control, enum record_kind kind, const void *pointer)
{
    struct lane_cell cell = record_first((uint8_t)kind, 0, pointer, 0);
    for (uint32_t s = 0; s < control->shards_count; s++)
        node_send(control->node, s, &cell, 1);
}

static void reload(struct control *control)
{
    if (control->stopping) return;
    notify_reloading();
    struct config *wanted;
    uint32_t pending = 0;
    if (!ringmqd_config_load(&control->arguments, &wanted)) {
        LOG(ERROR, "configuration not reloaded", "what=\"see the errors above; the old one stays in force\"");
        return notify_ready();
    }
    size_t changes = config_diff(control->config, wanted, log_change, &pending);
    struct config *merged = config_merge_reloadable(control->config, wanted);
    config_release(wanted);
    const struct settings *settings = config_settings(merged);
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    /* Every shard takes it within a turn; the one before may then be released. */
    atomic_store(&control->broker->settings_taken, 0);
    send_to_all(control, RECORD_SETTINGS, settings);
    while (atomic_load(&control->broker->settings_taken) < control->shards_count)
        usleep(1000);
    if (control->config != control->started) config_release(control->config);
    control->config = merged;
    uint32_t failures = node_listeners_change(control->node, settings);
    ringmqd_tls_tick(control->node, true);
    ringmqd_tls_timer(control->node, control->files);
    LOG(NOTICE, "configuration reloaded", "changes=%zu need_restart=%u listeners_failed=%u", changes, pending, failures);
    notify_ready();
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void stop(struct control *control)
{
    if (control->stopping) {
        log_drain();
        _exit(1); /* asked twice: somebody does not want to wait for clients that don't read */
    }
    LOG(NOTICE, "stopping", "what=\"clients are disconnected\"");
    notify_stopping();
    control->stopping = true;
    node_stop_accepting(control->node);
    send_to_all(control, RECORD_STOP, NULL);
}

static void signal_take(struct control *control)
{
    struct signalfd_siginfo signal;
    if (read(control->signals, &signal, sizeof signal) != sizeof signal) return;
    if (signal.ssi_signo == SIGHUP)
        reload(control);
    else if (signal.ssi_signo == SIGUSR1)
        ringmqd_store_backup(&control->store);
    else
        stop(control);
}

static void *join_thread(void *argument)
{
    struct control *control = argument;
    node_join(control->node);
    uint64_t one = 1;
    ssize_t written = write(control->log_wake, &one, sizeof one);
    (void)written;
    return NULL;
}

/* Lines wait this long for others: at thousands a second, being woken for each would cost more than writing them. */
#define LOG_GATHER_MS 5

/* Until all shards have ended: signals, log lines, the watchdog. */
static void control_run(struct control *control)
{
    pthread_t joiner;
    CHECK(pthread_create(&joiner, NULL, join_thread, control) == 0);
    struct pollfd waits[] = {{control->signals, POLLIN, 0}, {control->log_wake, POLLIN, 0}, {control->watchdog, POLLIN, 0},
                             {control->files, POLLIN, 0}}; /* those that are -1 are left out */
    bool lines = false; /* a shard has rung for a line; it rings no more until they are taken */
    while (!(control->stopping && pthread_tryjoin_np(joiner, NULL) == 0)) {
        uint64_t number;
        if (poll(waits, 4, lines ? LOG_GATHER_MS : control->stopping ? 20 : -1) < 0) continue;
        if (lines) log_drain();
        lines = waits[1].revents && read(control->log_wake, &number, sizeof number) > 0;
        if (waits[0].revents) signal_take(control);
        if (control->watchdog >= 0 && waits[2].revents && read(control->watchdog, &number, sizeof number) > 0)
            notify_watchdog();
        if (waits[3].revents && read(control->files, &number, sizeof number) > 0 && !control->stopping) ringmqd_tls_tick(control->node, false);
    }
}

static void signals_block(struct control *control)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    control->signals = signalfd(-1, &set, SFD_CLOEXEC);
    control->log_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    control->files = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    CHECK(control->signals >= 0 && control->log_wake >= 0 && control->files >= 0);
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

static int broker_run(struct control *control)
{
    const struct settings *settings = config_settings(control->config);
    char error[512];
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    signals_block(control);
    raise_descriptor_limit();
    control->shards_count = settings->node.shards ? settings->node.shards : node_cores();
    uint64_t seed;
    CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    control->broker = broker_create(settings, control->shards_count, seed);
    control->node = node_create(settings, control->shards_count, &broker_handler, &kernel_uring, &control->broker->qsbr,
                                error, sizeof error);
    if (!control->node) {
        LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
        broker_destroy(control->broker);
        return 1;
    }
    log_start((enum log_format)settings->log.format, control->log_wake);
    log_thread_attach("control");
    bool stored = ringmqd_store_open(&control->store, settings, control->broker, control->shards_count);
    bool started = stored && node_start(control->node, broker_aboves(control->broker), error, sizeof error);
    if (stored && !started) LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
    if (!started) {
        node_destroy(control->node);
        ringmqd_store_close(&control->store);
        log_stop();
        broker_destroy(control->broker);
        return 1;
    }
    print_features(control);
    print_limits(control);
    ringmqd_tls_print(control->node);
    print_ready(control);
    ringmqd_tls_timer(control->node, control->files);
    control->watchdog = notify_watchdog_timer();
    notify_ready();
    control->broker->recovered = NULL;
    ringmqd_store_started(&control->store);
    control_run(control);
    node_destroy(control->node);
    ringmqd_store_close(&control->store);
    broker_destroy(control->broker);
    door_tls_forget_tickets();
    LOG(NOTICE, "stopped", "pid=%d", (int)getpid());
    log_stop();
    close(control->signals);
    close(control->log_wake);
    close(control->files);
    return 0;
}

int main(int argc, char **argv)
{
    struct control control = {.watchdog = -1};
    int status = ringmqd_arguments_parse(argc, argv, &control.arguments);
    if (status >= 0) return status;
    if (ringmqd_config_load(&control.arguments, &control.started)) {
        control.config = control.started;
        bool sound = control.arguments.action != RINGMQD_CHECK || ringmqd_tls_check(config_settings(control.config));
        status = control.arguments.action == RINGMQD_RUN ? broker_run(&control)
                 : sound                                 ? ringmqd_config_act(&control.arguments, control.config)
                                                         : 1;
    } else {
        status = 1;
    }
    if (control.config != control.started) config_release(control.config);
    config_release(control.started);
    ringmqd_arguments_release(&control.arguments);
    return status;
}
