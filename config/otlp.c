#include "config/otlp.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- endpoint ----------------------------------------------------------------------------------------------------- */

/* What stands behind http:// or https://; .data NULL: neither is there. */
static struct span behind_scheme(struct span text)
{
    if (text.bytes >= 7 && strncasecmp((const char *)text.data, "http://", 7) == 0) return span_skip(text, 7);
    if (text.bytes >= 8 && strncasecmp((const char *)text.data, "https://", 8) == 0) return span_skip(text, 8);
    return span_of(NULL, 0);
}

static size_t host_bytes(struct span rest)
{
    size_t bytes = 0;
    while (bytes < rest.bytes && !strchr("/?#", rest.data[bytes]))
        bytes++;
    return bytes;
}

const char *otlp_check_endpoint(struct span text)
{
    if (text.bytes == 0) return NULL;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7F || strchr("\"\\<>^`{|}", text.data[i])) return "a URL has no blanks, quotes or other such characters; write them as %XX";
    struct span rest = behind_scheme(text);
    if (!rest.data) return "write http://HOST:4318 or https://HOST:4318 (OTLP over HTTP; gRPC's port 4317 is another protocol)";
    size_t host = host_bytes(rest);
    if (host == 0 || rest.data[0] == ':') return "it needs a host, such as http://127.0.0.1:4318";
    if (memchr(rest.data, '@', host)) return "names and passwords don't belong into the URL, which is shown; write a header: Authorization";
    if (memchr(rest.data, '#', rest.bytes)) return "a fragment (#) means nothing here";
    return NULL;
}

bool otlp_url(const char *endpoint, char *ret_url, size_t bytes)
{
    struct span rest = behind_scheme(span_of_string(endpoint));
    size_t host = host_bytes(rest);
    bool bare = rest.bytes == host || (rest.bytes == host + 1 && rest.data[host] == '/');
    int used = snprintf(ret_url, bytes, "%.*s%s", (int)(bare ? (size_t)(rest.data + host - (const uint8_t *)endpoint) : strlen(endpoint)), endpoint, bare ? "/v1/metrics" : "");
    return used > 0 && (size_t)used < bytes;
}

/* ---- headers ------------------------------------------------------------------------------------------------------ */

static struct span trimmed(struct span text)
{
    while (text.bytes && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_skip(text, 1);
    while (text.bytes && strchr(" \t\r", text.data[text.bytes - 1]))
        text.bytes--;
    return text;
}

static struct span part_next(struct span *rest, const char *ends)
{
    size_t bytes = 0;
    while (bytes < rest->bytes && !strchr(ends, rest->data[bytes]))
        bytes++;
    struct span part = span_of(rest->data, bytes);
    *rest = span_skip(*rest, bytes < rest->bytes ? bytes + 1 : bytes);
    return trimmed(part);
}

bool otlp_header_next(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    while (rest->bytes) {
        struct span one = part_next(rest, ",\n");
        const uint8_t *colon = one.bytes ? memchr(one.data, ':', one.bytes) : NULL;
        if (!one.bytes) continue;
        *ret_name = trimmed(span_of(one.data, colon ? (size_t)(colon - one.data) : one.bytes));
        *ret_value = colon ? trimmed(span_skip(one, (size_t)(colon + 1 - one.data))) : span_of(NULL, 0);
        return true;
    }
    return false;
}

/* RFC 9110 §5.6.2 */
static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", text.data[i])) return false;
    return text.bytes > 0;
}

const char *otlp_check_headers(struct span text)
{
    static const char *const ours[] = {"content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection", "expect"};
    struct span name, value;
    while (otlp_header_next(&text, &name, &value)) {
        if (!is_token(name) || !value.data) return "write headers as Name: value, with commas between them";
        for (size_t i = 0; i < value.bytes; i++)
            if (value.data[i] < ' ' || value.data[i] == 0x7F) return "a header's value has no control characters";
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            if (name.bytes == strlen(ours[i]) && strncasecmp((const char *)name.data, ours[i], name.bytes) == 0)
                return "Content-…, Host, Connection and the like are set by ringmqd";
    }
    return NULL;
}

/* ---- attributes --------------------------------------------------------------------------------------------------- */

static int hex(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static const char *decode(struct span text, char *ret_text, size_t bytes_max)
{
    size_t bytes = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            int high = i + 2 < text.bytes ? hex(text.data[i + 1]) : -1, low = i + 2 < text.bytes ? hex(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) return "% is followed by two hexadecimal digits";
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (byte < ' ' || byte == 0x7F) return "control characters are not taken";
        if (bytes == bytes_max) return "a key has at most 256 bytes, a value 1024";
        ret_text[bytes++] = (char)byte;
    }
    ret_text[bytes] = 0;
    return NULL;
}

bool otlp_attribute_next(struct span *rest, struct otlp_attribute *ret_attribute)
{
    while (rest->bytes) {
        struct span one = part_next(rest, ",");
        if (!one.bytes) continue;
        const uint8_t *equals = memchr(one.data, '=', one.bytes);
        ret_attribute->wrong = !equals || equals == one.data ? "write key=value, with commas between them" : NULL;
        if (ret_attribute->wrong) return true;
        ret_attribute->wrong = decode(trimmed(span_of(one.data, (size_t)(equals - one.data))), ret_attribute->key, OTLP_KEY_BYTES_MAX);
        if (!ret_attribute->wrong)
            ret_attribute->wrong = decode(trimmed(span_skip(one, (size_t)(equals + 1 - one.data))), ret_attribute->value, OTLP_VALUE_BYTES_MAX);
        return true;
    }
    return false;
}

/* Protobuf's strings are UTF-8 (RFC 3629: no surrogates, nothing beyond U+10FFFF, no longer forms than need be). */
static bool utf8_valid(const char *text)
{
    for (const uint8_t *at = (const uint8_t *)text; *at;) {
        uint32_t more = *at < 0x80 ? 0 : *at >= 0xC2 && *at < 0xE0 ? 1 : (*at & 0xF0) == 0xE0 ? 2 : *at >= 0xF0 && *at < 0xF5 ? 3 : 4;
        uint32_t point = more == 0 ? *at : *at & (0x3Fu >> more);
        if (more == 4) return false;
        at++;
        for (uint32_t i = 0; i < more; i++, at++) {
            if ((*at & 0xC0) != 0x80) return false;
            point = point << 6 | (*at & 0x3F);
        }
        if ((more == 2 && (point < 0x800 || (point >= 0xD800 && point < 0xE000))) || (more == 3 && (point < 0x10000 || point > 0x10FFFF))) return false;
    }
    return true;
}

const char *otlp_check_attributes(struct span text)
{
    struct otlp_attribute attribute;
    while (otlp_attribute_next(&text, &attribute)) {
        if (attribute.wrong) return attribute.wrong;
        if (!utf8_valid(attribute.key) || !utf8_valid(attribute.value)) return "keys and values are UTF-8";
    }
    return NULL;
}
