#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/memory.h"

static bool parse_address(const char *text, uint8_t ret_address[16], bool *ret_four)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *ret_four = inet_pton(AF_INET, text, ret_address + 12) == 1;
    if (*ret_four) memcpy(ret_address, mapped, sizeof mapped);
    return *ret_four || inet_pton(AF_INET6, text, ret_address) == 1;
}

static bool parse_network(struct span item, struct cidr *ret_cidr)
{
    char text[INET6_ADDRSTRLEN + 8];
    bool four;
    if (item.bytes >= sizeof text) return false;
    memcpy(text, item.data, item.bytes);
    text[item.bytes] = 0;
    char *slash = strchr(text, '/');
    if (slash) *slash = 0;
    if (!parse_address(text, ret_cidr->address, &four)) return false;
    uint32_t most = four ? 32 : 128, bits = most;
    if (slash) {
        char *end;
        unsigned long number = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || number > most) return false;
        bits = (uint32_t)number;
    }
    ret_cidr->bits = (uint8_t)(four ? bits + 96 : bits);
    return true;
}

static bool is_blank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

static struct span next_item(struct span *rest)
{
    const uint8_t *comma = rest->bytes ? memchr(rest->data, ',', rest->bytes) : NULL;
    struct span item = span_of(rest->data, comma ? (size_t)(comma - rest->data) : rest->bytes);
    *rest = span_skip(*rest, item.bytes + (comma != NULL));
    while (item.bytes && is_blank(item.data[0]))
        item = span_skip(item, 1);
    while (item.bytes && is_blank(item.data[item.bytes - 1]))
        item.bytes--;
    return item;
}

const char *cidr_list_parse(struct span text, struct cidr_list *ret_list)
{
    struct cidr_list list = {0};
    const char *wrong = NULL;
    while (text.bytes && !wrong) {
        struct span item = next_item(&text);
        struct cidr cidr;
        if (span_equal(item, SPAN_LITERAL("unix"))) {
            list.any_unix = true;
        } else if (list.count == CIDR_LIST_MAX) {
            wrong = "more than 1024 networks; write larger ones";
        } else if (!parse_network(item, &cidr)) {
            wrong = "write networks with commas between them, such as \"10.0.0.0/8, 192.0.2.7, 2001:db8::/32\"";
        } else {
            list.entries = memory_resize(list.entries, (list.count + 1) * sizeof cidr);
            list.entries[list.count++] = cidr;
        }
    }
    if (wrong || !ret_list)
        cidr_list_release(&list);
    else
        *ret_list = list;
    return wrong;
}

void cidr_list_release(struct cidr_list *list)
{
    memory_release(list->entries);
    *list = (struct cidr_list){0};
}

bool cidr_address(const struct sockaddr_storage *address, uint8_t ret_address[16])
{
    bool four = address->ss_family == AF_INET;
    if (!four && address->ss_family != AF_INET6) return false;
    if (four) {
        memcpy(ret_address, (uint8_t[12]){[10] = 0xff, [11] = 0xff}, 12);
        memcpy(ret_address + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else {
        memcpy(ret_address, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    }
    return true;
}

bool cidr_address_of_text(struct span text, uint8_t ret_address[16])
{
    char host[INET6_ADDRSTRLEN + 1];
    bool four;
    const uint8_t *end = text.bytes && text.data[0] == '[' ? memchr(text.data, ']', text.bytes) : NULL;
    if (end) {
        text = span_of(text.data + 1, (size_t)(end - text.data) - 1);
    } else if (text.bytes) { /* one colon: a port behind an IPv4 address */
        const uint8_t *colon = memchr(text.data, ':', text.bytes);
        if (colon && !memchr(colon + 1, ':', text.bytes - (size_t)(colon + 1 - text.data))) text.bytes = (size_t)(colon - text.data);
    }
    if (text.bytes == 0 || text.bytes >= sizeof host) return false;
    memcpy(host, text.data, text.bytes);
    host[text.bytes] = 0;
    return parse_address(host, ret_address, &four);
}

bool cidr_list_has(const struct cidr_list *list, const uint8_t address[16])
{
    for (uint32_t i = 0; i < list->count; i++) {
        const struct cidr *cidr = &list->entries[i];
        uint32_t whole = cidr->bits / 8, rest = cidr->bits % 8;
        if (memcmp(cidr->address, address, whole) != 0) continue;
        if (rest == 0 || (uint8_t)(cidr->address[whole] ^ address[whole]) >> (8 - rest) == 0) return true;
    }
    return false;
}
