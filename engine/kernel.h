/* kernel.h - the table of verbs through which a shard reaches the kernel.
 *
 * Two implementations: engine/uring.c (io_uring) and tests/sim/fake_kernel.c (one thread, one seed). The engine above knows
 * neither. A ring belongs to one shard; every verb is called on that shard's thread except wake(), which may be called by
 * any thread that owns a ring, and by the control thread with from = NULL.
 *
 * Verbs that start an operation never fail and never block: they queue it, and its outcome arrives as a completion with the
 * `user` value given. An operation that keeps going (accept, receive) has KERNEL_MORE set on every completion but its last.
 * Results are as in io_uring: >= 0 or a negative errno. */
#ifndef RINGMQ_ENGINE_KERNEL_H
#define RINGMQ_ENGINE_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/settings.h"
#include "base/span.h"

struct kernel_ring;

enum kernel_flags {
    KERNEL_MORE = 1,   /* the operation goes on: another completion will come */
    KERNEL_BUFFER = 2, /* `data` points into a receive buffer: give it back with receive_done() */
    KERNEL_WAKE = 4,   /* not an operation of ours: somebody called wake() */
    KERNEL_URGENT = 8, /* the shard's own marks, never set by a ring: handled before others */
    KERNEL_REST = 16   /* the turn was over before the end of it: this is the rest */
};

/* Which connections an accept brings. */
enum kernel_accept {
    KERNEL_ACCEPT_ALL,     /* now and later */
    KERNEL_ACCEPT_ONE,
    KERNEL_ACCEPT_WAITING  /* those that are there now, then it ends with -EAGAIN; only where features->accept_waiting */
};

struct kernel_completion {
    uint64_t user;
    int32_t result;
    uint32_t flags;
    const uint8_t *data; /* KERNEL_BUFFER: `result` bytes */
    uint32_t buffer;     /* KERNEL_BUFFER: for receive_done() */
};

/* What this ring uses, found by probing and by settings->io. Words for the start-up line. */
struct kernel_features {
    bool direct_descriptors, fd_passing, message_ring, incremental_buffers, receive_bundle, send_vectorized, min_wait,
        socket_options, fd_install;
    bool multishot_accept, multishot_receive, accept_waiting;
};

struct kernel_verbs {
    const char *name;

    /* Opens ring number `shard`. Called on the shard's own thread. NULL: see *ret_error, a sentence. */
    struct kernel_ring *(*open)(uint32_t shard, const struct settings *settings, char *ret_error, size_t error_bytes);
    void (*close)(struct kernel_ring *ring);
    const struct kernel_features *(*features)(const struct kernel_ring *ring);

    uint64_t (*monotonic_ns)(struct kernel_ring *ring);
    uint64_t (*realtime_ns)(struct kernel_ring *ring);

    /* Connections from a listening socket (an ordinary descriptor). Result: the descriptor to use below. */
    void (*accept)(struct kernel_ring *ring, int listener, enum kernel_accept which, uint64_t user);
    /* `once`: whatever comes first, and then it ends. */
    void (*receive)(struct kernel_ring *ring, int fd, bool once, uint64_t user);
    void (*receive_done)(struct kernel_ring *ring, uint32_t buffer);
    /* Somebody else needs the buffer of a completion, too: one receive_done() more will come. Before that completion's own. */
    void (*receive_keep)(struct kernel_ring *ring, uint32_t buffer);
    /* All bytes or an error, unless the kernel is too old to finish a short send: then fewer. Bytes stay the caller's until
     * the completion. */
    void (*send)(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user);
    /* `at_once`: what the socket takes at once, fewer bytes or -EAGAIN when it has no room; it is over when the next settle() or wait() has
     * submitted it. */
    void (*send_vector)(struct kernel_ring *ring, int fd, const struct iovec *pieces, uint32_t count, bool at_once, uint64_t user);
    /* What the socket takes at once: fewer bytes, or -EAGAIN, when it has no room. It is over when the next wait() has submitted it, and
     * that wait() does not end because of it: its completion comes along with whatever else happens, after 50 ms at the latest. For sends
     * after which the caller has nothing to do. */
    void (*send_now)(struct kernel_ring *ring, int fd, const void *data, size_t bytes, uint64_t user);
    /* The same through a msghdr, which must stay until the completion too: where features->send_vectorized is false. */
    void (*send_message)(struct kernel_ring *ring, int fd, const struct msghdr *message, bool at_once, uint64_t user);
    /* Ends the operation started with `target`; that one completes as usual (with -ECANCELED where it was cut short). */
    void (*cancel)(struct kernel_ring *ring, uint64_t target);
    /* SHUT_WR. Where features->fd_install is false it runs on a kernel thread, which looks the descriptor up when it gets to it: the
     * descriptor must not be closed before this has completed, or the next connection in its place is shut down. Result < 0: it could
     * not be said (no descriptor left). */
    void (*shutdown)(struct kernel_ring *ring, int fd, uint64_t user);
    /* A receive or send that is still under way keeps the socket alive: cancel it, and the socket ends with its completion. `user` 0: no
     * completion of the close itself. */
    void (*close_fd)(struct kernel_ring *ring, int fd, uint64_t user);
    /* Hands fd to another ring. `user_there` arrives at `to` with its new descriptor as result; `user_here` arrives here
     * (result < 0: it was not handed over and stays ours; else fd is closed here). Only where features->fd_passing; elsewhere
     * descriptors are good for all rings. */
    void (*pass)(struct kernel_ring *ring, int fd, uint32_t to_shard, uint64_t user_there, uint64_t user_here);
    /* An ordinary descriptor for fd as result (for getpeername and the like; the caller closes it), or a negative errno where
     * the kernel can't. Where features->direct_descriptors is false fd is one already. */
    void (*install)(struct kernel_ring *ring, int fd, uint64_t user);

    /* Puts an ordinary descriptor at `place` of the ring's table and closes it; returns the descriptor to use above, or a
     * negative errno (then it is still open and ours). For connections that were dialled, not accepted: places of a ring that also
     * accepts belong to the kernel, so such a ring must not call this. Where features->direct_descriptors is false it returns
     * fd. A system call. */
    int (*enter)(struct kernel_ring *ring, int fd, uint32_t place);

    /* setsockopt(2) of an int on a connection; no completion. Only where features->socket_options. `value` must stay. */
    void (*set_option)(struct kernel_ring *ring, int fd, int level, int name, const int *value);

    /* Writes `bytes` into a file (an ordinary descriptor) and syncs them, as a write and an fdatasync do, without holding up the ring.
     * Completes once: with what was written (less than `bytes`: that much, for good or not), or a negative errno. `data` must stay until then. */
    void (*write_sync)(struct kernel_ring *ring, int fd, const void *data, uint32_t bytes, uint64_t offset, uint64_t user);

    void (*wake)(struct kernel_ring *from, uint32_t to_shard);

    /* Submits what was queued, waits until something completes or `timeout_ns` passed (0: don't wait; UINT64_MAX: no limit),
     * and gives up to `max` completions. `min_wait_ns` > 0: having found one, go on collecting for so long. */
    uint32_t (*wait)(struct kernel_ring *ring, uint64_t timeout_ns, uint64_t min_wait_ns,
                     struct kernel_completion *ret_completions, uint32_t max);
    /* Submits what was queued and gives what is over by that. Nothing is received meanwhile, so that buffers can be given back first. */
    uint32_t (*settle)(struct kernel_ring *ring, struct kernel_completion *ret_completions, uint32_t max);
    /* True when wait() has something to do at once: completions to give, or operations to submit that were queued since the last
     * one. For spinning without a system call. */
    bool (*ready)(struct kernel_ring *ring);
};

extern const struct kernel_verbs kernel_uring;

#endif
