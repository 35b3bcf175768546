/* ringmq_ctl.c - `ringmq ctl`: every command is a route of the admin API (admin/routes.h); parameters in the path are words, all others options. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sha1.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"

#define URL_DEFAULT "http://127.0.0.1:18083"

enum { EXIT_DENIED = 4, EXIT_NOT_FOUND = 5, EXIT_CONFLICT = 6, EXIT_SERVER = 7 };

struct ctl {
    const char *url, *key;
    bool json, wide, help;
    struct http_trust trust;
    char kept_url[512], kept_token[256]; /* of the last login */
    struct http_client client;
};

/* ---- the kept login --------------------------------------------------------------------------------------------- */

static bool token_path(char *ret_path, size_t bytes, bool make)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char directory[400];
    if (config && *config)
        snprintf(directory, sizeof directory, "%s", config);
    else if (home && *home)
        snprintf(directory, sizeof directory, "%s/.config", home);
    else
        return false;
    if (make) mkdir(directory, 0700);
    snprintf(ret_path, bytes, "%s/ringmq", directory);
    if (make && mkdir(ret_path, 0700) != 0 && errno != EEXIST) return false;
    snprintf(ret_path, bytes, "%s/ringmq/token", directory);
    return true;
}

static void login_read(struct ctl *ctl)
{
    char path[512];
    if (!token_path(path, sizeof path, false)) return;
    FILE *file = fopen(path, "re");
    if (!file) return;
    if (fscanf(file, "%511s %255s", ctl->kept_url, ctl->kept_token) != 2) ctl->kept_url[0] = ctl->kept_token[0] = 0;
    fclose(file);
}

static bool login_keep(const char *url, const char *token)
{
    char path[512];
    if (!token_path(path, sizeof path, true)) return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool kept = fchmod(fd, 0600) == 0 && dprintf(fd, "%s %s\n", url, token) > 0;
    return close(fd) == 0 && kept;
}

static void login_forget(void)
{
    char path[512];
    if (token_path(path, sizeof path, false)) unlink(path);
}

/* ---- words and options ------------------------------------------------------------------------------------------ */

const struct api_route *ctl_find(int count, char **words, int *ret_words)
{
    const struct api_route *found = NULL;
    *ret_words = 0;
    for (uint32_t i = 0; i < api_routes_count; i++) {
        const char *at = api_routes[i].command;
        int used = 0;
        while (at && *at && used < count) {
            size_t bytes = strcspn(at, " ");
            if (strlen(words[used]) != bytes || memcmp(words[used], at, bytes) != 0) break;
            used++;
            at += bytes + (at[bytes] == ' ');
        }
        if (!at || *at || used <= *ret_words) continue;
        found = &api_routes[i];
        *ret_words = used;
    }
    return found;
}

/* "--like-clientid" for like_clientid. */
static const struct api_field *field_of(const struct api_field *fields, uint32_t count, const char *option)
{
    char name[64];
    snprintf(name, sizeof name, "%s", option);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return api_field_find(fields, count, name);
}

/* All of a file ("-": standard input), NUL-terminated. NULL: it has complained. */
static char *read_whole(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        say_error("cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    size_t bytes = 0, got, capacity = 0;
    do {
        if (bytes + 4097 > capacity) text = memory_resize(text, capacity = (bytes + 4097) * 2);
        got = fread(text + bytes, 1, 4096, file);
        bytes += got;
    } while (got);
    text[bytes] = 0;
    if (file != stdin) fclose(file);
    return text;
}

/* An option's text as the JSON its field wants. NULL: it has complained. */
static json_t *value_json(const struct api_field *field, const char *text)
{
    json_t *value = NULL;
    if (field->type == FIELD_STRING && text[0] == '@') {
        char *content = read_whole(text + 1);
        if (!content) return NULL;
        value = json_string(content);
        memory_release(content);
        if (!value) say_error("%s is not UTF-8; send it as base64", text + 1);
        return value;
    }
    if (field->type == FIELD_STRING && !(field->nullable && strcmp(text, "null") == 0)) {
        value = json_string(text);
        if (!value) say_error("--%s is not UTF-8", field->name);
        return value;
    }
    json_error_t error;
    value = json_loads(text, JSON_DECODE_ANY, &error);
    if (!value) say_error("--%s wants %s, not '%s'", field->name, field->type == FIELD_BOOLEAN ? "true or false" : field->type == FIELD_INTEGER ? "a number" : "JSON", text);
    return value;
}

/* mqtt.max_inflight=55 into {"mqtt.max_inflight": "55"}. */
static bool pair_take(json_t *map, const char *word)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) {
        say_error("'%s' is no KEY=VALUE", word);
        return false;
    }
    char *key = memory_copy_string(span_of(word, (size_t)(equals - word)));
    json_object_set_new(map, key, strcmp(equals + 1, "null") == 0 ? json_null() : json_string(equals + 1));
    memory_release(key);
    return true;
}

struct request {
    const struct api_route *route;
    char target[8192];
    json_t *body;
};

static bool append(struct request *request, const char *text)
{
    size_t used = strlen(request->target);
    if (used + strlen(text) >= sizeof request->target) {
        say_error("that is too long");
        return false;
    }
    strcpy(request->target + used, text);
    return true;
}

static bool append_encoded(struct request *request, const char *text)
{
    char encoded[6144];
    if (http_encode(text, encoded, sizeof encoded) >= sizeof encoded) {
        say_error("that is too long");
        return false;
    }
    return append(request, encoded);
}

/* The path with the words in place of its {…}. */
static bool path_make(struct request *request, int *count, char ***words)
{
    const struct api_route *route = request->route;
    strcpy(request->target, API_PREFIX);
    for (const char *at = route->path; *at;) {
        const char *open = strchr(at, '{');
        char piece[128];
        snprintf(piece, sizeof piece, "%.*s", (int)(open ? (size_t)(open - at) : strlen(at)), at);
        if (!append(request, piece)) return false;
        if (!open) break;
        at = strchr(open, '}') + 1;
        if (*count == 0) {
            say_error("%s wants %.*s (ringmq ctl %s --help)", route->command, (int)(at - open - 2), open + 1, route->command);
            return false;
        }
        if (!append_encoded(request, **words)) return false;
        --*count;
        ++*words;
    }
    return true;
}

static bool take_rest(struct request *request, int count, char **words)
{
    if (ctl_is_map(request->route) || ctl_is_list(request->route)) {
        const char *name = api_schema_find(request->route->body)->fields[0].name;
        json_t *all = ctl_is_map(request->route) ? json_object() : json_array();
        json_object_set_new(request->body, name, all);
        for (int i = 0; i < count; i++) {
            if (ctl_is_list(request->route))
                json_array_append_new(all, json_string(words[i]));
            else if (!pair_take(all, words[i]))
                return false;
        }
        return true;
    }
    if (count == 0) return true;
    say_error("'%s' is one word too many (ringmq ctl %s --help)", words[0], request->route->command);
    return false;
}

/* An option of the command. False: it has complained. */
static bool option_take(struct request *request, const char *option, const char *value, bool *query)
{
    const struct api_route *route = request->route;
    const struct api_schema *body = route->body ? api_schema_find(route->body) : NULL;
    const struct api_field *field = field_of(route->parameters, route->parameters_count, option);
    if (strcmp(option, "body") == 0 && body) {
        json_error_t error;
        char *text = read_whole(value);
        json_t *whole = text ? json_loads(text, 0, &error) : NULL;
        if (text && !whole) say_error("%s is no JSON: line %d: %s", value, error.line, error.text);
        memory_release(text);
        if (!whole) return false;
        json_object_update(request->body, whole);
        json_decref(whole);
        return true;
    }
    if (field && !field->in_path) {
        bool first = !*query;
        *query = true;
        return append(request, first ? "?" : "&") && append(request, field->name) && append(request, "=") && append_encoded(request, value);
    }
    field = body ? field_of(body->fields, body->fields_count, option) : NULL;
    if (field) {
        json_t *json = value_json(field, value);
        if (json) json_object_set_new(request->body, field->name, json);
        return json != NULL;
    }
    say_error("%s has no option --%s (ringmq ctl %s --help)", route->command, option, route->command);
    return false;
}

/* What follows the command's words. False: it has complained. */
static bool request_make(struct request *request, int argc, char **argv)
{
    char **words = memory_acquire((size_t)(argc + 1) * sizeof *words);
    int count = 0;
    for (int i = 0; i < argc; i++) { /* words first: the path stands before the query */
        if (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i], "--") == 0) {
            if (strcmp(argv[i], "--") != 0) words[count++] = argv[i];
        } else if (!strchr(argv[i], '=')) {
            i++;
        }
    }
    char **rest = words;
    request->body = request->route->body ? json_object() : NULL;
    bool good = path_make(request, &count, &rest) && take_rest(request, count, rest), query = false;
    for (int i = 0; good && i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i], "--") == 0) continue;
        char name[64];
        const char *equals = strchr(argv[i], '='), *value = equals ? equals + 1 : argv[i + 1 < argc ? i + 1 : i];
        snprintf(name, sizeof name, "%.*s", (int)(equals ? (size_t)(equals - argv[i]) - 2 : strlen(argv[i]) - 2), argv[i] + 2);
        if (!equals && i + 1 == argc) {
            say_error("--%s wants a value", name);
            good = false;
        } else {
            good = option_take(request, name, value, &query);
            if (!equals) i++;
        }
    }
    memory_release(words);
    return good;
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

static int status_exit(int status)
{
    if (status < 300) return RINGMQ_EXIT_OK;
    if (status == 401 || status == 403 || status == 429) return EXIT_DENIED;
    if (status == 404) return EXIT_NOT_FOUND;
    if (status == 409) return EXIT_CONFLICT;
    return status >= 500 ? EXIT_SERVER : RINGMQ_EXIT_FAILED;
}

static void complain(const struct http_reply *reply)
{
    json_t *error = json_loads(reply->body, 0, NULL);
    const char *message = json_string_value(json_object_get(error, "message"));
    if (message)
        say_error("%s (%d)", message, reply->status);
    else
        say_error("the answer was %d", reply->status);
    json_decref(error);
}

int ctl_complain(const struct http_reply *reply)
{
    complain(reply);
    return status_exit(reply->status);
}

/* Sends it and prints the answer; the exit status. */
static int request_run(struct ctl *ctl, struct request *request, json_t **ret_answer)
{
    struct http_reply reply;
    char *body = request->body ? json_dumps(request->body, JSON_COMPACT) : NULL;
    bool answered = http_client_request(&ctl->client, http_method_names[request->route->method], request->target, body, &reply);
    free(body);
    if (!answered) {
        say_error("%s", ctl->client.error);
        return RINGMQ_EXIT_UNREACHABLE;
    }
    int status = status_exit(reply.status);
    json_t *answer = reply.body_bytes ? json_loadb(reply.body, reply.body_bytes, JSON_ALLOW_NUL, NULL) : NULL;
    if (status != RINGMQ_EXIT_OK) {
        complain(&reply);
    } else if (ret_answer) {
        *ret_answer = json_incref(answer);
    } else if (reply.body_bytes && !request->route->answer) {
        fwrite(reply.body, 1, reply.body_bytes, stdout); /* a file */
    } else if (ctl->json && answer) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        putchar('\n');
    } else if (answer) {
        ctl_print(request->route, answer, ctl->wide);
    }
    json_decref(answer);
    http_reply_release(&reply);
    if (fflush(stdout) != 0) return RINGMQ_EXIT_FAILED;
    return status;
}

/* ---- login ------------------------------------------------------------------------------------------------------ */

/* From the environment, or typed without being shown. False: there is none. */
static bool password_ask(char *ret_password, size_t bytes)
{
    const char *given = getenv("RINGMQ_PASSWORD");
    struct termios shown, hidden;
    if (given) {
        snprintf(ret_password, bytes, "%s", given);
        return true;
    }
    bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        fputs("Password: ", stderr);
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool read = fgets(ret_password, (int)bytes, stdin) != NULL;
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        fputc('\n', stderr);
    }
    if (read) ret_password[strcspn(ret_password, "\r\n")] = 0;
    return read && *ret_password;
}

static int login(struct ctl *ctl, int argc, char **argv)
{
    char password[300];
    const char *user = "admin";
    int words;
    char *name[] = {"login"};
    struct request request = {.route = ctl_find(1, name, &words)};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--username") == 0 && i + 1 < argc) {
            user = argv[++i];
        } else if (strncmp(argv[i], "--username=", 11) == 0) {
            user = argv[i] + 11;
        } else {
            say_error("login takes --username NAME; the password is asked for, or comes from RINGMQ_PASSWORD");
            return RINGMQ_EXIT_FAILED;
        }
    }
    if (!password_ask(password, sizeof password)) {
        say_error("there is no password");
        return RINGMQ_EXIT_FAILED;
    }
    ctl->client.authorization[0] = 0;
    strcpy(request.target, API_PREFIX "/login");
    request.body = json_pack("{s:s, s:s}", "username", user, "password", password);
    explicit_bzero(password, sizeof password);
    if (!request.body) {
        say_error("user name and password must be UTF-8");
        return RINGMQ_EXIT_FAILED;
    }
    json_t *answer = NULL;
    int status = request_run(ctl, &request, &answer);
    json_decref(request.body);
    if (status != RINGMQ_EXIT_OK) return status;
    const char *token = json_string_value(json_object_get(answer, "token")), *role = json_string_value(json_object_get(answer, "role"));
    bool kept = token && login_keep(ctl->url, token);
    if (kept)
        printf("logged in to %s as %s (%s)\n", ctl->url, user, role ? role : "");
    else
        say_error("the token cannot be kept in ~/.config/ringmq/token: %s", strerror(errno));
    json_decref(answer);
    return kept ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
}

/* ---- the subcommand --------------------------------------------------------------------------------------------- */

static void authorize(struct ctl *ctl)
{
    char *authorization = ctl->client.authorization;
    size_t room = sizeof ctl->client.authorization;
    if (ctl->key && strlen(ctl->key) < 300) {
        char text[408];
        base64_encode(span_of_string(ctl->key), text);
        snprintf(authorization, room, "Basic %s", text);
    } else if (*ctl->kept_token && strcmp(ctl->kept_url, ctl->url) == 0) { /* a token goes only where it came from */
        snprintf(authorization, room, "Bearer %s", ctl->kept_token);
    }
}

/* Options before and among the words that are not the command's. Leaves the others in place; returns their count, or -1. */
static int general_options(struct ctl *ctl, int argc, char **argv)
{
    int left = 0;
    for (int i = 1; i < argc; i++) {
        bool url = strcmp(argv[i], "--url") == 0, key = strcmp(argv[i], "--key") == 0, ca_file = strcmp(argv[i], "--cafile") == 0;
        if ((url || key || ca_file) && i + 1 == argc) {
            say_error("%s wants a value", argv[i]);
            return -1;
        }
        if (url)
            ctl->url = argv[++i];
        else if (key)
            ctl->key = argv[++i];
        else if (ca_file)
            ctl->trust.ca_file = argv[++i];
        else if (strcmp(argv[i], "--insecure") == 0)
            ctl->trust.insecure = true;
        else if (strcmp(argv[i], "--json") == 0)
            ctl->json = true;
        else if (strcmp(argv[i], "--wide") == 0)
            ctl->wide = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            ctl->help = true;
        else
            argv[left++] = argv[i];
    }
    return left;
}

static int unknown(int count, char **words)
{
    const char *names[64];
    unsigned known = 0;
    for (uint32_t i = 0; i < api_routes_count && known < 64; i++)
        if (api_routes[i].command) names[known++] = api_routes[i].command;
    char said[128] = "";
    for (int i = 0; i < count && i < 2; i++)
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s%.40s", i ? " " : "", words[i]);
    const char *nearest = nearest_word(said, names, known);
    say_error("there is no command '%s'%s%s%s (ringmq ctl --help lists them all)", said, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return RINGMQ_EXIT_FAILED;
}

int ringmq_ctl(int argc, char **argv)
{
    struct ctl ctl = {.url = getenv("RINGMQ_URL"), .key = getenv("RINGMQ_API_KEY")};
    int count = general_options(&ctl, argc, argv), words = 0;
    if (count < 0) return RINGMQ_EXIT_FAILED;
    if (count && strcmp(argv[0], "--help=markdown") == 0) {
        ctl_help_markdown();
        return RINGMQ_EXIT_OK;
    }
    const struct {
        const char *option;
        void (*print)(void);
    } forms[] = {{"--help=man", ctl_manual}, {"--help=bash", ctl_complete_bash}, {"--help=zsh", ctl_complete_zsh}};
    for (size_t i = 0; count && i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(argv[0], forms[i].option) != 0) continue;
        forms[i].print();
        return RINGMQ_EXIT_OK;
    }
    const struct api_route *route = ctl_find(count, argv, &words);
    if (count == 0 || (ctl.help && !route)) {
        ctl_help();
        return ctl.help ? RINGMQ_EXIT_OK : RINGMQ_EXIT_FAILED;
    }
    if (!route) return unknown(count, argv);
    if (ctl.help) {
        ctl_help_command(route);
        return RINGMQ_EXIT_OK;
    }
    login_read(&ctl);
    if (!ctl.url) ctl.url = *ctl.kept_url ? ctl.kept_url : URL_DEFAULT;
    if (!http_client_init(&ctl.client, ctl.url, &ctl.trust)) {
        say_error("%s", ctl.client.error);
        return RINGMQ_EXIT_FAILED;
    }
    authorize(&ctl);
    int status;
    if (route->operation == OPERATION_login) {
        status = login(&ctl, count - words, argv + words);
    } else {
        struct request request = {.route = route};
        bool made = request_make(&request, count - words, argv + words);
        status = made ? request_run(&ctl, &request, NULL) : RINGMQ_EXIT_FAILED;
        json_decref(request.body);
        if (route->operation == OPERATION_logout) login_forget();
    }
    http_client_release(&ctl.client);
    return status;
}

bool ctl_client(struct http_client *ret_client, const char *url, const char *key, const struct http_trust *trust)
{
    struct ctl ctl = {.url = url ? url : getenv("RINGMQ_URL"), .key = key ? key : getenv("RINGMQ_API_KEY")};
    login_read(&ctl);
    if (!ctl.url) ctl.url = *ctl.kept_url ? ctl.kept_url : URL_DEFAULT;
    bool sound = http_client_init(&ctl.client, ctl.url, trust);
    if (sound)
        authorize(&ctl);
    else
        say_error("%s", ctl.client.error);
    *ret_client = ctl.client;
    return sound;
}
