/* traces_write.c - records from the shards' rings into the files, in the order of time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/api.h"
#include "admin/traces_inside.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"

/* A record may be so much younger than others that come later: a shard that was interrupted between reading the clock and handing it over. */
#define SETTLE_NS 20000000ull

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
void traces_say(struct entry *entry, enum trace_event event, uint32_t shard, uint32_t number, const char *text, bool last)
{
    size_t bytes = (sizeof(struct trace_record) + strlen(text) + 7) & ~(size_t)7;
    struct trace_record *record = memory_acquire_zeroed(bytes);
    *record = (struct trace_record){.bytes = (uint32_t)bytes, .event = (uint8_t)event, .shard = (uint8_t)shard, .at_ns = traces_unix_ns(), .numbers = {number},
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
        if (traces_runs(entry) && record->traces >> entry->slot & 1) entry_write(entry, record, false);
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
            if (lost == 0 || !traces_runs(entry)) continue;
            entry->picture.lost += lost;
            traces_say(entry, TRACE_EVENT_lost, s, lost > UINT32_MAX ? UINT32_MAX : (uint32_t)lost, "", true);
        }
    }
}

/* Everything that has come. all: also what is younger than SETTLE_NS. */
void traces_drain(struct traces *traces, bool all)
{
    const struct broker *broker = admin_broker(traces->admin);
    uint64_t now_ns = traces_unix_ns();
    for (uint32_t s = 0; s < broker->shards_count; s++)
        trace_node_drain(broker->trace, s, take, traces);
    settle(traces, all ? UINT64_MAX : now_ns - SETTLE_NS);
    lost_say(traces, broker->trace, broker->shards_count);
}
