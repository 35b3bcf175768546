#include "cmd/ringmqd_config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

static const char help[] =
    "ringmqd " RINGMQ_VERSION " - an MQTT broker\n"
    "\n"
    "usage: ringmqd [--config FILE]... [--set KEY=VALUE]...\n"
    "\n"
    "  -c, --config FILE        read this configuration; a later file wins. Without it: ./ringmq.conf if there is\n"
    "                           one, else /etc/ringmq/ringmq.conf if there is one, else the defaults\n"
    "  -s, --set KEY=VALUE      set one key, such as node.shards=2; wins over files and environment, the last wins\n"
    "\n"
    "      --check              say whether the configuration is valid, and end: status 0 or 1\n"
    "      --print-effective    print every key, its value and where it comes from, and end\n"
    "      --print-sample       print a commented ringmq.conf, and end\n"
    "      --print-config-docs  print the manual of the configuration (Markdown), and end\n"
    "      --print-metrics-docs print the manual of the metrics (Markdown), and end\n"
    "      --print-api          print the admin API as an OpenAPI document (JSON), and end\n"
    "      --print-api-docs     print the same as a manual (Markdown), and end\n"
    "      --print-features     print the features that are built in or loaded, and end\n"
    "      --print-hooks        print the moments at which features take part (Markdown), and end\n"
    "      --version            print the version, and end\n"
    "  -h, --help               print this, and end\n"
    "\n"
    "Any key may also come from the environment: RINGMQ__NODE__SHARDS=2 is node.shards = 2.\n"
    "\n"
    "  ringmqd --set listeners.tcp.default.bind=127.0.0.1:1884 --set node.shards=2\n"
    "  ringmqd --print-sample > ringmq.conf\n";

static const char *const usual_files[] = {"ringmq.conf", "/etc/ringmq/ringmq.conf"};

enum long_option { OPTION_CHECK = 256, OPTION_EFFECTIVE, OPTION_SAMPLE, OPTION_DOCS, OPTION_METRICS_DOCS, OPTION_API, OPTION_API_DOCS, OPTION_FEATURES, OPTION_HOOKS, OPTION_VERSION };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"set", required_argument, NULL, 's'},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"print-effective", no_argument, NULL, OPTION_EFFECTIVE},
    {"print-sample", no_argument, NULL, OPTION_SAMPLE},
    {"print-config-docs", no_argument, NULL, OPTION_DOCS},
    {"print-metrics-docs", no_argument, NULL, OPTION_METRICS_DOCS},
    {"print-api", no_argument, NULL, OPTION_API},
    {"print-api-docs", no_argument, NULL, OPTION_API_DOCS},
    {"print-features", no_argument, NULL, OPTION_FEATURES},
    {"print-hooks", no_argument, NULL, OPTION_HOOKS},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* ---- the command line --------------------------------------------------------------------------------------------- */

static int wrong_usage(void)
{
    fputs("ringmqd: try --help\n", stderr);
    return RINGMQD_EXIT_USAGE;
}

/* What was printed may have gone to a full disk or a closed pipe. */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return 0;
    fprintf(stderr, "ringmqd: cannot write to standard output: %s\n", strerror(errno));
    return 1;
}

static int take_option(int option, struct ringmqd_arguments *arguments)
{
    switch (option) {
    case 'c': arguments->files[arguments->files_count++] = optarg; return -1;
    case 's':
        arguments->sets[arguments->sets_count++] = optarg;
        if (strchr(optarg, '=')) return -1;
        fprintf(stderr, "ringmqd: --set needs KEY=VALUE, not '%s'\n", optarg);
        return wrong_usage();
    case OPTION_CHECK: arguments->action = RINGMQD_CHECK; return -1;
    case OPTION_EFFECTIVE: arguments->action = RINGMQD_PRINT_EFFECTIVE; return -1;
    case OPTION_SAMPLE: config_print_sample(stdout); return printed();
    case OPTION_DOCS: config_print_docs(stdout); return printed();
    case OPTION_METRICS_DOCS: arguments->action = RINGMQD_PRINT_METRICS_DOCS; return -1;
    case OPTION_API_DOCS: arguments->action = RINGMQD_PRINT_API_DOCS; return -1;
    case OPTION_API: arguments->action = RINGMQD_PRINT_API; return -1;
    case OPTION_FEATURES: arguments->action = RINGMQD_PRINT_FEATURES; return -1;
    case OPTION_HOOKS: arguments->action = RINGMQD_PRINT_HOOKS; return -1;
    case OPTION_VERSION: puts("ringmqd " RINGMQ_VERSION); return printed();
    case 'h': fputs(help, stdout); return printed();
    default: return wrong_usage();
    }
}

int ringmqd_arguments_parse(int argc, char **argv, struct ringmqd_arguments *ret_arguments)
{
    struct ringmqd_arguments arguments = {.files = memory_acquire((size_t)(argc + 1) * sizeof(char *)),
                                          .sets = memory_acquire((size_t)(argc + 1) * sizeof(char *))};
    int option, status = -1;
    optind = 1;
    while (status < 0 && (option = getopt_long(argc, argv, "c:s:h", options, NULL)) != -1)
        status = take_option(option, &arguments);
    if (status < 0 && optind < argc) {
        fprintf(stderr, "ringmqd: '%s' belongs to no option; a file is given with --config\n", argv[optind]);
        status = wrong_usage();
    }
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
