/* test_uring_sends.c - send_now() on a real ring: its completion is certain, and does not end a wait. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/kernel.h"

#define WAIT_NS (30 * 1000 * 1000ull)

static const struct settings settings = {.node = {.connections_max = 16}, .io = {.ring_entries = 64, .receive_buffers_bytes = 65536, .min_wait = true}};
static struct kernel_ring *ring;
static int pair[2];

static void open_all(void)
{
    char error[256];
    ring = kernel_uring.open(0, &settings, error, sizeof error);
    cr_assert(ring, "%s", error);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
}

static void close_all(void)
{
    kernel_uring.close(ring);
    close(pair[0]);
    close(pair[1]);
}

TestSuite(uring_sends, .init = open_all, .fini = close_all, .timeout = 20);

static uint32_t waited(uint64_t timeout_ns, uint64_t min_wait_ns, struct kernel_completion *completions, uint64_t *ret_ns)
{
    uint64_t begin = kernel_uring.monotonic_ns(ring);
    uint32_t count = kernel_uring.wait(ring, timeout_ns, min_wait_ns, completions, 8);
    *ret_ns = kernel_uring.monotonic_ns(ring) - begin;
    return count;
}

Test(uring_sends, a_send_now_does_not_end_a_wait)
{
    struct kernel_completion completions[8];
    uint64_t took_ns;
    char received[8];
    kernel_uring.send_now(ring, pair[0], "one", 3, 1);
    cr_assert_eq(waited(20000 * WAIT_NS, 0, completions, &took_ns), 1, "it is told after 50 ms (ten minutes: the test's timeout), in case there was no room");
    cr_assert_eq(completions[0].user, 1);
    cr_assert_eq(completions[0].result, 3);
    cr_assert_geq(took_ns, 50 * 1000 * 1000);
    cr_assert_eq(recv(pair[1], received, sizeof received, MSG_DONTWAIT), 3);
}

Test(uring_sends, a_send_beside_it_does)
{
    struct kernel_completion completions[8];
    uint64_t took_ns;
    kernel_uring.send_now(ring, pair[0], "one", 3, 1);
    kernel_uring.send(ring, pair[0], "two", 3, 2);
    cr_assert_eq(waited(20000 * WAIT_NS, 0, completions, &took_ns), 2); /* ten minutes: the test's timeout says that it slept */
    cr_assert_eq(completions[0].result + completions[1].result, 6);
    kernel_uring.send_now(ring, pair[0], "three", 5, 3);
    kernel_uring.send(ring, pair[0], "four", 4, 4);
    cr_assert_geq(waited(20000 * WAIT_NS, 1000 * 1000, completions, &took_ns), 1, "with a minimum wait, too");
}

Test(uring_sends, it_is_told_what_found_no_room)
{
    static char bytes[1 << 20];
    struct kernel_completion completions[8];
    uint64_t took_ns;
    kernel_uring.send_now(ring, pair[0], bytes, sizeof bytes, 1);
    cr_assert_eq(waited(WAIT_NS, 0, completions, &took_ns), 1);
    cr_assert(completions[0].result > 0 && completions[0].result < (int)sizeof bytes, "short: %d", completions[0].result);
    for (int tries = 0; tries < 8 && completions[0].result > 0; tries++) {
        kernel_uring.send_now(ring, pair[0], bytes, sizeof bytes, 2);
        cr_assert_eq(waited(WAIT_NS, 0, completions, &took_ns), 1);
    }
    cr_assert_eq(completions[0].result, -EAGAIN);
}

Test(uring_sends, more_than_the_queue_holds_are_all_told)
{
    struct kernel_completion completions[8];
    uint64_t took_ns;
    uint32_t told = 0;
    for (uint64_t i = 0; i < 150; i++) /* 64 fit: they are submitted along the way */
        kernel_uring.send_now(ring, pair[0], "x", 1, i + 1);
    while (told < 150) {
        uint32_t count = waited(WAIT_NS, 0, completions, &took_ns);
        cr_assert(count > 0);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(completions[i].user, ++told);
    }
}
