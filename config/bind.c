#include "config/bind.h"

#include <arpa/inet.h>
#include <strings.h>

static bool parse_port(struct span text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (text.bytes == 0 || text.bytes > 5) return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX;
}

static const char *parse_host(struct span host, bool brackets, struct bind_address *address)
{
    char text[INET6_ADDRSTRLEN + 1] = "";
    if (host.bytes >= sizeof text) return "the host is no numeric address; write one, such as 127.0.0.1 or [::1], or localhost";
    memcpy(text, host.data, host.bytes);
    if (brackets) {
        address->six = true;
        address->loopback = inet_pton(AF_INET6, text, address->address) == 1 &&
                            memcmp(address->address, &in6addr_loopback, sizeof in6addr_loopback) == 0;
        return inet_pton(AF_INET6, text, address->address) == 1 ? NULL
                                                                : "there is no IPv6 address between [ and ]; write [::1]:1883";
    }
    if (strchr(text, ':')) return "an IPv6 address needs brackets; write [::1]:1883";
    if (text[0] == 0 || strcmp(text, "*") == 0) {
        address->any = true;
        return NULL;
    }
    if (strcasecmp(text, "localhost") == 0) strcpy(text, "127.0.0.1");
    if (inet_pton(AF_INET, text, address->address) != 1)
        return "the host is no numeric address; write one, such as 127.0.0.1 or [::1], or localhost";
    address->loopback = address->address[0] == 127;
    return NULL;
}

const char *bind_parse(struct span text, struct bind_address *ret_address)
{
    struct bind_address address = {0};
    const uint8_t *colon = text.bytes ? memrchr(text.data, ':', text.bytes) : NULL;
    struct span host = span_of(text.data, colon ? (size_t)(colon - text.data) : 0);
    struct span port = colon ? span_skip(text, host.bytes + 1) : text;
    if (text.bytes && text.data[text.bytes - 1] == ']') return "the port is missing; write it behind the address: [::1]:1883";
    if (!parse_port(port, &address.port)) return "there is no port from 0 to 65535; write HOST:PORT, [IPV6]:PORT or PORT";
    bool brackets = host.bytes >= 2 && host.data[0] == '[' && host.data[host.bytes - 1] == ']';
    if (brackets) host = span_of(host.data + 1, host.bytes - 2);
    const char *wrong = parse_host(host, brackets, &address);
    if (!wrong) *ret_address = address;
    return wrong;
}

bool bind_collides(const struct bind_address *first, const struct bind_address *second)
{
    if (first->port != second->port || first->port == 0) return false;
    if (first->any || second->any) return true;
    return first->six == second->six && memcmp(first->address, second->address, sizeof first->address) == 0;
}
