#include "tests/sim/fake_disk.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"

#define FILES_MAX 256
#define SECTOR_BYTES 512

struct fake_file {
    char name[64];
    bool exists, written;    /* written: has unsynced sectors */
    uint64_t bytes;
    uint8_t *now, *durable;  /* what a reader sees; what is on the plate */
    uint64_t dirty_from, dirty_to;
};

/* Memory of files that are gone: new pages for each would be most of a run's time. */
static struct {
    uint8_t *blocks[2 * FILES_MAX];
    uint32_t count;
    uint64_t bytes;
} pool;

static uint8_t *pool_take(uint64_t bytes)
{
    if (pool.count == 0 || bytes == 0 || pool.bytes != bytes) return memory_acquire_zeroed(bytes + 1);
    return memset(pool.blocks[--pool.count], 0, bytes);
}

static void pool_give(uint8_t *block, uint64_t bytes)
{
    if (bytes == 0) return memory_release(block);
    if (pool.bytes == 0) pool.bytes = bytes;
    if (pool.bytes != bytes || pool.count == 2 * FILES_MAX) return memory_release(block);
    pool.blocks[pool.count++] = block;
}

struct fake_disk {
    struct random_source random;
    struct fake_disk_chances chances;
    bool frozen;
    uint64_t size; /* 0: no end */
    struct fake_file files[FILES_MAX];
};

static bool chance(struct fake_disk *disk, uint32_t of_256) { return random_below(&disk->random, 256) < of_256; }

static struct fake_file *file_find(struct fake_disk *disk, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (disk->files[i].exists && strcmp(disk->files[i].name, name) == 0) return &disk->files[i];
    return NULL;
}

static void file_release(struct fake_file *file)
{
    pool_give(file->now, file->bytes);
    pool_give(file->durable, file->bytes);
    *file = (struct fake_file){0};
}

static struct fake_file *file_make(struct fake_disk *disk, const char *name, uint64_t bytes)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct fake_file *file = &disk->files[i];
        if (file->exists) continue;
        *file = (struct fake_file){.exists = true, .bytes = bytes, .now = pool_take(bytes), .durable = pool_take(bytes)};
        snprintf(file->name, sizeof file->name, "%s", name);
        return file;
    }
    CHECK(!"enough files");
    return NULL;
}

static int fake_list(void *context, void (*each)(void *argument, const char *name), void *argument)
{
    struct fake_disk *disk = context;
    for (int i = 0; i < FILES_MAX; i++)
        if (disk->files[i].exists) each(argument, disk->files[i].name);
    return 0;
}

uint64_t fake_disk_used(const struct fake_disk *disk)
{
    uint64_t used = 0;
    for (int i = 0; i < FILES_MAX; i++)
        if (disk->files[i].exists) used += disk->files[i].bytes;
    return used;
}

static int fake_room(void *context, uint64_t *ret_free_bytes)
{
    const struct fake_disk *disk = context;
    uint64_t used = fake_disk_used(disk);
    *ret_free_bytes = disk->size == 0 ? UINT64_MAX / 2 : disk->size > used ? disk->size - used : 0;
    return 0;
}

void fake_disk_set_size(struct fake_disk *disk, uint64_t bytes) { disk->size = bytes; }

static int fake_make(void *context, const char *name, const char *spare, const void *header, uint64_t bytes, int *ret_fd)
{
    struct fake_disk *disk = context;
    if (disk->frozen) return -EIO;
    if (chance(disk, disk->chances.make_fails)) return chance(disk, 128) ? -ENOSPC : -EIO;
    if (!spare && disk->size && fake_disk_used(disk) + bytes > disk->size) return -ENOSPC;
    struct fake_file *file = spare ? file_find(disk, spare) : file_make(disk, name, bytes);
    if (!file || file->bytes != bytes) return -EINVAL;
    snprintf(file->name, sizeof file->name, "%s", name);
    memcpy(file->now, header, 4096);
    memcpy(file->durable, header, 4096);
    *ret_fd = (int)(file - disk->files);
    return 0;
}

static int fake_write_sync(void *context, int fd, const void *data, uint32_t bytes, uint64_t offset)
{
    return fake_disk_write_sync(context, fd, data, bytes, offset, false);
}

static void fake_close(void *context, int fd) {}

static int fake_map(void *context, const char *name, struct span *ret_bytes)
{
    struct fake_file *file = file_find(context, name);
    if (!file) return -ENOENT;
    *ret_bytes = span_of(file->now, file->bytes); /* nobody writes into a file that is mapped: the store recycles it later */
    return 0;
}

static void fake_unmap(void *context, struct span bytes) {}

static int fake_rename(void *context, const char *from, const char *to)
{
    struct fake_file *file = file_find(context, from);
    if (((struct fake_disk *)context)->frozen) return -EIO;
    if (!file) return -ENOENT;
    CHECK(!file_find(context, to));
    snprintf(file->name, sizeof file->name, "%s", to);
    return 0;
}

static int fake_remove(void *context, const char *name)
{
    struct fake_file *file = file_find(context, name);
    if (((struct fake_disk *)context)->frozen) return -EIO;
    if (file) file_release(file);
    return 0;
}

static int fake_mark(void *context, const char *name)
{
    if (((struct fake_disk *)context)->frozen) return -EIO;
    if (!file_find(context, name)) file_make(context, name, 0);
    return 0;
}

struct store_files fake_disk_files(struct fake_disk *disk)
{
    return (struct store_files){.context = disk, .list = fake_list, .make = fake_make, .close = fake_close,
                                .write_sync = fake_write_sync, .map = fake_map,
                                .unmap = fake_unmap, .rename = fake_rename, .remove = fake_remove, .mark = fake_mark, .room = fake_room};
}

struct fake_disk *fake_disk_create(uint64_t seed, const struct fake_disk_chances *chances)
{
    struct fake_disk *disk = memory_acquire_zeroed(sizeof *disk);
    disk->random.state = seed;
    disk->chances = *chances;
    return disk;
}

void fake_disk_freeze(struct fake_disk *disk, bool frozen) { disk->frozen = frozen; }

void fake_disk_set_chances(struct fake_disk *disk, const struct fake_disk_chances *chances) { disk->chances = *chances; }

void fake_disk_release(struct fake_disk *disk)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (disk->files[i].exists) file_release(&disk->files[i]);
    memory_release(disk);
    while (pool.count > 16)
        memory_release(pool.blocks[--pool.count]);
}

void fake_disk_release_pool(void)
{
    while (pool.count > 0)
        memory_release(pool.blocks[--pool.count]);
}

static void synced(struct fake_file *file)
{
    memcpy(file->durable + file->dirty_from, file->now + file->dirty_from, file->dirty_to - file->dirty_from);
    file->dirty_from = file->dirty_to = 0;
    file->written = false;
}

/* Of the unsynced sectors some are on the plate and some are not, in no order. */
static void settle_by_chance(struct fake_disk *disk, struct fake_file *file)
{
    if (!file->written) return;
    uint32_t survive = (uint32_t)random_below(&disk->random, 257);
    for (uint64_t at = file->dirty_from / SECTOR_BYTES * SECTOR_BYTES; at < file->dirty_to; at += SECTOR_BYTES)
        if (chance(disk, survive)) memcpy(file->durable + at, file->now + at, SECTOR_BYTES);
    memcpy(file->now, file->durable, file->bytes);
    file->dirty_from = file->dirty_to = 0;
    file->written = false;
}

int fake_disk_write_sync(struct fake_disk *disk, int fd, const void *data, uint32_t bytes, uint64_t offset, bool half)
{
    struct fake_file *file = &disk->files[fd];
    if (disk->frozen) return -EIO;
    CHECK(file->exists && offset + bytes <= file->bytes && offset % 4096 == 0 && bytes % 4096 == 0 && ((uintptr_t)data & 4095) == 0);
    if (chance(disk, disk->chances.write_fails)) return -EIO;
    memcpy(file->now + offset, data, bytes);
    file->written = true;
    if (file->dirty_from == file->dirty_to) file->dirty_from = file->dirty_to = offset;
    if (offset < file->dirty_from) file->dirty_from = offset;
    if (offset + bytes > file->dirty_to) file->dirty_to = offset + bytes;
    if (half) return 0;
    if (chance(disk, disk->chances.sync_fails)) {
        settle_by_chance(disk, file); /* the pages count as clean afterwards: a second sync would report success */
        return -EIO;
    }
    synced(file);
    return 0;
}

void fake_disk_crash(struct fake_disk *disk)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (disk->files[i].exists) settle_by_chance(disk, &disk->files[i]);
}

void fake_disk_flip(struct fake_disk *disk, const char *name, uint64_t offset)
{
    struct fake_file *file = file_find(disk, name);
    CHECK(file && offset < file->bytes);
    uint8_t bit = (uint8_t)(1u << random_below(&disk->random, 8));
    file->now[offset] ^= bit;
    file->durable[offset] ^= bit;
}

uint32_t fake_disk_count(const struct fake_disk *disk, const char *prefix, char *ret_name)
{
    uint32_t count = 0;
    if (ret_name) *ret_name = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        const struct fake_file *file = &disk->files[i];
        if (!file->exists || strncmp(file->name, prefix, strlen(prefix)) != 0) continue;
        count++;
        if (ret_name && strcmp(file->name, ret_name) > 0) snprintf(ret_name, 64, "%s", file->name);
    }
    return count;
}
