#include "cmd/ringmq_net_filters.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/ringmq.h"

#define ROOM_BYTES  (64u << 10) /* for what a filter makes of its input, and for what is read from the socket at once */
#define BATCH_BYTES (64u << 10) /* of the user's bytes: one frame, a few records */
#define OWN_BYTES   4096

struct buffer {
    uint8_t *data;
    size_t begin, end, capacity; /* begin … end waits */
};

struct net_filters {
    struct filter *levels[ENDPOINT_FILTERS_MAX];
    uint8_t *rooms[ENDPOINT_FILTERS_MAX];
    uint32_t count;
    uint32_t begun;      /* levels that may speak: those below are open */
    struct buffer plain; /* for the user */
    struct buffer wire;  /* for the socket */
    uint8_t *input, *batch;
    bool ended, finishing, failed;
};

static void append(struct buffer *buffer, const uint8_t *bytes, size_t count)
{
    if (buffer->begin == buffer->end) buffer->begin = buffer->end = 0;
    if (buffer->capacity - buffer->end < count) {
        if (buffer->end) memmove(buffer->data, buffer->data + buffer->begin, buffer->end - buffer->begin);
        buffer->end -= buffer->begin;
        buffer->begin = 0;
        if (buffer->capacity - buffer->end < count) {
            buffer->capacity = 2 * (buffer->end + count);
            buffer->data = memory_resize(buffer->data, buffer->capacity);
        }
    }
    if (count) memcpy(buffer->data + buffer->end, bytes, count);
    buffer->end += count;
}

static size_t waiting(const struct buffer *buffer) { return buffer->end - buffer->begin; }

static enum net_status failed(struct net *net, uint32_t level)
{
    struct net_filters *filters = net->filters;
    const struct filter_verbs *verbs = filters->levels[level]->verbs;
    const char *reason = verbs->reason(filters->levels[level]);
    if (!filters->failed)
        snprintf(net->error, sizeof net->error, "%s: %s%s", net->settings.name, *reason ? reason : verbs->name, endpoint_advice(reason));
    filters->failed = true;
    return NET_FAILED;
}

/* ---- down ----------------------------------------------------------------------------------------------------------- */

/* Bytes of the level above through `level` and those below it, to the wire. */
static void pass_down(struct net *net, uint32_t level, const uint8_t *bytes, size_t count)
{
    struct net_filters *filters = net->filters;
    while (level > 0 && !filters->levels[level - 1]->verbs->send_bytes_max)
        level--; /* it changes none */
    if (level == 0) return append(&filters->wire, bytes, count);
    struct filter *filter = filters->levels[level - 1];
    size_t room_bytes = filter->verbs->send_bytes_max(filter, count);
    uint8_t *room = memory_acquire(room_bytes);
    struct filter_step step = filter->verbs->send(filter, span_of(bytes, count), room, room_bytes);
    pass_down(net, level - 1, step.output, step.output_bytes);
    memory_release(room);
    if (step.wants == FILTER_FAILED) failed(net, level - 1);
}

static void say_own(struct net *net, uint32_t level)
{
    struct filter *filter = net->filters->levels[level];
    uint8_t room[OWN_BYTES];
    for (bool more = true; more && !net->filters->failed;) {
        struct filter_step step = filter->verbs->send(filter, span_of(NULL, 0), room, sizeof room);
        if (step.output_bytes) pass_down(net, level, step.output, step.output_bytes);
        more = step.to_send;
        if (step.wants == FILTER_FAILED) failed(net, level);
    }
}

/* What is laid into batch + FILTER_PREFIX_BYTES_MAX leaves as one batch. */
static void send_batch(struct net *net, size_t count)
{
    struct net_filters *filters = net->filters;
    uint8_t *front = filters->batch + FILTER_PREFIX_BYTES_MAX;
    for (uint32_t level = filters->count; level-- > 0;) {
        struct filter *filter = filters->levels[level];
        if (!filter->verbs->prefix) continue;
        front -= filter->verbs->prefix(filter, count, front);
        if (filter->verbs->change) filter->verbs->change(filter, filters->batch + FILTER_PREFIX_BYTES_MAX, count);
    }
    pass_down(net, filters->count, front, (size_t)(filters->batch + FILTER_PREFIX_BYTES_MAX - front) + count);
}

/* The wire into the socket, as far as it goes. */
static enum net_status flush(struct net *net)
{
    struct buffer *wire = &net->filters->wire;
    while (waiting(wire)) {
        size_t sent = 0;
        enum net_status status = net->transport->send(net, wire->data + wire->begin, waiting(wire), &sent);
        if (status != NET_DONE) return status;
        wire->begin += sent;
    }
    if (net->filters->finishing) net->transport->finish(net);
    net->filters->finishing = false;
    return NET_DONE;
}

/* ---- up ------------------------------------------------------------------------------------------------------------- */

/* A level that has opened lets the next one speak. */
static void begin_next(struct net *net)
{
    struct net_filters *filters = net->filters;
    while (filters->begun < filters->count && filters->levels[filters->begun - 1]->verbs->is_open(filters->levels[filters->begun - 1]))
        say_own(net, filters->begun++);
}

static void pass_up(struct net *net, uint32_t level, uint8_t *bytes, size_t count)
{
    struct net_filters *filters = net->filters;
    if (level == filters->count) return append(&filters->plain, bytes, count);
    struct filter *filter = filters->levels[level];
    for (;;) {
        struct filter_step step = filter->verbs->receive(filter, bytes, count, filters->rooms[level], ROOM_BYTES);
        bytes += step.consumed;
        count -= step.consumed;
        if (step.to_send) say_own(net, level);
        begin_next(net);
        if (step.output_bytes) pass_up(net, level + 1, (uint8_t *)(uintptr_t)step.output, step.output_bytes);
        if (step.wants == FILTER_ENDED) filters->ended = true;
        if (step.wants == FILTER_FAILED) failed(net, level);
        bool again = step.wants == FILTER_MORE || step.wants == FILTER_LATER;
        if (!again || filters->ended || filters->failed) return;
    }
}

/* One read of the socket, through all levels. */
static enum net_status take_input(struct net *net)
{
    struct net_filters *filters = net->filters;
    size_t got = 0;
    if (filters->failed) return NET_FAILED;
    if (filters->ended) return NET_CLOSED;
    enum net_status status = net->transport->receive(net, filters->input, ROOM_BYTES, &got);
    if (status == NET_DONE) pass_up(net, 0, filters->input, got);
    enum net_status flushed = flush(net); /* alerts, too; that it failed the next read says */
    if (filters->failed) return NET_FAILED;
    (void)flushed;
    return status == NET_DONE && filters->ended ? NET_CLOSED : status;
}

/* ---- the stream ----------------------------------------------------------------------------------------------------- */

void net_filters_begin(struct net *net)
{
    struct net_filters *filters = net->filters = memory_acquire_zeroed(sizeof *filters);
    filters->count = endpoint_filters(net->settings.endpoint, NULL, filters->levels);
    for (uint32_t i = 0; i < filters->count; i++)
        filters->rooms[i] = memory_acquire(ROOM_BYTES);
    filters->input = memory_acquire(ROOM_BYTES);
    filters->batch = memory_acquire(FILTER_PREFIX_BYTES_MAX + BATCH_BYTES);
    filters->begun = 1;
    say_own(net, 0);
}

void net_filters_release(struct net *net)
{
    struct net_filters *filters = net->filters;
    if (!filters) return;
    for (uint32_t i = 0; i < filters->count; i++) {
        filters->levels[i]->verbs->release(filters->levels[i]);
        memory_release(filters->rooms[i]);
    }
    memory_release(filters->plain.data);
    memory_release(filters->wire.data);
    memory_release(filters->input);
    memory_release(filters->batch);
    memory_release(filters);
    net->filters = NULL;
}

static bool all_open(const struct net_filters *filters)
{
    const struct filter *top = filters->levels[filters->count - 1];
    return filters->begun == filters->count && top->verbs->is_open(top);
}

enum net_status net_filters_progress(struct net *net)
{
    struct net_filters *filters = net->filters;
    const char *what = filters->levels[filters->begun - 1]->verbs->name;
    if (flush(net) == NET_FAILED) return NET_FAILED;
    while (!all_open(filters)) {
        enum net_status status = take_input(net);
        if (status == NET_FAILED) return NET_FAILED;
        what = filters->levels[filters->begun - 1]->verbs->name;
        const char *phrase = strcmp(what, "tls") == 0 ? "TLS" : "WebSocket";
        if (status == NET_CLOSED) {
            snprintf(net->error, sizeof net->error, "%s closed the connection during the %s handshake (does this port speak %s%s?)",
                     net->settings.name, phrase, phrase, strcmp(what, "tls") == 0 ? ", and does it take our certificate or key" : "");
            return NET_FAILED;
        }
        if (status == NET_DONE) continue;
        if (clock_now_ms() < net->attempt_until_ms) return NET_WAIT;
        snprintf(net->error, sizeof net->error, "%s did not go on with the %s handshake within %u ms (does this port speak %s?)",
                 net->settings.name, phrase, net->settings.attempt_ms, phrase);
        return NET_FAILED;
    }
    return NET_DONE;
}

enum net_status net_filters_receive(struct net *net, void *out, size_t capacity, size_t *ret_bytes)
{
    struct buffer *plain = &net->filters->plain;
    while (waiting(plain) == 0) {
        enum net_status status = take_input(net);
        if (waiting(plain)) break; /* what came before the end */
        if (status != NET_DONE) return status;
    }
    *ret_bytes = waiting(plain) < capacity ? waiting(plain) : capacity;
    memcpy(out, plain->data + plain->begin, *ret_bytes);
    plain->begin += *ret_bytes;
    return NET_DONE;
}

enum net_status net_filters_send(struct net *net, const void *bytes, size_t count, size_t *ret_bytes)
{
    enum net_status status = flush(net);
    if (status != NET_DONE) return status;
    if (net->filters->failed) return NET_FAILED;
    if (count > BATCH_BYTES) count = BATCH_BYTES;
    memcpy(net->filters->batch + FILTER_PREFIX_BYTES_MAX, bytes, count);
    send_batch(net, count);
    *ret_bytes = count;
    return net->filters->failed || flush(net) == NET_FAILED ? NET_FAILED : NET_DONE;
}

/* Close frame and close_notify, then FIN. */
void net_filters_finish(struct net *net)
{
    struct net_filters *filters = net->filters;
    for (uint32_t level = filters->count; level-- > 0;) {
        struct filter *filter = filters->levels[level];
        if (!filter->verbs->end || filters->failed) continue;
        filter->verbs->end(filter);
        say_own(net, level);
    }
    filters->finishing = true;
    flush(net);
}

bool net_filters_writing(const struct net *net) { return waiting(&net->filters->wire) > 0; }
bool net_filters_pending(const struct net *net) { return waiting(&net->filters->plain) > 0; }
