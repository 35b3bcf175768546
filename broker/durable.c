/* durable.c - the log's place in a shard's turn, and who waits for it. */
#include "broker/durable.h"

#include <errno.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/records.h"
#include "proto/encode.h"

#define HEARTBEAT_MS 10000 /* how exactly a start knows when its predecessor ended */

/* ---- the log's life --------------------------------------------------------------------------------------------- */

static void disk_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct durable_shard *durable = context;
    durable->write_error = 0;
    shard_write_sync(durable->broker->shard, fd, data, bytes, offset);
}

static bool disk_segment_take(void *context, struct wal_segment *ret_segment)
{
    struct durable_shard *durable = context;
    return store_segment_take(durable->broker->broker->store, durable->broker->shard->number, ret_segment);
}

static void disk_segment_done(void *context, const struct wal_segment *segment, bool failed)
{
    struct durable_shard *durable = context;
    if (failed) COUNT(durable->broker, durable_write_failures);
    store_segment_done(durable->broker->broker->store, durable->broker->shard->number, segment, failed);
}

static void timer_fired(struct timer *timer, void *context) {} /* the turn it makes is what it is for */

static void heartbeat(struct timer *timer, void *context)
{
    struct broker_shard *broker = broker_of(context);
    if (!list_empty(&broker->durable->sessions)) wal_touch(&broker->durable->wal, broker->shard->now_ms);
    shard_start_timer(broker->shard, timer, HEARTBEAT_MS);
}

static struct span prepared_key(const void *value);

void broker_use_store(struct broker *broker, struct store *store, const struct state *state)
{
    broker->store = store;
    broker->recovered = state;
    broker->restoring = state ? broker->shards_count : 0;
}

void durable_start(struct broker_shard *broker)
{
    if (!broker->broker->store) return;
    struct durable_shard *durable = memory_acquire_zeroed(sizeof *durable);
    durable->broker = broker;
    struct wal_config config = {.disk = {.context = durable, .write_sync = disk_write_sync, .segment_take = disk_segment_take,
                                         .segment_done = disk_segment_done},
                                .epoch = store_epoch(broker->broker->store), .shard = broker->shard->number,
                                .interval_ms = broker->settings->durability.commit_interval_ms};
    wal_init(&durable->wal, &config);
    list_init(&durable->committing);
    list_init(&durable->origins);
    list_init(&durable->sessions);
    timer_init(&durable->timer, timer_fired);
    timer_init(&durable->heartbeat, heartbeat);
    map_init(&durable->prepared, prepared_key);
    durable_checkpoint_init(durable);
    broker->durable = durable;
    shard_start_timer(broker->shard, &durable->heartbeat, HEARTBEAT_MS);
    durable_restore(broker);
}

void durable_file(struct shard *shard, bool sync, int32_t result)
{
    struct broker_shard *broker = broker_of(shard);
    struct durable_shard *durable = broker->durable;
    if (!sync) { /* the write itself; its sync follows, cancelled */
        durable->write_error = result < 0 ? result : -EIO;
        return;
    }
    int error = durable->write_error ? durable->write_error : result < 0 ? result : 0;
    if (error)
        LOG_LIMITED(ERROR, 1000, "the store cannot write", "error=\"%s\" what=\"what was acknowledged is safe; new acknowledgements wait\"",
                    strerror(-error));
    wal_written(&durable->wal, error);
    struct stats *stats = broker_stats(broker);
    __atomic_store_n(&stats->durable_commits, durable->wal.commits, __ATOMIC_RELAXED);
    __atomic_store_n(&stats->durable_bytes, durable->wal.bytes_written, __ATOMIC_RELAXED);
}

bool durable_busy(struct shard *shard)
{
    const struct durable_shard *durable = broker_of(shard)->durable;
    return durable && durable->wal.writing;
}

#define REFUSE_FAILURES 3 /* so many writes in a row have failed */

bool durable_refuses(const struct broker_shard *broker)
{
    const struct durable_shard *durable = broker->durable;
    if (wal_backlog_bytes(&durable->wal) > broker->settings->durability.backlog_bytes_max) return true;
    return durable->wal.failures >= REFUSE_FAILURES || (durable->wal.starved && store_trouble(broker->broker->store) != 0);
}

/* ---- waits ------------------------------------------------------------------------------------------------------ */

struct durable_session *durable_session_make(struct session *session)
{
    if (session->durable) return session->durable;
    struct durable_session *made = memory_acquire_zeroed(sizeof *made);
    made->session = session;
    list_init(&made->link);
    list_init(&made->waits);
    return session->durable = made;
}

struct durable_wait *durable_wait_make(struct broker_shard *broker, enum durable_wait_kind kind, struct session *session)
{
    struct durable_wait *wait = pool_acquire(&broker->shard->pool, sizeof *wait);
    *wait = (struct durable_wait){.kind = kind, .session = session};
    list_init(&wait->link);
    list_init(&wait->commit_link);
    list_init(&wait->origin_link);
    if (session && session->conn) wait->conn = conn_name(session->conn);
    COUNT(broker, durable_waits);
    return wait;
}

static void origins_advance(struct broker_shard *broker);

static void wait_free(struct broker_shard *broker, struct durable_wait *wait)
{
    DCHECK(wait->remote == 0 && list_empty(&wait->link) && list_empty(&wait->commit_link));
    bool origin = !list_empty(&wait->origin_link);
    list_remove(&wait->origin_link);
    if (origin && wait->kind != WAIT_BARRIER) origins_advance(broker);
    memory_release(wait->long_answer);
    pool_release(&broker->shard->pool, wait, sizeof *wait);
    UNCOUNT(broker, durable_waits);
}

void durable_wait_commit(struct broker_shard *broker, struct durable_wait *wait, uint64_t commit)
{
    wait->commit = commit;
    wait->staged = true;
    list_append(&broker->durable->committing, &wait->commit_link);
}

/* The connection an answer is for, if it still stands. */
static struct conn *wait_conn(const struct durable_wait *wait)
{
    struct conn *conn = wait->session ? wait->session->conn : NULL;
    return conn && conn_name(conn) == wait->conn && conn->state == CONN_OPEN ? conn : NULL;
}

static void answer_go(struct broker_shard *broker, struct durable_wait *wait)
{
    struct conn *conn = wait_conn(wait);
    if (!conn) return;
    uint32_t bytes = wait->long_answer ? wait->long_bytes : wait->bytes_count;
    uint8_t *out = conn_reserve(broker->shard, conn, bytes);
    memcpy(out, wait->long_answer ? wait->long_answer : wait->bytes, bytes);
    conn_commit(conn, bytes);
    if (wait->quota) mqtt_incoming_qos1_remove(&wait->session->incoming);
    COUNT(broker, packets_sent);
}

/* Answers leave in the order of what they answer [MQTT-4.6.0-2 to 4]; STORE_INCOMING is written in that order, too. */
static void row_advance(struct broker_shard *broker, struct session *session)
{
    struct durable_session *durable = session->durable;
    LIST_FOR_EACH(link, &durable->waits)
    {
        struct durable_wait *wait = CONTAINER_OF(link, struct durable_wait, link);
        if (wait->remote) break;
        if (wait->staged) continue;
        if (wait->number && durable->id) {
            uint64_t commit = store_put_incoming(&broker->durable->wal, durable->id, wait->packet_id, wait->number, broker->shard->now_ms);
            durable->incoming_logged = wait->number;
            if (!durable->lazy && commit > wait->commit) wait->commit = commit;
        }
        if (wal_durable(&broker->durable->wal, wait->commit))
            wait->staged = wait->ready = true;
        else
            durable_wait_commit(broker, wait, wait->commit);
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
        wait_free(broker, wait);
    }
}

static void row_append(struct broker_shard *broker, struct session *session, struct durable_wait *wait)
{
    list_append(&session->durable->waits, &wait->link);
    session->durable->waits_count++;
    row_advance(broker, session);
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
    case WAIT_REMOTE: record_send(broker->shard, wait->from, RECORD_STORED, wait->other, 0); break;
    case WAIT_BARRIER: UNREACHABLE("a barrier waits for no commit");
    }
    wait_free(broker, wait);
}

static void waits_release(struct broker_shard *broker)
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
        if (wait->remote == 0 && list_empty(&wait->commit_link)) wait_free(broker, wait);
    }
    list_remove(&durable->link);
    memory_release(durable);
    session->durable = NULL;
}

/* ---- between shards --------------------------------------------------------------------------------------------- */

static uint32_t filter_bit(uint32_t local_id) { return local_id & ((1u << DURABLE_FILTER_BITS) - 1); }

void durable_filter_count(struct broker_shard *broker, uint32_t local_id, bool added)
{
    struct durable_shard *durable = broker->durable;
    uint32_t bit = filter_bit(local_id);
    uint16_t *count = &durable->filter_counts[bit];
    if (*count == UINT16_MAX) return; /* too many to count: it stays set */
    *count = (uint16_t)(added ? *count + 1 : *count - 1);
    if (added && *count == 1) atomic_fetch_or(&durable->filter_bits[bit / 64], 1ull << (bit % 64));
    if (!added && *count == 0) atomic_fetch_and(&durable->filter_bits[bit / 64], ~(1ull << (bit % 64)));
}

static bool filters_durable(const struct durable_shard *there, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bit = filter_bit(ids[i]);
        if (atomic_load_explicit(&there->filter_bits[bit / 64], memory_order_relaxed) >> (bit % 64) & 1) return true;
    }
    return false;
}

void durable_announce(struct broker_shard *broker, uint32_t to, struct publication *publication, const uint32_t *ids, uint32_t count)
{
    const struct durable_shard *there = broker->broker->shards[to]->durable;
    if (ids && (publication->qos == 0 || !filters_durable(there, ids, count))) return;
    struct durable_wait *wait = NULL;
    if (publication->qos > 0 && publication->level == DURABILITY_COMMIT && publication->answers) {
        wait = publication->wait;
        if (!wait) wait = publication->wait = durable_wait_make(broker, WAIT_ANSWER, (struct session *)(uintptr_t)publication->publisher);
        wait->remote++;
    }
    struct lane_cell cells[3] = {record_first(RECORD_DURABLE, 2, wait, publication->level),
                                 {publication->origin_session, (uint64_t)publication->origin_number << 16 | publication->origin_packet_id},
                                 {0, 0}};
    shard_send(broker->shard, to, cells, 3);
}

void durable_notice_take(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells)
{
    broker->durable->notices[from] = (struct durable_notice){
        .valid = true, .level = (uint8_t)cells->b, .wait = record_pointer(cells),
        .origin = {.session = cells[1].a, .number = (uint32_t)(cells[1].b >> 16), .packet_id = (uint16_t)cells[1].b}};
}

void durable_adopt(struct broker_shard *broker, uint32_t from, struct publication *publication)
{
    struct durable_notice *notice = &broker->durable->notices[from];
    if (!notice->valid) return;
    notice->valid = false;
    publication->level = notice->level;
    publication->wait = notice->wait;
    publication->origin_session = notice->origin.session;
    publication->origin_number = notice->origin.number;
    publication->origin_packet_id = notice->origin.packet_id;
}

/* The other shard is told at once when nothing of it went into the log. */
void durable_report(struct broker_shard *broker, uint32_t from, struct publication *publication)
{
    if (!publication->wait) return;
    if (publication->commit == 0 || wal_durable(&broker->durable->wal, publication->commit))
        return record_send(broker->shard, from, RECORD_STORED, publication->wait, 0);
    struct durable_wait *wait = durable_wait_make(broker, WAIT_REMOTE, NULL);
    wait->from = from;
    wait->other = publication->wait;
    durable_wait_commit(broker, wait, publication->commit);
}

void durable_stored(struct broker_shard *broker, struct durable_wait *wait)
{
    DCHECK(wait->remote > 0);
    if (--wait->remote > 0) return;
    if (!wait->session) return wait_free(broker, wait);
    row_advance(broker, wait->session);
}

/* Barriers at the front have nothing before them any more. */
static void origins_advance(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    while (!list_empty(&durable->origins)) {
        struct durable_wait *wait = CONTAINER_OF(durable->origins.next, struct durable_wait, origin_link);
        if (wait->kind != WAIT_BARRIER) return;
        uint32_t from = wait->from;
        wait_free(broker, wait);
        if (from == broker->shard->number)
            durable_barrier_done(broker);
        else
            record_send(broker->shard, from, RECORD_BARRIER_DONE, NULL, 0);
    }
}

void durable_barrier(struct broker_shard *broker, uint32_t from)
{
    if (!broker->durable) return; /* the node is ending: no checkpoint goes on */
    struct durable_wait *wait = durable_wait_make(broker, WAIT_BARRIER, NULL);
    wait->from = from;
    list_append(&broker->durable->origins, &wait->origin_link);
    origins_advance(broker);
}

void durable_barrier_done(struct broker_shard *broker)
{
    if (broker->durable) broker->durable->checkpoint.barriers--;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

void durable_publish_begin(struct broker_shard *broker, struct session *session, struct publication *publication, uint16_t packet_id)
{
    publication->level = durable_level(broker, publication->topic);
    publication->answers = publication->qos > 0;
    if (wal_backlog_bytes(&broker->durable->wal) > broker->settings->durability.backlog_bytes_max / 2) publication->congested = true;
    if (publication->qos != 2 || !session_is_durable(session)) return;
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

bool durable_publish_answer(struct broker_shard *broker, struct session *session, const struct publication *publication,
                            enum mqtt_packet_type type, uint16_t packet_id, enum mqtt_reason reason)
{
    struct durable_wait *wait = publication->wait;
    bool remembers = publication->origin_number && !mqtt_reason_is_error(reason);
    bool waits = wait || remembers || (publication->commit && !wal_durable(&broker->durable->wal, publication->commit)) ||
                 (session->durable && session->durable->waits_count);
    if (!waits) return false;
    if (!wait) wait = durable_wait_make(broker, WAIT_ANSWER, session);
    durable_session_make(session);
    if (type == MQTT_PUBACK) wait->quota = mqtt_incoming_qos1_add(&session->incoming);
    wait->commit = publication->commit;
    wait->packet_id = packet_id;
    if (remembers) {
        wait->number = publication->origin_number;
        list_append(&broker->durable->origins, &wait->origin_link);
    }
    answer_encode(wait, session, type, packet_id, reason);
    bool exceeded = type == MQTT_PUBACK && !wait->quota;
    row_append(broker, session, wait);
    if (exceeded) packet_error(broker, session->conn, MQTT_REASON_RECEIVE_MAXIMUM_EXCEEDED, "more QoS 1 messages than allowed");
    return true;
}

/* All that was written so far must be on disk: the answer tells of it. A lazy session's answers wait only behind others. */
static bool answer_waits(const struct broker_shard *broker, const struct session *session, uint64_t *ret_commit)
{
    const struct durable_session *durable = session->durable;
    bool promises = durable->id && !durable->lazy;
    *ret_commit = promises ? wal_position(&broker->durable->wal) : 0;
    return durable->waits_count || !wal_durable(&broker->durable->wal, *ret_commit);
}

bool durable_ack(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
                 enum mqtt_reason reason)
{
    uint64_t commit;
    if (!answer_waits(broker, session, &commit)) return false;
    struct durable_wait *wait = durable_wait_make(broker, WAIT_ANSWER, session);
    wait->commit = commit;
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

/* ---- the turn --------------------------------------------------------------------------------------------------- */

bool durable_turn(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    struct shard *shard = broker->shard;
    if (UNLIKELY(durable->restoring) && atomic_load(&broker->broker->restoring) == 0) durable_restored(broker);
    waits_release(broker);
    durable_checkpoint_turn(broker);
    if (wal_settled(&durable->wal)) return durable->restoring;
    uint64_t again_ms = wal_turn(&durable->wal, shard->now_ms, durable_realtime_ms(broker, shard->now_ms));
    if (again_ms != UINT64_MAX && (!timer_running(&durable->timer) || durable->timer.deadline_ms > again_ms))
        wheel_start(&shard->wheel, &durable->timer, again_ms);
    return durable->restoring;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* The shard's thread has ended, so the ring is closed to us: what is left is written in the plain way. */
static void final_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct durable_shard *durable = context;
    durable->write_error = store_write_sync(durable->broker->broker->store, fd, data, bytes, offset);
}

#define FINAL_PATIENCE_MS 5000

static void write_rest(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    struct wal *wal = &durable->wal;
    wal->config.disk.write_sync = final_write_sync;
    wal->config.interval_ms = 0;
    uint64_t now_ms = broker->shard->now_ms, waited_ms = 0;
    while (!wal_settled(wal) && waited_ms < FINAL_PATIENCE_MS && !durable_refuses(broker)) {
        now_ms++;
        wal_turn(wal, now_ms + waited_ms, durable_realtime_ms(broker, now_ms));
        if (wal->writing) {
            wal_written(wal, durable->write_error);
            continue;
        }
        usleep(10000); /* no segment yet, or a rest after a failure */
        waited_ms += 10;
    }
    if (!wal_settled(wal))
        LOG(ERROR, "not everything could be written", "shard=%u bytes=%llu what=\"nothing of it was acknowledged\"", broker->shard->number,
            (unsigned long long)wal_backlog_bytes(wal));
}

void durable_stop(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (!durable) return;
    CHECK(!durable->wal.writing); /* durable_busy() kept the shard turning */
    write_rest(broker);
    while (!list_empty(&durable->committing)) { /* connections have gone; only other shards are still told */
        struct durable_wait *wait = CONTAINER_OF(durable->committing.next, struct durable_wait, commit_link);
        list_remove(&wait->commit_link);
        if (wait->kind == WAIT_REMOTE) record_send(broker->shard, wait->from, RECORD_STORED, wait->other, 0);
        if (wait->kind == WAIT_CONNECT) durable_prepared_release(broker, wait->other);
        if (wait->session) continue; /* still in its row, which ends with the session */
        wait_free(broker, wait);
    }
}

void durable_finish(struct broker_shard *broker)
{
    struct durable_shard *durable = broker->durable;
    if (!durable) return;
    write_rest(broker); /* what settling the lanes has brought */
    wheel_stop(&broker->shard->wheel, &durable->timer);
    wheel_stop(&broker->shard->wheel, &durable->heartbeat);
    while (!list_empty(&durable->origins)) { /* barriers, and what another shard still answers: durable_stored() releases that */
        struct durable_wait *wait = CONTAINER_OF(durable->origins.next, struct durable_wait, origin_link);
        list_remove(&wait->origin_link);
        if (wait->kind == WAIT_BARRIER) wait_free(broker, wait);
    }
    durable_checkpoint_release(durable);
    wal_release(&durable->wal);
    map_free(&durable->prepared);
    memory_release(durable->held);
    memory_release(durable);
    broker->durable = NULL;
}

static struct span prepared_key(const void *value) { return span_of(value, 8); } /* struct durable_prepared begins with it */
