/* uring.c - the verbs of kernel.h on io_uring. The only file that includes liburing.
 *
 * One ring per shard: SINGLE_ISSUER | DEFER_TASKRUN, so completions are produced only when the shard asks, in its one
 * io_uring_enter(2) a turn. We keep the submission array at its identity and move the tail ourselves: that works with
 * liburing 2.3 to 2.9 and lets wait() pass arguments that 2.3 has no call for. */
#include "engine/kernel.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/memory.h"
#include "engine/uring_compat.h"

#define USER_NOTHING 0ull  /* outcome of no interest (cancel, shutdown) */
#define USER_WAKE    ~0ull /* a MSG_RING from another shard            */
#define USER_EVENT   ~1ull /* our eventfd was written                  */
#define USER_INSTALL_BIT (1ull << 63) /* with the `user` of a shutdown: its ordinary descriptor has come */

#define BUFFER_GROUP 0
#define NSEC_PER_SEC 1000000000ull
#define WAIT_LONGEST_NS (3600 * NSEC_PER_SEC)

struct receive_buffers {
    struct io_uring_buf_ring *ring;
    uint8_t *memory;
    size_t memory_bytes;
    uint32_t count, mask, buffer_bytes;
    uint16_t tail;      /* next position to fill in the ring                                    */
    uint16_t taken;     /* position of the next buffer the kernel will use up: order of the ring */
    uint16_t *order;    /* position & mask → buffer, to follow a bundle over its buffers        */
    uint32_t *offset;   /* incremental: bytes of the buffer already received into               */
    uint32_t *lent;     /* completions of the buffer not yet given back                         */
    bool *used_up;      /* the kernel is finished with it                                       */
};

struct kernel_ring {
    struct io_uring ring;
    uint32_t shard;
    bool registered;
    uint32_t enter_flags;
    struct kernel_features features;
    struct receive_buffers buffers;
    uint64_t event_value;
    uint32_t sends_now; /* queued since the last wait: completed by the next submission, for certain */
    uint32_t closes_end; /* in the submission queue: behind the last close */
    struct { /* a bundle completion that did not fit into the caller's array yet */
        uint64_t user;
        uint32_t bytes_left;
        bool more;
    } bundle;
};

/* What other threads need to wake a ring or to pass it a descriptor. Written by open(), read after the start barrier. */
static struct {
    _Atomic int ring_fd;
    _Atomic int event_fd;
} peers[SHARDS_MAX];

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static bool operation_supported(const struct io_uring_probe *probe, uint32_t operation)
{
    return operation <= probe->last_op && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
}

static bool buffers_open(struct kernel_ring *kernel, uint32_t bytes, bool incremental)
{
    struct receive_buffers *buffers = &kernel->buffers;
    buffers->buffer_bytes = incremental ? 128 * 1024 : 4096;
    buffers->count = 1;
    while (buffers->count * 2 * buffers->buffer_bytes <= bytes && buffers->count < 16384)
        buffers->count *= 2;
    if (buffers->count < 4) buffers->count = 4;
    buffers->mask = buffers->count - 1;

    size_t ring_bytes = buffers->count * sizeof(struct io_uring_buf);
    void *ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (ring == MAP_FAILED) return false;
    struct compat_buffer_ring registration = {.ring_addr = (uint64_t)(uintptr_t)ring,
                                              .ring_entries = buffers->count,
                                              .bgid = BUFFER_GROUP,
                                              .flags = incremental ? COMPAT_PBUF_RING_INC : 0};
    _Static_assert(sizeof registration == sizeof(struct io_uring_buf_reg), "the kernel's layout");
    if (io_uring_register_buf_ring(&kernel->ring, (struct io_uring_buf_reg *)&registration, 0) != 0) {
        munmap(ring, ring_bytes);
        return false;
    }
    buffers->ring = ring;
    buffers->memory_bytes = (size_t)buffers->count * buffers->buffer_bytes;
    buffers->memory = mmap(NULL, buffers->memory_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    CHECK(buffers->memory != MAP_FAILED);
    buffers->order = memory_acquire_zeroed(buffers->count * sizeof *buffers->order);
    buffers->offset = memory_acquire_zeroed(buffers->count * sizeof *buffers->offset);
    buffers->lent = memory_acquire_zeroed(buffers->count * sizeof *buffers->lent);
    buffers->used_up = memory_acquire_zeroed(buffers->count * sizeof *buffers->used_up);
    return true;
}

static void buffer_offer(struct receive_buffers *buffers, uint32_t buffer)
{
    struct io_uring_buf *slot = &buffers->ring->bufs[buffers->tail & buffers->mask];
    buffers->offset[buffer] = 0;
    buffers->used_up[buffer] = false;
    buffers->order[buffers->tail & buffers->mask] = (uint16_t)buffer;
    slot->addr = (uint64_t)(uintptr_t)(buffers->memory + (size_t)buffer * buffers->buffer_bytes);
    slot->len = buffers->buffer_bytes;
    slot->bid = (uint16_t)buffer;
    buffers->tail++;
    __atomic_store_n(&buffers->ring->tail, buffers->tail, __ATOMIC_RELEASE);
}

static struct io_uring_sqe *sqe_next(struct kernel_ring *kernel);

static void event_arm(struct kernel_ring *kernel)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_read(sqe, atomic_load(&peers[kernel->shard].event_fd), &kernel->event_value,
                       sizeof kernel->event_value, 0);
    sqe->user_data = USER_EVENT;
}

static bool addresses_matter_to(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->listeners_count; i++) {
        const struct listener_settings *listener = &settings->listeners[i];
        bool lists = (listener->allow && *listener->allow) || (listener->deny && *listener->deny);
        if (listener->enable && (lists || listener->proxy_protocol || listener->websocket.client_header)) return true;
    }
    return false;
}

static void features_probe(struct kernel_ring *kernel, const struct io_settings *io, bool addresses_matter)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&kernel->ring);
    bool message_ring = probe && operation_supported(probe, IORING_OP_MSG_RING);
    bool multishot = probe && operation_supported(probe, IORING_OP_SEND_ZC); /* came with 6.0, as both multishots did */
    bool install = probe && operation_supported(probe, COMPAT_OP_FIXED_FD_INSTALL);
    if (probe) io_uring_free_probe(probe);
    uint32_t features = kernel->ring.features;
    kernel->features = (struct kernel_features){
        .direct_descriptors = io->direct_descriptors,
        .message_ring = io->message_ring && message_ring,
        .fd_passing = io->direct_descriptors && io->fd_passing && message_ring,
        .multishot_accept = io->multishot_accept && multishot,
        .multishot_receive = io->multishot_receive && multishot,
        .fd_install = io->fd_install && install,
        .receive_bundle = io->receive_bundle && (features & COMPAT_FEAT_RECVSEND_BUNDLE) != 0,
        .min_wait = io->min_wait && (features & COMPAT_FEAT_MIN_TIMEOUT) != 0,
        .accept_waiting = io->multishot_accept && multishot && (features & COMPAT_FEAT_MIN_TIMEOUT) != 0, /* 6.10; the bit is 6.12's */
    };
    /* Descriptors in a table can reach another shard only by MSG_RING, and who is at their other end can be asked only since 6.8: where
     * that decides who may come in, ordinary ones are better. */
    if (!kernel->features.fd_passing || (addresses_matter && !install)) kernel->features.direct_descriptors = kernel->features.fd_passing = false;
}

static uint32_t direct_table_entries(const struct settings *settings)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    uint64_t entries = settings->node.connections_max + 64;
    return (uint32_t)(entries < limit.rlim_cur ? entries : limit.rlim_cur);
}

static void option_prepare(struct io_uring_sqe *sqe, int fd, int level, int name, const int *value)
{
    io_uring_prep_rw(COMPAT_OP_URING_CMD, sqe, fd, NULL, 0, 0);
    sqe->off = COMPAT_SOCKET_SETSOCKOPT;                             /* cmd_op         */
    sqe->addr = (uint32_t)level | (uint64_t)(uint32_t)name << 32;    /* level, optname */
    sqe->file_index = sizeof *value;                                 /* optlen         */
    sqe->addr3 = (uint64_t)(uintptr_t)value;                         /* optval         */
}

/* Vectorized sends and socket options have no feature bit: tried once on a socket pair. */
static void sockets_probe(struct kernel_ring *kernel, const struct io_settings *io)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
    struct iovec pieces[2] = {{(char[]){'a'}, 1}, {(char[]){'b'}, 1}};
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_send(sqe, pair[0], pieces, 2, MSG_NOSIGNAL);
    sqe->ioprio |= COMPAT_SEND_VECTORIZED;
    sqe->user_data = 1;
    struct kernel_completion completion;
    uint32_t got = kernel_uring.wait(kernel, NSEC_PER_SEC, 0, &completion, 1);
    char received[3] = {0};
    kernel->features.send_vectorized = io->send_vectorized && got == 1 && completion.result == 2 &&
                                       recv(pair[1], received, 2, MSG_DONTWAIT) == 2 && memcmp(received, "ab", 2) == 0;
    int bytes = 8192;
    sqe = sqe_next(kernel);
    option_prepare(sqe, pair[0], SOL_SOCKET, SO_SNDBUF, &bytes);
    sqe->user_data = 2;
    got = kernel_uring.wait(kernel, NSEC_PER_SEC, 0, &completion, 1);
    kernel->features.socket_options = io->socket_options && got == 1 && completion.result == 0;
    close(pair[0]);
    close(pair[1]);
}

static int ring_create(struct kernel_ring *kernel, uint32_t entries)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                                                  IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                         .cq_entries = entries * 8};
    return io_uring_queue_init_params(entries, &kernel->ring, &parameters);
}

static void ring_release(struct kernel_ring *kernel)
{
    io_uring_queue_exit(&kernel->ring);
    munmap(kernel->buffers.ring, kernel->buffers.count * sizeof(struct io_uring_buf));
    munmap(kernel->buffers.memory, kernel->buffers.memory_bytes);
    memory_release(kernel->buffers.order);
    memory_release(kernel->buffers.offset);
    memory_release(kernel->buffers.lent);
    memory_release(kernel->buffers.used_up);
    memory_release(kernel);
}

static struct kernel_ring *uring_open(uint32_t shard, const struct settings *settings, char *ret_error,
                                      size_t error_bytes)
{
    struct kernel_ring *kernel = memory_acquire_aligned(64, sizeof *kernel);
    kernel->shard = shard;
    int failed = ring_create(kernel, settings->io.ring_entries);
    if (failed) {
        snprintf(ret_error, error_bytes,
                 "io_uring cannot be set up: %s. ringmq needs Linux 6.1 or newer with io_uring allowed "
                 "(sysctl kernel.io_uring_disabled = 0, no seccomp filter against it)", strerror(-failed));
        memory_release(kernel);
        return NULL;
    }
    for (uint32_t i = 0; kernel->ring.sq.array && i < kernel->ring.sq.ring_entries; i++) /* newer liburing: a ring without one */
        kernel->ring.sq.array[i] = i;
    kernel->registered = io_uring_register_ring_fd(&kernel->ring) == 1;
    kernel->enter_flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | (kernel->registered ? COMPAT_ENTER_REGISTERED : 0) |
                          (kernel->ring.features & COMPAT_FEAT_NO_IOWAIT ? COMPAT_ENTER_NO_IOWAIT : 0);
    features_probe(kernel, &settings->io, addresses_matter_to(settings));
    if (kernel->features.direct_descriptors) {
        failed = io_uring_register_files_sparse(&kernel->ring, direct_table_entries(settings));
        if (failed) kernel->features.direct_descriptors = kernel->features.fd_passing = false;
    }
    kernel->features.incremental_buffers =
        settings->io.incremental_buffers && buffers_open(kernel, settings->io.receive_buffers_bytes, true);
    if (!kernel->features.incremental_buffers && !buffers_open(kernel, settings->io.receive_buffers_bytes, false)) {
        snprintf(ret_error, error_bytes, "the receive buffers cannot be registered (needs Linux 5.19 or newer)");
        io_uring_queue_exit(&kernel->ring);
        memory_release(kernel);
        return NULL;
    }
    if (kernel->features.incremental_buffers) kernel->features.receive_bundle = false; /* adds nothing there */
    for (uint32_t i = 0; i < kernel->buffers.count; i++)
        buffer_offer(&kernel->buffers, i);
    sockets_probe(kernel, &settings->io);

    int event_fd = eventfd(0, EFD_CLOEXEC);
    if (event_fd < 0) {
        snprintf(ret_error, error_bytes, "cannot make an eventfd: %s; raise the limit of open files (ulimit -n)", strerror(errno));
        ring_release(kernel);
        return NULL;
    }
    atomic_store(&peers[shard].event_fd, event_fd);
    atomic_store(&peers[shard].ring_fd, kernel->ring.ring_fd);
    event_arm(kernel);
    return kernel;
}

static void uring_close(struct kernel_ring *kernel)
{
    close(atomic_exchange(&peers[kernel->shard].event_fd, -1));
    ring_release(kernel);
}

static const struct kernel_features *uring_features(const struct kernel_ring *kernel) { return &kernel->features; }

static uint64_t clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static uint64_t uring_monotonic_ns(struct kernel_ring *kernel) { return clock_read(CLOCK_MONOTONIC); }
static uint64_t uring_realtime_ns(struct kernel_ring *kernel) { return clock_read(CLOCK_REALTIME); }

/* ---- the one system call ---------------------------------------------------------------------------------------- */

static int ring_enter(struct kernel_ring *kernel, uint32_t wait_for, uint64_t timeout_ns, uint64_t min_wait_ns)
{
    struct io_uring *ring = &kernel->ring;
    __atomic_store_n(ring->sq.ktail, ring->sq.sqe_tail, __ATOMIC_RELEASE);
    ring->sq.sqe_head = ring->sq.sqe_tail;
    uint32_t submit = ring->sq.sqe_tail - __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);

    if (min_wait_ns && timeout_ns > WAIT_LONGEST_NS) timeout_ns = WAIT_LONGEST_NS; /* a minimum wait needs an end, else it is the end */
    struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / NSEC_PER_SEC),
                                        .tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC)};
    struct compat_getevents_arg argument = {.min_wait_usec = (unsigned)(min_wait_ns / 1000),
                                            .ts = timeout_ns == UINT64_MAX ? 0 : (uint64_t)(uintptr_t)&timeout};
    int fd = kernel->registered ? ring->enter_ring_fd : ring->ring_fd;
    return io_uring_enter2((unsigned)fd, submit, wait_for, kernel->enter_flags, (void *)&argument, sizeof argument);
}

static void submit_early(struct kernel_ring *kernel)
{
    ring_enter(kernel, 0, 0, 0);
    kernel->sends_now = 0; /* their completions are here already: the next wait does not sleep */
}

static struct io_uring_sqe *sqe_next(struct kernel_ring *kernel)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&kernel->ring);
    while (UNLIKELY(!sqe)) { /* more operations in one turn than the queue has entries */
        submit_early(kernel);
        sqe = io_uring_get_sqe(&kernel->ring);
    }
    return sqe;
}

/* ---- completions ------------------------------------------------------------------------------------------------ */

/* The next buffer in the order of the ring: what a receive used up first. */
static uint32_t buffer_follow(struct receive_buffers *buffers) { return buffers->order[buffers->taken++ & buffers->mask]; }

static uint32_t take_bundle(struct kernel_ring *kernel, struct kernel_completion *out, uint32_t max)
{
    struct receive_buffers *buffers = &kernel->buffers;
    uint32_t given = 0;
    while (kernel->bundle.bytes_left && given < max) {
        uint32_t buffer = buffer_follow(buffers);
        uint32_t bytes = kernel->bundle.bytes_left < buffers->buffer_bytes ? kernel->bundle.bytes_left
                                                                           : buffers->buffer_bytes;
        kernel->bundle.bytes_left -= bytes;
        bool last = kernel->bundle.bytes_left == 0;
        buffers->lent[buffer]++;
        buffers->used_up[buffer] = true;
        out[given++] = (struct kernel_completion){
            .user = kernel->bundle.user, .result = (int32_t)bytes, .buffer = buffer,
            .flags = KERNEL_BUFFER | (!last || kernel->bundle.more ? KERNEL_MORE : 0),
            .data = buffers->memory + (size_t)buffer * buffers->buffer_bytes};
    }
    return given;
}

static void take_buffer(struct kernel_ring *kernel, const struct io_uring_cqe *cqe, struct kernel_completion *out)
{
    struct receive_buffers *buffers = &kernel->buffers;
    uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    out->flags |= KERNEL_BUFFER;
    out->buffer = buffer;
    out->data = buffers->memory + (size_t)buffer * buffers->buffer_bytes + buffers->offset[buffer];
    buffers->lent[buffer]++;
    if (cqe->res > 0) buffers->offset[buffer] += (uint32_t)cqe->res;
    buffers->used_up[buffer] = !kernel->features.incremental_buffers || !(cqe->flags & COMPAT_CQE_F_BUF_MORE);
}

/* The ordinary descriptor that uring_shutdown() asked for. */
static uint32_t take_installed(const struct io_uring_cqe *cqe, struct kernel_completion *out)
{
    *out = (struct kernel_completion){.user = cqe->user_data & ~USER_INSTALL_BIT, .result = cqe->res < 0 ? cqe->res : 0};
    if (cqe->res < 0) return 1;
    shutdown(cqe->res, SHUT_WR);
    close(cqe->res);
    return 1;
}

/* Returns how many completions the queue entry became (0: none of the caller's business). */
static uint32_t take_entry(struct kernel_ring *kernel, const struct io_uring_cqe *cqe, struct kernel_completion *out,
                           uint32_t max)
{
    if (cqe->user_data == USER_NOTHING) return 0;
    if (UNLIKELY(cqe->user_data & USER_INSTALL_BIT)) {
        if (cqe->user_data != USER_WAKE && cqe->user_data != USER_EVENT) return take_installed(cqe, out);
        if (cqe->user_data == USER_EVENT) event_arm(kernel);
        *out = (struct kernel_completion){.flags = KERNEL_WAKE};
        return 1;
    }
    bool buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    if (buffer && kernel->features.receive_bundle && cqe->res > 0) {
        kernel->bundle.user = cqe->user_data;
        kernel->bundle.bytes_left = (uint32_t)cqe->res;
        kernel->bundle.more = (cqe->flags & IORING_CQE_F_MORE) != 0;
        DCHECK(cqe->flags >> IORING_CQE_BUFFER_SHIFT == kernel->buffers.order[kernel->buffers.taken & kernel->buffers.mask]);
        return take_bundle(kernel, out, max);
    }
    *out = (struct kernel_completion){.user = cqe->user_data, .result = cqe->res,
                                      .flags = cqe->flags & IORING_CQE_F_MORE ? KERNEL_MORE : 0};
    if (buffer) take_buffer(kernel, cqe, out);
    return 1;
}

static uint32_t take_all(struct kernel_ring *kernel, struct kernel_completion *out, uint32_t max)
{
    uint32_t given = take_bundle(kernel, out, max);
    struct io_uring_cqe *cqe;
    uint32_t head, seen = 0;
    io_uring_for_each_cqe(&kernel->ring, head, cqe)
    {
        if (given == max || kernel->bundle.bytes_left) break;
        given += take_entry(kernel, cqe, out + given, max - given);
        seen++;
    }
    io_uring_cq_advance(&kernel->ring, seen);
    return given;
}

/* A DEFER_TASKRUN ring runs about 20 pieces of task work a call when it waits for one event: a call that brought that
 * many is followed by another (the flag alone must not be trusted, see facts §2). */
#define WAIT_FOR_MANY    4096 /* with a minimum wait: until so many, or until it is over and there is one */
#define TASK_WORK_A_CALL 16
#define CALLS_A_WAIT     8
#define CALLS_A_WAIT_MAX 64 /* while each of them brings other connections' bytes */

/* The result of a send_now() is seen after so long at the latest, though nothing else happens: the socket may have had no room, and then it is waited for.
 * Longer than the kernel's tick: with 2 ms each wait programs the processor's timer anew, a quarter more of a message that comes alone. */
#define SENDS_UNSEEN_NS_MAX 50000000u

/* True: the first connection that had received something has received again. A crowd is heard whole in one wait, since what a thousand have sent meanwhile
 * would be a queue of several turns; but whoever answers as fast as it is heard would never let a wait end, and send ever less at a time. */
static bool came_round(const struct kernel_completion *completions, uint32_t count, uint32_t *from)
{
    uint32_t first = 0;
    while (first < count && !(completions[first].flags & KERNEL_BUFFER))
        first++;
    if (*from <= first) *from = first + 1;
    for (; *from < count; ++*from)
        if (completions[*from].user == completions[first].user) return true;
    return false;
}

static uint32_t uring_wait(struct kernel_ring *kernel, uint64_t timeout_ns, uint64_t min_wait_ns,
                           struct kernel_completion *ret_completions, uint32_t max)
{
    uint32_t waiting = io_uring_cq_ready(&kernel->ring) + kernel->bundle.bytes_left, sends_now = kernel->sends_now;
    kernel->sends_now = 0;
    if (sends_now && timeout_ns > SENDS_UNSEEN_NS_MAX) timeout_ns = SENDS_UNSEEN_NS_MAX;
    if (waiting || timeout_ns == 0)
        ring_enter(kernel, 0, 0, 0);
    else
        ring_enter(kernel, (kernel->features.min_wait && min_wait_ns ? WAIT_FOR_MANY : 1) + sends_now, timeout_ns,
                   kernel->features.min_wait ? min_wait_ns : 0);
    uint32_t given = take_all(kernel, ret_completions, max), brought = given, looked = 0;
    for (uint32_t calls = 1; brought >= TASK_WORK_A_CALL && given < max && calls < CALLS_A_WAIT_MAX; calls++) {
        if (calls >= CALLS_A_WAIT && came_round(ret_completions, given, &looked)) break;
        ring_enter(kernel, 0, 0, 0);
        brought = take_all(kernel, ret_completions + given, max - given);
        given += brought;
    }
    return given;
}

static uint32_t uring_settle(struct kernel_ring *kernel, struct kernel_completion *ret_completions, uint32_t max)
{
    struct io_uring *ring = &kernel->ring;
    __atomic_store_n(ring->sq.ktail, ring->sq.sqe_tail, __ATOMIC_RELEASE);
    ring->sq.sqe_head = ring->sq.sqe_tail;
    uint32_t submit = ring->sq.sqe_tail - __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);
    int fd = kernel->registered ? ring->enter_ring_fd : ring->ring_fd;
    if (submit) io_uring_enter2((unsigned)fd, submit, 0, kernel->registered ? COMPAT_ENTER_REGISTERED : 0, NULL, 0); /* no GETEVENTS: no task work */
    kernel->sends_now = 0;
    return take_all(kernel, ret_completions, max);
}

static bool uring_ready(struct kernel_ring *kernel)
{
    const struct io_uring_sq *queue = &kernel->ring.sq;
    return io_uring_cq_ready(&kernel->ring) != 0 || queue->sqe_tail != queue->sqe_head || /* a send not yet submitted */
           (__atomic_load_n(kernel->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static struct io_uring_sqe *sqe_for(struct kernel_ring *kernel, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    sqe->user_data = user;
    return sqe;
}

static inline void sqe_finish(const struct kernel_ring *kernel, struct io_uring_sqe *sqe, uint64_t user)
{
    sqe->user_data = user;
    if (kernel->features.direct_descriptors) sqe->flags |= IOSQE_FIXED_FILE;
}

static void uring_accept(struct kernel_ring *kernel, int listener, enum kernel_accept which, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_for(kernel, user);
    bool direct = kernel->features.direct_descriptors, multishot = kernel->features.multishot_accept && which != KERNEL_ACCEPT_ONE;
    if (direct && multishot)
        io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    else if (direct)
        io_uring_prep_accept(sqe, listener, NULL, NULL, 0);
    else if (multishot)
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    else
        io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    if (direct) sqe->file_index = IORING_FILE_INDEX_ALLOC; /* by hand: liburing 2.3's helper adds one to it */
    if (which == KERNEL_ACCEPT_WAITING) sqe->ioprio |= COMPAT_ACCEPT_DONTWAIT;
    sqe->user_data = user;
}

static void uring_receive(struct kernel_ring *kernel, int fd, bool once, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    if (kernel->features.multishot_receive && !once)
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    if (kernel->features.receive_bundle) sqe->ioprio |= COMPAT_RECVSEND_BUNDLE;
    sqe_finish(kernel, sqe, user);
}

static void uring_receive_done(struct kernel_ring *kernel, uint32_t buffer)
{
    struct receive_buffers *buffers = &kernel->buffers;
    DCHECK(buffers->lent[buffer] > 0);
    if (--buffers->lent[buffer] == 0 && buffers->used_up[buffer]) buffer_offer(buffers, buffer);
}

static void uring_receive_keep(struct kernel_ring *kernel, uint32_t buffer)
{
    DCHECK(kernel->buffers.lent[buffer] > 0);
    kernel->buffers.lent[buffer]++;
}

static void uring_send(struct kernel_ring *kernel, int fd, const void *data, size_t bytes, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_send(sqe, fd, data, bytes, MSG_WAITALL | MSG_NOSIGNAL);
    sqe_finish(kernel, sqe, user);
}

/* Never waits for room (MSG_DONTWAIT: no poll is armed), so its completion is posted while it is submitted. */
static void uring_send_now(struct kernel_ring *kernel, int fd, const void *data, size_t bytes, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_send(sqe, fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    sqe_finish(kernel, sqe, user);
    kernel->sends_now++;
}

static int send_flags(bool at_once) { return (at_once ? MSG_DONTWAIT : MSG_WAITALL) | MSG_NOSIGNAL; }

static void uring_send_vector(struct kernel_ring *kernel, int fd, const struct iovec *pieces, uint32_t count, bool at_once, uint64_t user)
{
    DCHECK(kernel->features.send_vectorized);
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_send(sqe, fd, pieces, count, send_flags(at_once));
    sqe->ioprio |= COMPAT_SEND_VECTORIZED;
    sqe_finish(kernel, sqe, user);
}

static void uring_send_message(struct kernel_ring *kernel, int fd, const struct msghdr *message, bool at_once, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_sendmsg(sqe, fd, message, (unsigned)send_flags(at_once));
    sqe_finish(kernel, sqe, user);
}

static void uring_cancel(struct kernel_ring *kernel, uint64_t target)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_cancel64(sqe, target, 0);
    sqe->user_data = USER_NOTHING;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* IORING_OP_SHUTDOWN always runs on a thread of the kernel's, which comes between the shard and its processor: a flood of wrong logins made
 * 1,700 of them a second. An ordinary descriptor, two system calls and no thread cost less. */
static void uring_shutdown(struct kernel_ring *kernel, int fd, uint64_t user)
{
    DCHECK(!(user & USER_INSTALL_BIT));
    struct io_uring_sqe *sqe = sqe_next(kernel);
    if (kernel->features.fd_install && kernel->features.direct_descriptors) {
        io_uring_prep_rw(COMPAT_OP_FIXED_FD_INSTALL, sqe, fd, NULL, 0, 0);
        return sqe_finish(kernel, sqe, user | USER_INSTALL_BIT);
    }
    io_uring_prep_shutdown(sqe, fd, SHUT_WR);
    sqe_finish(kernel, sqe, user);
}

static void uring_close_fd(struct kernel_ring *kernel, int fd, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_for(kernel, user);
    if (kernel->features.direct_descriptors)
        io_uring_prep_close_direct(sqe, (unsigned)fd);
    else
        io_uring_prep_close(sqe, fd);
    sqe->user_data = user;
    if (user == USER_NOTHING) sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    kernel->closes_end = kernel->ring.sq.sqe_tail;
}

static void uring_pass(struct kernel_ring *kernel, int fd, uint32_t to_shard, uint64_t user_there, uint64_t user_here)
{
    DCHECK(kernel->features.fd_passing && to_shard != kernel->shard);
    if (io_uring_sq_space_left(&kernel->ring) < 2) ring_enter(kernel, 0, 0, 0); /* a chain ends where a submission ends */
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_rw(IORING_OP_MSG_RING, sqe, atomic_load(&peers[to_shard].ring_fd), NULL, 0, user_there);
    sqe->addr = IORING_MSG_SEND_FD;
    sqe->addr3 = (uint64_t)fd;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    sqe->user_data = user_here;
    sqe->flags |= IOSQE_IO_LINK;
    sqe = sqe_next(kernel);
    io_uring_prep_close_direct(sqe, (unsigned)fd);
    sqe->user_data = USER_NOTHING;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void uring_install(struct kernel_ring *kernel, int fd, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    io_uring_prep_rw(COMPAT_OP_FIXED_FD_INSTALL, sqe, fd, NULL, 0, 0);
    sqe_finish(kernel, sqe, user);
}

static int uring_enter(struct kernel_ring *kernel, int fd, uint32_t place)
{
    if (!kernel->features.direct_descriptors) return fd;
    /* The one that had the place may be gone though its close is not submitted yet: it would close this one. */
    if ((int32_t)(kernel->closes_end - kernel->ring.sq.sqe_head) > 0) submit_early(kernel);
    int updated = io_uring_register_files_update(&kernel->ring, place, &fd, 1);
    if (updated != 1) return updated < 0 ? updated : -ENFILE;
    close(fd);
    return (int)place;
}

static void uring_set_option(struct kernel_ring *kernel, int fd, int level, int name, const int *value)
{
    struct io_uring_sqe *sqe = sqe_next(kernel);
    option_prepare(sqe, fd, level, name, value);
    sqe_finish(kernel, sqe, USER_NOTHING);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* One entry, not a write linked to an fdatasync: the second of a pair is started by the turn that sees the first done, a turn later, and its completion
 * never comes when the first fails and was to complete only then (IOSQE_CQE_SKIP_SUCCESS). On a thread of the kernel's: queued in the submitting call it
 * takes up to 60 µs of the shard's time, so 4 (facts §5). */
static void uring_write_sync(struct kernel_ring *kernel, int fd, const void *data, uint32_t bytes, uint64_t offset, uint64_t user)
{
    struct io_uring_sqe *sqe = sqe_for(kernel, user);
    io_uring_prep_write(sqe, fd, data, bytes, offset);
    sqe->user_data = user;
    sqe->rw_flags = RWF_DSYNC;
    sqe->flags |= IOSQE_ASYNC;
}

static void uring_wake(struct kernel_ring *from, uint32_t to_shard)
{
    if (from && from->features.message_ring) {
        struct io_uring_sqe *sqe = sqe_next(from);
        io_uring_prep_rw(IORING_OP_MSG_RING, sqe, atomic_load(&peers[to_shard].ring_fd), NULL, 0, USER_WAKE);
        sqe->user_data = USER_NOTHING;
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        return;
    }
    uint64_t one = 1;
    ssize_t written = write(atomic_load(&peers[to_shard].event_fd), &one, sizeof one);
    (void)written; /* a full counter means it is awake */
}

const struct kernel_verbs kernel_uring = {
    .name = "io_uring",
    .open = uring_open,
    .close = uring_close,
    .features = uring_features,
    .monotonic_ns = uring_monotonic_ns,
    .realtime_ns = uring_realtime_ns,
    .accept = uring_accept,
    .receive = uring_receive,
    .receive_done = uring_receive_done,
    .receive_keep = uring_receive_keep,
    .send = uring_send,
    .send_vector = uring_send_vector,
    .send_now = uring_send_now,
    .send_message = uring_send_message,
    .cancel = uring_cancel,
    .shutdown = uring_shutdown,
    .close_fd = uring_close_fd,
    .pass = uring_pass,
    .install = uring_install,
    .set_option = uring_set_option,
    .enter = uring_enter,
    .write_sync = uring_write_sync,
    .wake = uring_wake,
    .wait = uring_wait,
    .settle = uring_settle,
    .ready = uring_ready,
};
