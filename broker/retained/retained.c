/* retained/retained.c - retained messages: kept by the shard that owns the topic's hash, asked for by SUBSCRIBE (design §7).
 *
 *     session's shard                                  owner of (some of) the topics
 *     retained_ask ─► has it appetite? ── RETAIN_SCAN ──► a slice of the scan
 *                        ▲                ◄─ RETAIN_ITEM ──┤ one per message
 *                        └───────────────── RETAIN_SLICE ──┘ then the next slice, the next owner, or the end
 *
 * The session's pace decides: the next slice is asked for when what the last one brought has left its queue, so a hundred
 * thousand retained messages neither overrun a queue nor hold up a turn. A query is looked at only when something has changed for it:
 *
 *     held ──retained_go()──► ready ──a turn──► away (an owner has it) ──slice over──► ready, or released
 *                               ▲    └──no appetite──► waits ─┐
 *                               └──────retained_wake()────────┘
 *
 * What of a slice is on the shelf is fetched together, and the slice is over when it has come (broker/retained/shelf.h). */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/records.h"
#include "broker/retained/shelf.h"
#include "proto/topic.h"

/* A retained message that was delivered live while a query for its topic was under way. */
struct retained_seen {
    uint64_t topic_hash;
    uint64_t identity; /* the publisher's shard in the upper byte, below it a number that grows with each message */
};

/* Travels between the session's shard and the owners; belongs to whoever it was last sent to. */
struct retained_query {
    struct list link;        /* the session's shard: all queries */
    struct list ready_link;  /* those to be asked for in the next turn */
    struct list session_link; /* a ring of the session's queries; rare->queries is one of them */
    struct list scan_link;   /* the owner: scans to go on with */
    struct session *session; /* NULL when it has ended meanwhile */
    uint32_t asker;          /* shard of the session */
    uint32_t owner, owners_end; /* now, and one past the last */
    bool away;               /* an owner has it */
    bool held;               /* its SUBSCRIBE is not through yet */
    struct retained_seen *seen; /* matching messages that were delivered live meanwhile */
    uint32_t seen_count;
    uint32_t items_max;      /* of a slice */
    uint32_t items;          /* of this slice so far */
    struct retain_cursor *cursor;
    struct retained_fetch *fetch; /* of this slice; NULL: nothing is on the shelf */
    bool finished;           /* this slice is the owner's last */
    uint32_t subscription_id;
    uint8_t qos;
    uint32_t filter_bytes;
    char filter[];
};

#define SLICE_ITEMS_MAX    256 /* messages a slice brings; fewer for sessions with a short queue */
#define SLICE_TOPICS_BUDGET 512 /* topics or subtrees a turn looks at */
#define QUERIES_PER_LOOK 32
#define SEEN_MAX 1024           /* live messages a query remembers; of more than that some may come twice */

/* ---- storing ---------------------------------------------------------------------------------------------------- */

void retained_show(struct broker_shard *broker)
{
    struct retain_stats stats = retain_stats(broker->retained);
    struct stats *gauges = broker_stats(broker);
    __atomic_store_n(&gauges->retained_messages, stats.messages, __ATOMIC_RELAXED);
    __atomic_store_n(&gauges->retained_bytes, stats.bytes, __ATOMIC_RELAXED);
}

static void log_not_kept(struct broker_shard *broker, const struct publication *publication, const char *reason)
{
    drop_note(broker, DROP_retained_full, NULL, publication->topic, 1);
    LOG_LIMITED(WARN, 1000, "retained message not kept", "reason=%s topic=%s", reason,
                log_quoted(publication->topic));
}

static bool kept_on_disk(const struct broker_shard *broker, struct span topic)
{
    const struct message *message = broker->durable ? retain_get(broker->retained, topic) : NULL;
    return message && message->stored;
}

static bool full(enum retain_verdict verdict) { return verdict == RETAIN_FULL_COUNT || verdict == RETAIN_FULL_BYTES; }

/* Into the store, and into the log; false: there is no room. */
static bool keep(struct broker_shard *broker, struct publication *publication)
{
    bool kept_before = kept_on_disk(broker, publication->topic);
    struct message *message = message_ref(publication_message(broker->shard, publication));
    enum retain_verdict verdict = retain_set(broker->retained, publication->topic, message, message_bytes(message));
    if (full(verdict)) {
        message_unref(broker->shard, message);
        COUNT(broker, dropped_retained_full);
        log_not_kept(broker, publication, verdict == RETAIN_FULL_COUNT ? "too_many_messages" : "too_many_bytes");
    } else if (broker->durable) {
        durable_retain(broker, publication, kept_before);
        if (broker->durable->shelf && message->payload_bytes >= broker->settings->mqtt.retained_shelf_above && publication->level != DURABILITY_NONE)
            publication->congested |= retained_shelf_kept(broker, message);
    }
    retained_show(broker);
    return !full(verdict);
}

/* One without an expiry of its own gets the default: a message of its own, since those who get it live get it as it is. */
static void keep_for_a_while(struct broker_shard *broker, struct publication *publication)
{
    struct publication kept = *publication;
    kept.message = kept.lent = NULL;
    kept.stored = 0;
    kept.expires_ms = broker->shard->now_ms + broker->settings->mqtt.retained_expiry_s * 1000ull;
    keep(broker, &kept);
    publication->commit = kept.commit;
    publication->congested |= kept.congested;
    publication_end(broker->shard, &kept);
}

static void clear(struct broker_shard *broker, struct publication *publication)
{
    bool kept_before = kept_on_disk(broker, publication->topic);
    if (retain_remove(broker->retained, publication->topic) && broker->durable) durable_retain(broker, publication, kept_before);
    retained_show(broker);
}

/* Nobody can refuse it, and the store has no room for it: what it would have replaced is not what should be there, either. */
static void not_kept_store_full(struct broker_shard *broker, struct publication *publication)
{
    struct publication nothing = {.topic = publication->topic, .qos = publication->qos, .retain = true, .level = publication->level};
    COUNT(broker, dropped_store_full);
    log_not_kept(broker, publication, "store_full");
    if (delayed_is(publication->topic)) return delayed_lost(broker);
    clear(broker, &nothing);
    publication_end(broker->shard, &nothing);
}

static void store_here(struct broker_shard *broker, struct publication *publication)
{
    if (UNLIKELY(durable_full(broker)) && publication->qos == 0 && publication->payload.bytes && publication->level != DURABILITY_NONE)
        return not_kept_store_full(broker, publication);
    if (UNLIKELY(delayed_is(publication->topic))) return keep(broker, publication) ? delayed_kept(broker, publication->topic) : delayed_lost(broker);
    if (publication->payload.bytes == 0) return clear(broker, publication); /* [MQTT-3.3.1-6], [MQTT-3.3.1-7] */
    uint32_t payload_max = broker->settings->mqtt.retained_payload_bytes_max;
    if (payload_max && publication->payload.bytes > payload_max) {
        COUNT(broker, dropped_retained_full);
        return log_not_kept(broker, publication, "payload_too_large");
    }
    if (UNLIKELY(broker->settings->mqtt.retained_expiry_s) && publication->expires_ms == 0) return keep_for_a_while(broker, publication);
    keep(broker, publication);
}

/* Its row goes when the log says that it is not kept any more. */
static void put_not(struct broker_shard *broker, struct span topic, struct message *message)
{
    durable_retain_clear(broker, topic);
    retained_shelf_dead(broker, (struct stored_row){message_row(message)->space, message_row(message)->number});
}

void retained_put(struct broker_shard *broker, struct span topic, struct message *message)
{
    bool delayed = delayed_is(topic);
    if (delayed) atomic_fetch_add_explicit(&broker->broker->delayed_count, 1, memory_order_relaxed);
    bool over = message->expires_ms && message->expires_ms <= broker->shard->now_ms + 1; /* since before the start */
    if (over && message->shelved) return put_not(broker, topic, message);
    enum retain_verdict verdict = retain_set(broker->retained, topic, message_ref(message), message_kept_bytes(message));
    if (!full(verdict) && broker->durable->shelf) retained_shelf_restored(broker, message);
    if (full(verdict)) { /* the limits are lower than in the last run */
        if (message->shelved) put_not(broker, topic, message);
        message_unref(broker->shard, message);
        COUNT(broker, dropped_retained_full);
        LOG_LIMITED(WARN, 1000, "retained message not kept", "reason=limit_lowered topic=%s", log_quoted(topic));
    }
    if (delayed) full(verdict) ? delayed_lost(broker) : delayed_kept(broker, topic);
    retained_show(broker);
}

struct message *retained_get(struct broker_shard *broker, struct span name)
{
    struct message *message = retain_get(broker->retained, name);
    DCHECK(!message || !message->shelved);
    return message ? message_ref(message) : NULL;
}

bool retained_change(struct broker_shard *broker, struct publication *publication)
{
    if (publication->payload.bytes) return keep(broker, publication);
    clear(broker, publication);
    return true;
}

void retained_drop(struct broker_shard *broker, struct span name)
{
    bool kept_before = kept_on_disk(broker, name);
    if (retain_remove(broker->retained, name) && kept_before) durable_retain_clear(broker, name);
    retained_show(broker);
}

/* ---- the broom -------------------------------------------------------------------------------------------------- */

#define SWEEP_TOPICS_BUDGET 256 /* topics a step looks at */
#define SWEEP_STEP_MS       5

static bool is_over(const struct broker_shard *broker, const struct message *message)
{
    return message->expires_ms && message->expires_ms <= broker->shard->now_ms;
}

/* Whoever comes across one whose time is over takes it out: the broom, or a scan. */
static enum retain_answer expired_remove(struct broker_shard *broker, struct span topic, const struct message *message)
{
    COUNT(broker, retained_expired);
    if (broker->durable && message->stored) durable_retain_clear(broker, topic);
    return RETAIN_REMOVE;
}

bool retained_is_over(const struct broker_shard *broker, struct span topic, const struct message *message) { return is_over(broker, message) && !delayed_is(topic); }

static enum retain_answer sweep_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct broker_shard *broker = context;
    if (!retained_is_over(broker, topic, stored)) return RETAIN_NEXT;
    return expired_remove(broker, topic, stored);
}

/* A step, or the beginning of the next round. */
static void sweep(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    uint32_t clear_s = broker->settings->mqtt.retained_clear_s;
    if (clear_s == 0 || broker->stopping) return;
    bool restoring = broker->durable && broker->durable->restoring;
    if (!broker->sweep && !restoring) broker->sweep = retain_scan_begin(span_of(NULL, 0));
    bool more = !restoring && retain_scan_next(broker->retained, broker->sweep, SWEEP_TOPICS_BUDGET, sweep_visit, broker);
    retained_show(broker);
    if (!more) {
        retain_scan_end(broker->sweep);
        broker->sweep = NULL;
    }
    shard_start_timer(broker->shard, timer, more ? SWEEP_STEP_MS : clear_s * 1000ull);
}

void retained_sweep_start(struct broker_shard *broker)
{
    uint32_t clear_s = broker->settings->mqtt.retained_clear_s;
    if (broker->sweep) return; /* a round is under way */
    shard_stop_timer(broker->shard, &broker->sweep_timer);
    if (clear_s) shard_start_timer(broker->shard, &broker->sweep_timer, clear_s * 1000ull);
}

bool retained_remove(struct broker_shard *broker, struct span topic)
{
    struct publication publication = {.topic = topic, .retain = true};
    if (!retain_get(broker->retained, topic)) return false;
    store_here(broker, &publication);
    publication_end(broker->shard, &publication);
    return true;
}

void retained_store(struct broker_shard *broker, struct publication *publication)
{
    uint32_t owner = broker_retained_owner(broker->broker, hash_span(publication->topic));
    if (owner == broker->shard->number) return store_here(broker, publication);
    struct message *message = message_ref(publication_message(broker->shard, publication));
    if (broker->durable) durable_announce(broker, owner, publication, NULL, 0);
    record_send(broker->shard, owner, RECORD_RETAIN_SET, message, 0);
    publication->congested |= mesh_blocked(&broker->shard->ways[owner]);
}

/* ---- the owner's side: scans ------------------------------------------------------------------------------------ */

struct scan {
    struct broker_shard *broker;
    struct retained_query *query;
    bool full;   /* no more is fetched in this slice */
    bool waits;  /* … nor in this one before others have been: this shard fetches as much as it may */
};

static void slice_over(struct broker_shard *broker, struct retained_query *query)
{
    record_send(broker->shard, query->asker, RECORD_RETAIN_SLICE, query, query->finished);
}

static void fetched(struct broker_shard *broker, void *context, struct message *message)
{
    struct retained_query *query = context;
    record_send(broker->shard, query->asker, RECORD_RETAIN_ITEM, message, (uint64_t)(uintptr_t)query);
}

static void fetch_done(struct broker_shard *broker, void *context, uint32_t lost)
{
    struct retained_query *query = context;
    query->fetch = NULL;
    slice_over(broker, query);
}

static enum retain_answer scan_fetches(struct scan *scan, struct message *shelved)
{
    struct retained_query *query = scan->query;
    if (!query->fetch) query->fetch = retained_fetch_begin(scan->broker, fetched, fetch_done, query, false);
    scan->waits = !query->fetch;
    scan->full = query->fetch && !retained_fetch_add(scan->broker, query->fetch, shelved);
    if (scan->waits || scan->full) return RETAIN_STOP_BEFORE;
    return ++query->items < query->items_max ? RETAIN_NEXT : RETAIN_STOP;
}

static enum retain_answer scan_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct scan *scan = context;
    struct message *message = stored;
    struct retained_query *query = scan->query;
    if (is_over(scan->broker, message)) return expired_remove(scan->broker, topic, message);
    if (UNLIKELY(message->shelved)) return scan_fetches(scan, message);
    record_send(scan->broker->shard, query->asker, RECORD_RETAIN_ITEM, message_ref(message),
                (uint64_t)(uintptr_t)query);
    return ++query->items < query->items_max ? RETAIN_NEXT : RETAIN_STOP;
}

/* One turn's share of a scan. */
static void scan_go_on(struct broker_shard *broker, struct retained_query *query)
{
    struct scan scan = {broker, query, false, false};
    bool more = retain_scan_next(broker->retained, query->cursor, SLICE_TOPICS_BUDGET, scan_visit, &scan);
    if (UNLIKELY(scan.waits)) return list_append(&broker->scans_waiting, &query->scan_link);
    if (more && query->items < query->items_max && !scan.full) return list_append(&broker->scans, &query->scan_link);
    if (!more) {
        retain_scan_end(query->cursor);
        query->cursor = NULL;
    }
    query->finished = !more;
    if (UNLIKELY(query->fetch != NULL)) return retained_fetch_send(broker, query->fetch); /* then fetch_done() */
    slice_over(broker, query);
}

void retained_scans_resume(struct broker_shard *broker)
{
    list_take_all(&broker->scans, &broker->scans_waiting);
    broker->shard->more_next_turn |= !list_empty(&broker->scans);
}

static void scan_take(struct broker_shard *broker, struct retained_query *query)
{
    if (!query->cursor) query->cursor = retain_scan_begin(span_of(query->filter, query->filter_bytes));
    query->items = 0;
    list_init(&query->scan_link);
    list_append(&broker->scans, &query->scan_link);
}

/* What this turn has no time for goes before what has come meanwhile. */
static void put_back(struct list *left, struct list *all)
{
    list_take_all(left, all);
    list_take_all(all, left);
}

static void scans_turn(struct broker_shard *broker)
{
    struct list now;
    list_init(&now);
    list_take_all(&now, &broker->scans);
    shard_step_begin(broker->shard);
    while (!list_empty(&now)) {
        struct retained_query *query = CONTAINER_OF(now.next, struct retained_query, scan_link);
        list_remove(&query->scan_link);
        scan_go_on(broker, query);
        if (shard_step_over(broker->shard)) break;
    }
    put_back(&now, &broker->scans);
    retained_show(broker); /* expired ones have gone */
}

/* ---- the session's side: queries -------------------------------------------------------------------------------- */

struct retained_query *retained_hold(struct broker_shard *broker, struct session *session, struct span filter, uint8_t qos,
                                     uint32_t subscription_id)
{
    bool wildcard = memchr(filter.data, '+', filter.bytes) || memchr(filter.data, '#', filter.bytes);
    uint32_t queue_half = broker->settings->mqtt.queue_messages_max / 2;
    struct retained_query *query = memory_acquire_zeroed(sizeof *query + filter.bytes);
    query->session = session;
    query->asker = broker->shard->number;
    query->owner = wildcard ? 0 : broker_retained_owner(broker->broker, hash_span(filter));
    query->owners_end = wildcard ? broker->broker->shards_count : query->owner + 1;
    query->items_max = queue_half < SLICE_ITEMS_MAX ? (queue_half ? queue_half : 1) : SLICE_ITEMS_MAX;
    query->subscription_id = subscription_id;
    query->qos = qos;
    query->filter_bytes = (uint32_t)filter.bytes;
    memcpy(query->filter, filter.data, filter.bytes);
    query->held = true;
    list_init(&query->ready_link);
    list_append(&broker->queries, &query->link);
    list_init(&query->session_link);
    struct session_rare *rare = session_rare(session);
    if (rare->queries)
        list_append(&rare->queries->session_link, &query->session_link);
    else
        rare->queries = query;
    rare->queries_count++;
    session->querying = true;
    return query;
}

void retained_hold_local(struct broker_shard *broker, struct retained_query *query)
{
    uint32_t self = broker->shard->number;
    bool ours = query->owner <= self && self < query->owners_end;
    query->owner = self;
    query->owners_end = ours ? self + 1 : self; /* nothing to ask for: retained_go() ends it */
}

static void query_ready(struct broker_shard *broker, struct retained_query *query)
{
    if (list_empty(&query->ready_link)) list_append(&broker->queries_ready, &query->ready_link);
}

static struct retained_query *session_next(const struct retained_query *query)
{
    return CONTAINER_OF(query->session_link.next, struct retained_query, session_link);
}

void retained_wake(struct broker_shard *broker, struct session *session)
{
    struct retained_query *query = session->rare->queries;
    do {
        if (!query->held && !query->away) query_ready(broker, query);
        query = session_next(query);
    } while (query != session->rare->queries);
}

static void query_sees(struct retained_query *query, const struct publication *publication)
{
    if (query->seen_count == SEEN_MAX) return;
    if (!mqtt_topic_matches_filter(publication->topic, span_of(query->filter, query->filter_bytes))) return;
    if ((query->seen_count & (query->seen_count - 1)) == 0) /* a power of two: full */
        query->seen = memory_resize(query->seen, (query->seen_count ? query->seen_count * 2u : 1u) * sizeof *query->seen);
    query->seen[query->seen_count++] =
        (struct retained_seen){.topic_hash = hash_span(publication->topic), .identity = publication->identity};
}

void retained_seen(struct broker_shard *broker, const struct session *session, const struct publication *publication)
{
    struct retained_query *query = session->rare->queries;
    do {
        query_sees(query, publication);
        query = session_next(query);
    } while (query != session->rare->queries);
}

/* Was this message delivered live, or a later one of the same topic that came from the same shard? Then it was read from the store
 * before that one got there, and must not come behind it [MQTT-4.6.0-5]. Shards' numbers do not compare. */
static bool query_has_seen(const struct retained_query *query, const struct publication *publication)
{
    if (query->seen_count == 0) return false;
    uint64_t topic_hash = hash_span(publication->topic), identity = publication->identity;
    for (uint32_t i = 0; i < query->seen_count; i++) {
        const struct retained_seen *seen = &query->seen[i];
        if (seen->topic_hash == topic_hash && seen->identity >> 56 == identity >> 56 && seen->identity >= identity) return true;
    }
    return false;
}

static void session_query_remove(struct session *session, struct retained_query *query)
{
    struct session_rare *rare = session->rare;
    session->querying = --rare->queries_count > 0;
    if (rare->queries == query) rare->queries = session->querying ? session_next(query) : NULL;
    list_remove(&query->session_link);
}

static void query_release(struct retained_query *query)
{
    list_remove(&query->link);
    list_remove(&query->ready_link);
    if (query->session) session_query_remove(query->session, query);
    retain_scan_end(query->cursor);
    memory_release(query->seen);
    memory_release(query);
}

void retained_go(struct broker_shard *broker, struct retained_query *query)
{
    query->held = false;
    /* Nothing is retained and nobody else can have sent something on its way: a burst of SUBSCRIBEs leaves no queries behind. */
    bool none = broker->broker->shards_count == 1 && retain_stats(broker->retained).messages == 0;
    if (none || UNLIKELY(query->owner == query->owners_end)) return query_release(query);
    query_ready(broker, query);
}

static void query_item(struct broker_shard *broker, struct message *lent, struct retained_query *query)
{
    bool ours = lent->owner == broker->shard->number;
    struct publication publication = ours ? publication_of(lent) : publication_of_loan(lent);
    if (query->session && !query_has_seen(query, &publication)) {
        publication.retain = false; /* this is not a live one: options.retain says what the client sees */
        struct delivery_options options = {.qos = query->qos < publication.qos ? query->qos : publication.qos,
                                           .retain = true, /* [MQTT3-3.3.1-8] */
                                           .subscription_id = query->subscription_id};
        session_deliver(broker, query->session, &publication, &options);
    }
    publication_end(broker->shard, &publication);
    if (ours) message_unref(broker->shard, lent);
}

static void query_slice_over(struct broker_shard *broker, struct retained_query *query, bool finished)
{
    query->away = false;
    if (finished) query->owner++;
    if (!query->session || query->owner == query->owners_end) return query_release(query);
    query_ready(broker, query);
}

/* Sends out again the queries whose session can take more; the others wait for retained_wake(). */
static void queries_turn(struct broker_shard *broker)
{
    struct list now;
    list_init(&now);
    list_take_all(&now, &broker->queries_ready);
    shard_step_begin(broker->shard);
    for (uint32_t i = 1; !list_empty(&now); i++) {
        if (i % QUERIES_PER_LOOK == 0 && shard_step_over(broker->shard)) return put_back(&now, &broker->queries_ready);
        struct retained_query *query = CONTAINER_OF(now.next, struct retained_query, ready_link);
        list_remove(&query->ready_link);
        if (!query->session) {
            query_release(query);
            continue;
        }
        if (!session_has_appetite(broker, query->session)) {
            if (query->session->conn) query->session->conn->wants_writable = true;
            continue;
        }
        query->away = true;
        if (query->owner == broker->shard->number)
            scan_take(broker, query);
        else
            record_send(broker->shard, query->owner, RECORD_RETAIN_SCAN, query, 0);
    }
}

static void query_forget(struct session *session, struct retained_query *query)
{
    session_query_remove(session, query);
    query->session = NULL;
    if (!query->held && !query->away) query_release(query); /* the others: retained_go(), query_slice_over() */
}

void retained_forget(struct broker_shard *broker, struct session *session)
{
    while (session->querying)
        query_forget(session, session->rare->queries);
}

void retained_cancel(struct session *session, struct span filter)
{
    struct retained_query *query = session->rare->queries;
    for (uint32_t left = session->rare->queries_count; left > 0; left--) {
        struct retained_query *next = session_next(query);
        if (span_equal(span_of(query->filter, query->filter_bytes), filter)) query_forget(session, query);
        query = next;
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

void retained_record(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    enum record_kind kind = (enum record_kind)record_kind(cells);
    if (kind == RECORD_RETAIN_SCAN) return scan_take(broker, record_pointer(cells));
    if (kind == RECORD_RETAIN_SLICE) return query_slice_over(broker, record_pointer(cells), cells->b != 0);
    if (kind == RECORD_RETAIN_ITEM)
        return query_item(broker, record_pointer(cells), (struct retained_query *)(uintptr_t)cells->b);
    DCHECK(kind == RECORD_RETAIN_SET);
    struct publication publication = publication_of_loan(record_pointer(cells));
    if (broker->durable) durable_adopt(broker, from, &publication);
    store_here(broker, &publication);
    if (broker->durable) durable_report(broker, from, &publication);
    if (UNLIKELY(publication.congested) && publication.publisher_conn) record_send(broker->shard, from, RECORD_CONGESTED, NULL, publication.publisher_conn);
    publication_end(broker->shard, &publication);
}

/* Scans run one turn after they were asked for (they are taken from the lanes before this): a message that was on its way to
 * this shard when the SUBSCRIBE's grace period ended is in the store by then. */
bool retained_turn(struct broker_shard *broker)
{
    if (!list_empty(&broker->scans)) scans_turn(broker);
    if (!list_empty(&broker->queries_ready)) queries_turn(broker);
    return !list_empty(&broker->scans) || !list_empty(&broker->queries_ready);
}

/* The node's limits in equal shares; rounded up, since 0 means "no limit". */
void retained_set_limits(struct broker_shard *broker)
{
    const struct mqtt_settings *mqtt = &broker->settings->mqtt;
    uint64_t shards = broker->broker->shards_count;
    retain_set_limits(broker->retained, (mqtt->retained_messages_max + shards - 1) / shards,
                      (mqtt->retained_bytes_max + shards - 1) / shards);
}

static void store_release(void *context, void *message)
{
    struct broker_shard *broker = context;
    if (UNLIKELY(((const struct message *)message)->references & MESSAGE_KEPT)) retained_shelf_gone(broker, message);
    message_unref(broker->shard, message);
}

void retained_start(struct broker_shard *broker)
{
    struct retain_config config = {.seed = broker->broker->hash_seed,
                                   .release = store_release,
                                   .context = broker};
    broker->retained = retain_create(&config);
    retained_set_limits(broker);
    timer_init(&broker->sweep_timer, sweep);
    retained_sweep_start(broker);
}

/* All shards have come to rest: queries and scans can be released from either end. */
void retained_stop(struct broker_shard *broker)
{
    while (!list_empty(&broker->queries))
        query_release(CONTAINER_OF(broker->queries.next, struct retained_query, link));
    list_init(&broker->scans);
    list_init(&broker->scans_waiting);
    shard_stop_timer(broker->shard, &broker->sweep_timer);
    retain_scan_end(broker->sweep);
    broker->sweep = NULL;
    retained_shelf_stop(broker);
    struct retain_store *store = broker->retained;
    broker->retained = NULL;
    retain_destroy(store);
}
