#include "proto/alias.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"

/* ---- inbound ---- */

struct topic_copy {
    uint16_t bytes;
    uint8_t data[];
};

struct mqtt_alias_in_table {
    uint32_t topic_bytes_used;
    uint32_t slots_count;       /* aliases 1 … slots_count have a slot */
    struct topic_copy *slots[]; /* NULL: not assigned */
};

void mqtt_alias_in_init(struct mqtt_alias_in *aliases, uint16_t maximum, uint32_t topic_bytes_max)
{
    *aliases = (struct mqtt_alias_in){.maximum = maximum, .topic_bytes_max = topic_bytes_max};
    if (topic_bytes_max == 0) aliases->topic_bytes_max = (uint32_t)maximum * MQTT_STRING_BYTES_MAX;
}

void mqtt_alias_in_release(struct mqtt_alias_in *aliases)
{
    struct mqtt_alias_in_table *table = aliases->table;
    for (uint32_t i = 0; table && i < table->slots_count; i++)
        memory_release(table->slots[i]);
    memory_release(table);
    aliases->table = NULL;
}

/* A table that has a slot for the alias: powers of two, so that a peer who counts upwards costs few resizes. */
static struct mqtt_alias_in_table *in_table_with(struct mqtt_alias_in *aliases, uint16_t alias)
{
    uint32_t old_count = aliases->table ? aliases->table->slots_count : 0, count = old_count ? old_count : 4;
    if (alias <= old_count) return aliases->table;
    while (count < alias)
        count *= 2;
    if (count > aliases->maximum) count = aliases->maximum;

    struct mqtt_alias_in_table *table = memory_resize(aliases->table, sizeof *table + count * sizeof table->slots[0]);
    if (old_count == 0) table->topic_bytes_used = 0;
    memset(&table->slots[old_count], 0, (count - old_count) * sizeof table->slots[0]);
    table->slots_count = count;
    aliases->table = table;
    return table;
}

static enum mqtt_reason in_assign(struct mqtt_alias_in *aliases, uint16_t alias, struct span topic)
{
    CHECK(topic.bytes <= MQTT_STRING_BYTES_MAX);
    struct mqtt_alias_in_table *table = in_table_with(aliases, alias);
    struct topic_copy **slot = &table->slots[alias - 1];
    uint64_t others_bytes = table->topic_bytes_used - (*slot ? (*slot)->bytes : 0);
    if (others_bytes + topic.bytes > aliases->topic_bytes_max) return MQTT_REASON_QUOTA_EXCEEDED;

    if (*slot == NULL || (*slot)->bytes != topic.bytes) {
        struct topic_copy *copy = memory_acquire(sizeof *copy + topic.bytes); /* the old one may be `topic` itself */
        copy->bytes = (uint16_t)topic.bytes;
        memcpy(copy->data, topic.data, topic.bytes);
        memory_release(*slot);
        *slot = copy;
    } else {
        memmove((*slot)->data, topic.data, topic.bytes);
    }
    table->topic_bytes_used = (uint32_t)(others_bytes + topic.bytes);
    return MQTT_REASON_SUCCESS;
}

enum mqtt_reason mqtt_alias_in_resolve(struct mqtt_alias_in *aliases, uint16_t alias, struct span topic,
                                       struct span *ret_topic)
{
    if (alias == 0 || alias > aliases->maximum) return MQTT_REASON_TOPIC_ALIAS_INVALID;
    if (topic.bytes) {
        enum mqtt_reason reason = in_assign(aliases, alias, topic);
        if (reason == MQTT_REASON_SUCCESS) *ret_topic = topic;
        return reason;
    }
    const struct mqtt_alias_in_table *table = aliases->table;
    if (table == NULL || alias > table->slots_count || table->slots[alias - 1] == NULL)
        return MQTT_REASON_PROTOCOL_ERROR;
    *ret_topic = span_of(table->slots[alias - 1]->data, table->slots[alias - 1]->bytes);
    return MQTT_REASON_SUCCESS;
}

/* ---- outbound ---- */

/* Entry 0 is the anchor of the circle of use: its `newer` is the entry used longest ago, its `older` the one used last. */
struct out_entry {
    uint8_t *topic; /* its memory is kept when another topic moves in */
    uint32_t hash;
    uint16_t bytes, capacity; /* bytes 0: no topic */
    uint16_t older, newer;
    uint16_t chain; /* next in the bucket, 0: last */
};

struct mqtt_alias_out_table {
    uint32_t count;    /* aliases given out so far: 1 … count */
    uint32_t capacity; /* entries there is room for, without the anchor */
    uint32_t buckets_mask;
    uint16_t *buckets; /* first alias of each, 0: none */
    struct out_entry *entries;
};

void mqtt_alias_out_init(struct mqtt_alias_out *aliases, uint16_t maximum)
{
    *aliases = (struct mqtt_alias_out){.maximum = maximum};
}

void mqtt_alias_out_release(struct mqtt_alias_out *aliases)
{
    struct mqtt_alias_out_table *table = aliases->table;
    aliases->table = NULL;
    if (table == NULL) return;
    for (uint32_t i = 1; i <= table->count; i++)
        memory_release(table->entries[i].topic);
    memory_release(table->buckets);
    memory_release(table->entries);
    memory_release(table);
}

static void bucket_put(struct mqtt_alias_out_table *table, uint16_t alias)
{
    uint16_t *bucket = &table->buckets[table->entries[alias].hash & table->buckets_mask];
    table->entries[alias].chain = *bucket;
    *bucket = alias;
}

static void bucket_take(struct mqtt_alias_out_table *table, uint16_t alias)
{
    uint16_t *link = &table->buckets[table->entries[alias].hash & table->buckets_mask];
    while (*link != alias)
        link = &table->entries[*link].chain;
    *link = table->entries[alias].chain;
}

static void use_unlink(struct mqtt_alias_out_table *table, uint16_t alias)
{
    struct out_entry *entry = &table->entries[alias];
    table->entries[entry->older].newer = entry->newer;
    table->entries[entry->newer].older = entry->older;
}

/* Behind `at`: 0 makes it the one used longest ago, the anchor's `older` the one used last. */
static void use_link_after(struct mqtt_alias_out_table *table, uint16_t at, uint16_t alias)
{
    struct out_entry *entry = &table->entries[alias];
    entry->older = at;
    entry->newer = table->entries[at].newer;
    table->entries[entry->newer].older = alias;
    table->entries[at].newer = alias;
}

static void out_grow(struct mqtt_alias_out *aliases)
{
    struct mqtt_alias_out_table *table = aliases->table;
    if (table == NULL) {
        table = aliases->table = memory_acquire_zeroed(sizeof *table);
        table->entries = memory_acquire_zeroed(sizeof table->entries[0]);
    }
    uint32_t capacity = table->capacity ? table->capacity * 2 : 4, buckets = 4;
    if (capacity > aliases->maximum) capacity = aliases->maximum;
    while (buckets < capacity)
        buckets *= 2;
    table->entries = memory_resize(table->entries, (capacity + 1) * sizeof table->entries[0]);
    memset(&table->entries[table->capacity + 1], 0, (capacity - table->capacity) * sizeof table->entries[0]);
    table->capacity = capacity;

    memory_release(table->buckets);
    table->buckets = memory_acquire_zeroed(buckets * sizeof table->buckets[0]);
    table->buckets_mask = buckets - 1;
    for (uint32_t i = 1; i <= table->count; i++)
        if (table->entries[i].bytes) bucket_put(table, (uint16_t)i);
}

static uint16_t out_find(const struct mqtt_alias_out_table *table, uint32_t hash, struct span topic)
{
    uint16_t alias = table->buckets[hash & table->buckets_mask];
    for (; alias; alias = table->entries[alias].chain) {
        const struct out_entry *entry = &table->entries[alias];
        if (entry->hash == hash && span_equal(span_of(entry->topic, entry->bytes), topic)) return alias;
    }
    return 0;
}

/* A number without a topic: one that was forgotten, a new one, or the one used longest ago. */
static uint16_t out_vacate(struct mqtt_alias_out *aliases)
{
    struct mqtt_alias_out_table *table = aliases->table;
    uint16_t coldest = table->entries[0].newer;
    bool reusable = coldest && (table->entries[coldest].bytes == 0 || table->count == aliases->maximum);
    if (reusable) {
        if (table->entries[coldest].bytes) bucket_take(table, coldest);
        use_unlink(table, coldest);
        return coldest;
    }
    if (table->count == table->capacity) out_grow(aliases);
    return (uint16_t)++table->count;
}

struct mqtt_alias mqtt_alias_out_assign(struct mqtt_alias_out *aliases, struct span topic)
{
    if (aliases->maximum == 0 || topic.bytes < MQTT_ALIAS_TOPIC_BYTES_MIN || topic.bytes > MQTT_ALIAS_TOPIC_BYTES_MAX)
        return (struct mqtt_alias){0, false};
    if (aliases->table == NULL) out_grow(aliases);
    struct mqtt_alias_out_table *table = aliases->table;

    uint32_t hash = (uint32_t)hash_span(topic);
    uint16_t alias = out_find(table, hash, topic);
    if (alias) {
        use_unlink(table, alias);
        use_link_after(table, table->entries[0].older, alias);
        return (struct mqtt_alias){alias, true};
    }
    alias = out_vacate(aliases);
    struct out_entry *entry = &table->entries[alias];
    if (entry->capacity < topic.bytes) {
        entry->topic = memory_resize(entry->topic, topic.bytes);
        entry->capacity = (uint16_t)topic.bytes;
    }
    memcpy(entry->topic, topic.data, topic.bytes);
    entry->bytes = (uint16_t)topic.bytes;
    entry->hash = hash;
    bucket_put(table, alias);
    use_link_after(table, table->entries[0].older, alias);
    return (struct mqtt_alias){alias, false};
}

void mqtt_alias_out_forget(struct mqtt_alias_out *aliases, uint16_t alias)
{
    struct mqtt_alias_out_table *table = aliases->table;
    if (table == NULL || alias == 0 || alias > table->count || table->entries[alias].bytes == 0) return;
    bucket_take(table, alias);
    table->entries[alias].bytes = 0;
    use_unlink(table, alias);
    use_link_after(table, 0, alias);
}
