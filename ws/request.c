#include "ws/request.h"

#include <llhttp.h>
#include <stdio.h>
#include <strings.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/sha1.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 §1.3 */
#define KEY_BYTES          16
#define VALUE_BYTES_MAX    128
#define RESPONSE_BYTES_MAX (16 * 1024)

/* The headers of the answer that are looked at. */
enum header { HEADER_UPGRADE, HEADER_CONNECTION, HEADER_ACCEPT, HEADER_PROTOCOL, HEADER_LOCATION, HEADERS_COUNT, HEADER_OTHER = HEADERS_COUNT };
static const char *const names[HEADERS_COUNT] = {"upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol", "location"};

struct request {
    llhttp_t parser;
    bool complete; /* the empty line has come */
    uint32_t response_bytes;
    enum header current;
    char field[32];
    uint32_t field_bytes;
    char values[HEADERS_COUNT][VALUE_BYTES_MAX];
    uint32_t values_bytes[HEADERS_COUNT];
    char key[BASE64_BYTES(KEY_BYTES) + 1];
    char *text;
    size_t text_bytes;
    char reason[256];
};

/* ---- what the parser calls; what does not fit is left out: no value that counts is so long --------------------------- */

static int on_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct request *request = CONTAINER_OF(parser, struct request, parser);
    for (size_t i = 0; i < bytes; i++, request->field_bytes++)
        if (request->field_bytes < sizeof request->field) request->field[request->field_bytes] = at[i];
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    struct request *request = CONTAINER_OF(parser, struct request, parser);
    int header = 0;
    while (header < HEADERS_COUNT && !(strlen(names[header]) == request->field_bytes &&
                                       strncasecmp(names[header], request->field, request->field_bytes) == 0))
        header++;
    request->current = (enum header)header;
    request->field_bytes = 0;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct request *request = CONTAINER_OF(parser, struct request, parser);
    if (request->current == HEADER_OTHER) return 0;
    uint32_t *used = &request->values_bytes[request->current];
    for (size_t i = 0; i < bytes && *used + 1 < VALUE_BYTES_MAX; i++)
        request->values[request->current][(*used)++] = at[i];
    return 0;
}

#define STOP_BEHIND_HEADERS 2
static int on_headers_complete(llhttp_t *parser)
{
    CONTAINER_OF(parser, struct request, parser)->complete = true;
    return STOP_BEHIND_HEADERS;
}

static llhttp_settings_t callbacks;

static void __attribute__((constructor)) callbacks_init(void)
{
    llhttp_settings_init(&callbacks);
    callbacks.on_header_field = on_field;
    callbacks.on_header_field_complete = on_field_complete;
    callbacks.on_header_value = on_value;
    callbacks.on_headers_complete = on_headers_complete;
}

/* ---- the request ---------------------------------------------------------------------------------------------------- */

struct request *request_create(const struct websocket_client_options *options)
{
    struct request *request = memory_acquire_zeroed(sizeof *request);
    llhttp_init(&request->parser, HTTP_RESPONSE, &callbacks);
    request->current = HEADER_OTHER;
    uint64_t random[2] = {options->random(options->context), options->random(options->context)};
    base64_encode(span_of(random, sizeof random), request->key);
    size_t room = strlen(options->path) + strlen(options->host) + strlen(options->headers) + 256;
    request->text = memory_acquire(room);
    request->text_bytes = (size_t)snprintf(request->text, room,
                                           "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                           "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n%s\r\n",
                                           options->path, options->host, request->key, options->headers);
    return request;
}

void request_release(struct request *request)
{
    if (!request) return;
    memory_release(request->text);
    memory_release(request);
}

struct span request_bytes(const struct request *request) { return span_of(request->text, request->text_bytes); }
const char *request_reason(const struct request *request) { return request->reason; }

/* ---- the answer ----------------------------------------------------------------------------------------------------- */

static enum request_status refuse(struct request *request, const char *reason)
{
    snprintf(request->reason, sizeof request->reason, "%s", reason);
    return REQUEST_REFUSED;
}

/* Is the word in the list with commas? */
static bool lists(const char *list, const char *word)
{
    for (size_t bytes; *list; list += bytes + (list[bytes] == ',')) {
        list += strspn(list, " \t");
        bytes = strcspn(list, ",");
        size_t end = bytes;
        while (end && (list[end - 1] == ' ' || list[end - 1] == '\t'))
            end--;
        if (end == strlen(word) && strncasecmp(list, word, end) == 0) return true;
    }
    return false;
}

static enum request_status refused_with(struct request *request, unsigned status)
{
    const char *advice = status == 404                    ? " (is the path of the URL right? It is often /mqtt)"
                         : status == 401 || status == 403 ? " (the server does not let us in)"
                         : status == 400                  ? " (does the server speak MQTT over WebSocket?)"
                                                          : "";
    if (status >= 300 && status < 400 && request->values[HEADER_LOCATION][0])
        snprintf(request->reason, sizeof request->reason, "the server sends us elsewhere: HTTP %u, %s", status, request->values[HEADER_LOCATION]);
    else
        snprintf(request->reason, sizeof request->reason, "the server answered HTTP %u to the WebSocket upgrade%s", status, advice);
    return REQUEST_REFUSED;
}

static enum request_status judge(struct request *request)
{
    char keyed[sizeof request->key + sizeof GUID], accept[BASE64_BYTES(SHA1_BYTES) + 1];
    uint8_t digest[SHA1_BYTES];
    if (request->parser.status_code != 101) return refused_with(request, request->parser.status_code);
    snprintf(keyed, sizeof keyed, "%s" GUID, request->key);
    sha1(span_of_string(keyed), digest);
    base64_encode(span_of(digest, sizeof digest), accept);
    if (!lists(request->values[HEADER_UPGRADE], "websocket") || !lists(request->values[HEADER_CONNECTION], "upgrade"))
        return refuse(request, "the server's answer to the WebSocket upgrade lacks Upgrade or Connection");
    if (strcmp(request->values[HEADER_ACCEPT], accept) != 0)
        return refuse(request, "the server's Sec-WebSocket-Accept does not fit our key");
    if (strcmp(request->values[HEADER_PROTOCOL], "mqtt") != 0) /* [MQTT-6.0.0-4] */
        return refuse(request, "the server did not choose the subprotocol mqtt");
    return REQUEST_ACCEPTED;
}

enum request_status request_receive(struct request *request, struct span input, size_t *ret_consumed)
{
    enum llhttp_errno error = llhttp_execute(&request->parser, (const char *)input.data, input.bytes);
    if (request->complete) {
        *ret_consumed = (size_t)((const uint8_t *)llhttp_get_error_pos(&request->parser) - input.data);
        return judge(request);
    }
    *ret_consumed = input.bytes;
    if (error != HPE_OK) return refuse(request, "the server's answer is no HTTP/1.1: it does not speak WebSocket here");
    request->response_bytes += (uint32_t)input.bytes;
    if (request->response_bytes > RESPONSE_BYTES_MAX) return refuse(request, "the headers of the server's answer are too large");
    return REQUEST_MORE;
}
