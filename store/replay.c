#include "store/replay.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/memory.h"
#include "store/records.h"

struct reading {
    const struct replay *replay;
    struct replay_result *result;
    const struct replay_segment *segment;
    struct store_segment_header header;
    uint8_t *piece; /* a record that goes on in the next one */
    size_t piece_bytes;
};

bool replay_parse_name(const char *name, struct replay_segment *ret_segment)
{
    unsigned epoch, shard;
    unsigned long long number;
    int end = 0;
    if (strlen(name) != 24 || sscanf(name, "log-%8x-%2x-%8llx%n", &epoch, &shard, &number, &end) != 3 || end != 24) return false;
    *ret_segment = (struct replay_segment){.epoch = epoch, .shard = shard, .number = number};
    memcpy(ret_segment->name, name, 25);
    return true;
}

void replay_make_name(uint32_t epoch, uint32_t shard, uint64_t number, char ret_name[static 40])
{
    snprintf(ret_name, 40, "log-%08x-%02x-%08llx", epoch, shard, (unsigned long long)number);
}

static bool fault(struct reading *reading, bool hole, const char *what)
{
    struct replay_result *result = reading->result;
    result->hole |= hole;
    snprintf(result->fault, sizeof result->fault, "%s: %s", reading->segment->name, what);
    return false;
}

/* ---- commits ---------------------------------------------------------------------------------------------------- */

/* Does a commit of this segment's present life begin at `at`, whole or not? What an earlier life has left names another one. */
static bool commit_begins(const struct reading *reading, uint64_t at, struct store_commit_header *ret_header)
{
    struct span bytes = reading->segment->bytes;
    if (at + sizeof *ret_header > bytes.bytes) return false;
    memcpy(ret_header, bytes.data + at, sizeof *ret_header);
    return ret_header->magic == STORE_COMMIT_MAGIC && ret_header->epoch == reading->segment->epoch && ret_header->shard == reading->segment->shard &&
           ret_header->segment == reading->segment->number;
}

/* … and is it whole? */
static bool commit_whole(const struct reading *reading, uint64_t at, const struct store_commit_header *header)
{
    struct span bytes = reading->segment->bytes;
    bool plausible = header->bytes >= sizeof *header && header->bytes <= STORE_COMMIT_BYTES_MAX && at + header->bytes <= bytes.bytes;
    if (!plausible) return false;
    struct span checked = span_of(bytes.data + at + STORE_COMMIT_CHECKED_FROM, header->bytes - STORE_COMMIT_CHECKED_FROM);
    return hash_span_seeded(checked, reading->header.seed) == header->checksum;
}

static bool give(struct reading *reading, uint32_t type, struct span body, void *own)
{
    struct replay_result *result = reading->result;
    result->records++;
    if (type == STORE_CHECKPOINT && body.bytes == 8) memcpy(&result->checkpoint, body.data, 8);
    if (reading->replay->record(reading->replay->context, type, body, own)) return true;
    return fault(reading, false, "a record makes no sense although its checksum is right: a fault of the program that wrote it");
}

static bool record_take(struct reading *reading, uint32_t type, struct span body)
{
    if ((type & RECORD_CONTINUES) && !reading->piece) return true; /* its beginning was trimmed */
    if (!(type & RECORD_MORE) && !reading->piece) return give(reading, type, body, NULL);
    reading->piece = memory_resize(reading->piece, reading->piece_bytes + body.bytes + 1);
    memcpy(reading->piece + reading->piece_bytes, body.data, body.bytes);
    reading->piece_bytes += body.bytes;
    if (type & RECORD_MORE) return true;
    struct span whole = span_of(reading->piece, reading->piece_bytes);
    reading->piece = NULL;
    reading->piece_bytes = 0;
    return give(reading, type & ~RECORD_CONTINUES, whole, (void *)(uintptr_t)whole.data);
}

static bool commit_take(struct reading *reading, uint64_t at, const struct store_commit_header *header)
{
    const uint8_t *from = reading->segment->bytes.data + at + sizeof *header;
    uint32_t left = header->bytes - (uint32_t)sizeof *header;
    while (left > 0) {
        uint32_t head;
        if (left < 4) return fault(reading, false, "a commit ends within a record");
        memcpy(&head, from, 4);
        uint32_t bytes = record_head_bytes(head);
        if (bytes > left - 4) return fault(reading, false, "a commit ends within a record");
        if (!record_take(reading, record_head_type(head), span_of(from + 4, bytes))) return false;
        from += 4 + bytes;
        left -= 4 + bytes;
    }
    struct replay_result *result = reading->result;
    result->commits++;
    result->bytes += header->bytes;
    result->last_sequence = header->sequence;
    if (header->realtime_ms > result->last_ms) result->last_ms = header->realtime_ms;
    return true;
}

/* A hole: refused, or in salvage what is behind it is taken, too. */
static bool hole(struct reading *reading, uint64_t found)
{
    char what[160];
    snprintf(what, sizeof what, "commits %llu to %llu are missing although later ones are there: what was durable has been damaged",
             (unsigned long long)reading->result->last_sequence + 1, (unsigned long long)found - 1);
    fault(reading, true, what);
    if (!reading->replay->salvage) return false;
    memory_release(reading->piece);
    reading->piece = NULL;
    reading->piece_bytes = 0;
    return true;
}

static bool commits_read(struct reading *reading)
{
    struct store_commit_header header;
    struct replay_result *result = reading->result;
    bool torn = false;
    for (uint64_t at = STORE_BLOCK_BYTES; at + STORE_BLOCK_BYTES <= reading->segment->bytes.bytes;) {
        bool begins = commit_begins(reading, at, &header);
        if (!begins || !commit_whole(reading, at, &header)) { /* the end, or a gap: look whether anything follows */
            torn |= begins;
            at += STORE_BLOCK_BYTES;
            continue;
        }
        if (header.sequence <= result->last_sequence) {
            result->skipped++;
        } else {
            if (header.sequence != result->last_sequence + 1 && result->last_sequence && !hole(reading, header.sequence)) return false;
            if (header.sequence != 1 && !result->last_sequence && reading->segment->number == 1 && !hole(reading, header.sequence))
                return false;
            if (!commit_take(reading, at, &header)) return false;
        }
        at += store_round_up(header.bytes);
    }
    result->torn += torn;
    return true;
}

/* ---- segments --------------------------------------------------------------------------------------------------- */

static bool header_read(struct reading *reading)
{
    const struct replay_segment *segment = reading->segment;
    struct store_segment_header *header = &reading->header;
    if (segment->bytes.bytes < STORE_BLOCK_BYTES) return fault(reading, true, "the file is too short");
    memcpy(header, segment->bytes.data, sizeof *header);
    struct span checked = span_of(segment->bytes.data + STORE_COMMIT_CHECKED_FROM, sizeof *header - STORE_COMMIT_CHECKED_FROM);
    if (header->magic != STORE_SEGMENT_MAGIC || header->checksum != hash_span(checked))
        return fault(reading, true, "its header is damaged");
    if (header->version > STORE_FORMAT_VERSION) return fault(reading, false, "its format is newer than this program knows");
    if (header->epoch != segment->epoch || header->shard != segment->shard || header->number != segment->number)
        return fault(reading, true, "its header names another place: the file was renamed");
    return true;
}

static bool segment_read(struct reading *reading, struct replay_segment *segment)
{
    reading->segment = segment;
    int error = reading->replay->files->map(reading->replay->files->context, segment->name, &segment->bytes);
    if (error) return fault(reading, false, strerror(-error));
    if (!header_read(reading)) return reading->replay->salvage && reading->result->hole;
    if (!commits_read(reading)) return false;
    if (reading->replay->progress) reading->replay->progress(reading->replay->context, segment->bytes.bytes);
    return true;
}

bool replay_log(const struct replay *replay, struct replay_segment *segments, uint32_t count, struct replay_result *ret_result)
{
    struct reading reading = {.replay = replay, .result = ret_result};
    *ret_result = (struct replay_result){0};
    bool sound = true;
    for (uint32_t i = 0; i < count && sound; i++) {
        if (i > 0 && segments[i].number != segments[i - 1].number + 1) {
            reading.segment = &segments[i];
            sound = fault(&reading, true, "the segment before it is missing") || replay->salvage;
        }
        sound = sound && segment_read(&reading, &segments[i]);
    }
    memory_release(reading.piece); /* torn between two commits */
    bool beginning_missing = count > 0 && segments[0].number > 1 && ret_result->checkpoint < segments[0].number;
    if (sound && beginning_missing) {
        reading.segment = &segments[0];
        sound = fault(&reading, true, "the segments before it are missing, and no checkpoint says that they are not needed") ||
                replay->salvage;
    }
    return sound;
}
