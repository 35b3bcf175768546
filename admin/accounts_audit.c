/* accounts_audit.c - who has done what: a line of JSON each, behind one another in audit.log. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/api.h"
#include "admin/accounts_inside.h"
#include "base/log.h"
#include "base/memory.h"

#define PATH_BYTES_MAX 1024 /* of a request's path in a line; what is longer is cut */

static void audit_path(const struct accounts *accounts, const char *end, char *ret_path, size_t bytes) { snprintf(ret_path, bytes, "%s/audit.log%s", accounts->directory, end); }

void accounts_audit_open(struct accounts *accounts)
{
    char path[4300];
    struct stat status;
    audit_path(accounts, "", path, sizeof path);
    accounts->audit = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (accounts->audit < 0) {
        LOG(ERROR, "audit log cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
        return;
    }
    accounts->audit_bytes = fstat(accounts->audit, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void rotate(struct accounts *accounts)
{
    char path[4300], old[4300];
    audit_path(accounts, "", path, sizeof path);
    audit_path(accounts, ".1", old, sizeof old);
    close(accounts->audit);
    if (rename(path, old) != 0) LOG(ERROR, "audit log not renamed", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
    accounts_audit_open(accounts);
}

void accounts_audit(struct accounts *accounts, const struct accounts_identity *who, const char *peer, const char *operation, const char *method, struct span path, int status)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    LOG(NOTICE, "admin action", "who=%s kind=%s peer=%s operation=%s path=%s status=%d", log_quoted(span_of_string(who->name)), accounts_kind_names[who->kind], peer,
        operation, log_quoted(path), status);
    bool cut = path.bytes > PATH_BYTES_MAX;
    if (cut) path.bytes = PATH_BYTES_MAX;
    json_t *shown = api_string(path);
    json_t *entry = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s+, s:i}", "at", api_time(now_ms), "who", who->name, "kind", accounts_kind_names[who->kind], "peer", peer,
                              "operation", operation, "method", method, "path", json_string_value(shown), cut ? "…" : "", "status", status);
    json_decref(shown);
    char *line = entry ? json_dumps(entry, JSON_COMPACT) : NULL;
    json_decref(entry);
    if (!line) return;
    size_t bytes = strlen(line);
    line = realloc(line, bytes + 2);
    strcpy(line + bytes, "\n");
    pthread_mutex_lock(&accounts->audit_lock);
    if (accounts->audit >= 0 && accounts->audit_bytes + bytes > ACCOUNTS_AUDIT_BYTES_MAX) rotate(accounts);
    if (accounts->audit >= 0) {
        ssize_t wrote = write(accounts->audit, line, bytes + 1);
        bool whole = wrote == (ssize_t)bytes + 1;
        if (!whole) LOG_LIMITED(ERROR, 1000, "audit log not written", "error=\"%s\"", wrote < 0 ? strerror(errno) : "the disk is full");
        if (!whole && wrote > 0) whole = ftruncate(accounts->audit, (off_t)accounts->audit_bytes) != 0; /* half a line would spoil the next one, too */
        if (whole) accounts->audit_bytes += (uint64_t)wrote;
    }
    pthread_mutex_unlock(&accounts->audit_lock);
    free(line);
}

/* The end of a file, with more than `lines` line ends if it has so many. */
static char *end_of_file(int fd, uint32_t lines, size_t *ret_bytes)
{
    struct stat status;
    uint64_t size = fstat(fd, &status) == 0 ? (uint64_t)status.st_size : 0;
    for (uint64_t wanted = lines * 512ull;; wanted *= 4) { /* most lines are shorter */
        uint64_t from = size > wanted ? size - wanted : 0;
        char *text = memory_acquire(size - from + 1);
        ssize_t got = pread(fd, text, size - from, (off_t)from);
        *ret_bytes = got > 0 ? (size_t)got : 0;
        uint32_t ends = 0;
        for (size_t i = 0; i < *ret_bytes; i++)
            ends += text[i] == '\n';
        if (from == 0 || ends > lines || got <= 0) return text;
        memory_release(text);
    }
}

/* The last `limit` whole lines of a file, the newest first, behind those that `list` has. */
static void read_back(const char *path, uint32_t limit, json_t *list)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    size_t bytes;
    char *text = end_of_file(fd, limit, &bytes), *end = text + bytes;
    close(fd);
    while (end > text && json_array_size(list) < limit) {
        if (end[-1] == '\n') end--;
        char *start = end;
        while (start > text && start[-1] != '\n')
            start--;
        json_t *entry = json_loadb(start, (size_t)(end - start), 0, NULL); /* the first line may have been cut */
        if (entry) json_array_append_new(list, entry);
        end = start;
    }
    memory_release(text);
}

json_t *accounts_audit_read(struct accounts *accounts, uint32_t limit)
{
    char path[4300];
    json_t *list = json_array();
    audit_path(accounts, "", path, sizeof path);
    read_back(path, limit, list);
    audit_path(accounts, ".1", path, sizeof path);
    if (json_array_size(list) < limit) read_back(path, limit, list);
    return list;
}
