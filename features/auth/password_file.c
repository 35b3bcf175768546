/* password_file.c - see password_file.h. */
#include "features/auth/password_file.h"

#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/password.h"

struct password_file {
    char *text;
    size_t text_bytes;
    struct password_entry *entries; /* point into text */
    uint32_t count, room;
    struct map by_name;
};

static struct span name_of(const void *entry) { return ((const struct password_entry *)entry)->name; }

const char *password_name_check(struct span name)
{
    if (name.bytes == 0) return "the user name is empty";
    if (name.bytes > PASSWORD_NAME_BYTES_MAX) return "the user name is longer than 1024 bytes";
    for (size_t i = 0; i < name.bytes; i++) {
        if (name.data[i] == ':') return "a user name in a password file cannot contain ':'";
        if (name.data[i] < 0x20 || name.data[i] == 0x7F) return "the user name contains a control character";
    }
    return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *take_line(struct password_file *file, struct span line)
{
    if (line.bytes && line.data[line.bytes - 1] == '\r') line.bytes--;
    if (line.bytes == 0) return NULL;
    const uint8_t *colon = memchr(line.data, ':', line.bytes);
    if (!colon) return "there is no ':' between user name and password hash";
    struct span name = span_of(line.data, (size_t)(colon - line.data)), stored = span_skip(line, name.bytes + 1);
    const char *wrong = password_name_check(name);
    if (wrong) return wrong;
    if (!password_stored_valid(stored))
        return "what follows ':' is no password hash we know; write the line with `ringmq passwd` or `mosquitto_passwd`";
    if (file->count == file->room) {
        file->room = file->room ? file->room * 2 : 64;
        file->entries = memory_resize(file->entries, file->room * sizeof *file->entries);
    }
    file->entries[file->count++] = (struct password_entry){name, stored};
    return NULL;
}

/* The table points to the entries, which therefore come first and stay where they are. */
static const struct password_entry *index_entries(struct password_file *file)
{
    map_init(&file->by_name, name_of);
    for (uint32_t i = 0; i < file->count; i++) {
        if (map_find(&file->by_name, file->entries[i].name)) return &file->entries[i];
        map_insert(&file->by_name, &file->entries[i]);
    }
    return NULL;
}

struct password_file *password_file_parse(struct span text, const char *path, char *ret_error, size_t error_bytes)
{
    struct password_file *file = memory_acquire_zeroed(sizeof *file);
    file->text = memory_copy_string(text);
    file->text_bytes = text.bytes;
    struct span rest = span_of(file->text, text.bytes);
    const char *wrong = NULL;
    for (uint32_t number = 1; rest.bytes && !wrong; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
        size_t bytes = end ? (size_t)(end - rest.data) : rest.bytes;
        wrong = take_line(file, span_of(rest.data, bytes));
        if (wrong) snprintf(ret_error, error_bytes, "%s line %u: %s", path, number, wrong);
        rest = span_skip(rest, end ? bytes + 1 : bytes);
    }
    const struct password_entry *twice = wrong ? NULL : index_entries(file);
    if (twice) {
        wrong = "twice";
        snprintf(ret_error, error_bytes, "%s: the user '%.*s' has two lines; remove one", path, SPAN_PRINT(twice->name));
    }
    if (!wrong) return file;
    password_file_release(file);
    return NULL;
}

struct password_file *password_file_read(const char *path, char *ret_error, size_t error_bytes)
{
    FILE *in = fopen(path, "rbe");
    char *text = NULL;
    size_t bytes = 0, room = 0;
    if (!in) {
        snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
        return NULL;
    }
    do {
        room = room ? room * 2 : 65536;
        text = memory_resize(text, room);
        bytes += fread(text + bytes, 1, room - bytes, in);
    } while (bytes == room && bytes < PASSWORD_FILE_BYTES_MAX);
    struct password_file *file = NULL;
    if (ferror(in))
        snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
    else if (bytes >= PASSWORD_FILE_BYTES_MAX)
        snprintf(ret_error, error_bytes, "%s: larger than 256 MiB; use a database", path);
    else
        file = password_file_parse(span_of(text, bytes), path, ret_error, error_bytes);
    fclose(in);
    secret_wipe(text, bytes);
    memory_release(text);
    return file;
}

void password_file_release(struct password_file *file)
{
    if (!file) return;
    map_free(&file->by_name);
    secret_wipe(file->text, file->text_bytes);
    memory_release(file->text);
    memory_release(file->entries);
    memory_release(file);
}

const struct password_entry *password_file_find(const struct password_file *file, struct span name) { return map_find(&file->by_name, name); }

const struct password_entry *password_file_at(const struct password_file *file, uint32_t number)
{
    return number < file->count ? &file->entries[number] : NULL;
}

uint32_t password_file_count(const struct password_file *file) { return file->count; }
