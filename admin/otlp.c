/* otlp.c - when metrics are pushed, and what happens when they are not; see otlp.h. */
#include "admin/otlp.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "admin/admin.h"
#include "admin/alarms.h"
#include "admin/http_inside.h"
#include "admin/otlp_http.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/resolve.h"
#include "broker/broker.h"
#include "config/otlp.h"

#define BACK_OFF_FIRST_MS 1000
#define BACK_OFF_MAX_MS   60000
#define LAST_PUSH_MS      1000
#define URL_BYTES_MAX     2200

/* What one configuration makes of the thread's work; its own copies of all texts. */
struct job {
    struct metrics_settings settings;
    char url[URL_BYTES_MAX], shown[300]; /* shown: without what may be a secret */
    char **headers;                      /* ends with NULL */
    uint32_t headers_count;
};

struct otlp {
    struct admin *admin;
    pthread_t thread;
    bool running;                 /* control thread */
    struct job *configured;       /* control thread: what it was told last */
    pthread_mutex_t lock;         /* of what follows */
    pthread_cond_t changed;
    struct job *wanted;           /* newest; taken by the thread. NULL: none that is new */
    bool stopping;
    bool posting;                 /* a request is under way: it may be interrupted */
    const struct otlp_http *http; /* NULL: not loaded */
    void *instance;
    struct otlp_counts counts;

    /* the thread's */
    struct otlp_wire pending;     /* to be sent (again); .bytes 0: nothing */
    uint64_t due_ms, not_before_ms;
    uint32_t attempts;            /* that failed in a row, over all requests */
    bool troubled;                /* the alarm is raised, or what failed last was logged */
    struct otlp_http_answer answer;
};

/* ---- jobs ---------------------------------------------------------------------------------------------------------- */

static char **texts_of(struct metrics_settings *settings, uint32_t number)
{
    char **const texts[] = {&settings->otlp.endpoint, &settings->otlp.headers, &settings->otlp.resource_attributes, &settings->otlp.ca_file,
                            &settings->otlp.certificate_file, &settings->otlp.key_file};
    return number < sizeof texts / sizeof *texts ? texts[number] : NULL;
}

static void wipe(char *text)
{
    explicit_bzero(text, strlen(text));
    memory_release(text);
}

static void job_release(struct job *job)
{
    if (!job) return;
    for (uint32_t i = 0; i < job->headers_count; i++)
        wipe(job->headers[i]);
    memory_release(job->headers);
    char **text;
    for (uint32_t i = 0; (text = texts_of(&job->settings, i)); i++)
        wipe(*text);
    memory_release(job);
}

static void job_headers(struct job *job)
{
    struct span name, value, rest = span_of_string(job->settings.otlp.headers);
    uint32_t count = 0;
    while (otlp_header_next(&rest, &name, &value))
        count++;
    job->headers = memory_acquire_zeroed((count + 1) * sizeof *job->headers);
    for (rest = span_of_string(job->settings.otlp.headers); otlp_header_next(&rest, &name, &value);) {
        size_t bytes = name.bytes + value.bytes + 4;
        char *line = memory_acquire(bytes);
        /* "Name;" is how curl is told to send an empty one */
        snprintf(line, bytes, "%.*s%s%.*s", SPAN_PRINT(name), value.bytes ? ": " : ";", SPAN_PRINT(value));
        job->headers[job->headers_count++] = line;
    }
}

static struct job *job_create(const struct metrics_settings *settings)
{
    struct job *job = memory_acquire_zeroed(sizeof *job);
    job->settings = *settings;
    char **text;
    for (uint32_t i = 0; (text = texts_of(&job->settings, i)); i++)
        *text = memory_copy_string(span_of_string(*text ? *text : ""));
    job_headers(job);
    if (*job->settings.otlp.endpoint) CHECK(otlp_url(job->settings.otlp.endpoint, job->url, sizeof job->url)); /* as long as the schema allows */
    size_t shown = strcspn(job->url, "?");
    snprintf(job->shown, sizeof job->shown, "%.*s", (int)(shown < sizeof job->shown ? shown : sizeof job->shown - 1), job->url);
    return job;
}

static bool jobs_equal(const struct metrics_settings *a, const struct metrics_settings *b)
{
    struct metrics_settings one = *a, other = *b;
    char **text, **text_b;
    for (uint32_t i = 0; (text = texts_of(&one, i)); i++) {
        text_b = texts_of(&other, i);
        if (strcmp(*text ? *text : "", *text_b ? *text_b : "") != 0) return false;
    }
    return one.exemplars == other.exemplars && one.otlp.verify == other.otlp.verify && one.otlp.compression == other.otlp.compression &&
           one.otlp.interval_ms == other.otlp.interval_ms && one.otlp.timeout_ms == other.otlp.timeout_ms;
}

/* ---- counting ------------------------------------------------------------------------------------------------------ */

static void count(struct otlp *otlp, uint64_t *counter, uint64_t amount)
{
    pthread_mutex_lock(&otlp->lock);
    *counter += amount;
    pthread_mutex_unlock(&otlp->lock);
}

void otlp_counts(struct otlp *otlp, struct otlp_counts *ret_counts)
{
    *ret_counts = (struct otlp_counts){0};
    if (!otlp) return; /* just being started */
    pthread_mutex_lock(&otlp->lock);
    *ret_counts = otlp->counts;
    pthread_mutex_unlock(&otlp->lock);
}

static void give_up(struct otlp *otlp, const struct job *job, const char *why)
{
    count(otlp, &otlp->counts.given_up, 1);
    otlp->pending.bytes = 0;
    alarm_raise(admin_alarms(otlp->admin), ALARM_otlp, ALARM_WARNING, "", "%.100s: %.150s", job->shown, why);
    otlp->troubled = true;
}

/* ---- one request --------------------------------------------------------------------------------------------------- */

/* Half of it to all of it, so that brokers that failed together don't come back together. */
static uint64_t back_off_ms(const struct otlp *otlp, const struct job *job)
{
    uint64_t first_ms = job->settings.otlp.interval_ms < BACK_OFF_FIRST_MS ? job->settings.otlp.interval_ms : BACK_OFF_FIRST_MS;
    uint64_t wait_ms = first_ms << (otlp->attempts < 10 ? otlp->attempts : 10), random = 0;
    if (wait_ms > BACK_OFF_MAX_MS) wait_ms = BACK_OFF_MAX_MS;
    ssize_t got = getrandom(&random, sizeof random, GRND_NONBLOCK);
    (void)got; /* without it: at once after the half */
    return wait_ms / 2 + random % (wait_ms / 2 + 1);
}

static void succeeded(struct otlp *otlp, const struct job *job)
{
    struct otlp_answer answer;
    bool understood = otlp_answer_read(span_of(otlp->answer.body, otlp->answer.body_bytes), true, &answer);
    bool partial = understood && answer.points_rejected > 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&otlp->lock);
    otlp->counts.accepted++;
    otlp->counts.partial += partial;
    otlp->counts.points_rejected += partial ? (uint64_t)answer.points_rejected : 0;
    otlp->counts.last_success_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    pthread_mutex_unlock(&otlp->lock);
    if (partial || *answer.message) /* a message alone is a warning */
        LOG_LIMITED(WARN, 10000, "metrics pushed, with a remark", "endpoint=%s points_rejected=%lld what=%s", job->shown, (long long)(partial ? answer.points_rejected : 0),
                    log_quoted(span_of_string(answer.message)));
    if (otlp->troubled) LOG(NOTICE, "metrics are pushed again", "endpoint=%s", job->shown);
    alarm_clear(admin_alarms(otlp->admin), ALARM_otlp, "");
    otlp->troubled = false;
    otlp->attempts = 0;
    otlp->not_before_ms = 0;
    otlp->pending.bytes = 0;
}

static void failed(struct otlp *otlp, const struct job *job)
{
    const struct otlp_http_answer *answer = &otlp->answer;
    struct otlp_answer said = {0};
    char why[500];
    bool again = otlp_status_passes(answer->status) && !answer->hopeless;
    if (answer->status) otlp_answer_read(span_of(answer->body, answer->body_bytes), false, &said); /* or a page of HTML: then it has no message */
    if (answer->status)
        snprintf(why, sizeof why, "HTTP status %d%s%s", answer->status, *said.message ? ": " : "", said.message);
    else
        snprintf(why, sizeof why, "%s", answer->error);
    LOG_LIMITED(WARN, 10000, "metrics not pushed", "endpoint=%s what=%s again=%s", job->shown, log_quoted(span_of_string(why)), again ? "yes" : "no");
    uint64_t wait_ms = back_off_ms(otlp, job), asked_ms = (uint64_t)answer->retry_after_s * 1000;
    otlp->attempts++;
    otlp->not_before_ms = again ? http_now_ms() + (asked_ms > wait_ms ? asked_ms : wait_ms) : 0;
    otlp->troubled = true;
    if (again)
        count(otlp, &otlp->counts.retried, 1);
    else
        give_up(otlp, job, why);
}

_Static_assert(OTLP_HTTP_ADDRESSES_BYTES >= RESOLVE_TEXT_BYTES, "room for all of them");

static bool addresses_of(const char *host, uint64_t deadline_ms, const _Atomic bool *given_up, char *ret_text, size_t bytes, char *ret_error, size_t error_bytes)
{
    struct resolve_addresses found;
    if (!resolve(host, "0", deadline_ms, given_up, &found, ret_error, error_bytes)) return false;
    resolve_text(&found, ret_text, bytes);
    return true;
}

static void post(struct otlp *otlp, const struct job *job, uint32_t timeout_ms)
{
    struct otlp_http_request request = {.url = job->url, .headers = (const char *const *)job->headers, .body = otlp->pending.data, .bytes = otlp->pending.bytes,
                                        .gzip = job->settings.otlp.compression == OTLP_COMPRESSION_GZIP, .ca_file = job->settings.otlp.ca_file,
                                        .certificate_file = job->settings.otlp.certificate_file, .key_file = job->settings.otlp.key_file,
                                        .verify = job->settings.otlp.verify, .timeout_ms = timeout_ms, .resolve = addresses_of};
    pthread_mutex_lock(&otlp->lock);
    otlp->posting = true;
    pthread_mutex_unlock(&otlp->lock);
    otlp->http->post(otlp->instance, &request, &otlp->answer);
    pthread_mutex_lock(&otlp->lock);
    otlp->posting = false;
    pthread_mutex_unlock(&otlp->lock);
    if (otlp->answer.interrupted && !otlp->answer.status) return; /* we stop, or there is a new configuration */
    if (otlp->answer.status) count(otlp, &otlp->counts.sent_bytes, otlp->answer.sent_bytes);
    if (otlp->answer.status >= 200 && otlp->answer.status < 300)
        succeeded(otlp, job);
    else
        failed(otlp, job);
}

static void encode(struct otlp *otlp, const struct job *job)
{
    otlp->pending.bytes = 0;
    otlp_encode(otlp->admin, &job->settings, &otlp->pending);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

/* False, after a line in the log: it cannot be had. */
static bool load(struct otlp *otlp, const struct job *job)
{
    char error[700];
    if (otlp->instance) return true;
    const struct otlp_http *http = features_library(admin_broker(otlp->admin)->features, "otlp_http", OTLP_HTTP_SYMBOL, error, sizeof error);
    if (http && http->abi != OTLP_HTTP_ABI) {
        snprintf(error, sizeof error, "otlp_http.so was built for another version of ringmqd (ABI %u, ours is %u)", http->abi, OTLP_HTTP_ABI);
        http = NULL;
    }
    void *instance = http ? http->open() : NULL;
    if (!instance) {
        if (http) snprintf(error, sizeof error, "no memory");
        LOG_LIMITED(ERROR, 10000, "metrics cannot be pushed", "what=%s", log_quoted(span_of_string(error)));
        give_up(otlp, job, error);
        return false;
    }
    pthread_mutex_lock(&otlp->lock); /* otlp_stop() and otlp_configure() interrupt */
    otlp->http = http;
    otlp->instance = instance;
    pthread_mutex_unlock(&otlp->lock);
    return true;
}

/* Does what is to be done now; returns when to look again. */
static uint64_t step(struct otlp *otlp, const struct job *job)
{
    uint64_t now_ms = http_now_ms();
    if (!*job->url) return UINT64_MAX;
    if (now_ms >= otlp->due_ms) {
        if (otlp->pending.bytes) give_up(otlp, job, "it was not taken before the next was due");
        uint64_t interval_ms = job->settings.otlp.interval_ms;
        otlp->due_ms += (now_ms - otlp->due_ms) / interval_ms * interval_ms + interval_ms;
        if (!load(otlp, job)) return otlp->due_ms;
        if (now_ms >= otlp->not_before_ms) encode(otlp, job);
    }
    if (!otlp->pending.bytes) return otlp->due_ms;
    if (now_ms >= otlp->not_before_ms) post(otlp, job, job->settings.otlp.timeout_ms);
    bool waits = otlp->pending.bytes && otlp->not_before_ms < otlp->due_ms;
    return waits ? otlp->not_before_ms : otlp->due_ms;
}

/* Until the time or a change. */
static void wait_until(struct otlp *otlp, uint64_t at_ms)
{
    struct timespec until = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000};
    while (!otlp->wanted && !otlp->stopping) {
        int late = 0;
        if (at_ms == UINT64_MAX)
            pthread_cond_wait(&otlp->changed, &otlp->lock);
        else
            late = pthread_cond_timedwait(&otlp->changed, &otlp->lock, &until);
        if (late == ETIMEDOUT) return;
    }
}

static void begin(struct otlp *otlp, const struct job *job)
{
    otlp->due_ms = http_now_ms();
    otlp->not_before_ms = 0;
    otlp->attempts = 0;
    otlp->pending.bytes = 0;
    if (!*job->url) alarm_clear(admin_alarms(otlp->admin), ALARM_otlp, "");
    if (*job->url)
        LOG(NOTICE, "metrics are pushed", "endpoint=%s interval_ms=%u", job->shown, job->settings.otlp.interval_ms);
    else
        LOG(NOTICE, "metrics are not pushed any more", "key=metrics.otlp.endpoint");
}

static void *otlp_thread(void *argument)
{
    struct otlp *otlp = argument;
    struct job *job = NULL;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    log_thread_attach("otlp");
    pthread_setname_np(pthread_self(), "otlp");
    uint64_t at_ms = UINT64_MAX;
    for (;;) {
        pthread_mutex_lock(&otlp->lock);
        wait_until(otlp, at_ms);
        struct job *wanted = otlp->wanted;
        bool stopping = otlp->stopping;
        otlp->wanted = NULL;
        pthread_mutex_unlock(&otlp->lock);
        if (wanted) {
            job_release(job);
            job = wanted;
            begin(otlp, job);
        }
        if (stopping) break;
        at_ms = step(otlp, job);
    }
    if (job && *job->url && otlp->instance && !otlp->troubled) {
        encode(otlp, job);
        uint32_t timeout_ms = job->settings.otlp.timeout_ms < LAST_PUSH_MS ? job->settings.otlp.timeout_ms : LAST_PUSH_MS;
        post(otlp, job, timeout_ms);
        if (otlp->answer.interrupted && otlp->pending.bytes) post(otlp, job, timeout_ms); /* an interruption that came as the one before ended */
    }
    job_release(job);
    if (otlp->instance) otlp->http->close(otlp->instance);
    otlp_wire_release(&otlp->pending);
    return NULL;
}

/* ---- the control thread -------------------------------------------------------------------------------------------- */

struct otlp *otlp_create(struct admin *admin)
{
    struct otlp *otlp = memory_acquire_zeroed(sizeof *otlp);
    otlp->admin = admin;
    pthread_mutex_init(&otlp->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* http_now_ms()'s */
    pthread_cond_init(&otlp->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return otlp;
}

void otlp_configure(struct otlp *otlp, const struct metrics_settings *settings)
{
    if (!otlp->running && !*settings->otlp.endpoint) return;
    if (otlp->running && jobs_equal(&otlp->configured->settings, settings)) return;
    job_release(otlp->configured);
    otlp->configured = job_create(settings);
    pthread_mutex_lock(&otlp->lock);
    job_release(otlp->wanted);
    otlp->wanted = job_create(settings);
    if (otlp->posting) otlp->http->interrupt(otlp->instance);
    pthread_cond_signal(&otlp->changed);
    pthread_mutex_unlock(&otlp->lock);
    if (otlp->running) return;
    int error = pthread_create(&otlp->thread, NULL, otlp_thread, otlp);
    otlp->running = error == 0;
    if (error) LOG(ERROR, "metrics cannot be pushed", "what=\"the system gives no thread: %s\"", strerror(error));
}

void otlp_stop(struct otlp *otlp)
{
    if (!otlp->running) return;
    pthread_mutex_lock(&otlp->lock);
    otlp->stopping = true;
    if (otlp->posting) otlp->http->interrupt(otlp->instance);
    pthread_cond_signal(&otlp->changed);
    pthread_mutex_unlock(&otlp->lock);
    pthread_join(otlp->thread, NULL);
    otlp->running = false;
}

void otlp_destroy(struct otlp *otlp)
{
    if (!otlp) return;
    CHECK(!otlp->running);
    job_release(otlp->configured);
    job_release(otlp->wanted);
    pthread_mutex_destroy(&otlp->lock);
    pthread_cond_destroy(&otlp->changed);
    memory_release(otlp);
}
