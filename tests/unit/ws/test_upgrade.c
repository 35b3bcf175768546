#include <criterion/criterion.h>
#include <stdio.h>

#include "ws/upgrade.h"

static struct websocket_options options = {.path = "/mqtt", .subprotocol_required = true, .allowed_origins = "", .header_bytes_max = 2048};

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define REST "Host: h:1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define MQTT "Sec-WebSocket-Protocol: mqtt\r\n"
#define GET "GET /mqtt HTTP/1.1\r\n"

/* The status of the answer, 0: more is wanted; whatever way the request is cut. */
static int ask(const char *request, char *ret_response, bool trusted, char *ret_client)
{
    int status = -1;
    size_t bytes = strlen(request);
    for (size_t cut = 0; cut <= bytes; cut++) {
        struct upgrade *upgrade = upgrade_create(&options, trusted);
        size_t consumed = 0, second = 0;
        enum upgrade_status answer = upgrade_receive(upgrade, span_of(request, cut), &consumed);
        if (answer == UPGRADE_MORE) {
            cr_assert_eq(consumed, cut);
            answer = upgrade_receive(upgrade, span_of(request + cut, bytes - cut), &second);
        }
        struct span response = upgrade_response(upgrade);
        int now = 0;
        if (answer != UPGRADE_MORE) cr_assert_eq(sscanf((const char *)response.data, "HTTP/1.1 %d", &now), 1);
        if (answer == UPGRADE_ACCEPTED) { /* stops exactly behind the empty line: frames may follow */
            const char *end = strstr(request, "\r\n\r\n") + 4;
            cr_assert_eq(consumed + second, (size_t)(end - request), "cut %zu", cut);
        }
        cr_assert(status == -1 || status == now, "cut %zu: %d, not %d", cut, now, status);
        status = now;
        if (ret_response) snprintf(ret_response, 1024, "%.*s", SPAN_PRINT(response));
        if (ret_client) snprintf(ret_client, 64, "%.*s", SPAN_PRINT(upgrade_client(upgrade)));
        if (answer == UPGRADE_REFUSED) cr_assert(strlen(upgrade_reason(upgrade)) > 5);
        upgrade_release(upgrade);
    }
    return status;
}

static const struct {
    const char *request;
    int status;
} requests[] = {
    {GET REST KEY MQTT "\r\n", 101},
    {GET REST KEY MQTT "\r\n\x82\x85 frame", 101},
    {"GET /mqtt?token=x HTTP/1.1\r\n" REST KEY "sec-websocket-PROTOCOL: chat,  mqttv3.1 , mqtt\r\n\r\n", 101},
    {GET REST KEY "Sec-WebSocket-Protocol: chat\r\n" MQTT "\r\n", 101},
    {GET REST KEY MQTT "Cookie: a=b\r\nX-Long: 1234567890123456789012345678901234567890\r\n\r\n", 101},
    {GET REST KEY MQTT, 0},
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 426},
    {"GET /mqtt HTTP/1.0\r\n\r\n", 426},
    {"GET /mqtt HTTP/1.0\r\n" REST KEY MQTT "\r\n", 400},
    {"GET /other HTTP/1.1\r\n" REST KEY MQTT "\r\n", 404},
    {"GET /mqtt/ HTTP/1.1\r\n" REST KEY MQTT "\r\n", 404},
    {"POST /mqtt HTTP/1.1\r\n" REST KEY MQTT "\r\n", 405},
    {"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405},
    {GET REST KEY "\r\n", 400},
    {GET REST KEY "Sec-WebSocket-Protocol: chat\r\n\r\n", 400},
    {GET REST KEY "Sec-WebSocket-Protocol: MQTT\r\n\r\n", 400},
    {GET REST MQTT "\r\n", 400},
    {GET REST MQTT "Sec-WebSocket-Key: short\r\n\r\n", 400},
    {GET REST MQTT "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!!\r\n\r\n", 400},
    {GET REST KEY KEY MQTT "\r\n", 400},
    {GET REST KEY MQTT "Content-Length: 5\r\n\r\nhello", 400},
    {GET "Host: h\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Version: 13\r\n" KEY MQTT "\r\n", 400},
    {GET "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY MQTT "\r\n", 400},
    {GET "Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n" KEY MQTT "\r\n", 426},
    {"\x10\x0f\0\4MQTT\4\2", 400},
    {"HELO there\r\n", 400},
    {"GET /mqtt HTTP/9.1\r\n\r\n", 400},
    {GET "No colon\r\n\r\n", 400},
};

Test(upgrade, requests)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        cr_assert_eq(ask(requests[i].request, NULL, false, NULL), requests[i].status, "%zu: %s gives %d", i, requests[i].request,
                     ask(requests[i].request, NULL, false, NULL));
}

Test(upgrade, the_answers_say_what_to_do)
{
    char response[1024];
    ask(GET REST KEY MQTT "\r\n", response, false, NULL);
    cr_assert_str_eq(response, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
    ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n", response, false, NULL);
    cr_assert(strstr(response, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n") && strstr(response, "at /mqtt"), "%s", response);
    const char *length = strstr(response, "Content-Length: ");
    cr_assert_eq((size_t)atoi(length + 16), strlen(strstr(response, "\r\n\r\n") + 4));
    options.subprotocol_required = false;
    cr_assert_eq(ask(GET REST KEY "\r\n", response, false, NULL), 101);
    cr_assert_null(strstr(response, "Protocol:"));
    cr_assert_eq(ask(GET REST KEY "Sec-WebSocket-Protocol: chat\r\n\r\n", NULL, false, NULL), 400);
    options.subprotocol_required = true;
}

Test(upgrade, large_headers)
{
    char request[8192];
    for (int filler = 1500; filler < 4000; filler += 100) {
        int bytes = snprintf(request, sizeof request, GET REST KEY MQTT "X-Filler: %0*d\r\n\r\n", filler, 0);
        struct upgrade *upgrade = upgrade_create(&options, false);
        size_t consumed;
        enum upgrade_status status = upgrade_receive(upgrade, span_of(request, (size_t)bytes), &consumed);
        cr_assert_eq(status, bytes <= 2048 ? UPGRADE_ACCEPTED : UPGRADE_REFUSED, "%d", bytes);
        if (status == UPGRADE_REFUSED) cr_assert(memcmp(upgrade_response(upgrade).data, "HTTP/1.1 431", 12) == 0);
        upgrade_release(upgrade);
    }
}

Test(upgrade, origins)
{
    static const struct {
        const char *allowed, *origin;
        int status;
    } origins[] = {
        {"", "Origin: https://evil.example\r\n", 101},
        {"https://a.example", "", 101},
        {"https://a.example", "Origin: https://a.example\r\n", 101},
        {"https://a.example", "Origin: https://A.example\r\n", 101},
        {"https://a.example", "Origin: http://a.example\r\n", 403},
        {"https://a.example", "Origin: https://a.example.evil\r\n", 403},
        {"https://a.example", "Origin: null\r\n", 403},
        {"https://x, https://*.b.example", "Origin: https://c.b.example\r\n", 101},
        {"https://*.b.example", "Origin: https://b.example\r\n", 403},
        {"https://*.b.example", "Origin: https://.b.example\r\n", 403},
        {"*", "Origin: https://c\r\n", 101},
    };
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        char request[512];
        options.allowed_origins = origins[i].allowed;
        snprintf(request, sizeof request, GET REST KEY MQTT "%s\r\n", origins[i].origin);
        cr_assert_eq(ask(request, NULL, false, NULL), origins[i].status, "%s: %s", origins[i].allowed, origins[i].origin);
    }
    options.allowed_origins = "";
}

Test(upgrade, the_client_behind_a_proxy)
{
    static const struct {
        bool trusted, forwarded, real;
        const char *header, *client;
    } cases[] = {
        {true, true, false, "X-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9"},
        {true, true, false, "X-Forwarded-For: 6.6.6.6, 192.0.2.9, 10.0.0.4\r\n", "192.0.2.9"},
        {true, true, false, "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.9\r\n", "192.0.2.9"},
        {true, true, false, "X-Forwarded-For: [2001:db8::1]:44\r\n", "[2001:db8::1]:44"},
        {true, true, false, "X-Forwarded-For: 10.0.0.4, 10.0.0.5\r\n", "10.0.0.4"},
        {true, true, false, "X-Forwarded-For: 192.0.2.9, unknown\r\n", ""},
        {true, true, false, "X-Real-IP: 192.0.2.9\r\n", ""},
        {true, false, true, "X-Real-IP: 192.0.2.9\r\n", "192.0.2.9"},
        {true, false, true, "X-Real-IP: no\r\n", ""},
        {false, true, true, "X-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n", ""},
        {true, false, false, "X-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n", ""},
    };
    cr_assert_null(cidr_list_parse(SPAN_LITERAL("10.0.0.0/8"), &options.trusted_proxies));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[512], client[64];
        options.x_forwarded_for = cases[i].forwarded;
        options.x_real_ip = cases[i].real;
        snprintf(request, sizeof request, GET REST KEY MQTT "%s\r\n", cases[i].header);
        cr_assert_eq(ask(request, NULL, cases[i].trusted, client), 101);
        cr_assert_str_eq(client, cases[i].client, "%s", cases[i].header);
    }
    cidr_list_release(&options.trusted_proxies);
    options.x_forwarded_for = options.x_real_ip = false;
}
