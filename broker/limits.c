#include "broker/limits.h"

#include "base/memory.h"
#include "broker/broker.h"

static uint32_t own_or(uint32_t own, uint32_t inherited) { return own == LISTENER_INHERIT ? inherited : own; }
static bool own_switch(uint8_t own, bool inherited) { return own == SWITCH_INHERIT ? inherited : own == SWITCH_ON; }

static void compute(struct limits_entry *entry, const struct mqtt_settings *mqtt)
{
    struct limits *limits = &entry->limits;
    limits->packet_bytes_max = own_or(entry->packet_bytes_max, mqtt->packet_bytes_max);
    limits->receive_max = (uint16_t)own_or(entry->receive_max, mqtt->receive_max);
    limits->topic_alias_max = (uint16_t)own_or(entry->topic_alias_max, mqtt->topic_alias_max);
    limits->keep_alive_max_s = (uint16_t)own_or(entry->keep_alive_max_s, mqtt->keep_alive_max_s);
    limits->qos_max = (uint8_t)own_or(entry->qos_max, mqtt->qos_max);
    limits->retain_available = own_switch(entry->retain_available, mqtt->retain_available);
    limits->wildcard_available = own_switch(entry->wildcard_available, mqtt->wildcard_available);
    limits->shared_available = own_switch(entry->shared_available, mqtt->shared_available);
    limits->topic_levels_max = (uint16_t)own_or(entry->topic_levels_max, mqtt->topic_levels_max);
    limits->subscriptions_max = own_or(entry->subscriptions_max, mqtt->subscriptions_max);
    limits->check_payload_utf8 = mqtt->payload_format_check;
}

/* Is there anything that a PUBLISH must be held against? */
static void look_for_narrow(struct broker_shard *broker)
{
    broker->limits_narrow = false;
    for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
        const struct limits *limits = &broker->limits[i].limits;
        broker->limits_narrow |= broker->limits[i].made && (limits->qos_max < 2 || !limits->retain_available);
    }
}

void limits_prepare(struct broker_shard *broker, uint8_t number)
{
    struct limits_entry *entry = &broker->limits[number];
    const struct listener *listener = &broker->shard->group->listeners[number];
    if (entry->made && entry->listener_version == listener->version) return;
    const struct listener_settings *settings = listener->settings;
    struct rates *rates = entry->rates;
    *entry = (struct limits_entry){.rates = rates,
                                   .listener_version = listener->version,
                                   .made = true,
                                   .packet_bytes_max = settings->packet_bytes_max,
                                   .receive_max = settings->receive_max,
                                   .topic_alias_max = settings->topic_alias_max,
                                   .keep_alive_max_s = settings->keep_alive_max_s,
                                   .qos_max = settings->qos_max,
                                   .subscriptions_max = settings->subscriptions_max,
                                   .topic_levels_max = settings->topic_levels_max,
                                   .retain_available = settings->retain_available,
                                   .wildcard_available = settings->wildcard_available,
                                   .shared_available = settings->shared_available};
    entry->limits.keep_alive_min_s = (uint16_t)settings->keep_alive_min_s;
    entry->limits.versions = (uint8_t)mqtt_versions_parse(span_of_string(settings->protocol_versions));
    memcpy(entry->client_rates, settings->rates, sizeof entry->client_rates);
    memcpy(entry->total_rates, settings->total_rates, sizeof entry->total_rates);
    compute(entry, &broker->settings->mqtt);
    look_for_narrow(broker);
    rates_prepare(broker, number);
}

void limits_release(struct broker_shard *broker)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        memory_release(broker->limits[i].rates);
}

void limits_change(struct broker_shard *broker)
{
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        if (broker->limits[i].made) compute(&broker->limits[i], &broker->settings->mqtt);
    look_for_narrow(broker);
    rates_change(broker);
}
