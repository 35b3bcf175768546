/* sessions.c - many durable sessions: made, subscribed, and left.
 *
 *     durable_sessions PORT COUNT FILTERS     client ids s0000000 …, each with FILTERS filters of its own, QoS 1, an expiry of a day */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH       250 /* connections at a time */
#define FILTERS_MAX 8
#define FILTER_BYTES 13 /* s/0000000/a/+ */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static size_t put_connect(uint8_t *at, uint32_t number)
{
    const uint8_t head[] = {0x10, 26, 0, 4, 'M', 'Q', 'T', 'T', 5, 0, 0, 0, 5, 0x11, 0, 1, 0x51, 0x80, 0, 8};
    char id[9];
    snprintf(id, sizeof id, "s%07u", number);
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, id, 8);
    return sizeof head + 8;
}

static size_t put_subscribe(uint8_t *at, uint32_t number, uint32_t filters)
{
    uint8_t *start = at;
    *at++ = 0x82;
    *at++ = (uint8_t)(3 + filters * (2 + FILTER_BYTES + 1));
    *at++ = 0;
    *at++ = 1;
    *at++ = 0;
    for (uint32_t i = 0; i < filters; i++) {
        char filter[32];
        snprintf(filter, sizeof filter, "s/%07u/%c/+", number, (char)('a' + i));
        *at++ = 0;
        *at++ = FILTER_BYTES;
        memcpy(at, filter, FILTER_BYTES);
        at += FILTER_BYTES;
        *at++ = 1;
    }
    return (size_t)(at - start);
}

static int begin(const struct sockaddr_in *address, uint32_t number, uint32_t filters)
{
    uint8_t out[256];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct linger at_once = {1, 0}; /* with a reset: else 100,000 of them wait for a minute each, and there are fewer ports */
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) fail("connect");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    size_t bytes = put_connect(out, number);
    bytes += put_subscribe(out + bytes, number, filters);
    if (write(fd, out, bytes) != (ssize_t)bytes) fail("write");
    return fd;
}

static void packet_get(int fd, uint8_t kind)
{
    uint8_t packet[256];
    if (recv(fd, packet, 2, MSG_WAITALL) != 2 || recv(fd, packet + 2, packet[1], MSG_WAITALL) != packet[1] || packet[0] >> 4 != kind) {
        fprintf(stderr, "another packet than was due\n");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: durable_sessions PORT COUNT FILTERS\n"), 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint32_t count = (uint32_t)atoi(argv[2]), filters = (uint32_t)atoi(argv[3]);
    if (filters < 1 || filters > FILTERS_MAX) return fprintf(stderr, "1 to %d filters\n", FILTERS_MAX), 1;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (uint32_t first = 0; first < count; first += BATCH) {
        int fds[BATCH];
        uint32_t here = count - first < BATCH ? count - first : BATCH;
        for (uint32_t i = 0; i < here; i++)
            fds[i] = begin(&address, first + i, filters);
        for (uint32_t i = 0; i < here; i++) {
            packet_get(fds[i], 2);
            packet_get(fds[i], 9);
            close(fds[i]);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%u sessions with %u subscriptions each made in %.1f s\n", count, filters, (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return 0;
}
