/* users_inside.h - what users.c (users in memory, changes) and users_file.c (the file that brings them back) share.
 *
 * Owner: auth_users_open() makes it, and the last auth_users_close() ends it. Threads: as the members say. */
#ifndef RINGMQ_FEATURES_AUTH_USERS_INSIDE_H
#define RINGMQ_FEATURES_AUTH_USERS_INSIDE_H

#include <pthread.h>
#include <time.h>

#include "base/map.h"
#include "features/auth/users.h"

struct auth_users {
    struct auth_users *next;  /* of those that are open */
    uint32_t opened;          /* times; under open_lock */
    char *path, *real_path;   /* as it was named; without links */
    pthread_mutex_t writing;  /* the file, and one change at a time */
    pthread_rwlock_t reading; /* the map */
    struct map by_name;       /* struct auth_user */
    int fd;
    uint64_t lines, bytes;    /* of the file */
    struct timespec changed;  /* when we wrote or read it last */
    bool broken;              /* a write has failed: nothing more is promised */
};

struct span users_name_of(const void *user); /* for the map */
/* Memory alone. */
void users_remember(struct auth_users *users, const struct auth_user *user);
bool users_forget(struct auth_users *users, struct span name);
/* The file. The writing lock is held. False: it is as it was, and the log says why. Of `many`, those that are wanted. */
bool users_append(struct auth_users *users, char *line); /* from malloc; released */
bool users_append_many(struct auth_users *users, const struct auth_user *many, const bool *wanted, uint32_t count);
/* Rewrites it when it is mostly history. */
void users_tidy(struct auth_users *users);

#endif
