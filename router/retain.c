#include "router/retain.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/memory.h"
#include "router/retain_list.h"
#include "router/retain_match.h"

struct retain_store {
    struct retain_list list;
    struct retain_config config;
    uint64_t bytes; /* messages' and topics' */
};

struct retain_store *retain_create(const struct retain_config *config)
{
    CHECK(config->release != NULL);
    struct retain_store *store = memory_acquire_zeroed(sizeof *store);
    store->config = *config;
    store->list.random.state = config->seed;
    return store;
}

void retain_destroy(struct retain_store *store)
{
    if (store == NULL) return;
    struct retain_record *record = store->list.head[0];
    while (record != NULL) {
        struct retain_record *next = record->next[0];
        store->config.release(store->config.context, record->message);
        memory_release(record);
        record = next;
    }
    memory_release(store);
}

void retain_set_limits(struct retain_store *store, uint64_t messages_max, uint64_t bytes_max)
{
    store->config.messages_max = messages_max;
    store->config.bytes_max = bytes_max;
}

static struct retain_record *record_find(const struct retain_store *store, struct span topic)
{
    struct retain_record *record = retain_list_seek(&store->list, topic);
    return record != NULL && span_equal(retain_topic(record), topic) ? record : NULL;
}

/* A replacement that does not make the store larger is always welcome, so a store over its limit can still follow its topics. */
static bool bytes_fit(const struct retain_store *store, uint64_t leaving, uint64_t coming)
{
    uint64_t limit = store->config.bytes_max;
    if (limit == 0 || coming <= leaving) return true;
    uint64_t remaining = store->bytes - leaving;
    return remaining <= limit && coming <= limit - remaining;
}

static enum retain_verdict record_replace(struct retain_store *store, struct retain_record *record, void *message,
                                          uint64_t bytes)
{
    if (!bytes_fit(store, record->bytes, bytes)) return RETAIN_FULL_BYTES;
    void *previous = record->message;
    store->bytes += bytes - record->bytes;
    record->message = message;
    record->bytes = bytes;
    store->config.release(store->config.context, previous);
    return RETAIN_REPLACED;
}

enum retain_verdict retain_set(struct retain_store *store, struct span topic, void *message, uint64_t bytes)
{
    CHECK(message != NULL);
    struct retain_record *record = record_find(store, topic);
    if (record != NULL) return record_replace(store, record, message, bytes);

    uint64_t messages_max = store->config.messages_max;
    if (messages_max != 0 && store->list.records_count >= messages_max) return RETAIN_FULL_COUNT;
    if (!bytes_fit(store, 0, bytes + topic.bytes)) return RETAIN_FULL_BYTES;
    record = retain_list_put(&store->list, topic);
    DCHECK(record->message == NULL);
    record->message = message;
    record->bytes = bytes;
    store->bytes += bytes + topic.bytes;
    return RETAIN_STORED;
}

static void record_remove(struct retain_store *store, struct retain_record *record)
{
    void *message = record->message;
    store->bytes -= record->bytes + record->topic_bytes;
    retain_list_remove(&store->list, record);
    store->config.release(store->config.context, message);
}

bool retain_remove(struct retain_store *store, struct span topic)
{
    struct retain_record *record = record_find(store, topic);
    if (record == NULL) return false;
    record_remove(store, record);
    return true;
}

void *retain_get(const struct retain_store *store, struct span topic)
{
    const struct retain_record *record = record_find(store, topic);
    return record ? record->message : NULL;
}

struct retain_stats retain_stats(const struct retain_store *store)
{
    return (struct retain_stats){.messages = store->list.records_count,
                                 .bytes = store->bytes,
                                 .index_nodes = store->list.records_count,
                                 .index_bytes = store->list.records_bytes};
}

/* Scans. ------------------------------------------------------------------------------------------------------------ */

struct retain_cursor {
    char *filter;
    uint8_t *place; /* nothing before this topic is wanted any more */
    size_t filter_bytes, place_bytes, place_capacity;
    bool finished;
};

static struct span cursor_filter(const struct retain_cursor *cursor) { return span_of(cursor->filter, cursor->filter_bytes); }
static struct span cursor_place(const struct retain_cursor *cursor) { return span_of(cursor->place, cursor->place_bytes); }

/* The parts may point into the topic of a record or into the filter, never into the place itself. */
static void cursor_set_place(struct retain_cursor *cursor, struct span a, struct span b, struct span c)
{
    size_t bytes = a.bytes + b.bytes + c.bytes;
    if (bytes > cursor->place_capacity) {
        cursor->place_capacity = bytes + 64;
        cursor->place = memory_resize(cursor->place, cursor->place_capacity);
    }
    cursor->place_bytes = bytes;
    if (a.bytes) memcpy(cursor->place, a.data, a.bytes);
    if (b.bytes) memcpy(cursor->place + a.bytes, b.data, b.bytes);
    if (c.bytes) memcpy(cursor->place + a.bytes + b.bytes, c.data, c.bytes);
}

/* Matches can only stand at or behind the filter's levels before its first wildcard. */
struct retain_cursor *retain_scan_begin(struct span filter)
{
    struct retain_cursor *cursor = memory_acquire_zeroed(sizeof *cursor);
    size_t literal = 0, level_start = 0;
    CHECK(filter.bytes <= MQTT_STRING_BYTES_MAX);
    cursor->filter = memory_copy_string(filter);
    cursor->filter_bytes = filter.bytes;
    for (; literal < filter.bytes && filter.data[literal] != '+' && filter.data[literal] != '#'; literal++)
        if (filter.data[literal] == '/') level_start = literal;
    if (literal == filter.bytes) level_start = filter.bytes;
    cursor_set_place(cursor, span_of(filter.data, level_start), (struct span){0}, (struct span){0});
    return cursor;
}

void retain_scan_end(struct retain_cursor *cursor)
{
    if (cursor == NULL) return;
    memory_release(cursor->filter);
    memory_release(cursor->place);
    memory_release(cursor);
}

/* The smallest text behind a topic is the topic with a slash appended (`/` ranks lowest). */
static void cursor_pass(struct retain_cursor *cursor, struct span topic)
{
    cursor_set_place(cursor, topic, SPAN_LITERAL("/"), (struct span){0});
}

/* Shows the record; from then on it may be gone. False: the slice ends. */
static bool record_visit(struct retain_store *store, struct retain_cursor *cursor, struct retain_record *record,
                         retain_visit *visit, void *context)
{
    struct span topic = retain_topic(record);
    cursor_pass(cursor, topic);
    topic = span_of(cursor->place, topic.bytes); /* outlives the record */
    enum retain_answer answer = visit(context, topic, record->message, record->bytes);
    if (answer == RETAIN_REMOVE) retain_remove(store, topic);
    if (answer == RETAIN_STOP_BEFORE) cursor->place_bytes--;
    return answer == RETAIN_NEXT || answer == RETAIN_REMOVE;
}

/* The record at or behind the cursor's place: mostly `next`, the neighbour of the last one, if nothing has changed. */
static struct retain_record *next_at(const struct retain_store *store, const struct retain_cursor *cursor,
                                     struct retain_record *next, uint64_t changes)
{
    bool neighbour = store->list.changes == changes &&
                     (next == NULL || retain_compare(retain_topic(next), cursor_place(cursor)) >= 0);
    return neighbour ? next : retain_list_seek(&store->list, cursor_place(cursor));
}

bool retain_scan_next(struct retain_store *store, struct retain_cursor *cursor, uint32_t budget, retain_visit *visit,
                      void *context)
{
    CHECK(budget > 0);
    struct retain_record *record = retain_list_seek(&store->list, cursor_place(cursor));
    for (; budget > 0 && !cursor->finished; budget--) {
        struct retain_record *next = record ? record->next[0] : NULL;
        uint64_t changes = store->list.changes;
        struct retain_seek seek;
        enum retain_where where =
            record ? retain_where(cursor_filter(cursor), retain_topic(record), &seek) : RETAIN_NO_MORE;
        switch (where) {
        case RETAIN_MATCHES:
            if (!record_visit(store, cursor, record, visit, context)) return true;
            break;
        case RETAIN_SEEK: cursor_set_place(cursor, seek.prefix, seek.between, seek.tail); break;
        case RETAIN_NO_MORE: cursor->finished = true; break;
        }
        record = next_at(store, cursor, next, changes);
    }
    return !cursor->finished;
}
