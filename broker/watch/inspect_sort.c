/* watch/inspect_sort.c - the first clients in an order: a heap of as many rows as are wanted, and no row for whoever would fall out of it again. */
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect_inside.h"

static uint64_t row_sort_value(enum inspect_sort sort, const struct inspect_client *row)
{
    switch (sort) {
    case INSPECT_BY_CONNECTED: return row->connected_at;
    case INSPECT_BY_QUEUE: return row->queue_messages;
    case INSPECT_BY_QUEUE_BYTES: return row->queue_bytes;
    case INSPECT_BY_INFLIGHT: return row->inflight;
    case INSPECT_BY_SUBSCRIPTIONS: return row->subscriptions;
    case INSPECT_BY_PUBLISHED: return row->published;
    case INSPECT_BY_PUBLISHED_BYTES: return row->published_bytes;
    case INSPECT_BY_SENT: return row->sent;
    default: return 0;
    }
}

/* What client_row() would put there. */
static uint64_t session_sort_value(const struct broker_shard *broker, enum inspect_sort sort, const struct session *session)
{
    bool connected = session->conn != NULL;
    switch (sort) {
    case INSPECT_BY_CONNECTED: return connected ? inspect_connected_at(broker, session) : 0;
    case INSPECT_BY_QUEUE: return session->queue.count;
    case INSPECT_BY_QUEUE_BYTES: return session->queue_bytes;
    case INSPECT_BY_INFLIGHT: return mqtt_inflight_count(&session->inflight);
    case INSPECT_BY_SUBSCRIPTIONS: return session->subscriptions_count;
    case INSPECT_BY_PUBLISHED: return connected ? session->published : 0;
    case INSPECT_BY_PUBLISHED_BYTES: return connected ? session->published_bytes : 0;
    case INSPECT_BY_SENT: return connected ? session->queue.sent : 0;
    default: return 0;
    }
}

static int sort_compare(enum inspect_sort sort, bool descending, uint64_t x, struct span x_id, uint64_t y, struct span y_id)
{
    if (x != y) return (x < y) != descending ? -1 : 1;
    int order = memcmp(x_id.data, y_id.data, x_id.bytes < y_id.bytes ? x_id.bytes : y_id.bytes);
    if (order == 0) order = (int)x_id.bytes - (int)y_id.bytes;
    return descending && sort == INSPECT_BY_CLIENT_ID ? -order : order;
}

int inspect_client_compare(enum inspect_sort sort, bool descending, const struct inspect_client *a, const struct inspect_client *b)
{
    return sort_compare(sort, descending, row_sort_value(sort, a), span_of(a->text, a->client_id_bytes), row_sort_value(sort, b), span_of(b->text, b->client_id_bytes));
}

/* The rows are a heap whose first row is the one to give way. */
static bool gives_way(const struct inspect *inspect, uint32_t a, uint32_t b)
{
    return inspect_client_compare(inspect->sort, inspect->descending, inspect->rows[a], inspect->rows[b]) > 0;
}

static void rows_swap(struct inspect *inspect, uint32_t a, uint32_t b)
{
    void *row = inspect->rows[a];
    inspect->rows[a] = inspect->rows[b];
    inspect->rows[b] = row;
}

static void heap_up(struct inspect *inspect, uint32_t at)
{
    for (; at > 0 && gives_way(inspect, at, (at - 1) / 2); at = (at - 1) / 2)
        rows_swap(inspect, at, (at - 1) / 2);
}

static void heap_down(struct inspect *inspect)
{
    for (uint32_t at = 0, child; (child = 2 * at + 1) < inspect->rows_count; at = child) {
        if (child + 1 < inspect->rows_count && gives_way(inspect, child + 1, child)) child++;
        if (!gives_way(inspect, child, at)) return;
        rows_swap(inspect, at, child);
    }
}

/* Does it come behind all rows of a full answer? Most do, and need no row. */
static bool comes_too_late(const struct broker_shard *broker, const struct inspect *inspect, const struct session *session)
{
    if (inspect->rows_count < inspect->limit) return false;
    const struct inspect_client *last = inspect->rows[0];
    uint64_t x = session_sort_value(broker, inspect->sort, session), y = row_sort_value(inspect->sort, last);
    return sort_compare(inspect->sort, inspect->descending, x, session_client_id(session), y, span_of(last->text, last->client_id_bytes)) > 0;
}

void inspect_client_row_sorted(struct broker_shard *broker, struct inspect *inspect, const struct session *session)
{
    if (comes_too_late(broker, inspect, session)) return;
    inspect_client_row(broker, inspect, session);
    heap_up(inspect, inspect->rows_count - 1);
    if (inspect->rows_count <= inspect->limit) return;
    memory_release(inspect->rows[0]);
    inspect->rows[0] = inspect->rows[--inspect->rows_count];
    heap_down(inspect);
}
