/* ringmq_ctl.c - `ringmq ctl`: every command is a route of the admin API (admin/routes.h); parameters in the path are words, all others options. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sha1.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_ctl.h"
#include "cmd/ringmq_terminal.h"

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
static int request_run(struct ctl *ctl, struct ctl_request *request, json_t **ret_answer)
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
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!written && errno != EPIPE) say_error("cannot write to standard output: %s", strerror(errno));
    return written ? status : RINGMQ_EXIT_FAILED;
}

/* ---- login ------------------------------------------------------------------------------------------------------ */

/* From the environment, or typed without being shown. False: there is none. */
static bool password_ask(char *ret_password, size_t bytes)
{
    const char *given = getenv("RINGMQ_PASSWORD");
    if (given) {
        snprintf(ret_password, bytes, "%s", given);
        return true;
    }
    bool terminal = terminal_hide(STDIN_FILENO);
    if (terminal) fputs("Password: ", stderr);
    bool read = fgets(ret_password, (int)bytes, stdin) != NULL;
    if (terminal) {
        terminal_show();
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
    struct ctl_request request = {.route = ctl_find(1, name, &words)};
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
    bool words_only = false; /* behind "--": a client may call itself --json */
    for (int i = 1; i < argc; i++) {
        words_only = words_only || strcmp(argv[i], "--") == 0;
        if (words_only) {
            argv[left++] = argv[i];
            continue;
        }
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
        struct ctl_request request = {.route = route};
        bool made = ctl_request_make(&request, count - words, argv + words);
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
