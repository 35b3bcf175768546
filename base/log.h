/* log.h - log lines that a shard can afford to write.
 *
 * log_write() formats into the calling thread's own ring and returns; one writer thread (the control thread calls log_drain())
 * puts the lines on stderr as text, JSON or with journald's priority prefix. A full ring drops the line and counts it;
 * the count is written as soon as there is room, so nothing vanishes in silence.
 *
 * A line is an event and fields: `LOG(WARN, "message dropped", "topic=%s reason=%s", log_quoted(topic), …)`. The fields are
 * `key=value` words; a value with blanks is in double quotes, in which \ stands before " and \. Whatever comes from a peer goes
 * through log_quoted(), and the writer turns control characters into \xNN: a client id can forge neither a line nor a field.
 *
 * Threads: any thread may log after log_thread_attach(); before log_start() and in tests lines go to stderr directly. */
#ifndef RINGMQ_BASE_LOG_H
#define RINGMQ_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON, LOG_JOURNAL };

extern enum log_level log_level_now; /* read through LOG(); a torn read is harmless */

#define LOG(level, event, ...)                                                                                       \
    (LOG_##level >= log_level_now ? log_write(LOG_##level, event, __VA_ARGS__) : (void)0)

/* At most one line in `interval_ms` from this place and thread; the next one says how many were left out. */
#define LOG_LIMITED(level, interval_ms, event, ...)                                                                  \
    do {                                                                                                             \
        static _Thread_local struct log_limit limit_here;                                                            \
        if (LOG_##level >= log_level_now && log_limit_pass(&limit_here, interval_ms))                                \
            log_write_limited(LOG_##level, &limit_here, event, __VA_ARGS__);                                         \
    } while (0)

struct log_limit {
    uint64_t next_ms;
    uint32_t left_out;
};

bool log_limit_pass(struct log_limit *limit, uint32_t interval_ms);
void log_write(enum log_level level, const char *event, const char *fields, ...) __attribute__((format(printf, 3, 4)));
void log_write_limited(enum log_level level, struct log_limit *limit, const char *event, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));

/* The bytes in double quotes, for %s; cut after LOG_QUOTED_BYTES_MAX. Good until the thread's fourth next call. */
#define LOG_QUOTED_BYTES_MAX 512
const char *log_quoted(struct span bytes);

/* From now on lines wait in rings for log_drain(). `wake_fd` is an eventfd that is written when a ring was empty. */
void log_start(enum log_format format, int wake_fd);
void log_configure(enum log_level level, enum log_format format);
/* Gives the calling thread a ring; `name` is shown in its lines ("shard 3", at most 15 bytes). */
void log_thread_attach(const char *name);
/* Writes what waits in all rings, in order of time within a ring. Called by one thread. */
void log_drain(void);
/* Drains and goes back to writing directly. Called when all other threads have ended. */
void log_stop(void);

const char *log_level_name(enum log_level level);

#endif
