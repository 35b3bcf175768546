/* load.c - what an acknowledgement costs: publishers with QoS 1 and the time from PUBLISH to PUBACK.
 *
 *     durable_load PORT CONNECTIONS WINDOW RATE SECONDS BYTES [sleeper|taker [SESSIONS]]
 *
 * RATE: messages a second of all connections, 0: as many as the window lets. With `sleeper` sessions with an expiry (SESSIONS, 1; each
 * takes what every SESSIONSth connection publishes) subscribe first and go away, so that each message is kept; with `taker` they stay, take and
 * acknowledge. Latency at a rate counts from when a message was due. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_MAX 4096
#define OUT_BYTES  (1 << 20)
#define BUCKETS_US 2000000
#define TOPIC_BYTES 8
#define SESSIONS_MAX 16
#define TAKER 0x80000000u

struct link {
    int fd;
    uint32_t open;
    uint16_t next_id;
    uint64_t sent_us[65536];
    uint8_t *out;
    size_t out_from, out_bytes;
    uint8_t in[65536];
    size_t in_bytes;
};

static uint32_t *histogram;
static uint64_t acked, taken;
static uint32_t sessions = 1;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void put(int fd, const void *data, size_t bytes)
{
    if (write(fd, data, bytes) != (ssize_t)bytes) fail("write");
}

static void get(int fd, size_t bytes)
{
    uint8_t rest[64];
    if (recv(fd, rest, bytes, MSG_WAITALL) != (ssize_t)bytes) fail("read");
}

/* MQTT 3.1.1 with clean session off: kept as long as the broker's settings say. */
static int sleeper(int port, uint32_t number, bool stays)
{
    uint8_t connect_packet[] = {0x10, 0x13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 7, 's', 'l', 'e', 'e', 'p', 'e', 'r'};
    uint8_t subscribe_packet[] = {0x82, 0x0a, 0, 1, 0, 5, 'd', '/', 'a', '/', '#', 1};
    static const uint8_t disconnect_packet[] = {0xe0, 0};
    if (number) connect_packet[20] = (uint8_t)('0' + number);
    subscribe_packet[8] = (uint8_t)('a' + number);
    if (stays) { /* not one that an earlier run has left something for */
        int before = dial(port);
        connect_packet[9] = 2;
        put(before, connect_packet, sizeof connect_packet);
        get(before, 4);
        put(before, disconnect_packet, sizeof disconnect_packet);
        close(before);
        connect_packet[9] = 0;
    }
    int fd = dial(port);
    put(fd, connect_packet, sizeof connect_packet);
    get(fd, 4);
    put(fd, subscribe_packet, sizeof subscribe_packet);
    get(fd, 5);
    if (stays) return fd;
    put(fd, disconnect_packet, sizeof disconnect_packet);
    close(fd);
    return -1;
}

struct taker {
    int fd;
    uint8_t in[1 << 19], out[1 << 16];
    size_t in_bytes, out_bytes;
};

/* A durable session that stays: acknowledges what has come. */
static void taker_take(struct taker *taker)
{
    uint8_t *in = taker->in, *out = taker->out;
    size_t in_bytes = taker->in_bytes, out_bytes = taker->out_bytes;
    ssize_t got = recv(taker->fd, in + in_bytes, sizeof taker->in - in_bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the broker closed the taker's connection");
    if (got > 0) in_bytes += (size_t)got;
    size_t at = 0;
    while (in_bytes - at >= 5 && out_bytes + 4 <= sizeof taker->out) {
        size_t length = 0, head = 1;
        for (uint32_t shift = 0;; shift += 7) {
            length |= (size_t)(in[at + head] & 127) << shift;
            if (!(in[at + head++] & 128)) break;
        }
        if (in_bytes - at < head + length) break;
        if (in[at] >> 4 == 3 && in[at] & 6) {
            size_t id = at + head + 2 + ((size_t)in[at + head] << 8 | in[at + head + 1]);
            memcpy(out + out_bytes, (const uint8_t[]){0x40, 2, in[id], in[id + 1]}, 4);
            out_bytes += 4;
            taken++;
        }
        at += head + length;
    }
    memmove(in, in + at, in_bytes -= at);
    ssize_t written = out_bytes ? send(taker->fd, out, out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (written > 0) memmove(out, out + written, out_bytes -= (size_t)written);
    taker->in_bytes = in_bytes;
    taker->out_bytes = out_bytes;
}

static void link_open(struct link *link, int port, uint32_t number)
{
    uint8_t packet[] = {0x10, 0x11, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'p', '0', '0', '0', '0'};
    char id[8];
    snprintf(id, sizeof id, "p%04u", number % 10000);
    memcpy(packet + 14, id, 5);
    link->fd = dial(port);
    put(link->fd, packet, sizeof packet);
    get(link->fd, 4);
    link->out = malloc(OUT_BYTES);
}

static void publish(struct link *link, uint32_t number, uint32_t bytes, uint64_t due_us)
{
    static const char digits[] = "0123456789";
    uint8_t *at = link->out + link->out_from + link->out_bytes, *start = at;
    uint32_t rest = 2 + TOPIC_BYTES + 2 + bytes;
    const char topic[TOPIC_BYTES] = {'d', '/', (char)('a' + number % sessions), '/', digits[number / 1000 % 10], digits[number / 100 % 10],
                                     digits[number / 10 % 10], digits[number % 10]};
    do
        link->next_id++;
    while (link->next_id == 0);
    *at++ = 0x32;
    for (; rest >= 128; rest >>= 7)
        *at++ = (uint8_t)(rest | 128);
    *at++ = (uint8_t)rest;
    *at++ = 0;
    *at++ = TOPIC_BYTES;
    memcpy(at, topic, TOPIC_BYTES);
    at += TOPIC_BYTES;
    *at++ = (uint8_t)(link->next_id >> 8);
    *at++ = (uint8_t)link->next_id;
    memset(at, 'x', bytes);
    at += bytes;
    link->out_bytes += (size_t)(at - start);
    link->sent_us[link->next_id] = due_us;
    link->open++;
}

static void flush(struct link *link)
{
    if (link->out_bytes == 0) return;
    ssize_t written = send(link->fd, link->out + link->out_from, link->out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno != EAGAIN) fail("send");
    if (written < 0) return;
    link->out_from += (size_t)written;
    link->out_bytes -= (size_t)written;
    if (link->out_bytes == 0) link->out_from = 0;
}

static bool has_room(const struct link *link, uint32_t bytes) { return link->out_from + link->out_bytes + bytes + 64 < OUT_BYTES; }

static void take(struct link *link, bool counts)
{
    ssize_t got = recv(link->fd, link->in + link->in_bytes, sizeof link->in - link->in_bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the broker closed the connection");
    if (got < 0) return;
    link->in_bytes += (size_t)got;
    uint64_t now = now_us();
    size_t at = 0;
    for (; link->in_bytes - at >= 4; at += 4) { /* only PUBACK comes, and in 3.1.1 it has four bytes */
        uint16_t id = (uint16_t)(link->in[at + 2] << 8 | link->in[at + 3]);
        uint64_t took = now - link->sent_us[id];
        link->open--;
        if (!counts) continue;
        acked++;
        histogram[took < BUCKETS_US ? took : BUCKETS_US - 1]++;
    }
    memmove(link->in, link->in + at, link->in_bytes - at);
    link->in_bytes -= at;
}

static double quantile_ms(double quantile)
{
    uint64_t wanted = (uint64_t)((double)acked * quantile), seen = 0;
    for (uint32_t us = 0; us < BUCKETS_US; us++)
        if ((seen += histogram[us]) > wanted) return us / 1000.0;
    return BUCKETS_US / 1000.0;
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fputs("usage: durable_load PORT CONNECTIONS WINDOW RATE SECONDS BYTES [sleeper|taker [SESSIONS]]\n", stderr);
        return 1;
    }
    int port = atoi(argv[1]);
    uint32_t count = (uint32_t)atoi(argv[2]), window = (uint32_t)atoi(argv[3]), bytes = (uint32_t)atoi(argv[6]);
    double rate = atof(argv[4]), seconds = atof(argv[5]);
    bool take_all = argc > 7 && strcmp(argv[7], "taker") == 0;
    if (argc > 8) sessions = (uint32_t)atoi(argv[8]);
    if (sessions == 0 || sessions > SESSIONS_MAX) sessions = 1;
    struct taker *takers = calloc(sessions, sizeof *takers);
    for (uint32_t i = 0; i < sessions && argc > 7; i++)
        takers[i].fd = sleeper(port, i, take_all);
    histogram = calloc(BUCKETS_US, sizeof *histogram);
    struct link *links = calloc(count, sizeof *links);
    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < count; i++) {
        link_open(&links[i], port, i);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, links[i].fd, &event);
    }
    for (uint32_t i = 0; i < sessions && take_all; i++)
        epoll_ctl(epoll, EPOLL_CTL_ADD, takers[i].fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = TAKER + i});
    uint64_t begun = now_us(), warm = begun + 500000, end = warm + (uint64_t)(seconds * 1e6), due = 0;
    struct epoll_event events[512];
    for (uint64_t now = begun; now < end; now = now_us()) {
        if (rate > 0) {
            for (; (double)due < (double)(now - begun) / 1e6 * rate; due++) {
                struct link *link = &links[due % count];
                if (link->open >= window || !has_room(link, bytes)) break; /* late: its latency shows it */
                publish(link, (uint32_t)(due % count), bytes, begun + (uint64_t)((double)due / rate * 1e6));
            }
        } else {
            for (uint32_t i = 0; i < count; i++)
                while (links[i].open < window && has_room(&links[i], bytes))
                    publish(&links[i], i, bytes, now);
        }
        for (uint32_t i = 0; i < count; i++)
            flush(&links[i]);
        /* Asleep while there is nothing to do: the broker needs the processors. */
        int ready = epoll_pwait2(epoll, events, 512, &(struct timespec){.tv_nsec = rate > 0 ? 50000 : 1000000}, NULL);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 & TAKER)
                taker_take(&takers[events[i].data.u32 - TAKER]);
            else
                take(&links[events[i].data.u32], now > warm);
        }
    }
    printf("%.0f msg/s, PUBACK after p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", (double)acked / seconds, quantile_ms(0.5), quantile_ms(0.99),
           quantile_ms(0.999));
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf(", acked %llu, taken %llu, own processor %.2f s\n", (unsigned long long)acked, (unsigned long long)taken,
           (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    return 0;
}
