/* users.c - users in memory, and the file that brings them back; see users.h. Import and export are in users_exchange.c. */
#include "features/auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "features/auth/cache.h"
#include "features/auth/encode.h"
#include "features/auth/reply.h"
#include "features/auth/saslprep.h"
#include "features/auth/users_json.h"

struct auth_users {
    char *path;
    pthread_mutex_t writing;  /* the file, and one change at a time */
    pthread_rwlock_t reading; /* the map */
    struct map by_name;       /* struct auth_user */
    int fd;
    uint64_t lines, bytes;    /* of the file */
    bool broken;              /* a write has failed: nothing more is promised */
};

static struct span name_of(const void *user) { return span_of_string(((const struct auth_user *)user)->name); }

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void remember(struct auth_users *users, const struct auth_user *user)
{
    pthread_rwlock_wrlock(&users->reading);
    struct auth_user *known = map_find(&users->by_name, span_of_string(user->name));
    if (known) {
        *known = *user;
    } else {
        known = memory_acquire(sizeof *known);
        *known = *user;
        map_insert(&users->by_name, known);
    }
    pthread_rwlock_unlock(&users->reading);
    auth_cache_outdate();
}

static bool forget(struct auth_users *users, struct span name)
{
    pthread_rwlock_wrlock(&users->reading);
    struct auth_user *known = map_remove(&users->by_name, name);
    pthread_rwlock_unlock(&users->reading);
    bool was = known != NULL;
    if (known) secret_wipe(known, sizeof *known);
    memory_release(known);
    auth_cache_outdate();
    return was;
}

bool auth_users_find(struct auth_users *users, struct span name, struct auth_user *ret_user)
{
    pthread_rwlock_rdlock(&users->reading);
    const struct auth_user *known = map_find(&users->by_name, name);
    if (known) *ret_user = *known;
    pthread_rwlock_unlock(&users->reading);
    return known != NULL;
}

uint32_t auth_users_count(struct auth_users *users)
{
    pthread_rwlock_rdlock(&users->reading);
    uint32_t count = users->by_name.count;
    pthread_rwlock_unlock(&users->reading);
    return count;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct auth_user *const *)a)->name, (*(const struct auth_user *const *)b)->name);
}

/* The reading lock is held. Those behind `after`, in the order of their names. */
static const struct auth_user **sorted(struct auth_users *users, const char *after, uint32_t *ret_count)
{
    const struct auth_user **all = memory_acquire((users->by_name.count + 1) * sizeof *all);
    uint32_t cursor = 0, count = 0;
    for (const struct auth_user *user; (user = map_next(&users->by_name, &cursor));)
        if (!*after || strcmp(user->name, after) > 0) all[count++] = user;
    if (count) qsort(all, count, sizeof *all, by_name);
    *ret_count = count;
    return all;
}

uint32_t auth_users_list(struct auth_users *users, struct span after, uint32_t count, struct auth_user *ret_users)
{
    uint32_t found;
    char from[AUTH_USER_BYTES_MAX] = "";
    if (after.bytes < sizeof from && after.bytes) memcpy(from, after.data, after.bytes);
    if (after.bytes >= sizeof from || count == 0) return 0;
    pthread_rwlock_rdlock(&users->reading);
    const struct auth_user **all = sorted(users, from, &found);
    if (found > count) found = count;
    for (uint32_t i = 0; i < found; i++)
        ret_users[i] = *all[i];
    pthread_rwlock_unlock(&users->reading);
    memory_release(all);
    return found;
}

void auth_users_each(struct auth_users *users, void (*each)(void *context, const struct auth_user *user), void *context)
{
    uint32_t count;
    pthread_rwlock_rdlock(&users->reading);
    const struct auth_user **all = sorted(users, "", &count);
    for (uint32_t i = 0; i < count; i++)
        each(context, all[i]);
    pthread_rwlock_unlock(&users->reading);
    memory_release(all);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

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

/* The writing lock is held. A write that failed half-way would make the next line unreadable, so it is cut off. */
static bool append(struct auth_users *users, char *line)
{
    size_t bytes = strlen(line);
    bool fine = !users->broken && write_all(users->fd, line, bytes) && fdatasync(users->fd) == 0;
    secret_wipe(line, bytes);
    free(line);
    if (fine) {
        users->lines++;
        users->bytes += bytes;
        return true;
    }
    LOG(ERROR, "user database cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    if (ftruncate(users->fd, (off_t)users->bytes) != 0) users->broken = true;
    return false;
}

/* The writing lock is held. False: the old file stays, which is as good. */
static bool rewrite(struct auth_users *users)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.new", users->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return false;
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
    fine = fine && write_all(fd, text.data ? text.data : "", text.bytes) && fsync(fd) == 0 && rename(path, users->path) == 0;
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
    return true;
}

static void tidy(struct auth_users *users)
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
        forget(users, span_of_string(user.name));
    else
        remember(users, &user);
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

struct auth_users *auth_users_open(const char *path, char *ret_error, size_t error_bytes)
{
    struct auth_users *users = memory_acquire_zeroed(sizeof *users);
    users->path = memory_copy_string(span_of_string(path));
    pthread_mutex_init(&users->writing, NULL);
    pthread_rwlock_init(&users->reading, NULL);
    map_init(&users->by_name, name_of);
    users->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool fine = users->fd >= 0;
    if (!fine) snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
    fine = fine && load(users, ret_error, error_bytes);
    struct stat status;
    if (fine && fstat(users->fd, &status) == 0 && (uint64_t)status.st_size > users->bytes) {
        LOG(WARN, "user database ended in the middle of a line", "file=%s bytes=%llu", log_quoted(span_of_string(path)),
            (unsigned long long)((uint64_t)status.st_size - users->bytes));
        fine = ftruncate(users->fd, (off_t)users->bytes) == 0;
        if (!fine) snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno));
    }
    if (fine) return users;
    auth_users_close(users);
    return NULL;
}

void auth_users_close(struct auth_users *users)
{
    if (!users) return;
    uint32_t cursor = 0;
    for (struct auth_user *user; (user = map_next(&users->by_name, &cursor));) {
        secret_wipe(user, sizeof *user);
        memory_release(user);
    }
    map_free(&users->by_name);
    if (users->fd >= 0) close(users->fd);
    pthread_rwlock_destroy(&users->reading);
    pthread_mutex_destroy(&users->writing);
    memory_release(users->path);
    memory_release(users);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

enum auth_users_result auth_users_put(struct auth_users *users, const struct auth_user *user, enum auth_users_mode mode)
{
    size_t bytes = strlen(user->name);
    if (bytes == 0 || (!user->stored[0] && !user->has_scram)) return AUTH_USERS_WRONG;
    pthread_mutex_lock(&users->writing);
    bool known = map_find(&users->by_name, span_of_string(user->name)) != NULL; /* writers alone change the map */
    enum auth_users_result result = mode == AUTH_USERS_ADD && known       ? AUTH_USERS_EXISTS
                                    : mode == AUTH_USERS_CHANGE && !known ? AUTH_USERS_UNKNOWN
                                    : !known && users->by_name.count >= AUTH_USERS_MAX ? AUTH_USERS_FAILED
                                    : append(users, users_json_line(user))            ? AUTH_USERS_DONE
                                                                                     : AUTH_USERS_FAILED;
    if (result == AUTH_USERS_DONE) {
        remember(users, user);
        tidy(users);
    }
    pthread_mutex_unlock(&users->writing);
    return result;
}

enum auth_users_result auth_users_delete(struct auth_users *users, struct span name)
{
    pthread_mutex_lock(&users->writing);
    enum auth_users_result result = AUTH_USERS_UNKNOWN;
    if (map_find(&users->by_name, name)) result = append(users, users_json_deleted(name)) ? AUTH_USERS_DONE : AUTH_USERS_FAILED;
    if (result == AUTH_USERS_DONE) {
        forget(users, name);
        tidy(users);
    }
    pthread_mutex_unlock(&users->writing);
    return result;
}

const char *auth_user_password(struct auth_user *user, struct span password, bool scram)
{
    user->form = (struct password_form){.algorithm = PASSWORD_ENCODED};
    user->salt[0] = '\0';
    const char *wrong = password_make(MAKE_ARGON2ID, 0, password, user->stored);
    if (wrong || !scram) return wrong;
    struct auth_text name = {0}, checked = {0};
    bool allowed = saslprep(span_of_string(user->name), true, &name) && name.bytes && name.bytes < sizeof user->name && saslprep(password, true, &checked);
    if (allowed) strcpy(user->name, name.data);
    user->has_scram = allowed && scram_secret_make(password, SCRAM_ITERATIONS, NULL, 0, &user->scram);
    auth_text_release(&name);
    auth_text_release(&checked);
    return user->has_scram ? NULL : allowed ? "the system gives no random bytes" : "SASLprep (RFC 4013) does not allow this name or password";
}

/* The writing lock is held: all lines, one sync, and the old end when that fails. */
static bool append_many(struct auth_users *users, const struct auth_user *many, const bool *wanted, uint32_t count)
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
        return true;
    }
    LOG(ERROR, "user database cannot be written", "file=%s error=\"%s\"", log_quoted(span_of_string(users->path)), strerror(errno));
    if (!users->broken && ftruncate(users->fd, (off_t)users->bytes) != 0) users->broken = true;
    return false;
}

enum auth_users_result users_put_many(struct auth_users *users, const struct auth_user *many, uint32_t count, bool override, struct auth_import *ret_import)
{
    struct auth_import done = {0};
    bool *wanted = memory_acquire_zeroed(count + 1);
    pthread_mutex_lock(&users->writing);
    for (uint32_t i = 0; i < count; i++) {
        bool known = map_find(&users->by_name, span_of_string(many[i].name)) != NULL; /* a name that comes twice in the import is known to neither */
        wanted[i] = !known || override;
        if (!wanted[i]) done.skipped++;
        else if (known) done.changed++;
        else done.added++;
    }
    bool any = done.added + done.changed > 0;
    bool fine = (uint64_t)users->by_name.count + done.added <= AUTH_USERS_MAX && (!any || append_many(users, many, wanted, count));
    for (uint32_t i = 0; fine && i < count; i++)
        if (wanted[i]) remember(users, &many[i]);
    if (fine && any) tidy(users);
    pthread_mutex_unlock(&users->writing);
    memory_release(wanted);
    *ret_import = done;
    return fine ? AUTH_USERS_DONE : AUTH_USERS_FAILED;
}
