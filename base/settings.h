/* settings.h - the values of the configuration, as the broker reads them.
 *
 * config/schema.c is the one place that knows the key, type, range, default and documentation of each; it fills this struct.
 * Owner:   whoever loaded it; immutable once handed to the broker. A reload hands over a new one.
 * Threads: read by all. Units: in the names (_ms, _s, _bytes; counts have none). 0 means "no limit" only where said. */
#ifndef RINGMQ_BASE_SETTINGS_H
#define RINGMQ_BASE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* Who may connect while no authentication is configured. LOOPBACK: anybody, and a listener on any other address is refused
 * at start. */
enum anonymous_policy { ANONYMOUS_LOOPBACK, ANONYMOUS_ALLOW, ANONYMOUS_DENY };
enum authorization_default { AUTHORIZATION_DENY, AUTHORIZATION_ALLOW };
enum deny_action { DENY_ACTION_IGNORE, DENY_ACTION_DISCONNECT };
enum turn_clock { TURN_CLOCK_ELAPSED, TURN_CLOCK_PROCESSOR };
enum queue_policy { QUEUE_DROP_NEWEST, QUEUE_DROP_OLDEST, QUEUE_DISCONNECT };
enum listener_kind { LISTENER_TCP, LISTENER_TLS, LISTENER_WS, LISTENER_WSS, LISTENER_UNIX, LISTENER_KINDS };

/* "tcp", "tls", "ws", "wss", "unix". */
extern const char *const listener_kind_names[LISTENER_KINDS];

/* Of "3.1, 3.1.1, 5.0" a bit for each by its protocol level (3, 4, 5); 0: something else is written there. */
uint32_t mqtt_versions_parse(struct span text);

/* Are clients' certificates looked up, and what if there is no answer: in (SOFT), or not (HARD)? */
enum ocsp_check { OCSP_CHECK_OFF, OCSP_CHECK_SOFT, OCSP_CHECK_HARD };

/* docs/protection.md; broker/rates.h. */
enum rate_kind { RATE_MESSAGES, RATE_BYTES, RATE_SUBSCRIBES, RATE_DELIVERIES, RATE_KINDS };
#define RATE_INHERIT UINT64_MAX
struct rate_settings {
    uint64_t per_s; /* 0: no limit; RATE_INHERIT */
    uint64_t burst; /* 0: what one second allows */
};

/* docs/tls.md; lists of files have commas. */
struct tls_settings {
    char *certificate_files, *key_files, *password;
    char *ocsp_files;            /* responses for ours, to be stapled */
    bool ocsp_stapling;          /* … or fetched */
    uint8_t ocsp_check;          /* enum ocsp_check */
    char *ocsp_responder;        /* "": what the certificates name */
    uint32_t ocsp_timeout_ms;
    char *ca_file, *crl_file, *psk_file;
    bool verify_peer, certificate_required;
    uint8_t depth;
    uint8_t version_min, version_max; /* enum tls_version */
    char *ciphers, *alpn;
    bool session_tickets;
    uint32_t ticket_lifetime_s;
    uint8_t username, client_id; /* enum tls_name */
    bool psk_as_username;
};

struct listener_settings {
    char *name; /* listeners.KIND.NAME */
    enum listener_kind kind;
    bool enable;
    char *bind; /* "127.0.0.1:1883", "[::1]:1883", "1883" (all addresses), ":1883" */
    uint32_t backlog;
    uint32_t connections_max;    /* whole node; 0: no limit */
    uint32_t connect_timeout_ms; /* from accept to CONNECT  */
    uint32_t handshake_timeout_ms; /* from accept to the end of PROXY header, TLS and WebSocket handshakes */
    uint32_t connections_rate;   /* per second and node; 0: no limit */
    uint32_t connections_burst;  /* 0: as many as a second allows */
    char *allow, *deny;          /* networks (base/cidr.h); "" */
    uint8_t proxy_protocol;      /* enum proxy_protocol */
    char *trusted_proxies;       /* networks */
    /* sockets */
    bool ipv6_only;
    bool tcp_nodelay;
    bool tcp_quickack;
    char *congestion;            /* TCP congestion control, "" leaves the system's */
    uint32_t tcp_keepalive_s;    /* idle time before the first probe; 0: none */
    uint32_t tcp_user_timeout_ms; /* 0: the system's */
    uint32_t send_buffer_bytes, receive_buffer_bytes; /* 0: the system's */
    char *owner, *group;         /* of a Unix socket; "": ours */
    char *mode;                  /* "0660" */
    /* MQTT: each in place of the key of the same meaning below mqtt */
    char *protocol_versions;     /* "3.1, 3.1.1, 5.0" */
    char *mountpoint;            /* "" none */
    uint32_t packet_bytes_max, receive_max, topic_alias_max, keep_alive_max_s, qos_max, subscriptions_max, topic_levels_max; /* LISTENER_INHERIT */
    uint32_t keep_alive_min_s;   /* 0: none */
    uint8_t retain_available, wildcard_available, shared_available; /* enum listener_switch */
    struct tls_settings tls;     /* tls, wss */
    /* ws, wss */
    struct {
        char *path;
        bool subprotocol_required;
        char *allowed_origins;
        uint32_t header_bytes_max;
        uint64_t frame_bytes_max; /* 0: no limit */
        uint8_t client_header;    /* enum websocket_client_header */
    } websocket;
    uint8_t durability;           /* enum durability_level: of the sessions of clients that connect here */
    struct rate_settings rates[RATE_KINDS];       /* of each client */
    struct rate_settings total_rates[RATE_KINDS]; /* of all clients together */
};

#define LISTENER_INHERIT UINT32_MAX

/* The places of all texts in it, for who copies, compares or releases one. Returns how many. */
#define LISTENER_TEXTS_MAX 40
uint32_t listener_texts(struct listener_settings *settings, char **ret_texts[LISTENER_TEXTS_MAX]);

enum listener_switch { SWITCH_OFF, SWITCH_ON, SWITCH_INHERIT };
enum proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2, PROXY_PROTOCOL_ANY };
enum websocket_client_header { CLIENT_HEADER_NONE, CLIENT_HEADER_FORWARDED_FOR, CLIENT_HEADER_REAL_IP };

struct mqtt_settings {
    enum anonymous_policy allow_anonymous;
    uint32_t packet_bytes_max;       /* larger packets: 0x95; announced to MQTT 5 clients     */
    uint16_t receive_max;            /* QoS 1 and 2 publishes a client may have unacknowledged */
    uint16_t inflight_max;           /* the same towards a client (its own limit may be lower) */
    uint16_t topic_alias_max;        /* aliases a client may set                              */
    uint16_t topic_alias_out_max;    /* aliases we set towards a client that allows them      */
    uint16_t topic_levels_max;
    uint16_t keep_alive_max_s;       /* 0: no ceiling; MQTT 5 clients are told (server keep alive) */
    uint16_t client_id_bytes_max;
    uint8_t qos_max;
    bool retain_available;
    bool wildcard_available;
    bool shared_available;
    uint8_t share_strategy;          /* router/share.h: enum share_strategy */
    uint32_t session_expiry_max_s;   /* also the expiry of MQTT 3 sessions with clean_session = 0; UINT32_MAX: never */
    uint32_t sessions_max;           /* per node; 0: no limit */
    uint32_t queue_messages_max;     /* per session */
    uint64_t node_queue_messages_max, node_queue_bytes_max; /* of all sessions; 0: no limit */
    uint64_t queue_bytes_max;        /* per session */
    enum queue_policy queue_policy;
    bool queue_qos0_offline;         /* keep QoS 0 messages for a session that is away */
    uint32_t message_expiry_max_s;   /* 0: no ceiling */
    uint64_t retained_messages_max;  /* per node; 0: no limit */
    uint64_t retained_bytes_max;     /* per node; 0: no limit */
    uint32_t retained_payload_bytes_max; /* 0: packet_bytes_max decides */
    uint64_t retained_shelf_above;   /* payloads from this size on may be on disk only; 0: none */
    uint64_t retained_shelf_memory_bytes; /* … of which the newest stay in memory: per node */
    uint32_t retained_expiry_s;      /* of retained messages that have none; 0: they stay */
    uint32_t retained_clear_s;       /* how often expired ones are looked for; 0: only when somebody asks for them */
    bool payload_format_check;       /* payload format indicator 1 means UTF-8, and is checked */
    uint32_t subscriptions_max;      /* per session; 0: no limit */
    uint32_t sessions_per_user_max;  /* 0: no limit */
    bool exclusive_subscription;
    char *max_qos_rules, *share_group_strategies; /* broker/topic_rules.h */
    char *denied_filters;            /* comma-separated filters nobody may subscribe to; "": none */
    char *response_information;      /* told to MQTT 5 clients that ask for it; "": nothing */
    uint32_t match_cache_topics;     /* per shard: topics whose match is remembered */
    uint32_t pause_ms;               /* a publisher that outruns its subscribers is not read for this long at a time; 0: never */
};

/* What an acknowledgement means (docs/durability.md). 0 is what holds where nothing else is said. */
enum durability_level { DURABILITY_COMMIT, DURABILITY_LAZY, DURABILITY_NONE };
enum durability_damage { DAMAGE_REFUSE, DAMAGE_SALVAGE };

struct durability_settings {
    bool enable;
    char *topics;                    /* "filter=level,…"; the first that matches decides; "": all commit */
    uint32_t commit_interval_ms;
    uint64_t commit_bytes_max;       /* of one write and sync */
    uint64_t segment_bytes;
    uint64_t checkpoint_bytes;       /* appended, per shard, before what lives is written again */
    uint64_t backlog_bytes_max;      /* per shard, not yet on disk */
    uint64_t disk_reserve_bytes;     /* with less room on its disk the store is full; UINT64_MAX: what it may need itself; 0: none */
    uint64_t memory_bytes;           /* per node: half for queues, half for what keeps long ones */
    uint32_t queue_window;           /* messages in memory at each end of a session's queue; UINT32_MAX: all */
    uint64_t queue_window_bytes;     /* the same in bytes */
    uint8_t on_damage;               /* enum durability_damage */
};

/* One switch per kernel feature: off means the fall-back is used though the kernel could. */
struct io_settings {
    bool direct_descriptors, fd_passing, message_ring, incremental_buffers, receive_bundle, send_vectorized, min_wait, socket_options, fd_install;
    bool multishot_accept, multishot_receive;
    uint32_t receive_buffers_bytes;  /* per shard */
    uint32_t ring_entries;           /* submission queue; the completion queue has 8 times as many */
    enum turn_clock turn_clock;
    uint32_t turn_budget_us;         /* for input, and about as much again for all else */
    uint32_t spin_us;                /* look again for this long before sleeping; 0: never */
};

struct overload_settings {
    uint32_t turn_us;          /* average length of a turn above which a shard is overloaded; 0: not looked at */
    uint64_t memory_bytes_max; /* of a shard's messages and buffers; 0: no limit */
    uint32_t handshakes_rate;  /* expensive steps of handshakes, per second and shard; 0: no limit */
};

struct delayed_settings {
    bool enable;
    uint32_t messages_max; /* of the node; 0: no limit */
    uint32_t delay_max_s;
};

/* From when it came until it was acknowledged, until it was sent; from when it was sent until it was acknowledged. */
enum slow_subs_type { SLOW_SUBS_WHOLE, SLOW_SUBS_INTERNAL, SLOW_SUBS_RESPONSE };

struct slow_subs_settings {
    bool enable;
    uint8_t stats_type;    /* enum slow_subs_type */
    uint32_t threshold_ms, top_k, expire_s;
};

struct limiter_settings {
    struct rate_settings client[RATE_KINDS], node[RATE_KINDS];
    uint32_t connections_rate, connections_burst; /* of the node; 0: no limit; what a second allows */
};

/* The admin API (docs/admin-api.md). */
struct admin_settings {
    bool enable;
    char *bind;
    char *certificate_file, *key_file, *key_password; /* "": no TLS */
    char *default_password;      /* of the first user; "": a random one */
    uint32_t workers;
    uint32_t connections_max;
    uint64_t body_bytes_max;
    uint64_t payload_bytes_max;  /* of a retained message shown */
    uint32_t request_timeout_ms, idle_timeout_ms;
    uint32_t token_lifetime_s;
    bool metrics_auth, docs_auth, status_auth;
};

/* docs/trace.md */
struct trace_settings {
    uint32_t running_max, kept_max;
    uint32_t duration_s, duration_max_s;
    uint64_t bytes, bytes_max; /* of a trace's files */
    uint64_t ring_bytes;       /* per shard */
};

enum otlp_compression { OTLP_COMPRESSION_NONE, OTLP_COMPRESSION_GZIP };

/* docs/metrics.md */
struct metrics_settings {
    bool exemplars;
    struct {
        char *endpoint;            /* "": nothing is pushed */
        char *headers;             /* a secret: they often hold a token */
        char *resource_attributes;
        char *ca_file, *certificate_file, *key_file;
        bool verify;
        uint8_t compression;       /* enum otlp_compression */
        uint32_t interval_ms, timeout_ms;
    } otlp;
};

struct settings {
    struct {
        uint32_t shards; /* 0: one per usable core */
        bool pin;
        char *name;      /* node.name, shown in $SYS and logs */
        char *data_dir;
        uint32_t connections_max; /* per node: sizes the tables of each shard */
    } node;
    struct mqtt_settings mqtt;
    struct durability_settings durability;
    struct io_settings io;
    struct {
        uint8_t level;   /* enum log_level */
        uint8_t format;  /* enum log_format */
    } log;
    struct {
        uint32_t interval_s; /* of $SYS topics; 0: off */
    } sys;
    struct overload_settings overload;
    struct limiter_settings limiter;
    struct delayed_settings delayed;
    struct slow_subs_settings slow_subs;
    char *rewrite_rules, *auto_subscribe_topics, *topic_metrics_topics; /* broker/extras.h */
    struct admin_settings admin;
    struct trace_settings trace;
    struct metrics_settings metrics;
    struct {
        char *load;               /* modules: names or paths, with commas */
        char *module_path;        /* folders with colons; "": beside the program */
        uint32_t gate_budget_us;  /* longer answers of a gate are counted and logged */
    } features;
    struct {
        uint8_t no_match;         /* enum authorization_default: when a feature authorizes and nobody has decided */
        uint8_t deny_action;      /* enum deny_action */
    } authorization;
    struct listener_settings *listeners;
    uint32_t listeners_count;
};

#endif
