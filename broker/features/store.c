/* store.c - values of features that last (decision 0032): retained messages under names no client can write or read, `$feature<FF>/FEATURE/KEY`.
 *
 *     asking shard                         owner of the name
 *     call ─► question ── post ──► done there: retained store, log ─► on disk ─┐
 *     done() ◄──────────────────────────── post ◄──────────────────────────────┘
 * A scan goes from shard to shard and comes back at the end. A payload has one byte before the value: an empty one would mean "remove".
 *
 * The question is the frame's, the call the feature's: when the asking shard stops first, the call is answered there (STOPPED) and the question
 * finds nobody any more. */
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

#define NAME_PREFIX "$feature\xff/"
#define SCAN_TOPICS_BUDGET 512 /* topics a turn looks at */
#define STORED_MARK 1

struct feature_store_inside {
    struct feature_post post;        /* first */
    struct list link;                /* of those its shard waits for */
    struct list early_link;          /* of those that a shard cannot send on yet */
    struct feature_store_call *call; /* NULL: its shard has stopped */
    struct feature_node *node;
    uint32_t from, at;               /* asking shard; shard at hand */
    uint8_t verb, result;
    struct retain_cursor *cursor;    /* scan */
    uint8_t *found;                  /* get: the value; scan: entries one after the other, lengths first */
    size_t found_bytes, found_room;
    uint32_t name_bytes, skip;       /* skip: of the name, before the key */
    uint32_t payload_bytes;
    uint8_t text[];                  /* name, payload */
};

static struct span name_of(const struct feature_store_inside *question) { return span_of(question->text, question->name_bytes); }

/* ---- back again ------------------------------------------------------------------------------------------------------ */

static void question_release(struct feature_store_inside *question)
{
    retain_scan_end(question->cursor);
    memory_release(question->found);
    memory_release(question);
}

static void tell_items(struct feature_shard *shard, const struct feature_store_inside *question)
{
    const uint8_t *at = question->found, *end = at + question->found_bytes;
    while (at < end && question->call->item) {
        uint32_t lengths[2];
        memcpy(lengths, at, sizeof lengths);
        at += sizeof lengths;
        question->call->item(shard, question->call, span_of(at, lengths[0]), span_of(at + lengths[0], lengths[1]));
        at += lengths[0] + lengths[1];
    }
}

static void answer(struct feature_shard *shard, struct feature_store_inside *question)
{
    struct feature_store_call *call = question->call;
    list_remove(&question->link);
    call->inside = NULL;
    call->result = question->result;
    call->value = question->verb == FEATURE_STORE_GET && question->result == FEATURE_STORE_DONE ? span_of(question->found, question->found_bytes) : span_of(NULL, 0);
    if (question->verb == FEATURE_STORE_SCAN && question->result == FEATURE_STORE_DONE) tell_items(shard, question);
    call->done(shard, call);
    question_release(question);
}

static void came_back(struct feature_shard *shard, struct feature_post *post)
{
    struct feature_store_inside *question = (struct feature_store_inside *)post;
    if (!question->call) return question_release(question);
    answer(shard, question);
}

static void go_back(struct feature_shard *shard, struct feature_store_inside *question, enum feature_store_result result)
{
    question->result = (uint8_t)result;
    if (!question->call) return question_release(question);
    if (shard && question->from == shard->number) return answer(shard, question);
    question->post.run = came_back;
    feature_post(question->node, question->from, &question->post);
}

/* To the shard at hand; while shards are starting, it may not be there yet. */
static void send_on(struct broker_shard *broker, struct feature_store_inside *question)
{
    bool there = atomic_load(&broker->broker->shards[question->at]->features) != NULL;
    if (LIKELY(there)) return feature_post(question->node, question->at, &question->post);
    list_append(&broker->features->early, &question->early_link);
}

bool features_questions_turn(struct broker_shard *broker)
{
    struct list early;
    list_init(&early);
    list_take_all(&early, &broker->features->early);
    while (!list_empty(&early)) {
        struct feature_store_inside *question = CONTAINER_OF(early.next, struct feature_store_inside, early_link);
        list_remove(&question->early_link);
        send_on(broker, question);
    }
    return !list_empty(&broker->features->early);
}

/* ---- on the owner ------------------------------------------------------------------------------------------------------ */

static void found_add(struct feature_store_inside *question, const void *data, size_t bytes)
{
    if (question->found_bytes + bytes > question->found_room) {
        question->found_room = (question->found_bytes + bytes) * 2;
        question->found = memory_resize(question->found, question->found_room);
    }
    if (bytes) memcpy(question->found + question->found_bytes, data, bytes);
    question->found_bytes += bytes;
}

static void get(struct feature_shard *shard, struct feature_store_inside *question)
{
    struct broker_shard *broker = shard->frame;
    struct message *message = retained_get(broker, name_of(question));
    if (!message) return go_back(shard, question, FEATURE_STORE_NONE);
    struct span value = span_skip(message_payload(message), STORED_MARK);
    found_add(question, value.data, value.bytes);
    message_unref(broker->shard, message);
    go_back(shard, question, FEATURE_STORE_DONE);
}

static void change(struct feature_shard *shard, struct feature_store_inside *question)
{
    struct broker_shard *broker = shard->frame;
    struct publication publication = {.topic = name_of(question), .payload = span_of(question->text + question->name_bytes, question->payload_bytes), .qos = 1,
                                      .retain = true, .level = DURABILITY_COMMIT};
    if (durable_shut(broker) && (question->payload_bytes || !durable_full(broker))) return go_back(shard, question, FEATURE_STORE_REFUSED);
    bool kept = retained_change(broker, &publication);
    uint64_t commit = publication.commit;
    publication_end(broker->shard, &publication);
    if (!kept) return go_back(shard, question, FEATURE_STORE_REFUSED);
    if (broker->durable && commit && durable_hold_feature(broker, question, commit)) return; /* features_stored() */
    go_back(shard, question, FEATURE_STORE_DONE);
}

void features_stored(struct broker_shard *broker, struct feature_store_inside *question, bool on_disk)
{
    struct feature_shard *shard = broker->features ? &broker->features->shards[question->node->number] : NULL;
    go_back(shard, question, on_disk ? FEATURE_STORE_DONE : FEATURE_STORE_STOPPED);
}

static enum retain_answer scan_visit(void *context, struct span topic, void *stored, uint64_t bytes)
{
    struct feature_store_inside *question = context;
    const struct message *message = stored;
    if (!span_starts_with(topic, name_of(question))) return RETAIN_NEXT;
    struct span key = span_skip(topic, question->skip), value = span_skip(message_payload(message), STORED_MARK);
    uint32_t lengths[2] = {(uint32_t)key.bytes, (uint32_t)value.bytes};
    found_add(question, lengths, sizeof lengths);
    found_add(question, key.data, key.bytes);
    found_add(question, value.data, value.bytes);
    return RETAIN_NEXT;
}

/* A slice of this shard's; then on, here or on the next one. */
static void scan(struct feature_shard *shard, struct feature_store_inside *question)
{
    struct broker_shard *broker = shard->frame;
    if (!question->cursor) {
        uint8_t filter[128];
        memcpy(filter, question->text, question->skip);
        filter[question->skip] = '#';
        question->cursor = retain_scan_begin(span_of(filter, question->skip + 1));
    }
    if (!retain_scan_next(broker->retained, question->cursor, SCAN_TOPICS_BUDGET, scan_visit, question)) {
        retain_scan_end(question->cursor);
        question->cursor = NULL;
        if (++question->at == broker->broker->shards_count) return go_back(shard, question, FEATURE_STORE_DONE);
    }
    send_on(broker, question);
}

static void at_owner(struct feature_shard *shard, struct feature_post *post)
{
    struct feature_store_inside *question = (struct feature_store_inside *)post;
    if (((struct broker_shard *)shard->frame)->stopping) return go_back(shard, question, FEATURE_STORE_STOPPED);
    switch ((enum feature_store_verb)question->verb) {
    case FEATURE_STORE_GET: return get(shard, question);
    case FEATURE_STORE_PUT:
    case FEATURE_STORE_DELETE: return change(shard, question);
    case FEATURE_STORE_SCAN: return scan(shard, question);
    }
    UNREACHABLE("no verb of the store");
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------- */

static bool key_sound(struct span key, bool scan)
{
    if ((key.bytes == 0 && !scan) || key.bytes > FEATURE_STORE_KEY_BYTES_MAX) return false;
    for (size_t i = 0; i < key.bytes; i++)
        if (key.data[i] == 0 || key.data[i] == '+' || key.data[i] == '#' || key.data[i] == 0xFF) return false;
    return true;
}

static void refuse(struct feature_shard *shard, struct feature_store_call *call, enum feature_store_result result)
{
    call->result = (uint8_t)result;
    call->value = span_of(NULL, 0);
    call->done(shard, call);
}

static void ask(struct feature_shard *shard, struct feature_store_call *call, enum feature_store_verb verb, struct span key, struct span value)
{
    struct broker_shard *broker = shard->frame;
    struct span feature = span_of_string(shard->node->frame->parts[shard->node->number]->feature->name);
    if (broker->stopping) return refuse(shard, call, FEATURE_STORE_STOPPED);
    if (!key_sound(key, verb == FEATURE_STORE_SCAN) || value.bytes > FEATURE_STORE_VALUE_BYTES_MAX) return refuse(shard, call, FEATURE_STORE_REFUSED);
    size_t prefix_bytes = sizeof NAME_PREFIX - 1, payload_bytes = verb == FEATURE_STORE_PUT ? STORED_MARK + value.bytes : 0;
    struct feature_store_inside *question = memory_acquire(sizeof *question + prefix_bytes + feature.bytes + 1 + key.bytes + payload_bytes);
    *question = (struct feature_store_inside){.call = call, .node = shard->node, .from = shard->number, .verb = (uint8_t)verb,
                                              .skip = (uint32_t)(prefix_bytes + feature.bytes + 1), .payload_bytes = (uint32_t)payload_bytes};
    question->name_bytes = question->skip + (uint32_t)key.bytes;
    uint8_t *at = mempcpy(question->text, NAME_PREFIX, prefix_bytes);
    at = mempcpy(at, feature.data, feature.bytes);
    *at++ = '/';
    if (key.bytes) at = mempcpy(at, key.data, key.bytes);
    if (payload_bytes) *at++ = STORED_MARK;
    if (payload_bytes && value.bytes) memcpy(at, value.data, value.bytes);
    question->at = verb == FEATURE_STORE_SCAN ? 0 : broker_retained_owner(broker->broker, hash_span(name_of(question)));
    question->post.run = at_owner;
    list_init(&question->early_link);
    call->inside = question;
    list_append(&broker->features->questions, &question->link);
    if (!broker->features->turned) { /* in apply() at the start: what the store holds has not been brought back yet, nor is there a log */
        list_append(&broker->features->early, &question->early_link);
        return;
    }
    if (question->at == shard->number) return at_owner(shard, &question->post);
    send_on(broker, question);
}

void feature_store_get(struct feature_shard *shard, struct feature_store_call *call, struct span key) { ask(shard, call, FEATURE_STORE_GET, key, span_of(NULL, 0)); }
void feature_store_put(struct feature_shard *shard, struct feature_store_call *call, struct span key, struct span value) { ask(shard, call, FEATURE_STORE_PUT, key, value); }
void feature_store_delete(struct feature_shard *shard, struct feature_store_call *call, struct span key)
{
    ask(shard, call, FEATURE_STORE_DELETE, key, span_of(NULL, 0));
}
void feature_store_scan(struct feature_shard *shard, struct feature_store_call *call, struct span prefix)
{
    ask(shard, call, FEATURE_STORE_SCAN, prefix, span_of(NULL, 0));
}
bool feature_store_lasts(const struct feature_shard *shard) { return ((const struct broker_shard *)shard->frame)->durable != NULL; }

/* What has not come back by now is answered; whoever has the question releases it. */
void features_questions_stop(struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    while (!list_empty(&shard->early)) {
        struct feature_store_inside *question = CONTAINER_OF(shard->early.next, struct feature_store_inside, early_link);
        list_remove(&question->early_link);
        go_back(&shard->shards[question->node->number], question, FEATURE_STORE_STOPPED);
    }
    while (!list_empty(&shard->questions)) {
        struct feature_store_inside *question = CONTAINER_OF(shard->questions.next, struct feature_store_inside, link);
        struct feature_store_call *call = question->call;
        list_remove(&question->link);
        question->call = NULL;
        call->inside = NULL;
        refuse(&shard->shards[question->node->number], call, FEATURE_STORE_STOPPED);
    }
}
