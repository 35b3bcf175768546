#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/utf8.h"

#define V1_BYTES_MAX  107 /* with CRLF */
#define V2_HEAD_BYTES 16

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum tlv { TLV_AUTHORITY = 0x02, TLV_CRC32C = 0x03, TLV_SSL = 0x20, TLV_SSL_VERSION = 0x21, TLV_SSL_CN = 0x22, TLV_SSL_CIPHER = 0x23 };

struct proxy {
    struct filter filter;
    enum proxy_versions versions;
    uint16_t bytes;    /* gathered of a header that comes in pieces */
    uint8_t *header;
    const char *reason;
    char *address, *certificate_cn, *server_name, *tls_version, *tls_cipher;
};

static struct proxy *proxy_of(const struct filter *filter) { return (struct proxy *)(uintptr_t)filter; }

enum verdict { VERDICT_MORE, VERDICT_SOUND, VERDICT_WRONG };

static enum verdict wrong(struct proxy *proxy, const char *reason)
{
    proxy->reason = reason;
    return VERDICT_WRONG;
}

/* "UTF8" says the standard (§2.2), of a name that a certificate's owner may have chosen: what is none is not known. */
static void set_text(char **text, struct span value)
{
    memory_release(*text);
    *text = value.bytes && utf8_is_name(value) ? memory_copy_string(value) : NULL;
}

static void set_address(struct proxy *proxy, int family, const void *address, uint32_t port)
{
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 10];
    inet_ntop(family, address, host, sizeof host);
    snprintf(text, sizeof text, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
    set_text(&proxy->address, span_of_string(text));
}

/* ---- version 1 ------------------------------------------------------------------------------------------------------ */

/* The next word of the line; false: there is none, or more than one blank before it. */
static bool next_word(char **rest, char **ret_word)
{
    *ret_word = *rest;
    size_t bytes = strcspn(*rest, " ");
    if (bytes == 0) return false;
    *rest += bytes;
    if (**rest) *(*rest)++ = 0;
    return true;
}

static bool parse_port(const char *word, uint32_t *ret_port)
{
    char *end;
    unsigned long port = strtoul(word, &end, 10);
    *ret_port = (uint32_t)port;
    return word[0] >= '0' && word[0] <= '9' && *end == 0 && port <= UINT16_MAX && !(word[0] == '0' && word[1]);
}

static enum verdict take_line(struct proxy *proxy, const uint8_t *line, size_t bytes)
{
    char text[V1_BYTES_MAX + 1], *rest = text, *words[6];
    memcpy(text, line, bytes - 2);
    text[bytes - 2] = 0;
    if (strlen(text) != bytes - 2) return wrong(proxy, "a NUL in the PROXY line");
    if (strncmp(text, "PROXY UNKNOWN", 13) == 0 && (text[13] == 0 || text[13] == ' ')) return VERDICT_SOUND;
    for (int i = 0; i < 6; i++)
        if (!next_word(&rest, &words[i])) return wrong(proxy, "a word is missing in the PROXY line");
    bool four = strcmp(words[1], "TCP4") == 0, six = strcmp(words[1], "TCP6") == 0;
    uint8_t from[16], to[16];
    uint32_t from_port, to_port;
    if (*rest || (!four && !six)) return wrong(proxy, "the PROXY line is neither TCP4, TCP6 nor UNKNOWN");
    int family = four ? AF_INET : AF_INET6;
    if (inet_pton(family, words[2], from) != 1 || inet_pton(family, words[3], to) != 1) return wrong(proxy, "no address in the PROXY line");
    if (!parse_port(words[4], &from_port) || !parse_port(words[5], &to_port)) return wrong(proxy, "no port in the PROXY line");
    set_address(proxy, family, from, from_port);
    return VERDICT_SOUND;
}

static enum verdict parse_v1(struct proxy *proxy, const uint8_t *bytes, size_t count, size_t *ret_used)
{
    static const char start[] = "PROXY ";
    size_t begun = count < sizeof start - 1 ? count : sizeof start - 1;
    if (memcmp(bytes, start, begun) != 0) return wrong(proxy, "the connection does not begin with a PROXY header");
    size_t searched = count < V1_BYTES_MAX ? count : V1_BYTES_MAX;
    const uint8_t *end = memchr(bytes, '\n', searched);
    if (!end) return count >= V1_BYTES_MAX ? wrong(proxy, "the PROXY line is longer than 107 bytes") : VERDICT_MORE;
    *ret_used = (size_t)(end - bytes) + 1;
    if (*ret_used < sizeof start || end[-1] != '\r') return wrong(proxy, "the PROXY line does not end with CR LF");
    return take_line(proxy, bytes, *ret_used);
}

/* ---- version 2 ------------------------------------------------------------------------------------------------------ */

static uint32_t crc32c(const uint8_t *bytes, size_t count, size_t zero_from)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < count; i++) {
        crc ^= i >= zero_from && i < zero_from + 4 ? 0 : bytes[i]; /* counts as zeros itself */
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static size_t two_bytes(const uint8_t *bytes) { return (size_t)bytes[0] << 8 | bytes[1]; }

struct tlv_walk {
    struct span rest;
    uint8_t type;
    struct span value;
    bool broken;
};

static bool tlv_next(struct tlv_walk *walk)
{
    if (walk->rest.bytes == 0) return false;
    size_t length = walk->rest.bytes >= 3 ? two_bytes(walk->rest.data + 1) : 0;
    walk->broken = walk->rest.bytes < 3 + length;
    if (walk->broken) return false;
    walk->type = walk->rest.data[0];
    walk->value = span_of(walk->rest.data + 3, length);
    walk->rest = span_skip(walk->rest, 3 + length);
    return true;
}

/* Client flags, the result of the verification, then TLVs of their own. The name counts only where the proxy has verified it. */
static bool take_ssl(struct proxy *proxy, struct span value)
{
    if (value.bytes < 5) return false;
    bool verified = (value.data[1] | value.data[2] | value.data[3] | value.data[4]) == 0;
    struct tlv_walk walk = {.rest = span_skip(value, 5)};
    while (tlv_next(&walk)) {
        if (walk.type == TLV_SSL_VERSION) set_text(&proxy->tls_version, walk.value);
        if (walk.type == TLV_SSL_CIPHER) set_text(&proxy->tls_cipher, walk.value);
        if (walk.type == TLV_SSL_CN && verified) set_text(&proxy->certificate_cn, walk.value);
    }
    return !walk.broken;
}

static enum verdict take_tlvs(struct proxy *proxy, const uint8_t *header, size_t header_bytes, size_t from)
{
    struct tlv_walk walk = {.rest = span_of(header + from, header_bytes - from)};
    while (tlv_next(&walk)) {
        if (walk.type == TLV_AUTHORITY) set_text(&proxy->server_name, walk.value);
        if (walk.type == TLV_SSL && !take_ssl(proxy, walk.value)) return wrong(proxy, "the TLS part of the PROXY header is broken");
        if (walk.type != TLV_CRC32C) continue;
        const uint8_t *value = walk.value.data;
        if (walk.value.bytes != 4) return wrong(proxy, "the checksum of the PROXY header has no four bytes");
        uint32_t said = (uint32_t)two_bytes(value) << 16 | (uint32_t)two_bytes(value + 2);
        if (said != crc32c(header, header_bytes, (size_t)(value - header))) return wrong(proxy, "the checksum of the PROXY header is wrong");
    }
    return walk.broken ? wrong(proxy, "the PROXY header's TLVs are broken") : VERDICT_SOUND;
}

static enum verdict take_header(struct proxy *proxy, const uint8_t *header, size_t bytes)
{
    static const size_t address_bytes[4] = {0, 12, 36, 216}; /* UNSPEC, INET, INET6, UNIX */
    uint8_t command = header[12] & 0x0f, family = header[13] >> 4, transport = header[13] & 0x0f;
    if (header[12] >> 4 != 2 || command > 1) return wrong(proxy, "an unknown version or command in the PROXY header");
    if (command == 0) return VERDICT_SOUND; /* LOCAL: the rest means nothing */
    if (family > 3 || transport > 2) return wrong(proxy, "an unknown address family or transport in the PROXY header");
    if (bytes < V2_HEAD_BYTES + address_bytes[family]) return wrong(proxy, "the PROXY header is too short for its addresses");
    const uint8_t *addresses = header + V2_HEAD_BYTES;
    if (family == 1) set_address(proxy, AF_INET, addresses, (uint32_t)two_bytes(addresses + 8));
    if (family == 2) set_address(proxy, AF_INET6, addresses, (uint32_t)two_bytes(addresses + 32));
    return take_tlvs(proxy, header, bytes, V2_HEAD_BYTES + address_bytes[family]);
}

static enum verdict parse_v2(struct proxy *proxy, const uint8_t *bytes, size_t count, size_t *ret_used)
{
    size_t begun = count < sizeof v2_signature ? count : sizeof v2_signature;
    if (memcmp(bytes, v2_signature, begun) != 0) return wrong(proxy, "the connection does not begin with a PROXY header");
    if (count < V2_HEAD_BYTES) return VERDICT_MORE;
    *ret_used = V2_HEAD_BYTES + two_bytes(bytes + 14);
    if (*ret_used > PROXY_HEADER_BYTES_MAX) return wrong(proxy, "the PROXY header is longer than 4096 bytes");
    return count < *ret_used ? VERDICT_MORE : take_header(proxy, bytes, *ret_used);
}

static enum verdict parse(struct proxy *proxy, const uint8_t *bytes, size_t count, size_t *ret_used)
{
    bool two = bytes[0] == v2_signature[0];
    if (!(proxy->versions & (two ? PROXY_V2 : PROXY_V1)))
        return wrong(proxy, two ? "a PROXY header of version 2 where version 1 is expected" : "no PROXY header of version 2");
    return (two ? parse_v2 : parse_v1)(proxy, bytes, count, ret_used);
}

/* ---- the filter ----------------------------------------------------------------------------------------------------- */

static struct filter_step proxy_receive(struct filter *filter, uint8_t *input, size_t bytes, uint8_t *room, size_t room_bytes)
{
    struct proxy *proxy = proxy_of(filter);
    if (bytes == 0) return (struct filter_step){0};
    size_t used = 0, before = proxy->bytes, taken = bytes;
    const uint8_t *all = input;
    if (before) { /* a header in pieces is looked at as a whole */
        if (taken > PROXY_HEADER_BYTES_MAX - before) taken = PROXY_HEADER_BYTES_MAX - before;
        memcpy(proxy->header + before, input, taken);
        all = proxy->header;
    }
    enum verdict verdict = parse(proxy, all, before + taken, &used);
    if (verdict == VERDICT_MORE) {
        if (!before) {
            proxy->header = memory_acquire(PROXY_HEADER_BYTES_MAX);
            memcpy(proxy->header, input, taken);
        }
        proxy->bytes = (uint16_t)(before + taken);
        return (struct filter_step){.consumed = bytes};
    }
    memory_release(proxy->header);
    proxy->header = NULL;
    if (verdict == VERDICT_WRONG) return (struct filter_step){.consumed = bytes, .wants = FILTER_FAILED};
    return (struct filter_step){.consumed = used - before, .wants = FILTER_TRANSPARENT};
}

static bool proxy_is_open(const struct filter *filter) { return false; }
static const char *proxy_reason(const struct filter *filter) { return proxy_of(filter)->reason; }

static struct span proxy_fact(const struct filter *filter, enum filter_fact fact)
{
    const struct proxy *proxy = proxy_of(filter);
    const char *text = NULL;
    switch (fact) {
    case FACT_ADDRESS: text = proxy->address; break;
    case FACT_CERTIFICATE_CN: text = proxy->certificate_cn; break;
    case FACT_SERVER_NAME: text = proxy->server_name; break;
    case FACT_TLS_VERSION: text = proxy->tls_version; break;
    case FACT_TLS_CIPHER: text = proxy->tls_cipher; break;
    default: break;
    }
    return text ? span_of_string(text) : span_of(NULL, 0);
}

static void proxy_release(struct filter *filter)
{
    struct proxy *proxy = proxy_of(filter);
    memory_release(proxy->header);
    memory_release(proxy->address);
    memory_release(proxy->certificate_cn);
    memory_release(proxy->server_name);
    memory_release(proxy->tls_version);
    memory_release(proxy->tls_cipher);
    memory_release(proxy);
}

static const struct filter_verbs proxy_verbs = {.name = "proxy", .receive = proxy_receive, .is_open = proxy_is_open, .reason = proxy_reason,
                                                .fact = proxy_fact, .release = proxy_release};

struct filter *proxy_create(enum proxy_versions versions)
{
    struct proxy *proxy = memory_acquire_zeroed(sizeof *proxy);
    proxy->filter.verbs = &proxy_verbs;
    proxy->versions = versions;
    return &proxy->filter;
}
