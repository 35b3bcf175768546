/* waits.c - what is held back until a commit is on disk, here or on other shards. */
#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/durable/durable.h"
#include "broker/records.h"
#include "proto/encode.h"

/* ---- waits ------------------------------------------------------------------------------------------------------ */

struct durable_session *durable_session_make(struct session *session)
{
    if (session->durable) return session->durable;
    struct durable_session *made = memory_acquire_zeroed(sizeof *made);
    made->session = session;
    list_init(&made->link);
    list_init(&made->waits);
    list_init(&made->partials);
    return session->durable = made;
}

struct durable_wait *durable_wait_make(struct broker_shard *broker, enum durable_wait_kind kind, struct session *session)
{
    struct durable_wait *wait = pool_acquire(&broker->shard->pool, sizeof *wait);
    memset(wait, 0, offsetof(struct durable_wait, turn_ns));
    wait->kind = kind;
    wait->session = session;
    wait->turn_ns = broker->shard->now_ns;
    list_init(&wait->link);
    list_init(&wait->commit_link);
    list_init(&wait->origin_link);
    if (session && session->conn) wait->conn = conn_name(session->conn);
    COUNT(broker, durable_waits);
    return wait;
}

void durable_wait_free(struct broker_shard *broker, struct durable_wait *wait)
{
    DCHECK(wait->remote == 0 && list_empty(&wait->link) && list_empty(&wait->commit_link));
    bool origin = !list_empty(&wait->origin_link);
    list_remove(&wait->origin_link);
    if (origin && wait->kind != WAIT_BARRIER) durable_origins_advance(broker);
    durable_partial_unref(wait->partial);
    memory_release(wait->long_answer);
    COUNT_BY(broker, durable_waits, -(uint64_t)(wait->count ? wait->count : 1));
    pool_release(&broker->shard->pool, wait, sizeof *wait);
}

/* Without a store nothing waits for a disk: there are waits all the same when sinks of features hold acknowledgements. */
static bool on_disk(const struct broker_shard *broker, uint64_t commit) { return !broker->durable || wal_durable(&broker->durable->wal, commit); }

void durable_wait_commit(struct broker_shard *broker, struct durable_wait *wait, uint64_t commit)
{
    wait->commit = commit;
    wait->staged = true;
    list_append(&broker->durable->committing, &wait->commit_link);
}

/* The connection an answer is for, if it still stands. One that is about to end gets no more: behind a refusal that its client learns by that alone, an acknowledgement
 * would say that what came later is done, and the client would send the refused message again behind that. */
static struct conn *wait_conn(const struct durable_wait *wait)
{
    struct conn *conn = wait->session && !wait->session->kicked ? wait->session->conn : NULL;
    return conn && conn_name(conn) == wait->conn && conn->state == CONN_OPEN ? conn : NULL;
}

static void run_go(struct broker_shard *broker, struct durable_wait *wait, struct conn *conn)
{
    struct session *session = wait->session;
    uint32_t bytes = 4u * wait->count;
    uint8_t *out = conn_reserve(broker->shard, conn, bytes), *at = out;
    for (uint32_t i = 0; i < wait->count; i++)
        at += mqtt_write_ack(at, MQTT_PUBACK, wait->run[i]);
    conn_commit(conn, bytes);
    for (; wait->quota; wait->quota--)
        mqtt_incoming_qos1_remove(&session->incoming);
    COUNT_BY(broker, packets_sent, wait->count);
    if (LIKELY(!session->traced)) return;
    for (; out < at; out += 4)
        trace_sent(broker, conn, session->version, span_of(out, 4), span_of(NULL, 0), NULL);
}

static void answer_go(struct broker_shard *broker, struct durable_wait *wait)
{
    struct conn *conn = wait_conn(wait);
    if (!conn) return;
    if (LIKELY(wait->count)) return run_go(broker, wait, conn);
    uint32_t bytes = wait->long_answer ? wait->long_bytes : wait->bytes_count;
    if (UNLIKELY(wait->refused) && wait->session->version < MQTT_5) /* no code for it: its client is to send the message again */
        return session_kick(broker, wait->session, wait->refused);
    uint8_t *out = conn_reserve(broker->shard, conn, bytes);
    memcpy(out, wait->long_answer ? wait->long_answer : wait->bytes, bytes);
    conn_commit(conn, bytes);
    if (wait->quota) mqtt_incoming_qos1_remove(&wait->session->incoming);
    COUNT(broker, packets_sent);
    if (UNLIKELY(wait->session->traced)) trace_sent(broker, conn, wait->session->version, span_of(out, bytes), span_of(NULL, 0), NULL);
}

/* One whose other shards have answered waits for a commit of ours. STORE_INCOMING is written in the order of the row. */
static void row_stage(struct broker_shard *broker, struct durable_session *durable, struct durable_wait *wait)
{
    if (wait->number && durable->id && !wait->refused) {
        uint64_t commit = store_put_incoming(&broker->durable->wal, durable->id, wait->packet_id, wait->number, broker->shard->now_ms);
        durable->incoming_logged = wait->number;
        durable_partial_known(wait->partial);
        if (!durable->lazy && commit > wait->commit) wait->commit = commit;
    }
    if (on_disk(broker, wait->commit))
        wait->staged = wait->ready = true;
    else
        durable_wait_commit(broker, wait, wait->commit);
}

/* Answers leave in the order of what they answer [MQTT-4.6.0-2 to 4]. Each is looked at once here and once there, whatever stands in the row. */
static void row_advance(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    while (durable->unstaged && !durable->unstaged->remote) {
        struct durable_wait *wait = durable->unstaged;
        durable->unstaged = wait->link.next == &durable->waits ? NULL : CONTAINER_OF(wait->link.next, struct durable_wait, link);
        row_stage(broker, durable, wait);
    }
    while (!list_empty(&durable->waits)) {
        struct durable_wait *wait = CONTAINER_OF(durable->waits.next, struct durable_wait, link);
        if (!wait->ready) return;
        list_remove(&wait->link);
        durable->waits_count--;
        if (wait->kind == WAIT_ANSWER)
            answer_go(broker, wait);
        else if (wait_conn(wait))
            session_publish_held(broker, session, wait->packet_id);
        durable_wait_free(broker, wait);
    }
}

static void row_append(struct broker_shard *broker, struct session *session, struct durable_wait *wait)
{
    DCHECK(!wait->staged);
    list_append(&session->durable->waits, &wait->link);
    session->durable->waits_count++;
    if (!session->durable->unstaged) session->durable->unstaged = wait;
    row_advance(broker, session);
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

/* The session's last wait, if it is a run that can get one more. */
static struct durable_wait *run_last(const struct session *session)
{
    const struct durable_session *durable = session->durable;
    if (!durable || list_empty(&durable->waits) || !session->conn) return NULL;
    struct durable_wait *last = CONTAINER_OF(durable->waits.previous, struct durable_wait, link);
    bool fits = last->count > 0 && last->count < DURABLE_RUN_MAX && !last->ready && last->conn == conn_name(session->conn);
    return fits ? last : NULL;
}

/* The one that a publication of this client waits in, for other shards: it goes on as long as the turn does, so that it comes to an end. */
static struct durable_wait *run_for_remote(const struct broker_shard *broker, const struct session *session)
{
    struct durable_wait *last = run_last(session);
    return last && !last->staged && last->remote && last->turn_ns == broker->shard->now_ns ? last : NULL;
}

static struct durable_wait *run_for_answer(const struct broker_shard *broker, const struct session *session, uint64_t commit)
{
    struct durable_wait *last = run_last(session);
    if (!last || (last->staged ? commit > last->commit : last->turn_ns != broker->shard->now_ns)) return NULL;
    return last;
}

/* False: more than the client was allowed. */
static bool run_add(struct broker_shard *broker, struct session *session, struct durable_wait *run, uint16_t packet_id, uint64_t commit)
{
    bool allowed = mqtt_incoming_qos1_add(&session->incoming);
    run->quota = (uint8_t)(run->quota + allowed);
    if (run->count) COUNT(broker, durable_waits); /* the first is counted by the wait itself */
    run->run[run->count++] = packet_id;
    if (commit > run->commit) run->commit = commit;
    return allowed;
}

/* Its PUBACK waits in a run. The publication's own wait, if it has one, is where its other shards answer: the last run, or a new one. */
static void run_answer(struct broker_shard *broker, struct session *session, const struct publication *publication, uint16_t packet_id)
{
    struct durable_wait *run = publication->wait ? publication->wait : run_for_answer(broker, session, publication->commit);
    bool made = !run || list_empty(&run->link);
    if (!run) run = durable_wait_make(broker, WAIT_ANSWER, session);
    run->type = MQTT_PUBACK;
    bool allowed = run_add(broker, session, run, packet_id, publication->commit);
    if (made) row_append(broker, session, run);
    if (!allowed) packet_error(broker, session->conn, MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, "more QoS 1 messages than allowed");
}

static void wait_ready(struct broker_shard *broker, struct durable_wait *wait)
{
    list_remove(&wait->commit_link);
    wait->ready = true;
    switch ((enum durable_wait_kind)wait->kind) {
    case WAIT_ANSWER:
    case WAIT_PUBLISH:
        if (wait->session) return row_advance(broker, wait->session);
        break;
    case WAIT_SUBACK: request_stored(broker, wait->other); break;
    case WAIT_CONNECT: durable_connect_ready(broker, wait); break;
    case WAIT_FEATURE: features_stored(broker, wait->other, true); break;
    case WAIT_BARRIER: UNREACHABLE("a barrier waits for no commit");
    }
    durable_wait_free(broker, wait);
}

void durable_waits_release(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    while (!list_empty(&durable->committing)) {
        struct durable_wait *wait = CONTAINER_OF(durable->committing.next, struct durable_wait, commit_link);
        if (!wal_durable(&durable->wal, wait->commit)) return;
        wait_ready(broker, wait);
    }
}

void durable_forget(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    if (durable->prepared_count) durable_prepared_forget(broker, session);
    while (!list_empty(&durable->waits)) {
        struct durable_wait *wait = CONTAINER_OF(durable->waits.next, struct durable_wait, link);
        list_remove(&wait->link);
        wait->session = NULL; /* one that another shard or a commit still names goes when they have let go of it */
        if (wait->remote == 0 && list_empty(&wait->commit_link)) durable_wait_free(broker, wait);
    }
    durable_partials_forget(durable);
    list_remove(&durable->link);
    memory_release(durable);
    session->durable = NULL;
}

/* ---- between shards --------------------------------------------------------------------------------------------- */

bool durable_announce(struct broker_shard *broker, uint32_t to, struct publication *publication, const uint32_t *ids, uint32_t count)
{
    const struct durable_shard *there = broker->broker->shards[to]->durable;
    if (ids && (publication->qos == 0 || !durable_filters_any(there, ids, count))) return false;
    struct durable_wait *wait = NULL;
    if (publication->qos > 0 && (publication->level == DURABILITY_COMMIT || publication->partial) && publication->answers) {
        struct session *publisher = (struct session *)(uintptr_t)publication->publisher;
        wait = publication->wait;
        if (!wait && publication->qos == 1 && publisher && !broker->sinks_hold) wait = publication->wait = run_for_remote(broker, publisher);
        if (!wait) {
            wait = publication->wait = durable_wait_make(broker, WAIT_ANSWER, publisher);
            if (publication->partial) wait->partial = durable_partial_ref(publication->partial);
        }
        wait->remote++;
    }
    struct lane_cell cells[3] = {record_first(RECORD_DURABLE, 2, wait, publication->level),
                                 {publication->origin_session, (uint64_t)publication->origin_number << 16 | publication->origin_packet_id},
                                 {(uint64_t)(uintptr_t)publication->partial, 0}};
    shard_send(broker->shard, to, cells, 3);
    return true;
}

static void wait_stored(struct broker_shard *broker, struct durable_wait *wait, uint32_t count)
{
    DCHECK(wait->remote >= count);
    wait->remote -= count;
    if (wait->remote > 0) return;
    if (!wait->session) return durable_wait_free(broker, wait);
    row_advance(broker, wait->session);
}

static uint64_t stored_name(const struct lane_cell *cells, uint32_t place) { return place % 2 ? cells[1 + place / 2].b : cells[1 + place / 2].a; }

static struct durable_wait *stored_wait(const struct lane_cell *cells, uint32_t place)
{
    return (struct durable_wait *)(uintptr_t)(stored_name(cells, place) & ((1ull << STORED_COUNT_SHIFT) - 1));
}

void durable_stored(struct broker_shard *broker, const struct lane_cell *cells)
{
    uint32_t count = (uint32_t)cells->b;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 8 < count) __builtin_prefetch(stored_wait(cells, i + 8), 1);
        wait_stored(broker, stored_wait(cells, i), (uint32_t)(stored_name(cells, i) >> STORED_COUNT_SHIFT) + 1);
    }
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

void durable_publish_begin(struct broker_shard *broker, struct session *session, struct publication *publication, uint16_t packet_id)
{
    const char *rules = broker->settings->durability.topics;
    publication->level = UNLIKELY(rules && *rules) ? durable_level(broker, publication->topic) : DURABILITY_COMMIT;
    if (wal_backlog_bytes(&broker->durable->wal) > broker->settings->durability.backlog_bytes_max / 2) publication->congested = true;
    if (publication->qos != 2 || !session->durable) return;
    if (UNLIKELY(!list_empty(&session->durable->partials))) publication->partial = durable_partial_find(session->durable, publication, packet_id);
    if (!session_is_durable(session)) return;
    publication->origin_session = session->durable->id;
    publication->origin_number = ++session->durable->incoming_number;
    publication->origin_packet_id = packet_id;
}

static void answer_encode(struct durable_wait *wait, const struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
                          enum mqtt_reason reason)
{
    bool plain = reason == MQTT_REASON_SUCCESS || session->version < MQTT_5;
    wait->bytes_count = (uint8_t)(plain ? mqtt_write_ack(wait->bytes, type, packet_id)
                                        : mqtt_write_ack_reason(wait->bytes, type, packet_id, reason));
}

/* It was promised to nobody: QoS 2 comes as new when its client sends it again. If that has happened already, its answers wait in the row, too. */
static void answer_refuse(struct durable_wait *refused, struct session *session)
{
    answer_encode(refused, session, (enum mqtt_packet_type)refused->type, refused->packet_id, (enum mqtt_reason)refused->refused);
    if (refused->type != MQTT_PUBREC) return;
    mqtt_incoming_remove(&session->incoming, refused->packet_id);
    LIST_FOR_EACH(link, &session->durable->waits)
    {
        struct durable_wait *wait = CONTAINER_OF(link, struct durable_wait, link);
        if (wait->kind != WAIT_ANSWER || wait->type != MQTT_PUBREC || wait->packet_id != refused->packet_id || wait->refused) continue;
        wait->refused = refused->refused;
        answer_encode(wait, session, MQTT_PUBREC, wait->packet_id, (enum mqtt_reason)wait->refused);
    }
}

bool durable_publish_answer(struct broker_shard *broker, struct session *session, const struct publication *publication,
                            enum mqtt_packet_type type, uint16_t packet_id, enum mqtt_reason reason)
{
    struct durable_wait *wait = publication->wait;
    bool remembers = publication->origin_number && !mqtt_reason_is_error(reason);
    if (!remembers && !mqtt_reason_is_error(reason)) durable_partial_known(publication->partial); /* nothing will be written about it */
    bool waits = wait || remembers || (publication->commit && !on_disk(broker, publication->commit)) ||
                 (session->durable && session->durable->waits_count);
    if (!waits) return false;
    durable_session_make(session);
    if (LIKELY(type == MQTT_PUBACK && reason == MQTT_REASON_SUCCESS && !broker->sinks_hold)) {
        run_answer(broker, session, publication, packet_id);
        return true;
    }
    if (!wait || wait->count) wait = durable_wait_make(broker, WAIT_ANSWER, session); /* a run of others leaves before it */
    if (type == MQTT_PUBACK) wait->quota = (uint8_t)mqtt_incoming_qos1_add(&session->incoming);
    wait->commit = publication->commit;
    wait->packet_id = packet_id;
    wait->type = (uint8_t)type;
    if (remembers) {
        if (publication->partial && !wait->partial) wait->partial = durable_partial_ref(publication->partial);
        wait->number = publication->origin_number;
        list_append(&broker->durable->origins, &wait->origin_link);
    }
    answer_encode(wait, session, type, packet_id, reason);
    if (UNLIKELY(wait->refused)) answer_refuse(wait, session);
    bool exceeded = type == MQTT_PUBACK && !wait->quota;
    row_append(broker, session, wait);
    if (exceeded) packet_error(broker, session->conn, MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, "more QoS 1 messages than allowed");
    return true;
}

/* ---- acknowledgements that sinks hold --------------------------------------------------------------------------------- */

struct durable_wait *durable_hold(struct broker_shard *broker, struct publication *publication)
{
    struct session *publisher = (struct session *)(uintptr_t)publication->publisher;
    if (!publication->answers || !publisher) return NULL;
    if (!publication->wait) publication->wait = durable_wait_make(broker, WAIT_ANSWER, publisher);
    publication->wait->remote++;
    return publication->wait;
}

void durable_hold_done(struct broker_shard *broker, struct durable_wait *wait, enum mqtt_reason reason)
{
    struct session *session = wait->session;
    bool answered = !list_empty(&wait->link); /* else its PUBLISH is still being handled, and what follows looks at wait->refused */
    if (mqtt_reason_is_error(reason) && !wait->refused) {
        wait->refused = (uint8_t)reason;
        if (session && answered) answer_refuse(wait, session);
    }
    if (session && !answered) {
        wait->remote--;
        return;
    }
    wait_stored(broker, wait, 1);
}

bool durable_hold_feature(struct broker_shard *broker, struct feature_store_inside *question, uint64_t commit)
{
    if (wal_durable(&broker->durable->wal, commit)) return false;
    struct durable_wait *wait = durable_wait_make(broker, WAIT_FEATURE, NULL);
    wait->other = question;
    durable_wait_commit(broker, wait, commit);
    return true;
}

/* All that was written so far must be on disk: the answer tells of it. A lazy session's answers wait only behind others. */
static bool answer_waits(const struct broker_shard *broker, const struct session *session, uint64_t *ret_commit)
{
    const struct durable_session *durable = session->durable;
    bool promises = durable->id && !durable->lazy;
    *ret_commit = promises ? wal_position(&broker->durable->wal) : 0;
    return durable->waits_count || !on_disk(broker, *ret_commit);
}

bool durable_ack(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
                 enum mqtt_reason reason)
{
    uint64_t commit;
    if (!answer_waits(broker, session, &commit)) return false;
    struct durable_wait *wait = durable_wait_make(broker, WAIT_ANSWER, session);
    wait->commit = commit;
    wait->packet_id = packet_id;
    wait->type = (uint8_t)type;
    answer_encode(wait, session, type, packet_id, reason);
    row_append(broker, session, wait);
    return true;
}

bool durable_packet_send(struct broker_shard *broker, struct session *session, struct mqtt_packet *packet)
{
    uint64_t commit;
    if (!answer_waits(broker, session, &commit)) return false;
    size_t bytes = mqtt_encoded_bytes((enum mqtt_version)session->version, packet);
    if (session->packet_bytes_max && bytes > session->packet_bytes_max) return false; /* packet_send() knows what to do */
    struct durable_wait *wait = durable_wait_make(broker, WAIT_ANSWER, session);
    wait->commit = commit;
    wait->long_bytes = (uint32_t)bytes;
    wait->long_answer = memory_acquire(bytes);
    CHECK(mqtt_encode(wait->long_answer, bytes, (enum mqtt_version)session->version, packet) == bytes);
    row_append(broker, session, wait);
    return true;
}

bool durable_hold_publish(struct broker_shard *broker, struct session *session, uint16_t packet_id)
{
    uint64_t commit;
    if (!answer_waits(broker, session, &commit)) return false;
    struct durable_wait *wait = durable_wait_make(broker, WAIT_PUBLISH, session);
    wait->commit = commit;
    wait->packet_id = packet_id;
    row_append(broker, session, wait);
    return true;
}

bool durable_hold_suback(struct broker_shard *broker, struct session *session, struct subscribe_request *request)
{
    uint64_t commit;
    if (!session_is_durable(session) || !answer_waits(broker, session, &commit) || commit == 0) return false;
    struct durable_wait *wait = durable_wait_make(broker, WAIT_SUBACK, NULL);
    wait->other = request;
    durable_wait_commit(broker, wait, commit);
    return true;
}
