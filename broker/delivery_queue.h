/* delivery_queue.h - a ring of deliveries that grows by doubling and is given back when it is empty. Owner and threads: its session's. */
#ifndef RINGMQ_BROKER_DELIVERY_QUEUE_H
#define RINGMQ_BROKER_DELIVERY_QUEUE_H

#include "base/memory.h"
#include "broker/session.h"

#define DELIVERY_QUEUE_CAPACITY_MIN 8

static inline struct delivery delivery_queue_at(const struct delivery_queue *queue, uint32_t place)
{
    return queue->entries[(queue->head + place) & (queue->capacity - 1)];
}

static inline void delivery_queue_put(struct delivery_queue *queue, struct delivery delivery)
{
    if (queue->count == queue->capacity) {
        uint32_t capacity = queue->capacity ? queue->capacity * 2 : DELIVERY_QUEUE_CAPACITY_MIN;
        struct delivery *entries = memory_acquire(capacity * sizeof *entries);
        for (uint32_t i = 0; i < queue->count; i++)
            entries[i] = delivery_queue_at(queue, i);
        memory_release(queue->entries);
        *queue = (struct delivery_queue){entries, 0, queue->count, capacity, queue->sent};
    }
    queue->entries[(queue->head + queue->count++) & (queue->capacity - 1)] = delivery;
}

/* There must be one. */
static inline struct delivery delivery_queue_take(struct delivery_queue *queue)
{
    struct delivery delivery = queue->entries[queue->head];
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    if (--queue->count == 0) {
        memory_release(queue->entries);
        *queue = (struct delivery_queue){.sent = queue->sent};
    }
    return delivery;
}

static inline struct message *delivery_message(struct delivery delivery)
{
    return (struct message *)(uintptr_t)(delivery.tagged & DELIVERY_POINTER_MASK);
}
static inline uint8_t delivery_qos(struct delivery delivery) { return delivery.tagged >> DELIVERY_QOS_SHIFT & 3; }

#endif
