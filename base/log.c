#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/memory.h"

struct log_line {
    struct timespec time;
    enum log_level level;
    uint32_t event_bytes;
    uint32_t bytes;
    char text[LOG_LINE_BYTES_MAX]; /* event, then fields */
};

struct log_ring {
    struct log_ring *next;
    char thread[16]; /* a copy: lines may outlive the thread and whoever named it */
    _Atomic uint64_t dropped;
    uint64_t dropped_told;
    _Alignas(64) _Atomic uint32_t tail;
    _Alignas(64) _Atomic uint32_t head;
    struct log_line lines[LOG_LINES_PENDING_MAX];
};

enum log_level log_level_now = LOG_INFO;
static enum log_format format_now = LOG_TEXT;
static int wake_fd_now = -1;
static _Atomic(struct log_ring *) rings;
static _Thread_local struct log_ring *ring_mine;

static const char *const level_names[] = {"debug", "info", "notice", "warn", "error", "off"};
static const int level_journal[] = {7, 6, 5, 4, 3, 3};

const char *log_level_name(enum log_level level) { return level_names[level]; }

/* ---- making a line ---------------------------------------------------------------------------------------------- */

static char *character_start(const char *text, char *end);

static void line_format(struct log_line *line, enum log_level level, const char *event, uint32_t left_out,
                        const char *fields, va_list arguments)
{
    clock_gettime(CLOCK_REALTIME, &line->time);
    line->level = level;
    size_t event_bytes = strlen(event);
    if (event_bytes > sizeof line->text / 2) event_bytes = sizeof line->text / 2;
    memcpy(line->text, event, event_bytes);
    line->event_bytes = (uint32_t)event_bytes;
    size_t room = sizeof line->text - event_bytes;
    char *at = line->text + event_bytes;
    int wanted = vsnprintf(at, room, fields, arguments);
    size_t bytes = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
    if (wanted >= 0 && (size_t)wanted >= room) {
        char *end = character_start(at, at + room - 4);
        bytes = (size_t)(stpcpy(end, "...") - at);
    }
    if (left_out && bytes + 32 < room)
        bytes += (size_t)snprintf(at + bytes, room - bytes, "%sleft_out=%u", bytes ? " " : "", left_out);
    line->bytes = (uint32_t)(event_bytes + bytes);
}

/* The end of a cut text, without the beginning of a UTF-8 character that the cut has left. */
static char *character_start(const char *text, char *end)
{
    char *at = end;
    while (at > text && ((unsigned char)at[-1] & 0xc0) == 0x80)
        at--;
    if (at == text || (unsigned char)at[-1] < 0xc0) return end; /* ASCII before the cut, or not UTF-8 at all */
    uint32_t wanted = (unsigned char)at[-1] >= 0xf0 ? 4 : (unsigned char)at[-1] >= 0xe0 ? 3 : 2;
    return (size_t)(end - (at - 1)) < wanted ? at - 1 : end;
}

const char *log_quoted(struct span bytes)
{
    static _Thread_local char buffers[4][2 * LOG_QUOTED_BYTES_MAX + 8];
    static _Thread_local uint32_t next;
    char *text = buffers[next++ % 4], *at = text;
    *at++ = '"';
    size_t count = bytes.bytes < LOG_QUOTED_BYTES_MAX ? bytes.bytes : LOG_QUOTED_BYTES_MAX;
    for (size_t i = 0; i < count; i++) {
        if (bytes.data[i] == '"' || bytes.data[i] == '\\') *at++ = '\\';
        *at++ = bytes.data[i] ? (char)bytes.data[i] : '?'; /* a NUL would end the line */
    }
    if (count < bytes.bytes) {
        at = character_start(text, at);
        at = stpcpy(at, "...");
    }
    stpcpy(at, "\"");
    return text;
}

/* ---- writing a line --------------------------------------------------------------------------------------------- */

/* Lines are gathered and leave in one write(2). */
#define WRITER_LINE_BYTES_MAX (LOG_LINE_BYTES_MAX * 6 + 256)

struct writer {
    char text[16 * 1024 + WRITER_LINE_BYTES_MAX];
    size_t bytes;
};

static void writer_flush(struct writer *writer)
{
    ssize_t written = writer->bytes ? write(STDERR_FILENO, writer->text, writer->bytes) : 0;
    (void)written; /* nowhere to report it */
    writer->bytes = 0;
}

static void put_bytes(struct writer *writer, const char *text, size_t bytes)
{
    memcpy(writer->text + writer->bytes, text, bytes);
    writer->bytes += bytes;
}

static void put_text(struct writer *writer, const char *text) { put_bytes(writer, text, strlen(text)); } /* our own words: never too long, never odd */

static bool needs_escape(unsigned char c, bool json) { return c < 0x20 || c == 0x7f || (json && (c == '"' || c == '\\')); }

static void put_escaped(struct writer *writer, const char *text, size_t bytes, bool json)
{
    for (size_t i = 0; i < bytes;) {
        size_t plain = i;
        while (plain < bytes && !needs_escape((unsigned char)text[plain], json))
            plain++;
        put_bytes(writer, text + i, plain - i);
        if ((i = plain) == bytes) return;
        unsigned char c = (unsigned char)text[i++];
        char code[8];
        if (c < 0x20 || c == 0x7f)
            snprintf(code, sizeof code, json ? "\\u%04x" : "\\x%02x", c);
        else
            snprintf(code, sizeof code, "\\%c", c);
        put_text(writer, code);
    }
}

/* Splits `key=value key="two words"` into JSON members. */
static void put_json_fields(struct writer *writer, const char *fields, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        const char *equals = memchr(fields + at, '=', bytes - at);
        if (!equals) break;
        size_t key = (size_t)(equals - fields) - at, start = (size_t)(equals - fields) + 1, end = start;
        bool quoted = start < bytes && fields[start] == '"';
        if (quoted) end = ++start;
        put_text(writer, ",\"");
        put_escaped(writer, fields + at, key, true);
        put_text(writer, "\":\"");
        for (; end < bytes && fields[end] != (quoted ? '"' : ' '); end++) {
            if (quoted && fields[end] == '\\' && end + 1 < bytes) end++;
            put_escaped(writer, fields + end, 1, true);
        }
        put_text(writer, "\"");
        at = end + (quoted ? 2 : 1);
    }
}

static struct writer writer; /* one thread writes */

static void line_write(const struct log_line *line, const char *thread)
{
    char stamp[64], prefix[64];
    struct tm tm;
    if (writer.bytes + WRITER_LINE_BYTES_MAX > sizeof writer.text) writer_flush(&writer);
    gmtime_r(&line->time.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(prefix, sizeof prefix, "%.30s.%03ldZ", stamp, line->time.tv_nsec / 1000000);
    const char *fields = line->text + line->event_bytes;
    size_t fields_bytes = line->bytes - line->event_bytes;
    if (format_now == LOG_JSON) {
        put_text(&writer, "{\"time\":\"");
        put_text(&writer, prefix);
        put_text(&writer, "\",\"level\":\"");
        put_text(&writer, level_names[line->level]);
        put_text(&writer, "\",\"thread\":\"");
        put_text(&writer, thread);
        put_text(&writer, "\",\"event\":\"");
        put_escaped(&writer, line->text, line->event_bytes, true);
        put_text(&writer, "\"");
        put_json_fields(&writer, fields, fields_bytes);
        put_text(&writer, "}");
    } else {
        if (format_now == LOG_JOURNAL)
            snprintf(prefix, sizeof prefix, "<%d>", level_journal[line->level]);
        put_text(&writer, prefix);
        put_text(&writer, format_now == LOG_JOURNAL ? "" : " ");
        if (format_now == LOG_TEXT) put_text(&writer, level_names[line->level]);
        put_text(&writer, " [");
        put_text(&writer, thread);
        put_text(&writer, "] ");
        put_escaped(&writer, line->text, line->event_bytes, false);
        if (fields_bytes) put_text(&writer, ": ");
        put_escaped(&writer, fields, fields_bytes, false);
    }
    put_text(&writer, "\n");
}

/* ---- rings ------------------------------------------------------------------------------------------------------ */

static void line_submit(enum log_level level, const char *event, uint32_t left_out, const char *fields,
                        va_list arguments)
{
    struct log_ring *ring = ring_mine;
    if (!ring || wake_fd_now < 0) { /* start-up, tests */
        static _Thread_local struct log_line line;
        line_format(&line, level, event, left_out, fields, arguments);
        line_write(&line, ring ? ring->thread : "main");
        return writer_flush(&writer);
    }
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire); /* pairs: log_drain */
    if (tail - head == LOG_LINES_PENDING_MAX) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return;
    }
    line_format(&ring->lines[tail % LOG_LINES_PENDING_MAX], level, event, left_out, fields, arguments);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release); /* pairs: log_drain */
    atomic_thread_fence(memory_order_seq_cst);                          /* either the writer sees the line, or we see it idle */
    if (atomic_load_explicit(&ring->head, memory_order_relaxed) != tail) return;
    uint64_t one = 1;
    ssize_t written = write(wake_fd_now, &one, sizeof one);
    (void)written; /* a full eventfd is awake anyway */
}

void log_write(enum log_level level, const char *event, const char *fields, ...)
{
    va_list arguments;
    va_start(arguments, fields);
    line_submit(level, event, 0, fields, arguments);
    va_end(arguments);
}

void log_write_limited(enum log_level level, struct log_limit *limit, const char *event, const char *fields, ...)
{
    va_list arguments;
    va_start(arguments, fields);
    line_submit(level, event, limit->left_out, fields, arguments);
    va_end(arguments);
    limit->left_out = 0;
}

bool log_limit_pass(struct log_limit *limit, uint32_t interval_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (now_ms < limit->next_ms) {
        limit->left_out++;
        return false;
    }
    limit->next_ms = now_ms + interval_ms;
    return true;
}

void log_thread_attach(const char *name)
{
    struct log_ring *ring = memory_acquire_aligned(64, sizeof *ring);
    snprintf(ring->thread, sizeof ring->thread, "%s", name);
    ring->next = atomic_load(&rings);
    while (!atomic_compare_exchange_weak(&rings, &ring->next, ring)) {}
    ring_mine = ring;
}

/* Looks again after the last line: one that came meanwhile has not rung the bell. */
static void ring_drain(struct log_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while (head != atomic_load_explicit(&ring->tail, memory_order_acquire)) { /* pairs: line_submit */
        line_write(&ring->lines[head % LOG_LINES_PENDING_MAX], ring->thread);
        atomic_store_explicit(&ring->head, ++head, memory_order_release); /* pairs: line_submit */
        atomic_thread_fence(memory_order_seq_cst);
    }
}

void log_drain(void)
{
    for (struct log_ring *ring = atomic_load(&rings); ring; ring = ring->next) {
        ring_drain(ring);
        uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
        if (dropped == ring->dropped_told) continue;
        struct log_line line = {.level = LOG_WARN};
        clock_gettime(CLOCK_REALTIME, &line.time);
        line.event_bytes = (uint32_t)snprintf(line.text, sizeof line.text, "log lines dropped");
        line.bytes = line.event_bytes + (uint32_t)snprintf(line.text + line.event_bytes, 64, "count=%llu",
                                                           (unsigned long long)(dropped - ring->dropped_told));
        ring->dropped_told = dropped;
        line_write(&line, ring->thread);
    }
    writer_flush(&writer);
}

void log_configure(enum log_level level, enum log_format format)
{
    log_level_now = level;
    format_now = format;
}

void log_start(enum log_format format, int wake_fd)
{
    format_now = format;
    wake_fd_now = wake_fd;
}

void log_stop(void)
{
    log_drain();
    wake_fd_now = -1;
    struct log_ring *ring = atomic_exchange(&rings, NULL);
    while (ring) {
        struct log_ring *next = ring->next;
        if (ring == ring_mine) ring_mine = NULL;
        memory_release(ring);
        ring = next;
    }
}
