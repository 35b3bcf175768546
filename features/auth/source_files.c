/* source_files.c - the sources that ask nobody: the password file, the built-in user database, the client's certificate. */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/memory.h"
#include "features/auth/cache.h"
#include "features/auth/encode.h"
#include "features/auth/password_file.h"
#include "features/auth/source.h"
#include "features/auth/users.h"

/* ---- password_file ---------------------------------------------------------------------------------------------- */

struct file_source {
    const struct auth_source_settings *settings;
    pthread_mutex_t lock;         /* `file`: held while an entry is copied, never while one is hashed */
    pthread_mutex_t looking;      /* one thread looks whether the file has changed */
    struct password_file *file;
    struct stat status;
    uint64_t looked_ms;
};

#define LOOK_MS 500

static void *file_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    struct file_source *source = memory_acquire_zeroed(sizeof *source);
    if (!*settings->file) {
        snprintf(ret_error, error_bytes, "backend password_file needs `file`, as `ringmq passwd` or mosquitto_passwd writes it");
    } else if (stat(settings->file, &source->status) != 0) {
        snprintf(ret_error, error_bytes, "%s: %m", settings->file);
    } else if ((source->file = password_file_read(settings->file, ret_error, error_bytes))) {
        source->settings = settings;
        pthread_mutex_init(&source->lock, NULL);
        pthread_mutex_init(&source->looking, NULL);
        return source;
    }
    memory_release(source);
    return NULL;
}

static void file_close(void *instance)
{
    struct file_source *source = instance;
    password_file_release(source->file);
    pthread_mutex_destroy(&source->lock);
    pthread_mutex_destroy(&source->looking);
    memory_release(source);
}

/* A file that cannot be read, or is broken, leaves the old users in force: half a list would lock people out. */
static void file_look(struct file_source *source)
{
    struct stat status;
    char error[400];
    if (pthread_mutex_trylock(&source->looking) != 0) return;
    uint64_t now_ms = auth_now_ms();
    bool due = now_ms - source->looked_ms >= LOOK_MS;
    if (due) source->looked_ms = now_ms;
    if (due && stat(source->settings->file, &status) == 0 &&
        (status.st_ino != source->status.st_ino || status.st_size != source->status.st_size || status.st_mtim.tv_sec != source->status.st_mtim.tv_sec ||
         status.st_mtim.tv_nsec != source->status.st_mtim.tv_nsec)) {
        struct password_file *file = password_file_read(source->settings->file, error, sizeof error), *old = NULL;
        source->status = status;
        if (file) {
            pthread_mutex_lock(&source->lock);
            old = source->file;
            source->file = file;
            pthread_mutex_unlock(&source->lock);
            auth_cache_outdate();
            LOG(NOTICE, "password file read again", "source=%s users=%u", source->settings->name, password_file_count(file));
        } else {
            LOG(ERROR, "password file not read again", "source=%s what=%s", source->settings->name, log_quoted(span_of_string(error)));
        }
        password_file_release(old);
    }
    pthread_mutex_unlock(&source->looking);
}

/* Also when all who log in are remembered, and nobody is asked: the change makes those verdicts void. */
static void file_tick(void *instance) { file_look(instance); }

static struct span user_of(const struct auth_source_settings *settings, const struct auth_query *query)
{
    if (settings->user_id_type == AUTH_USER_ID_CLIENTID) return query->client_id;
    return query->has_user_name ? query->user_name : span_of(NULL, 0);
}

static enum auth_verdict file_authenticate(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    struct file_source *source = instance;
    struct span user = user_of(source->settings, query);
    file_look(source);
    char stored[PASSWORD_STORED_BYTES_MAX];
    pthread_mutex_lock(&source->lock);
    const struct password_entry *entry = user.bytes ? password_file_find(source->file, user) : NULL, *any = password_file_at(source->file, 0);
    struct span hash = entry ? entry->stored : any ? any->stored : span_of(NULL, 0); /* all of a file are shorter: password_stored_valid() */
    if (hash.bytes) memcpy(stored, hash.data, hash.bytes);
    pthread_mutex_unlock(&source->lock);
    hash.data = (const uint8_t *)stored;
    enum password_verdict verdict = PASSWORD_UNREADABLE;
    if (entry)
        verdict = password_check(hash, query->password);
    else if (any) /* as long as for a user who is there, so that nobody can ask who is */
        password_check_nobody(hash, query->password);
    secret_wipe(stored, hash.bytes);
    if (!entry) return auth_answer_say(answer, AUTH_NEXT, "no such user");
    if (verdict == PASSWORD_RIGHT) return auth_answer_say(answer, AUTH_ALLOW, "the password is right");
    if (verdict == PASSWORD_WRONG) return auth_answer_say(answer, AUTH_DENY, "wrong password");
    answer->of_client = true;
    return auth_answer_say(answer, AUTH_DOWN, "this system cannot check the user's password hash");
}

const struct auth_source_kind auth_source_password_file = {
    .abi = AUTH_SOURCE_ABI, .name = "password_file", .local = true, .closed = true, .open = file_open, .close = file_close, .authenticate = file_authenticate,
    .tick = file_tick};

/* ---- built_in_database ------------------------------------------------------------------------------------------ */

struct built_in {
    const struct auth_source_settings *settings;
    struct auth_users *users;
};

static void *built_in_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    struct password_form form = auth_password_form(settings);
    struct auth_import import;
    struct auth_users *users = auth_users_open(settings->file, ret_error, error_bytes);
    if (!users) return NULL;
    if (*settings->bootstrap_file) {
        if (!auth_users_import_file(users, settings->bootstrap_file, &form, settings->mechanism == AUTH_MECHANISM_SCRAM, false, &import, ret_error, error_bytes)) {
            auth_users_close(users);
            return NULL;
        }
        LOG(NOTICE, "users imported", "source=%s file=%s added=%u there_already=%u", settings->name, log_quoted(span_of_string(settings->bootstrap_file)), import.added,
            import.skipped);
    }
    struct built_in *source = memory_acquire_zeroed(sizeof *source);
    source->settings = settings;
    source->users = users;
    return source;
}

static void built_in_close(void *instance)
{
    struct built_in *source = instance;
    auth_users_close(source->users);
    memory_release(source);
}

static enum auth_verdict built_in_authenticate(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct built_in *source = instance;
    struct auth_user user;
    if (source->settings->mechanism == AUTH_MECHANISM_SCRAM) return auth_answer_say(answer, AUTH_NEXT, "this source speaks SCRAM only");
    if (!auth_users_find(source->users, user_of(source->settings, query), &user) || !user.stored[0]) {
        password_check_nobody(SPAN_LITERAL(nobody), query->password);
        return auth_answer_say(answer, AUTH_NEXT, "no such user");
    }
    enum password_verdict verdict = password_check_form(&user.form, span_of_string(user.stored), span_of_string(user.salt), query->password);
    explicit_bzero(user.stored, sizeof user.stored);
    answer->superuser = verdict == PASSWORD_RIGHT && user.superuser;
    if (verdict == PASSWORD_RIGHT) return auth_answer_say(answer, AUTH_ALLOW, "the password is right");
    if (verdict == PASSWORD_WRONG) return auth_answer_say(answer, AUTH_DENY, "wrong password");
    answer->of_client = true;
    return auth_answer_say(answer, AUTH_DOWN, "this system cannot check the user's password hash");
}

struct auth_users *auth_source_users(void *instance) { return ((struct built_in *)instance)->users; }

const struct auth_source_kind auth_source_built_in = {
    .abi = AUTH_SOURCE_ABI, .name = "built_in_database", .local = true, .closed = true, .open = built_in_open, .close = built_in_close,
    .authenticate = built_in_authenticate};

/* ---- certificate ------------------------------------------------------------------------------------------------ */

static void *certificate_open(const struct auth_source_settings *settings, const struct auth_tools *tools, char *ret_error, size_t error_bytes)
{
    return (void *)settings;
}

static void certificate_close(void *instance) {}

/* The handshake has verified it (listeners.*.NAME.tls); the name it stands for is the listener's business, too. */
static enum auth_verdict certificate_authenticate(void *instance, void *link, const struct auth_query *query, uint64_t deadline_ms, struct auth_answer *answer)
{
    if (!query->certified) return auth_answer_say(answer, AUTH_NEXT, "no certificate");
    return auth_answer_say(answer, AUTH_ALLOW, "a verified certificate");
}

const struct auth_source_kind auth_source_certificate = {
    .abi = AUTH_SOURCE_ABI, .name = "certificate", .local = true, .open = certificate_open, .close = certificate_close, .authenticate = certificate_authenticate};
