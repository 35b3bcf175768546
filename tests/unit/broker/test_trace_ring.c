/* The ring of trace records: order, wrapping, and what does not fit is counted for the traces that wanted it. */
#include <criterion/criterion.h>

#include "broker/watch/trace.h"

struct taken {
    uint32_t count, next;
    uint64_t bytes;
};

static void take(void *context, const struct trace_record *record)
{
    struct taken *taken = context;
    cr_assert_eq(record->numbers[0], taken->next, "record %u came in place of %u", record->numbers[0], taken->next);
    for (uint32_t i = 0; i < record->data_bytes; i++)
        cr_assert_eq(record->texts[i], (uint8_t)record->numbers[0]);
    taken->next++;
    taken->count++;
    taken->bytes += record->bytes;
}

static bool put(struct trace_ring *ring, uint32_t number, uint32_t data_bytes, uint32_t traces)
{
    uint32_t bytes = ((uint32_t)sizeof(struct trace_record) + data_bytes + 7) & ~7u;
    struct trace_record *record = trace_ring_reserve(ring, bytes, traces);
    if (!record) return false;
    *record = (struct trace_record){.bytes = bytes, .event = TRACE_EVENT_sent, .numbers = {number}, .data_bytes = data_bytes};
    memset(record->texts, (int)(uint8_t)number, data_bytes);
    trace_ring_commit(ring, record);
    return true;
}

Test(trace_ring, records_come_in_order_over_many_rounds)
{
    struct trace_node *node = trace_node_create(2, 1);
    cr_assert_null(trace_node_ring(node, 0));
    trace_node_open(node);
    struct trace_ring *ring = trace_node_ring(node, 1);
    struct taken taken = {0};
    uint64_t bytes = 0;
    for (uint32_t number = 0; number < 20000; number++) {
        uint32_t data_bytes = number * 37 % 3001;
        while (!put(ring, number, data_bytes, 0)) { /* full: nothing of it is lost when somebody comes again */
            uint32_t before = taken.count;
            trace_node_drain(node, 1, take, &taken);
            cr_assert(taken.count > before);
        }
        bytes += ((uint32_t)sizeof(struct trace_record) + data_bytes + 7) & ~7u;
    }
    trace_node_drain(node, 1, take, &taken);
    cr_assert_eq(taken.count, 20000);
    cr_assert_eq(taken.bytes, bytes);
    cr_assert_eq(trace_node_drain(node, 0, take, &taken), 0);
    trace_node_destroy(node);
}

Test(trace_ring, what_does_not_fit_is_counted_by_trace)
{
    struct trace_node *node = trace_node_create(1, 1);
    trace_node_open(node);
    struct trace_ring *ring = trace_node_ring(node, 0);
    uint32_t number = 0;
    while (put(ring, number, 1000, 1))
        number++;
    cr_assert(number > 100 && number < 130, "%u records of about 1 KiB in 128 KiB", number);
    cr_assert(!put(ring, number, 1000, 2 | 8));
    cr_assert(!put(ring, number, TRACE_RING_BYTES_MIN, 8)); /* never fits */
    cr_assert_eq(trace_node_lost(node, 0, 0), 1);
    cr_assert_eq(trace_node_lost(node, 0, 1), 1);
    cr_assert_eq(trace_node_lost(node, 0, 2), 0);
    cr_assert_eq(trace_node_lost(node, 0, 3), 2);
    cr_assert_eq(trace_node_lost(node, 0, 3), 0); /* told once */
    struct taken taken = {0};
    cr_assert_eq(trace_node_drain(node, 0, take, &taken), number);
    cr_assert(put(ring, number, 1000, 1));
    cr_assert_eq(trace_node_drain(node, 0, take, &taken), 1);
    trace_node_destroy(node);
}
