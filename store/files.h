/* files.h - the directory of the store: the verbs that may block. Only the store's own thread and start-up use them.
 *
 * Two implementations: store/files.c (a real directory) and tests/sim/fake_disk.c (memory, with every fault a disk can have).
 * Results are 0 or a negative errno. A verb that has returned 0 has made its change durable. */
#ifndef RINGMQ_STORE_FILES_H
#define RINGMQ_STORE_FILES_H

#include "base/span.h"

struct store_files {
    void *context;
    int (*list)(void *context, void (*each)(void *argument, const char *name), void *argument);
    /* A file of `bytes` bytes that can be written without needing space: from `spare` (renamed) or, if NULL, a new one
     * written full of zeros. Its first block is `header` (STORE_BLOCK_BYTES, aligned). *ret_fd is good for writing. */
    int (*make)(void *context, const char *name, const char *spare, const void *header, uint64_t bytes, int *ret_fd);
    void (*close)(void *context, int fd);
    int (*write_sync)(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset); /* for the end, without a ring */
    int (*map)(void *context, const char *name, struct span *ret_bytes); /* to read */
    void (*unmap)(void *context, struct span bytes);
    int (*rename)(void *context, const char *from, const char *to);
    int (*remove)(void *context, const char *name);
    int (*mark)(void *context, const char *name); /* an empty file */
    int (*room)(void *context, uint64_t *ret_free_bytes); /* on its filesystem, for this process; NULL: unknown */
};

/* A real directory, made if it is not there; locked against a second process, its format version checked. False with a sentence
 * in ret_error. `read_only`: for tools; still locked, nothing is made. */
bool files_open(const char *directory, bool read_only, struct store_files *ret_files, char *ret_error, size_t error_bytes);
void files_close(struct store_files *files);
/* What was made, renamed or removed in this directory is so after a power cut, too. 0 or a negative errno. */
int files_sync_directory(const char *path);
/* ... in the one that `path` itself lies in. */
int files_sync_above(const char *path);
/* False: the filesystem refuses O_DIRECT, so writes go through the page cache. */
bool files_direct(const struct store_files *files);

#endif
