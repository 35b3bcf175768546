/* sluice.c - see sluice.h. */
#include "features/auth/sluice.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void sluice_init(struct sluice *sluice)
{
    sluice->server = sluice->inside = -1;
    sluice->left_bytes = UINT64_MAX;
    sluice->in.bytes = sluice->in.sent = sluice->out.bytes = sluice->out.sent = 0;
}

bool sluice_open(struct sluice *sluice, int library)
{
    int pair[2], server = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return false;
    server = fcntl(library, F_DUPFD_CLOEXEC, 0);
    bool fine = server >= 0 && dup3(pair[0], library, O_CLOEXEC) >= 0;
    int why = errno;
    close(pair[0]);
    if (fine) {
        sluice->server = server;
        sluice->inside = pair[1];
        return true;
    }
    if (server >= 0) close(server);
    close(pair[1]);
    errno = why;
    return false;
}

void sluice_allow(struct sluice *sluice, uint64_t bytes) { sluice->left_bytes = bytes < UINT64_MAX ? bytes + 1 : bytes; }

bool sluice_spent(const struct sluice *sluice) { return sluice->left_bytes == 0; }

static bool pending(const struct sluice_way *way) { return way->sent < way->bytes; }

static bool would_block(ssize_t result) { return result < 0 && (errno == EAGAIN || errno == EINTR); }

/* One read of at most `most` bytes when all before it are written, and one write. False: an end. */
static bool move(struct sluice_way *way, int from, int to, uint64_t most)
{
    if (!pending(way)) {
        ssize_t got = recv(from, way->data, most < sizeof way->data ? (size_t)most : sizeof way->data, 0);
        way->sent = 0;
        way->bytes = got > 0 ? (size_t)got : 0;
        if (got <= 0) return would_block(got);
    }
    ssize_t sent = send(to, way->data + way->sent, way->bytes - way->sent, MSG_NOSIGNAL);
    if (sent > 0) way->sent += (size_t)sent;
    return sent > 0 || would_block(sent);
}

static bool move_in(struct sluice *sluice)
{
    bool reads = !pending(&sluice->in), fine = move(&sluice->in, sluice->server, sluice->inside, sluice->left_bytes);
    if (reads) sluice->left_bytes -= sluice->in.bytes;
    return fine;
}

static bool move_out(struct sluice *sluice) { return move(&sluice->out, sluice->inside, sluice->server, SLUICE_STEP_BYTES); }

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool sluice_wait(struct sluice *sluice, int library, short events, int timeout_ms)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    while (!sluice_spent(sluice)) {
        bool in = pending(&sluice->in), out = pending(&sluice->out);
        struct pollfd ends[3] = {{.fd = library, .events = events},
                                 {.fd = sluice->server, .events = (short)((in ? 0 : POLLIN) | (out ? POLLOUT : 0))},
                                 {.fd = sluice->inside, .events = (short)((out ? 0 : POLLIN) | (in ? POLLOUT : 0))}};
        int64_t left_ms = deadline_ms - now_ms();
        int ready = poll(ends, 3, left_ms > 0 ? (int)left_ms : 0);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        if (ends[0].revents) return true;
        bool fine = (!(ends[out ? 1 : 2].revents) || move_out(sluice)) && (!(ends[in ? 2 : 1].revents) || move_in(sluice));
        if (!fine) shutdown(sluice->inside, SHUT_RDWR);
    }
    return false;
}

void sluice_close(struct sluice *sluice)
{
    if (sluice->server < 0) return;
    while (move_out(sluice) && sluice->out.bytes && !pending(&sluice->out)) {}
    close(sluice->inside);
    close(sluice->server);
    sluice_init(sluice);
}
