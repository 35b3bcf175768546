#include "admin/alarms.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "admin/admin.h"
#include "admin/http_inside.h"
#include "admin/listeners.h"
#include "admin/process.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/report.h"

const char *const alarm_severity_names[] = {"warning", "critical"};
#define ALARM_NAME(name, documentation) #name,
#define ALARM_DOCUMENTATION(name, documentation) documentation,
const char *const alarm_names[ALARM_KINDS] = {ALARMS_TABLE(ALARM_NAME)};
const char *const alarm_documentation[ALARM_KINDS] = {ALARMS_TABLE(ALARM_DOCUMENTATION)};

struct alarms {
    pthread_mutex_t lock;
    struct alarm raised[ALARMS_MAX];
    uint32_t raised_count;
    struct alarm cleared[ALARMS_HISTORY_MAX]; /* a ring */
    uint32_t cleared_next, cleared_count;
    /* alarms_look() */
    uint64_t write_failures[SHARDS_MAX];
    uint64_t dropped, dropped_at_ms;
};

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct alarms *alarms_create(void)
{
    struct alarms *alarms = memory_acquire_zeroed(sizeof *alarms);
    pthread_mutex_init(&alarms->lock, NULL);
    return alarms;
}

void alarms_destroy(struct alarms *alarms)
{
    if (!alarms) return;
    pthread_mutex_destroy(&alarms->lock);
    memory_release(alarms);
}

static struct alarm *find(struct alarms *alarms, enum alarm_kind kind, const char *subject)
{
    for (uint32_t i = 0; i < alarms->raised_count; i++)
        if (alarms->raised[i].kind == kind && strcmp(alarms->raised[i].subject, subject) == 0) return &alarms->raised[i];
    return NULL;
}

void alarm_raise(struct alarms *alarms, enum alarm_kind kind, enum alarm_severity severity, const char *subject, const char *format, ...)
{
    struct alarm made = {.kind = kind, .severity = severity, .raised_unix_ms = unix_ms()};
    snprintf(made.subject, sizeof made.subject, "%s", subject);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(made.message, sizeof made.message, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&alarms->lock);
    struct alarm *raised = find(alarms, kind, made.subject);
    bool is_new = !raised && alarms->raised_count < ALARMS_MAX;
    if (raised) {
        memcpy(raised->message, made.message, sizeof made.message);
        raised->severity = severity;
    }
    if (is_new) alarms->raised[alarms->raised_count++] = made;
    pthread_mutex_unlock(&alarms->lock);
    if (is_new)
        LOG(WARN, "alarm raised", "alarm=%s subject=%s severity=%s what=%s", alarm_names[kind], log_quoted(span_of_string(subject)), alarm_severity_names[severity],
            log_quoted(span_of_string(made.message)));
}

void alarm_clear(struct alarms *alarms, enum alarm_kind kind, const char *subject)
{
    pthread_mutex_lock(&alarms->lock);
    struct alarm *raised = find(alarms, kind, subject);
    if (raised) {
        raised->cleared_unix_ms = unix_ms();
        alarms->cleared[alarms->cleared_next] = *raised;
        alarms->cleared_next = (alarms->cleared_next + 1) % ALARMS_HISTORY_MAX;
        if (alarms->cleared_count < ALARMS_HISTORY_MAX) alarms->cleared_count++;
        memmove(raised, raised + 1, (size_t)(alarms->raised + --alarms->raised_count - raised) * sizeof *raised);
    }
    pthread_mutex_unlock(&alarms->lock);
    if (raised) LOG(NOTICE, "alarm cleared", "alarm=%s subject=%s", alarm_names[kind], log_quoted(span_of_string(subject)));
}

void alarms_forget(struct alarms *alarms)
{
    pthread_mutex_lock(&alarms->lock);
    alarms->cleared_count = alarms->cleared_next = 0;
    pthread_mutex_unlock(&alarms->lock);
}

uint32_t alarms_list(struct alarms *alarms, bool raised, uint32_t first, struct alarm *ret_alarms, uint32_t max, uint32_t *ret_count)
{
    pthread_mutex_lock(&alarms->lock);
    uint32_t all = raised ? alarms->raised_count : alarms->cleared_count, count = 0;
    for (uint32_t i = first; i < all && count < max; i++) {
        uint32_t place = (alarms->cleared_next + 2 * ALARMS_HISTORY_MAX - 1 - i) % ALARMS_HISTORY_MAX;
        ret_alarms[count++] = raised ? alarms->raised[all - 1 - i] : alarms->cleared[place];
    }
    pthread_mutex_unlock(&alarms->lock);
    *ret_count = count;
    return all;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static void look_at_shard(struct alarms *alarms, uint32_t number, const struct stats *stats)
{
    char subject[32];
    snprintf(subject, sizeof subject, "shard %u", number);
    uint64_t level = stats_read(&stats->overload_level);
    if (level)
        alarm_raise(alarms, ALARM_overload, level > 1 ? ALARM_CRITICAL : ALARM_WARNING, subject, "%s; see overload.* and the histogram of turns",
                    level > 1 ? "no new connections, and publishers are slowed" : "no new connections are accepted");
    else
        alarm_clear(alarms, ALARM_overload, subject);
    uint64_t failures = stats_read(&stats->durable_write_failures);
    if (failures > alarms->write_failures[number])
        alarm_raise(alarms, ALARM_disk, ALARM_CRITICAL, subject, "a write or sync of the log has failed (%llu so far): look at the disk below node.data_dir",
                    (unsigned long long)failures);
    else if (failures == 0)
        alarm_clear(alarms, ALARM_disk, subject);
    alarms->write_failures[number] = failures;
}

static void look_at_room(struct alarms *alarms, const struct broker *broker)
{
    struct reserve_report room;
    durable_room(broker, &room);
    if (room.full)
        alarm_raise(alarms, ALARM_store_full, ALARM_CRITICAL, "", "%llu MiB are free on the disk of node.data_dir/store, and %llu MiB are kept in reserve: make room there",
                    (unsigned long long)(room.free_bytes >> 20), (unsigned long long)(room.reserve_bytes >> 20));
    else
        alarm_clear(alarms, ALARM_store_full, "");
}

static void look_at_use(struct alarms *alarms, enum alarm_kind kind, uint64_t used, uint64_t limit, const char *what)
{
    if (limit && used > limit / 5 * 4)
        alarm_raise(alarms, kind, used > limit / 20 * 19 ? ALARM_CRITICAL : ALARM_WARNING, "", "%llu of %llu are in use; raise %s", (unsigned long long)used,
                    (unsigned long long)limit, what);
    else if (used <= limit / 4 * 3)
        alarm_clear(alarms, kind, "");
}

/* Alarms about listeners that the configuration does not have any more. */
static void listeners_gone(struct alarms *alarms, const struct listener_picture *listeners, uint32_t count)
{
    struct alarm raised[ALARMS_MAX];
    uint32_t raised_count;
    if (!listeners) return; /* the broker stops */
    alarms_list(alarms, true, 0, raised, ALARMS_MAX, &raised_count);
    for (uint32_t i = 0; i < raised_count; i++) {
        bool there = raised[i].kind != ALARM_listener;
        for (uint32_t n = 0; n < count && !there; n++)
            there = strcmp(raised[i].subject, listeners[n].id) == 0;
        if (!there) alarm_clear(alarms, ALARM_listener, raised[i].subject);
    }
}

/* Those that are wanted and not open: after a reload or restart of theirs that has failed. */
static void look_at_listeners(struct alarms *alarms, struct admin *admin)
{
    uint32_t count = 0;
    struct listener_picture *listeners = listeners_picture(admin, &count);
    for (uint32_t i = 0; listeners && i < count; i++) {
        if (listeners[i].enable && !listeners[i].running)
            alarm_raise(alarms, ALARM_listener, ALARM_CRITICAL, listeners[i].id, "it is enabled and could not be opened on %s; the log says why", listeners[i].bind);
        else
            alarm_clear(alarms, ALARM_listener, listeners[i].id);
    }
    listeners_gone(alarms, listeners, count);
    memory_release(listeners);
}

void alarms_look(struct alarms *alarms, struct admin *admin)
{
    const struct broker *broker = admin_broker(admin);
    struct stats sum = {0};
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        if (!broker->shards[s]->shard) return; /* not started yet */
        look_at_shard(alarms, s, &broker->shards[s]->shard->stats);
        stats_add(&sum, &broker->shards[s]->shard->stats);
    }
    look_at_listeners(alarms, admin);
    look_at_room(alarms, broker);
    look_at_use(alarms, ALARM_connections, sum.connections, broker->settings->node.connections_max, "node.max_connections");
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        look_at_use(alarms, ALARM_descriptors, process_open_files(), limit.rlim_cur, "the limit of open files (ulimit -n, LimitNOFILE=)");
    uint64_t dropped = sum.dropped_queue_full + sum.dropped_oldest + sum.dropped_qos0_slow, now_ms = http_now_ms();
    if (dropped > alarms->dropped) {
        alarm_raise(alarms, ALARM_queues_full, ALARM_WARNING, "", "%llu messages dropped so far; see the clients sorted by mqueue_len, and mqtt.max_mqueue_len",
                    (unsigned long long)dropped);
        alarms->dropped = dropped;
        alarms->dropped_at_ms = now_ms;
    } else if (now_ms - alarms->dropped_at_ms > 60000) {
        alarm_clear(alarms, ALARM_queues_full, "");
    }
}
