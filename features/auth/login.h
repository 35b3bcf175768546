/* login.h - a client's login on its shard: what is between its CONNECT and the verdict, and what stays while it is connected.
 *
 *     new ─► WAITING (a job is under way; the gate says LATER) ─► DECIDED ─► applied: PASS or DENY, as often as asked
 *     new ─► SCRAM (challenge sent; the gate said CONTINUE)    ─► PROVED  ─► … ─► DECIDED
 * Owner: client->slots[slot], until client_gone(). A job outlives it: it comes back by feature_post() and finds nobody.
 * Threads: the shard's. */
#ifndef RINGMQ_FEATURES_AUTH_LOGIN_H
#define RINGMQ_FEATURES_AUTH_LOGIN_H

#include "base/list.h"
#include "broker/feature.h"
#include "features/auth/chain.h"
#include "features/auth/scram.h"

/* The feature's, one per process; counters are written by all shards. */
struct auth_state {
    struct auth_cache *cache;
    struct auth_throttle *throttle;
    uint8_t scram_seed[32];
    _Atomic uint64_t logins, cached, allowed, denied, unavailable, busy, throttled, scram, refreshed;
};

struct auth_prepared {
    struct auth_settings settings; /* ours, texts included */
    struct auth_chain *chain;
    struct auth_state *state;
    struct auth_asked *asked; /* authorize.h; NULL: nobody to offer it to */
};

/* What a shard keeps: clients whose rules are asked for again from time to time, the one that is due first at the front. */
struct auth_shard {
    struct list refreshing;
    struct feature_post look; /* the control thread's wish that it looks for those that are due; `looking`: it is under way */
    atomic_bool looking, started; /* started: posts may be sent there */
};

/* Without password. The attributes' room is the caller's. */
struct auth_query login_query(const struct feature_client *client, struct auth_attribute attributes[AUTH_ATTRIBUTES_MAX]);
struct feature_verdict login_connect(struct feature_shard *shard, struct feature_client *client, const struct mqtt_connect *connect);
struct feature_verdict login_authenticate(struct feature_shard *shard, struct feature_client *client, const struct mqtt_auth *auth);
void login_describe(struct feature_shard *shard, const struct feature_client *client, struct feature_verdict verdict, char *ret_text, size_t bytes);
void login_gone(struct feature_shard *shard, struct feature_client *client);
/* On the control thread: has the shard ask again for rules that have grown old. Only while it turns. */
void login_look_for_old(struct feature_node *node, uint32_t shard, struct auth_shard *own);

#endif
