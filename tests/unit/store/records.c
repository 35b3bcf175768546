/* Records: what goes in comes out, nothing that is cut or too long is accepted, and a replay makes the state they describe. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/state.h"

/* A log in memory: its "disk" keeps what was written. */
struct memory_log {
    struct wal wal;
    const uint8_t *written;
    uint32_t bytes;
};

static void write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    struct memory_log *log = context;
    log->written = data;
    log->bytes = bytes;
}

static bool segment_take(void *context, struct wal_segment *ret_segment)
{
    *ret_segment = (struct wal_segment){.fd = 3, .number = 1, .bytes = 64u << 20, .seed = 5};
    return true;
}

static void segment_done(void *context, const struct wal_segment *segment, bool failed) {}

static void log_open(struct memory_log *log)
{
    struct wal_config config = {.disk = {.context = log, .write_sync = write_sync, .segment_take = segment_take, .segment_done = segment_done},
                                .epoch = 1};
    *log = (struct memory_log){.bytes = 0};
    wal_init(&log->wal, &config);
}

/* Gives the records of the commit under way to the state. */
static void log_apply(struct memory_log *log, struct state *state)
{
    wal_turn(&log->wal, 10, 1000);
    cr_assert(log->bytes > 0);
    struct store_commit_header header;
    memcpy(&header, log->written, sizeof header);
    for (uint32_t at = sizeof header; at < header.bytes;) {
        uint32_t head;
        memcpy(&head, log->written + at, 4);
        cr_assert(state_apply(state, record_head_type(head), span_of(log->written + at + 4, record_head_bytes(head)), NULL));
        at += 4 + record_head_bytes(head);
    }
}

static void log_close(struct memory_log *log)
{
    wal_written(&log->wal, 0);
    wal_release(&log->wal);
}

static struct stored_session session_of(uint64_t id, const char *client)
{
    return (struct stored_session){.id = id, .client_id = span_of_string(client), .expiry_s = 60, .connected = true};
}

static const struct state_session *find(const struct state *state, uint64_t id)
{
    return map_find(&state->sessions, span_of(&id, 8));
}

Test(records, a_session_and_its_queue)
{
    struct memory_log log;
    struct state state;
    log_open(&log);
    state_init(&state);
    struct stored_session session = session_of(7, "client");
    session.will = (struct stored_will){.present = true, .delay_s = 5, .message = {.qos = 1, .topic = SPAN_LITERAL("w"), .payload = SPAN_LITERAL("gone")}};
    store_put_session(&log.wal, &session, 0);
    struct stored_subscription subscription = {.filter = SPAN_LITERAL("a/#"), .group = SPAN_LITERAL("g"), .subscription_id = 9, .qos = 2, .no_local = true};
    store_put_subscribe(&log.wal, 7, &subscription, 0);
    uint32_t ids[] = {4, 5};
    for (uint64_t id = 1; id <= 4; id++) {
        struct stored_message message = {.id = id, .qos = 2, .topic = SPAN_LITERAL("a/b"), .payload = SPAN_LITERAL("x")};
        struct stored_delivery delivery = {.message = id, .qos = 2, .ids = ids, .ids_count = 2};
        store_put_message(&log.wal, &message, 0);
        store_put_delivery(&log.wal, 7, &delivery, id == 4 ? 40 : 0, 0);
    }
    store_put_packet(&log.wal, STORE_SENT, 7, 10, 0);
    store_put_packet(&log.wal, STORE_RELEASING, 7, 10, 0);
    store_put_packet(&log.wal, STORE_DROP, 7, 0, 0);
    store_put_packet(&log.wal, STORE_DONE, 7, 40, 0);
    store_put_incoming(&log.wal, 7, 3, 1, 0);
    log_apply(&log, &state);

    const struct state_session *found = find(&state, 7);
    cr_assert(found && found->stored.will.present && found->stored.will.delay_s == 5);
    cr_assert(span_equal(found->stored.will.message.payload, SPAN_LITERAL("gone")));
    cr_assert(found->subscriptions_count == 1 && found->subscriptions[0]->stored.subscription_id == 9 && found->subscriptions[0]->stored.no_local);
    cr_assert(found->window_count == 1 && found->window[0].packet_id == 10 && found->window[0].state == STORED_RELEASING);
    cr_assert(found->queue_count - found->queue_head == 1);
    const struct state_delivery *left = &found->queue[found->queue_head];
    cr_assert(left->message->stored.id == 3 && left->ids_count == 2 && left->ids[1] == 5);
    cr_assert(found->incoming_count == 1 && found->stored.incoming_number == 1);
    state_log_end(&state);
    state_epoch_end(&state);
    cr_assert(!found->stored.connected);
    log_close(&log);
    state_release(&state);
}

/* Each of them asks for those before it: one client's hundred thousand took a start 15 s when they were walked, these would take it minutes. */
Test(records, very_many_subscriptions_of_one_session, .timeout = 120)
{
    enum { MANY = 400000 };
    struct state state;
    state_init(&state);
    struct record_writer writer = {0};
    struct stored_session session = session_of(7, "client");
    record_put_session(&writer, &session);
    cr_assert(state_apply(&state, STORE_SESSION, span_of(writer.data, writer.bytes), NULL));
    for (uint32_t n = 0; n < MANY + MANY / 2; n++) { /* the first half once more, with another QoS; one in three of the others goes */
        char filter[32];
        bool again = n >= MANY;
        uint32_t number = again ? n - MANY : n;
        snprintf(filter, sizeof filter, "f/%u", number / 2);
        struct stored_subscription subscription = {.filter = span_of_string(filter), .group = number % 2 ? SPAN_LITERAL("g") : SPAN_LITERAL(""), .qos = again ? 2 : 1};
        writer.bytes = 0;
        record_put_u64(&writer, 7);
        record_put_subscription(&writer, &subscription);
        cr_assert(state_apply(&state, STORE_SUBSCRIBE, span_of(writer.data, writer.bytes), NULL));
        if (again || n < MANY / 2 || n % 3) continue;
        writer.bytes = 0;
        record_put_u64(&writer, 7);
        record_put_text(&writer, subscription.filter);
        record_put_text(&writer, subscription.group);
        cr_assert(state_apply(&state, STORE_UNSUBSCRIBE, span_of(writer.data, writer.bytes), NULL));
    }
    const struct state_session *found = find(&state, 7);
    uint32_t left = 0, twice = 0;
    for (uint32_t n = 0; n < MANY; n++)
        left += n < MANY / 2 || n % 3 != 0;
    cr_assert_eq(found->subscriptions_count, left);
    for (uint32_t i = 0; i < found->subscriptions_count; i++) {
        const struct stored_subscription *one = &found->subscriptions[i]->stored;
        uint32_t number = 2 * (uint32_t)strtoul((const char *)one->filter.data + 2, NULL, 10) + (one->group.bytes > 0);
        cr_assert(number < MANY && one->qos == (number < MANY / 2 ? 2 : 1) && (number < MANY / 2 || number % 3));
        twice += one->qos == 2;
    }
    cr_assert_eq(twice, MANY / 2);
    record_writer_release(&writer);
    state_release(&state);
}

static void deliver(struct state *state, uint16_t packet_id)
{
    uint64_t session = 7, message = 1;
    uint8_t body[23] = {0};
    memcpy(body, &session, 8);
    memcpy(body + 8, &packet_id, 2);
    memcpy(body + 10, &message, 8);
    body[18] = 2;
    cr_assert(state_apply(state, STORE_DELIVER, span_of(body, sizeof body), NULL));
}

static void acknowledge(struct state *state, enum store_record type, uint16_t packet_id)
{
    uint64_t session = 7;
    uint8_t body[10];
    memcpy(body, &session, 8);
    memcpy(body + 8, &packet_id, 2);
    cr_assert(state_apply(state, type, span_of(body, sizeof body), NULL));
}

/* Beside a row that is walked. */
Test(records, a_window_of_any_length_keeps_its_order)
{
    static uint16_t row[8192];
    static bool released[65536];
    struct state state;
    struct record_writer writer = {0};
    struct stored_session session = session_of(7, "client");
    static const uint8_t message[24] = {1, [8] = 2, [17] = 1, [23] = 't'}; /* id 1, QoS 2, topic "t" */
    uint32_t count = 0, seed = 5;
    state_init(&state);
    record_put_session(&writer, &session);
    cr_assert(state_apply(&state, STORE_SESSION, span_of(writer.data, writer.bytes), NULL));
    record_writer_release(&writer);
    for (int log = 0; log < 4; log++) {
        cr_assert(state_apply(&state, STORE_MESSAGE, span_of(message, sizeof message), NULL));
        uint32_t most = (const uint32_t[]){3000, 40, 1000, 6000}[log];
        for (int step = 0; step < 20000; step++) {
            seed = seed * 1664525 + 1013904223;
            uint16_t packet_id = (uint16_t)(seed >> 16);
            uint32_t i = count && seed % 8 ? (seed >> 8) % (seed % 3 ? (count < 16 ? count : 16) : count) : 0;
            if (packet_id && count < most && seed % 5 < 3 && step < 15000) {
                for (i = 0; i < count && row[i] != packet_id; i++)
                    ;
                if (i < count) memmove(row + i, row + i + 1, (--count - i) * sizeof *row); /* its id is used again */
                row[count++] = packet_id;
                released[packet_id] = false;
                deliver(&state, packet_id);
            } else if (count && seed % 7 == 0) {
                acknowledge(&state, STORE_RELEASING, row[i]);
                released[row[i]] = true;
            } else if (count) {
                acknowledge(&state, STORE_DONE, row[i]);
                memmove(row + i, row + i + 1, (--count - i) * sizeof *row);
            }
        }
        acknowledge(&state, STORE_DONE, 0);
        state_log_end(&state);
        const struct state_session *found = find(&state, 7);
        cr_assert_eq(found->window_count, count);
        for (uint32_t i = 0; i < count; i++)
            cr_assert(found->window[i].packet_id == row[i] && (found->window[i].message == NULL) == released[row[i]], "log %d, place %u of %u", log, i, count);
    }
    state_release(&state);
}

/* A step for each message, however many are on their way (mqtt.max_inflight): with 65,000 walked and moved it was 140 us of a start for each. */
Test(records, a_long_window_is_not_walked_for_each_message, .timeout = 60)
{
    struct state state;
    struct record_writer writer = {0};
    struct stored_session session = session_of(7, "client");
    static const uint8_t message[24] = {1, [8] = 1, [17] = 1, [23] = 't'};
    state_init(&state);
    record_put_session(&writer, &session);
    cr_assert(state_apply(&state, STORE_SESSION, span_of(writer.data, writer.bytes), NULL));
    record_writer_release(&writer);
    cr_assert(state_apply(&state, STORE_MESSAGE, span_of(message, sizeof message), NULL));
    for (uint32_t n = 0; n < 1500000; n++) {
        deliver(&state, (uint16_t)(n % 65535 + 1));
        if (n >= 60000) acknowledge(&state, STORE_DONE, (uint16_t)((n - 60000) % 65535 + 1));
    }
    state_log_end(&state);
    cr_assert_eq(find(&state, 7)->window_count, 60000);
    state_release(&state);
}

Test(records, a_queue_in_parts_takes_what_happens_in_between)
{
    struct memory_log log;
    struct state state;
    log_open(&log);
    state_init(&state);
    struct stored_session session = session_of(7, "client");
    for (uint64_t id = 1; id <= 4; id++) {
        struct stored_message message = {.id = id, .qos = 1, .topic = SPAN_LITERAL("t")};
        store_put_message(&log.wal, &message, 0);
    }
    /* Nothing of the session is in this log yet: its queue of 1 and 2 comes in two parts, between which 1 is sent and 3 arrives. */
    for (uint64_t id = 1; id <= 2; id++) {
        struct record_writer part = {0};
        struct stored_delivery delivery = {.message = id, .qos = 1};
        record_put_u64(&part, 7);
        record_put_u8(&part, id == 1);
        record_put_u32(&part, 1);
        record_put_delivery(&part, &delivery);
        struct span whole = span_of(part.data, part.bytes);
        wal_append(&log.wal, STORE_QUEUE_PART, &whole, 1, 0);
        record_writer_release(&part);
        if (id == 2) break;
        struct stored_delivery third = {.message = 3, .qos = 1};
        store_put_packet(&log.wal, STORE_SENT, 7, 50, 0);
        store_put_delivery(&log.wal, 7, &third, 0, 0);
    }
    struct record_writer snapshot = {0};
    record_put_session(&snapshot, &session);
    for (int i = 0; i < 3; i++)
        record_put_u32(&snapshot, 0); /* subscriptions, incoming, window */
    record_put_u32(&snapshot, STORE_QUEUE_IN_PARTS);
    struct span whole = span_of(snapshot.data, snapshot.bytes);
    wal_append(&log.wal, STORE_SNAPSHOT, &whole, 1, 0);
    record_writer_release(&snapshot);
    log_apply(&log, &state);
    const struct state_session *found = find(&state, 7);
    cr_assert(found->queue_count - found->queue_head == 2);
    cr_assert(found->queue[found->queue_head].message->stored.id == 2 && found->queue[found->queue_head + 1].message->stored.id == 3);
    log_close(&log);
    state_release(&state);
}

static void rest_part_put(struct memory_log *log, uint8_t begins, uint64_t message)
{
    struct record_writer part = {0};
    struct stored_delivery delivery = {.message = message, .qos = 1};
    record_put_u64(&part, 7);
    record_put_u8(&part, begins);
    record_put_u32(&part, 1);
    record_put_delivery(&part, &delivery);
    struct span whole = span_of(part.data, part.bytes);
    wal_append(&log->wal, STORE_QUEUE_PART, &whole, 1, 0);
    record_writer_release(&part);
}

/* Its queue: message 1, then entries 11 and 12 on the shelf, then what the parts say, or (rest > 0) that message alone. */
static void spilled_snapshot_put(struct memory_log *log, uint64_t rest)
{
    struct record_writer snapshot = {0};
    struct stored_session session = session_of(7, "client");
    struct stored_delivery first = {.message = 1, .qos = 1}, last = {.message = rest, .qos = 1};
    record_put_session(&snapshot, &session);
    for (int i = 0; i < 3; i++)
        record_put_u32(&snapshot, 0); /* subscriptions, incoming, window */
    record_put_u32(&snapshot, 1);
    record_put_delivery(&snapshot, &first);
    record_put_u32(&snapshot, 0); /* partial messages */
    for (uint64_t number = 10; number < 14; number++) /* front; on the shelf: from, until */
        if (number != 12) record_put_u64(&snapshot, number);
    record_put_u64(&snapshot, 100);
    record_put_u32(&snapshot, rest ? 1 : STORE_QUEUE_IN_PARTS);
    if (rest) record_put_delivery(&snapshot, &last);
    struct span whole = span_of(snapshot.data, snapshot.bytes);
    wal_append(&log->wal, STORE_SNAPSHOT, &whole, 1, 0);
    record_writer_release(&snapshot);
}

static void rest_is(const struct state *state, uint64_t first, uint32_t count)
{
    const struct state_session *found = find(state, 7);
    cr_assert(found->queue_count - found->queue_head == 1 && found->queue[found->queue_head].message->stored.id == 1);
    cr_assert(found->shelved && found->shelf_from == 11 && found->shelf_until == 13);
    cr_assert_eq(found->rest_count - found->rest_head, count);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(found->rest[found->rest_head + i].message->stored.id, first + i);
}

/* What is behind the shelf comes before the SNAPSHOT that says so, and in the events since; the front of the queue has nothing to do with it. */
Test(records, what_is_behind_the_shelf_in_parts)
{
    struct memory_log log;
    struct state state;
    log_open(&log);
    state_init(&state);
    for (uint64_t id = 1; id <= 6; id++) {
        struct stored_message message = {.id = id, .qos = 1, .topic = SPAN_LITERAL("t")};
        store_put_message(&log.wal, &message, 0);
    }
    struct stored_delivery fourth = {.message = 4, .qos = 1}, fifth = {.message = 5, .qos = 1}, sixth = {.message = 6, .qos = 1};
    rest_part_put(&log, STORE_PART_OF_REST, 6); /* these begin anew */
    rest_part_put(&log, STORE_PART_OF_REST, 2);
    store_put_packet(&log.wal, STORE_SENT, 7, 50, 0);
    store_put_delivery(&log.wal, 7, &fourth, 0, 0);
    rest_part_put(&log, STORE_PART_NEXT, 3);
    store_put_packet(&log.wal, STORE_DROP, 7, 0, 0);
    spilled_snapshot_put(&log, 0);
    store_put_delivery(&log.wal, 7, &fifth, 0, 0);
    log_apply(&log, &state);
    rest_is(&state, 2, 4);
    log_close(&log);

    log_open(&log); /* and parts that a SNAPSHOT with a count of its own has made superfluous */
    rest_part_put(&log, STORE_PART_OF_REST, 3);
    store_put_delivery(&log.wal, 7, &sixth, 0, 0);
    spilled_snapshot_put(&log, 5);
    log_apply(&log, &state);
    rest_is(&state, 5, 1);
    cr_assert(!find(&state, 7)->parts && find(&state, 7)->shadow_count == 0 && find(&state, 7)->tail_count == 0);
    log_close(&log);
    state_release(&state);
}

static void group_of_member(void *context, const struct state_session *session, const struct state_message *message,
                            struct state_partial *partial)
{
    cr_assert_eq(session->key, 9);
    state_partial_group(partial, 77);
}

/* Session 7 has published 1 (known) and 2 (not known to its own log): 8 has 2, and the group of 9. */
Test(records, what_a_crash_left_half_given_out_waits_for_its_publisher)
{
    struct memory_log log;
    struct state state;
    log_open(&log);
    state_init(&state);
    for (uint64_t id = 7; id <= 9; id++) {
        struct stored_session session = session_of(id, id == 7 ? "publisher" : id == 8 ? "plain" : "member");
        store_put_session(&log.wal, &session, 0);
    }
    for (uint32_t number = 1; number <= 2; number++) {
        struct stored_message message = {.id = number, .qos = 2, .topic = SPAN_LITERAL("t"), .payload = SPAN_LITERAL("x"),
                                         .origin = {.session = 7, .number = number, .packet_id = (uint16_t)(10 + number)}};
        store_put_message(&log.wal, &message, 0);
        struct stored_delivery plain = {.message = number, .qos = 2}, shared = {.message = number, .qos = 2, .shared = true};
        store_put_delivery(&log.wal, 8, &plain, 0, 0);
        store_put_delivery(&log.wal, 9, &shared, 0, 0);
    }
    store_put_incoming(&log.wal, 7, 11, 1, 0);
    log_apply(&log, &state);
    state_log_end(&state);
    state_resolve(&state, group_of_member, NULL);
    state_epoch_end(&state);
    const struct state_session *publisher = find(&state, 7);
    cr_assert(publisher->incoming_count == 1 && publisher->incoming[0] == 11);
    cr_assert_eq(publisher->partials_count, 1);
    const struct state_partial *partial = &publisher->partials[0];
    cr_assert(partial->packet_id == 12 && partial->hash == stored_partial_hash(SPAN_LITERAL("t"), SPAN_LITERAL("x")));
    cr_assert(partial->receivers_count == 1 && partial->receivers[0] == 8 && partial->groups_count == 1 && partial->groups[0] == 77);
    cr_assert_eq(publisher->stored.incoming_number, 2, "what it publishes next has a number of its own");
    log_close(&log);
    /* It comes again in the next run: its packet id is known, and nothing is partial any more. */
    log_open(&log);
    store_put_incoming(&log.wal, 7, 12, 3, 0);
    log_apply(&log, &state);
    cr_assert(publisher->partials_count == 0 && publisher->incoming_count == 2);
    log_close(&log);
    state_release(&state);
}

Test(records, nothing_cut_or_too_long_is_accepted)
{
    struct memory_log log;
    struct state state;
    log_open(&log);
    struct stored_session session = session_of(7, "client");
    store_put_session(&log.wal, &session, 0);
    wal_turn(&log.wal, 10, 1000);
    uint32_t head;
    memcpy(&head, log.written + sizeof(struct store_commit_header), 4);
    uint32_t bytes = record_head_bytes(head);
    for (uint32_t cut = 0; cut <= bytes + 1; cut++) {
        state_init(&state);
        uint8_t *copy = memory_acquire_zeroed(bytes + 1); /* an overrun is seen by the sanitizer */
        memcpy(copy, log.written + sizeof(struct store_commit_header) + 4, bytes);
        cr_assert_eq(state_apply(&state, record_head_type(head), span_of(copy, cut), NULL), cut == bytes);
        cr_assert((state.sessions.count == 1) == (cut == bytes));
        memory_release(copy);
        state_release(&state);
    }
    state_init(&state);
    cr_assert(!state_apply(&state, 60, span_of("x", 1), NULL) && state.fault);
    state_release(&state);
    log_close(&log);
}
