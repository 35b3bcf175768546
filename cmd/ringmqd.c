/* ringmqd.c - the broker's program: configuration, threads, signals.
 *
 * The main thread is the control thread (design §4): it writes the log, takes signals and tells systemd how things stand.
 *   SIGTERM, SIGINT   stop: MQTT 5 clients are told (DISCONNECT 0x8B), wills are held back; a second one ends at once, and so does one while the store is being read
 *   SIGUSR1           make a copy of the store in node.data_dir/backup-TIME (docs/durability.md)
 *   SIGHUP            read the configuration again; what can change at run time does, the rest is listed in the log */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/huge.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/regions.h"
#include "broker/broker.h"
#include "broker/doors/tls.h"
#include "broker/records.h"
#include "cmd/ringmqd_admin.h"
#include "cmd/ringmqd_config.h"
#include "cmd/ringmqd_features.h"
#include "cmd/ringmqd_notify.h"
#include "cmd/ringmqd_start.h"
#include "cmd/ringmqd_store.h"
#include "cmd/ringmqd_tls.h"

/* jemalloc reads it at start. An idle shard frees nothing, so nothing would remind the allocator of the pages a storm has left with it; its own
 * thread does, and sleeps while there are none. */
const char *malloc_conf = "background_thread:true";

struct control {
    struct ringmqd_arguments arguments;
    struct config *started;    /* the first one: tables and listeners point into it to the end */
    struct config *config;     /* in force */
    struct broker *broker;
    struct features *features;
    struct node *node;
    struct ringmqd_store store;
    struct admin *admin; /* NULL: admin.enable is false, or it could not be started */
    int admin_wake;      /* -1: the same */
    int events_wake;     /* what features hear about: features_events_fd() */
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
                {"socket_options", features->socket_options},         {"fd_install", features->fd_install},
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

/* What the configuration's table cannot see: rules that the broker compiles. */
static bool extras_sound(const struct config *config)
{
    char error[512];
    bool sound = extras_check(config_settings(config), error, sizeof error);
    if (!sound) fprintf(stderr, "ringmqd: %s\n", error);
    return sound;
}

/* False: the old configuration stays in force; the log says why. */
static bool reload(struct control *control, struct admin_reload *ret_reload)
{
    *ret_reload = (struct admin_reload){0};
    if (control->stopping) return false;
    notify_reloading();
    struct config *wanted;
    uint32_t pending = 0;
    if (!ringmqd_config_load(&control->arguments, &wanted)) {
        LOG(ERROR, "configuration not reloaded", "what=\"see the errors above; the old one stays in force\"");
        notify_ready();
        return false;
    }
    if (!extras_sound(wanted)) {
        config_release(wanted);
        LOG(ERROR, "configuration not reloaded", "what=\"see the error above; the old one stays in force\"");
        notify_ready();
        return false;
    }
    size_t changes = config_diff(control->config, wanted, log_change, &pending);
    struct config *merged = config_merge_reloadable(control->config, wanted);
    config_release(wanted);
    const struct settings *settings = config_settings(merged);
    if (!ringmqd_features_prepare(control->features, merged)) {
        config_release(merged);
        notify_ready();
        return false;
    }
    features_prepared_take(control->features);
    struct extras *extras_before = extras_change(control->broker, settings);
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    /* Every shard takes it within a turn; the one before may then be released. */
    atomic_store(&control->broker->settings_taken, 0);
    send_to_all(control, RECORD_SETTINGS, settings);
    while (atomic_load(&control->broker->settings_taken) < control->shards_count)
        usleep(1000);
    extras_release(extras_before);
    features_prepared_done(control->features);
    features_settings_use(control->features, settings);
    if (control->config != control->started) config_release(control->config);
    control->config = merged;
    uint32_t failures = node_listeners_change(control->node, settings);
    ringmqd_tls_tick(control->node, true);
    ringmqd_tls_timer(control->node, control->files);
    if (control->admin) admin_settings(control->admin, settings);
    LOG(NOTICE, "configuration reloaded", "changes=%zu need_restart=%u listeners_failed=%u", changes, pending, failures);
    notify_ready();
    *ret_reload = (struct admin_reload){.changes = (uint32_t)changes, .need_restart = pending, .listeners_failed = failures};
    return true;
}

/* ---- what the admin API asks of this thread (admin/control.h) ----------------------------------------------------- */

static const struct config *admin_config(void *context) { return ((struct control *)context)->config; }

/* `runtime`: the text to be tried in place of runtime.conf, by way of a file that has no name for long. */
static bool admin_load(void *context, const char *runtime, struct config **ret_config, struct config_errors *errors)
{
    struct control *control = context;
    if (!runtime) return ringmqd_config_try(&control->arguments, NULL, ret_config, errors);
    char path[4200];
    snprintf(path, sizeof path, "%s/runtime.conf.tried", config_settings(control->config)->node.data_dir);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* there may be passwords in it */
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    bool written = file && fputs(runtime, file) >= 0;
    written = file && fclose(file) == 0 && written;
    if (!written) config_errors_add(errors, NULL, "%s cannot be written: %s", path, strerror(errno));
    bool sound = written && ringmqd_config_try(&control->arguments, path, ret_config, errors);
    unlink(path);
    return sound;
}

static bool admin_reload(void *context, struct admin_reload *ret_reload) { return reload(context, ret_reload); }

/* Without the listener, then with it again. */
static bool admin_backup(void *context, char *ret_error, size_t error_bytes)
{
    return ringmqd_store_backup(&((struct control *)context)->store, ret_error, error_bytes);
}

static void admin_last_backup(void *context, struct admin_backup *ret_backup)
{
    ringmqd_store_last_backup(&((struct control *)context)->store, ret_backup);
}

static bool admin_listener_restart(void *context, const char *id, char *ret_error, size_t error_bytes)
{
    struct control *control = context;
    const struct settings *settings = config_settings(control->config);
    struct settings without = *settings;
    without.listeners = memory_acquire((settings->listeners_count + 1) * sizeof *without.listeners);
    bool enabled = false;
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        char name[80];
        without.listeners[i] = settings->listeners[i];
        snprintf(name, sizeof name, "%s.%s", listener_kind_names[settings->listeners[i].kind], settings->listeners[i].name);
        if (strcmp(name, id) != 0) continue;
        enabled = settings->listeners[i].enable;
        without.listeners[i].enable = false;
    }
    node_listeners_change(control->node, &without);
    memory_release(without.listeners);
    bool opened = node_listeners_change(control->node, settings) == 0;
    if (!enabled) snprintf(ret_error, error_bytes, "the listener is not enabled; start it");
    if (!opened) snprintf(ret_error, error_bytes, "it could not be opened again; the log says why");
    return opened && enabled;
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
    if (control->admin) admin_stop(control->admin);
    control->admin_wake = -1;
    node_stop_accepting(control->node);
    send_to_all(control, RECORD_STOP, NULL);
}

static void backup(struct control *control)
{
    char error[200];
    if (!ringmqd_store_backup(&control->store, error, sizeof error)) LOG(WARN, "no backup made", "what=%s", log_quoted(span_of_string(error)));
}

static void signal_take(struct control *control)
{
    struct signalfd_siginfo signal;
    if (read(control->signals, &signal, sizeof signal) != sizeof signal) return;
    struct admin_reload ignored;
    if (signal.ssi_signo == SIGHUP)
        reload(control, &ignored);
    else if (signal.ssi_signo == SIGUSR1)
        backup(control);
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
#define STOPPING_LOOK_MS 20

/* -1: never */
static int sooner(int a_ms, int b_ms) { return a_ms >= 0 && a_ms < b_ms ? a_ms : b_ms; }

/* Until all shards have ended: signals, log lines, the watchdog. False: they had to be ended at once. */
static bool control_run(struct control *control)
{
    pthread_t joiner;
    int error = pthread_create(&joiner, NULL, join_thread, control);
    if (error) {
        LOG(ERROR, "cannot start", "what=\"no thread that waits for the shards' end: %s\"", strerror(error));
        if (!control->stopping) stop(control);
        node_join(control->node);
        return false;
    }
    struct pollfd waits[] = {{control->signals, POLLIN, 0}, {control->log_wake, POLLIN, 0}, {control->watchdog, POLLIN, 0},
                             {control->files, POLLIN, 0}, {control->admin_wake, POLLIN, 0},
                             {control->events_wake, POLLIN, 0}}; /* those that are -1 are left out */
    bool lines = false; /* a shard has rung for a line; it rings no more until they are taken */
    uint64_t ticked_ms = 0;
    while (!(control->stopping && pthread_tryjoin_np(joiner, NULL) == 0)) {
        uint64_t number;
        int features_ms = features_control_ms(control->features);
        waits[4].fd = control->admin_wake;
        int wait_ms = features_ms;
        if (control->stopping) wait_ms = sooner(wait_ms, STOPPING_LOOK_MS);
        if (lines) wait_ms = sooner(wait_ms, LOG_GATHER_MS);
        if (poll(waits, 6, wait_ms) < 0) continue;
        if (features_ms >= 0 || waits[5].revents) ringmqd_features_turn(control->features, &ticked_ms);
        if (lines) log_drain();
        lines = waits[1].revents && read(control->log_wake, &number, sizeof number) > 0;
        if (waits[4].revents && control->admin_wake >= 0) admin_control_run(control->admin);
        if (waits[0].revents) signal_take(control);
        if (control->watchdog >= 0 && waits[2].revents && read(control->watchdog, &number, sizeof number) > 0)
            notify_watchdog();
        if (waits[3].revents && read(control->files, &number, sizeof number) > 0 && !control->stopping) ringmqd_tls_tick(control->node, false);
    }
    return true;
}

/* Until the descriptor for them is there they wait: a reload or a backup asked for while the configuration is read would end the broker. */
static void signals_hold(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

/* False: there is no descriptor for one of them. */
static bool signals_block(struct control *control)
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
    if (control->signals >= 0 && control->log_wake >= 0 && control->files >= 0) return true;
    LOG(ERROR, "cannot start", "what=\"no descriptor for signals, log or certificates: %s\"", strerror(errno));
    return false;
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

static uint64_t random_seed(void)
{
    uint64_t seed;
    CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

static bool shards_start(void *context)
{
    struct control *control = context;
    char error[512];
    if (!ringmqd_store_open(&control->store, config_settings(control->config), control->broker, control->shards_count)) return false;
    bool started = node_start(control->node, broker_aboves(control->broker), error, sizeof error);
    if (!started) LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
    return started;
}

static int broker_run(struct control *control)
{
    const struct settings *settings = config_settings(control->config);
    char error[512];
    log_configure((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    if (!signals_block(control)) return 1;
    raise_descriptor_limit();
    control->shards_count = settings->node.shards ? settings->node.shards : node_cores();
    control->broker = broker_create(settings, control->shards_count, random_seed());
    control->features = ringmqd_features_create(control->config, control->broker);
    if (!control->features) {
        broker_destroy(control->broker);
        return 1;
    }
    control->events_wake = features_events_fd(control->features);
    if (control->events_wake < 0) {
        LOG(ERROR, "cannot start", "what=\"no descriptor for events: %s\"", strerror(errno));
        features_halt(control->features);
        features_destroy(control->features);
        broker_destroy(control->broker);
        return 1;
    }
    control->node = node_create(settings, control->shards_count, &broker_handler, &kernel_uring, &control->broker->qsbr,
                                error, sizeof error);
    if (!control->node) {
        LOG(ERROR, "cannot start", "what=%s", log_quoted(span_of_string(error)));
        features_halt(control->features);
        features_destroy(control->features);
        broker_destroy(control->broker);
        return 1;
    }
    features_wake_through(control->features, &kernel_uring);
    log_start((enum log_format)settings->log.format, control->log_wake);
    log_thread_attach("control");
    int answers = ringmqd_admin_prepare(settings, control->broker);
    regions_begin(control->shards_count);
    huge_begin();
    bool started = settings->durability.enable ? ringmqd_start(shards_start, control, control->log_wake) : shards_start(control);
    if (!started) {
        node_destroy(control->node);
        ringmqd_store_close(&control->store);
        features_halt(control->features);
        features_destroy(control->features);
        log_stop();
        broker_destroy(control->broker);
        regions_end();
        huge_end();
        return 1;
    }
    print_features(control);
    ringmqd_features_print(control->features);
    print_limits(control);
    ringmqd_tls_print(control->node);
    print_ready(control);
    ringmqd_tls_timer(control->node, control->files);
    control->watchdog = notify_watchdog_timer();
    notify_ready();
    control->broker->recovered = NULL;
    bool runs = ringmqd_store_started(&control->store);
    control->admin = ringmqd_admin_start(&(struct admin_options){
        .settings = settings, .broker = control->broker, .node = control->node,
        .control = {.control = control, .config = admin_config, .load = admin_load, .reload = admin_reload, .listener_restart = admin_listener_restart,
                    .backup = admin_backup, .last_backup = admin_last_backup}});
    if (control->admin) control->admin_wake = admin_control_fd(control->admin);
    if (!runs) {
        LOG(ERROR, "cannot start", "what=\"no thread for long queues on disk\"");
        stop(control);
    }
    runs &= control_run(control);
    ringmqd_store_shards_end(&control->store);
    node_destroy(control->node);
    admin_destroy(control->admin);
    if (answers >= 0) close(answers);
    ringmqd_store_close(&control->store);
    features_destroy(control->features);
    broker_destroy(control->broker);
    regions_end();
    huge_end();
    door_tls_forget();
    LOG(NOTICE, "stopped", "pid=%d", (int)getpid());
    log_stop();
    close(control->signals);
    close(control->log_wake);
    close(control->files);
    return runs ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct control control = {.watchdog = -1, .admin_wake = -1, .events_wake = -1};
    map_seed(random_seed()); /* before the first table */
    if (!ringmqd_features_know()) return 1;
    int status = ringmqd_arguments_parse(argc, argv, &control.arguments);
    if (status >= 0) return status;
    enum ringmqd_action action = control.arguments.action;
    if (action == RINGMQD_RUN) signals_hold();
    if (action == RINGMQD_PRINT_METRICS_DOCS || action == RINGMQD_PRINT_API_DOCS || action == RINGMQD_PRINT_API) {
        ringmqd_arguments_release(&control.arguments);
        return ringmqd_admin_print(action);
    }
    bool prints = control.arguments.action == RINGMQD_PRINT_FEATURES || control.arguments.action == RINGMQD_PRINT_HOOKS;
    if (!ringmqd_features_load(&control.arguments)) {
        status = 1;
    } else if (prints) {
        status = ringmqd_features_act(control.arguments.action);
    } else if (ringmqd_config_load(&control.arguments, &control.started)) {
        control.config = control.started;
        bool sound = extras_sound(control.config) &&
                     (control.arguments.action != RINGMQD_CHECK ||
                      (ringmqd_tls_check(config_settings(control.config)) && ringmqd_features_check(control.config)));
        status = !sound                                    ? 1
                 : control.arguments.action == RINGMQD_RUN ? broker_run(&control)
                                                           : ringmqd_config_act(&control.arguments, control.config);
    } else {
        status = 1;
    }
    if (control.config != control.started) config_release(control.config);
    config_release(control.started);
    ringmqd_arguments_release(&control.arguments);
    return status;
}
