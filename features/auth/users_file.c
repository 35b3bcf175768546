/* users_file.c - the file of a user database: lines appended, brought to disk, read back, rewritten; opening and closing. See users.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "features/auth/cache.h"
#include "features/auth/encode.h"
#include "features/auth/reply.h"
#include "features/auth/users_inside.h"
#include "features/auth/users_json.h"

/* A file is open once in a process, however many sources name it: a reload opens its sources while the old ones are still at work, and of two
 * instances each would miss what the other writes. (Of other processes the file's lock keeps us apart.) */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct auth_users *open_first;

static bool write_all(int fd, const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t written = write(fd, text, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* So that a change by somebody else is noticed. */
static void seen(struct auth_users *users)
{
    struct stat status;
    if (fstat(users->fd, &status) == 0) users->changed = status.st_mtim;
}

/* The writing lock is held. A write that failed half-way would make the next line unreadable, so it is cut off. */
bool users_append(struct auth_users *users, char *line)
{
    size_t bytes = strlen(line);
    bool fine = !users->broken && write_all(users->fd, line, bytes) && fdatasync(users->fd) == 0;
    secret_wipe(line, bytes);
    free(line);
    if (fine) {
        users->lines++;
        users->bytes += bytes;
        seen(users);
        return true;
    }
    LOG(ERROR, "user database cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    if (ftruncate(users->fd, (off_t)users->bytes) != 0) users->broken = true;
    return false;
}

/* The writing lock is held: all lines, one sync, and the old end when that fails. */
bool users_append_many(struct auth_users *users, const struct auth_user *many, const bool *wanted, uint32_t count)
{
    struct auth_text text = {0};
    uint64_t bytes = 0, lines = 0;
    bool fine = !users->broken;
    for (uint32_t i = 0; fine && i < count; i++) {
        if (!wanted[i]) continue;
        char *line = users_json_line(&many[i]);
        auth_text_add(&text, span_of_string(line));
        secret_wipe(line, strlen(line));
        free(line);
        lines++;
        if (text.bytes < 1 << 20) continue;
        fine = write_all(users->fd, text.data, text.bytes);
        bytes += text.bytes;
        text.bytes = 0;
    }
    fine = fine && write_all(users->fd, text.data ? text.data : "", text.bytes) && fdatasync(users->fd) == 0;
    bytes += text.bytes;
    auth_text_release(&text);
    if (fine) {
        users->lines += lines;
        users->bytes += bytes;
        seen(users);
        return true;
    }
    LOG(ERROR, "user database cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    if (!users->broken && ftruncate(users->fd, (off_t)users->bytes) != 0) users->broken = true;
    return false;
}

/* A file that was made, or has got another's name, is to be found after a crash only when its folder is on disk, too. */
static bool sync_folder(const char *file)
{
    char *copy = memory_copy_string(span_of_string(file));
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fine = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    memory_release(copy);
    return fine;
}

/* The writing lock is held. Where the path is a link, beside the file it names: the link stays. False: the old file stays, which is as good. */
static bool rewrite(struct auth_users *users)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.new", users->real_path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    flock(fd, LOCK_EX | LOCK_NB); /* nobody else knows it yet */
    uint64_t lines = 0, bytes = 0;
    uint32_t cursor = 0;
    bool fine = true;
    struct auth_text text = {0};
    for (const struct auth_user *user; fine && (user = map_next(&users->by_name, &cursor)); lines++) { /* only we change the map */
        char *line = users_json_line(user);
        auth_text_add(&text, span_of_string(line));
        secret_wipe(line, strlen(line));
        free(line);
        if (text.bytes < 1 << 20) continue;
        fine = write_all(fd, text.data, text.bytes);
        bytes += text.bytes;
        text.bytes = 0;
    }
    fine = fine && write_all(fd, text.data ? text.data : "", text.bytes) && fsync(fd) == 0 && rename(path, users->real_path) == 0;
    bytes += text.bytes;
    auth_text_release(&text);
    if (!fine) {
        LOG(WARN, "user database cannot be rewritten", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
        close(fd);
        unlink(path);
        return false;
    }
    close(users->fd);
    users->fd = fd;
    users->lines = lines;
    users->bytes = bytes;
    users->broken = !sync_folder(users->real_path); /* a crash might bring the old file back: nothing may be added to the new one alone */
    if (users->broken) LOG(ERROR, "user database cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    seen(users);
    return true;
}

void users_tidy(struct auth_users *users)
{
    if (users->lines > 1000 && users->lines > 2ull * users->by_name.count) rewrite(users);
}

/* One line of the file. NULL, or what is wrong. */
static const char *replay(struct auth_users *users, struct span line)
{
    static char error[200];
    struct auth_user user;
    bool deleted;
    json_t *root = auth_json(line, error, sizeof error);
    if (!root) return error;
    const char *wrong = users_json_read(root, &user, &deleted);
    json_decref(root);
    if (wrong) return wrong;
    if (deleted)
        users_forget(users, span_of_string(user.name));
    else
        users_remember(users, &user);
    secret_wipe(&user, sizeof user);
    return NULL;
}

static bool load(struct auth_users *users, char *ret_error, size_t error_bytes)
{
    FILE *in = fopen(users->path, "re");
    if (!in) return snprintf(ret_error, error_bytes, "%s: %s", users->path, strerror(errno)), false;
    char *line = NULL;
    size_t room = 0;
    const char *wrong = NULL;
    ssize_t bytes;
    while (!wrong && (bytes = getline(&line, &room, in)) > 0) {
        if (line[bytes - 1] != '\n') break; /* torn: it was not acknowledged */
        wrong = replay(users, span_of(line, (size_t)bytes - 1));
        users->lines++;
        users->bytes += (uint64_t)bytes;
    }
    if (wrong) snprintf(ret_error, error_bytes, "%s line %llu: %s", users->path, (unsigned long long)users->lines, wrong);
    secret_wipe(line, room);
    free(line);
    fclose(in);
    return !wrong;
}

/* For us alone, while we have it open. Some file systems have no locks: then it is up to their owner. */
static bool lock(struct auth_users *users, char *ret_error, size_t error_bytes)
{
    if (flock(users->fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) {
        snprintf(ret_error, error_bytes, "%s: in use by another process; a broker's users are changed by `ringmq ctl auth`", users->path);
        return false;
    }
    LOG(WARN, "user database cannot be locked", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    return true;
}

static void map_clear(struct map *by_name)
{
    uint32_t cursor = 0;
    for (struct auth_user *user; (user = map_next(by_name, &cursor));) {
        secret_wipe(user, sizeof *user);
        memory_release(user);
    }
    map_free(by_name);
}

static void destroy(struct auth_users *users)
{
    map_clear(&users->by_name);
    if (users->fd >= 0) close(users->fd);
    pthread_rwlock_destroy(&users->reading);
    pthread_mutex_destroy(&users->writing);
    memory_release(users->real_path);
    memory_release(users->path);
    memory_release(users);
}

/* What the file at `path` says. `fd`: it is open and locked already; -1: it is not. NULL with a sentence; then the descriptor is the caller's. */
static struct auth_users *read_file(const char *path, int fd, char *ret_error, size_t error_bytes)
{
    struct auth_users *users = memory_acquire_zeroed(sizeof *users);
    users->path = memory_copy_string(span_of_string(path));
    pthread_mutex_init(&users->writing, NULL);
    pthread_rwlock_init(&users->reading, NULL);
    map_init(&users->by_name, users_name_of);
    users->fd = fd >= 0 ? fd : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool fine = users->fd >= 0;
    if (!fine) snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
    fine = fine && (fd >= 0 || lock(users, ret_error, error_bytes)) && load(users, ret_error, error_bytes);
    struct stat status;
    if (fine && fstat(users->fd, &status) == 0 && (uint64_t)status.st_size > users->bytes) {
        LOG(WARN, "user database ended in the middle of a line", "file=%s bytes=%llu", log_quoted(span_of_string(path)),
            (unsigned long long)((uint64_t)status.st_size - users->bytes));
        fine = ftruncate(users->fd, (off_t)users->bytes) == 0;
        if (!fine) snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
    }
    char real[PATH_MAX];
    if (fine && realpath(path, real)) users->real_path = memory_copy_string(span_of_string(real));
    if (fine && (!users->real_path || !sync_folder(users->real_path))) fine = (snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno)), false);
    if (fine) {
        seen(users);
        return users;
    }
    if (fd >= 0) users->fd = -1;
    destroy(users);
    return NULL;
}

/* The writing lock is held. The file is another one, or has other contents, than we have left: somebody has changed it by hand, or put a copy back. */
static bool read_again(struct auth_users *users, bool same_file, char *ret_error, size_t error_bytes)
{
    struct auth_users *fresh = read_file(users->path, same_file ? users->fd : -1, ret_error, error_bytes);
    if (!fresh) return false;
    pthread_rwlock_wrlock(&users->reading);
    struct map old = users->by_name;
    users->by_name = fresh->by_name;
    fresh->by_name = old;
    pthread_rwlock_unlock(&users->reading);
    int old_fd = same_file ? -1 : users->fd;
    users->fd = fresh->fd;
    fresh->fd = old_fd;
    users->lines = fresh->lines;
    users->bytes = fresh->bytes;
    users->changed = fresh->changed;
    users->broken = false;
    char *real_path = users->real_path;
    users->real_path = fresh->real_path;
    fresh->real_path = real_path;
    destroy(fresh);
    auth_cache_outdate();
    LOG(NOTICE, "user database read again", "file=%s users=%u", log_quoted(span_of_string(users->path)), users->by_name.count);
    return true;
}

/* It is open already: is it as we have left it? */
static bool look_again(struct auth_users *users, char *ret_error, size_t error_bytes)
{
    struct stat there, ours;
    pthread_mutex_lock(&users->writing);
    bool fine = stat(users->path, &there) == 0 && fstat(users->fd, &ours) == 0;
    if (!fine) {
        snprintf(ret_error, error_bytes, "%s: %s", users->path, strerror(errno));
    } else {
        bool same_file = there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
        bool as_left = same_file && (uint64_t)there.st_size == users->bytes && there.st_mtim.tv_sec == users->changed.tv_sec &&
                       there.st_mtim.tv_nsec == users->changed.tv_nsec;
        if (users->broken && same_file) {
            fine = rewrite(users);
            if (!fine) snprintf(ret_error, error_bytes, "%s: cannot be written (see the log)", users->path);
        } else if (!as_left) {
            fine = read_again(users, same_file, ret_error, error_bytes);
        }
    }
    pthread_mutex_unlock(&users->writing);
    return fine;
}

static struct auth_users *find_open(const char *path)
{
    char real[PATH_MAX];
    struct auth_users *users = open_first;
    if (!realpath(path, real)) return NULL; /* not there yet */
    while (users && strcmp(users->real_path, real) != 0)
        users = users->next;
    return users;
}

struct auth_users *auth_users_open(const char *path, char *ret_error, size_t error_bytes)
{
    pthread_mutex_lock(&open_lock);
    struct auth_users *users = find_open(path);
    if (users) {
        if (!look_again(users, ret_error, error_bytes)) users = NULL;
    } else if ((users = read_file(path, -1, ret_error, error_bytes))) {
        users->next = open_first;
        open_first = users;
    }
    if (users) users->opened++;
    pthread_mutex_unlock(&open_lock);
    return users;
}

void auth_users_close(struct auth_users *users)
{
    if (!users) return;
    pthread_mutex_lock(&open_lock);
    bool last = --users->opened == 0;
    struct auth_users **place = &open_first;
    while (last && *place != users)
        place = &(*place)->next;
    if (last) *place = users->next;
    if (last) destroy(users);
    pthread_mutex_unlock(&open_lock);
}
