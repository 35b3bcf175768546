#include "broker/exclusive.h"

#include "base/memory.h"
#include "broker/session.h"

struct exclusive_entry {
    uint32_t filter_bytes, client_id_bytes;
    char text[]; /* filter, client id of the owner */
};

static struct span entry_filter(const void *value)
{
    const struct exclusive_entry *entry = value;
    return span_of(entry->text, entry->filter_bytes);
}

static bool owned_by(const struct exclusive_entry *entry, const struct session *session)
{
    return span_equal(span_of(entry->text + entry->filter_bytes, entry->client_id_bytes), session_client_id(session));
}

void exclusive_init(struct exclusive *exclusive)
{
    pthread_mutex_init(&exclusive->mutex, NULL);
    map_init(&exclusive->filters, entry_filter);
}

void exclusive_release(struct exclusive *exclusive)
{
    uint32_t cursor = 0;
    for (void *entry; (entry = map_next(&exclusive->filters, &cursor));)
        memory_release(entry);
    map_free(&exclusive->filters);
    pthread_mutex_destroy(&exclusive->mutex);
}

bool exclusive_claim(struct exclusive *exclusive, struct span filter, const struct session *session)
{
    struct span client_id = session_client_id(session);
    pthread_mutex_lock(&exclusive->mutex);
    struct exclusive_entry *entry = map_find(&exclusive->filters, filter);
    bool granted = !entry || owned_by(entry, session);
    if (!entry) {
        entry = memory_acquire(sizeof *entry + filter.bytes + client_id.bytes);
        *entry = (struct exclusive_entry){(uint32_t)filter.bytes, (uint32_t)client_id.bytes};
        memcpy(entry->text, filter.data, filter.bytes);
        memcpy(entry->text + filter.bytes, client_id.data, client_id.bytes);
        map_insert(&exclusive->filters, entry);
        atomic_fetch_add(&exclusive->count, 1);
    }
    pthread_mutex_unlock(&exclusive->mutex);
    return granted;
}

void exclusive_drop(struct exclusive *exclusive, struct span filter, const struct session *session)
{
    if (atomic_load_explicit(&exclusive->count, memory_order_relaxed) == 0) return;
    pthread_mutex_lock(&exclusive->mutex);
    struct exclusive_entry *entry = map_find(&exclusive->filters, filter);
    if (entry && owned_by(entry, session)) {
        map_remove(&exclusive->filters, filter);
        memory_release(entry);
        atomic_fetch_sub(&exclusive->count, 1);
    }
    pthread_mutex_unlock(&exclusive->mutex);
}

bool exclusive_has(struct exclusive *exclusive, struct span filter, const struct session *session)
{
    if (atomic_load_explicit(&exclusive->count, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&exclusive->mutex);
    struct exclusive_entry *entry = map_find(&exclusive->filters, filter);
    bool has = entry && owned_by(entry, session);
    pthread_mutex_unlock(&exclusive->mutex);
    return has;
}
