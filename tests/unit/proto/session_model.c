#include "session_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/alias.h"
#include "proto/incoming.h"
#include "proto/inflight.h"

#define EXPECT(what) do { if (!(what)) { wrong = #what; goto out; } } while (0)

static uint32_t choose(struct choices choices, uint32_t bound) { return choices.next(choices.context, bound); }

/* ---- inflight: an array in the order of sending ---- */

struct twin_entry {
    struct mqtt_inflight_entry entry;
    bool quota, waits; /* waits: to be sent again */
};

struct twin {
    struct twin_entry entries[4096];
    uint32_t count;
};

static uint32_t twin_find(const struct twin *twin, uint16_t id)
{
    uint32_t i = 0;
    while (i < twin->count && twin->entries[i].entry.packet_id != id)
        i++;
    return i;
}

static void twin_remove(struct twin *twin, uint32_t at)
{
    memmove(&twin->entries[at], &twin->entries[at + 1], (twin->count - at - 1) * sizeof twin->entries[0]);
    twin->count--;
}

static uint32_t twin_quota(const struct twin *twin)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < twin->count; i++)
        used += twin->entries[i].quota;
    return used;
}

static bool twin_waits(const struct twin *twin)
{
    for (uint32_t i = 0; i < twin->count; i++)
        if (twin->entries[i].waits) return true;
    return false;
}

static bool entries_equal(struct mqtt_inflight_entry a, struct mqtt_inflight_entry b)
{
    return a.message == b.message && a.user == b.user && a.packet_id == b.packet_id && a.qos == b.qos && a.state == b.state;
}

static const char *inflight_resend(struct mqtt_inflight *inflight, struct twin *twin, uint16_t window)
{
    const char *wrong = NULL;
    struct mqtt_inflight_entry entry;
    while (mqtt_inflight_resend_next(inflight, &entry)) {
        uint32_t i = 0;
        while (i < twin->count && !twin->entries[i].waits)
            i++;
        EXPECT(i < twin->count);
        EXPECT(entries_equal(entry, twin->entries[i].entry));
        twin->entries[i].waits = false;
        twin->entries[i].quota = entry.state == MQTT_INFLIGHT_PUBLISHED;
        EXPECT(twin_quota(twin) <= window);
    }
    EXPECT(!twin_waits(twin) || twin_quota(twin) == window);
out:
    return wrong;
}

static uint32_t released;
static void count_release(void *context, struct mqtt_inflight_entry entry) { released++; }

const char *inflight_against_model(struct choices choices, int steps)
{
    const char *wrong = NULL;
    struct mqtt_inflight inflight;
    struct twin *twin = calloc(1, sizeof *twin);
    uint16_t window = (uint16_t)(1 + choose(choices, choose(choices, 2) ? 2000 : 20));
    mqtt_inflight_init(&inflight, window);
    uint64_t serial = 0;
    for (int step = 0; step < steps; step++) {
        uint32_t verb = choose(choices, 16);
        uint32_t at = twin->count ? choose(choices, twin->count) : 0;
        struct twin_entry *known = twin->count ? &twin->entries[at] : NULL;
        uint16_t id = known && choose(choices, 16) ? known->entry.packet_id : (uint16_t)choose(choices, 65536);
        at = twin_find(twin, id);
        known = at < twin->count ? &twin->entries[at] : NULL;
        struct mqtt_inflight_entry entry;

        if (verb < 8) {
            EXPECT(mqtt_inflight_full(&inflight) == (twin_quota(twin) >= window || twin_waits(twin)));
            if (mqtt_inflight_full(&inflight) || twin->count == 4095) continue;
            entry = (struct mqtt_inflight_entry){&inflight, serial++, 0, (uint8_t)(1 + choose(choices, 2)), MQTT_INFLIGHT_PUBLISHED};
            entry.packet_id = mqtt_inflight_add(&inflight, entry.message, entry.qos, entry.user);
            EXPECT(entry.packet_id != 0);
            EXPECT(twin_find(twin, entry.packet_id) == twin->count);
            twin->entries[twin->count++] = (struct twin_entry){entry, true, false};
        } else if (verb < 10) {
            enum mqtt_inflight_verdict verdict = mqtt_inflight_puback(&inflight, id, &entry);
            EXPECT(verdict == (!known ? MQTT_INFLIGHT_UNKNOWN : known->entry.qos == 1 ? MQTT_INFLIGHT_OK : MQTT_INFLIGHT_WRONG_STATE));
            if (verdict != MQTT_INFLIGHT_OK) continue;
            EXPECT(entries_equal(entry, known->entry));
            twin_remove(twin, at);
        } else if (verb < 12) {
            bool fails = choose(choices, 8) == 0;
            enum mqtt_inflight_verdict verdict = mqtt_inflight_pubrec(
                &inflight, id, fails ? MQTT_REASON_QUOTA_EXCEEDED : MQTT_REASON_NO_MATCHING_SUBSCRIBERS, &entry);
            EXPECT(verdict == (!known ? MQTT_INFLIGHT_UNKNOWN : known->entry.qos == 2 ? MQTT_INFLIGHT_OK : MQTT_INFLIGHT_WRONG_STATE));
            if (verdict != MQTT_INFLIGHT_OK) continue;
            known->entry.state = fails ? MQTT_INFLIGHT_FREE : MQTT_INFLIGHT_RELEASING;
            EXPECT(entries_equal(entry, known->entry));
            bool first_waiting = known->waits;
            for (uint32_t i = 0; i < at; i++)
                first_waiting &= !twin->entries[i].waits;
            if (first_waiting) known->waits = false;
            if (fails) twin_remove(twin, at);
        } else if (verb < 14) {
            enum mqtt_inflight_verdict verdict = mqtt_inflight_pubcomp(&inflight, id, &entry);
            EXPECT(verdict == (!known                                              ? MQTT_INFLIGHT_UNKNOWN
                               : known->entry.state == MQTT_INFLIGHT_RELEASING ? MQTT_INFLIGHT_OK
                                                                               : MQTT_INFLIGHT_WRONG_STATE));
            if (verdict != MQTT_INFLIGHT_OK) continue;
            EXPECT(entries_equal(entry, known->entry));
            twin_remove(twin, at);
        } else if (verb == 14) {
            EXPECT(mqtt_inflight_drop_message(&inflight, id) == (known ? known->entry.message : NULL));
            if (known) known->entry.message = NULL;
            mqtt_inflight_trim(&inflight);
        } else if (choose(choices, 8) == 0) {
            window = (uint16_t)(1 + choose(choices, 50));
            mqtt_inflight_resume(&inflight, window);
            for (uint32_t i = 0; i < twin->count; i++)
                twin->entries[i].quota = false, twin->entries[i].waits = true;
            if ((wrong = inflight_resend(&inflight, twin, window))) goto out;
        } else if ((wrong = inflight_resend(&inflight, twin, window))) {
            goto out;
        }
        EXPECT(mqtt_inflight_count(&inflight) == twin->count);
        EXPECT(inflight.quota_used == twin_quota(twin));
        EXPECT(mqtt_inflight_resending(&inflight) == twin_waits(twin));
    }
    uint16_t cursor = 0;
    struct mqtt_inflight_entry entry;
    for (uint32_t i = 0; i < twin->count; i++) {
        EXPECT(mqtt_inflight_next(&inflight, &cursor, &entry));
        EXPECT(entries_equal(entry, twin->entries[i].entry));
    }
    EXPECT(!mqtt_inflight_next(&inflight, &cursor, &entry));
out:
    released = 0;
    mqtt_inflight_release(&inflight, count_release, NULL);
    if (!wrong && released != twin->count) wrong = "release hands back every message";
    free(twin);
    return wrong;
}

/* ---- incoming: an array of flags ---- */

const char *incoming_against_model(struct choices choices, int steps)
{
    const char *wrong = NULL;
    struct mqtt_incoming incoming;
    bool *twin = calloc(65536, 1);
    uint32_t count = 0, carried = 0, qos1 = 0;
    uint32_t ids = choose(choices, 2) ? 40 : 65535; /* few ids: often the same */
    uint16_t maximum = (uint16_t)(1 + choose(choices, choose(choices, 2) ? 65535 : 30));
    bool grows = choose(choices, 2);
    mqtt_incoming_init(&incoming, maximum);
    for (int step = 0; step < steps; step++) {
        uint16_t id = (uint16_t)(1 + choose(choices, ids));
        uint32_t verb = choose(choices, 32);
        bool full = count - carried + qos1 >= maximum;
        EXPECT(mqtt_incoming_has(&incoming, id) == twin[id]);
        if (verb < (grows ? 24u : 14u)) {
            enum mqtt_incoming_verdict verdict = mqtt_incoming_add(&incoming, id);
            EXPECT(verdict == (twin[id] ? MQTT_INCOMING_DUPLICATE : full ? MQTT_INCOMING_EXCEEDED : MQTT_INCOMING_NEW));
            if (verdict == MQTT_INCOMING_NEW) twin[id] = true, count++;
        } else if (verb < 28) {
            EXPECT(mqtt_incoming_remove(&incoming, id) == twin[id]);
            count -= twin[id];
            twin[id] = false;
            if (carried > count) carried = count;
        } else if (verb == 28) {
            EXPECT(mqtt_incoming_qos1_add(&incoming) == !full);
            qos1 += !full;
        } else if (verb == 29) {
            if (qos1) mqtt_incoming_qos1_remove(&incoming), qos1--;
        } else if (verb == 30 && choose(choices, 8) == 0) {
            maximum = (uint16_t)(1 + choose(choices, 65535));
            mqtt_incoming_resume(&incoming, maximum);
            carried = count, qos1 = 0;
        } else if (verb == 31 && choose(choices, 8) == 0) {
            if (!twin[id]) count++, carried++;
            twin[id] = true;
            mqtt_incoming_restore(&incoming, id);
        }
        EXPECT(mqtt_incoming_count(&incoming) == count);
    }
    uint32_t cursor = 0, seen = 0;
    uint16_t id;
    for (; mqtt_incoming_next(&incoming, &cursor, &id); seen++)
        EXPECT(twin[id]);
    EXPECT(seen == count);
    for (uint32_t i = 1; i < 65536; i++)
        if (twin[i]) EXPECT(mqtt_incoming_remove(&incoming, (uint16_t)i));
    EXPECT(incoming.table_log2 == 0); /* an empty set holds no memory */
out:
    mqtt_incoming_release(&incoming);
    free(twin);
    return wrong;
}

/* ---- aliases ---- */

#define TOPIC_BYTES 24
static struct span some_topic(struct choices choices, char *out, uint32_t kinds)
{
    uint32_t kind = choose(choices, kinds);
    int bytes = snprintf(out, TOPIC_BYTES, "topic/%u%.*s", kind, (int)(kind % 7), "xxxxxxx");
    return span_of(out, (size_t)bytes);
}

const char *alias_in_against_model(struct choices choices, int steps)
{
    const char *wrong = NULL;
    static char twin[301][TOPIC_BYTES];
    memset(twin, 0, sizeof twin);
    struct mqtt_alias_in aliases;
    uint16_t maximum = (uint16_t)choose(choices, 300);
    uint32_t bytes_max = choose(choices, 2) ? 0 : 1 + choose(choices, 400), bytes_used = 0;
    mqtt_alias_in_init(&aliases, maximum, bytes_max);
    for (int step = 0; step < steps; step++) {
        char buffer[TOPIC_BYTES];
        uint16_t alias = (uint16_t)choose(choices, maximum + 3u);
        struct span topic = some_topic(choices, buffer, 1000), found = {NULL, 0};
        if (choose(choices, 2)) topic.bytes = 0;
        enum mqtt_reason reason = mqtt_alias_in_resolve(&aliases, alias, topic, &found);
        if (alias == 0 || alias > maximum) {
            EXPECT(reason == MQTT_REASON_TOPIC_ALIAS_INVALID);
        } else if (topic.bytes == 0) {
            EXPECT(reason == (twin[alias][0] ? MQTT_REASON_SUCCESS : MQTT_REASON_PROTOCOL_ERROR));
            if (reason == MQTT_REASON_SUCCESS) EXPECT(span_equal(found, span_of_string(twin[alias])));
        } else {
            uint32_t after = bytes_used - (uint32_t)strlen(twin[alias]) + (uint32_t)topic.bytes;
            EXPECT(reason == (bytes_max && after > bytes_max ? MQTT_REASON_QUOTA_EXCEEDED : MQTT_REASON_SUCCESS));
            if (reason != MQTT_REASON_SUCCESS) continue;
            EXPECT(span_equal(found, topic));
            memcpy(twin[alias], topic.data, topic.bytes);
            twin[alias][topic.bytes] = 0;
            bytes_used = after;
        }
    }
out:
    mqtt_alias_in_release(&aliases);
    return wrong;
}

/* Two twins: the peer's table, which must never be misled; and the order of use, for who is replaced. */
const char *alias_out_against_model(struct choices choices, int steps)
{
    const char *wrong = NULL;
    static char peer[201][TOPIC_BYTES];
    static int used_at[201];
    memset(peer, 0, sizeof peer);
    memset(used_at, 0, sizeof used_at);
    struct mqtt_alias_out aliases;
    uint16_t maximum = (uint16_t)choose(choices, 200);
    mqtt_alias_out_init(&aliases, maximum);
    for (int step = 1; step <= steps; step++) {
        char buffer[TOPIC_BYTES];
        struct span topic = some_topic(choices, buffer, 1 + maximum * 2u);
        uint32_t here = 0, oldest = 0, taken = 0;
        for (uint32_t i = 1; i <= maximum; i++) {
            if (peer[i][0] == 0) continue;
            taken++;
            if (span_equal(topic, span_of_string(peer[i]))) here = i;
            if (oldest == 0 || used_at[i] < used_at[oldest]) oldest = i;
        }
        struct mqtt_alias alias = mqtt_alias_out_assign(&aliases, topic);
        EXPECT(alias.alias <= maximum);
        EXPECT((alias.alias == 0) == (maximum == 0));
        if (alias.alias == 0) continue;
        EXPECT(alias.known == (here != 0));
        if (here) EXPECT(alias.alias == here);
        if (!here && taken == maximum) EXPECT(alias.alias == oldest);
        if (!here && taken < maximum) EXPECT(peer[alias.alias][0] == 0);
        used_at[alias.alias] = step;
        if (!here) {
            memcpy(peer[alias.alias], topic.data, topic.bytes);
            peer[alias.alias][topic.bytes] = 0;
        }
        if (choose(choices, 32) == 0) {
            mqtt_alias_out_forget(&aliases, alias.alias);
            peer[alias.alias][0] = 0;
        }
    }
out:
    mqtt_alias_out_release(&aliases);
    return wrong;
}
