#include "broker/retained/shelf.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "broker/retained/shelf_inside.h"

#define BACKLOG_BYTES_MAX (16u * 1024 * 1024) /* on their way to the shelf, per shard */
#define WRITES_MAX        64                  /* made at a time: a copy each */
#define COPY_BYTES        (512u * 1024)       /* copied at a time: a quarter of a millisecond, or half of one where the pages are new */
#define COPY_BYTES_TESTED 512                 /* the same where tests want parts */
#define SYNCED_PER_TURN   128
#define WALK_TOPICS       256
#define ROWS_LISTED_MAX   4096                /* in a checkpoint */

/* A row on its way to the shelf for good. */
struct shelf_write {
    struct list link;
    struct message *message; /* a reference */
    uint64_t ticket, number;
};

/* Dead rows of one turn. */
struct shelf_removal {
    struct list link;
    uint64_t commit; /* when it is durable nothing names them any more */
    uint64_t ticket; /* once it is sent */
    uint32_t count;
    struct stored_row rows[];
};

static struct retained_shelf *shelf_of(const struct broker_shard *broker) { return broker->durable->shelf; }
static struct spill *service_of(const struct broker_shard *broker) { return broker->broker->spill; }

static uint64_t young_bytes_max(const struct broker_shard *broker)
{
    return broker->settings->mqtt.retained_shelf_memory_bytes / broker->broker->shards_count;
}

/* Names of delayed messages and of values of features have a byte that no topic has. */
static bool is_topic(struct span name) { return name.bytes == 0 || name.data[0] != '$' || !memchr(name.data, 0xff, name.bytes); }

static bool can_be_shelved(const struct broker_shard *broker, const struct message *message)
{
    uint64_t above = broker->settings->mqtt.retained_shelf_above;
    return above && message->payload_bytes >= above && message->payload_bytes <= RETAINED_ROW_BYTES_MAX && message->stored && is_topic(message_topic(message));
}

/* ---- the young --------------------------------------------------------------------------------------------------- */

static void young_push(struct retained_shelf *shelf, struct message *message)
{
    if (shelf->young.count == shelf->young.capacity) {
        uint32_t before = shelf->young.capacity, capacity = before ? before * 2 : 64;
        shelf->young.rows = memory_resize(shelf->young.rows, capacity * sizeof(struct message *));
        for (uint32_t i = 0; i < shelf->young.head; i++) /* what had gone around */
            shelf->young.rows[before + i] = shelf->young.rows[i];
        shelf->young.capacity = capacity;
    }
    shelf->young.rows[(shelf->young.head + shelf->young.count++) & (shelf->young.capacity - 1)] = message_ref(message);
    shelf->young.bytes += message->payload_bytes;
    message->references |= MESSAGE_KEPT | MESSAGE_SHELVING;
}

static struct message *young_front(const struct retained_shelf *shelf) { return shelf->young.rows[shelf->young.head]; }

/* Its reference is the caller's. */
static struct message *young_take(struct retained_shelf *shelf)
{
    struct message *message = young_front(shelf);
    shelf->young.head = (shelf->young.head + 1) & (shelf->young.capacity - 1);
    shelf->young.count--;
    shelf->young.bytes -= message->payload_bytes;
    return message;
}

static void let_go(struct broker_shard *broker, struct message *message)
{
    message->references &= ~MESSAGE_SHELVING;
    message_unref(broker->shard, message);
}

static bool may_write(const struct broker_shard *broker)
{
    if (durable_full(broker) || broker->settings->mqtt.retained_shelf_above == 0) return false;
    return spill_backlog_bytes(service_of(broker), broker->shard->number) <= BACKLOG_BYTES_MAX;
}

static void copy_begin(struct retained_shelf *shelf, struct message *message)
{
    DCHECK(!shelf->copying.message);
    shelf->copying.message = message;
    shelf->copying.bytes = (size_t)message->topic_bytes + message->properties_bytes + message->payload_bytes;
    shelf->copying.done = 0;
    shelf->copying.data = memory_acquire(shelf->copying.bytes);
}

/* The copy is whole; its message is on its way. */
static void copy_send(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    struct shelf_write *write = memory_acquire(sizeof *write);
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_WRITE, .session = shelf->space, .from = ++shelf->number, .data = shelf->copying.data, .bytes = shelf->copying.bytes};
    spill_send(service_of(broker), broker->shard->number, request);
    *write = (struct shelf_write){.message = shelf->copying.message, .ticket = ++broker->durable->spill_tickets /* as spill_send() has given it */, .number = shelf->number};
    list_append(&shelf->writes, &write->link);
    shelf->copying.message = NULL;
}

/* Its message is let go. */
static void copy_give_up(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    memory_release(shelf->copying.data);
    let_go(broker, shelf->copying.message);
    shelf->copying.message = NULL;
}

/* As much of the copy as *budget has bytes; that much is taken from it. */
static void copy_some(struct broker_shard *broker, size_t *budget)
{
    struct retained_shelf *shelf = shelf_of(broker);
    if (!(shelf->copying.message->references & MESSAGE_KEPT)) return copy_give_up(broker); /* replaced meanwhile */
    size_t left = shelf->copying.bytes - shelf->copying.done, part = left < *budget ? left : *budget;
    memcpy(shelf->copying.data + shelf->copying.done, shelf->copying.message->bytes + shelf->copying.done, part);
    shelf->copying.done += part;
    *budget -= part;
    if (part == left) copy_send(broker);
}

/* The oldest go to the shelf, as far as the young are too many. True: there are more, and nothing in the way. */
static bool young_shorten(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    uint64_t most = young_bytes_max(broker);
    size_t budget = broker->shard->group->packets_max ? COPY_BYTES_TESTED : COPY_BYTES;
    for (uint32_t n = 0; shelf->copying.message || shelf->young.bytes > most; n++) {
        if (n == WRITES_MAX || budget == 0) return true;
        if (shelf->copying.message)
            copy_some(broker, &budget);
        else if (!(young_front(shelf)->references & MESSAGE_KEPT))
            let_go(broker, young_take(shelf));
        else if (may_write(broker))
            copy_begin(shelf, young_take(shelf));
        else
            break;
    }
    for (uint32_t n = 0; shelf->young.bytes > 2 * most && n < WRITES_MAX; n++) { /* they stay where they are: a walk finds them again */
        let_go(broker, young_take(shelf));
        shelf->left = true;
    }
    return false;
}

bool retained_shelf_kept(struct broker_shard *broker, struct message *message)
{
    struct retained_shelf *shelf = shelf_of(broker);
    if (!can_be_shelved(broker, message) || message->references & MESSAGE_SHELVING) return false;
    young_push(shelf, message);
    if (shelf->young.bytes <= young_bytes_max(broker)) return false;
    young_shorten(broker);
    return !durable_full(broker) && shelf->young.bytes > young_bytes_max(broker) && spill_trouble(service_of(broker)) == 0;
}

/* ---- what was past that ------------------------------------------------------------------------------------------ */

static enum retain_answer walk_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct broker_shard *broker = context;
    struct retained_shelf *shelf = shelf_of(broker);
    struct message *message = stored;
    if (!can_be_shelved(broker, message) || message->references & MESSAGE_SHELVING) return RETAIN_NEXT;
    young_push(shelf, message);
    return shelf->young.bytes > young_bytes_max(broker) ? RETAIN_STOP : RETAIN_NEXT;
}

/* A slice. True: it goes on at once; else when the shelf has synced, or with the heartbeat. */
static bool walk(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    if (!may_write(broker) || shelf->young.bytes > young_bytes_max(broker)) return false;
    if (!shelf->walk) {
        shelf->walk = retain_scan_begin(span_of("", 0));
        shelf->left = false;
    }
    if (retain_scan_next(broker->retained, shelf->walk, WALK_TOPICS, walk_visit, broker)) return true;
    retain_scan_end(shelf->walk);
    shelf->walk = NULL;
    return shelf->left;
}

void retained_shelf_look_again(struct broker_shard *broker)
{
    if (broker->durable && shelf_of(broker)) shelf_of(broker)->left = true;
}

/* ---- shelved ----------------------------------------------------------------------------------------------------- */

static void count_in(struct broker_shard *broker, const struct message *shelved)
{
    COUNT(broker, retained_shelved_messages);
    COUNT_BY(broker, retained_shelved_bytes, message_payload_size(shelved));
}

void retained_shelf_snapshot(struct broker_shard *broker, const struct message *message)
{
    const struct message_shelved *row = message_row(message);
    struct stored_shelved record = {.message = {.expires_ms = durable_realtime_ms(broker, message->expires_ms), .qos = message->qos, .retain = message->retain,
                                                .topic = message_topic(message), .properties = message_properties(message)},
                                    .row = {row->space, row->number}, .payload_bytes = (uint32_t)row->payload_bytes};
    store_put_retain_shelved(&broker->durable->wal, &record, broker->shard->now_ms);
}

#define STORED_IN_LOG 1 /* message->stored: the log names it, under no id */

/* Its row is on the shelf for good: the payload's memory goes. */
static void shelve(struct broker_shard *broker, struct message *message, uint64_t number)
{
    struct publication publication = publication_of(message);
    struct message_shelved row = {.space = shelf_of(broker)->space, .number = number, .payload_bytes = message->payload_bytes};
    publication.stored = STORED_IN_LOG;
    struct message *shelved = message_make_shelved(broker->shard, &publication, &row);
    CHECK(retain_set(broker->retained, publication.topic, shelved, message_kept_bytes(shelved)) == RETAIN_REPLACED); /* by as many bytes */
    shelved->references |= MESSAGE_KEPT;
    count_in(broker, shelved);
    COUNT(broker, retained_shelved);
    retained_shelf_snapshot(broker, shelved);
    publication_end(broker->shard, &publication);
}

void retained_shelf_dead(struct broker_shard *broker, struct stored_row row)
{
    struct retained_shelf *shelf = shelf_of(broker);
    if (shelf->dead_count == shelf->dead_capacity) {
        shelf->dead_capacity = shelf->dead_capacity ? shelf->dead_capacity * 2 : 64;
        shelf->dead = memory_resize(shelf->dead, shelf->dead_capacity * sizeof *shelf->dead);
    }
    shelf->dead[shelf->dead_count++] = row;
}

/* True: there are more of them. */
static bool writes_synced(struct broker_shard *broker, uint64_t ticket)
{
    struct retained_shelf *shelf = shelf_of(broker);
    for (uint32_t n = 0; !list_empty(&shelf->writes); n++) {
        struct shelf_write *write = CONTAINER_OF(shelf->writes.next, struct shelf_write, link);
        if (write->ticket > ticket) break;
        if (n == SYNCED_PER_TURN) return true;
        if (write->message->references & MESSAGE_KEPT)
            shelve(broker, write->message, write->number);
        else
            retained_shelf_dead(broker, (struct stored_row){shelf->space, write->number});
        let_go(broker, write->message);
        list_remove(&write->link);
        memory_release(write);
    }
    shelf->synced = ticket;
    shelf->sync_asked = false;
    return false;
}

void retained_shelf_restored(struct broker_shard *broker, struct message *message)
{
    if (!message->shelved) {
        retained_shelf_kept(broker, message);
        return;
    }
    message->references |= MESSAGE_KEPT;
    count_in(broker, message);
}

void retained_shelf_gone(struct broker_shard *broker, struct message *message)
{
    message->references &= ~MESSAGE_KEPT;
    if (!message->shelved) return;
    const struct message_shelved *row = message_row(message);
    UNCOUNT(broker, retained_shelved_messages);
    COUNT_BY(broker, retained_shelved_bytes, -row->payload_bytes);
    if (broker->retained) retained_shelf_dead(broker, (struct stored_row){row->space, row->number}); /* NULL: the broker ends */
}

/* ---- dead rows --------------------------------------------------------------------------------------------------- */

static void removal_make(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    size_t bytes = shelf->dead_count * sizeof *shelf->dead;
    struct shelf_removal *removal = memory_acquire(sizeof *removal + bytes);
    *removal = (struct shelf_removal){.commit = wal_position(&broker->durable->wal), .count = shelf->dead_count};
    memcpy(removal->rows, shelf->dead, bytes);
    list_append(&shelf->removals, &removal->link);
    shelf->removals_rows += shelf->dead_count;
    shelf->dead_count = 0;
}

static void removal_send(struct broker_shard *broker, struct shelf_removal *removal)
{
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    size_t bytes = removal->count * sizeof *removal->rows;
    *request = (struct spill_request){.kind = SPILL_REMOVE, .data = memory_acquire(bytes), .bytes = bytes};
    memcpy(request->data, removal->rows, bytes);
    spill_send(service_of(broker), broker->shard->number, request);
    removal->ticket = ++broker->durable->spill_tickets;
}

/* Those that can go, and those that are gone for good. Only the fronts are looked at: between two syncs of the shelf each turn makes one. */
static void removals_turn(struct broker_shard *broker, uint64_t synced)
{
    struct retained_shelf *shelf = shelf_of(broker);
    while (!list_empty(&shelf->removals)) {
        struct shelf_removal *removal = CONTAINER_OF(shelf->removals.next, struct shelf_removal, link);
        if (!wal_durable(&broker->durable->wal, removal->commit) || spill_held(service_of(broker))) break;
        removal_send(broker, removal);
        list_remove(&removal->link);
        list_append(&shelf->removing, &removal->link);
    }
    while (!list_empty(&shelf->removing)) {
        struct shelf_removal *removal = CONTAINER_OF(shelf->removing.next, struct shelf_removal, link);
        if (removal->ticket > synced) break;
        shelf->removals_rows -= removal->count;
        list_remove(&removal->link);
        memory_release(removal);
    }
}

static void sync_ask(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    if (shelf->sync_asked) return;
    struct spill_request *request = memory_acquire_zeroed(sizeof *request);
    *request = (struct spill_request){.kind = SPILL_SYNC};
    spill_send(service_of(broker), broker->shard->number, request);
    shelf->sync_asked = true;
}

static uint64_t settled_below(const struct retained_shelf *shelf)
{
    return list_empty(&shelf->writes) ? shelf->number + 1 : CONTAINER_OF(shelf->writes.next, struct shelf_write, link)->number;
}

/* Returns where the next row would go. */
static struct stored_row *removals_list(const struct list *removals, struct stored_row *rows)
{
    LIST_FOR_EACH(link, removals)
    {
        const struct shelf_removal *removal = CONTAINER_OF(link, struct shelf_removal, link);
        rows = mempcpy(rows, removal->rows, removal->count * sizeof *rows);
    }
    return rows;
}

bool retained_shelf_checkpoint(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    uint32_t count = shelf->dead_count + shelf->removals_rows;
    if (count > ROWS_LISTED_MAX) {
        sync_ask(broker);
        return false;
    }
    if (count == 0 && shelf->number == 0 && broker_stats(broker)->retained_shelved_messages == 0) return true;
    struct stored_row *rows = memory_acquire((count + 1) * sizeof *rows), *at = rows;
    if (shelf->dead_count) at = mempcpy(at, shelf->dead, shelf->dead_count * sizeof *rows);
    at = removals_list(&shelf->removing, at);
    removals_list(&shelf->removals, at);
    struct stored_shelf_state record = {.space = shelf->space, .settled = settled_below(shelf), .rows_count = count, .rows = rows,
                                        .settled_epoch = spill_swept(service_of(broker)) ? shelf_space_epoch(shelf->space) : 0};
    store_put_shelf_state(&broker->durable->wal, &record, broker->shard->now_ms);
    memory_release(rows);
    return true;
}

/* ---- the turn, the beginning and the end ------------------------------------------------------------------------- */

bool retained_shelf_turn(struct broker_shard *broker)
{
    struct retained_shelf *shelf = shelf_of(broker);
    uint64_t synced = spill_synced(service_of(broker), broker->shard->number);
    bool more = UNLIKELY(synced != shelf->synced) && writes_synced(broker, synced);
    if (UNLIKELY(shelf->dead_count > 0)) removal_make(broker);
    if (UNLIKELY(shelf->removals_rows > 0)) removals_turn(broker, shelf->synced);
    if (UNLIKELY(shelf->copying.message || shelf->young.bytes > young_bytes_max(broker))) more |= young_shorten(broker);
    if (UNLIKELY(shelf->left || shelf->walk)) more |= walk(broker);
    return more;
}

void retained_shelf_start(struct broker_shard *broker)
{
    if (!broker->broker->spill) return;
    struct retained_shelf *shelf = broker->durable->shelf = memory_acquire_zeroed(sizeof *shelf);
    shelf->space = shelf_space(store_epoch(broker->broker->store), broker->shard->number);
    list_init(&shelf->writes);
    list_init(&shelf->removals);
    list_init(&shelf->removing);
    list_init(&shelf->fetches);
}

static void links_release(struct list *list)
{
    while (!list_empty(list)) {
        struct list *link = list->next;
        list_remove(link);
        memory_release(link); /* the first member of all of them */
    }
}

void retained_shelf_stop(struct broker_shard *broker)
{
    struct retained_shelf *shelf = broker->durable ? shelf_of(broker) : NULL;
    if (!shelf) return;
    retained_fetches_forget(broker);
    if (shelf->copying.message) copy_give_up(broker);
    while (shelf->young.count)
        let_go(broker, young_take(shelf));
    LIST_FOR_EACH(link, &shelf->writes)
        let_go(broker, CONTAINER_OF(link, struct shelf_write, link)->message);
    links_release(&shelf->writes);
    links_release(&shelf->removals);
    links_release(&shelf->removing);
    retain_scan_end(shelf->walk);
    memory_release(shelf->young.rows);
    memory_release(shelf->dead);
    memory_release(shelf);
    broker->durable->shelf = NULL;
}
