/* state_subscriptions.c - a session's subscriptions. One client may have very many: from INDEX_FROM on they are found by a table, since each SUBSCRIBE of a log
 * asks whether it is the first on its filter. */
#include "base/check.h"
#include "base/memory.h"
#include "store/state_rows.h"

#define INDEX_FROM 32 /* fewer are walked: most sessions have a handful, and a table takes 256 bytes */

/* filter NUL group: no filter has a NUL [MQTT-1.5.4-2]. */
static size_t key_bytes(struct span filter, struct span group) { return filter.bytes + 1 + group.bytes; }

static void key_write(char *key, struct span filter, struct span group)
{
    if (filter.bytes) memcpy(key, filter.data, filter.bytes);
    key[filter.bytes] = 0;
    if (group.bytes) memcpy(key + filter.bytes + 1, group.data, group.bytes);
}

static struct span subscription_key(const void *value)
{
    const struct state_subscription *subscription = value;
    return span_of(subscription->text, key_bytes(subscription->stored.filter, subscription->stored.group));
}

static struct state_subscription *find(const struct state_session *session, struct span filter, struct span group)
{
    if (session->subscriptions_index) {
        size_t bytes = key_bytes(filter, group);
        char *key = memory_acquire(bytes);
        key_write(key, filter, group);
        struct state_subscription *found = map_find(session->subscriptions_index, span_of(key, bytes));
        memory_release(key);
        return found;
    }
    for (uint32_t i = 0; i < session->subscriptions_count; i++) {
        struct state_subscription *subscription = session->subscriptions[i];
        if (span_equal(subscription->stored.filter, filter) && span_equal(subscription->stored.group, group)) return subscription;
    }
    return NULL;
}

static void index_make(struct state_session *session)
{
    struct map *index = session->subscriptions_index = memory_acquire(sizeof *index);
    map_init(index, subscription_key);
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        map_insert(index, session->subscriptions[i]);
}

static struct state_subscription *add(struct state_session *session, struct span filter, struct span group)
{
    if (session->subscriptions_count == session->subscriptions_capacity) {
        session->subscriptions_capacity = session->subscriptions_capacity ? session->subscriptions_capacity * 2 : 2;
        session->subscriptions = memory_resize(session->subscriptions, session->subscriptions_capacity * sizeof(struct state_subscription *));
    }
    struct state_subscription *subscription = memory_acquire(sizeof *subscription + key_bytes(filter, group));
    key_write(subscription->text, filter, group);
    subscription->stored = (struct stored_subscription){.filter = span_of(subscription->text, filter.bytes),
                                                        .group = span_of(subscription->text + filter.bytes + 1, group.bytes)};
    subscription->place = session->subscriptions_count;
    session->subscriptions[session->subscriptions_count++] = subscription;
    if (session->subscriptions_index)
        map_insert(session->subscriptions_index, subscription);
    else if (session->subscriptions_count == INDEX_FROM)
        index_make(session);
    return subscription;
}

void state_subscription_put(struct state_session *session, const struct stored_subscription *stored)
{
    struct state_subscription *subscription = find(session, stored->filter, stored->group);
    if (!subscription) subscription = add(session, stored->filter, stored->group);
    struct span filter = subscription->stored.filter, group = subscription->stored.group;
    subscription->stored = *stored;
    subscription->stored.filter = filter;
    subscription->stored.group = group;
}

void state_subscription_remove(struct state_session *session, struct span filter, struct span group)
{
    struct state_subscription *subscription = find(session, filter, group);
    if (!subscription) return;
    if (session->subscriptions_index) CHECK(map_remove(session->subscriptions_index, subscription_key(subscription)) == subscription);
    struct state_subscription *last = session->subscriptions[--session->subscriptions_count];
    session->subscriptions[subscription->place] = last;
    last->place = subscription->place;
    memory_release(subscription);
}

void state_subscriptions_clear(struct state_session *session)
{
    for (uint32_t i = 0; i < session->subscriptions_count; i++)
        memory_release(session->subscriptions[i]);
    session->subscriptions_count = 0;
    if (!session->subscriptions_index) return;
    map_free(session->subscriptions_index);
    memory_release(session->subscriptions_index);
    session->subscriptions_index = NULL;
}
