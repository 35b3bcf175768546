/* metrics_table.h - the metrics that are not in a table elsewhere. type, name, labels, documentation */
#ifndef RINGMQ_ADMIN_METRICS_TABLE_H
#define RINGMQ_ADMIN_METRICS_TABLE_H

#define METRICS_TABLE(X)                                                                                                           \
    X(GAUGE, ringmq_build_info, "version, node", "1; the labels say what runs")                                                    \
    X(GAUGE, ringmq_uptime_seconds, "", "time since the start")                                                                    \
    X(GAUGE, ringmq_shards, "", "threads that serve clients")                                                                      \
    X(COUNTER, ringmq_shard_cpu_seconds, "shard", "processor time of a shard's thread")                                            \
    X(COUNTER, ringmq_shard_admin_seconds, "shard", "of it: spent on questions of the admin API")                                   \
    X(COUNTER, ringmq_connects_refused, "reason", "CONNECT packets refused, by the reason code of CONNACK")                         \
    X(COUNTER, ringmq_clients_disconnected, "by, reason", "clients disconnected by the server or by themselves, by the reason code of DISCONNECT (for MQTT 3: the one it would have been)") \
    X(COUNTER, ringmq_publishes_refused, "reason", "PUBLISH packets without effect whose client stays connected, by the reason code of PUBACK and PUBREC") \
    X(COUNTER, ringmq_subscribes_refused, "reason", "filters of SUBSCRIBE packets refused, by the reason code of SUBACK")           \
    X(COUNTER, ringmq_unsubscribes_refused, "reason", "filters of UNSUBSCRIBE packets that were not there or are none, by the reason code of UNSUBACK") \
    X(GAUGE, ringmq_listener_connections, "listener", "connections that came by a listener")                                       \
    X(GAUGE, ringmq_listener_up, "listener", "1: the listener is open; 0: it is not, though it is enabled")                         \
    X(COUNTER, ringmq_listener_accepted, "listener", "sockets accepted")                                                           \
    X(COUNTER, ringmq_listener_refused, "listener, reason", "sockets closed at once")                                              \
    X(COUNTER, ringmq_listener_failed, "listener, reason", "connections closed before CONNECT: too slow, or not what the listener speaks") \
    X(COUNTER, ringmq_listener_clients_accepted, "listener", "CONNECT packets accepted")                                           \
    X(COUNTER, ringmq_listener_clients_refused, "listener", "CONNECT packets refused")                                             \
    X(COUNTER, ringmq_feature_passed, "feature, gate", "packets a feature had nothing against")                                     \
    X(COUNTER, ringmq_feature_allowed, "feature, gate", "packets it authorized")                                                    \
    X(COUNTER, ringmq_feature_denied, "feature, gate", "packets it refused")                                                        \
    X(COUNTER, ringmq_feature_later, "feature, gate", "packets it made wait")                                                       \
    X(COUNTER, ringmq_feature_overruns, "feature, gate", "answers of it that took longer than features.gate_budget")                \
    X(GAUGE, ringmq_feature_longest_seconds, "feature, gate", "its longest answer")                                                 \
    X(COUNTER, ringmq_sink_delivered, "sink", "messages that a feature's sink has taken")                                           \
    X(COUNTER, ringmq_sink_full, "sink", "times that it was full")                                                                  \
    X(GAUGE, ringmq_sink_queued, "sink", "messages that wait for it")                                                               \
    X(GAUGE, ringmq_sink_queued_bytes, "sink", "their bytes")                                                                       \
    X(COUNTER, ringmq_sink_dropped, "sink, reason", "messages for it that were dropped: full, expired, gone (the sink itself)")     \
    X(GAUGE, ringmq_sink_held, "sink", "acknowledgements it holds back")                                                            \
    X(COUNTER, ringmq_sink_refused, "sink", "messages whose acknowledgement became an error because of it")                         \
    X(COUNTER, ringmq_auth_logins, "result", "logins judged by authentication: allowed, denied, unavailable (refused because nobody could be asked), throttled (refused unasked: too many failures of the address)") \
    X(COUNTER, ringmq_auth_cached, "", "logins answered from what was remembered")                                                  \
    X(GAUGE, ringmq_auth_cache_entries, "", "verdicts that are remembered")                                                         \
    X(COUNTER, ringmq_auth_source_verdicts, "source, kind, backend, verdict", "what a source of logins or rules said: allowed, denied, ignored (not one of its users), failed (it could not be asked)") \
    X(COUNTER, ringmq_auth_source_timeouts, "source, kind, backend", "of failed: it took too long, or no thread was free in time")  \
    X(COUNTER, ringmq_auth_source_queue_full, "source, kind, backend", "questions not put to it: too many waited")                  \
    X(COUNTER, ringmq_auth_source_circuit_opened, "source, kind, backend", "times it was left alone for a while after failures in a row") \
    X(GAUGE, ringmq_auth_source_circuit_open, "source, kind, backend", "1: it is left alone at the moment")                         \
    X(GAUGE, ringmq_auth_source_up, "source, kind, backend", "1: its last answer was one; 0: it failed; missing: not asked yet")     \
    X(GAUGE, ringmq_auth_source_waiting, "source, kind, backend", "questions that wait for it")                                     \
    X(HISTOGRAM, ringmq_auth_source_seconds, "source, kind, backend", "time of its answers, without waiting for a thread")          \
    X(GAUGE, ringmq_store_full, "", "1: less than durability.disk_reserve is free on the store's disk, and what would stay there is refused") \
    X(GAUGE, ringmq_store_disk_free_bytes, "", "room on the store's disk, as of the last second in which it was written to; 0: there is no store, or no reserve") \
    X(GAUGE, ringmq_store_disk_reserve_bytes, "", "room that is kept for what the store itself must write")                         \
    X(GAUGE, ringmq_alarms, "alarm", "alarms that are raised")                                                                      \
    X(COUNTER, ringmq_otlp_requests, "result", "requests to the collector of metrics.otlp: accepted, partial (it left points out), retried, given_up") \
    X(COUNTER, ringmq_otlp_points_rejected, "", "data points the collector left out")                                               \
    X(COUNTER, ringmq_otlp_sent_bytes, "", "bodies sent to it, as they travel")                                                     \
    X(GAUGE, ringmq_otlp_last_success_timestamp_seconds, "", "when it last accepted something, in seconds since 1970; 0: never")              \
    X(COUNTER, ringmq_admin_logins_failed, "", "wrong names, passwords and tokens at the admin API")                                \
    X(COUNTER, ringmq_admin_keys_refused, "", "API keys it does not know")                                                          \
    X(COUNTER, ringmq_admin_requests, "status", "requests to the admin API, by the hundreds of their status")                       \
    X(COUNTER, ringmq_admin_connections, "", "connections to the admin API")                                                        \
    X(COUNTER, ringmq_admin_connections_refused, "", "of them: there were too many")                                                \
    X(COUNTER, ringmq_admin_timeouts, "", "of them: closed because nothing came or nothing was read in time")                       \
    X(GAUGE, ringmq_admin_connections_open, "", "connections to the admin API that are open")                                       \
    X(GAUGE, ringmq_admin_streams_open, "", "of them: event streams")                                                               \
    X(COUNTER, process_cpu_seconds, "", "processor time of the process")                                                            \
    X(GAUGE, process_resident_memory_bytes, "", "resident memory of the process")                                                   \
    X(GAUGE, process_open_fds, "", "descriptors in the process's table")                                                            \
    X(GAUGE, process_start_time_seconds, "", "when the process started, in seconds since 1970")

#endif
