#include "proto/incoming.h"

#include "base/check.h"
#include "base/memory.h"

#define TABLE_LOG2_FIRST  4
#define TABLE_LOG2_MAX    12 /* 8 KiB; more ids than half of that go to a bitmap over all of them, also 8 KiB */
#define TABLE_LOG2_BITMAP 16
#define BITMAP_BYTES      (65536 / 8)

static uint32_t mask_of(const struct mqtt_incoming *incoming) { return (1u << incoming->table_log2) - 1; }

static uint32_t home_of(const struct mqtt_incoming *incoming, uint16_t packet_id)
{
    return (uint16_t)(packet_id * 0x9E37u) >> (16 - incoming->table_log2);
}

static uint16_t *bitmap_word(const struct mqtt_incoming *incoming, uint16_t packet_id)
{
    return &incoming->table[packet_id >> 4];
}

/* Where the id is, or the empty slot where it would go. */
static uint32_t probe(const struct mqtt_incoming *incoming, uint16_t packet_id)
{
    uint32_t at = home_of(incoming, packet_id);
    while (incoming->table[at] && incoming->table[at] != packet_id)
        at = (at + 1) & mask_of(incoming);
    return at;
}

void mqtt_incoming_init(struct mqtt_incoming *incoming, uint16_t receive_maximum)
{
    CHECK(receive_maximum > 0);
    *incoming = (struct mqtt_incoming){.receive_maximum = receive_maximum};
}

static void release_table(struct mqtt_incoming *incoming)
{
    if (incoming->table_log2) memory_release(incoming->table);
    memset(incoming->inline_ids, 0, sizeof incoming->inline_ids);
    incoming->table_log2 = 0;
}

void mqtt_incoming_release(struct mqtt_incoming *incoming)
{
    release_table(incoming);
    mqtt_incoming_init(incoming, incoming->receive_maximum);
}

void mqtt_incoming_resume(struct mqtt_incoming *incoming, uint16_t receive_maximum)
{
    CHECK(receive_maximum > 0);
    incoming->receive_maximum = receive_maximum;
    incoming->qos1_count = 0;
    incoming->carried = incoming->count;
}

bool mqtt_incoming_has(const struct mqtt_incoming *incoming, uint16_t packet_id)
{
    if (packet_id == 0) return false;
    if (incoming->table_log2 == TABLE_LOG2_BITMAP) return *bitmap_word(incoming, packet_id) >> (packet_id & 15) & 1;
    if (incoming->table_log2) return incoming->table[probe(incoming, packet_id)] == packet_id;
    for (uint32_t i = 0; i < incoming->count; i++)
        if (incoming->inline_ids[i] == packet_id) return true;
    return false;
}

/* There is room. */
static void put(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    if (incoming->table_log2 == TABLE_LOG2_BITMAP)
        *bitmap_word(incoming, packet_id) |= (uint16_t)(1u << (packet_id & 15));
    else if (incoming->table_log2)
        incoming->table[probe(incoming, packet_id)] = packet_id;
    else
        incoming->inline_ids[incoming->count] = packet_id;
    incoming->count++;
}

static void grow(struct mqtt_incoming *incoming)
{
    struct mqtt_incoming larger = *incoming;
    larger.count = 0;
    larger.table_log2 = incoming->table_log2 == 0                ? TABLE_LOG2_FIRST
                        : incoming->table_log2 == TABLE_LOG2_MAX ? TABLE_LOG2_BITMAP
                                                                 : incoming->table_log2 + 1;
    larger.table = memory_acquire_zeroed(larger.table_log2 == TABLE_LOG2_BITMAP ? BITMAP_BYTES
                                                                                : sizeof(uint16_t) << larger.table_log2);
    uint32_t cursor = 0;
    uint16_t packet_id;
    while (mqtt_incoming_next(incoming, &cursor, &packet_id))
        put(&larger, packet_id);
    if (incoming->table_log2) memory_release(incoming->table);
    *incoming = larger;
}

static void remember(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    bool full = incoming->table_log2 == 0 ? incoming->count == MQTT_INCOMING_INLINE
                                          : incoming->table_log2 < TABLE_LOG2_BITMAP &&
                                                incoming->count >= 1u << incoming->table_log2 >> 1;
    if (full) grow(incoming);
    put(incoming, packet_id);
}

/* What certainly counts against the Receive Maximum. */
static uint32_t quota_used(const struct mqtt_incoming *incoming)
{
    return (uint32_t)incoming->count - incoming->carried + incoming->qos1_count;
}

enum mqtt_incoming_verdict mqtt_incoming_add(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    CHECK(packet_id != 0);
    if (mqtt_incoming_has(incoming, packet_id)) return MQTT_INCOMING_DUPLICATE;
    if (quota_used(incoming) >= incoming->receive_maximum) return MQTT_INCOMING_EXCEEDED;
    remember(incoming, packet_id);
    return MQTT_INCOMING_NEW;
}

void mqtt_incoming_restore(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    CHECK(packet_id != 0);
    if (mqtt_incoming_has(incoming, packet_id)) return;
    remember(incoming, packet_id);
    incoming->carried++;
}

static void inline_take_out(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    uint32_t i = 0;
    while (incoming->inline_ids[i] != packet_id)
        i++;
    incoming->inline_ids[i] = incoming->inline_ids[incoming->count - 1];
    incoming->inline_ids[incoming->count - 1] = 0;
}

/* Closes the gap: whatever follows without a hole and does not belong behind the gap moves into it. */
static void table_take_out(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    uint32_t mask = mask_of(incoming), gap = probe(incoming, packet_id);
    for (uint32_t at = (gap + 1) & mask; incoming->table[at]; at = (at + 1) & mask) {
        uint32_t home = home_of(incoming, incoming->table[at]);
        if (((at - home) & mask) < ((at - gap) & mask)) continue;
        incoming->table[gap] = incoming->table[at];
        gap = at;
    }
    incoming->table[gap] = 0;
}

bool mqtt_incoming_remove(struct mqtt_incoming *incoming, uint16_t packet_id)
{
    if (!mqtt_incoming_has(incoming, packet_id)) return false;
    if (incoming->table_log2 == TABLE_LOG2_BITMAP)
        *bitmap_word(incoming, packet_id) &= (uint16_t)~(1u << (packet_id & 15));
    else if (incoming->table_log2)
        table_take_out(incoming, packet_id);
    else
        inline_take_out(incoming, packet_id);

    incoming->count--;
    if (incoming->carried > incoming->count) incoming->carried = incoming->count;
    if (incoming->count == 0) release_table(incoming);
    return true;
}

bool mqtt_incoming_qos1_add(struct mqtt_incoming *incoming)
{
    if (quota_used(incoming) >= incoming->receive_maximum) return false;
    incoming->qos1_count++;
    return true;
}

void mqtt_incoming_qos1_remove(struct mqtt_incoming *incoming)
{
    CHECK(incoming->qos1_count > 0);
    incoming->qos1_count--;
}

bool mqtt_incoming_next(const struct mqtt_incoming *incoming, uint32_t *cursor, uint16_t *ret_packet_id)
{
    bool bitmap = incoming->table_log2 == TABLE_LOG2_BITMAP;
    uint32_t end = incoming->table_log2 ? 1u << incoming->table_log2 : incoming->count;
    for (uint32_t i = *cursor; i < end; i++) {
        uint16_t id = bitmap                 ? (*bitmap_word(incoming, (uint16_t)i) >> (i & 15) & 1 ? (uint16_t)i : 0)
                      : incoming->table_log2 ? incoming->table[i]
                                             : incoming->inline_ids[i];
        if (id == 0) continue;
        *cursor = i + 1;
        *ret_packet_id = id;
        return true;
    }
    return false;
}
