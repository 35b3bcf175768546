/* users.h - the built-in user database: users in memory, and an append-only file of JSON lines that brings them back.
 *
 *     {"user_id":"ann","password_hash":"$argon2id$…","salt":"","is_superuser":false}
 *     {"user_id":"bob","password_hash":"1f…","salt":"x","algorithm":"sha256","salt_position":"prefix","is_superuser":true}
 *     {"user_id":"eve","scram":{"salt":"…","stored_key":"…","server_key":"…","iterations":4096},"is_superuser":false}
 *     {"user_id":"bob","deleted":true}
 * A change is on disk (fdatasync) before the verb returns; the last line of a user counts; a torn last line, from a crash, is cut off. When more
 * than half of the file is history it is rewritten: beside it, synced, renamed.
 *
 * Import and export speak EMQX's formats. CSV has a header line: user_id,password_hash,salt,is_superuser (hashes as `form` describes them, or
 * self-describing), or user_id,password,is_superuser (plain: hashed on the way in). JSON: a list of objects with the same names.
 *
 * Threads: all verbs from any thread. Finding takes a read lock that writers hold only while they change memory, never during I/O or hashing. */
#ifndef RINGMQ_FEATURES_AUTH_USERS_H
#define RINGMQ_FEATURES_AUTH_USERS_H

#include <stdio.h>

#include "base/span.h"
#include "features/auth/password.h"
#include "features/auth/scram.h"

#define AUTH_USER_BYTES_MAX 512
#define AUTH_USERS_MAX      10000000u
#define AUTH_IMPORT_BYTES_MAX (256u * 1024 * 1024)

struct auth_user {
    char name[AUTH_USER_BYTES_MAX];
    char stored[PASSWORD_STORED_BYTES_MAX], salt[128]; /* "": no password */
    struct password_form form;
    bool superuser, has_scram;
    struct scram_secret scram;
};

struct auth_users;

/* NULL with a sentence. The file is made when it is not there; its folder must be. It is locked against other processes. One that is open already is
 * the same database once more, after a look whether somebody has changed the file: then it is read again. Each opening is closed once. */
struct auth_users *auth_users_open(const char *path, char *ret_error, size_t error_bytes);
void auth_users_close(struct auth_users *users); /* accepts NULL */

bool auth_users_find(struct auth_users *users, struct span name, struct auth_user *ret_user);
uint32_t auth_users_count(struct auth_users *users);

/* Where a change may go wrong: the disk. The other answers are the caller's business. */
enum auth_users_result { AUTH_USERS_DONE, AUTH_USERS_EXISTS, AUTH_USERS_UNKNOWN, AUTH_USERS_WRONG, AUTH_USERS_FAILED };
enum auth_users_mode { AUTH_USERS_ADD, AUTH_USERS_CHANGE, AUTH_USERS_SET };
/* WRONG: it has no name, neither password nor keys, or a text that is no UTF-8. */
enum auth_users_result auth_users_put(struct auth_users *users, const struct auth_user *user, enum auth_users_mode mode);
enum auth_users_result auth_users_delete(struct auth_users *users, struct span name);
/* A password into a user, hashed here (blocks): argon2id, and SCRAM's keys when `scram`; then the name becomes what SASLprep makes of it. NULL, or what is wrong. */
const char *auth_user_password(struct auth_user *user, struct span password, bool scram);
/* In the order of names, from the one behind `after` (empty: the first). Returns how many were given. For a listing by pages. */
uint32_t auth_users_list(struct auth_users *users, struct span after, uint32_t count, struct auth_user *ret_users);

/* All, in the order of names. `each` must be quick: changes wait meanwhile. */
void auth_users_each(struct auth_users *users, void (*each)(void *context, const struct auth_user *user), void *context);

struct auth_import {
    uint32_t added, skipped, changed;
};
/* In two steps, since hashing takes its time: reading a text, and putting what was read. `plain_max`: passwords that are to be hashed (some 40 ms each). NULL with a
 * sentence that names the line or the user. */
struct auth_batch;
struct auth_batch *auth_batch_read(struct span text, const struct password_form *form, bool scram, uint32_t plain_max, char *ret_error, size_t error_bytes);
void auth_batch_release(struct auth_batch *batch); /* accepts NULL; wipes */
/* All or nothing. `override`: users who are there already are replaced, else left alone. */
enum auth_users_result auth_batch_put(struct auth_users *users, const struct auth_batch *batch, bool override, struct auth_import *ret_import);
/* Both. False with a sentence: nothing was imported. */
bool auth_users_import(struct auth_users *users, struct span text, const struct password_form *form, bool scram, bool override, struct auth_import *ret_import,
                       char *ret_error, size_t error_bytes);
bool auth_users_import_file(struct auth_users *users, const char *path, const struct password_form *form, bool scram, bool override,
                            struct auth_import *ret_import, char *ret_error, size_t error_bytes);
/* All users, hashes included; what CSV has no columns for (keys of SCRAM, how a hash was made) is in JSON only. */
bool auth_users_export(struct auth_users *users, bool csv, FILE *out);

/* Of an instance of auth_source_built_in. */
struct auth_users *auth_source_users(void *instance);

#endif
