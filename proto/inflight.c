#include "proto/inflight.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/prefetch.h"

#define SLOTS_AHEAD    8
#define SLOTS_LOG2_MIN 3
#define SLOTS_LOG2_MAX 16 /* every packet id has a slot of its own */

struct mqtt_inflight_slot {
    void *message;
    uint64_t user;
    uint16_t packet_id; /* 0: the slot is free */
    uint16_t older, newer;
    uint8_t qos : 2;
    uint8_t state : 2;
    uint8_t quota : 1; /* holds a unit of the present connection's quota */
};

static inline uint32_t mask_of(const struct mqtt_inflight *inflight) { return (1u << inflight->slots_log2) - 1; }

static inline struct mqtt_inflight_slot *slot_of(const struct mqtt_inflight *inflight, uint16_t packet_id)
{
    return &inflight->slots[packet_id & mask_of(inflight)];
}

static struct mqtt_inflight_slot *find(const struct mqtt_inflight *inflight, uint16_t packet_id)
{
    if (inflight->slots == NULL || packet_id == 0) return NULL;
    struct mqtt_inflight_slot *slot = slot_of(inflight, packet_id);
    return slot->packet_id == packet_id ? slot : NULL;
}

static struct mqtt_inflight_entry entry_of(const struct mqtt_inflight_slot *slot)
{
    return (struct mqtt_inflight_entry){.message = slot->message,
                                        .user = slot->user,
                                        .packet_id = slot->packet_id,
                                        .qos = slot->qos,
                                        .state = slot->state};
}

void mqtt_inflight_init(struct mqtt_inflight *inflight, uint16_t window)
{
    CHECK(window > 0);
    *inflight = (struct mqtt_inflight){.window = window};
}

/* Ids that differ modulo the old size differ modulo twice the size, so nothing can collide. */
static void resize(struct mqtt_inflight *inflight, uint8_t slots_log2)
{
    struct mqtt_inflight old = *inflight;
    inflight->slots_log2 = slots_log2;
    inflight->slots = memory_acquire_zeroed(sizeof *inflight->slots << slots_log2);
    for (uint16_t id = old.oldest; id; id = slot_of(&old, id)->newer)
        *slot_of(inflight, id) = *slot_of(&old, id);
    memory_release(old.slots);
}

/* At most half of the slots are taken, except in the largest table. */
static inline void make_room(struct mqtt_inflight *inflight)
{
    if (UNLIKELY(inflight->slots == NULL)) resize(inflight, SLOTS_LOG2_MIN);
    if (inflight->slots_log2 == SLOTS_LOG2_MAX || inflight->count < 1u << inflight->slots_log2 >> 1) return;
    resize(inflight, inflight->slots_log2 + 1);
}

/* Inlined: an entry is built from what the caller has, and goes nowhere but into the slot. */
__attribute__((always_inline)) static inline struct mqtt_inflight_slot *append(struct mqtt_inflight *inflight, struct mqtt_inflight_entry entry)
{
    struct mqtt_inflight_slot *slots = inflight->slots;
    uint32_t mask = mask_of(inflight);
    struct mqtt_inflight_slot *slot = &slots[entry.packet_id & mask];
    uint16_t newest = inflight->newest;
    DCHECK(slot->packet_id == 0);
    *slot = (struct mqtt_inflight_slot){.message = entry.message,
                                        .user = entry.user,
                                        .packet_id = entry.packet_id,
                                        .older = newest,
                                        .qos = entry.qos & 3,
                                        .state = entry.state & 3};
    if (LIKELY(newest))
        slots[newest & mask].newer = entry.packet_id;
    else
        inflight->oldest = entry.packet_id;
    inflight->newest = entry.packet_id;
    inflight->count++;
    return slot;
}

static inline void take_out(struct mqtt_inflight *inflight, struct mqtt_inflight_slot *slot)
{
    struct mqtt_inflight_slot *slots = inflight->slots; /* read once: the compiler does not know that no slot is the window itself */
    uint32_t mask = mask_of(inflight);
    uint16_t older = slot->older, newer = slot->newer;
    if (UNLIKELY(older))
        slots[older & mask].newer = newer;
    else
        inflight->oldest = newer;
    if (LIKELY(newer))
        slots[newer & mask].older = older;
    else
        inflight->newest = older;
    if (inflight->resend == slot->packet_id) inflight->resend = slot->newer;
    if (slot->quota) inflight->quota_used--;
    inflight->count--;
    slot->packet_id = 0;
}

uint16_t mqtt_inflight_add(struct mqtt_inflight *inflight, void *message, uint8_t qos, uint64_t user)
{
    CHECK(!mqtt_inflight_full(inflight));
    CHECK(qos == 1 || qos == 2);
    make_room(inflight);
    const struct mqtt_inflight_slot *slots = inflight->slots;
    uint32_t mask = mask_of(inflight);
    uint16_t id = inflight->id_last;
    do
        id = (uint16_t)(id + 1 + (id == UINT16_MAX));
    while (UNLIKELY(slots[id & mask].packet_id)); /* [MQTT-2.2.1-3]: not in use */
    inflight->id_last = id;
    prefetch_to_write(&slots[(id + SLOTS_AHEAD) & mask]); /* of several wide windows in turn: these have left the cache */

    struct mqtt_inflight_entry entry = {message, user, id, qos, MQTT_INFLIGHT_PUBLISHED};
    struct mqtt_inflight_slot *slot = append(inflight, entry);
    slot->quota = 1;
    inflight->quota_used++;
    return id;
}

bool mqtt_inflight_restore(struct mqtt_inflight *inflight, struct mqtt_inflight_entry entry)
{
    CHECK(entry.qos == 1 || entry.qos == 2);
    CHECK(entry.state == MQTT_INFLIGHT_PUBLISHED || (entry.state == MQTT_INFLIGHT_RELEASING && entry.qos == 2));
    if (entry.packet_id == 0 || find(inflight, entry.packet_id)) return false;
    make_room(inflight);
    while (slot_of(inflight, entry.packet_id)->packet_id) /* ids from a store come as they are */
        resize(inflight, inflight->slots_log2 + 1);
    append(inflight, entry);
    inflight->id_last = entry.packet_id;
    return true;
}

const void *mqtt_inflight_ahead(const struct mqtt_inflight *inflight, uint16_t packet_id, uint16_t ahead)
{
    return inflight->slots ? slot_of(inflight, (uint16_t)(packet_id + ahead))->message : NULL;
}

enum mqtt_inflight_verdict mqtt_inflight_puback(struct mqtt_inflight *inflight, uint16_t packet_id,
                                                struct mqtt_inflight_entry *ret_entry)
{
    struct mqtt_inflight_slot *slot = find(inflight, packet_id);
    if (slot == NULL) return MQTT_INFLIGHT_UNKNOWN;
    if (slot->qos != 1) return MQTT_INFLIGHT_WRONG_STATE;
    *ret_entry = entry_of(slot);
    take_out(inflight, slot);
    return MQTT_INFLIGHT_OK;
}

enum mqtt_inflight_verdict mqtt_inflight_pubrec(struct mqtt_inflight *inflight, uint16_t packet_id,
                                                enum mqtt_reason reason, struct mqtt_inflight_entry *ret_entry)
{
    struct mqtt_inflight_slot *slot = find(inflight, packet_id);
    if (slot == NULL) return MQTT_INFLIGHT_UNKNOWN;
    if (slot->qos != 2) return MQTT_INFLIGHT_WRONG_STATE;
    if (mqtt_reason_is_error(reason)) {
        *ret_entry = entry_of(slot);
        ret_entry->state = MQTT_INFLIGHT_FREE;
        take_out(inflight, slot);
        return MQTT_INFLIGHT_OK;
    }
    slot->state = MQTT_INFLIGHT_RELEASING;
    if (inflight->resend == packet_id) inflight->resend = slot->newer; /* the PUBREL is the answer */
    *ret_entry = entry_of(slot);
    return MQTT_INFLIGHT_OK;
}

enum mqtt_inflight_verdict mqtt_inflight_pubcomp(struct mqtt_inflight *inflight, uint16_t packet_id,
                                                 struct mqtt_inflight_entry *ret_entry)
{
    struct mqtt_inflight_slot *slot = find(inflight, packet_id);
    if (slot == NULL) return MQTT_INFLIGHT_UNKNOWN;
    if (slot->state != MQTT_INFLIGHT_RELEASING) return MQTT_INFLIGHT_WRONG_STATE;
    *ret_entry = entry_of(slot);
    take_out(inflight, slot);
    return MQTT_INFLIGHT_OK;
}

bool mqtt_inflight_find(const struct mqtt_inflight *inflight, uint16_t packet_id, struct mqtt_inflight_entry *ret_entry)
{
    const struct mqtt_inflight_slot *slot = find(inflight, packet_id);
    if (slot) *ret_entry = entry_of(slot);
    return slot != NULL;
}

void *mqtt_inflight_drop_message(struct mqtt_inflight *inflight, uint16_t packet_id)
{
    struct mqtt_inflight_slot *slot = find(inflight, packet_id);
    if (slot == NULL) return NULL;
    void *message = slot->message;
    slot->message = NULL;
    return message;
}

void mqtt_inflight_resume(struct mqtt_inflight *inflight, uint16_t window)
{
    CHECK(window > 0);
    inflight->window = window;
    inflight->quota_used = 0;
    inflight->resend = inflight->oldest;
    for (uint16_t id = inflight->oldest; id; id = slot_of(inflight, id)->newer)
        slot_of(inflight, id)->quota = 0;
}

bool mqtt_inflight_resend_next(struct mqtt_inflight *inflight, struct mqtt_inflight_entry *ret_entry)
{
    if (inflight->resend == 0) return false;
    struct mqtt_inflight_slot *slot = slot_of(inflight, inflight->resend);
    if (slot->state == MQTT_INFLIGHT_PUBLISHED) {
        if (inflight->quota_used >= inflight->window) return false; /* [MQTT-4.9.0-2] */
        slot->quota = 1;
        inflight->quota_used++;
    }
    inflight->resend = slot->newer;
    *ret_entry = entry_of(slot);
    return true;
}

bool mqtt_inflight_next(const struct mqtt_inflight *inflight, uint16_t *cursor, struct mqtt_inflight_entry *ret_entry)
{
    uint16_t id = *cursor ? slot_of(inflight, *cursor)->newer : inflight->oldest;
    if (id == 0) return false;
    *ret_entry = entry_of(slot_of(inflight, id));
    *cursor = id;
    return true;
}

void mqtt_inflight_release(struct mqtt_inflight *inflight, void (*release)(void *context, struct mqtt_inflight_entry entry),
                           void *context)
{
    for (uint16_t id = inflight->oldest; release && id; id = slot_of(inflight, id)->newer)
        release(context, entry_of(slot_of(inflight, id)));
    memory_release(inflight->slots);
    mqtt_inflight_init(inflight, inflight->window);
}

void mqtt_inflight_trim(struct mqtt_inflight *inflight)
{
    if (inflight->count || inflight->slots == NULL) return;
    memory_release(inflight->slots);
    inflight->slots = NULL;
    inflight->slots_log2 = 0;
}
