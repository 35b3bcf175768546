/* The ban list's file: whatever it holds, a sentence and the old list, or a list that is the same when it was written and read once more. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "features/protect/bans.h"

static void count(void *context, const struct ban *ban)
{
    CHECK(ban->kind < BAN_KINDS && ban->who.bytes > 0);
    ++*(uint32_t *)context;
}

static uint32_t count_of(struct bans *bans, uint64_t now_ms)
{
    uint32_t all = 0;
    bans_each(bans, now_ms, count, &all);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint64_t now_ms = 1700000000000;
    char path[64], copy[64], error[400];
    struct bans bans, again;
    int fd = memfd_create("bans", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    bans_init(&bans);
    CHECK(bans_add(&bans, &(struct ban){.kind = BAN_CLIENT_ID, .who = SPAN_LITERAL("old")}, now_ms) == BAN_DONE);
    if (bans_read(&bans, path, now_ms, error, sizeof error)) {
        snprintf(copy, sizeof copy, "/tmp/ringmq-fuzz-bans-%d", (int)getpid());
        CHECK(bans_write(&bans, copy, now_ms, error, sizeof error));
        bans_init(&again);
        CHECK(bans_read(&again, copy, now_ms, error, sizeof error));
        CHECK(count_of(&bans, now_ms) == count_of(&again, now_ms));
        bans_release(&again);
        unlink(copy);
        struct ban_client client = {.client_id = span_of(data, bytes > 65535 ? 65535 : bytes), .user_name = SPAN_LITERAL("u"), .has_user_name = true};
        bans_match(&bans, &client, now_ms);
    } else {
        CHECK(*error && count_of(&bans, now_ms) == 1);
    }
    bans_release(&bans);
    close(fd);
    return 0;
}
