/* ringmq passwd - writes mosquitto-compatible password files: one user at a time, many from standard input, or a whole file of plain
 * passwords at once.
 *
 * A file is replaced, never changed in place: written beside it with its mode and owner, synced, renamed. A lock on the file's
 * folder keeps two of us apart, so that neither loses the other's line. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_options.h"
#include "cmd/ringmq_terminal.h"
#include "features/auth/encode.h"
#include "features/auth/password.h"
#include "features/auth/password_file.h"

#define SECRET_BYTES_MAX 65536

struct passwd {
    bool create, delete, verify, list, batch, all, upgrade;
    const char *algorithm, *mode;
    uint32_t cost;
    enum password_maker maker;
    const char *path;
    struct password_file *file; /* NULL: a new one */
    struct password_entry *entries; /* what will be written */
    char **made;                /* stored forms we made, by entry; NULL: as it was */
    uint32_t count, room;
    bool exists;
    struct stat status;
};

#define FIELD(name) offsetof(struct passwd, name)
static const struct option passwd_options[] = {
    {'c', "create", NULL, OPTION_FLAG, FIELD(create), 0, 0, NULL, "a new file, in place of one that is there"},
    {'D', "delete", NULL, OPTION_FLAG, FIELD(delete), 0, 0, NULL, "remove the user"},
    {'v', "verify", NULL, OPTION_FLAG, FIELD(verify), 0, 0, NULL, "is this the user's password? exit status 0: it is; 1: it is not"},
    {'l', "list", NULL, OPTION_FLAG, FIELD(list), 0, 0, NULL, "print users and algorithms (no USER)"},
    {'a', "all", NULL, OPTION_FLAG, FIELD(all), 0, 0, NULL, "set many: lines NAME:PASSWORD from standard input (no USER)"},
    {'U', "upgrade", NULL, OPTION_FLAG, FIELD(upgrade), 0, 0, NULL, "the file holds plain passwords: hash them (no USER)"},
    {'b', "batch", NULL, OPTION_FLAG, FIELD(batch), 0, 0, NULL, "the password is on the command line, where others on this machine can see it"},
    {'H', "hash", "ALGORITHM", OPTION_TEXT, FIELD(algorithm), 0, 0, NULL, "sha512-pbkdf2 (the default), sha512, argon2id or bcrypt"},
    {'I', "iterations", "COUNT", OPTION_NUMBER, FIELD(cost), 1, PASSWORD_PBKDF2_ITERATIONS_MAX, NULL,
     "of sha512-pbkdf2 (210000); passes of argon2id (2); the exponent of bcrypt (10)"},
    {0, "mode", "MODE", OPTION_TEXT, FIELD(mode), 0, 0, NULL, "the file's mode, in octal (a new file: 0600; else as it was)"},
};

static const char usage[] = "ringmq passwd [-c] [-H ALGORITHM] FILE USER    set a password (asked for, or the first line of standard input)\n"
                            "       ringmq passwd -b FILE USER PASSWORD\n"
                            "       ringmq passwd {-D | -v} FILE USER\n"
                            "       ringmq passwd {-l | -a | -U} FILE";
static const char about[] = "Manages password files as the broker and mosquitto read them. A running broker takes a changed file within a second.";
static const char examples[] = "  ringmq passwd -c users.txt ann\n"
                               "  ringmq passwd -H argon2id users.txt bob < secret\n"
                               "  ringmq passwd -a users.txt < new-users\n";

static bool die(const char *what, const char *path)
{
    say_error("%s: %s: %s", path, what, strerror(errno));
    return false;
}

/* ---- passwords ---- */

/* A line without its end, from the terminal (echo off) or standard input. */
static bool read_line(FILE *in, char line[static SECRET_BYTES_MAX], size_t *ret_bytes)
{
    size_t bytes = 0;
    int c;
    while ((c = getc(in)) != EOF && c != '\n') {
        if (bytes == SECRET_BYTES_MAX - 1) {
            say_error("the password is longer than an MQTT packet can carry (65535 bytes)");
            return false;
        }
        line[bytes++] = (char)c;
    }
    if (bytes && line[bytes - 1] == '\r') bytes--;
    line[bytes] = '\0';
    *ret_bytes = bytes;
    return bytes > 0 || c != EOF;
}

static bool ask(FILE *terminal, const char *question, char line[static SECRET_BYTES_MAX], size_t *ret_bytes)
{
    if (!terminal_hide(fileno(terminal))) return die("cannot switch the echo off", "/dev/tty");
    fputs(question, terminal);
    fflush(terminal);
    bool read = read_line(terminal, line, ret_bytes);
    terminal_show();
    fputc('\n', terminal);
    return read;
}

static bool get_password(const struct passwd *passwd, const char *given, char line[static SECRET_BYTES_MAX], size_t *ret_bytes)
{
    if (given) {
        *ret_bytes = strlen(given);
        if (*ret_bytes >= SECRET_BYTES_MAX) return say_error("the password is longer than an MQTT packet can carry (65535 bytes)"), false;
        memcpy(line, given, *ret_bytes + 1);
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        if (read_line(stdin, line, ret_bytes)) return true;
        say_error("standard input has no password; its first line should be one");
        return false;
    }
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (!terminal) return die("cannot ask for the password", "/dev/tty");
    bool fine = ask(terminal, "Password: ", line, ret_bytes);
    if (fine && !passwd->verify) {
        char again[SECRET_BYTES_MAX];
        size_t bytes;
        fine = ask(terminal, "Once more: ", again, &bytes);
        if (fine && !secret_equal(span_of(line, *ret_bytes), span_of(again, bytes))) {
            say_error("the two passwords differ; nothing was changed");
            fine = false;
        }
        secret_wipe(again, sizeof again);
    }
    fclose(terminal);
    return fine;
}

/* ---- entries ---- */

static uint32_t find(const struct passwd *passwd, struct span name)
{
    uint32_t i = 0;
    while (i < passwd->count && !span_equal(passwd->entries[i].name, name))
        i++;
    return i;
}

static void append(struct passwd *passwd, struct password_entry entry, char *made)
{
    if (passwd->count == passwd->room) {
        passwd->room = passwd->room ? passwd->room * 2 : 64;
        passwd->entries = memory_resize(passwd->entries, passwd->room * sizeof *passwd->entries);
        passwd->made = memory_resize(passwd->made, passwd->room * sizeof *passwd->made);
    }
    passwd->entries[passwd->count] = entry;
    passwd->made[passwd->count++] = made;
}

static bool set(struct passwd *passwd, struct span name, struct span password)
{
    char stored[PASSWORD_STORED_BYTES_MAX];
    const char *wrong = password_name_check(name);
    if (!wrong) wrong = password_make(passwd->maker, passwd->cost, password, stored);
    if (wrong) {
        say_error("%.*s: %s", SPAN_PRINT(name), wrong);
        return false;
    }
    uint32_t at = find(passwd, name);
    if (at == passwd->count) append(passwd, (struct password_entry){.name = name}, NULL);
    memory_release(passwd->made[at]);
    passwd->made[at] = memory_copy_string(span_of_string(stored));
    passwd->entries[at].stored = span_of_string(passwd->made[at]);
    return true;
}

/* Lines NAME:PASSWORD. The names lie in *ret_text, which the caller releases when all is written. */
static bool set_all(struct passwd *passwd, FILE *in, const char *where, char **ret_text, size_t *ret_bytes)
{
    size_t room = 0;
    char *line = NULL, *text = NULL;
    size_t text_bytes = 0, text_room = 0;
    for (ssize_t bytes; (bytes = getline(&line, &room, in)) >= 0;) { /* first all into one piece that stays where it is */
        if (text_bytes + (size_t)bytes > text_room) {
            size_t larger = (text_bytes + (size_t)bytes) * 2;
            char *moved = memory_acquire(larger);
            if (text_bytes) memcpy(moved, text, text_bytes);
            secret_wipe(text, text_bytes);
            memory_release(text);
            text = moved;
            text_room = larger;
        }
        memcpy(text + text_bytes, line, (size_t)bytes);
        text_bytes += (size_t)bytes;
    }
    secret_wipe(line, room);
    free(line);
    *ret_text = text;
    *ret_bytes = text_bytes;
    struct span rest = span_of(text, text_bytes);
    for (uint32_t number = 1; rest.bytes; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.bytes);
        struct span one = span_of(rest.data, end ? (size_t)(end - rest.data) : rest.bytes);
        rest = span_skip(rest, one.bytes + (end != NULL));
        if (one.bytes && one.data[one.bytes - 1] == '\r') one.bytes--;
        if (one.bytes == 0) continue;
        const uint8_t *colon = memchr(one.data, ':', one.bytes);
        if (!colon) {
            say_error("%s line %u: there is no ':' between user name and password; nothing was changed", where, number);
            return false;
        }
        struct span name = span_of(one.data, (size_t)(colon - one.data));
        if (!set(passwd, name, span_skip(one, name.bytes + 1))) return false;
    }
    return true;
}

/* ---- the file ---- */

static bool load(struct passwd *passwd)
{
    char error[600];
    passwd->exists = stat(passwd->path, &passwd->status) == 0;
    if (!passwd->exists && errno != ENOENT) return die("cannot look at it", passwd->path);
    if (passwd->exists && !S_ISREG(passwd->status.st_mode)) {
        say_error("%s: not a regular file", passwd->path);
        return false;
    }
    if (passwd->create || passwd->upgrade) return true;
    if (!passwd->exists) {
        if (passwd->all) return true;
        say_error("%s: there is no such file (-c makes one)", passwd->path);
        return false;
    }
    passwd->file = password_file_read(passwd->path, error, sizeof error);
    if (!passwd->file) {
        say_error("%s", error);
        return false;
    }
    const struct password_entry *entry;
    for (uint32_t i = 0; (entry = password_file_at(passwd->file, i)); i++)
        append(passwd, *entry, NULL);
    return true;
}

static bool write_entries(const struct passwd *passwd, FILE *out)
{
    for (uint32_t i = 0; i < passwd->count; i++)
        if (fprintf(out, "%.*s:%.*s\n", SPAN_PRINT(passwd->entries[i].name), SPAN_PRINT(passwd->entries[i].stored)) < 0) return false;
    return fflush(out) == 0 && fsync(fileno(out)) == 0;
}

static void sync_folder(const char *path)
{
    char folder[4200];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

static bool save(const struct passwd *passwd)
{
    char path[4200];
    uint64_t mode = passwd->exists ? passwd->status.st_mode & 07777 : 0600;
    if (passwd->mode) {
        char *end;
        mode = strtoul(passwd->mode, &end, 8);
        if (*passwd->mode == '\0' || *end || mode > 0777) {
            say_error("--mode takes an octal number up to 0777, such as 0640");
            return false;
        }
    }
    if (snprintf(path, sizeof path, "%s.XXXXXX", passwd->path) >= (int)sizeof path) {
        say_error("the file's path is too long");
        return false;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return die("cannot write beside it", passwd->path);
    FILE *out = fdopen(fd, "w");
    bool fine = out && fchmod(fd, (mode_t)mode) == 0;
    if (fine && passwd->exists && (passwd->status.st_uid != geteuid() || passwd->status.st_gid != getegid()))
        fine = fchown(fd, passwd->status.st_uid, passwd->status.st_gid) == 0;
    fine = fine && write_entries(passwd, out);
    if (out) fine = fclose(out) == 0 && fine;
    fine = fine && rename(path, passwd->path) == 0;
    if (!fine) {
        die("cannot be replaced", passwd->path);
        unlink(path);
        return false;
    }
    sync_folder(passwd->path);
    return true;
}

/* Held until we end. */
static bool lock_file(const char *path)
{
    char name[4200];
    snprintf(name, sizeof name, "%s", path);
    char *slash = strrchr(name, '/');
    if (slash) slash[slash == name] = '\0';
    int fd = open(slash ? name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return die("cannot open its folder", path);
    return flock(fd, LOCK_EX) == 0 || die("cannot lock its folder", path);
}

/* ---- what is asked for ---- */

static const char *algorithm_of(struct span stored)
{
    static const struct {
        const char *start, *name;
    } table[] = {{"$7$", "sha512-pbkdf2"}, {"$argon2id$", "argon2id"}, {"$argon2", "argon2"}, {"$2", "bcrypt"}, {"$y$", "yescrypt"}, {"$5$", "sha256-crypt"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (span_starts_with(stored, span_of_string(table[i].start))) return table[i].name;
    return span_starts_with(stored, SPAN_LITERAL("$6$")) && stored.data[stored.bytes - 1] == '=' ? "sha512" : "crypt";
}

static int list(const struct passwd *passwd)
{
    for (uint32_t i = 0; i < passwd->count; i++)
        printf("%.*s %s\n", SPAN_PRINT(passwd->entries[i].name), algorithm_of(passwd->entries[i].stored));
    return fflush(stdout) == 0 ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

static int verify(const struct passwd *passwd, uint32_t at, struct span password)
{
    enum password_verdict verdict = PASSWORD_WRONG;
    if (at < passwd->count)
        verdict = password_check(passwd->entries[at].stored, password);
    else if (passwd->count)
        password_check_nobody(passwd->entries[0].stored, password);
    if (verdict != PASSWORD_RIGHT) say_error("wrong user or password");
    return verdict == PASSWORD_RIGHT ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

static int set_many(struct passwd *passwd)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *in = passwd->upgrade ? fopen(passwd->path, "re") : stdin;
    if (!in) return die("cannot be read", passwd->path), RINGMQ_EXIT_FAILED;
    bool fine = set_all(passwd, in, passwd->upgrade ? passwd->path : "standard input", &text, &bytes) && save(passwd);
    if (passwd->upgrade) fclose(in);
    secret_wipe(text, bytes);
    memory_release(text);
    return fine ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

static int one_user(struct passwd *passwd, struct span name, const char *given)
{
    static char line[SECRET_BYTES_MAX];
    size_t bytes;
    uint32_t at = find(passwd, name);
    if (passwd->delete) {
        if (at == passwd->count) {
            say_error("%s: there is no user '%.*s'", passwd->path, SPAN_PRINT(name));
            return RINGMQ_EXIT_FAILED;
        }
        memory_release(passwd->made[at]);
        memmove(&passwd->entries[at], &passwd->entries[at + 1], (passwd->count - at - 1) * sizeof *passwd->entries);
        memmove(&passwd->made[at], &passwd->made[at + 1], (passwd->count - at - 1) * sizeof *passwd->made);
        passwd->count--;
        return save(passwd) ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    }
    if (!get_password(passwd, given, line, &bytes)) return RINGMQ_EXIT_FAILED;
    int status = passwd->verify ? verify(passwd, at, span_of(line, bytes))
                 : set(passwd, name, span_of(line, bytes)) && save(passwd) ? RINGMQ_EXIT_OK
                                                                           : RINGMQ_EXIT_FAILED;
    secret_wipe(line, sizeof line);
    return status;
}

static bool understand(struct passwd *passwd, const struct text_list *words)
{
    uint32_t ways = passwd->delete + passwd->verify + passwd->list + passwd->all + passwd->upgrade;
    bool alone = passwd->list || passwd->all || passwd->upgrade;
    if (ways > 1 || (passwd->create && (passwd->delete || passwd->verify || passwd->list || passwd->upgrade)))
        return say_error("-c, -D, -v, -l, -a and -U exclude each other (but -c with -a)"), false;
    uint32_t wanted = alone ? 1 : passwd->batch && !passwd->delete ? 3 : 2;
    if (words->count != wanted) {
        if (words->count == 3 && !passwd->batch)
            say_error("a password on the command line can be seen by others; -b says that you want that");
        else
            say_error(alone ? "this takes FILE and nothing else" : wanted == 3 ? "-b takes FILE USER PASSWORD" : "this takes FILE and USER");
        return false;
    }
    if (!passwd->algorithm) return true;
    for (int i = 0; i < PASSWORD_MAKERS; i++) {
        if (strcmp(passwd->algorithm, password_maker_names[i]) != 0) continue;
        passwd->maker = (enum password_maker)i;
        return true;
    }
    say_error("there is no algorithm '%s'; there are sha512-pbkdf2, sha512, argon2id and bcrypt", passwd->algorithm);
    return false;
}

int ringmq_passwd(int argc, char **argv)
{
    struct passwd passwd = {0};
    struct text_list words = {0};
    const struct option_group group = {"Options", passwd_options, sizeof passwd_options / sizeof passwd_options[0], &passwd};
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = &group, .groups_count = 1,
                                           .positionals = &words, .first = "FILE"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    if (verdict != OPTIONS_FINE) return verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    int status = RINGMQ_EXIT_FAILED;
    if (understand(&passwd, &words)) {
        passwd.path = words.items[0];
        bool writes = !passwd.list && !passwd.verify;
        if ((!writes || lock_file(passwd.path)) && load(&passwd))
            status = passwd.list                   ? list(&passwd)
                     : passwd.all || passwd.upgrade ? set_many(&passwd)
                                                    : one_user(&passwd, span_of_string(words.items[1]), words.count > 2 ? words.items[2] : NULL);
    }
    for (uint32_t i = 0; i < passwd.count; i++)
        memory_release(passwd.made[i]);
    memory_release(passwd.made);
    memory_release(passwd.entries);
    password_file_release(passwd.file);
    text_list_release(&words);
    return status;
}
