/* traces_inside.h - what traces.c (life, sets, verbs), traces_files.c (what is kept) and traces_write.c (records into files) share. */
#ifndef RINGMQ_ADMIN_TRACES_INSIDE_H
#define RINGMQ_ADMIN_TRACES_INSIDE_H

#include <pthread.h>

#include "admin/traces.h"
#include "base/list.h"

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

uint64_t traces_unix_ns(void);
struct entry *traces_entry(struct traces *traces, const char *name);
/* It wants records. */
static inline bool traces_runs(const struct entry *entry) { return entry->picture.running && !entry->picture.end; }

/* traces_files.c; with the lock */
void traces_path(const struct traces *traces, const char *name, const char *suffix, char *ret_path, size_t bytes);
bool traces_meta_write(const struct traces *traces, const struct trace_picture *picture);
void traces_folder_read(struct traces *traces);
bool traces_files_open(struct traces *traces, struct entry *entry, char *ret_error, size_t error_bytes);
void traces_files_remove(const struct traces *traces, const char *name);

/* traces_write.c; on the trace thread, with the lock */
/* A record of the trace about itself, or about what is missing in it. last: whatever its size. */
void traces_say(struct entry *entry, enum trace_event event, uint32_t shard, uint32_t number, const char *text, bool last);
/* Everything that has come. all: also what may still be followed by something older. */
void traces_drain(struct traces *traces, bool all);

#endif
