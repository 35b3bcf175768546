/* http_answer.c - answers as bytes (RFC 9112 §4, §7.1). */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "admin/http_inside.h"
#include "base/check.h"
#include "base/memory.h"

void http_text_add(struct http_text *text, const void *data, size_t bytes)
{
    if (bytes == 0) return;
    if (text->bytes + bytes > text->capacity) {
        text->capacity = (text->bytes + bytes) * 2 < 256 ? 256 : (text->bytes + bytes) * 2;
        text->data = memory_resize(text->data, text->capacity);
    }
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

void http_text_print(struct http_text *text, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    CHECK(bytes >= 0);
    if ((size_t)bytes < sizeof line) return http_text_add(text, line, (size_t)bytes);
    char *whole = memory_acquire((size_t)bytes + 1);
    va_start(arguments, format);
    vsnprintf(whole, (size_t)bytes + 1, format, arguments);
    va_end(arguments);
    http_text_add(text, whole, (size_t)bytes);
    memory_release(whole);
}

void http_text_release(struct http_text *text)
{
    memory_release(text->data);
    *text = (struct http_text){0};
}

static const struct {
    int status;
    const char *text;
} statuses[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {302, "Found"}, {304, "Not Modified"}, {400, "Bad Request"}, {401, "Unauthorized"},
                {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
                {409, "Conflict"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"}, {422, "Unprocessable Content"},
                {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
                {501, "Not Implemented"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status) return statuses[i].text;
    return "Unknown";
}

/* ---- the handler's calls ---------------------------------------------------------------------------------------- */

void http_add_header(struct http_exchange *exchange, const char *name, const char *value)
{
    if (strpbrk(value, "\r\n")) return;
    http_text_print(&exchange->headers, "%s: %s\r\n", name, value);
}

void http_answer(struct http_exchange *exchange, int status, const char *content_type, struct span body)
{
    exchange->status = status;
    exchange->body.bytes = 0;
    if (!content_type) return;
    http_add_header(exchange, "Content-Type", content_type);
    http_text_add(&exchange->body, body.data, body.bytes);
}

void http_stream(struct http_exchange *exchange, const char *content_type, uint32_t interval_ms,
                 bool (*stream)(void *context, struct http_text *ret_piece), void (*end)(void *context), void *context)
{
    exchange->status = 200;
    http_add_header(exchange, "Content-Type", content_type);
    exchange->stream = stream;
    exchange->stream_end = end;
    exchange->stream_context = context;
    exchange->stream_interval_ms = interval_ms;
}

void http_file(struct http_exchange *exchange, const char *content_type, int file, uint64_t bytes)
{
    exchange->status = 200;
    http_add_header(exchange, "Content-Type", content_type);
    exchange->file = file;
    exchange->file_bytes = bytes;
}

void http_exchange_clear(struct http_exchange *exchange)
{
    if (exchange->stream && exchange->stream_end) exchange->stream_end(exchange->stream_context);
    if (exchange->file >= 0) close(exchange->file);
    exchange->stream = NULL;
    exchange->file = -1;
    exchange->headers.bytes = exchange->body.bytes = 0;
    exchange->status = 0;
    exchange->request = NULL;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

/* What every answer says about itself to browsers: nothing of it may be framed, guessed or kept. */
static const char always[] = "Server: ringmq\r\n"
                             "X-Content-Type-Options: nosniff\r\n"
                             "X-Frame-Options: DENY\r\n"
                             "Referrer-Policy: no-referrer\r\n"
                             "Cross-Origin-Resource-Policy: same-origin\r\n";

static bool has_header(const struct http_exchange *exchange, const char *name)
{
    return exchange->headers.bytes && memmem(exchange->headers.data, exchange->headers.bytes, name, strlen(name));
}

void http_format(struct http_connection *connection)
{
    struct http_exchange *exchange = &connection->exchange;
    struct http_text *out = &connection->out;
    bool head = exchange->request && exchange->request->method == METHOD_HEAD;
    if (exchange->status == 0) http_answer(exchange, 500, "text/plain; charset=utf-8", SPAN_LITERAL("internal error\n"));
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    http_text_print(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s", exchange->status, http_status_text(exchange->status), date, always);
    if (!has_header(exchange, "Cache-Control: ")) http_text_print(out, "Cache-Control: no-store\r\n");
    if (!has_header(exchange, "Content-Security-Policy: ")) http_text_print(out, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
    http_text_add(out, exchange->headers.data, exchange->headers.bytes);
    if (exchange->stream && exchange->request->chunks)
        http_text_print(out, "Transfer-Encoding: chunked\r\n");
    else if (exchange->stream)
        ; /* RFC 9112 §6.3: it ends with the connection */
    else if (exchange->file >= 0)
        http_text_print(out, "Content-Length: %llu\r\n", (unsigned long long)exchange->file_bytes);
    else if (exchange->status != 204 && exchange->status != 304)
        http_text_print(out, "Content-Length: %zu\r\n", exchange->body.bytes);
    http_text_print(out, "Connection: %s\r\n\r\n", connection->close_after ? "close" : "keep-alive");
    if (!head && !exchange->stream) http_text_add(out, exchange->body.data, exchange->body.bytes);
}

void http_format_chunk(struct http_connection *connection, const struct http_text *piece)
{
    if (!connection->exchange.request->chunks) return http_text_add(&connection->out, piece->data, piece->bytes);
    if (piece->bytes) http_text_print(&connection->out, "%zx\r\n", piece->bytes);
    if (piece->bytes == 0) return http_text_print(&connection->out, "0\r\n\r\n");
    http_text_add(&connection->out, piece->data, piece->bytes);
    http_text_add(&connection->out, "\r\n", 2);
}
