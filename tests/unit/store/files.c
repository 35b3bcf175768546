/* The real directory: locked, versioned, segments made and used again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/backup.h"
#include "store/files.h"
#include "store/format.h"

static char directory[64];

static void make_directory(void)
{
    log_configure(LOG_OFF, LOG_TEXT);
    snprintf(directory, sizeof directory, "/tmp/ringmq-unit-XXXXXX");
    cr_assert(mkdtemp(directory));
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    cr_assert(system(command) == 0);
}

/* In place of the C library's: remembers which directories were synced. */
static ino_t synced[64];
static uint32_t synced_count;

int fsync(int fd)
{
    struct stat status;
    if (synced_count < 64 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) synced[synced_count++] = status.st_ino;
    return (int)syscall(SYS_fsync, fd);
}

static bool was_synced(const char *path)
{
    struct stat status;
    cr_assert(stat(path, &status) == 0);
    for (uint32_t i = 0; i < synced_count; i++)
        if (synced[i] == status.st_ino) return true;
    return false;
}

TestSuite(files, .init = make_directory, .fini = remove_directory);

Test(files, one_process_at_a_time)
{
    struct store_files first, second;
    char error[600], path[128];
    snprintf(path, sizeof path, "%s/deep/store", directory);
    cr_assert(!files_open(path, true, &first, error, sizeof error), "a tool makes nothing");
    cr_assert(files_open(path, false, &first, error, sizeof error), "%s", error);
    cr_assert(!files_open(path, false, &second, error, sizeof error) && strstr(error, "in use by another process"));
    files_close(&first);
    cr_assert(files_open(path, true, &second, error, sizeof error), "%s", error);
    files_close(&second);
}

static void count(void *argument, const char *name) { ++*(int *)argument; }

Test(files, a_segment_is_made_and_used_again)
{
    struct store_files files;
    char error[600];
    cr_assert(files_open(directory, false, &files, error, sizeof error), "%s", error);
    uint8_t *block = memory_acquire_aligned(STORE_BLOCK_BYTES, STORE_BLOCK_BYTES);
    int fd, names = 0;
    memset(block, 'a', STORE_BLOCK_BYTES);
    cr_assert_eq(files.make(files.context, "one", NULL, block, 1 << 20, &fd), 0);
    memset(block, 'b', STORE_BLOCK_BYTES);
    cr_assert_eq(files.write_sync(files.context, fd, block, STORE_BLOCK_BYTES, STORE_BLOCK_BYTES), 0);
    files.close(files.context, fd);
    cr_assert_eq(files.rename(files.context, "one", "spare"), 0);
    cr_assert_neq(files.make(files.context, "two", "spare", block, 2 << 20, &fd), 0, "a spare of another size is refused");
    cr_assert_eq(files.make(files.context, "two", "spare", block, 1 << 20, &fd), 0);
    files.close(files.context, fd);
    struct span bytes;
    cr_assert_eq(files.map(files.context, "two", &bytes), 0);
    cr_assert(bytes.bytes == 1 << 20 && bytes.data[0] == 'b' && bytes.data[STORE_BLOCK_BYTES] == 'b' && bytes.data[2 * STORE_BLOCK_BYTES] == 0);
    files.unmap(files.context, bytes);
    cr_assert_eq(files.remove(files.context, "two"), 0);
    cr_assert_eq(files.remove(files.context, "two"), 0, "it is gone already");
    cr_assert_eq(files.list(files.context, count, &names), 0);
    cr_assert_eq(names, 2, "lock and version are left");
    memory_release(block);
    files_close(&files);
}

/* A power cut must not take the directory in which acknowledged messages lie, nor a backup that was called done. */
Test(files, directories_that_were_made_are_synced_where_they_lie)
{
    struct store_files files;
    char error[600], path[128], backup[128];
    snprintf(path, sizeof path, "%s/data/node", directory);
    snprintf(backup, sizeof backup, "%s/backup", directory);
    cr_assert(files_open(path, false, &files, error, sizeof error), "%s", error);
    cr_assert(was_synced(directory), "where data/ was made");
    snprintf(path, sizeof path, "%s/data", directory);
    cr_assert(was_synced(path), "where data/node was made");

    struct store_config config = {.files = files, .shards_count = 1, .segment_bytes = STORE_SEGMENT_BYTES_MIN, .seed = 1};
    uint64_t bytes;
    struct store *store = store_open(&config, error, sizeof error);
    cr_assert(store && store_start(store, false, error, sizeof error), "%s", error);
    synced_count = 0;
    cr_assert(store_backup(store, NULL, backup, &bytes, error, sizeof error), "%s", error);
    cr_assert(was_synced(backup), "where backup/store was made");
    cr_assert(was_synced(directory), "where backup/ was made");
    cr_assert_not(store_backup(store, NULL, backup, &bytes, error, sizeof error), "it is there already");
    store_close(store);
    files_close(&files);
}

/* ---- a disk that fails between a step and its sync ---- */

static struct store_files under;
static bool fail_sync;

static int rename_without_sync(void *context, const char *from, const char *to)
{
    int error = under.rename(context, from, to);
    return error ? error : fail_sync ? -EIO : 0;
}

/* The segment was renamed, the directory's sync failed: the next try finds it gone, and must not stand still there for good. */
Test(files, trimming_goes_on_after_a_sync_that_failed)
{
    struct store_files files;
    char error[600];
    cr_assert(files_open(directory, false, &files, error, sizeof error), "%s", error);
    under = files;
    files.rename = rename_without_sync;
    struct store_config config = {.files = files, .shards_count = 1, .segment_bytes = STORE_SEGMENT_BYTES_MIN, .seed = 1};
    struct store *store = store_open(&config, error, sizeof error);
    cr_assert(store && store_start(store, false, error, sizeof error), "%s", error);
    struct wal_segment first, second;
    cr_assert(store_segment_take(store, 0, &first));
    cr_assert_not(store_step(store));
    cr_assert(store_segment_take(store, 0, &second));
    cr_assert_not(store_step(store));
    store_segment_done(store, 0, &first, false);
    store_segment_done(store, 0, &second, false);
    store_checkpointed(store, 0, 3);
    fail_sync = true;
    cr_assert(store_step(store), "the disk fails");
    cr_assert(store_trouble(store) == 0 && store_removal_trouble(store) == EIO, "segments are made all the same: nobody is refused for it");
    fail_sync = false;
    cr_assert_not(store_step(store), "the disk is well again: %d", store_trouble(store));
    cr_assert_eq(store_bytes(store), STORE_SEGMENT_BYTES_MIN, "one segment is left");
    store_close(store);
    files_close(&under);
}
