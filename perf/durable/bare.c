/* bare.c - the disk's own limit: write and fdatasync in a loop, into a file written in full before, with O_DIRECT.
 *
 *     durable_bare DIRECTORY COMMIT_BYTES SECONDS */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES (64u << 20)

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b; }

int main(int argc, char **argv)
{
    if (argc < 4) return 1;
    char path[4096];
    snprintf(path, sizeof path, "%s/durable_bare.tmp", argv[1]);
    size_t bytes = ((size_t)atol(argv[2]) + 4095) / 4096 * 4096;
    double seconds = atof(argv[3]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (fd < 0) fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    void *data = aligned_alloc(4096, bytes > (1 << 20) ? bytes : 1 << 20);
    memset(data, 1, bytes > (1 << 20) ? bytes : 1 << 20);
    for (uint32_t at = 0; at < FILE_BYTES; at += 1 << 20)
        if (pwrite(fd, data, 1 << 20, at) != 1 << 20) return perror(path), 1;
    fdatasync(fd);
    static double took[1 << 20];
    uint32_t count = 0;
    double begun = now(), last = begun;
    for (off_t at = 0; last - begun < seconds && count < 1 << 20; at = at + 2 * (off_t)bytes > FILE_BYTES ? 0 : at + (off_t)bytes) {
        if (pwrite(fd, data, bytes, at) != (ssize_t)bytes || fdatasync(fd) != 0) return perror(path), 1;
        double end = now();
        took[count++] = end - last;
        last = end;
    }
    qsort(took, count, sizeof *took, compare);
    printf("%.0f commits/s of %zu bytes, %.1f MB/s, p50 %.2f ms, p99 %.2f ms\n", count / (last - begun), bytes,
           (double)count * (double)bytes / (last - begun) / 1e6, took[count / 2] * 1e3, took[count * 99 / 100] * 1e3);
    unlink(path);
    return 0;
}
