/* write_sync of the real kernel: it completes once, whatever becomes of it. (A write linked to an fdatasync did not when the write failed.) */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/settings.h"
#include "engine/kernel.h"

#define BYTES 8192

/* Results of all completions that come within a quarter of a second; the last one in ret_result. */
static uint32_t completions(struct kernel_ring *ring, uint64_t user, int32_t *ret_result)
{
    uint32_t count = 0;
    for (int round = 0; round < 5; round++) {
        struct kernel_completion completions[16];
        uint32_t got = kernel_uring.wait(ring, 50000000, 0, completions, 16);
        for (uint32_t i = 0; i < got; i++) {
            if (completions[i].user != user) continue;
            count++;
            *ret_result = completions[i].result;
        }
    }
    return count;
}

static int32_t write_once(int fd, uint64_t offset)
{
    static struct settings settings = {.node = {.connections_max = 64}, .io = {.ring_entries = 64, .receive_buffers_bytes = 1 << 20}};
    char error[200] = "";
    struct kernel_ring *ring = kernel_uring.open(0, &settings, error, sizeof error);
    if (!ring) cr_skip_test("no ring: %s", error);
    void *data = aligned_alloc(4096, BYTES);
    memset(data, 'x', BYTES);
    int32_t result = 1;
    uint64_t user = 0x77ull << 56;
    kernel_uring.write_sync(ring, fd, data, BYTES, offset, user);
    cr_assert_eq(completions(ring, user, &result), 1, "one completion");
    kernel_uring.close(ring);
    free(data);
    return result;
}

Test(write_sync, success_is_what_was_written)
{
    char path[] = "/tmp/ringmq-write-sync-XXXXXX", back[4];
    int fd = mkstemp(path);
    unlink(path);
    cr_assert_eq(ftruncate(fd, 4 * BYTES), 0);
    cr_expect_eq(write_once(fd, BYTES), BYTES);
    cr_expect(pread(fd, back, 4, 2 * BYTES - 2) == 4 && memcmp(back, "xx\0\0", 4) == 0);
    close(fd);
}

Test(write_sync, failure_is_told_once)
{
    int full = open("/dev/full", O_WRONLY), unwritable = open("/dev/zero", O_RDONLY);
    cr_expect_eq(write_once(full, 0), -ENOSPC);
    cr_expect_eq(write_once(unwritable, 0), -EBADF);
    close(full);
    close(unwritable);
}
