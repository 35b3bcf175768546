#include "admin/traces_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/api.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"

const char *const trace_end_names[TRACE_ENDS] = {NULL, "time", "size", "stopped", "restart", "disk"};

/* What starting and stopping wait for: the shards' answers, and a look of the thread. */
#define WAIT_S 10

uint64_t traces_unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

struct entry *traces_entry(struct traces *traces, const char *name)
{
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (strcmp(entry->picture.name, name) == 0) return entry;
    }
    return NULL;
}

static void entry_release(struct traces *traces, struct entry *entry)
{
    list_remove(&entry->link);
    traces->count--;
    if (entry->json >= 0) close(entry->json);
    if (entry->text >= 0) close(entry->text);
    cidr_list_release(&entry->networks);
    memory_release(entry);
}

/* ---- sets (trace thread) ------------------------------------------------------------------------------------------- */

static struct kept_set *kept(struct trace_set *set) { return CONTAINER_OF(set, struct kept_set, set); }

static void set_release(struct trace_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        cidr_list_release(&set->rules[i].networks);
    list_remove(&kept(set)->link);
    memory_release(kept(set));
}

static struct cidr_list networks_copy(const struct cidr_list *list)
{
    struct cidr_list copy = *list;
    if (list->count == 0) return copy;
    copy.entries = memory_acquire(list->count * sizeof *copy.entries);
    memcpy(copy.entries, list->entries, list->count * sizeof *copy.entries);
    return copy;
}

/* Of all that are wanted; with copies of all that it points to. */
static struct trace_set *set_make(const struct traces *traces)
{
    size_t bytes = 0;
    LIST_FOR_EACH(link, &traces->entries)
        bytes += strlen(CONTAINER_OF(link, struct entry, link)->picture.value);
    struct kept_set *made = memory_acquire_zeroed(sizeof *made + bytes + 1);
    char *at = made->texts;
    list_init(&made->link);
    LIST_FOR_EACH(link, &traces->entries)
    {
        const struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (!entry->wanted) continue;
        struct trace_set *set = &made->set;
        const struct trace_picture *picture = &entry->picture;
        size_t length = strlen(picture->value);
        memcpy(at, picture->value, length);
        set->rules[set->count++] = (struct trace_rule){.kind = picture->kind, .slot = entry->slot, .value = span_of(at, length), .networks = networks_copy(&entry->networks),
                                                       .payload_bytes = picture->wording.payload == TRACE_PAYLOAD_HIDDEN ? 0 : picture->wording.payload_bytes};
        uint32_t bit = 1u << entry->slot;
        if (picture->kind == TRACE_TOPIC) set->topics |= bit;
        if (picture->kind == TRACE_ADDRESS) set->addresses |= bit;
        if (picture->kind == TRACE_USER_NAME || picture->kind == TRACE_USER_NAME_PATTERN) set->users |= bit;
        at += length;
    }
    return &made->set;
}

/* Gives the shards a set that fits what is wanted. False: one of them has not answered, so the sets may not be released. */
static bool set_apply(struct traces *traces)
{
    struct broker *broker = admin_broker(traces->admin);
    struct inspect *questions[SHARDS_MAX];
    trace_node_open(broker->trace);
    pthread_mutex_lock(&traces->lock);
    struct trace_set *set = set_make(traces);
    pthread_mutex_unlock(&traces->lock);
    for (uint32_t s = 0; s < broker->shards_count; s++) {
        questions[s] = inspect_create(INSPECT_TRACE);
        questions[s]->shard = s;
        questions[s]->traces = set;
    }
    bool answered = admin_ask_all(traces->admin, questions, broker->shards_count);
    for (uint32_t s = 0; answered && s < broker->shards_count; s++)
        inspect_release(questions[s]);
    if (!answered) {
        LOG_LIMITED(WARN, 10000, "traces changed late", "what=\"a shard has not answered in time, or the broker stops\"");
        if (traces->set) list_append(&traces->old, &kept(traces->set)->link); /* some shard may still have it */
    } else if (traces->set) {
        set_release(traces->set);
    }
    traces->set = set;
    return answered;
}

/* ---- the thread ----------------------------------------------------------------------------------------------------- */

static void entry_begin(struct traces *traces, struct entry *entry)
{
    char value[256], text[400];
    snprintf(value, sizeof value, "%.200s%s", entry->picture.value, strlen(entry->picture.value) > 200 ? "…" : "");
    snprintf(text, sizeof text, "begins: %s %s", trace_kind_names[entry->picture.kind], value);
    entry->picture.running = true;
    traces_say(entry, TRACE_EVENT_trace, 0, 0, text, true);
    LOG(NOTICE, "trace started", "name=%s type=%s value=%s", entry->picture.name, trace_kind_names[entry->picture.kind], log_quoted(span_of_string(value)));
}

static void entry_finish(struct traces *traces, struct entry *entry)
{
    struct trace_picture *picture = &entry->picture;
    static const char *const whys[TRACE_ENDS] = {"", "its time is over", "its size is reached", "somebody has stopped it", "the broker stops", "its file cannot be written"};
    char text[200];
    if (!picture->end) picture->end = entry->why;
    picture->stopped_ms = traces_unix_ns() / 1000000;
    snprintf(text, sizeof text, "ends: %s; %llu records, %llu lost", whys[picture->end], (unsigned long long)picture->records, (unsigned long long)picture->lost);
    enum trace_end end = picture->end;
    if (end != TRACE_END_DISK) traces_say(entry, TRACE_EVENT_trace, 0, 0, text, true);
    picture->end = end;
    picture->running = false;
    close(entry->json);
    close(entry->text);
    entry->json = entry->text = -1;
    traces_meta_write(traces, picture);
    LOG(NOTICE, "trace ended", "name=%s why=%s records=%llu lost=%llu bytes=%llu", picture->name, trace_end_names[end], (unsigned long long)picture->records,
        (unsigned long long)picture->lost, (unsigned long long)picture->bytes);
}

/* Whose time is over, and who was told to stop. True: the set must change. */
static bool entries_due(struct traces *traces, bool *ret_ending)
{
    uint64_t now_ms = traces_unix_ns() / 1000000;
    bool changes = false;
    *ret_ending = false;
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (entry->picture.end && !entry->picture.running) continue;
        if (entry->picture.running && !entry->stop && now_ms >= entry->picture.ends_ms) {
            entry->stop = true;
            entry->why = TRACE_END_TIME;
        }
        if (entry->wanted && !entry->picture.running) changes = true; /* a new one */
        if (!entry->stop || !entry->picture.running) continue;
        if (entry->wanted) changes = *ret_ending = true;
        entry->wanted = false;
    }
    return changes;
}

static void entries_end(struct traces *traces)
{
    for (struct list *link = traces->entries.next, *next; link != &traces->entries; link = next) {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        next = link->next;
        if (entry->picture.running && !entry->wanted) entry_finish(traces, entry);
        if (!entry->picture.running && entry->removed) {
            traces_files_remove(traces, entry->picture.name);
            entry_release(traces, entry);
            pthread_cond_broadcast(&traces->changed);
        }
    }
}

static void entries_begin(struct traces *traces)
{
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (entry->wanted && !entry->picture.running) entry_begin(traces, entry);
    }
}

static bool any_runs(struct traces *traces)
{
    LIST_FOR_EACH(link, &traces->entries)
        if (CONTAINER_OF(link, struct entry, link)->picture.running) return true;
    return false;
}

/* One look, with the lock (given up while the shards are asked). */
static void look(struct traces *traces)
{
    bool ending;
    bool changes = entries_due(traces, &ending);
    if (any_runs(traces)) traces_drain(traces, false);
    if (!changes) return entries_end(traces);
    entries_begin(traces); /* before the shards know of it: nothing that they say is lost */
    pthread_mutex_unlock(&traces->lock);
    set_apply(traces);
    pthread_mutex_lock(&traces->lock);
    LIST_FOR_EACH(link, &traces->entries)
        CONTAINER_OF(link, struct entry, link)->applied = CONTAINER_OF(link, struct entry, link)->picture.running;
    if (ending) traces_drain(traces, true);
    entries_end(traces);
    pthread_cond_broadcast(&traces->changed);
}

static void *traces_thread(void *argument)
{
    struct traces *traces = argument;
    log_thread_attach("traces");
    pthread_setname_np(pthread_self(), "traces");
    pthread_mutex_lock(&traces->lock);
    while (!traces->stopping) {
        look(traces);
        if (any_runs(traces)) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += TRACES_LOOK_MS * 1000000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&traces->changed, &traces->lock, &until);
        } else if (!traces->stopping) {
            pthread_cond_wait(&traces->changed, &traces->lock);
        }
    }
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        entry->why = entry->stop ? entry->why : TRACE_END_RESTART;
        entry->wanted = false;
    }
    if (any_runs(traces)) traces_drain(traces, true);
    entries_end(traces);
    pthread_cond_broadcast(&traces->changed);
    pthread_mutex_unlock(&traces->lock);
    return NULL;
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

/* With the lock. False: the broker stops, or it takes too long. */
static bool wait_change(struct traces *traces, struct timespec *until)
{
    return !traces->stopping && pthread_cond_timedwait(&traces->changed, &traces->lock, until) == 0;
}

static struct timespec until_of(uint32_t seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    return until;
}

static uint32_t slot_free(struct traces *traces, uint32_t *ret_running)
{
    uint32_t used = 0;
    *ret_running = 0;
    LIST_FOR_EACH(link, &traces->entries)
    {
        const struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (!entry->wanted && !entry->picture.running) continue;
        used |= 1u << entry->slot;
        ++*ret_running;
    }
    uint32_t slot = 0;
    while (slot < TRACES_MAX && used >> slot & 1)
        slot++;
    return slot;
}

/* So that there is room for one more. */
static void oldest_remove(struct traces *traces, uint32_t kept_max)
{
    struct list *next;
    for (struct list *link = traces->entries.next; link != &traces->entries && traces->count >= kept_max; link = next) {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        next = link->next;
        if (entry->picture.running || entry->wanted) continue;
        LOG(NOTICE, "trace removed", "name=%s why=\"more than trace.max_kept\"", entry->picture.name);
        traces_files_remove(traces, entry->picture.name);
        entry_release(traces, entry);
    }
}

enum traces_result traces_start(struct traces *traces, const struct trace_settings *settings, const struct trace_picture *wanted, struct cidr_list networks,
                                struct trace_picture *ret_picture, char *ret_error, size_t error_bytes)
{
    struct timespec until = until_of(WAIT_S);
    uint32_t running;
    pthread_mutex_lock(&traces->lock);
    uint32_t slot = slot_free(traces, &running);
    enum traces_result refused = traces->stopping ? TRACES_STOPPING : traces_entry(traces, wanted->name) ? TRACES_TAKEN
                                 : running >= settings->running_max || slot == TRACES_MAX ? TRACES_TOO_MANY : TRACES_DONE;
    if (refused != TRACES_DONE) {
        pthread_mutex_unlock(&traces->lock);
        cidr_list_release(&networks);
        return refused;
    }
    oldest_remove(traces, settings->kept_max);
    struct entry *entry = memory_acquire_zeroed(sizeof *entry);
    list_init(&entry->link);
    entry->picture = *wanted;
    entry->picture.started_ms = traces_unix_ns() / 1000000;
    entry->picture.ends_ms = entry->picture.started_ms + wanted->ends_ms;
    entry->networks = networks;
    entry->slot = slot;
    entry->json = entry->text = -1;
    list_append(&traces->entries, &entry->link);
    traces->count++;
    if (!traces_files_open(traces, entry, ret_error, error_bytes)) {
        entry_release(traces, entry);
        pthread_mutex_unlock(&traces->lock);
        return TRACES_FAILED;
    }
    entry->wanted = true;
    pthread_cond_broadcast(&traces->changed);
    /* Until the shards have it: what happens after this answer is in the trace. */
    struct entry *now;
    while ((now = traces_entry(traces, wanted->name)) && !now->applied && !now->picture.stopped_ms && wait_change(traces, &until)) {}
    now = traces_entry(traces, wanted->name);
    enum traces_result result = now && !traces->stopping ? TRACES_DONE : TRACES_STOPPING;
    if (now) *ret_picture = now->picture;
    pthread_mutex_unlock(&traces->lock);
    return result;
}

enum traces_result traces_end(struct traces *traces, const char *name, struct trace_picture *ret_picture)
{
    struct timespec until = until_of(WAIT_S);
    pthread_mutex_lock(&traces->lock);
    struct entry *entry = traces_entry(traces, name);
    if (entry && (entry->wanted || entry->picture.running)) {
        if (!entry->stop) entry->why = TRACE_END_STOPPED;
        entry->stop = true;
        pthread_cond_broadcast(&traces->changed);
        while ((entry = traces_entry(traces, name)) && (entry->wanted || entry->picture.running) && wait_change(traces, &until)) {}
    }
    enum traces_result result = entry ? TRACES_DONE : TRACES_NOT_FOUND;
    if (entry) *ret_picture = entry->picture;
    pthread_mutex_unlock(&traces->lock);
    return result;
}

static bool any_to_remove(struct traces *traces)
{
    LIST_FOR_EACH(link, &traces->entries)
        if (CONTAINER_OF(link, struct entry, link)->removed) return true;
    return false;
}

enum traces_result traces_delete(struct traces *traces, const char *name)
{
    struct timespec until = until_of(WAIT_S);
    bool any = false;
    pthread_mutex_lock(&traces->lock);
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (name && strcmp(entry->picture.name, name) != 0) continue;
        any = entry->removed = true;
        if (!entry->picture.end && !entry->stop) {
            entry->why = TRACE_END_STOPPED;
            entry->stop = true;
        }
    }
    pthread_cond_broadcast(&traces->changed);
    while (any_to_remove(traces) && wait_change(traces, &until)) {}
    enum traces_result result = any_to_remove(traces) ? TRACES_STOPPING : any || !name ? TRACES_DONE : TRACES_NOT_FOUND;
    pthread_mutex_unlock(&traces->lock);
    return result;
}

bool traces_find(struct traces *traces, const char *name, struct trace_picture *ret_picture)
{
    pthread_mutex_lock(&traces->lock);
    const struct entry *entry = traces_entry(traces, name);
    if (entry) *ret_picture = entry->picture;
    pthread_mutex_unlock(&traces->lock);
    return entry != NULL;
}

struct trace_picture *traces_list(struct traces *traces, uint32_t *ret_count)
{
    pthread_mutex_lock(&traces->lock);
    struct trace_picture *list = memory_acquire((traces->count + 1) * sizeof *list);
    uint32_t at = traces->count;
    LIST_FOR_EACH(link, &traces->entries)
        list[--at] = CONTAINER_OF(link, struct entry, link)->picture;
    *ret_count = traces->count;
    pthread_mutex_unlock(&traces->lock);
    return list;
}

int traces_open(struct traces *traces, const char *name, bool json)
{
    char path[4300];
    pthread_mutex_lock(&traces->lock);
    bool known = traces_entry(traces, name) != NULL; /* so that no other file is opened */
    pthread_mutex_unlock(&traces->lock);
    traces_path(traces, name, json ? ".jsonl" : ".log", path, sizeof path);
    return known ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct traces *traces_create(struct admin *admin, const char *data_dir)
{
    struct traces *traces = memory_acquire_zeroed(sizeof *traces);
    char folder[4200];
    traces->admin = admin;
    snprintf(folder, sizeof folder, "%s/trace", data_dir);
    traces->folder = memory_copy_string(span_of_string(folder));
    pthread_mutex_init(&traces->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&traces->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&traces->entries);
    list_init(&traces->old);
    traces_folder_read(traces);
    traces->started = pthread_create(&traces->thread, NULL, traces_thread, traces) == 0;
    if (traces->started) return traces;
    traces_destroy(traces);
    return NULL;
}

void traces_stop(struct traces *traces)
{
    if (!traces) return;
    pthread_mutex_lock(&traces->lock);
    traces->stopping = true;
    pthread_cond_broadcast(&traces->changed);
    pthread_mutex_unlock(&traces->lock);
    if (traces->started) pthread_join(traces->thread, NULL);
    traces->started = false;
}

void traces_destroy(struct traces *traces)
{
    if (!traces) return;
    CHECK(!traces->started);
    while (!list_empty(&traces->entries))
        entry_release(traces, CONTAINER_OF(traces->entries.next, struct entry, link));
    if (traces->set) set_release(traces->set);
    while (!list_empty(&traces->old))
        set_release(&CONTAINER_OF(traces->old.next, struct kept_set, link)->set);
    for (uint32_t i = 0; i < traces->waiting_count; i++)
        memory_release(traces->waiting[i].record);
    memory_release(traces->waiting);
    memory_release(traces->folder);
    pthread_mutex_destroy(&traces->lock);
    pthread_cond_destroy(&traces->changed);
    memory_release(traces);
}
