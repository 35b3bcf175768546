/* traces_files.c - the files of traces: NAME.meta says what it is, NAME.jsonl and NAME.log hold its records. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/api.h"
#include "admin/traces_inside.h"
#include "base/log.h"
#include "base/memory.h"

void traces_path(const struct traces *traces, const char *name, const char *suffix, char *ret_path, size_t bytes)
{
    snprintf(ret_path, bytes, "%s/%s%s", traces->folder, name, suffix);
}

bool traces_meta_write(const struct traces *traces, const struct trace_picture *picture)
{
    char path[4300], temporary[4310];
    traces_path(traces, picture->name, ".meta", path, sizeof path);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    json_t *meta = json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name", picture->name, "type", trace_kind_names[picture->kind], "value",
                             api_string(span_of_string(picture->value)), "payload", trace_payload_names[picture->wording.payload], "payload_limit",
                             (json_int_t)picture->wording.payload_bytes, "max_bytes", (json_int_t)picture->bytes_max, "started_ms", (json_int_t)picture->started_ms,
                             "ends_ms", (json_int_t)picture->ends_ms, "stopped_ms", (json_int_t)picture->stopped_ms, "records", (json_int_t)picture->records, "lost",
                             (json_int_t)picture->lost, "end", picture->end ? trace_end_names[picture->end] : "");
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = file >= 0 && json_dumpfd(meta, file, JSON_COMPACT) == 0;
    if (file >= 0) written = close(file) == 0 && written;
    written = written && rename(temporary, path) == 0;
    json_decref(meta);
    if (!written) LOG(ERROR, "trace not written", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
    return written;
}

void traces_files_remove(const struct traces *traces, const char *name)
{
    static const char *const suffixes[] = {".meta", ".jsonl", ".log"};
    char path[4300];
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        traces_path(traces, name, suffixes[i], path, sizeof path);
        unlink(path);
    }
}

static uint64_t file_bytes(const struct traces *traces, const char *name, const char *suffix)
{
    char path[4300];
    struct stat status;
    traces_path(traces, name, suffix, path, sizeof path);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static int word_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; word && i < count; i++)
        if (words[i] && strcmp(words[i], word) == 0) return i;
    return 0;
}

static void meta_read(struct traces *traces, const char *file)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", traces->folder, file);
    json_t *meta = json_load_file(path, 0, NULL);
    const char *name = json_string_value(json_object_get(meta, "name")), *value = json_string_value(json_object_get(meta, "value"));
    bool sound = name && value && strlen(name) + 5 == strlen(file) && strncmp(file, name, strlen(name)) == 0 && strlen(name) <= TRACE_NAME_BYTES;
    if (sound) {
#define NUMBER(key) (uint64_t)json_integer_value(json_object_get(meta, key))
#define WORD(key)   json_string_value(json_object_get(meta, key))
        struct entry *entry = memory_acquire_zeroed(sizeof *entry);
        struct trace_picture *picture = &entry->picture;
        snprintf(picture->name, sizeof picture->name, "%s", name);
        snprintf(picture->value, sizeof picture->value, "%s", value);
        picture->kind = (enum trace_kind)word_of(WORD("type"), trace_kind_names, TRACE_KINDS);
        picture->wording.payload = (enum trace_payload)word_of(WORD("payload"), trace_payload_names, 3);
        picture->wording.payload_bytes = (uint32_t)NUMBER("payload_limit");
        picture->bytes_max = NUMBER("max_bytes");
        picture->started_ms = NUMBER("started_ms");
        picture->ends_ms = NUMBER("ends_ms");
        picture->stopped_ms = NUMBER("stopped_ms");
        picture->records = NUMBER("records");
        picture->lost = NUMBER("lost");
        picture->end = (enum trace_end)word_of(WORD("end"), trace_end_names, TRACE_ENDS);
        picture->bytes = file_bytes(traces, name, ".jsonl") + file_bytes(traces, name, ".log");
        if (picture->end == TRACE_END_NONE) { /* the broker was killed */
            picture->end = TRACE_END_RESTART;
            picture->stopped_ms = traces_unix_ns() / 1000000;
            traces_meta_write(traces, picture);
        }
        entry->json = entry->text = -1;
        list_init(&entry->link);
        struct list *before = traces->entries.previous; /* by the time of their start */
        while (before != &traces->entries && CONTAINER_OF(before, struct entry, link)->picture.started_ms > picture->started_ms)
            before = before->previous;
        list_append(before->next, &entry->link);
        traces->count++;
#undef NUMBER
#undef WORD
    } else {
        LOG(WARN, "trace left alone", "file=%s what=\"it is no description of a trace\"", log_quoted(span_of_string(path)));
    }
    json_decref(meta);
}

void traces_folder_read(struct traces *traces)
{
    DIR *folder = opendir(traces->folder);
    if (!folder) return;
    for (struct dirent *found; (found = readdir(folder));) {
        size_t bytes = strlen(found->d_name);
        if (bytes > 5 && strcmp(found->d_name + bytes - 5, ".meta") == 0) meta_read(traces, found->d_name);
    }
    closedir(folder);
}

bool traces_files_open(struct traces *traces, struct entry *entry, char *ret_error, size_t error_bytes)
{
    char path[4300];
    bool made = mkdir(traces->folder, 0700) == 0 || errno == EEXIST;
    traces_path(traces, entry->picture.name, ".jsonl", path, sizeof path);
    entry->json = made ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
    traces_path(traces, entry->picture.name, ".log", path, sizeof path);
    entry->text = entry->json >= 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (entry->text >= 0 && traces_meta_write(traces, &entry->picture)) return true;
    snprintf(ret_error, error_bytes, "%s cannot be written: %s", path, strerror(errno));
    traces_files_remove(traces, entry->picture.name);
    return false;
}
