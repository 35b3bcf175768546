/* ringmqd_config.h - the command line of ringmqd, and the configuration it asks for.
 *
 *     struct ringmqd_arguments arguments;
 *     int status = ringmqd_arguments_parse(argc, argv, &arguments);
 *     if (status >= 0) return status;                               --help, --version, --print-sample …, or wrong usage
 *     struct config *config;
 *     if (!ringmqd_config_load(&arguments, &config)) return 1;      the errors are on stderr
 *     if (arguments.action != RINGMQD_RUN) status = ringmqd_config_act(&arguments, config) …
 *
 * Owner: the caller; the strings point into argv. */
#ifndef RINGMQ_CMD_RINGMQD_CONFIG_H
#define RINGMQ_CMD_RINGMQD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define RINGMQD_EXIT_USAGE 2

enum ringmqd_action { RINGMQD_RUN, RINGMQD_CHECK, RINGMQD_PRINT_EFFECTIVE, RINGMQD_PRINT_FEATURES, RINGMQD_PRINT_HOOKS,
                      RINGMQD_PRINT_METRICS_DOCS, RINGMQD_PRINT_API_DOCS, RINGMQD_PRINT_API };

struct ringmqd_arguments {
    enum ringmqd_action action;
    const char **files; /* --config, in order; empty: the usual places */
    size_t files_count;
    const char **sets; /* --set, in order */
    size_t sets_count;
};

/* -1: go on, *ret_arguments is filled. 0 or more: everything is said, end with this status. */
int ringmqd_arguments_parse(int argc, char **argv, struct ringmqd_arguments *ret_arguments);
void ringmqd_arguments_release(struct ringmqd_arguments *arguments);

/* Loads and checks (config_check_exposure() included). Without --config: ./ringmq.conf, else /etc/ringmq/ringmq.conf, else
 * defaults only; then node.data_dir/runtime.conf. False: the errors have been printed to stderr. May be called again for a reload. */
bool ringmqd_config_load(const struct ringmqd_arguments *arguments, struct config **ret_config);
/* The same without printing; `runtime` in place of node.data_dir/runtime.conf (NULL: that one, if there is one). False: errors were added. */
bool ringmqd_config_try(const struct ringmqd_arguments *arguments, const char *runtime, struct config **ret_config, struct config_errors *errors);
/* config_peek() in the same sources. */
bool ringmqd_config_peek(const struct ringmqd_arguments *arguments, const char *path, char **ret_text);
/* Does what --check or --print-effective ask for with a loaded config; returns the exit status. Not for the other actions. */
int ringmqd_config_act(const struct ringmqd_arguments *arguments, const struct config *config);

#endif
