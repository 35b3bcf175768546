#include "cmd/ringmqd_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "cmd/ringmq.h"
#include "cmd/ringmq_manual.h"
#include "cmd/ringmq_options.h"
#include "cmd/ringmq_roff.h"

static const char *const usual_files[] = {"ringmq.conf", "/etc/ringmq/ringmq.conf"};

/* What the command line says. */
struct command_line {
    struct text_list files, sets;
    bool check, effective, sample, docs, manual, metrics, api, api_docs, features, hooks, help;
};

static bool take_set(void *target, struct option_arguments *arguments)
{
    const char *set = option_value(arguments);
    if (!set || !strchr(set, '=')) {
        say_error("--set needs KEY=VALUE%s%s%s", set ? ", not '" : "", set ? set : "", set ? "'" : "");
        return false;
    }
    text_list_add(&((struct command_line *)target)->sets, set);
    return true;
}

#define FIELD(name) offsetof(struct command_line, name)
static const struct option configuration_options[] = {
    {'c', "config", "FILE", OPTION_LIST, FIELD(files),
     .help = "read this configuration; repeatable, a later file wins. Without it:\n./ringmq.conf if there is one, else /etc/ringmq/ringmq.conf\n"
             "if there is one, else the defaults"},
    {'s', "set", "KEY=VALUE", OPTION_CALL, .call = take_set,
     .help = "set one key, such as node.shards=2; repeatable; wins over files\nand environment, the last wins"},
};
static const struct option action_options[] = {
    {0, "check", NULL, OPTION_FLAG, FIELD(check), .help = "say whether the configuration is valid: status 0 or 1"},
    {0, "print-effective", NULL, OPTION_FLAG, FIELD(effective), .help = "print every key, its value and where it comes from"},
    {0, "print-sample", NULL, OPTION_FLAG, FIELD(sample), .help = "print a commented ringmq.conf"},
    {0, "print-config-docs", NULL, OPTION_FLAG, FIELD(docs), .help = "print the manual of the configuration (Markdown)"},
    {0, "print-config-man", NULL, OPTION_FLAG, FIELD(manual), .help = "print it as the man page ringmq.conf(5)"},
    {0, "print-metrics-docs", NULL, OPTION_FLAG, FIELD(metrics), .help = "print the manual of the metrics (Markdown)"},
    {0, "print-api", NULL, OPTION_FLAG, FIELD(api), .help = "print the admin API as an OpenAPI document (JSON)"},
    {0, "print-api-docs", NULL, OPTION_FLAG, FIELD(api_docs), .help = "print the same as a manual (Markdown)"},
    {0, "print-features", NULL, OPTION_FLAG, FIELD(features), .help = "print the features that are built in or loaded"},
    {0, "print-hooks", NULL, OPTION_FLAG, FIELD(hooks), .help = "print the moments at which features take part (Markdown)"},
    {'h', "help", NULL, OPTION_FLAG, FIELD(help), .help = "print this"},
    {0, "version", NULL, OPTION_FLAG, FIELD(help), .help = "print the version"}, /* options_parse() sees to it */
};
static const char usage[] = "ringmqd [--config FILE]… [--set KEY=VALUE]…";
static const char about[] =
    "An MQTT broker. It runs in the foreground and logs to standard error; SIGHUP reads the configuration\n"
    "again, SIGTERM and SIGINT end it in order: clients are told, a second one ends it at once.\n"
    "\n"
    "Any key may also come from the environment: RINGMQ__NODE__SHARDS=2 is node.shards = 2.\n"
    "\n"
    "Exit status: 0 after an orderly end, 1 when it cannot start or the configuration is not valid, 2 for\n"
    "a wrong command line.";
static const char examples[] = "  ringmqd --set listeners.tcp.default.bind=127.0.0.1:1884 --set node.shards=2\n"
                               "  ringmqd --print-sample > ringmq.conf\n";

/* ---- the command line --------------------------------------------------------------------------------------------- */

/* What was printed may have gone to a full disk or a closed pipe. */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    fprintf(stderr, "ringmqd: cannot write to standard output: %s\n", strerror(errno));
    return 1;
}

static int print_config_man(void)
{
    char *markdown = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&markdown, &bytes);
    CHECK(memory != NULL);
    config_print_docs(memory);
    CHECK(fclose(memory) == 0);
    manual_print_head("ringmq.conf", "5", "the configuration of the MQTT broker ringmqd");
    fputs(".SH DESCRIPTION\nThe configuration of\n.BR ringmqd (8),\nread from /etc/ringmq/ringmq.conf unless another file is named.\n", stdout);
    const char *sections = strstr(markdown, "\n## "); /* before them: how the Markdown file is made */
    roff_print_markdown(sections ? sections + 1 : markdown, stdout);
    fputs(".SH FILES\n.I /etc/ringmq/ringmq.conf\n.SH \"SEE ALSO\"\n.BR ringmqd (8),\n.BR ringmq (1)\n", stdout);
    free(markdown);
    return printed();
}

/* -1: nothing to print only. */
static int act(const struct option_program *program, const struct command_line *line)
{
    if (line->help) return options_print_help(program), printed();
    if (line->sample) return config_print_sample(stdout), printed();
    if (line->docs) return config_print_docs(stdout), printed();
    if (line->manual) return print_config_man();
    return -1;
}

int ringmqd_arguments_parse(int argc, char **argv, struct ringmqd_arguments *ret_arguments)
{
    struct command_line line = {0};
    const struct option_group groups[] = {
        {"Configuration", configuration_options, sizeof configuration_options / sizeof configuration_options[0], &line},
        {"Instead of running", action_options, sizeof action_options / sizeof action_options[0], &line},
    };
    const struct option_program program = {.usage = usage, .about = about, .examples = examples, .groups = groups, .groups_count = 2};
    say_who = "ringmqd";
    say_summary = "an MQTT broker";
    enum option_verdict verdict = options_parse(&program, argc, argv);
    int status = verdict == OPTIONS_HELPED ? printed() : verdict == OPTIONS_WRONG ? RINGMQD_EXIT_USAGE : act(&program, &line);
    struct ringmqd_arguments arguments = {.action = line.check       ? RINGMQD_CHECK
                                                    : line.effective ? RINGMQD_PRINT_EFFECTIVE
                                                    : line.features  ? RINGMQD_PRINT_FEATURES
                                                    : line.hooks     ? RINGMQD_PRINT_HOOKS
                                                    : line.metrics   ? RINGMQD_PRINT_METRICS_DOCS
                                                    : line.api       ? RINGMQD_PRINT_API
                                                    : line.api_docs  ? RINGMQD_PRINT_API_DOCS
                                                                     : RINGMQD_RUN,
                                          .files = line.files.items, .files_count = line.files.count,
                                          .sets = line.sets.items, .sets_count = line.sets.count};
    if (status >= 0)
        ringmqd_arguments_release(&arguments);
    else
        *ret_arguments = arguments;
    return status;
}

void ringmqd_arguments_release(struct ringmqd_arguments *arguments)
{
    memory_release(arguments->files);
    memory_release(arguments->sets);
    *arguments = (struct ringmqd_arguments){0};
}

/* ---- the configuration -------------------------------------------------------------------------------------------- */

/* The first of the usual files that is there, even if it cannot be read: that is an error worth hearing of. */
static const char *usual_file(void)
{
    for (size_t i = 0; i < sizeof usual_files / sizeof *usual_files; i++)
        if (access(usual_files[i], F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)) return usual_files[i];
    return NULL;
}

static struct config_sources sources_of(const struct ringmqd_arguments *arguments, const char **ret_usual)
{
    *ret_usual = arguments->files_count ? NULL : usual_file();
    return (struct config_sources){.files = *ret_usual ? ret_usual : arguments->files,
                                   .files_count = *ret_usual ? 1 : arguments->files_count,
                                   .environment = (const char *const *)environ,
                                   .sets = arguments->sets,
                                   .sets_count = arguments->sets_count};
}

bool ringmqd_config_peek(const struct ringmqd_arguments *arguments, const char *path, char **ret_text)
{
    const char *usual;
    struct config_sources sources = sources_of(arguments, &usual);
    return config_peek(&sources, path, ret_text);
}

/* The files of the command line (or the usual one), then the runtime layer. */
static bool load_with(const struct ringmqd_arguments *arguments, const char *runtime, struct config **ret_config, struct config_errors *errors)
{
    const char *usual;
    struct config_sources sources = sources_of(arguments, &usual);
    const char **files = memory_acquire((sources.files_count + 1) * sizeof *files);
    for (size_t i = 0; i < sources.files_count; i++)
        files[i] = sources.files[i];
    sources.files = files;
    if (runtime) files[sources.files_count++] = runtime;
    bool sound = config_load(&sources, ret_config, errors);
    memory_release(files);
    return sound;
}

bool ringmqd_config_try(const struct ringmqd_arguments *arguments, const char *runtime, struct config **ret_config, struct config_errors *errors)
{
    struct config *config = NULL;
    if (!load_with(arguments, NULL, &config, errors)) return false;
    char path[4200]; /* node.data_dir is not the runtime layer's to say: the other sources have decided where it lies */
    if (!runtime) {
        snprintf(path, sizeof path, "%s/runtime.conf", config_settings(config)->node.data_dir);
        if (access(path, F_OK) == 0) runtime = path;
    }
    if (runtime) {
        char *data_dir = memory_copy_string(span_of_string(config_settings(config)->node.data_dir));
        config_release(config);
        config = NULL;
        bool sound = load_with(arguments, runtime, &config, errors);
        if (sound && strcmp(config_settings(config)->node.data_dir, data_dir) != 0) {
            config_errors_add(errors, NULL, "node.data_dir cannot be set in runtime.conf, which lies there; set it in ringmq.conf");
            config_release(config);
            sound = false;
        }
        memory_release(data_dir);
        if (!sound) return false;
    }
    bool sound = config_check_exposure(config, errors);
    if (sound)
        *ret_config = config;
    else
        config_release(config);
    return sound;
}

bool ringmqd_config_load(const struct ringmqd_arguments *arguments, struct config **ret_config)
{
    struct config_errors errors = {0};
    bool sound = ringmqd_config_try(arguments, NULL, ret_config, &errors);
    config_errors_print(&errors, stderr);
    config_errors_clear(&errors);
    return sound;
}

int ringmqd_config_act(const struct ringmqd_arguments *arguments, const struct config *config)
{
    if (arguments->action == RINGMQD_PRINT_EFFECTIVE)
        config_print_effective(config, stdout);
    else
        puts("configuration is valid");
    return printed();
}
