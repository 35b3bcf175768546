#include "admin/http_parse.h"

#include <llhttp.h>
#include <pthread.h>
#include <strings.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

/* Places in `head`, which moves while it grows. */
struct place {
    uint32_t at, bytes;
};

struct http_parser {
    llhttp_t llhttp;
    uint32_t header_bytes_max;
    uint64_t body_bytes_max;
    struct http_request request;
    char *head;    /* target, names and values, one behind the other */
    uint32_t head_bytes, head_capacity;
    struct place target, names[HTTP_HEADERS_MAX], values[HTTP_HEADERS_MAX];
    uint32_t headers_count;
    bool headers_done;      /* the request points into `head` now: it must not move, and trailers (behind a chunked body) are not kept */
    uint32_t trailer_bytes;
    uint8_t *body;
    uint64_t body_bytes, body_capacity;
    bool begun, complete, wants_continue;
    int status;    /* of the refusal; 0: none */
    const char *what;
};

static int refuse(struct http_parser *parser, int status, const char *what)
{
    if (parser->status) return -1;
    parser->status = status;
    parser->what = what;
    return -1;
}

/* ---- what llhttp calls ------------------------------------------------------------------------------------------ */

static struct http_parser *parser_of(llhttp_t *llhttp) { return CONTAINER_OF(llhttp, struct http_parser, llhttp); }

static int head_append(struct http_parser *parser, struct place *place, const char *data, size_t bytes)
{
    if (bytes > parser->header_bytes_max - parser->head_bytes) return refuse(parser, 431, "the request line and headers are too long");
    if (parser->head_bytes + bytes > parser->head_capacity) {
        uint32_t capacity = (parser->head_bytes + (uint32_t)bytes) * 2;
        parser->head = memory_resize(parser->head, capacity);
        parser->head_capacity = capacity;
    }
    memcpy(parser->head + parser->head_bytes, data, bytes);
    parser->head_bytes += (uint32_t)bytes;
    place->bytes += (uint32_t)bytes;
    return 0;
}

static int on_begin(llhttp_t *llhttp)
{
    parser_of(llhttp)->begun = true;
    return 0;
}

static int on_target(llhttp_t *llhttp, const char *data, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    return head_append(parser, &parser->target, data, bytes);
}

/* RFC 9110 §6.5.1: who does not expect trailers may discard them. */
static int trailer_skip(struct http_parser *parser, size_t bytes)
{
    if (bytes > parser->header_bytes_max - parser->trailer_bytes) return refuse(parser, 431, "the trailers are too long");
    parser->trailer_bytes += (uint32_t)bytes;
    return 0;
}

/* A name begins: after a value, or at the very beginning. */
static int on_name(llhttp_t *llhttp, const char *data, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    if (parser->headers_done) return trailer_skip(parser, bytes);
    if (parser->headers_count == HTTP_HEADERS_MAX) return refuse(parser, 431, "there are too many headers");
    struct place *name = &parser->names[parser->headers_count];
    if (name->bytes == 0) name->at = parser->head_bytes;
    return head_append(parser, name, data, bytes);
}

static int on_value(llhttp_t *llhttp, const char *data, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    if (parser->headers_done) return trailer_skip(parser, bytes);
    if (parser->headers_count == HTTP_HEADERS_MAX) return refuse(parser, 431, "there are too many headers");
    struct place *value = &parser->values[parser->headers_count];
    if (value->bytes == 0) value->at = parser->head_bytes;
    return head_append(parser, value, data, bytes);
}

static int on_value_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = parser_of(llhttp);
    if (parser->headers_done) return 0;
    if (parser->headers_count == HTTP_HEADERS_MAX) return refuse(parser, 431, "there are too many headers");
    parser->headers_count++;
    return 0;
}

static struct span span_at(const struct http_parser *parser, struct place place) { return span_of(parser->head + place.at, place.bytes); }

static struct span trimmed(struct span text)
{
    while (text.bytes && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_skip(text, 1);
    while (text.bytes && (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

static enum http_method method_of(const llhttp_t *llhttp)
{
    switch (llhttp->method) {
    case HTTP_GET: return METHOD_GET;
    case HTTP_HEAD: return METHOD_HEAD;
    case HTTP_POST: return METHOD_POST;
    case HTTP_PUT: return METHOD_PUT;
    case HTTP_PATCH: return METHOD_PATCH;
    case HTTP_DELETE: return METHOD_DELETE;
    case HTTP_OPTIONS: return METHOD_OPTIONS;
    default: return METHOD_OTHER;
    }
}

static uint32_t count_headers(const struct http_request *request, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->headers_count; i++)
        count += request->headers[i].name.bytes == strlen(name) &&
                 strncasecmp((const char *)request->headers[i].name.data, name, request->headers[i].name.bytes) == 0;
    return count;
}

static int request_fill(struct http_parser *parser)
{
    struct http_request *request = &parser->request;
    request->method = method_of(&parser->llhttp);
    request->chunks = parser->llhttp.http_minor > 0;
    request->target = span_at(parser, parser->target);
    request->headers_count = parser->headers_count;
    for (uint32_t i = 0; i < parser->headers_count; i++)
        request->headers[i] = (struct http_header){span_at(parser, parser->names[i]), trimmed(span_at(parser, parser->values[i]))};
    const uint8_t *question = memchr(request->target.data, '?', request->target.bytes);
    request->path = span_of(request->target.data, question ? (size_t)(question - request->target.data) : request->target.bytes);
    request->query = question ? span_skip(request->target, request->path.bytes + 1) : span_of(NULL, 0);
    for (uint32_t i = 0; i < request->headers_count; i++) /* RFC 9112 §5.1: a blank before the colon is how requests are smuggled past proxies */
        if (memchr(request->headers[i].name.data, ' ', request->headers[i].name.bytes) || memchr(request->headers[i].name.data, '\t', request->headers[i].name.bytes))
            return refuse(parser, 400, "there is a blank in a header's name");
    if (request->path.bytes == 0 || request->path.data[0] != '/') return refuse(parser, 400, "the request's target must be a path");
    if (memchr(request->target.data, '#', request->target.bytes)) return refuse(parser, 400, "a request's target has no fragment");
    if (count_headers(request, "host") > 1) return refuse(parser, 400, "there is more than one Host header");
    if (count_headers(request, "host") == 0 && parser->llhttp.http_minor) return refuse(parser, 400, "there is no Host header");
    if (count_headers(request, "content-length") && count_headers(request, "transfer-encoding"))
        return refuse(parser, 400, "Content-Length and Transfer-Encoding exclude each other");
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = parser_of(llhttp);
    if (llhttp->http_major != 1 || llhttp->http_minor > 1) return refuse(parser, 505, "HTTP/1.1 is spoken here");
    if (request_fill(parser) != 0) return -1;
    parser->headers_done = true;
    if (llhttp->flags & F_CONTENT_LENGTH && llhttp->content_length > parser->body_bytes_max)
        return refuse(parser, 413, "the body is too large");
    struct span expect = http_header_find(&parser->request, "expect");
    parser->wants_continue = llhttp->http_minor && expect.bytes == 12 && strncasecmp((const char *)expect.data, "100-continue", 12) == 0;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *data, size_t bytes)
{
    struct http_parser *parser = parser_of(llhttp);
    if (bytes > parser->body_bytes_max - parser->body_bytes) return refuse(parser, 413, "the body is too large");
    if (parser->body_bytes + bytes > parser->body_capacity) {
        parser->body_capacity = (parser->body_bytes + bytes) * 2;
        parser->body = memory_resize(parser->body, parser->body_capacity);
    }
    memcpy(parser->body + parser->body_bytes, data, bytes);
    parser->body_bytes += bytes;
    return 0;
}

static int on_complete(llhttp_t *llhttp)
{
    struct http_parser *parser = parser_of(llhttp);
    parser->request.body = span_of(parser->body, parser->body_bytes);
    parser->request.keep_alive = llhttp_should_keep_alive(llhttp);
    parser->complete = true;
    return HPE_PAUSED;
}

static pthread_once_t settings_once = PTHREAD_ONCE_INIT;
static llhttp_settings_t settings_made;

static void settings_make(void)
{
    llhttp_settings_t all;
    llhttp_settings_init(&all);
    all.on_message_begin = on_begin;
    all.on_url = on_target;
    all.on_header_field = on_name;
    all.on_header_value = on_value;
    all.on_header_value_complete = on_value_complete;
    all.on_headers_complete = on_headers_complete;
    all.on_body = on_body;
    all.on_message_complete = on_complete;
    settings_made = all;
}

static const llhttp_settings_t *settings(void)
{
    pthread_once(&settings_once, settings_make);
    return &settings_made;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct http_parser *http_parser_create(uint32_t header_bytes_max, uint64_t body_bytes_max)
{
    struct http_parser *parser = memory_acquire_zeroed(sizeof *parser);
    parser->header_bytes_max = header_bytes_max;
    parser->body_bytes_max = body_bytes_max;
    llhttp_init(&parser->llhttp, HTTP_REQUEST, settings());
    return parser;
}

void http_parser_release(struct http_parser *parser)
{
    if (!parser) return;
    memory_release(parser->head);
    memory_release(parser->body);
    memory_release(parser);
}

/* Does it begin as a request of some method? (Only looked at when llhttp knows it not.) */
static bool is_token(struct span bytes)
{
    size_t letters = 0;
    while (letters < bytes.bytes && letters < 32 && bytes.data[letters] >= 'A' && bytes.data[letters] <= 'Z')
        letters++;
    return letters && letters < bytes.bytes && bytes.data[letters] == ' ';
}

enum http_progress http_parser_feed(struct http_parser *parser, struct span bytes, size_t *ret_used)
{
    DCHECK(!parser->complete);
    *ret_used = 0;
    if (parser->status) return HTTP_FEED_REFUSED;
    if (bytes.bytes == 0) return HTTP_FEED_MORE;
    llhttp_errno_t error = llhttp_execute(&parser->llhttp, (const char *)bytes.data, bytes.bytes);
    if (parser->complete) {
        *ret_used = (size_t)((const uint8_t *)llhttp_get_error_pos(&parser->llhttp) - bytes.data);
        return HTTP_FEED_REQUEST;
    }
    *ret_used = bytes.bytes;
    if (parser->status) return HTTP_FEED_REFUSED;
    if (error != HPE_OK) {
        bool method = error == HPE_INVALID_METHOD && is_token(bytes);
        refuse(parser, error == HPE_PAUSED_UPGRADE ? 501 : method ? 405 : 400, method ? "there is no such method here" : "this is no valid HTTP/1.1 request");
        return HTTP_FEED_REFUSED;
    }
    if (!parser->wants_continue) return HTTP_FEED_MORE;
    parser->wants_continue = false;
    return HTTP_FEED_CONTINUE;
}

bool http_parser_busy(const struct http_parser *parser) { return parser->begun; }

const struct http_request *http_parser_request(const struct http_parser *parser)
{
    DCHECK(parser->complete);
    return &parser->request;
}

void http_parser_next(struct http_parser *parser)
{
    parser->head_bytes = parser->headers_count = parser->trailer_bytes = 0;
    parser->headers_done = false;
    parser->body_bytes = 0;
    if (parser->body_capacity > 65536) { /* a large one is seldom followed by another */
        memory_release(parser->body);
        parser->body = NULL;
        parser->body_capacity = 0;
    }
    parser->target = (struct place){0};
    memset(parser->names, 0, sizeof parser->names);
    memset(parser->values, 0, sizeof parser->values);
    parser->request = (struct http_request){0};
    parser->begun = parser->complete = parser->wants_continue = false;
    llhttp_init(&parser->llhttp, HTTP_REQUEST, settings());
}

int http_parser_refusal(const struct http_parser *parser, const char **ret_what)
{
    *ret_what = parser->what;
    return parser->status;
}

/* ---- what is in a request --------------------------------------------------------------------------------------- */

struct span http_header_find(const struct http_request *request, const char *name)
{
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < request->headers_count; i++) {
        struct span candidate = request->headers[i].name;
        if (candidate.bytes == bytes && strncasecmp((const char *)candidate.data, name, bytes) == 0) return request->headers[i].value;
    }
    return span_of(NULL, 0);
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f') return (c | 32) - 'a' + 10;
    return -1;
}

bool http_decode(struct span text, bool plus, char *ret_text, size_t *ret_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte == '+' && plus) byte = ' ';
        if (byte == '%') {
            bool whole = i + 2 < text.bytes;
            int high = whole ? hex_of(text.data[i + 1]) : -1, low = whole ? hex_of(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if (byte == 0) return false;
        ret_text[used++] = (char)byte;
    }
    ret_text[used] = 0;
    *ret_bytes = used;
    return true;
}

bool http_query_next(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    while (rest->bytes && rest->data[0] == '&')
        *rest = span_skip(*rest, 1);
    if (rest->bytes == 0) return false;
    const uint8_t *end = memchr(rest->data, '&', rest->bytes);
    struct span pair = span_of(rest->data, end ? (size_t)(end - rest->data) : rest->bytes);
    *rest = span_skip(*rest, pair.bytes);
    const uint8_t *equals = memchr(pair.data, '=', pair.bytes);
    *ret_name = span_of(pair.data, equals ? (size_t)(equals - pair.data) : pair.bytes);
    *ret_value = equals ? span_skip(pair, ret_name->bytes + 1) : span_of("", 0);
    return true;
}
