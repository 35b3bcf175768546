/* broker.h - the broker: what a packet means. One struct broker a node, one struct broker_shard a shard.
 *
 * Files: connect.c (CONNECT, takeover, DISCONNECT), publish_in.c (PUBLISH in), publish.c (fan-out), ack.c (PUBACK … PUBCOMP), subscribe.c,
 *        doors.c, limits.c, mount.c (what the listener they came by does to clients), session.c and deliver.c (a session's life and what goes out to it), retained.c, will.c, sys.c ($SYS), packets.c
 *        (from bytes to those), records.c (what shards tell each other), features.h (the frame of features), broker.c (start, turn, stop).
 * Threads: a shard touches its own struct broker_shard, and of struct broker only what is constant or atomic. */
#ifndef RINGMQ_BROKER_BROKER_H
#define RINGMQ_BROKER_BROKER_H

#include <stdatomic.h>

#include "base/check.h"
#include "base/map.h"
#include "base/settings.h"
#include "broker/deliver_plain.h"
#include "broker/watch/droplog.h"
#include "broker/durable/durable.h"
#include "broker/extras.h"
#include "broker/features/features.h"
#include "broker/holds.h"
#include "broker/limits.h"
#include "broker/pressure.h"
#include "broker/probes.h"
#include "broker/rates.h"
#include "broker/reasons.h"
#include "broker/session.h"
#include "broker/watch/trace.h"
#include "engine/node.h"
#include "proto/packet.h"
#include "router/match_cache.h"
#include "router/retain.h"
#include "router/route_index.h"
#include "router/share.h"
#include "router/sinks.h"

struct broker {
    const struct settings *settings; /* those the node started with: tables are sized by them */
    uint32_t shards_count;
    struct qsbr qsbr;
    struct route_index *routes;
    uint64_t hash_seed;
    uint64_t started_ms;             /* monotonic; written by shard 0 before it turns */
    _Atomic uint32_t sessions_count; /* for mqtt.sessions_max */
    _Atomic uint32_t sys_filters;    /* filters below $SYS, on all shards */
    _Atomic uint32_t settings_taken; /* shards that use the newest settings (reload) */
    struct store *store;             /* NULL: durability is off */
    struct spill *spill;             /* NULL: long queues stay in memory */
    const struct state *recovered;   /* what was found at start, until all shards have started */
    _Atomic uint32_t restoring;      /* shards whose restored routes are not all laid */
    struct inspect *_Atomic inspected; /* broker/watch/inspect.h: answered, a stack */
    int inspected_wake;              /* eventfd; -1: nobody asks. Set before the shards start */
    struct features *features;       /* NULL: none */
    struct broker_shard *shards[SHARDS_MAX];
    struct rate_clocks rate_clocks;
    struct pressure pressure;
    struct extras *extras;           /* the newest; the control thread's */
    struct exclusive exclusive;
    struct user_quota user_quota;
    _Atomic uint32_t delayed_count;  /* messages that wait for their time */
    struct trace_node *trace;        /* NULL: nobody can trace. Set before the shards start */
};

enum slow_work { SLOW_REMAINS = 1, SLOW_RATES = 2, SLOW_FANOUT = 4 };

struct fanout_entry {
    struct session *session;
    uint8_t qos;
    bool retain;
    uint32_t ids_first, ids_count; /* into fanout_ids */
    uint32_t filter;               /* the first by which it came */
};

struct broker_shard {
    struct broker *broker;
    struct shard *shard;
    const struct settings *settings; /* newest; changed by RECORD_SETTINGS */
    struct map sessions;
    struct sinks *sinks;
    struct match_cache *matches;
    bool scouts;                     /* the match cache wants topics to be scouted (publish_ahead.c) */
    uint32_t packets_ahead;          /* so many that come now have been; 0 at the beginning of a turn */
    struct share_state *share;
    struct retain_store *retained;
    struct list kicked;              /* sessions to disconnect at the end of the turn */
    struct list paused;              /* sessions whose publishing rests for a slice of time */
    struct list held;                /* those that wait for room in a queue or a lane (broker/pressure.h) */
    struct list resuming;            /* those whose waiting is over */
    struct list pressed;             /* struct pressed: sessions whose queue is about to be full */
    struct timer pressure_timer;
    uint32_t eased_seen;             /* pressure.eased when this shard last looked */
    bool lanes_blocked, lanes_opened; /* a message has found a lane full; none is any more */
    struct list requests;            /* SUBSCRIBE packets waiting for routes or for the grace period */
    struct list remains;             /* of ended sessions (broker/remains.h) */
    struct map_walk rates_walk;      /* over the sessions, to tell them of changed rates */
    struct fanout *fanout_now;       /* broker/fanout.h; NULL: none */
    uint32_t fanout_parts;           /* subscribers from which on a fan-out is done in parts */
    uint8_t slow_work;               /* enum slow_work: what goes on in parts, turn after turn */
    struct list queries;             /* all retained queries of this shard's sessions */
    struct list queries_ready;       /* those to be sent out in this turn */
    struct list scans;               /* retained scans to go on with, for any shard */
    struct list scans_waiting;       /* those that wait until less is being fetched (broker/retained/shelf.h) */
    struct list inspections;         /* questions of the admin API (broker/watch/inspect.h); and those whose addresses are on their way: */
    struct list inspections_asking;
    struct list inspections_elsewhere; /* those whose routes are being laid, or whose payload is read from the shelf */
    struct timer inspect_timer;
    uint64_t inspect_ns;             /* time spent on them so far: stats_read() */
    struct timer pause_timer, sys_timer;
    bool stopping;
    struct reasons reasons;

    uint32_t fanout_stamp;
    struct fanout_entry *fanout;     /* scratch: overlapping subscriptions merged per session */
    uint32_t fanout_count, fanout_capacity;
    uint32_t *fanout_ids;            /* scratch: (entry, id) pairs, then the ids of one entry */
    uint32_t fanout_ids_count, fanout_ids_capacity;
    uint8_t *properties;             /* scratch: the forwardable properties of the PUBLISH at hand */
    size_t properties_capacity;
    struct plain plain;              /* scratch: the packet of the publication at hand, as most clients get it */
    struct message *release_pending[SHARDS_MAX]; /* half a record */
    uint64_t release_owners;         /* of which shards there is one */
    const struct route_memory *retired; /* what this shard has taken out of the route index */
    uint8_t *mounted;                /* scratch: a topic with its mount point */
    size_t mounted_capacity;
    uint64_t identities;             /* given to retained messages so far */
    struct sys_load *load;           /* moving averages of $SYS, on shard 0 */
    struct limits_entry limits[LISTENERS_MAX]; /* by listener */
    struct node_rates node_rates;
    struct {
        uint64_t turn, messages, bytes;
    } others_queued;           /* what waits on the other shards, as of that turn (0: never looked) */
    bool limits_narrow; /* one of them refuses QoS 1 or 2 or retained messages: only then a PUBLISH is held against them */
    uint32_t extras_bits;            /* enum extra: what is on */
    const struct extras *extras;
    struct rewrite_scratch *rewrite_scratch; /* NULL: no rules yet */
    struct slow_subs slow_subs;
    struct timer metrics_timer, sweep_timer;
    struct retain_cursor *sweep;     /* expired retained messages are being removed; NULL: not now */
    struct list delayed;             /* timers of waiting messages */
    uint32_t delayed_removed;        /* of them: whose message was removed by an administrator */
    struct trace_shard *trace;       /* broker/watch/trace.h; NULL: there was none yet */
    struct droplog *drops;           /* broker/watch/droplog.h; NULL: nothing was dropped yet */
    struct durable_shard *durable;   /* NULL: durability is off */
    uint8_t durable_doors;           /* broker/durable/durable.h: DURABLE_STUCK, …; 0 without a store */
    bool answers_wait;               /* acknowledgements of PUBLISH may have to wait: for the disk, or for a sink of a feature (then for good) */
    bool sinks_hold;                 /* … for a sink of a feature, which may refuse one: each acknowledgement waits by itself */
    uint32_t moments;                /* FEATURE_BIT()s that some feature is attached to */
    _Atomic(struct features_shard *) features; /* NULL: none */
};

/* The one test that a moment costs which nobody is attached to. */
static inline bool feature_attached(const struct broker_shard *broker, uint32_t moments) { return UNLIKELY((broker->moments & moments) != 0); }
/* A tap and its probe; the arguments are looked at only when somebody is attached. */
#define TAP_TELL(broker, moment, version, client_hash, text, reason, value)                                          \
    do {                                                                                                             \
        struct span tap_text_ = (text);                                                                              \
        PROBE(moment, tap_text_.data, tap_text_.bytes, (uint8_t)(reason), (uint32_t)(value));                        \
        if (feature_attached(broker, FEATURE_TAP(moment)))                                                           \
            features_tap(broker, FEATURE_TAP_##moment, (uint8_t)(version), client_hash, tap_text_, (uint8_t)(reason), (uint32_t)(value)); \
    } while (0)

extern const struct shard_handler broker_handler;

/* Makes the node-wide part and one part per shard; `settings` must outlive it. `seed` keys the hash tables: random in a server,
 * chosen in the simulation. */
struct broker *broker_create(const struct settings *settings, uint32_t shards_count, uint64_t seed);
void broker_destroy(struct broker *broker);
void *const *broker_aboves(struct broker *broker);

static inline struct broker_shard *broker_of(struct shard *shard) { return shard->above; }
/* What this connection's client may do. */
static inline const struct limits *limits_of(const struct broker_shard *broker, const struct conn *conn)
{
    return &broker->limits[conn->listener].limits;
}
static inline struct stats *broker_stats(struct broker_shard *broker) { return &broker->shard->stats; }
#define COUNT(broker, name)       stats_count(&broker_stats(broker)->name, 1)
#define COUNT_BY(broker, name, n) stats_count(&broker_stats(broker)->name, (uint64_t)(n))
#define UNCOUNT(broker, name)     stats_count(&broker_stats(broker)->name, (uint64_t)-1)

/* Who owns what (design §6, §7, §9a): the only places that know. */
static inline uint32_t broker_home(const struct broker *broker, uint64_t client_hash)
{
    return (uint32_t)(client_hash % BUCKETS) % broker->shards_count;
}
static inline uint32_t broker_retained_owner(const struct broker *broker, uint64_t topic_hash)
{
    return (uint32_t)(topic_hash % BUCKETS) % broker->shards_count;
}

/* Tells all clients that the server stops and ends their connections; the shard ends when the last one has gone. */
void broker_stop_clients(struct broker_shard *broker);

/* ---- packets.c -------------------------------------------------------------------------------------------------- */

struct conn_progress packets_received(struct shard *shard, struct conn *conn, struct span bytes);
/* The same without a look at traces. */
struct conn_progress packets_take(struct shard *shard, struct conn *conn, struct span bytes);
/* While broker->scouts, before the packet at the beginning of `bytes` is handled: fetches what it and the next ones will touch (publish_ahead.c), which are packets_ahead more. */
void publish_ahead(struct broker_shard *broker, const struct session *session, struct span bytes);
/* Encodes a (rare) packet into the connection's stage. A packet larger than the client's maximum loses its reason string and
 * user properties; returns false when it is too large even so (nothing is sent). */
bool packet_send(struct broker_shard *broker, struct conn *conn, enum mqtt_version version, uint32_t packet_bytes_max,
                 struct mqtt_packet *packet);
/* The peer broke the protocol: DISCONNECT (MQTT 5) or nothing, and the end. */
void packet_error(struct broker_shard *broker, struct conn *conn, enum mqtt_reason reason, const char *what);

/* ---- connect.c -------------------------------------------------------------------------------------------------- */

/* *ret_unread: the packet stays unread; the connection moves, or waits. *ret_exchange: an exchange of AUTH packets has begun
 * (features_exchange_keep()). Both are left alone otherwise. */
void connect_handle(struct broker_shard *broker, struct conn *conn, const struct mqtt_connect *connect, bool *ret_unread,
                    bool *ret_exchange);
/* packet_bytes_max: the client's; 0 when it named none, or when it is not known. */
void connect_refuse(struct broker_shard *broker, struct conn *conn, enum mqtt_version version, uint32_t packet_bytes_max,
                    enum mqtt_reason reason, const char *what);
void disconnect_handle(struct broker_shard *broker, struct session *session, const struct mqtt_disconnect *disconnect);
void keep_alive_start(struct broker_shard *broker, struct session *session);

/* ---- publish.c -------------------------------------------------------------------------------------------------- */

/* True: it stays unread, a gate wants time. */
bool publish_handle(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish);
/* Packets behind a PUBLISH that was handled, as many of them as are like it and can go the shortest way (publish_again.c): *ret_consumed bytes. False: none was, and the next
 * ones in this receive hardly will be. */
bool publish_again(struct broker_shard *broker, struct session *session, const struct mqtt_publish *publish, struct span bytes, size_t *ret_consumed);
/* One in so many publishes is followed through the turn: three readings of the clock, about 1 ns a message on average. */
#define PUBLISH_SAMPLED_EVERY 64
/* The reason for which a client's PUBLISH is refused before anybody looks at its topic, or SUCCESS. */
enum mqtt_reason publish_judge(const struct broker_shard *broker, const struct session *session, const struct mqtt_publish *publish);
/* Gives a publication to all who want it, on all shards, and to the retained store when its retain flag is set.
 * False: nobody wanted it. */
bool publication_publish(struct broker_shard *broker, struct publication *publication);
/* Gives it to the sinks of this shard's filters. */
void publication_deliver(struct broker_shard *broker, struct publication *publication, const uint32_t *local_ids,
                         uint32_t count);
/* So many deliveries cost about what taking a packet in does: for shard_turn_work(). */
#define FANOUT_WORK 4
/* To one filter's sinks: broker/deliver_plain.c. */
void publication_deliver_filter(struct broker_shard *broker, struct publication *publication, uint32_t local_id);
/* To one of them, which wants it; false: it does not go the short way. */
bool publication_deliver_plain(struct broker_shard *broker, struct publication *publication, const struct sink *sink);
void publication_deliver_sinks(struct broker_shard *broker, struct publication *publication, struct sinks_view view);
/* Nobody counts what goes out, or looks at it. */
static inline bool shard_is_plain(const struct broker_shard *broker) { return !(broker->extras_bits & (EXTRA_METRICS | EXTRA_TRACE)); }
/* A run that has come from another shard to one filter's sinks, at once; false: some of them don't take it so, and nobody has got any of it. */
bool publication_run_deliver(struct broker_shard *broker, const struct lane_cell *cells);
/* What one subscription makes of a message (§3.3.1.2, §3.3.1.3, §3.8.3.1). */
static inline bool subscription_wants(const struct sink *sink, const struct publication *publication)
{
    return sink->who && !(sink->no_local && sink->who == publication->publisher);
}
static inline struct delivery_options subscription_options(const struct sink *sink, const struct publication *publication)
{
    return (struct delivery_options){.qos = sink->qos < publication->qos ? sink->qos : publication->qos,
                                     .retain = publication->retain && sink->retain_as_published,
                                     .subscription_id = sink->subscription_id};
}
/* Gives it to one member of a shared group of this shard; false: there is none. */
bool publication_deliver_shared(struct broker_shard *broker, struct publication *publication, uint32_t local_id,
                                uint8_t strategy, const struct share_keys *keys);
/* The same in two steps: whose turn it is, and what becomes of it then. */
struct share_choice publication_share_choose(struct broker_shard *broker, struct sinks_view view, uint32_t local_id, uint8_t strategy,
                                             const struct share_keys *keys);
bool publication_deliver_chosen(struct broker_shard *broker, struct publication *publication, uint32_t local_id, struct sinks_view view,
                                struct share_choice choice);
/* Reads the publisher more slowly for a while: broker/pressure.c. */
void publisher_pause(struct broker_shard *broker, struct session *session);
/* It has taken something from its queue or its window; and for how long it has taken nothing: by shard.heard_ms, nobody else's business. */
static inline void session_took(const struct broker_shard *broker, struct session *session) { session->progress_ms = (uint32_t)broker->shard->heard_ms; }
static inline uint32_t session_took_nothing_ms(const struct broker_shard *broker, const struct session *session)
{
    uint32_t ms = (uint32_t)broker->shard->heard_ms - session->progress_ms;
    DCHECK(ms <= INT32_MAX); /* else it was noted by another clock */
    return ms;
}
/* Somebody's queue is about to be full, or a lane is: publishers have to look (broker/pressure.h). */
static inline bool pressure_any(const struct broker_shard *broker)
{
    return UNLIKELY(broker->lanes_blocked) || UNLIKELY(atomic_load_explicit(&broker->broker->pressure.marked, memory_order_relaxed) != 0);
}

/* ---- ack.c ------------------------------------------------------------------------------------------------------ */

void ack_handle(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type,
                const struct mqtt_ack *ack);
/* ack_handle() of the PUBACKs that `bytes` begin with (mqtt_puback_at() of them is not 0), whatever they say, and counts them. Returns their bytes, those of one at least. */
size_t pubacks_handle(struct broker_shard *broker, struct session *session, struct span bytes);
void ack_send(struct broker_shard *broker, struct session *session, enum mqtt_packet_type type, uint16_t packet_id,
              enum mqtt_reason reason);

/* ---- subscribe.c ------------------------------------------------------------------------------------------------ */

/* True: it stays unread, a gate wants time. */
bool subscribe_handle(struct broker_shard *broker, struct session *session, const struct mqtt_subscribe *subscribe);
void unsubscribe_handle(struct broker_shard *broker, struct session *session, const struct mqtt_unsubscribe *unsubscribe);
/* The subscriptions that every client gets. */
void subscriptions_give(struct broker_shard *broker, struct session *session);
/* SUBACK may go: the subscriptions are on disk. */
void request_stored(struct broker_shard *broker, struct subscribe_request *request);
/* Lays a subscription again, at start. All of them go through one request: begin, any number of subscriptions, end; when the last
 * route is laid, broker->restoring is counted down. */
struct subscribe_request *subscriptions_restore_begin(struct broker_shard *broker);
void subscription_restore(struct broker_shard *broker, struct session *session, const struct stored_subscription *stored,
                          struct subscribe_request *request);
void subscriptions_restore_end(struct broker_shard *broker, struct subscribe_request *request);
/* In place of its client, which is connected: the code that SUBACK would have had. It gets no SUBACK, but retained messages. Unless the
 * code is an error, inspect_subscribed(tells) follows where the SUBACK would have left, perhaps before this returns. */
enum mqtt_reason subscription_add_for(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription,
                                      struct inspect *tells);
enum mqtt_reason subscription_remove_for(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription);
/* Those of a feature's sink; its filter has been looked at. `local`: it wants what is published on this shard, whoever else does. */
enum mqtt_reason sink_subscription_add(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, uint32_t id, bool local);
bool sink_subscription_remove(struct broker_shard *broker, struct session *session, const struct mqtt_subscription *subscription, bool local);
/* Removes all subscriptions of a session that ends; `remain`: they stay in the tables until subscriptions_end_some() has come to them. */
void subscriptions_end(struct broker_shard *broker, struct session *session, bool remain);
void subscriptions_end_some(struct broker_shard *broker, struct session *session, uint32_t most);
/* Another shard's request to the writer of a partition, and the answer. */
void route_record(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells);
/* SUBSCRIBE packets whose routes are laid and whose grace period may be over. True: some wait, look again next turn. */
bool subscribe_turn(struct broker_shard *broker);
void requests_release(struct broker_shard *broker);

/* ---- retained.c ------------------------------------------------------------------------------------------------- */

struct retained_query;
/* Stores (or, with an empty payload, removes) the publication's message at the topic's owner. */
void retained_store(struct broker_shard *broker, struct publication *publication);
/* A query for the retained messages that match, on hold: from now on it remembers what reaches the session live, so that nothing
 * is delivered a second time as retained. retained_go() lets it begin, at the session's pace; every query must be let go. */
struct retained_query *retained_hold(struct broker_shard *broker, struct session *session, struct span filter, uint8_t qos,
                                     uint32_t subscription_id);
/* Of this shard's own messages alone. */
void retained_hold_local(struct broker_shard *broker, struct retained_query *query);
void retained_go(struct broker_shard *broker, struct retained_query *query);
/* The session, which has queries, may have got room for more. */
void retained_wake(struct broker_shard *broker, struct session *session);
/* A message with the retain flag is being delivered live to a session that has queries. */
void retained_seen(struct broker_shard *broker, const struct session *session, const struct publication *publication);
/* Removes the topic's message, without telling subscribers; on the topic's owner. False: there was none. */
bool retained_remove(struct broker_shard *broker, struct span topic);
/* Its time is over and whoever comes across it should take it out. Not of delayed messages, which have timers. */
bool retained_is_over(const struct broker_shard *broker, struct span topic, const struct message *message);
/* How many there are, for the metrics: after any of them were taken out by a scan of somebody else's. */
void retained_show(struct broker_shard *broker);
/* One that was stored, at start. */
void retained_put(struct broker_shard *broker, struct span topic, struct message *message);
/* What is kept under this very name, or NULL; the reference is the caller's. Names of delayed messages and features only, which are never on the shelf. And away
 * with it. */
struct message *retained_get(struct broker_shard *broker, struct span name);
void retained_drop(struct broker_shard *broker, struct span name);
/* Keeps it (an empty payload: removes) on this shard, which owns the name, whatever the settings say of retained messages of clients. False: no room. */
bool retained_change(struct broker_shard *broker, struct publication *publication);
void retained_record(struct broker_shard *broker, uint32_t from, const struct lane_cell *cells);
/* Goes on with scans and queries. True: there is more to do at once. */
bool retained_turn(struct broker_shard *broker);
/* Less is being fetched from the shelf. */
void retained_scans_resume(struct broker_shard *broker);
/* The session ends: its queries are forgotten. */
void retained_forget(struct broker_shard *broker, struct session *session);
/* … those for this filter: it was unsubscribed. The session has queries. */
void retained_cancel(struct session *session, struct span filter);
void retained_set_limits(struct broker_shard *broker);
/* Expired ones go every retainer.msg_clear_interval: (re)starts the clock by the newest settings. */
void retained_sweep_start(struct broker_shard *broker);
void retained_start(struct broker_shard *broker);
void retained_stop(struct broker_shard *broker);

/* ---- will.c ----------------------------------------------------------------------------------------------------- */

/* Where a will is published: rewritten, and with the session's mount point; in the shard's scratch. Empty: it is too long with that. `told`: once a will, see
 * extras_rewrite_will(). */
struct span will_topic(struct broker_shard *broker, const struct session *session, const struct client_names *names, struct span topic, bool told);
void will_set(struct broker_shard *broker, struct session *session, const struct mqtt_will *will);
/* Publishes it now, or after its delay. */
void will_due(struct broker_shard *broker, struct session *session, bool after_delay);
void will_forget(struct broker_shard *broker, struct session *session);
/* One of a stored session, at start. */
void will_restore(struct broker_shard *broker, struct session *session, const struct stored_will *will);

/* ---- sys.c ------------------------------------------------------------------------------------------------------ */

/* $SYS/broker/… is published by shard 0 while anybody subscribes to a filter below $SYS. */
void sys_start(struct broker_shard *broker);
void sys_stop(struct broker_shard *broker);
void sys_filter_added(struct broker_shard *broker, struct span filter);
void sys_filter_removed(struct broker_shard *broker, struct span filter);
void sys_wake(struct broker_shard *broker);

#endif
