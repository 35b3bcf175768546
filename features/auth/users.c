/* users.c - users in memory, and their changes; see users.h. Their file is in users_file.c, import and export in users_exchange.c. */
#include "features/auth/users.h"

#include <stdlib.h>

#include "base/memory.h"
#include "features/auth/cache.h"
#include "features/auth/encode.h"
#include "features/auth/saslprep.h"
#include "features/auth/users_inside.h"
#include "features/auth/users_json.h"

struct span users_name_of(const void *user) { return span_of_string(((const struct auth_user *)user)->name); }

/* ---- memory ----------------------------------------------------------------------------------------------------- */

void users_remember(struct auth_users *users, const struct auth_user *user)
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

bool users_forget(struct auth_users *users, struct span name)
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

/* ---- changes ---------------------------------------------------------------------------------------------------- */

enum auth_users_result auth_users_put(struct auth_users *users, const struct auth_user *user, enum auth_users_mode mode)
{
    size_t bytes = strlen(user->name);
    if (bytes == 0 || (!user->stored[0] && !user->has_scram) || !users_json_can(user)) return AUTH_USERS_WRONG;
    pthread_mutex_lock(&users->writing);
    bool known = map_find(&users->by_name, span_of_string(user->name)) != NULL; /* writers alone change the map */
    enum auth_users_result result = mode == AUTH_USERS_ADD && known       ? AUTH_USERS_EXISTS
                                    : mode == AUTH_USERS_CHANGE && !known ? AUTH_USERS_UNKNOWN
                                    : !known && users->by_name.count >= AUTH_USERS_MAX ? AUTH_USERS_FAILED
                                    : users_append(users, users_json_line(user))            ? AUTH_USERS_DONE
                                                                                     : AUTH_USERS_FAILED;
    if (result == AUTH_USERS_DONE) {
        users_remember(users, user);
        users_tidy(users);
    }
    pthread_mutex_unlock(&users->writing);
    return result;
}

enum auth_users_result auth_users_delete(struct auth_users *users, struct span name)
{
    pthread_mutex_lock(&users->writing);
    enum auth_users_result result = AUTH_USERS_UNKNOWN;
    if (map_find(&users->by_name, name)) result = users_append(users, users_json_deleted(name)) ? AUTH_USERS_DONE : AUTH_USERS_FAILED;
    if (result == AUTH_USERS_DONE) {
        users_forget(users, name);
        users_tidy(users);
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
    bool fine = (uint64_t)users->by_name.count + done.added <= AUTH_USERS_MAX && (!any || users_append_many(users, many, wanted, count));
    for (uint32_t i = 0; fine && i < count; i++)
        if (wanted[i]) users_remember(users, &many[i]);
    if (fine && any) users_tidy(users);
    pthread_mutex_unlock(&users->writing);
    memory_release(wanted);
    *ret_import = done;
    return fine ? AUTH_USERS_DONE : AUTH_USERS_FAILED;
}
