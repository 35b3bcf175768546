#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/listener.h"

static const struct {
    const char *bind;
    bool valid, loopback;
    uint16_t port;
} binds[] = {
    {"127.0.0.1:1883", true, true, 1883}, {"127.9.9.9:1", true, true, 1},  {"[::1]:8883", true, true, 8883},
    {"1883", true, false, 1883},          {":1883", true, false, 1883},    {"*:1883", true, false, 1883},
    {"0.0.0.0:0", true, false, 0},        {"[::]:65535", true, false, 65535}, {"10.0.0.1:1883", true, false, 1883},
    {"127.0.0.1", false, false, 0},       {"127.0.0.1:65536", false, false, 0}, {"127.0.0.1:", false, false, 0},
    {"", false, false, 0},                {"127.0.0.1:18x", false, false, 0}, {"no such host:1883", false, false, 0},
};

Test(listener, bind_addresses)
{
    for (size_t i = 0; i < sizeof binds / sizeof binds[0]; i++) {
        struct sockaddr_storage address;
        socklen_t bytes;
        char error[256] = "";
        bool valid = listener_parse_bind(binds[i].bind, &address, &bytes, error, sizeof error);
        cr_assert_eq(valid, binds[i].valid, "%s: %s", binds[i].bind, error);
        if (!valid) {
            cr_assert(strlen(error) > 0);
            continue;
        }
        cr_assert_eq(listener_is_loopback(&address), binds[i].loopback, "%s", binds[i].bind);
        uint16_t port = address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                     : ((struct sockaddr_in6 *)&address)->sin6_port;
        cr_assert_eq(ntohs(port), binds[i].port);
    }
}

Test(listener, shards_share_a_port_and_a_second_broker_is_refused)
{
    struct listener_settings settings = {.name = "default", .bind = "127.0.0.1:0", .backlog = 16, .congestion = ""};
    struct listener first = {.settings = &settings}, second = {.settings = &settings};
    int fds[3], other[1];
    char error[256] = "", again[32];
    cr_assert(listener_open(&first, 3, fds, error, sizeof error), "%s", error);
    cr_assert_neq(first.port, 0);
    snprintf(again, sizeof again, "127.0.0.1:%u", first.port);
    settings.bind = again;
    cr_assert(!listener_open(&second, 1, other, error, sizeof error));
    cr_assert_not_null(strstr(error, "another broker may be running"), "%s", error);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}
