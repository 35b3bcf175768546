/* uring_compat.h - io_uring constants newer than liburing 2.3 (Debian 12), with the kernel that brought each.
 * Included by engine/uring.c only. Defined under names of our own, so that a newer liburing's enums don't clash. */
#ifndef RINGMQ_ENGINE_URING_COMPAT_H
#define RINGMQ_ENGINE_URING_COMPAT_H

#define COMPAT_RECVSEND_BUNDLE      (1U << 4)  /* 6.10, sqe->ioprio of a receive           */
#define COMPAT_FEAT_RECVSEND_BUNDLE (1U << 14) /* 6.10, features                           */
#define COMPAT_ACCEPT_DONTWAIT      (1U << 1)  /* 6.10, sqe->ioprio of an accept           */
#define COMPAT_FEAT_MIN_TIMEOUT     (1U << 15) /* 6.12, features                           */
#define COMPAT_PBUF_RING_INC        2          /* 6.12, flags of a buffer ring             */
#define COMPAT_CQE_F_BUF_MORE       (1U << 4)  /* 6.12, the buffer of this completion goes on */
#define COMPAT_SEND_VECTORIZED      (1U << 5)  /* 6.17, sqe->ioprio of a send              */
#define COMPAT_OP_FIXED_FD_INSTALL  54         /* 6.8                                      */
#define COMPAT_OP_URING_CMD         46         /* 5.19                                     */
#define COMPAT_SOCKET_SETSOCKOPT    3          /* 6.7, cmd_op of a URING_CMD on a socket   */
#define COMPAT_ENTER_REGISTERED     (1U << 4)  /* 5.18                                     */
#define COMPAT_ENTER_NO_IOWAIT      (1U << 7)  /* 6.15                                     */
#define COMPAT_FEAT_NO_IOWAIT       (1U << 17) /* 6.15, features                           */

/* struct io_uring_buf_reg: what liburing 2.3 calls pad is called flags from 2.5 on. */
struct compat_buffer_ring {
    unsigned long long ring_addr;
    unsigned ring_entries;
    unsigned short bgid;
    unsigned short flags;
    unsigned long long resv[3];
};

/* struct io_uring_getevents_arg of 6.12: the pad became min_wait_usec. */
struct compat_getevents_arg {
    unsigned long long sigmask;
    unsigned sigmask_sz;
    unsigned min_wait_usec;
    unsigned long long ts;
};

#endif
