#include "base/bell.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool bell_open(struct bell *bell)
{
    *bell = (struct bell){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    return bell->fd >= 0;
}

void bell_close(struct bell *bell)
{
    if (bell->fd >= 0) close(bell->fd);
    *bell = (struct bell)BELL_CLOSED;
}

void bell_sleep(struct bell *bell)
{
    DCHECK(bell->fd >= 0);
    atomic_store(&bell->sleeping, true);
}

void bell_awake(struct bell *bell)
{
    uint64_t rings;
    atomic_store(&bell->sleeping, false);
    ssize_t got = read(bell->fd, &rings, sizeof rings);
    CHECK(got == sizeof rings || (got < 0 && errno == EAGAIN));
}

void bell_ring_now(struct bell *bell)
{
    uint64_t one = 1;
    if (!atomic_exchange(&bell->sleeping, false)) return; /* another writer was first */
    ssize_t written = write(bell->fd, &one, sizeof one);
    CHECK(written == sizeof one);
}
