/* tls_load - the load side of perf/tls/run, on OpenSSL, so that both ends of a measurement are not the same code.
 *
 *   tls_load [-P] PORT idle COUNT               opens COUNT clients, says "ready", keeps them until stdin ends
 *   tls_load [-P] PORT stream BYTES SECONDS N   N publishers and N subscribers, QoS 0; says deliveries and seconds
 *   tls_load      PORT shake full|resumed SECONDS [1.2|1.3]   handshakes; says how many
 *   tls_load [-P] PORT ping COUNT               round trips of one client (QoS 1 publish to puback); says p50, p99, max in microseconds
 * -P: plain TCP. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct link {
    int fd;
    SSL *ssl;
};

static SSL_CTX *library;
static bool plain;
static int port;
static atomic_bool over;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    fprintf(stderr, "tls_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int dial(int number)
{
    /* 127.0.0.x in turn: one address has 28,000 ports only */
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(0x7F000001)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001u + (uint32_t)(number / 10000))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void put(struct link *link, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count && !atomic_load(&over)) {
        ssize_t sent = plain ? write(link->fd, at, count) : SSL_write(link->ssl, at, (int)count);
        if (sent <= 0) die("write");
        at += sent;
        count -= (size_t)sent;
    }
}

static ssize_t get(struct link *link, void *room, size_t count)
{
    return plain ? read(link->fd, room, count) : SSL_read(link->ssl, room, (int)count);
}

static struct link open_link(int number)
{
    struct link link = {dial(number), NULL};
    if (plain) return link;
    link.ssl = SSL_new(library);
    SSL_set_fd(link.ssl, link.fd);
    if (SSL_connect(link.ssl) != 1) die("handshake");
    return link;
}

static void client_begin(struct link *link, int number)
{
    unsigned char packet[64] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0};
    int id = sprintf((char *)packet + 14, "load-%d-%d", (int)getpid(), number);
    packet[12] = 0;
    packet[13] = (unsigned char)id;
    packet[1] = (unsigned char)(12 + id);
    put(link, packet, (size_t)(14 + id));
    unsigned char answer[4];
    size_t have = 0;
    while (have < 4) {
        ssize_t got = get(link, answer + have, 4 - have);
        if (got <= 0) die("no CONNACK");
        have += (size_t)got;
    }
    if (answer[0] != 0x20 || answer[3] != 0) die("refused");
}

static void idle(int count)
{
    struct link *links = calloc((size_t)count, sizeof *links);
    char byte;
    for (int i = 0; i < count; i++) {
        links[i] = open_link(i);
        client_begin(&links[i], i);
    }
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
}

/* ---- streams -------------------------------------------------------------------------------------------------------- */

struct stream {
    pthread_t thread;
    int number, bytes;
    struct link link;
    unsigned long long received;
};

static int publish_bytes(int payload) { return 2 + 2 + 4 + payload + (2 + 4 + payload > 127) + (2 + 4 + payload > 16383) ; }

static size_t make_publish(unsigned char *packet, int number, int payload)
{
    size_t at = 1;
    uint32_t rest = (uint32_t)(2 + 4 + payload);
    packet[0] = 0x30;
    do {
        packet[at] = rest & 0x7F;
        rest >>= 7;
        if (rest) packet[at] |= 0x80;
        at++;
    } while (rest);
    packet[at++] = 0;
    packet[at++] = 4;
    at += (size_t)sprintf((char *)packet + at, "t%03d", number % 1000);
    memset(packet + at, 'x', (size_t)payload);
    return at + (size_t)payload;
}

static void *publish(void *context)
{
    struct stream *stream = context;
    int each = publish_bytes(stream->bytes), copies = each > 16000 ? 1 : 16000 / each;
    unsigned char *packets = malloc((size_t)(each * copies + 8));
    size_t bytes = 0;
    for (int i = 0; i < copies; i++)
        bytes += make_publish(packets + bytes, stream->number, stream->bytes);
    while (!atomic_load(&over))
        put(&stream->link, packets, bytes);
    return NULL;
}

static void *receive(void *context)
{
    struct stream *stream = context;
    static __thread char room[262144];
    for (;;) {
        ssize_t got = get(&stream->link, room, sizeof room);
        if (got <= 0) return NULL;
        stream->received += (unsigned long long)got;
    }
}

static void streams(int bytes, double seconds, int count)
{
    struct stream *subscribers = calloc((size_t)count, sizeof *subscribers), *publishers = calloc((size_t)count, sizeof *publishers);
    for (int i = 0; i < count; i++) {
        unsigned char subscribe[] = {0x82, 9, 0, 1, 0, 4, 't', '0', '0', '0', 0}, answer[5];
        snprintf((char *)subscribe + 6, 5, "t%03d", i % 1000);
        subscribe[10] = 0;
        subscribers[i] = (struct stream){.number = i, .bytes = bytes, .link = open_link(i)};
        client_begin(&subscribers[i].link, 2 * i);
        put(&subscribers[i].link, subscribe, sizeof subscribe);
        if (get(&subscribers[i].link, answer, 5) <= 0) die("no SUBACK");
        publishers[i] = (struct stream){.number = i, .bytes = bytes, .link = open_link(i)};
        client_begin(&publishers[i].link, 2 * i + 1);
    }
    for (int i = 0; i < count; i++) {
        pthread_create(&subscribers[i].thread, NULL, receive, &subscribers[i]);
        pthread_create(&publishers[i].thread, NULL, publish, &publishers[i]);
    }
    double start = now_s();
    usleep((useconds_t)(seconds * 1e6));
    unsigned long long received = 0;
    for (int i = 0; i < count; i++)
        received += subscribers[i].received;
    double took = now_s() - start;
    printf("%.0f %.3f\n", (double)received / publish_bytes(bytes), took);
    fflush(stdout);
    _exit(0);
}

/* ---- handshakes ----------------------------------------------------------------------------------------------------- */

static void shake(bool resumed, double seconds)
{
    double until = now_s() + seconds;
    unsigned count = 0, reused = 0;
    SSL_SESSION *session = NULL;
    while (now_s() < until) {
        struct link link = {dial(0), SSL_new(library)};
        struct linger linger = {1, 0};
        char byte;
        setsockopt(link.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger); /* no TIME_WAIT: the ports would run out */
        SSL_set_fd(link.ssl, link.fd);
        if (session) SSL_set_session(link.ssl, session);
        if (SSL_connect(link.ssl) != 1) die("handshake");
        reused += SSL_session_reused(link.ssl) != 0;
        if (resumed && !session) { /* the ticket comes behind the handshake: wait for it */
            struct timeval moment = {0, 200000};
            setsockopt(link.fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
            SSL_read(link.ssl, &byte, 1);
            session = SSL_get1_session(link.ssl);
            SSL_set_shutdown(link.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        if (session) SSL_set_shutdown(link.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(link.ssl);
        close(link.fd);
        count++;
    }
    printf("%u %u\n", count, reused);
}

/* ---- round trips ---------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static void ping(int count)
{
    struct link link = open_link(0);
    client_begin(&link, 0);
    double *took = calloc((size_t)count, sizeof *took);
    unsigned char packet[] = {0x32, 8, 0, 4, 'p', 'i', 'n', 'g', 0, 1}, answer[4];
    for (int i = 0; i < count; i++) {
        double start = now_s();
        put(&link, packet, sizeof packet);
        for (size_t have = 0; have < 4;) {
            ssize_t got = get(&link, answer + have, 4 - have);
            if (got <= 0) die("no PUBACK");
            have += (size_t)got;
        }
        took[i] = (now_s() - start) * 1e6;
        usleep(1000);
    }
    qsort(took, (size_t)count, sizeof *took, compare);
    printf("%.0f %.0f %.0f\n", took[count / 2], took[count * 99 / 100], took[count - 1]);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "-P") == 0) {
        plain = true;
        argv++;
        argc--;
    }
    if (argc < 4) return fprintf(stderr, "tls_load: see the comment in tls_load.c\n"), 2;
    port = atoi(argv[1]);
    library = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(library, SSL_MODE_RELEASE_BUFFERS);
    if (getenv("TLS_CIPHER")) SSL_CTX_set_ciphersuites(library, getenv("TLS_CIPHER"));
    if (argc > 5 && strcmp(argv[5], "1.2") == 0) SSL_CTX_set_max_proto_version(library, TLS1_2_VERSION);
    if (strcmp(argv[2], "idle") == 0) idle(atoi(argv[3]));
    else if (strcmp(argv[2], "stream") == 0 && argc > 5) streams(atoi(argv[3]), atof(argv[4]), atoi(argv[5]));
    else if (strcmp(argv[2], "shake") == 0 && argc > 4) shake(strcmp(argv[3], "resumed") == 0, atof(argv[4]));
    else if (strcmp(argv[2], "ping") == 0) ping(atoi(argv[3]));
    else return 2;
    return 0;
}
