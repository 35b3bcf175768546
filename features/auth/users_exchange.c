/* users_exchange.c - users in EMQX's CSV and JSON formats, in and out; see users.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "features/auth/encode.h"
#include "features/auth/reply.h"
#include "features/auth/users_json.h"

struct auth_batch {
    struct auth_user *users;
    uint32_t count, room;
    const struct password_form *form; /* while it is read */
    bool scram;
    uint32_t plain_left;
};

/* NULL, or what is wrong. password: plain; else user->stored is there. */
static const char *take(struct auth_batch *batch, struct auth_user *user, struct span password)
{
    const char *wrong = NULL;
    if (password.bytes && batch->plain_left == 0) return "too many plain passwords for one import: hashing them takes too long; bring hashes, or fewer at a time";
    if (password.bytes) batch->plain_left--;
    if (password.bytes) wrong = auth_user_password(user, password, batch->scram);
    if (wrong) return wrong;
    if (!user->stored[0] && !user->has_scram) return "neither a password nor a password_hash";
    if (!users_json_can(user)) return "user_id, password_hash or salt is no UTF-8";
    bool self_describing = user->stored[0] == '$' && password_stored_valid(span_of_string(user->stored));
    if (user->stored[0] && user->form.algorithm == PASSWORD_ENCODED && !self_describing) user->form = *batch->form;
    if (user->stored[0] && user->form.algorithm == PASSWORD_ENCODED && !self_describing)
        return "a password_hash of no known form; set password_hash_algorithm to what it was made with";
    if (batch->count == batch->room) {
        struct auth_user *larger = memory_acquire((batch->room ? batch->room * 2 : 64) * sizeof *larger);
        if (batch->count) memcpy(larger, batch->users, batch->count * sizeof *larger);
        secret_wipe(batch->users, batch->count * sizeof *larger);
        memory_release(batch->users);
        batch->users = larger;
        batch->room = batch->room ? batch->room * 2 : 64;
    }
    batch->users[batch->count++] = *user;
    return NULL;
}

static bool import_json(struct auth_batch *batch, struct span text, char *ret_error, size_t error_bytes)
{
    json_t *root = auth_json(text, ret_error, error_bytes);
    if (!root) return false;
    const char *wrong = json_is_array(root) ? NULL : "the JSON text is no list of users";
    size_t number = 0;
    for (; !wrong && number < json_array_size(root); number++) {
        const json_t *one = json_array_get(root, number);
        const json_t *password = json_object_get(one, "password");
        struct auth_user user;
        bool deleted;
        wrong = users_json_read(one, &user, &deleted);
        if (!wrong) wrong = take(batch, &user, json_is_string(password) ? span_of(json_string_value(password), json_string_length(password)) : span_of(NULL, 0));
        secret_wipe(&user, sizeof user);
    }
    if (wrong) snprintf(ret_error, error_bytes, "user %zu: %s", number, wrong);
    json_decref(root);
    return !wrong;
}

/* A field of RFC 4180, into ret_field. False: broken or too long. */
static bool csv_field(struct span *rest, char *ret_field, size_t room, bool *ret_last)
{
    size_t out = 0;
    bool quoted = rest->bytes && rest->data[0] == '"';
    if (quoted) *rest = span_skip(*rest, 1);
    for (;; *rest = span_skip(*rest, 1)) {
        if (rest->bytes == 0) {
            if (quoted) return false;
            break;
        }
        uint8_t c = rest->data[0];
        if (quoted && c == '"') {
            *rest = span_skip(*rest, 1);
            if (rest->bytes == 0 || rest->data[0] != '"') {
                quoted = false;
                break;
            }
        } else if (!quoted && (c == ',' || c == '\n' || c == '\r')) {
            break;
        }
        if (out + 1 >= room || c == 0) return false;
        ret_field[out++] = (char)c;
    }
    ret_field[out] = '\0';
    if (rest->bytes && rest->data[0] == '\r') *rest = span_skip(*rest, 1);
    *ret_last = rest->bytes == 0 || rest->data[0] == '\n';
    if (!*ret_last && rest->data[0] != ',') return false;
    if (rest->bytes) *rest = span_skip(*rest, 1);
    return true;
}

enum { COLUMN_USER, COLUMN_HASH, COLUMN_SALT, COLUMN_PASSWORD, COLUMN_SUPERUSER, COLUMNS, COLUMNS_MAX = 16 };

static const char *csv_row(struct auth_batch *batch, struct span *rest, const int *columns, uint32_t columns_count)
{
    struct auth_user user = {0};
    char fields[COLUMNS][AUTH_USER_BYTES_MAX] = {0}, other[AUTH_USER_BYTES_MAX];
    uint32_t count = 0;
    for (bool last = false; !last; count++) {
        if (count == columns_count) return "more fields than the header has";
        if (!csv_field(rest, columns[count] < 0 ? other : fields[columns[count]], AUTH_USER_BYTES_MAX, &last)) return "a broken field, or one of more than 511 bytes";
    }
    if (count == 1 && !fields[COLUMN_USER][0]) return NULL; /* an empty line */
    if (count < columns_count) return "fewer fields than the header has";
    if (!fields[COLUMN_USER][0]) return "an empty user_id";
    if (strlen(fields[COLUMN_SALT]) >= sizeof user.salt) return "a salt of more than 127 bytes";
    strcpy(user.name, fields[COLUMN_USER]);
    strcpy(user.stored, fields[COLUMN_HASH]);
    strcpy(user.salt, fields[COLUMN_SALT]);
    user.superuser = auth_truth(span_of_string(fields[COLUMN_SUPERUSER]));
    const char *wrong = take(batch, &user, span_of_string(fields[COLUMN_PASSWORD]));
    secret_wipe(fields, sizeof fields);
    secret_wipe(&user, sizeof user);
    return wrong;
}

static uint32_t lines_between(const uint8_t *from, const uint8_t *to)
{
    uint32_t lines = 0;
    for (; from < to; from++)
        lines += *from == '\n';
    return lines;
}

static bool import_csv(struct auth_batch *batch, struct span text, char *ret_error, size_t error_bytes)
{
    static const char *const names[COLUMNS] = {"user_id", "password_hash", "salt", "password", "is_superuser"};
    int columns[COLUMNS_MAX];
    uint32_t count = 0, line = 1;
    bool has_user = false;
    struct span rest = text;
    for (bool last = false; !last; count++) {
        char name[64];
        if (count == COLUMNS_MAX || !csv_field(&rest, name, sizeof name, &last)) return snprintf(ret_error, error_bytes, "line 1: a broken header"), false;
        columns[count] = -1;
        for (int i = 0; i < COLUMNS; i++)
            if (strcmp(name, names[i]) == 0) columns[count] = i;
        if (columns[count] == COLUMN_USER) has_user = true;
    }
    if (!has_user) return snprintf(ret_error, error_bytes, "line 1: the header names no column user_id (user_id,password_hash,salt,is_superuser)"), false;
    for (const uint8_t *at = text.data; rest.bytes;) {
        line += lines_between(at, rest.data); /* quoted fields may have some of their own */
        at = rest.data;
        const char *wrong = csv_row(batch, &rest, columns, count);
        if (!wrong) continue;
        snprintf(ret_error, error_bytes, "line %u: %s", line, wrong);
        return false;
    }
    return true;
}

struct auth_batch *auth_batch_read(struct span text, const struct password_form *form, bool scram, uint32_t plain_max, char *ret_error, size_t error_bytes)
{
    struct auth_batch *batch = memory_acquire_zeroed(sizeof *batch);
    *batch = (struct auth_batch){.form = form, .scram = scram, .plain_left = plain_max};
    size_t at = 0;
    while (at < text.bytes && strchr(" \t\r\n", text.data[at]) && text.data[at])
        at++;
    bool is_json = at < text.bytes && text.data[at] == '[';
    bool fine = is_json ? import_json(batch, text, ret_error, error_bytes) : import_csv(batch, text, ret_error, error_bytes);
    if (fine) return batch;
    auth_batch_release(batch);
    return NULL;
}

void auth_batch_release(struct auth_batch *batch)
{
    if (!batch) return;
    secret_wipe(batch->users, batch->count * sizeof *batch->users);
    memory_release(batch->users);
    memory_release(batch);
}

enum auth_users_result auth_batch_put(struct auth_users *users, const struct auth_batch *batch, bool override, struct auth_import *ret_import)
{
    return users_put_many(users, batch->users, batch->count, override, ret_import);
}

bool auth_users_import(struct auth_users *users, struct span text, const struct password_form *form, bool scram, bool override, struct auth_import *ret_import,
                       char *ret_error, size_t error_bytes)
{
    struct auth_batch *batch = auth_batch_read(text, form, scram, UINT32_MAX, ret_error, error_bytes);
    if (!batch) return false;
    bool fine = auth_batch_put(users, batch, override, ret_import) == AUTH_USERS_DONE;
    if (!fine) snprintf(ret_error, error_bytes, "the user database cannot be written, or would have more than %u users (see the log)", AUTH_USERS_MAX);
    auth_batch_release(batch);
    return fine;
}

bool auth_users_import_file(struct auth_users *users, const char *path, const struct password_form *form, bool scram, bool override,
                            struct auth_import *ret_import, char *ret_error, size_t error_bytes)
{
    FILE *in = fopen(path, "rbe");
    struct auth_text text = {0};
    char piece[65536], error[300];
    if (!in) return snprintf(ret_error, error_bytes, "%s: %s", path, strerror(errno)), false;
    for (size_t bytes; (bytes = fread(piece, 1, sizeof piece, in)) && text.bytes < AUTH_IMPORT_BYTES_MAX;)
        auth_text_add(&text, span_of(piece, bytes));
    bool fine = !ferror(in) && text.bytes < AUTH_IMPORT_BYTES_MAX;
    snprintf(error, sizeof error, "%s", ferror(in) ? strerror(errno) : "larger than 256 MiB");
    fclose(in);
    fine = fine && auth_users_import(users, span_of(text.data, text.bytes), form, scram, override, ret_import, error, sizeof error);
    if (!fine) snprintf(ret_error, error_bytes, "%s: %s", path, error);
    auth_text_release(&text);
    secret_wipe(piece, sizeof piece);
    return fine;
}

static void csv_write(const char *text, FILE *out)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"') putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}

struct export {
    FILE *out;
    bool csv, first;
};

static void export_one(void *context, const struct auth_user *user)
{
    struct export *export = context;
    FILE *out = export->out;
    if (export->csv) {
        csv_write(user->name, out);
        putc(',', out);
        csv_write(user->stored, out);
        putc(',', out);
        csv_write(user->salt, out);
        fputs(user->superuser ? ",true\n" : ",false\n", out);
        return;
    }
    json_t *one = users_json_of(user);
    fputs(export->first ? "\n" : ",\n", out);
    json_dumpf(one, out, JSON_COMPACT);
    json_decref(one);
    export->first = false;
}

bool auth_users_export(struct auth_users *users, bool csv, FILE *out)
{
    struct export export = {.out = out, .csv = csv, .first = true};
    fputs(csv ? "user_id,password_hash,salt,is_superuser\n" : "[", out);
    auth_users_each(users, export_one, &export);
    fputs(csv ? "" : "\n]\n", out);
    return fflush(out) == 0 && !ferror(out);
}
