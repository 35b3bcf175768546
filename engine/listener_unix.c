/* Unix sockets: a file with an owner and a mode instead of an address and a port. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/listener.h"

/* A name or a number; "" is -1, which leaves things as they are. False: there is nobody of that name. */
static bool find_user(const char *name, uid_t *ret_user)
{
    char *end;
    *ret_user = (uid_t)-1;
    if (!name || !*name) return true;
    *ret_user = (uid_t)strtoul(name, &end, 10);
    if (*end == 0) return true;
    const struct passwd *user = getpwnam(name);
    if (user) *ret_user = user->pw_uid;
    return user != NULL;
}

static bool find_group(const char *name, gid_t *ret_group)
{
    char *end;
    *ret_group = (gid_t)-1;
    if (!name || !*name) return true;
    *ret_group = (gid_t)strtoul(name, &end, 10);
    if (*end == 0) return true;
    const struct group *group = getgrnam(name);
    if (group) *ret_group = group->gr_gid;
    return group != NULL;
}

static int unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

/* What lies at the path: NULL when it is free (or has been made so), else what is wrong. */
static const char *path_clear(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) != 0) return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISSOCK(file.st_mode)) return "there is a file that is no socket; remove it or choose another path";
    int fd = unix_socket();
    bool listens = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    int why = errno;
    if (fd >= 0) close(fd);
    if (listens || why == EAGAIN) return "somebody listens there; another broker may be running";
    if (why != ECONNREFUSED) return strerror(why);
    return unlink(address->sun_path) == 0 ? NULL : strerror(errno); /* left behind by a process that was killed */
}

/* Nobody may connect before owner and mode are what they should be. */
static const char *bind_with_mode(const struct listener_settings *settings, int fd, const struct sockaddr_un *address)
{
    uid_t user;
    gid_t group;
    if (!find_user(settings->owner, &user)) return "there is no user of the name in owner";
    if (!find_group(settings->group, &group)) return "there is no group of the name in group";
    mode_t mask = umask(0777);
    int bound = bind(fd, (const struct sockaddr *)address, sizeof *address);
    umask(mask);
    if (bound != 0) return strerror(errno);
    bool owned = (user == (uid_t)-1 && group == (gid_t)-1) || lchown(address->sun_path, user, group) == 0;
    mode_t mode = (mode_t)strtoul(settings->mode && *settings->mode ? settings->mode : "0660", NULL, 8);
    if (owned && chmod(address->sun_path, mode) == 0 && listen(fd, (int)settings->backlog) == 0) return NULL;
    int why = errno;
    unlink(address->sun_path);
    return owned ? strerror(why) : "the owner or group cannot be set (another one than our own needs root)";
}

bool listener_open_unix(struct listener *listener, uint32_t shards_count, int *fds, char *ret_error, size_t error_bytes)
{
    const struct listener_settings *settings = listener->settings;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", settings->bind);
    fds[0] = unix_socket();
    const char *wrong = fds[0] < 0 ? strerror(errno) : path_clear(&address);
    if (!wrong) wrong = bind_with_mode(settings, fds[0], &address);
    if (wrong) {
        snprintf(ret_error, error_bytes, "cannot bind %s (listeners.unix.%s.bind): %s", settings->bind, settings->name, wrong);
        if (fds[0] >= 0) close(fds[0]);
        return false;
    }
    for (uint32_t shard = 1; shard < shards_count; shard++)
        fds[shard] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    struct stat file = {0};
    if (lstat(settings->bind, &file) == 0) {
        listener->file_device = file.st_dev;
        listener->file_inode = file.st_ino;
    }
    return true;
}

void listener_unlink_unix(const struct listener *listener)
{
    struct stat file;
    const char *path = listener->settings->bind;
    if (lstat(path, &file) == 0 && file.st_dev == listener->file_device && file.st_ino == listener->file_inode) unlink(path);
}
