#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/replay.h"

struct backup_names {
    struct replay_segment *segments;
    uint32_t count, capacity;
    char complete[32]; /* "": no such file */
};

static void name_take(void *context, const char *name)
{
    struct backup_names *names = context;
    struct replay_segment segment;
    if (strncmp(name, "complete-", 9) == 0 && strcmp(name, names->complete) > 0) snprintf(names->complete, sizeof names->complete, "%s", name);
    if (!replay_parse_name(name, &segment)) return;
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? names->capacity * 2 : 16;
        names->segments = memory_resize(names->segments, names->capacity * sizeof *names->segments);
    }
    names->segments[names->count++] = segment;
}

static int compare_segments(const void *a, const void *b)
{
    return strcmp(((const struct replay_segment *)a)->name, ((const struct replay_segment *)b)->name); /* epoch, shard, number: hexadecimal */
}

/* ---- where a log that is being written ends ---------------------------------------------------------------------- */

struct log_end {
    uint32_t epoch, shard;
    uint64_t sequence; /* of the last commit copied; 0: none yet */
    bool over;         /* what comes in later segments was written after we had looked */
};

static bool commit_whole(const struct replay_segment *segment, uint64_t seed, uint64_t at, struct store_commit_header *header)
{
    struct span bytes = segment->bytes;
    if (at + sizeof *header > bytes.bytes) return false;
    memcpy(header, bytes.data + at, sizeof *header);
    if (header->magic != STORE_COMMIT_MAGIC || header->epoch != segment->epoch || header->shard != segment->shard ||
        header->segment != segment->number || header->bytes < sizeof *header || header->bytes > STORE_COMMIT_BYTES_MAX ||
        at + header->bytes > bytes.bytes)
        return false;
    return hash_span_seeded(span_of(bytes.data + at + STORE_COMMIT_CHECKED_FROM, header->bytes - STORE_COMMIT_CHECKED_FROM), seed) == header->checksum;
}

/* Bytes of the segment that belong into the copy. Commits in a row only: behind the first that is not whole something may be written while we read. */
static uint64_t segment_end(const struct replay_segment *segment, struct log_end *end)
{
    struct store_segment_header header;
    uint64_t at = STORE_BLOCK_BYTES;
    if (segment->bytes.bytes < STORE_BLOCK_BYTES) return segment->bytes.bytes;
    memcpy(&header, segment->bytes.data, sizeof header);
    for (struct store_commit_header commit; commit_whole(segment, header.seed, at, &commit); at += store_round_up(commit.bytes)) {
        bool again = end->sequence && commit.sequence <= end->sequence; /* its first segment had failed */
        if (!again && end->sequence && commit.sequence != end->sequence + 1) end->over = true;
        if (end->over) break;
        if (!again) end->sequence = commit.sequence;
    }
    return end->over ? STORE_BLOCK_BYTES : at;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

static int write_all(int fd, struct span bytes)
{
    while (bytes.bytes) {
        ssize_t written = write(fd, bytes.data, bytes.bytes < (1u << 20) ? bytes.bytes : 1u << 20);
        if (written < 0) return -errno;
        bytes = span_of(bytes.data + written, bytes.bytes - (size_t)written);
    }
    return 0;
}

/* `whole` bytes long, of which what is behind `bytes` is a hole that reads as zeros. */
static int file_write(const char *directory, const char *name, struct span bytes, uint64_t whole)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0) return -errno;
    int error = write_all(fd, bytes);
    if (!error && ftruncate(fd, (off_t)whole) != 0) error = -errno;
    if (!error && fsync(fd) != 0) error = -errno;
    close(fd);
    return error;
}

static int segment_copy(const struct store_files *files, struct replay_segment *segment, struct log_end *end, const char *directory)
{
    int error = files->map(files->context, segment->name, &segment->bytes);
    if (error) return error;
    uint64_t bytes = segment_end(segment, end);
    error = file_write(directory, segment->name, span_of(segment->bytes.data, bytes), segment->bytes.bytes);
    files->unmap(files->context, segment->bytes);
    return error;
}

static int logs_copy(const struct store_files *files, const char *directory)
{
    struct backup_names names = {0};
    struct log_end end = {0};
    int error = files->list(files->context, name_take, &names);
    if (names.count) qsort(names.segments, names.count, sizeof *names.segments, compare_segments);
    for (uint32_t i = 0; i < names.count && !error; i++) {
        const struct replay_segment *segment = &names.segments[i];
        if (segment->epoch != end.epoch || segment->shard != end.shard) end = (struct log_end){.epoch = segment->epoch, .shard = segment->shard};
        error = segment_copy(files, &names.segments[i], &end, directory);
    }
    char version[16];
    snprintf(version, sizeof version, "%d\n", STORE_FORMAT_VERSION);
    if (!error) error = file_write(directory, "version", span_of_string(version), strlen(version));
    if (!error && names.complete[0]) error = file_write(directory, names.complete, span_of("", 0), 0);
    memory_release(names.segments);
    return error;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    remove(path);
    return 0;
}

/* Of the files in a directory; holes are not there. */
static uint64_t directory_bytes(const char *path)
{
    uint64_t bytes = 0;
    DIR *directory = opendir(path);
    if (!directory) return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode)) bytes += (uint64_t)status.st_blocks * 512;
    }
    closedir(directory);
    return bytes;
}

bool store_backup(struct store *store, struct spill *spill, const char *directory, uint64_t *ret_bytes, char *ret_error, size_t error_bytes)
{
    char inside[4300], shelf[4400];
    snprintf(inside, sizeof inside, "%s/store", directory);
    snprintf(shelf, sizeof shelf, "%s/" STORE_SHELF_NAME, inside);
    bool made = mkdir(directory, 0750) == 0;
    if (!made || mkdir(inside, 0750) != 0) {
        snprintf(ret_error, error_bytes, "cannot make %.300s: %s", directory, strerror(errno));
        if (made) rmdir(directory);
        return false;
    }
    store_hold(store, true);
    if (spill) spill_hold(spill, true);
    int error = logs_copy(store_files_of(store), inside);
    if (!error && spill) error = spill_backup(spill, shelf);
    if (spill) spill_hold(spill, false);
    store_hold(store, false);
    if (!error) error = files_sync_directory(inside); /* from within: what a name stands for is there before it */
    if (!error) error = files_sync_directory(directory);
    if (!error) error = files_sync_above(directory);
    *ret_bytes = error ? 0 : directory_bytes(inside) + directory_bytes(shelf);
    if (!error) return true;
    snprintf(ret_error, error_bytes, "cannot copy into %.300s: %s", directory, strerror(-error));
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return false;
}
