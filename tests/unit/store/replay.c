/* What a replay makes of the end of a log, in segments that were used before. */
#include <criterion/criterion.h>

#include "base/hash.h"
#include "base/memory.h"
#include "store/replay.h"

#define SEGMENT_BYTES (32u * STORE_BLOCK_BYTES)

static uint8_t segment_bytes[SEGMENT_BYTES];
static struct store_segment_header segment_header;

static void segment_begin(uint64_t number)
{
    segment_header = (struct store_segment_header){.magic = STORE_SEGMENT_MAGIC, .version = STORE_FORMAT_VERSION, .epoch = 3, .shards_count = 1, .number = number, .seed = number * 77};
    segment_header.checksum = hash_span(span_of((uint8_t *)&segment_header + STORE_COMMIT_CHECKED_FROM, sizeof segment_header - STORE_COMMIT_CHECKED_FROM));
    memcpy(segment_bytes, &segment_header, sizeof segment_header);
}

/* A commit with one record; `at` is a block's number. */
static void commit_write(uint32_t at, uint64_t sequence)
{
    uint8_t *place = segment_bytes + at * STORE_BLOCK_BYTES;
    uint32_t head = record_head(1, 8);
    struct store_commit_header header = {.magic = STORE_COMMIT_MAGIC, .bytes = sizeof header + 12, .sequence = sequence, .epoch = segment_header.epoch, .segment = segment_header.number};
    memset(place, 0, STORE_BLOCK_BYTES);
    memcpy(place, &header, sizeof header);
    memcpy(place + sizeof header, &head, 4);
    memcpy(place + sizeof header + 4, &sequence, 8);
    header.checksum = hash_span_seeded(span_of(place + STORE_COMMIT_CHECKED_FROM, header.bytes - STORE_COMMIT_CHECKED_FROM), segment_header.seed);
    memcpy(place, &header, sizeof header);
}

static int map(void *context, const char *name, struct span *ret_bytes)
{
    *ret_bytes = span_of(segment_bytes, sizeof segment_bytes);
    return 0;
}

static bool record(void *context, uint32_t type, struct span body, void *own)
{
    ++*(uint32_t *)context;
    memory_release(own);
    return true;
}

static bool replay(uint32_t *ret_records, struct replay_result *ret_result)
{
    const struct store_files files = {.map = map};
    struct replay_segment one = {.epoch = 3, .number = segment_header.number};
    struct replay how = {.files = &files, .record = record, .context = ret_records};
    *ret_records = 0;
    replay_make_name(one.epoch, one.shard, one.number, one.name);
    return replay_log(&how, &one, 1, ret_result);
}

Test(replay, what_an_earlier_life_left_is_no_torn_end)
{
    struct replay_result result;
    uint32_t records;
    memset(segment_bytes, 0, sizeof segment_bytes);
    segment_begin(1);
    for (uint32_t at = 1; at < 32; at++)
        commit_write(at, at);
    segment_begin(2); /* it is used again, under another number, and has got three commits so far */
    for (uint32_t at = 1; at <= 3; at++)
        commit_write(at, at);
    cr_assert_not(replay(&records, &result), "a log does not begin with segment 2");
    cr_assert(records == 3 && result.commits == 3 && result.last_sequence == 3);
    cr_assert_eq(result.torn, 0, "nothing of this life is torn");

    commit_write(4, 4); /* a write that was under way */
    segment_bytes[4 * STORE_BLOCK_BYTES + sizeof(struct store_commit_header) + 5] ^= 1;
    cr_assert_not(replay(&records, &result));
    cr_assert(records == 3 && result.torn == 1);
}

Test(replay, a_commit_behind_one_that_is_not_whole_is_a_hole)
{
    struct replay_result result;
    uint32_t records;
    memset(segment_bytes, 0, sizeof segment_bytes);
    segment_begin(1);
    for (uint32_t at = 1; at <= 3; at++)
        commit_write(at, at);
    cr_assert(replay(&records, &result) && !result.hole && records == 3 && result.torn == 0);
    segment_bytes[2 * STORE_BLOCK_BYTES + 20] ^= 1;
    cr_assert_not(replay(&records, &result));
    cr_assert(result.hole && records == 1);
}
