/* retain.c - many retained messages: loaded, and asked for again.
 *
 *     durable_retain PORT load COUNT BYTES     QoS 1, 4,096 unacknowledged at a time, to r/0/0 … r/0/99, r/1/0 …
 *     durable_retain PORT scan FILTER          subscribes with QoS 0 and counts until nothing has come for a second */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM   (1 << 20)
#define WINDOW 4096

static uint8_t in[ROOM], out[ROOM];

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(int port)
{
    uint32_t pid = (uint32_t)getpid();
    const uint8_t hello[] = {0x10, 0x10, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 4, (uint8_t)('a' + pid % 26), (uint8_t)('a' + pid / 26 % 26),
                             (uint8_t)('a' + pid / 676 % 26), (uint8_t)('a' + pid / 17576 % 26)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, hello, sizeof hello) != sizeof hello ||
        recv(fd, in, 4, MSG_WAITALL) != 4)
        return fail("connect");
    return fd;
}

static size_t put_publish(uint8_t *at, uint64_t number, uint32_t bytes)
{
    char topic[32];
    size_t topic_bytes = (size_t)snprintf(topic, sizeof topic, "r/%llu/%llu", (unsigned long long)number / 100, (unsigned long long)number % 100);
    size_t rest = 2 + topic_bytes + 2 + bytes, used = 0;
    uint16_t id = (uint16_t)(number % 65535 + 1);
    at[used++] = 0x33;
    for (; rest >= 128; rest >>= 7)
        at[used++] = (uint8_t)(rest | 128);
    at[used++] = (uint8_t)rest;
    at[used++] = 0;
    at[used++] = (uint8_t)topic_bytes;
    memcpy(at + used, topic, topic_bytes);
    used += topic_bytes;
    at[used++] = (uint8_t)(id >> 8);
    at[used++] = (uint8_t)id;
    memset(at + used, 'x', bytes);
    return used + bytes;
}

static void load(int fd, uint64_t count, uint32_t bytes)
{
    uint64_t sent = 0, acked = 0, acks_bytes = 0;
    double begun = now_s();
    while (acked < count) {
        size_t used = 0;
        while (sent < count && sent - acked < WINDOW && used + bytes + 64 < ROOM)
            used += put_publish(out + used, sent++, bytes);
        for (size_t at = 0; at < used;) {
            ssize_t written = send(fd, out + at, used - at, MSG_NOSIGNAL);
            if (written < 0) fail("send");
            at += (size_t)written;
        }
        ssize_t got = recv(fd, in, ROOM, 0);
        if (got <= 0) fail("the broker closed the connection");
        acks_bytes += (uint64_t)got;
        acked = acks_bytes / 4;
    }
    printf("%llu retained messages of %u bytes in %.2f s: %.0f msg/s\n", (unsigned long long)count, bytes, now_s() - begun,
           (double)count / (now_s() - begun));
}

static void scan(int fd, const char *filter)
{
    size_t bytes = strlen(filter), held = 0;
    const uint8_t head[] = {0x82, (uint8_t)(5 + bytes), 0, 1, 0, (uint8_t)bytes};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, filter, bytes);
    out[sizeof head + bytes] = 0;
    double begun = now_s(), last = begun, first = 0;
    if (write(fd, out, sizeof head + bytes + 1) < 0) fail("subscribe");
    uint64_t count = 0;
    for (struct pollfd wait = {fd, POLLIN, 0}; poll(&wait, 1, 1000) > 0;) {
        ssize_t got = recv(fd, in + held, ROOM - held, 0);
        if (got <= 0) fail("the broker closed the connection");
        held += (size_t)got;
        size_t at = 0;
        while (held - at >= 2) {
            size_t length = 0, used = 1, more = 1;
            for (uint32_t shift = 0; more && at + used < held; shift += 7) {
                length |= (size_t)(in[at + used] & 127) << shift;
                more = in[at + used++] & 128;
            }
            if (more || held - at < used + length) break;
            if (in[at] >> 4 == 3 && count++ == 0) first = now_s();
            at += used + length;
        }
        memmove(in, in + at, held -= at);
        last = now_s();
    }
    printf("%s: %llu messages, the first after %.1f ms, all after %.1f ms\n", filter, (unsigned long long)count, (first - begun) * 1e3, (last - begun) * 1e3);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[2], "load") == 0) return load(dial(atoi(argv[1])), strtoull(argv[3], NULL, 0), (uint32_t)atoi(argv[4])), 0;
    if (argc == 4 && strcmp(argv[2], "scan") == 0) return scan(dial(atoi(argv[1])), argv[3]), 0;
    fputs("usage: durable_retain PORT load COUNT BYTES | scan FILTER\n", stderr);
    return 1;
}
