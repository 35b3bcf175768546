#include "config/schema.h"

#include <stdlib.h>

#include "base/cidr.h"
#include "base/limits.h"
#include "base/placeholder.h"
#include "base/settings.h"
#include "config/bind.h"
#include "config/otlp.h"

/* ---- words -------------------------------------------------------------------------------------------------------- */

static const struct schema_word automatic[] = {{"auto", 0}, {NULL, 0}};
static const struct schema_word unlimited[] = {{"infinity", 0}, {NULL, 0}};
static const struct schema_word inherit_rate[] = {{"inherit", RATE_INHERIT}, {"infinity", 0}, {NULL, 0}};
static const struct schema_word turn_clocks[] = {{"elapsed", TURN_CLOCK_ELAPSED}, {"processor", TURN_CLOCK_PROCESSOR}, {NULL, 0}};
static const struct schema_word never[] = {{"disabled", 0}, {NULL, 0}};
static const struct schema_word itself[] = {{"auto", UINT64_MAX}, {NULL, 0}};
static const struct schema_word all_of_it[] = {{"infinity", UINT32_MAX}, {NULL, 0}};
static const struct schema_word never_ends[] = {{"never", UINT32_MAX}, {"infinity", UINT32_MAX}, {NULL, 0}};
static const struct schema_word anonymous[] = {
    {"loopback", ANONYMOUS_LOOPBACK}, {"true", ANONYMOUS_ALLOW}, {"false", ANONYMOUS_DENY}, {NULL, 0}};
static const struct schema_word queue_policies[] = {
    {"drop_newest", QUEUE_DROP_NEWEST}, {"drop_oldest", QUEUE_DROP_OLDEST}, {"disconnect", QUEUE_DISCONNECT}, {NULL, 0}};
static const struct schema_word inherit[] = {{"inherit", LISTENER_INHERIT}, {NULL, 0}};
static const struct schema_word inherit_or_unlimited[] = {{"inherit", LISTENER_INHERIT}, {"infinity", 0}, {NULL, 0}};
static const struct schema_word switches[] = {{"inherit", SWITCH_INHERIT}, {"true", SWITCH_ON}, {"false", SWITCH_OFF}, {NULL, 0}};
static const struct schema_word proxy_protocols[] = {{"false", PROXY_PROTOCOL_OFF}, {"v1", PROXY_PROTOCOL_V1}, {"v2", PROXY_PROTOCOL_V2},
                                                     {"true", PROXY_PROTOCOL_ANY}, {NULL, 0}};
static const struct schema_word client_headers[] = {{"socket", CLIENT_HEADER_NONE}, {"x_forwarded_for", CLIENT_HEADER_FORWARDED_FOR},
                                                    {"x_real_ip", CLIENT_HEADER_REAL_IP}, {NULL, 0}};
static const struct schema_word slow_types[] = {{"whole", SLOW_SUBS_WHOLE}, {"internal", SLOW_SUBS_INTERNAL}, {"response", SLOW_SUBS_RESPONSE}, {NULL, 0}};
static const struct schema_word verifications[] = {{"verify_none", 0}, {"verify_peer", 1}, {"none", 0}, {"peer", 1}, {NULL, 0}};
static const struct schema_word ocsp_checks[] = {{"off", OCSP_CHECK_OFF}, {"soft", OCSP_CHECK_SOFT}, {"hard", OCSP_CHECK_HARD}, {NULL, 0}};
/* tls/tls.h: enum tls_version, enum tls_name. */
static const struct schema_word tls_versions[] = {{"tlsv1.2", 12}, {"tlsv1.3", 13}, {"1.2", 12}, {"1.3", 13}, {NULL, 0}};
static const struct schema_word certificate_names[] = {{"disabled", 0}, {"cn", 1}, {"dn", 2}, {"san", 3}, {"fingerprint", 4},
                                                       {"false", 0}, {NULL, 0}};
/* The order of router/share.h: enum share_strategy. */
static const struct schema_word share_strategies[] = {{"random", 0},        {"round_robin", 1}, {"sticky", 2},
                                                      {"hash_clientid", 3}, {"hash_topic", 4},  {"least_inflight", 5},
                                                      {"local", 6},         {"hash_client_id", 3}, {NULL, 0}};
static const struct schema_word durability_levels[] = {
    {"commit", DURABILITY_COMMIT}, {"lazy", DURABILITY_LAZY}, {"none", DURABILITY_NONE}, {NULL, 0}};
static const struct schema_word damage_policies[] = {{"refuse", DAMAGE_REFUSE}, {"salvage", DAMAGE_SALVAGE}, {NULL, 0}};
static const struct schema_word no_matches[] = {{"deny", AUTHORIZATION_DENY}, {"allow", AUTHORIZATION_ALLOW}, {NULL, 0}};
static const struct schema_word deny_actions[] = {{"ignore", DENY_ACTION_IGNORE}, {"disconnect", DENY_ACTION_DISCONNECT}, {NULL, 0}};
/* The orders of base/log.h. */
static const struct schema_word log_levels[] = {{"debug", 0}, {"info", 1}, {"notice", 2}, {"warn", 3},
                                                {"error", 4}, {"off", 5},  {"warning", 3}, {NULL, 0}};
/* enum otlp_compression */
static const struct schema_word otlp_compressions[] = {{"none", OTLP_COMPRESSION_NONE}, {"gzip", OTLP_COMPRESSION_GZIP}, {NULL, 0}};
static const struct schema_word log_formats[] = {{"text", 0}, {"json", 1}, {"journal", 2}, {NULL, 0}};

/* ---- checks of a string ------------------------------------------------------------------------------------------- */

static const char *check_bind(struct span text)
{
    struct bind_address address;
    return bind_parse(text, &address);
}

static const char *check_socket_path(struct span text)
{
    if (text.data[0] == '@') return "abstract sockets have no owner and no mode; write a path";
    return NULL;
}

static const char *check_mode(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] < '0' || text.data[i] > '7') return "write it in octal, such as 0660";
    return text.bytes == 4 && text.data[0] != '0' ? "a socket has no set-id or sticky bit; write it in octal, such as 0660" : NULL;
}

static const char *check_networks(struct span text) { return cidr_list_parse(text, NULL); }

static const char *check_versions(struct span text)
{
    return mqtt_versions_parse(text) ? NULL : "write some of 3.1, 3.1.1 and 5.0, with commas between them";
}

static const char *check_mountpoint(struct span text)
{
    struct span rest = text;
    if (memchr(text.data, '+', text.bytes) || memchr(text.data, '#', text.bytes)) return "it is the beginning of a topic: no + and no #";
    if (text.bytes && text.data[0] == '$') {
        bool placeholder = span_starts_with(text, SPAN_LITERAL("${"));
        if (!placeholder) return "topics that begin with $ are the server's";
    }
    for (const uint8_t *dollar; rest.bytes && (dollar = memchr(rest.data, '$', rest.bytes)); rest = span_skip(rest, 1)) {
        rest = span_skip(rest, (size_t)(dollar - rest.data));
        if (!placeholder_at(rest).kind) return "the placeholders are " PLACEHOLDERS;
    }
    return NULL;
}

static const char *check_path(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7F || text.data[i] == '?' || text.data[i] == '#') return "write a path, such as /mqtt";
    return text.data[0] == '/' ? NULL : "a path begins with /";
}

static const char *check_node_name(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] == 0x7F || strchr("+#/\"", text.data[i]))
            return "it is a level of the $SYS topics; use no blanks, quotes, +, # or /";
    return NULL;
}

static const char *check_congestion(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7F)
            return "write a name that `sysctl net.ipv4.tcp_available_congestion_control` lists, or \"\"";
    return NULL;
}

static const char *check_ring_entries(struct span text)
{
    uint64_t number = strtoull((const char *)text.data, NULL, 10);
    return number & (number - 1) ? "the kernel wants a power of two, such as 2048 or 4096" : NULL;
}

/* "a/#=lazy,b/+=none" */
static const char *check_durability_topics(struct span text)
{
    const char *at = (const char *)text.data, *end = at + text.bytes;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *rule_end = comma ? comma : end, *equals = NULL;
        for (const char *c = at; c < rule_end; c++)
            if (*c == '=') equals = c;
        struct span level = equals ? span_of(equals + 1, (size_t)(rule_end - equals - 1)) : span_of("", 0);
        bool known = false;
        for (const struct schema_word *word = durability_levels; word->name; word++)
            known |= span_equal(level, span_of_string(word->name));
        if (!known || equals == at) return "write FILTER=LEVEL with a level commit, lazy or none, several separated by commas";
        at = rule_end + 1;
    }
    return NULL;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

#define IN(whole, member) .offset = offsetof(struct whole, member), .bytes = sizeof(((struct whole *)0)->member)
#define AT(member) IN(settings, member)
#define OF(member) IN(listener_settings, member)
#define US 1u
#define MS 1000u
#define S 1000000u
#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define RELOAD .reloadable = true

#define KIND(name) (1u << LISTENER_##name)
#define ALL_KINDS (KIND(TCP) | KIND(TLS) | KIND(WS) | KIND(WSS) | KIND(UNIX))
#define INET_KINDS (ALL_KINDS & ~KIND(UNIX))
#define WS_KINDS (KIND(WS) | KIND(WSS))
#define TLS_KINDS (KIND(TLS) | KIND(WSS))

static const char *const default_binds[LISTENER_KINDS] = {"127.0.0.1:1883", "127.0.0.1:8883", "127.0.0.1:8083", "127.0.0.1:8084", NULL};

#define RATE_MAX 10000000000ull
#define RATE_KEY(prefix, total, what, where, place, member, kind, unit, rate_words, standard, who, more, does, how_many)               \
    {prefix #total #what "_rate", TYPE_RATE, where, RELOAD, place(member[kind].per_s), .unit_us = unit, .min = 0, .max = RATE_MAX,     \
     .words = rate_words, .default_text = standard, .documentation = does " per second, for " who "." more},                           \
    {prefix #total #what "_burst", unit ? TYPE_SIZE : TYPE_UNSIGNED, where, RELOAD, place(member[kind].burst), .min = 0,               \
     .max = RATE_MAX, .default_text = unit ? "0B" : "0",                                                                               \
     .documentation = how_many " that may come at once before the rate above slows them down. 0: what one second allows."},
/* Eight keys: what one level of broker/rates.h allows. */
#define RATE_KEYS(prefix, total, where, place, member, words, standard, who, more)                                                     \
    RATE_KEY(prefix, total, messages, where, place, member, RATE_MESSAGES, 0, words, standard, who, more,                              \
             "PUBLISH packets the broker takes", "PUBLISH packets")                                                                    \
    RATE_KEY(prefix, total, bytes, where, place, member, RATE_BYTES, 1, words, standard, who, more,                                    \
             "Bytes of topic and payload the broker takes in PUBLISH packets (\"1MiB/s\")", "Bytes")                                   \
    RATE_KEY(prefix, total, subscribes, where, place, member, RATE_SUBSCRIBES, 0, words, standard, who, more,                          \
             "Filters in SUBSCRIBE packets the broker takes", "Filters")                                                               \
    RATE_KEY(prefix, total, deliveries, where, place, member, RATE_DELIVERIES, 0, words, standard, who, more,                          \
             "PUBLISH packets the broker sends (more wait in the sessions' queues)", "PUBLISH packets")

static const struct schema_key keys[] = {
    /* node */
    {"node.name", TYPE_STRING, AT(node.name), .min = 1, .max = 64, .default_text = "ringmq", .check = check_node_name,
     .documentation = "The name of this broker, shown in the $SYS topics and in the log."},
    {"node.data_dir", TYPE_STRING, AT(node.data_dir), .min = 1, .max = 4096, .default_text = "data",
     .documentation = "The directory for everything that outlives the process. A relative path starts at the working directory; "
                      "packages use /var/lib/ringmq."},
    {"node.shards", TYPE_UNSIGNED, AT(node.shards), .min = 1, .max = SHARDS_MAX, .words = automatic, .default_text = "auto",
     .documentation = "How many threads serve clients, each with its own io_uring and its own connections and sessions. auto is "
                      "one per core this process may use."},
    {"node.pin_cores", TYPE_BOOL, AT(node.pin), .default_text = "true",
     .documentation = "Keep each shard on a core of its own. Turn it off when other busy programs share the machine."},
    {"node.max_connections", TYPE_UNSIGNED, AT(node.connections_max), .min = 1, .max = 10000000, .default_text = "100000",
     .documentation = "Connections the node can hold, over all listeners. The tables of each shard are made for this many at "
                      "start, so a number far beyond what is needed costs memory; the limit of open files (ulimit -n) must "
                      "be higher."},

    /* listeners */
    {"listeners.KIND.NAME.enable", TYPE_BOOL, .kinds = ALL_KINDS, RELOAD, OF(enable), .default_text = "true",
     .documentation = "false keeps the listener in the file but closed."},
    {"listeners.KIND.NAME.bind", TYPE_STRING, .kinds = INET_KINDS, RELOAD, OF(bind), .min = 1, .max = 128, .default_of_default = default_binds,
     .check = check_bind,
     .documentation = "Where to listen: \"127.0.0.1:1883\", \"[::1]:1883\", \"localhost:1883\", or 1883 alone for all addresses. "
                      "Port 0 takes a free one. Only numeric addresses and localhost; put those with a colon in double quotes. "
                      "The listeners named default have the address shown above; every other one must be told. An address that is not "
                      "loopback needs mqtt.allow_anonymous = true as long as no authentication is configured."},
    {"listeners.KIND.NAME.bind", TYPE_STRING, .kinds = KIND(UNIX), RELOAD, OF(bind), .min = 1, .max = 107, .check = check_socket_path,
     .documentation = "The path of the socket, such as \"/run/ringmq/mqtt.sock\". A socket file that a dead process left behind is "
                      "replaced; one that somebody listens on is an error. Abstract sockets (@name) are not served: they have no owner "
                      "and no mode."},
    {"listeners.KIND.NAME.backlog", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(backlog), .min = 1, .max = 65535, .default_text = "1024",
     .documentation = "Connections that may wait in the kernel to be accepted, per shard. The kernel caps it at "
                      "net.core.somaxconn."},
    {"listeners.KIND.NAME.max_connections", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(connections_max), .min = 0, .max = 10000000, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Connections this listener may hold; more are closed at once. infinity leaves it to node.max_connections."},
    {"listeners.KIND.NAME.max_conn_rate", TYPE_RATE, .kinds = ALL_KINDS, RELOAD, OF(connections_rate), .min = 0, .max = 10000000,
     .words = unlimited, .default_text = "infinity",
     .documentation = "Connections per second this listener accepts, over all shards (each gets its part). More wait in the kernel, up to "
                      "backlog."},
    {"listeners.KIND.NAME.max_conn_burst", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(connections_burst), .min = 0, .max = 10000000,
     .default_text = "0",
     .documentation = "Connections that may come at once before max_conn_rate slows them down. 0: what one second allows."},
    RATE_KEYS("listeners.KIND.NAME.", , .kinds = ALL_KINDS, OF, rates, inherit_rate, "inherit", "each client of this listener",
              " inherit: as limiter.client says.")
    RATE_KEYS("listeners.KIND.NAME.", total_, .kinds = ALL_KINDS, OF, total_rates, unlimited, "infinity", "all clients of this listener together", "")
    {"listeners.KIND.NAME.connect_timeout", TYPE_DURATION, .kinds = ALL_KINDS, RELOAD, OF(connect_timeout_ms), .unit_us = MS, .min = 1,
     .max = 3600000, .default_text = "10s",
     .documentation = "A connection that has not sent a whole CONNECT packet after this time is closed."},
    {"listeners.KIND.NAME.handshake_timeout", TYPE_DURATION, .kinds = ALL_KINDS, RELOAD, OF(handshake_timeout_ms), .unit_us = MS, .min = 1,
     .max = 3600000, .default_text = "5s",
     .documentation = "A connection whose PROXY header, TLS handshake or WebSocket upgrade is not over after this time is closed."},
    {"listeners.KIND.NAME.allow", TYPE_STRING, .kinds = INET_KINDS, RELOAD, OF(allow), .min = 0, .max = 65535, .check = check_networks,
     .default_text = "",
     .documentation = "Networks that may connect, such as \"10.0.0.0/8, 2001:db8::/32\"; others are closed at once. Empty: all. It is the "
                      "address of the socket's peer that counts: behind a proxy that is the proxy."},
    {"listeners.KIND.NAME.deny", TYPE_STRING, .kinds = INET_KINDS, RELOAD, OF(deny), .min = 0, .max = 65535, .check = check_networks,
     .default_text = "", .documentation = "Networks that may not connect, even when allow has them."},
    {"listeners.KIND.NAME.proxy_protocol", TYPE_ENUM, .kinds = ALL_KINDS, RELOAD, OF(proxy_protocol), .words = proxy_protocols,
     .default_text = "false",
     .documentation = "Connections come from a proxy such as HAProxy and begin with a PROXY header that names the client: v1 (a line), v2 "
                      "(binary), or true for both. Only peers in trusted_proxies may connect then, and a connection without the header is "
                      "closed."},
    {"listeners.KIND.NAME.trusted_proxies", TYPE_STRING, .kinds = ALL_KINDS, RELOAD, OF(trusted_proxies), .min = 0, .max = 65535,
     .check = check_networks, .default_text = "",
     .documentation = "Networks of proxies that may say who the client is (proxy_protocol, websocket.client_address). unix stands for the peers "
                      "of a Unix socket."},

    /* listeners: sockets */
    {"listeners.KIND.NAME.ipv6_only", TYPE_BOOL, .kinds = INET_KINDS, RELOAD, OF(ipv6_only), .default_text = "false",
     .documentation = "An IPv6 socket takes no IPv4 connections. false: \"[::]:1883\" and 1883 alone take both."},
    {"listeners.KIND.NAME.tcp_nodelay", TYPE_BOOL, .kinds = INET_KINDS, RELOAD, OF(tcp_nodelay), .default_text = "true",
     .documentation = "Send small packets at once (TCP_NODELAY). ringmq already sends once per turn, so off only adds delay on "
                      "most networks."},
    {"listeners.KIND.NAME.tcp_quickack", TYPE_BOOL, .kinds = INET_KINDS, RELOAD, OF(tcp_quickack), .default_text = "true",
     .documentation = "Acknowledge what arrives at once (TCP_QUICKACK). false (Linux 6.7 or newer) saves the kernel work with many "
                      "publishers, but clients that use Nagle's algorithm may then wait 40 ms."},
    {"listeners.KIND.NAME.congestion_control", TYPE_STRING, .kinds = INET_KINDS, RELOAD, OF(congestion), .min = 0, .max = 15,
     .default_text = "", .check = check_congestion,
     .documentation = "The TCP congestion control of accepted connections, such as bbr or cubic. Empty leaves the system's."},
    {"listeners.KIND.NAME.tcp_keepalive", TYPE_DURATION, .kinds = INET_KINDS, RELOAD, OF(tcp_keepalive_s), .unit_us = S, .min = 0, .max = 32767,
     .default_text = "0s",
     .documentation = "Probe a silent connection after this time (SO_KEEPALIVE). 0: never; the keep alive of MQTT finds dead clients, too."},
    {"listeners.KIND.NAME.tcp_user_timeout", TYPE_DURATION, .kinds = INET_KINDS, RELOAD, OF(tcp_user_timeout_ms), .unit_us = MS, .min = 0,
     .max = 2147483647, .default_text = "0s",
     .documentation = "Give a connection up when what was sent is not acknowledged for this long (TCP_USER_TIMEOUT). 0: the system's way, "
                      "about 15 minutes."},
    {"listeners.KIND.NAME.send_buffer", TYPE_SIZE, .kinds = ALL_KINDS, RELOAD, OF(send_buffer_bytes), .min = 0, .max = GIB, .default_text = "0",
     .documentation = "The kernel's send buffer of a connection (SO_SNDBUF). 0: the kernel chooses and adapts, which is best unless very many "
                      "connections must not take too much memory."},
    {"listeners.KIND.NAME.receive_buffer", TYPE_SIZE, .kinds = ALL_KINDS, RELOAD, OF(receive_buffer_bytes), .min = 0, .max = GIB,
     .default_text = "0", .documentation = "The kernel's receive buffer of a connection (SO_RCVBUF). 0: the kernel chooses and adapts."},
    {"listeners.KIND.NAME.owner", TYPE_STRING, .kinds = KIND(UNIX), RELOAD, OF(owner), .min = 0, .max = 255, .default_text = "",
     .documentation = "The user who owns the socket file, by name or number. Empty: the broker's own; another one needs root."},
    {"listeners.KIND.NAME.group", TYPE_STRING, .kinds = KIND(UNIX), RELOAD, OF(group), .min = 0, .max = 255, .default_text = "",
     .documentation = "The group of the socket file, by name or number. Empty: the broker's own."},
    {"listeners.KIND.NAME.mode", TYPE_STRING, .kinds = KIND(UNIX), RELOAD, OF(mode), .min = 3, .max = 4, .check = check_mode, .default_text = "0660",
     .documentation = "The mode of the socket file in octal; who may write to it may connect."},

    /* listeners: MQTT */
    {"listeners.KIND.NAME.protocol_versions", TYPE_STRING, .kinds = ALL_KINDS, RELOAD, OF(protocol_versions), .min = 1, .max = 64,
     .check = check_versions, .default_text = "3.1, 3.1.1, 5.0",
     .documentation = "Versions of MQTT that are spoken here, with commas between them. A client of another one is told so (unsupported "
                      "protocol version)."},
    {"listeners.KIND.NAME.mountpoint", TYPE_STRING, .kinds = ALL_KINDS, RELOAD, OF(mountpoint), .min = 0, .max = 1024, .check = check_mountpoint,
     .default_text = "",
     .documentation = "A prefix for all topics of this listener's clients, such as \"site7/\" or \"devices/${client_id}/\": put in front of "
                      "what they publish, subscribe to and leave as a will, and taken off what they are sent. ${client_id}, ${username} and "
                      "${client_attrs.NAME} stand for the client's; one with +, # or / in it, or without one, is refused."},
    {"listeners.KIND.NAME.max_packet_size", TYPE_SIZE, .kinds = ALL_KINDS, RELOAD, OF(packet_bytes_max), .min = 64, .max = 256 * MIB,
     .words = inherit, .default_text = "inherit", .documentation = "In place of mqtt.max_packet_size."},
    {"listeners.KIND.NAME.receive_maximum", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(receive_max), .min = 1, .max = 65535,
     .words = inherit, .default_text = "inherit", .documentation = "In place of mqtt.receive_maximum."},
    {"listeners.KIND.NAME.max_topic_alias", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(topic_alias_max), .min = 0, .max = 65535,
     .words = inherit, .default_text = "inherit", .documentation = "In place of mqtt.max_topic_alias."},
    {"listeners.KIND.NAME.keepalive_max", TYPE_DURATION, .kinds = ALL_KINDS, RELOAD, OF(keep_alive_max_s), .unit_us = S, .min = 1, .max = 65535,
     .words = inherit_or_unlimited, .default_text = "inherit", .documentation = "In place of mqtt.keepalive_max."},
    {"listeners.KIND.NAME.keepalive_min", TYPE_DURATION, .kinds = ALL_KINDS, RELOAD, OF(keep_alive_min_s), .unit_us = S, .min = 0, .max = 65535,
     .default_text = "0s",
     .documentation = "Shortest keep alive: MQTT 5 clients that ask for less are told this one; older clients, which cannot be told, are "
                      "only closed when they were silent for 1.5 times this one."},
    {"listeners.KIND.NAME.max_qos_allowed", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(qos_max), .min = 0, .max = 2, .words = inherit,
     .default_text = "inherit", .documentation = "In place of mqtt.max_qos_allowed."},
    {"listeners.KIND.NAME.max_subscriptions", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(subscriptions_max), .min = 0, .max = UINT32_MAX - 1,
     .words = inherit_or_unlimited, .default_text = "inherit", .documentation = "In place of mqtt.max_subscriptions."},
    {"listeners.KIND.NAME.max_topic_levels", TYPE_UNSIGNED, .kinds = ALL_KINDS, RELOAD, OF(topic_levels_max), .min = 1, .max = TOPIC_LEVELS_MAX,
     .words = inherit, .default_text = "inherit", .documentation = "In place of mqtt.max_topic_levels."},
    {"listeners.KIND.NAME.retain_available", TYPE_ENUM, .kinds = ALL_KINDS, RELOAD, OF(retain_available), .words = switches,
     .default_text = "inherit", .documentation = "In place of mqtt.retain_available."},
    {"listeners.KIND.NAME.wildcard_subscription", TYPE_ENUM, .kinds = ALL_KINDS, RELOAD, OF(wildcard_available), .words = switches,
     .default_text = "inherit", .documentation = "In place of mqtt.wildcard_subscription."},
    {"listeners.KIND.NAME.shared_subscription", TYPE_ENUM, .kinds = ALL_KINDS, RELOAD, OF(shared_available), .words = switches,
     .default_text = "inherit", .documentation = "In place of mqtt.shared_subscription."},

    /* listeners: TLS */
    {"listeners.KIND.NAME.tls.certfile", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.certificate_files), .min = 0, .max = 8192,
     .default_text = "",
     .documentation = "The server's certificate (PEM), followed by the intermediates that clients need. Several files with commas between "
                      "them: the one is taken that fits the name the client asks for and the signatures it knows; the first is for all "
                      "others. See docs/tls.md. Files are read again when they change and on SIGHUP."},
    {"listeners.KIND.NAME.tls.keyfile", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.key_files), .min = 0, .max = 8192,
     .default_text = "",
     .documentation = "The private key (PEM) of each certificate, in the same order. Left out: it is in the certificate's file."},
    {"listeners.KIND.NAME.tls.password", TYPE_SECRET, .kinds = TLS_KINDS, RELOAD, OF(tls.password), .min = 0, .max = 1024,
     .default_text = "", .documentation = "Decrypts the private keys."},
    {"listeners.KIND.NAME.tls.cacertfile", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.ca_file), .min = 0, .max = 4096,
     .default_text = "", .documentation = "The CA certificates (PEM) that may have signed clients' certificates."},
    {"listeners.KIND.NAME.tls.verify", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.verify_peer), .words = verifications,
     .default_text = "verify_none",
     .documentation = "verify_peer asks clients for a certificate; what a client sends must verify. verify_none asks for none."},
    {"listeners.KIND.NAME.tls.fail_if_no_peer_cert", TYPE_BOOL, .kinds = TLS_KINDS, RELOAD, OF(tls.certificate_required),
     .default_text = "true",
     .documentation = "With verify_peer: a client without a certificate may not connect (with a pre-shared key it may)."},
    {"listeners.KIND.NAME.tls.depth", TYPE_UNSIGNED, .kinds = TLS_KINDS, RELOAD, OF(tls.depth), .min = 0, .max = 9, .default_text = "3",
     .documentation = "Intermediates there may be between a client's certificate and the CA."},
    {"listeners.KIND.NAME.tls.crlfile", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.crl_file), .min = 0, .max = 4096,
     .default_text = "",
     .documentation = "Revocation lists (PEM), one for each CA that signs clients' certificates: a client whose CA has none here, or one "
                      "that is out of date, may not connect."},
    {"listeners.KIND.NAME.tls.ocsp_file", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.ocsp_files), .min = 0, .max = 8192,
     .default_text = "",
     .documentation = "An OCSP response (DER, as `openssl ocsp -respout` writes it) for each certificate, in the same order, to be sent "
                      "along (stapled) to clients that ask. A new file is noticed. ocsp_stapling fetches it instead."},
    {"listeners.KIND.NAME.tls.ocsp_stapling", TYPE_BOOL, .kinds = TLS_KINDS, RELOAD, OF(tls.ocsp_stapling), .default_text = "false",
     .documentation = "Fetches the OCSP response for each certificate from the responder that it names, renews it before it is out of date, and "
                      "sends it along to clients that ask. The issuer's certificate must follow in certfile, or be in cacertfile."},
    {"listeners.KIND.NAME.tls.ocsp_check", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.ocsp_check), .words = ocsp_checks,
     .default_text = "off",
     .documentation = "With verify_peer: asks by OCSP whether a client's certificate is revoked. off: does not ask. soft: a client comes in, too, "
                      "when there is no answer. hard: only when the answer is that all is well."},
    {"listeners.KIND.NAME.tls.ocsp_responder", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.ocsp_responder), .min = 0, .max = 1000,
     .default_text = "", .documentation = "The responder to ask (http://host:port/path), in place of those that the certificates name."},
    {"listeners.KIND.NAME.tls.ocsp_timeout", TYPE_DURATION, .kinds = TLS_KINDS, RELOAD, OF(tls.ocsp_timeout_ms), .unit_us = MS,
     .min = 100, .max = 60000, .default_text = "3s",
     .documentation = "How long an answer may take. Less than handshake_timeout, or a client is gone before ocsp_check = soft lets it in."},
    {"listeners.KIND.NAME.tls.psk_file", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.psk_file), .min = 0, .max = 4096,
     .default_text = "", .documentation = "Pre-shared keys: lines of identity:hexkey. Beside certificates, or in place of them."},
    {"listeners.KIND.NAME.tls.min_version", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.version_min), .words = tls_versions,
     .default_text = "tlsv1.2", .documentation = "The oldest TLS version spoken: tlsv1.2 or tlsv1.3."},
    {"listeners.KIND.NAME.tls.max_version", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.version_max), .words = tls_versions,
     .default_text = "tlsv1.3", .documentation = "The newest TLS version spoken."},
    {"listeners.KIND.NAME.tls.ciphers", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.ciphers), .min = 0, .max = 2048,
     .default_text = "",
     .documentation = "Cipher suites in the order of preference, by their OpenSSL or IANA names with colons or commas between them. Empty: "
                      "those with forward secrecy and authenticated encryption. docs/tls.md lists all that can be named."},
    {"listeners.KIND.NAME.tls.alpn", TYPE_STRING, .kinds = TLS_KINDS, RELOAD, OF(tls.alpn), .min = 0, .max = 255, .default_text = "",
     .documentation = "Application protocols (ALPN) a client may ask for, with commas between them; one that asks for others only is "
                      "refused, one that asks for none is not. Empty: mqtt for tls, http/1.1 for wss. none: whatever it asks is ignored."},
    {"listeners.KIND.NAME.tls.session_tickets", TYPE_BOOL, .kinds = TLS_KINDS, RELOAD, OF(tls.session_tickets), .default_text = "true",
     .documentation = "Clients may resume with a ticket, which saves the private-key operation. Never for clients known by certificate or "
                      "pre-shared key: a ticket would outlive a revocation."},
    {"listeners.KIND.NAME.tls.ticket_lifetime", TYPE_DURATION, .kinds = TLS_KINDS, RELOAD, OF(tls.ticket_lifetime_s), .unit_us = S,
     .min = 60, .max = 604800, .default_text = "2h",
     .documentation = "How long a ticket is good. Its key is replaced after this time, and gone after twice this time."},
    {"listeners.KIND.NAME.tls.peer_cert_as_username", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.username), .words = certificate_names,
     .default_text = "disabled",
     .documentation = "What of the client's certificate becomes its username, whatever CONNECT says: cn, dn (as RFC 4514 writes it), san "
                      "(the first DNS name, e-mail address or URI) or fingerprint (SHA-256, hexadecimal). A certificate without it is refused."},
    {"listeners.KIND.NAME.tls.peer_cert_as_clientid", TYPE_ENUM, .kinds = TLS_KINDS, RELOAD, OF(tls.client_id), .words = certificate_names,
     .default_text = "disabled", .documentation = "The same for the client id."},
    {"listeners.KIND.NAME.tls.psk_identity_as_username", TYPE_BOOL, .kinds = TLS_KINDS, RELOAD, OF(tls.psk_as_username),
     .default_text = "true", .documentation = "The identity of a pre-shared key becomes the username, whatever CONNECT says."},

    /* listeners: WebSocket */
    {"listeners.KIND.NAME.websocket.path", TYPE_STRING, .kinds = WS_KINDS, RELOAD, OF(websocket.path), .min = 1, .max = 100,
     .check = check_path, .default_text = "/mqtt", .documentation = "The path of the upgrade request; any other one is answered with 404."},
    {"listeners.KIND.NAME.websocket.fail_if_no_subprotocol", TYPE_BOOL, .kinds = WS_KINDS, RELOAD, OF(websocket.subprotocol_required),
     .default_text = "true",
     .documentation = "Refuse clients whose request has no Sec-WebSocket-Protocol, as the standard wants it. Those that offer others than "
                      "mqtt and mqttv3.1 are refused in any case."},
    {"listeners.KIND.NAME.websocket.allowed_origins", TYPE_STRING, .kinds = WS_KINDS, RELOAD, OF(websocket.allowed_origins), .min = 0,
     .max = 65535, .default_text = "",
     .documentation = "Web pages that may connect, as \"https://a.example, https://*.b.example\". Others are answered with 403; programs, "
                      "which send no Origin, are not concerned. Empty: pages from everywhere."},
    {"listeners.KIND.NAME.websocket.max_header_size", TYPE_SIZE, .kinds = WS_KINDS, RELOAD, OF(websocket.header_bytes_max), .min = 512,
     .max = MIB, .default_text = "8KiB", .documentation = "Largest upgrade request; a larger one is answered with 431."},
    {"listeners.KIND.NAME.websocket.max_frame_size", TYPE_SIZE, .kinds = WS_KINDS, RELOAD, OF(websocket.frame_bytes_max), .min = 0,
     .max = TIB, .words = unlimited, .default_text = "infinity",
     .documentation = "Largest frame; a larger one ends the connection with close code 1009. Frames are not gathered, so a large one costs no "
                      "memory: max_packet_size is the limit that matters."},
    {"listeners.KIND.NAME.websocket.client_address", TYPE_ENUM, .kinds = WS_KINDS, RELOAD, OF(websocket.client_header),
     .words = client_headers, .default_text = "socket",
     .documentation = "Where the client's address is taken from: socket (or the PROXY header), or, when the peer is one of trusted_proxies, "
                      "x_forwarded_for (the rightmost address that is no trusted proxy) or x_real_ip."},

    {"listeners.KIND.NAME.durability", TYPE_ENUM, .kinds = ALL_KINDS, RELOAD, OF(durability), .words = durability_levels, .default_text = "commit",
     .documentation = "For the sessions of clients that connect here, where durability.enable is on. commit: what is acknowledged is "
                      "on disk. lazy: it is written, but not waited for. none: these sessions end with the process."},

    /* mqtt: who */
    {"mqtt.allow_anonymous", TYPE_ENUM, RELOAD, AT(mqtt.allow_anonymous), .words = anonymous, .default_text = "loopback",
     .documentation = "Who may connect while no authentication is configured. loopback: anybody, and listeners on any other "
                      "address are refused at start. true: anybody, from everywhere the listeners reach. false: nobody. With "
                      "authentication configured this key is not looked at."},
    {"mqtt.max_clientid_len", TYPE_UNSIGNED, RELOAD, AT(mqtt.client_id_bytes_max), .min = 23, .max = MQTT_STRING_BYTES_MAX,
     .default_text = "65535",
     .documentation = "Longest client id accepted, in bytes of UTF-8. The standard asks for at least 23."},
    {"mqtt.max_sessions", TYPE_UNSIGNED, RELOAD, AT(mqtt.sessions_max), .min = 0, .max = UINT32_MAX, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Sessions the node keeps, connected or not. A client that would need one more is refused with 0x97 (quota "
                      "exceeded)."},
    {"mqtt.session_expiry_interval", TYPE_DURATION, RELOAD, AT(mqtt.session_expiry_max_s), .unit_us = S, .min = 0,
     .max = UINT32_MAX - 1, .words = never_ends, .default_text = "7d",
     .documentation = "Longest time a session is kept after its client has gone. MQTT 5 clients that ask for more are told this "
                      "value; MQTT 3 sessions (clean session off) get exactly this. EMQX has 2h and Mosquitto never: write "
                      "never to keep sessions until their clients come back, but then also set mqtt.max_sessions."},
    {"mqtt.keepalive_max", TYPE_DURATION, RELOAD, AT(mqtt.keep_alive_max_s), .unit_us = S, .min = 0, .max = 65535,
     .words = unlimited, .default_text = "infinity",
     .documentation = "Longest keep alive a client may choose. MQTT 5 clients that ask for more (or for none) are told this one; "
                      "older clients, which cannot be told, keep theirs. infinity: no ceiling."},

    /* mqtt: what */
    {"mqtt.max_packet_size", TYPE_SIZE, RELOAD, AT(mqtt.packet_bytes_max), .min = 64, .max = 256 * MIB, .default_text = "1MiB",
     .documentation = "Largest packet accepted. A larger one ends the connection with 0x95; MQTT 5 clients are told the limit."},
    {"mqtt.max_qos_allowed", TYPE_UNSIGNED, RELOAD, AT(mqtt.qos_max), .min = 0, .max = 2, .default_text = "2",
     .documentation = "Highest quality of service. Subscriptions are granted at most this; a publish above it is refused with "
                      "0x9B."},
    {"mqtt.max_topic_levels", TYPE_UNSIGNED, RELOAD, AT(mqtt.topic_levels_max), .min = 1, .max = TOPIC_LEVELS_MAX,
     .default_text = "128",
     .documentation = "Most levels (a/b/c has three) a topic or filter may have."},
    {"mqtt.max_topic_alias", TYPE_UNSIGNED, RELOAD, AT(mqtt.topic_alias_max), .min = 0, .max = 65535, .default_text = "64",
     .documentation = "Topic aliases an MQTT 5 client may set. 0 forbids them."},
    {"mqtt.server_topic_alias", TYPE_UNSIGNED, RELOAD, AT(mqtt.topic_alias_out_max), .min = 0, .max = 65535,
     .default_text = "64",
     .documentation = "Topic aliases ringmq sets towards an MQTT 5 client that allows them: topics are then sent once. 0: none."},
    {"mqtt.message_expiry_max", TYPE_DURATION, RELOAD, AT(mqtt.message_expiry_max_s), .unit_us = S, .min = 0,
     .max = UINT32_MAX, .words = unlimited, .default_text = "infinity",
     .documentation = "Longest life of a message that waits for a subscriber or is retained; also for messages that name none. "
                      "infinity: no ceiling."},
    {"mqtt.payload_format_check", TYPE_BOOL, RELOAD, AT(mqtt.payload_format_check), .default_text = "false",
     .documentation = "Refuse (0x99) a message that says its payload is UTF-8 when it is not. Costs a look at each such payload."},
    {"mqtt.response_information", TYPE_STRING, RELOAD, AT(mqtt.response_information), .min = 0, .max = 65535,
     .default_text = "",
     .documentation = "The topic prefix for responses, told to MQTT 5 clients that ask for it. Empty: nothing is told."},

    {"mqtt.denied_filters", TYPE_STRING, RELOAD, AT(mqtt.denied_filters), .min = 0, .max = 65535, .default_text = "",
     .documentation = "Filters nobody may subscribe to, separated by commas and compared word for word. SUBACK answers 0x80 in every "
                      "version. Meant for topics that only the server's own parts read."},

    /* mqtt: which features */
    {"mqtt.retain_available", TYPE_BOOL, RELOAD, AT(mqtt.retain_available), .default_text = "true",
     .documentation = "Whether messages may be retained. false refuses a retained publish with 0x9A."},
    {"mqtt.wildcard_subscription", TYPE_BOOL, RELOAD, AT(mqtt.wildcard_available), .default_text = "true",
     .documentation = "Whether filters may have + and #. false refuses them with 0xA2."},
    {"mqtt.shared_subscription", TYPE_BOOL, RELOAD, AT(mqtt.shared_available), .default_text = "true",
     .documentation = "Whether $share/GROUP/FILTER subscriptions are served. false refuses them with 0x9E."},
    {"mqtt.shared_subscription_strategy", TYPE_ENUM, RELOAD, AT(mqtt.share_strategy), .words = share_strategies,
     .default_text = "round_robin",
     .documentation = "Which member of a shared group gets a message. round_robin: each in turn. random: any. sticky: the same "
                      "until it leaves. hash_clientid: chosen by the publisher. hash_topic: chosen by the topic. "
                      "least_inflight: the one with the fewest unacknowledged messages. "
                      "local: each in turn of those on the publisher's own shard, which is the cheapest way; others when those are away or full. Groups that exist keep theirs."},
    {"mqtt.shared_subscription_group_strategies", TYPE_STRING, RELOAD, AT(mqtt.share_group_strategies), .max = 65535, .default_text = "",
     .documentation = "The same for groups by name: GROUP STRATEGY, one a line or with ; between them. Groups that exist keep theirs until a member comes "
                      "or goes."},
    {"mqtt.subscription_max_qos_rules", TYPE_STRING, RELOAD, AT(mqtt.max_qos_rules), .max = 65535, .default_text = "",
     .documentation = "The highest QoS that subscriptions get: FILTER QOS, one a line or with ; between them. The first rule holds whose filter covers "
                      "the subscription's (sensors/# covers sensors/+/t). SUBACK tells the client what it got."},
    {"mqtt.exclusive_subscription", TYPE_BOOL, RELOAD, AT(mqtt.exclusive_subscription), .default_text = "false",
     .documentation = "Whether $exclusive/TOPIC subscriptions are served: TOPIC, for one session of the node at a time; others get 0x97. Without it "
                      "$exclusive/TOPIC is a filter like any other."},
    {"mqtt.max_sessions_per_user", TYPE_UNSIGNED, RELOAD, AT(mqtt.sessions_per_user_max), .min = 0, .max = UINT32_MAX, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Sessions one user name may have in the whole node, connected or not. More are refused with 0x97. Clients without a user name are "
                      "not counted."},
    {"mqtt.max_subscriptions", TYPE_UNSIGNED, RELOAD, AT(mqtt.subscriptions_max), .min = 0, .max = UINT32_MAX,
     .words = unlimited, .default_text = "infinity",
     .documentation = "Subscriptions one session may have. More are refused with 0x97."},

    /* mqtt: how much at a time */
    {"mqtt.receive_maximum", TYPE_UNSIGNED, RELOAD, AT(mqtt.receive_max), .min = 1, .max = 65535, .default_text = "1024",
     .documentation = "QoS 1 and 2 publishes a client may have sent without having got the acknowledgement. MQTT 5 clients are "
                      "told."},
    {"mqtt.max_inflight", TYPE_UNSIGNED, RELOAD, AT(mqtt.inflight_max), .min = 1, .max = 65535, .default_text = "1024",
     .documentation = "QoS 1 and 2 messages on their way to one client without its acknowledgement. The client's own receive "
                      "maximum may lower it. Raise it (4096) where hundreds of thousands a second go to few clients; lower it where members of a shared group work slowly."},
    {"mqtt.max_mqueue_len", TYPE_UNSIGNED, RELOAD, AT(mqtt.queue_messages_max), .min = 1, .max = 100000000,
     .default_text = "10000",
     .documentation = "Messages that may wait for one session: it is away, or takes them more slowly than they come."},
    {"mqtt.max_mqueue_bytes", TYPE_SIZE, RELOAD, AT(mqtt.queue_bytes_max), .min = KIB, .max = TIB, .default_text = "16MiB",
     .documentation = "The same in bytes; whichever is reached first."},
    {"mqtt.max_node_mqueue_len", TYPE_UNSIGNED, RELOAD, AT(mqtt.node_queue_messages_max), .min = 1, .max = 1000000000000, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Messages that may wait for all sessions of the node together, in memory and on disk; then mqtt.mqueue_policy decides about the "
                      "queue a message comes to. How old they may be says mqtt.message_expiry_max."},
    {"mqtt.max_node_mqueue_bytes", TYPE_SIZE, RELOAD, AT(mqtt.node_queue_bytes_max), .min = MIB, .max = 1024 * TIB, .words = unlimited,
     .default_text = "infinity",
     .documentation = "The same in bytes; whichever is reached first."},
    {"mqtt.mqueue_policy", TYPE_ENUM, RELOAD, AT(mqtt.queue_policy), .words = queue_policies, .default_text = "drop_newest",
     .documentation = "What happens when a session's queue, or the node's share of memory and disk for all of them, is full. drop_newest: the message that comes. drop_oldest: the one "
                      "that waited longest. disconnect: the client, with 0x97. Drops are counted and logged."},
    {"mqtt.mqueue_store_qos0", TYPE_BOOL, RELOAD, AT(mqtt.queue_qos0_offline), .default_text = "true",
     .documentation = "Whether QoS 0 messages wait, too, for a session that is away."},
    {"mqtt.publisher_pause", TYPE_DURATION, RELOAD, AT(mqtt.pause_ms), .unit_us = MS, .min = 0, .max = 60000,
     .default_text = "2ms",
     .documentation = "A publisher that outruns its subscribers is not read until their queues have room again, looked at this often at least, so that they need not "
                      "drop. Nobody waits for a subscriber that takes nothing for a second, or less than a quarter of its queue: its publishers are paused for this long at "
                      "a time. 0 turns it off: the publisher never slows down, and queues fill."},
    {"mqtt.match_cache_topics", TYPE_UNSIGNED, AT(mqtt.match_cache_topics), .min = 0, .max = 16777216,
     .default_text = "65536",
     .documentation = "Topics per shard whose subscribers are remembered. Raise it when more topics than this are busy at the "
                      "same time."},

    /* retainer */
    {"retainer.max_messages", TYPE_UNSIGNED, RELOAD, AT(mqtt.retained_messages_max), .min = 0, .max = 10000000000,
     .words = unlimited, .default_text = "1000000",
     .documentation = "Retained messages the node keeps. A message for one more topic is delivered but not kept."},
    {"retainer.max_bytes", TYPE_SIZE, RELOAD, AT(mqtt.retained_bytes_max), .min = 0, .max = 1024 * TIB, .words = unlimited,
     .default_text = "1GiB",
     .documentation = "The same in bytes of topic, properties and payload, whether that is in memory or on disk only (retainer.shelf_above)."},
    {"retainer.shelf_above", TYPE_SIZE, RELOAD, AT(mqtt.retained_shelf_above), .min = 0, .max = 16 * MIB, .words = never,
     .default_text = "1KiB",
     .documentation = "With durability.enable: payloads of retained messages from this size on (and up to 16 MiB) are kept on disk only, beside the long queues, and read back when "
                      "somebody subscribes; topics and properties stay in memory. Those of level none, delayed messages and values of features are kept in memory, too. A change counts for "
                      "what is in memory; what is on disk already stays there. disabled: all payloads stay in memory."},
    {"retainer.shelf_memory", TYPE_SIZE, RELOAD, AT(mqtt.retained_shelf_memory_bytes), .min = 64 * KIB, .max = TIB, .default_text = "64MiB",
     .documentation = "Of these payloads the newest stay in memory until they are more than this on the whole node. So those of topics that change often, and those of a node that has "
                      "few, never go to disk only."},
    {"retainer.max_payload_size", TYPE_SIZE, RELOAD, AT(mqtt.retained_payload_bytes_max), .min = 0, .max = 256 * MIB,
     .words = unlimited, .default_text = "infinity",
     .documentation = "Largest payload that is retained. infinity: whatever mqtt.max_packet_size lets in."},

    {"retainer.msg_expiry_interval", TYPE_DURATION, RELOAD, AT(mqtt.retained_expiry_s), .unit_us = S, .min = 0, .max = 315360000, .default_text = "0s",
     .documentation = "How long retained messages are kept that have no message expiry interval of their own. 0: for good."},
    {"retainer.msg_clear_interval", TYPE_DURATION, RELOAD, AT(mqtt.retained_clear_s), .unit_us = S, .min = 0, .max = 31536000, .default_text = "1h",
     .documentation = "How often retained messages are removed whose expiry is over (nobody is sent those meanwhile). 0: only when a subscription "
                      "comes across them."},

    /* delayed, rewrite, auto_subscribe, topic_metrics, slow_subs */
    {"delayed.enable", TYPE_BOOL, RELOAD, AT(delayed.enable), .default_text = "false",
     .documentation = "Whether a message to $delayed/SECONDS/TOPIC is published to TOPIC so many seconds later. Without it that is a topic like any "
                      "other. What already waits is published in any case."},
    {"delayed.max_delayed_messages", TYPE_UNSIGNED, RELOAD, AT(delayed.messages_max), .min = 0, .max = UINT32_MAX, .words = unlimited,
     .default_text = "100000",
     .documentation = "Messages of the whole node that may wait for their time. More are refused with 0x97. They count as retained messages, too."},
    {"delayed.max_delay", TYPE_DURATION, RELOAD, AT(delayed.delay_max_s), .unit_us = S, .min = 1, .max = 4294967, .default_text = "4294967s",
     .documentation = "The longest delay. A message with a longer one is refused with 0x90."},
    {"rewrite.rules", TYPE_STRING, RELOAD, AT(rewrite_rules), .max = 1048576, .default_text = "",
     .documentation = "ACTION FILTER EXPRESSION TEMPLATE, one a line or with ; between them; a word with blanks or ; in it stands in double quotes. ACTION: "
                      "publish, subscribe or all. A topic or filter below FILTER in which the regular expression finds something becomes "
                      "TEMPLATE, with $1 to $9, ${client_id}, ${username} and ${client_attrs.NAME} filled in. The last rule that fits holds. Authorization looks at "
                      "the name the client has used."},
    {"auto_subscribe.topics", TYPE_STRING, RELOAD, AT(auto_subscribe_topics), .max = 65535, .default_text = "",
     .documentation = "Subscriptions every client gets when it connects: FILTER [qos=0|1|2] [nl] [rap] [rh=0|1|2], one a line or with ; between them, with "
                      "${client_id}, ${username} and ${client_attrs.NAME} filled in. Authorization is not asked."},
    {"topic_metrics.topics", TYPE_STRING, RELOAD, AT(topic_metrics_topics), .max = 1048576, .default_text = "",
     .documentation = "Topics (up to 512) and filters with wildcards (up to 32 of them) whose messages are counted: one a line or with ; between them. "
                      "$SYS/broker/topic_metrics has the counts."},
    {"slow_subs.enable", TYPE_BOOL, RELOAD, AT(slow_subs.enable), .default_text = "false",
     .documentation = "Whether the slowest subscribers are noted. $SYS/broker/slow_subs has them."},
    {"slow_subs.threshold", TYPE_DURATION, RELOAD, AT(slow_subs.threshold_ms), .unit_us = MS, .min = 1, .max = 3600000, .default_text = "500ms",
     .documentation = "A message that took longer than this was slow."},
    {"slow_subs.top_k_num", TYPE_UNSIGNED, RELOAD, AT(slow_subs.top_k), .min = 1, .max = 1000, .default_text = "10",
     .documentation = "How many subscribers are noted: the slowest."},
    {"slow_subs.expire_interval", TYPE_DURATION, RELOAD, AT(slow_subs.expire_s), .unit_us = S, .min = 1, .max = 31536000, .default_text = "5m",
     .documentation = "An entry goes when its subscriber has not been slow for so long."},
    {"slow_subs.stats_type", TYPE_ENUM, RELOAD, AT(slow_subs.stats_type), .words = slow_types, .default_text = "whole",
     .documentation = "whole: from the moment a message came to its acknowledgement. internal: until it was sent. response: from then to its acknowledgement (QoS 0 has none)."},

    /* durability */
    {"durability.enable", TYPE_BOOL, AT(durability.enable), .default_text = "false",
     .documentation = "Keep sessions that outlive their connection, their queues and subscriptions, and retained messages in "
                      "node.data_dir/store, so that they survive the process. An acknowledgement then means: on disk."},
    {"durability.topics", TYPE_STRING, AT(durability.topics), .min = 0, .max = 65535, .default_text = "", .check = check_durability_topics,
     .documentation = "Rules for messages, separated by commas: FILTER=LEVEL with a level commit, lazy (written, not waited for) or "
                      "none (not written). The first whose filter matches the topic decides; without one it is commit. Example: "
                      "\"telemetry/#=lazy,debug/#=none\"."},
    {"durability.commit_interval", TYPE_DURATION, AT(durability.commit_interval_ms), .unit_us = MS, .min = 0, .max = 1000,
     .default_text = "1ms",
     .documentation = "How long acknowledgements are gathered for one write and sync of the disk. A longer one makes fewer, "
                      "larger writes. 0: as long as the one before takes. A message after a quiet moment does not wait."},
    {"durability.commit_size", TYPE_SIZE, AT(durability.commit_bytes_max), .min = 16 * KIB, .max = MIB, .default_text = "1MiB",
     .documentation = "What one write and sync of the disk holds at most. It is written as soon as it has 64 KiB and the one before is on disk, so "
                      "this only counts where more comes than is written meanwhile: a smaller one answers those at its front earlier, a larger one "
                      "writes more in all. A larger message stands alone."},
    {"durability.segment_size", TYPE_SIZE, AT(durability.segment_bytes), .min = 4 * MIB, .max = 4 * GIB,
     .default_text = "64MiB",
     .documentation = "Size of one file of the log, in whole blocks of 4 KiB. Each shard has at least two of them."},
    {"durability.checkpoint_after", TYPE_SIZE, AT(durability.checkpoint_bytes), .min = 4 * MIB, .max = TIB, .default_text = "256MiB",
     .documentation = "When a shard's log has grown by this much, and by as much as what lives in it, what lives is written once "
                      "more and the files before that are used again. Bounds disk space and the time of a start."},
    {"durability.max_backlog", TYPE_SIZE, AT(durability.backlog_bytes_max), .min = MIB, .max = 64 * GIB, .default_text = "64MiB",
     .documentation = "Memory per shard for what is not on disk yet. Beyond it publishes with QoS 1 and 2 are refused (0x97) until the "
                      "disk has caught up; from half of it on, publishers are read more slowly."},
    {"durability.disk_reserve", TYPE_SIZE, AT(durability.disk_reserve_bytes), .max = 1024 * TIB, .words = itself, .default_text = "auto",
     .documentation = "With less room than this on the disk of node.data_dir/store the store is full: QoS 1 and 2 messages for durable sessions, retained messages and new "
                      "durable subscriptions are refused (0x97), as are CONNECTs of new durable sessions (0x88), and what is there can still be taken and deleted. It goes on by "
                      "itself with an eighth more. auto: what the store itself may have to write at the moment to be able to give room back (checkpoints, a new segment for each "
                      "shard, RocksDB's flushes and compactions); it grows with what is stored. 0: none; then a full disk can end the process."},
    {"durability.memory", TYPE_SIZE, AT(durability.memory_bytes), .min = 16 * MIB, .max = TIB, .default_text = "256MiB",
     .documentation = "Memory of the node for queued messages of durable sessions (half of it) and for reading and writing the queues that "
                      "are kept on disk only (the other half). When queues take more than their half, only 64 messages stay in memory "
                      "at each end of a queue."},
    {"durability.queue_window", TYPE_UNSIGNED, AT(durability.queue_window), .min = 16, .max = 1000000, .words = all_of_it,
     .default_text = "1000",
     .documentation = "Messages that stay in memory at each end of a durable session's queue. What is between them is on disk only, and is "
                      "read back when its client takes it. infinity: the whole queue stays in memory."},
    {"durability.queue_window_bytes", TYPE_SIZE, AT(durability.queue_window_bytes), .min = 64 * KIB, .max = TIB, .default_text = "1MiB",
     .documentation = "The same in bytes: the window ends with whichever of the two is reached first."},
    {"durability.on_damage", TYPE_ENUM, AT(durability.on_damage), .words = damage_policies, .default_text = "refuse",
     .documentation = "What a start does when the log has a hole: something that was on disk cannot be read any more. refuse: it "
                      "ends with an error. salvage: it goes on with what can be read, and says what it passed over."},

    /* io */
    {"io.ring_entries", TYPE_UNSIGNED, AT(io.ring_entries), .min = 64, .max = 8192, .check = check_ring_entries,
     .default_text = "4096",
     .documentation = "Requests one shard can hand to the kernel per turn (submission queue); the completion queue has 8 times as "
                      "many. A power of two."},
    {"io.receive_buffers", TYPE_SIZE, AT(io.receive_buffers_bytes), .min = 64 * KIB, .max = GIB, .default_text = "2MiB",
     .documentation = "Memory per shard the kernel receives into. An idle connection uses none of it. Raise it when many "
                      "connections send large messages at once."},
    {"io.spin", TYPE_DURATION, AT(io.spin_us), .unit_us = US, .min = 0, .max = 100000, .default_text = "0",
     .documentation = "Look again for this long before a shard goes to sleep. 0: never, and an idle broker uses no CPU. Raise it "
                      "to 20us to 100us when the last microseconds of latency matter and the cores are the broker's own: each "
                      "shard then burns up to a whole core whenever there is traffic."},
    {"io.turn_budget", TYPE_DURATION, AT(io.turn_budget_us), .unit_us = US, .min = 50, .max = 1000000, .default_text = "500us",
     .documentation = "How long a shard takes packets in before it sends what they have led to and looks for what else has come. Acknowledgements have three quarters of it "
                      "and go first; what other shards send, timers, scans and the other long work have half of it each. A client whose bytes are cut short goes on in "
                      "the next turn, behind those who wait. Less: more even latencies at full load, and more, smaller packets."},
    {"io.turn_clock", TYPE_ENUM, AT(io.turn_clock), .words = turn_clocks, .default_text = "elapsed",
     .documentation = "How turns are measured. elapsed: the time that passes, moments in which the system gives the core to somebody else included. "
                      "processor: also the time the shard itself uses (histograms turn_processor and round_processor), and the log says of turns longer than 2 ms what they "
                      "did; costs two system calls a turn and more."},
    {"io.direct_descriptors", TYPE_BOOL, AT(io.direct_descriptors), .default_text = "true",
     .documentation = "Sockets without an entry in the process's table of files: less work per operation."},
    {"io.fd_passing", TYPE_BOOL, AT(io.fd_passing), .default_text = "true",
     .documentation = "A connection moves to its shard within the kernel (MSG_RING with a descriptor, Linux 6.0)."},
    {"io.message_ring", TYPE_BOOL, AT(io.message_ring), .default_text = "true",
     .documentation = "A shard wakes another through its ring (MSG_RING, Linux 5.18), not through an eventfd."},
    {"io.incremental_buffers", TYPE_BOOL, AT(io.incremental_buffers), .default_text = "true",
     .documentation = "Several receives share one buffer (Linux 6.12): small packets waste no memory."},
    {"io.receive_bundle", TYPE_BOOL, AT(io.receive_bundle), .default_text = "true",
     .documentation = "One receive fills several buffers (Linux 6.10)."},
    {"io.send_vectorized", TYPE_BOOL, AT(io.send_vectorized), .default_text = "true",
     .documentation = "One send takes several pieces without a message header (Linux 6.17)."},
    {"io.socket_options", TYPE_BOOL, AT(io.socket_options), .default_text = "true",
     .documentation = "Options of accepted connections are set through the ring (Linux 6.7): tcp_quickack."},
    {"io.fd_install", TYPE_BOOL, AT(io.fd_install), .default_text = "true",
     .documentation = "The end of a direct descriptor's stream is said by way of an ordinary one (Linux 6.8), not by a thread of the kernel."},
    {"io.min_wait", TYPE_BOOL, AT(io.min_wait), .default_text = "true",
     .documentation = "The kernel may collect completions for a moment before it wakes a busy shard (Linux 6.12)."},
    {"io.multishot_accept", TYPE_BOOL, AT(io.multishot_accept), .default_text = "true",
     .documentation = "One accept request serves all connections to come (Linux 5.19)."},
    {"io.multishot_receive", TYPE_BOOL, AT(io.multishot_receive), .default_text = "true",
     .documentation = "One receive request per connection serves all bytes to come (Linux 6.0)."},

    /* overload */
    {"overload.turn_time", TYPE_DURATION, RELOAD, AT(overload.turn_us), .unit_us = US, .min = 0, .max = 60000000, .default_text = "100ms",
     .documentation = "A shard whose turns take longer than this on average over about a second is overloaded: it stops accepting "
                      "connections, and when that does not help it reads publishers more slowly, until the average is below half of it. 0: "
                      "turns are not looked at."},
    {"overload.shard_memory", TYPE_SIZE, RELOAD, AT(overload.memory_bytes_max), .min = 0, .max = TIB, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Memory one shard may use for messages and buffers. At 90 % it stops accepting connections, at 95 % it reads publishers "
                      "more slowly, until it is below 80 %. infinity: not looked at."},
    {"overload.max_handshake_rate", TYPE_RATE, RELOAD, AT(overload.handshakes_rate), .min = 0, .max = 1000000, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Expensive steps of TLS handshakes (private-key operations, verifications of certificates) a shard takes in a second; a "
                      "full handshake has one in TLS 1.3 and two in TLS 1.2 or with a client's certificate. More wait, as long as "
                      "handshake_timeout lets them. Without a limit, too, a shard takes only one such step a turn."},

    /* limiter */
    RATE_KEYS("limiter.client.", , .kinds = 0, AT, limiter.client, unlimited, "infinity", "each client of listeners that say nothing else", "")
    RATE_KEYS("limiter.node.", , .kinds = 0, AT, limiter.node, unlimited, "infinity", "all clients of this node together", "")
    {"limiter.node.max_conn_rate", TYPE_RATE, RELOAD, AT(limiter.connections_rate), .min = 0, .max = 10000000, .words = unlimited,
     .default_text = "infinity",
     .documentation = "Connections per second all listeners together accept (each shard gets its part). More wait in the kernel, up to backlog."},
    {"limiter.node.max_conn_burst", TYPE_UNSIGNED, RELOAD, AT(limiter.connections_burst), .min = 0, .max = 10000000, .default_text = "0",
     .documentation = "Connections that may come at once before limiter.node.max_conn_rate slows them down. 0: what one second allows."},
    /* admin */
    {"admin.enable", TYPE_BOOL, AT(admin.enable), .default_text = "true",
     .documentation = "Serve the admin API: REST, metrics, dashboard."},
    {"admin.bind", TYPE_STRING, AT(admin.bind), .min = 1, .max = 128, .default_text = "127.0.0.1:18083", .check = check_bind,
     .documentation = "Where to serve it. An address that is not loopback should have admin.tls.certfile: passwords and tokens travel as they are "
                      "otherwise. Port 0 takes a free one; the log says which. When it cannot be opened the broker runs without it, and says so."},
    {"admin.default_password", TYPE_SECRET, AT(admin.default_password), .min = 0, .max = 256, .default_text = "",
     .documentation = "Password of the user `admin` that is made at the first start, when there are no users yet. Empty: a random one is made and "
                      "written to the log once."},
    {"admin.workers", TYPE_UNSIGNED, AT(admin.workers), .min = 1, .max = 64, .default_text = "3",
     .documentation = "Threads that answer requests. They sleep when nobody asks."},
    {"admin.max_connections", TYPE_UNSIGNED, AT(admin.connections_max), .min = 1, .max = 10000, .default_text = "256",
     .documentation = "Connections to the admin API, event streams included; half of them may be streams. More are told to come back (503)."},
    {"admin.max_body", TYPE_SIZE, AT(admin.body_bytes_max), .min = KIB, .max = 256 * MIB, .default_text = "2MiB",
     .documentation = "Largest body of a request."},
    {"admin.max_payload", TYPE_SIZE, RELOAD, AT(admin.payload_bytes_max), .min = 0, .max = 256 * MIB, .default_text = "1MiB",
     .documentation = "Largest payload of a retained message that the API shows; larger ones are shown without."},
    {"admin.request_timeout", TYPE_DURATION, AT(admin.request_timeout_ms), .unit_us = MS, .min = 100, .max = 600000, .default_text = "10s",
     .documentation = "A request must have arrived after this time, from its first byte to its last; a TLS handshake, too."},
    {"admin.idle_timeout", TYPE_DURATION, AT(admin.idle_timeout_ms), .unit_us = MS, .min = 100, .max = 3600000, .default_text = "60s",
     .documentation = "A connection without a request is closed after this time."},
    {"admin.token_lifetime", TYPE_DURATION, RELOAD, AT(admin.token_lifetime_s), .unit_us = S, .min = 10, .max = 31536000, .default_text = "1h",
     .documentation = "A login ends when its token was not used for this long."},
    {"admin.metrics_auth", TYPE_BOOL, RELOAD, AT(admin.metrics_auth), .default_text = "true",
     .documentation = "/metrics needs authentication, as all else: HTTP Basic with an API key. false serves the metrics to whoever reaches the port."},
    {"admin.docs_auth", TYPE_BOOL, RELOAD, AT(admin.docs_auth), .default_text = "true",
     .documentation = "/api/docs and /api/openapi.json need authentication."},
    {"admin.status_auth", TYPE_BOOL, RELOAD, AT(admin.status_auth), .default_text = "false",
     .documentation = "GET /api/v1/status needs authentication. It says no more than that the broker runs; load balancers ask it."},
    {"admin.tls.certfile", TYPE_STRING, AT(admin.certificate_file), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Serve HTTPS with this certificate (PEM), followed by intermediates. Empty: HTTP."},
    {"admin.tls.keyfile", TYPE_STRING, AT(admin.key_file), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Its private key (PEM). Left out: it is in the certificate's file."},
    {"admin.tls.password", TYPE_SECRET, AT(admin.key_password), .min = 0, .max = 1024, .default_text = "",
     .documentation = "Decrypts the private key."},

    /* trace */
    {"trace.max_running", TYPE_UNSIGNED, RELOAD, AT(trace.running_max), .min = 0, .max = 16, .default_text = "8",
     .documentation = "Traces that run at the same time. 0: none can be started."},
    {"trace.max_kept", TYPE_UNSIGNED, RELOAD, AT(trace.kept_max), .min = 1, .max = 1000, .default_text = "30",
     .documentation = "Traces whose files are kept below node.data_dir/trace; a new one takes the place of the oldest that has ended."},
    {"trace.duration", TYPE_DURATION, RELOAD, AT(trace.duration_s), .unit_us = S, .min = 1, .max = 31536000, .default_text = "10m",
     .documentation = "How long a trace runs when nothing is said."},
    {"trace.max_duration", TYPE_DURATION, RELOAD, AT(trace.duration_max_s), .unit_us = S, .min = 1, .max = 31536000, .default_text = "1d",
     .documentation = "The longest time a trace may run."},
    {"trace.size", TYPE_SIZE, RELOAD, AT(trace.bytes), .min = 4 * KIB, .max = 4 * GIB, .default_text = "10MiB",
     .documentation = "Size of a trace's files when nothing is said; it ends when they have it."},
    {"trace.max_size", TYPE_SIZE, RELOAD, AT(trace.bytes_max), .min = 4 * KIB, .max = 4 * GIB, .default_text = "100MiB",
     .documentation = "The largest size a trace may have."},
    {"trace.buffer", TYPE_SIZE, AT(trace.ring_bytes), .min = 128 * KIB, .max = 64 * MIB, .default_text = "1MiB",
     .documentation = "Records on their way from a shard to the files, per shard, made when the first trace starts. What finds no room is counted, and the trace says so."},
    /* metrics */
    {"metrics.exemplars", TYPE_BOOL, RELOAD, AT(metrics.exemplars), .default_text = "true",
     .documentation = "Histograms name a message for each of their buckets (OpenMetrics exemplars): topic and client id. With admin.metrics_auth = false "
                      "they are left out of /metrics: such names are not for everybody."},
    {"metrics.otlp.endpoint", TYPE_STRING, RELOAD, AT(metrics.otlp.endpoint), .min = 0, .max = 2048, .default_text = "", .check = otlp_check_endpoint,
     .documentation = "Push all metrics to an OpenTelemetry collector: the URL of its OTLP/HTTP receiver, such as http://127.0.0.1:4318 (without a path "
                      "/v1/metrics is meant). Empty: nothing is pushed."},
    {"metrics.otlp.interval", TYPE_DURATION, RELOAD, AT(metrics.otlp.interval_ms), .unit_us = MS, .min = 100, .max = 3600000, .default_text = "60s",
     .documentation = "How often they are pushed."},
    {"metrics.otlp.timeout", TYPE_DURATION, RELOAD, AT(metrics.otlp.timeout_ms), .unit_us = MS, .min = 10, .max = 600000, .default_text = "10s",
     .documentation = "How long a request may take, connecting included."},
    {"metrics.otlp.headers", TYPE_SECRET, RELOAD, AT(metrics.otlp.headers), .min = 0, .max = 8192, .default_text = "", .check = otlp_check_headers,
     .documentation = "Sent with every request, \"Name: value, Name: value\": an API key, a tenant."},
    {"metrics.otlp.compression", TYPE_ENUM, RELOAD, AT(metrics.otlp.compression), .words = otlp_compressions, .default_text = "none",
     .documentation = "gzip makes requests about ten times smaller and takes about a millisecond of a processor."},
    {"metrics.otlp.resource_attributes", TYPE_STRING, RELOAD, AT(metrics.otlp.resource_attributes), .min = 0, .max = 8192, .default_text = "",
     .check = otlp_check_attributes,
     .documentation = "What is said of this broker beside service.name (ringmq), service.version, service.instance.id (node.name@host), host.name and process.pid, as in "
                      "OTEL_RESOURCE_ATTRIBUTES: \"deployment.environment.name=production,service.namespace=plant%207\". Those given here win."},
    {"metrics.otlp.tls.cafile", TYPE_STRING, RELOAD, AT(metrics.otlp.ca_file), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Certificates (PEM) that the collector's must lead to. Empty: the system's."},
    {"metrics.otlp.tls.certfile", TYPE_STRING, RELOAD, AT(metrics.otlp.certificate_file), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Our certificate (PEM), for a collector that asks for one."},
    {"metrics.otlp.tls.keyfile", TYPE_STRING, RELOAD, AT(metrics.otlp.key_file), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Its private key (PEM)."},
    {"metrics.otlp.tls.verify", TYPE_BOOL, RELOAD, AT(metrics.otlp.verify), .default_text = "true",
     .documentation = "Whether the collector's certificate must be good and for its name. Only for tests false."},

    /* log, sys */
    {"log.level", TYPE_ENUM, RELOAD, AT(log.level), .words = log_levels, .default_text = "info",
     .documentation = "The least important lines that are written."},
    {"log.format", TYPE_ENUM, RELOAD, AT(log.format), .words = log_formats, .default_text = "text",
     .documentation = "text for eyes, json for programs (one object per line), journal for systemd (priorities in front, no "
                      "time). Always to standard error."},
    {"sys.interval", TYPE_DURATION, RELOAD, AT(sys.interval_s), .unit_us = S, .min = 0, .max = 86400, .default_text = "10s",
     .documentation = "How often the $SYS topics are published. 0: not at all."},

    /* features, authorization */
    {"features.load", TYPE_STRING, AT(features.load), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Modules to load, with commas between them: names, looked for in features.module_path, or paths. Only modules made for "
                      "this version of ringmqd are accepted."},
    {"features.module_path", TYPE_STRING, AT(features.module_path), .min = 0, .max = 4096, .default_text = "",
     .documentation = "Folders with modules, with colons between them. Empty: features/ beside the program, then ../lib/ringmq."},
    {"features.gate_budget", TYPE_DURATION, RELOAD, AT(features.gate_budget_us), .unit_us = US, .min = 1, .max = 10000000, .default_text = "200us",
     .documentation = "A feature that takes longer than this to judge one packet is counted and logged by name: everybody on its shard waited."},
    {"authorization.no_match", TYPE_ENUM, RELOAD, AT(authorization.no_match), .words = no_matches, .default_text = "deny",
     .documentation = "What holds when authorization is configured and no rule decides about a PUBLISH or a filter of a SUBSCRIBE. Without any source of "
                      "rules everything is allowed."},
    {"authorization.deny_action", TYPE_ENUM, RELOAD, AT(authorization.deny_action), .words = deny_actions, .default_text = "ignore",
     .documentation = "What happens to a PUBLISH or SUBSCRIBE that is denied. ignore: it has no effect; MQTT 5 clients are told with 0x87 in PUBACK, "
                      "PUBREC or SUBACK, older ones with 0x80 in SUBACK. disconnect: the connection is ended (0x87)."},
};

static const struct schema_section sections[] = {
    {"node", "The process: its name, its threads, its size."},
    {"listeners.KIND.NAME", "Where clients connect. Any number of listeners, each with a name of its own (letters a-z, digits, _ and "
                           "-); the TCP one called default exists without being written down, a second kind begins with listeners.ws.default {}. A reload "
                           "opens, closes and changes them: connections stay, and keep the options they came in with."},
    {"mqtt", "What clients may do, and what they get. A reload applies to connections made after it, unless the text says otherwise."},
    {"retainer", "Limits of retained messages."},
    {"delayed", "Messages that are published later. See docs/extras.md."},
    {"rewrite", "Topics and filters that become others. See docs/extras.md."},
    {"auto_subscribe", "Subscriptions that clients need not ask for. See docs/extras.md."},
    {"topic_metrics", "Counts of messages by topic. See docs/extras.md."},
    {"slow_subs", "Who keeps messages waiting. See docs/extras.md."},
    {"durability", "What survives the process. See docs/durability.md."},
    {"io", "How a shard talks to the kernel. Each switch turns one feature off although the kernel could (the log says at "
           "start what is used); there is no reason to touch them other than to hunt a bug or to measure."},
    {"overload", "When a shard is asked for more than it can do. What happens is logged and counted."},
    {"limiter.client", "How much each client may do. Who is too fast is read (or written to) more slowly; nothing is dropped. See docs/protection.md."},
    {"limiter.node", "How much all clients of the node may do together, over all shards."},
    {"admin", "The admin API, see docs/admin-api.md: users, metrics, what can be seen and done while the broker runs."},
    {"admin.tls", "HTTPS for the admin API."},
    {"trace", "Traces of clients and topics. See docs/trace.md."},
    {"metrics", "What is counted and who is told. See docs/metrics.md; /metrics is the admin API's."},
    {"metrics.otlp", "Metrics pushed to an OpenTelemetry collector (OTLP over HTTP)."},
    {"metrics.otlp.tls", "For an https:// endpoint."},
    {"log", "What is logged, and how."},
    {"sys", "The $SYS topics."},
    {"features", "What plugs into the broker. docs/features.md."},
    {"authorization", "What clients may publish and subscribe to. docs/access-control.md."},
};

const struct schema SCHEMA = {keys, SCHEMA_COUNT(keys), sections, SCHEMA_COUNT(sections), NULL, 0};
