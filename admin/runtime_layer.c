#include "admin/runtime_layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/api.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/hocon.h"

#define FILE_BYTES_MAX (4u << 20)

void runtime_path(const char *data_dir, char *ret_path, size_t bytes) { snprintf(ret_path, bytes, "%s/runtime.conf", data_dir); }

static void version_path(const char *data_dir, int version, char *ret_path, size_t bytes)
{
    snprintf(ret_path, bytes, "%s/runtime.history/%d.conf", data_dir, version);
}

static bool read_file(const char *path, struct http_text *ret_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char piece[4096];
    ssize_t got = 0;
    if (fd < 0) return false;
    while (ret_text->bytes < FILE_BYTES_MAX && (got = read(fd, piece, sizeof piece)) > 0)
        http_text_add(ret_text, piece, (size_t)got);
    close(fd);
    return got == 0;
}

/* ---- the file as keys and values -------------------------------------------------------------------------------- */

static void flatten(const struct hocon_value *value, const char *path, json_t *ret_values)
{
    char below[512];
    if (value->kind == HOCON_OBJECT) {
        for (uint32_t i = 0; i < value->count; i++) {
            snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", value->members[i].name);
            flatten(value->members[i].value, below, ret_values);
        }
        return;
    }
    if (value->kind == HOCON_NULL || value->kind == HOCON_ARRAY) return;
    json_object_set_new(ret_values, path, api_string(value->text));
}

static bool parse(const char *path, struct span text, json_t *ret_values, char *ret_error, size_t error_bytes)
{
    struct config_errors errors = {0};
    struct config_origin origin = {.kind = ORIGIN_FILE, .line = 1, .column = 1, .name = path};
    struct hocon_tree *tree = hocon_tree_create(NULL);
    bool good = hocon_read_text(tree, text, origin, &errors);
    const struct hocon_value *root = good ? hocon_resolve(tree, &errors) : NULL;
    if (root)
        flatten(root, "", ret_values);
    else
        snprintf(ret_error, error_bytes, "%s", errors.count ? errors.texts[0] : "the file cannot be read");
    config_errors_clear(&errors);
    hocon_tree_release(tree);
    return root != NULL;
}

/* Keys of the schema have nothing else in them, so that no key needs quotes. */
static bool key_plain(const char *key)
{
    size_t bytes = strlen(key);
    return bytes && bytes < 200 && strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-.") == bytes;
}

static void put_quoted(struct http_text *text, const char *value)
{
    http_text_add(text, "\"", 1);
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c == 0x7f)
            http_text_print(text, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            http_text_print(text, "\\%c", c);
        else
            http_text_add(text, value, 1);
    }
    http_text_add(text, "\"", 1);
}

static void put_line(struct http_text *text, const char *key, const char *value)
{
    http_text_print(text, "%s = ", key);
    put_quoted(text, value);
    http_text_add(text, "\n", 1);
}

static json_t *as_text(const json_t *value)
{
    if (json_is_string(value)) return json_incref((json_t *)(uintptr_t)value);
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    json_t *string = json_string(text ? text : "");
    free(text);
    return string;
}

bool runtime_text(const char *data_dir, const json_t *changes, struct http_text *ret_text, char *ret_error, size_t error_bytes)
{
    char path[4200];
    struct http_text before = {0};
    json_t *values = json_object(), *value;
    const char *key;
    runtime_path(data_dir, path, sizeof path);
    bool good = true;
    if (read_file(path, &before)) {
        good = parse(path, span_of(before.data, before.bytes), values, ret_error, error_bytes);
    } else if (access(path, F_OK) == 0) { /* its keys must not be lost */
        snprintf(ret_error, error_bytes, "%s cannot be read, or is larger than 4 MiB", path);
        good = false;
    }
    http_text_release(&before);
    json_object_foreach((json_t *)(uintptr_t)changes, key, value)
    {
        if (!key_plain(key)) {
            snprintf(ret_error, error_bytes, "there is no key `%.100s`", key);
            good = false;
        } else if (json_is_null(value)) {
            json_object_del(values, key);
        } else {
            json_object_set_new(values, key, as_text(value));
        }
    }
    http_text_print(ret_text, "# runtime.conf - written by the admin API: above ringmq.conf, below the environment and --set.\n"
                              "# The next change through the API writes it anew; comments do not survive that.\n");
    json_object_foreach(values, key, value) put_line(ret_text, key, json_string_value(value));
    json_decref(values);
    return good;
}

/* ---- versions --------------------------------------------------------------------------------------------------- */

static int version_compare(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }

/* The newest first; returns how many. */
static uint32_t versions(const char *data_dir, int *ret_versions, uint32_t max)
{
    char path[4200];
    uint32_t count = 0;
    snprintf(path, sizeof path, "%s/runtime.history", data_dir);
    DIR *directory = opendir(path);
    if (!directory) return 0;
    for (const struct dirent *entry; count < max && (entry = readdir(directory));) {
        int number = 0, used = 0;
        if (sscanf(entry->d_name, "%d.conf%n", &number, &used) == 1 && number > 0 && used && entry->d_name[used] == 0) ret_versions[count++] = number;
    }
    closedir(directory);
    qsort(ret_versions, count, sizeof *ret_versions, version_compare);
    return count;
}

static bool write_file(const char *path, struct span text)
{
    char new_path[4300];
    snprintf(new_path, sizeof new_path, "%s.new", path);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool good = write(fd, text.data, text.bytes) == (ssize_t)text.bytes && fsync(fd) == 0;
    good &= close(fd) == 0;
    return good && rename(new_path, path) == 0;
}

int runtime_write(const char *data_dir, struct span text, char *ret_error, size_t error_bytes)
{
    char path[4200], history[4200];
    int list[RUNTIME_VERSIONS_MAX + 50], version = 0;
    struct http_text before = {0};
    runtime_path(data_dir, path, sizeof path);
    bool good = true;
    if (read_file(path, &before)) {
        snprintf(history, sizeof history, "%s/runtime.history", data_dir);
        good = mkdir(history, 0700) == 0 || errno == EEXIST;
        uint32_t count = versions(data_dir, list, sizeof list / sizeof *list);
        version = count ? list[0] + 1 : 1;
        version_path(data_dir, version, history, sizeof history);
        good = good && write_file(history, span_of(before.data, before.bytes));
        for (uint32_t i = RUNTIME_VERSIONS_MAX - 1; good && i < count; i++) {
            version_path(data_dir, list[i], history, sizeof history);
            unlink(history);
        }
    }
    http_text_release(&before);
    good = good && write_file(path, text);
    if (good) return version;
    snprintf(ret_error, error_bytes, "%s cannot be written: %s", path, strerror(errno));
    return -1;
}

void runtime_unwrite(const char *data_dir, int version)
{
    char path[4200], history[4200];
    runtime_path(data_dir, path, sizeof path);
    version_path(data_dir, version, history, sizeof history);
    if ((version ? rename(history, path) : unlink(path)) != 0)
        LOG(ERROR, "runtime layer not restored", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
}

bool runtime_version(const char *data_dir, int version, struct http_text *ret_text)
{
    char path[4200];
    version_path(data_dir, version, path, sizeof path);
    return read_file(path, ret_text);
}

/* Viewers see it: secrets are masked, as wherever else values are shown. A path that a secret is read from is none. */
static json_t *shown(const char *path, struct span file)
{
    struct http_text text = {0};
    char error[512];
    json_t *values = json_object(), *value, *whole;
    const char *key;
    if (!parse(path, file, values, error, sizeof error)) http_text_print(&text, "# this version cannot be read: %s\n", error);
    json_object_foreach(values, key, value)
    {
        const char *said = json_string_value(value);
        bool masked = *said && config_is_secret(key) && strncmp(said, "file://", 7) != 0;
        put_line(&text, key, masked ? "******" : said);
    }
    json_decref(values);
    whole = api_string_of(text.data ? text.data : "", text.bytes);
    http_text_release(&text);
    return whole;
}

json_t *runtime_versions(const char *data_dir)
{
    int list[RUNTIME_VERSIONS_MAX + 50];
    uint32_t count = versions(data_dir, list, sizeof list / sizeof *list);
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++) {
        char path[4200];
        struct stat status;
        struct http_text text = {0};
        version_path(data_dir, list[i], path, sizeof path);
        if (stat(path, &status) == 0 && read_file(path, &text))
            json_array_append_new(array, json_pack("{s:i, s:o, s:o}", "version", list[i], "at", api_time((uint64_t)status.st_mtime * 1000), "text",
                                                   shown(path, span_of(text.data, text.bytes))));
        http_text_release(&text);
    }
    return array;
}
