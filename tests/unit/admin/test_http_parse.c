/* Requests, cut everywhere. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "admin/http_parse.h"
#include "base/memory.h"

/* Feeds `text` in pieces of `step` bytes; the outcome of the last feed. */
static enum http_progress feed(struct http_parser *parser, const char *text, size_t step)
{
    struct span rest = span_of_string(text);
    enum http_progress progress = HTTP_FEED_MORE;
    while (rest.bytes && progress != HTTP_FEED_REQUEST && progress != HTTP_FEED_REFUSED) {
        size_t used, piece = rest.bytes < step ? rest.bytes : step;
        uint8_t *copy = memory_acquire(piece); /* so that nothing behind it can be read */
        memcpy(copy, rest.data, piece);
        progress = http_parser_feed(parser, span_of(copy, piece), &used);
        memory_release(copy);
        cr_assert(used <= piece);
        rest = span_skip(rest, progress == HTTP_FEED_REQUEST ? used : piece);
    }
    return progress;
}

/* Lines before a request are skipped (RFC 9112 §2.2) and begin none: whoever sends nothing else is idle. */
Test(http_parse, empty_lines_are_no_beginning)
{
    struct http_parser *parser = http_parser_create(1000, 100);
    cr_assert_eq(feed(parser, "\r\n\r\n\r\n", 1), HTTP_FEED_MORE);
    cr_assert_not(http_parser_busy(parser));
    cr_assert_eq(feed(parser, "G", 1), HTTP_FEED_MORE);
    cr_assert(http_parser_busy(parser));
    http_parser_release(parser);
}

/* RFC 9110 §10.1.1, RFC 9112 §6.1. */
Test(http_parse, what_1_0_does_not_know)
{
    for (int minor = 0; minor < 2; minor++) {
        char text[200];
        size_t used;
        snprintf(text, sizeof text, "POST /a HTTP/1.%d\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", minor);
        struct http_parser *parser = http_parser_create(1000, 100);
        cr_assert_eq(http_parser_feed(parser, span_of_string(text), &used), minor ? HTTP_FEED_CONTINUE : HTTP_FEED_MORE);
        cr_assert_eq(http_parser_feed(parser, SPAN_LITERAL("x"), &used), HTTP_FEED_REQUEST);
        cr_assert_eq(http_parser_request(parser)->chunks, minor > 0);
        http_parser_release(parser);
    }
}

Test(http_parse, whole_however_it_is_cut)
{
    static const char text[] = "POST /api/v1/a%2Fb?x=1&y=%20z HTTP/1.1\r\nHost: h\r\nContent-Type:  application/json \r\nX-Empty:\r\nContent-Length: 5\r\n\r\nhello";
    for (size_t step = 1; step < sizeof text; step++) {
        struct http_parser *parser = http_parser_create(1000, 100);
        cr_assert_eq(feed(parser, text, step), HTTP_FEED_REQUEST, "in pieces of %zu", step);
        const struct http_request *request = http_parser_request(parser);
        cr_assert_eq(request->method, METHOD_POST);
        cr_assert(span_equal(request->path, SPAN_LITERAL("/api/v1/a%2Fb")));
        cr_assert(span_equal(request->query, SPAN_LITERAL("x=1&y=%20z")));
        cr_assert(span_equal(http_header_find(request, "content-type"), SPAN_LITERAL("application/json")));
        cr_assert(span_equal(request->body, SPAN_LITERAL("hello")));
        cr_assert(request->keep_alive);
        cr_assert_null(http_header_find(request, "nothing").data);
        cr_assert_eq(http_header_find(request, "x-empty").bytes, 0);
        http_parser_next(parser);
        cr_assert_not(http_parser_busy(parser));
        cr_assert_eq(feed(parser, "GET / HTTP/1.0\r\n\r\n", step), HTTP_FEED_REQUEST);
        cr_assert_not(http_parser_request(parser)->keep_alive);
        http_parser_release(parser);
    }
}

Test(http_parse, what_is_refused)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413},
        {"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"\x16\x03\x01", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_parser *parser = http_parser_create(200, 100);
        const char *what;
        cr_assert_eq(feed(parser, cases[i].text, 1000), HTTP_FEED_REFUSED, "%s", cases[i].text);
        cr_assert_eq(http_parser_refusal(parser, &what), cases[i].status, "%s: %d", cases[i].text, http_parser_refusal(parser, &what));
        cr_assert_not_null(what);
        http_parser_release(parser);
    }
}

Test(http_parse, limits_hold)
{
    char text[4096];
    const char *what;
    struct http_parser *parser = http_parser_create(300, 10);
    snprintf(text, sizeof text, "GET /%0500d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    cr_assert_eq(feed(parser, text, 7), HTTP_FEED_REFUSED);
    cr_assert_eq(http_parser_refusal(parser, &what), 431);
    http_parser_release(parser);
    parser = http_parser_create(4000, 10);
    int used = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "X%d: y\r\n", i);
    snprintf(text + used, sizeof text - (size_t)used, "\r\n");
    cr_assert_eq(feed(parser, text, 7), HTTP_FEED_REFUSED);
    cr_assert_eq(http_parser_refusal(parser, &what), 431);
    http_parser_release(parser);
    parser = http_parser_create(300, 10);
    cr_assert_eq(feed(parser, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 3), HTTP_FEED_REFUSED);
    cr_assert_eq(http_parser_refusal(parser, &what), 413);
    http_parser_release(parser);
}

/* Trailers come when the request points into the headers already: they are bounded, left out, and move nothing. */
Test(http_parse, trailers_are_left_out)
{
    static const char head[] = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n";
    char text[1024];
    const char *what;
    snprintf(text, sizeof text, "%sX-Trailer: %0200d\r\n\r\n", head, 1);
    for (size_t piece = 1; piece < 400; piece += 57) {
        struct http_parser *parser = http_parser_create(300, 10);
        cr_assert_eq(feed(parser, text, piece), HTTP_FEED_REQUEST);
        const struct http_request *request = http_parser_request(parser);
        cr_assert(span_equal(request->target, SPAN_LITERAL("/a")) && span_equal(http_header_find(request, "host"), SPAN_LITERAL("a")));
        cr_assert_eq(request->headers_count, 2);
        cr_assert_null(http_header_find(request, "x-trailer").data);
        http_parser_release(parser);
    }
    snprintf(text, sizeof text, "%sX-Trailer: %0400d\r\n\r\n", head, 1);
    struct http_parser *parser = http_parser_create(300, 10);
    cr_assert_eq(feed(parser, text, 1000), HTTP_FEED_REFUSED);
    cr_assert_eq(http_parser_refusal(parser, &what), 431);
    http_parser_release(parser);
}

Test(http_parse, percent_and_query)
{
    char text[64];
    size_t bytes;
    cr_assert(http_decode(SPAN_LITERAL("a%2fb+c%C3%bc"), false, text, &bytes));
    cr_assert_str_eq(text, "a/b+c\u00fc");
    cr_assert(http_decode(SPAN_LITERAL("a+b"), true, text, &bytes));
    cr_assert_str_eq(text, "a b");
    static const char *const wrong[] = {"%", "%2", "a%2", "%zz", "%00", "%-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(http_decode(span_of_string(wrong[i]), false, text, &bytes), "%s", wrong[i]);
    cr_assert(http_decode(SPAN_LITERAL("%41"), false, text, &bytes)); /* the last one of the text */
    cr_assert_str_eq(text, "A");
    struct span rest = SPAN_LITERAL("a=1&&b&c=d=e&"), name, value;
    const char *const pairs[] = {"a", "1", "b", "", "c", "d=e"};
    for (size_t i = 0; i < 6; i += 2) {
        cr_assert(http_query_next(&rest, &name, &value));
        cr_assert(span_equal(name, span_of_string(pairs[i])) && span_equal(value, span_of_string(pairs[i + 1])));
    }
    cr_assert_not(http_query_next(&rest, &name, &value));
}
