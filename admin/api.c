/* api.c - from a request to its handler and back. */
#include "admin/api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin/pages.h"
#include "admin/validate.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"
#include "broker/watch/inspect.h"
#include "proto/utf8.h"

#define JSON_TYPE "application/json"

static void (*const handlers[OPERATIONS])(struct api_call *call) = {
#define API_OPERATION(name) api_##name,
#include "admin/operations.def"
#undef API_OPERATION
};

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void answer_json(struct http_exchange *exchange, int status, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(value);
    CHECK(text);
    http_answer(exchange, status, JSON_TYPE, span_of_string(text));
    free(text);
}

void api_reply(struct api_call *call, json_t *reply)
{
    CHECK(reply && !call->answered);
    call->answered = true;
    answer_json(call->exchange, call->route->success, reply);
}

void api_reply_text(struct api_call *call, struct http_text *reply)
{
    CHECK(!call->answered);
    call->answered = true;
    http_answer(call->exchange, call->route->success, JSON_TYPE, span_of(reply->data, reply->bytes));
    http_text_release(reply);
}

void api_done(struct api_call *call)
{
    CHECK(!call->answered);
    call->answered = true;
    http_answer(call->exchange, call->route->success, NULL, span_of(NULL, 0));
}

static void error_answer(struct http_exchange *exchange, int status, const char *code, const char *format, va_list arguments)
{
    char message[1024];
    vsnprintf(message, sizeof message, format, arguments);
    answer_json(exchange, status, json_pack("{s:s, s:o}", "code", code, "message", api_string(span_of_string(message))));
}

void api_error(struct api_call *call, int status, const char *code, const char *format, ...)
{
    CHECK(!call->answered);
    call->answered = true;
    va_list arguments;
    va_start(arguments, format);
    error_answer(call->exchange, status, code, format, arguments);
    va_end(arguments);
}

static void __attribute__((format(printf, 4, 5))) refuse(struct http_exchange *exchange, int status, const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_answer(exchange, status, code, format, arguments);
    va_end(arguments);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

json_t *api_string(struct span text)
{
    json_t *value = json_stringn((const char *)text.data, text.bytes);
    if (value) return value;
    /* Not UTF-8: what is wrong becomes U+FFFD, byte by byte. */
    char *mended = memory_acquire(3 * text.bytes + 1);
    size_t used = 0;
    for (size_t i = 0; i < text.bytes;) {
        size_t bytes = 0;
        for (size_t try = 1; try <= 4 && i + try <= text.bytes && !bytes; try++)
            if (mqtt_utf8_payload_valid(span_of(text.data + i, try))) bytes = try;
        if (bytes) {
            memcpy(mended + used, text.data + i, bytes);
            used += bytes;
            i += bytes;
        } else {
            memcpy(mended + used, "\xef\xbf\xbd", 3);
            used += 3;
            i++;
        }
    }
    value = json_stringn(mended, used);
    memory_release(mended);
    return value ? value : json_string("");
}

json_t *api_string_of(const char *text, size_t bytes) { return api_string(span_of(text, bytes)); }

static int dumped(const char *data, size_t bytes, void *text)
{
    http_text_add(text, data, bytes);
    return 0;
}

void api_put(struct http_text *out, json_t *value)
{
    CHECK(json_dump_callback(value, dumped, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) == 0);
    json_decref(value);
}

/* RFC 8259 §7: quotes, backslashes and control characters are escaped. */
void api_put_string(struct http_text *out, const char *text, size_t bytes)
{
    if (!mqtt_utf8_payload_valid(span_of(text, bytes))) return api_put(out, api_string_of(text, bytes));
    http_text_add(out, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte >= ' ' && byte != '"' && byte != '\\') continue;
        http_text_add(out, text + from, i - from);
        http_text_print(out, byte < ' ' ? "\\u%04x" : "\\%c", byte);
        from = i + 1;
    }
    http_text_add(out, text + from, bytes - from);
    http_text_add(out, "\"", 1);
}

const char *api_time_text(uint64_t unix_ms, char ret_text[API_TIME_BYTES])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (unix_ms == 0 || !gmtime_r(&seconds, &tm)) return "null";
    size_t bytes = strftime(ret_text, API_TIME_BYTES, "\"%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text + bytes, API_TIME_BYTES - bytes, ".%03uZ\"", (unsigned)(unix_ms % 1000));
    return ret_text;
}

json_t *api_time(uint64_t unix_ms)
{
    char text[API_TIME_BYTES];
    const char *quoted = api_time_text(unix_ms, text);
    return *quoted == '"' ? json_stringn(quoted + 1, strlen(quoted) - 2) : json_null();
}

/* Digits where the pattern has 0, the pattern's own characters elsewhere. */
static bool looks_like(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++)
        if (*pattern == '0' ? *text < '0' || *text > '9' : (*text & ~32) != (*pattern & ~32)) return false;
    return true;
}

static int two(const char *digits) { return (digits[0] - '0') * 10 + digits[1] - '0'; }

bool api_time_parse(const char *text, uint64_t *ret_unix_ms)
{
    if (!looks_like(text, "0000-00-00T00:00:00")) return false;
    struct tm tm = {.tm_year = two(text) * 100 + two(text + 2) - 1900, .tm_mon = two(text + 5) - 1, .tm_mday = two(text + 8), .tm_hour = two(text + 11),
                    .tm_min = two(text + 14), .tm_sec = two(text + 17)};
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > days[tm.tm_mon] || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) return false;
    const char *rest = text + 19;
    uint64_t ms = 0;
    if (*rest == '.' && rest[1] >= '0' && rest[1] <= '9') {
        uint32_t scale = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
            ms += scale * (uint64_t)(*rest - '0');
    }
    bool zone = (*rest == 'Z' || *rest == 'z') && rest[1] == 0;
    bool shifted = !zone && (*rest == '+' || *rest == '-') && looks_like(rest + 1, "00:00") && rest[6] == 0;
    int shift_min = shifted ? two(rest + 1) * 60 + two(rest + 4) : 0;
    if ((!zone && !shifted) || shift_min >= 24 * 60) return false;
    int64_t seconds = timegm(&tm) - (int64_t)(*rest == '-' ? -60 : 60) * shift_min;
    if (seconds < 0) return false;
    *ret_unix_ms = (uint64_t)seconds * 1000 + ms;
    return true;
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

static uint32_t parameter_place(const struct api_call *call, const char *name)
{
    for (uint32_t i = 0; i < call->route->parameters_count; i++)
        if (strcmp(call->route->parameters[i].name, name) == 0) return i;
    UNREACHABLE("a parameter that the route does not have");
}

const char *api_text(const struct api_call *call, const char *name)
{
    uint32_t place = parameter_place(call, name);
    return call->texts[place] ? call->texts[place] : call->route->parameters[place].fallback;
}

bool api_given(const struct api_call *call, const char *name) { return call->texts[parameter_place(call, name)] != NULL; }

int64_t api_number(const struct api_call *call, const char *name)
{
    const char *text = api_text(call, name);
    int64_t number = 0;
    if (text) CHECK(validate_number(&call->route->parameters[parameter_place(call, name)], text, &number));
    return number;
}

/* "." and ".." are no segments of a URL's path but steps in it, percent-encoded, too: browsers and proxies take them away (RFC 3986 §5.2.4). So a name that is one has
 * "~" before it there, and one that looks like such a one ("~.") has another. */
static size_t segment_unescape(char *text, size_t bytes)
{
    size_t tildes = strspn(text, "~"), dots = bytes - tildes;
    if (tildes == 0 || dots == 0 || dots > 2 || strspn(text + tildes, ".") != dots) return bytes;
    memmove(text, text + 1, bytes);
    return bytes - 1;
}

/* A parameter's text, decoded and checked. False: answered. */
static bool parameter_take(struct api_call *call, uint32_t place, struct span raw, bool plus, char **storage)
{
    const struct api_field *field = &call->route->parameters[place];
    size_t bytes;
    char error[512];
    char *text = *storage;
    if (!http_decode(raw, plus, text, &bytes)) {
        api_error(call, 400, "BAD_REQUEST", "%s is not percent-encoded as it should be", field->name);
        return false;
    }
    *storage += bytes + 1;
    if (field->in_path) bytes = segment_unescape(text, bytes);
    if (!mqtt_utf8_payload_valid(span_of(text, bytes))) {
        api_error(call, 400, "BAD_REQUEST", "%s is not UTF-8", field->name);
        return false;
    }
    if (!validate_parameter(field, text, bytes, error, sizeof error)) {
        api_error(call, 400, "BAD_REQUEST", "%s", error);
        return false;
    }
    call->texts[place] = text;
    return true;
}

static bool parameters_take(struct api_call *call, const struct span *values)
{
    const struct http_request *request = call->exchange->request;
    const struct api_route *route = call->route;
    CHECK(route->parameters_count <= API_PARAMETERS_MAX);
    char *storage = call->storage = memory_acquire(request->target.bytes + API_PARAMETERS_MAX + 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < route->parameters_count; i++)
        if (route->parameters[i].in_path && !parameter_take(call, i, values[at++], false, &storage)) return false;
    struct span rest = request->query, raw_name, raw_value;
    while (http_query_next(&rest, &raw_name, &raw_value)) {
        char name[64];
        size_t bytes;
        const struct api_field *field = NULL;
        if (raw_name.bytes < sizeof name && http_decode(raw_name, true, name, &bytes)) field = api_field_find(route->parameters, route->parameters_count, name);
        if (!field || field->in_path) {
            api_error(call, 400, "BAD_REQUEST", "there is no such parameter here; see /api/openapi.json");
            return false;
        }
        uint32_t place = (uint32_t)(field - route->parameters);
        if (call->texts[place]) {
            api_error(call, 400, "BAD_REQUEST", "%s is given twice", field->name);
            return false;
        }
        if (!parameter_take(call, place, raw_value, true, &storage)) return false;
    }
    for (uint32_t i = 0; i < route->parameters_count; i++)
        if (route->parameters[i].required && !call->texts[i]) {
            api_error(call, 400, "BAD_REQUEST", "%s is missing", route->parameters[i].name);
            return false;
        }
    return true;
}

static bool body_take(struct api_call *call)
{
    const struct http_request *request = call->exchange->request;
    char error[512];
    if (!call->route->body) {
        if (request->body.bytes == 0) return true;
        api_error(call, 400, "BAD_REQUEST", "this request has no body");
        return false;
    }
    struct span type = http_header_find(request, "content-type");
    if (type.bytes < strlen(JSON_TYPE) || strncasecmp((const char *)type.data, JSON_TYPE, strlen(JSON_TYPE)) != 0) {
        api_error(call, 415, "UNSUPPORTED_MEDIA_TYPE", "the body must be " JSON_TYPE);
        return false;
    }
    json_error_t where;
    call->body = json_loadb((const char *)request->body.data, request->body.bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!call->body) {
        api_error(call, 400, "BAD_REQUEST", "the body is no JSON: line %d, column %d: %s", where.line, where.column, where.text);
        return false;
    }
    if (validate_object(api_schema_find(call->route->body), call->body, error, sizeof error)) return true;
    api_error(call, 400, "BAD_REQUEST", "%s", error);
    return false;
}

/* ---- dispatching ------------------------------------------------------------------------------------------------ */

/* Browsers say where a request comes from. Nothing here is meant for other sites' pages, and credentials are never sent by a browser on its own but
 * for HTTP Basic. */
static bool cross_site(const struct http_request *request)
{
    struct span site = http_header_find(request, "sec-fetch-site"), origin = http_header_find(request, "origin"), host = http_header_find(request, "host");
    if (site.data && !span_equal(site, SPAN_LITERAL("same-origin")) && !span_equal(site, SPAN_LITERAL("none"))) return true;
    if (!origin.data) return false;
    const uint8_t *slashes = memmem(origin.data, origin.bytes, "://", 3);
    if (!slashes) return true; /* "null" */
    struct span rest = span_skip(origin, (size_t)(slashes - origin.data) + 3);
    return rest.bytes != host.bytes || strncasecmp((const char *)rest.data, (const char *)host.data, host.bytes) != 0;
}

/* May they? False: answered. */
bool api_admit(struct admin *admin, struct http_exchange *exchange, enum api_role role, bool browser, struct accounts_identity *ret_who)
{
    switch (accounts_check(admin_auth(admin), exchange, ret_who)) {
    case ACCOUNTS_OK:
        if (ret_who->role >= role) return true;
        refuse(exchange, 403, "FORBIDDEN", "this needs the role %s; %s has %s", api_role_names[role], ret_who->name, api_role_names[ret_who->role]);
        return false;
    case ACCOUNTS_NONE:
        if (role == ROLE_NONE) return true;
        http_add_header(exchange, "WWW-Authenticate", browser ? "Basic realm=\"ringmq\"" : "Bearer");
        refuse(exchange, 401, "UNAUTHORIZED", "log in: POST " API_PREFIX "/login, or send an API key by HTTP Basic authentication");
        return false;
    case ACCOUNTS_WAIT:
    case ACCOUNTS_WRONG:
        if (role == ROLE_NONE) return true; /* nobody is asked who they are */
        http_add_header(exchange, "WWW-Authenticate", browser ? "Basic realm=\"ringmq\"" : "Bearer");
        refuse(exchange, 401, "UNAUTHORIZED", "the token has expired or is wrong, or the API key is");
        return false;
    }
    UNREACHABLE("a verdict of no kind");
}

/* Is it to be in the audit log? What somebody unknown is refused is not, but for logins that were tried: he could push everything else out of it. */
static bool audited(const struct api_call *call)
{
    if (call->route->method == METHOD_GET) return false;
    if (call->who.kind != ACCOUNTS_ANONYMOUS) return true;
    return call->route->operation == OPERATION_login && call->exchange->status == 401;
}

static enum api_role role_wanted(struct admin *admin, const struct api_route *route)
{
    if (route->operation == OPERATION_get_status && admin_settings_now(admin).status_auth) return ROLE_VIEWER;
    return route->role;
}

static void api_call_run(struct admin *admin, struct http_exchange *exchange, const struct api_route *route, const struct span *values)
{
    struct api_call call = {.admin = admin, .exchange = exchange, .route = route};
    bool admitted = api_admit(admin, exchange, role_wanted(admin, route), false, &call.who);
    if (admitted && parameters_take(&call, values) && body_take(&call)) {
        handlers[route->operation](&call);
        CHECK(call.answered);
    }
    if (route->method != METHOD_GET && !audited(&call))
        LOG_LIMITED(NOTICE, 1000, "admin request refused", "peer=%s operation=%s status=%d", exchange->peer, api_operation_names[route->operation], exchange->status);
    if (audited(&call)) {
        const char *name = call.who.name;
        if (route->operation == OPERATION_login) name = json_string_value(json_object_get(call.body, "username"));
        struct accounts_identity who = call.who;
        snprintf(who.name, sizeof who.name, "%s", name ? name : "");
        accounts_audit(admin_auth(admin), &who, exchange->peer, api_operation_names[route->operation], http_method_names[route->method], exchange->request->path,
                   exchange->status);
    }
    json_decref(call.body);
    memory_release(call.storage);
}

static void methods_header(struct http_exchange *exchange, uint32_t methods)
{
    char text[128] = "";
    for (int method = METHOD_GET; method < METHODS; method++) {
        if (!(methods >> method & 1)) continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? ", " : "", http_method_names[method]);
        if (method == METHOD_GET) snprintf(text + strlen(text), sizeof text - strlen(text), ", HEAD");
    }
    http_add_header(exchange, "Allow", text);
}

void api_handle(void *context, struct http_exchange *exchange)
{
    struct admin *admin = context;
    const struct http_request *request = exchange->request;
    if (request->method != METHOD_GET && request->method != METHOD_HEAD && cross_site(request))
        return refuse(exchange, 403, "CROSS_SITE", "requests from pages of other sites are not served");
    if (!span_starts_with(request->path, SPAN_LITERAL(API_PREFIX "/"))) {
        if (!page_serve(admin, exchange)) refuse(exchange, 404, "NOT_FOUND", "there is nothing here; the API begins with " API_PREFIX "/");
        return;
    }
    struct span values[API_PATH_VALUES_MAX];
    uint32_t methods;
    const struct api_route *route = api_route_find(request->method, span_skip(request->path, strlen(API_PREFIX)), values, &methods);
    if (route) return api_call_run(admin, exchange, route, values);
    if (methods == 0) return refuse(exchange, 404, "NOT_FOUND", "there is no such path; see /api/openapi.json");
    methods_header(exchange, methods);
    refuse(exchange, 405, "METHOD_NOT_ALLOWED", "the path does not know this method");
}

/* ---- asking shards ---------------------------------------------------------------------------------------------- */

uint32_t api_client_home(const struct api_call *call, const char *client_id)
{
    return broker_home(admin_broker(call->admin), hash_span(span_of_string(client_id)));
}

uint32_t api_topic_owner(const struct api_call *call, struct span topic)
{
    return broker_retained_owner(admin_broker(call->admin), hash_span(topic));
}

bool api_ask(struct api_call *call, struct inspect *inspect)
{
    if (!admin_ask(call->admin, inspect)) {
        api_error(call, 504, "TIMEOUT", "the shard has not answered in time; it is very busy, or the broker stops");
        return false;
    }
    if (inspect->status != INSPECT_STOPPED) return true;
    inspect_release(inspect);
    api_error(call, 503, "STOPPING", "the broker stops");
    return false;
}

bool api_unfiltered(const struct api_call *call)
{
    for (uint32_t i = 0; i < call->route->parameters_count; i++) {
        const char *name = call->route->parameters[i].name;
        if (call->texts[i] && strcmp(name, "page") != 0 && strcmp(name, "limit") != 0) return false;
    }
    return true;
}

void api_page_begin(struct http_text *out) { http_text_add(out, "{\"data\":[", 9); }

void api_page_end(struct api_call *call, struct http_text *out, uint64_t page, uint64_t limit, int64_t count, bool more)
{
    char counted[24] = "null";
    if (count >= 0) snprintf(counted, sizeof counted, "%" PRId64, count);
    http_text_print(out, "],\"meta\":{\"page\":%" PRIu64 ",\"limit\":%" PRIu64 ",\"count\":%s,\"hasnext\":%s}}", page, limit, counted, more ? "true" : "false");
    api_reply_text(call, out);
}

void api_page(struct api_call *call, struct inspect *(*make)(struct api_call *call), void (*put)(struct api_call *call, const void *row, struct http_text *out), int64_t count)
{
    uint64_t page = (uint64_t)api_number(call, "page"), limit = (uint64_t)api_number(call, "limit"), skip = (page - 1) * limit, rows = 0;
    uint32_t shards = admin_broker(call->admin)->shards_count;
    struct http_text out = {0};
    bool more = false;
    api_page_begin(&out);
    for (uint32_t shard = 0; shard < shards && !more; shard++) {
        struct inspect *inspect = make(call);
        inspect->shard = shard;
        inspect->skip = skip;
        do {
            inspect->limit = (uint32_t)(limit + 1 - rows); /* one more: is there a next page? */
            if (!api_ask(call, inspect)) return http_text_release(&out);
            for (uint32_t i = 0; i < inspect->rows_count && !more; i++) {
                more = rows == limit;
                if (more) break;
                if (rows++) http_text_add(&out, ",", 1);
                put(call, inspect->rows[i], &out);
            }
            inspect_rows_clear(inspect);
        } while (inspect->status == INSPECT_MORE && !more);
        skip = inspect->skip;
        inspect_release(inspect);
    }
    api_page_end(call, &out, page, limit, count, more);
}
