/* files.c - the verbs of files.h on a real directory. */
#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/format.h"

#define NAME_LOCK    "lock"
#define NAME_VERSION "version"
#define FILE_MODE    0600
#define DIRECTORY_MODE 0700

struct directory {
    int fd;
    int lock;
    bool direct;
};

static int sync_directory(const struct directory *directory) { return fsync(directory->fd) == 0 ? 0 : -errno; }

static int real_list(void *context, void (*each)(void *argument, const char *name), void *argument)
{
    const struct directory *directory = context;
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) return -errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream)); errno = 0)
        if (entry->d_name[0] != '.') each(argument, entry->d_name);
    int error = -errno;
    closedir(stream);
    return error;
}

static int open_for_writing(struct directory *directory, const char *name, int flags)
{
    int fd = openat(directory->fd, name, flags | O_RDWR | O_CLOEXEC | (directory->direct ? O_DIRECT : 0), FILE_MODE);
    if (fd >= 0 || errno != EINVAL || !directory->direct) return fd;
    directory->direct = false;
    LOG(NOTICE, "the store writes through the page cache", "reason=\"the filesystem refuses O_DIRECT\"");
    return openat(directory->fd, name, flags | O_RDWR | O_CLOEXEC, FILE_MODE);
}

#define ZEROS_BYTES (1024u * 1024)

static int write_whole(int fd, const void *data, size_t bytes, uint64_t offset)
{
    for (size_t written = 0; written < bytes;) {
        ssize_t result = pwrite(fd, (const uint8_t *)data + written, bytes - written, (off_t)(offset + written));
        if (result < 0 && errno == EINTR) continue;
        if (result <= 0) return result < 0 ? -errno : -EIO;
        written += (size_t)result;
    }
    return 0;
}

/* Written in full before its first use: a write into it later needs neither space nor metadata, so its sync is one flush. */
static int fill_with_zeros(int fd, uint64_t bytes)
{
    if (posix_fallocate(fd, 0, (off_t)bytes) == ENOSPC) return -ENOSPC; /* before time is spent; others may not know the call */
    void *zeros = memory_acquire_aligned(STORE_BLOCK_BYTES, ZEROS_BYTES);
    int error = 0;
    for (uint64_t at = 0; at < bytes && !error; at += ZEROS_BYTES)
        error = write_whole(fd, zeros, bytes - at < ZEROS_BYTES ? (size_t)(bytes - at) : ZEROS_BYTES, at);
    memory_release(zeros);
    return error;
}

#define NAME_MAKING "making"

static int real_make(void *context, const char *name, const char *spare, const void *header, uint64_t bytes, int *ret_fd)
{
    struct directory *directory = context;
    const char *before = spare ? spare : NAME_MAKING;
    int fd = open_for_writing(directory, before, spare ? 0 : O_CREAT | O_TRUNC);
    if (fd < 0) return -errno;
    struct stat status;
    bool other_size = spare && (fstat(fd, &status) != 0 || (uint64_t)status.st_size != bytes);
    int error = spare ? (other_size ? -EINVAL : 0) : fill_with_zeros(fd, bytes);
    if (!error) error = write_whole(fd, header, STORE_BLOCK_BYTES, 0);
    if (!error && fsync(fd) != 0) error = -errno;
    if (!error && renameat(directory->fd, before, directory->fd, name) != 0) error = -errno;
    if (!error) error = sync_directory(directory);
    if (error) {
        if (!spare) unlinkat(directory->fd, NAME_MAKING, 0);
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return 0;
}

static int real_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    int error = write_whole(fd, data, bytes, offset);
    return error ? error : fdatasync(fd) == 0 ? 0 : -errno;
}

static void real_close(void *context, int fd) { close(fd); }

static int real_map(void *context, const char *name, struct span *ret_bytes)
{
    const struct directory *directory = context;
    int fd = openat(directory->fd, name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    /* What is read here is acted upon; a power cut must not take back what the last process had written and not yet synced. */
    if (fd < 0 || fdatasync(fd) != 0 || fstat(fd, &status) != 0) {
        int error = -errno;
        if (fd >= 0) close(fd);
        return error;
    }
    *ret_bytes = span_of("", 0);
    if (status.st_size > 0) {
        void *memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        int error = -errno;
        close(fd);
        if (memory == MAP_FAILED) return error;
        madvise(memory, (size_t)status.st_size, MADV_SEQUENTIAL);
        *ret_bytes = span_of(memory, (size_t)status.st_size);
        return 0;
    }
    close(fd);
    return 0;
}

static void real_unmap(void *context, struct span bytes)
{
    if (bytes.bytes) munmap((void *)(uintptr_t)bytes.data, bytes.bytes);
}

static int real_rename(void *context, const char *from, const char *to)
{
    const struct directory *directory = context;
    if (renameat(directory->fd, from, directory->fd, to) != 0) return -errno;
    return sync_directory(directory);
}

static int real_remove(void *context, const char *name)
{
    const struct directory *directory = context;
    if (unlinkat(directory->fd, name, 0) != 0 && errno != ENOENT) return -errno;
    return sync_directory(directory);
}

static int real_mark(void *context, const char *name)
{
    const struct directory *directory = context;
    int fd = openat(directory->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (fd < 0) return -errno;
    int error = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return error ? error : sync_directory(directory);
}

static int real_room(void *context, uint64_t *ret_free_bytes)
{
    const struct directory *directory = context;
    struct statvfs room;
    if (fstatvfs(directory->fd, &room) != 0) return -errno;
    *ret_free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    return 0;
}

/* ---- directories ------------------------------------------------------------------------------------------------ */

int files_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == EACCES ? 0 : -errno; /* one above ours that we may pass and not read: there is no way */
    int error = fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : -errno;
    close(fd);
    return error;
}

int files_sync_above(const char *path)
{
    char above[4096];
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    if (bytes >= sizeof above) return -ENAMETOOLONG;
    memcpy(above, path, bytes);
    above[bytes] = 0;
    return files_sync_directory(bytes ? above : ".");
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* "data/store": each level that is not there. Its name is durable before anything in it says so of itself; the last one's in any case, since who made it
 * may have been killed before. */
static bool make_directories(const char *path)
{
    char partial[4096];
    size_t bytes = strlen(path);
    if (bytes >= sizeof partial) return false;
    for (size_t i = 1; i <= bytes; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(partial, path, i);
        partial[i] = 0;
        bool made = mkdir(partial, DIRECTORY_MODE) == 0;
        if (!made && errno != EEXIST) return false;
        int error = made || i == bytes ? files_sync_above(partial) : 0;
        if (error) return errno = -error, false;
    }
    return true;
}

/* The version is the first thing a program of any later version must be able to read: a number in a text file. */
#define VERSION_READABLE 1 /* and all up to ours */

/* Written beside it and renamed: there is always a whole one. */
static bool write_version(const struct directory *directory)
{
    char text[16];
    int bytes = snprintf(text, sizeof text, "%d\n", STORE_FORMAT_VERSION);
    int fd = openat(directory->fd, NAME_MAKING, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    bool done = fd >= 0 && write(fd, text, (size_t)bytes) == bytes && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return done && renameat(directory->fd, NAME_MAKING, directory->fd, NAME_VERSION) == 0 && sync_directory(directory) == 0;
}

static bool check_version(const struct directory *directory, const char *path, bool read_only, char *ret_error, size_t error_bytes)
{
    char text[32] = "";
    int fd = openat(directory->fd, NAME_VERSION, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t bytes = read(fd, text, sizeof text - 1);
        close(fd);
        int version = bytes > 0 ? atoi(text) : 0;
        if (version == STORE_FORMAT_VERSION) return true;
        if (version >= VERSION_READABLE && version < STORE_FORMAT_VERSION) { /* what we write an older program must not read */
            if (read_only || write_version(directory)) return true;
            snprintf(ret_error, error_bytes, "cannot write into %s: %s", path, strerror(errno));
            return false;
        }
        snprintf(ret_error, error_bytes, "the store in %s has format version %.16s and this program knows %d; use the ringmqd that wrote it, or "
                 "export there and import here", path, bytes > 0 ? strtok(text, "\n") : "?", STORE_FORMAT_VERSION);
        return false;
    }
    if (read_only) {
        snprintf(ret_error, error_bytes, "there is no store in %s", path);
        return false;
    }
    bool done = write_version(directory);
    if (!done) snprintf(ret_error, error_bytes, "cannot write into %s: %s", path, strerror(errno));
    return done;
}

static bool open_directory(struct directory *directory, const char *path, bool read_only, char *ret_error, size_t error_bytes)
{
    if (!read_only && !make_directories(path)) {
        snprintf(ret_error, error_bytes, "cannot make the directory %s: %s; make it for the user ringmqd runs as, or set node.data_dir",
                 path, strerror(errno));
        return false;
    }
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    if (directory->fd < 0 || fstat(directory->fd, &status) != 0) {
        snprintf(ret_error, error_bytes, "cannot open the directory %s: %s", path, strerror(errno));
        return false;
    }
    if (!read_only && status.st_uid != geteuid()) {
        snprintf(ret_error, error_bytes, "the directory %s belongs to user %u and this process runs as user %u; what one writes the other "
                 "could not read: run as that user, or chown -R the directory", path, (unsigned)status.st_uid, (unsigned)geteuid());
        return false;
    }
    directory->lock = openat(directory->fd, NAME_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (directory->lock < 0) {
        snprintf(ret_error, error_bytes, "cannot write into %s: %s", path, strerror(errno));
        return false;
    }
    if (flock(directory->lock, LOCK_EX | LOCK_NB) != 0) {
        snprintf(ret_error, error_bytes, "the store in %s is in use by another process; stop it, or set another node.data_dir", path);
        return false;
    }
    return check_version(directory, path, read_only, ret_error, error_bytes);
}

bool files_open(const char *path, bool read_only, struct store_files *ret_files, char *ret_error, size_t error_bytes)
{
    struct directory *directory = memory_acquire_zeroed(sizeof *directory);
    *directory = (struct directory){.fd = -1, .lock = -1, .direct = true};
    *ret_files = (struct store_files){.context = directory, .list = real_list, .make = real_make, .close = real_close,
                                      .write_sync = real_write_sync, .map = real_map,
                                      .unmap = real_unmap, .rename = real_rename, .remove = real_remove, .mark = real_mark,
                                      .room = real_room};
    if (!open_directory(directory, path, read_only, ret_error, error_bytes)) {
        files_close(ret_files);
        return false;
    }
    if (!read_only) unlinkat(directory->fd, NAME_MAKING, 0); /* a start that was killed */
    return true;
}

void files_close(struct store_files *files)
{
    struct directory *directory = files->context;
    if (!directory) return;
    if (directory->lock >= 0) close(directory->lock);
    if (directory->fd >= 0) close(directory->fd);
    memory_release(directory);
    files->context = NULL;
}

bool files_direct(const struct store_files *files) { return ((const struct directory *)files->context)->direct; }
