/* relay.c - the bare relay: what this kernel allows a broker, with no protocol in the way.
 *
 * Bytes arrive, are cut into records of a fixed size and copied to all subscribers of the publisher's channel: the least that
 * any broker must do, on the same features of io_uring as engine/uring.c: DEFER_TASKRUN, multishot accept into direct
 * descriptors, multishot receives into incremental provided buffers, one send per dirty connection and turn that does not end a
 * wait, the same adaptive minimum wait. One ring, one thread. The greeting is cmd/ringmq_bench_relay.h's; the other side is `ringmq bench --relay`.
 *
 *     relay [PORT]     127.0.0.1, a free port without one; prints "port N" and runs until it is killed
 *
 * A tool for one machine: it checks what it gets and stops with a sentence when something is wrong. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "cmd/ringmq_bench_relay.h"
#include "engine/uring_compat.h"

#define RING_ENTRIES     4096
#define BUFFERS          32 /* × 128 KiB, as the broker's 4 MiB a shard */
#define BUFFER_BYTES     (128u * 1024)
#define DESCRIPTORS_MAX  16384
#define STAGE_FIRST      512
#define STAGE_MAX        (64u << 20) /* the load is credit-controlled: more than this is a mistake */
#define SEND_NOW_BYTES_MAX (16u * 1024)
#define WAIT_FOR_MANY    512
#define TASK_WORK_A_CALL 16
#define GATHER_US        50
#define GATHER_FROM      (3 * 256 / 2)
#define GATHER_WEIGHT    16

enum { USER_ACCEPT = 1, USER_RECEIVE, USER_SEND, USER_CLOSE, USER_CANCEL };

struct stage {
    uint8_t *bytes;
    uint32_t used, capacity;
};

struct connection {
    bool open, greeted, dirty, sending;
    struct relay_greeting greeting;
    uint32_t greeting_bytes; /* arrived so far */
    uint32_t lived_bytes;    /* RELAY_LIVES: that have gone back */
    struct stage out, sent; /* being filled; the kernel's */
    uint32_t sent_bytes;    /* of it, after a short send */
    uint8_t *partial;       /* the beginning of a greeting or record */
    uint32_t partial_bytes;
};

struct channel {
    uint32_t *subscribers;
    uint32_t count, capacity;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static uint8_t *buffers_memory;
static uint32_t buffers_offset[BUFFERS];
static uint16_t buffers_tail;
static struct connection connections[DESCRIPTORS_MAX];
static struct channel channels[DESCRIPTORS_MAX];
static uint32_t dirty[DESCRIPTORS_MAX], dirty_count;
static uint32_t gathering, turn_receives, turn_records;
static uint32_t sends_now; /* queued since the last wait */
static int listener;

static void fail(const char *what, int why)
{
    fprintf(stderr, "relay: %s%s%s\n", what, why ? ": " : "", why ? strerror(why) : "");
    exit(1);
}

static void *grown(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (!memory) fail("no memory", 0);
    return memory;
}

/* ---- the ring --------------------------------------------------------------------------------------------------- */

static void enter(uint32_t wait_for, uint32_t min_wait_us)
{
    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    ring.sq.sqe_head = ring.sq.sqe_tail;
    uint32_t submit = ring.sq.sqe_tail - __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE);
    struct __kernel_timespec hour = {.tv_sec = 3600};
    struct compat_getevents_arg argument = {.min_wait_usec = min_wait_us, .ts = min_wait_us ? (uint64_t)(uintptr_t)&hour : 0};
    int done = io_uring_enter2((unsigned)ring.enter_ring_fd, submit, wait_for,
                               IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | COMPAT_ENTER_REGISTERED, (void *)&argument,
                               sizeof argument);
    if (done < 0 && errno != ETIME && errno != EINTR && errno != EBUSY && errno != EAGAIN) fail("io_uring_enter", errno);
}

static struct io_uring_sqe *sqe_next(uint64_t kind, uint32_t fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    while (!sqe) {
        enter(0, 0);
        sends_now = 0;
        sqe = io_uring_get_sqe(&ring);
    }
    sqe->user_data = kind << 32 | fd;
    return sqe;
}

static void buffer_offer(uint32_t buffer)
{
    struct io_uring_buf *slot = &buffers->bufs[buffers_tail++ & (BUFFERS - 1)];
    slot->addr = (uint64_t)(uintptr_t)(buffers_memory + (size_t)buffer * BUFFER_BYTES);
    slot->len = BUFFER_BYTES;
    slot->bid = (uint16_t)buffer;
    buffers_offset[buffer] = 0;
    __atomic_store_n(&buffers->tail, buffers_tail, __ATOMIC_RELEASE);
}

static void ring_open(void)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                                                  IORING_SETUP_CLAMP,
                                         .cq_entries = RING_ENTRIES * 8};
    int failed = io_uring_queue_init_params(RING_ENTRIES, &ring, &parameters);
    if (failed) fail("io_uring", -failed);
    for (uint32_t i = 0; ring.sq.array && i < ring.sq.ring_entries; i++)
        ring.sq.array[i] = i;
    if (io_uring_register_ring_fd(&ring) != 1) fail("cannot register the ring's descriptor", 0);
    failed = io_uring_register_files_sparse(&ring, DESCRIPTORS_MAX);
    if (failed) fail("cannot make a table of direct descriptors", -failed);
    buffers = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    buffers_memory = mmap(NULL, (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (buffers == MAP_FAILED || buffers_memory == MAP_FAILED) fail("no memory", errno);
    struct compat_buffer_ring registration = {.ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = BUFFERS,
                                              .flags = COMPAT_PBUF_RING_INC};
    failed = io_uring_register_buf_ring(&ring, (struct io_uring_buf_reg *)&registration, 0);
    if (failed) fail("cannot register incremental receive buffers (Linux 6.12 or newer)", -failed);
    for (uint32_t i = 0; i < BUFFERS; i++)
        buffer_offer(i);
}

static void accept_arm(void)
{
    struct io_uring_sqe *sqe = sqe_next(USER_ACCEPT, 0);
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    sqe->user_data = (uint64_t)USER_ACCEPT << 32;
}

static void receive_arm(uint32_t fd)
{
    struct io_uring_sqe *sqe = sqe_next(USER_RECEIVE, fd);
    io_uring_prep_recv_multishot(sqe, (int)fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->user_data = (uint64_t)USER_RECEIVE << 32 | fd;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void stage_append(uint32_t fd, const uint8_t *data, uint32_t bytes)
{
    struct connection *connection = &connections[fd];
    struct stage *out = &connection->out;
    if (out->used + bytes > out->capacity) {
        uint32_t capacity = out->capacity ? out->capacity * 2 : STAGE_FIRST;
        while (capacity < out->used + bytes)
            capacity *= 2;
        if (capacity > STAGE_MAX) fail("a subscriber does not read", 0);
        out->bytes = grown(out->bytes, capacity);
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->used, data, bytes);
    out->used += bytes;
    if (connection->dirty) return;
    connection->dirty = true;
    dirty[dirty_count++] = fd;
}

static void relay(uint32_t channel_number, const uint8_t *data, uint32_t bytes)
{
    const struct channel *channel = &channels[channel_number];
    for (uint32_t i = 0; i < channel->count; i++)
        stage_append(channel->subscribers[i], data, bytes);
}

static void greet(uint32_t fd)
{
    struct connection *connection = &connections[fd];
    const struct relay_greeting *greeting = &connection->greeting;
    if (greeting->magic != RELAY_MAGIC || greeting->channel >= DESCRIPTORS_MAX || greeting->record_bytes == 0)
        fail("a connection began with something that is no greeting", 0);
    connection->greeted = true;
    connection->partial = grown(NULL, greeting->record_bytes + sizeof *greeting);
    stage_append(fd, (const uint8_t *)greeting, sizeof *greeting);
    if (greeting->role != RELAY_SUBSCRIBES) return;
    struct channel *channel = &channels[greeting->channel];
    if (channel->count == channel->capacity) {
        channel->capacity = channel->capacity ? channel->capacity * 2 : 4;
        channel->subscribers = grown(channel->subscribers, channel->capacity * sizeof *channel->subscribers);
    }
    channel->subscribers[channel->count++] = fd;
}

/* One that lives only: its first record goes back, and what comes then is its farewell. */
static void lives(uint32_t fd, const uint8_t *data, uint32_t bytes)
{
    struct connection *connection = &connections[fd];
    if (connection->lived_bytes < connection->greeting.record_bytes) {
        connection->lived_bytes += bytes;
        return stage_append(fd, data, bytes);
    }
    struct io_uring_sqe *sqe = sqe_next(USER_CANCEL, fd); /* of its receive, whose last completion closes it */
    io_uring_prep_cancel64(sqe, (uint64_t)USER_RECEIVE << 32 | fd, 0);
    sqe->user_data = (uint64_t)USER_CANCEL << 32 | fd;
}

static void received(uint32_t fd, const uint8_t *data, uint32_t bytes)
{
    struct connection *connection = &connections[fd];
    if (!connection->greeted) { /* in two pieces when a receive buffer ended in it */
        uint32_t missing = (uint32_t)sizeof connection->greeting - connection->greeting_bytes, taken = bytes < missing ? bytes : missing;
        memcpy((uint8_t *)&connection->greeting + connection->greeting_bytes, data, taken);
        connection->greeting_bytes += taken;
        if (taken < missing) return;
        greet(fd);
        data += taken;
        bytes -= taken;
    }
    if (bytes == 0) return;
    if (connection->greeting.role == RELAY_LIVES) return lives(fd, data, bytes);
    const struct relay_greeting *greeting = &connection->greeting;
    if (connection->partial_bytes) {
        uint32_t missing = greeting->record_bytes - connection->partial_bytes, taken = bytes < missing ? bytes : missing;
        memcpy(connection->partial + connection->partial_bytes, data, taken);
        connection->partial_bytes += taken;
        data += taken;
        bytes -= taken;
        if (connection->partial_bytes < greeting->record_bytes) return;
        relay(greeting->channel, connection->partial, greeting->record_bytes);
        connection->partial_bytes = 0;
    }
    uint32_t whole = bytes - bytes % greeting->record_bytes;
    turn_receives++;
    turn_records += whole / greeting->record_bytes;
    if (whole) relay(greeting->channel, data, whole);
    memcpy(connection->partial, data + whole, bytes - whole);
    connection->partial_bytes = bytes - whole;
}

/* A run is over when its first connection goes: all of them forget their channels. */
static void left(uint32_t fd)
{
    struct connection *connection = &connections[fd];
    struct channel *channel = &channels[connection->greeting.channel];
    for (uint32_t i = 0; connection->greeted && connection->greeting.role == RELAY_SUBSCRIBES && i < channel->count; i++)
        if (channel->subscribers[i] == fd) channel->subscribers[i--] = channel->subscribers[--channel->count];
    connection->open = false;
    if (connection->sending) return; /* send_done() comes back here */
    free(connection->out.bytes);
    free(connection->sent.bytes);
    free(connection->partial);
    bool listed = connection->dirty;
    *connection = (struct connection){.dirty = listed};
    struct io_uring_sqe *sqe = sqe_next(USER_CLOSE, fd);
    io_uring_prep_close_direct(sqe, fd);
    sqe->user_data = (uint64_t)USER_CLOSE << 32 | fd;
}

/* ---- the turn --------------------------------------------------------------------------------------------------- */

/* At once: its completion is posted while it is submitted, so it need not end the wait, as in engine/uring.c. */
static void send_rest(uint32_t fd, bool at_once)
{
    struct connection *connection = &connections[fd];
    struct io_uring_sqe *sqe = sqe_next(USER_SEND, fd);
    io_uring_prep_send(sqe, (int)fd, connection->sent.bytes + connection->sent_bytes, connection->sent.used - connection->sent_bytes,
                       (at_once ? MSG_DONTWAIT : MSG_WAITALL) | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = (uint64_t)USER_SEND << 32 | fd;
    sends_now += at_once;
}

static void send_staged(uint32_t fd)
{
    struct connection *connection = &connections[fd];
    if (connection->sending || !connection->open || connection->out.used == 0) return;
    struct stage sent = connection->out;
    connection->out = connection->sent;
    connection->out.used = 0;
    connection->sent = sent;
    connection->sent_bytes = 0;
    connection->sending = true;
    send_rest(fd, sent.used <= SEND_NOW_BYTES_MAX);
}

static void send_done(uint32_t fd, int result)
{
    struct connection *connection = &connections[fd];
    connection->sending = false;
    if (!connection->open) return left(fd);
    if (result < 0 && result != -EAGAIN) return; /* its receive says so, too */
    if (result > 0) connection->sent_bytes += (uint32_t)result;
    if (connection->sent_bytes < connection->sent.used) {
        connection->sending = true;
        return send_rest(fd, false);
    }
    if (connection->out.used && !connection->dirty) {
        connection->dirty = true;
        dirty[dirty_count++] = fd;
    }
}

static void receive_done(const struct io_uring_cqe *cqe, uint32_t fd)
{
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0) {
            received(fd, buffers_memory + (size_t)buffer * BUFFER_BYTES + buffers_offset[buffer], (uint32_t)cqe->res);
            buffers_offset[buffer] += (uint32_t)cqe->res;
        }
        if (!(cqe->flags & COMPAT_CQE_F_BUF_MORE)) buffer_offer(buffer);
    }
    if (cqe->flags & IORING_CQE_F_MORE) return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS) return receive_arm(fd);
    left(fd);
}

static void completed(const struct io_uring_cqe *cqe)
{
    uint32_t fd = (uint32_t)cqe->user_data;
    switch (cqe->user_data >> 32) {
    case USER_ACCEPT:
        if (!(cqe->flags & IORING_CQE_F_MORE)) accept_arm();
        if (cqe->res < 0) fail("accept", -cqe->res);
        connections[cqe->res].open = true;
        return receive_arm((uint32_t)cqe->res);
    case USER_RECEIVE: return receive_done(cqe, fd);
    case USER_SEND: return send_done(fd, cqe->res);
    default: return;
    }
}

static uint32_t reap(void)
{
    struct io_uring_cqe *cqe;
    uint32_t head, seen = 0;
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        completed(cqe);
        seen++;
    }
    io_uring_cq_advance(&ring, seen);
    return seen;
}

static void turn(void)
{
    uint32_t min_wait_us = gathering >= GATHER_FROM ? GATHER_US : 0;
    uint32_t sends = sends_now;
    sends_now = 0;
    if (io_uring_cq_ready(&ring))
        enter(0, 0);
    else
        enter((min_wait_us ? WAIT_FOR_MANY : 1) + sends, min_wait_us);
    uint32_t brought = reap();
    for (uint32_t calls = 1; brought >= TASK_WORK_A_CALL && calls < 8; calls++) {
        enter(0, 0);
        brought = reap();
    }
    for (uint32_t i = 0; i < dirty_count; i++) {
        connections[dirty[i]].dirty = false;
        send_staged(dirty[i]);
    }
    dirty_count = 0;
    if (!turn_receives) return;
    uint32_t now = turn_records * 256 / turn_receives;
    gathering += (uint32_t)((int32_t)((now < 64 * 256 ? now : 64 * 256) - gathering) / GATHER_WEIGHT);
    turn_receives = turn_records = 0;
}

static void listen_on(uint16_t port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    if (bind(listener, (struct sockaddr *)&address, bytes) != 0 || listen(listener, 4096) != 0) fail("cannot listen", errno);
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    ring_open();
    listen_on(argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
    accept_arm();
    for (;;)
        turn();
}
