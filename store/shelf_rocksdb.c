/* shelf_rocksdb.c - the shelf as a RocksDB database, without a log of its own: ours says what counts. */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/files.h"
#include "store/shelf.h"

#define KEY_BYTES 16

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;
    rocksdb_flushoptions_t *flush;
    char *path;
    uint64_t memtable_bytes; /* of one, before RocksDB writes it by itself */
    _Atomic uint64_t unflushed; /* put since the last flush; others read it */
    _Atomic uint64_t lives;  /* at most so many bytes of its files are not dropped; UINT64_MAX: not estimated since the start */
    bool dropped;            /* since that was estimated */
    bool compactions_rest;   /* there is no room for one */
    char fault[300];
};

/* Big-endian, so that keys are ordered as their numbers are. */
static void key_make(uint64_t session, uint64_t number, char ret_key[static KEY_BYTES])
{
    uint64_t parts[2] = {__builtin_bswap64(session), __builtin_bswap64(number)};
    memcpy(ret_key, parts, KEY_BYTES);
}

static void key_read(const char *key, uint64_t *ret_session, uint64_t *ret_number)
{
    uint64_t parts[2];
    memcpy(parts, key, KEY_BYTES);
    *ret_session = __builtin_bswap64(parts[0]);
    *ret_number = __builtin_bswap64(parts[1]);
}

static int result(struct rocks *rocks, char *error)
{
    if (!error) return 0;
    snprintf(rocks->fault, sizeof rocks->fault, "%s", error);
    bool full = strstr(error, "No space") != NULL;
    rocksdb_free(error);
    return full ? -ENOSPC : -EIO;
}

static uint64_t property(struct rocks *rocks, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(rocks->db, name, &value) == 0 ? value : 0;
}

/* Debian's RocksDB has its assertions on, and one of them fails after a write that found no space: so it is not let near a full disk. A flush writes
 * what was put since the last one. Of two compactions at a time one may take all flushed files and the first level, the other at most
 * COMPACTION_BYTES_MAX; and never more than there is. */
#define SPACE_MARGIN_BYTES   (32u * 1024 * 1024)
#define COMPACTION_BYTES_MAX (256ull * 1024 * 1024)
#define COMPACTIONS_MAX      2

/* A block is written once, read once and dropped: sorting it in between is work for nothing unless the queue becomes long. So flushed files gather before they
 * are merged into the first level, which is as large; what comes faster than is merged is slowed down late, since a slow merge costs only time in reading. */
#define FLUSHED_FILES_MERGED 8
#define FLUSHED_FILES_SLOW   40
#define FLUSHED_FILES_STOP   60

/* What is beyond two memtables RocksDB has written by itself. */
static uint64_t unflushed(const struct rocks *rocks)
{
    uint64_t put = rocks->unflushed;
    return put < 2 * rocks->memtable_bytes ? put : 2 * rocks->memtable_bytes;
}

/* For a flush and for compactions at the same time. */
static uint64_t rocks_needs(void *context)
{
    struct rocks *rocks = context;
    uint64_t most = property(rocks, "rocksdb.total-sst-files-size"), lives = rocks->lives;
    if (lives < most) most = lives; /* what was dropped is not written again */
    uint64_t at_a_time = 2 * FLUSHED_FILES_MERGED * rocks->memtable_bytes + COMPACTION_BYTES_MAX;
    return SPACE_MARGIN_BYTES + 2 * unflushed(rocks) + (most < at_a_time ? most : at_a_time);
}

/* Before whatever may begin one. While they rest, files pile up, which costs time in reading, not room. */
static void compactions_allow(struct rocks *rocks, bool allowed)
{
    if (rocks->compactions_rest == !allowed) return;
    const char *const name = "disable_auto_compactions", *const value = allowed ? "false" : "true";
    char *error = NULL;
    rocksdb_set_options(rocks->db, 1, &name, &value, &error);
    if (error) return rocksdb_free(error); /* tried again with the next flush */
    rocks->compactions_rest = !allowed;
    if (allowed)
        LOG(NOTICE, "the store of long queues has room for compactions again", "path=%s", rocks->path);
    else
        LOG(WARN, "the store of long queues does without compactions", "path=%s reason=\"there is little room on its disk\"", rocks->path);
}

static bool free_bytes_of(const char *path, uint64_t *ret_bytes)
{
    struct statvfs room;
    if (statvfs(path, &room) != 0) return false;
    *ret_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    return true;
}

static bool disk_full(struct rocks *rocks)
{
    uint64_t free_bytes;
    if (!free_bytes_of(rocks->path, &free_bytes)) return false;
    compactions_allow(rocks, free_bytes >= rocks_needs(rocks));
    if (free_bytes >= SPACE_MARGIN_BYTES + 2 * unflushed(rocks)) return false;
    snprintf(rocks->fault, sizeof rocks->fault, "less than %u MiB are free on its disk", SPACE_MARGIN_BYTES >> 20);
    return true;
}

/* The block that begins at the iterator's place; false: none of this session. */
static bool block_at(const rocksdb_iterator_t *iterator, uint64_t session, uint64_t *ret_number, struct span *ret_block)
{
    size_t bytes;
    uint64_t of;
    if (!rocksdb_iter_valid(iterator)) return false;
    const char *key = rocksdb_iter_key(iterator, &bytes);
    if (bytes != KEY_BYTES) return false;
    key_read(key, &of, ret_number);
    const char *value = rocksdb_iter_value(iterator, &bytes);
    *ret_block = span_of(value, bytes);
    return of == session;
}

#define SESSIONS_ESTIMATED 4096 /* with more it is not worth the time */

/* Of what is in files: a session's blocks from its first one on. An eighth more, since that is as exact as a block is large. */
static void lives_estimate(struct rocks *rocks)
{
    uint64_t lives = 0, session, number;
    uint32_t sessions = 0;
    struct span block;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read);
    rocksdb_iter_seek_to_first(iterator);
    while (rocksdb_iter_valid(iterator) && sessions++ < SESSIONS_ESTIMATED) {
        size_t bytes;
        char first[KEY_BYTES], end[KEY_BYTES];
        const char *starts[1] = {first}, *ends[1] = {end};
        size_t starts_bytes[1] = {KEY_BYTES}, ends_bytes[1] = {KEY_BYTES};
        uint64_t size = 0;
        char *error = NULL;
        const char *key = rocksdb_iter_key(iterator, &bytes);
        if (bytes != KEY_BYTES) break;
        key_read(key, &session, &number);
        if (!block_at(iterator, session, &number, &block)) break;
        key_make(session, number, first);
        key_make(session, UINT64_MAX, end);
        rocksdb_approximate_sizes(rocks->db, 1, starts, starts_bytes, ends, ends_bytes, &size, &error);
        if (error) {
            rocksdb_free(error);
            break;
        }
        lives += size + block.bytes;
        rocksdb_iter_seek(iterator, end, KEY_BYTES);
    }
    if (!rocksdb_iter_valid(iterator)) rocks->lives = lives + lives / 8;
    rocks->dropped = false;
    rocksdb_iter_destroy(iterator);
}

static int rocks_put(void *context, uint64_t session, uint64_t number, struct span block)
{
    struct rocks *rocks = context;
    char key[KEY_BYTES], *error = NULL;
    if (rocks->unflushed + block.bytes > rocks->memtable_bytes / 2 && disk_full(rocks)) return -ENOSPC;
    rocks->unflushed += block.bytes;
    if (rocks->lives != UINT64_MAX) rocks->lives += block.bytes;
    key_make(session, number, key);
    rocksdb_put(rocks->db, rocks->write, key, KEY_BYTES, (const char *)block.data, block.bytes, &error);
    return result(rocks, error);
}

static int rocks_sync(void *context)
{
    struct rocks *rocks = context;
    char *error = NULL;
    if (disk_full(rocks)) return -ENOSPC;
    rocksdb_flush(rocks->db, rocks->flush, &error);
    if (error) return result(rocks, error);
    rocks->unflushed = 0;
    if (rocks->compactions_rest && rocks->dropped) { /* of what was dropped nothing is to be written: perhaps there is room for one */
        lives_estimate(rocks);
        disk_full(rocks);
    }
    return 0;
}

static int rocks_read(void *context, uint64_t session, uint64_t number, shelf_block *each, void *argument)
{
    struct rocks *rocks = context;
    char key[KEY_BYTES], *error = NULL;
    uint64_t found;
    struct span block;
    key_make(session, number, key);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read);
    rocksdb_iter_seek_for_prev(iterator, key, KEY_BYTES);
    if (!block_at(iterator, session, &found, &block)) rocksdb_iter_seek(iterator, key, KEY_BYTES);
    while (block_at(iterator, session, &found, &block) && each(argument, session, found, block))
        rocksdb_iter_next(iterator);
    rocksdb_iter_get_error(iterator, &error);
    rocksdb_iter_destroy(iterator);
    return result(rocks, error);
}

static int rocks_drop(void *context, uint64_t session, uint64_t from, uint64_t until)
{
    struct rocks *rocks = context;
    char first[KEY_BYTES], end[KEY_BYTES], *error = NULL;
    if (from >= until) return 0;
    rocks->dropped = true;
    key_make(session, from, first);
    key_make(session, until, end);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, first, KEY_BYTES, end, KEY_BYTES);
    rocksdb_write(rocks->db, rocks->write, batch, &error);
    rocksdb_writebatch_destroy(batch);
    if (error) return result(rocks, error);
    /* Files that have nothing else go at once: no compaction, and no room for one, is needed to be rid of a queue that was taken. Here the end counts, too. */
    key_make(session, until - 1, end);
    rocksdb_delete_file_in_range(rocks->db, first, KEY_BYTES, end, KEY_BYTES, &error);
    return result(rocks, error);
}

static int rocks_get(void *context, uint64_t space, uint64_t number, shelf_block *each, void *argument)
{
    struct rocks *rocks = context;
    char key[KEY_BYTES], *error = NULL;
    size_t bytes;
    key_make(space, number, key);
    rocksdb_pinnableslice_t *row = rocksdb_get_pinned(rocks->db, rocks->read, key, KEY_BYTES, &error);
    const char *value = row ? rocksdb_pinnableslice_value(row, &bytes) : NULL;
    if (value) each(argument, space, number, span_of(value, bytes));
    if (row) rocksdb_pinnableslice_destroy(row);
    return result(rocks, error);
}

static int rocks_remove(void *context, uint64_t space, uint64_t number)
{
    struct rocks *rocks = context;
    char key[KEY_BYTES], *error = NULL;
    rocks->dropped = true;
    key_make(space, number, key);
    rocksdb_delete(rocks->db, rocks->write, key, KEY_BYTES, &error);
    return result(rocks, error);
}

static bool rocks_next(void *context, uint64_t session, uint64_t *ret_session)
{
    struct rocks *rocks = context;
    char key[KEY_BYTES];
    uint64_t number;
    size_t bytes;
    key_make(session, 0, key);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read);
    rocksdb_iter_seek(iterator, key, KEY_BYTES);
    bool found = rocksdb_iter_valid(iterator);
    const char *at = found ? rocksdb_iter_key(iterator, &bytes) : NULL;
    if (found && bytes == KEY_BYTES) key_read(at, ret_session, &number);
    rocksdb_iter_destroy(iterator);
    return found;
}

static int rocks_backup(void *context, const char *directory)
{
    struct rocks *rocks = context;
    char *error = NULL;
    if (disk_full(rocks)) return -ENOSPC; /* it flushes */
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &error);
    if (error) return result(rocks, error);
    rocksdb_checkpoint_create(checkpoint, directory, 0, &error);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return result(rocks, error);
}

static void rocks_size(void *context, uint64_t *ret_disk_bytes, uint64_t *ret_memory_bytes)
{
    struct rocks *rocks = context;
    *ret_disk_bytes = property(rocks, "rocksdb.total-sst-files-size");
    *ret_memory_bytes = property(rocks, "rocksdb.size-all-mem-tables") + property(rocks, "rocksdb.block-cache-usage") +
                        property(rocks, "rocksdb.estimate-table-readers-mem");
}

static int rocks_compact(void *context)
{
    struct rocks *rocks = context;
    int error = rocks_sync(context);
    if (error) return error;
    if (rocks->compactions_rest) {
        snprintf(rocks->fault, sizeof rocks->fault, "there is not room enough on its disk to write it once more");
        return -ENOSPC;
    }
    rocksdb_compact_range(rocks->db, NULL, 0, NULL, 0);
    return 0;
}

/* Files with something of it in them are merged: in the background, when compactions are allowed. */
static int rocks_shrink(void *context, uint64_t session, uint64_t until)
{
    struct rocks *rocks = context;
    char first[KEY_BYTES], end[KEY_BYTES], *error = NULL;
    key_make(session, 0, first);
    key_make(session, until, end);
    rocksdb_suggest_compact_range(rocks->db, first, KEY_BYTES, end, KEY_BYTES, &error);
    return result(rocks, error);
}

static const char *rocks_fault(void *context) { return ((struct rocks *)context)->fault; }

static void rocks_close(void *context)
{
    struct rocks *rocks = context;
    if (rocks->db) rocksdb_close(rocks->db);
    rocksdb_flushoptions_destroy(rocks->flush);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_options_destroy(rocks->options);
    rocksdb_block_based_options_destroy(rocks->table);
    rocksdb_cache_destroy(rocks->cache);
    memory_release(rocks->path);
    memory_release(rocks);
}

/* Half of the memory is memtables (one filled while one is written), half the cache of what is read. */
static void options_make(struct rocks *rocks, uint64_t memory_bytes)
{
    rocks->options = rocksdb_options_create();
    rocks->table = rocksdb_block_based_options_create();
    rocks->cache = rocksdb_cache_create_lru(memory_bytes / 2);
    rocksdb_block_based_options_set_block_cache(rocks->table, rocks->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(rocks->table, 1);
    /* For rows: which files need not be looked into, and an index in parts, since that of a whole file (16,000 blocks of 4 KiB) pushed out of the cache by a few rows
     * would be read again for the next one. */
    rocksdb_block_based_options_set_filter_policy(rocks->table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_index_type(rocks->table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(rocks->table, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(rocks->table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(rocks->table, 1);
    rocksdb_options_set_block_based_table_factory(rocks->options, rocks->table);
    rocksdb_options_set_write_buffer_size(rocks->options, memory_bytes / 4);
    rocksdb_options_set_max_write_buffer_number(rocks->options, 2);
    rocksdb_options_set_compression(rocks->options, rocksdb_lz4_compression);
    rocksdb_options_set_level0_file_num_compaction_trigger(rocks->options, FLUSHED_FILES_MERGED);
    rocksdb_options_set_level0_slowdown_writes_trigger(rocks->options, FLUSHED_FILES_SLOW);
    rocksdb_options_set_level0_stop_writes_trigger(rocks->options, FLUSHED_FILES_STOP);
    rocksdb_options_set_max_bytes_for_level_base(rocks->options, FLUSHED_FILES_MERGED * (memory_bytes / 4));
    rocksdb_options_set_max_background_jobs(rocks->options, COMPACTIONS_MAX);
    rocksdb_options_set_max_compaction_bytes(rocks->options, COMPACTION_BYTES_MAX);
    /* Compactions have time: no shard should wait for a processor because of them. */
    rocksdb_env_t *env = rocksdb_create_default_env();
    rocksdb_env_lower_thread_pool_cpu_priority(env);
    rocksdb_options_set_env(rocks->options, env);
    rocksdb_env_destroy(env); /* the process's own, which stays */
    rocksdb_options_set_keep_log_file_num(rocks->options, 2);
    rocksdb_options_set_info_log_level(rocks->options, 3); /* errors */
    rocksdb_options_set_max_open_files(rocks->options, 256);
}

bool shelf_open(const char *path, bool read_only, uint64_t memory_bytes, struct shelf *ret_shelf, char *ret_error, size_t error_bytes)
{
    struct rocks *rocks = memory_acquire_zeroed(sizeof *rocks);
    char *error = NULL;
    rocks->path = memory_copy_string(span_of_string(path));
    rocks->memtable_bytes = memory_bytes / 4;
    rocks->lives = UINT64_MAX;
    options_make(rocks, memory_bytes);
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks->write, 1);
    rocks->read = rocksdb_readoptions_create();
    rocks->flush = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(rocks->flush, 1);
    rocksdb_options_set_create_if_missing(rocks->options, !read_only);
    rocks->db = read_only ? rocksdb_open_for_read_only(rocks->options, path, 0, &error) : rocksdb_open(rocks->options, path, &error);
    *ret_shelf = (struct shelf){.context = rocks, .put = rocks_put, .sync = rocks_sync, .read = rocks_read, .drop = rocks_drop, .get = rocks_get,
                                .remove = rocks_remove, .next = rocks_next,
                                .backup = rocks_backup, .size = rocks_size, .needs = rocks_needs, .compact = rocks_compact, .shrink = rocks_shrink,
                                .fault = rocks_fault, .close = rocks_close};
    int unsynced = rocks->db && !read_only ? files_sync_above(path) : 0; /* its directory may be new, and the log is going to name what is in it */
    if (rocks->db && !unsynced) return true;
    if (unsynced) error = strdup(strerror(-unsynced));
    uint64_t free_bytes;
    if (error && strstr(error, "No space") && free_bytes_of(path, &free_bytes))
        snprintf(ret_error, error_bytes, "the disk under %s is full: %llu MiB are free, and long queues cannot be opened without room for RocksDB's own files. Make room there, or give it "
                 "more, then start again; nothing that was acknowledged is lost", path, (unsigned long long)(free_bytes >> 20));
    else
        snprintf(ret_error, error_bytes, "cannot open %s, where long queues are kept: %s", path, error ? error : "?");
    rocksdb_free(error);
    rocks_close(rocks);
    *ret_shelf = (struct shelf){0};
    return false;
}
