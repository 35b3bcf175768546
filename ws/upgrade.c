#include "ws/upgrade.h"

#include <llhttp.h>
#include <stdio.h>
#include <strings.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/list.h"
#include "base/sha1.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 §1.3 */
#define RESPONSE_BYTES_MAX 1024

/* The headers looked at; all others are only counted. */
enum header {
    HEADER_HOST, HEADER_UPGRADE, HEADER_CONNECTION, HEADER_KEY, HEADER_VERSION, HEADER_PROTOCOL, HEADER_ORIGIN, HEADER_FORWARDED_FOR,
    HEADER_REAL_IP, HEADER_LENGTH, HEADER_ENCODING, HEADERS_COUNT, HEADER_OTHER = HEADERS_COUNT
};

/* A header that may come several times is a list (RFC 9110 §5.3). */
static const struct {
    const char *name;
    bool list;
} headers[HEADERS_COUNT] = {
    [HEADER_HOST] = {"host", false},
    [HEADER_UPGRADE] = {"upgrade", true},
    [HEADER_CONNECTION] = {"connection", true},
    [HEADER_KEY] = {"sec-websocket-key", false},
    [HEADER_VERSION] = {"sec-websocket-version", false},
    [HEADER_PROTOCOL] = {"sec-websocket-protocol", true},
    [HEADER_ORIGIN] = {"origin", false},
    [HEADER_FORWARDED_FOR] = {"x-forwarded-for", true},
    [HEADER_REAL_IP] = {"x-real-ip", false},
    [HEADER_LENGTH] = {"content-length", true},
    [HEADER_ENCODING] = {"transfer-encoding", true},
};

struct text {
    char *data;
    size_t bytes, capacity;
};

struct upgrade {
    llhttp_t parser;
    const struct websocket_options *options;
    bool trusted;
    const struct filter *proxy; /* NULL: none */
    bool complete;          /* the empty line has come */
    bool twice;             /* a header that may come once only */
    uint32_t header_bytes;
    enum header current;
    struct text path, field, values[HEADERS_COUNT];
    bool has[HEADERS_COUNT];
    const char *reason;
    char accepted_protocol[16];
    char response[RESPONSE_BYTES_MAX];
    size_t response_bytes;
};

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

static void text_append(struct text *text, const char *data, size_t bytes)
{
    if (text->bytes + bytes + 1 > text->capacity) {
        text->capacity = 2 * (text->bytes + bytes) + 32;
        text->data = memory_resize(text->data, text->capacity);
    }
    if (bytes) memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    text->data[text->bytes] = 0;
}

static bool same(struct span text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp((const char *)text.data, word, text.bytes) == 0;
}

/* The next item of a list with commas, without blanks around it. False: there is none left. */
static bool next_item(struct span *rest, struct span *ret_item)
{
    if (rest->bytes == 0) return false;
    const uint8_t *comma = memchr(rest->data, ',', rest->bytes);
    struct span item = span_of(rest->data, comma ? (size_t)(comma - rest->data) : rest->bytes);
    *rest = span_skip(*rest, item.bytes + (comma != NULL));
    while (item.bytes && (item.data[0] == ' ' || item.data[0] == '\t'))
        item = span_skip(item, 1);
    while (item.bytes && (item.data[item.bytes - 1] == ' ' || item.data[item.bytes - 1] == '\t'))
        item.bytes--;
    *ret_item = item;
    return true;
}

static struct span value(const struct upgrade *upgrade, enum header header)
{
    return span_of(upgrade->values[header].data, upgrade->values[header].bytes);
}

static bool value_lists(const struct upgrade *upgrade, enum header header, const char *word)
{
    struct span rest = value(upgrade, header), item;
    while (next_item(&rest, &item))
        if (same(item, word)) return true;
    return false;
}

/* ---- what the parser calls ------------------------------------------------------------------------------------------ */

static int on_url(llhttp_t *parser, const char *at, size_t bytes)
{
    struct upgrade *upgrade = CONTAINER_OF(parser, struct upgrade, parser);
    text_append(&upgrade->path, at, bytes);
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct upgrade *upgrade = CONTAINER_OF(parser, struct upgrade, parser);
    text_append(&upgrade->field, at, bytes);
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    struct upgrade *upgrade = CONTAINER_OF(parser, struct upgrade, parser);
    int header = 0;
    while (header < HEADERS_COUNT && !same(span_of(upgrade->field.data, upgrade->field.bytes), headers[header].name))
        header++;
    upgrade->current = (enum header)header;
    upgrade->field.bytes = 0;
    if (header == HEADER_OTHER) return 0;
    if (upgrade->has[header] && !headers[header].list) upgrade->twice = true;
    if (upgrade->has[header]) text_append(&upgrade->values[header], ",", 1);
    upgrade->has[header] = true;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct upgrade *upgrade = CONTAINER_OF(parser, struct upgrade, parser);
    if (upgrade->current != HEADER_OTHER) text_append(&upgrade->values[upgrade->current], at, bytes);
    return 0;
}

/* Stops here in any case, as behind an upgrade: nothing of HTTP is left for us. */
#define STOP_BEHIND_HEADERS 2
static int on_headers_complete(llhttp_t *parser)
{
    CONTAINER_OF(parser, struct upgrade, parser)->complete = true;
    return STOP_BEHIND_HEADERS;
}

static llhttp_settings_t callbacks;

static void __attribute__((constructor)) callbacks_init(void)
{
    llhttp_settings_init(&callbacks);
    callbacks.on_url = on_url;
    callbacks.on_header_field = on_field;
    callbacks.on_header_field_complete = on_field_complete;
    callbacks.on_header_value = on_value;
    callbacks.on_headers_complete = on_headers_complete;
}

/* ---- the answer ----------------------------------------------------------------------------------------------------- */

static enum upgrade_status refuse(struct upgrade *upgrade, const char *status, const char *more_headers, const char *reason)
{
    char body[384];
    upgrade->reason = reason;
    int body_bytes = snprintf(body, sizeof body, "%.3s: %s.\n\nThis is an MQTT broker. MQTT over WebSocket is at %.100s, subprotocol mqtt.\n",
                              status, reason, upgrade->options->path);
    int bytes = snprintf(upgrade->response, sizeof upgrade->response,
                         "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s",
                         status, body_bytes, more_headers, body);
    CHECK(body_bytes < (int)sizeof body && bytes < (int)sizeof upgrade->response);
    upgrade->response_bytes = (size_t)bytes;
    return UPGRADE_REFUSED;
}

#define BAD_REQUEST "400 Bad Request"
#define UPGRADE_REQUIRED "426 Upgrade Required"
#define UPGRADE_HEADERS "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

/* A star stands for any part: with one in place of a, https://a.example.org allows https://b.c.example.org, too. */
static bool origin_matches(struct span origin, struct span pattern)
{
    if (span_equal(pattern, SPAN_LITERAL("*"))) return true;
    const uint8_t *star = pattern.bytes ? memchr(pattern.data, '*', pattern.bytes) : NULL;
    if (!star) return pattern.bytes == origin.bytes && strncasecmp((const char *)pattern.data, (const char *)origin.data, origin.bytes) == 0;
    size_t before = (size_t)(star - pattern.data), after = pattern.bytes - before - 1;
    return origin.bytes > before + after && strncasecmp((const char *)pattern.data, (const char *)origin.data, before) == 0 &&
           strncasecmp((const char *)star + 1, (const char *)origin.data + origin.bytes - after, after) == 0;
}

/* Browsers always say where a page comes from; programs need not, and could say anything. */
static bool origin_allowed(const struct upgrade *upgrade)
{
    struct span rest = span_of_string(upgrade->options->allowed_origins), pattern;
    if (rest.bytes == 0 || !upgrade->has[HEADER_ORIGIN]) return true;
    while (next_item(&rest, &pattern))
        if (origin_matches(value(upgrade, HEADER_ORIGIN), pattern)) return true;
    return false;
}

/* The first of the client's that we speak [MQTT-6.0.0-3], [MQTT-6.0.0-4]. */
static bool choose_protocol(struct upgrade *upgrade)
{
    struct span rest = value(upgrade, HEADER_PROTOCOL), item;
    while (next_item(&rest, &item)) {
        if (!span_equal(item, SPAN_LITERAL("mqtt")) && !span_equal(item, SPAN_LITERAL("mqttv3.1"))) continue;
        snprintf(upgrade->accepted_protocol, sizeof upgrade->accepted_protocol, "%.*s", SPAN_PRINT(item));
        return true;
    }
    return !upgrade->has[HEADER_PROTOCOL] && !upgrade->options->subprotocol_required;
}

static bool path_matches(const struct upgrade *upgrade)
{
    const char *path = upgrade->path.data ? upgrade->path.data : "";
    size_t bytes = strcspn(path, "?#"), wanted = strlen(upgrade->options->path);
    return bytes == wanted && memcmp(path, upgrade->options->path, bytes) == 0;
}

/* Base64 of sixteen bytes (§4.1). */
static bool key_sound(struct span key)
{
    if (key.bytes != 24 || memcmp(key.data + 22, "==", 2) != 0) return false;
    for (size_t i = 0; i < 22; i++) {
        uint8_t c = key.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/')) return false;
    }
    return true;
}

static enum upgrade_status accept_upgrade(struct upgrade *upgrade)
{
    char keyed[24 + sizeof GUID], accept[BASE64_BYTES(SHA1_BYTES) + 1];
    uint8_t digest[SHA1_BYTES];
    const char *protocol = upgrade->accepted_protocol;
    snprintf(keyed, sizeof keyed, "%.24s" GUID, upgrade->values[HEADER_KEY].data);
    sha1(span_of_string(keyed), digest);
    base64_encode(span_of(digest, sizeof digest), accept);
    int bytes = snprintf(upgrade->response, sizeof upgrade->response,
                         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
                         accept, *protocol ? "Sec-WebSocket-Protocol: " : "", protocol, *protocol ? "\r\n" : "");
    upgrade->response_bytes = (size_t)bytes;
    return UPGRADE_ACCEPTED;
}

static enum upgrade_status judge(struct upgrade *upgrade)
{
    bool wants_upgrade = upgrade->has[HEADER_UPGRADE] && value_lists(upgrade, HEADER_UPGRADE, "websocket");
    bool http_1_1 = upgrade->parser.http_major == 1 && upgrade->parser.http_minor == 1;
    if (upgrade->twice) return refuse(upgrade, BAD_REQUEST, "", "a header that may come once came twice");
    if (upgrade->parser.method != HTTP_GET)
        return refuse(upgrade, "405 Method Not Allowed", "Allow: GET\r\n", "only GET with an upgrade to WebSocket is served");
    if (!wants_upgrade) return refuse(upgrade, UPGRADE_REQUIRED, UPGRADE_HEADERS, "this address speaks WebSocket, not plain HTTP");
    if (!http_1_1) return refuse(upgrade, BAD_REQUEST, "", "an upgrade needs HTTP/1.1");
    if (!path_matches(upgrade)) return refuse(upgrade, "404 Not Found", "", "there is nothing at this path");
    if (!upgrade->has[HEADER_HOST]) return refuse(upgrade, BAD_REQUEST, "", "the Host header is missing");
    if (!value_lists(upgrade, HEADER_CONNECTION, "upgrade"))
        return refuse(upgrade, BAD_REQUEST, "", "the Connection header does not name Upgrade");
    if (!same(value(upgrade, HEADER_VERSION), "13"))
        return refuse(upgrade, UPGRADE_REQUIRED, UPGRADE_HEADERS, "only version 13 of WebSocket is spoken");
    if (!key_sound(value(upgrade, HEADER_KEY)))
        return refuse(upgrade, BAD_REQUEST, "", "Sec-WebSocket-Key is not the base64 of 16 bytes");
    bool has_body = upgrade->has[HEADER_ENCODING] || (upgrade->has[HEADER_LENGTH] && !same(value(upgrade, HEADER_LENGTH), "0"));
    if (has_body) return refuse(upgrade, BAD_REQUEST, "", "an upgrade request has no body");
    if (!origin_allowed(upgrade)) return refuse(upgrade, "403 Forbidden", "", "pages of this origin may not connect");
    if (!choose_protocol(upgrade))
        return refuse(upgrade, BAD_REQUEST, "", "Sec-WebSocket-Protocol must offer mqtt (or mqttv3.1)");
    return accept_upgrade(upgrade);
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

struct upgrade *upgrade_create(const struct websocket_options *options, bool trusted)
{
    struct upgrade *upgrade = memory_acquire_zeroed(sizeof *upgrade);
    llhttp_init(&upgrade->parser, HTTP_REQUEST, &callbacks);
    upgrade->options = options;
    upgrade->trusted = trusted;
    upgrade->current = HEADER_OTHER;
    return upgrade;
}

void upgrade_behind(struct upgrade *upgrade, const struct filter *proxy) { upgrade->proxy = proxy; }

void upgrade_release(struct upgrade *upgrade)
{
    if (!upgrade) return;
    memory_release(upgrade->path.data);
    memory_release(upgrade->field.data);
    for (int i = 0; i < HEADERS_COUNT; i++)
        memory_release(upgrade->values[i].data);
    memory_release(upgrade);
}

enum upgrade_status upgrade_receive(struct upgrade *upgrade, struct span input, size_t *ret_consumed)
{
    uint32_t room = upgrade->options->header_bytes_max - upgrade->header_bytes;
    size_t offered = input.bytes < room ? input.bytes : room;
    enum llhttp_errno error = llhttp_execute(&upgrade->parser, (const char *)input.data, offered);
    if (upgrade->complete) {
        *ret_consumed = (size_t)((const uint8_t *)llhttp_get_error_pos(&upgrade->parser) - input.data);
        return judge(upgrade);
    }
    *ret_consumed = input.bytes;
    if (error != HPE_OK) return refuse(upgrade, BAD_REQUEST, "", "this is not an HTTP/1.1 request");
    upgrade->header_bytes += (uint32_t)offered;
    if (offered < input.bytes || upgrade->header_bytes == upgrade->options->header_bytes_max)
        return refuse(upgrade, "431 Request Header Fields Too Large", "", "the request's headers are too large");
    return UPGRADE_MORE;
}

struct span upgrade_response(const struct upgrade *upgrade) { return span_of(upgrade->response, upgrade->response_bytes); }
const char *upgrade_reason(const struct upgrade *upgrade) { return upgrade->reason; }

/* From the right: each proxy appends who spoke to it, so the first that is no proxy of ours is the client; what stands left of it anybody
 * may have written. */
static struct span forwarded_client(const struct upgrade *upgrade)
{
    struct span whole = value(upgrade, HEADER_FORWARDED_FOR), found = {0};
    while (whole.bytes) {
        size_t start = whole.bytes;
        while (start > 0 && whole.data[start - 1] != ',')
            start--;
        struct span rest = span_of(whole.data + start, whole.bytes - start), item = {0};
        uint8_t address[16];
        next_item(&rest, &item);
        if (!cidr_address_of_text(item, address)) return found;
        found = item;
        if (!cidr_list_has(&upgrade->options->trusted_proxies, address)) return found;
        whole.bytes = start ? start - 1 : 0;
    }
    return found;
}

/* Has a proxy of ours sent the header? One that speaks the PROXY protocol for somebody else has only passed it on. */
static bool header_trusted(const struct upgrade *upgrade)
{
    uint8_t address[16];
    if (!upgrade->trusted || !upgrade->proxy) return upgrade->trusted;
    struct span said = upgrade->proxy->verbs->fact(upgrade->proxy, FACT_ADDRESS);
    return said.bytes == 0 || (cidr_address_of_text(said, address) && cidr_list_has(&upgrade->options->trusted_proxies, address));
}

struct span upgrade_client(const struct upgrade *upgrade)
{
    uint8_t address[16];
    if (!header_trusted(upgrade)) return span_of(NULL, 0);
    if (upgrade->options->x_forwarded_for) return forwarded_client(upgrade);
    struct span real = upgrade->options->x_real_ip ? value(upgrade, HEADER_REAL_IP) : span_of(NULL, 0);
    return cidr_address_of_text(real, address) ? real : span_of(NULL, 0);
}
