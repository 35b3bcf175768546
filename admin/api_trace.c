/* api_trace.c - traces and the drop log (docs/trace.md). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/api.h"
#include "admin/traces.h"
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/droplog.h"
#include "broker/watch/inspect.h"
#include "proto/topic.h"

/* Of a payload, when nothing is said. */
#define PAYLOAD_BYTES_DEFAULT 128

static json_t *trace_json(const struct trace_picture *picture)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "name", picture->name, "type", trace_kind_names[picture->kind], "value",
                     api_string(span_of_string(picture->value)), "payload", trace_payload_names[picture->wording.payload], "payload_limit",
                     (json_int_t)picture->wording.payload_bytes, "status", picture->running ? "running" : "stopped", "end",
                     picture->running || !picture->end ? json_null() : json_string(trace_end_names[picture->end]), "started_at", api_time(picture->started_ms), "ends_at",
                     api_time(picture->ends_ms), "stopped_at", api_time(picture->stopped_ms), "max_bytes", (json_int_t)picture->bytes_max, "bytes",
                     (json_int_t)picture->bytes, "records", (json_int_t)picture->records, "lost", (json_int_t)picture->lost);
}

static void not_found(struct api_call *call) { api_error(call, 404, "NOT_FOUND", "there is no trace of this name"); }

/* False: answered. */
static bool sound(struct api_call *call, enum traces_result result, const char *error, const struct trace_settings *settings)
{
    switch (result) {
    case TRACES_DONE: return true;
    case TRACES_NOT_FOUND: not_found(call); break;
    case TRACES_TAKEN: api_error(call, 409, "CONFLICT", "there is a trace of this name already; delete it, or take another name"); break;
    case TRACES_TOO_MANY: api_error(call, 409, "CONFLICT", "%u traces run already (trace.max_running); stop one", settings->running_max); break;
    case TRACES_FAILED: api_error(call, 500, "FAILED", "%s", error); break;
    case TRACES_STOPPING: api_error(call, 503, "STOPPING", "the broker stops, or a shard is too busy to answer"); break;
    }
    return false;
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

/* What the value must be for its kind. False: answered. */
static bool value_check(struct api_call *call, enum trace_kind kind, struct span value, struct cidr_list *ret_networks)
{
    *ret_networks = (struct cidr_list){0};
    if (memchr(value.data, 0, value.bytes)) {
        api_error(call, 400, "BAD_REQUEST", "value has a NUL character, which no name of MQTT has");
        return false;
    }
    if (kind == TRACE_TOPIC && (!mqtt_topic_filter_valid(value, TOPIC_LEVELS_MAX) || span_starts_with(value, SPAN_LITERAL("$share/")))) {
        api_error(call, 400, "BAD_REQUEST", "value must be a topic filter such as a/+/c or a/#");
        return false;
    }
    const char *wrong = kind == TRACE_ADDRESS ? cidr_list_parse(value, ret_networks) : NULL;
    if (wrong) api_error(call, 400, "BAD_REQUEST", "value: %s", wrong);
    return !wrong;
}

/* It becomes the name of files. */
static bool name_sound(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t bytes = strlen(name);
    return bytes > 0 && bytes <= TRACE_NAME_BYTES && name[0] != '.' && strspn(name, letters) == bytes;
}

static int word(const char *text, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0) return i;
    return 0; /* checked by the schema */
}

void api_start_trace(struct api_call *call)
{
    struct trace_settings settings = admin_trace_settings_now(call->admin);
    const json_t *body = call->body, *value = json_object_get(body, "value"), *duration = json_object_get(body, "duration_s"), *size = json_object_get(body, "max_bytes"),
                 *payload = json_object_get(body, "payload"), *limit = json_object_get(body, "payload_limit");
    struct trace_picture wanted = {.kind = (enum trace_kind)word(json_string_value(json_object_get(body, "type")), trace_kind_names, TRACE_KINDS)};
    struct cidr_list networks;
    char error[512];
    uint64_t duration_s = duration ? (uint64_t)json_integer_value(duration) : settings.duration_s < settings.duration_max_s ? settings.duration_s : settings.duration_max_s;
    wanted.bytes_max = size ? (uint64_t)json_integer_value(size) : settings.bytes < settings.bytes_max ? settings.bytes : settings.bytes_max;
    wanted.wording.payload = payload ? (enum trace_payload)word(json_string_value(payload), trace_payload_names, 3) : TRACE_PAYLOAD_HIDDEN;
    wanted.wording.payload_bytes = limit ? (uint32_t)json_integer_value(limit) : PAYLOAD_BYTES_DEFAULT;
    if (duration_s > settings.duration_max_s) return api_error(call, 400, "BAD_REQUEST", "duration_s is at most %u (trace.max_duration)", settings.duration_max_s);
    if (wanted.bytes_max > settings.bytes_max)
        return api_error(call, 400, "BAD_REQUEST", "max_bytes is at most %llu (trace.max_size)", (unsigned long long)settings.bytes_max);
    if (!name_sound(json_string_value(json_object_get(body, "name"))))
        return api_error(call, 400, "BAD_REQUEST", "name must be 1 to %d letters, digits, _ - and . (not in front)", TRACE_NAME_BYTES);
    struct span text = span_of(json_string_value(value), json_string_length(value));
    if (!value_check(call, wanted.kind, text, &networks)) return;
    snprintf(wanted.name, sizeof wanted.name, "%s", json_string_value(json_object_get(body, "name")));
    snprintf(wanted.value, sizeof wanted.value, "%s", json_string_value(value));
    wanted.ends_ms = duration_s * 1000;
    struct trace_picture started;
    enum traces_result result = traces_start(admin_traces(call->admin), &settings, &wanted, networks, &started, error, sizeof error);
    if (sound(call, result, error, &settings)) api_reply(call, trace_json(&started));
}

/* ---- seeing, stopping --------------------------------------------------------------------------------------------- */

void api_list_traces(struct api_call *call)
{
    uint32_t count;
    struct trace_picture *list = traces_list(admin_traces(call->admin), &count);
    json_t *data = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(data, trace_json(&list[i]));
    memory_release(list);
    api_reply(call, json_pack("{s:o}", "data", data));
}

void api_get_trace(struct api_call *call)
{
    struct trace_picture picture;
    if (!traces_find(admin_traces(call->admin), api_text(call, "name"), &picture)) return not_found(call);
    api_reply(call, trace_json(&picture));
}

void api_stop_trace(struct api_call *call)
{
    struct trace_picture picture;
    if (sound(call, traces_end(admin_traces(call->admin), api_text(call, "name"), &picture), "", NULL)) api_reply(call, trace_json(&picture));
}

void api_delete_trace(struct api_call *call)
{
    if (sound(call, traces_delete(admin_traces(call->admin), api_text(call, "name")), "", NULL)) api_done(call);
}

void api_delete_traces(struct api_call *call)
{
    if (sound(call, traces_delete(admin_traces(call->admin), NULL), "", NULL)) api_done(call);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* One answer reads so much at most. */
#define LOG_BYTES_MAX (4u << 20)

/* Whole lines of `text` as JSON, up to `limit`; returns the bytes they took. */
static size_t lines_take(json_t *data, const char *text, size_t bytes, size_t limit)
{
    size_t used = 0;
    while (used < bytes && json_array_size(data) < limit) {
        const char *end = memchr(text + used, '\n', bytes - used);
        if (!end) break;
        json_t *record = json_loadb(text + used, (size_t)(end - text) - used, 0, NULL);
        if (record) json_array_append_new(data, record);
        used = (size_t)(end - text) + 1;
    }
    return used;
}

/* A position that is not the beginning of a line is moved on to the next one. */
static off_t line_begin(int file, off_t position)
{
    char piece[4096];
    if (position == 0) return 0;
    for (off_t at = position - 1;; at += (off_t)sizeof piece) {
        ssize_t got = pread(file, piece, sizeof piece, at);
        if (got <= 0) return at + 1 > position ? at : position;
        const char *end = memchr(piece, '\n', (size_t)got);
        if (end) return at + (end - piece) + 1;
    }
}

void api_read_trace(struct api_call *call)
{
    const char *name = api_text(call, "name");
    struct trace_picture picture;
    bool known = traces_find(admin_traces(call->admin), name, &picture);
    int file = known ? traces_open(admin_traces(call->admin), name, true) : -1;
    if (file < 0) return not_found(call);
    struct stat status;
    off_t position = (off_t)api_number(call, "position");
    if (fstat(file, &status) != 0) status.st_size = 0;
    position = position < status.st_size ? line_begin(file, position) : status.st_size;
    char *text = memory_acquire(LOG_BYTES_MAX);
    ssize_t got = pread(file, text, LOG_BYTES_MAX, position);
    json_t *data = json_array();
    /* Where no whole line was left there is no next one, whatever lies there: a disk that is full has the beginning of one. */
    size_t used = lines_take(data, text, got > 0 ? (size_t)got : 0, (size_t)api_number(call, "limit"));
    position += (off_t)used;
    memory_release(text);
    close(file);
    api_reply(call, json_pack("{s:o, s:I, s:b, s:s}", "data", data, "position", (json_int_t)position, "hasnext", used && position < status.st_size, "status",
                              picture.running ? "running" : "stopped"));
}

void api_download_trace(struct api_call *call)
{
    const char *name = api_text(call, "name");
    bool json = strcmp(api_text(call, "format"), "json") == 0;
    int file = traces_open(admin_traces(call->admin), name, json);
    struct stat status;
    if (file < 0) return not_found(call);
    if (fstat(file, &status) != 0) {
        close(file);
        return api_error(call, 500, "FAILED", "the file cannot be read");
    }
    char disposition[TRACE_NAME_BYTES + 64];
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%s%s\"", name, json ? ".jsonl" : ".log");
    http_add_header(call->exchange, "Content-Disposition", disposition);
    http_file(call->exchange, json ? "application/x-ndjson" : "text/plain; charset=utf-8", file, (uint64_t)status.st_size);
    call->answered = true;
}

/* ---- drops -------------------------------------------------------------------------------------------------------- */

static json_t *drop_json(const struct drop *drop)
{
    char at[TRACE_TIME_BYTES];
    trace_time(drop->at_ns, at);
    return json_pack("{s:s, s:I, s:s, s:s, s:o, s:o, s:b, s:I, s:I}", "at", at, "shard", (json_int_t)drop->shard, "reason", drop_reason_names[drop->reason], "text",
                     drop_reason_documentation[drop->reason], "clientid", api_string_of(drop->client, drop->client_bytes), "topic",
                     api_string_of(drop->topic, drop->topic_bytes), "cut", drop->client_cut || drop->topic_cut, "count", (json_int_t)drop->count, "not_noted",
                     (json_int_t)drop->not_noted);
}

/* Newest first. */
static int drop_order(const void *a, const void *b)
{
    const struct drop *x = *(struct drop *const *)a, *y = *(struct drop *const *)b;
    return x->at_ns == y->at_ns ? 0 : x->at_ns > y->at_ns ? -1 : 1;
}

static struct inspect *drops_question(struct api_call *call, uint32_t shard)
{
    const char *client_id = api_text(call, "clientid"), *topic = api_text(call, "topic"), *reason = api_text(call, "reason");
    struct inspect *inspect = inspect_create(INSPECT_DROPS);
    size_t client_bytes = client_id ? strlen(client_id) : 0, topic_bytes = topic ? strlen(topic) : 0;
    inspect->text = memory_acquire(client_bytes + topic_bytes + 1);
    if (client_bytes) memcpy(inspect->text, client_id, client_bytes);
    if (topic_bytes) memcpy(inspect->text + client_bytes, topic, topic_bytes);
    inspect->client_id = span_of(inspect->text, client_bytes);
    inspect->filter = span_of(inspect->text + client_bytes, topic_bytes);
    if (reason) inspect->qos = (uint32_t)word(reason, drop_reason_names, DROP_REASONS);
    inspect->shard = shard;
    inspect->limit = (uint32_t)api_number(call, "limit");
    return inspect;
}

void api_list_drops(struct api_call *call)
{
    const char *topic = api_text(call, "topic");
    if (topic && (!mqtt_topic_filter_valid(span_of_string(topic), TOPIC_LEVELS_MAX) || strncmp(topic, "$share/", 7) == 0))
        return api_error(call, 400, "BAD_REQUEST", "topic must be a topic filter such as a/+/c or a/#");
    uint32_t shards = admin_broker(call->admin)->shards_count, count = 0, limit = (uint32_t)api_number(call, "limit");
    struct inspect *inspects[SHARDS_MAX];
    struct drop **rows = memory_acquire((size_t)shards * DROPS_MAX * sizeof *rows);
    for (uint32_t s = 0; s < shards; s++) {
        inspects[s] = drops_question(call, s);
        if (!api_ask(call, inspects[s])) {
            while (s > 0)
                inspect_release(inspects[--s]);
            memory_release(rows);
            return;
        }
        for (uint32_t i = 0; i < inspects[s]->rows_count; i++)
            rows[count++] = inspects[s]->rows[i];
    }
    if (count) qsort(rows, count, sizeof *rows, drop_order);
    json_t *data = json_array();
    for (uint32_t i = 0; i < count && i < limit; i++)
        json_array_append_new(data, drop_json(rows[i]));
    for (uint32_t s = 0; s < shards; s++)
        inspect_release(inspects[s]);
    memory_release(rows);
    api_reply(call, json_pack("{s:o}", "data", data));
}
