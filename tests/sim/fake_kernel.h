/* fake_kernel.h - the second implementation of engine/kernel.h: sockets, rings and time in one thread, from one seed.
 *
 * Everything a kernel may do happens here by chance: bytes arrive in odd pieces, receives end early or find no buffer, sends are
 * short, connections are reset, descriptors change hands. The simulated clients sit at the other end of the sockets. */
#ifndef RINGMQ_TESTS_SIM_FAKE_KERNEL_H
#define RINGMQ_TESTS_SIM_FAKE_KERNEL_H

#include "base/random.h"
#include "engine/kernel.h"

extern const struct kernel_verbs kernel_fake;

#define FAKE_SOCKETS_MAX 4096
#define FAKE_LISTENER    1 /* every shard's listening descriptor */

/* Chances in 1/256 per opportunity. */
struct fake_chances {
    uint32_t receive_now, receive_short, receive_ends, no_buffer;
    uint32_t send_now, send_short, accept_now;
    bool fd_passing, send_vectorized;
    uint32_t pipe_bytes; /* capacity of a socket in each direction */
};

struct fake_disk;
/* The disk behind write_sync(); NULL: none. Set it after fake_reset(). */
void fake_use_disk(struct fake_disk *disk);
/* The process is killed: writes under way are done by halves, and the disk changes no more. */
void fake_crash_disk(void);
void fake_reset(uint64_t seed, const struct fake_chances *chances);
/* Releases everything; CHECKs that the broker closed every socket it was given. */
void fake_release(void);
void fake_advance_ns(uint64_t ns);
/* From now on each look at the monotonic clock takes so long (0 after fake_reset()): what a turn does between two looks is its measure then. */
void fake_look_takes_ns(uint64_t ns);
/* Would a shard that sleeps in wait() be woken now, by something that completes or by another shard? What has completed is given with its next wait(). */
bool fake_wakes(uint32_t shard);
/* What the shard's last wait() asked for. */
uint64_t fake_min_wait_ns(uint32_t shard);
uint64_t fake_now_ns(void);

/* The clients' side. A socket number is good until fake_hang_up(). */
int fake_connect(uint32_t shard);
/* Returns how many bytes were taken (0: the pipe is full) or -1: the broker has closed. */
int fake_client_send(int socket, const void *data, size_t bytes);
/* Returns how many bytes came (0: none now) or -1: the broker has closed and everything was read. */
int fake_client_receive(int socket, void *data, size_t bytes);
/* The client is gone; reset: bytes still under way are lost. */
void fake_hang_up(int socket, bool reset);
/* Descriptors the broker holds. */
uint32_t fake_open_count(void);

#endif
