/* traces.h - the traces of a node: started, running, ended, kept as files (docs/trace.md).
 *
 *     shards ─► rings ─► trace thread, every TRACES_LOOK_MS while one runs: sorts by time over all shards, words ─► node.data_dir/trace/NAME.jsonl, NAME.log
 *
 * All that concerns the set of running traces happens on the trace thread; verbs ask it and wait. NAME.meta says what the trace is, and survives a restart
 * together with the files; a trace that runs when the broker stops ends there. Beyond trace.max_kept the oldest that has ended goes.
 * Threads: any, unless said otherwise; one lock. Failure: a file that cannot be written ends the trace ("disk"). */
#ifndef RINGMQ_ADMIN_TRACES_H
#define RINGMQ_ADMIN_TRACES_H

#include "admin/trace_words.h"
#include "base/settings.h"

struct admin;
struct traces;

#define TRACES_LOOK_MS      20
#define TRACE_NAME_BYTES    64
#define TRACE_VALUE_BYTES   4096

enum trace_end { TRACE_END_NONE, TRACE_END_TIME, TRACE_END_SIZE, TRACE_END_STOPPED, TRACE_END_RESTART, TRACE_END_DISK, TRACE_ENDS };
extern const char *const trace_end_names[TRACE_ENDS]; /* the first is NULL */

struct trace_picture {
    char name[TRACE_NAME_BYTES + 1];
    char value[TRACE_VALUE_BYTES + 1];
    enum trace_kind kind;
    struct trace_wording wording;
    bool running;
    enum trace_end end;
    uint64_t started_ms, ends_ms, stopped_ms; /* Unix time; stopped_ms 0: it runs */
    uint64_t bytes_max, bytes, records, lost;
};

enum traces_result { TRACES_DONE, TRACES_NOT_FOUND, TRACES_TAKEN, TRACES_TOO_MANY, TRACES_FAILED, TRACES_STOPPING };

/* Reads what is in data_dir/trace. Before the shards start nothing runs. */
/* NULL: there is no thread to be had. */
struct traces *traces_create(struct admin *admin, const char *data_dir);
/* Ends all of them and the thread. While shards may still turn. */
void traces_stop(struct traces *traces); /* accepts NULL */
void traces_destroy(struct traces *traces); /* accepts NULL; no shard turns any more */

/* wanted: name, value, kind, wording, bytes_max, and ends_ms as milliseconds from now. networks: of ADDRESS, taken over. FAILED: ret_error has a sentence. */
enum traces_result traces_start(struct traces *traces, const struct trace_settings *settings, const struct trace_picture *wanted, struct cidr_list networks,
                                struct trace_picture *ret_picture, char *ret_error, size_t error_bytes);
enum traces_result traces_end(struct traces *traces, const char *name, struct trace_picture *ret_picture);
enum traces_result traces_delete(struct traces *traces, const char *name); /* NULL: all */
bool traces_find(struct traces *traces, const char *name, struct trace_picture *ret_picture);
/* Newest first; memory_release() it. */
struct trace_picture *traces_list(struct traces *traces, uint32_t *ret_count);
/* An open file descriptor, or -1. json: NAME.jsonl; else NAME.log. */
int traces_open(struct traces *traces, const char *name, bool json);

#endif
