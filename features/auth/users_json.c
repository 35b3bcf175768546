/* users_json.c - see users_json.h. */
#include "features/auth/users_json.h"

#include <stdlib.h>

#include "base/check.h"
#include "features/auth/auth.h"
#include "features/auth/encode.h"

static const char *const salt_positions[] = {"prefix", "suffix", "disable"};

static json_t *base64_of(const uint8_t *data, size_t bytes)
{
    char text[BASE64_BYTES(SCRAM_SALT_BYTES_MAX) + 1];
    b64_encode(span_of(data, bytes), text);
    return json_string(text);
}

static bool text_can(const char *text)
{
    json_t *value = json_string(text);
    json_decref(value);
    return value != NULL;
}

bool users_json_can(const struct auth_user *user) { return text_can(user->name) && text_can(user->stored) && text_can(user->salt); }

json_t *users_json_of(const struct auth_user *user)
{
    json_t *root = json_object();
    json_object_set_new(root, "user_id", json_string(user->name));
    if (user->stored[0]) {
        json_object_set_new(root, "password_hash", json_string(user->stored));
        json_object_set_new(root, "salt", json_string(user->salt));
    }
    if (user->stored[0] && user->form.algorithm != PASSWORD_ENCODED) {
        json_object_set_new(root, "algorithm", json_string(password_algorithm_names[user->form.algorithm]));
        json_object_set_new(root, "salt_position", json_string(salt_positions[user->form.salt_position]));
    }
    if (user->stored[0] && user->form.algorithm == PASSWORD_PBKDF2) {
        json_object_set_new(root, "mac_fun", json_string(password_algorithm_names[user->form.mac]));
        json_object_set_new(root, "iterations", json_integer(user->form.iterations));
        json_object_set_new(root, "dk_length", json_integer(user->form.key_bytes));
    }
    if (user->has_scram) {
        json_t *scram = json_object();
        json_object_set_new(scram, "salt", base64_of(user->scram.salt, user->scram.salt_bytes));
        json_object_set_new(scram, "stored_key", base64_of(user->scram.stored_key, SCRAM_KEY_BYTES));
        json_object_set_new(scram, "server_key", base64_of(user->scram.server_key, SCRAM_KEY_BYTES));
        json_object_set_new(scram, "iterations", json_integer(user->scram.iterations));
        json_object_set_new(root, "scram", scram);
    }
    json_object_set_new(root, "is_superuser", json_boolean(user->superuser));
    return root;
}

static char *line_of(json_t *root)
{
    size_t bytes = json_dumpb(root, NULL, 0, JSON_COMPACT);
    char *line = malloc(bytes + 2);
    CHECK(line && bytes);
    json_dumpb(root, line, bytes, JSON_COMPACT);
    memcpy(line + bytes, "\n", 2);
    json_decref(root);
    return line;
}

char *users_json_line(const struct auth_user *user) { return line_of(users_json_of(user)); }

char *users_json_deleted(struct span name)
{
    json_t *root = json_object();
    json_object_set_new(root, "user_id", json_stringn((const char *)name.data, name.bytes));
    json_object_set_new(root, "deleted", json_true());
    return line_of(root);
}

bool users_json_text(const json_t *root, const char *key, char *ret_text, size_t room)
{
    const json_t *value = json_object_get(root, key);
    *ret_text = '\0';
    if (!value || json_is_null(value)) return true;
    if (!json_is_string(value) || json_string_length(value) >= room || strlen(json_string_value(value)) != json_string_length(value)) return false;
    memcpy(ret_text, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static int word_of(const char *text, const char *const *words, int count, int otherwise)
{
    if (!*text) return otherwise;
    for (int i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0) return i;
    return -1;
}

static bool read_form(const json_t *root, struct password_form *ret_form)
{
    char algorithm[32], position[32], mac[32];
    if (!users_json_text(root, "algorithm", algorithm, sizeof algorithm) || !users_json_text(root, "salt_position", position, sizeof position) ||
        !users_json_text(root, "mac_fun", mac, sizeof mac))
        return false;
    int a = word_of(algorithm, password_algorithm_names, PASSWORD_ALGORITHMS, PASSWORD_ENCODED), p = word_of(position, salt_positions, 3, 0),
        m = word_of(mac, password_algorithm_names, PASSWORD_ALGORITHMS, PASSWORD_SHA256);
    json_int_t iterations = json_integer_value(json_object_get(root, "iterations")), bytes = json_integer_value(json_object_get(root, "dk_length"));
    if (a < 0 || p < 0 || m < 0 || iterations < 0 || iterations > PASSWORD_PBKDF2_ITERATIONS_MAX || bytes < 0 || bytes > 200) return false;
    *ret_form = (struct password_form){(uint8_t)a, (uint8_t)p, (uint8_t)m, (uint32_t)iterations, (uint32_t)bytes};
    return true;
}

static bool read_bytes(const json_t *root, const char *key, uint8_t *ret_data, size_t room, size_t *ret_bytes)
{
    char text[BASE64_BYTES(SCRAM_SALT_BYTES_MAX) + 1];
    return users_json_text(root, key, text, sizeof text) && b64_decode(span_of_string(text), ret_data, room, ret_bytes);
}

static bool read_scram(const json_t *root, struct scram_secret *ret_secret)
{
    struct scram_secret secret = {0};
    size_t salt, stored, server;
    json_int_t iterations = json_integer_value(json_object_get(root, "iterations"));
    if (!read_bytes(root, "salt", secret.salt, sizeof secret.salt, &salt) || salt == 0) return false;
    if (!read_bytes(root, "stored_key", secret.stored_key, SCRAM_KEY_BYTES, &stored) || stored != SCRAM_KEY_BYTES) return false;
    if (!read_bytes(root, "server_key", secret.server_key, SCRAM_KEY_BYTES, &server) || server != SCRAM_KEY_BYTES) return false;
    if (iterations < 1 || iterations > PASSWORD_PBKDF2_ITERATIONS_MAX) return false;
    secret.salt_bytes = (uint32_t)salt;
    secret.iterations = (uint32_t)iterations;
    *ret_secret = secret;
    return true;
}

const char *users_json_read(const json_t *root, struct auth_user *ret_user, bool *ret_deleted)
{
    struct auth_user user = {0};
    if (!json_is_object(root)) return "a user is a JSON object";
    if (!users_json_text(root, "user_id", user.name, sizeof user.name) || !user.name[0]) return "`user_id` must be a text of 1 to 511 bytes";
    if (!users_json_text(root, "password_hash", user.stored, sizeof user.stored)) return "`password_hash` must be a text of at most 511 bytes";
    if (!users_json_text(root, "salt", user.salt, sizeof user.salt)) return "`salt` must be a text of at most 127 bytes";
    if (!read_form(root, &user.form)) return "`algorithm`, `salt_position`, `mac_fun`, `iterations` or `dk_length` is none we know";
    const json_t *scram = json_object_get(root, "scram"), *superuser = json_object_get(root, "is_superuser");
    user.superuser = json_is_true(superuser) || (json_is_string(superuser) && auth_truth(span_of_string(json_string_value(superuser))));
    user.has_scram = scram != NULL;
    if (scram && !read_scram(scram, &user.scram)) return "`scram` is broken";
    *ret_deleted = json_is_true(json_object_get(root, "deleted"));
    *ret_user = user;
    return NULL;
}
