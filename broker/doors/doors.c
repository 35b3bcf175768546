#include "broker/doors/doors.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/cidr.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/doors/tls.h"
#include "proxy/proxy.h"
#include "ws/websocket.h"

struct door {
    const struct listener_settings *settings;
    struct cidr_list allow, deny;
    struct websocket_options websocket; /* trusted_proxies is the list for the PROXY protocol, too */
    struct door_tls *tls; /* NULL: none */
    bool client_is_told; /* by a proxy: the lists are looked at again when it has said who the client is */
};

/* ---- a listener's ---------------------------------------------------------------------------------------------------- */

static bool has_tls(const struct listener_settings *settings) { return settings->kind == LISTENER_TLS || settings->kind == LISTENER_WSS; }
static bool has_websocket(const struct listener_settings *settings) { return settings->kind == LISTENER_WS || settings->kind == LISTENER_WSS; }

static bool list_parse(const struct listener_settings *settings, const char *key, const char *text, struct cidr_list *ret_list,
                       char *ret_error, size_t error_bytes)
{
    const char *wrong = cidr_list_parse(span_of_string(text ? text : ""), ret_list);
    if (wrong) snprintf(ret_error, error_bytes, "listeners.%s.%s.%s: %s", listener_kind_names[settings->kind], settings->name, key, wrong);
    return !wrong;
}

bool door_open(struct listener *listener, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *settings = listener->settings;
    struct door *door = memory_acquire_zeroed(sizeof *door);
    listener->above = door;
    door->settings = settings;
    if (!list_parse(settings, "allow", settings->allow, &door->allow, ret_error, error_bytes) ||
        !list_parse(settings, "deny", settings->deny, &door->deny, ret_error, error_bytes) ||
        !list_parse(settings, "trusted_proxies", settings->trusted_proxies, &door->websocket.trusted_proxies, ret_error, error_bytes))
        return false;
    if (has_tls(settings) && !(door->tls = door_tls_open(settings, ret_error, error_bytes))) return false;
    struct websocket_options *websocket = &door->websocket;
    websocket->path = settings->websocket.path;
    websocket->subprotocol_required = settings->websocket.subprotocol_required;
    websocket->allowed_origins = settings->websocket.allowed_origins;
    websocket->header_bytes_max = settings->websocket.header_bytes_max;
    websocket->frame_bytes_max = settings->websocket.frame_bytes_max;
    websocket->x_forwarded_for = settings->websocket.client_header == CLIENT_HEADER_FORWARDED_FOR;
    websocket->x_real_ip = settings->websocket.client_header == CLIENT_HEADER_REAL_IP;
    bool header_counts = has_websocket(settings) && settings->websocket.client_header != CLIENT_HEADER_NONE;
    bool lists = door->allow.count || door->deny.count;
    door->client_is_told = settings->proxy_protocol != PROXY_PROTOCOL_OFF || header_counts;
    listener->asks_peer = lists || door->client_is_told;
    listener->admits = listener->asks_peer || has_tls(settings) || has_websocket(settings);
    return true;
}

void door_close(struct listener *listener)
{
    struct door *door = listener->above;
    door_tls_close(door->tls);
    cidr_list_release(&door->allow);
    cidr_list_release(&door->deny);
    cidr_list_release(&door->websocket.trusted_proxies);
    memory_release(door);
    listener->above = NULL;
}

void door_tick(const struct listener *listener, bool forced)
{
    const struct door *door = listener->above;
    if (door->tls) door_tls_tick(door->tls, forced);
}

/* ---- a connection's -------------------------------------------------------------------------------------------------- */

static const struct door *door_of(const struct shard *shard, const struct conn *conn)
{
    return shard->group->listeners[conn->listener].above;
}

static bool lists_allow(const struct door *door, const uint8_t address[16])
{
    return (door->allow.count == 0 || cidr_list_has(&door->allow, address)) && !cidr_list_has(&door->deny, address);
}

static bool refuse(struct shard *shard, struct conn *conn, uint64_t *counter, enum listener_event event, const char *reason)
{
    const struct listener_settings *settings = door_of(shard, conn)->settings;
    stats_count(&shard->stats.connections_refused, 1);
    stats_count(counter, 1);
    listener_event(&shard->group->listeners[conn->listener], event);
    LOG_LIMITED(INFO, 1000, "connection refused", "reason=%s listener=%s.%s", reason, listener_kind_names[settings->kind], settings->name);
    return false;
}

bool door_admit(struct shard *shard, struct conn *conn, const struct sockaddr_storage *address)
{
    const struct door *door = door_of(shard, conn);
    const struct listener_settings *settings = door->settings;
    const struct cidr_list *proxies = &door->websocket.trusted_proxies;
    uint8_t bytes[16];
    bool known = address && cidr_address(address, bytes);
    bool from_unix = settings->kind == LISTENER_UNIX;
    bool trusted = door->client_is_told && (known ? cidr_list_has(proxies, bytes) : from_unix && proxies->any_unix);
    bool lists = door->allow.count || door->deny.count;
    if (settings->proxy_protocol != PROXY_PROTOCOL_OFF && !trusted) return refuse(shard, conn, &shard->stats.refused_proxy, LISTENER_refused_proxy, "not_a_trusted_proxy");
    if (lists && !trusted && !known) return refuse(shard, conn, &shard->stats.refused_address, LISTENER_refused_address, "address_unknown");
    if (lists && !trusted && !lists_allow(door, bytes)) return refuse(shard, conn, &shard->stats.refused_address, LISTENER_refused_address, "address_not_allowed");
    bool plain = settings->proxy_protocol == PROXY_PROTOCOL_OFF && !has_tls(settings) && !has_websocket(settings);
    if (plain) return true;
    conn->filters = filters_create();
    struct filter *proxy = settings->proxy_protocol != PROXY_PROTOCOL_OFF ? proxy_create((enum proxy_versions)settings->proxy_protocol) : NULL;
    if (proxy) filters_add(conn->filters, proxy);
    if (door->tls) filters_add(conn->filters, door_tls_filter(door->tls, &shard->stats));
    if (!has_websocket(settings)) return true;
    struct filter *websocket = websocket_create(&door->websocket, trusted);
    if (proxy) websocket_behind(websocket, proxy);
    filters_add(conn->filters, websocket);
    return true;
}

bool door_client_allowed(struct shard *shard, struct conn *conn)
{
    const struct door *door = door_of(shard, conn);
    uint8_t address[16];
    if (!door || !door->client_is_told || (door->allow.count == 0 && door->deny.count == 0)) return true;
    struct span said = filters_fact(conn->filters, FACT_ADDRESS);
    if (said.bytes == 0 || !cidr_address_of_text(said, address) || lists_allow(door, address)) return true; /* a proxy that speaks for itself */
    return refuse(shard, conn, &shard->stats.refused_address, LISTENER_refused_address, "address_not_allowed");
}

/* ---- who is it? ------------------------------------------------------------------------------------------------------ */

void door_peer_text(const struct conn *conn, const struct sockaddr_storage *address, char *ret_text, size_t bytes)
{
    struct span said = filters_fact(conn->filters, FACT_ADDRESS);
    char host[INET6_ADDRSTRLEN] = "unknown";
    if (said.bytes) {
        snprintf(ret_text, bytes, "%.*s", SPAN_PRINT(said));
    } else if (address && address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        snprintf(ret_text, bytes, "%s:%u", host, ntohs(four->sin_port));
    } else if (address && address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(ret_text, bytes, "[%s]:%u", host, ntohs(six->sin6_port));
    } else {
        snprintf(ret_text, bytes, "%s", address && address->ss_family == AF_UNIX ? "unix" : "unknown");
    }
}

const struct mqtt_connect *door_names(const struct conn *conn, const struct mqtt_connect *connect, struct mqtt_connect *ret_changed)
{
    struct span user_name = filters_fact(conn->filters, FACT_USERNAME), client_id = filters_fact(conn->filters, FACT_CLIENT_ID);
    if (user_name.bytes == 0 && client_id.bytes == 0) return connect;
    *ret_changed = *connect;
    if (user_name.bytes) {
        ret_changed->has_user_name = true;
        ret_changed->user_name = user_name;
    }
    if (client_id.bytes) ret_changed->client_id = client_id;
    return ret_changed;
}
