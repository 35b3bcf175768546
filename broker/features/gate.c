/* gate.c - asking the gates about PUBLISH and SUBSCRIBE. */
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/features/inside.h"

/* ---- time -------------------------------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

uint64_t feature_ticks_per_us(void)
{
#if defined(__x86_64__)
    static _Atomic uint64_t known;
    uint64_t per_us = atomic_load(&known);
    if (per_us) return per_us;
    uint64_t began_ns = monotonic_ns(), began = feature_ticks(), passed_ns;
    while ((passed_ns = monotonic_ns() - began_ns) < 500000) {} /* half a millisecond, once */
    per_us = (feature_ticks() - began) * 1000 / passed_ns;
    atomic_store(&known, per_us ? per_us : 1);
    return per_us ? per_us : 1;
#else
    return 1000;
#endif
}

/* A clock that costs next to nothing: gates are timed on every message. */
uint64_t feature_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return monotonic_ns();
#endif
}

/* ---- one question ------------------------------------------------------------------------------------------------ */

struct feature_verdict features_asked(const struct feature_asked *asked, struct feature_verdict verdict, uint64_t began, uint64_t budget)
{
    struct feature_counts *counts = asked->counts;
    uint64_t ticks = feature_ticks() - began;
    switch ((enum feature_decision)verdict.decision) {
    case FEATURE_ALLOW: stats_count(&counts->allowed, 1); break;
    case FEATURE_DENY: stats_count(&counts->denied, 1); break;
    case FEATURE_LATER: stats_count(&counts->later, 1); break;
    case FEATURE_PASS:
    case FEATURE_CONTINUE: stats_count(&counts->passed, 1); break;
    }
    if (UNLIKELY(ticks > counts->ticks_max)) __atomic_store_n(&counts->ticks_max, ticks, __ATOMIC_RELAXED);
    if (UNLIKELY(ticks > budget)) {
        stats_count(&counts->overruns, 1);
        LOG_LIMITED(WARN, 10000, "a gate took too long", "feature=%s us=%llu", asked->feature->name,
                    (unsigned long long)(ticks / feature_ticks_per_us()));
    }
    return verdict;
}

/* What holds when no gate has decided. */
static struct feature_verdict verdict_of_nobody(const struct broker_shard *broker)
{
    struct features_shard *shard = broker->features;
    shard->said_by = shard->authorizes ? FEATURE_BY_NO_MATCH : FEATURE_BY_NOBODY;
    if (!shard->authorizes || broker->settings->authorization.no_match == AUTHORIZATION_ALLOW) return FEATURE_VERDICT(PASS);
    return (struct feature_verdict){.decision = FEATURE_DENY, .what = "no rule allows it"};
}

static struct feature_verdict verdict_of_superuser(struct features_shard *shard)
{
    shard->said_by = FEATURE_BY_SUPERUSER;
    return FEATURE_VERDICT(ALLOW);
}

void features_describe(struct broker_shard *broker, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes)
{
    struct features_shard *shard = broker->features;
    switch (shard->said_by) {
    case FEATURE_BY_NOBODY: snprintf(ret_text, bytes, "nobody authorizes: everything is allowed"); return;
    case FEATURE_BY_NO_MATCH: snprintf(ret_text, bytes, "no rule and no source decides: authorization.no_match"); return;
    case FEATURE_BY_SUPERUSER: snprintf(ret_text, bytes, "superuser: everything is allowed"); return;
    default: break;
    }
    const struct feature *feature = shard->features->parts[shard->said_by]->feature;
    size_t used = (size_t)snprintf(ret_text, bytes, "%s: ", feature->name);
    if (feature->describe)
        feature->describe(&shard->shards[shard->said_by], client, verdict, ret_text + used, bytes - used);
    else
        snprintf(ret_text + used, bytes - used, "%s", verdict.what ? verdict.what : verdict.decision == FEATURE_LATER ? "the verdict is being asked for" : "");
}

/* Reading the clock twice costs as much as a remembered verdict: of answers about PUBLISH each sixteenth is timed. */
#define PUBLISH_TIMED 16

static struct feature_verdict ask_publish_one(const struct features_shard *shard, const struct feature_asked *gate, struct client_record *record,
                                              const struct feature_publish *publish)
{
    struct feature_counts *counts = gate->counts;
    if (UNLIKELY(++gate->shard->asked % PUBLISH_TIMED == 0)) {
        uint64_t began = feature_ticks();
        return features_asked(gate, gate->feature->publish(gate->shard, &record->facts, publish), began, shard->budget_ticks);
    }
    struct feature_verdict verdict = gate->feature->publish(gate->shard, &record->facts, publish);
    stats_count(verdict.decision == FEATURE_ALLOW ? &counts->allowed : verdict.decision == FEATURE_PASS ? &counts->passed
                : verdict.decision == FEATURE_DENY ? &counts->denied : &counts->later, 1);
    return verdict;
}

struct feature_verdict features_ask_publish(struct broker_shard *broker, struct client_record *record, const struct feature_publish *publish)
{
    struct features_shard *shard = atomic_load_explicit(&broker->features, memory_order_relaxed); /* this shard's own */
    const struct feature_asked *gates = shard->gates[FEATURE_GATE_publish];
    shard->said_holds_ms = FEATURE_HOLDS;
    for (uint32_t i = 0; i < shard->gates_count[FEATURE_GATE_publish]; i++) {
        if (record->facts.superuser && gates[i].feature->stage >= FEATURE_STAGE_AUTHORIZATION) return verdict_of_superuser(shard);
        struct feature_verdict verdict = ask_publish_one(shard, &gates[i], record, publish);
        if (verdict.holds_ms < shard->said_holds_ms) shard->said_holds_ms = verdict.holds_ms; /* all that have had a say must hold */
        if (verdict.decision == FEATURE_PASS) continue;
        shard->said_by = (uint8_t)gates[i].shard->slot;
        return verdict;
    }
    return record->facts.superuser ? verdict_of_superuser(shard) : verdict_of_nobody(broker);
}

/* ---- what is remembered ------------------------------------------------------------------------------------------ */

static void passed_keep(const struct broker_shard *broker, struct client_record *record, const struct feature_publish *publish, uint32_t holds_ms)
{
    struct feature_passed *passed = &record->passed;
    passed->key = 0;
    if (publish->topic.bytes > sizeof passed->topic) return;
    passed->until_ms = holds_ms == FEATURE_HOLDS ? UINT64_MAX : broker->shard->now_ms + holds_ms;
    passed->key = features_passed_key(broker->features->verdicts_epoch, publish->topic, publish->qos, publish->retain);
    memcpy(passed->topic, publish->topic.data, publish->topic.bytes);
}

void feature_forget(struct feature_shard *shard, struct feature_client *client)
{
    struct broker_shard *broker = shard->frame;
    if (client)
        ((struct client_record *)client)->passed.key = 0;
    else
        features_forget_all(broker->features);
}

static struct feature_verdict ask_subscribe(struct broker_shard *broker, struct client_record *record, const struct mqtt_subscription *subscription)
{
    struct features_shard *shard = broker->features;
    const struct feature_asked *gates = shard->gates[FEATURE_GATE_subscribe];
    for (uint32_t i = 0; i < shard->gates_count[FEATURE_GATE_subscribe]; i++) {
        if (record->facts.superuser && gates[i].feature->stage >= FEATURE_STAGE_AUTHORIZATION) return verdict_of_superuser(shard);
        uint64_t began = feature_ticks();
        struct feature_verdict verdict = features_asked(&gates[i], gates[i].feature->subscribe(gates[i].shard, &record->facts, subscription), began,
                                                        shard->budget_ticks);
        if (verdict.decision == FEATURE_PASS) continue;
        shard->said_by = (uint8_t)gates[i].shard->slot;
        return verdict;
    }
    return record->facts.superuser ? verdict_of_superuser(shard) : verdict_of_nobody(broker);
}

/* ---- denials ----------------------------------------------------------------------------------------------------- */

static enum mqtt_reason reason_of(struct feature_verdict verdict)
{
    return verdict.reason ? (enum mqtt_reason)verdict.reason : MQTT_REASON_NOT_AUTHORIZED;
}

static bool disconnects(const struct broker_shard *broker, struct feature_verdict verdict)
{
    if (verdict.denial != FEATURE_DENY_AS_CONFIGURED) return verdict.denial == FEATURE_DENY_DISCONNECT;
    return broker->settings->authorization.deny_action == DENY_ACTION_DISCONNECT;
}

static void denied(struct broker_shard *broker, const struct client_record *record, const char *action, struct span topic,
                   struct feature_verdict verdict)
{
    enum mqtt_packet_type type = *action == 'p' ? MQTT_PUBLISH : MQTT_SUBSCRIBE;
    COUNT(broker, gates_denied);
    LOG_LIMITED(WARN, 1000, "not authorized", "action=%s client=%s user=%s topic=%s what=\"%s\"", action, log_quoted(record->facts.client_id),
                log_quoted(record->facts.user_name), log_quoted(topic), verdict.what ? verdict.what : "");
    drop_note(broker, DROP_not_authorized, record->session, topic, 1);
    TAP_TELL(broker, denied, record->facts.version, hash_span(record->facts.client_id), topic, reason_of(verdict), type);
}

/* ---- PUBLISH ----------------------------------------------------------------------------------------------------- */

enum gate_result features_publish(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span topic,
                                  enum mqtt_reason *ret_reason)
{
    struct client_record *record = LIKELY(session->facts != NULL) ? (struct client_record *)session->facts : features_record_of(broker, session);
    if (UNLIKELY(record->address_state != CLIENT_ADDRESS_KNOWN) && !features_address(broker, record)) return GATE_UNREAD;
    struct feature_publish asked = {.topic = topic, .payload = publish->payload, .qos = publish->qos, .retain = publish->retain,
                                    .properties = &publish->properties};
    struct feature_verdict verdict = features_ask_publish(broker, record, &asked);
    PROBE(publish, record->facts.client_id.data, record->facts.client_id.bytes, verdict.decision, verdict.reason);
    if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_verdict(broker, &record->facts, session, MQTT_PUBLISH, topic, verdict);
    if (LIKELY(verdict.decision == FEATURE_PASS || verdict.decision == FEATURE_ALLOW)) {
        if (broker->features->said_holds_ms) passed_keep(broker, record, &asked, broker->features->said_holds_ms);
        return GATE_PASSED;
    }
    if (verdict.decision == FEATURE_LATER) {
        COUNT(broker, gates_later);
        features_wait(record);
        return GATE_UNREAD;
    }
    CHECK(verdict.decision == FEATURE_DENY);
    denied(broker, record, "publish", topic, verdict);
    *ret_reason = reason_of(verdict);
    if (!disconnects(broker, verdict)) return GATE_DENIED;
    session_disconnect(broker, session, (uint8_t)*ret_reason, verdict.what, SESSION_END_SERVER);
    return GATE_DONE;
}

/* ---- SUBSCRIBE --------------------------------------------------------------------------------------------------- */

static void code_append(struct features_shard *shard, uint32_t count, uint8_t code)
{
    if (count >= shard->codes_capacity) {
        shard->codes_capacity = shard->codes_capacity ? shard->codes_capacity * 2 : 64;
        shard->codes = memory_resize(shard->codes, shard->codes_capacity);
    }
    shard->codes[count] = code;
}

/* A SUBSCRIBE that waits at one of its filters: those before it are decided, and not asked about again. */
static void codes_lay_aside(const struct features_shard *shard, struct client_record *record, uint32_t count)
{
    if (count == 0) return;
    record->codes = memory_acquire(count);
    record->codes_count = count;
    memcpy(record->codes, shard->codes, count);
}

static uint32_t codes_take_back(struct features_shard *shard, struct client_record *record)
{
    uint32_t count = record->codes_count;
    for (uint32_t i = 0; i < count; i++)
        code_append(shard, i, record->codes[i]);
    memory_release(record->codes);
    record->codes = NULL;
    record->codes_count = 0;
    return count;
}

enum gate_result features_subscribe(struct broker_shard *broker, struct session *session, const struct mqtt_subscribe *subscribe,
                                    const uint8_t **ret_codes)
{
    struct features_shard *shard = broker->features;
    struct client_record *record = features_record_of(broker, session);
    if (!features_address(broker, record)) return GATE_UNREAD;
    struct span rest = subscribe->raw;
    struct mqtt_subscription subscription;
    uint32_t decided = codes_take_back(shard, record);
    for (uint32_t count = 0; mqtt_subscription_next(&rest, &subscription); count++) {
        if (count < decided) continue;
        extras_exclusive(broker, &subscription); /* the rules are about the topic that it will be given */
        struct feature_verdict verdict = ask_subscribe(broker, record, &subscription);
        PROBE(subscribe, record->facts.client_id.data, record->facts.client_id.bytes, verdict.decision, verdict.reason);
        if (UNLIKELY(broker->extras_bits & EXTRA_TRACE)) trace_verdict(broker, &record->facts, session, MQTT_SUBSCRIBE, subscription.full_filter, verdict);
        if (verdict.decision == FEATURE_LATER) {
            COUNT(broker, gates_later);
            codes_lay_aside(shard, record, count);
            features_wait(record);
            return GATE_UNREAD;
        }
        if (verdict.decision != FEATURE_DENY) {
            code_append(shard, count, 0);
            continue;
        }
        denied(broker, record, "subscribe", subscription.full_filter, verdict);
        if (disconnects(broker, verdict)) {
            session_disconnect(broker, session, (uint8_t)reason_of(verdict), verdict.what, SESSION_END_SERVER);
            return GATE_DONE;
        }
        code_append(shard, count, (uint8_t)reason_of(verdict));
    }
    *ret_codes = shard->codes;
    return GATE_PASSED;
}
