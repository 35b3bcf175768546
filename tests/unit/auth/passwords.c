/* Password hashes: vectors of others, our own, files, users. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "features/auth/encode.h"
#include "features/auth/password.h"
#include "features/auth/password_file.h"
#include "features/auth/saslprep.h"
#include "features/auth/source.h"
#include "features/auth/users.h"

static struct span text(const char *string) { return span_of_string(string); }

static const struct {
    const char *stored, *password, *from;
} vectors[] = {
    {"$7$101$uv0g+XLzdpVMdGc0$R5LAnAkzqif2q/M8y+suUci4GapfOFzZ/cHlEfzrJIjy5J6zwUbA/ICDYijZ9EFBi+sGSZVOp8ZQOFWeuU0hJg==", "geheim", "mosquitto_passwd 2.0.11"},
    {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", "the reference implementation"},
    {"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "password", "the reference implementation"},
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", "crypt_blowfish"},
    {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", "crypt(5)"},
};

Test(passwords, vectors_of_others)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        cr_assert(password_stored_valid(text(vectors[i].stored)), "%s", vectors[i].stored);
        cr_assert_eq(password_check(text(vectors[i].stored), text(vectors[i].password)), PASSWORD_RIGHT, "%s", vectors[i].stored);
        cr_assert_eq(password_check(text(vectors[i].stored), text("Password")), PASSWORD_WRONG, "%s", vectors[i].stored);
        cr_assert_eq(password_check(text(vectors[i].stored), text("")), PASSWORD_WRONG, "%s", vectors[i].stored);
    }
}

Test(passwords, what_is_no_hash)
{
    static const char *const broken[] = {"", "plain", "$", "$7$", "$7$x$AAAA$AAAA", "$7$0$AAAA$AAAA", "$7$101$AAAA$AAAA", "$6$AAAA$", "$9$x", "$argon2id$v=19$t=2,p=1$c29tZXNhbHQ$x",
                                         "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_assert_neq(password_check(text(broken[i]), text("password")), PASSWORD_RIGHT, "%s", broken[i]);
    for (size_t i = 0; i < 10; i++)
        cr_assert_not(password_stored_valid(text(broken[i])), "%s", broken[i]);
}

Test(passwords, made_and_checked)
{
    static const uint32_t quick[PASSWORD_MAKERS] = {[MAKE_SHA512_PBKDF2] = 100, [MAKE_ARGON2ID] = 1, [MAKE_BCRYPT] = 4};
    for (int i = 0; i < PASSWORD_MAKERS; i++) {
        char one[PASSWORD_STORED_BYTES_MAX], two[PASSWORD_STORED_BYTES_MAX];
        cr_assert_null(password_make((enum password_maker)i, quick[i], text("the secret"), one));
        cr_assert_null(password_make((enum password_maker)i, quick[i], text("the secret"), two));
        cr_assert_str_neq(one, two, "the salts are one");
        cr_assert(password_stored_valid(text(one)));
        cr_assert_eq(password_check(text(one), text("the secret")), PASSWORD_RIGHT);
        cr_assert_eq(password_check(text(one), text("the secreT")), PASSWORD_WRONG);
        cr_assert_not_null(password_make((enum password_maker)i, quick[i], text(""), one));
    }
}

Test(passwords, bare_forms)
{
    static const struct {
        struct password_form form;
        const char *stored, *salt;
    } rows[] = {
        {{.algorithm = PASSWORD_PLAIN}, "secret", ""},
        {{.algorithm = PASSWORD_MD5, .salt_position = PASSWORD_SALT_DISABLE}, "5ebe2294ecd0e0f08eab7690d2a6ee69", "unused"},
        {{.algorithm = PASSWORD_SHA1, .salt_position = PASSWORD_SALT_DISABLE}, "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4", ""},
        {{.algorithm = PASSWORD_SHA256, .salt_position = PASSWORD_SALT_DISABLE}, "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B", ""},
        {{.algorithm = PASSWORD_PBKDF2, .mac = PASSWORD_SHA1, .iterations = 2, .key_bytes = 20}, NULL, "salt"},
        {{.algorithm = PASSWORD_SHA512, .salt_position = PASSWORD_SALT_PREFIX}, NULL, "salt"},
        {{.algorithm = PASSWORD_SHA512, .salt_position = PASSWORD_SALT_SUFFIX}, NULL, "salt"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char made[PASSWORD_STORED_BYTES_MAX];
        cr_assert(password_make_form(&rows[i].form, text(rows[i].salt), text("secret"), made));
        const char *stored = rows[i].stored ? rows[i].stored : made;
        cr_assert_eq(password_check_form(&rows[i].form, text(stored), text(rows[i].salt), text("secret")), PASSWORD_RIGHT, "row %zu", i);
        cr_assert_eq(password_check_form(&rows[i].form, text(stored), text(rows[i].salt), text("Secret")), PASSWORD_WRONG, "row %zu", i);
    }
    struct password_form rfc6070 = {.algorithm = PASSWORD_PBKDF2, .mac = PASSWORD_SHA1, .iterations = 2, .key_bytes = 20};
    cr_assert_eq(password_check_form(&rfc6070, text("ea6c014dc72d6f8ffd08a92f2e0a8b2b1a6ba2e4"), text("salt"), text("password")), PASSWORD_WRONG);
    cr_assert_eq(password_check_form(&rfc6070, text("ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"), text("salt"), text("password")), PASSWORD_RIGHT, "RFC 6070");
    struct password_form plain = {.algorithm = PASSWORD_PLAIN}, sha256 = {.algorithm = PASSWORD_SHA256};
    cr_assert_eq(password_check_form(&plain, text(""), text(""), text("")), PASSWORD_WRONG, "an account without a password");
    cr_assert_eq(password_check_form(&sha256, text(""), text(""), text("")), PASSWORD_WRONG);
    cr_assert_eq(password_check_form(&rfc6070, text("not hex"), text("salt"), text("password")), PASSWORD_UNREADABLE);
    cr_assert_eq(password_check_form(&rfc6070, text(vectors[0].stored), text(""), text("geheim")), PASSWORD_RIGHT, "a self-describing hash is always understood");
}

Test(passwords, encodings_are_exact)
{
    uint8_t data[64];
    size_t bytes;
    char encoded[128];
    b64_encode(SPAN_LITERAL("foobar"), encoded);
    cr_assert_str_eq(encoded, "Zm9vYmFy");
    b64_encode(SPAN_LITERAL("f"), encoded);
    cr_assert_str_eq(encoded, "Zg==");
    b64url_encode(SPAN_LITERAL("\xff\xfe"), encoded);
    cr_assert_str_eq(encoded, "__4");
    cr_assert(b64_decode(text("Zg=="), data, sizeof data, &bytes) && bytes == 1 && data[0] == 'f');
    static const char *const wrong[] = {"Zg", "Zg=", "Zh==", "Z===", "====", "Zg==Zg==", "Z g=", "Zm9v\n", "-_8="};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_not(b64_decode(text(wrong[i]), data, sizeof data, &bytes), "%s", wrong[i]);
    cr_assert(b64url_decode(text("-_8"), data, sizeof data, &bytes) && bytes == 2);
    cr_assert_not(b64url_decode(text("-_8="), data, sizeof data, &bytes));
    cr_assert_not(b64_decode(text("Zm9vYmFy"), data, 5, &bytes));
    cr_assert_not(hex_decode(text("abc"), data, sizeof data, &bytes));
    cr_assert(secret_equal(SPAN_LITERAL("abc"), SPAN_LITERAL("abc")) && !secret_equal(SPAN_LITERAL("abc"), SPAN_LITERAL("abd")) && !secret_equal(SPAN_LITERAL("abc"), SPAN_LITERAL("ab")));
}

Test(passwords, files)
{
    char error[300];
    char content[1000];
    snprintf(content, sizeof content, "ann:%s\r\n\nbob:%s", vectors[0].stored, vectors[3].stored);
    struct password_file *file = password_file_parse(text(content), "f", error, sizeof error);
    cr_assert_not_null(file, "%s", error);
    cr_assert_eq(password_file_count(file), 2);
    cr_assert(span_equal(password_file_find(file, text("bob"))->stored, text(vectors[3].stored)));
    cr_assert_null(password_file_find(file, text("eve")));
    password_file_release(file);
    static const char *const broken[] = {"ann\n", ":x\n", "ann:plain\n", "a\001b:x\n"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        cr_assert_null(password_file_parse(text(broken[i]), "f", error, sizeof error), "%s", broken[i]);
        cr_assert(strstr(error, "f line 1: "), "%s", error);
    }
    snprintf(content, sizeof content, "ann:%s\nann:%s\n", vectors[0].stored, vectors[0].stored);
    cr_assert_null(password_file_parse(text(content), "f", error, sizeof error));
    cr_assert(strstr(error, "two lines"), "%s", error);
}

/* ---- a file under load ---- */

static struct auth_source_settings file_settings;
static void *file_instance;
static atomic_bool file_over, file_changed;
static atomic_int file_allowed;

static enum auth_verdict file_login(const char *user)
{
    struct auth_answer *answer = auth_answer_create();
    struct auth_query query = {.user_name = text(user), .password = text("the secret"), .has_user_name = true, .has_password = true};
    enum auth_verdict verdict = auth_source_password_file.authenticate(file_instance, NULL, &query, UINT64_MAX, answer);
    auth_answer_release(answer);
    return verdict;
}

static void *file_logins(void *number)
{
    while (!atomic_load(&file_over)) {
        if (file_login("ann") == AUTH_ALLOW) atomic_fetch_add(&file_allowed, 1);
        if (file_login("new") == AUTH_ALLOW) atomic_store(&file_changed, true);
    }
    return NULL;
}

static void file_write(const char *path, bool both)
{
    char stored[PASSWORD_STORED_BYTES_MAX];
    FILE *file = fopen(path, "w");
    cr_assert_null(password_make(MAKE_SHA512_PBKDF2, 20000, text("the secret"), stored));
    fprintf(file, "ann:%s\n%s%s%s", stored, both ? "new:" : "", both ? stored : "", both ? "\n" : "");
    fclose(file);
}

/* Logins that relay each other must not keep a changed file out. */
Test(passwords, a_changed_file_comes_into_force_under_load)
{
    char path[] = "/tmp/ringmq-passwords-XXXXXX", error[300], none[] = "";
    pthread_t threads[8];
    log_configure(LOG_OFF, LOG_TEXT);
    close(mkstemp(path));
    file_write(path, false);
    file_settings = (struct auth_source_settings){.name = none, .file = path};
    file_instance = auth_source_password_file.open(&file_settings, &auth_tools, error, sizeof error);
    cr_assert_not_null(file_instance, "%s", error);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, file_logins, NULL);
    while (atomic_load(&file_allowed) < 8)
        usleep(1000);
    file_write(path, true);
    for (int i = 0; i < 2000 && !atomic_load(&file_changed); i++)
        usleep(10000);
    bool changed = atomic_load(&file_changed);
    atomic_store(&file_over, true);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    auth_source_password_file.close(file_instance);
    unlink(path);
    cr_assert(changed, "who was written into the file is not let in");
}

/* ---- users ---- */

static char folder[] = "/tmp/ringmq-users-XXXXXX";
static char path[64];
static char error[300];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/users", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static struct auth_user user_named(const char *name)
{
    struct auth_user user = {.form = {.algorithm = PASSWORD_SHA256}, .superuser = true};
    snprintf(user.name, sizeof user.name, "%s", name);
    snprintf(user.stored, sizeof user.stored, "%s", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    snprintf(user.salt, sizeof user.salt, "salt of %.50s", name);
    return user;
}

Test(users, come_back, .init = make_folder, .fini = remove_folder)
{
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    cr_assert_not_null(users, "%s", error);
    struct auth_user ann = user_named("ann"), bob = user_named("b\"ob, the\n2nd"), found;
    ann.has_scram = scram_secret_make(text("pencil"), 10, NULL, 0, &ann.scram);
    cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_ADD), AUTH_USERS_DONE);
    cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_ADD), AUTH_USERS_EXISTS);
    cr_assert_eq(auth_users_put(users, &bob, AUTH_USERS_CHANGE), AUTH_USERS_UNKNOWN);
    cr_assert_eq(auth_users_put(users, &bob, AUTH_USERS_SET), AUTH_USERS_DONE);
    ann.superuser = false;
    cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_CHANGE), AUTH_USERS_DONE);
    struct auth_user gone = user_named("gone");
    auth_users_put(users, &gone, AUTH_USERS_ADD);
    cr_assert_eq(auth_users_delete(users, text("gone")), AUTH_USERS_DONE);
    cr_assert_eq(auth_users_delete(users, text("gone")), AUTH_USERS_UNKNOWN);
    auth_users_close(users);

    FILE *torn = fopen(path, "a");
    fputs("{\"user_id\":\"torn\",\"passw", torn);
    fclose(torn);
    users = auth_users_open(path, error, sizeof error);
    cr_assert_not_null(users, "%s", error);
    cr_assert_eq(auth_users_count(users), 2);
    cr_assert(auth_users_find(users, text("ann"), &found));
    cr_assert_not(found.superuser);
    cr_assert_eq(memcmp(&found.scram, &ann.scram, sizeof found.scram), 0);
    cr_assert(auth_users_find(users, text("b\"ob, the\n2nd"), &found) && found.superuser && found.form.algorithm == PASSWORD_SHA256);
    cr_assert_str_eq(found.salt, bob.salt);
    auth_users_put(users, &gone, AUTH_USERS_ADD); /* behind the torn line that was cut off */
    auth_users_close(users);
    users = auth_users_open(path, error, sizeof error);
    cr_assert(users && auth_users_count(users) == 3);
    auth_users_close(users);
    torn = fopen(path, "a");
    fputs("{\"user_id\":7}\n", torn);
    fclose(torn);
    cr_assert_null(auth_users_open(path, error, sizeof error), "a broken line in the middle is not passed over");
    cr_assert(strstr(error, "line"), "%s", error);
}

/* As a reload does: the new chain opens its database while the old one still has it. */
Test(users, open_twice_is_one, .init = make_folder, .fini = remove_folder)
{
    struct auth_users *old = auth_users_open(path, error, sizeof error);
    struct auth_user ann = user_named("ann"), bob = user_named("bob"), found;
    auth_users_put(old, &ann, AUTH_USERS_ADD);
    struct auth_users *fresh = auth_users_open(path, error, sizeof error);
    cr_assert(fresh == old, "%s", error);
    for (int i = 0; i < 1500; i++) /* the file is rewritten meanwhile */
        cr_assert_eq(auth_users_put(old, &bob, AUTH_USERS_SET), AUTH_USERS_DONE);
    auth_users_close(old);
    cr_assert(auth_users_find(fresh, text("bob"), &found), "what was changed through the old one");
    cr_assert_eq(auth_users_delete(fresh, text("ann")), AUTH_USERS_DONE);
    auth_users_close(fresh);
    fresh = auth_users_open(path, error, sizeof error);
    cr_assert(fresh && auth_users_count(fresh) == 1 && auth_users_find(fresh, text("bob"), &found), "%s", error);
    auth_users_close(fresh);
}

Test(users, a_changed_file_is_read_again, .init = make_folder, .fini = remove_folder)
{
    struct auth_users *users = auth_users_open(path, error, sizeof error), *again;
    struct auth_user ann = user_named("ann"), found;
    auth_users_put(users, &ann, AUTH_USERS_ADD);
    FILE *by_hand = fopen(path, "a");
    fputs("{\"user_id\":\"bob\",\"password_hash\":\"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n", by_hand);
    fclose(by_hand);
    again = auth_users_open(path, error, sizeof error);
    cr_assert(again == users && auth_users_count(users) == 2, "a line more: %s", error);
    char other[80];
    snprintf(other, sizeof other, "%s.other", path);
    by_hand = fopen(other, "w");
    fputs("{\"user_id\":\"eve\",\"password_hash\":\"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n", by_hand);
    fclose(by_hand);
    rename(other, path);
    auth_users_close(again);
    again = auth_users_open(path, error, sizeof error);
    cr_assert(again == users && auth_users_count(users) == 1 && auth_users_find(users, text("eve"), &found), "another file: %s", error);
    cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_ADD), AUTH_USERS_DONE);
    by_hand = fopen(path, "a");
    fputs("no user at all\n", by_hand);
    fclose(by_hand);
    cr_assert_null(auth_users_open(path, error, sizeof error));
    cr_assert(strstr(error, "line 3"), "%s", error);
    cr_assert_eq(auth_users_count(users), 2, "what is in force stays");
    auth_users_close(again);
    auth_users_close(users);
}

Test(users, one_process_at_a_time, .init = make_folder, .fini = remove_folder)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    cr_assert_eq(flock(fd, LOCK_EX), 0); /* another opening of the file, as another process would have it */
    cr_assert_null(auth_users_open(path, error, sizeof error));
    cr_assert(strstr(error, "in use by another process"), "%s", error);
    close(fd);
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    cr_assert_not_null(users, "%s", error);
    struct auth_user ann = user_named("ann");
    for (int i = 0; i < 1500; i++) /* rewritten, and locked still */
        cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_SET), AUTH_USERS_DONE);
    fd = open(path, O_RDWR);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), -1, "the new file is not locked");
    close(fd);
    auth_users_close(users);
}

/* Counted beside the C library's own: how often a folder was brought to disk. */
static int folders_synced;
int fsync(int fd)
{
    struct stat status;
    folders_synced += fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    return (int)syscall(SYS_fsync, fd);
}

/* As many lines as make a file of mostly history, with few syncs. */
static void fill(struct auth_users *users)
{
    struct auth_text csv = {0};
    struct password_form sha256 = {.algorithm = PASSWORD_SHA256};
    struct auth_import done;
    auth_text_add(&csv, text("user_id,password_hash,salt\n"));
    for (int i = 0; i < 600; i++) {
        char line[120];
        snprintf(line, sizeof line, "u%d,2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b,x\n", i);
        auth_text_add(&csv, text(line));
    }
    for (int i = 0; i < 3; i++)
        cr_assert(auth_users_import(users, span_of(csv.data, csv.bytes), &sha256, false, true, &done, error, sizeof error), "%s", error);
    auth_text_release(&csv);
}

/* node.data_dir and files may be links; what is rewritten is what they name, and both it and its name are on disk. */
Test(users, rewritten_where_it_lies, .init = make_folder, .fini = remove_folder)
{
    char real[80];
    struct stat status;
    snprintf(real, sizeof real, "%s.real", path);
    close(open(real, O_RDWR | O_CREAT, 0600));
    cr_assert_eq(symlink(real, path), 0);
    struct auth_users *users = auth_users_open(path, error, sizeof error), *again;
    cr_assert_not_null(users, "%s", error);
    cr_expect_eq(folders_synced, 1, "a new file that a crash may take with it");
    fill(users);
    cr_expect_eq(folders_synced, 2, "a rewritten file in whose place a crash may bring back the old one");
    cr_assert(stat(real, &status) == 0 && status.st_size < 1000 * 130, "it was not rewritten: %lld bytes", (long long)status.st_size);
    cr_expect(lstat(path, &status) == 0 && S_ISLNK(status.st_mode), "the link has become a file");
    again = auth_users_open(path, error, sizeof error);
    cr_expect_eq(again, users, "a reload: %s", error);
    auth_users_close(again);
    auth_users_close(users);
    unlink(real);
}

Test(users, history_is_rewritten, .init = make_folder, .fini = remove_folder)
{
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    struct auth_user ann = user_named("ann");
    for (int i = 0; i < 1500; i++)
        cr_assert_eq(auth_users_put(users, &ann, AUTH_USERS_SET), AUTH_USERS_DONE);
    auth_users_close(users);
    struct stat status;
    cr_assert(stat(path, &status) == 0 && status.st_size < 600 * 200, "the file has %lld bytes", (long long)status.st_size);
    users = auth_users_open(path, error, sizeof error);
    cr_assert(users && auth_users_count(users) == 1);
    auth_users_close(users);
}

Test(users, import_and_export, .init = make_folder, .fini = remove_folder)
{
    static const char csv[] = "user_id,password_hash,salt,is_superuser\r\n\"a,\"\"nn\"\"\",2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b,x,true\n"
                              "bob,$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW,,false\n";
    static const char json[] = "[{\"user_id\": \"carl\", \"password\": \"secret\"}, {\"user_id\": \"bob\", \"password_hash\": \"aa\", \"salt\": \"s\", \"is_superuser\": true}]";
    struct password_form sha256 = {.algorithm = PASSWORD_SHA256, .salt_position = PASSWORD_SALT_SUFFIX};
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    struct auth_import done;
    struct auth_user found;
    cr_assert(auth_users_import(users, text(csv), &sha256, false, false, &done, error, sizeof error), "%s", error);
    cr_assert_eq(done.added, 2);
    cr_assert(auth_users_find(users, text("a,\"nn\""), &found) && found.superuser && found.form.salt_position == PASSWORD_SALT_SUFFIX);
    cr_assert(auth_users_import(users, text(json), &sha256, true, false, &done, error, sizeof error), "%s", error);
    cr_assert(done.added == 1 && done.skipped == 1 && done.changed == 0);
    cr_assert(auth_users_find(users, text("carl"), &found) && found.has_scram && password_check(text(found.stored), text("secret")) == PASSWORD_RIGHT);
    cr_assert(auth_users_import(users, text(json), &sha256, false, true, &done, error, sizeof error) && done.changed == 2);
    static const char *const broken[] = {"", "name,password\nx,y\n", "user_id,password_hash\nx\n", "user_id,password_hash\nx,\n", "[{\"user_id\":\"x\"}]", "[3]", "[{}", "user_id,password\nx,y,z\n"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        cr_assert_not(auth_users_import(users, text(broken[i]), &sha256, false, true, &done, error, sizeof error), "%s", broken[i]);
    cr_assert_eq(auth_users_count(users), 3, "a broken import changed something");
    char *out = NULL;
    size_t out_bytes = 0;
    FILE *memory = open_memstream(&out, &out_bytes);
    cr_assert(auth_users_export(users, false, memory));
    fclose(memory);
    struct auth_users *copy;
    char other[80];
    snprintf(other, sizeof other, "%s.copy", path);
    copy = auth_users_open(other, error, sizeof error);
    cr_assert(auth_users_import(copy, span_of(out, out_bytes), &sha256, false, false, &done, error, sizeof error), "%s\n%s", error, out);
    cr_assert_eq(done.added, 3);
    struct auth_user page[3];
    cr_assert_eq(auth_users_list(copy, text(""), 2, page), 2);
    cr_assert_str_eq(page[0].name, "a,\"nn\"");
    cr_assert_str_eq(page[1].name, "bob");
    cr_assert_eq(auth_users_list(copy, text("bob"), 2, page), 1);
    cr_assert_str_eq(page[0].name, "carl");
    free(out);
    auth_users_close(copy);
    auth_users_close(users);
    unlink(other);
}

/* What is acknowledged can be read back: a name that JSON cannot write would make the file one that no broker starts with. */
Test(users, what_is_no_utf_8_does_not_get_in, .init = make_folder, .fini = remove_folder)
{
    static const char *const rows[] = {"\xff,2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b,x", "ann,2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b,\xc3"};
    struct password_form sha256 = {.algorithm = PASSWORD_SHA256};
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    struct auth_import done;
    struct auth_user bob = user_named("bob"), odd = user_named("\xff");
    cr_assert_eq(auth_users_put(users, &bob, AUTH_USERS_ADD), AUTH_USERS_DONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char csv[200];
        snprintf(csv, sizeof csv, "user_id,password_hash,salt\n%s\n", rows[i]);
        cr_expect_not(auth_users_import(users, text(csv), &sha256, false, false, &done, error, sizeof error), "row %zu", i);
        cr_expect(strstr(error, "line 2: ") && strstr(error, "no UTF-8"), "%s", error);
    }
    cr_expect_eq(auth_users_put(users, &odd, AUTH_USERS_ADD), AUTH_USERS_WRONG);
    auth_users_close(users);
    users = auth_users_open(path, error, sizeof error);
    cr_assert_not_null(users, "%s", error);
    cr_assert_eq(auth_users_count(users), 1);
    auth_users_close(users);
}

/* ---- SASLprep: the examples of RFC 4013 §3, and RFC 3454's other rules ---- */

Test(saslprep, examples)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
        bool stored;
    } rows[] = {{"I\u00ADX", "IX", true}, {"user", "user", true}, {"USER", "USER", true}, {"\u00AA", "a", true}, {"\u2168", "IX", true}, {"\x07", NULL, true}, {"\u0627\x31", NULL, true},
                {"\u0627\x31\u0628", "\u0627\x31\u0628", true}, {"a\u00A0b", "a b", true}, {"", "", true}, {"\xff", NULL, false}, {"a\u0221b", NULL, true}, {"a\u0221b", "a\u0221b", false},
                {"\uE000", NULL, false}, {"tab\tbed", NULL, false}, {"u\u0308", "\u00FC", true}, {"p ä ss", "p ä ss", true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct auth_text text;
        bool fine = saslprep(span_of(rows[i].in, strlen(rows[i].in)), rows[i].stored, &text);
        cr_assert_eq(fine, rows[i].out != NULL, "row %zu", i);
        if (fine) cr_assert_str_eq(text.data, rows[i].out, "row %zu", i);
        auth_text_release(&text);
    }
    struct auth_text text;
    cr_assert_not(saslprep(span_of("a\0b", 3), false, &text), "a NUL");
}

Test(saslprep, passwords_of_scram_and_no_others)
{
    struct auth_user user = {.name = "\u2168"};
    cr_assert_null(auth_user_password(&user, text("I\u00ADX"), true));
    cr_assert_str_eq(user.name, "IX");
    struct scram_secret same;
    cr_assert(scram_secret_make(text("IX"), user.scram.iterations, user.scram.salt, user.scram.salt_bytes, &same));
    cr_assert_arr_eq(same.stored_key, user.scram.stored_key, SCRAM_KEY_BYTES);
    cr_assert_eq(password_check(text(user.stored), text("IX")), PASSWORD_WRONG, "a password that is sent as it is");
    cr_assert_eq(password_check(text(user.stored), text("I\u00ADX")), PASSWORD_RIGHT);
    cr_assert_not_null(auth_user_password(&user, text("\x07"), true));
    cr_assert_null(auth_user_password(&user, text("\x07"), false));
}
