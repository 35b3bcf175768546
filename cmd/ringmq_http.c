#include "cmd/ringmq_http.h"

#include <llhttp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"
#include "base/memory.h"
#include "cmd/ringmq.h"

#define PORT_DEFAULT     18083
#define BODY_BYTES_MAX   (256u << 20)
#define CONNECT_MS       5000
#define FRESH_MS         1000 /* a kept connection that has answered so lately will not have been closed for idling */

struct http_secure {
    struct endpoint_options options;
    struct endpoint endpoint;
    char host[256];
};

/* The endpoint of `mqtts`, with which bytes go the same way. */
static bool secure_make(struct http_client *client, const struct http_trust *trust)
{
    struct http_secure *secure = memory_acquire_zeroed(sizeof *secure);
    const char *ca_file = trust && trust->ca_file ? trust->ca_file : getenv("RINGMQ_CAFILE"), *insecure = getenv("RINGMQ_INSECURE");
    memcpy(secure->host, client->host, sizeof secure->host);
    secure->options = (struct endpoint_options){.host = secure->host, .port = client->port, .tls = true, .ca_file = ca_file && *ca_file ? ca_file : NULL,
                                                .insecure = (trust && trust->insecure) || (insecure && strcmp(insecure, "1") == 0)};
    secure->options.os_certificates = !secure->options.ca_file;
    client->secure = secure;
    if (endpoint_settle(&secure->options, &secure->endpoint)) return true;
    snprintf(client->error, sizeof client->error, "https cannot be spoken: see above"); /* it has complained */
    http_client_release(client);
    return false;
}

bool http_client_init(struct http_client *client, const char *url, const struct http_trust *trust)
{
    *client = (struct http_client){.port = PORT_DEFAULT, .timeout_ms = 30000};
    client->net.fd = -1;
    bool secure = strncasecmp(url, "https://", 8) == 0;
    if (secure)
        url += 8;
    else if (strncasecmp(url, "http://", 7) == 0)
        url += 7;
    char address[320];
    size_t bytes = strcspn(url, "/");
    if (bytes == 0 || bytes >= sizeof address || (url[bytes] && url[bytes + 1])) {
        snprintf(client->error, sizeof client->error, "'%s' is no address; write http://HOST:PORT or https://HOST:PORT", url);
        return false;
    }
    snprintf(address, sizeof address, "%.*s", (int)bytes, url);
    if (net_split_address(address, client->host, sizeof client->host, &client->port)) return !secure || secure_make(client, trust);
    snprintf(client->error, sizeof client->error, "'%s' is no address; write http://HOST:PORT", address);
    return false;
}

void http_client_close(struct http_client *client)
{
    if (client->open) net_close(&client->net);
    client->open = false;
}

void http_client_release(struct http_client *client)
{
    http_client_close(client);
    if (client->secure) {
        endpoint_release(&client->secure->endpoint);
        endpoint_options_release(&client->secure->options);
    }
    memory_release(client->secure);
    client->secure = NULL;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

struct answer {
    llhttp_t llhttp;
    int status;
    bool complete, keep, stopped;
    char *body;
    size_t bytes, capacity;
    bool (*piece)(void *context, const char *data, size_t bytes); /* NULL, or an error's body: it is gathered */
    void *context;
};

static struct answer *answer_of(llhttp_t *llhttp) { return CONTAINER_OF(llhttp, struct answer, llhttp); }

static int on_headers(llhttp_t *llhttp)
{
    struct answer *answer = answer_of(llhttp);
    answer->status = llhttp->status_code;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *data, size_t bytes)
{
    struct answer *answer = answer_of(llhttp);
    if (answer->piece && answer->status == 200) {
        answer->stopped = !answer->piece(answer->context, data, bytes);
        return answer->stopped ? -1 : 0;
    }
    if (answer->bytes + bytes > BODY_BYTES_MAX) return -1;
    if (answer->bytes + bytes + 1 > answer->capacity) {
        answer->capacity = (answer->bytes + bytes + 1) * 2;
        answer->body = memory_resize(answer->body, answer->capacity);
    }
    memcpy(answer->body + answer->bytes, data, bytes);
    answer->bytes += bytes;
    return 0;
}

static int on_complete(llhttp_t *llhttp)
{
    struct answer *answer = answer_of(llhttp);
    answer->keep = llhttp_should_keep_alive(llhttp);
    answer->complete = answer->status != 100;
    return answer->complete ? HPE_PAUSED : 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static bool failed(struct http_client *client, const char *what)
{
    snprintf(client->error, sizeof client->error, "%.200s:%u: %.300s", client->host, client->port, what);
    http_client_close(client);
    return false;
}

/* Waits until the socket can go on, or the time is over. */
static bool wait_for(struct http_client *client, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= until_ms) return failed(client, "no answer in time");
        if ((events & POLLIN) && net_pending(&client->net)) return true;
        struct pollfd look = {client->net.fd, (short)(events | net_events(&client->net)), 0};
        int ready = poll(&look, 1, (int)(until_ms - now_ms));
        if (ready > 0) return true;
    }
}

static bool open_connection(struct http_client *client)
{
    static const struct endpoint plain = {.kind = ENDPOINT_TCP};
    struct net_settings settings = {.endpoint = client->secure ? &client->secure->endpoint : &plain, .name = client->host, .host = client->host, .port = client->port,
                                    .no_delay = true, .attempt_ms = CONNECT_MS};
    net_init(&client->net, &settings);
    client->open = true;
    enum net_status status = net_open(&client->net);
    uint64_t until_ms = clock_now_ms() + 4 * CONNECT_MS;
    while (status == NET_WAIT) {
        struct pollfd look = {client->net.fd, (short)(POLLIN | net_events(&client->net)), 0};
        poll(&look, 1, 100);
        if (clock_now_ms() > until_ms) break;
        status = net_progress(&client->net);
    }
    if (status == NET_DONE) return true;
    char why[sizeof client->net.error];
    snprintf(why, sizeof why, "%.500s%s", status == NET_WAIT ? "no connection in time" : client->net.error, client->secure ? endpoint_advice(client->net.error) : "");
    return failed(client, why);
}

/* *ret_closed: the other side has closed the connection. */
static bool send_all(struct http_client *client, const char *bytes, size_t count, bool *ret_closed)
{
    uint64_t until_ms = clock_now_ms() + client->timeout_ms;
    while (count) {
        size_t took = 0;
        enum net_status status = net_send(&client->net, bytes, count, &took);
        bytes += took;
        count -= took;
        *ret_closed = status == NET_FAILED || status == NET_CLOSED;
        if (*ret_closed) return failed(client, client->net.error);
        if (status == NET_WAIT && !wait_for(client, POLLOUT, until_ms)) return false;
    }
    return true;
}

/* *ret_closed: the other side has closed the connection, and no byte had come. */
static bool receive_answer(struct http_client *client, struct answer *answer, bool *ret_closed)
{
    static llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_headers;
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    llhttp_init(&answer->llhttp, HTTP_RESPONSE, &settings);
    char bytes[65536];
    uint64_t until_ms = clock_now_ms() + client->timeout_ms;
    bool nothing = true;
    while (!answer->complete) {
        size_t got = 0;
        enum net_status status = net_receive(&client->net, bytes, sizeof bytes, &got);
        if (status == NET_WAIT) {
            if (!wait_for(client, POLLIN, until_ms)) return false;
            continue;
        }
        if (status == NET_CLOSED && llhttp_finish(&answer->llhttp) == HPE_OK && answer->complete) break;
        *ret_closed = status != NET_DONE && nothing;
        if (status != NET_DONE) return failed(client, status == NET_CLOSED ? "the connection was closed before the answer was whole" : client->net.error);
        nothing = false;
        if (answer->piece) until_ms = clock_now_ms() + client->timeout_ms;
        llhttp_errno_t error = llhttp_execute(&answer->llhttp, bytes, got);
        if (answer->stopped) break;
        if (!answer->complete && error != HPE_OK) return failed(client, "this is no HTTP answer; is it the admin port?");
    }
    if (!answer->keep) http_client_close(client);
    client->answered_ms = clock_now_ms();
    return true;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* A kept connection may have been closed by the server while nothing went over it; the request that finds this out is sent once more by a new one, when nothing has been answered, and
 * doing it twice changes nothing: GET and HEAD. Not DELETE and PUT, which RFC 9110 §9.2.2 lets a client repeat: the second DELETE /clients/ID would end the connection that the client has
 * made after the first. They and POST go by a connection that has just answered, or by a new one; and when that breaks nobody knows whether they were done. */
static bool is_safe(const char *method) { return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0; }

static void may_have_been_done(struct http_client *client)
{
    char why[sizeof client->error];
    memcpy(why, client->error, sizeof why);
    snprintf(client->error, sizeof client->error, "it may have been done all the same: %.590s", why);
}

static bool exchange(struct http_client *client, const char *method, const char *target, const char *body, struct answer *answer)
{
    size_t body_bytes = body ? strlen(body) : 0, room = strlen(target) + body_bytes + sizeof client->authorization + 1024;
    char *request = memory_acquire(room);
    bool brackets = strchr(client->host, ':') != NULL; /* an IPv6 address */
    int used = snprintf(request, room, "%s %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: ringmq/" RINGMQ_VERSION "\r\nAccept: */*\r\n%s%s%s", method, target, brackets ? "[" : "",
                        client->host, brackets ? "]" : "", client->port, *client->authorization ? "Authorization: " : "", client->authorization, *client->authorization ? "\r\n" : "");
    if (body)
        used += snprintf(request + used, room - (size_t)used, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", body_bytes, body);
    else
        used += snprintf(request + used, room - (size_t)used, "\r\n");
    bool done = false, safe = is_safe(method);
    if (!safe && client->open && clock_now_ms() - client->answered_ms > FRESH_MS) http_client_close(client);
    for (int attempt = 0; attempt < 2 && !done; attempt++) {
        bool kept = client->open, closed = false;
        if (!kept && !open_connection(client)) break;
        done = send_all(client, request, (size_t)used, &closed) && receive_answer(client, answer, &closed);
        if (!done && !safe) may_have_been_done(client);
        if (!kept || !closed || !safe) break;
    }
    memory_release(request);
    return done;
}

static void reply_take(struct answer *answer, struct http_reply *ret_reply)
{
    if (!answer->body) answer->body = memory_acquire(1);
    answer->body[answer->bytes] = 0;
    *ret_reply = (struct http_reply){answer->status, answer->body, answer->bytes};
}

bool http_client_request(struct http_client *client, const char *method, const char *target, const char *body, struct http_reply *ret_reply)
{
    struct answer answer = {0};
    if (exchange(client, method, target, body, &answer)) {
        reply_take(&answer, ret_reply);
        return true;
    }
    memory_release(answer.body);
    return false;
}

bool http_client_stream(struct http_client *client, const char *target, bool (*piece)(void *context, const char *data, size_t bytes), void *context,
                        struct http_reply *ret_reply)
{
    struct answer answer = {.piece = piece, .context = context};
    if (exchange(client, "GET", target, NULL, &answer)) {
        if (answer.stopped) http_client_close(client);
        reply_take(&answer, ret_reply);
        return true;
    }
    memory_release(answer.body);
    return false;
}

void http_reply_release(struct http_reply *reply)
{
    memory_release(reply->body);
    *reply = (struct http_reply){0};
}

size_t http_encode_segment(const char *text, char *out, size_t bytes)
{
    size_t tildes = strspn(text, "~"), dots = strlen(text) - tildes;
    bool step = dots > 0 && dots <= 2 && strspn(text + tildes, ".") == dots;
    if (!step) return http_encode(text, out, bytes);
    if (bytes > 1) *out = '~';
    return 1 + http_encode(text, bytes > 1 ? out + 1 : out, bytes > 1 ? bytes - 1 : bytes);
}

size_t http_encode(const char *text, char *out, size_t bytes)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = 0;
    for (; *text; text++) {
        char code[4];
        bool as_is = strchr(plain, *text) != NULL;
        int count = as_is ? 1 : 3;
        if (as_is)
            code[0] = *text;
        else
            snprintf(code, sizeof code, "%%%02X", (unsigned char)*text);
        if (used + (size_t)count < bytes) memcpy(out + used, code, (size_t)count);
        used += (size_t)count;
    }
    if (bytes) out[used < bytes ? used : bytes - 1] = 0;
    return used;
}
