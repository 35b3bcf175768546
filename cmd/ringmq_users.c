/* ringmq users - the users of a built-in database while no broker has it open: EMQX's CSV and JSON files in and out (features/auth/users.h).
 *
 * The file is locked against a broker that runs: there `ringmq ctl auth` does the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_options.h"
#include "features/auth/password.h"
#include "features/auth/users.h"

struct users_options {
    const char *algorithm, *salt_position, *mac, *format;
    uint32_t iterations, key_bytes;
    bool override, scram;
};

#define FIELD(name) offsetof(struct users_options, name)
static const struct option users_options[] = {
    {0, "override", NULL, OPTION_FLAG, FIELD(override), 0, 0, NULL, "import: users who are there already are replaced (else they stay as they are)"},
    {0, "scram", NULL, OPTION_FLAG, FIELD(scram), 0, 0, NULL, "import: plain passwords get the keys of SCRAM-SHA-256, too"},
    {0, "algorithm", "plain|md5|sha|sha256|sha512|bcrypt|pbkdf2", OPTION_TEXT, FIELD(algorithm), 0, 0, NULL,
     "import: what the column password_hash was made with (hashes that begin with $ say it themselves)"},
    {0, "salt-position", "prefix|suffix|disable", OPTION_TEXT, FIELD(salt_position), 0, 0, NULL, "import: where the salt went, of md5 to sha512 (prefix)"},
    {0, "mac-fun", "md5|sha|sha256|sha512", OPTION_TEXT, FIELD(mac), 0, 0, NULL, "import: of pbkdf2 (sha256)"},
    {0, "iterations", "COUNT", OPTION_NUMBER, FIELD(iterations), 1, PASSWORD_PBKDF2_ITERATIONS_MAX, NULL, "import: of pbkdf2 (4096)"},
    {0, "dk-length", "BYTES", OPTION_NUMBER, FIELD(key_bytes), 1, 200, NULL, "import: of pbkdf2, bytes of the hash (as many as the MAC has)"},
    {0, "format", "csv|json", OPTION_TEXT, FIELD(format), 0, 0, NULL, "export: json (the default; has everything), or csv (no keys of SCRAM)"},
};

static const char usage[] = "ringmq users import DATABASE FILE [options]\n"
                            "       ringmq users export DATABASE [--format csv|json]\n"
                            "       ringmq users list DATABASE";
static const char about[] = "Users of a built-in database (authentication.NAME with backend = built_in_database) while no broker has it open. DATABASE is its file:\n"
                            "users-NAME.jsonl in node.data_dir, unless the section says otherwise. FILE is EMQX's, CSV or JSON; - is standard input.\n"
                            "A running broker's users: ringmq ctl auth users-import, users-export.";
static const char examples[] = "  ringmq users import data/users-devices.jsonl users.csv --algorithm sha256 --salt-position suffix\n"
                               "  ringmq users export data/users-devices.jsonl --format csv > users.csv\n";

/* The word's number in the table; false: it has complained. */
static bool word_number(const char *option, const char *given, const char *const *words, uint32_t first, uint32_t count, uint8_t *ret_number)
{
    for (uint32_t i = first; given && i < count; i++) {
        if (strcmp(given, words[i]) != 0) continue;
        *ret_number = (uint8_t)i;
        return true;
    }
    if (given) say_error("--%s: there is no '%s' (ringmq users --help lists them)", option, given);
    return !given;
}

static bool form_of(const struct users_options *options, struct password_form *ret_form)
{
    static const char *const positions[] = {[PASSWORD_SALT_PREFIX] = "prefix", [PASSWORD_SALT_SUFFIX] = "suffix", [PASSWORD_SALT_DISABLE] = "disable"};
    *ret_form = (struct password_form){.algorithm = PASSWORD_ENCODED, .mac = PASSWORD_SHA256, .iterations = options->iterations ? options->iterations : 4096,
                                       .key_bytes = options->key_bytes};
    return word_number("algorithm", options->algorithm, password_algorithm_names, PASSWORD_PLAIN, PASSWORD_ALGORITHMS, &ret_form->algorithm) &&
           word_number("salt-position", options->salt_position, positions, 0, sizeof positions / sizeof positions[0], &ret_form->salt_position) &&
           word_number("mac-fun", options->mac, password_algorithm_names, PASSWORD_MD5, PASSWORD_SHA512 + 1, &ret_form->mac);
}

static int import(struct auth_users *users, const char *path, const struct password_form *form, const struct users_options *options)
{
    struct auth_import done;
    char error[800];
    if (!auth_users_import_file(users, strcmp(path, "-") == 0 ? "/dev/stdin" : path, form, options->scram, options->override, &done, error, sizeof error)) {
        say_error("%s; nothing was imported", error);
        return RINGMQ_EXIT_FAILED;
    }
    printf("added %u, changed %u, left alone %u\n", done.added, done.changed, done.skipped);
    return fflush(stdout) == 0 ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

static void list_one(void *context, const struct auth_user *user)
{
    const char *kind = !user->stored[0] ? "scram" : user->form.algorithm == PASSWORD_ENCODED ? "encoded" : password_algorithm_names[user->form.algorithm];
    printf("%s %s%s%s\n", user->name, kind, user->stored[0] && user->has_scram ? "+scram" : "", user->superuser ? " superuser" : "");
}

static int work(const char *verb, const struct text_list *words, const struct users_options *options)
{
    bool imports = strcmp(verb, "import") == 0, lists = strcmp(verb, "list") == 0, csv = options->format && strcmp(options->format, "csv") == 0;
    const char *path = words->items[1];
    struct password_form form;
    char error[800];
    if (imports && !form_of(options, &form)) return RINGMQ_EXIT_FAILED;
    if (options->format && !csv && strcmp(options->format, "json") != 0) return say_error("--format takes csv or json"), RINGMQ_EXIT_FAILED;
    if (!imports && access(path, F_OK) != 0) return say_error("%s: there is no such file", path), RINGMQ_EXIT_FAILED;
    struct auth_users *users = auth_users_open(path, error, sizeof error);
    if (!users) return say_error("%s", error), RINGMQ_EXIT_FAILED;
    int status = RINGMQ_EXIT_OK;
    if (imports)
        status = import(users, words->items[2], &form, options);
    else if (lists)
        auth_users_each(users, list_one, NULL);
    else if (!auth_users_export(users, csv, stdout))
        status = RINGMQ_EXIT_FAILED;
    if (!imports && (fflush(stdout) != 0 || ferror(stdout))) status = RINGMQ_EXIT_FAILED;
    auth_users_close(users);
    return status;
}

int ringmq_users(int argc, char **argv)
{
    struct users_options options = {0};
    struct text_list words = {0};
    const struct option_group group = {"Options", users_options, sizeof users_options / sizeof users_options[0], &options};
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = &group, .groups_count = 1,
                                           .positionals = &words, .first = "import|export|list", .others = "FILE"};
    enum option_verdict verdict = options_parse(&program, argc, argv);
    if (verdict != OPTIONS_FINE) return verdict == OPTIONS_HELPED ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    log_configure(LOG_ERROR, LOG_TEXT);
    int status = RINGMQ_EXIT_FAILED;
    const char *verb = words.count ? words.items[0] : "";
    bool imports = strcmp(verb, "import") == 0, known = imports || strcmp(verb, "export") == 0 || strcmp(verb, "list") == 0;
    if (!known)
        say_error("import, export or list? (ringmq users --help)");
    else if (words.count != (imports ? 3 : 2))
        say_error(imports ? "import takes DATABASE and FILE" : "%s takes DATABASE and nothing else", verb);
    else
        status = work(verb, &words, &options);
    text_list_release(&words);
    return status;
}
