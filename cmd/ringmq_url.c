#include "cmd/ringmq_url.h"

#include <stdio.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_net.h"

const char *const url_schemes[ENDPOINT_KINDS] = {"mqtt", "mqtts", "ws", "wss", "unix"};

static const struct {
    const char *prefix;
    enum endpoint_kind kind;
} prefixes[] = {{"mqtt://", ENDPOINT_TCP}, {"tcp://", ENDPOINT_TCP},  {"mqtts://", ENDPOINT_TLS}, {"ssl://", ENDPOINT_TLS},
                {"tls://", ENDPOINT_TLS},  {"ws://", ENDPOINT_WS},    {"wss://", ENDPOINT_WSS},   {"unix://", ENDPOINT_UNIX},
                {"unix:", ENDPOINT_UNIX}};

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* A copy with %XX undone; NULL when a % is not followed by two hexadecimal digits, or stands for NUL. */
static char *percent_decode(const char *begin, const char *end)
{
    char *text = memory_copy_string(span_of(begin, (size_t)(end - begin)));
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high | low) == 0) {
            memory_release(text);
            return NULL;
        }
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = 0;
    return text;
}

static bool wrong_url(const char *url)
{
    say_error("-L wants mqtt://[user[:password]@]host[:port][/topic] (mqtts:// with TLS), ws:// or wss://host[:port][/path], or "
              "unix:///path; %%XX for special characters; not '%s'", url);
    return false;
}

static bool take_user_info(struct url *url, const char *begin, const char *end)
{
    const char *colon = memchr(begin, ':', (size_t)(end - begin));
    url->user_name = percent_decode(begin, colon ? colon : end);
    if (colon) url->password = percent_decode(colon + 1, end);
    return url->user_name && (!colon || url->password);
}

static bool take_host(struct url *url, const char *begin, const char *end)
{
    char host[256], *address = memory_copy_string(span_of(begin, (size_t)(end - begin)));
    bool fine = net_split_address(address, host, sizeof host, &url->port);
    if (fine) url->host = memory_copy_string(span_of_string(host));
    if (!fine) say_error("'%s' is no HOST[:PORT] (an IPv6 address with a port needs brackets: [::1]:1883)", address);
    memory_release(address);
    return fine;
}

bool url_parse(const char *text, struct url *ret_url)
{
    size_t number = 0;
    *ret_url = (struct url){.port = 0};
    while (number < sizeof prefixes / sizeof prefixes[0] && strncmp(text, prefixes[number].prefix, strlen(prefixes[number].prefix)) != 0)
        number++;
    if (number == sizeof prefixes / sizeof prefixes[0]) return wrong_url(text);
    const char *authority = text + strlen(prefixes[number].prefix), *slash = strchr(authority, '/'), *last = text + strlen(text);
    ret_url->kind = prefixes[number].kind;
    if (ret_url->kind == ENDPOINT_UNIX) {
        ret_url->path = percent_decode(authority, last);
        return (ret_url->path && ret_url->path[0]) || wrong_url(text);
    }
    const char *end = slash ? slash : last;
    const char *at = memrchr(authority, '@', (size_t)(end - authority));
    if (at && !take_user_info(ret_url, authority, at)) return wrong_url(text);
    if (!take_host(ret_url, at ? at + 1 : authority, end)) return false;
    if (!slash || !slash[1]) return true;
    bool topic = ret_url->kind == ENDPOINT_TCP || ret_url->kind == ENDPOINT_TLS; /* a WebSocket's path travels as it is written */
    ret_url->path = topic ? percent_decode(slash + 1, last) : memory_copy_string(span_of_string(slash));
    return ret_url->path || wrong_url(text);
}

void url_release(struct url *url)
{
    memory_release(url->user_name);
    memory_release(url->password);
    memory_release(url->host);
    memory_release(url->path);
    *url = (struct url){.port = 0};
}
