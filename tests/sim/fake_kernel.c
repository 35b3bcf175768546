#include "tests/sim/fake_kernel.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/memory.h"
#include "tests/sim/fake_disk.h"

struct pipe {
    uint8_t *data; /* a ring of chances.pipe_bytes */
    uint32_t head, bytes;
};

struct fake_socket {
    bool client_open, broker_open;
    bool client_ended; /* FIN from the client: end of file once all is read */
    bool broker_ended; /* FIN from the broker */
    bool reset;
    bool accepted;
    uint32_t shard; /* whose listener it waits at */
    struct pipe up, down; /* client to broker, broker to client */
};

enum fake_kind { OP_ACCEPT, OP_RECEIVE, OP_SEND, OP_SHUTDOWN, OP_FILE, OP_DONE };

struct fake_operation {
    enum fake_kind kind;
    int fd;
    uint64_t user;
    bool cancelled, once;
    bool now;                   /* OP_SEND: never waits for room */
    enum kernel_accept accepts;
    int result;                 /* OP_DONE */
    struct iovec pieces[1100];  /* OP_SEND */
    uint32_t pieces_count;
    uint64_t sent, total;
    uint64_t offset; /* OP_FILE, with pieces[0] */
};

#define BUFFERS       8
#define BUFFER_BYTES  512
#define EARLY_MAX     8

struct kernel_ring {
    uint32_t shard;
    struct kernel_features features;
    struct fake_operation **operations;
    uint32_t operations_count, operations_capacity;
    uint8_t buffers[BUFFERS][BUFFER_BYTES];
    uint32_t buffer_lent[BUFFERS];
    struct kernel_completion early[EARLY_MAX]; /* what fake_wakes() has found */
    uint32_t early_count;
    bool woken;
    uint64_t min_wait_ns; /* of the last wait */
};

static struct {
    struct random_source random;
    struct fake_chances chances;
    uint64_t now_ns, look_ns;
    struct fake_socket sockets[FAKE_SOCKETS_MAX];
    int sockets_used;
    struct kernel_ring *rings[SHARDS_MAX];
    struct fake_disk *disk;
} world;

void fake_use_disk(struct fake_disk *disk) { world.disk = disk; }

static bool chance(uint32_t in_256) { return random_below(&world.random, 256) < in_256; }

/* ---- pipes ------------------------------------------------------------------------------------------------------ */

static uint32_t pipe_put(struct pipe *pipe, const uint8_t *data, uint32_t bytes)
{
    uint32_t capacity = world.chances.pipe_bytes;
    if (!pipe->data) pipe->data = memory_acquire(capacity);
    uint32_t room = capacity - pipe->bytes, taken = bytes < room ? bytes : room;
    for (uint32_t i = 0; i < taken; i++)
        pipe->data[(pipe->head + pipe->bytes + i) % capacity] = data[i];
    pipe->bytes += taken;
    return taken;
}

static uint32_t pipe_get(struct pipe *pipe, uint8_t *data, uint32_t bytes)
{
    uint32_t capacity = world.chances.pipe_bytes, taken = bytes < pipe->bytes ? bytes : pipe->bytes;
    for (uint32_t i = 0; i < taken; i++)
        data[i] = pipe->data[(pipe->head + i) % capacity];
    pipe->head = (pipe->head + taken) % capacity;
    pipe->bytes -= taken;
    return taken;
}

static void pipe_release(struct pipe *pipe)
{
    memory_release(pipe->data);
    *pipe = (struct pipe){0};
}

/* Descriptors are socket numbers plus this, so that a mix-up with listeners shows. */
#define FD_BASE 100
static struct fake_socket *socket_of(int fd)
{
    CHECK(fd >= FD_BASE && fd < FD_BASE + world.sockets_used);
    return &world.sockets[fd - FD_BASE];
}

/* ---- the world -------------------------------------------------------------------------------------------------- */

void fake_reset(uint64_t seed, const struct fake_chances *chances)
{
    memset(&world, 0, sizeof world);
    world.random.state = seed;
    world.chances = *chances;
    world.now_ns = 1000000000ull * 1000;
}

void fake_release(void)
{
    for (int i = 0; i < world.sockets_used; i++) {
        CHECK(!world.sockets[i].broker_open);
        pipe_release(&world.sockets[i].up);
        pipe_release(&world.sockets[i].down);
    }
}

void fake_advance_ns(uint64_t ns) { world.now_ns += ns; }
void fake_look_takes_ns(uint64_t ns) { world.look_ns = ns; }
uint64_t fake_now_ns(void) { return world.now_ns; }

int fake_connect(uint32_t shard)
{
    CHECK(world.sockets_used < FAKE_SOCKETS_MAX);
    world.sockets[world.sockets_used] = (struct fake_socket){.client_open = true, .shard = shard};
    return world.sockets_used++;
}

int fake_client_send(int number, const void *data, size_t bytes)
{
    struct fake_socket *socket = &world.sockets[number];
    if (socket->accepted && !socket->broker_open) return -1;
    return (int)pipe_put(&socket->up, data, (uint32_t)bytes);
}

int fake_client_receive(int number, void *data, size_t bytes)
{
    struct fake_socket *socket = &world.sockets[number];
    uint32_t got = pipe_get(&socket->down, data, (uint32_t)bytes);
    if (got) return (int)got;
    return socket->accepted && (!socket->broker_open || socket->broker_ended) ? -1 : 0;
}

void fake_hang_up(int number, bool reset)
{
    struct fake_socket *socket = &world.sockets[number];
    socket->client_open = false;
    socket->client_ended = true;
    socket->reset |= reset;
    if (reset) pipe_release(&socket->up);
    pipe_release(&socket->down);
}

uint32_t fake_open_count(void)
{
    uint32_t count = 0;
    for (int i = 0; i < world.sockets_used; i++)
        count += world.sockets[i].broker_open;
    return count;
}

/* ---- rings ------------------------------------------------------------------------------------------------------ */

static struct kernel_ring *fake_open(uint32_t shard, const struct settings *settings, char *ret_error, size_t error_bytes)
{
    struct kernel_ring *ring = memory_acquire_zeroed(sizeof *ring);
    ring->shard = shard;
    ring->features = (struct kernel_features){.direct_descriptors = world.chances.fd_passing,
                                              .fd_passing = world.chances.fd_passing,
                                              .send_vectorized = world.chances.send_vectorized,
                                              .multishot_accept = true,
                                              .accept_waiting = true,
                                              .min_wait = true,
                                              .multishot_receive = true};
    return world.rings[shard] = ring;
}

static void fake_close(struct kernel_ring *ring)
{
    for (uint32_t i = 0; i < ring->operations_count; i++)
        memory_release(ring->operations[i]);
    memory_release(ring->operations);
    world.rings[ring->shard] = NULL;
    memory_release(ring);
}

static const struct kernel_features *fake_features(const struct kernel_ring *ring) { return &ring->features; }
static uint64_t fake_monotonic_ns(struct kernel_ring *ring) { return world.now_ns += world.look_ns; }
static uint64_t fake_realtime_ns(struct kernel_ring *ring) { return world.now_ns; }

static struct fake_operation *operation_add(struct kernel_ring *ring, enum fake_kind kind, int fd, uint64_t user)
{
    if (ring->operations_count == ring->operations_capacity) {
        ring->operations_capacity = ring->operations_capacity ? ring->operations_capacity * 2 : 64;
        ring->operations = memory_resize(ring->operations, ring->operations_capacity * sizeof *ring->operations);
    }
    struct fake_operation *operation = memory_acquire(sizeof *operation);
    operation->kind = kind;
    operation->fd = fd;
    operation->user = user;
    operation->cancelled = operation->once = operation->now = false;
    operation->sent = operation->total = 0;
    operation->pieces_count = 0;
    return ring->operations[ring->operations_count++] = operation;
}

static void operation_done(struct kernel_ring *ring, uint64_t user, int result)
{
    operation_add(ring, OP_DONE, -1, user)->result = result;
}

static void fake_accept(struct kernel_ring *ring, int listener, enum kernel_accept which, uint64_t user)
{
    CHECK(listener == FAKE_LISTENER);
    operation_add(ring, OP_ACCEPT, listener, user)->accepts = which;
}

static void fake_receive(struct kernel_ring *ring, int fd, bool once, uint64_t user)
{
    for (uint32_t i = 0; i < ring->operations_count; i++) /* two receives on one socket would tear its stream */
        CHECK(ring->operations[i]->kind != OP_RECEIVE || ring->operations[i]->fd != fd);
    operation_add(ring, OP_RECEIVE, fd, user)->once = once;
}

static void fake_receive_done(struct kernel_ring *ring, uint32_t buffer)
{
    CHECK(buffer < BUFFERS && ring->buffer_lent[buffer]);
    if (--ring->buffer_lent[buffer]) return;
    memset(ring->buffers[buffer], 0xdd, BUFFER_BYTES); /* whoever still looks there will notice */
}

static void fake_receive_keep(struct kernel_ring *ring, uint32_t buffer)
{
    CHECK(buffer < BUFFERS && ring->buffer_lent[buffer]);
    ring->buffer_lent[buffer]++;
}

static void fake_send_vector(struct kernel_ring *ring, int fd, const struct iovec *pieces, uint32_t count, bool at_once, uint64_t user)
{
    struct fake_operation *operation = operation_add(ring, OP_SEND, fd, user);
    operation->now = at_once;
    CHECK(count <= 1024);
    memcpy(operation->pieces, pieces, count * sizeof *pieces);
    operation->pieces_count = count;
    for (uint32_t i = 0; i < count; i++)
        operation->total += pieces[i].iov_len;
    CHECK(operation->total > 0);
}

static void fake_send(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user)
{
    struct iovec piece = {(void *)(uintptr_t)data, bytes};
    fake_send_vector(ring, fd, &piece, 1, false, user);
}

static void fake_send_now(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user)
{
    fake_send(ring, fd, data, bytes, user);
    ring->operations[ring->operations_count - 1]->now = true;
}

static void fake_send_message(struct kernel_ring *ring, int fd, const struct msghdr *message, bool at_once, uint64_t user)
{
    fake_send_vector(ring, fd, message->msg_iov, (uint32_t)message->msg_iovlen, at_once, user);
}

static void fake_cancel(struct kernel_ring *ring, uint64_t target)
{
    for (uint32_t i = 0; i < ring->operations_count; i++)
        if (ring->operations[i]->user == target && ring->operations[i]->kind != OP_DONE)
            ring->operations[i]->cancelled = true;
}

static void fake_shutdown(struct kernel_ring *ring, int fd, uint64_t user)
{
    operation_add(ring, OP_SHUTDOWN, fd, user);
}

static void fake_close_fd(struct kernel_ring *ring, int fd, uint64_t user)
{
    struct fake_socket *socket = socket_of(fd);
    CHECK(socket->broker_open);
    for (uint32_t i = 0; i < ring->operations_count; i++) { /* the engine waits for all of them first, or has cancelled them */
        const struct fake_operation *left = ring->operations[i];
        bool socket_op = left->kind == OP_RECEIVE || left->kind == OP_SEND;
        CHECK(left->kind == OP_DONE || left->kind == OP_ACCEPT || left->kind == OP_FILE || left->fd != fd || (socket_op && left->cancelled));
    }
    socket->broker_open = false;
    operation_done(ring, user, 0);
}

static void fake_pass(struct kernel_ring *ring, int fd, uint32_t to_shard, uint64_t user_there, uint64_t user_here)
{
    if (chance(8)) return operation_done(ring, user_here, -ENFILE);
    operation_done(world.rings[to_shard], user_there, fd);
    operation_done(ring, user_here, 0);
}

static void fake_install(struct kernel_ring *ring, int fd, uint64_t user) { operation_done(ring, user, -EINVAL); }

static void fake_write_sync(struct kernel_ring *ring, int fd, const void *data, uint32_t bytes, uint64_t offset, uint64_t user)
{
    struct fake_operation *operation = operation_add(ring, OP_FILE, fd, user);
    operation->pieces[0] = (struct iovec){(void *)(uintptr_t)data, bytes};
    operation->offset = offset;
}

void fake_crash_disk(void)
{
    for (uint32_t r = 0; r < SHARDS_MAX; r++)
        for (uint32_t i = 0; world.rings[r] && i < world.rings[r]->operations_count; i++) {
            const struct fake_operation *operation = world.rings[r]->operations[i];
            if (operation->kind != OP_FILE || chance(80)) continue;
            fake_disk_write_sync(world.disk, operation->fd, operation->pieces[0].iov_base, (uint32_t)operation->pieces[0].iov_len,
                                 operation->offset, true);
        }
    fake_disk_crash(world.disk);
    fake_disk_freeze(world.disk, true);
}

static void fake_wake(struct kernel_ring *from, uint32_t to_shard) { world.rings[to_shard]->woken = true; }

/* ---- progress --------------------------------------------------------------------------------------------------- */

static bool progress_accept(struct kernel_ring *ring, struct fake_operation *operation, struct kernel_completion *out,
                            bool *ret_over)
{
    *ret_over = operation->cancelled;
    if (operation->cancelled) {
        *out = (struct kernel_completion){.user = operation->user, .result = -ECANCELED};
        return true;
    }
    for (int i = 0; i < world.sockets_used; i++) {
        struct fake_socket *socket = &world.sockets[i];
        if (socket->accepted || socket->shard != ring->shard || !chance(world.chances.accept_now)) continue;
        socket->accepted = socket->broker_open = true;
        *ret_over = operation->accepts == KERNEL_ACCEPT_ONE || chance(world.chances.receive_ends);
        *out = (struct kernel_completion){.user = operation->user, .result = i + FD_BASE,
                                          .flags = *ret_over ? 0 : KERNEL_MORE};
        return true;
    }
    if (operation->accepts != KERNEL_ACCEPT_WAITING) return false;
    *ret_over = true;
    *out = (struct kernel_completion){.user = operation->user, .result = -EAGAIN};
    return true;
}

static int buffer_free(const struct kernel_ring *ring)
{
    for (int i = 0; i < BUFFERS; i++)
        if (!ring->buffer_lent[i]) return i;
    return -1;
}

static bool progress_receive(struct kernel_ring *ring, struct fake_operation *operation, struct kernel_completion *out,
                             bool *ret_over)
{
    struct fake_socket *socket = socket_of(operation->fd);
    *ret_over = true;
    *out = (struct kernel_completion){.user = operation->user};
    if (socket->up.bytes && !socket->reset && (!operation->cancelled || chance(64))) {
        *ret_over = false;
        if (!chance(world.chances.receive_now)) return false;
        *ret_over = true;
        int buffer = chance(world.chances.no_buffer) ? -1 : buffer_free(ring);
        if (buffer < 0) {
            out->result = -ENOBUFS;
            return true;
        }
        uint32_t most = chance(world.chances.receive_short) ? 1 + (uint32_t)random_below(&world.random, 9) : BUFFER_BYTES;
        ring->buffer_lent[buffer] = 1;
        out->result = (int)pipe_get(&socket->up, ring->buffers[buffer], most);
        out->data = ring->buffers[buffer];
        out->buffer = (uint32_t)buffer;
        *ret_over = chance(world.chances.receive_ends) || operation->once;
        out->flags = KERNEL_BUFFER | (*ret_over ? 0 : KERNEL_MORE);
        return true;
    }
    if (operation->cancelled) {
        out->result = -ECANCELED;
        return true;
    }
    if (socket->reset) {
        out->result = chance(128) ? -ECONNRESET : 0;
        return true;
    }
    *ret_over = socket->client_ended && chance(world.chances.receive_now);
    return *ret_over; /* end of file: result 0 */
}

static bool progress_send(struct fake_operation *operation, struct kernel_completion *out, bool *ret_over)
{
    struct fake_socket *socket = socket_of(operation->fd);
    *ret_over = true;
    *out = (struct kernel_completion){.user = operation->user};
    if (operation->cancelled) {
        out->result = operation->sent ? (int)operation->sent : -ECANCELED;
        return true;
    }
    if (socket->reset || !socket->client_open) {
        out->result = operation->sent ? (int)operation->sent : -EPIPE;
        return true;
    }
    *ret_over = false;
    bool no_room = operation->now && chance(20);
    if (!no_room && !chance(world.chances.send_now)) return false; /* a send_now() is told late, with something else */
    uint64_t skip = operation->sent;
    for (uint32_t i = 0; i < operation->pieces_count && !no_room; i++) {
        uint64_t length = operation->pieces[i].iov_len;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        uint32_t wanted = (uint32_t)(length - skip);
        uint32_t put = pipe_put(&socket->down, (const uint8_t *)operation->pieces[i].iov_base + skip, wanted);
        operation->sent += put;
        skip = 0;
        if (put < wanted) break;
    }
    bool whole = operation->sent == operation->total;
    if (operation->now && operation->sent == 0) {
        *ret_over = true;
        out->result = -EAGAIN;
        return true;
    }
    if (!whole && !operation->now && !(operation->sent && chance(world.chances.send_short))) return false; /* MSG_WAITALL: goes on later */
    *ret_over = true;
    out->result = (int)operation->sent;
    return true;
}

/* On a thread of the kernel's own, some time later. */
static bool progress_shutdown(struct fake_operation *operation, struct kernel_completion *out, bool *ret_over)
{
    *ret_over = chance(40);
    if (!*ret_over) return false;
    socket_of(operation->fd)->broker_ended = true;
    *out = (struct kernel_completion){.user = operation->user};
    return true;
}

/* Takes a while; what fails may have been written in part. */
static bool progress_file(struct fake_operation *operation, struct kernel_completion *out, bool *ret_over)
{
    if (!chance(60)) return false;
    uint32_t bytes = (uint32_t)operation->pieces[0].iov_len;
    int error = fake_disk_write_sync(world.disk, operation->fd, operation->pieces[0].iov_base, bytes, operation->offset, false);
    *ret_over = true;
    *out = (struct kernel_completion){.user = operation->user, .result = !error ? (int)bytes : chance(128) ? (int)(bytes / 2) : error};
    return true;
}

static bool progress(struct kernel_ring *ring, struct fake_operation *operation, struct kernel_completion *out,
                     bool *ret_over)
{
    switch (operation->kind) {
    case OP_ACCEPT: return progress_accept(ring, operation, out, ret_over);
    case OP_RECEIVE: return progress_receive(ring, operation, out, ret_over);
    case OP_SEND: return progress_send(operation, out, ret_over);
    case OP_SHUTDOWN: return progress_shutdown(operation, out, ret_over);
    case OP_FILE: return progress_file(operation, out, ret_over);
    case OP_DONE: break;
    }
    *ret_over = true;
    *out = (struct kernel_completion){.user = operation->user, .result = operation->result};
    return operation->user != 0;
}

static uint32_t collect(struct kernel_ring *ring, struct kernel_completion *ret_completions, uint32_t max)
{
    uint32_t given = 0, kept = 0, count = ring->operations_count;
    uint32_t start = count ? (uint32_t)random_below(&world.random, count) : 0; /* completions come in any order of sockets */
    struct fake_operation **left = memory_acquire((count + 1) * sizeof *left);
    for (uint32_t i = 0; i < count; i++) {
        struct fake_operation *operation = ring->operations[(start + i) % count];
        bool over = false;
        if (given < max && progress(ring, operation, &ret_completions[given], &over)) given++;
        if (over)
            memory_release(operation);
        else
            left[kept++] = operation;
    }
    memcpy(ring->operations, left, kept * sizeof *left);
    memory_release(left);
    ring->operations_count = kept;
    return given;
}

bool fake_wakes(uint32_t shard)
{
    struct kernel_ring *ring = world.rings[shard];
    if (ring->early_count == 0) ring->early_count = collect(ring, ring->early, EARLY_MAX);
    return ring->woken || ring->early_count > 0;
}

static uint32_t fake_wait(struct kernel_ring *ring, uint64_t timeout_ns, uint64_t min_wait_ns,
                          struct kernel_completion *ret_completions, uint32_t max)
{
    uint32_t early = ring->early_count < max ? ring->early_count : max;
    ring->woken = false;
    ring->min_wait_ns = min_wait_ns;
    memcpy(ret_completions, ring->early, early * sizeof *ret_completions);
    ring->early_count -= early;
    memmove(ring->early, ring->early + early, ring->early_count * sizeof *ret_completions);
    return ring->early_count ? early : early + collect(ring, ret_completions + early, max - early);
}

uint64_t fake_min_wait_ns(uint32_t shard) { return world.rings[shard]->min_wait_ns; }

static uint32_t fake_settle(struct kernel_ring *ring, struct kernel_completion *ret_completions, uint32_t max)
{
    return fake_wait(ring, 0, 0, ret_completions, max);
}

static bool fake_ready(struct kernel_ring *ring) { return true; }

const struct kernel_verbs kernel_fake = {
    .name = "simulation",
    .open = fake_open,
    .close = fake_close,
    .features = fake_features,
    .monotonic_ns = fake_monotonic_ns,
    .realtime_ns = fake_realtime_ns,
    .accept = fake_accept,
    .receive = fake_receive,
    .receive_done = fake_receive_done,
    .receive_keep = fake_receive_keep,
    .send = fake_send,
    .send_vector = fake_send_vector,
    .send_now = fake_send_now,
    .send_message = fake_send_message,
    .cancel = fake_cancel,
    .shutdown = fake_shutdown,
    .close_fd = fake_close_fd,
    .pass = fake_pass,
    .install = fake_install,
    .write_sync = fake_write_sync,
    .wake = fake_wake,
    .wait = fake_wait,
    .settle = fake_settle,
    .ready = fake_ready,
};
