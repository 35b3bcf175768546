/* alarms.h - what needs somebody's attention: raised, cleared, and remembered for a while.
 *
 * An alarm is a name and a subject ("overload" of "shard 1"). Raising one that is raised changes nothing but its message. Each change is a line
 * in the log. alarms_look() compares the broker's counters with what should be; others may raise alarms, too.
 * Threads: any; one lock. Bounds: ALARMS_MAX raised, ALARMS_HISTORY_MAX cleared ones, the oldest go. */
#ifndef RINGMQ_ADMIN_ALARMS_H
#define RINGMQ_ADMIN_ALARMS_H

#include <stdbool.h>
#include <stdint.h>

struct admin;
struct alarms;

#define ALARMS_MAX         256
#define ALARMS_HISTORY_MAX 1000
#define ALARMS_LOOK_MS     2000 /* between two looks of alarms_look(), by its caller */

enum alarm_severity { ALARM_WARNING, ALARM_CRITICAL };
extern const char *const alarm_severity_names[];

/* Every name there is, for the documentation. */
#define ALARMS_TABLE(X)                                                                                                            \
    X(overload, "a shard takes no new connections, or slows its publishers, because its turns are too long or its memory is used up") \
    X(disk, "the log of a shard cannot be written: messages that must be durable are refused")                                      \
    X(store_full, "less than durability.disk_reserve is free on the store's disk: what would stay there is refused")                \
    X(listener, "an enabled listener could not be opened")                                                                          \
    X(connections, "more than 80 % of node.max_connections are in use")                                                             \
    X(descriptors, "more than 80 % of the process's descriptors are in use")                                                        \
    X(otlp, "metrics could not be pushed to metrics.otlp.endpoint")                                                                \
    X(queues_full, "messages have been dropped in the last minute because sessions' queues were full")

enum alarm_kind {
#define ALARM_KIND(name, documentation) ALARM_##name,
    ALARMS_TABLE(ALARM_KIND)
#undef ALARM_KIND
    ALARM_KINDS
};
extern const char *const alarm_names[ALARM_KINDS], *const alarm_documentation[ALARM_KINDS];

struct alarms *alarms_create(void);
void alarms_destroy(struct alarms *alarms); /* accepts NULL */
/* subject: "" none. */
void alarm_raise(struct alarms *alarms, enum alarm_kind kind, enum alarm_severity severity, const char *subject, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void alarm_clear(struct alarms *alarms, enum alarm_kind kind, const char *subject);
void alarms_forget(struct alarms *alarms); /* the cleared ones */

struct alarm {
    enum alarm_kind kind;
    enum alarm_severity severity;
    char subject[80];
    char message[256];
    uint64_t raised_unix_ms, cleared_unix_ms; /* 0: still raised */
};
/* Copies up to `max` from number `first` on, the newest first; returns how many there are in all. */
uint32_t alarms_list(struct alarms *alarms, bool raised, uint32_t first, struct alarm *ret_alarms, uint32_t max, uint32_t *ret_count);

/* Looks at the broker's counters. One thread. */
void alarms_look(struct alarms *alarms, struct admin *admin);

#endif
