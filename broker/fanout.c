#include "broker/fanout.h"

#include "base/check.h"
#include "base/memory.h"
#include "broker/broker.h"

#define AT_ONCE  512 /* subscribers: some 100 µs */
#define PER_LOOK 128

struct fanout {
    struct publication publication; /* of a message whose reference it has */
    struct sinks_view view;
    uint32_t done;
};

static bool is_one(const struct broker_shard *broker, const struct publication *publication, struct sinks_view view)
{
    const struct session *publisher = publication->publisher;
    return view.count >= broker->fanout_parts && !broker->fanout_now && !broker->answers_wait && !broker->stopping && publisher && publisher->conn &&
           publisher->conn->in_handler && broker->settings->mqtt.pause_ms;
}

static void some(struct broker_shard *broker, struct fanout *fanout, uint32_t count)
{
    uint32_t left = fanout->view.count - fanout->done;
    if (count > left) count = left;
    publication_deliver_sinks(broker, &fanout->publication, (struct sinks_view){fanout->view.sinks + fanout->done, count});
    fanout->done += count;
}

static bool over(const struct fanout *fanout) { return fanout->done == fanout->view.count; }

static void end(struct broker_shard *broker)
{
    struct fanout *fanout = broker->fanout_now;
    struct session *publisher = (struct session *)(uintptr_t)fanout->publication.publisher;
    if (fanout->publication.congested && publisher) publisher_pause(broker, publisher);
    publication_end(broker->shard, &fanout->publication);
    sinks_drop(broker->sinks);
    memory_release(fanout);
    broker->fanout_now = NULL;
    broker->slow_work &= (uint8_t)~SLOW_FANOUT;
}

bool fanout_begin(struct broker_shard *broker, struct publication *publication, struct sinks_view view)
{
    if (!is_one(broker, publication, view)) return false;
    struct fanout *fanout = broker->fanout_now = memory_acquire(sizeof *fanout);
    *fanout = (struct fanout){.publication = publication_of(publication_message(broker->shard, publication)), .view = view};
    fanout->publication.publisher = publication->publisher;
    fanout->publication.publisher_hash = publication->publisher_hash;
    fanout->publication.filter = publication->filter;
    sinks_hold(broker->sinks);
    broker->slow_work |= SLOW_FANOUT;
    some(broker, fanout, broker->shard->group->packets_max ? 1 : AT_ONCE);
    publication->congested |= fanout->publication.congested;
    shard_turn_work(broker->shard, AT_ONCE / FANOUT_WORK);
    return true;
}

bool fanout_waits(struct broker_shard *broker, struct session *session)
{
    publisher_pause(broker, session);
    if (session->conn->holds & HOLD_PACE) return true;
    fanout_finish(broker); /* it cannot be paused */
    return false;
}

bool fanout_turn(struct broker_shard *broker)
{
    struct fanout *fanout = broker->fanout_now;
    bool tests = broker->shard->group->packets_max != 0;
    shard_step_begin(broker->shard);
    do
        some(broker, fanout, tests ? 1 : PER_LOOK);
    while (!over(fanout) && !tests && !shard_step_over(broker->shard));
    if (!over(fanout)) return true;
    end(broker);
    return false;
}

void fanout_finish(struct broker_shard *broker)
{
    if (!broker->fanout_now) return;
    some(broker, broker->fanout_now, UINT32_MAX);
    end(broker);
}

void fanout_forget(struct broker_shard *broker, const struct session *session)
{
    if (broker->fanout_now->publication.publisher == session) broker->fanout_now->publication.publisher = NULL;
}
