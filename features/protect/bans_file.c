/* bans_file.c - the ban list's file: lines that people can read and write, too. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "features/protect/bans.h"

#define FIRST_LINE "# ringmq's ban list: KIND WHO AT UNTIL BY REASON, tabs between; times in Unix seconds, until 0 is for good; %XX for odd bytes\n"

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void put_field(FILE *file, struct span text, char after)
{
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t byte = text.data[i];
        if (byte < 0x21 || byte == '%' || byte == 0x7F)
            fprintf(file, "%%%02X", byte);
        else
            fputc(byte, file);
    }
    fputc(after, file);
}

static void put_ban(void *context, const struct ban *ban)
{
    FILE *file = context;
    put_field(file, span_of_string(ban_kind_names[ban->kind]), '\t');
    put_field(file, ban->who, '\t');
    fprintf(file, "%" PRIu64 "\t%" PRIu64 "\t", ban->at_ms / 1000, (ban->until_ms + 999) / 1000);
    put_field(file, ban->by, '\t');
    put_field(file, ban->reason, '\n');
}

/* To a file beside it that then takes its place: a crash leaves the one or the other. */
bool bans_write(struct bans *bans, const char *path, uint64_t now_ms, char *ret_error, size_t error_bytes)
{
    char *text = NULL, beside[4200];
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (!memory) return snprintf(ret_error, error_bytes, "out of memory"), false;
    fputs(FIRST_LINE, memory);
    bans_each(bans, now_ms, put_ban, memory);
    if (fclose(memory) != 0) return free(text), snprintf(ret_error, error_bytes, "out of memory"), false; /* a part of the list is none */
    snprintf(beside, sizeof beside, "%s.new", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool written = fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0) written = false;
    if (written && rename(beside, path) != 0) written = false, error = errno;
    free(text);
    if (!written) snprintf(ret_error, error_bytes, "cannot write %s: %s", path, strerror(error));
    return written;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static int digit(char byte) { return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1; }

/* In place. False: a % that two digits do not follow. */
static bool field_decode(char *text, struct span *ret_span)
{
    char *out = text;
    for (char *in = text; *in; in++) {
        if (*in == '%') {
            if (digit(in[1]) < 0 || digit(in[2]) < 0) return false;
            *out++ = (char)(digit(in[1]) << 4 | digit(in[2]));
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *ret_span = span_of(text, (size_t)(out - text));
    return true;
}

static bool seconds_decode(const char *text, uint64_t *ret_ms)
{
    char *end;
    errno = 0;
    uint64_t seconds = strtoull(text, &end, 10);
    *ret_ms = seconds * 1000;
    return *text >= '0' && *text <= '9' && !*end && errno == 0 && seconds < UINT64_MAX / 1000;
}

static const char *line_read(struct bans *into, char *line, uint64_t now_ms)
{
    char *fields[6], *rest = line;
    uint32_t count = 0;
    for (char *field; count < 6 && (field = strsep(&rest, "\t"));)
        fields[count++] = field;
    if (count != 6 || rest) return "it has not six fields with tabs between them";
    struct ban ban = {.kind = BAN_KINDS};
    for (uint32_t k = 0; k < BAN_KINDS; k++)
        if (strcmp(fields[0], ban_kind_names[k]) == 0) ban.kind = (enum ban_kind)k;
    if (ban.kind == BAN_KINDS) return "there is no such kind of ban";
    if (!field_decode(fields[1], &ban.who) || !field_decode(fields[4], &ban.by) || !field_decode(fields[5], &ban.reason))
        return "a % without two digits 0-9, A-F";
    if (!seconds_decode(fields[2], &ban.at_ms) || !seconds_decode(fields[3], &ban.until_ms)) return "its times are no numbers of seconds";
    switch (bans_add(into, &ban, now_ms)) {
    case BAN_FULL: return "too many bans";
    case BAN_MALFORMED: return "that is no name, address or network of its kind";
    default: return NULL;
    }
}

bool bans_read(struct bans *bans, const char *path, uint64_t now_ms, char *ret_error, size_t error_bytes)
{
    FILE *file = fopen(path, "re");
    if (!file && errno != ENOENT) return snprintf(ret_error, error_bytes, "cannot read %s: %s", path, strerror(errno)), false;
    struct bans read;
    bans_init(&read);
    char *line = NULL;
    size_t capacity = 0;
    const char *wrong = NULL;
    uint32_t number = 0;
    for (ssize_t bytes; file && !wrong && (bytes = getline(&line, &capacity, file)) >= 0;) {
        number++;
        if (bytes && line[bytes - 1] == '\n') line[bytes - 1] = 0;
        if (line[0] == 0 || line[0] == '#') continue;
        wrong = line_read(&read, line, now_ms);
    }
    if (file && ferror(file)) wrong = "it cannot be read to its end";
    free(line);
    if (file) fclose(file);
    if (wrong) {
        snprintf(ret_error, error_bytes, "%s, line %u: %s", path, number, wrong);
        bans_release(&read);
        return false;
    }
    pthread_mutex_lock(&bans->mutex);
    struct map named[BAN_KINDS];
    memcpy(named, bans->named, sizeof named);
    memcpy(bans->named, read.named, sizeof named);
    memcpy(read.named, named, sizeof named);
    struct ban_entry **searched = bans->searched;
    uint32_t searched_count = bans->searched_count;
    bans->searched = read.searched, bans->searched_count = read.searched_count;
    read.searched = searched, read.searched_count = searched_count;
    atomic_store(&bans->count, atomic_load(&read.count));
    pthread_mutex_unlock(&bans->mutex);
    bans_release(&read);
    return true;
}
