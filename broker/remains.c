#include "broker/remains.h"

#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/delivery_queue.h"

#define PER_LOOK 64 /* looks at the clock: a subscription takes up to a microsecond, a message a third */

struct remains {
    struct list link;
    struct session *session; /* NULL: messages */
    struct delivery_queue queue;
};

static void append(struct broker_shard *broker, struct remains remains)
{
    struct remains *made = memory_acquire(sizeof *made);
    *made = remains;
    list_append(&broker->remains, &made->link);
    broker->slow_work |= SLOW_REMAINS;
}

void remains_queue(struct broker_shard *broker, struct delivery_queue *queue)
{
    if (queue->count > REMAINS_MESSAGES && !broker->stopping) {
        append(broker, (struct remains){.queue = *queue});
    } else {
        while (queue->count)
            session_delivery_release(broker, delivery_queue_take(queue));
        memory_release(queue->entries);
    }
    *queue = (struct delivery_queue){0};
}

void remains_session(struct broker_shard *broker, struct session *session)
{
    DCHECK(session->ended && !session->conn && !session->durable && session->subscriptions_count);
    append(broker, (struct remains){.session = session});
}

/* A few more; false: that was all. */
static bool go_on(struct broker_shard *broker, struct remains *remains)
{
    if (remains->session) {
        subscriptions_end_some(broker, remains->session, PER_LOOK);
        if (remains->session->subscriptions_count) return true;
        session_release(broker, remains->session);
        return false;
    }
    for (uint32_t i = 0; i < PER_LOOK && remains->queue.count; i++)
        session_delivery_release(broker, delivery_queue_take(&remains->queue));
    return remains->queue.count > 0;
}

static bool first_goes_on(struct broker_shard *broker)
{
    struct remains *first = CONTAINER_OF(broker->remains.next, struct remains, link);
    if (go_on(broker, first)) return true;
    list_remove(&first->link);
    memory_release(first);
    return !list_empty(&broker->remains);
}

bool remains_turn(struct broker_shard *broker)
{
    bool more;
    shard_step_begin(broker->shard);
    do
        more = first_goes_on(broker);
    while (more && !shard_step_over(broker->shard));
    if (!more) broker->slow_work &= (uint8_t)~SLOW_REMAINS;
    return more;
}

void remains_finish(struct broker_shard *broker)
{
    while (!list_empty(&broker->remains))
        first_goes_on(broker);
}
