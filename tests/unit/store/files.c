/* The real directory: locked, versioned, segments made and used again. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
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
