/* accounts.c - users and API keys, and the file they live in. */
#include "admin/accounts.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/accounts_inside.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"

const char *const accounts_kind_names[] = {"anonymous", "user", "api_key"};

enum api_role accounts_role_of(const char *name)
{
    for (int role = 0; role < ROLES; role++)
        if (name && strcmp(api_role_names[role], name) == 0) return (enum api_role)role;
    return ROLE_NONE;
}

void accounts_random(uint8_t *ret_bytes, size_t bytes) { CHECK(getrandom(ret_bytes, bytes, 0) == (ssize_t)bytes); }

void accounts_text_of(const uint8_t *bytes, size_t count, char *ret_text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < count; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            *ret_text++ = digits[bits >> (held - 6) & 63];
    }
    if (held) *ret_text++ = digits[bits << (6 - held) & 63];
    *ret_text = 0;
}

bool accounts_name_valid(const char *name)
{
    size_t bytes = strlen(name);
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0; /* a browser takes them out of a path: nobody could change or remove them there */
    return bytes > 0 && bytes <= ACCOUNTS_NAME_BYTES_MAX && !dots &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@") == bytes;
}

/* ---- passwords -------------------------------------------------------------------------------------------------- */

bool accounts_hash(const char *password, char ret_hash[HASH_BYTES_MAX])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], random[32];
    accounts_random((uint8_t *)random, sizeof random);
    if (!crypt_gensalt_rn("$y$", 0, random, sizeof random, salt, sizeof salt)) return false;
    struct crypt_data *data = memory_acquire_zeroed(sizeof *data);
    const char *hash = crypt_r(password, salt, data);
    bool good = hash && hash[0] == '$' && strlen(hash) < HASH_BYTES_MAX;
    if (good) strcpy(ret_hash, hash);
    explicit_bzero(data, sizeof *data);
    memory_release(data);
    return good;
}

bool accounts_hash_matches(const char *hash, const char *password)
{
    struct crypt_data *data = memory_acquire_zeroed(sizeof *data);
    const char *again = crypt_r(password, hash, data);
    bool same = again && again[0] == '$' && tls_same_secret(span_of_string(again), span_of_string(hash));
    explicit_bzero(data, sizeof *data);
    memory_release(data);
    return same;
}

bool accounts_hash_of(struct accounts *accounts, const char *name, char ret_hash[HASH_BYTES_MAX])
{
    pthread_mutex_lock(&accounts->lock);
    const char *hash = json_string_value(json_object_get(json_object_get(accounts->users, name), "hash"));
    if (hash) snprintf(ret_hash, HASH_BYTES_MAX, "%s", hash);
    pthread_mutex_unlock(&accounts->lock);
    return hash != NULL;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static bool write_whole(const char *path, const char *text, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool good = true;
    for (size_t done = 0; good && done < bytes;) {
        ssize_t wrote = write(fd, text + done, bytes - done);
        good = wrote > 0;
        if (good) done += (size_t)wrote;
    }
    good = good && fsync(fd) == 0;
    return close(fd) == 0 && good;
}

bool accounts_save(struct accounts *accounts)
{
    char path[4200], new_path[4208];
    json_t *whole = json_pack("{s:i, s:O, s:O}", "version", 1, "users", accounts->users, "api_keys", accounts->keys);
    CHECK(whole);
    char *text = json_dumps(whole, JSON_INDENT(2));
    json_decref(whole);
    CHECK(text);
    snprintf(path, sizeof path, "%s/users.json", accounts->directory);
    snprintf(new_path, sizeof new_path, "%s.new", path);
    bool good = write_whole(new_path, text, strlen(text)) && rename(new_path, path) == 0;
    if (!good) LOG(ERROR, "users not saved", "file=%s error=\"%s\"", log_quoted(span_of_string(path)), strerror(errno));
    explicit_bzero(text, strlen(text));
    free(text);
    return good;
}

static bool has_texts(const json_t *entry, const char *one, const char *other)
{
    return json_is_string(json_object_get(entry, one)) && json_is_string(json_object_get(entry, other)) &&
           accounts_role_of(json_string_value(json_object_get(entry, "role"))) != ROLE_NONE;
}

/* What is wrong in a file that was mended by hand; NULL: nothing. */
static const char *entries_wrong(const json_t *users, const json_t *keys)
{
    const char *name;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)users, name, entry)
        if (!has_texts(entry, "hash", "description")) return "a user has no hash, no description, or no role that there is";
    json_object_foreach((json_t *)(uintptr_t)keys, name, entry)
    {
        if (!has_texts(entry, "api_key", "sha256") || !json_is_string(json_object_get(entry, "description"))) return "a key has no api_key, sha256, description, or no role that there is";
        if (!json_is_boolean(json_object_get(entry, "enable")) || !json_is_integer(json_object_get(entry, "expires_ms"))) return "a key has no enable, or no expires_ms";
    }
    return NULL;
}

static bool load(struct accounts *accounts, char *ret_error, size_t error_bytes)
{
    char path[4200];
    json_error_t error;
    snprintf(path, sizeof path, "%s/users.json", accounts->directory);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        accounts->users = json_object();
        accounts->keys = json_object();
        return true;
    }
    json_t *whole = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    json_t *users = json_object_get(whole, "users"), *keys = json_object_get(whole, "api_keys");
    bool form = json_is_object(users) && json_is_object(keys) && json_integer_value(json_object_get(whole, "version")) == 1;
    const char *wrong = !whole ? error.text : !form ? "users and api_keys are missing, or it is of another version" : entries_wrong(users, keys);
    bool good = !wrong;
    if (good) {
        accounts->users = json_incref(users);
        accounts->keys = json_incref(keys);
    } else {
        snprintf(ret_error, error_bytes, "%s cannot be used (%s, line %d); mend it, or move it away to begin with a new administrator", path, wrong, whole ? 1 : error.line);
    }
    json_decref(whole);
    return good;
}

static bool directory_make(struct accounts *accounts, const char *data_dir, char *ret_error, size_t error_bytes)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/admin", data_dir);
    bool good = (mkdir(data_dir, 0755) == 0 || errno == EEXIST) && (mkdir(path, 0700) == 0 || errno == EEXIST) && access(path, R_OK | W_OK | X_OK) == 0;
    if (!good) snprintf(ret_error, error_bytes, "%s cannot be made or used: %s; see node.data_dir", path, strerror(errno));
    accounts->directory = memory_copy_string(span_of_string(path));
    return good;
}

/* The first user. A password of our own is shown once, here. */
static bool first_user(struct accounts *accounts, const char *default_password, char *ret_error, size_t error_bytes)
{
    char made[32], hash[HASH_BYTES_MAX];
    uint8_t random[12];
    accounts_random(random, sizeof random);
    accounts_text_of(random, sizeof random, made);
    bool given = default_password && *default_password;
    if (!accounts_hash(given ? default_password : made, hash)) {
        snprintf(ret_error, error_bytes, "the system's crypt(3) knows no yescrypt: passwords cannot be kept");
        return false;
    }
    json_object_set_new(accounts->users, "admin", json_pack("{s:s, s:s, s:s}", "role", "administrator", "description", "made at the first start", "hash", hash));
    if (!accounts_save(accounts)) {
        snprintf(ret_error, error_bytes, "%s/users.json cannot be written", accounts->directory);
        return false;
    }
    if (given)
        LOG(NOTICE, "first admin user made", "user=admin password=admin.default_password");
    else
        LOG(WARN, "first admin user made", "user=admin password=%s what=\"shown only this once: log in and change it\"", made);
    explicit_bzero(made, sizeof made);
    return true;
}

struct accounts *accounts_open(const char *data_dir, const char *default_password, char *ret_error, size_t error_bytes)
{
    struct accounts *accounts = memory_acquire_zeroed(sizeof *accounts);
    pthread_mutex_init(&accounts->lock, NULL);
    pthread_mutex_init(&accounts->audit_lock, NULL);
    accounts->audit = -1;
    accounts->token_lifetime_s = 3600;
    accounts_random((uint8_t *)&accounts->failures_seed, sizeof accounts->failures_seed);
    bool good = directory_make(accounts, data_dir, ret_error, error_bytes) && load(accounts, ret_error, error_bytes) &&
                (json_object_size(accounts->users) > 0 || first_user(accounts, default_password, ret_error, error_bytes));
    if (!good) {
        accounts_close(accounts);
        return NULL;
    }
    accounts_audit_open(accounts);
    return accounts;
}

void accounts_close(struct accounts *accounts)
{
    if (!accounts) return;
    if (accounts->audit >= 0) close(accounts->audit);
    json_decref(accounts->users);
    json_decref(accounts->keys);
    pthread_mutex_destroy(&accounts->lock);
    pthread_mutex_destroy(&accounts->audit_lock);
    memory_release(accounts->directory);
    explicit_bzero(accounts, sizeof *accounts);
    memory_release(accounts);
}

void accounts_configure(struct accounts *accounts, uint32_t token_lifetime_s)
{
    pthread_mutex_lock(&accounts->lock);
    accounts->token_lifetime_s = token_lifetime_s;
    pthread_mutex_unlock(&accounts->lock);
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *user_shown(const char *name, const json_t *user)
{
    return json_pack("{s:s, s:s, s:s}", "username", name, "role", text_of(user, "role"), "description", text_of(user, "description"));
}

json_t *accounts_users(struct accounts *accounts)
{
    json_t *list = json_array(), *user;
    const char *name;
    pthread_mutex_lock(&accounts->lock);
    json_object_foreach(accounts->users, name, user) json_array_append_new(list, user_shown(name, user));
    pthread_mutex_unlock(&accounts->lock);
    return list;
}

json_t *accounts_user(struct accounts *accounts, const char *name)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *user = json_object_get(accounts->users, name), *shown = user ? user_shown(name, user) : NULL;
    pthread_mutex_unlock(&accounts->lock);
    return shown;
}

static uint32_t administrators(const struct accounts *accounts)
{
    uint32_t count = 0;
    const char *name;
    json_t *user;
    json_object_foreach(accounts->users, name, user) count += strcmp(text_of(user, "role"), "administrator") == 0;
    return count;
}

enum accounts_result accounts_user_create(struct accounts *accounts, const json_t *new_user)
{
    const char *name = text_of(new_user, "username");
    char hash[HASH_BYTES_MAX];
    if (!accounts_name_valid(name)) return ACCOUNTS_BAD_NAME;
    if (!accounts_hash(text_of(new_user, "password"), hash)) return ACCOUNTS_NOT_SAVED;
    enum accounts_result result = ACCOUNTS_DONE;
    pthread_mutex_lock(&accounts->lock);
    if (json_object_get(accounts->users, name)) {
        result = ACCOUNTS_EXISTS;
    } else if (json_object_size(accounts->users) >= ACCOUNTS_USERS_MAX) {
        result = ACCOUNTS_FULL;
    } else {
        json_object_set_new(accounts->users, name,
                            json_pack("{s:s, s:s, s:s}", "role", text_of(new_user, "role"), "description", text_of(new_user, "description"), "hash", hash));
        if (!accounts_save(accounts)) {
            json_object_del(accounts->users, name);
            result = ACCOUNTS_NOT_SAVED;
        }
    }
    pthread_mutex_unlock(&accounts->lock);
    return result;
}

/* With the lock; `hash` NULL: the password stays. */
static enum accounts_result user_change(struct accounts *accounts, const char *name, const json_t *change, const char *hash)
{
    json_t *user = json_object_get(accounts->users, name);
    const json_t *role = json_object_get(change, "role"), *description = json_object_get(change, "description");
    if (!user) return ACCOUNTS_NOT_FOUND;
    bool administrator = strcmp(text_of(user, "role"), "administrator") == 0;
    if (role && administrator && strcmp(json_string_value(role), "administrator") != 0 && administrators(accounts) == 1) return ACCOUNTS_LAST_ADMINISTRATOR;
    json_t *before = json_copy(user);
    if (role) json_object_set(user, "role", (json_t *)(uintptr_t)role);
    if (description) json_object_set(user, "description", (json_t *)(uintptr_t)description);
    if (hash) json_object_set_new(user, "hash", json_string(hash));
    bool saved = accounts_save(accounts);
    if (!saved) json_object_set(accounts->users, name, before);
    json_decref(before);
    if (saved && (role || hash)) accounts_tokens_end(accounts, name);
    return saved ? ACCOUNTS_DONE : ACCOUNTS_NOT_SAVED;
}

enum accounts_result accounts_user_update(struct accounts *accounts, const char *name, const json_t *change)
{
    char hash[HASH_BYTES_MAX];
    const char *password = json_string_value(json_object_get(change, "password"));
    if (password && !accounts_hash(password, hash)) return ACCOUNTS_NOT_SAVED;
    pthread_mutex_lock(&accounts->lock);
    enum accounts_result result = user_change(accounts, name, change, password ? hash : NULL);
    pthread_mutex_unlock(&accounts->lock);
    return result;
}

enum accounts_result accounts_password_change(struct accounts *accounts, const char *name, const char *peer, const char *old_password, const char *new_password)
{
    char hash[HASH_BYTES_MAX];
    if (accounts_must_wait(accounts, name, peer)) return ACCOUNTS_WAIT_FIRST;
    if (!accounts_hash_of(accounts, name, hash)) return ACCOUNTS_NOT_FOUND;
    if (!accounts_hash_matches(hash, old_password)) {
        accounts_failed(accounts, name, peer);
        return ACCOUNTS_WRONG_PASSWORD;
    }
    accounts_succeeded(accounts, name, peer);
    if (!accounts_hash(new_password, hash)) return ACCOUNTS_NOT_SAVED;
    pthread_mutex_lock(&accounts->lock);
    enum accounts_result result = user_change(accounts, name, NULL, hash);
    pthread_mutex_unlock(&accounts->lock);
    return result;
}

enum accounts_result accounts_user_delete(struct accounts *accounts, const char *name)
{
    enum accounts_result result = ACCOUNTS_DONE;
    pthread_mutex_lock(&accounts->lock);
    json_t *user = json_incref(json_object_get(accounts->users, name));
    if (!user) {
        result = ACCOUNTS_NOT_FOUND;
    } else if (strcmp(text_of(user, "role"), "administrator") == 0 && administrators(accounts) == 1) {
        result = ACCOUNTS_LAST_ADMINISTRATOR;
    } else {
        json_object_del(accounts->users, name);
        if (accounts_save(accounts)) {
            accounts_tokens_end(accounts, name);
        } else {
            json_object_set(accounts->users, name, user);
            result = ACCOUNTS_NOT_SAVED;
        }
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(user);
    return result;
}
