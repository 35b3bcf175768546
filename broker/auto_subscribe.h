/* auto_subscribe.h - subscriptions that every client gets at CONNECT, without asking.
 *
 *     FILTER [qos=0|1|2] [nl] [rap] [rh=0|1|2]      c/${client_id}/# qos=1
 *
 * As if the client had sent a SUBSCRIBE right after its CONNACK, but for the SUBACK: limits and rules hold, retained messages come. The
 * client may unsubscribe. Placeholders: those of base/placeholder.h; where one has no value, or one that is more than a level, the
 * entry is passed over and logged.
 *
 * Owner: struct extras. Threads: immutable. */
#ifndef RINGMQ_BROKER_AUTO_SUBSCRIBE_H
#define RINGMQ_BROKER_AUTO_SUBSCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/client_names.h"

struct broker_shard;
struct session;

#define AUTO_SUBSCRIBE_MAX 64

struct auto_subscribe;

struct auto_subscribe *auto_subscribe_create(struct span text, bool *ret_wants_user_name, char *ret_error, size_t error_bytes);
void auto_subscribe_release(struct auto_subscribe *list); /* accepts NULL */

struct auto_subscription {
    struct span filter; /* with its placeholders */
    uint8_t qos, retain_handling;
    bool no_local, retain_as_published;
};
const struct auto_subscription *auto_subscribe_entries(const struct auto_subscribe *list, uint32_t *ret_count);
/* The entry's filter for this client into `buffer`; empty: it has none. */
struct span auto_subscribe_filter(const struct auto_subscription *entry, const struct client_names *names, uint8_t *buffer, size_t bytes);

#endif
