/* test_uring_places.c - enter() on a real ring: a descriptor at a place that another one has just left. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/kernel.h"

Test(uring_places, a_close_not_yet_submitted_does_not_meet_the_next_one, .timeout = 20)
{
    static const struct settings settings = {.node = {.connections_max = 16},
                                             .io = {.ring_entries = 64, .receive_buffers_bytes = 65536, .direct_descriptors = true, .fd_passing = true}};
    char error[256], received[8];
    struct kernel_ring *ring = kernel_uring.open(0, &settings, error, sizeof error);
    cr_assert(ring, "%s", error);
    if (!kernel_uring.features(ring)->direct_descriptors) cr_skip_test("no direct descriptors here");
    int before[2], after[2];
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, before) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, after) == 0);

    int place = kernel_uring.enter(ring, before[0], 3);
    cr_assert_eq(place, 3);
    kernel_uring.close_fd(ring, place, 0);
    place = kernel_uring.enter(ring, after[0], 3);
    cr_assert_eq(place, 3);
    kernel_uring.send(ring, place, "here", 4, 1);
    struct kernel_completion completion;
    cr_assert_eq(kernel_uring.wait(ring, 10 * 1000 * 1000 * 1000ull, 0, &completion, 1), 1);
    cr_assert_eq(completion.user, 1);
    cr_assert_eq(completion.result, 4, "it was closed: %d", completion.result);
    cr_assert_eq(recv(after[1], received, sizeof received, MSG_DONTWAIT), 4);
    cr_assert_eq(recv(before[1], received, sizeof received, MSG_DONTWAIT), 0, "and that one is");
    kernel_uring.close(ring);
    close(before[1]);
    close(after[1]);
}
