/* http_parse.h - HTTP/1.1 requests from bytes (RFC 9112). No I/O, no clock: bytes in, a request or an error out.
 *
 * Owner:   the parser owns the request until http_parser_next(). Threads: one at a time.
 * Bounds:  HTTP_HEADERS_MAX headers; request line and headers together `header_bytes_max`, body `body_bytes_max`: 431, 413.
 * Refused: requests without exactly one Host, with both Content-Length and Transfer-Encoding, with a version other than 1.0 and 1.1, with
 *          a target that is not a path. What has been refused ends the connection: where the next request begins is not known. */
#ifndef RINGMQ_ADMIN_HTTP_PARSE_H
#define RINGMQ_ADMIN_HTTP_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/http_method.h"
#include "base/span.h"

#define HTTP_HEADERS_MAX 64

struct http_header {
    struct span name, value; /* as sent, the value without blanks around it */
};

struct http_request {
    enum http_method method;
    struct span target, path, query; /* as sent; the query without its ? */
    struct http_header headers[HTTP_HEADERS_MAX];
    uint32_t headers_count;
    struct span body;
    bool keep_alive;
    bool chunks;             /* an answer may come in chunks: the peer speaks 1.1 */
};

enum http_progress {
    HTTP_FEED_MORE,      /* all bytes are used */
    HTTP_FEED_CONTINUE,  /* the same, and the peer waits for "100 Continue" before it sends the body */
    HTTP_FEED_REQUEST,   /* a whole request: http_parser_request(); bytes behind it are not used */
    HTTP_FEED_REFUSED    /* http_parser_refusal() */
};

struct http_parser;

struct http_parser *http_parser_create(uint32_t header_bytes_max, uint64_t body_bytes_max);
void http_parser_release(struct http_parser *parser); /* accepts NULL */
enum http_progress http_parser_feed(struct http_parser *parser, struct span bytes, size_t *ret_used);
/* True between the first byte of a request and its last: a peer that stops here is slow. */
bool http_parser_busy(const struct http_parser *parser);
const struct http_request *http_parser_request(const struct http_parser *parser);
/* Ready for the next request. */
void http_parser_next(struct http_parser *parser);
/* After HTTP_FEED_REFUSED: the status, and a sentence. */
int http_parser_refusal(const struct http_parser *parser, const char **ret_what);

/* The first header of that name; an empty span with data NULL: none. Names are compared without case. */
struct span http_header_find(const struct http_request *request, const char *name);
/* Decodes %XX (and + as a blank when `plus`). False: not hexadecimal, or a NUL. `ret_text` has room for text.bytes + 1; NUL-terminated. */
bool http_decode(struct span text, bool plus, char *ret_text, size_t *ret_bytes);
/* Takes the next NAME=VALUE off a query; neither is decoded. False: none is left. */
bool http_query_next(struct span *rest, struct span *ret_name, struct span *ret_value);

#endif
