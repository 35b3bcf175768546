/* accounts_keys.c - API keys: for programs, which send key and secret with each request. */
#include <stdio.h>
#include <time.h>

#include "admin/api.h"
#include "admin/accounts_inside.h"
#include "base/check.h"

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t expiry_of(const json_t *key) { return (uint64_t)json_integer_value(json_object_get(key, "expires_ms")); }
static bool expired(const json_t *key) { return expiry_of(key) && expiry_of(key) <= unix_ms(); }
static const char *text_of(const json_t *key, const char *name) { return json_string_value(json_object_get(key, name)); }

static json_t *key_shown(const char *name, const json_t *key)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:b, s:s, s:o}", "name", name, "api_key", text_of(key, "api_key"), "role", text_of(key, "role"), "enable",
                     json_is_true(json_object_get(key, "enable")), "expired_at", api_time(expiry_of(key)), "expired", expired(key), "description",
                     text_of(key, "description"), "created_at", api_time((uint64_t)json_integer_value(json_object_get(key, "created_ms"))));
}

json_t *accounts_keys(struct accounts *accounts)
{
    json_t *list = json_array(), *key;
    const char *name;
    pthread_mutex_lock(&accounts->lock);
    json_object_foreach(accounts->keys, name, key) json_array_append_new(list, key_shown(name, key));
    pthread_mutex_unlock(&accounts->lock);
    return list;
}

json_t *accounts_key(struct accounts *accounts, const char *name)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *key = json_object_get(accounts->keys, name), *shown = key ? key_shown(name, key) : NULL;
    pthread_mutex_unlock(&accounts->lock);
    return shown;
}

static void hex_of(const uint8_t *bytes, size_t count, char *ret_text)
{
    for (size_t i = 0; i < count; i++)
        sprintf(ret_text + 2 * i, "%02x", bytes[i]);
}

enum accounts_result accounts_key_create(struct accounts *accounts, const json_t *new_key, uint64_t expires_ms, json_t **ret_secret)
{
    const char *name = text_of(new_key, "name"), *role = text_of(new_key, "role"), *description = text_of(new_key, "description");
    uint8_t random[32], digest[SHA256_BYTES];
    char api_key[24], secret[ACCOUNTS_TOKEN_BYTES], hex[2 * SHA256_BYTES + 1];
    if (!accounts_name_valid(name)) return ACCOUNTS_BAD_NAME;
    accounts_random(random, 12);
    accounts_text_of(random, 12, api_key);
    accounts_random(random, sizeof random);
    accounts_text_of(random, sizeof random, secret);
    tls_sha256(span_of_string(secret), digest);
    hex_of(digest, sizeof digest, hex);
    enum accounts_result result = ACCOUNTS_DONE;
    pthread_mutex_lock(&accounts->lock);
    if (json_object_get(accounts->keys, name)) {
        result = ACCOUNTS_EXISTS;
    } else if (json_object_size(accounts->keys) >= ACCOUNTS_KEYS_MAX) {
        result = ACCOUNTS_FULL;
    } else {
        json_object_set_new(accounts->keys, name,
                            json_pack("{s:s, s:s, s:b, s:s, s:s, s:I, s:I}", "api_key", api_key, "role", role, "enable", 1, "sha256", hex, "description",
                                      description ? description : "", "expires_ms", (json_int_t)expires_ms, "created_ms", (json_int_t)unix_ms()));
        if (!accounts_save(accounts)) {
            json_object_del(accounts->keys, name);
            result = ACCOUNTS_NOT_SAVED;
        }
    }
    pthread_mutex_unlock(&accounts->lock);
    if (result == ACCOUNTS_DONE)
        *ret_secret = json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", name, "api_key", api_key, "api_secret", secret, "role", role, "expired_at", api_time(expires_ms));
    explicit_bzero(secret, sizeof secret);
    return result;
}

enum accounts_result accounts_key_update(struct accounts *accounts, const char *name, const json_t *change, bool set_expiry, uint64_t expires_ms)
{
    static const char *const members[] = {"role", "enable", "description"};
    enum accounts_result result = ACCOUNTS_DONE;
    pthread_mutex_lock(&accounts->lock);
    json_t *key = json_object_get(accounts->keys, name), *before = json_copy(key);
    if (!key) {
        result = ACCOUNTS_NOT_FOUND;
    } else {
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (json_object_get(change, members[i])) json_object_set(key, members[i], json_object_get(change, members[i]));
        if (set_expiry) json_object_set_new(key, "expires_ms", json_integer((json_int_t)expires_ms));
        if (!accounts_save(accounts)) {
            json_object_set(accounts->keys, name, before);
            result = ACCOUNTS_NOT_SAVED;
        }
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(before);
    return result;
}

enum accounts_result accounts_key_delete(struct accounts *accounts, const char *name)
{
    enum accounts_result result = ACCOUNTS_DONE;
    pthread_mutex_lock(&accounts->lock);
    json_t *key = json_incref(json_object_get(accounts->keys, name));
    if (!key) {
        result = ACCOUNTS_NOT_FOUND;
    } else {
        json_object_del(accounts->keys, name);
        if (!accounts_save(accounts)) {
            json_object_set(accounts->keys, name, key);
            result = ACCOUNTS_NOT_SAVED;
        }
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(key);
    return result;
}

const char *accounts_key_find(struct accounts *accounts, const char *api_key, struct span secret, enum api_role *ret_role)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    const char *name, *found = NULL;
    json_t *key;
    tls_sha256(secret, digest);
    hex_of(digest, sizeof digest, hex);
    json_object_foreach(accounts->keys, name, key)
    {
        if (strcmp(text_of(key, "api_key"), api_key) != 0) continue;
        bool fits = tls_same_secret(span_of_string(text_of(key, "sha256")), span_of_string(hex));
        if (!fits || !json_is_true(json_object_get(key, "enable")) || expired(key)) continue;
        found = name;
        *ret_role = accounts_role_of(text_of(key, "role"));
    }
    return found;
}
