/* stats.h - the broker's counters: one table makes the struct, the names and the documentation.
 *
 * Each shard has one struct stats that it alone writes with plain additions; any thread may read it with stats_read(), which
 * may be a moment old. Gauges go up and down, counters only up. */
#ifndef RINGMQ_BASE_STATS_H
#define RINGMQ_BASE_STATS_H

#include <stdint.h>

/* name, documentation */
#define STATS_TABLE(X)                                                                                               \
    X(connections, "gauge: open sockets")                                                                            \
    X(connections_accepted, "sockets accepted")                                                                      \
    X(connections_refused, "sockets closed at once, before CONNECT: a limit or a list of the listener")                \
    X(refused_too_many, "of them: max_connections of the listener or the node")                                      \
    X(refused_no_descriptor, "of them: the process has no descriptor or memory left; the listener rests a moment")   \
    X(refused_address, "of them: the listener's allow and deny lists")                                               \
    X(refused_proxy, "of them: not one of the trusted proxies, on a listener with PROXY protocol")                   \
    X(accepts_delayed, "times a listener waited for max_conn_rate")                                                  \
    X(accept_crowds, "times connections came so fast that a shard began to gather them: it looks for them 5,000 times a second") \
    X(overload_level, "gauge: 0 as usual, 1 no new connections, 2 publishers are read more slowly, too")             \
    X(overloads, "times a shard became overloaded, or more so")                                                      \
    X(handshake_timeouts, "connections closed: PROXY header, TLS handshake or WebSocket upgrade not over in time")   \
    X(connections_moved, "connections moved to the session's home shard")                                            \
    X(clients_connected, "gauge: clients with an accepted CONNECT")                                                  \
    X(clients_closed, "clients that closed their connection without DISCONNECT")                                       \
    X(clients_reset, "clients whose connection broke")                                                               \
    X(clients_ended, "clients whose connection we ended without DISCONNECT: broken TLS or WebSocket, the broker stops") \
    X(connections_lost, "connections lost on their way to the session's home shard: no room there")                  \
    X(clients_refused, "CONNECT packets answered with an error")                                                     \
    X(clients_refused_version, "of them: a version of MQTT the listener does not speak, or none at all")            \
    X(clients_refused_identifier, "of them: the client id")                                                          \
    X(clients_refused_authorization, "of them: who they are, or say they are")                                       \
    X(clients_refused_banned, "of them: banned, or the address a proxy has named")                                   \
    X(clients_refused_quota, "of them: too many sessions")                                                           \
    X(sessions, "gauge: sessions, connected or not")                                                                 \
    X(sessions_resumed, "CONNECT packets that found their session")                                                  \
    X(sessions_expired, "sessions removed because their time was over")                                              \
    X(sessions_taken_over, "clients disconnected because their id connected again")                                  \
    X(subscriptions, "gauge: subscriptions of all sessions")                                                         \
    X(subscriptions_shared, "gauge: shared subscriptions among them")                                                \
    X(bytes_received, "bytes from clients")                                                                          \
    X(bytes_sent, "bytes to clients")                                                                                \
    X(packets_received, "MQTT packets from clients")                                                                 \
    X(packets_sent, "MQTT packets to clients")                                                                       \
    X(publish_received, "PUBLISH packets from clients")                                                              \
    X(publish_received_bytes, "their payload")                                                                       \
    X(publish_sent, "PUBLISH packets to clients")                                                                    \
    X(publish_sent_bytes, "their payload")                                                                           \
    X(publish_unmatched, "PUBLISH packets that matched no subscription")                                             \
    X(topics_scouted, "topics looked at before their message's turn came, among many filters")                       \
    X(topics_scouted_across, "those of them in other receives than the one at hand")                                 \
    X(deliveries_queued, "deliveries that had to wait in a session's queue")                                         \
    X(queued_messages, "gauge: deliveries waiting in sessions' queues")                                              \
    X(queued_bytes, "gauge: bytes they stand for")                                                                   \
    X(inflight_messages, "gauge: QoS 1 and 2 deliveries sent and not acknowledged")                                  \
    X(redeliveries, "PUBLISH and PUBREL packets sent again after a resume")                                          \
    X(dropped_queue_full, "deliveries dropped: the session's queue was full")                                        \
    X(dropped_node_full, "of these and of dropped_oldest: the queues of the whole node were full")                    \
    X(dropped_oldest, "deliveries dropped to make room (policy drop_oldest)")                                        \
    X(dropped_qos0_offline, "QoS 0 deliveries dropped: the client is away")                                          \
    X(dropped_qos0_slow, "QoS 0 deliveries dropped: the client does not read and its queue is full")                 \
    X(dropped_expired, "deliveries dropped: the message's expiry was over")                                          \
    X(dropped_too_large, "deliveries dropped: larger than the client's maximum packet size")                         \
    X(dropped_session_ended, "deliveries dropped: the session ended with them in its queue")                         \
    X(dropped_no_share_member, "messages of a shared subscription without a member left")                            \
    X(feature_publishes, "messages published by features")                                                           \
    X(feature_loops, "messages of features refused: published in answer to one another, over and over")              \
    X(dropped_retained_full, "retained messages not kept: a limit of retainer.* was reached")                       \
    X(dropped_store_full, "QoS 0 messages not queued or retained: the store on disk was full")                       \
    X(publishers_paused, "times a publisher was read more slowly")                                                   \
    X(publishers_held, "of them: until a queue or a lane had room")                                                  \
    X(subscribers_slow, "times a subscriber with a queue about to be full took too little for publishers to wait for it") \
    X(filters_pressed, "times publishers began to wait for the subscribers of a filter, whose queues were about to be full") \
    X(publishers_limited, "times a client was read more slowly because of a rate")                                    \
    X(deliveries_limited, "times a client's deliveries waited because of a rate")                                     \
    X(retained_expired, "retained messages removed because their expiry was over")                                    \
    X(topics_rewritten, "topics and filters that a rule has rewritten")                                               \
    X(rewrites_failed, "topics and filters refused: what a rule made of them is no topic")                            \
    X(rewrites_too_expensive, "topics and filters left as they are: the rule's expression took too many steps")       \
    X(auto_subscriptions_failed, "filters of auto_subscribe.topics that a client could not be given")                 \
    X(delayed_taken, "messages taken for later")                                                                      \
    X(delayed_published, "of them: published when their time had come")                                               \
    X(delayed_refused, "messages for later refused: too many, too long a delay, no such topic")                       \
    X(exclusive_refused, "subscriptions refused: another client has the topic for itself")                            \
    X(deliveries_slow, "deliveries slower than slow_subs.threshold")                                                  \
    X(retained_messages, "gauge: retained messages")                                                                 \
    X(retained_bytes, "gauge: their bytes")                                                                          \
    X(retained_shelved_messages, "gauge: of them, those whose payload is on disk only")                              \
    X(retained_shelved_bytes, "gauge: bytes of these payloads")                                                      \
    X(retained_shelved, "payloads of retained messages that went from memory to disk")                               \
    X(retained_fetched, "of them: read back, for a subscriber or for the API")                                       \
    X(wills_published, "will messages published")                                                                    \
    X(protocol_errors, "connections closed for a malformed packet or a protocol error")                              \
    X(filter_errors, "connections closed for a mistake in TLS, WebSocket or the PROXY header")                       \
    X(handshake_steps, "expensive steps of TLS handshakes taken: private-key operations, verifications")              \
    X(handshakes_waiting, "gauge: connections that wait for such a step")                                            \
    X(handshakes_parked, "gauge: connections that wait for the answer of an OCSP responder")                         \
    X(ocsp_asked, "client certificates looked up: at a responder, or at an earlier answer")                          \
    X(ocsp_cached, "of them: an earlier answer that is still good")                                                  \
    X(ocsp_revoked, "of them: revoked, so the client may not come in")                                               \
    X(ocsp_unknown, "of them: unknown to the responder, so the client may not come in")                              \
    X(ocsp_unanswered, "of them: no answer, or none that could be verified; ocsp_check says what then")              \
    X(keep_alive_timeouts, "connections closed: nothing heard for 1.5 times the keep-alive")                         \
    X(connect_timeouts, "connections closed: no CONNECT in time")                                                    \
    X(messages_stored, "gauge: message objects alive")                                                               \
    X(message_bytes, "gauge: bytes of message objects")                                                              \
    X(pool_bytes, "gauge: bytes of the shard's pools")                                                               \
    X(turns, "turns of the shard's loop")                                                                            \
    X(turns_cut, "of them: ended with received packets left over, since io.turn_budget was spent")                  \
    X(turns_unsent, "of them: ended with something to send left over, since there was so much (io.turn_budget)")     \
    X(completions, "io_uring completions handled")                                                                   \
    X(sends, "send operations")                                                                                      \
    X(lane_records, "records sent to other shards")                                                                  \
    X(lanes_published, "times what a turn had sent to another shard was made visible there: once a turn and lane at most") \
    X(lane_overflows, "records that found their lane full and waited")                                               \
    X(lane_fill, "gauge: how full the fullest lane to a shard was within its last second awake, in thousandths (look at each shard: the sum says nothing)") \
    X(wakeups_sent, "sleeping shards woken")                                                                         \
    X(receive_stalls, "receives that found no free buffer and waited")                                               \
    X(match_cache_misses, "topics resolved through the route index")                                                 \
    X(durable_commits, "group commits on disk")                                                                      \
    X(durable_bytes, "bytes they took")                                                                              \
    X(durable_waits, "gauge: answers and messages that wait for a commit")                                           \
    X(durable_write_failures, "segments given up because a write or sync failed")                                    \
    X(durable_read_failures, "queued and retained messages that could not be read from the disk; they wait there")   \
    X(durable_refused, "PUBLISH, SUBSCRIBE and CONNECT packets refused: the disk takes nothing")                     \
    X(durable_checkpoints, "times that what lives was written once more")                                            \
    X(queues_spilled, "gauge: sessions whose queue is partly on disk only")                                          \
    X(spilled_messages, "gauge: queued messages that are on disk only")                                              \
    X(spilled_bytes, "gauge: their bytes, as queues count them")                                                     \
    X(dropped_damaged, "queued messages lost because the store was damaged; deliveries of retained ones that it has lost") \
    X(trace_records, "records for traces")                                                                           \
    X(trace_records_lost, "records that found no room on their way to a trace: it says so itself")                   \
    X(gates_denied, "CONNECT, AUTH, PUBLISH packets and filters denied by a feature")                                \
    X(gates_later, "times a packet waited for a feature's verdict")                                                  \
    X(gates_remembered, "PUBLISH packets like their client's last one, which all features had let pass: nobody was asked") \
    X(tap_events, "events for features")                                                                             \
    X(tap_events_lost, "events that found their ring full")

struct stats {
#define STATS_FIELD(name, documentation) uint64_t name;
    STATS_TABLE(STATS_FIELD)
#undef STATS_FIELD
};

#define STATS_COUNT (sizeof(struct stats) / sizeof(uint64_t))

/* By the owning shard only. A relaxed load and store, so that readers see whole values and nothing is locked. */
static inline void stats_count(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

static inline uint64_t stats_read(const uint64_t *counter) { return __atomic_load_n(counter, __ATOMIC_RELAXED); }

extern const char *const stats_names[STATS_COUNT];
extern const char *const stats_documentation[STATS_COUNT];

/* Adds every counter of `from` to `sum`. Any thread. */
void stats_add(struct stats *sum, const struct stats *from);

#endif
