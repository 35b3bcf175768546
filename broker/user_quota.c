#include "broker/user_quota.h"

#include "base/memory.h"
#include "broker/session.h"

struct quota_user {
    uint32_t sessions, bytes;
    char name[];
};

static struct span user_key(const void *value)
{
    const struct quota_user *user = value;
    return span_of(user->name, user->bytes);
}

void user_quota_init(struct user_quota *quota)
{
    pthread_mutex_init(&quota->mutex, NULL);
    map_init(&quota->users, user_key);
}

void user_quota_release(struct user_quota *quota)
{
    uint32_t cursor = 0;
    for (void *user; (user = map_next(&quota->users, &cursor));)
        memory_release(user);
    map_free(&quota->users);
    pthread_mutex_destroy(&quota->mutex);
}

static void leave(struct user_quota *quota, struct quota_user *user)
{
    if (!user || --user->sessions > 0) return;
    map_remove(&quota->users, user_key(user));
    memory_release(user);
}

static struct quota_user *user_made(struct user_quota *quota, struct span name)
{
    struct quota_user *user = memory_acquire(sizeof *user + name.bytes);
    *user = (struct quota_user){.bytes = (uint32_t)name.bytes};
    memcpy(user->name, name.data, name.bytes);
    map_insert(&quota->users, user);
    return user;
}

bool user_quota_take(struct user_quota *quota, struct session *session, struct span user_name, uint32_t limit)
{
    if (user_name.bytes == 0) return user_quota_end(quota, session), true;
    struct session_rare *rare = session_rare(session);
    bool granted = true;
    pthread_mutex_lock(&quota->mutex);
    struct quota_user *user = map_find(&quota->users, user_name);
    if (!user || user != rare->quota_user) {
        granted = !user || user->sessions < limit;
        if (granted) {
            leave(quota, rare->quota_user);
            if (!user) user = user_made(quota, user_name);
            user->sessions++;
            rare->quota_user = user;
        }
    }
    pthread_mutex_unlock(&quota->mutex);
    return granted;
}

bool user_quota_refuses(struct user_quota *quota, const struct session *session, bool ends, struct span user_name, uint32_t limit)
{
    if (user_name.bytes == 0) return false;
    pthread_mutex_lock(&quota->mutex);
    const struct quota_user *user = map_find(&quota->users, user_name);
    bool own = user && session && session->rare && session->rare->quota_user == user;
    bool refuses = user && !(own && !ends) && user->sessions - (own ? 1 : 0) >= limit;
    pthread_mutex_unlock(&quota->mutex);
    return refuses;
}

void user_quota_end(struct user_quota *quota, struct session *session)
{
    if (!session->rare || !session->rare->quota_user) return;
    pthread_mutex_lock(&quota->mutex);
    leave(quota, session->rare->quota_user);
    session->rare->quota_user = NULL;
    pthread_mutex_unlock(&quota->mutex);
}
