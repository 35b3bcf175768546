/* flood - wrong logins from many addresses, and beside them one good client whose round trips are measured (perf/logins).
 *
 *     flood PORT RATE SECONDS ADDRESSES USER PASSWORD [TAG]
 * RATE logins a second are begun, each on a connection of its own from the next of ADDRESSES addresses in 127.0.0.0/8, with a password nobody had before;
 * when CONNACK is there, or after five seconds, the connection is reset. Meanwhile USER with PASSWORD publishes to itself (QoS 0, 16 bytes), a message a
 * millisecond. A round trip ends with the kernel's time stamp of the packet that brings the message back: this program's own waiting for a
 * processor is not in it. One JSON object on stdout. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX_    12000
#define PATIENCE_NS  5000000000ull
#define TRIPS_MAX    200000
#define ADDRESSES_MAX 1000000u

static uint16_t port;
static uint64_t rate, addresses, end_ns;
static const char *user, *password, *tag = "";

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t put_text(uint8_t *at, const char *text)
{
    size_t bytes = strlen(text);
    at[0] = (uint8_t)(bytes >> 8), at[1] = (uint8_t)bytes;
    memcpy(at + 2, text, bytes);
    return bytes + 2;
}

/* MQTT 5; everything below 128 bytes. */
static size_t connect_packet(uint8_t packet[160], const char *client_id, const char *secret)
{
    static const uint8_t head[] = {0, 4, 'M', 'Q', 'T', 'T', 5, 0xC2, 0, 60, 0};
    uint8_t *at = packet + 2;
    memcpy(at, head, sizeof head);
    at += sizeof head;
    at += put_text(at, client_id);
    at += put_text(at, user);
    at += put_text(at, secret);
    packet[0] = 0x10;
    packet[1] = (uint8_t)(at - packet - 2);
    return (size_t)(at - packet);
}

/* ---- the attacker ------------------------------------------------------------------------------------------------ */

struct try {
    int fd;
    uint64_t began_ns;
    uint32_t next; /* free ones */
    bool sent;
};

static struct try *tries;
static uint32_t free_first;
static uint64_t begun, answered[256], reset, timed_out, behind;
#define NONE UINT32_MAX

static void finish(struct try *try)
{
    close(try->fd); /* resets: SO_LINGER 0 */
    try->fd = -1;
    try->next = free_first;
    free_first = (uint32_t)(try - tries);
}

/* Ten times a second. */
static void give_up(uint64_t now)
{
    for (uint32_t i = 0; i < OPEN_MAX_; i++)
        if (tries[i].fd >= 0 && now - tries[i].began_ns > PATIENCE_NS) finish(&tries[i]), timed_out++;
}

static void begin(int poll, uint64_t number, uint64_t now)
{
    static const int one = 1;
    static const struct linger none = {.l_onoff = 1, .l_linger = 0};
    uint64_t address = number % addresses;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000000u | (uint32_t)(0x10000 + address * 7))};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || free_first == NONE) {
        if (fd >= 0) close(fd);
        behind++;
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        close(fd);
        behind++;
        return;
    }
    uint32_t place = free_first;
    struct try *try = &tries[place];
    free_first = try->next;
    *try = (struct try){.fd = fd, .began_ns = now};
    begun++;
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | EPOLLET, .data.u32 = place};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void happened(struct try *try, uint32_t number, uint32_t events)
{
    uint8_t bytes[160];
    if (try->fd < 0) return;
    if (!try->sent && events & EPOLLOUT) {
        char client_id[40], secret[40];
        snprintf(client_id, sizeof client_id, "bad%u", number);
        snprintf(secret, sizeof secret, "%s%llu-%u", tag, (unsigned long long)try->began_ns, number);
        size_t count = connect_packet(bytes, client_id, secret);
        try->sent = send(try->fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
    ssize_t count = recv(try->fd, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count >= 4 && bytes[0] == 0x20)
        answered[bytes[3]]++;
    else
        reset++;
    finish(try);
}

static void attack(void)
{
    int poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t began = now_ns(CLOCK_MONOTONIC), due = 0, number = 0, looked = began;
    tries = calloc(OPEN_MAX_, sizeof *tries);
    for (uint32_t i = 0; i < OPEN_MAX_; i++)
        tries[i] = (struct try){.fd = -1, .next = i + 1 < OPEN_MAX_ ? i + 1 : NONE};
    for (uint64_t now; (now = now_ns(CLOCK_MONOTONIC)) < end_ns;) {
        uint64_t wanted = (now - began) * rate / 1000000000u;
        for (due = wanted - number > rate / 100 ? rate / 100 : wanted - number; due; due--) /* what cannot be caught up is not tried */
            begin(poll, number++, now);
        behind += wanted - number, number = wanted;
        struct epoll_event events[256];
        int count = epoll_wait(poll, events, 256, 1);
        for (int i = 0; i < count; i++)
            happened(&tries[events[i].data.u32], events[i].data.u32, events[i].events);
        if (now - looked > 100000000u) give_up(looked = now);
    }
}

/* ---- the good client ---------------------------------------------------------------------------------------------- */

static uint32_t trips_ns[TRIPS_MAX], trips;
static const char *failed;

/* Reads until `bytes` are there; the kernel's time stamp of the last piece. */
static bool receive(int fd, uint8_t *data, size_t bytes, uint64_t *ret_ns)
{
    for (size_t got = 0; got < bytes;) {
        char control[128];
        struct iovec piece = {data + got, bytes - got};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t count = recvmsg(fd, &message, 0);
        if (count <= 0) return false;
        got += (size_t)count;
        for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
            struct timespec at;
            if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_TIMESTAMPNS) continue;
            memcpy(&at, CMSG_DATA(one), sizeof at);
            *ret_ns = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
        }
    }
    return true;
}

static void *good(void *nothing)
{
    static const uint8_t subscribe[] = {0x82, 10, 0, 1, 0, 0, 4, 'e', 'c', 'h', 'o', 0};
    uint8_t packet[160], publish[25] = {0x30, 23, 0, 4, 'e', 'c', 'h', 'o', 0}, back[sizeof publish];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    size_t count = connect_packet(packet, "good", password);
    failed = "the good client was not let in";
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || send(fd, packet, count, 0) < 0) return NULL;
    uint64_t stamp = 0;
    if (!receive(fd, packet, 2, &stamp) || !receive(fd, packet + 2, packet[1], &stamp) || packet[3] != 0) return NULL;
    if (send(fd, subscribe, sizeof subscribe, 0) < 0 || !receive(fd, packet, 6, &stamp)) return NULL;
    failed = "the good client lost its connection";
    while (now_ns(CLOCK_MONOTONIC) < end_ns && trips < TRIPS_MAX) {
        uint64_t from = now_ns(CLOCK_REALTIME);
        stamp = 0;
        if (send(fd, publish, sizeof publish, MSG_NOSIGNAL) < 0 || !receive(fd, back, sizeof back, &stamp)) return NULL;
        if (stamp > from) trips_ns[trips++] = (uint32_t)(stamp - from);
        usleep(1000);
    }
    failed = NULL;
    return nothing;
}

static int ascending(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static double quantile_us(double share) { return trips ? trips_ns[(uint32_t)((trips - 1) * share)] / 1e3 : 0; }

int main(int argc, char **argv)
{
    if (argc < 7) return fprintf(stderr, "flood PORT RATE SECONDS ADDRESSES USER PASSWORD [TAG]\n"), 2;
    port = (uint16_t)atoi(argv[1]);
    rate = strtoull(argv[2], NULL, 10);
    addresses = strtoull(argv[4], NULL, 10);
    user = argv[5], password = argv[6];
    if (argc > 7) tag = argv[7];
    if (addresses == 0 || addresses > ADDRESSES_MAX || strlen(user) > 30 || strlen(password) > 30 || strlen(tag) > 8) return fprintf(stderr, "flood: too large\n"), 2;
    struct rlimit limit = {20000, 20000};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    end_ns = now_ns(CLOCK_MONOTONIC) + strtoull(argv[3], NULL, 10) * 1000000000u;
    pthread_t thread;
    pthread_create(&thread, NULL, good, NULL);
    usleep(200000); /* it is in before the flood comes */
    if (rate) attack();
    pthread_join(thread, NULL);
    if (failed) return fprintf(stderr, "flood: %s\n", failed), 1;
    qsort(trips_ns, trips, sizeof *trips_ns, ascending);
    printf("{\"begun\": %llu, \"not_begun\": %llu, \"timed_out\": %llu, \"reset\": %llu, \"answers\": {", (unsigned long long)begun, (unsigned long long)behind,
           (unsigned long long)timed_out, (unsigned long long)reset);
    const char *between = "";
    for (int i = 0; i < 256; i++) {
        if (!answered[i]) continue;
        printf("%s\"0x%02X\": %llu", between, (unsigned)i, (unsigned long long)answered[i]);
        between = ", ";
    }
    printf("}, \"trips\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n", trips, quantile_us(.5), quantile_us(.99), quantile_us(.999),
           quantile_us(1));
    return 0;
}
