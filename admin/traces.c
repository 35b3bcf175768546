#include "admin/traces.h"

#include <dirent.h>
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
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/inspect.h"

const char *const trace_end_names[TRACE_ENDS] = {NULL, "time", "size", "stopped", "restart", "disk"};

/* A record may be so much younger than others that come later: a shard that was interrupted between reading the clock and handing it over. */
#define SETTLE_NS 20000000ull
/* What starting and stopping wait for: the shards' answers, and a look of the thread. */
#define WAIT_S 10

struct entry {
    struct list link;
    struct trace_picture picture;
    struct cidr_list networks;
    uint32_t slot;
    bool wanted;        /* it is to run, or runs */
    bool applied;       /* the shards know of it */
    bool stop;          /* somebody wants it to end, or `end` says why it must */
    bool removed;       /* and to be deleted then */
    enum trace_end why;
    int json, text;     /* files; -1 */
};

/* A record that waits for its place. */
struct waiting {
    uint64_t order;
    struct trace_record *record;
};

struct traces {
    struct admin *admin;
    char *folder;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;    /* of what follows, and of all entries */
    pthread_cond_t changed;
    struct list entries;     /* the newest last */
    uint32_t count;
    bool stopping;
    /* the trace thread's */
    struct trace_set *set;   /* with the shards; NULL: none */
    struct list old;         /* sets that a shard may still have: it did not answer */
    struct waiting *waiting;
    uint32_t waiting_count, waiting_capacity;
    uint64_t order;
};

struct kept_set {
    struct list link;
    struct trace_set set;
    char texts[];
};

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void path_of(const struct traces *traces, const char *name, const char *suffix, char *ret_path, size_t bytes)
{
    snprintf(ret_path, bytes, "%s/%s%s", traces->folder, name, suffix);
}

static struct entry *find(struct traces *traces, const char *name)
{
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (strcmp(entry->picture.name, name) == 0) return entry;
    }
    return NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static bool meta_write(const struct traces *traces, const struct trace_picture *picture)
{
    char path[4300], temporary[4310];
    path_of(traces, picture->name, ".meta", path, sizeof path);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    json_t *meta = json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name", picture->name, "type", trace_kind_names[picture->kind], "value",
                             api_string(span_of_string(picture->value)), "payload", trace_payload_names[picture->wording.payload], "payload_limit",
                             (json_int_t)picture->wording.payload_bytes, "max_bytes", (json_int_t)picture->bytes_max, "started_ms", (json_int_t)picture->started_ms,
                             "ends_ms", (json_int_t)picture->ends_ms, "stopped_ms", (json_int_t)picture->stopped_ms, "records", (json_int_t)picture->records, "lost",
                             (json_int_t)picture->lost, "end", picture->end ? trace_end_names[picture->end] : "");
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = file >= 0 && json_dumpfd(meta, file, JSON_COMPACT) == 0;
    if (file >= 0) written = close(file) == 0 && written;
    written = written && rename(temporary, path) == 0;
    json_decref(meta);
    if (!written) LOG(ERROR, "trace not written", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
    return written;
}

static void trace_files_remove(const struct traces *traces, const char *name)
{
    static const char *const suffixes[] = {".meta", ".jsonl", ".log"};
    char path[4300];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        path_of(traces, name, suffixes[i], path, sizeof path);
        unlink(path);
    }
}

static uint64_t file_bytes(const struct traces *traces, const char *name, const char *suffix)
{
    char path[4300];
    struct stat status;
    path_of(traces, name, suffix, path, sizeof path);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int word_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; word && i < count; i++)
        if (words[i] && strcmp(words[i], word) == 0) return i;
    return 0;
}

static void meta_read(struct traces *traces, const char *file)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", traces->folder, file);
    json_t *meta = json_load_file(path, 0, NULL);
    const char *name = json_string_value(json_object_get(meta, "name")), *value = json_string_value(json_object_get(meta, "value"));
    bool sound = name && value && strlen(name) + 5 == strlen(file) && strncmp(file, name, strlen(name)) == 0 && strlen(name) <= TRACE_NAME_BYTES;
    if (sound) {
#define NUMBER(key) (uint64_t)json_integer_value(json_object_get(meta, key))
#define WORD(key)   json_string_value(json_object_get(meta, key))
        struct entry *entry = memory_acquire_zeroed(sizeof *entry);
        struct trace_picture *picture = &entry->picture;
        snprintf(picture->name, sizeof picture->name, "%s", name);
        snprintf(picture->value, sizeof picture->value, "%s", value);
        picture->kind = (enum trace_kind)word_of(WORD("type"), trace_kind_names, TRACE_KINDS);
        picture->wording.payload = (enum trace_payload)word_of(WORD("payload"), trace_payload_names, 3);
        picture->wording.payload_bytes = (uint32_t)NUMBER("payload_limit");
        picture->bytes_max = NUMBER("max_bytes");
        picture->started_ms = NUMBER("started_ms");
        picture->ends_ms = NUMBER("ends_ms");
        picture->stopped_ms = NUMBER("stopped_ms");
        picture->records = NUMBER("records");
        picture->lost = NUMBER("lost");
        picture->end = (enum trace_end)word_of(WORD("end"), trace_end_names, TRACE_ENDS);
        picture->bytes = file_bytes(traces, name, ".jsonl") + file_bytes(traces, name, ".log");
        if (picture->end == TRACE_END_NONE) { /* the broker was killed */
            picture->end = TRACE_END_RESTART;
            picture->stopped_ms = unix_ns() / 1000000;
            meta_write(traces, picture);
        }
        entry->json = entry->text = -1;
        list_init(&entry->link);
        struct list *before = traces->entries.previous; /* by the time of their start */
        while (before != &traces->entries && CONTAINER_OF(before, struct entry, link)->picture.started_ms > picture->started_ms)
            before = before->previous;
        list_append(before->next, &entry->link);
        traces->count++;
#undef NUMBER
#undef WORD
    } else {
        LOG(WARN, "trace left alone", "file=%s what=\"it is no description of a trace\"", log_quoted(span_of_string(path)));
    }
    json_decref(meta);
}

static void folder_read(struct traces *traces)
{
    DIR *folder = opendir(traces->folder);
    if (!folder) return;
    for (struct dirent *found; (found = readdir(folder));) {
        size_t bytes = strlen(found->d_name);
        if (bytes > 5 && strcmp(found->d_name + bytes - 5, ".meta") == 0) meta_read(traces, found->d_name);
    }
    closedir(folder);
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

static bool write_all(int file, const char *data, size_t bytes)
{
    while (bytes) {
        ssize_t written = write(file, data, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        data += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* ---- writing (trace thread, with the lock) -------------------------------------------------------------------------- */

static bool runs(const struct entry *entry) { return entry->picture.running && !entry->picture.end; }

/* Appends a record to the trace's files; one that has no room left ends it, unless it is its last word. */
static void entry_write(struct entry *entry, const struct trace_record *record, bool last)
{
    struct http_text words = {0}, line = {0};
    char at[TRACE_TIME_BYTES];
    struct span client = trace_record_client(record);
    json_t *details = trace_words(record, &entry->picture.wording, &words);
    const char *event = trace_event_names[record->event];
    bool everywhere = record->event == TRACE_EVENT_trace;
    trace_time(record->at_ns, at);
    json_t *object = json_pack("{s:s, s:o, s:o, s:s, s:o, s:o}", "at", at, "shard", everywhere ? json_null() : json_integer(record->shard), "clientid", api_string(client),
                               "event", event, "text", api_string(span_of(words.data ? words.data : "", words.bytes)), "details", details);
    char *json = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII); /* one line for whatever tool: U+2028 ends one for some */
    json_decref(object);
    CHECK(json);
    if (everywhere)
        http_text_print(&line, "%s - ", at);
    else
        http_text_print(&line, "%s %u ", at, record->shard);
    trace_quote(&line, client);
    http_text_print(&line, " %s ", event);
    http_text_add(&line, words.data ? words.data : "", words.bytes);
    http_text_add(&line, "\n", 1);
    size_t json_bytes = strlen(json);
    json[json_bytes] = '\n'; /* its NUL: the length is known */
    struct trace_picture *picture = &entry->picture;
    uint64_t bytes = json_bytes + 1 + line.bytes;
    if (!last && picture->bytes + bytes > picture->bytes_max) {
        picture->end = TRACE_END_SIZE;
        entry->stop = true;
    } else if (!write_all(entry->json, json, json_bytes + 1) || !write_all(entry->text, line.data, line.bytes)) {
        LOG(ERROR, "trace ended", "name=%s error=\"%s\"", picture->name, strerror(errno));
        picture->end = TRACE_END_DISK;
        entry->stop = true;
    } else {
        picture->bytes += bytes;
        picture->records++;
    }
    free(json);
    http_text_release(&words);
    http_text_release(&line);
}

/* A record of the trace about itself, or about what is missing in it. */
static void entry_say(struct entry *entry, enum trace_event event, uint32_t shard, uint32_t number, const char *text, bool last)
{
    size_t bytes = (sizeof(struct trace_record) + strlen(text) + 7) & ~(size_t)7;
    struct trace_record *record = memory_acquire_zeroed(bytes);
    *record = (struct trace_record){.bytes = (uint32_t)bytes, .event = (uint8_t)event, .shard = (uint8_t)shard, .at_ns = unix_ns(), .numbers = {number},
                                    .text_bytes = (uint16_t)strlen(text)};
    memcpy(record->texts, text, strlen(text));
    entry_write(entry, record, last);
    memory_release(record);
}

static void take(void *context, const struct trace_record *record)
{
    struct traces *traces = context;
    if (traces->waiting_count == traces->waiting_capacity) {
        traces->waiting_capacity = traces->waiting_capacity ? traces->waiting_capacity * 2 : 1024;
        traces->waiting = memory_resize(traces->waiting, traces->waiting_capacity * sizeof *traces->waiting);
    }
    struct trace_record *copy = memory_acquire(record->bytes);
    memcpy(copy, record, record->bytes);
    traces->waiting[traces->waiting_count++] = (struct waiting){traces->order++, copy};
}

static int earlier(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;
    if (x->record->at_ns != y->record->at_ns) return x->record->at_ns < y->record->at_ns ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void waiting_write(struct traces *traces, const struct trace_record *record)
{
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (runs(entry) && record->traces >> entry->slot & 1) entry_write(entry, record, false);
    }
}

/* Those that are old enough, in the order of time. */
static void settle(struct traces *traces, uint64_t until_ns)
{
    uint32_t done = 0;
    if (traces->waiting_count == 0) return;
    qsort(traces->waiting, traces->waiting_count, sizeof *traces->waiting, earlier);
    for (; done < traces->waiting_count && traces->waiting[done].record->at_ns <= until_ns; done++) {
        waiting_write(traces, traces->waiting[done].record);
        memory_release(traces->waiting[done].record);
    }
    traces->waiting_count -= done;
    memmove(traces->waiting, traces->waiting + done, traces->waiting_count * sizeof *traces->waiting);
}

static void lost_say(struct traces *traces, struct trace_node *node, uint32_t shards)
{
    LIST_FOR_EACH(link, &traces->entries)
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        for (uint32_t s = 0; entry->picture.running && s < shards; s++) {
            uint64_t lost = trace_node_lost(node, s, entry->slot);
            if (lost == 0 || !runs(entry)) continue;
            entry->picture.lost += lost;
            entry_say(entry, TRACE_EVENT_lost, s, lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost, "", true);
        }
    }
}

/* Everything that has come. all: also what is younger than SETTLE_NS. */
static void drain(struct traces *traces, bool all)
{
    const struct broker *broker = admin_broker(traces->admin);
    uint64_t now_ns = unix_ns();
    for (uint32_t s = 0; s < broker->shards_count; s++)
        trace_node_drain(broker->trace, s, take, traces);
    settle(traces, all ? UINT64_MAX : now_ns - SETTLE_NS);
    lost_say(traces, broker->trace, broker->shards_count);
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
    entry_say(entry, TRACE_EVENT_trace, 0, 0, text, true);
    LOG(NOTICE, "trace started", "name=%s type=%s value=%s", entry->picture.name, trace_kind_names[entry->picture.kind], log_quoted(span_of_string(value)));
}

static void entry_finish(struct traces *traces, struct entry *entry)
{
    struct trace_picture *picture = &entry->picture;
    static const char *const whys[TRACE_ENDS] = {"", "its time is over", "its size is reached", "somebody has stopped it", "the broker stops", "its file cannot be written"};
    char text[200];
    if (!picture->end) picture->end = entry->why;
    picture->stopped_ms = unix_ns() / 1000000;
    snprintf(text, sizeof text, "ends: %s; %llu records, %llu lost", whys[picture->end], (unsigned long long)picture->records, (unsigned long long)picture->lost);
    enum trace_end end = picture->end;
    if (end != TRACE_END_DISK) entry_say(entry, TRACE_EVENT_trace, 0, 0, text, true);
    picture->end = end;
    picture->running = false;
    close(entry->json);
    close(entry->text);
    entry->json = entry->text = -1;
    meta_write(traces, picture);
    LOG(NOTICE, "trace ended", "name=%s why=%s records=%llu lost=%llu bytes=%llu", picture->name, trace_end_names[end], (unsigned long long)picture->records,
        (unsigned long long)picture->lost, (unsigned long long)picture->bytes);
}

/* Whose time is over, and who was told to stop. True: the set must change. */
static bool entries_due(struct traces *traces, bool *ret_ending)
{
    uint64_t now_ms = unix_ns() / 1000000;
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
            trace_files_remove(traces, entry->picture.name);
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
    if (any_runs(traces)) drain(traces, false);
    if (!changes) return entries_end(traces);
    entries_begin(traces); /* before the shards know of it: nothing that they say is lost */
    pthread_mutex_unlock(&traces->lock);
    set_apply(traces);
    pthread_mutex_lock(&traces->lock);
    LIST_FOR_EACH(link, &traces->entries)
        CONTAINER_OF(link, struct entry, link)->applied = CONTAINER_OF(link, struct entry, link)->picture.running;
    if (ending) drain(traces, true);
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
    if (any_runs(traces)) drain(traces, true);
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
        trace_files_remove(traces, entry->picture.name);
        entry_release(traces, entry);
    }
}

static bool trace_files_open(struct traces *traces, struct entry *entry, char *ret_error, size_t error_bytes)
{
    char path[4300];
    bool made = mkdir(traces->folder, 0700) == 0 || errno == EEXIST;
    path_of(traces, entry->picture.name, ".jsonl", path, sizeof path);
    entry->json = made ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
    path_of(traces, entry->picture.name, ".log", path, sizeof path);
    entry->text = entry->json >= 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (entry->text >= 0 && meta_write(traces, &entry->picture)) return true;
    snprintf(ret_error, error_bytes, "%s cannot be written: %s", path, strerror(errno));
    trace_files_remove(traces, entry->picture.name);
    return false;
}

enum traces_result traces_start(struct traces *traces, const struct trace_settings *settings, const struct trace_picture *wanted, struct cidr_list networks,
                                struct trace_picture *ret_picture, char *ret_error, size_t error_bytes)
{
    struct timespec until = until_of(WAIT_S);
    uint32_t running;
    pthread_mutex_lock(&traces->lock);
    uint32_t slot = slot_free(traces, &running);
    enum traces_result refused = traces->stopping ? TRACES_STOPPING : find(traces, wanted->name) ? TRACES_TAKEN
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
    entry->picture.started_ms = unix_ns() / 1000000;
    entry->picture.ends_ms = entry->picture.started_ms + wanted->ends_ms;
    entry->networks = networks;
    entry->slot = slot;
    entry->json = entry->text = -1;
    list_append(&traces->entries, &entry->link);
    traces->count++;
    if (!trace_files_open(traces, entry, ret_error, error_bytes)) {
        entry_release(traces, entry);
        pthread_mutex_unlock(&traces->lock);
        return TRACES_FAILED;
    }
    entry->wanted = true;
    pthread_cond_broadcast(&traces->changed);
    /* Until the shards have it: what happens after this answer is in the trace. */
    struct entry *now;
    while ((now = find(traces, wanted->name)) && !now->applied && !now->picture.stopped_ms && wait_change(traces, &until)) {}
    now = find(traces, wanted->name);
    enum traces_result result = now && !traces->stopping ? TRACES_DONE : TRACES_STOPPING;
    if (now) *ret_picture = now->picture;
    pthread_mutex_unlock(&traces->lock);
    return result;
}

enum traces_result traces_end(struct traces *traces, const char *name, struct trace_picture *ret_picture)
{
    struct timespec until = until_of(WAIT_S);
    pthread_mutex_lock(&traces->lock);
    struct entry *entry = find(traces, name);
    if (entry && (entry->wanted || entry->picture.running)) {
        if (!entry->stop) entry->why = TRACE_END_STOPPED;
        entry->stop = true;
        pthread_cond_broadcast(&traces->changed);
        while ((entry = find(traces, name)) && (entry->wanted || entry->picture.running) && wait_change(traces, &until)) {}
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
    const struct entry *entry = find(traces, name);
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
    bool known = find(traces, name) != NULL; /* so that no other file is opened */
    pthread_mutex_unlock(&traces->lock);
    path_of(traces, name, json ? ".jsonl" : ".log", path, sizeof path);
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
    folder_read(traces);
    CHECK(pthread_create(&traces->thread, NULL, traces_thread, traces) == 0);
    traces->started = true;
    return traces;
}

void traces_stop(struct traces *traces)
{
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
