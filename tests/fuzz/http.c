/* A request to the admin API, cut by its first byte: the same request comes out, its values decode, its body is JSON or not. */
#include <jansson.h>
#include <stdlib.h>

#include "admin/http_parse.h"
#include "admin/routes.h"
#include "admin/validate.h"
#include "base/check.h"

static enum http_progress run(struct http_parser *parser, const uint8_t *data, size_t size, size_t piece)
{
    enum http_progress progress = HTTP_FEED_MORE;
    for (size_t used = 0; used < size && progress != HTTP_FEED_REQUEST && progress != HTTP_FEED_REFUSED;) {
        size_t now = size - used < piece ? size - used : piece, consumed = 0;
        uint8_t *block = malloc(now);
        memcpy(block, data + used, now);
        progress = http_parser_feed(parser, span_of(block, now), &consumed);
        CHECK(consumed <= now);
        used += now;
        free(block);
    }
    return progress;
}

static void look_at(const struct http_request *request)
{
    char *text = malloc(request->target.bytes + 1), error[512];
    size_t bytes;
    struct span rest = request->query, name, value, values[API_PATH_VALUES_MAX];
    uint32_t methods;
    while (http_query_next(&rest, &name, &value)) {
        http_decode(name, true, text, &bytes);
        if (http_decode(value, true, text, &bytes)) CHECK(strlen(text) == bytes);
    }
    const struct api_route *route = api_route_find(request->method, request->path, values, &methods);
    json_t *body = json_loadb((const char *)request->body.data, request->body.bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (route && route->body && body && !validate_object(api_schema_find(route->body), body, error, sizeof error)) CHECK(*error);
    json_decref(body);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct http_parser *whole = http_parser_create(4096, 4096), *pieces = http_parser_create(4096, 4096);
    enum http_progress one = run(whole, data + 1, size - 1, size), other = run(pieces, data + 1, size - 1, 1 + data[0] % 40);
    CHECK((one == HTTP_FEED_REQUEST) == (other == HTTP_FEED_REQUEST));
    if (one == HTTP_FEED_REQUEST) {
        const struct http_request *a = http_parser_request(whole), *b = http_parser_request(pieces);
        CHECK(a->method == b->method && span_equal(a->target, b->target) && span_equal(a->body, b->body) && a->headers_count == b->headers_count);
        look_at(a);
        http_parser_next(whole);
        run(whole, data + 1, size - 1, size);
    }
    if (one == HTTP_FEED_REFUSED) {
        const char *what;
        CHECK(http_parser_refusal(whole, &what) >= 400 && what);
    }
    http_parser_release(whole);
    http_parser_release(pieces);
    return 0;
}
