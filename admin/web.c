/* Serving the dashboard. What it may load is said by its Content-Security-Policy: this server's own scripts and styles, this server's API, and
 * WebSockets of this host (the message console talks to the broker's own listener). No other host, no script in a page, no frame around it. */
#include "admin/web.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "/dashboard/"

/* The host that the browser has asked for, if it is one: a name, an address, [an IPv6 address]. */
static struct span host_asked(const struct http_exchange *exchange)
{
    struct span host = http_header_find(exchange->request, "host");
    size_t bytes = 0;
    if (host.bytes && host.data[0] == '[') {
        const uint8_t *end = memchr(host.data, ']', host.bytes);
        bytes = end ? (size_t)(end - host.data) + 1 : 0;
        for (size_t i = 1; i + 1 < bytes; i++)
            if (!strchr("0123456789abcdefABCDEF:.", host.data[i])) return span_of(NULL, 0);
        return span_of(host.data, bytes);
    }
    while (bytes < host.bytes && host.data[bytes] != ':')
        bytes++;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = host.data[i];
        bool fine = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.';
        if (!fine) return span_of(NULL, 0);
    }
    return span_of(host.data, bytes);
}

static void add_policy(struct http_exchange *exchange)
{
    char policy[1024], sockets[640] = "";
    struct span host = host_asked(exchange);
    if (host.bytes && host.bytes < 256)
        snprintf(sockets, sizeof sockets, " ws://%.*s:* wss://%.*s:*", (int)host.bytes, (const char *)host.data, (int)host.bytes, (const char *)host.data);
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'%s; form-action 'none'; base-uri 'none'; "
             "frame-ancestors 'none'; require-trusted-types-for 'script'",
             sockets);
    http_add_header(exchange, "Content-Security-Policy", policy);
    http_add_header(exchange, "Cross-Origin-Opener-Policy", "same-origin");
    http_add_header(exchange, "Permissions-Policy", "camera=(), microphone=(), geolocation=()");
}

/* In a list such as `gzip, deflate;q=0.5` or `"tag1", W/"tag2"`: this word, and not with a weight of 0. */
static bool list_has(struct span list, const char *word)
{
    size_t bytes = strlen(word);
    for (size_t at = 0; at + bytes <= list.bytes;) {
        const uint8_t *comma = memchr(list.data + at, ',', list.bytes - at);
        size_t end = comma ? (size_t)(comma - list.data) : list.bytes;
        while (at < end && list.data[at] == ' ')
            at++;
        bool same = end - at >= bytes && memcmp(list.data + at, word, bytes) == 0;
        const uint8_t *rest = list.data + at + bytes;
        size_t rest_bytes = same ? end - at - bytes : 0;
        bool none = rest_bytes >= 4 && memmem(rest, rest_bytes, "q=0", 3) && !memmem(rest, rest_bytes, "q=0.", 4);
        if (same && !none && (rest_bytes == 0 || rest[0] == ';' || rest[0] == ' ')) return true;
        at = end + 1;
    }
    return false;
}

static const struct web_file *file_find(struct span name)
{
    if (name.bytes == 0) name = SPAN_LITERAL("index.html");
    for (uint32_t i = 0; i < web_files_count; i++)
        if (span_equal(name, span_of_string(web_files[i].name))) return &web_files[i];
    return NULL;
}

static void redirect(struct http_exchange *exchange)
{
    http_add_header(exchange, "Location", FOLDER);
    http_answer(exchange, 302, "text/plain; charset=utf-8", SPAN_LITERAL("the dashboard is at " FOLDER "\n"));
}

bool web_serve(struct http_exchange *exchange)
{
    const struct http_request *request = exchange->request;
    struct span folder = SPAN_LITERAL(FOLDER), path = request->path;
    bool root = span_equal(path, SPAN_LITERAL("/")) || span_equal(path, SPAN_LITERAL("/dashboard"));
    if (!root && !span_starts_with(path, folder)) return false;
    if (request->method != METHOD_GET && request->method != METHOD_HEAD) {
        http_add_header(exchange, "Allow", "GET, HEAD");
        http_answer(exchange, 405, "text/plain; charset=utf-8", SPAN_LITERAL("GET it\n"));
        return true;
    }
    if (web_files_count == 0) {
        http_answer(exchange, 404, "text/plain; charset=utf-8", SPAN_LITERAL("this broker was built without the dashboard (RINGMQ_DASHBOARD=OFF)\n"));
        return true;
    }
    if (root) return redirect(exchange), true;
    const struct web_file *file = file_find(span_skip(path, folder.bytes));
    if (!file) {
        http_answer(exchange, 404, "text/plain; charset=utf-8", SPAN_LITERAL("there is no such file\n"));
        return true;
    }
    add_policy(exchange);
    http_add_header(exchange, "ETag", file->tag);
    http_add_header(exchange, "Vary", "Accept-Encoding");
    http_add_header(exchange, "Cache-Control", "no-cache"); /* asked for again each time, answered with 304 */
    struct span known = http_header_find(request, "if-none-match");
    if (known.bytes && (list_has(known, file->tag) || span_equal(known, SPAN_LITERAL("*")))) {
        http_answer(exchange, 304, NULL, span_of(NULL, 0));
        return true;
    }
    bool packed = list_has(http_header_find(request, "accept-encoding"), "gzip");
    if (packed) http_add_header(exchange, "Content-Encoding", "gzip");
    http_answer(exchange, 200, file->type, packed ? file->gzip : file->plain);
    return true;
}
