/* drain.c - a session comes back and takes what has waited for it: how fast?
 *
 *     durable_drain PORT [MOST]
 *
 * The session of durable_load's sleeper, QoS 1, each message acknowledged; ends after MOST messages or when nothing more has come for two seconds. */
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

#define IN_BYTES (1 << 20)

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Bytes of the packet at `at`; 0: not all of it is there. *ret_head: its fixed header. */
static size_t packet_bytes(const uint8_t *at, size_t bytes, size_t *ret_head)
{
    size_t length = 0;
    for (size_t i = 1; i < bytes && i < 5; i++) {
        length |= (size_t)(at[i] & 127) << (7 * (i - 1));
        if (at[i] & 128) continue;
        *ret_head = i + 1;
        return bytes >= i + 1 + length ? i + 1 + length : 0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const uint8_t hello[] = {0x10, 0x13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 7, 's', 'l', 'e', 'e', 'p', 'e', 'r'};
    if (argc < 2) {
        fputs("usage: durable_drain PORT [MOST]\n", stderr);
        return 1;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 0) : UINT64_MAX, count = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double begun = now_s(), last = begun, first = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, hello, sizeof hello) != sizeof hello) {
        perror("connect");
        return 1;
    }
    uint8_t *in = malloc(IN_BYTES), *out = malloc(IN_BYTES);
    size_t in_bytes = 0;
    struct pollfd wait = {fd, POLLIN, 0};
    while (count < most && poll(&wait, 1, count ? 2000 : 60000) > 0) {
        ssize_t got = recv(fd, in + in_bytes, IN_BYTES - in_bytes, 0);
        if (got <= 0) break;
        in_bytes += (size_t)got;
        size_t at = 0, out_bytes = 0, head, bytes;
        while ((bytes = packet_bytes(in + at, in_bytes - at, &head))) {
            if (in[at] >> 4 == 3) {
                size_t topic_bytes = (size_t)in[at + head] << 8 | in[at + head + 1];
                const uint8_t ack[] = {0x40, 2, in[at + head + 2 + topic_bytes], in[at + head + 3 + topic_bytes]};
                memcpy(out + out_bytes, ack, 4);
                out_bytes += 4;
                if (count++ == 0) first = now_s();
                last = now_s();
            }
            at += bytes;
        }
        memmove(in, in + at, in_bytes -= at);
        if (out_bytes && write(fd, out, out_bytes) != (ssize_t)out_bytes) break;
    }
    printf("%llu messages, the first after %.1f ms, then %.0f msg/s\n", (unsigned long long)count, (first - begun) * 1000,
           count > 1 ? (double)count / (last - first) : 0);
    return 0;
}
