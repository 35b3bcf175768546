#include "admin/admin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "admin/alarms.h"
#include "admin/api.h"
#include "admin/traces.h"
#include "admin/otlp.h"
#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/doors/tls.h"
#include "broker/watch/inspect.h"

#define ASK_TIMEOUT_S 5

/* Something to be run on the control thread. */
struct errand {
    struct list link;
    void (*run)(const struct admin_control *control, void *argument);
    void *argument;
    bool done, refused;
};

/* One or several questions that somebody waits for. */
struct asking {
    uint32_t open;
    bool given_up; /* nobody waits any more: the last answer releases it */
};

struct admin {
    struct broker *broker;
    struct node *node;
    struct admin_control control;
    struct http_server *server;
    struct accounts *accounts;
    struct alarms *alarms;
    struct traces *traces;
    struct otlp *otlp;
    struct stats tls_stats; /* the HTTP thread's; nobody reads them */
    struct door_tls *tls;
    struct listener_settings tls_settings;
    char *node_name, *data_dir;
    uint64_t started_unix_ms;

    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t changed;
    struct admin_settings settings; /* texts are not used after the start */
    struct trace_settings trace_settings;
    struct mqtt_settings mqtt_settings; /* likewise */
    struct list errands;
    int control_wake;
    bool stopping;
    bool exemplars;

    pthread_mutex_t send_lock; /* the lane has one producer at a time */
    pthread_t taker;           /* takes answers from the shards' stack */
};

struct accounts *admin_auth(struct admin *admin) { return admin->accounts; }
struct alarms *admin_alarms(struct admin *admin) { return admin->alarms; }
struct traces *admin_traces(struct admin *admin) { return admin->traces; }
struct otlp *admin_otlp(struct admin *admin) { return admin->otlp; }
struct broker *admin_broker(struct admin *admin) { return admin->broker; }
struct node *admin_node(struct admin *admin) { return admin->node; }
struct http_server *admin_server(struct admin *admin) { return admin->server; }
const char *admin_node_name(const struct admin *admin) { return admin->node_name; }
const char *admin_data_dir(const struct admin *admin) { return admin->data_dir; }
uint64_t admin_started_unix_ms(const struct admin *admin) { return admin->started_unix_ms; }

struct admin_settings admin_settings_now(struct admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    struct admin_settings settings = admin->settings;
    pthread_mutex_unlock(&admin->lock);
    return settings;
}

struct trace_settings admin_trace_settings_now(struct admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    struct trace_settings settings = admin->trace_settings;
    pthread_mutex_unlock(&admin->lock);
    return settings;
}

struct mqtt_settings admin_mqtt_settings_now(struct admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    struct mqtt_settings settings = admin->mqtt_settings;
    pthread_mutex_unlock(&admin->lock);
    return settings;
}

bool admin_exemplars(struct admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    bool wanted = admin->exemplars && admin->settings.metrics_auth;
    pthread_mutex_unlock(&admin->lock);
    return wanted;
}

/* ---- the control thread ----------------------------------------------------------------------------------------- */

static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* a full counter is awake */
}

bool admin_on_control(struct admin *admin, void (*run)(const struct admin_control *control, void *argument), void *argument)
{
    struct errand errand = {.run = run, .argument = argument};
    pthread_mutex_lock(&admin->lock);
    if (admin->stopping) {
        pthread_mutex_unlock(&admin->lock);
        return false;
    }
    list_append(&admin->errands, &errand.link);
    wake(admin->control_wake);
    while (!errand.done)
        pthread_cond_wait(&admin->changed, &admin->lock);
    pthread_mutex_unlock(&admin->lock);
    return !errand.refused;
}

int admin_control_fd(const struct admin *admin) { return admin->control_wake; }

void admin_control_run(struct admin *admin)
{
    uint64_t number;
    ssize_t got = read(admin->control_wake, &number, sizeof number);
    (void)got;
    pthread_mutex_lock(&admin->lock);
    while (!list_empty(&admin->errands)) {
        struct errand *errand = CONTAINER_OF(admin->errands.next, struct errand, link);
        list_remove(&errand->link);
        pthread_mutex_unlock(&admin->lock);
        errand->run(&admin->control, errand->argument);
        pthread_mutex_lock(&admin->lock);
        errand->done = true;
        pthread_cond_broadcast(&admin->changed);
    }
    pthread_mutex_unlock(&admin->lock);
}

void admin_settings(struct admin *admin, const struct settings *settings)
{
    pthread_mutex_lock(&admin->lock);
    admin->settings.payload_bytes_max = settings->admin.payload_bytes_max;
    admin->settings.metrics_auth = settings->admin.metrics_auth;
    admin->settings.docs_auth = settings->admin.docs_auth;
    admin->settings.status_auth = settings->admin.status_auth;
    admin->trace_settings = settings->trace;
    admin->mqtt_settings = settings->mqtt;
    admin->exemplars = settings->metrics.exemplars;
    pthread_mutex_unlock(&admin->lock);
    accounts_configure(admin->accounts, settings->admin.token_lifetime_s);
    otlp_configure(admin->otlp, &settings->metrics);
}

/* ---- shards ----------------------------------------------------------------------------------------------------- */

/* With the lock. */
static void answer_take(struct admin *admin, struct inspect *inspect)
{
    struct asking *asking = inspect->asker;
    asking->open--;
    inspect->asker = NULL;
    if (!asking->given_up) return;
    inspect_release(inspect);
    if (asking->open == 0) memory_release(asking);
}

static void answers_take(struct admin *admin)
{
    struct inspect *inspect = inspect_take(admin->broker), *next;
    pthread_mutex_lock(&admin->lock);
    for (; inspect; inspect = next) {
        next = inspect->next;
        answer_take(admin, inspect);
    }
    pthread_cond_broadcast(&admin->changed);
    pthread_mutex_unlock(&admin->lock);
}

static void *taker_thread(void *argument)
{
    struct admin *admin = argument;
    log_thread_attach("admin answers");
    pthread_setname_np(pthread_self(), "admin answers");
    struct pollfd wait = {admin->broker->inspected_wake, POLLIN, 0};
    for (;;) {
        uint64_t number;
        if (poll(&wait, 1, ALARMS_LOOK_MS) == 0) alarms_look(admin->alarms, admin);
        ssize_t got = read(admin->broker->inspected_wake, &number, sizeof number);
        (void)got; /* nothing but a reason to look */
        answers_take(admin);
        pthread_mutex_lock(&admin->lock);
        bool stopping = admin->stopping;
        pthread_mutex_unlock(&admin->lock);
        if (stopping) break;
    }
    return NULL;
}

bool admin_ask_all(struct admin *admin, struct inspect **inspects, uint32_t count)
{
    struct asking *asking = memory_acquire_zeroed(sizeof *asking);
    asking->open = count;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ASK_TIMEOUT_S;
    for (uint32_t i = 0; i < count; i++)
        inspects[i]->asker = asking;
    pthread_mutex_lock(&admin->send_lock);
    for (uint32_t i = 0; i < count; i++)
        inspect_send(admin->node, inspects[i]);
    pthread_mutex_unlock(&admin->send_lock);
    pthread_mutex_lock(&admin->lock);
    int late = 0;
    while (asking->open && !late && !admin->stopping)
        late = pthread_cond_timedwait(&admin->changed, &admin->lock, &until);
    bool answered = asking->open == 0;
    if (!answered) {
        asking->given_up = true;
        for (uint32_t i = 0; i < count; i++)
            if (!inspects[i]->asker) inspect_release(inspects[i]); /* the others are the shards', until answer_take() */
    }
    pthread_mutex_unlock(&admin->lock);
    if (answered) memory_release(asking);
    return answered;
}

bool admin_ask(struct admin *admin, struct inspect *inspect) { return admin_ask_all(admin, &inspect, 1); }

/* ---- life ------------------------------------------------------------------------------------------------------- */

static struct filter *tls_filter(void *context)
{
    struct admin *admin = context;
    return door_tls_filter(admin->tls, &admin->tls_stats);
}

/* The admin's certificate is read as a listener's is. */
static bool tls_open(struct admin *admin, const struct admin_settings *settings, char *ret_error, size_t error_bytes)
{
    if (!*settings->certificate_file) return true;
    admin->tls_settings = (struct listener_settings){.name = "admin", .kind = LISTENER_TLS};
    struct tls_settings *tls = &admin->tls_settings.tls;
    char **texts[LISTENER_TEXTS_MAX];
    uint32_t count = listener_texts(&admin->tls_settings, texts);
    for (uint32_t i = 0; i < count; i++)
        if (!*texts[i]) *texts[i] = "";
    tls->certificate_files = settings->certificate_file;
    tls->key_files = settings->key_file;
    tls->password = settings->key_password;
    tls->version_min = 12;
    tls->version_max = 13;
    tls->depth = 3;
    tls->session_tickets = false;
    tls->ticket_lifetime_s = 3600;
    admin->tls = door_tls_open(&admin->tls_settings, ret_error, error_bytes);
    return admin->tls != NULL;
}

static void release(struct admin *admin)
{
    accounts_close(admin->accounts);
    traces_destroy(admin->traces);
    otlp_destroy(admin->otlp);
    alarms_destroy(admin->alarms);
    if (admin->tls) door_tls_close(admin->tls);
    if (admin->control_wake >= 0) close(admin->control_wake);
    pthread_mutex_destroy(&admin->lock);
    pthread_mutex_destroy(&admin->send_lock);
    pthread_cond_destroy(&admin->changed);
    memory_release(admin->node_name);
    memory_release(admin->data_dir);
    memory_release(admin);
}

static struct http_options http_options_of(struct admin *admin, const struct admin_settings *settings)
{
    return (struct http_options){.bind = settings->bind, .workers = settings->workers, .connections_max = settings->connections_max,
                                 .streams_max = settings->connections_max / 2 + 1, .waiting_max = 4 * settings->workers + 64, .header_bytes_max = 128 * 1024,
                                 .body_bytes_max = settings->body_bytes_max, .request_timeout_ms = settings->request_timeout_ms,
                                 .idle_timeout_ms = settings->idle_timeout_ms, .send_timeout_ms = 30000, .requests_max = 10000,
                                 .tls = admin->tls ? tls_filter : NULL, .tls_context = admin};
}

struct admin *admin_start(const struct admin_options *options, char *ret_error, size_t error_bytes)
{
    const struct settings *settings = options->settings;
    struct admin *admin = memory_acquire_zeroed(sizeof *admin);
    admin->broker = options->broker;
    admin->node = options->node;
    admin->control = options->control;
    admin->settings = settings->admin;
    admin->trace_settings = settings->trace;
    admin->mqtt_settings = settings->mqtt;
    admin->node_name = memory_copy_string(span_of_string(settings->node.name));
    admin->data_dir = memory_copy_string(span_of_string(settings->node.data_dir));
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    admin->started_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    pthread_mutex_init(&admin->lock, NULL);
    pthread_mutex_init(&admin->send_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&admin->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&admin->errands);
    admin->control_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    admin->alarms = alarms_create();
    admin->otlp = otlp_create(admin);
    admin->exemplars = settings->metrics.exemplars;
    admin->accounts = accounts_open(admin->data_dir, settings->admin.default_password, ret_error, error_bytes);
    if (!admin->accounts || !tls_open(admin, &settings->admin, ret_error, error_bytes)) {
        release(admin);
        return NULL;
    }
    accounts_configure(admin->accounts, settings->admin.token_lifetime_s);
    if (admin->control_wake < 0) {
        snprintf(ret_error, error_bytes, "no descriptor for the control thread's errands: %s", strerror(errno));
        release(admin);
        return NULL;
    }
    int error = pthread_create(&admin->taker, NULL, taker_thread, admin);
    if (error) {
        snprintf(ret_error, error_bytes, "cannot start the thread that takes the shards' answers: %s", strerror(error));
        release(admin);
        return NULL;
    }
    admin->traces = traces_create(admin, admin->data_dir);
    if (!admin->traces) snprintf(ret_error, error_bytes, "cannot start the thread that writes traces");
    struct http_options http = http_options_of(admin, &settings->admin);
    if (admin->traces) admin->server = http_start(&http, api_handle, admin, ret_error, error_bytes);
    if (!admin->server) {
        admin_stop(admin);
        release(admin);
        return NULL;
    }
    otlp_configure(admin->otlp, &settings->metrics);
    LOG(NOTICE, "admin API", "url=%s://%s port=%u", admin->tls ? "https" : "http", settings->admin.bind, http_port(admin->server));
    struct sockaddr_storage address;
    socklen_t bytes;
    if (!admin->tls && listener_parse_bind(settings->admin.bind, &address, &bytes, ret_error, error_bytes) && !listener_is_loopback(&address))
        LOG(WARN, "admin API without TLS", "bind=%s what=\"passwords and tokens can be read on the way; set admin.tls.certfile\"", settings->admin.bind);
    return admin;
}

void admin_stop(struct admin *admin)
{
    pthread_mutex_lock(&admin->lock);
    admin->stopping = true;
    while (!list_empty(&admin->errands)) {
        struct errand *errand = CONTAINER_OF(admin->errands.next, struct errand, link);
        list_remove(&errand->link);
        errand->done = errand->refused = true;
    }
    pthread_cond_broadcast(&admin->changed);
    pthread_mutex_unlock(&admin->lock);
    traces_stop(admin->traces);
    otlp_stop(admin->otlp); /* it looks at the server */
    if (admin->server) http_stop(admin->server);
    admin->server = NULL;
    wake(admin->broker->inspected_wake);
    pthread_join(admin->taker, NULL);
}

void admin_destroy(struct admin *admin)
{
    if (!admin) return;
    answers_take(admin); /* what the shards had under way when they ended */
    release(admin);
}
